//! A session's slot in the shared slab. The worker writes all of it, from the commands it takes off
//! its ring, so that no field has two writers; the control plane reads. What the control plane
//! remembers with a session is the [`Note`], in memory of its own.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{DropCause, Session};

/// How many SSRCs one direction of a leg keeps states for.
pub const STREAMS: usize = 5;
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
/// All zero: unused. Survives a restart of the control plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StreamState {
    /// Highest SRTP index seen or sent: ROC (32 bits) and sequence number (16 bits).
    pub index: u64,
    /// Which packets were seen or sent: bit `n` of the 128 is index `index - n`.
    pub window: [u64; 2],
    /// The same of SRTCP, inbound only, for 64 packets: outbound each index is one more than the last.
    pub rtcp_window: u64,
    /// Highest SRTCP index seen or sent (31 bits).
    pub rtcp_index: u32,
    /// The SSRC.
    pub ssrc: u32,
    /// Bit 0: the entry is in use. Bit 1: `index` is valid. Bit 2: `rtcp_index` is valid. Bit 3:
    /// `index` is of an earlier key, and nothing was authenticated under the new one yet. Bit 4: the
    /// sender may set its sequence numbers back, once. Bit 5: the key was in force before, and nothing
    /// was authenticated since it came back. Bit 6: what the indices were before the sender set them back.
    /// Bit 7: the SSRC has such another entry. Bit 8: the sender may set its SRTCP index back, once.
    pub flags: u32,
    /// Outbound: what is added to the sender's sequence numbers. Inbound, with bit 6: how many packets have
    /// gone on from here since.
    pub offset: u16,
    /// Outbound: what was added before the sender last set them back.
    pub offset_before: u16,
}

/// Counters of one leg: of the packets that arrive on it, also what became of them on the leg across, so that a
/// packet touches those of one leg only. Written by the worker only, never reset while the session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LegStats {
    /// RTP packets accepted on this leg.
    pub rx_packets: u64,
    /// Their bytes, from the RTP header on, as received.
    pub rx_bytes: u64,
    /// RTP packets of them that were sent on by the leg across.
    pub passed_packets: u64,
    /// Their bytes, as sent.
    pub passed_bytes: u64,
    /// RTP packets that the sequence numbers say should have come (RFC 3550 A.3).
    pub expected: u64,
    /// CLOCK_MONOTONIC nanoseconds of the last accepted packet; 0: none yet.
    pub last_rx_ns: u64,
    /// Interarrival jitter in timestamp units, times 16 (RFC 3550 A.8).
    pub jitter_q4: u32,
    /// RTP payload type of the last accepted packet.
    pub payload_type: u32,
    /// RTCP packets accepted.
    pub rtcp_rx: u64,
    /// RTCP packets of them that were sent on by the leg across.
    pub rtcp_passed: u64,
    /// Packets that arrived on this leg and were not relayed, by [`DropCause`].
    pub drops: [u64; DropCause::OF_LEG],
}

/// What the worker knows of a leg beyond its orders. Whole cache lines: a packet touches those of the
/// counters and of the first stream states, each within one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LegLive {
    /// Counters.
    pub stats: LegStats,
    /// States of the SSRCs that arrive.
    pub inbound: [StreamState; STREAMS],
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
    /// States of the SSRCs that are sent.
    pub outbound: [StreamState; STREAMS],
    /// Zero.
    pub reserved: [u64; LEG_RESERVED],
}

/// Words that fill a leg up to whole cache lines.
const LEG_RESERVED: usize =
    (8 - (32 + 2 * STREAMS * size_of::<StreamState>() + size_of::<LegStats>()) / 8 % 8) % 8;

/// What the control plane keeps with a session for its own restart: opaque to the worker.
/// Written by the control plane only. There are two copies per slot, written in turn, so that a
/// control plane that is killed while it writes leaves the one before whole.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// Grows with every write of either copy: the higher one is the newer.
    pub serial: u64,
    /// Checksum over everything else: a torn note is ignored.
    pub checksum: u64,
    /// Generation of the session that the note belongs to.
    pub generation: u32,
    /// Bytes in use.
    pub len: u32,
    /// The bytes.
    pub bytes: [u8; NOTE_MAX],
}

/// A session's slot, written by the worker that owns it and by nobody else.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct SessionSlot {
    /// See [`state`]. Changed only inside [`SessionSlot::change`].
    pub state: u32,
    /// Generation of the session that has or last had the slot.
    pub generation: u32,
    /// Which worker owns the session.
    pub worker: u32,
    /// Sequence of the last command carried out.
    pub sequence: u32,
    /// Odd while [`SessionSlot::change`] is at work, so that readers try again.
    pub version: u64,
    /// CLOCK_MONOTONIC nanoseconds of the open.
    pub opened_ns: u64,
    /// The orders in force. Wiped on close. Changed only inside [`SessionSlot::change`].
    pub session: Session,
    /// Zero.
    pub reserved: [u64; SLOT_RESERVED],
    /// What the worker has seen. Counters and stream states change with every packet; learned
    /// addresses only inside [`SessionSlot::change`].
    pub live: [LegLive; 2],
}

/// Words that fill what comes before the legs up to whole cache lines.
const SLOT_RESERVED: usize = (8 - (32 + size_of::<Session>()) / 8 % 8) % 8;

const _: () = assert!(size_of::<SessionSlot>() <= 4096);
const _: () = assert!(size_of::<SessionSlot>().is_multiple_of(64));

impl SessionSlot {
    /// Makes a change that readers in the other process must see whole or not at all: open, update,
    /// close, a learned address. For the worker only, and not for every packet: counters and stream
    /// states are plain stores.
    ///
    /// The sequence lock's writing side: the version is odd for as long as `change` runs.
    pub fn change<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        // An odd version means that a change was cut short; it stays odd until this one ends.
        let odd = self.version | 1;
        self.publish(odd);
        // Acquire keeps the change below, release keeps the odd version above it.
        fence(Ordering::AcqRel);
        let result = change(self);
        self.publish(odd.wrapping_add(1));
        result
    }

    /// Stores the version with release order.
    fn publish(&mut self, version: u64) {
        // SAFETY: `&mut self` is the only reference in this process, the field is aligned to 8
        // bytes, and the other process reads it atomically (`AtomicU64::from_mut` is not stable).
        unsafe { AtomicU64::from_ptr(&raw mut self.version) }.store(version, Ordering::Release);
    }

    /// Whether the slot carries media under `generation`.
    pub const fn is_open(&self, generation: u32) -> bool {
        self.state == state::OPEN && self.generation == generation
    }
}
