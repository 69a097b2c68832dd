//! TLS 1.2 and 1.3 by rustls.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use pinhole_devices::Verified;
use rustls::{ServerConfig, ServerConnection};

use super::witness::Witness;
use super::{Refusal, TlsSession};

/// A connection of a phone that speaks TLS 1.2 or 1.3.
pub struct Modern {
    connection: ServerConnection,
    /// Absent where phones show no certificate.
    witness: Option<Arc<Witness>>,
}

impl Modern {
    /// A new connection that buffers at most `write_buffer` bytes to be sent, of a phone that shows no certificate.
    ///
    /// # Errors
    /// When rustls cannot make one from the configuration.
    pub fn new(config: &Arc<ServerConfig>, write_buffer: usize) -> Result<Self, Refusal> {
        Ok(Self::with(ServerConnection::new(Arc::clone(config))?, None, write_buffer))
    }

    pub(super) fn with(
        mut connection: ServerConnection,
        witness: Option<Arc<Witness>>,
        write_buffer: usize,
    ) -> Self {
        connection.set_buffer_limit(Some(write_buffer));
        Self { connection, witness }
    }
}

impl TlsSession for Modern {
    fn read_tls(&mut self, from: &mut dyn io::Read) -> io::Result<usize> {
        self.connection.read_tls(from)
    }

    fn process(&mut self) -> Result<(), Refusal> {
        let Err(error) = self.connection.process_new_packets() else { return Ok(()) };
        Err(match &self.witness {
            Some(witness) => witness.refusal(error),
            None => error.into(),
        })
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

    fn take_identity(&mut self) -> Option<Verified> {
        let witness = self.witness.as_ref().filter(|_| !self.connection.is_handshaking())?;
        witness.take()?.ok()
    }

    fn is_encrypted(&self) -> bool {
        // rustls has no NULL cipher.
        true
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
