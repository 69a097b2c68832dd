use thiserror::Error;

use crate::Limits;

/// Why bytes are no SIP message. The texts hold nothing that the sender wrote.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Nothing but empty lines: a keep-alive.
    #[error("no message: a keep-alive or an empty datagram")]
    Empty,
    /// The whole message is too long.
    #[error("message longer than the limit of {limit} bytes (limits.message_bytes)")]
    MessageTooLong {
        /// The limit, bytes.
        limit: usize,
    },
    /// Too many header fields.
    #[error("more than {limit} header fields")]
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },
    /// Start line or header field too long.
    #[error("start line or header field longer than {limit} bytes")]
    LineTooLong {
        /// The limit, bytes.
        limit: usize,
    },
    /// The announced or present body is too long.
    #[error("body longer than the limit of {limit} bytes")]
    BodyTooLong {
        /// The limit, bytes.
        limit: usize,
    },
    /// No empty line ends the headers.
    #[error("no empty line after the headers")]
    NoEndOfHeaders,
    /// The first line is neither a request line nor a status line.
    #[error("first line is neither a request line nor a status line")]
    StartLine,
    /// Another protocol version than SIP/2.0 (answer 505).
    #[error("protocol version is not SIP/2.0")]
    Version,
    /// A status code outside 100 to 699.
    #[error("status code is not 100 to 699")]
    StatusCode,
    /// A CR that ends no line, or a NUL, in the headers.
    #[error("bare CR or NUL byte in the headers")]
    ControlCharacter,
    /// A header line without colon, with a bad name, or a continuation of nothing.
    #[error("header field {number} is malformed")]
    HeaderLine {
        /// Position, counted from 1.
        number: usize,
    },
    /// Content-Length is no plain decimal number.
    #[error("Content-Length is not a number")]
    ContentLength,
    /// More than one Content-Length, whether they agree or not.
    #[error("more than one Content-Length")]
    DuplicateContentLength,
    /// A message on a stream without Content-Length (RFC 3261 section 18.3).
    #[error("no Content-Length in a message on a stream")]
    NoContentLength,
    /// A datagram shorter than its Content-Length.
    #[error("datagram ends before the {announced} body bytes that Content-Length announces")]
    Truncated {
        /// The body length announced.
        announced: usize,
    },
}

impl ParseError {
    pub(crate) fn message(limits: &Limits) -> Self {
        Self::MessageTooLong { limit: limits.message }
    }

    pub(crate) fn line(limits: &Limits) -> Self {
        Self::LineTooLong { limit: limits.line }
    }

    pub(crate) fn body(limits: &Limits) -> Self {
        Self::BodyTooLong { limit: limits.body }
    }
}

/// Why a stream cannot be cut into messages any more. The connection is to be closed: nothing after this point of
/// the stream can be trusted to be where it seems to be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A message on the stream is malformed or too large.
    #[error("stream closed: {0}")]
    Message(#[from] ParseError),
    /// More was pushed before the frames already complete were taken.
    #[error("stream closed: frames were not taken before more was pushed")]
    NotDrained,
}

/// Why a header field cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FieldError {
    /// The field is absent.
    #[error("{0} is missing")]
    Missing(String),
    /// A field that may occur once occurs several times.
    #[error("{0} occurs more than once")]
    Duplicate(String),
    /// The field's value does not follow its grammar.
    #[error("{0} is malformed")]
    Malformed(String),
    /// The method in CSeq is not the request's.
    #[error("CSeq names another method than the request line")]
    CSeqMethod,
}

impl FieldError {
    pub(crate) fn malformed(name: &str) -> Self {
        Self::Malformed(name.to_owned())
    }
}
