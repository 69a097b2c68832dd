//! What follows what.

use openssl::bn::BigNum;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use pinhole_enrolment::Malformed;
use pinhole_enrolment::capf::{BadKey, Command, Curve};

use super::phone::{answer, ec, element, message, name, password, read, rsa};
use super::*;

#[test]
fn the_server_speaks_first() {
    let bench = Bench::new();
    let [first] = bench.first.as_slice() else { panic!("one message, by one write") };
    assert_eq!(read(first), (1, ID, vec![(7, vec![3]), (8, vec![0])]));
}

#[test]
fn a_phone_with_its_password_gets_a_certificate_for_the_key_it_has_made() {
    let mut bench = Bench::new();
    let step = bench.send(&answer(ID, DEVICE, &password(PASSWORD)));
    assert_eq!(read(&step.send[0]), (3, ID, vec![(17, vec![0]), (10, vec![8, 0])]));
    let key = rsa(2048);
    let stored = bench.install(&step, &key.public_key_to_der().unwrap());
    assert_eq!((stored.as_slice(), &bench.proofs), (b"a certificate".as_slice(), &vec![Proof::Password]));
    assert!(bench.keys[0].public_eq(&key));
    // Nothing is answered any more.
    assert_eq!(bench.send(&answer(ID, DEVICE, &password(PASSWORD))), Step::default());
}

#[test]
fn every_curve_can_be_asked_for() {
    for (curve, number, nid) in [
        (Curve::P256, 0, Nid::X9_62_PRIME256V1),
        (Curve::P384, 1, Nid::SECP384R1),
        (Curve::P521, 2, Nid::SECP521R1),
    ] {
        let mut bench = Bench::new();
        bench.task = Task::Install(KeyRequest::Ec(curve));
        let step = bench.send(&answer(ID, DEVICE, &password(PASSWORD)));
        assert_eq!(read(&step.send[0]).2, [(17, vec![1]), (18, vec![number])]);
        bench.install(&step, &ec(nid).public_key_to_der().unwrap());
    }
}

#[test]
fn a_password_is_wrong_of_another_device_or_used_up() {
    for (device, tried, denied, reason) in
        [(DEVICE, "40718254", Denied::Refused, 7), ("SEP0010DB000002", PASSWORD, Denied::Unknown, 9)]
    {
        let refused = Bench::new().refused(&answer(ID, device, &password(tried)));
        assert_eq!(refused, (Refusal::Denied(denied), (15, Some(reason))));
    }
    let mut bench = Bench::new();
    assert_eq!(bench.send(&answer(ID, DEVICE, &password(PASSWORD))).end, None);
    bench.begin(ID + 1);
    let again = bench.refused(&answer(ID + 1, DEVICE, &password(PASSWORD)));
    assert_eq!(again.0, Refusal::Denied(Denied::Refused));
}

#[test]
fn a_device_with_nothing_to_do_is_told_so() {
    let mut bench = Bench::new();
    bench.task = Task::Nothing;
    let step = bench.send(&answer(ID, DEVICE, &password(PASSWORD)));
    assert_eq!((read(&step.send[0]), step.end), ((15, ID, vec![(1, vec![0])]), Some(End::Nothing)));
}

#[test]
fn a_device_deletes_its_certificate() {
    let mut bench = Bench::new();
    bench.task = Task::Delete;
    let step = bench.send(&answer(ID, DEVICE, &password(PASSWORD)));
    assert_eq!((read(&step.send[0]), bench.deleted), ((13, ID, vec![]), 0));
    let step = bench.send(&message(14, ID, &[element(1, &[1])]));
    assert_eq!((step.end, bench.deleted), (Some(End::Deleted), 1));
    bench.begin(ID);
    bench.password = Some(PASSWORD.into());
    bench.send(&answer(ID, DEVICE, &password(PASSWORD)));
    let refused = bench.refused(&message(14, ID, &[element(1, &[7])]));
    assert_eq!((refused.0, bench.deleted), (Refusal::Phone(Some(7)), 1));
}

#[test]
fn a_phone_that_cannot_make_or_store_says_so() {
    let mut bench = Bench::new();
    bench.send(&answer(ID, DEVICE, &password(PASSWORD)));
    assert_eq!(bench.refused(&message(4, ID, &[element(1, &[7])])).0, Refusal::Phone(Some(7)));
    let mut bench = Bench::new();
    bench.send(&answer(ID, DEVICE, &password(PASSWORD)));
    bench.send(&message(4, ID, &[element(9, &rsa(2048).public_key_to_der().unwrap())]));
    assert_eq!(bench.refused(&message(10, ID, &[])).0, Refusal::Phone(None));
}

#[test]
fn while_there_are_no_keys_the_phone_is_told_to_come_later() {
    let mut bench = Bench::new();
    bench.has_keys = false;
    bench.send(&answer(ID, DEVICE, &password(PASSWORD)));
    let refused = bench.refused(&message(4, ID, &[element(9, &rsa(2048).public_key_to_der().unwrap())]));
    assert_eq!(refused, (Refusal::Denied(Denied::Later), (16, None)));
}

#[test]
fn weak_and_strange_keys_get_no_certificate() {
    let number = |value: u32| BigNum::from_u32(value).unwrap();
    let modulus = || rsa(2048).rsa().unwrap().n().to_owned().unwrap();
    let with = |modulus: BigNum, exponent: u32| {
        let key = Rsa::from_public_components(modulus, number(exponent)).unwrap();
        PKey::from_rsa(key).unwrap().public_key_to_der().unwrap()
    };
    let mut even = modulus();
    even.clear_bit(0).unwrap();
    let twice = [rsa(2048).public_key_to_der().unwrap(), vec![0; 1024]].concat();
    for (key, why) in [
        (rsa(1024).public_key_to_der().unwrap(), BadKey::Bits(1024, 2048)),
        (with(modulus(), 1), BadKey::Value),
        (with(modulus(), 4), BadKey::Value),
        (with(even, 65_537), BadKey::Value),
        (ec(Nid::SECP256K1).public_key_to_der().unwrap(), BadKey::Kind),
        (PKey::generate_ed25519().unwrap().public_key_to_der().unwrap(), BadKey::Kind),
        (b"no key".to_vec(), BadKey::Form),
        (twice, BadKey::Form),
    ] {
        let mut bench = Bench::new();
        bench.send(&answer(ID, DEVICE, &password(PASSWORD)));
        assert_eq!(bench.refused(&message(4, ID, &[element(9, &key)])).0, Refusal::Key(why));
        assert!(bench.keys.is_empty());
    }
    // An EC key whose point is on no curve.
    let mut off = ec(Nid::X9_62_PRIME256V1).public_key_to_der().unwrap();
    *off.last_mut().unwrap() ^= 1;
    let mut bench = Bench::new();
    bench.send(&answer(ID, DEVICE, &password(PASSWORD)));
    assert!(matches!(bench.refused(&message(4, ID, &[element(9, &off)])).0, Refusal::Key(_)));
}

#[test]
fn a_short_key_gets_one_where_that_is_allowed() {
    let mut bench = Bench::with(Rules { keys: KeyRules { rsa_bits_min: 1024 }, fresh_proof: true });
    let step = bench.send(&answer(ID, DEVICE, &password(PASSWORD)));
    bench.install(&step, &rsa(1024).public_key_to_der().unwrap());
}

#[test]
fn what_is_out_of_order_ends_the_session() {
    let key = message(4, ID, &[element(9, &rsa(2048).public_key_to_der().unwrap())]);
    let unexpected = |number| Refusal::Unexpected(Command(number));
    assert_eq!(Bench::new().refused(&key).0, unexpected(4));
    assert_eq!(Bench::new().refused(&message(10, ID, &[element(1, &[1])])).0, unexpected(10));
    assert_eq!(Bench::new().refused(&message(99, ID, &[])).0, unexpected(99));
    let mut bench = Bench::new();
    bench.send(&answer(ID, DEVICE, &password(PASSWORD)));
    assert_eq!(bench.refused(&answer(ID, DEVICE, &password(PASSWORD))).0, unexpected(2));
    assert!(bench.keys.is_empty());
}

#[test]
fn an_answer_of_another_session_is_none() {
    let refused = Bench::new().refused(&answer(ID + 1, DEVICE, &password(PASSWORD)));
    assert_eq!(refused, (Refusal::OtherSession, (15, Some(7))));
}

#[test]
fn broken_answers_are_refused_each_by_its_reason() {
    let three = || element(7, &[3]);
    let malformed = |error| Refusal::Malformed(error);
    let long = element(13, &[b'S'; 33]);
    for (elements, why) in [
        (vec![name(DEVICE)], Refusal::Version(None)),
        (vec![element(7, &[2]), name(DEVICE)], Refusal::Version(Some(2))),
        (vec![element(7, &[0, 3]), name(DEVICE)], malformed(Malformed::Value(7))),
        (vec![three()], malformed(Malformed::Missing(13))),
        (vec![three(), name(""), element(11, b"4071")], malformed(Malformed::Value(13))),
        (vec![three(), long], malformed(Malformed::Value(13))),
        (vec![three(), name("SEP 1")], malformed(Malformed::Value(13))),
        (vec![three(), name(DEVICE), name(DEVICE)], malformed(Malformed::Twice(13))),
        (vec![three(), name(DEVICE), element(11, &[b'1'; 65])], malformed(Malformed::Value(11))),
        (vec![three(), name(DEVICE), element(4, &[1, 0, 2, 0, 1])], malformed(Malformed::Value(4))),
        (vec![three(), name(DEVICE)], Refusal::NoProof),
        (vec![three(), name(DEVICE), element(11, &[0])], Refusal::NoProof),
    ] {
        let mut bench = Bench::new();
        assert_eq!(bench.refused(&message(2, ID, &elements)).0, why);
        assert!(bench.proofs.is_empty() && bench.password.is_some());
    }
}

#[test]
fn a_phone_can_end_it_and_ask_how_it_stands() {
    for command in [15, 16, 20, 21] {
        let mut bench = Bench::new();
        assert_eq!(bench.send(&message(command, ID, &[])).end, Some(End::Aborted));
    }
    let mut bench = Bench::new();
    let step = bench.send(&message(18, ID, &[]));
    assert_eq!((read(&step.send[0]).0, step.end), (19, None));
    for _ in 0..63 {
        assert_eq!(bench.send(&message(17, ID, &[])).end, None);
    }
    assert_eq!(bench.refused(&message(17, ID, &[])).0, Refusal::TooMany);
}
