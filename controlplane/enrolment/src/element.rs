//! Elements: tag, length, value (tls-capf-tvs 2.9). Unknown ones are kept as they are, and never looked into.

use crate::Malformed;

/// The most elements of a message.
pub const ELEMENTS_MAX: usize = 64;
/// Bytes of tag and length.
const HEAD: usize = 3;

/// An element of a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Element {
    /// What it is.
    pub tag: u8,
    /// Its value, at most 65535 bytes.
    pub value: Vec<u8>,
}

/// The elements of a message, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elements(Vec<Element>);

impl Elements {
    /// Reads the elements that a message consists of.
    ///
    /// # Errors
    /// When they do not end where the message does, or are too many.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let mut elements = Vec::new();
        while !bytes.is_empty() {
            if elements.len() >= ELEMENTS_MAX {
                return Err(Malformed::TooMany(ELEMENTS_MAX));
            }
            let (element, rest) = take(bytes)?;
            elements.push(element);
            bytes = rest;
        }
        Ok(Self(elements))
    }

    /// With one more element. A value that is longer than a length can say is cut off there.
    #[must_use]
    pub fn with(mut self, tag: u8, value: impl Into<Vec<u8>>) -> Self {
        let mut value = value.into();
        value.truncate(usize::from(u16::MAX));
        self.0.push(Element { tag, value });
        self
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Element> {
        self.0.iter()
    }

    /// The value of the only element with this tag, if there is one.
    ///
    /// # Errors
    /// When there are more: which of them is meant is anybody's guess.
    pub fn get(&self, tag: u8) -> Result<Option<&[u8]>, Malformed> {
        let mut found = self.0.iter().filter(|element| element.tag == tag);
        let first = found.next().map(|element| element.value.as_slice());
        if found.next().is_some() { Err(Malformed::Twice(tag)) } else { Ok(first) }
    }

    /// A value of one byte.
    ///
    /// # Errors
    /// When it is there twice, or has another length.
    pub fn byte(&self, tag: u8) -> Result<Option<u8>, Malformed> {
        match self.get(tag)? {
            Some(&[byte]) => Ok(Some(byte)),
            Some(_) => Err(Malformed::Value(tag)),
            None => Ok(None),
        }
    }

    /// A text of at most so many bytes. It ends with a zero byte, which may be missing, and has no other.
    ///
    /// # Errors
    /// When it is there twice, is too long, or has a zero byte within.
    pub fn text(&self, tag: u8, most: usize) -> Result<Option<&[u8]>, Malformed> {
        let Some(value) = self.get(tag)? else { return Ok(None) };
        let text = value.strip_suffix(&[0]).unwrap_or(value);
        if text.len() > most || text.contains(&0) { Err(Malformed::Value(tag)) } else { Ok(Some(text)) }
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for Element { tag, value } in &self.0 {
            let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
            bytes.push(*tag);
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(value.get(..usize::from(len)).unwrap_or_default());
        }
        bytes
    }
}

/// The first element, and what follows it.
pub(crate) fn take(bytes: &[u8]) -> Result<(Element, &[u8]), Malformed> {
    let (&[tag, high, low], rest) = bytes.split_first_chunk::<HEAD>().ok_or(Malformed::Ends)?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    let (value, rest) = rest.split_at_checked(len).ok_or(Malformed::Truncated(tag))?;
    Ok((Element { tag, value: value.to_vec() }, rest))
}

impl std::fmt::Debug for Element {
    /// Without the value, which may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.tag, self.value.len())
    }
}

impl IntoIterator for Elements {
    type Item = Element;
    type IntoIter = std::vec::IntoIter<Element>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
