//! TVS, by which a phone asks whether it may trust a certificate that is not on its list (tls-capf-tvs 2.9; TCP 2445,
//! inside TLS without a client certificate).
//!
//! What is asked is no secret, so it is answered to anybody: whether a certificate is one of the appliance's, and for what.

use std::collections::HashMap;

use openssl::sha::sha256;

use crate::element::Elements;
use crate::{Framer, Malformed, Protocol};

/// First byte of every message.
const PROTOCOL: u8 = 87;
/// The only version.
const VERSION: u8 = 1;
/// Status of a certificate that is ours.
const VALID: u8 = 0;
/// Status of any other.
const INVALID: u8 = 1;
/// The most bytes of a certificate.
pub const CERTIFICATE_MAX: usize = 4096;
/// The most bytes of a device's name.
const NAME_MAX: usize = 64;

/// Tags of elements.
#[expect(missing_docs, reason = "the names are the field's own")]
pub mod tag {
    pub const DEVICE_NAME: u8 = 1;
    pub const CERTIFICATE: u8 = 2;
    pub const STATUS: u8 = 7;
    pub const ROLES: u8 = 8;
    pub const TTL: u8 = 9;
}

/// What a message asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command(pub u8);

#[expect(missing_docs, reason = "the names are the field's own")]
impl Command {
    pub const VERIFY_REQUEST: Self = Self(1);
    pub const VERIFY_RESPONSE: Self = Self(2);
    pub const QUERY_REQUEST: Self = Self(3);
    pub const QUERY_RESPONSE: Self = Self(4);
}

/// TVS, for a [`Framer`].
#[derive(Debug)]
pub struct Tvs;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What is asked or answered.
    pub command: Command,
    /// A number that the phone has chosen; the answer has the same.
    pub session: u32,
}

impl Protocol for Tvs {
    type Header = Header;
    const HEADER: usize = 10;

    fn header(bytes: &[u8]) -> Result<(Header, usize), Malformed> {
        let &[protocol, version, command, _, s1, s2, s3, s4, high, low] = bytes else {
            return Err(Malformed::Ends);
        };
        if protocol != PROTOCOL {
            return Err(Malformed::Protocol(protocol));
        }
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let session = u32::from_be_bytes([s1, s2, s3, s4]);
        let len = usize::from(u16::from_be_bytes([high, low]));
        Ok((Header { command: Command(command), session }, len))
    }
}

impl Header {
    /// A whole message, as bytes.
    ///
    /// # Errors
    /// When the elements are more than a length can say.
    pub fn message(self, elements: &Elements) -> Result<Vec<u8>, Malformed> {
        let elements = elements.to_bytes();
        let len = u16::try_from(elements.len());
        let len = len.map_err(|_| Malformed::TooLong(elements.len(), usize::from(u16::MAX)))?;
        let mut bytes = vec![PROTOCOL, VERSION, self.command.0, 0];
        bytes.extend_from_slice(&self.session.to_be_bytes());
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(&elements);
        Ok(bytes)
    }
}

/// What the appliance knows of certificates.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What a certificate may do, by the SHA-256 of its DER: numbers of record functions (trust-files 2.1.3).
    roles: HashMap<[u8; 32], Vec<u8>>,
    /// Seconds for which a phone may remember an answer.
    ttl: u32,
}

impl Known {
    /// Nothing yet.
    pub fn new(ttl: u32) -> Self {
        Self { roles: HashMap::new(), ttl }
    }

    /// A certificate may do something, beside what else it may do.
    pub fn add(&mut self, der: &[u8], role: u8) {
        let roles = self.roles.entry(sha256(der)).or_default();
        if !roles.contains(&role) {
            roles.push(role);
        }
    }

    /// What a certificate may do; `None`: it is not ours.
    pub fn roles(&self, der: &[u8]) -> Option<&[u8]> {
        self.roles.get(&sha256(der)).map(Vec::as_slice)
    }

    fn elements(&self, roles: Option<&[u8]>) -> Elements {
        match roles {
            Some(roles) => Elements::default()
                .with(tag::STATUS, [VALID])
                .with(tag::ROLES, roles)
                .with(tag::TTL, self.ttl.to_be_bytes()),
            None => Elements::default().with(tag::STATUS, [INVALID]),
        }
    }
}

/// One connection of a phone that asks.
#[derive(Debug, Default)]
pub struct Server {
    framer: Framer<Tvs>,
}

/// What was asked, and what to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The name that the phone says it has; nothing depends on it.
    pub device: Option<String>,
    /// Whether the certificate is known.
    pub is_known: bool,
    /// The answer.
    pub bytes: Vec<u8>,
}

/// Why a connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no TVS.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Not a question.
    #[error("command {} is no question that is answered", .0.0)]
    Command(Command),
}

impl Server {
    /// Takes what has come. The caller takes all answers before it pushes more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.framer.push(bytes);
    }

    /// Bytes that belong to no finished question yet.
    pub fn pending(&self) -> usize {
        self.framer.pending()
    }

    /// Answers the next question that has come. A query is answered as a verification \[I\]: what more it could ask is not
    /// known.
    ///
    /// # Errors
    /// When it is no question; the connection is to be closed.
    pub fn answer(&mut self, known: &Known) -> Option<Result<Answered, Refused>> {
        let message = self.framer.take()?;
        Some(message.map_err(Refused::from).and_then(|(header, elements)| answer(header, &elements, known)))
    }
}

fn answer(header: Header, elements: &Elements, known: &Known) -> Result<Answered, Refused> {
    let command = match header.command {
        Command::VERIFY_REQUEST => Command::VERIFY_RESPONSE,
        Command::QUERY_REQUEST => Command::QUERY_RESPONSE,
        other => return Err(Refused::Command(other)),
    };
    let der = elements.get(tag::CERTIFICATE)?.ok_or(Malformed::Missing(tag::CERTIFICATE))?;
    if der.len() > CERTIFICATE_MAX {
        return Err(Malformed::Value(tag::CERTIFICATE).into());
    }
    let (device, roles) = (device(elements)?, known.roles(der));
    let bytes = Header { command, ..header }.message(&known.elements(roles))?;
    Ok(Answered { device, is_known: roles.is_some(), bytes })
}

/// The name behind its leading byte; one that is no short text is left out.
fn device(elements: &Elements) -> Result<Option<String>, Malformed> {
    let name = elements.get(tag::DEVICE_NAME)?.and_then(|name| name.get(1..)).unwrap_or_default();
    let name = name.strip_suffix(&[0]).unwrap_or(name);
    let is_shown = (1..=NAME_MAX).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
    Ok(is_shown.then(|| String::from_utf8_lossy(name).into_owned()))
}
