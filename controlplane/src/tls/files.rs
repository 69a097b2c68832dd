//! Certificates and keys from their files.

use std::path::{Path, PathBuf};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use crate::config::Outside;

/// Where the certificates and the key are.
#[derive(Clone, Debug)]
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What is in the files.
pub struct Read {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// What is wrong with the files. Names the file, never its contents.
#[derive(Debug, Error)]
pub enum FilesError {
    #[error("{path}: {reason}")]
    Certificate { path: PathBuf, reason: String },
    #[error("{path}: {reason}")]
    Key { path: PathBuf, reason: String },
    #[error("does not belong to outside.certificate ({0})")]
    Mismatch(rustls::Error),
}

impl FilesError {
    /// The configuration key that names the file.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Certificate { .. } => "outside.certificate",
            Self::Key { .. } | Self::Mismatch(_) => "outside.key",
        }
    }
}

impl Files {
    /// The files that the configuration names.
    pub fn of(outside: &Outside) -> Self {
        let Outside { certificate, key, .. } = outside;
        Self { certificate: certificate.clone(), key: key.clone() }
    }

    /// Reads all files.
    ///
    /// # Errors
    /// One for each file that cannot be used.
    pub fn read(&self) -> Result<Read, Vec<FilesError>> {
        let chain = certificates(&self.certificate)
            .map_err(|reason| FilesError::Certificate { path: self.certificate.clone(), reason });
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| FilesError::Key {
            path: self.key.clone(),
            reason: pem_reason(&error, "private key"),
        });
        match (chain, key) {
            (Ok(chain), Ok(key)) => Ok(Read { chain, key }),
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
        CertifiedKey::from_der(self.chain, self.key, provider).map_err(FilesError::Mismatch)
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
