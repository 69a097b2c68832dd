//! Fields of tag, length and value (trust-files 2.1.1).

use crate::Malformed;

/// Bytes of tag and length.
pub const HEAD: usize = 3;

/// A field.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Its tag.
    pub tag: u8,
    /// Its value.
    pub value: &'a [u8],
}

/// Takes the field at the start of `bytes` off.
pub fn take<'a>(bytes: &mut &'a [u8], what: &'static str) -> Result<Field<'a>, Malformed> {
    let (&[tag, high, low], rest) = bytes.split_first_chunk().ok_or(Malformed::Truncated(what))?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    let (value, rest) = rest.split_at_checked(len).ok_or(Malformed::Truncated(what))?;
    *bytes = rest;
    Ok(Field { tag, value })
}

/// A field that must be there once.
#[derive(Debug)]
pub struct Once<T> {
    name: &'static str,
    value: Option<T>,
}

impl<T> Once<T> {
    /// Nothing yet.
    pub fn new(name: &'static str) -> Self {
        Self { name, value: None }
    }

    /// Notes it; fails the second time.
    pub fn set(&mut self, value: T) -> Result<(), Malformed> {
        if self.value.replace(value).is_some() { Err(Malformed::Twice(self.name)) } else { Ok(()) }
    }

    /// It, if it was there.
    pub fn get(self) -> Option<T> {
        self.value
    }

    /// It, or the error that it is missing.
    pub fn need(self) -> Result<T, Malformed> {
        self.value.ok_or(Malformed::Missing(self.name))
    }
}

/// A value of a fixed length.
pub fn fixed<const N: usize>(value: &[u8], what: &'static str) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed::Value(what))
}

/// A big-endian number of two bytes.
pub fn number(value: &[u8], what: &'static str) -> Result<u16, Malformed> {
    fixed(value, what).map(u16::from_be_bytes)
}

/// A string: it ends with the only zero byte.
pub fn string(value: &[u8], what: &'static str) -> Result<String, Malformed> {
    match value {
        [text @ .., 0] if !text.contains(&0) => {
            String::from_utf8(text.to_vec()).map_err(|_| Malformed::Value(what))
        }
        _ => Err(Malformed::Value(what)),
    }
}

/// Appends a field. `None`, and nothing happens, if the value is longer than a length can say.
#[must_use]
pub fn put(to: &mut Vec<u8>, tag: u8, value: &[u8]) -> Option<()> {
    let len = u16::try_from(value.len()).ok()?;
    to.push(tag);
    to.extend_from_slice(&len.to_be_bytes());
    to.extend_from_slice(value);
    Some(())
}

/// Appends a string with its zero byte. A zero byte within it would end it early: `None` then too.
#[must_use]
pub fn put_string(to: &mut Vec<u8>, tag: u8, text: &str) -> Option<()> {
    if text.contains('\0') {
        return None;
    }
    put(to, tag, &[text.as_bytes(), &[0]].concat())
}
