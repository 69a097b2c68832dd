//! Certificates in phones' names, which a call manager sees in the phones' place: it tells phones apart by them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage};
use openssl::x509::{X509, X509NameBuilder};
use pinhole_proxy::DeviceName;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use super::KnownError;

/// Bits of the key that all of them have: old call managers know RSA alone.
const RSA_BITS: u32 = 2048;
/// Certificates that are kept; there are no more devices that connect. Beyond, each is made anew.
const KEPT: usize = 20_000;
/// Seconds that certificates begin in the past, since clocks differ.
const BEFORE: i64 = 86_400;

/// Makes certificates in phones' names, under an authority that call managers trust.
pub struct StandIns {
    authority: X509,
    authority_key: PKey<Private>,
    /// The key of all certificates. It never leaves this process and is another after each reading.
    key: PKey<Private>,
    signing: Arc<dyn SigningKey>,
    made: Mutex<HashMap<DeviceName, CertifiedKey>>,
}

impl StandIns {
    /// With the authority's certificate and key, PEM.
    ///
    /// # Errors
    /// What is wrong with the files. It names the file, never its contents.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, KnownError> {
        let refuse = |key| move |message: String| KnownError { key, message };
        let bytes = |path: &Path| {
            std::fs::read(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))
        };
        let authority = bytes(certificate).map_err(refuse("certificate"))?;
        let authority = X509::from_pem(&authority)
            .map_err(|_| format!("{}: holds no certificate in PEM form", certificate.display()))
            .map_err(refuse("certificate"))?;
        let authority_key = zeroize::Zeroizing::new(bytes(key).map_err(refuse("key"))?);
        let authority_key = PKey::private_key_from_pem_passphrase(&authority_key, b"")
            .map_err(|_| format!("{}: holds no private key in PEM form", key.display()))
            .map_err(refuse("key"))?;
        if !authority.public_key().is_ok_and(|of| of.public_eq(&authority_key)) {
            return Err(refuse("key")("does not belong to the certificate".into()));
        }
        let library = |error: ErrorStack| refuse("key")(error.to_string());
        let key = Rsa::generate(RSA_BITS).and_then(PKey::from_rsa).map_err(library)?;
        let der = PrivatePkcs8KeyDer::from(key.private_key_to_pkcs8().map_err(library)?);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let signing = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(der));
        let signing = signing.map_err(|error| refuse("key")(error.to_string()))?;
        Ok(Self { authority, authority_key, key, signing, made: Mutex::default() })
    }

    /// The certificate in a phone's name, with its key.
    ///
    /// # Errors
    /// When OpenSSL cannot make it.
    pub fn of(&self, device: &DeviceName) -> Result<CertifiedKey, ErrorStack> {
        let made = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made().get(device) {
            return Ok(known.clone());
        }
        let chain = [self.sign(device)?.to_der()?, self.authority.to_der()?].map(CertificateDer::from);
        let certified = CertifiedKey::new(chain.to_vec(), Arc::clone(&self.signing));
        let mut made = made();
        if made.len() < KEPT {
            made.insert(device.clone(), certified.clone());
        }
        Ok(certified)
    }

    fn sign(&self, device: &DeviceName) -> Result<X509, ErrorStack> {
        let mut subject = X509NameBuilder::new()?;
        subject.append_entry_by_nid(Nid::COMMONNAME, device.as_str())?;
        let mut certificate = X509::builder()?;
        certificate.set_version(2)?;
        let mut serial = BigNum::new()?;
        serial.rand(127, MsbOption::ONE, false)?;
        certificate.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
        certificate.set_subject_name(&subject.build())?;
        certificate.set_issuer_name(self.authority.subject_name())?;
        certificate.set_pubkey(&self.key)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or_default();
        certificate.set_not_before(&*Asn1Time::from_unix(now.saturating_sub(BEFORE))?)?;
        certificate.set_not_after(self.authority.not_after())?;
        certificate.append_extension(BasicConstraints::new().critical().build()?)?;
        let usage = KeyUsage::new().critical().digital_signature().key_encipherment().build()?;
        certificate.append_extension(usage)?;
        certificate.append_extension(ExtendedKeyUsage::new().client_auth().build()?)?;
        if self.authority.subject_key_id().is_some() {
            let context = certificate.x509v3_context(Some(&self.authority), None);
            let identifier = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
            certificate.append_extension(identifier)?;
        }
        certificate.sign(&self.authority_key, MessageDigest::sha256())?;
        Ok(certificate.build())
    }
}
