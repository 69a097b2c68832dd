//! The authority: keys on disk, escrow, what it signs. What phones make of changes is in `rotation.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use openssl::x509::X509;
use pinhole_trust::authority::{Authority, Refused, Role, unpack};
use pinhole_trust::{Digest, Failure, Function, TrustList, encrypted};
use support::{PASSPHRASE, START, files, issue, naming, new_authority};

const DAY: u32 = 86_400;

#[test]
fn a_new_authority_has_six_pairs_of_files_for_its_owner_alone_and_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("trust");
    let mut authority = Authority::create(&directory, &naming(), START).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((files(&directory).len(), mode(&directory)), (12, 0o700));
    assert!(files(&directory).iter().all(|name| mode(&directory.join(name)) == 0o600));
    let refused = Authority::create(&directory, &naming(), START).unwrap_err();
    assert!(matches!(refused, Refused::Exists(_)), "{refused}");
    // What changes leave behind is nobody else's either.
    issue(&mut authority, START);
    authority.exported(Role::SastB).unwrap();
    authority.rotate(Role::SastA, &naming(), START + DAY).unwrap();
    for folder in [directory.join("replaced"), directory.join("issued")] {
        assert!(mode(&folder) == 0o700 && !files(&folder).is_empty());
        assert!(files(&folder).iter().all(|name| mode(&folder.join(name)) == 0o600));
    }
}

#[test]
fn a_list_names_two_administrators_and_every_service_by_name_and_address() {
    use Function::{Capf, CcmTftp, Sast, Tftp, Tvs};
    let (_directory, mut authority) = new_authority();
    let list = TrustList::verify(&issue(&mut authority, START)).unwrap();
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
fn a_list_keeps_its_generation_until_something_in_it_changes_whatever_the_clock_says() {
    let (directory, mut authority) = new_authority();
    let first = issue(&mut authority, START);
    assert_eq!(issue(&mut authority, START + DAY), first);
    assert_eq!(issue(&mut Authority::open(directory.path()).unwrap(), START + DAY), first);
    let before = |generation: u32| authority.issued(generation).cloned();
    assert_eq!(before(START), Some(TrustList::parse(&first).unwrap()));
    // An hour back.
    authority.rotate(Role::Tvs, &naming(), START - 3600).unwrap();
    let next = authority.draft(&naming(), Digest::Sha512, START - 3600).unwrap();
    assert_eq!(next.generation, START + 1);
    // Not issued yet, so no phone holds it.
    assert!(authority.issued(START + 1).is_none() && authority.last_issued() == authority.issued(START));
    authority.note_issued(&next).unwrap();
    assert_eq!(authority.last_issued(), Some(&TrustList::verify(&next.file).unwrap()));
    assert_eq!(
        files(&directory.path().join("issued")),
        [format!("{START}.tlv"), format!("{}.tlv", START + 1)]
    );
}

#[test]
fn the_key_of_the_administrator_in_escrow_is_removed_once_it_was_exported_and_no_other_key_is() {
    let (_directory, mut authority) = new_authority();
    assert!(authority.is_without_escrow());
    assert!(matches!(authority.remove_key(Role::SastB), Err(Refused::NotExported("sast-b"))));
    assert!(matches!(authority.export(Role::SastB, "short"), Err(Refused::Passphrase(8))));
    authority.export(Role::SastB, PASSPHRASE).unwrap();
    authority.exported(Role::SastB).unwrap();
    assert!(!authority.is_without_escrow());
    authority.remove_key(Role::SastB).unwrap();
    assert!(!authority.is_without_escrow());
    authority.exported(Role::SastA).unwrap();
    for (role, why) in [(Role::SastA, "it is the one that signs"), (Role::CcmTftp, "only a SAST's key")] {
        let refused = authority.remove_key(role).unwrap_err().to_string();
        assert!(refused.contains(role.name()) && refused.contains(why), "{refused}");
    }
    assert!(matches!(authority.remove_key(Role::SastB), Err(Refused::InEscrow("sast-b"))));
    assert!(matches!(authority.export(Role::SastB, PASSPHRASE), Err(Refused::InEscrow("sast-b"))));
    issue(&mut authority, START);
}

#[test]
fn an_exported_administrator_that_was_replaced_is_to_be_exported_again() {
    let (_directory, mut authority) = new_authority();
    authority.exported(Role::SastB).unwrap();
    authority.rotate(Role::SastB, &naming(), START + DAY).unwrap();
    assert!(authority.is_without_escrow());
    assert!(matches!(authority.remove_key(Role::SastB), Err(Refused::NotExported("sast-b"))));
}

#[test]
fn a_key_that_phones_cannot_use_is_not_taken() {
    let (_directory, authority) = new_authority();
    let elliptic = authority.export(Role::Https, PASSPHRASE).unwrap();
    let refused = unpack(Role::SastB, &elliptic, PASSPHRASE).unwrap_err();
    assert!(matches!(refused, Refused::KeyKind("sast-b")), "{refused}");
    unpack(Role::Https, &elliptic, PASSPHRASE).unwrap();
    let refused = unpack(Role::SastB, b"no container", PASSPHRASE).unwrap_err();
    assert!(matches!(refused, Refused::Container(_)), "{refused}");
}

#[test]
fn of_two_changes_at_a_time_one_is_made() {
    let (directory, mut authority) = new_authority();
    let other = fs::File::open(directory.path()).unwrap();
    other.lock_shared().unwrap();
    assert!(matches!(authority.rotate(Role::Tvs, &naming(), START), Err(Refused::Busy(_))));
    other.unlock().unwrap();
    other.lock().unwrap();
    assert!(matches!(Authority::open(directory.path()), Err(Refused::Busy(_))));
    other.unlock().unwrap();
    authority.rotate(Role::Tvs, &naming(), START).unwrap();
}

#[test]
fn what_was_replaced_within_a_second_is_kept_twice() {
    let (directory, mut authority) = new_authority();
    authority.rotate(Role::Tvs, &naming(), START).unwrap();
    authority.rotate(Role::Tvs, &naming(), START).unwrap();
    assert_eq!(files(&directory.path().join("replaced")).len(), 4);
}

#[test]
fn a_key_that_does_not_belong_to_its_certificate_is_named() {
    let (directory, _authority) = new_authority();
    fs::copy(directory.path().join("tvs.key.pem"), directory.path().join("capf.key.pem")).unwrap();
    let mismatch = Authority::open(directory.path()).unwrap_err();
    assert!(matches!(mismatch, Refused::Mismatch("capf")), "{mismatch}");
}

#[test]
fn an_issued_list_that_cannot_be_read_is_named_and_other_files_are_left_alone() {
    let (directory, mut authority) = new_authority();
    issue(&mut authority, START);
    let issued = directory.path().join("issued");
    fs::write(issued.join("note.tlv"), b"an operator's").unwrap();
    Authority::open(directory.path()).unwrap();
    fs::write(issued.join("1.tlv"), b"no list").unwrap();
    let refused = Authority::open(directory.path()).unwrap_err();
    assert!(matches!(&refused, Refused::Issued { path, .. } if path.ends_with("1.tlv")), "{refused}");
}

#[test]
fn an_encrypted_configuration_is_read_by_its_device() {
    let (_directory, authority) = new_authority();
    let device = authority.identity(Role::Tvs).unwrap();
    let name = "SEP001122334455.cnf.xml.enc.sgn";
    let file = authority.encrypt(name, b"<device/>", Digest::Sha1, START, &device.certificate).unwrap();
    let signer = authority.identity(Role::CcmTftp).unwrap().certificate;
    let (header, content) = encrypted::decrypt(&file, &signer, &device.key).unwrap();
    assert_eq!((&*header.file_name, &content[..]), (name, &b"<device/>"[..]));
}

#[test]
fn a_signed_file_holds_for_who_has_a_list_that_names_its_signer() {
    let (_directory, mut authority) = new_authority();
    let list = TrustList::parse(&issue(&mut authority, START)).unwrap();
    let sign = |authority: &Authority| authority.sign("a.xml.sgn", b"<a/>", Digest::Sha1, START).unwrap();
    let file = sign(&authority);
    assert_eq!(list.verify_signed(&file).unwrap().1, b"<a/>");
    let device = authority.identity(Role::Tvs).unwrap().certificate;
    let encrypted = authority.encrypt("a.enc.sgn", b"<a/>", Digest::Sha512, START, &device).unwrap();
    assert_eq!(list.verify_signed(&encrypted).unwrap().0.file_name, "a.enc.sgn");
    let mut changed = file.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(matches!(list.verify_signed(&changed), Err(Failure::BadSignature)));
    authority.rotate(Role::CcmTftp, &naming(), START + DAY).unwrap();
    assert!(matches!(list.verify_signed(&sign(&authority)), Err(Failure::UnknownSigner { .. })));
    // A list is signed by a security administrator, who may not sign configurations.
    assert!(matches!(list.verify_signed(&issue(&mut authority, START)), Err(Failure::UnknownSigner { .. })));
}
