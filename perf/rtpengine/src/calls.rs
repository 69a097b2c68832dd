//! The calls as the comparison writes them down.

use std::net::SocketAddrV4;
use std::path::Path;

use anyhow::{Context, ensure};
use pinhole_flow::{MasterKey, Suite};
use serde::Deserialize;

/// The one suite of the comparison.
const SUITE: Suite = Suite::AesCm128HmacSha1_80;

/// One call: SRTP outside, RTP inside.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The phone, outside.
    pub phone: SocketAddrV4,
    /// Where the relay faces the phone.
    pub outside: SocketAddrV4,
    /// The desk phone, inside.
    pub desk: SocketAddrV4,
    /// Where the relay faces the desk phone.
    pub inside: SocketAddrV4,
    /// What the phone encrypts with.
    #[serde(deserialize_with = "key")]
    pub phone_key: MasterKey,
    /// What the relay encrypts with.
    #[serde(deserialize_with = "key")]
    pub relay_key: MasterKey,
}

/// Reads a file of calls.
///
/// # Errors
/// The file cannot be read, holds something else, or holds no call.
pub fn read(path: &Path) -> anyhow::Result<Vec<Call>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let calls: Vec<Call> =
        serde_json::from_str(&text).with_context(|| format!("{} holds no calls", path.display()))?;
    ensure!(!calls.is_empty(), "{} is an empty list", path.display());
    Ok(calls)
}

/// Key and salt in hexadecimal.
fn key<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<MasterKey, D::Error> {
    let text = String::deserialize(deserializer)?;
    unhex(&text).and_then(|bytes| MasterKey::new(SUITE, &bytes, &[])).ok_or_else(|| {
        serde::de::Error::custom("a key is 60 hexadecimal digits: 16 bytes of key, 14 of salt")
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair.filter(|pair| pair.len() == 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(key: &str) -> Result<Call, serde_json::Error> {
        serde_json::from_str(&format!(
            r#"{{"phone": "203.0.113.66:40000", "outside": "203.0.113.5:16384", "desk": "10.20.0.66:40000",
                "inside": "10.20.0.5:16386", "phone_key": "{key}", "relay_key": "{}"}}"#,
            "0f".repeat(30)
        ))
    }

    #[test]
    fn keys_are_read_as_key_and_salt() {
        let call = call(&"1a".repeat(30)).unwrap();
        assert_eq!((call.phone_key.key(), call.phone_key.salt()), (&[0x1a; 16][..], &[0x1a; 14][..]));
        assert_eq!(call.relay_key.key(), [0x0f; 16]);
        assert_eq!(call.inside, "10.20.0.5:16386".parse().unwrap());
    }

    #[test]
    fn broken_keys_are_refused_without_showing_them() {
        for broken in ["", "1a", &"1a".repeat(29), &"1x".repeat(30), &"1a".repeat(31), "é"] {
            let error = call(broken).unwrap_err().to_string();
            assert!(error.contains("60 hexadecimal digits") && !error.contains("1a1a"), "{error}");
        }
    }
}
