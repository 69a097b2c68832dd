//! What a phone may fetch, and what it gets.
//!
//! [`FileName`] reads the names that phones ask for; everything else is refused by its own reason. [`Service`] decides
//! what is done about a request, by TFTP, HTTP or HTTPS. [`Phones`] remembers who may be served, how far each phone has
//! come, and by which certificate it is known. [`xml`] rewrites configurations. [`Cache`] keeps what upstream servers
//! gave. Each way to fail is a [`Failure`] with a counter of its own.
//!
//! Nothing here opens a socket, asks an upstream server or signs: the process around it does, and tells what came of it.
//! `docs/provisioning.md` has the rules, the states and the counters.

#![forbid(unsafe_code)]

pub mod cache;
mod counters;
mod device;
mod failure;
mod forms;
pub mod names;
pub mod phones;
pub mod service;
pub mod xml;

pub use cache::Cache;
pub use counters::{Counter, Counters};
pub use device::{BadDevice, Device};
pub use failure::Failure;
pub use names::FileName;
pub use phones::Phones;
pub use pinhole_admin::SecurityClass;
pub use service::Service;
