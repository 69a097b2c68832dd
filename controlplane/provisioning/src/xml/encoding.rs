//! From the bytes of a file to text.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::{DOCUMENT_MAX, XmlError};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The text of a document, without its byte order mark.
pub(super) struct Text<'a> {
    pub text: Cow<'a, str>,
    /// Whether it began with a byte order mark, which is kept.
    pub marked: bool,
}

impl Text<'_> {
    /// A document's bytes again.
    pub fn bytes(&self, text: &str) -> Vec<u8> {
        let mark = if self.marked { BYTE_ORDER_MARK } else { "" };
        [mark.as_bytes(), text.as_bytes()].concat()
    }
}

/// Reads UTF-8, or ISO 8859-1 where that is declared; then the declaration says UTF-8 afterwards.
pub(super) fn decode(input: &[u8]) -> Result<Text<'_>, XmlError> {
    if input.len() > DOCUMENT_MAX {
        return Err(XmlError::TooLarge);
    }
    let (marked, bytes) = match input.strip_prefix(BYTE_ORDER_MARK.as_bytes()) {
        Some(rest) => (true, rest),
        None => (false, input),
    };
    let text = match declared(bytes) {
        Declared::Utf8 => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            XmlError::NotUtf8 { line: line(before) }
        })?,
        Declared::Latin1(name) if !marked => Cow::Owned(latin1(bytes, name)),
        Declared::Latin1(_) | Declared::Other => return Err(XmlError::Encoding),
    };
    if text.len() > DOCUMENT_MAX {
        return Err(XmlError::TooLarge);
    }
    Ok(Text { text, marked })
}

/// The line, from 1, that follows these bytes.
pub(super) fn line(before: &[u8]) -> usize {
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

enum Declared {
    Utf8,
    /// With the place of the encoding's name.
    Latin1(Range<usize>),
    Other,
}

fn declared(bytes: &[u8]) -> Declared {
    // Names no character outside ASCII, so it can be read before the encoding is known.
    let end = bytes.windows(2).take(256).position(|pair| pair == b"?>").map_or(0, |at| at + 2);
    let head = bytes.get(..end).and_then(|head| std::str::from_utf8(head).ok()).unwrap_or_default();
    let Ok(Event::Decl(declaration)) = Reader::from_str(head).read_event() else { return Declared::Utf8 };
    let Some(Ok(name)) = declaration.encoding() else { return Declared::Utf8 };
    match name.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => Declared::Utf8,
        "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "latin-1" => {
            let quoted = |quote: char| head.find(&format!("{quote}{name}{quote}"));
            let at = quoted('"').or_else(|| quoted('\''));
            at.map_or(Declared::Other, |at| Declared::Latin1(at + 1..at + 1 + name.len()))
        }
        _ => Declared::Other,
    }
}

/// The first 256 characters of Unicode are those of ISO 8859-1.
fn latin1(bytes: &[u8], name: Range<usize>) -> String {
    let chars =
        |part: Option<&[u8]>| part.unwrap_or_default().iter().copied().map(char::from).collect::<String>();
    chars(bytes.get(..name.start)) + "UTF-8" + &chars(bytes.get(name.end..))
}
