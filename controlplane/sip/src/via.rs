use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::uri::{host_ip, host_port};
use crate::{FieldError, Params, name};

/// One Via value (RFC 3261 section 20.42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// The transport as it was written: `UDP`, `TCP`, `TLS`, or another.
    pub transport: String,
    /// Host of sent-by: name, IPv4 address, or IPv6 address in brackets.
    pub host: String,
    /// Port of sent-by, if one is written.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport` and others.
    pub params: Params,
}

impl Via {
    /// A Via of ours.
    pub fn new(transport: &str, host: &str, port: Option<u16>, branch: &str) -> Self {
        let mut params = Params::default();
        params.set("branch", Some(branch));
        Self { transport: transport.to_owned(), host: host.to_owned(), port, params }
    }

    /// The branch; a transaction's name when it begins with `z9hG4bK`.
    pub fn branch(&self) -> Option<&str> {
        self.params.value("branch")
    }

    /// The address that the next hop saw the request come from.
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.value("received")?;
        host_ip(text).or_else(|| text.parse().ok())
    }

    /// The port that the next hop saw the request come from (RFC 3581); `None` also for the empty request for it.
    pub fn rport(&self) -> Option<u16> {
        self.params.value("rport")?.parse().ok()
    }

    /// Host of sent-by as an address, if it is one.
    pub fn host_ip(&self) -> Option<IpAddr> {
        host_ip(&self.host)
    }
}

impl FromStr for Via {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        parse(text).ok_or_else(|| FieldError::malformed(name::VIA))
    }
}

fn parse(text: &str) -> Option<Via> {
    let (protocol, rest) = text.split_once('/')?;
    let (version, rest) = rest.split_once('/')?;
    if !protocol.trim().eq_ignore_ascii_case("SIP") || version.trim() != "2.0" {
        return None;
    }
    let rest = rest.trim_start();
    let (transport, rest) = rest.split_once([' ', '\t'])?;
    if transport.is_empty() || !transport.bytes().all(crate::parse::is_token) {
        return None;
    }
    let params_at = rest.find(';').unwrap_or(rest.len());
    let (sent_by, params) = rest.split_at_checked(params_at)?;
    let (host, port) = host_port(sent_by)?;
    let params = Params::parse(params)?;
    Some(Via { transport: transport.to_owned(), host, port, params })
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}
