//! Events for operators: stamped, logged, and kept for those who look later.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinhole_admin::{Event, EventKind, Severity};

/// How many events are kept.
const KEPT: usize = 2048;
/// How many events of one kind are taken in a second; a flood of refusals must not fill a disk.
const PER_SECOND: u32 = 50;

/// The events of the process, shared by its threads.
#[derive(Default)]
pub struct Events {
    inner: Mutex<Inner>,
    more: Condvar,
}

#[derive(Default)]
struct Inner {
    kept: VecDeque<Event>,
    /// Number of the first event in `kept`.
    first: u64,
    rates: HashMap<EventKind, Rate>,
    suppressed: u64,
}

struct Rate {
    since: Instant,
    taken: u32,
    suppressed: u32,
}

impl Events {
    /// Takes an event: stamps it, logs it, keeps it and wakes those who follow.
    pub fn emit(&self, event: Event) {
        let now = Instant::now();
        let mut inner = self.lock();
        let Some(suppressed) = inner.admit(event.kind, now) else { return };
        if suppressed > 0 {
            let text =
                format!("{suppressed} more events of kind {} within a second were not shown", event.kind);
            inner.keep(Event::new(EventKind::Warning, text));
        }
        inner.keep(event);
        drop(inner);
        self.more.notify_all();
    }

    /// The events from number `from` on that are still kept, and the number to ask for next. Waits
    /// up to `patience` for one.
    pub fn since(&self, from: u64, patience: Duration) -> (Vec<Event>, u64) {
        let inner = self.lock();
        let (inner, _) = self
            .more
            .wait_timeout_while(inner, patience, |inner| inner.next() <= from)
            .unwrap_or_else(PoisonError::into_inner);
        let skip = usize::try_from(from.saturating_sub(inner.first)).unwrap_or(usize::MAX);
        (inner.kept.iter().skip(skip).cloned().collect(), inner.next())
    }

    /// How many events were left out because there were too many of their kind.
    pub fn suppressed(&self) -> u64 {
        self.lock().suppressed
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn next(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// Whether an event of this kind may be taken now; how many were left out before it.
    fn admit(&mut self, kind: EventKind, now: Instant) -> Option<u32> {
        let rate = self.rates.entry(kind).or_insert(Rate { since: now, taken: 0, suppressed: 0 });
        let mut left_out = 0;
        if now.duration_since(rate.since) >= Duration::from_secs(1) {
            left_out = rate.suppressed;
            *rate = Rate { since: now, taken: 0, suppressed: 0 };
        }
        if rate.taken >= PER_SECOND {
            rate.suppressed += 1;
            self.suppressed += 1;
            return None;
        }
        rate.taken += 1;
        Some(left_out)
    }

    fn keep(&mut self, mut event: Event) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        event.time_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        log(&event);
        if self.kept.len() == KEPT {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back(event);
    }
}

fn log(event: &Event) {
    let device = event.device.as_deref();
    let call = event.call_id.as_deref();
    match event.kind.severity() {
        Severity::Info => tracing::info!(kind = event.kind.name(), device, call, "{}", event.text),
        Severity::Warning => tracing::warn!(kind = event.kind.name(), device, call, "{}", event.text),
        Severity::Error => tracing::error!(kind = event.kind.name(), device, call, "{}", event.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: usize) -> Event {
        // Kinds in turn, so that the rate limit stays out of the way.
        let kinds = EventKind::ALL;
        Event::new(kinds[n % kinds.len()], format!("event {n}"))
    }

    #[test]
    fn late_joiner_sees_what_was() {
        let events = Events::default();
        (0..3).for_each(|n| events.emit(event(n)));
        let (seen, next) = events.since(0, Duration::ZERO);
        assert_eq!(seen.len(), 3);
        assert!(seen.iter().all(|event| event.time_ms > 0));
        assert_eq!(events.since(next, Duration::ZERO), (vec![], 3));
    }

    #[test]
    fn ring_is_bounded() {
        let mut inner = Inner::default();
        (0..KEPT + 10).for_each(|n| inner.keep(event(n)));
        assert_eq!(inner.kept.len(), KEPT);
        assert_eq!(inner.next(), KEPT as u64 + 10);
    }

    #[test]
    fn flood_of_one_kind_is_cut_counted_and_told() {
        let mut inner = Inner::default();
        let start = Instant::now();
        let taken =
            (0..PER_SECOND + 7).filter(|_| inner.admit(EventKind::PhoneRefused, start).is_some()).count();
        assert_eq!(taken, PER_SECOND as usize);
        assert_eq!(inner.suppressed, 7);
        assert!(inner.admit(EventKind::CallEnded, start).is_some(), "other kinds are not touched");
        assert_eq!(inner.admit(EventKind::PhoneRefused, start + Duration::from_secs(1)), Some(7));
    }
}
