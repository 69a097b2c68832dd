//! Devices of the class *authenticated*: TLS, and plain RTP outside.

use pinhole_admin::SecurityClass::{Authenticated, Encrypted};
use pinhole_flow::{CommandKind, Leg, LegFlags, MasterKey};
use pinhole_proxy::Counter;
use pinhole_sip::{Message, name};

use crate::adopt::restart_with;
use crate::stage::*;

fn authenticated() -> Stage {
    let mut stage = Stage::new();
    stage.connect_as(PHONE_A, 1, Authenticated);
    stage
}

/// The legs that are in force.
fn legs(stage: &Stage) -> [Leg; 2] {
    stage.commands.last().expect("a command").session.legs
}

fn in_the_clear(leg: &Leg) -> bool {
    [leg.inbound, leg.outbound] == [MasterKey::NONE; 2] && leg.flags == 0
}

/// What the call manager's INVITE in a call looks like at phone A, on its connection.
fn reoffered(stage: &mut Stage, cseq: &str, offer: &str) -> Message {
    let target = "sip:x@10.20.0.5";
    let invite =
        stage.in_dialog("UDP", "INVITE", target, cseq, &["Contact: <sip:2001@10.20.0.20:5060>"], offer);
    stage.cm_sends(invite);
    assert_eq!(stage.at_cm().code(), Some(100));
    stage.at_phone()
}

#[test]
fn plain_offer_is_carried_in_the_clear_on_both_sides() {
    let mut stage = authenticated();
    let at_cm = stage.call_from_phone_with(&plain_offer_outside());
    assert!(sdp_line(&at_cm, "m=audio").contains(" RTP/AVP 0 101"));
    let [outside, inside] = legs(&stage);
    assert!(in_the_clear(&outside) && in_the_clear(&inside), "{outside:?} {inside:?}");
    assert_eq!((inside.remote_ip().to_string().as_str(), inside.remote_rtp), ("10.20.0.20", 40000));
    assert_eq!(stage.count(Counter::SessionsClear), 1);
    assert_eq!(stage.proxy.calls(stage.now)[0].suite.as_deref(), Some("RTP"));
}

#[test]
fn answer_to_a_plain_offer_has_our_address_and_no_key() {
    let mut stage = authenticated();
    let invite = stage.invite_of_phone("call-1", &plain_offer_outside());
    stage.phone_sends(1, invite);
    let at_cm = stage.at_cm();
    stage.at_phone();
    stage.cm_sends(reply(&at_cm, 200, "OK", "cmtag", &answer_inside()));
    let answer = stage.at_phone();
    let [outside, _] = legs(&stage);
    assert_eq!(sdp_line(&answer, "m=audio"), format!("m=audio {} RTP/AVP 0", outside.local_rtp));
    assert!(body(&answer).contains("c=IN IP4 203.0.113.5") && !body(&answer).contains("crypto"));
}

#[test]
fn media_in_the_clear_goes_to_where_the_connection_comes_from_whatever_is_said() {
    for said in ["192.168.77.11", "203.0.113.66", "10.20.0.10"] {
        let mut stage = authenticated();
        stage.call_from_phone_with(&plain_offer_outside().replace("192.168.77.11", said));
        let [outside, _] = legs(&stage);
        assert_eq!(outside.remote_ip(), peer(1).ip(), "not to {said}");
        assert_eq!((outside.remote_rtp, outside.remote_rtcp), (30000, 30001));
    }
}

#[test]
fn call_to_an_authenticated_device_is_offered_in_the_clear() {
    let mut stage = authenticated();
    let invite = stage.ring_phone();
    assert!(sdp_line(&invite, "m=audio").contains(" RTP/AVP 0 101"));
    assert!(!body(&invite).contains("crypto"));
    let answer = sdp("192.168.77.11", "m=audio 30000 RTP/AVP 0\r\n");
    stage.phone_sends(1, reply(&invite, 200, "OK", "phtag", &answer));
    assert!(sdp_line(&stage.at_cm(), "m=audio").contains(" RTP/AVP 0"));
    let [outside, _] = legs(&stage);
    assert!(in_the_clear(&outside));
    assert_eq!((outside.remote_ip(), outside.remote_rtp), (peer(1).ip(), 30000));
}

#[test]
fn srtp_in_answer_to_a_plain_offer_ends_the_call() {
    let mut stage = authenticated();
    let invite = stage.ring_phone();
    let answer = answer_outside("1", "AES_CM_128_HMAC_SHA1_80", KEY_A);
    stage.phone_sends(1, reply(&invite, 200, "OK", "phtag", &answer));
    assert_eq!(stage.at_cm().code(), Some(488));
    assert_eq!(stage.count(Counter::AnswerMalformed), 1);
    assert!(stage.commands_of(CommandKind::Open).is_empty());
}

#[test]
fn srtp_that_an_authenticated_device_offers_is_used_and_not_taken_back() {
    let mut stage = authenticated();
    stage.call_from_phone();
    let [outside, _] = legs(&stage);
    assert!(
        outside.has(LegFlags::LEARN)
            && outside.inbound.suite().is_some()
            && outside.outbound.suite().is_some()
    );
    assert_eq!(stage.count(Counter::SessionsClear), 0);
    let plain = plain_offer_outside();
    let invite = stage.in_dialog("TLS", "INVITE", "sip:x@203.0.113.5", "2 INVITE", &[], &plain);
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_phone().code(), Some(488));
    assert_eq!(stage.count(Counter::OfferNotSecure), 1);
    let invite = reoffered(&mut stage, "5 INVITE", &offer_inside());
    assert!(sdp_line(&invite, "m=audio").contains("RTP/SAVP"));
    sdp_line(&invite, "a=crypto:");
}

#[test]
fn hold_by_the_zero_address_sends_nothing_to_an_authenticated_device() {
    let mut stage = authenticated();
    stage.call_from_phone_with(&plain_offer_outside());
    let held = plain_offer_outside().replace("192.168.77.11", "0.0.0.0");
    let contact = "Contact: <sip:1001@192.168.77.11:5061;transport=tls>";
    let invite = stage.in_dialog("TLS", "INVITE", "sip:x@203.0.113.5", "2 INVITE", &[contact], &held);
    stage.phone_sends(1, invite);
    stage.at_phone();
    let request = stage.at_cm();
    stage.cm_sends(reply(&request, 200, "OK", "cmtag", &answer_inside()));
    assert_eq!(stage.at_phone().code(), Some(200));
    let [outside, _] = legs(&stage);
    assert!(in_the_clear(&outside));
    assert_eq!((outside.remote_ip().is_unspecified(), outside.remote_rtp), (true, 0));
}

#[test]
fn early_answers_in_the_clear_may_be_given_again() {
    let mut stage = authenticated();
    let invite = stage.ring_phone();
    let answer = sdp("192.168.77.11", "m=audio 30000 RTP/AVP 0\r\n");
    for (code, reason) in [(183, "Session Progress"), (183, "Session Progress"), (200, "OK")] {
        stage.phone_sends(1, reply(&invite, code, reason, "phtag", &answer));
        assert_eq!(stage.at_cm().code(), Some(code));
    }
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 1);
    assert!(in_the_clear(&legs(&stage)[0]));
}

#[test]
fn device_that_became_encrypted_gets_srtp_with_the_next_offer() {
    let mut stage = authenticated();
    stage.call_from_phone_with(&plain_offer_outside());
    stage.connect_as(PHONE_A, 5, Encrypted);
    let plain = plain_offer_outside();
    let invite = stage.in_dialog("TLS", "INVITE", "sip:x@203.0.113.5", "2 INVITE", &[], &plain);
    stage.phone_sends(5, invite);
    assert_eq!(stage.at_phone().code(), Some(488));
    let invite = reoffered(&mut stage, "5 INVITE", &offer_inside());
    let crypto = sdp_line(&invite, "a=crypto:");
    let (tag, suite) = tag_and_suite(&crypto);
    stage.phone_sends(5, reply(&invite, 200, "OK", "phtag", &answer_outside(tag, suite, KEY_A)));
    assert_eq!(stage.at_cm().code(), Some(200));
    let [outside, _] = legs(&stage);
    assert!(outside.has(LegFlags::LEARN) && outside.inbound.suite().is_some());
}

#[test]
fn devices_of_both_classes_behind_one_address_are_told_apart() {
    let mut stage = authenticated();
    stage.connect_as(PHONE_B, 2, Encrypted);
    assert_eq!(peer(1).ip(), peer(2).ip());
    stage.call_from_phone_with(&plain_offer_outside());
    let of_b = |text: Vec<u8>| parse(&String::from_utf8(text).unwrap().replace("1001", "1002").into_bytes());
    let invite = stage.invite_of_phone("call-2", &plain_offer_outside());
    stage.phone_sends(2, of_b(invite.to_bytes()));
    let refused = stage.phone.pop_front().expect("an answer");
    assert_eq!((refused.0.0, refused.1.code()), (2, Some(488)));
    assert_eq!(stage.count(Counter::OfferNotSecure), 1);
    let invite = stage.invite_of_phone("call-2", &offer_outside(KEY_B));
    stage.phone_sends(2, of_b(invite.to_bytes()));
    let request = stage.at_cm();
    stage.cm_sends(reply(&request, 200, "OK", "cmtag", &answer_inside()));
    let [open_a, open_b] = stage.commands_of(CommandKind::Open).try_into().expect("two sessions");
    assert!(in_the_clear(&open_a.session.legs[0]));
    assert!(open_b.session.legs[0].has(LegFlags::LEARN) && open_b.session.legs[0].inbound.suite().is_some());
}

#[test]
fn call_in_the_clear_outlives_the_control_plane() {
    let mut old = authenticated();
    old.call_from_phone_with(&plain_offer_outside());
    let mut stage = restart_with(&old, config());
    assert_eq!(stage.proxy.calls(stage.now)[0].suite.as_deref(), Some("RTP"));
    stage.connect_as(PHONE_A, 5, Authenticated);
    let invite = reoffered(&mut stage, "5 INVITE", &offer_inside());
    assert!(sdp_line(&invite, "m=audio").contains(" RTP/AVP"));
    let bye = stage.in_dialog("TLS", "BYE", "sip:x@203.0.113.5", "2 BYE", &[], "");
    stage.phone_sends(5, bye);
    let bye = stage.at_cm();
    assert_eq!(bye.header(name::CSEQ), Some("2 BYE"));
    stage.cm_sends(reply(&bye, 200, "OK", "cmtag", ""));
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
}
