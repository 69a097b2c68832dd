//! Header and elements of CAPF.

use crate::element::Elements;
use crate::framer::PAYLOAD_MAX;
use crate::{Malformed, Protocol};

/// First byte of every message.
const PROTOCOL: u8 = 85;
/// The most bytes of a certificate.
pub const CERTIFICATE_MAX: usize = 4096;
/// Bytes before the DER of a certificate: a tag, a length, a zero, the [kind](tag::CERTIFICATE_TYPE).
const CERTIFICATE_HEAD: usize = 5;

/// Tags of elements.
#[expect(missing_docs, reason = "the names are the field's own")]
pub mod tag {
    pub const REASON: u8 = 1;
    pub const REASON_INFO: u8 = 2;
    pub const CERTIFICATE_TYPE: u8 = 3;
    pub const CERTIFICATE: u8 = 4;
    pub const CERTIFICATE_ID: u8 = 5;
    pub const SIGNED_DATA: u8 = 6;
    pub const VERSION: u8 = 7;
    pub const AUTH_TYPE: u8 = 8;
    pub const PUBLIC_KEY: u8 = 9;
    pub const KEY_SIZE: u8 = 10;
    pub const PASSWORD: u8 = 11;
    pub const RETRY_DELAY: u8 = 12;
    pub const DEVICE_NAME: u8 = 13;
    pub const SUDI_DATA: u8 = 16;
    pub const KEY_TYPE: u8 = 17;
    pub const CURVE: u8 = 18;
    pub const DIGEST_TYPE: u8 = 19;
    pub const SHA2_SIGNED_DATA: u8 = 20;
}

/// What a message asks or answers. Unknown ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command(pub u8);

#[expect(missing_docs, reason = "the names are the field's own")]
impl Command {
    pub const AUTH_REQUEST: Self = Self(1);
    pub const AUTH_RESPONSE: Self = Self(2);
    pub const KEY_GENERATE_REQUEST: Self = Self(3);
    pub const KEY_GENERATE_RESPONSE: Self = Self(4);
    pub const STORE_REQUEST: Self = Self(9);
    pub const STORE_RESPONSE: Self = Self(10);
    pub const FETCH_REQUEST: Self = Self(11);
    pub const FETCH_RESPONSE: Self = Self(12);
    pub const DELETE_REQUEST: Self = Self(13);
    pub const DELETE_RESPONSE: Self = Self(14);
    pub const END: Self = Self(15);
    pub const RETRY_LATER: Self = Self(16);
    pub const IN_PROGRESS: Self = Self(17);
    pub const STATUS_REQUEST: Self = Self(18);
    pub const STATUS_RESPONSE: Self = Self(19);
    pub const ABORT_REQUEST: Self = Self(20);
    pub const ABORT_RESPONSE: Self = Self(21);
}

/// CAPF, for a [`Framer`](crate::Framer).
#[derive(Debug)]
pub struct Capf;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What is asked or answered.
    pub command: Command,
    /// The session's number, which the server has chosen.
    pub session: u32,
}

impl Protocol for Capf {
    type Header = Header;
    const HEADER: usize = 8;

    fn header(bytes: &[u8]) -> Result<(Header, usize), Malformed> {
        let &[protocol, command, s1, s2, s3, s4, high, low] = bytes else { return Err(Malformed::Ends) };
        if protocol != PROTOCOL {
            return Err(Malformed::Protocol(protocol));
        }
        let session = u32::from_be_bytes([s1, s2, s3, s4]);
        let len = usize::from(u16::from_be_bytes([high, low]));
        Ok((Header { command: Command(command), session }, len))
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What is asked or answered.
    pub command: Command,
    /// The session's number.
    pub session: u32,
    /// Its elements.
    pub elements: Elements,
}

impl Message {
    /// As bytes, to be written at once: phones stall when header and elements come apart \[V\].
    ///
    /// # Errors
    /// When the elements are more than a message may have.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Malformed> {
        let elements = self.elements.to_bytes();
        let len = u16::try_from(elements.len()).ok().filter(|_| elements.len() <= PAYLOAD_MAX);
        let len = len.ok_or(Malformed::TooLong(elements.len(), PAYLOAD_MAX))?;
        let mut bytes = vec![PROTOCOL, self.command.0];
        bytes.extend_from_slice(&self.session.to_be_bytes());
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(&elements);
        Ok(bytes)
    }

    /// The DER of the certificate in it. Of the bytes before, only the number is looked at: that is what is known to work.
    ///
    /// # Errors
    /// When it is there twice, too short or too long.
    pub fn certificate(&self) -> Result<Option<&[u8]>, Malformed> {
        let Some(value) = self.elements.get(tag::CERTIFICATE)? else { return Ok(None) };
        let der = value.get(CERTIFICATE_HEAD..).filter(|der| (1..=CERTIFICATE_MAX).contains(&der.len()));
        der.ok_or(Malformed::Value(tag::CERTIFICATE)).map(Some)
    }
}

impl Elements {
    /// With a certificate for the phone to store.
    #[must_use]
    pub fn with_certificate(self, kind: u8, der: &[u8]) -> Self {
        let len = u16::try_from(der.len() + 2).unwrap_or(u16::MAX).to_be_bytes();
        self.with(tag::CERTIFICATE, [&[1, len[0], len[1], 0, kind], der].concat())
    }
}
