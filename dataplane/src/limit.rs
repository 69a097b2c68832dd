//! How much a worker gives to the kernel: a system call for each frame, which must not take the time
//! that media needs.

/// The longest rest that counts, in nanoseconds: after it, a burst of what the rate gives in this time
/// passes at once.
const REST_NS: u64 = 100_000_000;

/// A limit on frames for the kernel: a token bucket, whose level is kept as time.
#[derive(Clone, Copy, Debug)]
pub struct PuntLimit {
    /// Time that one frame takes at the rate.
    cost_ns: u64,
    /// Time not yet used up.
    credit_ns: u64,
    /// When the credit was counted.
    at_ns: u64,
}

impl PuntLimit {
    /// A limit of `rate` frames per second, at least 1.
    pub fn new(rate: u32) -> Self {
        Self { cost_ns: (1_000_000_000 / u64::from(rate.max(1))).max(1), credit_ns: 0, at_ns: 0 }
    }

    /// How many of `count` frames may pass at `now_ns`. They are taken as passed.
    pub fn admit(&mut self, now_ns: u64, count: usize) -> usize {
        let rested = now_ns.saturating_sub(self.at_ns);
        // Also at a low rate one frame must be possible.
        let most = REST_NS.max(self.cost_ns);
        self.credit_ns = self.credit_ns.saturating_add(rested).min(most);
        self.at_ns = now_ns.max(self.at_ns);
        let admitted = (self.credit_ns / self.cost_ns).min(count as u64);
        self.credit_ns -= admitted * self.cost_ns;
        admitted as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_passes_at_the_rate() {
        let mut limit = PuntLimit::new(1000);
        let start = 5_000_000_000;
        let passed: usize = (0..10_000).map(|turn| limit.admit(start + turn * 100_000, 32)).sum();
        // A second's flood of 320 000: the burst after the rest, then the rate.
        assert!((1095..=1101).contains(&passed), "{passed}");
    }

    #[test]
    fn what_stays_below_the_rate_passes_whole() {
        let mut limit = PuntLimit::new(100_000);
        for turn in 1..1000 {
            assert_eq!(limit.admit(turn * 1_000_000_000, 32), 32);
        }
        assert_eq!(limit.admit(1_000_000_000_000, 10_001), 10_000, "a burst of a tenth of a second");
        assert_eq!(limit.admit(1_000_000_000_000, 1), 0);
        assert_eq!(limit.admit(999_000_000_000, 1), 0, "a clock that goes back gives nothing");
    }

    #[test]
    fn the_lowest_rate_lets_frames_pass_too() {
        let mut limit = PuntLimit::new(1);
        assert_eq!(limit.admit(10_000_000_000, 5), 1);
        assert_eq!(limit.admit(11_000_000_000, 5), 1);
    }
}
