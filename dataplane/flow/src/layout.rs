//! Where everything lies in the two shared memories, and the numbers that both sides compare
//! before they believe each other.
//!
//! **Worker memory** is written by the data plane; the seal `F_SEAL_FUTURE_WRITE` makes the kernel
//! refuse everybody else a writable mapping. **Control memory** is written by the control plane; the
//! data plane maps it read-only. So every byte has one writing process, and no mistake or malice of
//! the control plane reaches what the worker works on.
//!
//! | worker memory | written by | control memory | written by |
//! |---|---|---|---|
//! | header | main thread, before it is shared | command rings: tail, entries | shard |
//! | command rings: head | worker | event rings: head | shard |
//! | event rings: tail, entries | worker | notes, two copies per slot | shard |
//! | statistics | worker | | |
//! | session slots | worker | | |

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ring::Places;
use crate::steering::CLASSES;
use crate::{
    Command, Event, Leg, LegLive, LegStats, MasterKey, Mki, NextHop, Note, PortStats, Session, SessionSlot,
    StreamState, WorkerStats,
};

/// `PINHOLE` and a zero byte.
pub const MAGIC: u64 = u64::from_le_bytes(*b"PINHOLE\0");
/// Version of the contract: what the fields mean. Raised when the meaning changes but the layout doesn't.
pub const ABI_VERSION: u32 = 5;
/// Most signalling shards.
pub const MAX_SHARDS: usize = 16;
/// Most workers that a region has room for.
pub const MAX_WORKERS: usize = 16;
/// Most ports of the data plane.
pub const MAX_PORTS: usize = 8;
/// Entries of the next-hop table.
pub const NEXT_HOPS: usize = 1024;
/// Entries of a command ring.
pub const COMMANDS: usize = 512;
/// Entries of an event ring: more than commands, since every command is acknowledged by an event.
pub const EVENTS: usize = 2048;
/// Copies of a note: while one is written the other one stays whole.
pub const NOTE_COPIES: usize = 2;

/// The header, at the start of worker memory. Written by the data plane before the memory is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`LAYOUT_HASH`] of the data plane.
    pub layout_hash: u64,
    /// [`ABI_VERSION`] of the data plane.
    pub abi_version: u32,
    /// Process id of the data plane.
    pub pid: u32,
    /// Tells one start of the data plane from another.
    pub boot_generation: u64,
    /// [`DataplaneSettings::fingerprint`](crate::DataplaneSettings::fingerprint) of the data plane.
    pub settings_fingerprint: u64,
    /// CLOCK_MONOTONIC nanoseconds of the start.
    pub started_ns: u64,
    /// Bytes of worker memory.
    pub worker_bytes: u64,
    /// Bytes of control memory.
    pub control_bytes: u64,
    /// Slots in the slab.
    pub max_sessions: u32,
    /// Workers.
    pub workers: u32,
    /// Ports.
    pub ports: u32,
    /// SRTP replay window, in packets.
    pub replay_window: u32,
    /// Core of each worker; zero beyond [`Header::workers`].
    pub worker_cores: [u16; MAX_WORKERS],
    /// Name of the SRTP engine in use, zero-padded.
    pub engine: [u8; 32],
    /// Version of the data plane, zero-padded.
    pub version: [u8; 32],
}

impl Header {
    /// Name of the SRTP engine in use.
    pub fn engine(&self) -> String {
        padded(&self.engine)
    }

    /// Cores of the workers, by number.
    pub fn worker_cores(&self) -> &[u16] {
        self.worker_cores.get(..self.workers as usize).unwrap_or(&self.worker_cores)
    }

    /// Version of the data plane.
    pub fn version(&self) -> String {
        padded(&self.version)
    }
}

fn padded(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// Offsets in bytes of all parts for a number of slots and workers. Both sides compute them
/// themselves; none is read from shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub max_sessions: usize,
    pub workers: usize,
    command_heads: usize,
    event_tails: usize,
    event_entries: usize,
    stats: usize,
    slots: usize,
    pub worker_bytes: usize,
    event_heads: usize,
    command_tails: usize,
    command_entries: usize,
    notes: usize,
    pub control_bytes: usize,
}

/// Counters lie on cache lines of their own.
const LINE: usize = 64;
const PAGE: usize = 4096;
/// Worker memory is made up of these, so that it can lie in them.
const HUGE_PAGE: usize = 2 << 20;

impl Layout {
    pub(crate) const fn new(max_sessions: u32, workers: u32) -> Self {
        let (max_sessions, workers) = (max_sessions as usize, workers as usize);
        let rings = MAX_SHARDS * workers;
        let command_heads = PAGE;
        let event_tails = command_heads + rings * LINE;
        let event_entries = event_tails + rings * LINE;
        let stats = event_entries + rings * Self::EVENT_RING;
        let slots = (stats + workers * size_of::<WorkerStats>()).next_multiple_of(PAGE);
        let command_tails = rings * LINE;
        let command_entries = command_tails + rings * LINE;
        let notes = (command_entries + rings * Self::COMMAND_RING).next_multiple_of(PAGE);
        Self {
            max_sessions,
            workers,
            command_heads,
            event_tails,
            event_entries,
            stats,
            slots,
            worker_bytes: (slots + max_sessions * size_of::<SessionSlot>()).next_multiple_of(HUGE_PAGE),
            event_heads: 0,
            command_tails,
            command_entries,
            notes,
            control_bytes: (notes + max_sessions * NOTE_COPIES * size_of::<Note>()).next_multiple_of(PAGE),
        }
    }

    /// Bytes of the entries of one event ring and one command ring, whole cache lines.
    const EVENT_RING: usize = (EVENTS * Places::stride::<Event>() * 8).next_multiple_of(LINE);
    const COMMAND_RING: usize = (COMMANDS * Places::stride::<Command>() * 8).next_multiple_of(LINE);
}

/// What only mapped memory needs.
#[cfg(not(loom))]
mod mapped {
    use std::sync::Arc;

    use super::{COMMANDS, EVENTS, LINE, Layout, MAX_SHARDS, NOTE_COPIES, Note, SessionSlot, WorkerStats};
    use crate::mapping::Mapping;
    use crate::ring::Places;
    use crate::words::{WORD, Words};

    impl Layout {
        /// Offset of the statistics of a worker in worker memory.
        pub(crate) const fn stats(&self, worker: usize) -> usize {
            self.stats + worker * size_of::<WorkerStats>()
        }

        /// Offset of a slot in worker memory.
        pub(crate) const fn slot(&self, slot: usize) -> usize {
            self.slots + slot * size_of::<SessionSlot>()
        }

        /// Offset of a copy of a slot's note in control memory.
        pub(crate) const fn note(&self, slot: usize, copy: usize) -> usize {
            self.notes + (slot * NOTE_COPIES + copy) * size_of::<Note>()
        }

        /// The command ring of a shard and a worker.
        pub(crate) fn commands(
            &self,
            worker_memory: &Arc<Mapping>,
            control_memory: &Arc<Mapping>,
            (shard, worker): (usize, usize),
        ) -> Option<Places> {
            let ring = self.ring(shard, worker)?;
            Some(Places {
                tail: Words::mapped(control_memory, self.command_tails + ring * LINE, WORD)?,
                entries: Words::mapped(
                    control_memory,
                    self.command_entries + ring * Self::COMMAND_RING,
                    Self::COMMAND_RING,
                )?,
                head: Words::mapped(worker_memory, self.command_heads + ring * LINE, WORD)?,
                capacity: COMMANDS as u64,
            })
        }

        /// The event ring of a shard and a worker.
        pub(crate) fn events(
            &self,
            worker_memory: &Arc<Mapping>,
            control_memory: &Arc<Mapping>,
            (shard, worker): (usize, usize),
        ) -> Option<Places> {
            let ring = self.ring(shard, worker)?;
            Some(Places {
                tail: Words::mapped(worker_memory, self.event_tails + ring * LINE, WORD)?,
                entries: Words::mapped(
                    worker_memory,
                    self.event_entries + ring * Self::EVENT_RING,
                    Self::EVENT_RING,
                )?,
                head: Words::mapped(control_memory, self.event_heads + ring * LINE, WORD)?,
                capacity: EVENTS as u64,
            })
        }

        fn ring(&self, shard: usize, worker: usize) -> Option<usize> {
            (shard < MAX_SHARDS && worker < self.workers).then_some(worker * MAX_SHARDS + shard)
        }
    }
}

/// Start value of [`fnv1a`].
pub(crate) const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over `bytes`, continued from `hash`. Finds accidents, not attacks.
pub(crate) const fn fnv1a(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        rest = tail;
    }
    hash
}

/// A field of a shared type: name, offset, size.
type Field = (&'static str, usize, usize);

/// A shared type: name, size, fields.
pub(crate) type Described = (&'static str, usize, &'static [Field]);

const fn field_size<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! describe {
    ($($type:ident { $($field:ident),+ $(,)? })+) => {
        /// Every shared type with every field. A field that is missing here does not compile.
        pub(crate) const DESCRIBED: &[Described] = &[$(
            (stringify!($type), size_of::<$type>(), &[$((
                stringify!($field),
                std::mem::offset_of!($type, $field),
                field_size(|all: &$type| &all.$field),
            )),+]),
        )+];

        $(const _: fn(&$type) = |all| {
            let $type { $($field: _),+ } = all;
        };)+
    };
}

describe! {
    Header {
        magic, layout_hash, abi_version, pid, boot_generation, settings_fingerprint, started_ns, worker_bytes,
        control_bytes, max_sessions, workers, ports, replay_window, worker_cores, engine,
        version,
    }
    MasterKey { suite, reserved, salt, key }
    Mki { len, bytes }
    Leg {
        port, flags, dscp, latch_prefix, local_rtp, local_rtcp, remote_rtp, remote_rtcp, next_hop, remote_ip,
        inbound, outbound, mki, reserved2,
    }
    Session { legs }
    NextHop { port, valid, vlan, mac, reserved }
    Command { kind, slot, generation, sequence, session, next_hop, anew }
    Event { kind, slot, generation, sequence, detail, command }
    StreamState { index, window, rtcp_window, rtcp_index, ssrc, flags, offset, offset_before }
    LegStats {
        rx_packets, rx_bytes, passed_packets, passed_bytes, expected, last_rx_ns, jitter_q4, payload_type,
        rtcp_rx, rtcp_passed, drops,
    }
    LegLive {
        stats, inbound, remote_ip, remote_rtp, remote_rtcp, learned, mac, vlan, outbound, reserved,
    }
    SessionSlot { state, generation, worker, sequence, version, opened_ns, session, reserved, live }
    Note { serial, checksum, generation, len, bytes }
    PortStats {
        rx_packets, rx_bytes, tx_packets, tx_bytes, punt_packets, punt_bytes, inject_packets, inject_bytes,
    }
    WorkerStats {
        polls, idle_polls, busy_ns, last_turn_ns, commands_done, commands_refused, ring_corrupt, ring_full,
        sessions_open, mbuf_failures, hairpins, missteered, handoff_in, handoff_out, old_key, ssrcs_full, drops, ports,
        reserved,
    }
}

/// The offsets of the region's parts for 1000 slots and 2 workers, and the contract's constants:
/// everything about the layout that is not in a type.
pub(crate) const NUMBERS: &[(&str, usize)] = {
    let layout = Layout::new(1000, 2);
    &[
        ("MAX_SHARDS", MAX_SHARDS),
        ("MAX_WORKERS", MAX_WORKERS),
        ("MAX_PORTS", MAX_PORTS),
        ("NEXT_HOPS", NEXT_HOPS),
        ("COMMANDS", COMMANDS),
        ("EVENTS", EVENTS),
        ("NOTE_COPIES", NOTE_COPIES),
        ("CLASSES", CLASSES as usize),
        ("worker: command_heads", layout.command_heads),
        ("worker: event_tails", layout.event_tails),
        ("worker: event_entries", layout.event_entries),
        ("worker: stats", layout.stats),
        ("worker: slots", layout.slots),
        ("worker: bytes", layout.worker_bytes),
        ("control: event_heads", layout.event_heads),
        ("control: command_tails", layout.command_tails),
        ("control: command_entries", layout.command_entries),
        ("control: notes", layout.notes),
        ("control: bytes", layout.control_bytes),
    ]
};

/// Hash over names, offsets and sizes of everything shared. Two processes with different hashes
/// were built from different contracts.
pub const LAYOUT_HASH: u64 = {
    let mut hash = FNV_START;
    let mut types = DESCRIBED;
    while let [(name, size, fields), rest @ ..] = types {
        hash = number(fnv1a(hash, name.as_bytes()), *size);
        let mut fields = *fields;
        while let [(name, offset, size), rest @ ..] = fields {
            hash = number(number(fnv1a(hash, name.as_bytes()), *offset), *size);
            fields = rest;
        }
        types = rest;
    }
    let mut numbers = NUMBERS;
    while let [(name, value), rest @ ..] = numbers {
        hash = number(fnv1a(hash, name.as_bytes()), *value);
        numbers = rest;
    }
    hash
};

const fn number(hash: u64, value: usize) -> u64 {
    fnv1a(hash, &(value as u64).to_le_bytes())
}

#[cfg(all(test, not(loom)))]
mod tests;
