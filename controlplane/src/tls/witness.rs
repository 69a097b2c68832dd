//! Sees what a phone shows in its handshake, and keeps the verdict.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use pinhole_devices::{Algorithm, Hash, KeyKind, PublicKey, Refusal as Untrusted, Refused, Verified};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::Refusal;
use super::acceptor::Trust;

/// One connection's verifier: a verdict belongs to its connection, and is made once.
pub struct Witness {
    trust: Arc<Trust>,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: Mutex<Option<Result<Verified, Box<Refused>>>>,
}

impl Witness {
    pub(super) fn new(trust: Arc<Trust>, provider: &CryptoProvider) -> Self {
        Self { trust, algorithms: provider.signature_verification_algorithms, verdict: Mutex::default() }
    }

    /// The verdict, once. If it is good, it is still to be waited for the end of the handshake: only then has the phone
    /// proven to hold the key.
    pub fn take(&self) -> Option<Result<Verified, Box<Refused>>> {
        self.verdict().take()
    }

    /// Why a handshake has failed: the verdict says more than the library.
    pub fn refusal(&self, error: rustls::Error) -> Refusal {
        match self.take() {
            Some(Err(refused)) => Refusal::Certificate(refused),
            _ => error.into(),
        }
    }

    fn verdict(&self) -> MutexGuard<'_, Option<Result<Verified, Box<Refused>>>> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key, if it is of a kind that rustls refuses: a short one, of a phone that may have one.
    fn short_key(&self) -> Option<PublicKey> {
        match &*self.verdict() {
            Some(Ok(Verified { key, legacy: true, .. })) if matches!(key.kind(), KeyKind::Rsa(..2048)) => {
                Some(key.clone())
            }
            _ => None,
        }
    }
}

impl ClientCertVerifier for Witness {
    fn client_auth_mandatory(&self) -> bool {
        self.trust.is_needed
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.trust.subjects
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<&[u8]> = [end_entity].into_iter().chain(intermediates).map(AsRef::as_ref).collect();
        let now = UNIX_EPOCH + Duration::from_secs(now.as_secs());
        let verdict = self.trust.judge(&chain, now);
        let answer = match &verdict {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(refused) => Err(Error::InvalidCertificate(alert(&refused.refusal))),
        };
        *self.verdict() = Some(verdict);
        answer
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.short_key() {
            Some(key) => by_openssl(&key, message, dss),
            None => verify_tls12_signature(message, cert, dss, &self.algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.short_key() {
            // RFC 8446 section 4.4.3: no PKCS1.
            Some(key) if matches!(algorithm(dss.scheme), Some(Algorithm::RsaPss(_))) => {
                by_openssl(&key, message, dss)
            }
            _ => verify_tls13_signature(message, cert, dss, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn by_openssl(
    key: &PublicKey,
    message: &[u8],
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let is_signed = algorithm(dss.scheme).is_some_and(|of| key.has_signed(of, message, dss.signature()));
    match is_signed {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(Error::InvalidCertificate(CertificateError::BadSignature)),
    }
}

/// RSA only: that is what short keys are.
fn algorithm(scheme: SignatureScheme) -> Option<Algorithm> {
    Some(match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 => Algorithm::RsaPkcs1(Hash::Sha256),
        SignatureScheme::RSA_PKCS1_SHA384 => Algorithm::RsaPkcs1(Hash::Sha384),
        SignatureScheme::RSA_PKCS1_SHA512 => Algorithm::RsaPkcs1(Hash::Sha512),
        SignatureScheme::RSA_PSS_SHA256 => Algorithm::RsaPss(Hash::Sha256),
        SignatureScheme::RSA_PSS_SHA384 => Algorithm::RsaPss(Hash::Sha384),
        SignatureScheme::RSA_PSS_SHA512 => Algorithm::RsaPss(Hash::Sha512),
        _ => return None,
    })
}

/// What the phone is told.
fn alert(refusal: &Untrusted) -> CertificateError {
    match refusal {
        Untrusted::UnknownCa { .. } => CertificateError::UnknownIssuer,
        Untrusted::Expired { .. } => CertificateError::Expired,
        Untrusted::NotYetValid { .. } => CertificateError::NotValidYet,
        Untrusted::Revoked { .. } | Untrusted::CrlOverdue { .. } => CertificateError::Revoked,
        Untrusted::Invalid(_)
        | Untrusted::ChainTooLong
        | Untrusted::Constraints { .. }
        | Untrusted::Weak { .. }
        | Untrusted::Name { .. }
        | Untrusted::OtherCluster { .. } => CertificateError::ApplicationVerificationFailure,
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}
