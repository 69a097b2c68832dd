//! How phones get certificates of ours (CAPF), and how they ask whom to trust (TVS), without sockets.
//!
//! Both protocols are a header and a row of [elements](element::Element) inside TLS. [`capf::Session`] is the server's
//! side of an enrolment: it is given what the phone sends, asks an [`Office`](capf::Office) whether the phone is who it
//! says, and says what to send. [`tvs::Server`] answers whether a certificate is one of ours, and what it may do.
//!
//! Byte formats are those of the fact sheet tls-capf-tvs 2.9; `docs/enrolment.md` says what is spoken and what is assumed.

#![forbid(unsafe_code)]

pub mod capf;
pub mod element;
mod error;
mod framer;
pub mod tvs;

pub use error::Malformed;
pub use framer::{Framer, Protocol};
