//! The five packets of RFC 1350, and RFC 2347's acknowledgement of options.

use thiserror::Error;

use crate::options::Options;

/// The longest request: 512 bytes (RFC 2347 section 3).
pub const MAX_REQUEST: usize = 512;

/// The longest file name in a request, in bytes. Phones' names are far shorter.
pub const MAX_NAME: usize = 128;

const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACKNOWLEDGE: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS: u16 = 6;

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// RRQ: a file is asked for.
    Read(Request<'a>),
    /// WRQ: a file is offered.
    Write(Request<'a>),
    /// DATA.
    Data {
        /// The block's number; the first is 1, and 0 follows 65,535.
        block: u16,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// ACK.
    Acknowledge {
        /// The block; 0 acknowledges options.
        block: u16,
    },
    /// ERROR, which ends a transfer.
    Error {
        /// The code; what is not assigned counts as [`ErrorCode::NotDefined`].
        code: ErrorCode,
        /// What the sender says about it.
        message: &'a [u8],
    },
    /// OACK: the options that the server has taken.
    Options(Options),
}

/// What stands in RRQ and WRQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The file name: 1 to [`MAX_NAME`] bytes without a zero.
    pub name: &'a [u8],
    /// Whether the mode is `octet`, the only one that is served.
    pub is_octet: bool,
    /// The options. Unknown ones are left out (RFC 2347 section 3).
    pub options: Options,
}

/// Codes of ERROR (RFC 1350 section 5, RFC 2347 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ErrorCode {
    /// See the message.
    NotDefined = 0,
    /// File not found.
    NotFound = 1,
    /// Access violation.
    AccessViolation = 2,
    /// Disk full or allocation exceeded.
    DiskFull = 3,
    /// Illegal operation.
    IllegalOperation = 4,
    /// Unknown transfer identifier.
    UnknownTransfer = 5,
    /// The file exists.
    FileExists = 6,
    /// No such user.
    NoSuchUser = 7,
    /// The options are refused.
    OptionsRefused = 8,
}

impl ErrorCode {
    fn from_number(number: u16) -> Self {
        match number {
            1 => Self::NotFound,
            2 => Self::AccessViolation,
            3 => Self::DiskFull,
            4 => Self::IllegalOperation,
            5 => Self::UnknownTransfer,
            6 => Self::FileExists,
            7 => Self::NoSuchUser,
            8 => Self::OptionsRefused,
            _ => Self::NotDefined,
        }
    }
}

/// Why a datagram is no TFTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It ends too early.
    #[error("a TFTP packet that ends in the middle")]
    Truncated,
    /// An unknown operation.
    #[error("no TFTP operation: {0}")]
    Operation(u16),
    /// A request of more than [`MAX_REQUEST`] bytes.
    #[error("a request of more than {MAX_REQUEST} bytes")]
    RequestTooLong,
    /// The name is empty or has more than [`MAX_NAME`] bytes.
    #[error("a file name that is empty or has more than {MAX_NAME} bytes")]
    Name,
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// Whatever makes it no packet.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let (operation, rest) = number(datagram)?;
        match operation {
            READ => Ok(Self::Read(Request::parse(datagram, rest)?)),
            WRITE => Ok(Self::Write(Request::parse(datagram, rest)?)),
            DATA => number(rest).map(|(block, bytes)| Self::Data { block, bytes }),
            ACKNOWLEDGE => number(rest).map(|(block, _)| Self::Acknowledge { block }),
            ERROR => {
                let (code, rest) = number(rest)?;
                // Some clients leave out the zero at the end.
                let message = text(rest).map_or(rest, |(message, _)| message);
                Ok(Self::Error { code: ErrorCode::from_number(code), message })
            }
            OPTIONS if datagram.len() > MAX_REQUEST => Err(Malformed::RequestTooLong),
            OPTIONS => Ok(Self::Options(Options::parse(rest))),
            other => Err(Malformed::Operation(other)),
        }
    }

    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Vec::new();
        match self {
            Self::Read(request) => request.encode(READ, &mut to),
            Self::Write(request) => request.encode(WRITE, &mut to),
            Self::Data { block, bytes } => {
                to.reserve(4 + bytes.len());
                put(DATA, &mut to);
                put(*block, &mut to);
                to.extend_from_slice(bytes);
            }
            Self::Acknowledge { block } => {
                put(ACKNOWLEDGE, &mut to);
                put(*block, &mut to);
            }
            Self::Error { code, message } => {
                put(ERROR, &mut to);
                put(*code as u16, &mut to);
                to.extend(message.iter().filter(|byte| **byte != 0));
                to.push(0);
            }
            Self::Options(options) => {
                put(OPTIONS, &mut to);
                options.encode(&mut to);
            }
        }
        to
    }
}

impl<'a> Request<'a> {
    fn parse(datagram: &[u8], rest: &'a [u8]) -> Result<Self, Malformed> {
        if datagram.len() > MAX_REQUEST {
            return Err(Malformed::RequestTooLong);
        }
        let (name, rest) = text(rest).ok_or(Malformed::Truncated)?;
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(Malformed::Name);
        }
        let (mode, rest) = text(rest).ok_or(Malformed::Truncated)?;
        let is_octet = mode.eq_ignore_ascii_case(b"octet");
        Ok(Self { name, is_octet, options: Options::parse(rest) })
    }

    fn encode(&self, operation: u16, to: &mut Vec<u8>) {
        put(operation, to);
        to.extend_from_slice(self.name);
        to.push(0);
        to.extend_from_slice(if self.is_octet { b"octet\0" } else { b"netascii\0" });
        self.options.encode(to);
    }
}

/// The message of an error, for people: at most 128 characters, none of them a control character.
pub(crate) fn readable(message: &[u8]) -> String {
    String::from_utf8_lossy(message).chars().filter(|c| !c.is_control()).take(128).collect()
}

/// A number of two bytes, and what follows.
fn number(bytes: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    let (number, rest) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
    Ok((u16::from_be_bytes(*number), rest))
}

/// What stands before a zero, and what follows the zero.
pub(crate) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

fn put(number: u16, to: &mut Vec<u8>) {
    to.extend_from_slice(&number.to_be_bytes());
}
