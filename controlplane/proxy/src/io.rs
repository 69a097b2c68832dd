//! What goes into a proxy and what comes out of it.

use std::collections::HashSet;
use std::net::SocketAddr;

use pinhole_admin::SecurityClass;
use pinhole_flow::{Command, Event as MediaEvent, Session};
use pinhole_sip::Message;

use crate::DeviceName;

/// A phone's connection, numbered by the process. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// A TCP connection to or from a call manager, numbered by the process. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub u64);

/// Where a message from inside came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A datagram from this address.
    Udp(SocketAddr),
    /// A connection, made by us for a phone or accepted by our listener.
    Tcp {
        /// The connection.
        upstream: UpstreamId,
        /// Its far end.
        peer: SocketAddr,
    },
}

impl Source {
    /// The address the message came from.
    pub fn peer(&self) -> SocketAddr {
        match self {
            Self::Udp(peer) | Self::Tcp { peer, .. } => *peer,
        }
    }
}

/// How a message to a call manager leaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// As a datagram from the cluster's local address.
    Udp {
        /// Destination.
        to: SocketAddr,
    },
    /// On the connection that the process keeps for this device towards the call manager; it is
    /// opened when there is none. A failure is reported with [`Input::UpstreamFailed`].
    Device(DeviceName),
    /// On this connection: the answer to a request that came on it. When it is gone, the message is
    /// dropped.
    Upstream(UpstreamId),
}

/// A phone whose TLS handshake is finished and whose certificate belongs to `device`.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub conn: ConnId,
    /// The device.
    pub device: DeviceName,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// TLS version and cipher suite, for operators.
    pub tls: String,
    /// What the device's media must be like outside.
    pub class: SecurityClass,
    /// The listener that it came to, as phones see it: for SIP, our Via and Contact towards it.
    pub listener: SocketAddr,
}

/// Everything that can happen to a proxy.
#[derive(Debug)]
pub enum Input {
    /// A phone has connected that speaks SIP.
    PhoneConnected(Connected),
    /// A phone sent a message.
    PhoneMessage {
        /// The connection.
        conn: ConnId,
        /// The message.
        message: Message,
    },
    /// A phone's connection ended.
    PhoneClosed {
        /// The connection.
        conn: ConnId,
    },
    /// A message came from inside.
    ClusterMessage {
        /// Index of the cluster.
        cluster: usize,
        /// Where it came from; checked against the cluster's `sources`.
        source: Source,
        /// The message.
        message: Message,
    },
    /// A TCP connection inside ended. Nothing is lost: the next message opens another.
    UpstreamClosed {
        /// Index of the cluster.
        cluster: usize,
        /// The connection.
        upstream: UpstreamId,
    },
    /// The connection for a device could not be made, or broke with messages unsent: requests that
    /// wait for an answer on it fail with 503.
    UpstreamFailed {
        /// Index of the cluster.
        cluster: usize,
        /// The device whose connection it was.
        device: DeviceName,
    },
    /// The data plane acknowledged or refused a command, or learned an address. Events of
    /// next-hop commands are the process's own.
    Media(MediaEvent),
    /// A data plane is there again: the one that was away, or another. What is not open in it any more has
    /// lost its stream states, and cannot be opened again: its call ends.
    MediaBack {
        /// The sessions that are open in it: slot and generation.
        open: HashSet<(u32, u32)>,
    },
    /// A session found open in the data plane after our start. Before any other input; all of them,
    /// then [`Input::AdoptDone`].
    Adopt {
        /// Its slot.
        slot: u32,
        /// Generation of the slot.
        generation: u32,
        /// The orders in force.
        session: Box<Session>,
        /// The note kept with it; empty when there is none or it is torn.
        note: Vec<u8>,
    },
    /// Every open session was handed over.
    AdoptDone,
    /// Packets accepted so far on the two legs of a session. To be sent for every open session every
    /// few seconds: a session that is not reported counts as silent.
    MediaActivity {
        /// Its slot.
        slot: u32,
        /// Generation of the slot.
        generation: u32,
        /// Packets accepted, RTP and RTCP: leg 0 (phone), leg 1 (inside).
        packets: [u64; 2],
    },
    /// Time has passed: call it at [`Proxy::next_timeout`](crate::Proxy::next_timeout).
    Tick,
}

/// From where no audio has come in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The phone.
    Phone,
    /// Whoever it talks with.
    FarEnd,
    /// Neither end: nothing has come to our media addresses.
    Both,
}

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Phone => "the phone",
            Self::FarEnd => "the far end",
            Self::Both => "the phone and the far end",
        })
    }
}

/// Everything a proxy asks the process to do. In order.
#[derive(Debug)]
pub enum Output {
    /// Send to a phone. When the connection is gone, drop it.
    ToPhone {
        /// The connection.
        conn: ConnId,
        /// A SIP message.
        bytes: Vec<u8>,
    },
    /// Send to a call manager.
    ToCluster {
        /// Index of the cluster.
        cluster: usize,
        /// The device on whose behalf; absent: it answers what the call manager has sent.
        device: Option<DeviceName>,
        /// How.
        route: Route,
        /// A SIP message.
        bytes: Vec<u8>,
    },
    /// The call manager has accepted a REGISTER of the device on this connection, the first or another.
    Registered {
        /// The connection.
        conn: ConnId,
    },
    /// The call manager has refused a REGISTER of the device on this connection, and not asked for credentials.
    NotRegistered {
        /// The connection.
        conn: ConnId,
        /// Its answer.
        code: u16,
    },
    /// A call of the device on this connection ended, of SIP or SCCP, in which audio should have flowed both ways and did not.
    NoAudio {
        /// The connection.
        conn: ConnId,
        /// From where none has come.
        from: Silence,
    },
    /// Close a phone's connection once what was sent before is out. No [`Input::PhoneClosed`] is needed.
    ClosePhone {
        /// The connection.
        conn: ConnId,
        /// Why, for the log.
        reason: &'static str,
    },
    /// Give the data plane a command: Open, Update or Close. `next_hop` of both legs is 0: the
    /// process sets it from `port` and `remote_ip` before it pushes the command.
    Media(Box<Command>),
    /// Write the note of a session (at most `NOTE_MAX` bytes). It may precede the acknowledgement of Open.
    Note {
        /// The slot.
        slot: u32,
        /// Generation that the note belongs to.
        generation: u32,
        /// The note.
        bytes: Vec<u8>,
    },
    /// Something worth telling an operator; `time_ms` is still to be stamped.
    Event(pinhole_admin::Event),
}

/// Where random bytes come from: keys, tags, branches.
pub trait Random {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}
