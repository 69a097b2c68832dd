//! SDP in plain and multipart bodies.

use pinhole_sip::{BodyError, Message, Method};

fn message(content_type: &str, body: &str) -> Message {
    let mut message = Message::request(Method::Invite, "sip:a@b");
    message.push("Content-Type", content_type);
    message.body = body.as_bytes().to_vec();
    message
}

const MIXED: &str = "preamble\r\n--unique\r\nContent-Type: application/x-cisco-remotecc-request+xml\r\nContent-ID: <1>\r\n\r\n<x>\r\n--uniqueish\r\n</x>\r\n\
--unique\r\nContent-Type: application/SDP ;charset=x\r\nContent-Disposition: session\r\n\r\nv=0\r\ns=-\r\n\r\n--unique--\r\nepilogue";

#[test]
fn plain_sdp_is_the_whole_body() {
    let mut message = message("Application/SDP; charset=utf-8", "v=0\r\n");
    assert_eq!(message.sdp(), Ok(Some(&b"v=0\r\n"[..])));
    assert_eq!(message.replace_sdp(b"v=0\r\ns=x\r\n"), Ok(true));
    assert_eq!(message.body, b"v=0\r\ns=x\r\n");
}

#[test]
fn nothing_after_its_type_hides_an_sdp() {
    for kind in
        ["application/sdp, text/plain", "application/sdp text", "application / sdp", "application/sdp/x"]
    {
        assert_eq!(message(kind, "v=0\r\n").sdp(), Ok(Some(&b"v=0\r\n"[..])), "{kind}");
    }
    assert_eq!(message("application/sdpx", "v=0\r\n").sdp(), Ok(None));
}

#[test]
fn sdp_part_is_replaced_and_the_other_parts_stay() {
    let mut message = message("multipart/mixed;boundary=\"unique\"", MIXED);
    assert_eq!(message.sdp(), Ok(Some(&b"v=0\r\ns=-\r\n"[..])));
    assert_eq!(message.replace_sdp(b"NEW"), Ok(true));
    assert_eq!(message.body, MIXED.replace("v=0\r\ns=-\r\n", "NEW").as_bytes());
}

#[test]
fn nested_sdp_is_found() {
    let inner = "--i\r\n\r\ntext\r\n--i\r\nc: application/sdp\r\n\r\nv=0\r\n--i--\r\n";
    let body = format!("--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n{inner}\r\n--o--\r\n");
    assert_eq!(message("multipart/mixed; boundary=o", &body).sdp(), Ok(Some(&b"v=0"[..])));
}

#[test]
fn bodies_without_sdp_have_none() {
    assert_eq!(message("application/x-cisco-remotecc-request+xml", "<x/>").sdp(), Ok(None));
    assert_eq!(message("application/sdp", "").sdp(), Ok(None));
    assert_eq!(message("multipart/mixed;boundary=b", "--b\r\n\r\nv=0\r\n--b--").sdp(), Ok(None));
    assert_eq!(message("message/sipfrag", "SIP/2.0 100 Trying").clone().replace_sdp(b"x"), Ok(false));
}

#[test]
fn sdp_that_cannot_be_reached_is_an_error() {
    let cases = [
        ("multipart/mixed", "--b\r\n\r\nx\r\n--b--", BodyError::Multipart),
        ("multipart/mixed;boundary=", "----\r\n", BodyError::Multipart),
        ("multipart/mixed;boundary=b", "nothing here", BodyError::Multipart),
        (
            "multipart/mixed;boundary=b",
            "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n",
            BodyError::Multipart,
        ),
        ("multipart/mixed;boundary=b", "--b\r\nnot a header\r\n\r\nx\r\n--b--", BodyError::Multipart),
        (
            "multipart/mixed;boundary=b",
            "--b\r\nContent-Type: application/sdp\r\n\r\n1\r\n--b\r\nContent-Type: application/sdp\r\n\r\n2\r\n--b--",
            BodyError::SeveralSdp,
        ),
        (
            "multipart/mixed;boundary=b",
            "--b\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w\r\n--b--",
            BodyError::Encoding,
        ),
    ];
    for (content_type, body, error) in cases {
        assert_eq!(message(content_type, body).sdp(), Err(error), "{body}");
    }
    let mut zipped = message("application/sdp", "v=0\r\n");
    zipped.push("e", "gzip");
    assert_eq!(zipped.sdp(), Err(BodyError::Encoding));
    let mut untyped = Message::request(Method::Invite, "sip:a@b");
    untyped.body = b"v=0\r\n".to_vec();
    assert!(matches!(untyped.sdp(), Err(BodyError::Field(_))));
    let mut double = message("application/sdp", "v=0\r\n");
    double.push("c", "text/plain");
    assert!(matches!(double.sdp(), Err(BodyError::Field(_))));
}

#[test]
fn deep_nesting_is_refused() {
    let mut body = "--b4\r\n\r\nx\r\n--b4--\r\n".to_owned();
    for depth in (0..4).rev() {
        body = format!(
            "--b{depth}\r\nContent-Type: multipart/mixed;boundary=b{}\r\n\r\n{body}\r\n--b{depth}--\r\n",
            depth + 1
        );
    }
    assert_eq!(message("multipart/mixed;boundary=b0", &body).sdp(), Err(BodyError::Multipart));
}
