//! What a phone may fetch, and what it gets.
//!
//! [`FileName`] reads the names that phones ask for; everything else is refused by its own reason.
//!
//! Nothing here opens a socket, asks an upstream server or signs: the process around it does, and tells what came of it.

#![forbid(unsafe_code)]

mod counters;
mod device;
mod failure;
pub mod names;
pub mod phones;
pub mod xml;

pub use counters::{Counter, Counters};
pub use device::{BadDevice, Device, SecurityClass};
pub use failure::Failure;
pub use names::FileName;
