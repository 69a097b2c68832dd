//! Call managers' keys that have reached phones. One that comes again for another stream would let in what was captured under
//! it before: the data plane remembers no packets of a session that is closed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use pinhole_admin::{Event, EventKind};
use pinhole_flow::MasterKey;

use super::streams::{StreamId, Way};
use crate::DeviceName;
use crate::counters::Counter;
use crate::io::ConnId;
use crate::proxy::Proxy;

/// Keys remembered of each device: those of its last 32 calls.
const KEPT: usize = 64;

/// What a key is known by again. It tells nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64);

/// The keys that devices had. Only devices with trusted certificates get keys.
#[derive(Default)]
pub(super) struct Relayed {
    hasher: RandomState,
    devices: HashMap<DeviceName, Had>,
    /// The devices, the one longest without a key first.
    order: BTreeMap<u64, DeviceName>,
    /// The number given last.
    last: u64,
}

/// What a device had.
#[derive(Default)]
struct Had {
    /// Oldest first.
    keys: VecDeque<Mark>,
    /// Its number in the order of devices.
    number: u64,
}

impl Relayed {
    /// The mark of a key. It is the same for all lengths of tags: a longer one could be cut.
    pub(super) fn mark(&self, key: &MasterKey) -> Mark {
        Mark(self.hasher.hash_one((key.key, key.salt)))
    }

    fn knows(&self, device: &DeviceName, mark: Mark) -> bool {
        self.devices.get(device).is_some_and(|had| had.keys.contains(&mark))
    }

    /// Remembers a key that reaches a device, of so many devices at most.
    pub(super) fn insert(&mut self, device: &DeviceName, mark: Mark, most: usize) {
        self.last += 1;
        let had = self.devices.entry(device.clone()).or_default();
        self.order.remove(&std::mem::replace(&mut had.number, self.last));
        self.order.insert(self.last, device.clone());
        if !had.keys.contains(&mark) {
            if had.keys.len() >= KEPT {
                had.keys.pop_front();
            }
            had.keys.push_back(mark);
        }
        while self.order.len() > most.max(1) {
            let Some((_, longest)) = self.order.pop_first() else { break };
            self.devices.remove(&longest);
        }
    }
}

impl Proxy {
    /// Whether a key that is to reach a phone is new to it, or the last one of this way of this stream: there the data plane
    /// goes on with indices and replay windows.
    pub(super) fn skinny_is_fresh(
        &mut self,
        conn: ConnId,
        stream: Option<StreamId>,
        way: Way,
        theirs: &MasterKey,
    ) -> Result<Mark, Counter> {
        let connection = self.skinny.connections.get(&conn).ok_or(Counter::UnknownConnections)?;
        let mark = self.skinny.relayed.mark(theirs);
        let stream = stream.and_then(|id| self.skinny.streams.get_mut(&id));
        if !self.skinny.relayed.knows(&connection.device, mark)
            || stream.is_some_and(|stream| *stream.relayed(way) == Some(mark))
        {
            return Ok(mark);
        }
        let text = "SCCP channel refused: the call manager gives a key that the phone has had for another; have it make a \
                    key for each channel, or set sccp_keys = \"rewrite\"";
        let event = Event::new(EventKind::CallRefused, text).device(connection.device.as_str());
        self.event(event);
        Err(Counter::SkinnyKeysAgain)
    }
}
