//! TLS 1.2 and 1.3 by rustls.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use rustls::{CertificateError, Error, ServerConfig, ServerConnection};

use super::{Refusal, TlsSession};

/// A connection of a phone that speaks TLS 1.2 or 1.3.
pub struct Modern {
    connection: ServerConnection,
}

impl Modern {
    /// A new connection that buffers at most `write_buffer` bytes to be sent.
    ///
    /// # Errors
    /// When rustls cannot make one from the configuration.
    pub fn new(config: &Arc<ServerConfig>, write_buffer: usize) -> Result<Self, Refusal> {
        let mut connection = ServerConnection::new(Arc::clone(config))
            .map_err(|error| Refusal::Protocol(error.to_string()))?;
        connection.set_buffer_limit(Some(write_buffer));
        Ok(Self { connection })
    }
}

impl TlsSession for Modern {
    fn read_tls(&mut self, from: &mut dyn io::Read) -> io::Result<usize> {
        self.connection.read_tls(from)
    }

    fn process(&mut self) -> Result<(), Refusal> {
        self.connection.process_new_packets().map(drop).map_err(refusal)
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn read_plain(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.connection.reader().read(to)
    }

    fn write_plain(&mut self, bytes: &[u8]) -> usize {
        self.connection.writer().write(bytes).unwrap_or(0)
    }

    fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    fn write_tls(&mut self, mut to: &mut dyn io::Write) -> io::Result<usize> {
        self.connection.write_tls(&mut to)
    }

    fn send_close(&mut self) {
        self.connection.send_close_notify();
    }

    fn peer_certificate(&self) -> Option<&[u8]> {
        self.connection.peer_certificates()?.first().map(AsRef::as_ref)
    }

    fn description(&self) -> String {
        let version = match self.connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS",
        };
        let suite = self.connection.negotiated_cipher_suite();
        let suite = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown suite");
        format!("{version} {}", suite.trim_start_matches("TLS13_").trim_start_matches("TLS_"))
    }
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::NoCertificatesPresented => Refusal::NoCertificate,
        Error::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer => Refusal::UnknownCa,
            // What webpki says when an authority of the same name signed with another key.
            CertificateError::BadSignature => Refusal::UnknownCa,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Refusal::Expired(reason.to_string()),
            other => Refusal::BadCertificate(other.to_string()),
        },
        Error::AlertReceived(alert) => {
            let name = format!("{alert:?}");
            if name.contains("CA") || name.contains("Certificate") {
                Refusal::RefusedUs(name)
            } else {
                Refusal::Protocol(name)
            }
        }
        other => Refusal::Protocol(other.to_string()),
    }
}
