//! From the bytes of a file to text.

use std::borrow::Cow;
use std::ops::Range;

use super::tree::is_space;
use super::{DOCUMENT_MAX, XmlError};

/// The longest declaration, in bytes.
const DECLARATION_MAX: usize = 256;
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
    let text = match declared(bytes)? {
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

/// The declaration of a document, which comes first or not at all. It has no character outside ASCII, so it can be read
/// before the encoding is known.
fn declared(bytes: &[u8]) -> Result<Declared, XmlError> {
    const MALFORMED: XmlError = XmlError::Malformed { line: 1 };
    let Some(rest) = bytes.strip_prefix(b"<?xml") else { return Ok(Declared::Utf8) };
    // `<?xml-stylesheet ...?>` is no declaration.
    if !rest.first().is_some_and(u8::is_ascii_whitespace) {
        return Ok(Declared::Utf8);
    }
    let end = rest.windows(2).take(DECLARATION_MAX).position(|pair| pair == b"?>").ok_or(MALFORMED)?;
    let head = rest.get(..end).and_then(|head| std::str::from_utf8(head).ok()).ok_or(MALFORMED)?;
    let mut expected = ["version", "encoding", "standalone"].iter();
    let (mut left, mut encoding) = (head, None);
    while !left.trim_matches(is_space).is_empty() {
        let (name, value, after) = attribute(left).ok_or(MALFORMED)?;
        // In this order, each once; `version` is not optional.
        if !expected.any(|expected| *expected == name) || (left.len() == head.len() && name != "version") {
            return Err(MALFORMED);
        }
        if name == "encoding" {
            let at = bytes.len() - rest.len() + head.len() - after.len() - 1 - value.len();
            encoding = Some((value, at..at + value.len()));
        }
        left = after;
    }
    let Some((name, place)) = encoding else { return Ok(Declared::Utf8) };
    Ok(match name.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => Declared::Utf8,
        "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "latin-1" => Declared::Latin1(place),
        _ => Declared::Other,
    })
}

/// An attribute of the declaration: its name, its value, and what follows.
fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.strip_prefix(is_space)?.trim_start_matches(is_space).split_once('=')?;
    let rest = rest.trim_start_matches(is_space);
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (value, after) = rest.get(1..)?.split_once(quote)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    value.bytes().all(plain).then_some((name.trim_end_matches(is_space), value, after))
}

/// The first 256 characters of Unicode are those of ISO 8859-1.
fn latin1(bytes: &[u8], name: Range<usize>) -> String {
    let chars =
        |part: Option<&[u8]>| part.unwrap_or_default().iter().copied().map(char::from).collect::<String>();
    chars(bytes.get(..name.start)) + "UTF-8" + &chars(bytes.get(name.end..))
}
