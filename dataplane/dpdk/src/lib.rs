//! Safe wrappers of the DPDK parts that Pinhole uses.
//!
//! Everything borrows from [`Eal`]: pools, ports, queues and packet buffers carry its lifetime, so
//! none of them can outlive `rte_eal_cleanup`, and buffers need no reference count of their own.
//! An [`Mbuf`] is owned: it is neither `Clone` nor `Copy` and goes back to its pool when dropped.
//! A [`Queue`] is handed out once and moves to the thread that polls it; while it lives, its
//! [`Port`] cannot be stopped.
//!
//! See `README.md` beside this crate for what the safety arguments rest on.

mod eal;
mod error;
mod log;
mod mbuf;
mod mempool;
mod port;
mod queue;
mod ring;
mod steering;

pub use eal::{Eal, RegisteredThread, version};
pub use error::Error;
pub use mbuf::{Mbuf, free_bulk};
pub use mempool::{Mempool, ROOM};
pub use port::{Link, Port, PortConfig, PortStats};
pub use queue::Queue;
pub use ring::{RingReceiver, RingSender, ring};
pub use steering::{Capabilities, softrss};

/// The most packets that one burst call moves.
pub const BURST: usize = 32;
