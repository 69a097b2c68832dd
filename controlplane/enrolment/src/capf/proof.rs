//! Proof that a phone has a certificate's private key (tls-capf-tvs 2.9).
//!
//! Two texts are signed, each with SHA-1 and SHA-512. The first, of the device's name and the certificate, is the same in every
//! session, so whoever has once heard it could say it again. The second has the session's number in it.

use openssl::ecdsa::EcdsaSig;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{Id, PKey, PKeyRef, Public};
use openssl::rsa::Padding;
use openssl::x509::X509;

use super::session::Refusal;
use super::{CERTIFICATE_MAX, tag};
use crate::Malformed;
use crate::element::{Element, Elements};

/// The longest RSA key whose signatures are checked, in bytes.
const RSA_MAX: u32 = 512;
/// Number of a digest (trust-files 2.1.2).
const SHA1: u8 = 1;

/// The proof that is the same in every session.
pub(super) struct Standing<'a> {
    device: &'a str,
    certificate: &'a [u8],
    signatures: Vec<Signature>,
}

/// The proof of one session: what phones call their SUDI.
pub(super) struct Fresh {
    /// DER of the certificate, which may be another than that of the standing proof.
    pub certificate: Vec<u8>,
    signatures: Vec<Signature>,
}

/// A signature, and the number of the digest that it is of.
struct Signature {
    digest: MessageDigest,
    bytes: Vec<u8>,
}

impl<'a> Standing<'a> {
    /// Reads it. Signatures with SHA-1 alone are of older phones \[M\].
    pub fn read(elements: &Elements, device: &'a str, certificate: &'a [u8]) -> Result<Self, Malformed> {
        let mut signatures = Vec::new();
        if let Some(bytes) = elements.get(tag::SIGNED_DATA)? {
            let element = Element { tag: SHA1, value: bytes.to_vec() };
            signatures.push(Signature::read(element, tag::SIGNED_DATA)?);
        }
        if let Some(value) = elements.get(tag::SHA2_SIGNED_DATA)? {
            for element in Elements::parse(value)? {
                signatures.push(Signature::read(element, tag::SHA2_SIGNED_DATA)?);
            }
        }
        Ok(Self { device, certificate, signatures })
    }

    /// Whether the certificate's key has made it.
    pub fn check(&self) -> Result<(), Refusal> {
        let text = [self.device.as_bytes(), &[0], self.certificate].concat();
        let key = public_key(self.certificate, tag::CERTIFICATE)?;
        check(&self.signatures, &text, &key)
    }
}

impl Fresh {
    /// Reads it: a certificate, then signatures, each like an element.
    pub fn read(elements: &Elements) -> Result<Option<Self>, Malformed> {
        let Some(value) = elements.get(tag::SUDI_DATA)? else { return Ok(None) };
        let mut parts = Elements::parse(value)?.into_iter();
        let certificate = parts.next().map(|first| first.value).unwrap_or_default();
        if !(1..=CERTIFICATE_MAX).contains(&certificate.len()) {
            return Err(Malformed::Value(tag::SUDI_DATA));
        }
        let signatures = parts.map(|element| Signature::read(element, tag::SUDI_DATA));
        Ok(Some(Self { certificate, signatures: signatures.collect::<Result<_, _>>()? }))
    }

    /// Whether the certificate's key has made it in this session, whose number is signed little-endian \[V\].
    pub fn check(&self, session: u32) -> Result<(), Refusal> {
        let text = [&session.to_le_bytes(), self.certificate.as_slice()].concat();
        let key = public_key(&self.certificate, tag::SUDI_DATA)?;
        check(&self.signatures, &text, &key)
    }
}

impl Signature {
    fn read(Element { tag: digest, value: bytes }: Element, of: u8) -> Result<Self, Malformed> {
        let digest = match digest {
            // The one server whose source is known does not look at the number of the first \[I\].
            0 | SHA1 => MessageDigest::sha1(),
            2 => MessageDigest::sha256(),
            3 => MessageDigest::sha512(),
            _ => return Err(Malformed::Value(of)),
        };
        Ok(Self { digest, bytes })
    }

    fn is_of(&self, text: &[u8], key: &PKeyRef<Public>) -> Option<bool> {
        let digest = hash(self.digest, text).ok()?;
        match key.id() {
            Id::RSA => {
                let key = key.rsa().ok().filter(|key| key.size() <= RSA_MAX)?;
                let mut signed = vec![0; usize::try_from(key.size()).ok()?];
                // The digest alone is in the padding, without the name of its algorithm \[V\].
                let len = key.public_decrypt(&self.bytes, &mut signed, Padding::PKCS1).ok()?;
                Some(signed.get(..len)? == &*digest)
            }
            Id::EC => EcdsaSig::from_der(&self.bytes).ok()?.verify(&digest, &*key.ec_key().ok()?).ok(),
            _ => None,
        }
    }
}

/// There must be a signature, and each that is there must hold.
fn check(signatures: &[Signature], text: &[u8], key: &PKeyRef<Public>) -> Result<(), Refusal> {
    if signatures.is_empty() {
        return Err(Refusal::NoProof);
    }
    let hold = signatures.iter().all(|signature| signature.is_of(text, key) == Some(true));
    if hold { Ok(()) } else { Err(Refusal::Signature) }
}

/// The key of a certificate. With bytes behind it, it would be another one to whoever pins it.
fn public_key(der: &[u8], of: u8) -> Result<PKey<Public>, Malformed> {
    let read = X509::from_der(der).ok().filter(|read| read.to_der().is_ok_and(|again| again == der));
    read.and_then(|read| read.public_key().ok()).ok_or(Malformed::Value(of))
}
