//! Whether a certificate is a device's: of its own authority, or of ours.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::sha::sha256;
use pinhole_provisioning::phones::{CertificateId, Validity};
use pinhole_provisioning::{Device, Failure};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use crate::config::Config;
use crate::provisioning::https::{self, HttpsError};
use crate::tls::DeviceNames;

/// Verifies the certificates that devices were made with, as where they connect.
pub(super) struct Devices {
    verifier: Arc<dyn ClientCertVerifier>,
    names: DeviceNames,
}

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
    pub fn new(config: &Config) -> Result<Self, HttpsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let names = DeviceNames::new(&config.identity.device_name)?;
        Ok(Self { verifier: https::verifier(config, provider)?, names })
    }

    /// Whether a certificate is trusted now and names a device.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, device: Device, der: &[u8], now: SystemTime) -> Result<(), Failure> {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let verified = self.verifier.verify_client_cert(
            &CertificateDer::from(der),
            &[],
            UnixTime::since_unix_epoch(since),
        );
        verified.map_err(|error| https::failure(&error))?;
        let named = self.names.of_certificate(der).map_err(|_| Failure::CertificateInvalid)?;
        if named.as_str() == device.to_string() { Ok(()) } else { Err(Failure::CertificateOfOtherDevice) }
    }
}

impl Facts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// When it cannot be read, or not be pinned.
    pub fn read(der: &[u8]) -> Result<Self, Failure> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| Failure::CertificateInvalid)?;
        let issuer = certificate.issuer().to_string();
        let id = CertificateId::new(certificate.raw_serial(), &issuer, sha256(der));
        let validity = certificate.validity();
        Ok(Self {
            id: id.map_err(|_| Failure::CertificateInvalid)?,
            validity: Validity { from: time(validity.not_before), until: time(validity.not_after) },
        })
    }
}

fn time(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds)
}
