//! Whom a phone may trust: questions by hand, answers read by hand.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pinhole_enrolment::Malformed;
use pinhole_enrolment::tvs::{Answered, Command, Known, Refused, Server};

const CAPF: &[u8] = b"DER of the CAPF role";

fn known() -> Known {
    let mut known = Known::new(3600);
    known.add(CAPF, 4);
    known.add(b"DER of the TFTP role", 3);
    known.add(b"DER of the TFTP role", 1);
    known.add(b"DER of the TFTP role", 3);
    known
}

fn question(command: u8, elements: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![87, 1, command, 0, 0, 0, 0xab, 0xcd, 0, 0];
    for (tag, value) in elements {
        bytes.push(*tag);
        bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        bytes.extend(*value);
    }
    let len = u16::try_from(bytes.len() - 10).unwrap();
    bytes[8..10].copy_from_slice(&len.to_be_bytes());
    bytes
}

fn ask(bytes: &[u8]) -> Option<Result<Answered, Refused>> {
    let mut server = Server::default();
    server.push(bytes);
    server.answer(&known())
}

const NAME: (u8, &[u8]) = (1, b"\x00CP-8841-SEP0010DB000001");

#[test]
fn a_certificate_of_ours_is_valid_with_its_roles_for_a_time() {
    let answered = ask(&question(1, &[NAME, (2, CAPF)])).unwrap().unwrap();
    let expected = b"\x57\x01\x02\x00\x00\x00\xab\xcd\x00\x0f\x07\x00\x01\x00\x08\x00\x01\x04\x09\x00\x04\x00\x00\x0e\x10";
    assert_eq!(answered.bytes, expected);
    assert_eq!((answered.device.as_deref(), answered.is_known), (Some("CP-8841-SEP0010DB000001"), true));
    let both = ask(&question(1, &[NAME, (2, b"DER of the TFTP role")])).unwrap().unwrap();
    assert_eq!(both.bytes[14..19], *b"\x08\x00\x02\x03\x01");
}

#[test]
fn any_other_certificate_is_invalid() {
    let answered = ask(&question(1, &[NAME, (2, b"somebody else's")])).unwrap().unwrap();
    assert_eq!(answered.bytes, b"\x57\x01\x02\x00\x00\x00\xab\xcd\x00\x04\x07\x00\x01\x01");
    assert!(!answered.is_known);
}

#[test]
fn a_query_is_answered_like_a_verification() {
    let answered = ask(&question(3, &[(2, CAPF)])).unwrap().unwrap();
    assert_eq!(answered.bytes[2], 4);
    assert_eq!((answered.device, answered.is_known), (None, true));
}

#[test]
fn one_connection_may_ask_more_than_once() {
    let mut server = Server::default();
    server.push(&[question(1, &[(2, CAPF)]), question(1, &[(2, b"other")])].concat());
    let answers: Vec<_> =
        std::iter::from_fn(|| server.answer(&known())).map(|answer| answer.unwrap().is_known).collect();
    assert_eq!((answers, server.pending()), (vec![true, false], 0));
}

#[test]
fn what_is_no_question_is_refused_each_by_its_reason() {
    let malformed = |error| Some(Err(Refused::Malformed(error)));
    assert_eq!(ask(&question(1, &[NAME])), malformed(Malformed::Missing(2)));
    assert_eq!(ask(&question(1, &[(2, CAPF), (2, CAPF)])), malformed(Malformed::Twice(2)));
    assert_eq!(ask(&question(1, &[(2, &[0; 4097])])), malformed(Malformed::Value(2)));
    assert_eq!(ask(&question(2, &[(2, CAPF)])), Some(Err(Refused::Command(Command(2)))));
    assert_eq!(ask(b"GET / HTTP/1.1\r\n"), malformed(Malformed::Protocol(b'G')));
    assert_eq!(ask(&question(1, &[(2, CAPF)])[..20]), None);
}

#[test]
fn a_name_that_is_no_short_text_is_left_out() {
    for name in [&b""[..], b"\0", b"\0with space", b"\0\xff\xfe", &[b'x'; 80]] {
        assert_eq!(ask(&question(1, &[(1, name), (2, CAPF)])).unwrap().unwrap().device, None);
    }
}
