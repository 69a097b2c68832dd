use std::fmt;
use std::str::FromStr;

use crate::{FieldError, Params, Uri};

/// An address as From, To, Contact, Route and others carry it: `"Display" <uri>;params`.
///
/// The URI stays text, since it may be of any scheme, or the `*` of a Contact; [`NameAddr::sip_uri`] reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name as it was written, quotes included.
    pub display: Option<String>,
    /// The URI as it was written, without angle brackets.
    pub uri: String,
    /// Header parameters (not those of the URI).
    pub params: Params,
}

impl NameAddr {
    /// An address without display name.
    pub fn new(uri: impl fmt::Display) -> Self {
        Self { display: None, uri: uri.to_string(), params: Params::default() }
    }

    /// The URI as a SIP URI.
    ///
    /// # Errors
    /// [`FieldError::Malformed`] for another scheme or a broken URI.
    pub fn sip_uri(&self) -> Result<Uri, FieldError> {
        self.uri.parse()
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag")
    }

    /// The display name without quotes and escapes.
    pub fn display_text(&self) -> Option<String> {
        let display = self.display.as_deref()?;
        let Some(inner) = display.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return Some(display.to_owned());
        };
        let mut text = String::with_capacity(inner.len());
        let mut chars = inner.chars();
        while let Some(char) = chars.next() {
            text.extend(if char == '\\' { chars.next() } else { Some(char) });
        }
        Some(text)
    }
}

impl FromStr for NameAddr {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        parse(text.trim()).ok_or_else(|| FieldError::malformed("address"))
    }
}

fn parse(text: &str) -> Option<NameAddr> {
    let display_end = if text.starts_with('"') { quoted_len(text)? } else { 0 };
    let (_, after) = text.split_at_checked(display_end)?;
    let Some(open) = after.find('<') else {
        // The short form without brackets: parameters belong to the header (RFC 3261 section 20).
        if display_end != 0 {
            return None;
        }
        let params_at = text.find(';').unwrap_or(text.len());
        let (uri, params) = text.split_at_checked(params_at)?;
        return address(None, uri.trim(), params);
    };
    let (display, rest) = text.split_at_checked(display_end + open)?;
    let (uri, params) = rest.strip_prefix('<')?.split_once('>')?;
    let display = display.trim();
    if display_end != 0 && display.len() != display_end {
        return None;
    }
    address((!display.is_empty()).then_some(display), uri.trim(), params)
}

fn address(display: Option<&str>, uri: &str, params: &str) -> Option<NameAddr> {
    if uri.is_empty()
        || uri.bytes().any(|byte| byte.is_ascii_whitespace() || matches!(byte, b'<' | b'>' | b'"'))
    {
        return None;
    }
    let params = Params::parse(params)?;
    Some(NameAddr { display: display.map(str::to_owned), uri: uri.to_owned(), params })
}

/// Length of the quoted string that the text begins with, quotes included.
fn quoted_len(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.uri == "*" {
            return write!(f, "*{}", self.params);
        }
        if let Some(display) = &self.display {
            write!(f, "{display} ")?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}
