//! What a worker does when there is nothing to do.

use std::time::Duration;

use pinhole_flow::Idle;

/// Empty turns spent on pauses only, so that a burst that follows at once finds the worker awake.
const SPINS: u32 = 64;
/// Empty turns between two steps of the sleep's length.
const STEP: u32 = 32;
/// The shortest and the longest sleep. The kernel adds its timer slack, about 50 µs.
const SHORTEST: Duration = Duration::from_micros(10);
const LONGEST: Duration = Duration::from_micros(200);

/// Backs off from turn to turn without work: pauses first, then sleeps that grow longer. Work
/// resets it.
#[derive(Debug)]
pub struct Backoff {
    policy: Idle,
    empty_turns: u32,
}

impl Backoff {
    /// Starts awake.
    pub fn new(policy: Idle) -> Self {
        Self { policy, empty_turns: 0 }
    }

    /// Ends a turn that had work.
    pub fn busy(&mut self) {
        self.empty_turns = 0;
    }

    /// Ends a turn that had none, with a pause or a sleep as the policy says.
    pub fn idle(&mut self) {
        self.empty_turns = self.empty_turns.saturating_add(1);
        match self.sleep() {
            Some(duration) => std::thread::sleep(duration),
            None => std::hint::spin_loop(),
        }
    }

    /// How long to sleep after so many empty turns.
    fn sleep(&self) -> Option<Duration> {
        if self.policy == Idle::Poll {
            return None;
        }
        let steps = self.empty_turns.checked_sub(SPINS)? / STEP;
        Some((SHORTEST * 2_u32.saturating_pow(steps.min(8))).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_come_late_grow_and_are_bounded() {
        let mut backoff = Backoff { policy: Idle::Sleep, empty_turns: SPINS - 1 };
        assert_eq!(backoff.sleep(), None);
        let mut last = Duration::ZERO;
        for turns in SPINS..SPINS + 1000 {
            backoff.empty_turns = turns;
            let sleep = backoff.sleep().unwrap();
            assert!(sleep >= last && sleep <= LONGEST);
            last = sleep;
        }
        assert_eq!(last, LONGEST);
        backoff.busy();
        assert_eq!(backoff.sleep(), None);
    }

    #[test]
    fn polling_never_sleeps() {
        let backoff = Backoff { policy: Idle::Poll, empty_turns: u32::MAX };
        assert_eq!(backoff.sleep(), None);
    }
}
