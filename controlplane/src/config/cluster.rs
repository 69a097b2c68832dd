//! `[[cluster]]`: a call manager, the phones that belong to it, and what is theirs.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use pinhole_provisioning::service::Encryption;
use pinhole_provisioning::xml::RewriteRules;
use pinhole_proxy::{Network, SecureIndicator, SkinnyKeys};
use serde::Deserialize;

/// `[[cluster]]`: a call manager and the phones that belong to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its name, for people.
    pub name: String,
    /// Where SIP is sent to.
    pub call_manager: SocketAddr,
    /// Addresses that SIP is accepted from; empty: the call manager's.
    #[serde(default)]
    pub sources: Vec<IpAddr>,
    /// How SIP reaches it.
    #[serde(default)]
    pub transport: Transport,
    /// Our address towards it; shard `n` uses this port plus `n`.
    pub local: SocketAddr,
    /// Name of the data-plane port that carries media on this side.
    pub port: String,
    /// Host part of request URIs when a phone addresses the appliance itself.
    pub domain: String,
    /// Regular expression over device names: which phones belong to it. The first match wins.
    #[serde(default = "every_device")]
    pub devices: String,
    /// Its call managers that speak SCCP, in order of preference; none: its phones speak SIP only.
    #[serde(default)]
    pub sccp: Vec<Sccp>,
    /// What decides whether its SCCP phones show a call as secure.
    #[serde(default)]
    pub secure_indicator: SecureIndicator,
    /// Signs certificates in the names of its SCCP phones, which its call managers see in their place.
    #[serde(default)]
    pub phone_authority: Option<PhoneAuthority>,
    /// Whose keys its SCCP phones get.
    #[serde(default)]
    pub sccp_keys: SkinnyKeys,
    /// The network of senders that its SCCP call managers do not name, such as of music on hold; absent: none is heard.
    #[serde(default)]
    pub sccp_unnamed_senders: Option<Network>,
    /// Its TFTP server, usually port 69. Neither this nor `http_server`: its phones fetch nothing from us.
    #[serde(default)]
    pub tftp_server: Option<SocketAddr>,
    /// Its HTTP server, usually port 6970, instead.
    #[serde(default)]
    pub http_server: Option<SocketAddr>,
    /// Whether its phones may be of the class *authenticated*: their media is in the clear outside.
    #[serde(default)]
    pub authenticated_devices: AuthenticatedDevices,
    /// Whether its phones' configurations are encrypted to their certificates.
    #[serde(default)]
    pub encryption: Encryption,
    /// How its phones' configurations are rewritten.
    #[serde(default)]
    pub rewrite: RewriteRules,
}

impl Cluster {
    /// Where its phones' files come from, if they fetch them from us.
    pub fn file_server(&self) -> Option<FileServer> {
        self.http_server.map(FileServer::Http).or(self.tftp_server.map(FileServer::Tftp))
    }

    /// Addresses that SIP is accepted from.
    pub fn sources(&self) -> Vec<IpAddr> {
        if self.sources.is_empty() { vec![self.call_manager.ip()] } else { self.sources.clone() }
    }

    /// Our address towards the call manager on `shard`.
    pub fn local_of(&self, shard: u32) -> SocketAddr {
        let mut local = self.local;
        local.set_port(local.port().saturating_add(u16::try_from(shard).unwrap_or(u16::MAX)));
        local
    }
}

/// How SIP reaches a call manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// One socket per shard.
    #[default]
    Udp,
    /// One connection per phone.
    Tcp,
}

/// What becomes of devices of the class *authenticated*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticatedDevices {
    /// None is made, and none served.
    #[default]
    Refuse,
    /// They have plain RTP outside.
    Allow,
}

/// `phone_authority` of a cluster: an authority of ours that its call managers trust.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhoneAuthority {
    /// Its certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Where the files of a call manager come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileServer {
    /// By TFTP.
    Tftp(SocketAddr),
    /// By HTTP.
    Http(SocketAddr),
}

/// `[[cluster.sccp]]`: a call manager that speaks SCCP, and the TLS listener that stands for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sccp {
    /// The name that phones are told.
    pub name: String,
    /// Address and TCP port outside, usually port 2443.
    pub listen: SocketAddr,
    /// Where it is, usually port 2000, by TLS 2443.
    pub call_manager: SocketAddr,
    /// A file with its certificate, or with the authority's that signed it: it is reached by TLS. Absent: in the clear.
    #[serde(default)]
    pub authority: Option<PathBuf>,
    /// The name that its certificate has, if that is not in `authority` itself.
    #[serde(default)]
    pub certificate_name: Option<String>,
    /// Address and TCP port outside for old phones (`[legacy_tls]`); absent: none.
    #[serde(default)]
    pub legacy_listen: Option<SocketAddr>,
}

fn every_device() -> String {
    String::new()
}
