//! Why a certificate is refused.

use std::fmt;

use thiserror::Error;

use crate::certificate::CertificateId;

/// Why a certificate is refused: which rule, and what to do. Each is counted for itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is of no authority that counts here.
    #[error(
        "its issuer, {issuer}, leads to no authority that counts for {listener}: if it signs your phones' certificates, add its root to [[identity.authority]]"
    )]
    UnknownCa {
        /// The issuer of the last certificate that was found.
        issuer: String,
        /// Where it was shown.
        listener: &'static str,
    },
    /// It cannot be used: its form or signature.
    #[error("{0}")]
    Invalid(String),
    /// More certificates than are looked at.
    #[error(
        "it comes with more certificates, or has more authorities above it, than are looked at (10 and 8)"
    )]
    ChainTooLong,
    /// A certificate of the chain is not for what it is used for.
    #[error("{of}: {why}")]
    Constraints {
        /// The certificate.
        of: String,
        /// What it says.
        why: String,
    },
    /// Too weak a signature or key.
    #[error(
        "{of} has {what}: if phones of authority {authority} are that old, set legacy = true there; better, enrol an LSC"
    )]
    Weak {
        /// The certificate.
        of: String,
        /// What is weak.
        what: String,
        /// The authority.
        authority: String,
    },
    /// It is revoked.
    #[error("{of} is revoked by {issuer}: look why, and enrol the phone again")]
    Revoked {
        /// The certificate.
        of: String,
        /// Who has revoked it.
        issuer: String,
    },
    /// The revocation list is too old, and that is not allowed.
    #[error(
        "the revocation list of {issuer} is overdue (identity.crl_overdue): put a newer one in its place"
    )]
    CrlOverdue {
        /// Whose list.
        issuer: String,
    },
    /// It is not valid yet.
    #[error("{of} is not valid before {from}: look at the clock of this machine")]
    NotYetValid {
        /// The certificate.
        of: String,
        /// The time.
        from: String,
    },
    /// It names no device, or none that this authority may name.
    #[error("its common name {common_name} is no device's name by authority {authority} (names)")]
    Name {
        /// Shortened and escaped.
        common_name: String,
        /// The authority.
        authority: String,
    },
    /// Its authority does not count for the cluster that its device belongs to.
    #[error("authority {authority} does not count for the cluster of {device} (clusters)")]
    OtherCluster {
        /// The authority.
        authority: String,
        /// The device.
        device: String,
    },
    /// It has expired.
    #[error(
        "{of} has expired, {since}: enrol an LSC, or pin its serial number and set expired = \"accept_pinned\" for authority {authority}"
    )]
    Expired {
        /// The certificate.
        of: String,
        /// The last moment in which it was valid.
        since: String,
        /// The authority.
        authority: String,
    },
}

/// A refusal, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The device that the certificate claims to be of. It may be anybody's claim.
    pub device: Option<Box<str>>,
    /// The certificate, if it could be read. Nothing about it need be true.
    pub certificate: Option<CertificateId>,
    /// Why.
    pub refusal: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.device, &self.certificate) {
            (Some(device), Some(id)) => write!(f, "the certificate of {device} ({id}) is refused: ")?,
            (None, Some(id)) => write!(f, "the certificate with {id} is refused: ")?,
            (_, None) => f.write_str("its certificate is refused: ")?,
        }
        self.refusal.fmt(f)
    }
}

impl std::error::Error for Refused {}
