//! The SDP in a body, also inside multipart bodies (RFC 2046, RFC 5621).

use std::ops::Range;

use thiserror::Error;

use crate::message::{Header, Message};
use crate::params::Params;
use crate::parse::{head_len, is_token};
use crate::{FieldError, name};

/// Multipart bodies within multipart bodies, at most.
const DEPTH: usize = 3;
/// Parts of one multipart body, at most.
const PARTS: usize = 32;

/// Why a body cannot be searched for SDP. Such a message must not be forwarded: an SDP in it would escape rewriting.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// Content-Type or Content-Encoding unusable.
    #[error("{0}")]
    Field(#[from] FieldError),
    /// Boundary missing or not found, a part without end, or too many parts.
    #[error("multipart body is malformed")]
    Multipart,
    /// The SDP is compressed or transfer-encoded.
    #[error("SDP is in an encoding that is not supported")]
    Encoding,
    /// More than one SDP.
    #[error("more than one SDP in the body")]
    SeveralSdp,
}

impl Message {
    /// The SDP of the body: the whole of `application/sdp`, or that part of a multipart body. `None` if there is none.
    ///
    /// # Errors
    /// [`BodyError`] when the body may hold an SDP that cannot be got at; refuse such a message with 415 or 488.
    pub fn sdp(&self) -> Result<Option<&[u8]>, BodyError> {
        Ok(self.sdp_range()?.and_then(|range| self.body.get(range)))
    }

    /// Replaces the SDP in its place; other parts keep their bytes. Tells whether there was one.
    ///
    /// # Errors
    /// As [`Message::sdp`].
    pub fn replace_sdp(&mut self, sdp: &[u8]) -> Result<bool, BodyError> {
        let Some(range) = self.sdp_range()? else { return Ok(false) };
        self.body.splice(range, sdp.iter().copied());
        Ok(true)
    }

    /// Makes an SDP the whole body.
    pub fn set_sdp_body(&mut self, sdp: &[u8]) {
        self.set(name::CONTENT_TYPE, "application/sdp");
        self.body = sdp.to_vec();
    }

    /// The media type of the body in lower case, without parameters.
    pub fn content_type(&self) -> Option<String> {
        self.header(name::CONTENT_TYPE).map(media_type)
    }

    fn sdp_range(&self) -> Result<Option<Range<usize>>, BodyError> {
        if self.body.trim_ascii().is_empty() {
            return Ok(None);
        }
        // A receiver might guess the type (RFC 3261 section 20.15 demands it), so it must not go on unread.
        self.single(name::CONTENT_TYPE)?;
        let mut found = Vec::new();
        find_sdp(&self.headers, &self.body, 0..self.body.len(), 0, &mut found)?;
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(BodyError::SeveralSdp),
        }
    }
}

/// Type and subtype end where the subtype's token does, whatever follows: a reader that stops there must not see an SDP
/// that we took for something else.
fn media_type(value: &str) -> String {
    let (kind, subtype) = value.split_once('/').unwrap_or((value, ""));
    let subtype = subtype.trim_start();
    let end = subtype.bytes().position(|byte| !is_token(byte)).unwrap_or(subtype.len());
    format!("{}/{}", kind.trim(), subtype.get(..end).unwrap_or_default()).to_ascii_lowercase()
}

/// Collects where SDP is in the part of `body` that `range` names and `headers` describe.
fn find_sdp(
    headers: &[Header],
    body: &[u8],
    range: Range<usize>,
    depth: usize,
    found: &mut Vec<Range<usize>>,
) -> Result<(), BodyError> {
    let Some(content_type) = one(headers, name::CONTENT_TYPE)? else { return Ok(()) };
    let kind = media_type(content_type);
    let multipart = kind.starts_with("multipart/");
    if kind != "application/sdp" && !multipart {
        return Ok(());
    }
    let plain = |name: &str, allowed: &[&str]| -> Result<bool, BodyError> {
        Ok(one(headers, name)?
            .is_none_or(|value| allowed.iter().any(|other| value.eq_ignore_ascii_case(other))))
    };
    if !plain(name::CONTENT_ENCODING, &["identity"])?
        || !plain("Content-Transfer-Encoding", &["7bit", "8bit", "binary"])?
    {
        return Err(BodyError::Encoding);
    }
    if !multipart {
        found.push(range);
        return Ok(());
    }
    if depth == DEPTH {
        return Err(BodyError::Multipart);
    }
    let boundary = boundary(content_type).ok_or(BodyError::Multipart)?;
    for part in parts(body, range, &boundary)? {
        let (headers, content) = part_headers(body, part)?;
        find_sdp(&headers, body, content, depth + 1, found)?;
    }
    Ok(())
}

fn one<'a>(headers: &'a [Header], name: &str) -> Result<Option<&'a str>, BodyError> {
    let mut fields = headers.iter().filter(|header| header.is(name));
    match (fields.next(), fields.next()) {
        (field, None) => Ok(field.map(Header::value)),
        _ => Err(FieldError::Duplicate(name.to_owned()).into()),
    }
}

fn boundary(content_type: &str) -> Option<String> {
    let params_at = content_type.find(';')?;
    let params = Params::parse(content_type.get(params_at..)?)?;
    let value = params.value("boundary")?;
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    (!value.is_empty() && value.len() <= 70).then(|| value.to_owned())
}

/// The parts between the boundary lines. Text before the first and after the closing one is not looked at (RFC 2046).
fn parts(body: &[u8], range: Range<usize>, boundary: &str) -> Result<Vec<Range<usize>>, BodyError> {
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut part_start = None;
    let mut line_start = range.start;
    while line_start < range.end {
        let rest = body.get(line_start..range.end).unwrap_or_default();
        let line_len = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let line = rest.get(..line_len).unwrap_or_default().trim_ascii_end();
        if let Some(after) = line.strip_prefix(delimiter.as_bytes())
            && (after.is_empty() || after == b"--")
        {
            if let Some(start) = part_start.take() {
                // The line end before a delimiter belongs to the delimiter.
                let content = body.get(start..line_start).unwrap_or_default();
                let content = content.strip_suffix(b"\n").unwrap_or(content);
                let content = content.strip_suffix(b"\r").unwrap_or(content);
                parts.push(start..start + content.len());
            }
            if !after.is_empty() {
                return Ok(parts);
            }
            if parts.len() == PARTS {
                return Err(BodyError::Multipart);
            }
            part_start = Some(line_start + line_len);
        }
        line_start += line_len;
    }
    // No closing delimiter: the end of the last part is in doubt.
    Err(BodyError::Multipart)
}

/// Header fields of a part, and where its content is.
fn part_headers(body: &[u8], part: Range<usize>) -> Result<(Vec<Header>, Range<usize>), BodyError> {
    let bytes = body.get(part.clone()).unwrap_or_default();
    let head_len = match bytes {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => head_len(bytes, 0).unwrap_or(bytes.len()),
    };
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for line in bytes.get(..head_len).unwrap_or_default().split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match fields.last_mut() {
            _ if line.is_empty() => {}
            Some(field) if matches!(line.first(), Some(b' ' | b'\t')) => {
                field.extend_from_slice(b"\r\n");
                field.extend_from_slice(line);
            }
            _ => fields.push(line.to_vec()),
        }
    }
    let headers: Option<Vec<Header>> = fields.into_iter().map(Header::from_raw).collect();
    Ok((headers.ok_or(BodyError::Multipart)?, part.start + head_len..part.end))
}
