//! Certificate revocation lists (RFC 5280 section 5), from files.

use std::collections::HashSet;

use openssl::x509::X509Crl;
use serde::Deserialize;
use thiserror::Error;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, ParsedExtension, X509Extension};

use crate::certificate::{Certificate, short};
use crate::key::Algorithm;
use crate::name;

/// What is done when a newer list is overdue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overdue {
    /// The old one counts on; operators are warned.
    #[default]
    Warn,
    /// Certificates of its issuer are refused.
    Refuse,
}

/// A list that was read. Who has signed it is asked with [`Crl::is_of`].
#[derive(Clone)]
pub struct Crl {
    issuer: Box<[u8]>,
    issuer_text: String,
    tbs: Box<[u8]>,
    signature: Box<[u8]>,
    algorithm: Algorithm,
    next_update: Option<i64>,
    revoked: HashSet<Box<[u8]>>,
}

/// Why a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CrlError {
    /// It is no DER of a list.
    #[error("is not a certificate revocation list")]
    Broken,
    /// It is signed in a way that is not accepted.
    #[error("has a signature of a kind that is not accepted ({0})")]
    Algorithm(String),
    /// It lists only some of what its issuer has revoked, or more than that.
    #[error("is a partial, indirect or delta list (extension {0}); only complete lists are supported")]
    Partial(String),
}

impl Crl {
    /// Reads DER.
    ///
    /// # Errors
    /// When it is no list, or a list of a kind that is not supported.
    pub fn parse(der: &[u8]) -> Result<Self, CrlError> {
        // The first reader is lax about extensions of entries; the other must be able to read all of it, too.
        if X509Crl::from_der(der).and_then(|same| same.to_der()).ok().as_deref() != Some(der) {
            return Err(CrlError::Broken);
        }
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| CrlError::Broken)?;
        let tbs = &list.tbs_cert_list;
        let signature = &list.signature_value;
        if !rest.is_empty() || list.signature_algorithm != tbs.signature || signature.unused_bits != 0 {
            return Err(CrlError::Broken);
        }
        let algorithm = Algorithm::of_certificate(&tbs.signature)
            .ok_or_else(|| CrlError::Algorithm(tbs.signature.algorithm.to_id_string()))?;
        let entries = tbs.revoked_certificates.iter();
        let extensions = entries.clone().flat_map(|entry| entry.extensions()).chain(tbs.extensions());
        if let Some(unknown) = extensions.into_iter().find(|extension| changes_meaning(extension)) {
            return Err(CrlError::Partial(unknown.oid.to_id_string()));
        }
        Ok(Self {
            issuer: tbs.issuer.as_raw().into(),
            issuer_text: name::text(&tbs.issuer),
            tbs: tbs.as_ref().into(),
            signature: signature.data.as_ref().into(),
            algorithm,
            next_update: tbs.next_update.map(|time| time.timestamp()),
            revoked: entries.map(|entry| short(entry.raw_serial()).into()).collect(),
        })
    }

    /// Whether this authority has signed it.
    pub fn is_of(&self, authority: &Certificate) -> bool {
        self.issuer.as_ref() == authority.subject()
            && authority.may_sign_crls()
            && authority.key().has_signed(self.algorithm, &self.tbs, &self.signature)
    }

    /// The issuer's name as text.
    pub fn issuer_text(&self) -> &str {
        &self.issuer_text
    }

    /// How it is signed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether a newer one should be there, at this second since 1970.
    pub fn is_overdue(&self, now: i64) -> bool {
        self.next_update.is_some_and(|next| next < now)
    }

    /// Whether it has this serial number (big-endian, without leading zeros).
    pub fn has(&self, serial: &[u8]) -> bool {
        self.revoked.contains(serial)
    }
}

/// Whether a list with this extension means something else than one without.
fn changes_meaning(extension: &X509Extension<'_>) -> bool {
    match extension.parsed_extension() {
        ParsedExtension::IssuingDistributionPoint(_) => true,
        ParsedExtension::AuthorityKeyIdentifier(_)
        | ParsedExtension::CRLNumber(_)
        | ParsedExtension::ReasonCode(_)
        | ParsedExtension::InvalidityDate(_) => false,
        _ => extension.critical,
    }
}

impl std::fmt::Debug for Crl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crl({}, {} revoked)", self.issuer_text, self.revoked.len())
    }
}
