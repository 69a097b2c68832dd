//! What an operator can see of a proxy.

use std::collections::BTreeSet;
use std::time::Instant;

use pinhole_admin::{Call, CallState, Direction, Phone, Ports};
use pinhole_sip::NameAddr;

use crate::dialogs::DialogSet;
use crate::proxy::Proxy;
use crate::sessions::Owner;
use crate::transactions::Side;
use crate::{DeviceName, notes::count_by_device};

impl Proxy {
    /// Phones that are connected or registered; of SCCP each connection.
    pub fn phones(&self, now: Instant) -> Vec<Phone> {
        let calls = self.sip_calls(now);
        let counts = count_by_device(&calls);
        let mut names: Vec<&DeviceName> = self.devices.keys().collect();
        names.sort();
        names
            .into_iter()
            .filter_map(|name| {
                let device = self.devices.get(name)?;
                let registrations = self.registrations.of_device(name);
                if device.conn.is_none() && registrations.is_empty() && !counts.contains_key(name.as_str()) {
                    return None;
                }
                let until = registrations.iter().map(|(_, expires)| *expires).min();
                Some(Phone {
                    device: name.as_str().to_owned(),
                    shard: self.config.shard,
                    cluster: self.cluster_name(device.cluster),
                    protocol: "sip".to_owned(),
                    call_manager: self
                        .config
                        .clusters
                        .get(device.cluster)
                        .map(|cluster| cluster.call_manager),
                    peer: device.conn.map(|_| device.peer),
                    tls: device.tls.clone(),
                    since_s: now.saturating_duration_since(device.since).as_secs(),
                    registered: registrations.into_iter().map(|(aor, _)| aor).collect(),
                    expires_s: until.map(|until| until.saturating_duration_since(now).as_secs()),
                    calls: counts.get(name.as_str()).copied().unwrap_or_default(),
                })
            })
            .chain(self.skinny_phones(now))
            .collect()
    }

    /// Calls in progress: of SIP, the oldest first, then of SCCP.
    pub fn calls(&self, now: Instant) -> Vec<Call> {
        let mut calls = self.sip_calls(now);
        calls.extend(self.skinny_calls(now));
        calls
    }

    fn sip_calls(&self, now: Instant) -> Vec<Call> {
        let view = |set: &DialogSet| {
            let call = set.call.as_ref()?;
            let direction = match set.initiator {
                Side::Phone => Direction::FromPhone,
                Side::Cluster => Direction::ToPhone,
            };
            let far = set
                .dialogs
                .iter()
                .find(|dialog| dialog.confirmed)
                .or(set.dialogs.first())
                .map_or_else(String::new, |dialog| uri_of(&dialog.end(set.initiator.other()).address));
            let state = match call {
                call if call.adopted => CallState::Adopted,
                call if !call.answered => CallState::Setup,
                call if call.held() => CallState::Held,
                _ => CallState::Talking,
            };
            Some(Call {
                call_id: set.call_id.clone(),
                device: set.device.as_str().to_owned(),
                shard: self.config.shard,
                cluster: self.cluster_name(set.cluster),
                direction,
                from: uri_of(&set.origin.address),
                to: far,
                state,
                suite: call.suite().map(str::to_owned),
                since_s: now.saturating_duration_since(call.since).as_secs(),
                sessions: call.streams.values().map(|stream| stream.slot).collect(),
            })
        };
        self.sets.with_call().into_iter().filter_map(|id| view(self.sets.get(id)?)).collect()
    }

    /// How many calls are in progress.
    pub fn call_count(&self) -> usize {
        self.sets.calls() + self.skinny_call_count()
    }

    /// How many devices have a registration.
    pub fn registered_count(&self) -> usize {
        let of = |name: &&DeviceName| self.registrations.count_of_phone(name) > 0;
        self.devices.keys().filter(of).chain(self.skinny_registered_devices()).collect::<BTreeSet<_>>().len()
    }

    /// Media ports of this shard.
    pub fn ports(&self) -> Ports {
        self.sessions.ports()
    }

    /// Call-ID and device that a session serves; `None` when it serves no call.
    pub fn session_owner(&self, slot: u32, generation: u32) -> Option<(String, String)> {
        let session = self.sessions.get(slot).filter(|session| session.generation == generation)?;
        match session.owner? {
            Owner::Call(set) => {
                let set = self.sets.get(set)?;
                Some((set.call_id.clone(), set.device.as_str().to_owned()))
            }
            Owner::Stream(stream) => self.skinny.owner(stream),
        }
    }

    /// Sessions that are open in the data plane or being closed: slot and generation. Their activity is
    /// to be reported.
    pub fn sessions(&self) -> Vec<(u32, u32)> {
        self.sessions.open()
    }

    pub(crate) fn cluster_name(&self, cluster: usize) -> String {
        self.config.clusters.get(cluster).map_or_else(String::new, |cluster| cluster.name.clone())
    }
}

/// The URI of a name-addr.
fn uri_of(address: &str) -> String {
    address.parse::<NameAddr>().map_or_else(|_| address.to_owned(), |address| address.uri)
}
