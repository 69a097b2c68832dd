//! `[legacy_tls]`: TLS for old phones, by a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use pinhole_legacy_tls::{CipherSuite, Limits, Version};
use serde::Deserialize;

use super::Config;

/// `[legacy_tls]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegacyTls {
    /// Address and TCP port for SIP; absent: old phones speak SCCP only.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Our certificate chain, PEM; absent: that of `[outside]`.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// Our private key, PEM; absent: that of `[outside]`.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// The oldest version.
    #[serde(default = "oldest")]
    pub tls_min: Version,
    /// The newest version.
    #[serde(default = "newest")]
    pub tls_max: Version,
    /// Cipher suites in order of preference.
    #[serde(default = "ciphers")]
    pub ciphers: Vec<CipherSuite>,
    /// NULL-SHA as well, after all others, for devices of class `authenticated`.
    #[serde(default)]
    pub null_cipher: bool,
    /// Regular expression over device names: which phones may come this way.
    #[serde(default)]
    pub devices: String,
    /// The program; absent: `pinhole-legacy-tls` beside our own.
    #[serde(default)]
    pub program: Option<PathBuf>,
    /// Connections at a time.
    #[serde(default = "connections")]
    pub connections: u32,
    /// Of one address.
    #[serde(default = "connections_per_source")]
    pub connections_per_source: u32,
    /// Handshakes in progress.
    #[serde(default = "handshakes")]
    pub handshakes: u32,
    /// Seconds that a handshake may take.
    #[serde(default = "handshake_timeout_s")]
    pub handshake_timeout_s: u32,
    /// New connections a second; twice as many at once.
    #[serde(default = "requests")]
    pub requests: u32,
    /// Those of one address; ten times as many at once.
    #[serde(default = "requests_per_source")]
    pub requests_per_source: u32,
}

/// What is listened at for old phones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyListener {
    /// Where.
    pub address: SocketAddr,
    /// Whether phones speak SCCP there.
    pub is_sccp: bool,
    /// The configuration key.
    pub key: String,
}

impl LegacyTls {
    /// The suites in order of preference, NULL-SHA last.
    pub fn suites(&self) -> Vec<CipherSuite> {
        let null = self.null_cipher.then_some(CipherSuite::NullSha);
        self.ciphers.iter().copied().filter(|suite| suite.encrypts()).chain(null).collect()
    }

    /// The bounds.
    pub fn limits(&self) -> Limits {
        Limits {
            connections: self.connections,
            connections_per_source: self.connections_per_source,
            handshakes: self.handshakes,
            handshake_timeout_s: self.handshake_timeout_s,
            requests: self.requests,
            requests_per_source: self.requests_per_source,
        }
    }
}

impl Config {
    /// What is listened at for old phones: each address once. Clusters may share one for SCCP.
    pub fn legacy_listeners(&self) -> Vec<LegacyListener> {
        let Some(legacy) = &self.legacy_tls else { return Vec::new() };
        let sip = legacy.listen.map(|address| {
            let key = "legacy_tls.listen".to_owned();
            LegacyListener { address, is_sccp: false, key }
        });
        let mut listeners: Vec<_> = sip.into_iter().collect();
        for (n, cluster) in self.clusters.iter().enumerate() {
            for (m, sccp) in cluster.sccp.iter().enumerate() {
                let Some(address) = sccp.legacy_listen else { continue };
                if !listeners.iter().any(|known| known.is_sccp && known.address == address) {
                    let key = format!("cluster[{n}].sccp[{m}].legacy_listen");
                    listeners.push(LegacyListener { address, is_sccp: true, key });
                }
            }
        }
        listeners
    }
}

fn oldest() -> Version {
    Version::Tls10
}

fn newest() -> Version {
    Version::Tls12
}

fn ciphers() -> Vec<CipherSuite> {
    vec![CipherSuite::Aes128Sha, CipherSuite::Aes256Sha]
}

fn connections() -> u32 {
    12_000
}

// An office with thousands of phones has one address, and all of them come at once after a power cut.
fn connections_per_source() -> u32 {
    6000
}

fn handshakes() -> u32 {
    200
}

fn handshake_timeout_s() -> u32 {
    10
}

fn requests() -> u32 {
    1000
}

fn requests_per_source() -> u32 {
    200
}
