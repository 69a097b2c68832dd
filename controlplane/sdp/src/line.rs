use std::fmt;

use zeroize::Zeroize;

use crate::SdpError;

/// One line of an SDP with its line end.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Line {
    kind: u8,
    value: String,
    ending: &'static str,
    /// The bytes of the line without its end, when `value` does not say them: not UTF-8, or an empty line.
    raw: Option<Vec<u8>>,
}

impl Line {
    pub(crate) fn new(kind: char, value: &str) -> Self {
        Self { kind: u8::try_from(kind).unwrap_or(b'a'), value: clean(value), ending: "\r\n", raw: None }
    }

    /// Reads line `number` (for errors); `bytes` has no line end.
    pub(crate) fn parse(bytes: &[u8], ending: &'static str, number: usize) -> Result<Self, SdpError> {
        if bytes.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err(SdpError::Line(number));
        }
        match bytes {
            // Stray empty lines are kept: some stacks end their SDP with one.
            [] => Ok(Self { kind: 0, value: String::new(), ending, raw: Some(Vec::new()) }),
            [kind, b'=', value @ ..] if kind.is_ascii_alphabetic() => {
                let text = String::from_utf8_lossy(value).into_owned();
                let raw = (text.as_bytes() != value).then(|| bytes.to_vec());
                Ok(Self { kind: *kind, value: text, ending, raw })
            }
            _ => Err(SdpError::Line(number)),
        }
    }

    pub(crate) fn is(&self, kind: char) -> bool {
        char::from(self.kind) == kind
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.kind == 0
    }

    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    pub(crate) fn set_value(&mut self, value: &str) {
        if self.value != value {
            self.value.zeroize();
            self.value = clean(value);
            self.raw = None;
        }
    }

    /// Name and value of an attribute line; the value is empty for a flag.
    pub(crate) fn attribute(&self) -> Option<(&str, &str)> {
        if !self.is('a') {
            return None;
        }
        Some(match self.value.split_once(':') {
            Some((name, value)) => (name.trim(), value),
            None => (self.value.trim(), ""),
        })
    }

    pub(crate) fn is_attribute(&self, name: &str) -> bool {
        // Attribute names have regard to case, but a reader that has none must not see what we overlooked.
        self.attribute().is_some_and(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    /// Writes the line; `last` keeps a missing line end missing.
    pub(crate) fn write(&self, last: bool, out: &mut Vec<u8>) {
        match &self.raw {
            Some(raw) => out.extend_from_slice(raw),
            None => {
                out.extend_from_slice(&[self.kind, b'=']);
                out.extend_from_slice(self.value.as_bytes());
            }
        }
        let ending = if self.ending.is_empty() && !last { "\r\n" } else { self.ending };
        out.extend_from_slice(ending.as_bytes());
    }

    fn is_secret(&self) -> bool {
        // `k=`, `a=crypto`, `a=key-mgmt`, and either behind `a=acap`.
        let lower = self.value.to_ascii_lowercase();
        self.is('k') || ["crypto", "inline", "key-mgmt"].iter().any(|word| lower.contains(word))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_secret() {
            return write!(f, "{}=(key material)", char::from(self.kind));
        }
        write!(f, "{}={:?}", char::from(self.kind), self.value)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Any line may hold a key, and these are short.
        self.value.zeroize();
        self.raw.zeroize();
    }
}

/// A value that was set cannot begin a new line.
fn clean(value: &str) -> String {
    value.chars().map(|char| if matches!(char, '\r' | '\n' | '\0') { ' ' } else { char }).collect()
}
