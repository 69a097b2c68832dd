//! What phones prove with their certificates, and their connections' signs of life, for the secure-phone database.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use pinhole_devices::{self as devices, Refusal, Verified};
use pinhole_provisioning::phones::{BadCertificateId, CertificateId, Connections, SessionId};
use pinhole_provisioning::{Device, Failure, SecurityClass};
use pinhole_proxy::Silence;

use super::{OfCluster, Office};
use crate::tls::{self, Pinned};

/// The database is told of signs of life no more often than this.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// A device's connection, as the database knows it. It ends when this is dropped.
pub struct Session {
    office: Arc<Office>,
    device: Device,
    id: SessionId,
    class: SecurityClass,
    source: IpAddr,
    told: Instant,
}

/// A certificate as the database knows it.
///
/// # Errors
/// For one that the database could not keep; one that was read has the same bounds.
pub(super) fn certificate_id(id: &devices::CertificateId) -> Result<CertificateId, BadCertificateId> {
    CertificateId::new(&id.serial, &id.issuer, id.sha256)
}

/// A device with the certificate that it has shown, so that it can be kept. `None`: it is no phone by its name.
pub(super) fn shown(identity: &Verified) -> Option<(Device, CertificateId)> {
    let id = certificate_id(&identity.certificate).ok()?.with_der(&identity.der);
    Some((identity.device.parse().ok()?, id))
}

impl Office {
    /// Asks the database about a device that has proven to hold the key of its certificate. `None`: its cluster's phones
    /// fetch nothing from us, and are not in the database.
    ///
    /// # Errors
    /// Why the connection must end; it is counted, and stands in the phone's time line.
    pub fn admit(
        self: &Arc<Self>,
        identity: &Verified,
        connections: Connections,
        peer: SocketAddr,
    ) -> Result<Option<Session>, Failure> {
        let Some(cluster) = self.cluster_of(&identity.device).filter(|cluster| cluster.has_files) else {
            return Ok(None);
        };
        let (source, now) = (peer.ip().to_canonical(), SystemTime::now());
        let Some((device, certificate)) = shown(identity) else {
            self.counters.fail(Failure::CertificateName);
            return Err(Failure::CertificateName);
        };
        let id = self.phones.authenticated(device, &certificate, connections, source, now)?;
        // The class may change at any time, and ends the session then.
        let class = self.phones.class_of(device, id);
        let office = Arc::clone(self);
        let session =
            Session { office, device, id, class: class.unwrap_or_default(), source, told: Instant::now() };
        let refused = match class {
            None => Failure::NotAuthenticated,
            Some(SecurityClass::Authenticated) if !cluster.authenticated => Failure::ClassRefused,
            Some(_) => return Ok(Some(session)),
        };
        self.phones.failed(device, source, &certificate.to_string(), refused, now);
        Err(refused)
    }

    /// Refuses to have a device in a class that its cluster does not allow.
    ///
    /// # Errors
    /// What is to be set, for the operator.
    pub fn check_class(&self, device: Device, class: SecurityClass) -> Result<(), String> {
        match self.cluster_of(&device.to_string()) {
            Some(cluster) if class == SecurityClass::Authenticated && !cluster.authenticated => Err(format!(
                "the media of {device} would be in the clear outside, which its cluster {0:?} does not allow: set \
                 authenticated_devices = \"allow\" in [[cluster]] {0:?} and restart, or leave it encrypted",
                cluster.name
            )),
            _ => Ok(()),
        }
    }

    fn cluster_of(&self, device: &str) -> Option<&OfCluster> {
        self.clusters.iter().find(|cluster| cluster.devices.is_match(device))
    }

    /// Whether a device is of the class *authenticated*, and its cluster allows that and has its phones fetch from us: of all
    /// others, nothing may be in the clear outside.
    pub fn is_authenticated(&self, device: &str) -> bool {
        let allows = |cluster: &OfCluster| cluster.has_files && cluster.authenticated;
        let class = device.parse().ok().and_then(|device| self.phones.class(device));
        self.cluster_of(device).is_some_and(allows) && class == Some(SecurityClass::Authenticated)
    }

    /// Whether a certificate is pinned for a device.
    pub fn is_pinned(&self, device: &str, id: &devices::CertificateId) -> bool {
        let Ok(device) = device.parse() else { return false };
        certificate_id(id).is_ok_and(|id| self.phones.is_pinned(device, &id))
    }

    /// The same as a function.
    pub fn pinned(self: &Arc<Self>) -> Pinned {
        let office = Arc::clone(self);
        Arc::new(move |device, id| office.is_pinned(device, id))
    }

    /// A connection is refused: it is counted. What is not trusted stands in the time line of the device that it claims
    /// to be of; of other handshakes, only the address says whose they were.
    pub fn refused(&self, refusal: &tls::Refusal, peer: SocketAddr) {
        let at = || self.phones.device_at(peer.ip().to_canonical(), SystemTime::now());
        match refusal {
            tls::Refusal::Certificate(refused) => {
                let subject = refused.certificate.as_ref().map(ToString::to_string).unwrap_or_default();
                let device = refused.device.as_deref().and_then(|name| name.parse().ok());
                self.failed(device, peer, &subject, failure(&refused.refusal));
            }
            tls::Refusal::NotHolder(why) => self.failed(at(), peer, why, Failure::KeyNotHeld),
            tls::Refusal::NoCertificate | tls::Refusal::RefusedUs(_) | tls::Refusal::Protocol(_) => {
                self.failed(at(), peer, &refusal.to_string(), Failure::HandshakeFailed);
            }
        }
    }

    fn failed(&self, device: Option<Device>, peer: SocketAddr, subject: &str, failure: Failure) {
        match device {
            Some(device) => {
                let source = peer.ip().to_canonical();
                self.phones.failed(device, source, subject, failure, SystemTime::now());
            }
            None => self.counters.fail(failure),
        }
    }
}

impl Session {
    /// The device's security class.
    pub fn class(&self) -> SecurityClass {
        self.class
    }

    /// Whether the session still counts. That is no sign of life.
    ///
    /// # Errors
    /// As [`Session::registered`].
    pub fn holds(&self) -> Result<(), Failure> {
        match self.office.phones.class_of(self.device, self.id) {
            Some(_) => Ok(()),
            None => self.office.phones.keepalive(self.device, self.id, SystemTime::now()),
        }
    }

    /// The call manager has accepted a registration.
    ///
    /// # Errors
    /// When the database knows the session no longer: the connection is to be closed.
    pub fn registered(&self) -> Result<(), Failure> {
        self.office.phones.registered(self.device, self.id, SystemTime::now())
    }

    /// The call manager has refused a registration, in these words.
    pub fn not_registered(&self, answer: &str) {
        let now = SystemTime::now();
        self.office.phones.failed(self.device, self.source, answer, Failure::RegistrationFailed, now);
    }

    /// A call has ended in which nothing came from there.
    pub fn no_audio(&self, from: Silence) {
        let (subject, now) = (format!("no audio from {from}"), SystemTime::now());
        let failure = match from {
            Silence::Phone | Silence::FarEnd => Failure::NoAudio,
            Silence::Both => Failure::MediaAddress,
        };
        self.office.phones.failed(self.device, self.source, &subject, failure, now);
    }

    /// The phone has sent something.
    ///
    /// # Errors
    /// As [`Session::registered`].
    pub fn alive(&mut self, now: Instant) -> Result<(), Failure> {
        if now.saturating_duration_since(self.told) < SIGN_OF_LIFE {
            return Ok(());
        }
        self.told = now;
        self.office.phones.keepalive(self.device, self.id, SystemTime::now())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.office.phones.lost(self.device, self.id, SystemTime::now());
    }
}

/// As what it is counted.
pub(super) fn failure(refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::UnknownCa { .. } => Failure::CertificateUnknownCa,
        Refusal::Invalid(_) => Failure::CertificateInvalid,
        Refusal::ChainTooLong => Failure::CertificateChainTooLong,
        Refusal::Constraints { .. } => Failure::CertificateConstraints,
        Refusal::Weak { .. } => Failure::CertificateWeak,
        Refusal::Revoked { .. } => Failure::CertificateRevoked,
        Refusal::CrlOverdue { .. } => Failure::CertificateCrlOverdue,
        Refusal::NotYetValid { .. } => Failure::CertificateNotYetValid,
        Refusal::Name { .. } => Failure::CertificateName,
        Refusal::OtherCluster { .. } => Failure::CertificateOtherCluster,
        Refusal::Expired { .. } => Failure::CertificateExpired,
    }
}
