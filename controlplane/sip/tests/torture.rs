//! Messages in the spirit of RFC 4475: odd but legal ones are read, broken ones refused for the right reason.
#![allow(clippy::unwrap_used)]

mod common;

use common::{invite, options_with};
use pinhole_sip::{FieldError, Limits, Message, Method, ParseError, name};

fn parse(bytes: &[u8]) -> Result<Message, ParseError> {
    Message::parse(bytes, &Limits::default())
}

#[test]
fn odd_but_legal_request_is_understood() {
    let message = invite();
    message.validate().unwrap();
    assert_eq!(message.method(), Some(Method::Invite));
    assert_eq!(message.cseq().unwrap().number, 9);
    assert_eq!(message.from().unwrap().display_text().as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(message.from_tag().as_deref(), Some("98asjd8"));
    assert_eq!(message.values(name::VIA).len(), 3);
    assert_eq!(message.contacts().unwrap().len(), 2);
    assert_eq!(message.contact(), Err(FieldError::Duplicate("Contact".to_owned())));
    assert_eq!(message.values(name::SUPPORTED), ["replaces", "X-cisco-srtp-fallback"]);
    assert_eq!(message.call_id().unwrap(), "a84b4c76e66710@192.168.77.11");
}

#[test]
fn folded_value_reads_as_one_line() {
    let message = parse(&options_with("Subject: one\r\n\t two  \r\n   three\r\n")).unwrap();
    assert_eq!(message.header("Subject"), Some("one two three"));
}

#[test]
fn compact_and_long_names_are_one_field() {
    let message = invite();
    for (compact, long) in [
        ("v", "Via"),
        ("F", "from"),
        ("t", "TO"),
        ("m", "contact"),
        ("k", "Supported"),
        ("l", "Content-Length"),
    ] {
        assert_eq!(message.header(compact), message.header(long), "{compact}");
        assert!(message.header(long).is_some(), "{long}");
    }
}

#[test]
fn unknown_methods_and_schemes_pass() {
    let line = b"!interesting-Method0123456789_*+`.%indeed'~ soap.beep://192.0.2.103:3002 SIP/2.0\r\n\r\n";
    let message = parse(line).unwrap();
    assert_eq!(message.uri(), Some("soap.beep://192.0.2.103:3002"));
    assert!(matches!(message.method(), Some(Method::Other(_))));
    // Methods have regard to case.
    assert_eq!(
        parse(b"invite sip:a@b SIP/2.0\r\n\r\n").unwrap().method(),
        Some(Method::Other("invite".to_owned()))
    );
}

#[test]
fn empty_reason_is_allowed_with_and_without_space() {
    for line in ["SIP/2.0 100 \r\n\r\n", "SIP/2.0 100\r\n\r\n"] {
        assert_eq!(parse(line.as_bytes()).unwrap().code(), Some(100));
    }
}

#[test]
fn empty_lines_before_the_start_line_are_skipped() {
    let mut bytes = b"\r\n\r\n".to_vec();
    bytes.extend_from_slice(&options_with(""));
    assert!(parse(&bytes).is_ok());
    assert_eq!(parse(b"\r\n\r\n"), Err(ParseError::Empty));
    assert_eq!(parse(b""), Err(ParseError::Empty));
}

#[test]
fn broken_start_lines_are_refused() {
    let cases: [(&str, ParseError); 13] = [
        ("INVITE sip:a@b", ParseError::StartLine),
        ("INVITE  sip:a@b SIP/2.0", ParseError::StartLine),
        ("INVITE sip:a@b SIP/2.0 ", ParseError::StartLine),
        ("INVITE sip:a@b; lr SIP/2.0", ParseError::StartLine),
        ("INVITE sip:a@b\tSIP/2.0", ParseError::StartLine),
        ("INV(ITE sip:a@b SIP/2.0", ParseError::StartLine),
        (" INVITE sip:a@b SIP/2.0", ParseError::StartLine),
        ("INVITE sip:a@b SIP/7.0", ParseError::Version),
        ("GET / HTTP/1.1", ParseError::Version),
        ("SIP/3.0 200 OK", ParseError::Version),
        ("SIP/2.0 4294967301 better not break the receiver", ParseError::StatusCode),
        ("SIP/2.0 099 low", ParseError::StatusCode),
        ("SIP/2.0 +20 sign", ParseError::StatusCode),
    ];
    for (line, error) in cases {
        assert_eq!(parse(format!("{line}\r\n\r\n").as_bytes()), Err(error), "{line}");
    }
}

#[test]
fn broken_header_lines_are_refused() {
    for line in ["no colon here", ": no name", "bad name: x", "b\u{e4}d: x", "Na(me: x"] {
        assert_eq!(
            parse(&options_with(&format!("{line}\r\n"))),
            Err(ParseError::HeaderLine { number: 6 }),
            "{line}"
        );
    }
    let folded_first = b"OPTIONS sip:a@b SIP/2.0\r\n folded: first\r\n\r\n";
    assert_eq!(parse(folded_first), Err(ParseError::HeaderLine { number: 1 }));
}

#[test]
fn bare_cr_and_nul_are_refused() {
    for line in ["X: a\rVia: b", "X: a\0b", "X\0: b", "X: a\r\r\n b"] {
        assert_eq!(
            parse(&options_with(&format!("{line}\r\n"))),
            Err(ParseError::ControlCharacter),
            "{line:?}"
        );
    }
}

#[test]
fn message_without_end_of_headers_is_refused() {
    assert_eq!(parse(b"OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n"), Err(ParseError::NoEndOfHeaders));
    assert_eq!(parse(b"OPTIONS sip:a@b SIP/2.0"), Err(ParseError::NoEndOfHeaders));
}

#[test]
fn only_one_plain_content_length_is_taken() {
    for value in ["-1", "+5", "0x10", "5, 5", "5 5", "", "99999999999999999999999", "5;a", "\u{0665}"] {
        let bytes = options_with(&format!("Content-Length: {value}\r\n"));
        assert_eq!(parse(&bytes), Err(ParseError::ContentLength), "{value}");
    }
    for second in ["Content-Length: 0", "content-length: 3", "l: 0", "L : 0"] {
        let bytes = options_with(&format!("Content-Length: 0\r\n{second}\r\n"));
        assert_eq!(parse(&bytes), Err(ParseError::DuplicateContentLength), "{second}");
    }
}

#[test]
fn datagram_shorter_than_announced_is_refused() {
    let mut bytes = options_with("Content-Length: 10\r\n");
    bytes.extend_from_slice(b"123456789");
    assert_eq!(parse(&bytes), Err(ParseError::Truncated { announced: 10 }));
}

#[test]
fn every_limit_holds() {
    let limits = Limits { message: 1000, headers: 8, line: 100, body: 50 };
    let parse = |bytes: &[u8]| Message::parse(bytes, &limits);
    assert!(parse(&options_with("A: 1\r\nB: 2\r\nC: 3\r\n")).is_ok());
    assert_eq!(
        parse(&options_with("A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n")),
        Err(ParseError::TooManyHeaders { limit: 8 })
    );
    assert!(parse(&options_with(&format!("A: {}\r\n", "x".repeat(97)))).is_ok());
    assert_eq!(
        parse(&options_with(&format!("A: {}\r\n", "x".repeat(98)))),
        Err(ParseError::LineTooLong { limit: 100 })
    );
    let folds = format!("A: {}\r\n", "\r\n x".repeat(50));
    assert_eq!(parse(&options_with(&folds)), Err(ParseError::LineTooLong { limit: 100 }));
    let long_start = format!("OPTIONS sip:{} SIP/2.0\r\n\r\n", "x".repeat(100));
    assert_eq!(parse(long_start.as_bytes()), Err(ParseError::LineTooLong { limit: 100 }));
    let mut bytes = options_with("");
    bytes.extend_from_slice(&[b'x'; 51]);
    assert_eq!(parse(&bytes), Err(ParseError::BodyTooLong { limit: 50 }));
    bytes.extend_from_slice(&[b'x'; 1000]);
    assert_eq!(parse(&bytes), Err(ParseError::MessageTooLong { limit: 1000 }));
}

#[test]
fn mandatory_fields_are_checked() {
    let valid = String::from_utf8(options_with("")).unwrap();
    let validate = |text: String| parse(text.as_bytes()).unwrap().validate();
    assert_eq!(validate(valid.clone()), Ok(()));
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let without = valid.replace(&format!("{name}:"), "X-Other:");
        assert_eq!(validate(without), Err(FieldError::Missing(name.to_owned())), "{name}");
    }
    for (field, name) in
        [("f: <sip:x@y>", "From"), ("t: <sip:x@y>", "To"), ("i: 2", "Call-ID"), ("CSeq: 1 OPTIONS", "CSeq")]
    {
        let twice = String::from_utf8(options_with(&format!("{field}\r\n"))).unwrap();
        assert_eq!(validate(twice), Err(FieldError::Duplicate(name.to_owned())), "{name}");
    }
    assert_eq!(validate(valid.replace("1 OPTIONS", "1 INVITE")), Err(FieldError::CSeqMethod));
    for cseq in [
        "OPTIONS",
        "4294967296 OPTIONS",
        "2147483648 OPTIONS",
        "-1 OPTIONS",
        "1",
        "1 OPTIONS x",
        "36893488147419103232 OPTIONS",
    ] {
        let broken = validate(valid.replace("1 OPTIONS", cseq));
        assert_eq!(broken, Err(FieldError::Malformed("CSeq".to_owned())), "{cseq}");
    }
    for from in ["<sip:a@b", "\"open <sip:a@b>", "", "<>", "<sip:a@b> junk"] {
        let broken = validate(valid.replace("<sip:a@b>;tag=1", from));
        assert_eq!(broken, Err(FieldError::Malformed("From".to_owned())), "{from}");
    }
}

#[test]
fn ack_without_to_tag_is_valid() {
    // Cisco phones send such an ACK to a 487; the branch names its transaction.
    let text = String::from_utf8(options_with("")).unwrap().replace("OPTIONS", "ACK");
    let ack = parse(text.as_bytes()).unwrap();
    assert_eq!(ack.validate(), Ok(()));
    assert_eq!(ack.to_tag(), None);
    assert_eq!(ack.top_via().unwrap().branch(), Some("z9hG4bK1"));
}
