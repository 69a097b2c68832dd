//! SDP (RFC 8866) and security descriptions (RFC 4568), edited without loss.
//!
//! [`SessionDescription`] is the lines of an SDP as they came, cut into the session part and one [`MediaSection`] per `m=`
//! line. Reading interprets lines, setting changes only the line meant; all other bytes stay. [`crypto`] reads and
//! writes `a=crypto`.
//!
//! Nothing here decides what may be offered: that is the proxy's. `Debug` of everything leaves out key material; only
//! [`SessionDescription::to_bytes`] and [`crypto::Attribute::to_sdp`] write it.
#![forbid(unsafe_code)]

pub mod attribute;
pub mod crypto;
mod error;
mod fields;
mod line;
mod media;
mod mki;
mod session;

pub use error::{Limits, SdpError};
pub use fields::{Connection, Direction, Origin, Rtcp};
pub use media::MediaSection;
pub use session::SessionDescription;
