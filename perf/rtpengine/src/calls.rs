//! The calls as the comparison writes them down: a JSON list.

use std::net::SocketAddrV4;
use std::path::Path;

use anyhow::{Context, ensure};
use phonefarm::pinhole;
use pinhole_flow::{MasterKey, Suite};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The one suite of the comparison.
pub const SUITE: Suite = Suite::AesCm128HmacSha1_80;

/// One call: SRTP outside, RTP inside.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    #[serde(deserialize_with = "read_key", serialize_with = "write_key")]
    pub phone_key: MasterKey,
    /// What the relay encrypts with.
    #[serde(deserialize_with = "read_key", serialize_with = "write_key")]
    pub relay_key: MasterKey,
}

impl From<&pinhole::Call> for Call {
    fn from(call: &pinhole::Call) -> Self {
        let [outside, _] = call.session.legs;
        Self {
            phone: call.inwards.send.source,
            outside: call.inwards.send.destination,
            desk: call.outwards.send.source,
            inside: call.outwards.send.destination,
            phone_key: outside.inbound,
            relay_key: outside.outbound,
        }
    }
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
fn read_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MasterKey, D::Error> {
    let text = String::deserialize(deserializer)?;
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    let byte = |pair: Option<&str>| u8::from_str_radix(pair.filter(|pair| pair.len() == 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    bytes
        .and_then(|bytes| MasterKey::new(SUITE, &bytes))
        .ok_or_else(|| de::Error::custom("a key is 60 hexadecimal digits: 16 bytes of key, 14 of salt"))
}

fn write_key<S: Serializer>(key: &MasterKey, serializer: S) -> Result<S::Ok, S::Error> {
    let bytes = key.key().iter().chain(key.salt());
    serializer.collect_str(&bytes.map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(key: &str) -> Result<Call, serde_json::Error> {
        serde_json::from_str(&format!(
            r#"{{"phone": "198.18.0.2:40000", "outside": "198.18.0.1:16384", "desk": "198.19.0.2:40000",
                "inside": "198.19.0.1:16386", "phone_key": "{key}", "relay_key": "{}"}}"#,
            "0f".repeat(30)
        ))
    }

    #[test]
    fn keys_are_read_as_key_and_salt_and_written_the_same() {
        let read = call(&"1a".repeat(30)).unwrap();
        assert_eq!((read.phone_key.key(), read.phone_key.salt()), (&[0x1a; 16][..], &[0x1a; 14][..]));
        assert_eq!(read.relay_key.key(), [0x0f; 16]);
        assert_eq!(read.inside, "198.19.0.1:16386".parse().unwrap());
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(written["phone_key"], "1a".repeat(30));
        assert_eq!(written["phone"], "198.18.0.2:40000");
    }

    #[test]
    fn broken_keys_are_refused_without_showing_them() {
        for broken in ["", "1a", &"1a".repeat(29), &"1x".repeat(30), &"1a".repeat(31), "é"] {
            let error = call(broken).unwrap_err().to_string();
            assert!(error.contains("60 hexadecimal digits") && !error.contains("1a1a"), "{error}");
        }
    }
}
