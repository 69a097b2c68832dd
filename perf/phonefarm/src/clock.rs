//! The processor's time stamp counter: the clock of the packet loop, read without a system call.

use std::time::{Duration, Instant};

/// How long the calibration takes.
const CALIBRATION: Duration = Duration::from_millis(100);

/// Converts between ticks and time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Ticks of a nanosecond.
    per_ns: f64,
}

impl Clock {
    /// Measures the counter against CLOCK_MONOTONIC for a tenth of a second.
    pub fn calibrate() -> Self {
        let (started, first) = (Instant::now(), ticks());
        std::thread::sleep(CALIBRATION);
        let (elapsed, last) = (started.elapsed(), ticks());
        Self { per_ns: (last - first) as f64 / elapsed.as_nanos() as f64 }
    }

    /// Ticks of a span of time.
    pub fn ticks(&self, time: Duration) -> u64 {
        (time.as_nanos() as f64 * self.per_ns) as u64
    }

    /// Nanoseconds of a number of ticks.
    pub fn nanoseconds(&self, ticks: u64) -> u64 {
        (ticks as f64 / self.per_ns) as u64
    }
}

/// The counter now. Constant and the same on all cores on every x86-64 of the last decade.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux lets programs use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// CLOCK_MONOTONIC in nanoseconds, where there is no such counter.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub fn ticks() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_time_convert_both_ways() {
        let clock = Clock { per_ns: 2.6 };
        assert_eq!(clock.ticks(Duration::from_millis(20)), 52_000_000);
        assert_eq!(clock.nanoseconds(52_000_000), 20_000_000);
    }
}
