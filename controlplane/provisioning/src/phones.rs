//! The secure-phone database: who may be served, how far each phone has come, and by which certificate it is known.
//!
//! `docs/provisioning.md` has the states and who may cause which transition. Each transition is one critical section, so
//! no two requests can come between another's question and its answer (the class of CVE-2014-0739). What trust depends
//! on (who is allowed, pins, passwords, enrolment) is on disk before the answer is given; the rest (how far a phone has
//! come, its time line) is written by [`Phones::tick`], and after a crash a phone seems a little less far than it was.
//!
//! Locks: the store before the state. Signalling and requests take the state alone, and wait for the disk only while
//! something that trust depends on is written.

mod certificate;
mod enrolment;
mod operator;
mod password;
mod phone;
mod state;
mod store;
mod timeline;
mod view;

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::forms::millis;
use crate::{Counter, Counters, Device, Failure, SecurityClass};
use password::StoredPassword;
use phone::Phone;
use state::State;
use store::{Saved, Store};
use timeline::What;

pub use certificate::{BadCertificateId, CertificateId, DER_MAX, ISSUER_MAX, Pin, PinOrigin, SERIAL_MAX};
pub use enrolment::{Enrolling, Validity};
pub use operator::{ENROLMENT_MAX, PINS_MAX, PhonesError};
pub use password::{ATTEMPTS_MAX, PASSWORD_BYTES};
pub use phone::{Admission, Connections, HeldTrustList, SessionId, Stage};
pub use store::StoreError;
pub use timeline::What as MomentKind;
pub use timeline::{MOMENTS_MAX, Moment};
pub use view::{IssuedView, PhoneView, PinView};

/// `[provisioning.phones]`: who is served when.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhonePolicy {
    /// Seconds without a sign of life after which a phone has to begin again (asa 1.3: 5 minutes, and longer than both
    /// keep-alive and registration interval).
    pub idle_timeout_s: u32,
    /// A phone must fetch its trust list before its configuration, and both before its certificate is pinned. Off: phones
    /// that hold our trust list already, prepared elsewhere, are served too.
    pub trust_list_first: bool,
    /// A configuration goes only where the trust list went. Off: for phones whose address changes within minutes.
    pub same_source: bool,
    /// The first certificate that a device shows is pinned. Off: only certificates by list.
    pub first_use: bool,
    /// The most devices.
    pub devices: u32,
    /// The most devices remembered that are not allowed.
    pub strangers: u32,
}

impl Default for PhonePolicy {
    fn default() -> Self {
        Self {
            idle_timeout_s: 300,
            trust_list_first: true,
            same_source: true,
            first_use: true,
            devices: 20_000,
            strangers: 1000,
        }
    }
}

impl PhonePolicy {
    fn is_idle(&self, since_ms: u64, now: u64) -> bool {
        now.saturating_sub(since_ms) > u64::from(self.idle_timeout_s) * 1000
    }
}

/// While enrolment is open, devices that nobody has named are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Since when, in milliseconds since 1970.
    pub opened_ms: u64,
    /// Until when. It closes by itself, also when the clock was set back.
    pub until_ms: u64,
    /// How many more devices may come.
    pub devices_left: u32,
}

impl Enrolment {
    fn is_open(&self, now: u64) -> bool {
        (self.opened_ms..self.until_ms).contains(&now)
    }
}

/// What a device asks for.
#[derive(Clone, Copy, Debug)]
pub enum Wants<'a> {
    /// The trust list of this generation.
    TrustList {
        /// Which: a number that grows with each change of the list, below 2^63.
        generation: u64,
    },
    /// Its configuration.
    Configuration {
        /// The certificate that was verified on this connection, if any, of this device.
        certificate: Option<&'a CertificateId>,
        /// It goes neither signed nor encrypted by a connection on which a certificate could be shown: HTTPS.
        is_bare: bool,
    },
}

/// The answer to a device's request.
#[derive(Debug)]
pub enum Decision {
    /// It may have the file: report the outcome with [`Phones::delivered`].
    Granted(Grant),
    /// It may not.
    Refused(Failure),
}

/// A file that a device may have, once.
#[derive(Debug)]
pub struct Grant {
    device: Device,
    epoch: u64,
    source: IpAddr,
    file: Box<str>,
    trust_list: Option<u64>,
    /// What the device is to be driven to.
    class: SecurityClass,
}

impl Grant {
    /// The device.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Its security class.
    pub fn class(&self) -> SecurityClass {
        self.class
    }
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The phone has acknowledged the last block, or read the response to its end.
    Acknowledged,
    /// All was sent, the last acknowledgement is missing. The phone may go on, but is not known to hold the file.
    Sent,
    /// It was not all sent.
    Failed(Failure),
}

/// The secure-phone database. Any thread may use it.
pub struct Phones {
    store: Mutex<Store>,
    state: Mutex<State>,
    policy: PhonePolicy,
    counters: Arc<Counters>,
}

impl Phones {
    /// Opens or creates the database, for this process alone.
    ///
    /// # Errors
    /// When the file cannot be used, or another process uses it.
    pub fn open(path: &Path, policy: PhonePolicy, counters: Arc<Counters>) -> Result<Self, StoreError> {
        let store = Store::open(path)?;
        let state = State::new(store.load()?, store.enrolment()?);
        Ok(Self { store: Mutex::new(store), state: Mutex::new(state), policy, counters })
    }

    /// A device asks, under the name `file`, for what it wants. Nothing it could send is learned but that it asked.
    pub fn ask(
        &self,
        device: Device,
        source: IpAddr,
        file: &str,
        wants: Wants<'_>,
        now: SystemTime,
    ) -> Decision {
        let now = millis(now);
        let answer =
            self.admitted(device, now, |state| state.ask(device, source, file, wants, &self.policy, now));
        match answer {
            Ok(Some(grant)) => {
                let trust_list = grant.trust_list.is_some();
                self.counters.count(if trust_list { Counter::TrustLists } else { Counter::Configurations });
                Decision::Granted(grant)
            }
            Ok(None) => Decision::Refused(self.turned_away(device, source, file, Failure::NotAllowed, now)),
            Err(failure) if is_of_admission(failure) => {
                Decision::Refused(self.turned_away(device, source, file, failure, now))
            }
            Err(failure) => {
                self.counters.fail(failure);
                Decision::Refused(failure)
            }
        }
    }

    /// Whether a grant still counts: since then the device was not forgotten, did not fall idle, and kept its class and
    /// its certificate. One that counts no more is counted; the file is not to be sent.
    pub fn still_counts(&self, grant: &Grant) -> bool {
        let counts = self.epoch(grant.device) == Some(grant.epoch);
        if !counts {
            self.counters.count(Counter::DeliveriesVoid);
        }
        counts
    }

    /// What came of a grant. `false`: it counts no more, since the device was forgotten or fell idle meanwhile.
    pub fn delivered(&self, grant: &Grant, delivery: Delivery, now: SystemTime) -> bool {
        let counts = self.state().delivered(grant, delivery, &self.policy, millis(now));
        match delivery {
            _ if !counts => self.counters.count(Counter::DeliveriesVoid),
            Delivery::Acknowledged => self.counters.count(Counter::Delivered),
            Delivery::Sent => {}
            Delivery::Failed(failure) => self.counters.fail(failure),
        }
        counts
    }

    /// A device has shown a certificate that was verified and names it. If it is the device's own, or becomes so now,
    /// gives the session that [`registered`](Self::registered), [`keepalive`](Self::keepalive) and [`lost`](Self::lost)
    /// belong to. It takes the place of older sessions of the device, or stands beside them.
    ///
    /// # Errors
    /// When the device or the certificate is refused; the connection is to be closed.
    pub fn authenticated(
        &self,
        device: Device,
        certificate: &CertificateId,
        connections: Connections,
        source: IpAddr,
        now: SystemTime,
    ) -> Result<SessionId, Failure> {
        let (source, now) = (source.to_canonical(), millis(now));
        let subject = certificate.to_string();
        let of = (source, subject.as_str());
        let known = self.admitted(device, now, |state| {
            state.recognise(device, certificate, connections, of, &self.policy, now)
        });
        let result = match known {
            Ok(Some(state::Recognised::Known(session))) => Ok(session),
            Ok(Some(state::Recognised::First)) => self.pin_first(device, certificate, connections, of, now),
            Ok(None) => Err(Failure::NotAllowed),
            Err(failure) => Err(failure),
        };
        match result {
            Ok(_) => self.counters.count(Counter::Authenticated),
            Err(failure) if is_of_admission(failure) => {
                self.turned_away(device, source, &subject, failure, now);
            }
            Err(failure) => self.counters.fail(failure),
        }
        result
    }

    /// Whether a certificate is pinned for a device: one that has expired may still be good then.
    pub fn is_pinned(&self, device: Device, certificate: &CertificateId) -> bool {
        let state = self.state();
        state.phones.get(&device).is_some_and(|phone| phone.pins.iter().any(|pin| pin.matches(certificate)))
    }

    /// A session has registered, or registered again.
    ///
    /// # Errors
    /// When it is not the device's session, or no longer.
    pub fn registered(&self, device: Device, session: SessionId, now: SystemTime) -> Result<(), Failure> {
        self.alive(device, session, true, millis(now))
    }

    /// A session has given a sign of life.
    ///
    /// # Errors
    /// When it is not the device's session, or no longer.
    pub fn keepalive(&self, device: Device, session: SessionId, now: SystemTime) -> Result<(), Failure> {
        self.alive(device, session, false, millis(now))
    }

    /// A session's connection has ended.
    pub fn lost(&self, device: Device, session: SessionId, now: SystemTime) {
        let mut state = self.state();
        if let Some(phone) = state.phones.get_mut(&device) {
            phone.lost(session, millis(now));
        }
    }

    /// Something else went wrong with a phone; it is counted and stands in its time line.
    pub fn failed(&self, device: Device, source: IpAddr, subject: &str, failure: Failure, now: SystemTime) {
        self.counters.fail(failure);
        let moment =
            Moment::new(millis(now), What::Refused, subject).source(source.to_canonical()).failure(failure);
        self.state().note(device, moment, &self.policy, &self.counters);
    }

    /// The device that was last served at an address, if one was lately. For files that belong to no device: it says
    /// that a phone is there, not which.
    pub fn device_at(&self, source: IpAddr, now: SystemTime) -> Option<Device> {
        self.state().device_at(source.to_canonical(), &self.policy, millis(now))
    }

    /// Lets idle phones go, and writes what has changed. To be called every second or so.
    ///
    /// # Errors
    /// When the database cannot be written; nothing is lost, the next call tries again.
    pub fn tick(&self, now: SystemTime) -> Result<(), StoreError> {
        let now = millis(now);
        let mut store = self.store();
        let (lapsed, enrolment) = self.state().expire(&self.policy, &self.counters, now);
        store.delete(&lapsed)?;
        self.flush(&mut store, enrolment)
    }

    fn flush(&self, store: &mut Store, enrolment: Option<Option<Enrolment>>) -> Result<(), StoreError> {
        let changed = self.state().changed();
        if changed.is_empty() && enrolment.is_none() {
            return Ok(());
        }
        let written = store.save(&changed, enrolment);
        self.state().written(&changed, written.is_ok());
        written
    }

    /// Does something with a device that is allowed, enrolling it if enrolment is open. `None`: it is not allowed.
    fn admitted<T>(
        &self,
        device: Device,
        now: u64,
        work: impl Fn(&mut State) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        {
            let mut state = self.state();
            if state.expire_one(device, &self.policy, now) {
                self.counters.count(Counter::Idle);
            }
            if state.phones.contains_key(&device) {
                return work(&mut state).map(Some);
            }
            if !state.enrolment.is_some_and(|enrolment| enrolment.is_open(now)) {
                return Ok(None);
            }
        }
        let mut store = self.store();
        let mut state = self.state();
        // Meanwhile another request may have enrolled it, or the window may have closed.
        if !state.phones.contains_key(&device) {
            let Some(enrolment) = state.enrolment.filter(|enrolment| enrolment.is_open(now)) else {
                return Ok(None);
            };
            let phone = state.enrol(device, enrolment, &self.policy, now)?;
            let left = Enrolment { devices_left: enrolment.devices_left - 1, ..enrolment };
            self.commit(&mut store, &mut state, device, phone, Some(Some(left)))?;
            state.enrolment = Some(left);
            self.counters.count(Counter::Enrolled);
        }
        work(&mut state).map(Some)
    }

    /// Pins a certificate, unless another came first.
    fn pin_first(
        &self,
        device: Device,
        certificate: &CertificateId,
        connections: Connections,
        (source, subject): (IpAddr, &str),
        now: u64,
    ) -> Result<SessionId, Failure> {
        let mut store = self.store();
        let mut state = self.state();
        let seen = state.recognise(device, certificate, connections, (source, subject), &self.policy, now)?;
        if let state::Recognised::Known(session) = seen {
            return Ok(session);
        }
        let session = SessionId(state.number());
        let mut phone = state.phones.get(&device).ok_or(Failure::NotAllowed)?.clone();
        phone.pins.push(certificate.pin(PinOrigin::FirstUse));
        phone.admission = Admission::Allowed;
        phone.note(Moment::new(now, What::Pinned, subject).source(source));
        phone.authenticated(session, connections, source, subject, now);
        self.commit(&mut store, &mut state, device, phone, None)?;
        state.seen_at(source, device, &self.policy, now);
        self.counters.count(Counter::PinnedAtFirstUse);
        Ok(session)
    }

    /// Writes a phone, and only then makes it so.
    fn commit(
        &self,
        store: &mut Store,
        state: &mut State,
        device: Device,
        mut phone: Phone,
        enrolment: Option<Option<Enrolment>>,
    ) -> Result<(), Failure> {
        let saved = Saved::of(device, &phone);
        store.save(std::slice::from_ref(&saved), enrolment).map_err(|error| {
            tracing::error!(%device, "refused, since it could not be written: {error}");
            Failure::StoreFailed
        })?;
        phone.timeline.stored(&saved.moments);
        phone.is_dirty = false;
        state.phones.insert(device, phone);
        Ok(())
    }

    /// Counts and notes a refusal that no phone's own state has decided.
    fn turned_away(
        &self,
        device: Device,
        source: IpAddr,
        subject: &str,
        failure: Failure,
        now: u64,
    ) -> Failure {
        self.counters.fail(failure);
        let moment = Moment::new(now, What::Refused, subject).source(source).failure(failure);
        self.state().note(device, moment, &self.policy, &self.counters);
        failure
    }

    fn alive(&self, device: Device, session: SessionId, registers: bool, now: u64) -> Result<(), Failure> {
        let mut state = self.state();
        if state.expire_one(device, &self.policy, now) {
            self.counters.count(Counter::Idle);
        }
        match state.alive(device, session, registers, &self.policy, now) {
            Ok(is_new) => {
                if is_new {
                    self.counters.count(Counter::Registered);
                }
                Ok(())
            }
            Err(failure) => {
                self.counters.fail(failure);
                Err(failure)
            }
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Phones {
    fn drop(&mut self) {
        let mut store = self.store();
        if let Err(error) = self.flush(&mut store, None) {
            tracing::error!("the last changes of phones are not written: {error}");
        }
    }
}

/// Whether a phone was refused before its own state was looked at, and so has no note of it.
fn is_of_admission(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::NotAllowed | Failure::EnrolmentFull | Failure::DeviceLimit | Failure::StoreFailed
    )
}

/// Milliseconds since 1970.
#[cfg(test)]
mod tests;
