//! The authority: keys on disk, rotation, escrow, recovery, and what phones make of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use openssl::x509::X509;
use pinhole_trust::authority::{Authority, Naming, Refused, Role};
use pinhole_trust::{Digest, Function, TrustList, encrypted, signed};

const START: u32 = 1_700_000_000;
const DAY: u32 = 86_400;

fn naming() -> Naming {
    let (name, address) = ("pinhole.example.net".to_owned(), Ipv4Addr::new(192, 0, 2, 7));
    Naming { organization: "Example".into(), dns_name: Some(name), address: Some(address) }
}

/// A phone: it keeps the last list that it has accepted (trust-files 2.1.6).
#[derive(Default)]
struct Phone {
    held: Option<Vec<u8>>,
}

impl Phone {
    fn offer(&mut self, file: &[u8]) -> bool {
        let accepted = match &self.held {
            // The first one is accepted on faith.
            None => TrustList::parse(file).is_ok(),
            Some(held) => TrustList::verify_against(file, &TrustList::parse(held).unwrap()).is_ok(),
        };
        if accepted {
            self.held = Some(file.to_vec());
        }
        accepted
    }

    fn list(&self) -> TrustList {
        TrustList::parse(self.held.as_ref().unwrap()).unwrap()
    }

    /// Whether it accepts a file that is signed by a configuration server of its list.
    fn reads(&self, file: &[u8]) -> bool {
        self.list().records.iter().filter(|record| record.function == Function::CcmTftp).any(|server| {
            let certificate = X509::from_der(server.certificate.as_ref().unwrap()).unwrap();
            signed::verify(file, &certificate).is_ok()
        })
    }
}

fn ctl(authority: &Authority, now: u32) -> Vec<u8> {
    authority.list("CTLFile.tlv", &naming(), Digest::Sha512, now).unwrap()
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn a_new_authority_has_six_pairs_of_files_for_its_owner_alone_and_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("trust");
    Authority::create(&directory, &naming(), START).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((files(&directory).len(), mode(&directory)), (12, 0o700));
    assert!(files(&directory).iter().all(|name| mode(&directory.join(name)) == 0o600));
    let refused = Authority::create(&directory, &naming(), START).unwrap_err();
    assert!(matches!(refused, Refused::Exists(_)), "{refused}");
}

#[test]
fn a_list_names_two_administrators_and_every_service_by_name_and_address() {
    use Function::{Capf, CcmTftp, Sast, Tftp, Tvs};
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), &naming(), START).unwrap();
    let list = TrustList::verify(&ctl(&authority, START)).unwrap();
    let functions: Vec<_> = list.records.iter().map(|record| record.function).collect();
    assert_eq!(functions, [Sast, Sast, CcmTftp, Tftp, Capf, Tvs]);
    for record in &list.records {
        let sast = record.function == Sast;
        assert_eq!((record.dns_name.is_some(), record.ipv4().is_some()), (!sast, !sast));
        let certificate = X509::from_der(record.certificate.as_ref().unwrap()).unwrap();
        assert!(certificate.verify(&certificate.public_key().unwrap()).unwrap());
    }
    // The EC key stands as its uncompressed point.
    assert_eq!((list.records[3].public_key.len(), list.records[3].public_key[0]), (65, 4));
}

#[test]
fn losing_the_online_administrator_is_survived_with_the_one_in_escrow() {
    let directory = tempfile::tempdir().unwrap();
    let mut authority = Authority::create(directory.path(), &naming(), START).unwrap();
    let escrow = authority.export(Role::SastB, "a long passphrase").unwrap();
    authority.remove_key(Role::SastB).unwrap();
    let mut phone = Phone::default();
    assert!(phone.offer(&ctl(&authority, START)));

    let later = START + DAY;
    fs::remove_file(directory.path().join("sast-a.key.pem")).unwrap();
    let mut authority = Authority::open(directory.path()).unwrap();
    let lost = authority.list("CTLFile.tlv", &naming(), Digest::Sha1, later).unwrap_err();
    assert!(matches!(lost, Refused::NoSigner), "{lost}");
    assert!(matches!(authority.rotate(Role::SastA, &naming(), later), Err(Refused::WouldStrand(..))));
    let wrong = authority.import(Role::SastB, &escrow, "another passphrase", later).unwrap_err();
    assert!(matches!(wrong, Refused::Container(_)), "{wrong}");

    authority.import(Role::SastB, &escrow, "a long passphrase", later).unwrap();
    authority.rotate(Role::SastA, &naming(), later).unwrap();
    let mut new = Phone::default();
    assert!(phone.offer(&ctl(&authority, later)) && new.offer(&ctl(&authority, later)));
    let next = ctl(&authority, later + DAY);
    assert!(phone.offer(&next) && new.offer(&next));
}

#[test]
fn administrators_are_replaced_one_after_the_other_without_stranding_a_phone_that_follows() {
    let directory = tempfile::tempdir().unwrap();
    let mut authority = Authority::create(directory.path(), &naming(), START).unwrap();
    let (mut follows, mut away) = (Phone::default(), Phone::default());
    let first = ctl(&authority, START);
    assert!(follows.offer(&first) && away.offer(&first));

    assert!(authority.would_accept(Role::SastA, &away.list()).unwrap());
    authority.rotate(Role::SastA, &naming(), START + DAY).unwrap();
    assert!(follows.offer(&ctl(&authority, START + DAY)));

    // Once B is replaced the new A signs, whom a phone with the first list does not know: the dry run says so.
    assert!(!authority.would_accept(Role::SastB, &away.list()).unwrap());
    assert!(authority.would_accept(Role::SastB, &follows.list()).unwrap());
    authority.rotate(Role::SastB, &naming(), START + 2 * DAY).unwrap();
    let last = ctl(&authority, START + 2 * DAY);
    assert!(follows.offer(&last) && !away.offer(&last));
    assert_eq!(files(&directory.path().join("replaced")).len(), 4);
}

#[test]
fn a_new_configuration_server_is_believed_with_the_next_list() {
    let directory = tempfile::tempdir().unwrap();
    let mut authority = Authority::create(directory.path(), &naming(), START).unwrap();
    let mut phone = Phone::default();
    phone.offer(&ctl(&authority, START));
    let file =
        |authority: &Authority| authority.sign("a.xml.sgn", b"<device/>", Digest::Sha1, START).unwrap();
    assert!(phone.reads(&file(&authority)));
    authority.rotate(Role::CcmTftp, &naming(), START + DAY).unwrap();
    assert!(!phone.reads(&file(&authority)));
    assert!(phone.offer(&ctl(&authority, START + DAY)) && phone.reads(&file(&authority)));
}

#[test]
fn the_last_key_that_can_sign_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut authority = Authority::create(directory.path(), &naming(), START).unwrap();
    authority.remove_key(Role::SastB).unwrap();
    assert!(matches!(authority.remove_key(Role::SastA), Err(Refused::LastSigner(_))));
    assert!(matches!(authority.export(Role::SastB, "x"), Err(Refused::InEscrow("sast-b"))));
    ctl(&authority, START);
}

#[test]
fn a_key_that_does_not_belong_to_its_certificate_is_named() {
    let directory = tempfile::tempdir().unwrap();
    Authority::create(directory.path(), &naming(), START).unwrap();
    fs::copy(directory.path().join("tvs.key.pem"), directory.path().join("capf.key.pem")).unwrap();
    let mismatch = Authority::open(directory.path()).unwrap_err();
    assert!(matches!(mismatch, Refused::Mismatch("capf")), "{mismatch}");
}

#[test]
fn an_encrypted_configuration_is_read_by_its_device() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), &naming(), START).unwrap();
    let device = authority.identity(Role::Tvs).unwrap();
    let name = "SEP001122334455.cnf.xml.enc.sgn";
    let file = authority.encrypt(name, b"<device/>", Digest::Sha1, START, &device.certificate).unwrap();
    let signer = authority.identity(Role::CcmTftp).unwrap().certificate;
    let (header, content) = encrypted::decrypt(&file, &signer, &device.key).unwrap();
    assert_eq!((&*header.file_name, &content[..]), (name, &b"<device/>"[..]));
}
