//! Slots and ports together, beside a model that knows what is in use.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use pinhole_flow::steering::{worker_of, worker_of_slot};
use proptest::prelude::*;

use super::*;

const REST: Duration = Duration::from_secs(5);
const SIDES: [u8; 2] = [0, 1];

/// The sessions of a control plane with one shard.
fn sessions(workers: u32, max_sessions: u32, ports: &[RangeInclusive<u16>; 2]) -> MediaSessions {
    MediaSessions {
        slots: SlotAllocator::new(max_sessions, workers, 0, 1, 7),
        ports: ports.iter().map(|ports| PortAllocator::new(ports, 0, 1, workers)).collect(),
        by_slot: BTreeMap::new(),
        sequence: 0,
    }
}

/// A shard's sessions and what the model knows of them.
struct Play {
    sessions: MediaSessions,
    workers: u32,
    max_sessions: u32,
    now: Instant,
    /// Ports of each open slot.
    open: BTreeMap<u32, [u16; 2]>,
    /// When ports have rested: side and port.
    resting: BTreeMap<(u8, u16), Instant>,
    ports: [RangeInclusive<u16>; 2],
}

impl Play {
    fn new(workers: u32, max_sessions: u32, ports: [RangeInclusive<u16>; 2]) -> Self {
        let sessions = sessions(workers, max_sessions, &ports);
        let now = Instant::now();
        Self { sessions, workers, max_sessions, now, open: BTreeMap::new(), resting: BTreeMap::new(), ports }
    }

    /// Opens a session, or finds that there is no room; both as the model says.
    fn open(&mut self) -> Result<u32, TestCaseError> {
        self.resting.retain(|_, until| *until > self.now);
        let got = self.sessions.reserve(Owner::Call(1), SIDES, self.now);
        match got {
            Ok(slot) => self.opened(slot)?,
            Err(full) => {
                let with_slots: Vec<u32> =
                    (0..self.workers).filter(|worker| self.free_slots(*worker) > 0).collect();
                prop_assert_eq!(full == NoRoom::Slots, with_slots.is_empty());
                let able = |worker: &u32| SIDES.iter().all(|side| self.free_ports(*worker, *side) > 0);
                prop_assert!(!with_slots.iter().any(able), "a worker could have taken it");
            }
        }
        Ok(got.unwrap_or(u32::MAX))
    }

    fn opened(&mut self, slot: u32) -> Result<(), TestCaseError> {
        prop_assert!(slot < self.max_sessions && !self.open.contains_key(&slot));
        let worker = worker_of_slot(slot, self.workers, self.max_sessions);
        let legs = self.sessions.get(slot).unwrap().orders.legs;
        for (side, leg) in SIDES.iter().zip(&legs) {
            prop_assert_eq!((leg.port, leg.local_rtcp), (*side, leg.local_rtp + 1));
            prop_assert!(self.ports[usize::from(*side)].contains(&leg.local_rtcp));
            prop_assert_eq!(worker_of(leg.local_rtp, self.workers), worker);
            prop_assert!(!self.resting.contains_key(&(*side, leg.local_rtp)), "it has not rested");
            prop_assert!(!self.used(*side).contains(&leg.local_rtp), "it has an owner");
        }
        let least = (0..self.workers)
            .filter(|worker| self.free_slots(*worker) > 0)
            .filter(|worker| SIDES.iter().all(|side| self.free_ports(*worker, *side) > 0))
            .map(|worker| self.load(worker));
        prop_assert_eq!(Some(self.load(worker)), least.min(), "the worker that has the fewest");
        self.open.insert(slot, legs.map(|leg| leg.local_rtp));
        let orders = self.sessions.get(slot).unwrap().orders;
        prop_assert!(self.sessions.order(slot, orders, [false; 2]).is_some());
        Ok(())
    }

    fn close(&mut self, slot: u32) -> Command {
        self.sessions.close(slot, self.now + REST).unwrap()
    }

    fn acknowledged(&mut self, close: &Command) {
        let event = close.answer(Ok(()));
        assert_eq!(self.sessions.event(&event, self.now + REST), Outcome::Closed);
        assert_eq!(self.sessions.event(&event, self.now + REST), Outcome::Nothing, "told twice");
        let ports = self.open.remove(&close.slot).unwrap();
        for (side, port) in SIDES.into_iter().zip(ports) {
            self.resting.insert((side, port), self.now + REST);
        }
    }

    fn used(&self, side: u8) -> BTreeSet<u16> {
        self.open.values().map(|ports| ports[usize::from(side)]).collect()
    }

    fn load(&self, worker: u32) -> usize {
        let of_worker = |slot: &&u32| worker_of_slot(**slot, self.workers, self.max_sessions) == worker;
        self.open.keys().filter(of_worker).count()
    }

    fn free_slots(&self, worker: u32) -> usize {
        let all = pinhole_flow::steering::worker_slots(worker, self.workers, self.max_sessions).len();
        all - self.load(worker)
    }

    fn free_ports(&self, worker: u32, side: u8) -> usize {
        let used = self.used(side);
        let pairs = self.ports[usize::from(side)].clone().step_by(2);
        pairs
            .filter(|port| worker_of(*port, self.workers) == worker)
            .filter(|port| !used.contains(port) && !self.resting.contains_key(&(side, *port)))
            .count()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Open,
    Close(usize),
    Acknowledge(usize),
    Pass(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => Just(Op::Open),
        2 => any::<usize>().prop_map(Op::Close),
        2 => any::<usize>().prop_map(Op::Acknowledge),
        1 => (0..6_u64).prop_map(Op::Pass),
    ];
    proptest::collection::vec(op, 1..200)
}

proptest! {
    /// Slots and ports have one owner at a time, both legs' ports are of the slot's worker, and a call
    /// is refused only when no worker has room.
    #[test]
    fn sessions_do_what_the_model_does(
        workers in 1..=3_u32,
        max_sessions in 1..30_u32,
        pairs in (1..24_u16, 1..24_u16),
        ops in ops(),
    ) {
        let ports = [16384..=16383 + 2 * pairs.0, 20000..=19999 + 2 * pairs.1];
        let mut play = Play::new(workers, max_sessions, ports);
        let mut closing: Vec<Command> = Vec::new();
        for op in ops {
            let idle: Vec<u32> = play
                .open
                .keys()
                .copied()
                .filter(|slot| !closing.iter().any(|close| close.slot == *slot))
                .collect();
            match op {
                Op::Open => {
                    play.open()?;
                }
                Op::Close(n) if !idle.is_empty() => closing.push(play.close(idle[n % idle.len()])),
                Op::Acknowledge(n) if !closing.is_empty() => {
                    let close = closing.swap_remove(n % closing.len());
                    play.acknowledged(&close);
                }
                Op::Pass(seconds) => play.now += Duration::from_secs(seconds),
                Op::Close(_) | Op::Acknowledge(_) => {}
            }
            prop_assert_eq!(play.sessions.ports().in_use, 2 * play.open.len() as u64);
        }
    }

    /// What one control plane has opened, the next takes over, whatever the number of workers.
    #[test]
    fn sessions_are_adopted_with_their_slots_and_ports(workers in 1..=3_u32, count in 1..20_usize) {
        let ports = || [16384..=16447, 20000..=20063];
        let mut before = Play::new(workers, 30, ports());
        for _ in 0..count {
            before.open()?;
        }
        let mut after = Play::new(workers, 30, ports());
        for (slot, ports) in &before.open {
            let session = before.sessions.get(*slot).unwrap();
            prop_assert!(after.sessions.adopt(*slot, session.generation, session.orders));
            prop_assert!(!after.sessions.adopt(*slot, session.generation, session.orders), "twice");
            after.open.insert(*slot, *ports);
        }
        while after.open()? != u32::MAX {}
        prop_assert_eq!(after.open.len(), 30);
    }
}

#[test]
fn worker_without_ports_does_not_refuse_calls_that_another_can_take() {
    // Classes 0 to 3 outside, of which both workers have two; inside only class 0, worker 0's.
    let mut play = Play::new(2, 10, [16384..=16391, 20032..=20033]);
    assert_eq!((worker_of(16384, 2), worker_of(20032, 2)), (0, 0));
    let slot = play.open().unwrap();
    assert_eq!(worker_of_slot(slot, 2, 10), 0);
    assert_eq!(play.sessions.reserve(Owner::Call(1), SIDES, play.now), Err(NoRoom::Ports));
    assert_eq!(play.sessions.ports().in_use, 2, "what the second worker had outside is given back");
    let mut play = Play::new(2, 10, [16384..=16391, 20034..=20035]);
    let slot = play.open().unwrap();
    assert_eq!(worker_of_slot(slot, 2, 10), 1, "the first worker has no port inside");
}

#[test]
fn everything_is_free_after_a_million_sessions() {
    let mut sessions = sessions(3, 500, &[16384..=32767, 16384..=32767]);
    let mut now = Instant::now();
    let mut held = VecDeque::new();
    let close = |sessions: &mut MediaSessions, slot, now: Instant| {
        let close = sessions.close(slot, now + REST).unwrap();
        assert_eq!(sessions.event(&close.answer(Ok(())), now + REST), Outcome::Closed);
    };
    for cycle in 0..1_000_000 {
        now += Duration::from_millis(2);
        let slot = sessions.reserve(Owner::Call(1), SIDES, now).unwrap();
        let orders = sessions.get(slot).unwrap().orders;
        assert_eq!(sessions.order(slot, orders, [false; 2]).unwrap().slot, slot);
        held.push_back(slot);
        // The number of sessions goes up and down between 1 and 400.
        while held.len() > 1 + cycle * 7 % 400 {
            close(&mut sessions, held.pop_front().unwrap(), now);
        }
    }
    held.into_iter().for_each(|slot| close(&mut sessions, slot, now));
    now += REST;
    sessions.wake_ports(now);
    let ports = sessions.ports();
    assert_eq!((ports.in_use, ports.quarantined, ports.total), (0, 0, 2 * 8192));
    assert_eq!((sessions.open(), sessions.next_rested()), (vec![], None));
    for _ in 0..500 {
        sessions.reserve(Owner::Call(1), SIDES, now).unwrap();
    }
    assert_eq!(sessions.reserve(Owner::Call(1), SIDES, now), Err(NoRoom::Slots));
}
