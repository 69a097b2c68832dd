//! A phone, by its own code: it writes and reads bytes as tls-capf-tvs 2.9 has them, and signs with OpenSSL.

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::x509::{X509, X509NameBuilder};

pub const DEVICE: &str = "SEP0010DB000001";

/// A key and a certificate for it.
#[derive(Clone)]
pub struct Holder {
    pub key: PKey<Private>,
    pub der: Vec<u8>,
}

pub fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

pub fn ec(curve: Nid) -> PKey<Private> {
    PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap()).unwrap()
}

impl Holder {
    pub fn new(name: &str, key: PKey<Private>) -> Self {
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
        let subject = subject.build();
        let mut builder = X509::builder().unwrap();
        builder.set_serial_number(&BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap()).unwrap();
        builder.set_subject_name(&subject).unwrap();
        builder.set_issuer_name(&subject).unwrap();
        builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let der = builder.build().to_der().unwrap();
        Self { key, der }
    }

    /// The digest alone under PKCS#1 type 1 padding, or ECDSA over it.
    fn sign(&self, digest: MessageDigest, text: &[u8]) -> Vec<u8> {
        let digest = hash(digest, text).unwrap();
        match self.key.rsa() {
            Ok(key) => {
                let mut signed = vec![0; key.size() as usize];
                key.private_encrypt(&digest, &mut signed, Padding::PKCS1).unwrap();
                signed
            }
            Err(_) => EcdsaSig::sign(&digest, &self.key.ec_key().unwrap()).unwrap().to_der().unwrap(),
        }
    }
}

pub fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[tag], len.as_slice(), value].concat()
}

pub fn message(command: u8, session: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    let elements = elements.concat();
    let len = u16::try_from(elements.len()).unwrap().to_be_bytes();
    [&[85, command], session.to_be_bytes().as_slice(), len.as_slice(), &elements].concat()
}

/// Command, session and elements of one message of the server.
pub fn read(bytes: &[u8]) -> (u8, u32, Vec<(u8, Vec<u8>)>) {
    assert_eq!(bytes[0], 85);
    let session = u32::from_be_bytes(bytes[2..6].try_into().unwrap());
    let len = usize::from(u16::from_be_bytes([bytes[6], bytes[7]]));
    let (mut rest, mut elements) = (&bytes[8..], Vec::new());
    assert_eq!(rest.len(), len, "header and elements by one write");
    while !rest.is_empty() {
        let len = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
        elements.push((rest[0], rest[3..3 + len].to_vec()));
        rest = &rest[3 + len..];
    }
    (bytes[1], session, elements)
}

pub fn name(device: &str) -> Vec<u8> {
    element(13, &[device.as_bytes(), &[0]].concat())
}

/// An answer to the authentication request: reason, version, device, and a proof.
pub fn answer(session: u32, device: &str, proof: &[Vec<u8>]) -> Vec<u8> {
    let elements = [&[element(1, &[1]), element(7, &[3]), name(device)], proof].concat();
    message(2, session, &elements)
}

pub fn password(password: &str) -> Vec<Vec<u8>> {
    vec![element(11, &[password.as_bytes(), &[0]].concat())]
}

/// A certificate, and the proof of it that is the same each time.
pub fn standing(device: &str, holder: &Holder) -> Vec<Vec<u8>> {
    let len = u16::try_from(holder.der.len() + 2).unwrap().to_be_bytes();
    let certificate = [&[1, len[0], len[1], 0, 1], holder.der.as_slice()].concat();
    let text = [device.as_bytes(), &[0], &holder.der].concat();
    let sha512 = element(3, &holder.sign(MessageDigest::sha512(), &text));
    let sha1 = holder.sign(MessageDigest::sha1(), &text);
    vec![element(11, &[0]), element(4, &certificate), element(6, &sha1), element(20, &sha512)]
}

/// A proof of one session.
pub fn fresh(session: u32, holder: &Holder) -> Vec<u8> {
    let text = [session.to_le_bytes().as_slice(), &holder.der].concat();
    let sha1 = element(1, &holder.sign(MessageDigest::sha1(), &text));
    let sha512 = element(3, &holder.sign(MessageDigest::sha512(), &text));
    element(16, &[element(0, &holder.der), sha1, sha512].concat())
}

pub fn both(session: u32, device: &str, holder: &Holder, sudi: &Holder) -> Vec<Vec<u8>> {
    [standing(device, holder), vec![fresh(session, sudi)]].concat()
}
