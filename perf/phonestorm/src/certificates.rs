//! Certificates of an authority, of the appliance, and of thousands of phones that share one key: what is measured is how
//! they are used, not how they are made.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::StormError;

/// The name in the appliance's certificate.
pub const SERVER_NAME: &str = "pinhole.example";
/// Days that certificates are good for.
const DAYS: u32 = 7;

/// What kind of keys everybody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Keys {
    /// RSA of 2,048 bits, as phones have from their manufacturer.
    Rsa,
    /// EC on P-256.
    Ec,
}

impl Keys {
    fn make(self) -> Result<PKey<Private>, ErrorStack> {
        match self {
            Self::Rsa => PKey::from_rsa(Rsa::generate(2048)?),
            Self::Ec => {
                PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?)
            }
        }
    }
}

/// Makes what the control plane and the phones need in a directory: `server.crt`, `server.key`, `phones-ca.crt`, and for
/// [`Issuer::read`] `phones-ca.key` and `phone.key`.
///
/// # Errors
/// [`StormError::Certificates`], [`StormError::File`].
pub fn make(directory: &Path, keys: Keys) -> Result<(), StormError> {
    let (authority_key, server_key, phone_key) = (keys.make()?, keys.make()?, keys.make()?);
    let authority = authority(&authority_key)?;
    let server = signed(SERVER_NAME, &server_key, &authority, &authority_key)?;
    let files = [
        ("phones-ca.crt", authority.to_pem()?),
        ("phones-ca.key", authority_key.private_key_to_pem_pkcs8()?),
        ("server.crt", server.to_pem()?),
        ("server.key", server_key.private_key_to_pem_pkcs8()?),
        ("phone.key", phone_key.private_key_to_pem_pkcs8()?),
    ];
    for (name, bytes) in files {
        let path = directory.join(name);
        fs::write(&path, bytes).map_err(|source| StormError::File { path, source })?;
    }
    Ok(())
}

/// Issues phones' certificates.
pub struct Issuer {
    authority: X509,
    authority_key: PKey<Private>,
    phone_key: PKey<Private>,
    provider: Arc<CryptoProvider>,
    version: &'static SupportedProtocolVersion,
}

impl Issuer {
    /// What [`make`] has left in a directory; phones will speak this TLS version.
    ///
    /// # Errors
    /// [`StormError::Certificates`], [`StormError::File`].
    pub fn read(directory: &Path, version: &'static SupportedProtocolVersion) -> Result<Self, StormError> {
        let file = |name: &str| {
            let path: PathBuf = directory.join(name);
            fs::read(&path).map_err(|source| StormError::File { path, source })
        };
        Ok(Self {
            authority: X509::from_pem(&file("phones-ca.crt")?)?,
            authority_key: PKey::private_key_from_pem(&file("phones-ca.key")?)?,
            phone_key: PKey::private_key_from_pem(&file("phone.key")?)?,
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            version,
        })
    }

    /// TLS of each of these devices. Every connection is a full handshake: sessions are not resumed.
    ///
    /// # Errors
    /// [`StormError::Certificates`], [`StormError::Tls`].
    pub fn clients(&self, devices: &[String]) -> Result<Vec<Arc<ClientConfig>>, StormError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.to_der()?))?;
        let roots = Arc::new(roots);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.phone_key.private_key_to_pkcs8()?));
        let key = self.provider.key_provider.load_private_key(key)?;
        let client = |device: &String| {
            let certificate = signed(device, &self.phone_key, &self.authority, &self.authority_key)?;
            let chain = vec![CertificateDer::from(certificate.to_der()?)];
            let certified = SingleCertAndKey::from(CertifiedKey::new(chain, Arc::clone(&key)));
            let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
                .with_protocol_versions(&[self.version])?
                .with_root_certificates(Arc::clone(&roots))
                .with_client_cert_resolver(Arc::new(certified));
            config.resumption = Resumption::disabled();
            Ok(Arc::new(config))
        };
        devices.iter().map(client).collect()
    }
}

fn name(common_name: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_text("O", "Phonestorm")?;
    name.append_entry_by_text("CN", common_name)?;
    Ok(name.build())
}

fn unsigned(common_name: &str, key: &PKey<Private>) -> Result<X509Builder, ErrorStack> {
    let mut serial = BigNum::new()?;
    serial.rand(120, MsbOption::MAYBE_ZERO, false)?;
    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    certificate.set_serial_number(&*serial.to_asn1_integer()?)?;
    certificate.set_subject_name(&*name(common_name)?)?;
    certificate.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    certificate.set_not_after(&*Asn1Time::days_from_now(DAYS)?)?;
    certificate.set_pubkey(key)?;
    Ok(certificate)
}

fn authority(key: &PKey<Private>) -> Result<X509, ErrorStack> {
    let mut certificate = unsigned("phones", key)?;
    certificate.set_issuer_name(&*name("phones")?)?;
    certificate.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    certificate.sign(key, MessageDigest::sha256())?;
    Ok(certificate.build())
}

fn signed(
    common_name: &str,
    key: &PKey<Private>,
    authority: &X509,
    authority_key: &PKey<Private>,
) -> Result<X509, ErrorStack> {
    let mut certificate = unsigned(common_name, key)?;
    certificate.set_issuer_name(authority.subject_name())?;
    if common_name == SERVER_NAME {
        let context = certificate.x509v3_context(Some(authority), None);
        let names = SubjectAlternativeName::new().dns(common_name).build(&context)?;
        certificate.append_extension(names)?;
    }
    certificate.sign(authority_key, MessageDigest::sha256())?;
    Ok(certificate.build())
}
