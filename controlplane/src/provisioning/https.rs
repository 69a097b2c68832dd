//! TLS on the HTTPS port: our EC certificate, which the trust list has (provisioning 2.4), and the phone's, if it shows one.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use mio::net::TcpStream;
use pinhole_devices::{Listener, SettingsError, Verifier};
use pinhole_provisioning::Device;
use pinhole_provisioning::phones::CertificateId;
use rustls::ServerConnection;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use super::{Office, sessions};
use crate::config::{Config, TlsVersion};
use crate::tls::{Acceptor, Refusal, Trust, Witness};

/// Bytes of content that are encrypted ahead of what the socket has taken.
const PIECE: usize = 16_384;

/// Why there is no HTTPS.
#[derive(Debug, Error)]
pub enum HttpsError {
    /// The authorities of phones' certificates cannot be used.
    #[error(transparent)]
    Identity(#[from] SettingsError),
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
pub(super) struct Https(Acceptor);

/// A connection's TLS.
pub(super) struct Session {
    connection: ServerConnection,
    witness: Arc<Witness>,
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
    Refused(Refusal),
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
    /// From the authority's identity for HTTPS, and the authorities that phones' certificates come from. None has to be
    /// shown, but one that is shown must be good.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn new(
        config: &Config,
        identity: &pinhole_trust::Identity,
        office: &Arc<Office>,
    ) -> Result<Self, HttpsError> {
        let chain = vec![CertificateDer::from(identity.certificate.to_der()?)];
        let key = PrivatePkcs8KeyDer::from(identity.key.private_key_to_pkcs8()?);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let ours = CertifiedKey::from_der(chain, key.into(), &provider)?;
        let verifier = Verifier::read(&config.trust()).map_err(|mut mistakes| mistakes.swap_remove(0))?;
        let trust = Trust::new(Arc::new(verifier), Listener::Https, office.pinned()).optional();
        Ok(Self(Acceptor::new(ours, TlsVersion::Tls12, trust)))
    }

    /// A new connection.
    ///
    /// # Errors
    /// When rustls cannot make one.
    pub fn accept(&self) -> Result<Session, rustls::Error> {
        let (mut connection, witness) = self.0.connection()?;
        connection.set_buffer_limit(Some(PIECE));
        Ok(Session { connection, witness, under_way: 0, shown: None })
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
            return Err(Stop::Refused(self.witness.refusal(error)));
        }
        if was_handshaking && !self.connection.is_handshaking() {
            let identity = self.witness.take().and_then(Result::ok);
            self.shown = identity.and_then(|identity| sessions::shown(&identity));
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
