//! A certificate, read once into what its verification needs (RFC 5280 section 4).

use std::collections::BTreeSet;
use std::fmt;

use openssl::sha::sha256;
use openssl::x509::X509;
use thiserror::Error;
use x509_parser::prelude::{
    BasicConstraints, FromDer as _, KeyUsage, ParsedExtension, X509Certificate, X509Name, X509Version,
};

use crate::key::{Algorithm, PublicKey};
use crate::name;

/// The longest certificate in bytes.
pub const CERTIFICATE_MAX: usize = 16 << 10;
/// The longest serial number in bytes: RFC 5280 section 4.1.2.2 allows 20, a sign byte may come on top, old issuers go
/// beyond.
pub const SERIAL_MAX: usize = 32;
/// The longest name of an issuer as text, in bytes.
pub const ISSUER_MAX: usize = 512;

/// The extensions that are read: key usage, basic constraints, name constraints, extended key usage, key identifiers.
const MATTERS: [&str; 6] = ["2.5.29.15", "2.5.29.19", "2.5.29.30", "2.5.29.37", "2.5.29.14", "2.5.29.35"];

/// What a certificate is recognised by.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertificateId {
    /// Serial number, big-endian, without leading zeros, at most [`SERIAL_MAX`] bytes.
    pub serial: Box<[u8]>,
    /// The issuer's name in the notation of RFC 2253, ASCII, at most [`ISSUER_MAX`] bytes.
    pub issuer: Box<str>,
    /// SHA-256 of the DER.
    pub sha256: [u8; 32],
}

/// Why something is no certificate here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// It is too long.
    #[error("it is longer than {CERTIFICATE_MAX} bytes")]
    TooLong,
    /// It is no DER of a certificate, or breaks a rule of RFC 5280.
    #[error("{0}")]
    Broken(String),
}

/// A certificate that was read. Nothing is verified yet.
#[derive(Clone)]
pub struct Certificate {
    der: Box<[u8]>,
    id: CertificateId,
    /// What is signed.
    tbs: Box<[u8]>,
    signature: Box<[u8]>,
    /// `None`: one that is not accepted.
    algorithm: Option<Algorithm>,
    /// The algorithm, for people.
    algorithm_name: String,
    subject: Box<[u8]>,
    issuer: Box<[u8]>,
    subject_text: String,
    common_names: Vec<Option<String>>,
    not_before: i64,
    not_after: i64,
    key: PublicKey,
    extensions: Extensions,
}

/// What is read of the extensions.
#[derive(Clone, Debug, Default)]
struct Extensions {
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    /// Whether the extended key usage has TLS clients in it.
    for_clients: Option<bool>,
    subject_key_id: Option<Box<[u8]>>,
    authority_key_id: Option<Box<[u8]>>,
    /// The first that is critical, or restricts, and is not supported.
    unsupported: Option<String>,
}

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// When it is no certificate, or has a key of a kind that is not supported.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_MAX {
            return Err(CertificateError::TooLong);
        }
        let broken = |why: &str| CertificateError::Broken(why.to_owned());
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| broken("it is not the DER of a certificate"))?;
        if !rest.is_empty() {
            return Err(broken("bytes follow its end"));
        }
        // The first reader is lax about tags outside of what is signed: the same certificate would have many digests.
        let same = X509::from_der(der).ok();
        let same = same.filter(|same| same.to_der().is_ok_and(|again| again == der));
        let same = same.ok_or_else(|| broken("it is not the DER of a certificate"))?;
        let tbs = &certificate.tbs_certificate;
        if certificate.signature_algorithm != tbs.signature {
            return Err(broken("it names two algorithms for its signature"));
        }
        if certificate.signature_value.unused_bits != 0 {
            return Err(broken("its signature is not of whole bytes"));
        }
        if tbs.version != X509Version::V3 && !tbs.extensions().is_empty() {
            return Err(broken("it has extensions, but not version 3"));
        }
        let key =
            PublicKey::parse(&tbs.subject_pki, same.public_key().ok()).map_err(CertificateError::Broken)?;
        Ok(Self {
            id: CertificateId::new(tbs.raw_serial(), &tbs.issuer, der)?,
            tbs: tbs.as_ref().into(),
            signature: certificate.signature_value.data.as_ref().into(),
            algorithm: Algorithm::of_certificate(&tbs.signature),
            algorithm_name: tbs.signature.algorithm.to_id_string(),
            subject: tbs.subject.as_raw().into(),
            issuer: tbs.issuer.as_raw().into(),
            subject_text: name::text(&tbs.subject),
            common_names: common_names(&tbs.subject),
            not_before: tbs.validity.not_before.timestamp(),
            not_after: tbs.validity.not_after.timestamp(),
            key,
            extensions: Extensions::of(&certificate)?,
            der: der.into(),
        })
    }

    /// What it is recognised by.
    pub fn id(&self) -> &CertificateId {
        &self.id
    }

    /// Its DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The subject's name, DER.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The issuer's name, DER.
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// The subject's name as text.
    pub fn subject_text(&self) -> &str {
        &self.subject_text
    }

    /// The one common name of the subject, if it has exactly one.
    pub fn common_name(&self) -> Option<&str> {
        match self.common_names.as_slice() {
            [name] => name.as_deref(),
            _ => None,
        }
    }

    /// From when it is valid, in seconds since 1970.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The last second in which it is valid, since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// How it is signed; `None`: in a way that is not accepted.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    pub(crate) fn algorithm_name(&self) -> &str {
        &self.algorithm_name
    }

    /// Whether the names and key identifiers allow that this certificate is signed by that one's key.
    pub(crate) fn may_be_issued_by(&self, issuer: &Self) -> bool {
        let ids = (&self.extensions.authority_key_id, &issuer.extensions.subject_key_id);
        self.issuer == issuer.subject && !matches!(ids, (Some(wanted), Some(has)) if wanted != has)
    }

    /// Whether the key identifiers say so too.
    pub(crate) fn names_key_of(&self, issuer: &Self) -> bool {
        self.extensions.authority_key_id.is_some()
            && self.extensions.authority_key_id == issuer.extensions.subject_key_id
    }

    /// Whether this key has signed that certificate.
    pub(crate) fn has_signed(&self, other: &Self) -> bool {
        other.algorithm.is_some_and(|algorithm| self.key.has_signed(algorithm, &other.tbs, &other.signature))
    }

    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Why it cannot be a phone's, by its extensions: they may be missing, but not say otherwise.
    pub(crate) fn unfit_for_phone(&self) -> Option<String> {
        let Extensions { basic_constraints, key_usage, for_clients, unsupported, .. } = &self.extensions;
        if let Some(unsupported) = unsupported {
            return Some(format!("it has {unsupported}, which is not supported"));
        }
        if basic_constraints.as_ref().is_some_and(|of| of.ca) {
            return Some("it is an authority's".into());
        }
        // A handshake that proves the key is signed with it (RFC 5246 section 7.4.8, RFC 8446 section 4.4.3).
        if key_usage.as_ref().is_some_and(|usage| !usage.digital_signature()) {
            return Some("its key may not make signatures (key usage)".into());
        }
        (*for_clients == Some(false)).then(|| "it is not for TLS clients (extended key usage)".into())
    }

    /// Why it cannot be an authority's with `below` authorities between it and the phone. A pinned root need not say
    /// that it is one: old ones of version 1 cannot.
    pub(crate) fn unfit_for_issuer(&self, below: usize, is_pinned: bool) -> Option<String> {
        let Extensions { basic_constraints, key_usage, for_clients, unsupported, .. } = &self.extensions;
        if let Some(unsupported) = unsupported {
            return Some(format!("it has {unsupported}, which is not supported"));
        }
        match basic_constraints {
            None if is_pinned => {}
            None | Some(BasicConstraints { ca: false, .. }) => {
                return Some("it is not an authority's (basic constraints)".into());
            }
            Some(BasicConstraints { path_len_constraint, .. }) => {
                if path_len_constraint.is_some_and(|most| below > most as usize) {
                    return Some("it allows fewer authorities below it (path length)".into());
                }
            }
        }
        if key_usage.as_ref().is_some_and(|usage| !usage.key_cert_sign()) {
            return Some("its key may not sign certificates (key usage)".into());
        }
        (*for_clients == Some(false)).then(|| "it is not for TLS clients (extended key usage)".into())
    }

    /// Whether its key may sign revocation lists.
    pub(crate) fn may_sign_crls(&self) -> bool {
        self.extensions.key_usage.as_ref().is_none_or(KeyUsage::crl_sign)
    }
}

impl CertificateId {
    fn new(serial: &[u8], issuer: &X509Name<'_>, der: &[u8]) -> Result<Self, CertificateError> {
        let serial = short(serial);
        if !(1..=SERIAL_MAX).contains(&serial.len()) {
            let why = format!("its serial number has {} bytes, 1 to {SERIAL_MAX} are expected", serial.len());
            return Err(CertificateError::Broken(why));
        }
        let issuer = name::text(issuer);
        if !(1..=ISSUER_MAX).contains(&issuer.len()) {
            let why = format!("its issuer's name is empty, or longer than {ISSUER_MAX} bytes");
            return Err(CertificateError::Broken(why));
        }
        Ok(Self { serial: serial.into(), issuer: issuer.into(), sha256: sha256(der) })
    }
}

impl Extensions {
    fn of(certificate: &X509Certificate<'_>) -> Result<Self, CertificateError> {
        let mut found = Self::default();
        let mut seen = BTreeSet::new();
        for extension in certificate.extensions() {
            let oid = extension.oid.to_id_string();
            if !seen.insert(oid.clone()) {
                return Err(CertificateError::Broken(format!("it has the extension {oid} twice")));
            }
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(of) => found.basic_constraints = Some(of.clone()),
                ParsedExtension::KeyUsage(usage) => found.key_usage = Some(*usage),
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    found.for_clients = Some(usage.any || usage.client_auth);
                }
                ParsedExtension::SubjectKeyIdentifier(id) => found.subject_key_id = Some(id.0.into()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    found.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.into());
                }
                // Names and policies say nothing about trust here, critical or not.
                ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::IssuerAlternativeName(_)
                | ParsedExtension::CertificatePolicies(_)
                | ParsedExtension::NSCertType(_) => {}
                // To ignore a restriction would widen the trust in whoever has it.
                ParsedExtension::NameConstraints(_) => {
                    found.unsupported.get_or_insert("name constraints".to_owned());
                }
                // Old vendors' extensions that are of no matter here need not be well made.
                ParsedExtension::ParseError { .. }
                    if extension.critical || MATTERS.contains(&oid.as_str()) =>
                {
                    return Err(CertificateError::Broken(format!("its extension {oid} is broken")));
                }
                _ if extension.critical => {
                    found.unsupported.get_or_insert(format!("the critical extension {oid}"));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// A serial number without leading zeros; the number 0 keeps one byte.
pub(crate) fn short(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros.min(serial.len().saturating_sub(1))..).unwrap_or_default()
}

/// Every common name; `None` is one that is no plain string.
fn common_names(subject: &X509Name<'_>) -> Vec<Option<String>> {
    subject.iter_common_name().map(|name| name.as_str().ok().map(str::to_owned)).collect()
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("serial ")?;
        self.serial.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, " of {}", self.issuer)
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, {})", self.subject_text, self.id)
    }
}
