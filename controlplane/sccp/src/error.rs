use thiserror::Error;

use crate::MessageId;

/// Why a stream cannot be cut into frames. The connection is to be closed: SCCP has no mark by which a reader could find
/// the next frame again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length field leaves no room for the message id.
    #[error("SCCP frame: length {length} is less than 4, the peer does not speak SCCP or is out of step")]
    TooShort {
        /// The length field.
        length: u32,
    },
    /// The frame is longer than allowed.
    #[error("SCCP frame: {length} bytes announced, the limit is {limit} (length field and header included)")]
    TooLong {
        /// Bytes of the whole frame.
        length: u64,
        /// The limit, bytes.
        limit: usize,
    },
    /// A header version whose layouts are unknown, or bytes that are no SCCP.
    #[error("SCCP frame: header version {version} is above {limit}, whose layouts are not known")]
    Version {
        /// The header version.
        version: u32,
        /// The highest version that is read.
        limit: u32,
    },
    /// [`Frame::parse`](crate::Frame::parse) was given something else than one whole frame.
    #[error("SCCP frame: {actual} bytes given, the header announces {announced}")]
    NotOneFrame {
        /// Bytes that the header announces, or 12 if not even the header is whole.
        announced: usize,
        /// Bytes given.
        actual: usize,
    },
    /// More was pushed before the frames already complete were taken.
    #[error("SCCP stream: frames were not taken before more was pushed")]
    NotDrained,
}

impl FrameError {
    /// A short name that does not change, for counters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooShort { .. } => "frame_too_short",
            Self::TooLong { .. } => "frame_too_long",
            Self::Version { .. } => "frame_version",
            Self::NotOneFrame { .. } => "frame_incomplete",
            Self::NotDrained => "frames_not_drained",
        }
    }
}

/// Why a field cannot be read or set. Whoever gets one has an unchanged frame. The texts hold nothing of the frame itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FieldError {
    /// No generation of this message has the field.
    #[error("{message} has no field {field}")]
    NoField {
        /// The message.
        message: MessageId,
        /// The field.
        field: &'static str,
    },
    /// The frame ends before the field does.
    #[error("{message} ends before its {field} at offset {at}: its body has {length} bytes")]
    Short {
        /// The message.
        message: MessageId,
        /// The field.
        field: &'static str,
        /// Where the field begins in the body.
        at: usize,
        /// Bytes of the body.
        length: usize,
    },
    /// The field has a value that it cannot have.
    #[error("{message} has no valid {field}")]
    Invalid {
        /// The message.
        message: MessageId,
        /// The field.
        field: &'static str,
    },
    /// An IPv6 address for a message that has room for an IPv4 address only.
    #[error("{message} of protocol version {version} cannot carry an IPv6 address")]
    Family {
        /// The message.
        message: MessageId,
        /// The frame's header version.
        version: u32,
    },
    /// A text or a frame would become longer than there is room for.
    #[error("{message}: {field} of {length} bytes does not fit, there is room for {room}")]
    NoRoom {
        /// The message.
        message: MessageId,
        /// The field.
        field: &'static str,
        /// Bytes wanted.
        length: usize,
        /// Bytes that there are.
        room: usize,
    },
}

impl FieldError {
    /// A short name that does not change, for counters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoField { .. } => "field_unknown",
            Self::Short { .. } => "field_beyond_end",
            Self::Invalid { .. } => "field_invalid",
            Self::Family { .. } => "field_address_family",
            Self::NoRoom { .. } => "field_no_room",
        }
    }
}
