//! Timers: at most one per name, so their number is bounded by the tables they serve.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::dialogs::SetId;
use crate::registrations::RegistrationKey;
use crate::skinny::StreamId;
use crate::transactions::TxId;

/// What a timer is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Send a request again (timers A, E).
    RequestAgain(TxId),
    /// Send a final response to INVITE again (timer G, and 2xx until ACK).
    ResponseAgain(TxId),
    /// The transaction's time is over (timers B, D, F, H, J, K).
    TransactionEnd(TxId),
    /// A call has rung for too long (timer C).
    Ring(SetId),
    /// No media for too long?
    Media(SetId),
    /// A phone did not come back?
    Grace(SetId),
    /// Nobody has used these dialogs for long.
    DialogsIdle(SetId),
    /// A registration runs out.
    Registration(RegistrationKey),
    /// Sessions that nobody claimed after a restart are closed.
    Unclaimed,
    /// Does the phone of this stream, whose connection is lost, still talk?
    Orphan(StreamId),
    /// Has no channel used this stream, whose ports were asked for?
    Unused(StreamId),
    /// Port pairs have rested enough.
    Ports,
}

/// Timers in order of time.
#[derive(Debug, Default)]
pub(crate) struct TimerQueue {
    due: BTreeSet<(Instant, Timer)>,
    at: HashMap<Timer, Instant>,
}

impl TimerQueue {
    /// Sets a timer, or moves it.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        if let Some(old) = self.at.insert(timer.clone(), at) {
            self.due.remove(&(old, timer.clone()));
        }
        self.due.insert((at, timer));
    }

    /// Stops a timer.
    pub(crate) fn cancel(&mut self, timer: &Timer) {
        if let Some(old) = self.at.remove(timer) {
            self.due.remove(&(old, timer.clone()));
        }
    }

    /// Whether a timer runs.
    pub(crate) fn runs(&self, timer: &Timer) -> bool {
        self.at.contains_key(timer)
    }

    /// The next timer that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        if self.due.first()?.0 > now {
            return None;
        }
        let (_, timer) = self.due.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }

    /// When the next timer is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}
