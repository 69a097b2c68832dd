//! What new connections begin with: our certificate, and who is trusted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use pinhole_devices::{At, CertificateId, Listener, Refused, Verified, Verifier};
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{DistinguishedName, ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::witness::Witness;
use super::{Caller, Modern, Refusal};
use crate::config::TlsVersion;

static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
static NEWEST: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// Whether a certificate is pinned for a device.
pub type Pinned = Arc<dyn Fn(&str, &CertificateId) -> bool + Send + Sync>;

/// Begins TLS connections of phones, as server. It is made anew when certificates are read again.
pub struct Acceptor {
    provider: Arc<CryptoProvider>,
    versions: &'static [&'static SupportedProtocolVersion],
    certificate: Arc<SingleCertAndKey>,
    trust: Arc<Trust>,
}

/// What connections begin with at each of the signalling listeners, and to call managers.
pub struct Acceptors {
    /// For SIP.
    pub sip: Acceptor,
    /// For SCCP.
    pub sccp: Acceptor,
    /// To the call managers of a cluster that are reached by TLS.
    pub callers: HashMap<(usize, SocketAddr), Caller>,
}

/// Who is trusted at a listener.
pub struct Trust {
    pub(super) verifier: Arc<Verifier>,
    pub(super) listener: Listener,
    /// The names of authorities, which are told to phones.
    pub(crate) subjects: Vec<DistinguishedName>,
    pub(super) pinned: Pinned,
    /// Whether a certificate has to be shown; one that is shown must be good.
    pub(super) is_needed: bool,
}

impl Trust {
    /// Demands a certificate from every phone.
    pub fn new(verifier: Arc<Verifier>, listener: Listener, pinned: Pinned) -> Self {
        let mut subjects: Vec<_> = verifier.subjects(listener).map(<[u8]>::to_vec).collect();
        subjects.sort_unstable();
        subjects.dedup();
        let subjects = subjects.into_iter().map(DistinguishedName::from).collect();
        Self { verifier, listener, subjects, pinned, is_needed: true }
    }

    /// The verdict about what a phone has shown, its own certificate first.
    ///
    /// # Errors
    /// Why it is not trusted.
    pub fn judge(&self, chain: &[&[u8]], now: SystemTime) -> Result<Verified, Box<Refused>> {
        self.verifier.verify(chain, &At { listener: self.listener, now, pinned: &*self.pinned })
    }

    /// Phones may show none.
    pub fn optional(self) -> Self {
        Self { is_needed: false, ..self }
    }
}

impl Acceptor {
    /// With our certificate and key.
    pub fn new(ours: CertifiedKey, least: TlsVersion, trust: Trust) -> Self {
        let versions: &'static [_] = match least {
            TlsVersion::Tls12 => &BOTH,
            TlsVersion::Tls13 => &NEWEST,
        };
        Self {
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            versions,
            certificate: Arc::new(SingleCertAndKey::from(ours)),
            trust: Arc::new(trust),
        }
    }

    /// Who is trusted.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// A new connection, and who keeps the verdict about its phone.
    ///
    /// # Errors
    /// When rustls cannot make one.
    pub fn connection(&self) -> Result<(ServerConnection, Arc<Witness>), rustls::Error> {
        let witness = Arc::new(Witness::new(Arc::clone(&self.trust), &self.provider));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.versions)?
            .with_client_cert_verifier(Arc::clone(&witness) as Arc<_>)
            .with_cert_resolver(Arc::clone(&self.certificate) as Arc<_>);
        // A resumed session would not be verified again: a certificate that has expired, or whose
        // authority was removed since, would still be good.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok((ServerConnection::new(Arc::new(config))?, witness))
    }

    /// The same, as a session that buffers at most `write_buffer` bytes to be sent.
    ///
    /// # Errors
    /// When rustls cannot make one.
    pub fn accept(&self, write_buffer: usize) -> Result<Modern, Refusal> {
        let (connection, witness) = self.connection()?;
        Ok(Modern::with(connection, Some(witness), write_buffer))
    }
}
