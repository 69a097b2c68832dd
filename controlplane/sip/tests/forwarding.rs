//! What a message looks like after it went through.
#![allow(clippy::unwrap_used)]

mod common;

use common::{INVITE, invite, options_with};
use pinhole_sip::{Limits, Message, StartLine, name};

fn parse(bytes: &[u8]) -> Message {
    Message::parse(bytes, &Limits::default()).unwrap()
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.to_bytes()).into_owned()
}

#[test]
fn untouched_message_leaves_byte_for_byte() {
    assert_eq!(invite().to_bytes(), INVITE);
}

#[test]
fn an_edit_changes_its_own_header_only() {
    let mut message = invite();
    message.set(name::MAX_FORWARDS, "69");
    let expected = String::from_utf8_lossy(INVITE).replace("Max-Forwards:70", "Max-Forwards: 69");
    assert_eq!(text(&message), expected);
}

#[test]
fn setting_an_equal_value_keeps_the_bytes() {
    let mut message = invite();
    message.set(name::CSEQ, "0009  INVITE");
    message.set_uri("sip:2001@lab.example;transport=tcp");
    assert_eq!(message.to_bytes(), INVITE);
}

#[test]
fn set_leaves_one_field_in_the_place_of_the_first() {
    let mut message = parse(&options_with("X: 1\r\nRoute: <sip:r1>\r\nY: 2\r\nroute: <sip:r2>\r\n"));
    message.set("Route", "<sip:r3>");
    assert!(text(&message).contains("X: 1\r\nRoute: <sip:r3>\r\nY: 2\r\nContent-Length"));
}

#[test]
fn removed_fields_can_be_put_back_with_their_bytes() {
    let mut message = invite();
    let vias = message.remove(name::VIA);
    assert_eq!(vias.len(), 2);
    message.push_top(name::VIA, "SIP/2.0/UDP 10.20.0.5:5060;branch=z9hG4bKours");
    assert_eq!(message.values(name::VIA).len(), 1);
    message.remove(name::VIA);
    message.insert_top(vias);
    assert_eq!(message.to_bytes(), INVITE);
}

#[test]
fn push_top_puts_a_via_above_the_others() {
    let mut message = invite();
    message.push_top(name::VIA, "SIP/2.0/TCP ours;branch=z9hG4bKours");
    assert_eq!(message.top_via().unwrap().branch(), Some("z9hG4bKours"));
    assert_eq!(message.values(name::VIA).len(), 4);
}

#[test]
fn content_length_follows_the_body() {
    let mut message = invite();
    message.body = b"v=0\r\ns=-\r\n".to_vec();
    assert!(text(&message).contains("\r\nl: 10\r\n\r\nv=0\r\ns=-\r\n"));
}

#[test]
fn missing_content_length_is_added() {
    let mut bytes = options_with("");
    let message = parse(&bytes);
    assert_eq!(message.header(name::CONTENT_LENGTH), None);
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    assert_eq!(message.to_bytes(), bytes);
}

#[test]
fn datagram_without_content_length_has_all_the_rest_as_body() {
    let mut bytes = options_with("");
    bytes.extend_from_slice(b"some body\r\n");
    assert_eq!(parse(&bytes).body, b"some body\r\n");
}

#[test]
fn bytes_after_the_announced_body_of_a_datagram_are_dropped() {
    let mut bytes = options_with("Content-Length: 2\r\n");
    bytes.extend_from_slice(b"okINVITE sip:evil@b SIP/2.0\r\n");
    let message = parse(&bytes);
    assert_eq!(message.body, b"ok");
    assert!(!text(&message).contains("evil"));
}

#[test]
fn bare_line_feeds_are_understood_and_leave_as_crlf() {
    let bare = options_with("Subject: a\r\n b\r\n")
        .iter()
        .copied()
        .filter(|byte| *byte != b'\r')
        .collect::<Vec<_>>();
    let message = parse(&bare);
    assert_eq!(message.header("s"), Some("a b"));
    assert_eq!(message.to_bytes(), parse(&options_with("Subject: a\r\n b\r\n")).to_bytes());
}

#[test]
fn status_line_keeps_its_bytes_until_it_is_changed() {
    let mut message = parse(b"sip/2.0 180 Kl\xe4ngelt \r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(message.to_bytes(), b"sip/2.0 180 Kl\xe4ngelt \r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n");
    message.start = StartLine::Response { code: 200, reason: "OK".to_owned() };
    assert!(text(&message).starts_with("SIP/2.0 200 OK\r\n"));
}

#[test]
fn set_values_cannot_inject_headers_or_a_body() {
    let mut message = invite();
    message.set("Reason", "x\r\nVia: SIP/2.0/UDP evil\r\n\r\nbody");
    message.set_uri("sip:a SIP/2.0\r\nX: y");
    message.push("Bad\r\nName", "v\0");
    let again = parse_headers_leniently(&message);
    assert_eq!(again.matches("\r\nVia:").count(), 1);
    assert!(!again.contains("\r\nX: y"));
    assert!(!again.contains("\r\nName"));
}

fn parse_headers_leniently(message: &Message) -> String {
    text(message)
}

#[test]
fn response_copies_what_rfc_3261_section_8_2_6_names() {
    let response = Message::response_to(&invite(), 403, "Forbidden", Some("ours"));
    let text = text(&response);
    assert!(text.starts_with("SIP/2.0 403 Forbidden\r\nVia: SIP/2.0/TLS 192.168.77.11:50001;branch"));
    assert!(text.contains("t: <sip:2001@lab.example>;tag=ours\r\n"));
    assert!(text.contains("CSeq:\t0009  INVITE\r\n"));
    assert!(text.ends_with("Content-Length: 0\r\n\r\n"));
    assert!(!text.contains("Contact") && !text.contains("Supported"));
    assert_eq!(response.values(name::VIA).len(), 3);
    response.validate().unwrap();
}

#[test]
fn response_keeps_a_to_tag_that_is_there() {
    let mut request = invite();
    request.set(name::TO, "<sip:2001@lab.example>;tag=theirs");
    let response = Message::response_to(&request, 481, "Gone", Some("ours"));
    assert_eq!(response.to_tag().as_deref(), Some("theirs"));
    let trying = Message::response_to(&invite(), 100, "Trying", None);
    assert_eq!(trying.to_tag(), None);
}

#[test]
fn debug_shows_neither_body_nor_header_values() {
    let mut message = invite();
    message.push("Authorization", "Digest response=\"topsecret\"");
    message.body = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:topsecret".to_vec();
    let debug = format!("{message:?} {:?}", message.headers);
    assert!(!debug.contains("topsecret"), "{debug}");
}
