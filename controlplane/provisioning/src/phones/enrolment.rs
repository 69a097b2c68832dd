//! Enrolment of certificates: whom we may issue one to, and that we have.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::certificate::{CertificateId, PinOrigin};
use super::phone::{Admission, Phone};
use super::timeline::{Moment, What};
use super::{PhonePolicy, Phones, PhonesError, StoredPassword};
use crate::forms::millis;
use crate::{Counter, Device, Failure};

/// The last certificate that we have issued to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Issued {
    pub sha256: [u8; 32],
    pub from_ms: u64,
    pub until_ms: u64,
    /// The operator wants the phone to delete it.
    pub is_withdrawn: bool,
}

/// A certificate that is to be issued to a device, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From when it is good.
    pub from: SystemTime,
    /// Until when.
    pub until: SystemTime,
}

/// What enrolment must know of a device before it is issued a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enrolling {
    /// The operator has asked for a certificate: a one-time password is set, and could still be used.
    pub is_asked: bool,
    /// The operator wants the one before to be deleted.
    pub is_withdrawn: bool,
    /// The end of the one before.
    pub issued_until: Option<SystemTime>,
}

impl Phones {
    /// What is to be known of a device that wants a certificate.
    ///
    /// # Errors
    /// [`Failure::NotAllowed`].
    pub fn enrolling(&self, device: Device, now: SystemTime) -> Result<Enrolling, Failure> {
        let state = self.state();
        let phone = state.phones.get(&device).ok_or(Failure::NotAllowed)?;
        let now = millis(now);
        let is_good = |password: &StoredPassword| now < password.expires_ms && password.attempts_left > 0;
        Ok(Enrolling {
            is_asked: phone.password.as_ref().is_some_and(is_good),
            is_withdrawn: phone.issued.is_some_and(|issued| issued.is_withdrawn),
            issued_until: phone.issued.map(|issued| UNIX_EPOCH + Duration::from_millis(issued.until_ms)),
        })
    }

    /// Under what a device is known now: it is another once the device was forgotten or fell idle, or what was issued to it was
    /// withdrawn. What is proved under one counts under that one only.
    pub fn epoch(&self, device: Device) -> Option<u64> {
        self.state().phones.get(&device).map(|phone| phone.epoch)
    }

    /// Whether a certificate, by its SHA-256, is one that we have issued to a device, and by which it is known.
    pub fn is_issued(&self, device: Device, sha256: &[u8; 32]) -> bool {
        self.state().phones.get(&device).is_some_and(|phone| {
            let mut issued = phone.pins.iter().filter(|pin| pin.origin() == PinOrigin::Issued);
            issued.any(|pin| pin.sha256() == Some(sha256))
        })
    }

    /// Whether a certificate that was verified and names a device is one that it is known by, or could become so. Nothing
    /// changes, since the phone has not proved that it has the key.
    ///
    /// # Errors
    /// When it is not.
    pub fn would_recognise(&self, device: Device, certificate: &CertificateId) -> Result<(), Failure> {
        let state = self.state();
        let phone = state.phones.get(&device).ok_or(Failure::NotAllowed)?;
        phone.is_known_by(certificate, &self.policy).map(drop)
    }

    /// A phone has proved that it has the key of a certificate that was verified and names it. The first one is pinned,
    /// under the same rules as when a phone connects with it. Nothing is counted: the caller says what it was for.
    ///
    /// # Errors
    /// When the device is not known by it, or that cannot be written.
    pub fn recognise(
        &self,
        device: Device,
        certificate: &CertificateId,
        source: IpAddr,
        now: SystemTime,
    ) -> Result<(), Failure> {
        let mut store = self.store();
        let mut state = self.state();
        let phone = state.phones.get_mut(&device).ok_or(Failure::NotAllowed)?;
        let source = source.to_canonical();
        if phone.is_known_by(certificate, &self.policy)? {
            phone.proven(source);
            return Ok(());
        }
        let mut phone = phone.clone();
        phone.proven(source);
        phone.pins.push(certificate.pin(PinOrigin::FirstUse));
        phone.admission = Admission::Allowed;
        let moment = Moment::new(millis(now), What::Pinned, &certificate.to_string());
        phone.note(moment.source(source));
        self.commit(&mut store, &mut state, device, phone, None)?;
        self.counters.count(Counter::PinnedAtFirstUse);
        Ok(())
    }

    /// We issue a certificate to a device: it is known by it from now on, and a one-time password that is still set is used
    /// up. Of those issued before, one stays until the next: the last that the phone has shown, since what was issued after it
    /// may never have been stored there.
    ///
    /// # Errors
    /// When the device is not known, or under this [`epoch`](Self::epoch) no more, has too many certificates, or the database
    /// cannot be written: then it must not get it.
    pub fn issued(
        &self,
        (device, epoch): (Device, u64),
        certificate: &CertificateId,
        validity: Validity,
        source: IpAddr,
        now: SystemTime,
    ) -> Result<(), PhonesError> {
        let now = millis(now);
        self.change(device, |phone| {
            phone.is_still(device, epoch)?;
            phone.pin_issued(device, certificate.pin(PinOrigin::Issued))?;
            phone.password = None;
            phone.admission = Admission::Allowed;
            phone.issued = Some(Issued {
                sha256: *certificate.sha256(),
                from_ms: millis(validity.from),
                until_ms: millis(validity.until),
                is_withdrawn: false,
            });
            phone.proven(source.to_canonical());
            let moment = Moment::new(now, What::Issued, &certificate.to_string());
            phone.note(moment.source(source.to_canonical()));
            Ok(())
        })?;
        self.counters.count(Counter::CertificatesIssued);
        Ok(())
    }

    /// The operator wants a phone to delete the certificate that we have issued to it. It goes on to be known by it until
    /// it comes to enrolment and says that it has deleted it.
    ///
    /// # Errors
    /// When the device is not known, has none, or the database cannot be written.
    pub fn withdraw(&self, device: Device, now: SystemTime) -> Result<(), PhonesError> {
        let epoch = self.state().number();
        self.change(device, |phone| {
            let issued = phone.issued.as_mut().ok_or(PhonesError::NothingIssued(device))?;
            issued.is_withdrawn = true;
            phone.epoch = epoch;
            phone.note(Moment::new(millis(now), What::Withdrawn, ""));
            Ok(())
        })
    }

    /// A phone has deleted what we had issued to it: it is not known by that any more, and by nothing else unless it is by
    /// its password or the operator says so, since somebody else may have the key.
    ///
    /// # Errors
    /// When the device is not known, or under this [`epoch`](Self::epoch) no more, or the database cannot be written.
    pub fn deleted(
        &self,
        (device, epoch): (Device, u64),
        source: IpAddr,
        now: SystemTime,
    ) -> Result<(), PhonesError> {
        self.change(device, |phone| {
            phone.is_still(device, epoch)?;
            let issued = phone.pins.iter_mut().filter(|pin| pin.origin() == PinOrigin::Issued);
            issued.for_each(super::Pin::delete);
            phone.issued = None;
            phone.note(Moment::new(millis(now), What::Deleted, "").source(source.to_canonical()));
            Ok(())
        })?;
        self.counters.count(Counter::CertificatesDeleted);
        Ok(())
    }
}

impl Phone {
    /// Whether a certificate is pinned; `false`: it may be, as the first one.
    fn is_known_by(&self, certificate: &CertificateId, policy: &PhonePolicy) -> Result<bool, Failure> {
        if self.pins.is_empty() {
            return self.may_pin_first(policy).map(|()| false);
        }
        let is_known = self.pins.iter().any(|pin| pin.matches(certificate));
        if is_known { Ok(true) } else { Err(Failure::PinMismatch) }
    }

    /// Pins a certificate that we issue, and lets go all that were issued before but one.
    pub(super) fn pin_issued(&mut self, device: Device, pin: super::Pin) -> Result<(), PhonesError> {
        let is_issued = |pin: &super::Pin| pin.origin() == PinOrigin::Issued;
        let shown = self.pins.iter().rposition(|pin| is_issued(pin) && pin.der().is_some());
        let kept = shown.or_else(|| self.pins.iter().rposition(is_issued));
        let mut at = 0;
        self.pins.retain(|pin| {
            at += 1;
            !is_issued(pin) || Some(at - 1) == kept
        });
        self.forget_deleted();
        if self.pins.len() >= super::PINS_MAX {
            return Err(PhonesError::PinsFull(device));
        }
        self.pins.push(pin);
        Ok(())
    }

    fn is_still(&self, device: Device, epoch: u64) -> Result<(), PhonesError> {
        if self.epoch == epoch { Ok(()) } else { Err(PhonesError::Changed(device)) }
    }

    /// Makes room for a pin, if need be, by what the device has deleted longest ago.
    pub(super) fn forget_deleted(&mut self) {
        let oldest = self.pins.iter().position(|pin| pin.origin() == PinOrigin::Deleted);
        if let Some(oldest) = oldest.filter(|_| self.pins.len() >= super::PINS_MAX) {
            self.pins.remove(oldest);
        }
    }
}
