//! Header and elements: what is read, what is refused, and that nothing is lost.

use pinhole_enrolment::capf::{Capf, Command, Message, tag};
use pinhole_enrolment::element::{ELEMENTS_MAX, Elements};
use pinhole_enrolment::tvs::Tvs;
use pinhole_enrolment::{Framer, Malformed, Protocol};

/// An answer to the authentication request, by hand: version 3, device name, an element that nobody knows.
const ANSWER: &[u8] =
    b"\x55\x02\x00\x00\x00\x07\x00\x1b\x07\x00\x01\x03\x0d\x00\x10SEP0010DB000001\0\x63\x00\x01\xff";

fn capf(bytes: &[u8]) -> Option<Result<Message, Malformed>> {
    let mut framer = Framer::<Capf>::default();
    framer.push(bytes);
    let message = framer.take()?;
    Some(message.map(|(header, elements)| Message {
        command: header.command,
        session: header.session,
        elements,
    }))
}

#[test]
fn a_message_is_read_and_written_without_loss() {
    let message = capf(ANSWER).unwrap().unwrap();
    assert_eq!((message.command, message.session), (Command::AUTH_RESPONSE, 7));
    assert_eq!(message.elements.byte(tag::VERSION), Ok(Some(3)));
    assert_eq!(message.elements.text(tag::DEVICE_NAME, 32), Ok(Some(b"SEP0010DB000001".as_slice())));
    assert_eq!(message.elements.get(0x63), Ok(Some([0xff].as_slice())), "kept, though unknown");
    assert_eq!(message.to_bytes().unwrap(), ANSWER);
}

#[test]
fn a_message_is_found_however_the_stream_is_cut() {
    let twice = [ANSWER, ANSWER].concat();
    for piece in 1..twice.len() {
        let (mut framer, mut found) = (Framer::<Capf>::default(), 0);
        for part in twice.chunks(piece) {
            framer.push(part);
            while let Some(message) = framer.take() {
                assert_eq!(message.unwrap().0.session, 7);
                found += 1;
            }
        }
        assert_eq!((found, framer.pending()), (2, 0), "pieces of {piece}");
    }
}

#[test]
fn what_is_broken_is_refused_each_by_its_reason() {
    let with = |at: usize, byte: u8| {
        let mut bytes = ANSWER.to_vec();
        bytes[at] = byte;
        bytes
    };
    let elements = |elements: &[u8]| {
        let len = u16::try_from(elements.len()).unwrap().to_be_bytes();
        [&[85, 2, 0, 0, 0, 7], len.as_slice(), elements].concat()
    };
    for (bytes, error) in [
        (with(0, 22), Malformed::Protocol(22)),
        (with(6, 0x41), Malformed::TooLong(0x411b, 16_384)),
        (elements(&[7, 0]), Malformed::Ends),
        (elements(&[7, 0, 2, 3]), Malformed::Truncated(7)),
        (elements(&[7, 0, 0].repeat(ELEMENTS_MAX + 1)), Malformed::TooMany(ELEMENTS_MAX)),
    ] {
        assert_eq!(capf(&bytes), Some(Err(error)));
    }
    assert_eq!(capf(&ANSWER[..ANSWER.len() - 1]), None);
    let mut framer = Framer::<Capf>::default();
    framer.push(&with(0, 22));
    assert!(framer.take().unwrap().is_err());
    framer.push(ANSWER);
    assert!(framer.take().unwrap().is_err(), "what is out of step stays so");
    assert_eq!(framer.pending(), 0, "and keeps nothing");
}

#[test]
fn an_overlong_message_is_refused_before_it_has_come() {
    assert_eq!(capf(&[85, 2, 0, 0, 0, 7, 0x40, 0x01]), Some(Err(Malformed::TooLong(16_385, 16_384))));
    assert_eq!(capf(&[85, 2, 0, 0, 0, 7, 0x40, 0x00]), None);
}

#[test]
fn elements_have_one_value_of_the_right_form() {
    let elements =
        Elements::default().with(1, [1]).with(7, [1, 2]).with(7, [3]).with(13, *b"a\0b\0").with(11, *b"1234");
    assert_eq!(elements.byte(1), Ok(Some(1)));
    assert_eq!(elements.byte(2), Ok(None));
    assert_eq!(elements.get(7), Err(Malformed::Twice(7)));
    assert_eq!(elements.text(13, 32), Err(Malformed::Value(13)), "a zero byte within");
    assert_eq!(
        elements.text(11, 64),
        Ok(Some(b"1234".as_slice())),
        "the zero byte at the end may be missing"
    );
    assert_eq!(elements.text(11, 3), Err(Malformed::Value(11)));
    assert_eq!(Elements::default().with(7, [1, 2]).byte(7), Err(Malformed::Value(7)));
}

#[test]
fn an_element_never_shows_its_value() {
    let shown = format!("{:?}", Elements::default().with(tag::PASSWORD, *b"98765432"));
    assert!(shown.contains("11 (8 bytes)") && !shown.contains("98765432"), "{shown}");
}

#[test]
fn a_certificate_has_five_bytes_before_it_and_a_limit() {
    let message = |value: Vec<u8>| {
        let elements = Elements::default().with(tag::CERTIFICATE, value);
        Message { command: Command::AUTH_RESPONSE, session: 1, elements }
    };
    assert_eq!(
        message([b"\x01\x00\x05\x00\x02".as_slice(), b"DER"].concat()).certificate(),
        Ok(Some(b"DER".as_slice()))
    );
    for wrong in [vec![], vec![1, 0, 2, 0, 1], vec![0; 5 + 4097]] {
        assert_eq!(message(wrong).certificate(), Err(Malformed::Value(tag::CERTIFICATE)));
    }
    assert!(message(vec![0; 5 + 4096]).certificate().is_ok());
    let made = Elements::default().with_certificate(1, b"DER");
    assert_eq!(made.get(tag::CERTIFICATE), Ok(Some(b"\x01\x00\x05\x00\x01DER".as_slice())));
}

#[test]
fn tvs_has_a_version_and_its_own_first_byte() {
    let header = [87, 1, 1, 0, 0, 0, 0, 9, 0, 4];
    let (read, len) = Tvs::header(&header).unwrap();
    assert_eq!((read.session, len), (9, 4));
    assert_eq!(Tvs::header(&[87, 2, 1, 0, 0, 0, 0, 9, 0, 4]), Err(Malformed::Version(2)));
    assert_eq!(Tvs::header(&[85, 1, 1, 0, 0, 0, 0, 9, 0, 4]), Err(Malformed::Protocol(85)));
}
