//! When which packet is due: `flows` packets in each period, evenly spread.

/// The schedule of one port's flows in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    start: u64,
    period: u64,
    flows: u64,
}

impl Pace {
    /// From `start` on, each of `flows` flows sends one packet in each `period`.
    pub fn new(start: u64, period: u64, flows: usize) -> Self {
        Self { start, period: period.max(1), flows: flows as u64 }
    }

    /// How many packets are due up to `now`, in all.
    pub fn due(&self, now: u64) -> u64 {
        let elapsed = u128::from(now.saturating_sub(self.start));
        u64::try_from(elapsed * u128::from(self.flows) / u128::from(self.period)).unwrap_or(u64::MAX)
    }

    /// When packet `number`, counted from 0, is due: the first moment at which `due` exceeds it.
    pub fn due_at(&self, number: u64) -> u64 {
        let ticks =
            ((u128::from(number) + 1) * u128::from(self.period)).div_ceil(u128::from(self.flows.max(1)));
        self.start.saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX))
    }
}

/// A small generator of random numbers with a seed (splitmix64): orders and phases, no keys.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// Puts `items` in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let with = self.below(at as u64 + 1) as usize;
            items.swap(at, with);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_carries_one_packet_of_each_flow() {
        let pace = Pace::new(1_000, 20_000, 7);
        assert_eq!(pace.due(0), 0);
        assert_eq!(pace.due(1_000), 0);
        assert_eq!(pace.due(21_000), 7);
        assert_eq!(pace.due(1_000 + 20_000 * 3_000_000), 7 * 3_000_000);
    }

    #[test]
    fn packets_are_due_evenly_and_exactly_when_they_are_counted() {
        let pace = Pace::new(5, 52_000_000, 10_000);
        for number in [0, 1, 2, 9_999, 10_000, 123_456_789] {
            let at = pace.due_at(number);
            assert_eq!(pace.due(at), number + 1);
            assert_eq!(pace.due(at - 1), number);
        }
        assert_eq!(pace.due_at(1) - pace.due_at(0), 5_200);
    }

    #[test]
    fn a_shuffle_keeps_every_item_and_follows_the_seed() {
        let order = |seed| {
            let mut items: Vec<u32> = (0..1_000).collect();
            Random::new(seed).shuffle(&mut items);
            items
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let mut sorted = order(1);
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1_000));
    }
}
