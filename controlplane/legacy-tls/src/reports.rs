//! What is still to be told to the control plane.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Instant;

use pinhole_legacy_tls::{Cause, Channel, ChannelError, Refusals, Report};
use pinhole_rates::{Bucket, Rate};

/// Reports that wait for the control plane; it takes them as fast as they come, or does not live.
const WAITING_MAX: usize = 256;
/// Under a flood of refusals one report stands for many.
const REFUSALS: Rate = Rate { per_second: 100, burst: 100 };

/// Reports that are not sent yet.
pub struct Reports {
    waiting: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    refusals: BTreeMap<Cause, Refusals>,
    accepted: u32,
    bucket: Bucket,
}

impl Reports {
    /// None.
    pub fn new(now: Instant) -> Self {
        Self { waiting: VecDeque::new(), refusals: BTreeMap::new(), accepted: 0, bucket: Bucket::full(now) }
    }

    /// A report, with what goes along; false: it cannot be told.
    pub fn push(&mut self, report: &Report, file: Option<OwnedFd>) -> bool {
        let bytes = if self.waiting.len() < WAITING_MAX { report.encode().ok() } else { None };
        let Some(bytes) = bytes else { return false };
        self.waiting.push_back((bytes, file));
        true
    }

    /// A connection was accepted.
    pub fn accepted(&mut self) {
        self.accepted += 1;
    }

    /// A connection was refused.
    pub fn refused(&mut self, cause: Cause, peer: SocketAddr, text: String) {
        let refusals =
            self.refusals.entry(cause).or_insert(Refusals { cause, count: 0, peer, text: String::new() });
        refusals.count = refusals.count.saturating_add(1);
        (refusals.peer, refusals.text) = (peer, text);
    }

    /// Whether something waits for a moment with less to tell.
    pub fn are_left(&self) -> bool {
        !self.refusals.is_empty() || self.accepted > 0
    }

    /// Sends what the control plane takes.
    ///
    /// # Errors
    /// When it has gone.
    pub fn send(&mut self, channel: &Channel, now: Instant) -> Result<(), ChannelError> {
        if self.accepted > 0 && self.push(&Report::Accepted(self.accepted), None) {
            self.accepted = 0;
        }
        while self.waiting.len() < WAITING_MAX
            && !self.refusals.is_empty()
            && self.bucket.take(REFUSALS, 1, now)
        {
            if let Some((_, refusals)) = self.refusals.pop_first() {
                self.push(&Report::Refused(refusals), None);
            }
        }
        while let Some((bytes, file)) = self.waiting.front() {
            let files: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
            match channel.send(bytes, &files) {
                Ok(()) => {}
                Err(ChannelError::WouldBlock) => return Ok(()),
                Err(ChannelError::TooLong) => {
                    // More than the system lets through: the phone's stream ends with it.
                }
                Err(error) => return Err(error),
            }
            self.waiting.pop_front();
        }
        Ok(())
    }
}
