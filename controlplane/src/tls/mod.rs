//! TLS towards the phones, and towards call managers where that is wanted. Towards phones: mutual, certificate to device name, every refusal with its cause.
//!
//! The rest of the process sees a [`TlsSession`] and does not know which library is behind it, so
//! that a stack for old phones (TLS 1.0, SHA-1) can stand beside rustls without touching it.

mod acceptor;
mod caller;
mod files;
mod legacy;
mod modern;
mod ours;
mod stand_in;
mod witness;

pub use acceptor::{Acceptor, Acceptors, Pinned, Trust};
pub use caller::{Caller, Known, KnownError, Ours};
pub use files::{Files, FilesError, first_certificate};
pub use legacy::Legacy;
pub use modern::Modern;
pub use ours::server_config;
pub use stand_in::StandIns;
pub use witness::Witness;

use std::io;

use pinhole_devices::{Refused, Verified};
use thiserror::Error;

/// One TLS connection, as server, without its socket.
pub trait TlsSession: Send {
    /// Takes ciphertext from the socket. `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    /// What the socket says; `WouldBlock` when it has no more.
    fn read_tls(&mut self, from: &mut dyn io::Read) -> io::Result<usize>;

    /// Works on what was taken. After an error an alert may wait to be sent.
    ///
    /// # Errors
    /// Why the connection must end.
    fn process(&mut self) -> Result<(), Refusal>;

    /// Whether the handshake is not finished.
    fn is_handshaking(&self) -> bool;

    /// Copies plaintext out. `Ok(0)` is the peer's orderly end.
    ///
    /// # Errors
    /// `WouldBlock` when there is none now; `UnexpectedEof` when the peer cut the stream.
    fn read_plain(&mut self, to: &mut [u8]) -> io::Result<usize>;

    /// Takes plaintext to be sent; how many bytes fitted the bounded buffer.
    fn write_plain(&mut self, bytes: &[u8]) -> usize;

    /// Whether ciphertext waits to be sent.
    fn wants_write(&self) -> bool;

    /// Hands ciphertext to the socket.
    ///
    /// # Errors
    /// What the socket says; `WouldBlock` when it takes no more.
    fn write_tls(&mut self, to: &mut dyn io::Write) -> io::Result<usize>;

    /// Sends as much as the socket takes; true when nothing is left. A broken socket shows when it is read.
    fn flush(&mut self, to: &mut dyn io::Write) -> bool {
        while self.wants_write() {
            match self.write_tls(to) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
        true
    }

    /// Queues the orderly end of the stream.
    fn send_close(&mut self);

    /// Who the peer has proven to be, once the handshake is finished. To be taken once.
    fn take_identity(&mut self) -> Option<Verified>;

    /// Whether what is said is hidden. With the NULL cipher it is not.
    fn is_encrypted(&self) -> bool;

    /// TLS version and cipher suite, for people.
    fn description(&self) -> String;
}

/// Why a TLS connection was refused. Each cause has its own counter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The peer showed no certificate.
    #[error("showed no certificate")]
    NoCertificate,
    /// The peer's certificate is not trusted.
    #[error(transparent)]
    Certificate(#[from] Box<Refused>),
    /// The peer does not hold the key of the certificate that it shows.
    #[error("it has not proven to hold the key of the certificate that it shows ({0})")]
    NotHolder(String),
    /// The peer refused our certificate.
    #[error("it refused our certificate ({0} alert): does the phone trust it, or its authority?")]
    RefusedUs(String),
    /// No TLS version, cipher suite or group in common, or not TLS at all.
    #[error("TLS failed ({0})")]
    Protocol(String),
}

impl From<rustls::Error> for Refusal {
    fn from(error: rustls::Error) -> Self {
        use rustls::Error;
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(reason) => Self::NotHolder(reason.to_string()),
            Error::AlertReceived(alert) => {
                let name = format!("{alert:?}");
                if name.contains("CA") || name.contains("Certificate") {
                    Self::RefusedUs(name)
                } else {
                    Self::Protocol(name)
                }
            }
            other => Self::Protocol(other.to_string()),
        }
    }
}
