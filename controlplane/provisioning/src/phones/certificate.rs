//! Which certificate a device is known by.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::forms::hex;

/// The longest serial number in bytes: RFC 5280 section 4.1.2.2 allows 20, a sign byte may come on top, old issuers go
/// beyond.
pub const SERIAL_MAX: usize = 32;
/// The longest issuer name in bytes.
pub const ISSUER_MAX: usize = 512;

/// The longest certificate that is kept, in bytes of its DER.
pub const DER_MAX: usize = 4096;

/// A certificate that was shown and verified.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertificateId {
    serial: Box<[u8]>,
    issuer: Box<str>,
    sha256: [u8; 32],
    /// The certificate itself.
    der: Option<Arc<[u8]>>,
}

/// Why a certificate cannot be pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "not a certificate that can be pinned: 1 to {SERIAL_MAX} bytes of serial number and 1 to {ISSUER_MAX} of issuer are expected"
)]
pub struct BadCertificateId;

/// By what a device's certificate is recognised.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    serial: Box<[u8]>,
    /// Absent in a pin by list: any that certificates are accepted of. Who names the device in a certificate is
    /// trusted to do so, so it takes two issuers that are, and one serial number, to mistake one for the other.
    issuer: Option<Box<str>>,
    /// Absent in a pin by list, which may know no more than the serial number.
    sha256: Option<[u8; 32]>,
    origin: PinOrigin,
    /// The certificate itself, once it was seen: configurations are encrypted to it.
    der: Option<Arc<[u8]>>,
}

/// Where a pin comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinOrigin {
    /// It is the first certificate that the device has shown.
    FirstUse,
    /// The operator has named it.
    Listed,
    /// We have issued it to the device (CAPF).
    Issued,
    /// We had issued it, and the device has deleted it: it is known by it no more, and whoever still has the key cannot make
    /// it the device's first certificate again.
    Deleted,
}

impl CertificateId {
    /// A certificate by its serial number (big-endian, leading zeros are ignored), its issuer's name in one fixed
    /// notation, and the SHA-256 of its DER.
    ///
    /// # Errors
    /// An empty or overlong serial number or issuer, or an issuer with control characters.
    pub fn new(serial: &[u8], issuer: &str, sha256: [u8; 32]) -> Result<Self, BadCertificateId> {
        Ok(Self { serial: checked_serial(serial)?, issuer: checked_issuer(issuer)?, sha256, der: None })
    }

    /// The same with the certificate itself, DER, so that it is kept where it is pinned. One that is longer than
    /// [`DER_MAX`] is not.
    pub fn with_der(self, der: &[u8]) -> Self {
        Self { der: (der.len() <= DER_MAX).then(|| der.into()), ..self }
    }

    /// SHA-256 of its DER.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// A pin to exactly this certificate.
    pub fn pin(&self, origin: PinOrigin) -> Pin {
        Pin {
            serial: self.serial.clone(),
            issuer: Some(self.issuer.clone()),
            sha256: Some(self.sha256),
            origin,
            der: self.der.clone(),
        }
    }
}

impl Pin {
    /// A pin by serial number, and issuer if it is known, from a list.
    ///
    /// # Errors
    /// As [`CertificateId::new`].
    pub fn listed(serial: &[u8], issuer: Option<&str>) -> Result<Self, BadCertificateId> {
        Self::stored(serial, issuer, None, PinOrigin::Listed, None)
    }

    pub(super) fn stored(
        serial: &[u8],
        issuer: Option<&str>,
        sha256: Option<[u8; 32]>,
        origin: PinOrigin,
        der: Option<Arc<[u8]>>,
    ) -> Result<Self, BadCertificateId> {
        let serial = checked_serial(serial)?;
        let issuer = issuer.map(checked_issuer).transpose()?;
        Ok(Self { serial, issuer, sha256, origin, der })
    }

    /// Whether this is the certificate.
    pub fn matches(&self, certificate: &CertificateId) -> bool {
        self.origin != PinOrigin::Deleted && self.names(certificate)
    }

    /// The device has deleted the certificate.
    pub(super) fn delete(&mut self) {
        (self.origin, self.der) = (PinOrigin::Deleted, None);
    }

    fn names(&self, certificate: &CertificateId) -> bool {
        match self.sha256 {
            // Of all its bytes, whatever notation its issuer is written in.
            Some(sha256) => sha256 == certificate.sha256,
            None => {
                self.serial == certificate.serial
                    && self.issuer.as_ref().is_none_or(|issuer| *issuer == certificate.issuer)
            }
        }
    }

    /// Whether the other pins the same, whatever was seen of it.
    pub(super) fn pins_same(&self, other: &Self) -> bool {
        let Self { serial, issuer, sha256, origin, der: _ } = self;
        (serial, issuer, sha256, origin) == (&other.serial, &other.issuer, &other.sha256, &other.origin)
    }

    /// Keeps the certificate itself, if this is it. Whether it was not kept before.
    pub(super) fn see(&mut self, certificate: &CertificateId) -> bool {
        let is_new = certificate.der.is_some() && self.der != certificate.der && self.matches(certificate);
        if is_new {
            self.der.clone_from(&certificate.der);
        }
        is_new
    }

    /// The certificate itself, DER, once it was seen.
    pub fn der(&self) -> Option<&Arc<[u8]>> {
        self.der.as_ref()
    }

    /// Serial number, big-endian, without leading zeros.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The issuer's name; `None`: any.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// SHA-256 of the certificate's DER.
    pub fn sha256(&self) -> Option<&[u8; 32]> {
        self.sha256.as_ref()
    }

    /// Where it comes from.
    pub fn origin(&self) -> PinOrigin {
        self.origin
    }
}

fn checked_serial(serial: &[u8]) -> Result<Box<[u8]>, BadCertificateId> {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    // The serial number 0 keeps one byte.
    let short = serial.get(zeros.min(serial.len().saturating_sub(1))..).unwrap_or_default();
    if (1..=SERIAL_MAX).contains(&short.len()) { Ok(short.into()) } else { Err(BadCertificateId) }
}

fn checked_issuer(issuer: &str) -> Result<Box<str>, BadCertificateId> {
    let fits = (1..=ISSUER_MAX).contains(&issuer.len()) && !issuer.contains(char::is_control);
    if fits { Ok(issuer.into()) } else { Err(BadCertificateId) }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "serial {} of {}", hex(&self.serial), self.issuer)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "serial {} of {}", hex(&self.serial), self.issuer.as_deref().unwrap_or("any issuer"))
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?})", self.origin)
    }
}
