//! Makes authorities and certificates, good ones and others, with OpenSSL.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Name, X509NameRef};
use pinhole_devices::{
    At, AuthoritySettings, CertificateId, Listener, Overdue, Refusal, Settings, SettingsError, Verified,
    Verifier,
};

/// Seconds since 1970 at which everything is verified: in 2026.
pub const NOW: i64 = 1_790_000_000;
const YEAR: i64 = 365 * 86_400;

pub static RSA_1024: LazyLock<PKey<Private>> = LazyLock::new(|| rsa(1024));
pub static RSA_2048: LazyLock<PKey<Private>> = LazyLock::new(|| rsa(2048));

fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

pub fn ec() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// What a certificate is made of. [`phone`] and [`authority`] give usual ones.
#[derive(Clone)]
pub struct Form {
    pub names: Vec<(&'static str, String)>,
    pub key: PKey<Private>,
    pub digest: MessageDigest,
    pub serial: u32,
    pub valid: (i64, i64),
    /// As it is encoded: 2 is version 3.
    pub version: i32,
    pub basic_constraints: Option<(bool, Option<u32>)>,
    pub key_usage: Option<Arc<KeyUsage>>,
    pub extended_key_usage: Option<Arc<ExtendedKeyUsage>>,
    pub key_ids: bool,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Issued {
    pub certificate: X509,
    pub key: PKey<Private>,
}

pub fn phone(common_name: &str) -> Form {
    Form {
        names: vec![("O", "Phones".into()), ("CN", common_name.into())],
        key: ec(),
        digest: MessageDigest::sha256(),
        serial: 0x1234,
        valid: (NOW - YEAR, NOW + YEAR),
        version: 2,
        basic_constraints: Some((false, None)),
        key_usage: Some(key_usage(|usage| usage.digital_signature().key_encipherment())),
        extended_key_usage: Some(extended(|usage| usage.server_auth().client_auth())),
        key_ids: true,
    }
}

pub fn authority(name: &str) -> Form {
    Form {
        basic_constraints: Some((true, None)),
        key_usage: Some(key_usage(|usage| usage.key_cert_sign().crl_sign())),
        extended_key_usage: None,
        valid: (NOW - 5 * YEAR, NOW + 5 * YEAR),
        ..phone(name)
    }
}

pub fn key_usage(change: impl FnOnce(&mut KeyUsage) -> &mut KeyUsage) -> Arc<KeyUsage> {
    let mut usage = KeyUsage::new();
    change(&mut usage);
    Arc::new(usage)
}

pub fn extended(
    change: impl FnOnce(&mut ExtendedKeyUsage) -> &mut ExtendedKeyUsage,
) -> Arc<ExtendedKeyUsage> {
    let mut usage = ExtendedKeyUsage::new();
    change(&mut usage);
    Arc::new(usage)
}

impl Form {
    pub fn self_signed(&self) -> Issued {
        self.signed(&self.name(), &self.key, None)
    }

    pub fn signed_by(&self, issuer: &Issued) -> Issued {
        self.signed(issuer.certificate.subject_name(), &issuer.key, Some(&issuer.certificate))
    }

    fn name(&self) -> X509Name {
        let mut name = X509Name::builder().unwrap();
        for (field, value) in &self.names {
            name.append_entry_by_text(field, value).unwrap();
        }
        name.build()
    }

    fn signed(&self, issuer: &X509NameRef, key: &PKey<Private>, by: Option<&X509>) -> Issued {
        let mut builder = X509::builder().unwrap();
        builder.set_version(self.version).unwrap();
        builder.set_subject_name(&self.name()).unwrap();
        builder.set_issuer_name(issuer).unwrap();
        builder.set_pubkey(&self.key).unwrap();
        let serial = Asn1Integer::from_bn(&BigNum::from_u32(self.serial).unwrap()).unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_not_before(&Asn1Time::from_unix(self.valid.0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_unix(self.valid.1).unwrap()).unwrap();
        if self.version == 2 {
            if let Some((is_ca, most)) = self.basic_constraints {
                let mut constraints = BasicConstraints::new();
                constraints.critical();
                if is_ca {
                    constraints.ca();
                }
                if let Some(most) = most {
                    constraints.pathlen(most);
                }
                builder.append_extension(constraints.build().unwrap()).unwrap();
            }
            if let Some(usage) = &self.key_usage {
                builder.append_extension(usage.build().unwrap()).unwrap();
            }
            if let Some(usage) = &self.extended_key_usage {
                builder.append_extension(usage.build().unwrap()).unwrap();
            }
            if self.key_ids {
                let context = builder.x509v3_context(by.map(|of| &**of), None);
                let id = SubjectKeyIdentifier::new().build(&context).unwrap();
                builder.append_extension(id).unwrap();
                if by.is_some_and(|by| by.subject_key_id().is_some()) {
                    let context = builder.x509v3_context(by.map(|of| &**of), None);
                    let id = AuthorityKeyIdentifier::new().keyid(true).build(&context).unwrap();
                    builder.append_extension(id).unwrap();
                }
            }
        }
        builder.sign(key, self.digest).unwrap();
        Issued { certificate: builder.build(), key: self.key.clone() }
    }
}

impl Issued {
    pub fn der(&self) -> Vec<u8> {
        self.certificate.to_der().unwrap()
    }
}

/// Settings with files in a folder of their own.
pub struct Site {
    folder: tempfile::TempDir,
    pub settings: Settings,
}

impl Site {
    /// One authority, `phones`, with this root, and these lines in its section.
    pub fn new(root: &Issued, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = |name: &str, devices: &str| (name.to_owned(), regex::Regex::new(devices).unwrap());
        let clusters = vec![cluster("east", "^SEP00"), cluster("west", "")];
        let settings =
            Settings { authorities: Vec::new(), crls: Vec::new(), crl_overdue: Overdue::Warn, clusters };
        Self { folder, settings }.and("phones", root, lines)
    }

    /// Another authority.
    pub fn and(mut self, name: &str, root: &Issued, lines: &str) -> Self {
        let roots = self.write(&format!("{name}.crt"), &root.certificate.to_pem().unwrap());
        let text = format!("name = \"{name}\"\nroots = [\"{}\"]\n{lines}", roots.display());
        let settings: AuthoritySettings = toml::from_str(&text).unwrap();
        self.settings.authorities.push(settings);
        self
    }

    pub fn with_crl(mut self, crl: &[u8], overdue: Overdue) -> Self {
        let file = self.write(&format!("{}.crl", self.settings.crls.len()), crl);
        self.settings.crls.push(file);
        self.settings.crl_overdue = overdue;
        self
    }

    pub fn with_intermediate(mut self, intermediate: &Issued) -> Self {
        let file = self.write("intermediate.crt", &intermediate.certificate.to_pem().unwrap());
        self.settings.authorities[0].intermediates.push(file);
        self
    }

    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn mistakes(&self) -> Vec<SettingsError> {
        Verifier::read(&self.settings).err().unwrap_or_default()
    }

    pub fn verifier(&self) -> Verifier {
        Verifier::read(&self.settings).unwrap()
    }

    pub fn verify(&self, chain: &[&Issued]) -> Result<Verified, Refusal> {
        verify(&self.verifier(), chain, Listener::Sip, &|_, _| false)
    }
}

pub fn verify(
    verifier: &Verifier,
    chain: &[&Issued],
    listener: Listener,
    pinned: &dyn Fn(&str, &CertificateId) -> bool,
) -> Result<Verified, Refusal> {
    let ders: Vec<_> = chain.iter().map(|of| of.der()).collect();
    let ders: Vec<_> = ders.iter().map(Vec::as_slice).collect();
    verifier.verify(&ders, &At { listener, now: now(), pinned }).map_err(|refused| refused.refusal)
}

pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW as u64)
}
