use std::fmt;

use crate::parse::{Head, head, head_len};
use crate::{FrameError, Limits, Message, ParseError};

/// Cuts a stream (TCP or TLS) into messages by Content-Length.
///
/// How the bytes are cut into pieces makes no difference to what comes out. After an error the stream is dead: the
/// error is returned once, then nothing more. Push what was read, take frames until there is none, push again: so the
/// buffer never holds more than one message limit and one push.
pub struct Framer {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where the search for the end of the head goes on.
    scanned: usize,
    /// A head that waits for its body, and the body's length.
    waiting: Option<(Message, usize)>,
    state: State,
}

enum State {
    Open,
    Failing(FrameError),
    Dead,
}

/// One thing found in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Message(Message),
    /// Two empty lines: the peer asks whether we live; answer with one (RFC 5626 section 4.4.1).
    Ping,
    /// One empty line before something else: an answer to our ping, or padding. It is recognised only when the next byte arrives.
    Pong,
}

impl Framer {
    /// A framer for one connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: Vec::new(), scanned: 0, waiting: None, state: State::Open }
    }

    /// Takes what was read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Open) {
            return;
        }
        // A drained buffer is never longer than a message, or next() would have refused it.
        if self.buffer.len() > self.limits.message {
            return self.fail(FrameError::NotDrained);
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, `None` when more bytes are needed or the stream is dead.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: None means not yet")]
    pub fn next(&mut self) -> Option<Result<Frame, FrameError>> {
        if matches!(self.state, State::Open) {
            match self.cut() {
                Ok(frame) => return frame.map(Ok),
                Err(error) => self.fail(error.into()),
            }
        }
        match std::mem::replace(&mut self.state, State::Dead) {
            State::Failing(error) => Some(Err(error)),
            State::Open | State::Dead => None,
        }
    }

    /// Bytes of an unfinished message: a connection with some for long is worth closing. Empty lines are no part of one.
    pub fn pending(&self) -> usize {
        let begun = self.buffer.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
        match (&self.waiting, begun) {
            (Some(_), _) => self.buffer.len() + 1,
            (None, true) => self.buffer.len(),
            (None, false) => 0,
        }
    }

    fn fail(&mut self, error: FrameError) {
        self.state = State::Failing(error);
        self.buffer = Vec::new();
        self.waiting = None;
    }

    fn cut(&mut self) -> Result<Option<Frame>, ParseError> {
        if self.waiting.is_none() {
            match self.empty_lines() {
                EmptyLines::None => {}
                EmptyLines::Unfinished => return Ok(None),
                EmptyLines::Frame(frame) => return Ok(Some(frame)),
            }
            self.waiting = self.cut_head()?;
        }
        match self.waiting.take() {
            Some((mut message, length)) if self.buffer.len() >= length => {
                message.body = self.buffer.drain(..length).collect();
                Ok(Some(Frame::Message(message)))
            }
            waiting => {
                self.waiting = waiting;
                Ok(None)
            }
        }
    }

    /// Takes a complete head off the buffer.
    fn cut_head(&mut self) -> Result<Option<(Message, usize)>, ParseError> {
        let Some(length) = head_len(&self.buffer, self.scanned) else {
            if self.buffer.len() > self.limits.message {
                return Err(ParseError::message(&self.limits));
            }
            self.scanned = self.buffer.len().saturating_sub(2);
            return Ok(None);
        };
        if length > self.limits.message {
            return Err(ParseError::message(&self.limits));
        }
        let Head { message, content_length } =
            head(self.buffer.get(..length).unwrap_or_default(), &self.limits)?;
        let body = content_length.ok_or(ParseError::NoContentLength)?;
        if body > self.limits.body {
            return Err(ParseError::body(&self.limits));
        }
        if length.saturating_add(body) > self.limits.message {
            return Err(ParseError::message(&self.limits));
        }
        self.buffer.drain(..length);
        self.scanned = 0;
        Ok(Some((message, body)))
    }

    /// Empty lines between messages.
    fn empty_lines(&mut self) -> EmptyLines {
        let first = match line_end(&self.buffer) {
            LineEnd::No => return EmptyLines::None,
            LineEnd::Unfinished => return EmptyLines::Unfinished,
            LineEnd::Yes(length) => length,
        };
        let second = match line_end(self.buffer.get(first..).unwrap_or_default()) {
            LineEnd::Unfinished => return EmptyLines::Unfinished,
            LineEnd::No => 0,
            LineEnd::Yes(length) => length,
        };
        self.buffer.drain(..first + second);
        EmptyLines::Frame(if second == 0 { Frame::Pong } else { Frame::Ping })
    }
}

enum EmptyLines {
    None,
    Unfinished,
    Frame(Frame),
}

enum LineEnd {
    No,
    Unfinished,
    Yes(usize),
}

/// Whether the bytes begin with a line end.
fn line_end(bytes: &[u8]) -> LineEnd {
    match bytes {
        [b'\n', ..] => LineEnd::Yes(1),
        [b'\r', b'\n', ..] => LineEnd::Yes(2),
        [] | [b'\r'] => LineEnd::Unfinished,
        _ => LineEnd::No,
    }
}

impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framer").field("buffered", &self.buffer.len()).finish_non_exhaustive()
    }
}
