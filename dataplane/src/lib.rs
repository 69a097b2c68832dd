//! The poll-mode media process of Pinhole.
//!
//! [`process::run`] is the whole of it: the main thread keeps the attach socket, workers on cores
//! of their own move the packets. What happens to a packet is the business of `pinhole-relay`; what
//! both processes share, of `pinhole-flow`.

#![forbid(unsafe_code)]

pub mod config;
pub mod environment;
mod error;
mod frame;
mod handoff;
mod idle;
mod limit;
pub mod log;
mod ports;
pub mod preflight;
pub mod process;
mod quiet;
mod steering;
mod supervise;
mod worker;
mod workers;

pub use error::StartError;
