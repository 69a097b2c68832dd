//! Frames as hexadecimal digits.

use std::ops::Range;

use pinhole_sccp::Frame;

/// Bytes of a line.
const LINE: usize = 16;

/// The body, 16 bytes a line with their offset, `··` for each byte that is not shown because a key might stand there.
pub fn hex(frame: &Frame) -> String {
    let shown = frame.showable();
    let mut text = String::new();
    for (line, bytes) in frame.body().chunks(LINE).enumerate() {
        let from = line * LINE;
        text.push_str(&format!("{from:04x} "));
        for (at, byte) in (from..).zip(bytes) {
            let is_shown = shown.iter().any(|range: &Range<usize>| range.contains(&at));
            text.push_str(&if is_shown { format!(" {byte:02x}") } else { " ··".to_owned() });
        }
        text.push('\n');
    }
    text
}
