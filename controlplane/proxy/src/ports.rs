//! Port pairs for media: one allocator per data-plane port, quarantine after use.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Instant;

use pinhole_flow::steering::worker_of;

/// Hands out port pairs: an even port for RTP and the next one for RTCP (RFC 3550 section 11). Which
/// worker of the data plane a pair belongs to is in its number. A pair that comes back rests before
/// it is handed out again, and of a worker's pairs the one that rested longest goes first.
#[derive(Debug)]
pub(crate) struct PortAllocator {
    first: u16,
    states: Vec<PairState>,
    /// Free pairs, by worker.
    free: Vec<VecDeque<u16>>,
    resting: VecDeque<(Instant, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PairState {
    Free,
    Used,
    Resting,
}

impl PortAllocator {
    /// An allocator for the part of `ports` that belongs to `shard` of `shards`, for `workers` workers.
    pub(crate) fn new(ports: &RangeInclusive<u16>, shard: u32, shards: u32, workers: u32) -> Self {
        let first = u32::from(*ports.start()).next_multiple_of(2);
        let pairs = (u32::from(*ports.end()) + 1).saturating_sub(first) / 2;
        let shards = shards.max(1);
        let shard = shard.min(shards - 1);
        let share = |n: u32| u32::try_from(u64::from(pairs) * u64::from(n) / u64::from(shards)).unwrap_or(0);
        let (from, to) = (share(shard), share(shard + 1));
        let first = u16::try_from(first + 2 * from).unwrap_or(u16::MAX - 1);
        let pairs = u16::try_from(to - from).unwrap_or(0);
        let mut new = Self {
            first,
            states: vec![PairState::Free; usize::from(pairs)],
            free: vec![VecDeque::new(); workers.max(1) as usize],
            resting: VecDeque::new(),
        };
        (0..pairs).for_each(|pair| new.queue(pair).push_back(pair));
        new
    }

    /// A free pair of a worker; its RTP port.
    pub(crate) fn allocate(&mut self, worker: u32, now: Instant) -> Option<u16> {
        self.wake(now);
        let free = self.free.get_mut(worker as usize)?;
        // Pairs claimed by adoption stay in the queue and are skipped here.
        while let Some(pair) = free.pop_front() {
            if let Some(state @ PairState::Free) = self.states.get_mut(usize::from(pair)) {
                *state = PairState::Used;
                return Some(self.first + 2 * pair);
            }
        }
        None
    }

    /// Takes back a pair that was allocated and never used: it goes first next time.
    pub(crate) fn put_back(&mut self, rtp: u16) {
        let Some(pair) = self.pair(rtp) else { return };
        if let Some(state @ PairState::Used) = self.states.get_mut(usize::from(pair)) {
            *state = PairState::Free;
            self.queue(pair).push_front(pair);
        }
    }

    /// Marks a pair as used: a session that runs already has it. `false` if it is not ours or taken.
    pub(crate) fn claim(&mut self, rtp: u16) -> bool {
        match self.pair(rtp).and_then(|pair| self.states.get_mut(usize::from(pair))) {
            Some(state @ PairState::Free) => {
                *state = PairState::Used;
                true
            }
            _ => false,
        }
    }

    /// Takes a used pair back; it rests until `until`.
    pub(crate) fn release(&mut self, rtp: u16, until: Instant) {
        let Some(pair) = self.pair(rtp) else { return };
        if let Some(state @ PairState::Used) = self.states.get_mut(usize::from(pair)) {
            *state = PairState::Resting;
            self.resting.push_back((until, pair));
        }
    }

    /// Frees pairs that have rested enough.
    pub(crate) fn wake(&mut self, now: Instant) {
        while let Some((until, pair)) = self.resting.front().copied() {
            if until > now {
                break;
            }
            self.resting.pop_front();
            if let Some(state @ PairState::Resting) = self.states.get_mut(usize::from(pair)) {
                *state = PairState::Free;
                self.queue(pair).push_back(pair);
            }
        }
    }

    /// When the next pair has rested enough.
    pub(crate) fn next_rested(&self) -> Option<Instant> {
        self.resting.front().map(|(until, _)| *until)
    }

    /// Pairs used, resting, and in all.
    pub(crate) fn usage(&self) -> pinhole_admin::Ports {
        let used = self.states.iter().filter(|state| **state == PairState::Used).count();
        pinhole_admin::Ports {
            in_use: used as u64,
            quarantined: self.resting.len() as u64,
            total: self.states.len() as u64,
        }
    }

    /// The queue of the worker that owns a pair.
    fn queue(&mut self, pair: u16) -> &mut VecDeque<u16> {
        // `new` made a queue for each worker, and at least one.
        let worker = worker_of(self.first.wrapping_add(2 * pair), self.free.len() as u32) as usize;
        &mut self.free[worker]
    }

    fn pair(&self, rtp: u16) -> Option<u16> {
        let offset = rtp.checked_sub(self.first)?;
        (offset % 2 == 0 && usize::from(offset / 2) < self.states.len()).then_some(offset / 2)
    }
}

#[cfg(test)]
mod tests;
