//! The time-stamp counter, and random numbers.

use std::time::{Duration, Instant};

/// Cycles of the time-stamp counter; 0 on processors without one.
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has RDTSC, and reading it changes nothing.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// Cycles of the time-stamp counter per nanosecond.
pub fn cycles_per_ns() -> f64 {
    let (start, from) = (Instant::now(), cycles());
    std::thread::sleep(Duration::from_millis(200));
    let (elapsed, to) = (start.elapsed(), cycles());
    ((to - from) as f64 / elapsed.as_nanos() as f64).max(f64::MIN_POSITIVE)
}

/// The burst in the middle. Bursts during which something else had the processor don't count.
pub fn middle(mut bursts: Vec<f64>) -> f64 {
    let at = bursts.len() / 2;
    match bursts.is_empty() {
        true => 0.0,
        false => *bursts.select_nth_unstable_by(at, f64::total_cmp).1,
    }
}

/// Random numbers (xorshift64*), the same in every run.
pub struct Random(pub u64);

impl Random {
    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) as usize % n.max(1)
    }

    /// Puts items in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}
