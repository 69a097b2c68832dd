//! The one parser of heads, shared by datagrams and streams.

use crate::message::{Header, Message, StartLine};
use crate::{Limits, Method, ParseError, name};

/// A parsed head, and what it says about the body.
pub(crate) struct Head {
    pub(crate) message: Message,
    pub(crate) content_length: Option<usize>,
}

/// Reads one datagram: head, then as much body as Content-Length says, or all that is left without one.
pub(crate) fn datagram(bytes: &[u8], limits: &Limits) -> Result<Message, ParseError> {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).ok_or(ParseError::Empty)?;
    let bytes = bytes.get(start..).unwrap_or_default();
    if bytes.len() > limits.message {
        return Err(ParseError::message(limits));
    }
    let head_len = head_len(bytes, 0).ok_or(ParseError::NoEndOfHeaders)?;
    let (head, rest) = bytes.split_at_checked(head_len).ok_or(ParseError::NoEndOfHeaders)?;
    let Head { mut message, content_length } = self::head(head, limits)?;
    let length = content_length.unwrap_or(rest.len());
    if length > limits.body {
        return Err(ParseError::body(limits));
    }
    // Bytes beyond the announced body are not part of the message (RFC 3261 section 18.3).
    message.body = rest.get(..length).ok_or(ParseError::Truncated { announced: length })?.to_vec();
    Ok(message)
}

/// Length of the head with its empty line, if it is complete; `from` is where the search may begin.
pub(crate) fn head_len(bytes: &[u8], from: usize) -> Option<usize> {
    let tail = bytes.get(from..)?;
    tail.iter().enumerate().filter(|(_, byte)| **byte == b'\n').find_map(|(at, _)| {
        let after = from + at + 1;
        match (bytes.get(after), bytes.get(after + 1)) {
            (Some(b'\n'), _) => Some(after + 1),
            (Some(b'\r'), Some(b'\n')) => Some(after + 2),
            _ => None,
        }
    })
}

/// Parses a complete head: start line, headers, empty line.
pub(crate) fn head(bytes: &[u8], limits: &Limits) -> Result<Head, ParseError> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let start_bytes = lines.next().unwrap_or_default();
    if start_bytes.len() > limits.line {
        return Err(ParseError::line(limits));
    }
    check_characters(start_bytes)?;
    let start = start_line(start_bytes)?;

    // One entry per field; a folded field is its lines joined by CRLF.
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        check_characters(line)?;
        let folded = matches!(line.first(), Some(b' ' | b'\t'));
        let full = fields.len() == limits.headers;
        match fields.last_mut() {
            Some(field) if folded => {
                field.extend_from_slice(b"\r\n");
                field.extend_from_slice(line);
            }
            None if folded => return Err(ParseError::HeaderLine { number: 1 }),
            _ if full => {
                return Err(ParseError::TooManyHeaders { limit: limits.headers });
            }
            _ => fields.push(line.to_vec()),
        }
        if fields.last().is_some_and(|field| field.len() > limits.line) {
            return Err(ParseError::line(limits));
        }
    }
    let headers: Result<Vec<Header>, ParseError> = (1..)
        .zip(fields)
        .map(|(number, raw)| Header::from_raw(raw).ok_or(ParseError::HeaderLine { number }))
        .collect();
    let message = Message::from_wire(start, start_bytes.to_vec(), headers?);
    let content_length = content_length(&message)?;
    Ok(Head { message, content_length })
}

fn check_characters(line: &[u8]) -> Result<(), ParseError> {
    if line.iter().any(|byte| matches!(byte, b'\r' | 0)) { Err(ParseError::ControlCharacter) } else { Ok(()) }
}

fn start_line(line: &[u8]) -> Result<StartLine, ParseError> {
    let line = String::from_utf8_lossy(line);
    if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
        return status_line(&line);
    }
    let mut words = line.split(' ');
    let (Some(method), Some(uri), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(ParseError::StartLine);
    };
    if method.is_empty() || !method.bytes().all(is_token) || uri.is_empty() || uri.contains('\t') {
        return Err(ParseError::StartLine);
    }
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Err(ParseError::Version);
    }
    Ok(StartLine::Request { method: Method::from(method), uri: uri.to_owned() })
}

fn status_line(line: &str) -> Result<StartLine, ParseError> {
    let (version, rest) = line.split_once(' ').ok_or(ParseError::StartLine)?;
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Err(ParseError::Version);
    }
    // The space before an empty reason is often forgotten.
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseError::StatusCode);
    }
    match code.parse() {
        Ok(code @ 100..=699) => Ok(StartLine::Response { code, reason: reason.to_owned() }),
        _ => Err(ParseError::StatusCode),
    }
}

/// Two readers of one stream that disagree on a length are what request smuggling needs, so only one plain number passes.
fn content_length(message: &Message) -> Result<Option<usize>, ParseError> {
    let mut lengths = message.headers.iter().filter(|header| header.is(name::CONTENT_LENGTH));
    let Some(header) = lengths.next() else { return Ok(None) };
    if lengths.next().is_some() {
        return Err(ParseError::DuplicateContentLength);
    }
    let value = header.value();
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseError::ContentLength);
    }
    value.parse().map(Some).map_err(|_| ParseError::ContentLength)
}

/// Whether a byte may stand in a token (RFC 3261 section 25.1).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}
