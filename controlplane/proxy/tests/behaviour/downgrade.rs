//! SRTP outside is not negotiable.

use pinhole_flow::CommandKind;
use pinhole_proxy::Counter;
use pinhole_sip::name;

use crate::stage::*;

fn refused_offer(media: &str) -> Stage {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_phone("call-1", &sdp("192.168.77.11", media));
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_phone().code(), Some(488));
    stage.nothing_more();
    assert!(stage.proxy.calls(stage.now).is_empty());
    assert_eq!(stage.proxy.ports().in_use, 0);
    stage
}

#[test]
fn plain_offer_of_a_phone_is_refused() {
    let stage = refused_offer("m=audio 30000 RTP/AVP 0\r\n");
    assert_eq!(stage.count(Counter::OfferNotSecure), 1);
}

#[test]
fn plain_offer_with_keys_is_refused() {
    let media = format!("m=audio 30000 RTP/AVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_A}\r\n");
    assert_eq!(refused_offer(&media).count(Counter::OfferNotSecure), 1);
}

#[test]
fn one_plain_line_beside_a_secure_one_is_refused() {
    let media = format!(
        "m=audio 30000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_A}\r\nm=video 30002 RTP/AVP 96\r\n"
    );
    assert_eq!(refused_offer(&media).count(Counter::OfferNotSecure), 1);
}

#[test]
fn offer_without_a_usable_line_is_refused() {
    let media = format!(
        "m=audio 30000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_A} UNENCRYPTED_SRTP\r\n"
    );
    assert_eq!(refused_offer(&media).count(Counter::OfferWithoutSuite), 1);
    // A suite that is known, and not configured.
    let media = "m=audio 30000 RTP/SAVP 0\r\na=crypto:1 AEAD_AES_128_GCM inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\r\n";
    assert_eq!(refused_offer(media).count(Counter::OfferWithoutSuite), 1);
}

#[test]
fn offer_of_nothing_that_is_carried_is_refused() {
    let media = "m=audio 30000 UDP/TLS/RTP/SAVPF 0\r\na=fingerprint:sha-256 00\r\n";
    assert_eq!(refused_offer(media).count(Counter::OfferWithoutMedia), 1);
}

#[test]
fn unreadable_offer_is_refused() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_phone("call-1", "no description");
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_phone().code(), Some(488));
    assert_eq!(stage.count(Counter::OfferMalformed), 1);
}

#[test]
fn secure_offer_from_inside_is_refused() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_cm("call-1", &offer_outside(KEY_A));
    stage.cm_sends(invite);
    assert_eq!(stage.at_cm().code(), Some(488));
    assert_eq!(stage.count(Counter::InsideOfferSecure), 1);
    stage.nothing_more();
}

fn refused_answer(answer: &str) -> Stage {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_phone();
    let mut ok = reply(&request, 200, "OK", "phtag", answer);
    ok.push(name::CONTACT, "<sip:1001@192.168.77.11:5061;transport=tls>");
    stage.phone_sends(1, ok);
    let (ack, bye) = (stage.at_phone(), stage.at_phone());
    assert_eq!(ack.method().unwrap().as_str(), "ACK");
    assert_eq!(bye.method().unwrap().as_str(), "BYE");
    assert_eq!(bye.cseq().unwrap().number, 2);
    assert_eq!(bye.to_tag().as_deref(), Some("phtag"));
    assert_eq!(bye.uri(), Some("sip:1001@192.168.77.11:5061;transport=tls"));
    assert_eq!(stage.at_cm().code(), Some(488));
    stage.nothing_more();
    assert!(stage.commands_of(CommandKind::Open).is_empty());
    assert_eq!(stage.proxy.ports().in_use, 0);
    assert!(stage.proxy.calls(stage.now).is_empty());
    stage
}

#[test]
fn plain_answer_of_a_phone_ends_the_call() {
    let stage = refused_answer(&sdp("192.168.77.11", "m=audio 30000 RTP/AVP 0\r\n"));
    assert_eq!(stage.count(Counter::AnswerNotSecure), 1);
}

#[test]
fn answer_with_another_tag_or_suite_ends_the_call() {
    let answer = answer_outside("2", "AES_CM_128_HMAC_SHA1_80", KEY_A);
    assert_eq!(refused_answer(&answer).count(Counter::AnswerCryptoRefused), 1);
    let answer = answer_outside("1", "AES_CM_128_HMAC_SHA1_32", KEY_A);
    assert_eq!(refused_answer(&answer).count(Counter::AnswerCryptoRefused), 1);
}

#[test]
fn plain_early_answer_ends_the_call() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_phone();
    stage.phone_sends(
        1,
        reply(&request, 183, "Session Progress", "phtag", &sdp("192.168.77.11", "m=audio 3 RTP/AVP 0\r\n")),
    );
    assert_eq!(stage.at_phone().method().unwrap().as_str(), "CANCEL");
    assert_eq!(stage.at_cm().code(), Some(488));
    stage.nothing_more();
    assert!(stage.proxy.calls(stage.now).is_empty());
}

#[test]
fn plain_answer_to_a_reinvite_ends_the_call_on_both_sides() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_to_phone();
    let invite = stage.in_dialog("UDP", "INVITE", "sip:x@10.20.0.5", "5 INVITE", &[], &offer_inside());
    stage.cm_sends(invite);
    stage.at_cm();
    let request = stage.at_phone();
    stage.phone_sends(
        1,
        reply(&request, 200, "OK", "phtag", &sdp("192.168.77.11", "m=audio 3 RTP/AVP 0\r\n")),
    );
    assert_eq!(stage.at_phone().method().unwrap().as_str(), "ACK");
    assert_eq!(stage.at_cm().code(), Some(488));
    assert_eq!(stage.at_phone().method().unwrap().as_str(), "BYE");
    assert_eq!(stage.at_cm().method().unwrap().as_str(), "BYE");
    stage.nothing_more();
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
}

#[test]
fn plain_reoffer_of_a_phone_is_refused_and_the_call_goes_on() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let plain = sdp("192.168.77.11", "m=audio 30000 RTP/AVP 0\r\n");
    let invite = stage.in_dialog("TLS", "INVITE", "sip:x@203.0.113.5", "2 INVITE", &[], &plain);
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_phone().code(), Some(488));
    stage.nothing_more();
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
    assert_eq!(stage.commands.len(), 1);
}

#[test]
fn description_outside_calls_does_not_pass() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let message = stage.message_of_phone(&offer_outside(KEY_A));
    stage.phone_sends(1, message);
    let request = stage.at_cm();
    assert!(request.body.is_empty());
    assert!(request.header(name::CONTENT_TYPE).is_none());
}

#[test]
fn no_key_is_shown_to_operators() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let shown = format!("{:?} {:?} {:?}", stage.events, stage.proxy.calls(stage.now), stage.commands);
    assert!(!shown.contains("AAAAAAAAAA"), "{shown}");
    for note in stage.notes.values() {
        assert!(!String::from_utf8_lossy(note).contains("inline"));
    }
}
