//! The contract between Pinhole's control plane and its data plane.
//!
//! Everything the two processes share stands here: plain `repr(C)` types, the rings and the slab
//! in shared memory, and the Unix socket over which the memory is handed. Each shared field says
//! who writes it. There is no bool, enum, usize or reference in shared memory, and each side checks
//! what it reads.

pub mod drop_cause;
pub mod leg;
pub mod message;
pub mod settings;
pub mod slot;
pub mod suite;

pub use drop_cause::DropCause;
pub use leg::{Leg, LegFlags, MasterKey, NextHop, Session};
pub use message::{Command, CommandKind, Event, EventKind, Refusal};
pub use slot::{LegLive, LegStats, Note, SessionSlot, StreamState};
pub use suite::Suite;
