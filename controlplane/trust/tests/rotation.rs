//! Rotation, loss, recovery and other systems' keys, and what phones make of them that read lists by code of their own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::fs;

use openssl::x509::X509;
use pinhole_trust::authority::{Authority, ISSUED_MAX, Naming, REPLACED_MAX, Refused, Role, unpack};
use pinhole_trust::{Digest, Draft, Function, Identity, Record, SignerVersion, TrustList, signed};
use support::phone::Phone;
use support::{PASSPHRASE, SAST, START, files, issue, naming, new_authority};

const DAY: u32 = 86_400;

fn held(phone: &Phone) -> TrustList {
    TrustList::parse(phone.held.as_ref().unwrap()).unwrap()
}

/// The list of another system, signed by its own administrator.
fn foreign_list(identity: &Identity, timestamp: u32) -> Vec<u8> {
    let records = [Record::of(&identity.certificate, Function::Sast).unwrap()];
    let (file_name, signer_version, digest) = ("CTLFile.tlv", SignerVersion::V1_0, Digest::Sha1);
    let draft = Draft { file_name, signer_version, digest, timestamp, records: &records };
    TrustList::build(identity, &draft).unwrap()
}

#[test]
fn losing_the_online_administrator_is_survived_with_the_one_in_escrow() {
    let (directory, mut authority) = new_authority();
    let escrow = authority.export(Role::SastB, PASSPHRASE).unwrap();
    authority.exported(Role::SastB).unwrap();
    authority.remove_key(Role::SastB).unwrap();
    let mut phone = Phone::default();
    assert!(phone.offer(&issue(&mut authority, START)));

    let later = START + DAY;
    fs::remove_file(directory.path().join("sast-a.key.pem")).unwrap();
    let mut authority = Authority::open(directory.path()).unwrap();
    let lost = authority.draft(&naming(), Digest::Sha1, later).unwrap_err();
    assert!(matches!(lost, Refused::NoSigner), "{lost}");
    assert!(matches!(authority.rotate(Role::SastA, &naming(), later), Err(Refused::WouldStrand(..))));
    let wrong = unpack(Role::SastB, &escrow, "another passphrase").unwrap_err();
    assert!(matches!(wrong, Refused::Container(_)), "{wrong}");

    let escrowed = unpack(Role::SastB, &escrow, PASSPHRASE).unwrap();
    authority.import(Role::SastB, &escrowed, None, later).unwrap();
    // It is the same one, so nothing was replaced.
    assert!(!directory.path().join("replaced").exists());
    authority.rotate(Role::SastA, &naming(), later).unwrap();
    let mut new = Phone::default();
    let recovered = issue(&mut authority, later);
    assert!(phone.offer(&recovered) && new.offer(&recovered));
    let next = issue(&mut authority, later + DAY);
    assert!(phone.offer(&next) && new.offer(&next));
}

#[test]
fn administrators_are_replaced_one_after_the_other_without_stranding_a_phone_that_follows() {
    let (directory, mut authority) = new_authority();
    let (mut follows, mut away) = (Phone::default(), Phone::default());
    let first = issue(&mut authority, START);
    assert!(follows.offer(&first) && away.offer(&first));
    for (day, role) in (1..).zip([Role::SastA, Role::SastB, Role::SastA, Role::SastB]) {
        // Once B is replaced the new A signs, whom a phone with the first list does not know: the dry run says so.
        assert_eq!(authority.would_accept(Some(role), &held(&away)).unwrap(), day == 1, "day {day}");
        assert!(authority.would_accept(Some(role), &held(&follows)).unwrap(), "day {day}");
        authority.rotate(role, &naming(), START + day * DAY).unwrap();
        let list = issue(&mut authority, START + day * DAY);
        assert!(follows.offer(&list), "day {day}");
        assert_eq!(authority.would_accept(None, &held(&away)).unwrap(), day == 1, "day {day}");
        let mut tries = Phone { held: away.held.clone() };
        assert_eq!(tries.offer(&list), day == 1, "day {day}");
    }
    assert_eq!(files(&directory.path().join("replaced")).len(), 8);
}

#[test]
fn lists_that_are_kept_are_bounded_and_tell_who_is_known_as_before() {
    let (directory, mut authority) = new_authority();
    let mut away = Phone::default();
    assert!(away.offer(&issue(&mut authority, START)));
    authority.rotate(Role::SastA, &naming(), START + 1).unwrap();
    let renamed = |number: u32| Naming { dns_name: Some(format!("pinhole{number}.example.net")), ..naming() };
    let many = ISSUED_MAX as u32 * 2;
    for number in 2..many {
        let draft = authority.draft(&renamed(number), Digest::Sha1, START + number).unwrap();
        authority.note_issued(&draft).unwrap();
    }
    let kept = files(&directory.path().join("issued"));
    assert_eq!(kept.len(), ISSUED_MAX);
    for generation in [START, START + 2, START + many - 1] {
        assert!(kept.contains(&format!("{generation}.tlv")), "{generation} in {kept:?}");
    }
    let reopened = Authority::open(directory.path()).unwrap();
    for authority in [&authority, &reopened] {
        let known = |role: Role| {
            let holding = authority.holdings().iter().find(|holding| holding.role == role);
            authority.known_since(&holding.unwrap().certificate)
        };
        assert_eq!((known(Role::SastA), known(Role::SastB)), (Some(START + 2), Some(START)));
        assert_eq!(authority.signer().unwrap().role, Role::SastB);
        assert!(authority.would_accept(None, &held(&away)).unwrap());
        assert!(!authority.would_accept(Some(Role::SastB), &held(&away)).unwrap());
    }
}

#[test]
fn what_was_replaced_is_kept_for_a_bounded_number_of_times() {
    let (directory, mut authority) = new_authority();
    authority.rotate(Role::Tvs, &naming(), START + 1).unwrap();
    let many = REPLACED_MAX as u32 + 3;
    for number in 1..=many {
        authority.rotate(Role::Https, &naming(), START + number).unwrap();
    }
    let kept = files(&directory.path().join("replaced"));
    let of = |name: &str| kept.iter().filter(|file| file.contains(name)).count();
    assert_eq!((of("https.key"), of("https.crt"), of("tvs.key")), (REPLACED_MAX, REPLACED_MAX, 1));
    assert!(kept.contains(&format!("{}-https.key.pem", START + many)), "{kept:?}");
    assert!(!kept.contains(&format!("{}-https.key.pem", START + 1)), "{kept:?}");
}

#[test]
fn phones_that_fetch_in_between_follow_whatever_the_order_of_rotations() {
    // Every sequence of three, A A B among them.
    for sequence in 0..8 {
        let (_directory, mut authority) = new_authority();
        let mut phone = Phone::default();
        assert!(phone.offer(&issue(&mut authority, START)));
        for day in 1..4 {
            let role = if sequence >> (day - 1) & 1 == 0 { Role::SastA } else { Role::SastB };
            authority.rotate(role, &naming(), START + day * DAY).unwrap();
            assert!(phone.offer(&issue(&mut authority, START + day * DAY)), "sequence {sequence}, day {day}");
        }
    }
}

#[test]
fn the_second_administrator_is_not_replaced_before_phones_could_learn_of_the_first() {
    let (_directory, mut authority) = new_authority();
    issue(&mut authority, START);
    authority.rotate(Role::SastA, &naming(), START + DAY).unwrap();
    let refused = authority.rotate(Role::SastB, &naming(), START + DAY).unwrap_err();
    assert!(matches!(refused, Refused::NotKnownYet("sast-b", "sast-a")), "{refused}");
    assert!(authority.would_accept(Some(Role::SastB), authority.last_issued().unwrap()).is_err());
    issue(&mut authority, START + DAY);
    authority.rotate(Role::SastB, &naming(), START + DAY).unwrap();
}

#[test]
fn an_older_administrator_that_is_imported_does_not_sign_since_no_phone_knows_it() {
    let (_directory, mut authority) = new_authority();
    let mut phone = Phone::default();
    assert!(phone.offer(&issue(&mut authority, START)));
    // Its certificate is valid since 1970.
    authority.import(Role::SastB, &SAST, None, START + DAY).unwrap();
    assert_eq!(authority.signer().unwrap().role, Role::SastA);
    let next = issue(&mut authority, START + DAY);
    assert!(phone.offer(&next));
    // Now they know it, for less long.
    assert_eq!(authority.signer().unwrap().role, Role::SastA);
    assert_eq!(authority.known_since(&SAST.certificate), Some(START + DAY));
    // Not even in the place of the one that signs, if the other is not here.
    authority.exported(Role::SastB).unwrap();
    authority.remove_key(Role::SastB).unwrap();
    let refused = authority.import(Role::SastA, &SAST, None, START + DAY).unwrap_err();
    assert!(matches!(refused, Refused::WouldStrand("sast-a", "sast-b")), "{refused}");
}

#[test]
fn phones_of_another_system_follow_when_its_administrator_is_imported_with_the_list_that_they_hold() {
    let foreign = foreign_list(&SAST, START - 1000 * DAY);
    let mut phone = Phone::default();
    assert!(phone.offer(&foreign));

    let (directory, mut authority) = new_authority();
    authority.import(Role::SastB, &SAST, Some(&foreign), START).unwrap();
    assert_eq!(authority.signer().unwrap().role, Role::SastB);
    assert!(phone.offer(&issue(&mut authority, START)));
    // From here on they know ours, and the other system's goes.
    authority.rotate(Role::SastB, &naming(), START + DAY).unwrap();
    assert!(phone.offer(&issue(&mut authority, START + DAY)));
    assert_eq!(files(&directory.path().join("issued")).len(), 3);
}

#[test]
fn a_list_is_not_given_out_by_who_has_not_heard_of_another_that_phones_hold() {
    let (directory, mut running) = new_authority();
    let draft = running.draft(&naming(), Digest::Sha1, START).unwrap();
    // A command takes over another system's phones meanwhile.
    let mut command = Authority::open(directory.path()).unwrap();
    command.import(Role::SastB, &SAST, Some(&foreign_list(&SAST, START - DAY)), START).unwrap();
    let refused = running.note_issued(&draft).unwrap_err();
    assert!(matches!(refused, Refused::Outdated), "{refused}");
    let mut running = Authority::open(directory.path()).unwrap();
    let mut phone = Phone { held: Some(foreign_list(&SAST, START - DAY)) };
    assert!(phone.offer(&issue(&mut running, START)));
}

#[test]
fn the_list_of_another_system_counts_only_before_ours_and_if_it_names_the_key() {
    let (_directory, mut authority) = new_authority();
    let stranger = support::identity("stranger", &[9]);
    let foreign = foreign_list(&stranger, START - DAY);
    let mut import = |role, foreign: &[u8]| authority.import(role, &SAST, Some(foreign), START).unwrap_err();
    assert!(matches!(import(Role::SastB, &foreign), Refused::NotInList("sast-b")));
    assert!(matches!(import(Role::CcmTftp, &foreign_list(&SAST, START)), Refused::NotInList("ccm-tftp")));
    let mut changed = foreign_list(&SAST, START - DAY);
    changed[0x60] ^= 1;
    assert!(matches!(import(Role::SastB, &changed), Refused::Failure(_)));
    issue(&mut authority, START);
    let foreign = foreign_list(&SAST, START - DAY);
    let refused = authority.import(Role::SastB, &SAST, Some(&foreign), START);
    assert!(matches!(refused, Err(Refused::AlreadyIssued)));
    assert_eq!(authority.signer().unwrap().role, Role::SastA);
}

#[test]
fn a_new_configuration_server_is_believed_with_the_next_list() {
    let (_directory, mut authority) = new_authority();
    let mut phone = Phone::default();
    phone.offer(&issue(&mut authority, START));
    let file =
        |authority: &Authority| authority.sign("a.xml.sgn", b"<device/>", Digest::Sha1, START).unwrap();
    // Whether the phone accepts a file, of a configuration server of its list.
    let reads = |phone: &Phone, file: &[u8]| {
        let records = held(phone).records;
        records.iter().filter(|record| record.function == Function::CcmTftp).any(|server| {
            let certificate = X509::from_der(server.certificate.as_ref().unwrap()).unwrap();
            signed::verify(file, &certificate).is_ok()
        })
    };
    assert!(reads(&phone, &file(&authority)));
    authority.rotate(Role::CcmTftp, &naming(), START + DAY).unwrap();
    assert!(!reads(&phone, &file(&authority)));
    assert!(phone.offer(&issue(&mut authority, START + DAY)) && reads(&phone, &file(&authority)));
}

#[test]
fn key_for_old_tls_is_there_once_it_is_wanted_and_phones_learn_of_it() {
    let (directory, mut authority) = new_authority();
    assert!(matches!(authority.identity(Role::LegacyTls), Err(Refused::None("legacy-tls"))));
    let mut phone = Phone::default();
    let without = issue(&mut authority, START);
    assert!(phone.offer(&without));
    let call_managers = |list: &TrustList| {
        let of = list.records.iter().filter(|record| record.function == Function::Ccm);
        of.map(|record| record.certificate.clone().unwrap()).collect::<Vec<_>>()
    };
    assert!(call_managers(&held(&phone)).is_empty());

    authority.rotate(Role::LegacyTls, &naming(), START + DAY).unwrap();
    assert!(phone.offer(&issue(&mut authority, START + DAY)));
    let first = authority.identity(Role::LegacyTls).unwrap().certificate.to_der().unwrap();
    assert_eq!(call_managers(&held(&phone)), std::slice::from_ref(&first));
    let file = fs::read(directory.path().join("legacy-tls.crt.pem")).unwrap();
    assert_eq!(X509::from_pem(&file).unwrap().to_der().unwrap(), first);

    authority.rotate(Role::LegacyTls, &naming(), START + 2 * DAY).unwrap();
    assert!(phone.offer(&issue(&mut authority, START + 2 * DAY)));
    assert_ne!(call_managers(&held(&phone)), [first]);
    assert_eq!(Authority::open(directory.path()).unwrap().holdings().len(), Role::ALL.len());

    // With the last old phone its files go, and phones believe it no longer.
    for file in ["legacy-tls.crt.pem", "legacy-tls.key.pem"] {
        fs::remove_file(directory.path().join(file)).unwrap();
    }
    let mut authority = Authority::open(directory.path()).unwrap();
    assert!(phone.offer(&issue(&mut authority, START + 3 * DAY)));
    assert!(call_managers(&held(&phone)).is_empty());
}
