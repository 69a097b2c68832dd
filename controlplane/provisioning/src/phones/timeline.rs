//! What happened to a phone: what it asked, what it got, when, and why not.

use std::collections::VecDeque;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// How many moments of a phone are remembered.
pub const MOMENTS_MAX: usize = 64;
/// The longest subject in bytes.
const SUBJECT_MAX: usize = 160;

/// Something that happened to a phone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When, in milliseconds since 1970; the last time, if it happened often.
    pub at_ms: u64,
    /// Where the phone was.
    pub source: Option<IpAddr>,
    /// What.
    pub what: What,
    /// A file name or a certificate, for example.
    pub subject: String,
    /// Why not.
    pub failure: Option<Failure>,
    /// How often in succession.
    pub times: u32,
}

/// What may happen to a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It asked for a file, and may have it.
    Granted,
    /// It asked for something and was refused.
    Refused,
    /// It got a file.
    Delivered,
    /// A file was sent, but its end was not acknowledged.
    Sent,
    /// A file did not reach it.
    Undelivered,
    /// The operator has allowed it.
    Allowed,
    /// It came while enrolment was open.
    Enrolled,
    /// A certificate was pinned.
    Pinned,
    /// It connected with its certificate.
    Authenticated,
    /// It registered.
    Registered,
    /// Its connection ended.
    Lost,
    /// Nothing was heard of it for too long.
    Idle,
    /// A one-time password was set.
    PasswordSet,
    /// It proved a one-time password.
    PasswordUsed,
    /// A certificate was issued to it.
    Issued,
    /// The operator wants it to delete the certificate that was issued to it.
    Withdrawn,
    /// It has deleted that.
    Deleted,
}

impl Moment {
    pub(super) fn new(at_ms: u64, what: What, subject: &str) -> Self {
        let end = (0..=SUBJECT_MAX.min(subject.len()))
            .rev()
            .find(|end| subject.is_char_boundary(*end))
            .unwrap_or(0);
        let subject = subject.get(..end).unwrap_or_default().to_owned();
        Self { at_ms, source: None, what, subject, failure: None, times: 1 }
    }

    pub(super) fn source(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    pub(super) fn failure(mut self, failure: Failure) -> Self {
        self.failure = Some(failure);
        self
    }

    fn repeats(&self, other: &Self) -> bool {
        (self.what, self.source, self.failure) == (other.what, other.source, other.failure)
            && self.subject == other.subject
    }
}

/// The moments of a phone that are not in the store yet, and the last one.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    /// Number of the next moment.
    next: u64,
    recent: VecDeque<Recent>,
}

#[derive(Clone, Debug)]
struct Recent {
    number: u64,
    moment: Moment,
    is_stored: bool,
}

impl Timeline {
    /// Goes on after the moments before this number.
    pub fn after(next: u64) -> Self {
        Self { next, recent: VecDeque::new() }
    }

    pub fn note(&mut self, moment: Moment) {
        self.note_within(moment, MOMENTS_MAX);
    }

    /// Remembers a moment, and forgets the oldest beyond `most`. One that repeats the last is counted with it, so that
    /// nobody can flush a time line by asking for the same again and again.
    pub fn note_within(&mut self, moment: Moment, most: usize) {
        if let Some(last) = self.recent.back_mut()
            && last.moment.repeats(&moment)
        {
            last.moment.times = last.moment.times.saturating_add(1);
            last.moment.at_ms = moment.at_ms;
            last.is_stored = false;
            return;
        }
        while self.recent.len() >= most {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { number: self.next, moment, is_stored: false });
        self.next += 1;
    }

    /// Number of the next moment.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Those here, the oldest first, by number.
    pub fn recent(&self) -> impl Iterator<Item = (u64, &Moment)> {
        self.recent.iter().map(|recent| (recent.number, &recent.moment))
    }

    /// Those that the store does not have.
    pub fn unstored(&self) -> Vec<(u64, Moment)> {
        let unstored = self.recent.iter().filter(|recent| !recent.is_stored);
        unstored.map(|recent| (recent.number, recent.moment.clone())).collect()
    }

    /// These are stored. One that has repeated meanwhile is not.
    pub fn stored(&mut self, moments: &[(u64, Moment)]) {
        for recent in &mut self.recent {
            recent.is_stored |=
                moments.iter().any(|(at, moment)| *at == recent.number && *moment == recent.moment);
        }
        while self.recent.len() > 1 && self.recent.front().is_some_and(|oldest| oldest.is_stored) {
            self.recent.pop_front();
        }
    }
}
