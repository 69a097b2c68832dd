//! The kernel benchmark's parts: packets, and who protects and unprotects them.
//!
//! Every contestant does the whole SRTP job of a packet (IV, cipher, tag over packet and ROC, trailer), a burst
//! at a time, in the quickest way that its interface offers, with keys expanded beforehand. Those whose key
//! state is plain memory ask for the burst's cache lines before they start, as the relay does.

pub mod alone;
pub mod contestant;
mod ipsec;
mod libsrtp;
pub mod measure;
mod openssl;
mod ours;
pub mod packets;
mod rustcrypto;
mod session;

pub use contestant::{Contestant, Role};
pub use packets::{Packet, Source};
