//! Certificates and keys from their files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;

use crate::config::{Outside, TlsVersion};

/// Where the certificates and the key are.
#[derive(Clone, Debug)]
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: PathBuf,
}

/// What is in the files.
pub struct Read {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: RootCertStore,
}

/// What is wrong with the files. Names the file, never its contents.
#[derive(Debug, Error)]
pub enum FilesError {
    #[error("{path}: {reason}")]
    Certificate { path: PathBuf, reason: String },
    #[error("{path}: {reason}")]
    Key { path: PathBuf, reason: String },
    #[error("{path}: {reason}")]
    ClientCa { path: PathBuf, reason: String },
    #[error("does not belong to outside.certificate ({0})")]
    Mismatch(rustls::Error),
    #[error("cannot be used ({0})")]
    Unusable(String),
}

impl FilesError {
    /// The configuration key that names the file.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Certificate { .. } => "outside.certificate",
            Self::Key { .. } | Self::Mismatch(_) => "outside.key",
            Self::ClientCa { .. } | Self::Unusable(_) => "outside.client_ca",
        }
    }
}

impl Files {
    /// The files that the configuration names.
    pub fn of(outside: &Outside) -> Self {
        let Outside { certificate, key, client_ca, .. } = outside;
        Self { certificate: certificate.clone(), key: key.clone(), client_ca: client_ca.clone() }
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
        match (chain, key, self.roots()) {
            (Ok(chain), Ok(key), Ok(roots)) => Ok(Read { chain, key, roots }),
            (chain, key, roots) => Err([chain.err(), key.err(), roots.err()].into_iter().flatten().collect()),
        }
    }
}

impl Files {
    /// The authorities that sign phones' certificates.
    ///
    /// # Errors
    /// When their file cannot be used.
    pub fn roots(&self) -> Result<RootCertStore, FilesError> {
        roots(&self.client_ca).map_err(|reason| FilesError::ClientCa { path: self.client_ca.clone(), reason })
    }

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
    /// What rustls needs: a certificate from `client_ca` is demanded from every phone.
    ///
    /// # Errors
    /// When the key does not belong to the certificate, or the authorities cannot be used.
    pub fn server_config(self, least: TlsVersion) -> Result<Arc<ServerConfig>, FilesError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions: &[_] = match least {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots), Arc::clone(&provider))
                .build()
                .map_err(|error| FilesError::Unusable(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| FilesError::Unusable(error.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain, self.key)
            .map_err(FilesError::Mismatch)?;
        // A resumed session would not be verified again: a certificate that has expired, or whose
        // authority was removed since, would still be good.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem_reason(&error, "certificate"))?;
    if found.is_empty() { Err("holds no certificate in PEM form".into()) } else { Ok(found) }
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for (n, certificate) in certificates(path)?.into_iter().enumerate() {
        store
            .add(certificate)
            .map_err(|error| format!("certificate {} cannot be an authority ({error})", n + 1))?;
    }
    Ok(store)
}

fn pem_reason(error: &rustls::pki_types::pem::Error, what: &str) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(source) => format!("cannot be read: {source}"),
        Error::NoItemsFound => format!("holds no {what} in PEM form"),
        other => format!("is not PEM ({other})"),
    }
}
