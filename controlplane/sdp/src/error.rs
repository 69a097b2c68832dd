use thiserror::Error;

/// What an SDP may measure. Beyond any of these it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole description.
    pub bytes: usize,
    /// Number of lines.
    pub lines: usize,
    /// Bytes of one line.
    pub line: usize,
    /// Number of `m=` lines.
    pub media: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 65_536, lines: 1_024, line: 4_096, media: 16 }
    }
}

/// Why bytes are no usable SDP. The texts hold nothing of the SDP itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SdpError {
    /// The description is too long.
    #[error("SDP longer than {0} bytes")]
    TooLong(usize),
    /// Too many lines.
    #[error("SDP has more than {0} lines")]
    TooManyLines(usize),
    /// A line is too long.
    #[error("SDP line {line} is longer than {limit} bytes")]
    LineTooLong {
        /// Line number, from 1.
        line: usize,
        /// The limit, bytes.
        limit: usize,
    },
    /// Too many media sections.
    #[error("SDP has more than {0} media sections")]
    TooManyMedia(usize),
    /// A line is not `letter=value`, or holds a NUL or a CR that ends no line.
    #[error("SDP line {0} is not of the form x=value")]
    Line(usize),
    /// The first line is not `v=0`.
    #[error("SDP does not begin with v=0")]
    Version,
    /// An `m=` line is malformed.
    #[error("m= line of media section {0} is malformed")]
    Media(usize),
    /// A line that may occur once per part occurs twice: two readers could take different ones.
    #[error("SDP line {line} repeats {kind}=")]
    Repeated {
        /// Line number, from 1.
        line: usize,
        /// The line's letter.
        kind: char,
    },
    /// `o=` is missing or malformed.
    #[error("o= line is missing or malformed")]
    Origin,
    /// A `c=` line is malformed or of an unknown kind.
    #[error("c= line is malformed or not of IN IP4 or IN IP6")]
    Connection,
    /// A media section without `c=`, of its own or the session's.
    #[error("media section has no c= line, nor has the session")]
    NoConnection,
    /// An `a=rtcp` line is malformed.
    #[error("a=rtcp is malformed")]
    Rtcp,
}
