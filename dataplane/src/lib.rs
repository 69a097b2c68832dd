//! The poll-mode media process of Pinhole.
//!
//! [`process::run`] is the whole of it: the main thread keeps the attach socket, one worker on its
//! own core moves the packets. What happens to a packet is the business of `pinhole-relay`; what
//! both processes share, of `pinhole-flow`.

#![forbid(unsafe_code)]

pub mod config;
pub mod environment;
mod error;
mod frame;
mod idle;
pub mod log;
mod ports;
pub mod preflight;
pub mod process;
mod quiet;
mod supervise;
mod worker;

pub use error::StartError;
