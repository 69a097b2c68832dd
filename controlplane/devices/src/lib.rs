//! Whether a phone's certificate is trusted, and which device it names: DER in, verdict out.
//!
//! [`Verifier`] has the authorities of `[[identity.authority]]`. Each is a set of roots with a policy of its own: what
//! may be weak or expired below them, what names their devices have, and where they count. A phone shows a
//! manufacturer's certificate (MIC) or a locally significant one (LSC); both may be older than today's rules of public
//! key infrastructures, so SHA-1 and keys of 1,024 bits are verified here too, where a root's policy allows it.
//!
//! What a certificate says is read by x509-parser, and signatures are verified by OpenSSL over exactly the bytes that
//! were read, so no two readers can disagree about what was signed; OpenSSL must also be able to read the certificate,
//! and write the same bytes again. Nothing is asked of the network; time is an argument.

#![forbid(unsafe_code)]

mod authority;
mod certificate;
mod crl;
mod key;
mod name;
mod path;
mod refusal;
mod settings;
mod verifier;

pub use authority::{Expired, Kind, Listener};
pub use certificate::{
    CERTIFICATE_MAX, Certificate, CertificateError, CertificateId, ISSUER_MAX, SERIAL_MAX,
};
pub use crl::{Crl, CrlError, Overdue};
pub use key::{Algorithm, Curve, Hash, KeyKind, PublicKey};
pub use path::{CHAIN_MAX, DEPTH_MAX};
pub use refusal::{Refusal, Refused};
pub use settings::{AuthoritySettings, Settings, SettingsError};
pub use verifier::{At, Verified, Verifier};
