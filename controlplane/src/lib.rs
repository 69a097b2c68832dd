//! The signalling process of Pinhole: configuration, shards, TLS, neighbours, admin socket.
//!
//! What calls and phones mean is in `pinhole-proxy`, which knows no sockets; this crate knows
//! sockets and threads, and little else. It never links DPDK: all it shares with the data plane is
//! `pinhole-flow`.

#![forbid(unsafe_code)]

mod admin;
pub mod config;
mod counters;
mod events;
mod legacy;
mod link;
mod log;
mod neighbours;
mod process;
mod provisioning;
mod shard;
mod sockets;
mod tls;
mod workers;

pub use log::Logging;
pub use process::{Process, StartError};
