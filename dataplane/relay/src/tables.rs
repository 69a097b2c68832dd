//! The worker's own tables: ports, pinholes, sessions, next hops; and the commands that change them.

use std::net::Ipv4Addr;

use pinhole_flow::slot::state;
use pinhole_flow::steering::{CLASSES, class_of, worker_of};
use pinhole_flow::{
    Command, CommandKind, Event, EventKind, MAX_PORTS, NextHop, Refusal, Session, SessionSlot,
};
use pinhole_srtp::kernels::{Engine, prefetch};
use zerocopy::FromZeros;
use zeroize::Zeroize;

use crate::config::{RelayConfig, RelayPort};
use crate::pinhole::{Pinhole, PinholeTable};
use crate::rekey::{GRACE_NS, Grace, Graces, renew};
use crate::session::{self, Context, LegContext, LegOrders};
use crate::slots::shared;

/// Slot numbers must leave room for leg and kind in a pinhole.
const SLOT_LIMIT: u32 = 1 << 29;

/// Everything the control plane's commands change.
#[derive(Debug)]
pub struct Tables {
    /// The data-plane ports.
    pub ports: Vec<RelayPort>,
    /// Which leg has a local port.
    pub pinholes: PinholeTable,
    slots: Vec<Slot>,
    next_hops: Vec<NextHop>,
    graces: Graces,
    /// The media addresses of the ports, of those that there are not 0.0.0.0: compared all at once.
    own: [u32; MAX_PORTS],
    /// The workers of the classes of media ports.
    owners: [u8; CLASSES as usize],
    open: u32,
    /// Size of the replay windows.
    window: u32,
    worker: u32,
    /// Number that the control plane has for slot 0.
    first_slot: u32,
}

#[derive(Debug, Default)]
struct Slot {
    context: Option<Context>,
    /// Generation that was closed last: it is not opened again.
    closed: Option<u32>,
}

impl Tables {
    /// Empty tables.
    pub fn new(config: RelayConfig) -> Self {
        let address = |port: usize| config.ports.get(port).map_or(0, |port| port.media_address.to_bits());
        let own = std::array::from_fn(address);
        // A port of each class; at most MAX_WORKERS workers.
        let owners = std::array::from_fn(|class| worker_of(2 * class as u16, config.workers) as u8);
        let unresolved = NextHop { port: 0, valid: 0, vlan: 0, mac: [0; 6], reserved: [0; 2] };
        Self {
            pinholes: PinholeTable::new(&config.ports),
            ports: config.ports,
            slots: std::iter::repeat_with(Slot::default)
                .take(config.max_sessions.min(SLOT_LIMIT) as usize)
                .collect(),
            next_hops: vec![unresolved; config.next_hops as usize],
            graces: Graces::new(),
            own,
            owners,
            open: 0,
            window: config.replay_window,
            worker: config.worker,
            first_slot: config.first_slot,
        }
    }

    /// How many sessions are open.
    pub fn open_sessions(&self) -> u32 {
        self.open
    }

    /// The number that the control plane has for a slot.
    pub fn number(&self, slot: u32) -> u32 {
        slot + self.first_slot
    }

    /// The other worker that has a media port; `None` if this one has.
    pub fn other_worker(&self, local: u16) -> Option<u8> {
        let owner = self.owners.get(usize::from(class_of(local))).copied()?;
        (u32::from(owner) != self.worker).then_some(owner)
    }

    /// The session in a slot.
    pub fn context(&self, slot: u32) -> Option<&Context> {
        self.slots.get(slot as usize)?.context.as_ref()
    }

    /// A leg of the session in a slot.
    pub fn leg(&self, slot: u32, leg: u8) -> Option<&LegContext> {
        self.context(slot)?.legs.get(usize::from(leg))
    }

    /// The same, to be changed.
    pub fn context_mut(&mut self, slot: u32) -> Option<&mut Context> {
        self.slots.get_mut(slot as usize)?.context.as_mut()
    }

    /// A leg of the session in a slot, to be changed.
    pub fn leg_mut(&mut self, slot: u32, leg: u8) -> Option<&mut LegContext> {
        self.context_mut(slot)?.legs.get_mut(usize::from(leg))
    }

    /// Brings what there is of a slot into the cache, without waiting to see whether it is open.
    pub fn prefetch(&self, slot: u32) {
        if let Some(slot) = self.slots.get(slot as usize) {
            prefetch(slot);
        }
    }

    /// The data-plane port that has `address` as its media address.
    pub fn is_own(&self, address: Ipv4Addr) -> Option<u8> {
        let wanted = address.to_bits();
        // Almost always it is none, which is told without a branch for each.
        let any = self.own.iter().fold(false, |any, own| any | (*own == wanted));
        if !any || wanted == 0 {
            return None;
        }
        (0..).zip(&self.own).find(|(_, own)| **own == wanted).map(|(index, _)| index)
    }

    /// A resolved next hop on a port.
    pub fn next_hop(&self, index: u32, port: u8) -> Option<&NextHop> {
        self.next_hops.get(index as usize).filter(|hop| hop.valid == 1 && hop.port == port)
    }

    /// Carries out a command and says what became of it. Keys are expanded for `engine`.
    pub fn command(
        &mut self,
        command: &Command,
        slots: &mut [SessionSlot],
        now_ns: u64,
        engine: &dyn Engine,
    ) -> Event {
        let slot = command.slot.checked_sub(self.first_slot).ok_or(Refusal::BadIndex);
        let result = match CommandKind::from_code(command.kind) {
            Some(CommandKind::Open) => slot.and_then(|slot| self.open(slot, command, slots, now_ns, engine)),
            Some(CommandKind::Update) => {
                slot.and_then(|slot| self.update(slot, command, slots, now_ns, engine))
            }
            Some(CommandKind::Close) => slot.and_then(|slot| self.close(slot, command, slots)),
            Some(CommandKind::NextHop) => self.set_next_hop(command),
            None => Err(Refusal::UnknownKind),
        };
        let (kind, detail) = match result {
            Ok(()) => (EventKind::Done, 0),
            Err(refusal) => (EventKind::Refused, refusal as u32),
        };
        Event {
            kind: kind as u32,
            slot: command.slot,
            generation: command.generation,
            sequence: command.sequence,
            detail,
            command: command.kind,
        }
    }

    fn open(
        &mut self,
        number: u32,
        command: &Command,
        slots: &mut [SessionSlot],
        now_ns: u64,
        engine: &dyn Engine,
    ) -> Result<(), Refusal> {
        let slot = self.slots.get(number as usize).ok_or(Refusal::BadIndex)?;
        match &slot.context {
            Some(context) if context.generation == command.generation => return Ok(()),
            Some(_) => return Err(Refusal::SlotBusy),
            // A late repetition of an Open must not bring back what was closed.
            None if slot.closed == Some(command.generation) => return Err(Refusal::SlotBusy),
            None => {}
        }
        let orders = self.check(number, &command.session)?;
        let context = Context::new(command.generation, &command.session, orders, self.window, engine)
            .map_err(|_| Refusal::BadLeg)?;
        let entry = shared(slots, number).ok_or(Refusal::BadIndex)?;
        let worker = self.worker;
        entry.change(|shared| {
            shared.generation = command.generation;
            shared.worker = worker;
            shared.sequence = command.sequence;
            shared.opened_ns = now_ns;
            shared.session = command.session;
            shared.live = FromZeros::new_zeroed();
            publish(&context, shared);
            shared.state = state::OPEN;
        });
        self.set_pinholes(number, &orders, true);
        if let Some(slot) = self.slots.get_mut(number as usize) {
            slot.context = Some(context);
            self.open += 1;
        }
        Ok(())
    }

    fn update(
        &mut self,
        number: u32,
        command: &Command,
        slots: &mut [SessionSlot],
        now_ns: u64,
        engine: &dyn Engine,
    ) -> Result<(), Refusal> {
        let slot = self.slots.get(number as usize).ok_or(Refusal::BadIndex)?;
        let open = slot.context.as_ref().filter(|context| context.generation == command.generation);
        let old = open.ok_or(Refusal::NotOpen)?.legs.each_ref().map(|leg| leg.orders);
        let orders = self.check(number, &command.session)?;
        let mut fresh = Context::new(command.generation, &command.session, orders, self.window, engine)
            .map_err(|_| Refusal::BadLeg)?;
        let entry = shared(slots, number).ok_or(Refusal::BadIndex)?;
        self.set_pinholes(number, &old, false);
        self.set_pinholes(number, &orders, true);
        let slot = self.slots.get_mut(number as usize);
        let Some(old) = slot.and_then(|slot| slot.context.as_mut()) else {
            return Err(Refusal::NotOpen);
        };
        let (generation, until_ns, graces) = (command.generation, now_ns + GRACE_NS, &mut self.graces);
        entry.change(|shared| {
            let legs = fresh.legs.iter_mut().zip(&mut old.legs).zip(&mut shared.live);
            let orders = shared.session.legs.iter().zip(&command.session.legs);
            for (leg, (((fresh, old), live), (was, is))) in (0..).zip(legs.zip(orders)) {
                if renew(live, old, fresh, was, is, now_ns) {
                    graces.push_back(Grace { slot: number, generation, leg, until_ns });
                }
            }
            shared.sequence = command.sequence;
            shared.session = command.session;
            publish(&fresh, shared);
        });
        // The old keys are wiped as their context is dropped, but for those that are still accepted.
        *old = fresh;
        Ok(())
    }

    fn close(&mut self, number: u32, command: &Command, slots: &mut [SessionSlot]) -> Result<(), Refusal> {
        let slot = self.slots.get_mut(number as usize).ok_or(Refusal::BadIndex)?;
        let Some(context) = slot.context.take_if(|context| context.generation == command.generation) else {
            let again = slot.context.is_none() && slot.closed == Some(command.generation);
            return if again { Ok(()) } else { Err(Refusal::NotOpen) };
        };
        slot.closed = Some(command.generation);
        self.open -= 1;
        self.set_pinholes(number, &context.legs.each_ref().map(|leg| leg.orders), false);
        if let Some(entry) = shared(slots, number) {
            entry.change(|shared| {
                shared.state = state::FREE;
                shared.sequence = command.sequence;
                // Only the keys are secret: what the session did stays to be read.
                shared.session.zeroize();
            });
        }
        // Dropping the context wipes its keys, before the acknowledgement.
        drop(context);
        Ok(())
    }

    /// Wipes the keys that are no longer accepted.
    pub fn housekeeping(&mut self, now_ns: u64) {
        while self.graces.front().is_some_and(|grace| grace.until_ns <= now_ns) {
            let Some(grace) = self.graces.pop_front() else { return };
            let context = self.slots.get_mut(grace.slot as usize).and_then(|slot| slot.context.as_mut());
            let context = context.filter(|context| context.generation == grace.generation);
            let leg = context.and_then(|context| context.legs.get_mut(usize::from(grace.leg)));
            // There may be a later change of key, with a grace of its own.
            if let Some(before) = leg.and_then(|leg| leg.before.as_mut())
                && before.until_ns <= now_ns
            {
                before.direction = None;
            }
        }
    }

    fn set_next_hop(&mut self, command: &Command) -> Result<(), Refusal> {
        let hop = command.next_hop;
        let entry = self.next_hops.get_mut(command.slot as usize).ok_or(Refusal::BadIndex)?;
        if hop.valid > 1 || hop.vlan > 4094 || usize::from(hop.port) >= self.ports.len() {
            return Err(Refusal::BadLeg);
        }
        *entry = hop;
        Ok(())
    }

    /// Checks a session's legs against the tables.
    fn check(&self, slot: u32, session: &Session) -> Result<[LegOrders; 2], Refusal> {
        let orders = session::parse(session).ok_or(Refusal::BadLeg)?;
        let [first, second] = &orders;
        if (first.port, first.local_rtp) == (second.port, second.local_rtp) {
            return Err(Refusal::BadLeg);
        }
        for leg in &orders {
            for local in [leg.local_rtp, leg.local_rtcp] {
                if !self.pinholes.covers(leg.port, local) || leg.next_hop as usize >= self.next_hops.len() {
                    return Err(Refusal::BadLeg);
                }
                if self.other_worker(local).is_some() {
                    return Err(Refusal::WrongWorker);
                }
                if self.pinholes.get(leg.port, local).is_some_and(|hole| hole.slot != slot) {
                    return Err(Refusal::PortBusy);
                }
            }
        }
        Ok(orders)
    }

    fn set_pinholes(&mut self, slot: u32, orders: &[LegOrders; 2], open: bool) {
        for (leg, orders) in (0..).zip(orders) {
            for (local, rtcp) in [(orders.local_rtp, false), (orders.local_rtcp, true)] {
                self.pinholes.set(orders.port, local, open.then_some(Pinhole { slot, leg, rtcp }));
            }
        }
    }
}

/// Shows readers where each leg sends to.
fn publish(context: &Context, shared: &mut SessionSlot) {
    for (leg, live) in context.legs.iter().zip(&mut shared.live) {
        leg.publish(live);
    }
}
