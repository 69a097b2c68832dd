//! What happens to a burst of frames: parse, match, unprotect, readdress, protect.
//!
//! A [`Relay`] belongs to one worker. It learns of sessions through [`Relay::command`] and translates
//! media in [`Relay::burst`], whose stages each walk over the whole burst:
//!
//! parse → pinhole (whole sessions are prefetched from here on) → header bounds, source, guess index →
//! **unprotect** (batch) → replay, commit, learn, count, readdress, assign index → **protect** (batch) →
//! hairpin: once more from the pinhole on → finish the checksum
//!
//! Until a packet is authentic (or comes from the one signalled address of a plain leg) it changes
//! nothing but a drop counter. A frame for a media port of another worker goes to that worker. No DPDK here: a frame is a [`PacketBuffer`], time is an argument.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod accept;
mod admit;
mod buffer;
mod checksum;
mod config;
mod depart;
mod frame;
mod learn;
mod network;
mod observe;
mod output;
mod pinhole;
mod recent;
mod reception;
mod rekey;
mod relay;
mod retired;
mod retry;
mod route;
mod session;
mod slots;
mod tables;
mod warm;
mod work;

pub use buffer::PacketBuffer;
pub use config::{ConfigError, RelayConfig, RelayPort};
pub use observe::{Observer, Stage};
pub use output::{Arrival, BURST, BURST_EVENTS, Frames, Handoff, Output};
pub use relay::Relay;
