//! SRTP and SRTCP (RFC 3711, 6188, 7714): key derivation, packet index, replay, and the headers of
//! RTP and RTCP.
//!
//! Ciphers and tags are the business of `srtp-kernels`, which is re-exported as [`kernels`]. This
//! crate says which index a packet has and remembers which were seen, in arrays of
//! [`StreamState`](pinhole_flow::StreamState) that live in shared memory and survive both processes.
//!
//! A packet that arrives: [`rtp::parse`] → [`Guess::rtp`] (changes nothing) → a
//! [`Job`](kernels::Job) for the engine → [`Guess::commit`] if it was authentic, else
//! [`Guess::again`]. A packet that is sent: [`outbound::assign_rtp`] → a job.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod derive;
mod index;
mod streams;
mod window;

pub mod direction;
pub mod inbound;
pub mod outbound;
pub mod rtcp;
pub mod rtp;

pub use derive::{fingerprint, session_keys};
pub use direction::{Direction, KeyError};
pub use inbound::Guess;
pub use pinhole_srtp_kernels as kernels;
pub use streams::{Refused, allow_reset, highest, retire};
pub use window::Windows;
