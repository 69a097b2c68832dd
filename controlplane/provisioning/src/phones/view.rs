//! What an operator sees of a phone.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::certificate::{Pin, PinOrigin};
use super::enrolment::Issued;
use super::phone::{Admission, HeldTrustList, Phone, Stage};
use super::timeline::{Moment, Timeline};
use crate::forms::hex;
use crate::{Device, SecurityClass};

/// A phone. Times are in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhoneView {
    /// Its device name.
    pub device: String,
    /// How it has come to be allowed.
    pub admission: Admission,
    /// How it protects its signalling.
    pub class: SecurityClass,
    /// How far it has come.
    pub stage: Stage,
    /// When that was last confirmed.
    pub active_ms: u64,
    /// Where its connection comes from.
    pub connected_from: Option<IpAddr>,
    /// Where its trust list was fetched lately.
    pub fetched_from: Vec<IpAddr>,
    /// The trust list that it holds.
    pub trust_list: Option<HeldTrustList>,
    /// The certificates that it is known by.
    pub pins: Vec<PinView>,
    /// The last certificate that we have issued to it.
    #[serde(default)]
    pub issued: Option<IssuedView>,
    /// Until when its one-time password can be used.
    pub password_until_ms: Option<u64>,
    /// What happened to it, the oldest first. Empty in a list.
    pub timeline: Vec<Moment>,
}

/// A certificate that a phone is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinView {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Issuer; absent: any.
    pub issuer: Option<String>,
    /// SHA-256 of the certificate, hexadecimal.
    pub sha256: Option<String>,
    /// Where the pin comes from.
    pub origin: PinOrigin,
}

/// A certificate that we have issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedView {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// From when it is good.
    pub from_ms: u64,
    /// Until when.
    pub until_ms: u64,
    /// The phone shall delete it.
    pub is_withdrawn: bool,
}

impl PhoneView {
    pub(super) fn of(device: Device, phone: &Phone) -> Self {
        Self {
            device: device.to_string(),
            admission: phone.admission,
            class: phone.class,
            stage: phone.stage(),
            active_ms: phone.active_ms,
            connected_from: phone.sessions.last().map(|session| session.source),
            fetched_from: phone.fetches.iter().map(|fetch| fetch.source).collect(),
            trust_list: phone.held,
            pins: phone.pins.iter().map(PinView::of).collect(),
            issued: phone.issued.map(|issued| IssuedView::of(issued, &phone.pins)),
            password_until_ms: phone.password.as_ref().map(|password| password.expires_ms),
            timeline: Vec::new(),
        }
    }

    pub(super) fn of_stranger(device: Device, seen_ms: u64) -> Self {
        let phone =
            Phone::new(Admission::Stranger, SecurityClass::default(), Timeline::default(), 0, seen_ms);
        Self::of(device, &phone)
    }
}

impl IssuedView {
    fn of(issued: Issued, pins: &[Pin]) -> Self {
        let pin = pins.iter().find(|pin| pin.sha256() == Some(&issued.sha256));
        let Issued { from_ms, until_ms, is_withdrawn, .. } = issued;
        Self { serial: pin.map(|pin| hex(pin.serial())).unwrap_or_default(), from_ms, until_ms, is_withdrawn }
    }
}

impl PinView {
    fn of(pin: &Pin) -> Self {
        Self {
            serial: hex(pin.serial()),
            issuer: pin.issuer().map(str::to_owned),
            sha256: pin.sha256().map(|sha256| hex(sha256)),
            origin: pin.origin(),
        }
    }
}
