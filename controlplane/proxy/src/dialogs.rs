//! Dialogs (RFC 3261 section 12), with what each side knows of us as the other end.

use std::collections::{BTreeSet, HashMap};

use crate::DeviceName;
use crate::calls::Call;
use crate::transactions::Side;

/// Number of a dialog set.
pub(crate) type SetId = u64;

/// The dialogs of one Call-ID at one phone: a call with its forks, a subscription, a transfer.
pub(crate) struct DialogSet {
    pub(crate) call_id: String,
    pub(crate) device: DeviceName,
    pub(crate) cluster: usize,
    /// User part of our Contact on both sides.
    pub(crate) token: String,
    /// Which side began.
    pub(crate) initiator: Side,
    /// The end that began, as its first request showed it.
    pub(crate) origin: End,
    /// Dialogs made by responses, in the order they came.
    pub(crate) dialogs: Vec<Dialog>,
    /// The call, when the dialogs belong to an INVITE.
    pub(crate) call: Option<Call>,
}

/// One dialog: the two ends that we stand between.
#[derive(Clone)]
pub(crate) struct Dialog {
    pub(crate) phone: End,
    pub(crate) cluster: End,
    /// Whether a 2xx made it.
    pub(crate) confirmed: bool,
    /// The last ACK of a 2xx that we forwarded: CSeq number, side it went to, message.
    pub(crate) ack: Option<(u32, Side, Vec<u8>)>,
}

/// What we know of one end of a dialog.
#[derive(Clone, Default)]
pub(crate) struct End {
    /// Its tag.
    pub(crate) tag: String,
    /// Its From or To value without the tag: to send a request in the name of the other end.
    pub(crate) address: String,
    /// Where requests to it go: its Contact.
    pub(crate) target: Option<String>,
    /// Route set towards it.
    pub(crate) routes: Vec<String>,
    /// Highest CSeq number of its requests.
    pub(crate) cseq: u32,
}

impl Dialog {
    pub(crate) fn end(&self, side: Side) -> &End {
        match side {
            Side::Phone => &self.phone,
            Side::Cluster => &self.cluster,
        }
    }

    pub(crate) fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Phone => &mut self.phone,
            Side::Cluster => &mut self.cluster,
        }
    }
}

impl DialogSet {
    /// The Contact of an end, as far as it has shown one.
    pub(crate) fn target_of(&self, side: Side) -> Option<&str> {
        let dialog = self.dialogs.iter().find(|dialog| dialog.confirmed).or(self.dialogs.first());
        let end = match dialog {
            Some(dialog) => dialog.end(side),
            None if self.initiator == side => &self.origin,
            None => return None,
        };
        end.target.as_deref()
    }

    /// The dialog with these tags.
    pub(crate) fn find(&self, phone_tag: &str, cluster_tag: &str) -> Option<usize> {
        self.dialogs
            .iter()
            .position(|dialog| dialog.phone.tag == phone_tag && dialog.cluster.tag == cluster_tag)
    }

    /// The dialog with the other end of tag `tag`, made when it is new; `None` when there are `limit` already.
    pub(crate) fn find_or_make(&mut self, tag: &str, limit: usize) -> Option<usize> {
        let responder = self.initiator.other();
        if let Some(found) = self.dialogs.iter().position(|dialog| dialog.end(responder).tag == tag) {
            return Some(found);
        }
        if self.dialogs.len() >= limit {
            return None;
        }
        let (mut phone, mut cluster) = (End::default(), End::default());
        match self.initiator {
            Side::Phone => {
                phone = self.origin.clone();
                cluster.tag = tag.to_owned();
            }
            Side::Cluster => {
                cluster = self.origin.clone();
                phone.tag = tag.to_owned();
            }
        }
        self.dialogs.push(Dialog { phone, cluster, confirmed: false, ack: None });
        Some(self.dialogs.len() - 1)
    }
}

/// The dialog sets of a shard.
#[derive(Default)]
pub(crate) struct DialogSets {
    next: SetId,
    by_id: HashMap<SetId, DialogSet>,
    by_call_id: HashMap<String, Vec<SetId>>,
    by_token: HashMap<String, SetId>,
    by_phone: HashMap<DeviceName, BTreeSet<SetId>>,
    calls: usize,
    calls_by_phone: HashMap<DeviceName, usize>,
}

impl DialogSets {
    /// Keeps a dialog set; its number.
    pub(crate) fn insert(&mut self, set: DialogSet) -> SetId {
        self.next += 1;
        let id = self.next;
        self.by_call_id.entry(set.call_id.clone()).or_default().push(id);
        self.by_token.insert(set.token.clone(), id);
        self.by_phone.entry(set.device.clone()).or_default().insert(id);
        if set.call.is_some() {
            self.count_call(&set.device);
        }
        self.by_id.insert(id, set);
        id
    }

    pub(crate) fn get(&self, id: SetId) -> Option<&DialogSet> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: SetId) -> Option<&mut DialogSet> {
        self.by_id.get_mut(&id)
    }

    /// The set of a Call-ID at a phone.
    pub(crate) fn of_phone(&self, call_id: &str, device: &DeviceName) -> Option<SetId> {
        let ids = self.by_call_id.get(call_id)?;
        ids.iter().copied().find(|id| self.by_id.get(id).is_some_and(|set| set.device == *device))
    }

    /// The sets of a Call-ID: two when two of our phones talk to each other.
    pub(crate) fn of_call_id(&self, call_id: &str) -> &[SetId] {
        self.by_call_id.get(call_id).map_or(&[], Vec::as_slice)
    }

    /// The set that our Contact names.
    pub(crate) fn of_token(&self, token: &str) -> Option<SetId> {
        self.by_token.get(token).copied()
    }

    /// Forgets a set.
    pub(crate) fn remove(&mut self, id: SetId) -> Option<DialogSet> {
        let mut set = self.by_id.remove(&id)?;
        if let Some(ids) = self.by_call_id.get_mut(&set.call_id) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_call_id.remove(&set.call_id);
            }
        }
        if self.by_token.get(&set.token) == Some(&id) {
            self.by_token.remove(&set.token);
        }
        if let Some(ids) = self.by_phone.get_mut(&set.device) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_phone.remove(&set.device);
            }
        }
        if set.call.take().is_some() {
            self.uncount_call(&set.device);
        }
        Some(set)
    }

    /// Takes the call out of a set.
    pub(crate) fn take_call(&mut self, id: SetId) -> Option<Call> {
        let set = self.by_id.get_mut(&id)?;
        let call = set.call.take()?;
        let device = set.device.clone();
        self.uncount_call(&device);
        Some(call)
    }

    pub(crate) fn call_mut(&mut self, id: SetId) -> Option<&mut Call> {
        self.by_id.get_mut(&id)?.call.as_mut()
    }

    pub(crate) fn call(&self, id: SetId) -> Option<&Call> {
        self.by_id.get(&id)?.call.as_ref()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    /// Dialog sets of a phone.
    pub(crate) fn count_of_phone(&self, device: &DeviceName) -> usize {
        self.by_phone.get(device).map_or(0, BTreeSet::len)
    }

    /// Calls of a phone.
    pub(crate) fn calls_of_phone(&self, device: &DeviceName) -> usize {
        self.calls_by_phone.get(device).copied().unwrap_or_default()
    }

    /// The sets with a call, by number.
    pub(crate) fn with_call(&self) -> Vec<SetId> {
        let mut ids: Vec<SetId> =
            self.by_id.iter().filter(|(_, set)| set.call.is_some()).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// The calls of a phone, by number.
    pub(crate) fn calls_at(&self, device: &DeviceName) -> Vec<SetId> {
        let Some(ids) = self.by_phone.get(device) else { return Vec::new() };
        ids.iter().copied().filter(|id| self.call(*id).is_some()).collect()
    }

    fn count_call(&mut self, device: &DeviceName) {
        self.calls += 1;
        *self.calls_by_phone.entry(device.clone()).or_default() += 1;
    }

    fn uncount_call(&mut self, device: &DeviceName) {
        self.calls -= 1;
        if let Some(count) = self.calls_by_phone.get_mut(device) {
            *count -= 1;
            if *count == 0 {
                self.calls_by_phone.remove(device);
            }
        }
    }
}
