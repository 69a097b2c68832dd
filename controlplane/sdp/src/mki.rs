use std::fmt;

use crate::fields::decimal;

/// A master key identifier: a number in a fixed number of bytes, 1 to 128 (RFC 4568 section 6.1).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mki(Vec<u8>);

impl Mki {
    /// The longest MKI, bytes.
    pub const MAX_LEN: usize = 128;

    /// An MKI of these bytes, as packets carry it. `None` unless 1 to 128.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=Self::MAX_LEN).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// The MKI as packets carry it, big-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads `value:length`. `None` when malformed, of a bad length, or when the value does not fit.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (value, length) = text.split_once(':')?;
        let length: usize = decimal(length)?;
        // 128 bytes have at most 309 digits.
        if !(1..=Self::MAX_LEN).contains(&length) || value.is_empty() || value.len() > 309 {
            return None;
        }
        let mut bytes = vec![0_u8; length];
        for digit in value.bytes() {
            let mut carry = u16::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
            for byte in bytes.iter_mut().rev() {
                let sum = u16::from(*byte) * 10 + carry;
                *byte = sum.to_be_bytes()[1];
                carry = sum >> 8;
            }
            if carry != 0 {
                return None;
            }
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Mki {
    /// Writes `value:length`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits: Vec<u8> = vec![0];
        for byte in &self.0 {
            let mut carry = u16::from(*byte);
            for digit in &mut digits {
                let sum = u16::from(*digit) * 256 + carry;
                *digit = u8::try_from(sum % 10).unwrap_or_default();
                carry = sum / 10;
            }
            while carry != 0 {
                digits.push(u8::try_from(carry % 10).unwrap_or_default());
                carry /= 10;
            }
        }
        for digit in digits.iter().rev() {
            write!(f, "{digit}")?;
        }
        write!(f, ":{}", self.0.len())
    }
}

impl fmt::Debug for Mki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mki({self})")
    }
}
