//! One phone: its state, and what each event makes of it. No disk, no locks.

use std::net::IpAddr;

use pinhole_rates::is_same_source;
use serde::{Deserialize, Serialize};

use super::certificate::{CertificateId, Pin};
use super::enrolment::Issued;
use super::password::StoredPassword;
use super::timeline::{Moment, Timeline, What};
use super::{PhonePolicy, SecurityClass};
use crate::Failure;

/// From how many sources at once a device's files are fetched: two phones that claim one name do not push each other
/// out.
pub(super) const FETCHES_MAX: usize = 4;

/// The most connections of a device at a time: phones know five call managers (sccp 2.6), and one may be dead and not known to be.
const SESSIONS_MAX: usize = 6;

/// How a device has come to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// It is not; it was only seen.
    Stranger,
    /// While enrolment was open. It is forgotten again unless it shows a certificate before it falls idle.
    Enrolled,
    /// By the operator, or by a certificate after it was enrolled.
    Allowed,
}

/// How far a phone has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Known, or only seen.
    Seen,
    /// It has its trust list.
    TrustListDelivered,
    /// It has its configuration.
    ConfigurationDelivered,
    /// It is connected, with its certificate.
    Authenticated,
    /// It is registered.
    Registered,
}

/// The trust list that a phone holds: it was acknowledged where the phone has proven itself afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldTrustList {
    /// Which.
    pub generation: u64,
    /// When it was acknowledged, in milliseconds since 1970.
    pub at_ms: u64,
}

/// How many connections a device holds at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// A newer one takes the place of the others.
    One,
    /// It stands beside the others: one to each call manager that the phone knows (SCCP).
    Several,
}

/// Names one connection of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId(pub(super) u64);

/// A trust list fetched from somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    pub source: IpAddr,
    pub at_ms: u64,
    /// What was acknowledged from there by whoever it was. Not stored.
    pub acknowledged: Option<HeldTrustList>,
    /// The configuration went there too. Not stored.
    pub has_configuration: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub id: SessionId,
    pub source: IpAddr,
    pub registered: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Phone {
    pub admission: Admission,
    pub class: SecurityClass,
    /// At most `ConfigurationDelivered`.
    pub provisioned: Stage,
    /// The connections that it has, the newest last.
    pub sessions: Vec<Session>,
    /// Last event that counts against idleness: of the session if there is one, else of provisioning.
    pub active_ms: u64,
    pub fetches: Vec<Fetch>,
    pub held: Option<HeldTrustList>,
    pub pins: Vec<Pin>,
    pub password: Option<StoredPassword>,
    /// The last certificate that we have issued to it.
    pub issued: Option<Issued>,
    /// What is granted under another number is void.
    pub epoch: u64,
    pub timeline: Timeline,
    /// Differs from the store.
    pub is_dirty: bool,
}

impl Phone {
    pub fn new(admission: Admission, class: SecurityClass, timeline: Timeline, epoch: u64, now: u64) -> Self {
        Self {
            admission,
            class,
            provisioned: Stage::Seen,
            sessions: Vec::new(),
            active_ms: now,
            fetches: Vec::new(),
            held: None,
            pins: Vec::new(),
            password: None,
            issued: None,
            epoch,
            timeline,
            is_dirty: false,
        }
    }

    pub fn stage(&self) -> Stage {
        match self.sessions.as_slice() {
            [] => self.provisioned,
            sessions if sessions.iter().any(|session| session.registered) => Stage::Registered,
            _ => Stage::Authenticated,
        }
    }

    pub fn note(&mut self, moment: Moment) {
        self.timeline.note(moment);
        self.is_dirty = true;
    }

    /// Whether it may have its configuration.
    pub fn may_have_configuration(
        &self,
        source: IpAddr,
        certificate: Option<&CertificateId>,
        policy: &PhonePolicy,
        now: u64,
    ) -> Result<(), Failure> {
        if let Some(certificate) = certificate.filter(|_| !self.pins.is_empty()) {
            // Proof of who asks is worth more than the order of requests.
            let is_known = self.pins.iter().any(|pin| pin.matches(certificate));
            return if is_known { Ok(()) } else { Err(Failure::PinMismatch) };
        }
        if !policy.trust_list_first {
            return Ok(());
        }
        let fetched =
            self.fetches.iter().filter(|fetch| !policy.is_idle(fetch.at_ms, now)).map(|fetch| fetch.source);
        let connected = self.sessions.iter().map(|session| session.source);
        let mut sources = fetched.chain(connected).peekable();
        if sources.peek().is_none() {
            return Err(Failure::TrustListMissing);
        }
        if policy.same_source && !sources.any(|known| is_same_source(known, source)) {
            return Err(Failure::OtherSource);
        }
        Ok(())
    }

    pub fn trust_list_delivered(&mut self, source: IpAddr, acknowledged: Option<u64>, now: u64) {
        let acknowledged = acknowledged.map(|generation| HeldTrustList { generation, at_ms: now });
        self.fetched(Fetch { source, at_ms: now, acknowledged, has_configuration: false });
        self.provisioned_to(Stage::TrustListDelivered, now);
    }

    fn provisioned_to(&mut self, stage: Stage, now: u64) {
        self.provisioned = self.provisioned.max(stage);
        // What anybody may ask for must not keep a dead session alive.
        if self.sessions.is_empty() {
            self.active_ms = now;
        }
        self.is_dirty = true;
    }

    /// It has proven at an address that it is the phone: what was acknowledged there before, it holds.
    pub fn proven(&mut self, source: IpAddr) {
        let here = self.fetches.iter_mut().find(|fetch| is_same_source(fetch.source, source));
        if let Some(list) = here.and_then(|fetch| fetch.acknowledged.take()) {
            self.held = Some(list);
            self.is_dirty = true;
        }
    }

    fn fetched(&mut self, mut fetch: Fetch) {
        let before = self.fetches.iter().position(|known| is_same_source(known.source, fetch.source));
        if let Some(before) = before.map(|at| self.fetches.remove(at)) {
            fetch.acknowledged = fetch.acknowledged.or(before.acknowledged);
            fetch.has_configuration |= before.has_configuration;
        }
        if self.fetches.len() >= FETCHES_MAX {
            // Whoever fetches no more than the list, which is no secret, pushes out only the like. The oldest goes first.
            let sessions = &self.sessions;
            let is_kept =
                |known: &Fetch| sessions.iter().any(|session| is_same_source(session.source, known.source));
            let goes = (0_usize..)
                .zip(&self.fetches)
                .min_by_key(|(_, known)| (is_kept(known), known.has_configuration));
            if let Some(at) = goes.map(|(at, _)| at) {
                self.fetches.remove(at);
            }
        }
        self.fetches.push(fetch);
    }

    pub fn configuration_delivered(&mut self, source: IpAddr, now: u64) {
        if let Some(fetch) = self.fetches.iter_mut().find(|fetch| is_same_source(fetch.source, source)) {
            fetch.has_configuration = true;
        }
        self.provisioned_to(Stage::ConfigurationDelivered, now);
    }

    /// Whether this certificate may be pinned, when none is.
    pub fn may_pin_first(&self, policy: &PhonePolicy) -> Result<(), Failure> {
        if !policy.first_use {
            return Err(Failure::FirstUseRefused);
        }
        if policy.trust_list_first && self.provisioned < Stage::ConfigurationDelivered {
            return Err(Failure::TrustListMissing);
        }
        Ok(())
    }

    /// A certificate was shown and verified: if it is pinned, it is kept.
    pub fn shown(&mut self, certificate: &CertificateId) {
        for pin in &mut self.pins {
            self.is_dirty |= pin.see(certificate);
        }
    }

    pub fn authenticated(
        &mut self,
        id: SessionId,
        connections: Connections,
        source: IpAddr,
        subject: &str,
        now: u64,
    ) {
        let beside = match connections {
            Connections::One => 0,
            Connections::Several => SESSIONS_MAX - 1,
        };
        self.sessions.drain(..self.sessions.len().saturating_sub(beside));
        self.sessions.push(Session { id, source, registered: false });
        self.active_ms = now;
        self.proven(source);
        self.note(Moment::new(now, What::Authenticated, subject).source(source));
    }

    /// A registration or keep-alive of a session.
    pub fn alive(&mut self, id: SessionId, registers: bool, now: u64) -> Result<bool, Failure> {
        let session = self.sessions.iter_mut().find(|session| session.id == id);
        let session = session.ok_or(Failure::NotAuthenticated)?;
        self.active_ms = now;
        self.is_dirty = true;
        let is_new = registers && !session.registered;
        session.registered |= registers;
        let source = session.source;
        if registers {
            self.proven(source);
        }
        if is_new {
            self.note(Moment::new(now, What::Registered, "").source(source));
        }
        Ok(is_new)
    }

    /// The connection ended: for a while it may ask for its configuration from the same place.
    pub fn lost(&mut self, id: SessionId, now: u64) {
        if let Some(at) = self.sessions.iter().position(|session| session.id == id) {
            let session = self.sessions.remove(at);
            let source = session.source;
            self.fetched(Fetch { source, at_ms: now, acknowledged: None, has_configuration: true });
            self.active_ms = now;
            self.note(Moment::new(now, What::Lost, "").source(session.source));
        }
    }

    /// It is of another class from now on: its connections are over, what is on its way to it counts no more, and its
    /// configuration is another.
    pub fn becomes(&mut self, class: SecurityClass, epoch: u64, now: u64) {
        if std::mem::replace(&mut self.class, class) == class {
            return;
        }
        self.epoch = epoch;
        self.provisioned = self.provisioned.min(Stage::TrustListDelivered);
        while let Some(session) = self.sessions.first() {
            self.lost(session.id, now);
        }
    }

    /// Puts it back when nothing was heard of it for too long. Whether it was.
    pub fn expire(&mut self, policy: &PhonePolicy, epoch: u64, now: u64) -> bool {
        let began = self.stage() > Stage::Seen || !self.fetches.is_empty();
        if !began || !policy.is_idle(self.active_ms, now) {
            return false;
        }
        self.sessions.clear();
        self.provisioned = Stage::Seen;
        self.fetches.clear();
        self.epoch = epoch;
        self.note(Moment::new(now, What::Idle, ""));
        true
    }

    /// Whether it came during enrolment and went again.
    pub fn has_lapsed(&self, policy: &PhonePolicy, now: u64) -> bool {
        self.admission == Admission::Enrolled && policy.is_idle(self.active_ms, now) && self.pins.is_empty()
    }
}
