//! What can be wrong with a message.

/// The bytes are no message. The connection is to be closed: there is no mark by which the next message could be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Another protocol.
    #[error("the first byte is {0}, not the one of the protocol: something else was sent to this port")]
    Protocol(u8),
    /// A version that is not known.
    #[error("version {0} of the protocol is not known")]
    Version(u8),
    /// More than a message may have.
    #[error("a message of {0} bytes is announced, more than the {1} that are accepted")]
    TooLong(usize, usize),
    /// An element leads out of the message.
    #[error("the message ends in the middle of element {0}")]
    Truncated(u8),
    /// The message ends between tag and length.
    #[error("the message ends in the middle of an element's length")]
    Ends,
    /// More elements than a message may have.
    #[error("the message has more than {0} elements")]
    TooMany(usize),
    /// An element that may be there once.
    #[error("element {0} is there twice")]
    Twice(u8),
    /// An element that must be there.
    #[error("element {0} is missing")]
    Missing(u8),
    /// An element has another length or value than it can have.
    #[error("element {0} has an impossible length or value")]
    Value(u8),
}
