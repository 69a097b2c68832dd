use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::{FieldError, Params};

/// A `sip:` or `sips:` URI (RFC 3261 section 19.1). Other schemes are no `Uri`: they stay text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// `sip` or `sips`, as it was written.
    pub scheme: String,
    /// The user part, escapes kept; compare with [`Uri::unescaped_user`].
    pub user: Option<String>,
    /// The password, escapes kept.
    pub password: Option<String>,
    /// Host name, IPv4 address, or IPv6 address in brackets.
    pub host: String,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// URI parameters.
    pub params: Params,
    /// What follows `?`.
    pub headers: Option<String>,
}

impl Uri {
    /// A plain `sip:` URI.
    pub fn new(user: Option<&str>, host: &str, port: Option<u16>) -> Self {
        Self {
            scheme: "sip".to_owned(),
            user: user.map(str::to_owned),
            password: None,
            host: host.to_owned(),
            port,
            params: Params::default(),
            headers: None,
        }
    }

    /// Whether the scheme is `sips`.
    pub fn is_sips(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("sips")
    }

    /// The user part with `%hh` escapes resolved, for comparisons. `None` without user, or when an escape is
    /// broken or does not give UTF-8.
    pub fn unescaped_user(&self) -> Option<String> {
        unescape(self.user.as_deref()?)
    }

    /// The host as an address, if it is one.
    pub fn host_ip(&self) -> Option<IpAddr> {
        host_ip(&self.host)
    }
}

impl FromStr for Uri {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        parse(text).ok_or_else(|| FieldError::malformed("SIP URI"))
    }
}

fn parse(text: &str) -> Option<Uri> {
    if text.bytes().any(|byte| byte.is_ascii_control() || matches!(byte, b' ' | b'<' | b'>' | b'"')) {
        return None;
    }
    let (scheme, rest) = text.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
        return None;
    }
    // The user part may hold `;`, `?` and `:`, so it is cut off first. Two `@` would leave its end in doubt.
    let (userinfo, rest) = match rest.split_once('@') {
        Some((userinfo, rest)) => (Some(userinfo), rest),
        None => (None, rest),
    };
    if rest.contains('@') || userinfo.is_some_and(|userinfo| userinfo.is_empty()) {
        return None;
    }
    let (user, password) = match userinfo.map(|userinfo| userinfo.split_once(':').ok_or(userinfo)) {
        Some(Ok((user, password))) => (Some(user.to_owned()), Some(password.to_owned())),
        Some(Err(user)) => (Some(user.to_owned()), None),
        None => (None, None),
    };
    let (rest, headers) = match rest.split_once('?') {
        Some((rest, headers)) => (rest, Some(headers.to_owned())),
        None => (rest, None),
    };
    let params_at = rest.find(';').unwrap_or(rest.len());
    let (hostport, params) = rest.split_at(params_at);
    let (host, port) = host_port(hostport)?;
    let params = Params::parse(params)?;
    Some(Uri { scheme: scheme.to_owned(), user, password, host, port, params, headers })
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)?;
        if let Some(headers) = &self.headers {
            write!(f, "?{headers}")?;
        }
        Ok(())
    }
}

/// Reads `host`, `host:port`, `[v6]` or `[v6]:port`, with spaces around the colon as Via allows them.
pub(crate) fn host_port(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.trim();
    let host_end =
        if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, rest) = text.split_at_checked(host_end)?;
    let host = host.trim();
    if !valid_host(host) {
        return None;
    }
    let rest = rest.trim();
    if rest.is_empty() {
        return Some((host.to_owned(), None));
    }
    let port = rest.strip_prefix(':')?.trim();
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((host.to_owned(), Some(port.parse().ok()?)))
}

fn valid_host(host: &str) -> bool {
    if host.starts_with('[') {
        return host_ip(host).is_some();
    }
    !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// The address that a host is, with or without brackets.
pub(crate) fn host_ip(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (high, low) = (bytes.next()?, bytes.next()?);
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        out.push(digit(high)? * 16 + digit(low)?);
    }
    String::from_utf8(out).ok()
}
