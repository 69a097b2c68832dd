//! What makes phones trust the appliance.
//!
//! A [`TrustList`] (CTL or ITL) tells a phone whom to trust with what. Files are [signed](signed) so that a phone
//! can tell they come from somebody on that list, and may be [encrypted](encrypted) to the phone's certificate. The
//! [`Authority`] keeps the keys behind all that on disk, signs with the one that phones know, and replaces them
//! without stranding anybody.
//!
//! Byte formats are those of the fact sheet trust-files. Nothing here opens a socket; time is an argument.

#![forbid(unsafe_code)]

pub mod authority;
mod certificate;
mod digest;
pub mod encrypted;
mod error;
mod header;
mod list;
mod record;
pub mod signed;
mod tlv;

pub use authority::Authority;
pub use certificate::distinguished_name;
pub use digest::Digest;
pub use error::{Failure, Malformed};
pub use header::{Encryption, Header, SignerVersion};
pub use list::{Draft, TrustList};
pub use record::{Function, Record};

use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

/// A private key and its certificate.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: X509,
    /// Its private key.
    pub key: PKey<Private>,
}

impl std::fmt::Debug for Identity {
    /// Never prints key material.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", distinguished_name(self.certificate.subject_name()))
    }
}
