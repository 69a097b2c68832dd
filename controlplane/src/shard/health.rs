//! Whether a call manager lives, told from what it does not answer.

use std::time::{Duration, Instant};

/// A call manager from which nothing at all has come for this long after a request is called dead:
/// a live one answers the first retransmission at the latest (RFC 3261 section 17.1.2.2: T1 is 0.5 s).
const SILENCE: Duration = Duration::from_secs(6);
/// And as many requests or retransmissions as that must have gone unanswered.
const REQUESTS: u32 = 4;

/// What is known of one call manager.
#[derive(Debug, Default)]
pub(super) struct Health {
    down: bool,
    /// Since when, and how many requests, nothing has come.
    unanswered: Option<(Instant, u32)>,
}

impl Health {
    /// Something was sent; only requests that want an answer count.
    pub(super) fn sent(&mut self, bytes: &[u8], now: Instant) {
        if !bytes.starts_with(b"SIP/2.0 ") && !bytes.starts_with(b"ACK ") {
            self.unanswered.get_or_insert((now, 0)).1 += 1;
        }
    }

    /// Something came; true if the call manager was thought to be dead.
    pub(super) fn heard(&mut self) -> bool {
        self.unanswered = None;
        std::mem::take(&mut self.down)
    }

    /// A connection failed; true if that is news.
    pub(super) fn failed(&mut self) -> bool {
        self.unanswered = None;
        !std::mem::replace(&mut self.down, true)
    }

    /// True once when the call manager has been silent for too long.
    pub(super) fn falls_silent(&mut self, now: Instant) -> bool {
        let silent = self
            .unanswered
            .is_some_and(|(since, count)| now.duration_since(since) >= SILENCE && count >= REQUESTS);
        silent && self.failed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_after_several_requests_is_told_once() {
        let start = Instant::now();
        let mut health = Health::default();
        (0..REQUESTS).for_each(|_| health.sent(b"REGISTER sip:a SIP/2.0\r\n", start));
        assert!(!health.falls_silent(start));
        assert!(health.falls_silent(start + SILENCE));
        assert!(!health.falls_silent(start + SILENCE));
        assert!(health.heard());
        assert!(!health.heard());
    }

    #[test]
    fn responses_and_acks_want_no_answer() {
        let start = Instant::now();
        let mut health = Health::default();
        for _ in 0..REQUESTS {
            health.sent(b"SIP/2.0 200 OK\r\n", start);
            health.sent(b"ACK sip:a SIP/2.0\r\n", start);
        }
        assert!(!health.falls_silent(start + SILENCE));
    }

    #[test]
    fn anything_that_comes_is_a_sign_of_life() {
        let start = Instant::now();
        let mut health = Health::default();
        (0..REQUESTS).for_each(|_| health.sent(b"OPTIONS sip:a SIP/2.0\r\n", start));
        assert!(!health.heard());
        assert!(!health.falls_silent(start + SILENCE));
    }
}
