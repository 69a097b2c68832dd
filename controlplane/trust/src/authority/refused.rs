//! Why a change of the keys was not made.

use std::path::PathBuf;

use crate::{Failure, Malformed};

/// Why a change of the keys was not made.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There are keys already.
    #[error("{0} exists: an authority that phones trust is not to be overwritten; use `rotate`")]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is no key or certificate.
    #[error("{path}: not a PEM {what}: {error}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Key or certificate.
        what: &'static str,
        /// Why.
        error: openssl::error::ErrorStack,
    },
    /// Another command or process changes the keys just now.
    #[error("{0} is being changed by another command: try again")]
    Busy(PathBuf),
    /// A list that phones have had is none.
    #[error(
        "{path}: {error}; restore it from a backup, or move it away: phones that hold it count as unknown then"
    )]
    Issued {
        /// Which.
        path: PathBuf,
        /// Why.
        error: Malformed,
    },
    /// What is known of the lists that phones have is no longer so.
    #[error("another command has issued a list meanwhile: the keys have to be read again first (SIGHUP)")]
    Outdated,
    /// Key and certificate belong to different pairs.
    #[error(
        "the key of {0} is not the one of its certificate: restore the right one from `replaced`, a backup or escrow"
    )]
    Mismatch(&'static str),
    /// No security administrator's key is here.
    #[error(
        "no SAST key is here to sign with: import the one in escrow (`pinholectl trust import sast-b FILE`)"
    )]
    NoSigner,
    /// Nobody has made it yet.
    #[error("there is no key of {0}: make one (`pinholectl trust rotate {0}`)")]
    None(&'static str),
    /// The key is in escrow.
    #[error("the key of {0} is not here: import it first (`pinholectl trust import {0} FILE`)")]
    InEscrow(&'static str),
    /// Replacing it would leave nobody whom phones know.
    #[error(
        "{0} cannot be replaced while the key of {1} is not here: phones would know no signer of the new list; import {1} from escrow"
    )]
    WouldStrand(&'static str, &'static str),
    /// The other one, which would sign, is in no list that phones have had.
    #[error(
        "{0} cannot be replaced yet: the new list would be signed by {1}, whom no phone knows; let phones fetch a list with it first"
    )]
    NotKnownYet(&'static str, &'static str),
    /// Only security administrators' keys may be elsewhere.
    #[error("the key of {0} is needed here all the time: only a SAST's key can be kept in escrow alone")]
    NotSast(&'static str),
    /// It signs.
    #[error("the key of {0} cannot be removed: it is the one that signs; the other SAST's is for escrow")]
    Signs(&'static str),
    /// Nobody has it elsewhere.
    #[error(
        "the key of {0} was never exported, and would be lost: `pinholectl trust export {0} --out FILE` first"
    )]
    NotExported(&'static str),
    /// Phones hold lists of ours, so another one does not count.
    #[error(
        "lists of ours are issued already: phones that hold one take none that another system's SAST signs; leave --list away"
    )]
    AlreadyIssued,
    /// The list that phones hold does not name the key that was imported.
    #[error(
        "the certificate of {0} is no security administrator (SAST) of that list: phones would not know it"
    )]
    NotInList(&'static str),
    /// The key is of no use to phones.
    #[error(
        "the key of {0} cannot be used: phones take RSA keys of 512, 1024 or 2048 bits to check signatures with"
    )]
    KeyKind(&'static str),
    /// The passphrase protects nothing.
    #[error("the passphrase is too short: at least {0} characters")]
    Passphrase(usize),
    /// The container cannot be opened.
    #[error(
        "the file cannot be opened: wrong passphrase, no PKCS#12 file, or one of an old kind that has to be converted first ({0})"
    )]
    Container(openssl::error::ErrorStack),
    /// The container lacks something.
    #[error("the file has no {0}")]
    Lacks(&'static str),
    /// It could not be made or signed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<openssl::error::ErrorStack> for Refused {
    fn from(error: openssl::error::ErrorStack) -> Self {
        Self::Failure(error.into())
    }
}
