//! TLS towards the phones: mutual, certificate to device name, every refusal with its cause.
//!
//! The rest of the process sees a [`TlsSession`] and does not know which library is behind it, so
//! that a stack for old phones (TLS 1.0, SHA-1) can stand beside rustls without touching it.

mod files;
mod identity;
mod modern;
mod ours;

pub use files::{Files, FilesError, first_certificate};
pub use identity::DeviceNames;
pub use modern::Modern;
pub use ours::server_config;

use std::io;

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

    /// Queues the orderly end of the stream.
    fn send_close(&mut self);

    /// The peer's own certificate, DER, once the handshake is finished.
    fn peer_certificate(&self) -> Option<&[u8]>;

    /// TLS version and cipher suite, for people.
    fn description(&self) -> String;
}

/// Why a TLS connection was refused. Each cause has its own counter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The peer showed no certificate.
    #[error("showed no certificate")]
    NoCertificate,
    /// The peer's certificate comes from an authority that is not in `outside.client_ca`.
    #[error("its certificate is not from an authority in outside.client_ca")]
    UnknownCa,
    /// The peer's certificate is expired, or not valid yet.
    #[error("its certificate is out of its validity time ({0})")]
    Expired(String),
    /// The peer's certificate is broken or not fit for a client.
    #[error("its certificate is not acceptable ({0})")]
    BadCertificate(String),
    /// The peer refused our certificate.
    #[error(
        "it refused our certificate ({0} alert): does the phone trust the authority of outside.certificate?"
    )]
    RefusedUs(String),
    /// No TLS version, cipher suite or group in common, or not TLS at all.
    #[error("TLS failed ({0})")]
    Protocol(String),
}
