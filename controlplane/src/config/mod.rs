//! The configuration file: one TOML file for both processes.
//!
//! It is validated whole: [`Config::load`] either gives a configuration that cannot be wrong in
//! itself, or every mistake that can be seen, each with its key. Unknown keys are mistakes.
//! Whether the file fits the machine (addresses, interfaces, permissions of sockets) shows at start.

mod check;
mod cluster;
mod enrolment;
mod legacy;
mod provisioning;
mod translate;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use pinhole_devices::{AuthoritySettings, Overdue};
use pinhole_flow::settings::DataplaneSettings;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use cluster::{AuthenticatedDevices, Cluster, FileServer, PhoneAuthority, Sccp, Transport};
pub use enrolment::{Capf, ConnectionLimits, Key, Tvs};
pub use legacy::{LegacyListener, LegacyTls};
pub use provisioning::{Http, Provisioning, REPLY_PORTS, SignatureDigest, Tftp};

/// Where the admin socket is unless configured otherwise.
pub const ADMIN_SOCKET: &str = "/run/pinhole/admin.sock";
/// The largest configuration file in bytes.
const FILE_MAX: u64 = 4 << 20;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What both processes must agree on.
    pub dataplane: DataplaneSettings,
    /// The signalling process.
    #[serde(default)]
    pub controlplane: ControlPlane,
    /// The TLS listener for phones.
    pub outside: Outside,
    /// From certificate to device name to addresses of record.
    #[serde(default)]
    pub identity: Identity,
    /// Bounds of what an outsider can fill.
    #[serde(default)]
    pub limits: Limits,
    /// Times after which things end.
    #[serde(default)]
    pub timers: Timers,
    /// TLS for old phones; absent: none.
    #[serde(default)]
    pub legacy_tls: Option<LegacyTls>,
    /// What phones fetch from us; absent: nothing.
    #[serde(default)]
    pub provisioning: Option<Provisioning>,
    /// Call managers.
    #[serde(default, rename = "cluster")]
    pub clusters: Vec<Cluster>,
}

/// `[controlplane]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlPlane {
    /// Signalling threads, 1 to 16. Each takes one port more on the inside.
    pub shards: u32,
    /// The admin socket, mode 0660.
    pub admin_socket: PathBuf,
    /// What is logged, how and where.
    pub log: Log,
}

impl Default for ControlPlane {
    fn default() -> Self {
        Self { shards: 1, admin_socket: ADMIN_SOCKET.into(), log: Log::default() }
    }
}

/// `controlplane.log`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Least important level that is written.
    pub level: LogLevel,
    /// Lines for people or for programs.
    pub format: LogFormat,
    /// Appended to; absent: standard error.
    pub file: Option<PathBuf>,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Text, file: None }
    }
}

/// Log levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say all")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Log formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line of text per event.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[outside]`: the TLS listener for phones.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outside {
    /// Address and TCP port.
    pub listen: SocketAddr,
    /// Name of the data-plane port that carries the phones' media.
    pub port: String,
    /// Our certificate chain, PEM.
    pub certificate: PathBuf,
    /// Our private key, PEM.
    pub key: PathBuf,
    /// The oldest TLS version accepted.
    #[serde(default = "TlsVersion::default")]
    pub tls_min: TlsVersion,
    /// SRTP suites that phones may use, in order of preference.
    #[serde(default = "all_suites")]
    pub suites: Vec<String>,
    /// The suite offered to a phone that has offered none itself since we started; absent:
    /// `AES_CM_128_HMAC_SHA1_80` if it is in `suites`, or else the first of them.
    #[serde(default)]
    pub first_offer: Option<String>,
}

/// TLS versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
}

/// `[identity]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// The authorities whose certificates phones show.
    #[serde(rename = "authority")]
    pub authorities: Vec<AuthoritySettings>,
    /// Files with their revocation lists, PEM or DER.
    pub crls: Vec<PathBuf>,
    /// What is done when a revocation list is overdue.
    pub crl_overdue: Overdue,
    /// Address of record (user part) of a device that is not listed in `devices`; `{device}` stands for its name.
    /// Absent: with `devices`, only listed devices may register; without, `{device}`.
    pub aor_pattern: Option<String>,
    /// Addresses of record that each device may use: `1001`, or `1001@host` to bind the host as well.
    pub devices: BTreeMap<String, Vec<String>>,
}

/// `[limits]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Phone connections with a finished handshake.
    pub connections: u32,
    /// TLS handshakes in progress.
    pub handshakes: u32,
    /// Seconds that a handshake may take.
    pub handshake_timeout_s: u32,
    /// Calls in progress.
    pub calls: u32,
    /// Calls in progress of one phone.
    pub calls_per_phone: u32,
    /// Bytes of one SIP message.
    pub message_bytes: u32,
    /// Seconds from the first byte of a phone's message to its last.
    pub message_timeout_s: u32,
    /// Bytes waiting to be sent on one connection.
    pub write_buffer_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 12_000,
            handshakes: 500,
            handshake_timeout_s: 10,
            calls: 5000,
            calls_per_phone: 8,
            message_bytes: 65_536,
            message_timeout_s: 30,
            write_buffer_bytes: 262_144,
        }
    }
}

/// `[timers]`, all in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timers {
    /// Calls of a phone whose connection was lost are closed after this time.
    pub phone_lost_grace_s: u32,
    /// A call without media from either side is closed after this time.
    pub media_timeout_s: u32,
    /// The same for a call on hold.
    pub hold_timeout_s: u32,
    /// A media port rests this long before it is used again.
    pub port_quarantine_s: u32,
    /// After a restart, sessions that no call can be made of are closed after this time.
    pub adopt_grace_s: u32,
    /// A call that is not answered is ended after this time.
    pub ring_s: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            phone_lost_grace_s: 30,
            media_timeout_s: 120,
            hold_timeout_s: 1800,
            port_quarantine_s: 5,
            adopt_grace_s: 60,
            ring_s: 180,
        }
    }
}

/// Keys of before, and what to write instead.
const REPLACED: [(&str, &str); 2] = [
    ("client_ca", "outside.client_ca was replaced: name the file in roots of an [[identity.authority]]"),
    (
        "device_name",
        "identity.device_name was replaced: put the pattern into names of an [[identity.authority]]",
    ),
];

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is too long to be a configuration.
    #[error("{0}: longer than {FILE_MAX} bytes; this is not a configuration file")]
    TooLong(PathBuf),
    /// The file is not TOML, lacks a key, has an unknown key or a value of the wrong type.
    #[error("{path}:{line}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// The file can be read, but makes no sense.
    #[error("{path}: {} mistake(s)\n{}", problems.len(), problems.iter().map(|p| format!("  {p}")).collect::<Vec<_>>().join("\n"))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Every mistake.
        problems: Vec<Problem>,
    },
}

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, for example `cluster[0].port`.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl Config {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// When the file cannot be read or parsed (the first mistake), or makes no sense (every mistake).
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::read(path)?;
        let problems = check::problems(&config);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid { path: path.into(), problems })
        }
    }

    /// Reads a file without looking at what it means: for tools that only need the admin socket.
    ///
    /// # Errors
    /// When the file cannot be read or parsed.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.into(), source };
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_MAX {
            return Err(ConfigError::TooLong(path.into()));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            // The parser says what is wrong with a value, not which key has it.
            let key =
                text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
            let message = match key {
                Some(key) if !message.contains(key) => format!("{key}: {message}"),
                _ => message,
            };
            let instead =
                REPLACED.iter().find(|(key, _)| message.contains(&format!("unknown field `{key}`")));
            let message = instead.map_or(message.clone(), |(_, instead)| format!("{message}; {instead}"));
            ConfigError::Syntax { path: path.into(), line, message }
        })
    }

    /// The TLS listeners for SCCP, with the key of the first that names each. Clusters may share one: the device tells which is
    /// meant.
    pub fn sccp_listeners(&self) -> BTreeMap<SocketAddr, String> {
        let mut listeners = BTreeMap::new();
        for (n, cluster) in self.clusters.iter().enumerate() {
            for (m, sccp) in cluster.sccp.iter().enumerate() {
                listeners.entry(sccp.listen).or_insert_with(|| format!("cluster[{n}].sccp[{m}].listen"));
            }
        }
        listeners
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

/// AES-192 comes last: who offers it and nothing else gets it, who offers more gets what everybody has.
fn all_suites() -> Vec<String> {
    use pinhole_flow::Suite;
    [
        Suite::AeadAes256Gcm,
        Suite::AeadAes128Gcm,
        Suite::AesCm256HmacSha1_80,
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm256HmacSha1_32,
        Suite::AesCm128HmacSha1_32,
        Suite::AesCm192HmacSha1_80,
        Suite::AesCm192HmacSha1_32,
    ]
    .map(|suite| suite.name().to_owned())
    .to_vec()
}

#[cfg(test)]
mod tests;
