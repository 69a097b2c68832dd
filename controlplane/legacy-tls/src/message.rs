//! The messages and their bounds.

use std::fmt;
use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// The longest message in bytes. OpenSSL takes 100 KiB of certificates at most.
pub const MESSAGE_MAX: usize = 128 << 10;
/// The longest text in bytes.
pub const TEXT_MAX: usize = 200;
/// More certificates than any phone shows; the verifier refuses more than ten. Who shows more is not handed over.
pub const CERTIFICATES_MAX: usize = 32;

/// TLS versions that the process speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Version {
    /// RFC 2246.
    #[serde(rename = "1.0")]
    Tls10,
    /// RFC 4346.
    #[serde(rename = "1.1")]
    Tls11,
    /// RFC 5246.
    #[serde(rename = "1.2")]
    Tls12,
}

impl Version {
    /// As people say.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls10 => "TLS 1.0",
            Self::Tls11 => "TLS 1.1",
            Self::Tls12 => "TLS 1.2",
        }
    }
}

/// Cipher suites that the process speaks, by OpenSSL's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CipherSuite {
    /// `TLS_RSA_WITH_AES_128_CBC_SHA`: what SCCP phones speak.
    #[serde(rename = "AES128-SHA")]
    Aes128Sha,
    /// `TLS_RSA_WITH_AES_256_CBC_SHA`.
    #[serde(rename = "AES256-SHA")]
    Aes256Sha,
    /// `TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA`.
    #[serde(rename = "ECDHE-RSA-AES128-SHA")]
    EcdheAes128Sha,
    /// `TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA`.
    #[serde(rename = "ECDHE-RSA-AES256-SHA")]
    EcdheAes256Sha,
    /// `TLS_RSA_WITH_NULL_SHA`: who the phone is is proven, and nothing is hidden.
    #[serde(rename = "NULL-SHA")]
    NullSha,
}

impl CipherSuite {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Aes128Sha, Self::Aes256Sha, Self::EcdheAes128Sha, Self::EcdheAes256Sha, Self::NullSha];

    /// OpenSSL's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Sha => "AES128-SHA",
            Self::Aes256Sha => "AES256-SHA",
            Self::EcdheAes128Sha => "ECDHE-RSA-AES128-SHA",
            Self::EcdheAes256Sha => "ECDHE-RSA-AES256-SHA",
            Self::NullSha => "NULL-SHA",
        }
    }

    /// The suite of OpenSSL's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Whether it hides what is said.
    pub const fn encrypts(self) -> bool {
        !matches!(self, Self::NullSha)
    }
}

/// What the process may be made to do by outsiders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Connections at a time.
    pub connections: u32,
    /// Connections at a time of one address.
    pub connections_per_source: u32,
    /// Handshakes in progress.
    pub handshakes: u32,
    /// Seconds for a handshake.
    pub handshake_timeout_s: u32,
    /// New connections a second; twice as many at once.
    pub requests: u32,
    /// Those of one address; ten times as many at once.
    pub requests_per_source: u32,
}

/// What the process is to do. The first comes with the listening sockets; later ones change what holds for connections to
/// come.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Our certificate and those above it, DER.
    pub chain: Vec<Vec<u8>>,
    /// Our private key, PKCS #8 DER.
    pub key: Zeroizing<Vec<u8>>,
    /// The oldest version.
    pub oldest: Version,
    /// The newest version.
    pub newest: Version,
    /// Cipher suites in order of preference.
    pub suites: Vec<CipherSuite>,
    /// Names of authorities that phones are told, DER.
    pub authorities: Vec<Vec<u8>>,
    /// Bounds.
    pub limits: Limits,
}

/// What the process tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// It is ready; the text says how it has confined itself.
    Ready(String),
    /// So many connections were accepted since the last report of them.
    Accepted(u32),
    /// A phone has finished its handshake. One end of its clear stream comes along.
    Phone(Handover),
    /// Connections were refused.
    Refused(Refusals),
}

/// A phone that has proven to hold the key of the first certificate. Whether that is trusted is yet to be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Which of the listening sockets it came to.
    pub listener: u8,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The version that was agreed on.
    pub version: Version,
    /// The cipher suite that was agreed on.
    pub suite: CipherSuite,
    /// What it has shown, its own certificate first, DER.
    pub chain: Vec<Vec<u8>>,
}

/// Connections that were refused for one cause since the last report of it: under a flood, one report stands for many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    /// Why.
    pub cause: Cause,
    /// How many.
    pub count: u32,
    /// Where the last came from.
    pub peer: SocketAddr,
    /// What the library says of it.
    pub text: String,
}

/// Why a connection was refused, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cause {
    /// No certificate was shown.
    NoCertificate,
    /// The phone does not hold the key of its certificate.
    NotHolder,
    /// The phone refused our certificate.
    RefusedUs,
    /// No version or suite in common, or not TLS.
    Protocol,
    /// The handshake was not finished in time.
    Timeout,
    /// The phone went away during the handshake.
    Closed,
    /// Not refused: so many handshakes are in progress that connections began to wait.
    Handshakes,
    /// Its address had most of the handshakes in progress, and another waited.
    GaveWay,
    /// Too many waited for a handshake to begin, most of them of its address.
    Waiting,
    /// Too many connections.
    Connections,
    /// Too many connections of one address, or too often.
    Source,
    /// The system gives no socket, or the control plane does not take what it is handed.
    Resources,
    /// TLS broke after the handshake.
    Broken,
}

/// A message that cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a message that cannot be read")]
pub struct BadMessage;

impl Settings {
    /// As bytes; they hold the key.
    ///
    /// # Errors
    /// When it is longer than [`MESSAGE_MAX`].
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, BadMessage> {
        // Of full size from the start: a buffer that grows leaves copies of the key behind.
        let mut bytes = Zeroizing::new(vec![0; MESSAGE_MAX]);
        let length = postcard::to_slice(self, &mut bytes).map_err(|_| BadMessage)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are not exactly one message.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadMessage> {
        decode(bytes)
    }
}

impl Report {
    /// As bytes.
    ///
    /// # Errors
    /// When it is longer than [`MESSAGE_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, BadMessage> {
        let bytes = postcard::to_allocvec(self).map_err(|_| BadMessage)?;
        if bytes.len() <= MESSAGE_MAX { Ok(bytes) } else { Err(BadMessage) }
    }

    /// From bytes of a process that is not trusted. Texts hold printable ASCII only, so that they may stand in a log.
    ///
    /// # Errors
    /// When they are not exactly one message, or one that exceeds its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadMessage> {
        let report: Self = decode(bytes)?;
        let is_text =
            |text: &str| text.len() <= TEXT_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let is_good = match &report {
            Self::Ready(text) => is_text(text),
            Self::Accepted(_) => true,
            Self::Phone(phone) => phone.chain.len() <= CERTIFICATES_MAX,
            Self::Refused(refusals) => refusals.count > 0 && is_text(&refusals.text),
        };
        if is_good { Ok(report) } else { Err(BadMessage) }
    }

    /// A text as reports may hold it.
    pub fn text(from: &str) -> String {
        from.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).take(TEXT_MAX).collect()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({:?} to {:?}, {:?})", self.oldest, self.newest, self.suites)
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadMessage> {
    if bytes.len() > MESSAGE_MAX {
        return Err(BadMessage);
    }
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(BadMessage),
    }
}
