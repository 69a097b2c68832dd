use std::fmt;

use zeroize::Zeroizing;

use crate::{FieldError, FrameError, Limits, MessageId};

/// Bytes before the body: length, header version, message id.
pub(crate) const HEADER: usize = 12;
/// Bytes that the length field does not count: itself and the header version.
const UNCOUNTED: usize = 8;

/// One SCCP message as it came: length (4 bytes), header version (4), message id (4), body; integers little-endian (sccp 2.6.1).
///
/// A frame owns its bytes. Views ([`Frame::channel`], [`Frame::registration`], [`Frame::servers`], [`Frame::call`],
/// [`Frame::user_data`]) read fields out of it, and their setters change those fields' bytes only. The bytes are wiped when
/// the frame is dropped, since they may hold keys; `Debug` shows name, version and length.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Zeroizing<Vec<u8>>,
}

impl Frame {
    /// Reads exactly one frame.
    ///
    /// # Errors
    /// [`FrameError`]; [`FrameError::NotOneFrame`] if bytes are missing or left over.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, FrameError> {
        match frame_len(bytes, limits)? {
            Some(length) if length == bytes.len() => Ok(Self::from_whole(bytes)),
            announced => {
                Err(FrameError::NotOneFrame { announced: announced.unwrap_or(HEADER), actual: bytes.len() })
            }
        }
    }

    /// A frame with this body. `version` is the header version: see [`header_version`].
    ///
    /// # Errors
    /// [`FrameError::TooLong`] beyond [`Limits::FRAME_MAX`], [`FrameError::Version`] beyond [`Limits::VERSION_MAX`].
    pub fn new(id: MessageId, version: u32, body: &[u8]) -> Result<Self, FrameError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER.saturating_add(body.len())));
        let counted = body.len().saturating_add(HEADER - UNCOUNTED);
        bytes.extend_from_slice(&u32::try_from(counted).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&id.0.to_le_bytes());
        bytes.extend_from_slice(body);
        frame_len(&bytes, &Limits::default())?;
        Ok(Self { bytes })
    }

    /// `bytes` is one frame whose header has been checked.
    pub(crate) fn from_whole(bytes: &[u8]) -> Self {
        Self { bytes: Zeroizing::new(bytes.to_vec()) }
    }

    /// The message id.
    pub fn id(&self) -> MessageId {
        MessageId(self.header_word(8))
    }

    /// The header version: 0 for protocols before 10 and in a few messages of any protocol, else the negotiated protocol version.
    pub fn version(&self) -> u32 {
        self.header_word(4)
    }

    /// What follows the header. May hold keys.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }

    /// The whole frame, to be sent. May hold keys.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn header_word(&self, at: usize) -> u32 {
        word(&self.bytes, at).unwrap_or_default()
    }

    /// `length` bytes of the body at `at`.
    pub(crate) fn span(&self, field: &'static str, at: usize, length: usize) -> Result<&[u8], FieldError> {
        self.body().get(at..at.saturating_add(length)).ok_or_else(|| self.short(field, at))
    }

    /// [`Frame::span`], to be written.
    pub(crate) fn span_mut(
        &mut self,
        field: &'static str,
        at: usize,
        length: usize,
    ) -> Result<&mut [u8], FieldError> {
        let short = self.short(field, at);
        let from = HEADER.saturating_add(at);
        self.bytes.get_mut(from..from.saturating_add(length)).ok_or(short)
    }

    /// `N` bytes of the body at `at`.
    pub(crate) fn array<const N: usize>(
        &self,
        field: &'static str,
        at: usize,
    ) -> Result<[u8; N], FieldError> {
        let span = self.span(field, at, N)?;
        span.try_into().map_err(|_| self.short(field, at))
    }

    /// The little-endian word at `at`.
    pub(crate) fn word(&self, field: &'static str, at: usize) -> Result<u32, FieldError> {
        self.array(field, at).map(u32::from_le_bytes)
    }

    /// Writes the bytes at `at`.
    pub(crate) fn put(&mut self, field: &'static str, at: usize, value: &[u8]) -> Result<(), FieldError> {
        self.span_mut(field, at, value.len())?.copy_from_slice(value);
        Ok(())
    }

    /// Writes a little-endian word at `at`.
    pub(crate) fn put_word(&mut self, field: &'static str, at: usize, value: u32) -> Result<(), FieldError> {
        self.put(field, at, &value.to_le_bytes())
    }

    /// Puts `new` in the place of `length` bytes of the body at `at`, moving what follows.
    pub(crate) fn splice(
        &mut self,
        field: &'static str,
        at: usize,
        length: usize,
        new: &[u8],
    ) -> Result<(), FieldError> {
        self.span(field, at, length)?;
        let total = self.bytes.len() - length + new.len();
        if total > Limits::FRAME_MAX {
            let room = Limits::FRAME_MAX - (self.bytes.len() - length);
            return Err(FieldError::NoRoom { message: self.id(), field, length: new.len(), room });
        }
        // A new buffer, since one that grows in place would leave its old bytes, perhaps keys, on the heap.
        let mut bytes = Zeroizing::new(Vec::with_capacity(total));
        let (before, rest) = self.bytes.split_at(HEADER + at);
        bytes.extend_from_slice(before);
        bytes.extend_from_slice(new);
        bytes.extend_from_slice(rest.get(length..).unwrap_or_default());
        let counted = u32::try_from(total - UNCOUNTED).unwrap_or_default();
        if let Some(field) = bytes.get_mut(..4) {
            field.copy_from_slice(&counted.to_le_bytes());
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Appends zeros until the body has `length` bytes; a longer one stays.
    pub(crate) fn grow(&mut self, field: &'static str, length: usize) -> Result<(), FieldError> {
        let end = self.body().len();
        self.splice(field, end, 0, &vec![0; length.saturating_sub(end)])
    }

    fn short(&self, field: &'static str, at: usize) -> FieldError {
        FieldError::Short { message: self.id(), field, at, length: self.body().len() }
    }

    pub(crate) fn invalid(&self, field: &'static str) -> FieldError {
        FieldError::Invalid { message: self.id(), field }
    }

    pub(crate) fn no_field(&self, field: &'static str) -> FieldError {
        FieldError::NoField { message: self.id(), field }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {} ({} bytes)", self.id(), self.version(), self.bytes.len())
    }
}

/// The header version of a message in a session of that protocol version (sccp 2.6.1).
pub fn header_version(protocol: u32) -> u32 {
    if protocol < 10 { 0 } else { protocol }
}

/// Bytes of the frame that begins here, `None` while its header is not whole. Each part of the header is checked as soon
/// as it is there.
pub(crate) fn frame_len(bytes: &[u8], limits: &Limits) -> Result<Option<usize>, FrameError> {
    let Some(length) = word(bytes, 0) else { return Ok(None) };
    if length < 4 {
        return Err(FrameError::TooShort { length });
    }
    let whole = u64::from(length) + UNCOUNTED as u64;
    let too_long = FrameError::TooLong { length: whole, limit: limits.frame };
    let Ok(whole) = usize::try_from(whole) else { return Err(too_long) };
    if whole > limits.frame {
        return Err(too_long);
    }
    let Some(version) = word(bytes, 4) else { return Ok(None) };
    if version > limits.version {
        return Err(FrameError::Version { version, limit: limits.version });
    }
    Ok(Some(whole).filter(|_| bytes.len() >= HEADER))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}
