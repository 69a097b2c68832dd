//! Security descriptions: `a=crypto` (RFC 4568, suites of RFC 4568, 6188 and 7714).
//!
//! A line that asks for something not implemented is refused as a whole, never half obeyed.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::fields::decimal;
pub use crate::mki::Mki;

/// Packets that one key may protect, at most (RFC 3711 section 9.2).
const MAX_LIFETIME: u64 = 1 << 48;

/// The suites that can be read, with the bytes of master key and salt together.
const SUITES: [(&str, usize); 8] = [
    ("AES_CM_128_HMAC_SHA1_80", 30),
    ("AES_CM_128_HMAC_SHA1_32", 30),
    ("AES_192_CM_HMAC_SHA1_80", 38),
    ("AES_192_CM_HMAC_SHA1_32", 38),
    ("AES_256_CM_HMAC_SHA1_80", 46),
    ("AES_256_CM_HMAC_SHA1_32", 46),
    ("AEAD_AES_128_GCM", 28),
    ("AEAD_AES_256_GCM", 44),
];

/// Base64 with or without padding on the way in, with padding on the way out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why an `a=crypto` line is refused. The texts hold no key material.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// Tag, suite or keys are missing, or the tag is no number of up to nine digits.
    #[error("a=crypto: tag, suite or key missing or malformed")]
    Malformed,
    /// A suite that is not implemented, among them NULL and F8 ciphers.
    #[error("a=crypto: suite {0} is not supported")]
    Suite(String),
    /// A key method other than `inline`.
    #[error("a=crypto: key method is not inline")]
    KeyMethod,
    /// The key is not base64.
    #[error("a=crypto: key is not base64")]
    Base64,
    /// Key and salt are too short or too long for the suite.
    #[error("a=crypto: key and salt measure {actual} bytes, the suite needs {expected}")]
    KeyLength {
        /// Bytes that the line has.
        actual: usize,
        /// Bytes that the suite needs.
        expected: usize,
    },
    /// A lifetime of 0 or above 2^48 packets, or no number.
    #[error("a=crypto: key lifetime is malformed or out of range")]
    Lifetime,
    /// An MKI that is no `value:length`, of a length outside 1 to 128, or whose value does not fit.
    #[error("a=crypto: MKI is malformed, not of 1 to 128 bytes, or too large for its length")]
    Mki,
    /// Several keys, of which the sender may use any (RFC 4568 section 6.1): a leg has one at a time.
    #[error("a=crypto: several keys in one line are not supported, let the phone offer one per line")]
    SeveralKeys,
    /// A session parameter that is known and not implemented: a KDR other than 0, UNENCRYPTED_SRTP, UNENCRYPTED_SRTCP,
    /// UNAUTHENTICATED_SRTP, FEC_KEY.
    #[error("a=crypto: session parameter {0} is not supported")]
    Unsupported(&'static str),
    /// A mandatory session parameter that is unknown (RFC 4568 section 6.3.7).
    #[error("a=crypto: unknown mandatory session parameter {0}")]
    UnknownParameter(String),
    /// A known session parameter with a bad value, or one given twice.
    #[error("a=crypto: session parameter {0} is malformed")]
    Parameter(&'static str),
}

/// One `a=crypto` line.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The tag that an answer must repeat.
    pub tag: u32,
    /// The suite as it was written; one that is supported, in any case.
    pub suite: String,
    /// The key.
    pub key: InlineKey,
    /// Session parameters that are tolerated: WSH, FEC_ORDER, KDR=0 and any with the prefix `-`.
    pub params: Vec<SessionParam>,
}

/// A master key with its salt, lifetime and MKI. Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct InlineKey {
    /// Master key and master salt, one after the other.
    pub key_and_salt: Zeroizing<Vec<u8>>,
    /// Packets that the key may protect; `None` for the default.
    pub lifetime: Option<u64>,
    /// The MKI that packets carry.
    pub mki: Option<Mki>,
}

/// A session parameter.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionParam {
    /// The name, with its `-` prefix if it has one.
    pub name: String,
    /// What follows `=`.
    pub value: Option<String>,
}

/// Bytes of master key and master salt together of a supported suite, in any case; `None` for any other.
pub fn key_and_salt_len(suite: &str) -> Option<usize> {
    SUITES.iter().find(|(name, _)| name.eq_ignore_ascii_case(suite)).map(|(_, length)| *length)
}

impl Attribute {
    /// A line with one key, without lifetime, MKI and session parameters.
    ///
    /// # Errors
    /// [`CryptoError::Suite`] or [`CryptoError::KeyLength`]; [`CryptoError::Malformed`] for a tag of more than nine digits.
    pub fn new(tag: u32, suite: &str, key_and_salt: &[u8]) -> Result<Self, CryptoError> {
        if tag > 999_999_999 {
            return Err(CryptoError::Malformed);
        }
        let key_and_salt = Zeroizing::new(key_and_salt.to_vec());
        check_length(suite, &key_and_salt)?;
        let key = InlineKey { key_and_salt, lifetime: None, mki: None };
        Ok(Self { tag, suite: suite.to_owned(), key, params: Vec::new() })
    }

    /// Reads what follows `a=crypto:`.
    ///
    /// # Errors
    /// [`CryptoError`]: the line must not be chosen.
    pub fn parse(value: &str) -> Result<Self, CryptoError> {
        let mut words = value.split_ascii_whitespace();
        let (Some(tag), Some(suite), Some(key)) = (words.next(), words.next(), words.next()) else {
            return Err(CryptoError::Malformed);
        };
        if tag.len() > 9 {
            return Err(CryptoError::Malformed);
        }
        let tag = decimal(tag).ok_or(CryptoError::Malformed)?;
        if key_and_salt_len(suite).is_none() {
            return Err(CryptoError::Suite(printable(suite)));
        }
        if key.contains(';') {
            return Err(CryptoError::SeveralKeys);
        }
        let key = InlineKey::parse(key, suite)?;
        let params = words.map(SessionParam::parse).collect::<Result<Vec<_>, _>>()?;
        check_params(&params)?;
        Ok(Self { tag, suite: suite.to_owned(), key, params })
    }

    /// What follows `a=crypto:`, key material included.
    pub fn to_sdp(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(format!("{} {} inline:", self.tag, self.suite));
        BASE64.encode_string(&self.key.key_and_salt, &mut out);
        if let Some(lifetime) = self.key.lifetime {
            out.push_str(&match lifetime.is_power_of_two() {
                true => format!("|2^{}", lifetime.trailing_zeros()),
                false => format!("|{lifetime}"),
            });
        }
        if let Some(mki) = &self.key.mki {
            out.push_str(&format!("|{mki}"));
        }
        for param in &self.params {
            out.push(' ');
            out.push_str(&param.name);
            if let Some(value) = &param.value {
                out.push('=');
                out.push_str(value);
            }
        }
        out
    }
}

impl InlineKey {
    fn parse(text: &str, suite: &str) -> Result<Self, CryptoError> {
        let (method, info) = text.split_once(':').ok_or(CryptoError::KeyMethod)?;
        if !method.eq_ignore_ascii_case("inline") {
            return Err(CryptoError::KeyMethod);
        }
        let mut pieces = info.split('|');
        let key = pieces.next().unwrap_or_default();
        let key_and_salt = Zeroizing::new(BASE64.decode(key).map_err(|_| CryptoError::Base64)?);
        check_length(suite, &key_and_salt)?;
        let (first, second) = (pieces.next(), pieces.next());
        if pieces.next().is_some() {
            return Err(CryptoError::Malformed);
        }
        // A single piece is an MKI if it has a colon, else a lifetime.
        let (lifetime, mki) = match (first, second) {
            (Some(mki), None) if mki.contains(':') => (None, Some(mki)),
            pieces => pieces,
        };
        let lifetime = lifetime.map(|text| parse_lifetime(text).ok_or(CryptoError::Lifetime)).transpose()?;
        let mki = mki.map(|text| Mki::parse(text).ok_or(CryptoError::Mki)).transpose()?;
        Ok(Self { key_and_salt, lifetime, mki })
    }
}

impl SessionParam {
    fn parse(word: &str) -> Result<Self, CryptoError> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        if name.strip_prefix('-').is_some_and(|rest| !rest.is_empty()) {
            return Ok(Self { name: name.to_owned(), value: value.map(str::to_owned) });
        }
        let number = value.and_then(decimal::<u32>);
        match name.to_ascii_uppercase().as_str() {
            "KDR" => match number {
                Some(0) => {}
                Some(1..=24) => return Err(CryptoError::Unsupported("KDR")),
                _ => return Err(CryptoError::Parameter("KDR")),
            },
            // At least 64 (RFC 4568 section 6.3.6). A hint that may be ignored: our window is `replay_window` for all.
            "WSH" if number.is_some_and(|size| size >= 64) => {}
            "WSH" => return Err(CryptoError::Parameter("WSH")),
            "FEC_ORDER" if matches!(value, Some("FEC_SRTP" | "SRTP_FEC")) => {}
            "FEC_ORDER" => return Err(CryptoError::Parameter("FEC_ORDER")),
            "FEC_KEY" => return Err(CryptoError::Unsupported("FEC_KEY")),
            "UNENCRYPTED_SRTP" => return Err(CryptoError::Unsupported("UNENCRYPTED_SRTP")),
            "UNENCRYPTED_SRTCP" => return Err(CryptoError::Unsupported("UNENCRYPTED_SRTCP")),
            "UNAUTHENTICATED_SRTP" => return Err(CryptoError::Unsupported("UNAUTHENTICATED_SRTP")),
            _ => return Err(CryptoError::UnknownParameter(printable(name))),
        }
        Ok(Self { name: name.to_owned(), value: value.map(str::to_owned) })
    }
}

fn check_length(suite: &str, key_and_salt: &[u8]) -> Result<(), CryptoError> {
    let expected = key_and_salt_len(suite).ok_or_else(|| CryptoError::Suite(printable(suite)))?;
    let actual = key_and_salt.len();
    if actual == expected { Ok(()) } else { Err(CryptoError::KeyLength { actual, expected }) }
}

fn check_params(params: &[SessionParam]) -> Result<(), CryptoError> {
    for name in ["KDR", "WSH", "FEC_ORDER"] {
        if params.iter().filter(|param| param.name.eq_ignore_ascii_case(name)).count() > 1 {
            return Err(CryptoError::Parameter(name));
        }
    }
    Ok(())
}

fn parse_lifetime(text: &str) -> Option<u64> {
    let lifetime = match text.strip_prefix("2^") {
        Some(exponent) => 1_u64.checked_shl(decimal(exponent)?)?,
        None => decimal(text)?,
    };
    (1..=MAX_LIFETIME).contains(&lifetime).then_some(lifetime)
}

/// A name from the line for an error text. Only what looks like a name: a misplaced key must not get into a log.
fn printable(name: &str) -> String {
    let name_like = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let shown = name.len() <= 32 && name.bytes().all(name_like);
    if shown { name.to_owned() } else { "(not a registered name)".to_owned() }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attribute")
            .field("tag", &self.tag)
            .field("suite", &self.suite)
            .field("key", &self.key)
            .field("params", &self.params)
            .finish()
    }
}

impl fmt::Debug for InlineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineKey")
            .field("lifetime", &self.lifetime)
            .field("mki", &self.mki)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value of an unknown parameter may be anything, a key as well.
        f.write_str(&self.name)
    }
}
