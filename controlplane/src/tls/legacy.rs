//! The clear stream of an old phone: its TLS has ended in another process (`pinhole-legacy-tls`).

use std::io;

use pinhole_devices::Verified;
use pinhole_legacy_tls::{CipherSuite, Version};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Refusal, TlsSession};

/// Bytes taken at a time.
const CHUNK: usize = 16_384;

/// A connection whose handshake was finished by `pinhole-legacy-tls`, and whose certificate was verified here.
pub struct Legacy {
    identity: Option<Verified>,
    version: Version,
    suite: CipherSuite,
    /// Taken and not yet read.
    received: Zeroizing<Vec<u8>>,
    /// To be sent: from `sent` on.
    sending: Zeroizing<Vec<u8>>,
    sent: usize,
    write_buffer: usize,
    ended: bool,
    closing: bool,
}

impl Legacy {
    /// Of a phone that is trusted; at most `write_buffer` bytes wait to be sent.
    pub fn new(identity: Verified, version: Version, suite: CipherSuite, write_buffer: usize) -> Self {
        Self {
            identity: Some(identity),
            version,
            suite,
            received: Zeroizing::default(),
            sending: Zeroizing::default(),
            sent: 0,
            write_buffer,
            ended: false,
            closing: false,
        }
    }

    fn waiting(&self) -> &[u8] {
        self.sending.get(self.sent..).unwrap_or_default()
    }
}

impl TlsSession for Legacy {
    fn read_tls(&mut self, from: &mut dyn io::Read) -> io::Result<usize> {
        let mut chunk = Zeroizing::new([0; CHUNK]);
        let length = from.read(&mut *chunk)?;
        self.received.extend_from_slice(chunk.get(..length).unwrap_or_default());
        self.ended = length == 0;
        Ok(length)
    }

    fn process(&mut self) -> Result<(), Refusal> {
        Ok(())
    }

    fn is_handshaking(&self) -> bool {
        false
    }

    fn read_plain(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let length = self.received.len().min(to.len());
        if length == 0 {
            return if self.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        to.iter_mut().zip(self.received.drain(..length)).for_each(|(to, from)| *to = from);
        Ok(length)
    }

    fn write_plain(&mut self, bytes: &[u8]) -> usize {
        if self.closing {
            return 0;
        }
        if self.sent > 0 {
            self.sending.drain(..self.sent);
            self.sent = 0;
        }
        let length = bytes.len().min(self.write_buffer.saturating_sub(self.sending.len()));
        self.sending.extend_from_slice(bytes.get(..length).unwrap_or_default());
        length
    }

    fn wants_write(&self) -> bool {
        !self.waiting().is_empty()
    }

    fn write_tls(&mut self, to: &mut dyn io::Write) -> io::Result<usize> {
        let length = to.write(self.waiting())?;
        self.sent += length;
        if !self.wants_write() {
            self.sending.zeroize();
            self.sent = 0;
        }
        Ok(length)
    }

    fn send_close(&mut self) {
        // The end of the stream, which follows, is the orderly end for the other process.
        self.closing = true;
    }

    fn take_identity(&mut self) -> Option<Verified> {
        self.identity.take()
    }

    fn is_encrypted(&self) -> bool {
        self.suite.encrypts()
    }

    fn description(&self) -> String {
        format!("{} {} (legacy)", self.version.name(), self.suite.name())
    }
}
