/// What a message may measure. Beyond any of these it is refused before memory is spent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole message, start line to end of body.
    pub message: usize,
    /// Number of header fields.
    pub headers: usize,
    /// Bytes of the start line, or of one header field with its folded lines.
    pub line: usize,
    /// Bytes of the body.
    pub body: usize,
}

impl Limits {
    /// The default limits with another bound on the whole message (`message_bytes` of the configuration).
    pub fn with_message(message: usize) -> Self {
        Self { message, body: message, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { message: 65_536, headers: 256, line: 8_192, body: 65_536 }
    }
}
