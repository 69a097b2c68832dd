//! What a proxy is told at its start: plain values that the process has already validated.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use pinhole_flow::Suite;
use regex::Regex;
use serde::Deserialize;

use crate::Identity;

/// Everything one shard's [`Proxy`](crate::Proxy) must know.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Number of this shard, from 0.
    pub shard: u32,
    /// How many shards there are: slots and media ports are divided among them.
    pub shards: u32,
    /// Workers of the data plane: each session's slot and ports are of one worker.
    pub workers: u32,
    /// Slots of the data plane (`[dataplane] max_sessions`), all shards together.
    pub max_sessions: u32,
    /// The side of the phones.
    pub outside: Outside,
    /// The call managers, in the order of the configuration; the first whose `devices` matches serves a device.
    pub clusters: Vec<ClusterConfig>,
    /// Media address and ports per data-plane port, in the order of `[[dataplane.port]]`.
    pub media: Vec<MediaPort>,
    /// SRTP suites in order of preference. Others are never negotiated.
    pub suites: Vec<Suite>,
    /// The suite offered to a phone whose abilities are not known yet; `None`: the first of `suites`.
    pub default_suite: Option<Suite>,
    /// Which device may use which addresses of record.
    pub identity: Identity,
    /// Bounds of the tables.
    pub limits: Limits,
    /// Timers.
    pub timers: Timers,
}

/// The TLS listener for phones, as phones see it.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Address and port of the listener: our Via and Contact towards phones.
    pub listen: SocketAddr,
    /// Further names of the appliance (host names of its certificate) that stand for ourselves in a
    /// Request-URI. The address of `listen` always does.
    pub names: Vec<String>,
    /// Index of the data-plane port that carries the phones' media.
    pub port: u8,
}

/// Transport of SIP towards a call manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP: we retransmit (RFC 3261 section 17).
    Udp,
    /// TCP: one connection per phone.
    Tcp,
}

/// A call manager and the devices it serves.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Name, for operators.
    pub name: String,
    /// Where SIP goes.
    pub call_manager: SocketAddr,
    /// Addresses that may send us SIP and that SIP may be sent to. Must contain the call manager's.
    pub sources: Vec<IpAddr>,
    /// Transport of SIP.
    pub transport: Transport,
    /// This shard's own address and port inside: our Via and Contact towards the call manager.
    pub local: SocketAddr,
    /// Index of the data-plane port that carries the inside media.
    pub port: u8,
    /// Stands in for our own address when a phone addresses the appliance itself.
    pub domain: String,
    /// Matches the names of the devices that this cluster serves.
    pub devices: Regex,
    /// Call managers that speak SCCP, in order of preference.
    pub skinny: Vec<SkinnyServer>,
    /// How calls of its SCCP phones are treated.
    pub skinny_calls: SkinnyCalls,
}

/// How calls of a cluster's SCCP phones are treated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkinnyCalls {
    /// What decides whether phones show a call as secure.
    pub secure_indicator: SecureIndicator,
    /// Whose keys phones get.
    pub keys: SkinnyKeys,
    /// Where a channel's sender may be that the call manager does not name, and that shows no key: the first one from there
    /// is heard. `None`: it is not heard.
    pub unnamed_senders: Option<Network>,
}

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    /// Its address; bits beyond the prefix count for nothing.
    pub address: Ipv4Addr,
    /// Bits of the prefix, 0 to 32.
    pub prefix: u8,
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once('/');
        let parsed = parts.and_then(|(address, prefix)| {
            let (address, prefix) = (address.parse().ok()?, prefix.parse().ok()?);
            (prefix <= 32).then_some(Self { address, prefix })
        });
        parsed.ok_or_else(|| format!("\"{text}\" is no network; write it as 10.20.0.0/16"))
    }
}

/// Whose keys the SCCP phones of an encrypted call manager get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkinnyKeys {
    /// Ours: what the call manager gives is used inside alone.
    #[default]
    Rewrite,
    /// The call manager's, where it gives one: it is used on both sides, and media passes as it is.
    Relay,
}

/// What decides whether SCCP phones show a call as secure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecureIndicator {
    /// The call manager, as far as it can be true: its connection is encrypted, and no way of the call that is open is
    /// in the clear on either side.
    #[default]
    Truth,
    /// The call manager alone, which does not know of the way inside.
    CallManager,
}

/// A call manager that speaks SCCP, and where phones find us in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkinnyServer {
    /// The name that phones know it by, at most 47 bytes.
    pub name: String,
    /// The TLS listener that stands for it.
    pub outside: SocketAddr,
    /// The one that stands for it towards old phones, if there is one.
    pub legacy: Option<SocketAddr>,
    /// Its own address and port.
    pub inside: SocketAddr,
    /// Whether the connection to it is encrypted.
    pub encrypted: bool,
}

/// Media address and port range of one data-plane port.
#[derive(Clone, Debug)]
pub struct MediaPort {
    /// Media termination address.
    pub address: IpAddr,
    /// UDP ports for media, all shards together. Pairs begin at even ports.
    pub ports: RangeInclusive<u16>,
}

/// Bounds of the tables of one shard. Each has a counter of what it refused.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Calls of SIP in progress and streams of SCCP, together.
    pub calls: usize,
    /// Calls in progress of one phone.
    pub calls_per_phone: usize,
    /// SIP transactions in progress or lingering for retransmissions.
    pub transactions: usize,
    /// The same, begun by one phone.
    pub transactions_per_phone: usize,
    /// Dialog sets (calls, subscriptions, transfers).
    pub dialogs: usize,
    /// Dialog sets of one phone.
    pub dialogs_per_phone: usize,
    /// Registrations.
    pub registrations: usize,
    /// Registrations of one phone.
    pub registrations_per_phone: usize,
    /// Devices that are remembered (connected, registered, in a call, or recently so).
    pub devices: usize,
    /// Early dialogs of one INVITE (forking).
    pub forks: usize,
    /// SCCP streams of one connection.
    pub skinny_streams_per_connection: usize,
    /// Media lines of one session description that are looked at; more are refused with 488.
    pub media_lines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 5_000,
            calls_per_phone: 16,
            transactions: 50_000,
            transactions_per_phone: 256,
            dialogs: 20_000,
            dialogs_per_phone: 64,
            registrations: 20_000,
            registrations_per_phone: 16,
            devices: 40_000,
            forks: 8,
            skinny_streams_per_connection: 32,
            media_lines: 8,
        }
    }
}

/// Timers of one shard.
#[derive(Clone, Debug)]
pub struct Timers {
    /// Round-trip estimate T1 (RFC 3261 section 17.1.1.1): first retransmission interval.
    pub t1: Duration,
    /// T2: longest retransmission interval of non-INVITE requests and of responses to INVITE.
    pub t2: Duration,
    /// How long calls outlive their phone's connection.
    pub phone_lost_grace: Duration,
    /// Silence on both legs after which a call is ended.
    pub media_timeout: Duration,
    /// The same for calls on hold.
    pub hold_timeout: Duration,
    /// How long a port pair rests after its session is closed.
    pub port_quarantine: Duration,
    /// How long an adopted session waits for its call's first sign of life, and a session that
    /// belongs to no call goes on.
    pub adopt_grace: Duration,
    /// How long a call may ring (RFC 3261 timer C).
    pub ring: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            phone_lost_grace: Duration::from_secs(30),
            media_timeout: Duration::from_secs(120),
            hold_timeout: Duration::from_secs(1800),
            port_quarantine: Duration::from_secs(5),
            adopt_grace: Duration::from_secs(60),
            ring: Duration::from_secs(180),
        }
    }
}

impl Timers {
    /// 64 * T1: how long a transaction waits and lingers (timers B, F, H, J).
    pub fn transaction(&self) -> Duration {
        self.t1.saturating_mul(64)
    }
}
