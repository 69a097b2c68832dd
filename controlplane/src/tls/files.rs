//! Certificates and keys from their files.

use std::path::{Path, PathBuf};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::{LegacyTls, Outside};

/// Where the certificates and the key are.
#[derive(Clone, Debug)]
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// The configuration keys that name them.
    keys: [&'static str; 2],
}

/// What is in the files.
pub struct Read {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    configured: &'static str,
}

/// What is wrong with the files. Names the file, never its contents.
#[derive(Debug, Error)]
pub enum FilesError {
    #[error("{path}: {reason}")]
    Unusable { configured: &'static str, path: PathBuf, reason: String },
    #[error("does not belong to the certificate ({source})")]
    Mismatch { configured: &'static str, source: rustls::Error },
}

impl FilesError {
    /// The configuration key that names the file.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Unusable { configured, .. } | Self::Mismatch { configured, .. } => configured,
        }
    }
}

impl Files {
    /// The files that the configuration names.
    pub fn of(outside: &Outside) -> Self {
        let Outside { certificate, key, .. } = outside;
        let keys = ["outside.certificate", "outside.key"];
        Self { certificate: certificate.clone(), key: key.clone(), keys }
    }

    /// Those for old phones.
    pub fn of_legacy(legacy: &LegacyTls, outside: &Outside) -> Self {
        match (&legacy.certificate, &legacy.key) {
            (Some(certificate), Some(key)) => Self {
                certificate: certificate.clone(),
                key: key.clone(),
                keys: ["legacy_tls.certificate", "legacy_tls.key"],
            },
            _ => Self::of(outside),
        }
    }

    /// Reads all files.
    ///
    /// # Errors
    /// One for each file that cannot be used.
    pub fn read(&self) -> Result<Read, Vec<FilesError>> {
        let unusable = |configured, path: &Path, reason| {
            let path = path.to_owned();
            FilesError::Unusable { configured, path, reason }
        };
        let chain = certificates(&self.certificate)
            .map_err(|reason| unusable(self.keys[0], &self.certificate, reason));
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| unusable(self.keys[1], &self.key, pem_reason(&error, "private key")));
        match (chain, key) {
            (Ok(chain), Ok(key)) => Ok(Read { chain, key, configured: self.keys[1] }),
            (chain, key) => Err([chain.err(), key.err()].into_iter().flatten().collect()),
        }
    }
}

impl Files {
    /// The host names in our certificate: phones may use them in request URIs to mean us.
    pub fn names(&self) -> Vec<String> {
        use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
        let Some(first) = certificates(&self.certificate).ok().and_then(|chain| chain.into_iter().next())
        else {
            return Vec::new();
        };
        let Ok((_, certificate)) = X509Certificate::from_der(&first) else { return Vec::new() };
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
        let dns = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        dns.collect()
    }
}

/// The first certificate of a file, DER, if there is one.
pub fn first_certificate(path: &Path) -> Option<Vec<u8>> {
    certificates(path).ok()?.into_iter().next().map(|first| first.to_vec())
}

impl Read {
    /// What rustls needs.
    ///
    /// # Errors
    /// When the key does not belong to the certificate.
    pub fn certified_key(self, provider: &CryptoProvider) -> Result<CertifiedKey, FilesError> {
        let configured = self.configured;
        CertifiedKey::from_der(self.chain, self.key, provider)
            .map_err(|source| FilesError::Mismatch { configured, source })
    }

    /// The certificates and the key, DER.
    pub fn into_der(self) -> (Vec<Vec<u8>>, Zeroizing<Vec<u8>>) {
        let chain = self.chain.iter().map(|certificate| certificate.to_vec()).collect();
        (chain, Zeroizing::new(self.key.secret_der().to_vec()))
    }

    /// Whether the key is one of RSA: all that old phones know.
    pub fn is_rsa(&self) -> bool {
        let first = self.chain.first().and_then(|first| openssl::x509::X509::from_der(first).ok());
        let key = first.and_then(|first| first.public_key().ok());
        key.is_some_and(|key| key.id() == openssl::pkey::Id::RSA)
    }
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem_reason(&error, "certificate"))?;
    if found.is_empty() { Err("holds no certificate in PEM form".into()) } else { Ok(found) }
}

fn pem_reason(error: &rustls::pki_types::pem::Error, what: &str) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(source) => format!("cannot be read: {source}"),
        Error::NoItemsFound => format!("holds no {what} in PEM form"),
        other => format!("is not PEM ({other})"),
    }
}
