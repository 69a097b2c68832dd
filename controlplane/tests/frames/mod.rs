//! SCCP as a test reads it.

#![allow(clippy::unwrap_used, reason = "only tests use this")]

use std::io::Read;

use pinhole_sccp::{Frame, Framer, Limits};

/// The next frame; `None` at the end.
pub fn next(stream: &mut impl Read) -> Option<Frame> {
    let mut framer = Framer::new(Limits::default());
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|length| length == 1) {
        framer.push(&byte);
        if let Some(frame) = framer.next() {
            return Some(frame.unwrap());
        }
    }
    None
}
