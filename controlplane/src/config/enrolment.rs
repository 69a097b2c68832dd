//! `[provisioning.capf]` and `[provisioning.tvs]`: certificates for phones, and whom they may trust.

use std::net::SocketAddr;
use std::time::Duration;

use pinhole_enrolment::capf::{Curve, KeyRequest, KeyRules, Rules};
use pinhole_rates::{Rate, Rates};
use serde::Deserialize;

/// `[provisioning.capf]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capf {
    /// Address and TCP port, usually 3804.
    pub listen: SocketAddr,
    /// The key that phones make.
    #[serde(default)]
    pub key: Key,
    /// The fewest bits of an RSA key that gets a certificate.
    #[serde(default = "rsa_bits_min")]
    pub rsa_bits_min: u32,
    /// Days for which a certificate is good.
    #[serde(default = "days")]
    pub days: u32,
    /// A phone that comes within so many days of its certificate's end gets a new one.
    #[serde(default = "renew_before_days")]
    pub renew_before_days: u32,
    /// A certificate counts as proof only with a part that was made for the session.
    #[serde(default = "yes")]
    pub fresh_proof: bool,
    /// Seconds for a whole session: old phones make a key for minutes.
    #[serde(default = "capf_timeout_s")]
    pub timeout_s: u32,
    /// Who may connect how often.
    #[serde(default)]
    pub limits: ConnectionLimits,
}

/// `[provisioning.tvs]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tvs {
    /// Address and TCP port, usually 2445.
    pub listen: SocketAddr,
    /// Seconds for which a phone may remember an answer.
    #[serde(default = "ttl_s")]
    pub ttl_s: u32,
    /// Seconds for a connection.
    #[serde(default = "tvs_timeout_s")]
    pub timeout_s: u32,
    /// Who may connect how often.
    #[serde(default)]
    pub limits: ConnectionLimits,
}

/// Bounds of what an outsider can fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionLimits {
    /// Connections at a time.
    pub connections: u32,
    /// Of one address.
    pub connections_per_source: u32,
    /// New connections a second, in the long run.
    pub requests: u32,
    /// Of one address.
    pub requests_per_source: u32,
}

/// Kinds of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Key {
    #[serde(rename = "rsa_1024")]
    Rsa1024,
    /// Every phone can make it.
    #[default]
    #[serde(rename = "rsa_2048")]
    Rsa2048,
    #[serde(rename = "rsa_3072")]
    Rsa3072,
    #[serde(rename = "rsa_4096")]
    Rsa4096,
    #[serde(rename = "ec_p256")]
    P256,
    #[serde(rename = "ec_p384")]
    P384,
    #[serde(rename = "ec_p521")]
    P521,
}

impl Key {
    /// What phones are asked for.
    pub fn request(self) -> KeyRequest {
        match self {
            Self::Rsa1024 => KeyRequest::Rsa(1024),
            Self::Rsa2048 => KeyRequest::Rsa(2048),
            Self::Rsa3072 => KeyRequest::Rsa(3072),
            Self::Rsa4096 => KeyRequest::Rsa(4096),
            Self::P256 => KeyRequest::Ec(Curve::P256),
            Self::P384 => KeyRequest::Ec(Curve::P384),
            Self::P521 => KeyRequest::Ec(Curve::P521),
        }
    }
}

impl Capf {
    /// What holds for every session.
    pub fn rules(&self) -> Rules {
        Rules { keys: KeyRules { rsa_bits_min: self.rsa_bits_min }, fresh_proof: self.fresh_proof }
    }

    /// How long before its end a certificate is renewed.
    pub fn renew_before(&self) -> Duration {
        Duration::from_secs(u64::from(self.renew_before_days) * 86_400)
    }
}

impl ConnectionLimits {
    /// The rates: an address may come ten times as often at once, all together twice.
    pub fn rates(&self) -> Rates {
        let rate = |per_second: u32, times: u32| Rate { per_second, burst: per_second.saturating_mul(times) };
        Rates {
            requests_per_source: rate(self.requests_per_source, 10),
            requests: rate(self.requests, 2),
            bytes_per_source: None,
            bytes: None,
            sources: (self.connections as usize).saturating_mul(4).max(4096),
        }
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { connections: 200, connections_per_source: 20, requests: 50, requests_per_source: 5 }
    }
}

fn yes() -> bool {
    true
}

fn rsa_bits_min() -> u32 {
    2048
}

fn days() -> u32 {
    365
}

fn renew_before_days() -> u32 {
    30
}

fn capf_timeout_s() -> u32 {
    300
}

fn ttl_s() -> u32 {
    3600
}

fn tvs_timeout_s() -> u32 {
    30
}
