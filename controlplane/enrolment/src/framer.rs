//! From a stream of bytes to messages.

use std::marker::PhantomData;

use crate::Malformed;
use crate::element::Elements;

/// The most bytes of a message's elements. A certificate of four kilobytes beside three signatures fits.
pub const PAYLOAD_MAX: usize = 16 * 1024;

/// A protocol whose messages are a header of fixed length, which says how many bytes of elements follow.
pub trait Protocol {
    /// What the header says beside the length.
    type Header;
    /// Bytes of the header.
    const HEADER: usize;

    /// Reads a header of [`HEADER`](Self::HEADER) bytes; gives the length of what follows as well.
    ///
    /// # Errors
    /// When it is none.
    fn header(bytes: &[u8]) -> Result<(Self::Header, usize), Malformed>;
}

/// Cuts messages out of a stream. It holds at most one message that is not finished, and what was pushed behind it.
pub struct Framer<P> {
    bytes: Vec<u8>,
    broken: Option<Malformed>,
    protocol: PhantomData<P>,
}

impl<P: Protocol> Default for Framer<P> {
    fn default() -> Self {
        Self { bytes: Vec::new(), broken: None, protocol: PhantomData }
    }
}

impl<P: Protocol> Framer<P> {
    /// Takes what has come. The caller takes all messages out before it pushes more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Bytes that belong to no finished message yet.
    pub fn pending(&self) -> usize {
        self.bytes.len()
    }

    /// The next message: its header and its elements. After an error there is nothing but that error.
    ///
    /// # Errors
    /// When the stream is not of this protocol.
    pub fn take(&mut self) -> Option<Result<(P::Header, Elements), Malformed>> {
        if let Some(broken) = &self.broken {
            return Some(Err(broken.clone()));
        }
        let message = self.message().transpose()?;
        if let Err(error) = &message {
            self.broken = Some(error.clone());
            self.bytes.clear();
        }
        Some(message)
    }

    fn message(&mut self) -> Result<Option<(P::Header, Elements)>, Malformed> {
        let Some(header) = self.bytes.get(..P::HEADER) else { return Ok(None) };
        // Before the rest has come: nobody makes us wait for what is refused anyway.
        let (header, len) = P::header(header)?;
        if len > PAYLOAD_MAX {
            return Err(Malformed::TooLong(len, PAYLOAD_MAX));
        }
        let Some(payload) = self.bytes.get(P::HEADER..P::HEADER + len) else { return Ok(None) };
        let elements = Elements::parse(payload)?;
        self.bytes.drain(..P::HEADER + len);
        Ok(Some((header, elements)))
    }
}

impl<P> std::fmt::Debug for Framer<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Framer({} bytes)", self.bytes.len())
    }
}
