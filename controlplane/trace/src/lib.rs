//! Signalling as operators may see it: SIP as text, SCCP as fields and hexadecimal digits, keys and passwords masked.
//!
//! [`sip::masked`] leaves out what follows a mark of a secret, and lets through only what cannot be one. Of SCCP,
//! [`sccp::fields`] names what the codec reads, and [`sccp::hex`] shows bytes only where [`Frame::showable`] says that no
//! key can stand. What is not understood is not shown.
//!
//! [`Frame::showable`]: pinhole_sccp::Frame::showable
#![forbid(unsafe_code)]

pub mod sccp;
pub mod sip;

/// What stands in the place of a secret.
pub const MASK: &str = "(masked)";
