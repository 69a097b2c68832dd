//! A session's slot in the shared slab. The worker writes everything but the note, from the
//! commands it takes off its ring, so that no field has two writers; the control plane reads.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{DropCause, Session};

/// How many SSRCs one direction of a leg keeps states for.
pub const STREAMS: usize = 4;
/// Bytes of a [`Note`].
pub const NOTE_MAX: usize = 1024;

/// Slot states ([`SessionSlot::state`]).
pub mod state {
    /// Nobody uses the slot.
    pub const FREE: u32 = 0;
    /// Media flows.
    pub const OPEN: u32 = 1;
}

/// The packet index and replay state of one SSRC in one direction (RFC 3711 section 3.2.1).
/// All zero: unused. Survives a restart of either process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StreamState {
    /// Highest SRTP index seen or sent: ROC (32 bits) and sequence number (16 bits).
    pub index: u64,
    /// Replay window, inbound only: bit `n` of the 128 is index `index - n`.
    pub window: [u64; 2],
    /// Replay window of SRTCP, as above.
    pub rtcp_window: [u64; 2],
    /// Highest SRTCP index seen or sent (31 bits).
    pub rtcp_index: u32,
    /// The SSRC.
    pub ssrc: u32,
    /// Bit 0: the entry is in use. Bit 1: `index` is valid. Bit 2: `rtcp_index` is valid.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

/// Counters of one leg. Written by the worker only, never reset while the session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LegStats {
    /// RTP packets accepted on this leg.
    pub rx_packets: u64,
    /// Their bytes, from the RTP header on, as received.
    pub rx_bytes: u64,
    /// RTP packets sent on this leg.
    pub tx_packets: u64,
    /// Their bytes, as sent.
    pub tx_bytes: u64,
    /// RTCP packets accepted.
    pub rtcp_rx: u64,
    /// RTCP packets sent.
    pub rtcp_tx: u64,
    /// RTP packets that the sequence numbers say should have come (RFC 3550 A.3).
    pub expected: u64,
    /// CLOCK_MONOTONIC nanoseconds of the last accepted packet; 0: none yet.
    pub last_rx_ns: u64,
    /// Interarrival jitter in timestamp units, times 16 (RFC 3550 A.8).
    pub jitter_q4: u32,
    /// RTP payload type of the last accepted packet.
    pub payload_type: u32,
    /// Packets that arrived on this leg and were not relayed, by [`DropCause`].
    pub drops: [u64; DropCause::COUNT],
}

/// What the worker knows of a leg beyond its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LegLive {
    /// Where packets to this leg are sent; IPv4 as an IPv4-mapped IPv6 address.
    pub remote_ip: [u8; 16],
    /// UDP port for RTP; 0: not known yet.
    pub remote_rtp: u16,
    /// UDP port for RTCP.
    pub remote_rtcp: u16,
    /// Bit 0: RTP source learned. Bit 1: RTCP source learned.
    pub learned: u32,
    /// MAC address that the learned source is answered to.
    pub mac: [u8; 6],
    /// VLAN identifier of the learned source, 0: untagged.
    pub vlan: u16,
    /// States of the SSRCs that arrive.
    pub inbound: [StreamState; STREAMS],
    /// States of the SSRCs that are sent.
    pub outbound: [StreamState; STREAMS],
    /// Counters.
    pub stats: LegStats,
}

/// What the control plane keeps with a session for its own restart: opaque to the worker.
/// Written by the control plane only.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// Generation of the session that the note belongs to.
    pub generation: u32,
    /// Bytes in use.
    pub len: u32,
    /// Checksum over generation, length and bytes: a torn note is ignored.
    pub checksum: u64,
    /// The bytes.
    pub bytes: [u8; NOTE_MAX],
}

/// A session's slot.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct SessionSlot {
    /// Written by the worker, with release order, last on open and first on close: see [`state`].
    pub state: u32,
    /// Written by the worker: generation of the session that has or last had the slot.
    pub generation: u32,
    /// Written by the worker: which worker owns the session.
    pub worker: u32,
    /// Written by the worker: sequence of the last command carried out.
    pub sequence: u32,
    /// Written by the worker: CLOCK_MONOTONIC nanoseconds of the open.
    pub opened_ns: u64,
    /// Written by the worker: the orders in force. Wiped on close.
    pub session: Session,
    /// Written by the worker.
    pub live: [LegLive; 2],
    /// Written by the control plane.
    pub note: Note,
    /// Zero: fills the slot up to whole cache lines.
    pub reserved: [u8; 8],
}

const _: () = assert!(size_of::<SessionSlot>() <= 4096);
