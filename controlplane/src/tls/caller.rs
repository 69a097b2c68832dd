//! TLS towards call managers: who they are is pinned, and we show our certificate, or one in the phone's name.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use pinhole_proxy::DeviceName;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};
use thiserror::Error as ThisError;

use super::StandIns;
use super::files::certificates;

/// Begins TLS connections to a call manager, as client.
pub struct Caller {
    config: ClientConfig,
    name: ServerName<'static>,
    ours: Ours,
}

/// What we show to a call manager that asks.
#[derive(Clone)]
pub enum Ours {
    /// The same for all phones.
    Own(CertifiedKey),
    /// One in the phone's name.
    StandIn(Arc<StandIns>),
}

/// Who a call manager has to be.
pub struct Known {
    certificates: Vec<CertificateDer<'static>>,
    /// Whoever has this name and was signed by one of them counts too.
    named: Option<(ServerName<'static>, Arc<WebPkiServerVerifier>)>,
}

/// What is wrong with the settings of a call manager that is reached by TLS.
#[derive(Debug, ThisError)]
#[error("{message}")]
pub struct KnownError {
    /// The key of the configuration.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl Known {
    /// One that shows a certificate of the file at `authority`, whatever its dates; or, if there is a `name`, one that was
    /// signed by an authority of that file and has this name.
    ///
    /// # Errors
    /// What is wrong with the file or the name.
    pub fn read(authority: &Path, name: Option<&str>) -> Result<Self, KnownError> {
        let refuse = |key| move |message: String| KnownError { key, message };
        let name = name.map(|name| {
            ServerName::try_from(name.to_owned())
                .map_err(|_| format!("\"{name}\" is neither a host name nor an address"))
        });
        let name = name.transpose().map_err(refuse("certificate_name"))?;
        let of_file = |reason| format!("{}: {reason}", authority.display());
        let certificates = certificates(authority).map_err(of_file).map_err(refuse("authority"))?;
        let signed = name.is_some().then(|| signed_by(&certificates)).transpose();
        let signed = signed.map_err(of_file).map_err(refuse("authority"))?;
        Ok(Self { certificates, named: name.zip(signed) })
    }
}

fn signed_by(authorities: &[CertificateDer<'static>]) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        roots.add(certificate.clone()).map_err(|error| error.to_string())?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| error.to_string())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl Caller {
    /// To a call manager that is `known`. We show `ours` to whoever asks.
    ///
    /// # Errors
    /// When rustls cannot make the configuration.
    pub fn new(known: Known, ours: Ours) -> Result<Self, Error> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let (name, signed) = known.named.unzip();
        // Nobody looks at the name of a certificate that is known itself, so none is told.
        let tells_name = name.is_some();
        let name = match name {
            Some(name) => name,
            None => {
                ServerName::try_from("pinned.invalid").map_err(|error| Error::General(error.to_string()))?
            }
        };
        let verifier = Arc::new(Verifier { known: known.certificates, signed, algorithms });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        // Every connection is to be verified as the first was.
        config.resumption = rustls::client::Resumption::disabled();
        config.enable_sni = tells_name;
        Ok(Self { config, name, ours })
    }

    /// A new connection for a phone that buffers at most `write_buffer` bytes to be sent.
    ///
    /// # Errors
    /// When rustls cannot make one, or OpenSSL no certificate in the phone's name.
    pub fn call(&self, device: &DeviceName, write_buffer: usize) -> Result<ClientConnection, Error> {
        let shown = match &self.ours {
            Ours::Own(ours) => ours.clone(),
            Ours::StandIn(stand_ins) => {
                stand_ins.of(device).map_err(|error| Error::General(error.to_string()))?
            }
        };
        let mut config = self.config.clone();
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(shown));
        let mut connection = ClientConnection::new(Arc::new(config), self.name.clone())?;
        connection.set_buffer_limit(Some(write_buffer));
        Ok(connection)
    }
}

/// Judges what a call manager shows.
struct Verifier {
    known: Vec<CertificateDer<'static>>,
    signed: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.known.iter().any(|known| known.as_ref() == end_entity.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.signed {
            Some(signed) => signed.verify_server_cert(end_entity, intermediates, server_name, ocsp, now),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}
