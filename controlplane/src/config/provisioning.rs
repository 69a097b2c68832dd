//! `[provisioning]`: what phones fetch from us, and who may.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use pinhole_http as http;
use pinhole_provisioning::phones::PhonePolicy;
use pinhole_provisioning::service::FilePolicy;
use pinhole_tftp as tftp;
use pinhole_trust::Digest;
use pinhole_trust::authority::Naming;
use serde::Deserialize;

use super::{Capf, Tvs};
use crate::provisioning::FETCHES_AT_A_TIME;

/// How many ports TFTP replies go out by.
pub const REPLY_PORTS: u16 = 16;

/// The whole section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provisioning {
    /// A folder of ours: the authority's keys, the database of phones, the cache of files.
    pub directory: PathBuf,
    /// The TFTP listener.
    pub tftp: Tftp,
    /// The HTTP listener; absent: none.
    #[serde(default)]
    pub http: Option<Http>,
    /// The HTTPS listener; absent: none.
    #[serde(default)]
    pub https: Option<Http>,
    /// The listener for enrolment of certificates; absent: none.
    #[serde(default)]
    pub capf: Option<Capf>,
    /// The listener for trust verification; absent: none.
    #[serde(default)]
    pub tvs: Option<Tvs>,
    /// What stands in our certificates as the organization.
    #[serde(default = "organization")]
    pub organization: String,
    /// The name that phones reach us by, for the trust list.
    #[serde(default)]
    pub dns_name: Option<String>,
    /// The address that phones reach us by, for the trust list; absent: that of the TFTP listener.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// What signatures are made with.
    #[serde(default)]
    pub digest: SignatureDigest,
    /// Megabytes of files of the call managers that are kept.
    #[serde(default = "cache_mb")]
    pub cache_mb: u32,
    /// Seconds for which a kept file that is no configuration is given without asking again.
    #[serde(default = "fresh_s")]
    pub fresh_s: u32,
    /// What is served.
    #[serde(default)]
    pub files: FilePolicy,
    /// Who is served when.
    #[serde(default)]
    pub phones: PhonePolicy,
}

/// `[provisioning.tftp]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tftp {
    /// Address and UDP port, usually 69.
    pub listen: SocketAddr,
    /// Replies go out by the port that was asked, for phones behind routers that let nothing else in.
    #[serde(default)]
    pub single_port: bool,
    /// Otherwise, the first of the [`REPLY_PORTS`] ports that replies go out by.
    #[serde(default = "reply_port")]
    pub reply_port: u16,
    /// The greatest block, in bytes: what fits a packet on the way to the phones.
    #[serde(default = "block_max")]
    pub block_max: u16,
    /// Requests a second of one address, in the long run.
    #[serde(default = "requests_per_source")]
    pub requests_per_source: u32,
    /// Requests a second of all.
    #[serde(default = "requests")]
    pub requests: u32,
    /// Transfers of one address at a time.
    #[serde(default = "transfers_per_source")]
    pub transfers_per_source: u32,
    /// Transfers of all at a time.
    #[serde(default = "transfers")]
    pub transfers: u32,
    /// Kilobytes a second to one address; absent: no limit.
    #[serde(default)]
    pub kilobytes_per_source: Option<u32>,
    /// Kilobytes a second to all; absent: no limit.
    #[serde(default)]
    pub kilobytes: Option<u32>,
}

/// `[provisioning.http]`, `[provisioning.https]`. Requests and bytes are limited as those by TFTP are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and TCP port, usually 6970, of HTTPS 6971.
    pub listen: SocketAddr,
    /// Connections of one address at a time.
    #[serde(default = "transfers_per_source")]
    pub connections_per_source: u32,
    /// Connections of all at a time.
    #[serde(default = "transfers")]
    pub connections: u32,
    /// Seconds that a request may take to come.
    #[serde(default = "request_timeout_s")]
    pub request_timeout_s: u32,
    /// Seconds for which a connection may stay open without a request.
    #[serde(default = "idle_timeout_s")]
    pub idle_timeout_s: u32,
    /// Seconds for which a phone may take nothing of what is sent to it.
    #[serde(default = "stall_timeout_s")]
    pub stall_timeout_s: u32,
}

/// Digests of signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureDigest {
    /// SHA-1: every phone understands it. For a forgery a second preimage would be needed, not a collision, as long as
    /// what is signed comes from us and the call manager.
    #[default]
    Sha1,
    /// SHA-512: where all phones have newer firmware.
    Sha512,
}

impl Provisioning {
    /// Open files at a time that provisioning may need: phones' connections of all listeners, the sockets of TFTP, and
    /// those of fetches from call managers.
    pub fn open_files(&self) -> u64 {
        let http = [&self.http, &self.https].into_iter().flatten().map(|http| http.connections);
        let capf = self.capf.iter().map(|capf| capf.limits.connections);
        let tvs = self.tvs.iter().map(|tvs| tvs.limits.connections);
        let connections: u64 = http.chain(capf).chain(tvs).map(u64::from).sum();
        let tftp = 1 + self.tftp.reply_addresses().count();
        connections + (tftp + FETCHES_AT_A_TIME) as u64
    }

    /// What stands in certificates and trust lists.
    pub fn naming(&self) -> Naming {
        let listening = match self.tftp.listen.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        };
        Naming {
            organization: self.organization.clone(),
            dns_name: self.dns_name.clone(),
            address: self.address.or(listening),
        }
    }

    /// The digest of signatures.
    pub fn digest(&self) -> Digest {
        match self.digest {
            SignatureDigest::Sha1 => Digest::Sha1,
            SignatureDigest::Sha512 => Digest::Sha512,
        }
    }

    /// Where the authority's keys are.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("authority")
    }

    /// The database of phones.
    pub fn database(&self) -> PathBuf {
        self.directory.join("phones.sqlite")
    }

    /// The folder of files that are kept.
    pub fn cache(&self) -> PathBuf {
        self.directory.join("cache")
    }

    /// Bytes of the cache.
    pub fn cache_bytes(&self) -> u64 {
        u64::from(self.cache_mb) << 20
    }

    /// For how long a kept file is given without asking again.
    pub fn fresh(&self) -> Duration {
        Duration::from_secs(self.fresh_s.into())
    }
}

impl Tftp {
    /// The addresses that replies go out by, beside the one that is listened at.
    pub fn reply_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let ports = (0..REPLY_PORTS).filter(|_| !self.single_port);
        ports.map(|port| SocketAddr::new(self.listen.ip(), self.reply_port.saturating_add(port)))
    }

    /// Requests a second: of one address, of all.
    fn requests(&self) -> (tftp::Rate, tftp::Rate) {
        // A phone that starts asks for some ten files at once, and behind an address may be an office.
        let of_source = rate(self.requests_per_source, self.requests_per_source.saturating_mul(10));
        (of_source, rate(self.requests, self.requests.saturating_mul(2)))
    }

    /// What the server is told.
    pub fn settings(&self) -> tftp::Settings {
        let (requests_per_source, requests) = self.requests();
        tftp::Settings {
            reply_sockets: self.reply_addresses().count(),
            block_max: self.block_max,
            limits: tftp::Limits {
                requests_per_source,
                requests,
                transfers_per_source: self.transfers_per_source as usize,
                transfers: self.transfers as usize,
                bytes_per_source: self.kilobytes_per_source.map(kilobytes),
                bytes: self.kilobytes.map(kilobytes),
                sources: (self.transfers as usize).saturating_mul(4).max(4096),
            },
            ..tftp::Settings::default()
        }
    }
}

impl Http {
    /// What the server is told. Rates are those of TFTP.
    pub fn settings(&self, tftp: &Tftp) -> http::Settings {
        let (requests_per_source, requests) = tftp.requests();
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let connections = self.connections as usize;
        let sources = connections.saturating_mul(4).max(4096);
        http::Settings {
            head: seconds(self.request_timeout_s),
            idle: seconds(self.idle_timeout_s),
            stall: seconds(self.stall_timeout_s),
            connections_per_source: self.connections_per_source as usize,
            connections,
            rates: http::Rates {
                requests_per_source,
                requests,
                bytes_per_source: None,
                bytes: None,
                sources,
            },
            ..http::Settings::default()
        }
    }
}

fn rate(per_second: u32, burst: u32) -> tftp::Rate {
    tftp::Rate { per_second, burst: burst.max(1) }
}

fn kilobytes(kilobytes: u32) -> tftp::Rate {
    let per_second = kilobytes.saturating_mul(1000);
    rate(per_second, per_second.max(65_536))
}

fn organization() -> String {
    "Pinhole".into()
}

fn cache_mb() -> u32 {
    1024
}

fn fresh_s() -> u32 {
    3600
}

fn reply_port() -> u16 {
    49_200
}

fn block_max() -> u16 {
    1428
}

fn requests_per_source() -> u32 {
    10
}

fn requests() -> u32 {
    300
}

fn transfers_per_source() -> u32 {
    50
}

fn transfers() -> u32 {
    500
}

fn request_timeout_s() -> u32 {
    10
}

fn idle_timeout_s() -> u32 {
    15
}

fn stall_timeout_s() -> u32 {
    30
}
