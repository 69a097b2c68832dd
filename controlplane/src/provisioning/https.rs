//! TLS on the HTTPS port: our EC certificate, which the trust list has (provisioning 2.4), and the phone's, if it shows one.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use mio::net::TcpStream;
use openssl::hash::MessageDigest;
use openssl::x509::X509;
use pinhole_provisioning::phones::CertificateId;
use pinhole_provisioning::{Device, Failure};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CertificateError, ServerConfig, ServerConnection};
use thiserror::Error;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::Config;
use crate::tls::{DeviceNames, Files, FilesError};

/// Bytes of content that are encrypted ahead of what the socket has taken.
const PIECE: usize = 16_384;

/// Why there is no HTTPS.
#[derive(Debug, Error)]
pub enum HttpsError {
    /// The authorities of phones' certificates cannot be used.
    #[error("{key}: {0}", key = .0.key())]
    Files(#[from] FilesError),
    /// The pattern for device names is none.
    #[error("identity.device_name: {0}")]
    Names(#[from] regex::Error),
    /// The authority's key cannot be used.
    #[error("{0}")]
    Key(#[from] pinhole_trust::authority::Refused),
    /// Its form cannot be used.
    #[error("the authority's key for HTTPS cannot be used: {0}")]
    Form(#[from] openssl::error::ErrorStack),
    /// TLS cannot use it.
    #[error("the authority's certificate for HTTPS cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// What new connections begin with.
pub(super) struct Https {
    config: Arc<ServerConfig>,
    names: DeviceNames,
}

/// A connection's TLS.
pub(super) struct Session {
    connection: ServerConnection,
    names: DeviceNames,
    /// Bytes of content that were encrypted and are not all with the system yet.
    under_way: usize,
    /// The phone's certificate, once the handshake is done.
    shown: Option<(Device, CertificateId)>,
}

/// Why nothing more comes, or goes, now.
#[derive(Debug)]
pub(super) enum Stop {
    /// The socket has, or takes, nothing more now.
    Wait,
    /// Something else is to be tried first.
    Again,
    /// The connection is broken.
    Lost,
    /// TLS ends it.
    Refused(rustls::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::Wait,
            io::ErrorKind::Interrupted => Self::Again,
            _ => Self::Lost,
        }
    }
}

impl Https {
    /// From the authority's identity for HTTPS, and the authorities that phones' certificates come from.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn new(config: &Config, identity: &pinhole_trust::Identity) -> Result<Self, HttpsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = vec![CertificateDer::from(identity.certificate.to_der()?)];
        let key = PrivatePkcs8KeyDer::from(identity.key.private_key_to_pkcs8()?);
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_client_cert_verifier(verifier(config, provider)?)
            .with_single_cert(chain, key.into())?;
        // A resumed session would not be verified again.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let names = DeviceNames::new(&config.identity.device_name)?;
        Ok(Self { config: Arc::new(server), names })
    }

    /// A new connection.
    ///
    /// # Errors
    /// When rustls cannot make one.
    pub fn accept(&self) -> Result<Session, rustls::Error> {
        let mut connection = ServerConnection::new(Arc::clone(&self.config))?;
        connection.set_buffer_limit(Some(PIECE));
        Ok(Session { connection, names: self.names.clone(), under_way: 0, shown: None })
    }
}

impl Session {
    /// The verified certificate that the phone has shown, if it names a device.
    pub fn shown(&self) -> Option<&(Device, CertificateId)> {
        self.shown.as_ref()
    }

    /// Content from the peer; 0: its orderly end.
    pub fn read(&mut self, stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize, Stop> {
        match self.connection.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // An end that was not announced could be anybody's doing: it proves nothing.
            read => return Ok(read?),
        }
        if self.connection.read_tls(stream)? == 0 {
            return Err(Stop::Lost);
        }
        let was_handshaking = self.connection.is_handshaking();
        if let Err(error) = self.connection.process_new_packets() {
            // The peer is told why, if it takes that at once.
            let _ = self.connection.write_tls(stream);
            return Err(Stop::Refused(error));
        }
        if was_handshaking && !self.connection.is_handshaking() {
            self.shown = shown(&self.connection, &self.names);
        }
        Err(Stop::Again)
    }

    /// Encrypts content and hands it to the system; how many bytes of it the system has. As long as it has not taken
    /// them, the same content is to be given again.
    pub fn write(&mut self, stream: &mut TcpStream, content: &[u8]) -> Result<usize, Stop> {
        if self.under_way == 0 && !content.is_empty() {
            let piece = content.get(..PIECE).unwrap_or(content);
            self.under_way = self.connection.writer().write(piece)?;
        }
        while self.connection.wants_write() {
            if self.connection.write_tls(stream)? == 0 {
                return Err(Stop::Lost);
            }
        }
        Ok(std::mem::take(&mut self.under_way))
    }

    /// Says that nothing more comes.
    pub fn end(&mut self, stream: &mut TcpStream) {
        self.connection.send_close_notify();
        // Whoever does not take that at once sees the end of the connection.
        let _ = self.connection.write_tls(stream);
    }
}

/// How phones' certificates are verified. None has to be shown, but one that is shown must be good.
pub(super) fn verifier(
    config: &Config,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, FilesError> {
    let roots = Arc::new(Files::of(&config.outside).roots()?);
    WebPkiClientVerifier::builder_with_provider(roots, provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| FilesError::Unusable(error.to_string()))
}

/// The certificate of a finished handshake, if it names a device.
fn shown(connection: &ServerConnection, names: &DeviceNames) -> Option<(Device, CertificateId)> {
    let der = connection.peer_certificates()?.first()?;
    let device = names.of_certificate(der).ok()?.as_str().parse().ok()?;
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let sha256 = X509::from_der(der).ok()?.digest(MessageDigest::sha256()).ok()?;
    let issuer = certificate.issuer().to_string();
    let id = CertificateId::new(certificate.raw_serial(), &issuer, sha256.as_ref().try_into().ok()?);
    Some((device, id.ok()?.with_der(der)))
}

/// As what a handshake's failure is counted.
pub(super) fn failure(error: &rustls::Error) -> Failure {
    let rustls::Error::InvalidCertificate(reason) = error else { return Failure::HandshakeFailed };
    match reason {
        // The latter is what webpki says when an authority of the same name signed with another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Failure::CertificateUnknownCa,
        CertificateError::Revoked => Failure::CertificateRevoked,
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Failure::CertificateExpired,
        _ => Failure::CertificateInvalid,
    }
}
