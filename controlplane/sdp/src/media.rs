use std::net::IpAddr;

use crate::crypto::{self, CryptoError};
use crate::fields::{Connection, Direction, Rtcp, decimal, family_and_address};
use crate::line::Line;
use crate::{SdpError, attribute};

/// One media section: an `m=` line and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSection {
    pub(crate) lines: Vec<Line>,
    media: Media,
}

/// What the `m=` line says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Media {
    kind: String,
    port: u16,
    /// What follows the slash after the port.
    ports: Option<u16>,
    proto: String,
    formats: Vec<String>,
}

impl MediaSection {
    /// A section that begins with this `m=` line; `number` counts sections from 1, for errors.
    pub(crate) fn new(line: Line, number: usize) -> Result<Self, SdpError> {
        let media = Media::parse(line.value()).ok_or(SdpError::Media(number))?;
        Ok(Self { lines: vec![line], media })
    }

    /// `audio`, `video`, `application`, `image` or another.
    pub fn kind(&self) -> &str {
        &self.media.kind
    }

    /// The port of the `m=` line; 0 refuses the stream or switches it off.
    pub fn port(&self) -> u16 {
        self.media.port
    }

    /// The number of port pairs, if the line gives one (`m=audio 4000/2`).
    pub fn port_count(&self) -> Option<u16> {
        self.media.ports
    }

    /// The transport protocol: `RTP/AVP`, `RTP/SAVP`, `udptl` or another.
    pub fn proto(&self) -> &str {
        &self.media.proto
    }

    /// Whether the protocol is RTP over UDP in any profile, clear or encrypted.
    pub fn is_rtp(&self) -> bool {
        matches!(self.media.proto.as_str(), "RTP/AVP" | "RTP/AVPF") || self.is_srtp()
    }

    /// Whether the protocol is SRTP keyed by the SDP: `RTP/SAVP` or `RTP/SAVPF`.
    pub fn is_srtp(&self) -> bool {
        matches!(self.media.proto.as_str(), "RTP/SAVP" | "RTP/SAVPF")
    }

    /// The formats: payload types for RTP.
    pub fn formats(&self) -> &[String] {
        &self.media.formats
    }

    /// The section's own `c=` line, not the session's: see `SessionDescription::connection_of`.
    ///
    /// # Errors
    /// [`SdpError::Connection`] if the line is malformed.
    pub fn connection(&self) -> Result<Option<Connection>, SdpError> {
        self.lines.iter().find(|line| line.is('c')).map(|line| line.value().parse()).transpose()
    }

    /// The section's own direction attribute, not the session's: see `SessionDescription::direction_of`.
    pub fn direction(&self) -> Option<Direction> {
        direction(&self.lines)
    }

    /// `a=rtcp`.
    ///
    /// # Errors
    /// [`SdpError::Rtcp`] if the line is malformed.
    pub fn rtcp(&self) -> Result<Option<Rtcp>, SdpError> {
        self.attribute("rtcp").map(str::parse).transpose()
    }

    /// Whether RTP and RTCP may share a port (RFC 5761).
    pub fn rtcp_mux(&self) -> bool {
        self.has_attribute("rtcp-mux")
    }

    /// Every `a=crypto` line in order: read, or why it is refused. A refused line is no reason to refuse the others
    /// (RFC 4568 section 5.1.2).
    pub fn cryptos(&self) -> Vec<Result<crypto::Attribute, CryptoError>> {
        self.attributes("crypto").map(crypto::Attribute::parse).collect()
    }

    /// The value of the first attribute of a name; empty for a flag.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes(name).next()
    }

    /// The values of all attributes of a name, in any case.
    pub fn attributes(&self, name: &str) -> impl Iterator<Item = &str> {
        attributes(&self.lines, name)
    }

    /// Whether there is such an attribute.
    pub fn has_attribute(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// Removes every attribute of a name, in any case; tells how many there were.
    pub fn remove_attribute(&mut self, name: &str) -> usize {
        self.remove_attributes(&[name])
    }

    /// Removes every attribute of these names; tells how many there were. See [`attribute`] for groups of names.
    pub fn remove_attributes(&mut self, names: &[&str]) -> usize {
        remove_attributes(&mut self.lines, names)
    }

    /// Adds `a=name:value`, or `a=name` when the value is empty, at the end of the section.
    pub fn add_attribute(&mut self, name: &str, value: &str) {
        add_attribute(&mut self.lines, name, value);
    }

    /// Removes all `a=crypto` lines and adds the given ones.
    pub fn set_cryptos(&mut self, cryptos: &[crypto::Attribute]) {
        self.remove_attribute("crypto");
        for crypto in cryptos {
            self.add_attribute("crypto", &crypto.to_sdp());
        }
    }

    /// Sets the direction attribute, in the place of the old one.
    pub fn set_direction(&mut self, direction: Direction) {
        let is_direction = |line: &Line| Direction::ALL.iter().any(|other| line.is_attribute(other.name()));
        let mut seen = false;
        self.lines.retain_mut(|line| {
            if !is_direction(line) {
                return true;
            }
            if !seen {
                line.set_value(direction.name());
            }
            !std::mem::replace(&mut seen, true)
        });
        if !seen {
            self.add_attribute(direction.name(), "");
        }
    }

    /// Sets the port; a port count is dropped, since we serve one port pair per section.
    pub fn set_port(&mut self, port: u16) {
        self.media.port = port;
        self.media.ports = None;
        self.write_media();
    }

    /// Sets the transport protocol.
    pub fn set_proto(&mut self, proto: &str) {
        self.media.proto = proto.to_owned();
        self.write_media();
    }

    /// Sets the section's own connection address.
    pub fn set_connection(&mut self, address: IpAddr) {
        // Extra c= lines list multicast layers; one unicast address replaces them all.
        let value = format!("IN {}", family_and_address(address));
        let mut seen = false;
        self.lines.retain_mut(|line| {
            if !line.is('c') {
                return true;
            }
            if !seen {
                line.set_value(&value);
            }
            !std::mem::replace(&mut seen, true)
        });
        if !seen {
            // After m= and i= (RFC 8866 section 5).
            let at = if self.lines.get(1).is_some_and(|line| line.is('i')) { 2 } else { 1 };
            self.lines.insert(at, Line::new('c', &value));
        }
    }

    /// Removes the section's own connection address.
    pub fn remove_connection(&mut self) {
        self.lines.retain(|line| !line.is('c'));
    }

    /// Where media goes: address, port and protocol in one step. RTCP lines and ICE, which would say otherwise, are removed.
    pub fn set_transport(&mut self, address: IpAddr, port: u16, proto: &str) {
        self.set_port(port);
        self.set_proto(proto);
        self.set_connection(address);
        self.remove_attributes(attribute::RTCP_TRANSPORT);
        self.remove_attributes(attribute::ICE);
    }

    /// Removes every way of keying: `a=crypto`, `k=`, DTLS, MIKEY, ZRTP and what capability negotiation hides.
    pub fn remove_keying(&mut self) {
        remove_keying(&mut self.lines);
    }

    /// Refuses the stream or switches it off: port 0 (RFC 3264 section 6), without keys and candidates.
    pub fn disable(&mut self) {
        self.set_port(0);
        self.remove_keying();
        self.remove_attributes(attribute::ICE);
    }

    /// Changes only the words of the `m=` line that differ.
    fn write_media(&mut self) {
        let value = self.media.to_string();
        if let Some(line) = self.lines.first_mut()
            && Media::parse(line.value()).as_ref() != Some(&self.media)
        {
            line.set_value(&value);
        }
    }
}

impl Media {
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let kind = words.next()?.to_owned();
        let ports = words.next()?;
        let (port, ports) = match ports.split_once('/') {
            Some((port, count)) => (port, Some(decimal(count)?)),
            None => (ports, None),
        };
        let proto = words.next()?.to_owned();
        Some(Self { kind, port: decimal(port)?, ports, proto, formats: words.map(str::to_owned).collect() })
    }
}

impl std::fmt::Display for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.port)?;
        if let Some(count) = self.ports {
            write!(f, "/{count}")?;
        }
        write!(f, " {}", self.proto)?;
        self.formats.iter().try_for_each(|format| write!(f, " {format}"))
    }
}

pub(crate) fn direction(lines: &[Line]) -> Option<Direction> {
    lines
        .iter()
        .find_map(|line| Direction::ALL.into_iter().find(|direction| line.is_attribute(direction.name())))
}

pub(crate) fn attributes<'a>(lines: &'a [Line], name: &str) -> impl Iterator<Item = &'a str> {
    lines
        .iter()
        .filter_map(Line::attribute)
        .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

pub(crate) fn remove_attributes(lines: &mut Vec<Line>, names: &[&str]) -> usize {
    let before = lines.len();
    lines.retain(|line| !names.iter().any(|name| line.is_attribute(name)));
    before - lines.len()
}

pub(crate) fn add_attribute(lines: &mut Vec<Line>, name: &str, value: &str) {
    let text = if value.is_empty() { name.to_owned() } else { format!("{name}:{value}") };
    // Before the empty lines that some stacks end with.
    let at = lines.iter().rposition(|line| !line.is_blank()).map_or(0, |at| at + 1);
    lines.insert(at, Line::new('a', &text));
}

pub(crate) fn remove_keying(lines: &mut Vec<Line>) {
    remove_attributes(lines, &["crypto"]);
    remove_attributes(lines, attribute::OTHER_KEYING);
    remove_attributes(lines, attribute::CAPABILITIES);
    lines.retain(|line| !line.is('k'));
}
