//! The options of RFC 2348 and RFC 2349.

use crate::packet::text;

/// The least block size (RFC 2348).
pub const BLOCK_MIN: u16 = 8;
/// The greatest block size (RFC 2348).
pub const BLOCK_MAX: u16 = 65_464;
/// The block size without the option (RFC 1350).
pub const BLOCK_DEFAULT: u16 = 512;

/// Options of a request, or those that a server has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `blksize`: bytes of a block, [`BLOCK_MIN`] to [`BLOCK_MAX`].
    pub block_size: Option<u16>,
    /// `tsize`: bytes of the file; 0 in a request to read.
    pub transfer_size: Option<u64>,
    /// `timeout`: seconds until a packet is sent again, 1 to 255.
    pub timeout: Option<u8>,
}

impl Options {
    /// Reads pairs of names and values. What is unknown, incomplete or out of its range is passed over, as if it had
    /// not been asked for (RFC 2347 section 3); of two alike the first counts.
    pub(crate) fn parse(mut bytes: &[u8]) -> Self {
        let mut options = Self::default();
        while let Some((name, rest)) = text(bytes) {
            let Some((value, rest)) = text(rest) else { break };
            bytes = rest;
            let value = number(value);
            let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
            if is(b"blksize") && options.block_size.is_none() {
                options.block_size = value.and_then(|size| u16::try_from(size).ok());
                options.block_size = options.block_size.filter(|size| (BLOCK_MIN..=BLOCK_MAX).contains(size));
            } else if is(b"tsize") && options.transfer_size.is_none() {
                options.transfer_size = value;
            } else if is(b"timeout") && options.timeout.is_none() {
                options.timeout =
                    value.and_then(|seconds| u8::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
            }
        }
        options
    }

    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        let pairs = [
            ("blksize", self.block_size.map(u64::from)),
            ("timeout", self.timeout.map(u64::from)),
            ("tsize", self.transfer_size),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                to.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
            }
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A decimal number of at most 19 digits.
fn number(digits: &[u8]) -> Option<u64> {
    let is_decimal = (1..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_decimal.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}
