//! The contract between Pinhole's control plane and its data plane.
//!
//! Everything the two processes share stands here: plain `repr(C)` types, the rings and the slab
//! in shared memory, and the Unix socket over which the memory is handed. Each shared field says
//! who writes it. There is no bool, enum, usize or reference in shared memory, and each side checks
//! what it reads.
//!
//! The data plane makes a [`Region`], gives each worker its [`WorkerEnd`] and listens with an
//! [`AttachServer`]. The control plane attaches with [`Contract::attach`] and gives each shard its
//! [`ShardEnd`]. The README beside this crate tells who writes what.

pub mod drop_cause;
pub mod layout;
pub mod leg;
pub mod message;
pub mod ring;
pub mod settings;
pub mod slot;
pub mod stats;
pub mod steering;
pub mod suite;

mod sync;
mod words;

// Loom replaces the atomics by its own, which cannot lie in mapped memory: only the rings are built.
#[cfg(not(loom))]
pub mod attach;
#[cfg(not(loom))]
mod contract;
#[cfg(not(loom))]
mod mapping;
#[cfg(not(loom))]
mod owned;
#[cfg(not(loom))]
mod region;
#[cfg(not(loom))]
mod shard;

pub use drop_cause::DropCause;
pub use layout::{Header, LAYOUT_HASH, MAX_PORTS, MAX_SHARDS, MAX_WORKERS, NEXT_HOPS};
pub use leg::{Leg, LegFlags, MasterKey, Mki, NextHop, Session};
pub use message::{Command, CommandKind, Event, EventKind, Refusal};
pub use ring::{Consumer, Full, Producer};
pub use settings::{
    DataplaneSettings, Device, EngineChoice, HugePages, Idle, MacAddr, PortRange, PortSettings, SettingsError,
};
pub use slot::{LegLive, LegStats, Note, SessionSlot, StreamState};
pub use stats::{PortStats, WorkerStats};
pub use suite::Suite;

#[cfg(not(loom))]
pub use attach::{AttachError, AttachEvent, AttachServer, BindError, Peer};
#[cfg(not(loom))]
pub use contract::Contract;
#[cfg(not(loom))]
pub use owned::Owned;
#[cfg(not(loom))]
pub use region::{Pages, Region, RegionError, SlotsWriter, StatsWriter, WorkerEnd, monotonic_ns};
#[cfg(not(loom))]
pub use shard::{Activity, NoteError, ShardEnd, SlotView};
