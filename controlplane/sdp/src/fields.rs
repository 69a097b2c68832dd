use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::SdpError;

/// Which way media flows (RFC 8866 section 6.7), seen from who wrote the SDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways; also what no attribute means.
    #[default]
    SendRecv,
    /// The writer only sends.
    SendOnly,
    /// The writer only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    /// The attribute's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether the writer sends media.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer receives media.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A `c=` line: where media is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Address or host name, without a multicast suffix.
    pub address: String,
    /// Whether the line says IP6.
    pub ip6: bool,
}

impl Connection {
    /// The address as a number; `None` for a host name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }

    /// Whether it is the all-zero address, the hold of old (RFC 3264 section 8.4).
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|address| address.is_unspecified())
    }
}

impl FromStr for Connection {
    type Err = SdpError;

    fn from_str(value: &str) -> Result<Self, SdpError> {
        let mut words = value.split_ascii_whitespace();
        let (Some(net), Some(family), Some(address), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(SdpError::Connection);
        };
        let address = address.split('/').next().unwrap_or_default();
        if net != "IN" || !matches!(family, "IP4" | "IP6") || address.is_empty() {
            return Err(SdpError::Connection);
        }
        Ok(Self { address: address.to_owned(), ip6: family == "IP6" })
    }
}

/// An `o=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// User name, or `-`.
    pub username: String,
    /// Session id; opaque digits.
    pub session_id: String,
    /// Session version; grows with each change.
    pub version: String,
    /// The address of who made the session, as it was written.
    pub address: String,
}

impl FromStr for Origin {
    type Err = SdpError;

    fn from_str(value: &str) -> Result<Self, SdpError> {
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        let [username, session_id, version, _, _, address] = words.as_slice() else {
            return Err(SdpError::Origin);
        };
        let owned = |word: &str| word.to_owned();
        Ok(Self {
            username: owned(username),
            session_id: owned(session_id),
            version: owned(version),
            address: owned(address),
        })
    }
}

/// An `a=rtcp` line (RFC 3605).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtcp {
    /// The RTCP port.
    pub port: u16,
    /// The RTCP address, when it differs from the connection's.
    pub connection: Option<Connection>,
}

impl FromStr for Rtcp {
    type Err = SdpError;

    fn from_str(value: &str) -> Result<Self, SdpError> {
        let value = value.trim();
        let (port, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
        let port = decimal(port).ok_or(SdpError::Rtcp)?;
        let connection = match rest.trim() {
            "" => None,
            rest => Some(rest.parse().map_err(|_| SdpError::Rtcp)?),
        };
        Ok(Self { port, connection })
    }
}

/// `IP4 address` or `IP6 address`.
pub(crate) fn family_and_address(address: IpAddr) -> String {
    let family = if address.is_ipv6() { "IP6" } else { "IP4" };
    format!("{family} {address}")
}

/// A plain decimal number without sign.
pub(crate) fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}
