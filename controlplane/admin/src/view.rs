//! What can be seen of a running control plane. Plain values for people and programs.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The process and what it is attached to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the control plane.
    pub version: String,
    /// Process id of the control plane.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// The configuration file it read.
    pub config: String,
    /// The TLS listener for phones.
    pub listen: String,
    /// Signalling shards.
    pub shards: u32,
    /// The data plane.
    pub dataplane: DataPlane,
    /// Phone connections with a finished handshake.
    pub connections: u64,
    /// TLS handshakes in progress.
    pub handshakes: u64,
    /// Registered phones.
    pub registered: u64,
    /// Calls in progress.
    pub calls: u64,
    /// Open media sessions.
    pub sessions: u64,
    /// Media ports.
    pub ports: Ports,
    /// Limit of open files of the process.
    pub file_limit: u64,
    /// Log lines that could not be written (full disk, failing file).
    pub log_lines_lost: u64,
    /// The process for old phones; absent: there is none.
    #[serde(default)]
    pub legacy_tls: Option<LegacyTls>,
}

/// The process that ends the TLS of old phones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyTls {
    /// Where it listens.
    pub listen: Vec<String>,
    /// Its process id; 0 when it does not run.
    pub pid: u32,
    /// How often it was started.
    pub started: u64,
    /// Phones that came by it and are connected.
    pub connections: u64,
    /// How it has confined itself.
    pub confined: String,
}

/// The state of the link to the data plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataPlane {
    /// Whether it is attached.
    pub attached: bool,
    /// The attach socket.
    pub socket: String,
    /// Its version; empty when not attached.
    pub version: String,
    /// The SRTP engine in use; empty when not attached.
    pub engine: String,
    /// Its process id; 0 when not attached.
    pub pid: u32,
    /// Boot generation: differs after each start of the data plane. 0 when not attached.
    pub boot: u64,
    /// Workers.
    pub workers: u32,
    /// Most sessions that it can carry.
    pub max_sessions: u32,
    /// Commands not yet acknowledged, over all shards.
    pub commands_outstanding: u64,
    /// Commands waiting for room in a ring, over all shards.
    pub commands_queued: u64,
}

/// Media ports, both sides together. One unit is one RTP and RTCP pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// Port pairs in use by sessions.
    pub in_use: u64,
    /// Port pairs resting after use.
    pub quarantined: u64,
    /// Port pairs configured.
    pub total: u64,
}

impl std::ops::AddAssign for Ports {
    fn add_assign(&mut self, other: Self) {
        self.in_use += other.in_use;
        self.quarantined += other.quarantined;
        self.total += other.total;
    }
}

/// How a phone protects its signalling and its media (`deviceSecurityMode`). There is no class for phones in clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityClass {
    /// Mode 3: TLS with encryption, SRTP.
    #[default]
    Encrypted,
    /// Mode 2: TLS, if need be with the NULL cipher, and plain RTP: for soft phones that can do no more.
    Authenticated,
}

impl SecurityClass {
    /// The value of `deviceSecurityMode`.
    pub const fn mode(self) -> &'static str {
        match self {
            Self::Encrypted => "3",
            Self::Authenticated => "2",
        }
    }

    /// Its name, as it is written and read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Authenticated => "authenticated",
        }
    }
}

impl std::str::FromStr for SecurityClass {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, &'static str> {
        let known = [Self::Encrypted, Self::Authenticated].into_iter().find(|class| class.name() == name);
        known.ok_or("a security class is \"encrypted\" or \"authenticated\"")
    }
}

/// A phone that is connected or registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phone {
    /// Device name, from the certificate.
    pub device: String,
    /// The shard it lives on.
    pub shard: u32,
    /// The cluster it belongs to.
    pub cluster: String,
    /// What it speaks: `sip` or `sccp`.
    #[serde(default)]
    pub protocol: String,
    /// The call manager that it goes to.
    #[serde(default)]
    pub call_manager: Option<SocketAddr>,
    /// Where the connection comes from; absent when it is lost.
    pub peer: Option<SocketAddr>,
    /// TLS version and cipher suite of the connection.
    pub tls: String,
    /// Seconds since the connection was made, or since it was lost.
    pub since_s: u64,
    /// Addresses of record now registered.
    pub registered: Vec<String>,
    /// Seconds until the first registration expires.
    pub expires_s: Option<u64>,
    /// Calls in progress.
    pub calls: u32,
}

/// Which way a call goes, seen from the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The phone calls.
    FromPhone,
    /// The phone is called.
    ToPhone,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// INVITE passed, no final response yet.
    Setup,
    /// Answered.
    Talking,
    /// Answered; no side sends media.
    Held,
    /// Taken over from before a restart: media flows, signalling goes on with the next message.
    Adopted,
    /// BYE or failure passed; the session is being closed.
    Ending,
}

/// A call in progress. A call between two remote phones shows once for each phone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The Call-ID, the same on both sides.
    pub call_id: String,
    /// The phone's device name.
    pub device: String,
    /// The shard it lives on.
    pub shard: u32,
    /// The cluster it goes through.
    pub cluster: String,
    /// Which way it goes.
    pub direction: Direction,
    /// URI of the caller.
    pub from: String,
    /// URI of the callee.
    pub to: String,
    /// How far it has come.
    pub state: CallState,
    /// SRTP suite on the outside, once it is chosen.
    pub suite: Option<String>,
    /// Seconds since it began, or since it was adopted.
    pub since_s: u64,
    /// Slots of its media sessions.
    pub sessions: Vec<u32>,
}

/// A media session, read from the data plane's slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Slot number.
    pub slot: u32,
    /// Generation of the slot.
    pub generation: u32,
    /// The signalling shard that owns the slot.
    pub shard: u32,
    /// The worker that carries it.
    pub worker: u32,
    /// Seconds since it opened.
    pub since_s: u64,
    /// The call it belongs to; absent when no call was adopted for it.
    pub call_id: Option<String>,
    /// The phone's device name.
    pub device: Option<String>,
    /// Leg 0 faces the phone, leg 1 the call manager.
    pub legs: Vec<Leg>,
}

/// One side of a media session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// Name of the data-plane port.
    pub port: String,
    /// Our address and RTP port.
    pub local: String,
    /// Our RTCP port; equal to the RTP port under rtcp-mux.
    pub local_rtcp: u16,
    /// Signalled address and RTP port; absent: not known yet.
    pub signalled: Option<String>,
    /// Where RTP is sent now: signalled or learned; absent: not known yet.
    pub remote: Option<String>,
    /// Whether the source was learned from an authenticated packet.
    pub learned: bool,
    /// SRTP suite of packets that arrive; absent: plain RTP.
    pub suite_in: Option<String>,
    /// SRTP suite of packets that are sent; absent: plain RTP.
    pub suite_out: Option<String>,
    /// RTP packets accepted.
    pub rx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// RTP packets sent.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// RTCP packets accepted.
    pub rtcp_rx: u64,
    /// RTCP packets sent.
    pub rtcp_tx: u64,
    /// RTP payload type last accepted.
    pub payload_type: Option<u8>,
    /// RTP packets that should have come by their sequence numbers, and did not.
    pub lost: u64,
    /// The same in percent of what should have come.
    pub loss_percent: f64,
    /// Interarrival jitter in milliseconds (RFC 3550 A.8).
    pub jitter_ms: f64,
    /// Milliseconds since the last accepted packet; absent: none yet.
    pub idle_ms: Option<u64>,
    /// Packets that arrived on this leg and were dropped, by cause. Causes with zero are left out.
    pub drops: BTreeMap<String, u64>,
}

/// A worker of the data plane. Counts are since its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Its number.
    pub number: u32,
    /// Its core.
    pub core: u32,
    /// Sessions that it carries.
    pub sessions: u64,
    /// Share of the last one or two seconds that it worked, in percent; absent just after attaching.
    pub busy_percent: Option<f64>,
    /// Share of its turns in that time that found nothing to do, in percent.
    pub idle_percent: Option<f64>,
    /// Turns of its loop.
    pub polls: u64,
    /// Milliseconds since its last turn.
    pub silent_ms: u64,
    /// Media frames that came to it and are another worker's.
    pub missteered: u64,
    /// Frames taken from other workers.
    pub handoff_in: u64,
    /// Frames handed to other workers.
    pub handoff_out: u64,
    /// Packets accepted under the key before the last re-key.
    pub old_key: u64,
    /// Packets dropped, of all causes.
    pub drops: u64,
}

/// Counters by group: `process`, `tls`, `proxy`, `dataplane` and `dataplane.drops`, `dataplane.port.NAME`, `sip.from_phone` and its
/// like for messages by name.
/// Names and values never shrink while a process lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counters {
    /// Group, then counter, then value.
    pub groups: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Counters {
    /// Adds `value` to a counter.
    pub fn add(&mut self, group: &str, name: &str, value: u64) {
        *self.groups.entry(group.to_owned()).or_default().entry(name.to_owned()).or_default() += value;
    }
}
