//! Whether a certificate is a device's: of its own authority, or of ours.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pinhole_devices::{At, Certificate, Listener, SettingsError, Verifier};
use pinhole_provisioning::phones::{CertificateId, Validity};
use pinhole_provisioning::{Device, Failure};

use crate::config::Config;
use crate::provisioning::{Office, sessions};

/// Verifies the certificates that devices were made with, as where they connect.
pub(super) struct Devices(Verifier);

/// What a certificate says.
pub(super) struct Facts {
    pub id: CertificateId,
    pub validity: Validity,
}

impl Devices {
    /// From the authorities that phones' certificates come from, as they are now.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(config: &Config) -> Result<Self, SettingsError> {
        Verifier::read(&config.trust()).map(Self).map_err(|mut mistakes| mistakes.swap_remove(0))
    }

    /// Whether a certificate is trusted now and names a device.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(
        &self,
        device: Device,
        der: &[u8],
        office: &Office,
        now: SystemTime,
    ) -> Result<(), Failure> {
        let pinned = |device: &str, id: &_| office.is_pinned(device, id);
        let verified = self.0.verify(&[der], &At { listener: Listener::Capf, now, pinned: &pinned });
        let verified = verified.map_err(|refused| {
            tracing::info!(%device, "at enrolment, {refused}");
            sessions::failure(&refused.refusal)
        })?;
        if *verified.device == *device.to_string() { Ok(()) } else { Err(Failure::CertificateOfOtherDevice) }
    }
}

impl Facts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// When it cannot be read, or not be pinned.
    pub fn read(der: &[u8]) -> Result<Self, Failure> {
        let certificate = Certificate::parse(der).map_err(|_| Failure::CertificateInvalid)?;
        let id = sessions::certificate_id(certificate.id()).map_err(|_| Failure::CertificateInvalid)?;
        let validity =
            Validity { from: time(certificate.not_before()), until: time(certificate.not_after()) };
        Ok(Self { id, validity })
    }
}

/// A time in seconds since 1970.
pub(super) fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
