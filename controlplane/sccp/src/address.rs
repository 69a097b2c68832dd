//! Addresses of both generations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{FieldError, Frame};

/// An address as a message carries it; always in network order, in messages that are little-endian otherwise (sccp 2.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4: the only kind before protocol 17, type 0 from then on.
    V4(Ipv4Addr),
    /// IPv6: type 1.
    V6(Ipv6Addr),
    /// Type 2, of both families. There is room for one address; what real phones put there is not known.
    Both([u8; 16]),
    /// Type 3, or a type that is not known.
    Invalid,
}

impl Address {
    /// The address; of [`Address::Both`] the IPv4 address if the other bytes are zero, else an IPv6 address [I].
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::V4(address) => Some(IpAddr::V4(address)),
            Self::V6(address) => Some(IpAddr::V6(address)),
            Self::Both([a, b, c, d, rest @ ..]) if rest == [0; 12] => {
                Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
            }
            Self::Both(bytes) => Some(IpAddr::V6(Ipv6Addr::from(bytes))),
            Self::Invalid => None,
        }
    }
}

/// Which families a call manager asks for; beside [`Address`] a word of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 0.
    V4,
    /// 1.
    V6,
    /// 2.
    Both,
    /// 3, or a number that is not known.
    Other(u32),
}

impl Family {
    /// The family of a number on the wire.
    pub fn from_wire(value: u32) -> Self {
        match value {
            V4 => Self::V4,
            V6 => Self::V6,
            BOTH => Self::Both,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    pub fn to_wire(self) -> u32 {
        match self {
            Self::V4 => V4,
            Self::V6 => V6,
            Self::Both => BOTH,
            Self::Other(other) => other,
        }
    }
}

const V4: u32 = 0;
const V6: u32 = 1;
const BOTH: u32 = 2;
/// The highest type that is known; any other word is no type.
pub(crate) const TYPE_MAX: u32 = 3;

/// How a generation writes an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// 4 bytes, IPv4.
    Plain,
    /// A type (4 bytes, little-endian) and 16 bytes, an IPv4 address in the first four. From protocol 17.
    Typed,
}

impl Form {
    /// Bytes of an address.
    pub(crate) const fn len(self) -> usize {
        match self {
            Self::Plain => 4,
            Self::Typed => 20,
        }
    }

    pub(crate) fn read(self, frame: &Frame, field: &'static str, at: usize) -> Result<Address, FieldError> {
        if self == Self::Plain {
            return frame.array::<4>(field, at).map(|bytes| Address::V4(bytes.into()));
        }
        let kind = frame.word(field, at)?;
        let bytes: [u8; 16] = frame.array(field, at + 4)?;
        let [a, b, c, d, ..] = bytes;
        Ok(match kind {
            V4 => Address::V4(Ipv4Addr::new(a, b, c, d)),
            V6 => Address::V6(bytes.into()),
            BOTH => Address::Both(bytes),
            _ => Address::Invalid,
        })
    }

    /// Writes an address over all of the old one, the bytes that an IPv4 address leaves unused included: they may show
    /// what is not to be shown.
    pub(crate) fn write(
        self,
        frame: &mut Frame,
        field: &'static str,
        at: usize,
        address: IpAddr,
    ) -> Result<(), FieldError> {
        match (self, address) {
            (Self::Plain, IpAddr::V4(address)) => frame.put(field, at, &address.octets()),
            (Self::Plain, IpAddr::V6(_)) => {
                Err(FieldError::Family { message: frame.id(), version: frame.version() })
            }
            (Self::Typed, address) => frame.put(field, at, &typed(address)),
        }
    }
}

fn typed(address: IpAddr) -> [u8; 20] {
    let mut bytes = [0; 20];
    let (kind, rest) = bytes.split_at_mut(4);
    match address {
        IpAddr::V4(address) => {
            kind.copy_from_slice(&V4.to_le_bytes());
            for (to, from) in rest.iter_mut().zip(address.octets()) {
                *to = from;
            }
        }
        IpAddr::V6(address) => {
            kind.copy_from_slice(&V6.to_le_bytes());
            rest.copy_from_slice(&address.octets());
        }
    }
    bytes
}
