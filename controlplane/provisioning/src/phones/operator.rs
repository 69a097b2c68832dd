//! What the operator does with phones, and what enrolment of certificates does. All of it is on disk before it counts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;

use super::certificate::Pin;
use super::password::{PASSWORD_BYTES, StoredPassword};
use super::phone::{Admission, HeldTrustList, Phone};
use super::store::Saved;
use super::timeline::{MOMENTS_MAX, Moment, What};
use super::{Enrolment, PhoneView, Phones, SessionId, StoreError};
use crate::forms::millis;
use crate::{Counter, Device, Failure, SecurityClass};

/// The most certificates that a device is known by: a MIC and LSCs around a renewal.
pub const PINS_MAX: usize = 4;
/// The longest time that enrolment may be open.
pub const ENROLMENT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why something cannot be done with a phone.
#[derive(Debug, Error)]
pub enum PhonesError {
    /// It was forgotten, fell idle, or had its certificate withdrawn since it proved who it is.
    #[error("{0} is another than it was when it proved who it is; it is to begin again")]
    Changed(Device),
    /// The device is not allowed.
    #[error("{0} is not known; allow it first")]
    Unknown(Device),
    /// As many devices are known as may be.
    #[error("as many devices are known as are allowed; forget some, or raise the limit")]
    DeviceLimit,
    /// As many certificates are pinned as may be.
    #[error("{0} has {PINS_MAX} certificates already; forget the device, and allow it again")]
    PinsFull(Device),
    /// Enrolment cannot be opened for that long.
    #[error("enrolment can be open for at most 24 hours, and must end in the future")]
    EnrolmentTime,
    /// There is no issued certificate.
    #[error("no certificate was issued to {0}")]
    NothingIssued(Device),
    /// A password of this length is none.
    #[error("a one-time password has 4 to 64 characters")]
    PasswordLength,
    /// The password could not be hashed.
    #[error("the password could not be hashed: out of memory")]
    PasswordHash,
    /// The database cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Phones {
    /// Allows a device, and sets its security class. A device that is known already keeps its pins; if its class changes, its
    /// connections end, and it has to fetch its configuration again.
    ///
    /// # Errors
    /// When there are too many devices, or the database cannot be written.
    pub fn allow(&self, device: Device, class: SecurityClass, now: SystemTime) -> Result<(), PhonesError> {
        let now = millis(now);
        let mut store = self.store();
        let mut state = self.state();
        let mut phone = match state.phones.get(&device).cloned() {
            Some(phone) => phone,
            None => state
                .new_phone(device, Admission::Allowed, class, &self.policy, now)
                .map_err(|_| PhonesError::DeviceLimit)?,
        };
        phone.admission = Admission::Allowed;
        phone.becomes(class, state.number(), now);
        phone.note(Moment::new(now, What::Allowed, class.name()));
        store.save(&[Saved::of(device, &phone)], None)?;
        state.phones.insert(device, phone);
        Ok(())
    }

    /// Forgets a device: it is not allowed any more, its pins are gone, what was granted to it counts no more. `false`: it
    /// was not known.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn forget(&self, device: Device) -> Result<bool, PhonesError> {
        let mut store = self.store();
        let mut state = self.state();
        store.delete(&[device])?;
        Ok(state.phones.remove(&device).is_some())
    }

    /// Pins a certificate that the operator names.
    ///
    /// # Errors
    /// When the device is not known, has too many pins, or the database cannot be written.
    pub fn pin(&self, device: Device, pin: Pin, now: SystemTime) -> Result<(), PhonesError> {
        let subject = pin.to_string();
        self.change(device, |phone| {
            if phone.pins.iter().any(|known| known.pins_same(&pin)) {
                return Ok(());
            }
            phone.forget_deleted();
            if phone.pins.len() >= PINS_MAX {
                return Err(PhonesError::PinsFull(device));
            }
            phone.pins.push(pin.clone());
            phone.note(Moment::new(millis(now), What::Pinned, &subject));
            Ok(())
        })
    }

    /// Opens enrolment until then, for at most so many devices. It closes by itself, and stays open over a restart.
    ///
    /// # Errors
    /// When the time is past or more than [`ENROLMENT_MAX`] ahead, or the database cannot be written.
    pub fn open_enrolment(
        &self,
        until: SystemTime,
        devices: u32,
        now: SystemTime,
    ) -> Result<(), PhonesError> {
        let ahead = until.duration_since(now).map_err(|_| PhonesError::EnrolmentTime)?;
        if ahead.is_zero() || ahead > ENROLMENT_MAX {
            return Err(PhonesError::EnrolmentTime);
        }
        let window = Enrolment { opened_ms: millis(now), until_ms: millis(until), devices_left: devices };
        self.set_enrolment(Some(window))
    }

    /// Closes enrolment.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn close_enrolment(&self) -> Result<(), PhonesError> {
        self.set_enrolment(None)
    }

    fn set_enrolment(&self, window: Option<Enrolment>) -> Result<(), PhonesError> {
        let mut store = self.store();
        let mut state = self.state();
        store.save(&[], Some(window))?;
        state.enrolment = window;
        Ok(())
    }

    /// The enrolment window, if it is open.
    pub fn enrolment(&self, now: SystemTime) -> Option<Enrolment> {
        self.state().enrolment.filter(|enrolment| enrolment.is_open(millis(now)))
    }

    /// Sets a device's one-time password; an older one is void. `salt` is to be random.
    ///
    /// # Errors
    /// When the device is not known, the password is too short or long, or the database cannot be written.
    pub fn set_password(
        &self,
        device: Device,
        password: &str,
        salt: [u8; 16],
        expires: SystemTime,
        now: SystemTime,
    ) -> Result<(), PhonesError> {
        if !PASSWORD_BYTES.contains(&password.len()) {
            return Err(PhonesError::PasswordLength);
        }
        let hashed = StoredPassword::new(password, salt, millis(expires)).ok_or(PhonesError::PasswordHash)?;
        self.change(device, |phone| {
            phone.password = Some(hashed);
            phone.note(Moment::new(millis(now), What::PasswordSet, ""));
            Ok(())
        })
    }

    /// Tries a device's one-time password. It is good once; a try counts before it is compared, so no number of tries at
    /// the same time has more than [`ATTEMPTS_MAX`](super::ATTEMPTS_MAX).
    ///
    /// # Errors
    /// When there is none, it has expired, it was tried too often, or it is another.
    pub fn consume_password(
        &self,
        device: Device,
        attempt: &[u8],
        source: IpAddr,
        now: SystemTime,
    ) -> Result<(), Failure> {
        let now = millis(now);
        let result = self.begin_attempt(device, now).and_then(|password| {
            // Takes long, so no lock is held.
            if password.is(attempt) {
                self.use_up(device, &password, now)
            } else {
                Err(Failure::PasswordWrong)
            }
        });
        if let Err(failure) = result {
            self.counters.fail(failure);
            if let Some(phone) = self.state().phones.get_mut(&device) {
                let moment = Moment::new(now, What::Refused, "one-time password").failure(failure);
                phone.note(moment.source(source.to_canonical()));
            }
        } else {
            self.counters.count(Counter::PasswordsUsed);
        }
        result
    }

    fn begin_attempt(&self, device: Device, now: u64) -> Result<StoredPassword, Failure> {
        let mut store = self.store();
        let mut state = self.state();
        let mut phone = state.phones.get(&device).ok_or(Failure::PasswordMissing)?.clone();
        let password = phone.password.as_mut().ok_or(Failure::PasswordMissing)?;
        if now >= password.expires_ms {
            return Err(Failure::PasswordExpired);
        }
        password.attempts_left = password.attempts_left.checked_sub(1).ok_or(Failure::PasswordExhausted)?;
        let password = password.clone();
        self.commit(&mut store, &mut state, device, phone, None)?;
        Ok(password)
    }

    fn use_up(&self, device: Device, password: &StoredPassword, now: u64) -> Result<(), Failure> {
        let mut store = self.store();
        let mut state = self.state();
        let mut phone = state.phones.get(&device).ok_or(Failure::PasswordMissing)?.clone();
        // Another attempt may have used it meanwhile.
        phone.password.take_if(|set| set.is_same_setting(password)).ok_or(Failure::PasswordMissing)?;
        phone.note(Moment::new(now, What::PasswordUsed, ""));
        self.commit(&mut store, &mut state, device, phone, None)
    }

    /// Every phone, by device name, then every stranger seen lately. Without time lines.
    pub fn list(&self) -> Vec<PhoneView> {
        let state = self.state();
        let mut phones: Vec<_> =
            state.phones.iter().map(|(device, phone)| PhoneView::of(*device, phone)).collect();
        let strangers = state.strangers().map(|(device, seen_ms, _)| PhoneView::of_stranger(device, seen_ms));
        phones.extend(strangers);
        phones.sort_by(|one, other| {
            let key = |view: &PhoneView| (view.admission == Admission::Stranger, view.device.clone());
            key(one).cmp(&key(other))
        });
        phones
    }

    /// A phone or stranger with its time line; `None`: nothing was ever heard of it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn show(&self, device: Device) -> Result<Option<PhoneView>, StoreError> {
        let store = self.store();
        let state = self.state();
        if let Some(phone) = state.phones.get(&device) {
            let mut moments: BTreeMap<_, _> = store.moments(device)?.into_iter().collect();
            moments.extend(phone.timeline.recent().map(|(number, moment)| (number, moment.clone())));
            let timeline = moments.into_values();
            let surplus = timeline.len().saturating_sub(MOMENTS_MAX);
            return Ok(Some(PhoneView {
                timeline: timeline.skip(surplus).collect(),
                ..PhoneView::of(device, phone)
            }));
        }
        let stranger = state.strangers().find(|(stranger, ..)| *stranger == device);
        Ok(stranger.map(|(_, seen_ms, timeline)| {
            let timeline = timeline.recent().map(|(_, moment)| moment.clone()).collect();
            PhoneView { timeline, ..PhoneView::of_stranger(device, seen_ms) }
        }))
    }

    /// The certificates of a device that were seen, DER, the one pinned last first: what a configuration may be encrypted
    /// to.
    pub fn certificates(&self, device: Device) -> Vec<Arc<[u8]>> {
        let state = self.state();
        let pins = state.phones.get(&device).map(|phone| phone.pins.iter().rev());
        pins.into_iter().flatten().filter_map(Pin::der).cloned().collect()
    }

    /// The security class that a session was made under; `None`: it is over, as it is when the class changes.
    pub fn class_of(&self, device: Device, session: SessionId) -> Option<SecurityClass> {
        let state = self.state();
        let phone = state.phones.get(&device)?;
        phone.sessions.iter().any(|of| of.id == session).then_some(phone.class)
    }

    /// The security class of a device that is known.
    pub fn class(&self, device: Device) -> Option<SecurityClass> {
        self.state().phones.get(&device).map(|phone| phone.class)
    }

    /// Which trust list each phone holds, as far as it was acknowledged: for a dry run of a rotation, since a phone
    /// takes a new list only from a SAST in the list that it holds.
    pub fn trust_lists(&self) -> BTreeMap<Device, Option<HeldTrustList>> {
        self.state().phones.iter().map(|(device, phone)| (*device, phone.held)).collect()
    }

    /// Changes a phone that is known, on disk first.
    pub(super) fn change(
        &self,
        device: Device,
        change: impl FnOnce(&mut Phone) -> Result<(), PhonesError>,
    ) -> Result<(), PhonesError> {
        let mut store = self.store();
        let mut state = self.state();
        let mut phone = state.phones.get(&device).ok_or(PhonesError::Unknown(device))?.clone();
        change(&mut phone)?;
        let saved = Saved::of(device, &phone);
        store.save(std::slice::from_ref(&saved), None)?;
        phone.timeline.stored(&saved.moments);
        state.phones.insert(device, phone);
        Ok(())
    }
}
