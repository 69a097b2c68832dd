//! Port pairs for media: one allocator per data-plane port, quarantine after use.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Instant;

/// Hands out port pairs: an even port for RTP and the next one for RTCP (RFC 3550 section 11). A pair
/// that comes back rests before it is handed out again, and the one that rested longest goes first.
#[derive(Debug)]
pub(crate) struct PortAllocator {
    first: u16,
    states: Vec<PairState>,
    free: VecDeque<u16>,
    resting: VecDeque<(Instant, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PairState {
    Free,
    Used,
    Resting,
}

impl PortAllocator {
    /// An allocator for the part of `ports` that belongs to `shard` of `shards`.
    pub(crate) fn new(ports: &RangeInclusive<u16>, shard: u32, shards: u32) -> Self {
        let first = u32::from(*ports.start()).next_multiple_of(2);
        let pairs = (u32::from(*ports.end()) + 1).saturating_sub(first) / 2;
        let shards = shards.max(1);
        let shard = shard.min(shards - 1);
        let share = |n: u32| u32::try_from(u64::from(pairs) * u64::from(n) / u64::from(shards)).unwrap_or(0);
        let (from, to) = (share(shard), share(shard + 1));
        let first = u16::try_from(first + 2 * from).unwrap_or(u16::MAX - 1);
        let pairs = u16::try_from(to - from).unwrap_or(0);
        Self {
            first,
            states: vec![PairState::Free; usize::from(pairs)],
            free: (0..pairs).collect(),
            resting: VecDeque::new(),
        }
    }

    /// A free pair; its RTP port.
    pub(crate) fn allocate(&mut self, now: Instant) -> Option<u16> {
        self.wake(now);
        // Pairs claimed by adoption stay in the queue and are skipped here.
        while let Some(pair) = self.free.pop_front() {
            if let Some(state @ PairState::Free) = self.states.get_mut(usize::from(pair)) {
                *state = PairState::Used;
                return Some(self.first + 2 * pair);
            }
        }
        None
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
                self.free.push_back(pair);
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

    fn pair(&self, rtp: u16) -> Option<u16> {
        let offset = rtp.checked_sub(self.first)?;
        (offset % 2 == 0 && usize::from(offset / 2) < self.states.len()).then_some(offset / 2)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_even_and_inside_the_range() {
        let now = Instant::now();
        let mut ports = PortAllocator::new(&(16385..=16392), 0, 1);
        let all: Vec<u16> = std::iter::from_fn(|| ports.allocate(now)).collect();
        assert_eq!(all, [16386, 16388, 16390]);
        let mut top = PortAllocator::new(&(65530..=65535), 0, 1);
        assert_eq!(std::iter::from_fn(|| top.allocate(now)).last(), Some(65534));
    }

    #[test]
    fn shards_share_the_range_without_overlap() {
        let now = Instant::now();
        let mut seen = HashSet::new();
        for shard in 0..3 {
            let mut ports = PortAllocator::new(&(100..=119), shard, 3);
            while let Some(port) = ports.allocate(now) {
                assert!(seen.insert(port));
            }
        }
        assert_eq!(seen.len(), 10);
    }

    #[test]
    fn released_pair_rests_before_it_is_reused() {
        let now = Instant::now();
        let rest = Duration::from_secs(5);
        let mut ports = PortAllocator::new(&(100..=101), 0, 1);
        assert_eq!(ports.allocate(now), Some(100));
        ports.release(100, now + rest);
        assert_eq!(ports.usage().quarantined, 1);
        assert_eq!(ports.allocate(now + rest / 2), None);
        assert_eq!(ports.allocate(now + rest), Some(100));
    }

    #[test]
    fn claimed_pair_is_not_handed_out() {
        let now = Instant::now();
        let mut ports = PortAllocator::new(&(100..=103), 0, 1);
        assert!(ports.claim(100));
        assert!(!ports.claim(100));
        assert!(!ports.claim(101));
        assert!(!ports.claim(104));
        assert_eq!(ports.allocate(now), Some(102));
        assert_eq!(ports.allocate(now), None);
    }

    proptest! {
        /// Whatever the order of requests, a pair has one owner at a time, and none is lost.
        #[test]
        fn no_pair_is_handed_out_twice(ops in proptest::collection::vec((0..4u8, 0..40u16), 1..300)) {
            let start = Instant::now();
            let rest = Duration::from_secs(5);
            let mut ports = PortAllocator::new(&(1000..=1039), 0, 1);
            let mut used: HashSet<u16> = HashSet::new();
            let mut now = start;
            for (op, value) in ops {
                match op {
                    0 => {
                        if let Some(port) = ports.allocate(now) {
                            prop_assert!(used.insert(port));
                        }
                    }
                    1 => {
                        ports.release(1000 + value, now + rest);
                        used.remove(&(1000 + value));
                    }
                    2 => {
                        if ports.claim(1000 + value) {
                            prop_assert!(used.insert(1000 + value));
                        }
                    }
                    _ => now += Duration::from_secs(u64::from(value % 4)),
                }
                prop_assert_eq!(ports.usage().in_use, used.len() as u64);
            }
            for port in used.drain() {
                ports.release(port, now + rest);
            }
            let later = now + rest * 2;
            prop_assert_eq!(std::iter::from_fn(|| ports.allocate(later)).count(), 20);
        }
    }
}
