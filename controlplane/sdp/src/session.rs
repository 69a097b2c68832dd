use std::net::IpAddr;

use crate::fields::{Connection, Direction, Origin, family_and_address};
use crate::line::Line;
use crate::media::{self, MediaSection};
use crate::{Limits, SdpError};

/// An SDP: session lines, then media sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDescription {
    lines: Vec<Line>,
    media: Vec<MediaSection>,
}

impl SessionDescription {
    /// Reads an SDP. Line ends may be CRLF or LF, the last may be missing; all survive as they are.
    ///
    /// # Errors
    /// [`SdpError`] when a limit is passed, a line is not `x=value`, `v=0` or `o=` is missing, an `m=` line is malformed, or a
    /// line is repeated that may occur once.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, SdpError> {
        if bytes.len() > limits.bytes {
            return Err(SdpError::TooLong(limits.bytes));
        }
        let mut sdp = Self { lines: Vec::new(), media: Vec::new() };
        for (number, bytes) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            if number > limits.lines {
                return Err(SdpError::TooManyLines(limits.lines));
            }
            let (bytes, ending) = split_ending(bytes);
            if bytes.len() > limits.line {
                return Err(SdpError::LineTooLong { line: number, limit: limits.line });
            }
            let line = Line::parse(bytes, ending, number)?;
            if number == 1 && (!line.is('v') || line.value().trim() != "0") {
                return Err(SdpError::Version);
            }
            if line.is('m') {
                if sdp.media.len() == limits.media {
                    return Err(SdpError::TooManyMedia(limits.media));
                }
                sdp.media.push(MediaSection::new(line, sdp.media.len() + 1)?);
                continue;
            }
            sdp.check_repeated(&line, number)?;
            sdp.last_lines().push(line);
        }
        if sdp.lines.is_empty() {
            return Err(SdpError::Version);
        }
        sdp.origin()?;
        Ok(sdp)
    }

    /// The SDP as it is sent. This writes key material, if there is any.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut lines =
            self.lines.iter().chain(self.media.iter().flat_map(|section| &section.lines)).peekable();
        while let Some(line) = lines.next() {
            line.write(lines.peek().is_none(), &mut out);
        }
        out
    }

    /// The media sections in order.
    pub fn media(&self) -> &[MediaSection] {
        &self.media
    }

    /// The media sections, to be edited. Their number and order are fixed by offer/answer (RFC 3264).
    pub fn media_mut(&mut self) -> &mut [MediaSection] {
        &mut self.media
    }

    /// The `o=` line.
    ///
    /// # Errors
    /// [`SdpError::Origin`] if it is missing or malformed.
    pub fn origin(&self) -> Result<Origin, SdpError> {
        self.lines.iter().find(|line| line.is('o')).ok_or(SdpError::Origin)?.value().parse()
    }

    /// Sets the address of the `o=` line; user name, session id and version stay.
    pub fn set_origin_address(&mut self, address: IpAddr) {
        let Ok(Origin { username, session_id, version, .. }) = self.origin() else { return };
        let value = format!("{username} {session_id} {version} IN {}", family_and_address(address));
        if let Some(line) = self.lines.iter_mut().find(|line| line.is('o')) {
            line.set_value(&value);
        }
    }

    /// The session's `c=` line.
    ///
    /// # Errors
    /// [`SdpError::Connection`] if it is malformed.
    pub fn connection(&self) -> Result<Option<Connection>, SdpError> {
        self.lines.iter().find(|line| line.is('c')).map(|line| line.value().parse()).transpose()
    }

    /// Sets the session's `c=` line where there is one; without one nothing is added (sections have their own).
    pub fn set_connection(&mut self, address: IpAddr) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.is('c')) {
            line.set_value(&format!("IN {}", family_and_address(address)));
        }
    }

    /// The connection of a section: its own, or else the session's.
    ///
    /// # Errors
    /// [`SdpError::NoConnection`] if neither exists (or the section does not), [`SdpError::Connection`] if it is malformed.
    pub fn connection_of(&self, section: usize) -> Result<Connection, SdpError> {
        let own = self.media.get(section).ok_or(SdpError::NoConnection)?.connection()?;
        own.map_or_else(|| self.connection()?.ok_or(SdpError::NoConnection), Ok)
    }

    /// The direction of a section: its own, or else the session's, or else both ways.
    pub fn direction_of(&self, section: usize) -> Direction {
        let own = self.media.get(section).and_then(MediaSection::direction);
        own.or_else(|| media::direction(&self.lines)).unwrap_or_default()
    }

    /// The value of the first session attribute of a name; empty for a flag.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        media::attributes(&self.lines, name).next()
    }

    /// Removes every session attribute of these names, in any case; tells how many there were.
    pub fn remove_attributes(&mut self, names: &[&str]) -> usize {
        media::remove_attributes(&mut self.lines, names)
    }

    /// Adds a session attribute at the end of the session part.
    pub fn add_attribute(&mut self, name: &str, value: &str) {
        media::add_attribute(&mut self.lines, name, value);
    }

    /// Removes every way of keying from the session part: see [`MediaSection::remove_keying`].
    pub fn remove_keying(&mut self) {
        media::remove_keying(&mut self.lines);
    }

    fn last_lines(&mut self) -> &mut Vec<Line> {
        match self.media.last_mut() {
            Some(section) => &mut section.lines,
            None => &mut self.lines,
        }
    }

    /// Refuses a second `v=`, `o=`, `c=`, `k=` and the like in the session part. Sections may have several `c=` lines.
    fn check_repeated(&self, line: &Line, number: usize) -> Result<(), SdpError> {
        if !self.media.is_empty() {
            return Ok(());
        }
        match "vosiuck".chars().find(|kind| line.is(*kind)) {
            Some(kind) if self.lines.iter().any(|other| other.is(kind)) => {
                Err(SdpError::Repeated { line: number, kind })
            }
            _ => Ok(()),
        }
    }
}

fn split_ending(bytes: &[u8]) -> (&[u8], &'static str) {
    if let Some(line) = bytes.strip_suffix(b"\r\n") {
        return (line, "\r\n");
    }
    match bytes.strip_suffix(b"\n") {
        Some(line) => (line, "\n"),
        None => (bytes, ""),
    }
}
