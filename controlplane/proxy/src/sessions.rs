//! Media sessions: slots and ports, and the commands that open, change and close them.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use pinhole_flow::{Command, CommandKind, Event, EventKind, Leg, MasterKey, Mki, Session};

use crate::config::ProxyConfig;
use crate::dialogs::SetId;
use crate::io::Silence;
use crate::ports::PortAllocator;
use crate::skinny::StreamId;
use crate::slots::SlotAllocator;

/// Who was not heard for so many reports is silent: about five seconds.
const SILENT_REPORTS: u32 = 5;

/// Whom a session serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A call of SIP.
    Call(SetId),
    /// A stream of SCCP.
    Stream(StreamId),
}

/// A session of ours in the data plane, from the choice of its ports until they are given back.
pub(crate) struct MediaSession {
    pub(crate) generation: u32,
    /// Whom it serves; `None`: nobody, it is to be closed.
    pub(crate) owner: Option<Owner>,
    /// Orders; in force once opened.
    pub(crate) orders: Session,
    pub(crate) opened: bool,
    /// Close was sent, its acknowledgement is awaited.
    pub(crate) closing: bool,
    /// Packets accepted, as last reported; `None`: taken over, and not reported since.
    pub(crate) packets: Option<[u64; 2]>,
    /// How often packets were reported since the call was answered: about once a second.
    pub(crate) reports: u32,
    /// The note last written.
    pub(crate) note: Vec<u8>,
    /// Which legs' ports are ours to give back (not so when a foreign session was found).
    owned: [bool; 2],
}

/// Why a session cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// No free slot.
    Slots,
    /// No free port pair.
    Ports,
}

/// What an event of the data plane means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing to do.
    Nothing,
    /// The session is closed and its slot and ports are given back.
    Closed,
    /// Open or Update was refused, with the reason's code; whom it was for, if that still lives.
    Refused(Option<Owner>, u32),
}

/// The media sessions of a shard.
pub(crate) struct MediaSessions {
    slots: SlotAllocator,
    ports: Vec<PortAllocator>,
    by_slot: BTreeMap<u32, MediaSession>,
    sequence: u32,
}

impl MediaSessions {
    pub(crate) fn new(config: &ProxyConfig, generation: u32) -> Self {
        let (shard, shards, workers) = (config.shard, config.shards, config.workers);
        let ports = config.media.iter().map(|port| PortAllocator::new(&port.ports, shard, shards, workers));
        Self {
            slots: SlotAllocator::new(config.max_sessions, workers, shard, shards, generation),
            ports: ports.collect(),
            by_slot: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Reserves a slot and a port pair on each side for a stream, all of one worker: the
    /// one with the fewest sessions that has them. Nothing is opened yet.
    pub(crate) fn reserve(&mut self, owner: Owner, sides: [u8; 2], now: Instant) -> Result<u32, NoRoom> {
        let workers = self.slots.workers();
        let none = if workers.is_empty() { NoRoom::Slots } else { NoRoom::Ports };
        let pairs = |worker| Some((worker, self.pairs(worker, sides, now)?));
        let (worker, pairs) = workers.into_iter().find_map(pairs).ok_or(none)?;
        let (slot, generation) = self.slots.allocate(worker).ok_or(NoRoom::Slots)?;
        let mut legs = [blank_leg(), blank_leg()];
        for ((leg, port), rtp) in legs.iter_mut().zip(sides).zip(pairs) {
            (leg.port, leg.local_rtp, leg.local_rtcp) = (port, rtp, rtp + 1);
        }
        let session = MediaSession {
            generation,
            owner: Some(owner),
            orders: Session { legs },
            opened: false,
            closing: false,
            packets: Some([0; 2]),
            reports: 0,
            note: Vec::new(),
            owned: [true; 2],
        };
        self.by_slot.insert(slot, session);
        Ok(slot)
    }

    /// A port pair of a worker on each side, or none.
    fn pairs(&mut self, worker: u32, sides: [u8; 2], now: Instant) -> Option<[u16; 2]> {
        let [first, second] = sides.map(usize::from);
        let one = self.ports.get_mut(first)?.allocate(worker, now)?;
        let other = self.ports.get_mut(second).and_then(|ports| ports.allocate(worker, now));
        if other.is_none() {
            self.ports.get_mut(first)?.put_back(one);
        }
        Some([one, other?])
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&MediaSession> {
        self.by_slot.get(&slot)
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut MediaSession> {
        self.by_slot.get_mut(&slot)
    }

    /// Puts orders in force: the command to send, if anything changes or a new offer stands behind it (`anew`,
    /// by leg): then its ends may begin anew without a change of what we know (see [`Command::anew`]).
    pub(crate) fn order(&mut self, slot: u32, orders: Session, anew: [bool; 2]) -> Option<Command> {
        let session = self.by_slot.get_mut(&slot)?;
        if session.closing || (session.opened && session.orders == orders && anew == [false; 2]) {
            return None;
        }
        session.orders = orders;
        self.sequence = self.sequence.wrapping_add(1);
        let update = std::mem::replace(&mut session.opened, true);
        let (generation, sequence) = (session.generation, self.sequence);
        Some(if update {
            Command::update(slot, generation, sequence, orders).after_offer(anew)
        } else {
            Command::open(slot, generation, sequence, orders)
        })
    }

    /// Ends a session: the command to send. One that was never opened is given back at once, its ports
    /// after they have rested until `rested`.
    pub(crate) fn close(&mut self, slot: u32, rested: Instant) -> Option<Command> {
        let session = self.by_slot.get_mut(&slot)?;
        session.owner = None;
        if session.closing {
            return None;
        }
        if !session.opened {
            self.give_back(slot, rested);
            return None;
        }
        session.closing = true;
        wipe(&mut session.orders);
        self.sequence = self.sequence.wrapping_add(1);
        Some(Command::close(slot, session.generation, self.sequence))
    }

    /// Takes an event of the data plane.
    pub(crate) fn event(&mut self, event: &Event, rested: Instant) -> Outcome {
        let Some(session) = self.by_slot.get(&event.slot) else { return Outcome::Nothing };
        if session.generation != event.generation {
            return Outcome::Nothing;
        }
        let (kind, command) = (EventKind::from_code(event.kind), CommandKind::from_code(event.command));
        match (kind, command) {
            // Refused means that it is not open under this generation: that is what Close is to bring about.
            (Some(EventKind::Done | EventKind::Refused), Some(CommandKind::Close)) if session.closing => {
                self.give_back(event.slot, rested);
                Outcome::Closed
            }
            (Some(EventKind::Refused), Some(CommandKind::Open | CommandKind::Update)) => {
                Outcome::Refused(session.owner, event.detail)
            }
            _ => Outcome::Nothing,
        }
    }

    /// The sessions that were opened and are not among those that a data plane has open: slot and owner.
    /// They cannot be opened again. Their stream states are gone, and under the same keys a second
    /// session would begin at indices that the first has used.
    pub(crate) fn lost(&self, open: &HashSet<(u32, u32)>) -> Vec<(u32, Option<Owner>)> {
        let lost = |slot: u32, session: &MediaSession| {
            session.opened && !session.closing && !open.contains(&(slot, session.generation))
        };
        let sessions = self.by_slot.iter().filter(|(slot, session)| lost(**slot, session));
        sessions.map(|(slot, session)| (*slot, session.owner)).collect()
    }

    /// Takes over a session that was found open. `false` if it cannot be ours: it must be closed.
    pub(crate) fn adopt(&mut self, slot: u32, generation: u32, orders: Session) -> bool {
        let slot_ours = !self.by_slot.contains_key(&slot) && self.slots.claim(slot);
        if !slot_ours {
            return false;
        }
        let owned = orders.legs.map(|leg| {
            self.ports.get_mut(usize::from(leg.port)).is_some_and(|ports| ports.claim(leg.local_rtp))
        });
        let session = MediaSession {
            generation,
            owner: None,
            orders,
            opened: true,
            closing: false,
            packets: None,
            reports: 0,
            note: Vec::new(),
            owned,
        };
        self.by_slot.insert(slot, session);
        owned == [true; 2]
    }

    /// From where nothing has come, though it was long enough; `None`: from either side something has.
    pub(crate) fn silent(&self, slot: u32) -> Option<Silence> {
        let session = self.by_slot.get(&slot).filter(|session| session.reports >= SILENT_REPORTS)?;
        match session.packets? {
            [0, 0] => Some(Silence::Both),
            [0, _] => Some(Silence::Phone),
            [_, 0] => Some(Silence::FarEnd),
            _ => None,
        }
    }

    /// A Close for a session that is not in our table.
    pub(crate) fn close_foreign(&mut self, slot: u32, generation: u32) -> Command {
        self.sequence = self.sequence.wrapping_add(1);
        Command::close(slot, generation, self.sequence)
    }

    /// Open sessions that serve nobody.
    pub(crate) fn unclaimed(&self) -> Vec<u32> {
        let idle = |session: &MediaSession| session.owner.is_none() && !session.closing;
        self.by_slot.iter().filter(|(_, session)| idle(session)).map(|(slot, _)| *slot).collect()
    }

    /// Sessions open in the data plane: slot and generation.
    pub(crate) fn open(&self) -> Vec<(u32, u32)> {
        let open = |session: &MediaSession| session.opened;
        self.by_slot
            .iter()
            .filter(|(_, session)| open(session))
            .map(|(slot, session)| (*slot, session.generation))
            .collect()
    }

    /// Frees ports that have rested enough.
    pub(crate) fn wake_ports(&mut self, now: Instant) {
        for ports in &mut self.ports {
            ports.wake(now);
        }
    }

    /// When the next pair has rested enough.
    pub(crate) fn next_rested(&self) -> Option<Instant> {
        self.ports.iter().filter_map(PortAllocator::next_rested).min()
    }

    /// Usage of the media ports.
    pub(crate) fn ports(&self) -> pinhole_admin::Ports {
        let mut sum = pinhole_admin::Ports::default();
        for ports in &self.ports {
            sum += ports.usage();
        }
        sum
    }

    fn give_back(&mut self, slot: u32, rested: Instant) {
        let Some(session) = self.by_slot.remove(&slot) else { return };
        for (leg, owned) in session.orders.legs.iter().zip(session.owned) {
            if owned && let Some(ports) = self.ports.get_mut(usize::from(leg.port)) {
                ports.release(leg.local_rtp, rested);
            }
        }
        self.slots.release(slot);
    }
}

impl Drop for MediaSession {
    fn drop(&mut self) {
        wipe(&mut self.orders);
    }
}

/// Wipes the keys; ports and addresses stay.
fn wipe(orders: &mut Session) {
    use zeroize::Zeroize;
    for leg in &mut orders.legs {
        leg.inbound.zeroize();
        leg.outbound.zeroize();
    }
}

/// A leg that goes nowhere yet. DSCP is copied from the packet that came in.
fn blank_leg() -> Leg {
    Leg {
        port: 0,
        flags: 0,
        dscp: 255,
        latch_prefix: 0,
        local_rtp: 0,
        local_rtcp: 0,
        remote_rtp: 0,
        remote_rtcp: 0,
        next_hop: 0,
        remote_ip: [0; 16],
        inbound: MasterKey::NONE,
        outbound: MasterKey::NONE,
        mki: Mki::NONE,
        reserved2: [0; 7],
    }
}

#[cfg(test)]
mod tests;
