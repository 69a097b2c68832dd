//! Batch SRTP transforms: AES-CM with HMAC-SHA1 (RFC 3711, 6188) and AES-GCM (RFC 7714).
//!
//! An [`Engine`] expands session keys to [`Keys`]. A caller hands it a batch of [`Job`]s, each a packet
//! with its own keys and index, and finds an [`Outcome`] in each. The crate knows where a packet's trailer is and what its bytes
//! mean; which index a packet has, and whether it was seen before, is the business of `srtp`.
//! [`Portable`] is the engine of any machine and the oracle for faster ones.

#![deny(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod choice;
mod iv;
mod job;
mod keys;
mod portable;
mod prefetch;
mod rounds;
#[cfg(target_arch = "x86_64")]
mod simd;
mod sum;
mod trailer;

pub use choice::{available, best, by_name, every_variant};
pub use job::{Engine, Job, Kind, Outcome};
pub use keys::{Keys, MkiTooLong, SessionKeys};
pub use portable::Portable;
pub use prefetch::{prefetch, prefetch_line};
pub use rounds::{Rounds, rounds};
pub use sum::sum;
pub use trailer::E_BIT;
