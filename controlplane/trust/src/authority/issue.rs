//! New keys and their certificates.

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, PKey, PKeyRef, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509NameBuilder, X509NameRef};

use super::{DAYS, Naming, Role};
use crate::Identity;

/// Bits of RSA keys: the most that all phones take.
const RSA_BITS: u32 = 2048;

/// A new key and a certificate that it has signed itself.
pub(super) fn identity(role: Role, naming: &Naming, now: u32) -> Result<Identity, ErrorStack> {
    let key = key(role)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_nid(Nid::ORGANIZATIONNAME, &naming.organization)?;
    // Told apart by name, too: a rotated one must not look like the one before.
    name.append_entry_by_nid(Nid::COMMONNAME, &format!("{}-{now}", role.name()))?;
    let name = name.build();
    let mut certificate = begin(&name, &name, &key)?;
    let end = i64::from(now) + i64::from(DAYS) * 86_400;
    certificate.set_not_before(&*Asn1Time::from_unix(i64::from(now))?)?;
    certificate.set_not_after(&*Asn1Time::from_unix(end)?)?;
    extend(&mut certificate, role, naming)?;
    certificate.sign(&key, MessageDigest::sha256())?;
    Ok(Identity { certificate: certificate.build(), key })
}

/// Whose certificate it is, by whom, for which key, under a random serial number of 16 bytes. Its time is still to be set.
pub(super) fn begin<T: HasPublic>(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    key: &PKeyRef<T>,
) -> Result<X509Builder, ErrorStack> {
    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    // 16 bytes that begin with a one after the sign.
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::ONE, false)?;
    certificate.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    certificate.set_subject_name(subject)?;
    certificate.set_issuer_name(issuer)?;
    certificate.set_pubkey(key)?;
    Ok(certificate)
}

fn key(role: Role) -> Result<PKey<Private>, ErrorStack> {
    match role {
        Role::Https => {
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
            PKey::from_ec_key(EcKey::generate(&group)?)
        }
        _ => PKey::from_rsa(Rsa::generate(RSA_BITS)?),
    }
}

fn extend(certificate: &mut X509Builder, role: Role, naming: &Naming) -> Result<(), ErrorStack> {
    let mut constraints = BasicConstraints::new();
    let mut usage = KeyUsage::new();
    usage.critical().digital_signature();
    if role == Role::Capf {
        constraints.critical().ca().pathlen(0);
        usage.key_cert_sign().crl_sign();
    }
    if !matches!(role, Role::Https) {
        // Old phones exchange keys under RSA.
        usage.key_encipherment();
    }
    certificate.append_extension(constraints.build()?)?;
    certificate.append_extension(usage.build()?)?;
    let identifier = SubjectKeyIdentifier::new().build(&certificate.x509v3_context(None, None))?;
    certificate.append_extension(identifier)?;
    if role.is_sast() {
        return Ok(());
    }
    certificate.append_extension(ExtendedKeyUsage::new().server_auth().client_auth().build()?)?;
    let mut names = SubjectAlternativeName::new();
    if let Some(name) = &naming.dns_name {
        names.dns(name);
    }
    if let Some(address) = naming.address {
        names.ip(&address.to_string());
    }
    if naming.dns_name.is_some() || naming.address.is_some() {
        let names = names.build(&certificate.x509v3_context(None, None))?;
        certificate.append_extension(names)?;
    }
    Ok(())
}
