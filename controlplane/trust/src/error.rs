//! What can be wrong with a file, and with signing one.

use openssl::error::ErrorStack;

/// The bytes are no file of this kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A length leads out of the file or of what contains it.
    #[error("the file ends in the middle of {0}")]
    Truncated(&'static str),
    /// More than is accepted.
    #[error("{0} is larger than the {1} that are accepted")]
    TooLarge(&'static str, usize),
    /// A field is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field is there twice.
    #[error("{0} is there twice")]
    Twice(&'static str),
    /// A field has another length or value than it can have.
    #[error("{0} has an impossible value")]
    Value(&'static str),
    /// Bytes that belong to nothing.
    #[error("there are {0} bytes too many behind {1}")]
    Trailing(usize, &'static str),
}

/// Why a file cannot be made or is not to be trusted.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It cannot be read.
    #[error("not a signed file: {0}")]
    Malformed(#[from] Malformed),
    /// The signer is nobody who may sign.
    #[error("signed by {signer} (serial {serial}), whom the trust list does not name as one who may")]
    UnknownSigner {
        /// The signer's distinguished name.
        signer: String,
        /// The serial number of its certificate, hexadecimal.
        serial: String,
    },
    /// The record of the signer has no certificate.
    #[error("the record of the signer {0} has no certificate that the signature could be checked with")]
    NoCertificate(String),
    /// The signature does not match the bytes.
    #[error("the signature is wrong: the file was changed, or signed with another key")]
    BadSignature,
    /// The content's own digest does not match.
    #[error("the content does not match its digest")]
    BadDigest,
    /// Such a key cannot sign: phones know RSA alone, of 64 to 512 bytes.
    #[error("the signer's key cannot be used: phones check RSA signatures of 512, 1024, 2048 or 4096 bits")]
    SignerKey,
    /// A file cannot be encrypted to a key that is not RSA.
    #[error("the device's certificate has no RSA key: its configuration can only be signed, not encrypted")]
    DeviceKey,
    /// The header does not fit: names are too long.
    #[error("the header of {0} would be too long: shorten the names of the signer")]
    HeaderTooLong(String),
    /// A phone takes two SAST records at most.
    #[error("a trust list has one or two security administrators (SAST), not {0}")]
    Sasts(usize),
    /// The library refused.
    #[error("cryptographic library: {0}")]
    Library(#[from] ErrorStack),
}
