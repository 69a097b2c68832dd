//! Certificates for devices, checked with the packaged `openssl` program.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private, Public};
use openssl::rsa::Rsa;
use openssl::x509::X509;
use pinhole_trust::authority::{Authority, Naming, Refused, Role};

const START: u32 = 1_700_000_000;
const DEVICE: &str = "SEP0010DB000001";

fn naming() -> Naming {
    Naming { organization: "Example".into(), dns_name: None, address: None }
}

fn public(key: &PKey<Private>) -> PKey<Public> {
    PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap()
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

struct Stage {
    directory: tempfile::TempDir,
    authority: Authority,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create(&directory.path().join("keys"), &naming(), START).unwrap();
        Self { directory, authority }
    }

    fn write(&self, name: &str, certificate: &X509) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, certificate.to_pem().unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Whether it is good for a TLS client at a time.
    fn verify(&self, certificate: &X509, at: u32) -> String {
        let issuer = self.write("capf.pem", &self.authority.identity(Role::Capf).unwrap().certificate);
        let file = self.write("device.pem", certificate);
        let at = at.to_string();
        openssl(&[
            "verify",
            "-x509_strict",
            "-purpose",
            "sslclient",
            "-attime",
            &at,
            "-CAfile",
            &issuer,
            &file,
        ])
    }
}

#[test]
fn a_device_gets_a_certificate_for_its_name_key_and_time() {
    let stage = Stage::new();
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let certificate = stage.authority.issue_device(DEVICE, &public(&key), 365, START).unwrap();
    assert!(certificate.public_key().unwrap().public_eq(&key));
    let day = 86_400;
    assert!(
        stage.verify(&certificate, START).contains("device.pem: OK"),
        "{}",
        stage.verify(&certificate, START)
    );
    assert!(stage.verify(&certificate, START + 365 * day - 1).contains("OK"));
    assert!(stage.verify(&certificate, START + 365 * day + 1).contains("certificate has expired"));
    let text = openssl(&["x509", "-noout", "-text", "-in", &stage.write("device.pem", &certificate)]);
    for expected in [
        "Subject: CN = SEP0010DB000001\n",
        "Signature Algorithm: sha256WithRSAEncryption",
        "CA:FALSE",
        "Digital Signature, Key Encipherment",
        "TLS Web Server Authentication, TLS Web Client Authentication, IPSec End System",
        "URI:SEP0010DB000001",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let serial = certificate.serial_number().to_bn().unwrap();
    assert_eq!(serial.num_bytes(), 16);
    let another = stage.authority.issue_device(DEVICE, &public(&key), 365, START).unwrap();
    assert_ne!(serial, another.serial_number().to_bn().unwrap());
}

#[test]
fn an_ec_key_gets_one_too_which_says_nothing_of_enciphering() {
    let stage = Stage::new();
    for curve in [Nid::X9_62_PRIME256V1, Nid::SECP384R1, Nid::SECP521R1] {
        let group = EcGroup::from_curve_name(curve).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let certificate = stage.authority.issue_device(DEVICE, &public(&key), 10, START).unwrap();
        assert!(stage.verify(&certificate, START).contains("OK"));
        let text = openssl(&["x509", "-noout", "-text", "-in", &stage.write("device.pem", &certificate)]);
        assert!(text.contains("Digital Signature\n") && !text.contains("Encipherment"), "{text}");
    }
}

#[test]
fn a_certificate_does_not_outlive_the_authority() {
    let stage = Stage::new();
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let late = START + 3600 * 86_400;
    let certificate = stage.authority.issue_device(DEVICE, &public(&key), 365, late).unwrap();
    let own = stage.authority.identity(Role::Capf).unwrap().certificate;
    assert!(certificate.not_after().compare(own.not_after()).unwrap().is_eq());
}

#[test]
fn without_the_key_of_enrolment_nothing_is_issued() {
    let stage = Stage::new();
    let keys = stage.directory.path().join("keys");
    std::fs::remove_file(keys.join("capf.key.pem")).unwrap();
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let refused =
        Authority::open(&keys).unwrap().issue_device(DEVICE, &public(&key), 365, START).unwrap_err();
    assert!(matches!(refused, Refused::InEscrow("capf")), "{refused}");
}
