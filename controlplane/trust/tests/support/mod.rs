//! Keys and certificates for the tests, made once.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod phone;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::LazyLock;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509NameBuilder};
use pinhole_trust::authority::{Authority, Naming};
use pinhole_trust::{Digest, Identity};
use tempfile::TempDir;

pub const START: u32 = 1_700_000_000;
pub const PASSPHRASE: &str = "a long passphrase";

pub fn naming() -> Naming {
    let (name, address) = ("pinhole.example.net".to_owned(), Ipv4Addr::new(192, 0, 2, 7));
    Naming { organization: "Example".into(), dns_name: Some(name), address: Some(address) }
}

/// The list that a phone gets that asks now.
pub fn issue(authority: &mut Authority, now: u32) -> Vec<u8> {
    let issue = authority.draft(&naming(), Digest::Sha512, now).unwrap();
    authority.note_issued(&issue).unwrap();
    issue.file
}

/// A new authority, with keys of which no two tests' need to differ: making them takes long.
pub fn new_authority() -> (TempDir, Authority) {
    static MADE: LazyLock<TempDir> = LazyLock::new(|| {
        let directory = TempDir::new().unwrap();
        Authority::create(directory.path(), &naming(), START).unwrap();
        directory
    });
    let directory = TempDir::new().unwrap();
    for name in files(MADE.path()) {
        fs::copy(MADE.path().join(&name), directory.path().join(&name)).unwrap();
    }
    let authority = Authority::open(directory.path()).unwrap();
    (directory, authority)
}

/// The names of a folder's files.
pub fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut names: Vec<_> = files.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Makes a self-signed identity.
pub fn identity(name: &str, serial: &[u8]) -> Identity {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = Asn1Integer::from_bn(&BigNum::from_slice(serial).unwrap()).unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(3650).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    Identity { certificate: builder.build(), key }
}

pub static SAST: LazyLock<Identity> = LazyLock::new(|| identity("test-sast", &[1, 2, 3, 4, 5]));
pub static SERVER: LazyLock<Identity> = LazyLock::new(|| identity("test-tftp", &[0x9a, 1]));
pub static DEVICE: LazyLock<Identity> = LazyLock::new(|| identity("SEP001122334455", &[7]));
