//! Rates: a token bucket whose level is kept as a time.

use std::time::{Duration, Instant};

/// So many a second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In the long run, a second. 0 lets nothing through.
    pub per_second: u32,
    /// At once, after a pause; at least 1.
    pub burst: u32,
}

/// What a rate has let through.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// When it is full again.
    full_at: Instant,
}

impl Bucket {
    /// A full one.
    pub fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Whether it is full, so that it can as well be forgotten.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// Takes `count` out if so many are in.
    pub fn take(&mut self, rate: Rate, count: u32, now: Instant) -> bool {
        let Some(until) = self.after(rate, count, now) else { return false };
        let is_within = until <= now + rate.time_of(rate.burst.max(1)).unwrap_or_default();
        if is_within {
            self.full_at = until;
        }
        is_within
    }

    /// Takes `count` out, on credit if need be; how long to wait until they are in.
    pub fn owe(&mut self, rate: Rate, count: u32, now: Instant) -> Duration {
        let Some(until) = self.after(rate, count, now) else { return Duration::ZERO };
        self.full_at = until;
        until.saturating_duration_since(now + rate.time_of(rate.burst.max(1)).unwrap_or_default())
    }

    fn after(&self, rate: Rate, count: u32, now: Instant) -> Option<Instant> {
        Some(self.full_at.max(now) + rate.time_of(count)?)
    }
}

impl Rate {
    /// How long it takes to let `count` through; `None`: for ever.
    fn time_of(self, count: u32) -> Option<Duration> {
        let each = u64::from(count) * 1_000_000_000;
        each.checked_div(u64::from(self.per_second)).map(Duration::from_nanos)
    }
}
