//! Whose a message from inside is, for those who look at one phone's signalling. Nothing is changed, and nobody else asks.

use pinhole_sip::{Message, Method, Uri};

use crate::DeviceName;
use crate::io::ConnId;
use crate::proxy::Proxy;
use crate::transactions::{Peer, ServerKey, Side};

impl Proxy {
    /// The device that a message from a call manager is for or about, as it will be found when it is handled: by its
    /// transaction, its dialog, or the user whom it asks for.
    pub fn subject(&self, cluster: usize, message: &Message) -> Option<DeviceName> {
        let via = message.top_via().ok()?;
        if !message.is_request() {
            let id = self.transactions.by_branch(via.branch()?, &message.cseq().ok()?.method)?;
            let asked = |side: Side| side == Side::Cluster;
            return self.transactions.get(id).filter(|tx| asked(tx.client.side)).map(|tx| tx.device.clone());
        }
        let key = ServerKey::of(Peer::Cluster(cluster), &via, message);
        let key = if message.method() == Some(Method::Cancel) { key.of_invite() } else { key };
        let known = self.transactions.by_server(&key).and_then(|id| self.transactions.get(id));
        known
            .map(|tx| tx.device.clone())
            .or_else(|| self.party(cluster, message))
            .or_else(|| self.called(cluster, message))
    }

    /// The first cluster that serves a device, which is the one that its connections go to.
    pub fn cluster_of(&self, device: &DeviceName) -> Option<usize> {
        self.config.clusters.iter().position(|cluster| cluster.devices.is_match(device.as_str()))
    }

    /// A device's connection that speaks SIP.
    pub fn connection_of(&self, device: &DeviceName) -> Option<ConnId> {
        self.conn_of(device)
    }

    /// The phone of the dialog that a request is in.
    fn party(&self, cluster: usize, message: &Message) -> Option<DeviceName> {
        let (from, to) = (message.from_tag()?, message.to_tag()?);
        let sets = self.sets.of_call_id(message.call_id().ok()?).iter().filter_map(|id| self.sets.get(*id));
        let mut sets = sets.filter(|set| set.cluster == cluster);
        let first = sets.clone().next();
        sets.find(|set| set.find(&to, &from).is_some()).or(first).map(|set| set.device.clone())
    }

    /// The phone of the user in the Request-URI.
    fn called(&self, cluster: usize, message: &Message) -> Option<DeviceName> {
        let user = message.uri()?.parse::<Uri>().ok()?.unescaped_user()?;
        let registered = self.registrations.of_token(&user).or_else(|| self.registrations.of_user(&user));
        let of_set = || Some(&self.sets.get(self.sets.of_token(&user)?)?.device);
        let device = registered.map(|(device, _)| device).or_else(of_set)?;
        let entry = self.devices.get(device).filter(|entry| entry.cluster == cluster);
        entry.map(|_| device.clone())
    }
}
