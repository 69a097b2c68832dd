//! The worker's own tables: pinholes, sessions, network; and the commands that change them.

use pinhole_flow::slot::state;
use pinhole_flow::{Command, CommandKind, Event, Refusal, Session, SessionSlot};
use pinhole_srtp::kernels::{Engine, prefetch_line};
use zerocopy::FromZeros;
use zeroize::Zeroize;

use crate::config::RelayConfig;
use crate::network::Network;
use crate::pinhole::{Pinhole, PinholeTable};
use crate::rekey::{GRACE_NS, Grace, Graces, renew};
use crate::session::{self, Context, LINES_OF_LEG, LegContext, LegLine, LegOrders};
use crate::slots::shared;

/// Everything the control plane's commands change.
#[derive(Debug)]
pub struct Tables {
    /// Which leg has a local port.
    pub pinholes: PinholeTable,
    /// The sessions.
    pub sessions: Sessions,
    /// What there is around them.
    pub network: Network,
    graces: Graces,
    open: u32,
    /// Times that no room could be made for an SSRC.
    ssrcs_full: u64,
    /// Size of the replay windows.
    window: u32,
}

/// The sessions, by slot.
#[derive(Debug)]
pub struct Sessions {
    contexts: Vec<Context>,
    /// Generation of the session that has a slot, or else of the one that had it last.
    generations: Vec<Option<u32>>,
    /// Number that the control plane has for slot 0.
    first_slot: u32,
}

impl Sessions {
    /// The number that the control plane has for a slot.
    pub fn number(&self, slot: u32) -> u32 {
        slot + self.first_slot
    }

    /// The slot of a number that the control plane has.
    pub fn slot(&self, number: u32) -> Option<u32> {
        number.checked_sub(self.first_slot)
    }

    /// A leg of the session in a slot; of one that is closed it holds nothing.
    #[inline]
    pub fn leg(&self, slot: u32, leg: u8) -> Option<&LegContext> {
        self.contexts.get(slot as usize)?.legs.get(usize::from(leg))
    }

    /// A leg (0 or 1) of the session in a slot, if it is open, and the one across, to be changed.
    #[inline]
    pub fn sides(&mut self, slot: u32, leg: u8) -> Option<(&mut LegContext, &mut LegContext)> {
        self.contexts.get_mut(slot as usize)?.sides(leg)
    }

    /// The session in a slot, to be changed.
    #[inline]
    pub fn context_mut(&mut self, slot: u32) -> Option<&mut Context> {
        self.contexts.get_mut(slot as usize).filter(|context| context.is_open())
    }

    /// Brings a line of a leg of the session in a slot into the cache, without waiting to see whether there is
    /// one.
    #[inline]
    pub fn prefetch(&self, slot: u32, leg: u8, line: LegLine) {
        let Some(context) = self.contexts.get(slot as usize) else { return };
        prefetch_line(context, usize::from(leg & 1) * LINES_OF_LEG + line as usize);
    }

    /// The session in a slot, if it is of a generation, to be changed.
    fn of_generation(&mut self, slot: u32, generation: u32) -> Option<&mut Context> {
        self.has_generation(slot, generation).then(|| self.context_mut(slot))?
    }

    /// Whether the session that has a slot, or else the one that had it last, is of a generation.
    fn has_generation(&self, slot: u32, generation: u32) -> bool {
        self.generations.get(slot as usize) == Some(&Some(generation))
    }
}

impl Tables {
    /// Empty tables.
    pub fn new(config: RelayConfig) -> Self {
        let slots = config.max_sessions.min(Pinhole::SLOT_LIMIT) as usize;
        Self {
            pinholes: PinholeTable::new(&config.ports),
            sessions: Sessions {
                contexts: std::iter::repeat_with(Context::default).take(slots).collect(),
                generations: vec![None; slots],
                first_slot: config.first_slot,
            },
            graces: Graces::new(),
            open: 0,
            ssrcs_full: 0,
            window: config.replay_window,
            network: Network::new(config),
        }
    }

    /// How many sessions are open.
    pub fn open_sessions(&self) -> u32 {
        self.open
    }

    /// How often an update could make no room for one SSRC more.
    pub fn ssrcs_full(&self) -> u64 {
        self.ssrcs_full
    }

    /// Carries out a command and says what became of it. Keys are expanded for `engine`.
    pub fn command(
        &mut self,
        command: &Command,
        slots: &mut [SessionSlot],
        now_ns: u64,
        engine: &dyn Engine,
    ) -> Event {
        let slot = self.sessions.slot(command.slot).ok_or(Refusal::BadIndex);
        let result = match CommandKind::from_code(command.kind) {
            Some(CommandKind::Open) => slot.and_then(|slot| self.open(slot, command, slots, now_ns, engine)),
            Some(CommandKind::Update) => {
                slot.and_then(|slot| self.update(slot, command, slots, now_ns, engine))
            }
            Some(CommandKind::Close) => slot.and_then(|slot| self.close(slot, command, slots)),
            Some(CommandKind::NextHop) => self.set_next_hop(command),
            None => Err(Refusal::UnknownKind),
        };
        command.answer(result)
    }

    fn open(
        &mut self,
        number: u32,
        command: &Command,
        slots: &mut [SessionSlot],
        now_ns: u64,
        engine: &dyn Engine,
    ) -> Result<(), Refusal> {
        let known = self.sessions.has_generation(number, command.generation);
        let open = self.sessions.contexts.get(number as usize).ok_or(Refusal::BadIndex)?.is_open();
        match (open, known) {
            (true, true) => return Ok(()),
            // A late repetition of an Open must not bring back what was closed.
            (true, false) | (false, true) => return Err(Refusal::SlotBusy),
            (false, false) => {}
        }
        let orders = self.check(number, &command.session)?;
        let context =
            Context::new(&command.session, orders, self.window, engine).map_err(|_| Refusal::BadLeg)?;
        let entry = shared(slots, number).ok_or(Refusal::BadIndex)?;
        let worker = self.network.worker();
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
        let Sessions { contexts, generations, .. } = &mut self.sessions;
        let slot = contexts.get_mut(number as usize).zip(generations.get_mut(number as usize));
        if let Some((slot, generation)) = slot {
            *slot = context;
            *generation = Some(command.generation);
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
        self.sessions.contexts.get(number as usize).ok_or(Refusal::BadIndex)?;
        let open = self.sessions.of_generation(number, command.generation).ok_or(Refusal::NotOpen)?;
        let old = open.legs.each_ref().map(|leg| leg.orders);
        let orders = self.check(number, &command.session)?;
        let mut fresh =
            Context::new(&command.session, orders, self.window, engine).map_err(|_| Refusal::BadLeg)?;
        let entry = shared(slots, number).ok_or(Refusal::BadIndex)?;
        self.set_pinholes(number, &old, false);
        self.set_pinholes(number, &orders, true);
        let Some(old) = self.sessions.context_mut(number) else {
            return Err(Refusal::NotOpen);
        };
        let (generation, until_ns, graces) = (command.generation, now_ns + GRACE_NS, &mut self.graces);
        let ssrcs_full = &mut self.ssrcs_full;
        entry.change(|shared| {
            let legs = fresh.legs.iter_mut().zip(&mut old.legs).zip(&mut shared.live);
            let orders = shared.session.legs.iter().zip(&command.session.legs);
            for (leg, (((fresh, old), live), (was, is))) in (0..).zip(legs.zip(orders)) {
                let anew = command.anew & (1 << leg) != 0;
                let renewed = renew(live, old, fresh, was, is, anew, now_ns);
                *ssrcs_full += renewed.full;
                if renewed.grace {
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
        let known = self.sessions.has_generation(number, command.generation);
        let slot = self.sessions.contexts.get_mut(number as usize).ok_or(Refusal::BadIndex)?;
        if !known {
            return Err(Refusal::NotOpen);
        }
        if !slot.is_open() {
            // A repetition of what was done is done.
            return Ok(());
        }
        let context = std::mem::take(slot);
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
            let context = self.sessions.of_generation(grace.slot, grace.generation);
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
        let port = self.network.port(hop.port).is_some();
        if command.slot as usize >= self.network.next_hops() {
            return Err(Refusal::BadIndex);
        }
        if hop.valid > 1 || hop.vlan > 4094 || !port {
            return Err(Refusal::BadLeg);
        }
        self.network.set_next_hop(command.slot, hop).ok_or(Refusal::BadIndex)
    }

    /// Checks a session's legs against the tables.
    fn check(&self, slot: u32, session: &Session) -> Result<[LegOrders; 2], Refusal> {
        let orders = session::parse(session).ok_or(Refusal::BadLeg)?;
        let [first, second] = &orders;
        if (first.port, first.local_rtp) == (second.port, second.local_rtp) {
            return Err(Refusal::BadLeg);
        }
        for leg in &orders {
            for local in [leg.local_rtp, leg.local_rtcp()] {
                if !self.pinholes.covers(leg.port, local) || leg.next_hop as usize >= self.network.next_hops()
                {
                    return Err(Refusal::BadLeg);
                }
                if self.network.other_worker(local).is_some() {
                    return Err(Refusal::WrongWorker);
                }
                if self.pinholes.get(leg.port, local).is_some_and(|hole| hole.slot() != slot) {
                    return Err(Refusal::PortBusy);
                }
            }
        }
        Ok(orders)
    }

    fn set_pinholes(&mut self, slot: u32, orders: &[LegOrders; 2], open: bool) {
        let secure = orders.each_ref().map(|orders| orders.secure);
        for (leg, orders) in (0..).zip(orders) {
            for (local, rtcp) in [(orders.local_rtp, false), (orders.local_rtcp(), true)] {
                let hole = open.then_some(Pinhole::new(slot, leg, rtcp, secure));
                self.pinholes.set(orders.port, local, hole);
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
