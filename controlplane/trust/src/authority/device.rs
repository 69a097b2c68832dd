//! Certificates that the authority issues to devices (LSC; tls-capf-tvs 2.9).

use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKeyRef, Public};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509NameBuilder};

use super::{Authority, Refused, Role, issue};
use crate::Identity;

/// How far a phone's clock may be behind, in seconds.
const CLOCK_SKEW: i64 = 3600;
/// Seconds.
const DAY: i64 = 86_400;
/// IPsec end system.
const IPSEC: &str = "1.3.6.1.5.5.7.3.5";

impl Authority {
    /// A certificate for a device's key, signed by the role [`Capf`](Role::Capf). `now`: seconds since 1970.
    ///
    /// It does not outlive the authority's own.
    ///
    /// # Errors
    /// [`Refused`]; [`Refused::InEscrow`] when the key of that role is not here.
    pub fn issue_device(
        &self,
        device: &str,
        key: &PKeyRef<Public>,
        days: u32,
        now: u32,
    ) -> Result<X509, Refused> {
        Ok(certificate(&self.identity(Role::Capf)?, device, key, days, now)?)
    }
}

impl Authority {
    /// Until when a certificate that was issued now would be good, in seconds since 1970. `now`: the same.
    ///
    /// # Errors
    /// [`Refused`], as of [`issue_device`](Self::issue_device).
    pub fn device_until(&self, days: u32, now: u32) -> Result<i64, Refused> {
        Ok(until(&self.identity(Role::Capf)?.certificate, days, now)?)
    }
}

/// The end of what is issued now, which is not after that of the issuer.
fn until(issuer: &X509, days: u32, now: u32) -> Result<i64, ErrorStack> {
    let own = Asn1Time::from_unix(0)?.diff(issuer.not_after())?;
    let own = i64::from(own.days) * DAY + i64::from(own.secs);
    Ok(own.min(i64::from(now) + i64::from(days) * DAY))
}

fn certificate(
    issuer: &Identity,
    device: &str,
    key: &PKeyRef<Public>,
    days: u32,
    now: u32,
) -> Result<X509, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_nid(Nid::COMMONNAME, device)?;
    let name = name.build();
    let mut certificate = issue::begin(&name, issuer.certificate.subject_name(), key)?;
    certificate.set_not_before(&*Asn1Time::from_unix(i64::from(now) - CLOCK_SKEW)?)?;
    certificate.set_not_after(&*Asn1Time::from_unix(until(&issuer.certificate, days, now)?)?)?;
    certificate.append_extension(BasicConstraints::new().critical().build()?)?;
    let mut usage = KeyUsage::new();
    usage.critical().digital_signature();
    if key.rsa().is_ok() {
        usage.key_encipherment();
    }
    certificate.append_extension(usage.build()?)?;
    let extended = ExtendedKeyUsage::new().server_auth().client_auth().other(IPSEC).build()?;
    certificate.append_extension(extended)?;
    let names = SubjectAlternativeName::new().uri(device).build(&certificate.x509v3_context(None, None))?;
    certificate.append_extension(names)?;
    let own = SubjectKeyIdentifier::new().build(&certificate.x509v3_context(None, None))?;
    certificate.append_extension(own)?;
    let context = certificate.x509v3_context(Some(&issuer.certificate), None);
    let above = AuthorityKeyIdentifier::new().keyid(false).build(&context)?;
    certificate.append_extension(above)?;
    certificate.sign(&issuer.key, MessageDigest::sha256())?;
    Ok(certificate.build())
}
