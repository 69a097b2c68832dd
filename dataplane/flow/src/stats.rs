//! A worker's statistics: written by that worker only, read by everybody, never reset.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::DropCause;
use crate::layout::MAX_PORTS;

/// Counters of one worker. Plain numbers with one writer; readers sum and subtract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct WorkerStats {
    /// Turns of the loop.
    pub polls: u64,
    /// Turns without a packet or command.
    pub idle_polls: u64,
    /// Nanoseconds spent in turns with work.
    pub busy_ns: u64,
    /// CLOCK_MONOTONIC nanoseconds of a recent turn: the worker's sign of life.
    pub last_turn_ns: u64,
    /// Commands carried out.
    pub commands_done: u64,
    /// Commands refused.
    pub commands_refused: u64,
    /// Times a ring's index or entry from the control plane made no sense.
    pub ring_corrupt: u64,
    /// Times commands had to wait or an event was lost because an event ring was full.
    pub ring_full: u64,
    /// Sessions open now.
    pub sessions_open: u64,
    /// Packet buffers that could not be had.
    pub mbuf_failures: u64,
    /// Packets sent from one of our media addresses to another without touching a wire.
    pub hairpins: u64,
    /// Media frames that arrived here although another worker owns their port: handed to it.
    pub missteered: u64,
    /// Frames taken from other workers.
    pub handoff_in: u64,
    /// Frames handed to other workers.
    pub handoff_out: u64,
    /// Packets accepted under the key before the last re-key.
    pub old_key: u64,
    /// Times an update could make no room for one SSRC more, because as many as are remembered have made
    /// room in that direction: from then on new SSRCs there are dropped as [`DropCause::SsrcLimit`].
    pub ssrcs_full: u64,
    /// Packets dropped, by [`DropCause`].
    pub drops: [u64; DropCause::COUNT],
    /// Per port, by index.
    pub ports: [PortStats; MAX_PORTS],
    /// Zero: room for counters of later versions.
    pub reserved: [u64; STATS_RESERVED],
}

/// Words that fill [`WorkerStats`] up to whole cache lines.
const STATS_RESERVED: usize = 8 - (16 + DropCause::COUNT) % 8;

/// Counters of one worker on one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PortStats {
    /// Frames received from the wire.
    pub rx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Frames sent to the wire.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Frames handed to the kernel twin.
    pub punt_packets: u64,
    /// Their bytes.
    pub punt_bytes: u64,
    /// Frames taken from the kernel twin and sent to the wire.
    pub inject_packets: u64,
    /// Their bytes.
    pub inject_bytes: u64,
}
