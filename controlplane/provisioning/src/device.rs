use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The device name of a phone: `SEP` and the twelve upper-case hexadecimal digits of its MAC address (asa 1.1 P3,
/// tls-capf-tvs 2.8).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device([u8; 6]);

/// Why a text is no device name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "not a phone's device name: SEP and 12 upper-case hexadecimal digits are expected, as in SEP0010DB000001"
)]
pub struct BadDevice;

impl Device {
    /// The device with this MAC address.
    pub const fn new(mac: [u8; 6]) -> Self {
        Self(mac)
    }

    /// Its MAC address.
    pub const fn mac(self) -> [u8; 6] {
        self.0
    }

    /// Reads `SEP` and twelve digits from the start of a text; gives what follows as well.
    pub(crate) fn prefix(text: &str) -> Option<(Self, &str)> {
        let (digits, rest) = text.strip_prefix("SEP")?.split_at_checked(12)?;
        let mut mac = [0; 6];
        for (byte, pair) in mac.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let &[high, low] = pair else { return None };
            *byte = hex(high)? << 4 | hex(low)?;
        }
        Some((Self(mac), rest))
    }
}

/// The value of a digit; lower case is no digit here, since file and device names are compared exactly.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl FromStr for Device {
    type Err = BadDevice;

    fn from_str(text: &str) -> Result<Self, BadDevice> {
        match Self::prefix(text) {
            Some((device, "")) => Ok(device),
            _ => Err(BadDevice),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SEP")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
