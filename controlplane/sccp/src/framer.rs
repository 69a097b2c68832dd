use std::fmt;

use zeroize::Zeroizing;

use crate::frame::{HEADER, frame_len};
use crate::{Frame, FrameError, Limits};

/// Cuts a stream (TCP or TLS) into frames.
///
/// How the bytes are cut into segments makes no difference to what comes out. After an error the stream is dead: the error
/// is returned once, then nothing more. Push what was read, take frames until there is none, push again: so the buffer
/// never holds more than one frame's limit and one push. What it holds is wiped.
pub struct Framer {
    limits: Limits,
    buffer: Zeroizing<Vec<u8>>,
    /// Bytes at the beginning of the buffer that have been taken.
    taken: usize,
    state: State,
}

enum State {
    Open,
    Failing(FrameError),
    Dead,
}

impl Framer {
    /// A framer for one connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: Zeroizing::default(), taken: 0, state: State::Open }
    }

    /// Takes what was read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Open) {
            return;
        }
        // What a drained framer keeps is the beginning of one frame within the limit, or of a header.
        if self.pending() > self.limits.frame.max(HEADER) {
            return self.fail(FrameError::NotDrained);
        }
        self.make_room(bytes.len());
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, `None` when more bytes are needed or the stream is dead.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: None means not yet")]
    pub fn next(&mut self) -> Option<Result<Frame, FrameError>> {
        if matches!(self.state, State::Open) {
            match self.cut() {
                Ok(frame) => return frame.map(Ok),
                Err(error) => self.fail(error),
            }
        }
        match std::mem::replace(&mut self.state, State::Dead) {
            State::Failing(error) => Some(Err(error)),
            State::Open | State::Dead => None,
        }
    }

    /// Bytes of an unfinished frame: a connection with some for long is worth closing.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.taken
    }

    fn cut(&mut self) -> Result<Option<Frame>, FrameError> {
        let waiting = self.buffer.get(self.taken..).unwrap_or_default();
        let Some(length) = frame_len(waiting, &self.limits)? else { return Ok(None) };
        let Some(whole) = waiting.get(..length) else { return Ok(None) };
        let frame = Frame::from_whole(whole);
        self.taken += length;
        if self.taken == self.buffer.len() {
            self.buffer = Zeroizing::default();
            self.taken = 0;
        }
        Ok(Some(frame))
    }

    /// Room for that many bytes. A buffer that is too small is replaced and wiped, not grown, since growing would leave the
    /// old bytes on the heap.
    fn make_room(&mut self, more: usize) {
        if self.buffer.capacity() - self.buffer.len() >= more {
            return;
        }
        let waiting = self.buffer.get(self.taken..).unwrap_or_default();
        let needed = waiting.len().saturating_add(more);
        let mut buffer = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
        buffer.extend_from_slice(waiting);
        self.buffer = buffer;
        self.taken = 0;
    }

    fn fail(&mut self, error: FrameError) {
        self.state = State::Failing(error);
        self.buffer = Zeroizing::default();
        self.taken = 0;
    }
}

impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framer").field("pending", &self.pending()).finish_non_exhaustive()
    }
}
