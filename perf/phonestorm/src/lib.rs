//! Phonestorm is thousands of phones that register at once over mutual TLS with a running control plane, and the call
//! manager behind it that grants their registrations. It tells how long that takes, what the control plane uses for it, and
//! how long phones that were there before wait for their keep-alives meanwhile.
//!
//! The phones ([`crowd`]), those that were there before and the call manager ([`call_manager`]) are threads of their own, so that
//! none waits for another. What they say is written down here, independent of the proxy's codecs ([`speech`]).

#![forbid(unsafe_code)]

pub mod call_manager;
pub mod certificates;
pub mod crowd;
pub mod error;
pub mod measure;
pub mod phone;
pub mod speech;
pub mod usage;

pub use error::StormError;
