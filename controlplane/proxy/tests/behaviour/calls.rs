//! Calls both ways: dialogs, Contacts, media sessions.

use std::time::Duration;

use pinhole_admin::{CallState, Direction};
use pinhole_flow::{CommandKind, LegFlags, Suite};
use pinhole_proxy::{Counter, Route};
use pinhole_sip::name;

use crate::stage::*;

#[test]
fn phone_calls_inside() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_cm(&offer_outside(KEY_A));
    assert_eq!(request.uri(), Some("sip:2001@lab.example"));
    assert_eq!(request.header(name::SUPPORTED), Some("replaces"));
    assert_eq!(sdp_line(&request, "m=audio"), "m=audio 20000 RTP/AVP 0 101");
    assert_eq!(sdp_line(&request, "c="), "c=IN IP4 10.20.0.5");
    assert_eq!(sdp_line(&request, "o="), "o=- 1 1 IN IP4 10.20.0.5");
    assert_eq!(sdp_line(&request, "a=ptime"), "a=ptime:20");
    let text = String::from_utf8(request.to_bytes()).unwrap();
    for hidden in ["a=crypto", "candidate", "192.168.77", "203.0.113"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert!(stage.commands.is_empty());

    let mut ringing = reply(&request, 180, "Ringing", "cmtag", "");
    ringing.push(name::CONTACT, "<sip:2001@10.20.0.20:5060>");
    stage.cm_sends(ringing);
    assert_eq!(stage.at_phone().code(), Some(180));

    let mut ok = reply(&request, 200, "OK", "cmtag", &answer_inside());
    ok.push(name::CONTACT, "<sip:2001@10.20.0.20:5060>");
    ok.push(name::RECORD_ROUTE, "<sip:10.20.0.10;lr>");
    stage.cm_sends(ok);
    let response = stage.at_phone();
    assert_eq!(response.code(), Some(200));
    assert_eq!(sdp_line(&response, "m=audio"), "m=audio 16384 RTP/SAVP 0");
    // Our preference among what the phone offered, under the phone's tag.
    let crypto = sdp_line(&response, "a=crypto:");
    assert_eq!(tag_and_suite(&crypto), ("2", "AES_CM_128_HMAC_SHA1_80"));
    assert!(!crypto.contains(KEY_A));
    assert!(!String::from_utf8(response.to_bytes()).unwrap().contains("10.20.0"));
    assert!(contact_uri(&response).ends_with("@203.0.113.5:5061;transport=tls"));

    let open = stage.commands_of(CommandKind::Open);
    assert_eq!(open.len(), 1);
    let [outside, inside] = open[0].session.legs;
    assert_eq!((outside.port, outside.local_rtp, outside.local_rtcp), (0, 16384, 16385));
    assert_eq!(outside.flags, LegFlags::LEARN);
    assert_eq!(outside.inbound.suite(), Some(Suite::AesCm128HmacSha1_80));
    assert_eq!(outside.outbound.suite(), Some(Suite::AesCm128HmacSha1_80));
    assert_ne!(outside.inbound.key(), outside.outbound.key());
    // The private address that the phone signals is not where it is.
    assert_eq!(outside.remote_rtp, 0);
    assert_eq!(
        (inside.port, inside.local_rtp, inside.remote_rtp, inside.remote_rtcp),
        (1, 20000, 40000, 40001)
    );
    assert_eq!(inside.remote_ip(), "10.20.0.20".parse::<std::net::IpAddr>().unwrap());
    assert_eq!((inside.inbound.suite(), inside.outbound.suite()), (None, None));

    let ack = stage.in_dialog("TLS", "ACK", &contact_uri(&response), "1 ACK", &[], "");
    stage.phone_sends(1, ack);
    let ack = stage.at_cm();
    assert_eq!(ack.uri(), Some("sip:2001@10.20.0.20:5060"));
    assert_eq!(ack.header(name::ROUTE), Some("<sip:10.20.0.10;lr>"));

    let calls = stage.proxy.calls(stage.now);
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].direction, calls[0].state), (Direction::FromPhone, CallState::Talking));
    assert_eq!(
        (calls[0].from.as_str(), calls[0].to.as_str()),
        ("sip:1001@lab.example", "sip:2001@lab.example")
    );
    assert_eq!(calls[0].suite.as_deref(), Some("AES_CM_128_HMAC_SHA1_80"));

    let bye = stage.in_dialog("TLS", "BYE", &contact_uri(&response), "2 BYE", &[], "");
    stage.phone_sends(1, bye);
    let bye = stage.at_cm();
    stage.cm_sends(reply(&bye, 200, "OK", "cmtag", ""));
    assert_eq!(stage.at_phone().code(), Some(200));
    stage.nothing_more();
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    assert!(stage.proxy.calls(stage.now).is_empty());
    assert_eq!(stage.proxy.ports().in_use, 0);
}

#[test]
fn inside_calls_phone() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_phone();
    assert_eq!(request.uri(), Some("sip:1001@192.168.77.11:5061;transport=tls"));
    assert!(request.header(name::RECORD_ROUTE).is_none());
    assert_eq!(request.values(name::VIA).len(), 1);
    assert!(!String::from_utf8(request.to_bytes()).unwrap().contains("10.20.0"));
    assert_eq!(sdp_line(&request, "m=audio"), "m=audio 16384 RTP/SAVP 0 101");
    let crypto = sdp_line(&request, "a=crypto:");
    assert_eq!(tag_and_suite(&crypto), ("1", "AES_CM_128_HMAC_SHA1_80"));

    let body = answer_outside("1", "AES_CM_128_HMAC_SHA1_80", KEY_A);
    let mut ok = reply(&request, 200, "OK", "phtag", &body);
    ok.push(name::CONTACT, "<sip:1001@192.168.77.11:5061;transport=tls>");
    stage.phone_sends(1, ok);
    let response = stage.at_cm();
    assert_eq!(response.header(name::RECORD_ROUTE), Some("<sip:10.20.0.10;lr>"));
    assert_eq!(sdp_line(&response, "m=audio"), "m=audio 20000 RTP/AVP 0");
    assert!(!body_has(&response, "crypto"));
    assert!(contact_uri(&response).ends_with("@10.20.0.5:5060;transport=udp"));
    let ack = stage.in_dialog("UDP", "ACK", &contact_uri(&response), "1 ACK", &[], "");
    stage.cm_sends(ack);
    assert_eq!(stage.at_phone().uri(), Some("sip:1001@192.168.77.11:5061;transport=tls"));

    let open = stage.commands_of(CommandKind::Open);
    let [outside, inside] = open[0].session.legs;
    assert_eq!(outside.inbound.key(), [0; 16]);
    assert_eq!(inside.remote_rtp, 40000);

    let bye = stage.in_dialog("UDP", "BYE", &contact_uri(&response), "2 BYE", &[], "");
    stage.cm_sends(bye);
    let bye = stage.at_phone();
    assert_eq!(bye.uri(), Some("sip:1001@192.168.77.11:5061;transport=tls"));
    stage.phone_sends(1, reply(&bye, 200, "OK", "phtag", ""));
    assert_eq!(stage.at_cm().code(), Some(200));
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    assert!(stage.proxy.calls(stage.now).is_empty());
}

fn body_has(message: &pinhole_sip::Message, text: &str) -> bool {
    body(message).contains(text)
}

#[test]
fn phone_without_nat_is_sent_to_before_it_sends() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let offer = offer_outside(KEY_A).replace("192.168.77.11", "198.51.100.10");
    let invite = stage.invite_of_phone("call-1", &offer);
    stage.phone_sends(1, invite);
    let request = stage.at_cm();
    stage.cm_sends(reply(&request, 200, "OK", "cmtag", &answer_inside()));
    let leg = stage.commands_of(CommandKind::Open)[0].session.legs[0];
    assert_eq!(
        (leg.remote_ip().to_string().as_str(), leg.remote_rtp, leg.remote_rtcp),
        ("198.51.100.10", 30000, 30001)
    );
}

#[test]
fn two_phones_call_each_other_through_the_call_manager() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.connect(PHONE_B, 2);
    stage.register(2, "1002");
    let register = stage.request(
        "TLS",
        "REGISTER sip:lab.example",
        &[
            "From: <sip:1002@lab.example>;tag=b",
            "To: <sip:1002@lab.example>",
            "Call-ID: reg-b",
            "CSeq: 1 REGISTER",
            "Contact: <sip:1002@192.168.77.12:5061;transport=tls>",
        ],
        "",
    );
    stage.phone_sends(2, register);
    let token = contact_uri(&stage.at_cm());

    let invite = stage.invite_of_phone("call-1", &offer_outside(KEY_A));
    stage.phone_sends(1, invite);
    stage.at_phone();
    // The call manager is a proxy: it sends the same INVITE to B, with a Via of its own on top.
    let mut request = stage.at_cm();
    let inside_contact = contact_uri(&request);
    request.set_uri(&token);
    request.push_top(name::VIA, "SIP/2.0/UDP 10.20.0.10;branch=z9hG4bKspiral");
    request.push(name::RECORD_ROUTE, "<sip:10.20.0.10;lr>");
    stage.cm_sends(request);
    assert_eq!(stage.at_cm().code(), Some(100));
    let at_b = stage.at_phone();
    assert_eq!(at_b.uri(), Some("sip:1002@192.168.77.11:5061;transport=tls"));
    let crypto = sdp_line(&at_b, "a=crypto:");
    let (tag, suite) = tag_and_suite(&crypto);
    let mut ok = reply(&at_b, 200, "OK", "cmtag", &answer_outside(tag, suite, KEY_B));
    ok.push(name::CONTACT, "<sip:1002@192.168.77.12:5061;transport=tls>");
    stage.phone_sends(2, ok);
    let mut ok = stage.at_cm();
    assert_eq!(ok.values(name::VIA).len(), 2);
    ok.headers.remove(ok.headers.iter().position(|header| header.is(name::VIA)).unwrap());
    stage.cm_sends(ok);
    let at_a = stage.at_phone();
    assert_eq!(at_a.code(), Some(200));
    assert_eq!(stage.proxy.calls(stage.now).len(), 2);
    let open = stage.commands_of(CommandKind::Open);
    assert_eq!(open.len(), 2);
    // Each session's inside leg points at the other's: the data plane turns it around.
    let (b, a) = (open[0].session.legs[1], open[1].session.legs[1]);
    assert_eq!((a.remote_rtp, b.remote_rtp), (b.local_rtp, a.local_rtp));

    // ACK and BYE find the right one of the two calls.
    let ack = stage.in_dialog("TLS", "ACK", &contact_uri(&at_a), "1 ACK", &[], "");
    stage.phone_sends(1, ack);
    let mut ack = stage.at_cm();
    ack.push_top(name::VIA, "SIP/2.0/UDP 10.20.0.10;branch=z9hG4bKspiral2");
    stage.cm_sends(ack);
    let (conn, ack) = stage.phone.pop_front().unwrap();
    assert_eq!(conn.0, 2);
    assert_eq!(ack.uri(), Some("sip:1002@192.168.77.12:5061;transport=tls"));
    let mut bye = stage.in_dialog("UDP", "BYE", &inside_contact, "5 BYE", &[], "");
    stage.cm_sends({
        bye.set(name::FROM, "<sip:2001@lab.example>;tag=cmtag");
        bye
    });
    let (conn, _) = stage.phone.pop_front().unwrap();
    assert_eq!(conn.0, 1);
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
    stage.nothing_more();
}

#[test]
fn bye_of_a_challenging_call_manager_is_tried_again() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    for (cseq, code) in [("2 BYE", 407), ("3 BYE", 200)] {
        let bye = stage.in_dialog("TLS", "BYE", "sip:x@203.0.113.5", cseq, &[], "");
        stage.phone_sends(1, bye);
        let bye = stage.at_cm();
        assert_eq!(stage.proxy.calls(stage.now).len(), 1);
        stage.cm_sends(reply(&bye, code, "", "cmtag", ""));
        assert_eq!(stage.at_phone().code(), Some(code));
    }
    assert!(stage.proxy.calls(stage.now).is_empty());
}

#[test]
fn invite_is_tried_again_with_credentials() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let first = stage.invite_of_phone("call-1", &offer_outside(KEY_A));
    stage.phone_sends(1, first);
    assert_eq!(stage.at_phone().code(), Some(100));
    let request = stage.at_cm();
    stage.cm_sends(reply(&request, 407, "Proxy Authentication Required", "x", ""));
    let ack = stage.at_cm();
    assert_eq!(ack.method().unwrap().as_str(), "ACK");
    assert_eq!(ack.header(name::VIA), request.header(name::VIA));
    assert_eq!(stage.at_phone().code(), Some(407));
    assert!(stage.proxy.calls(stage.now).is_empty());
    let mut second = stage.invite_of_phone("call-1", &offer_outside(KEY_A));
    second.set(name::CSEQ, "2 INVITE");
    stage.phone_sends(1, second);
    assert_eq!(stage.at_phone().code(), Some(100));
    assert_eq!(stage.at_cm().cseq().unwrap().number, 2);
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
}

#[test]
fn call_to_an_unknown_or_absent_phone_is_refused() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let mut invite = stage.invite_of_cm("call-1", &offer_inside());
    let token = invite.uri().unwrap().to_owned();
    invite.set_uri("sip:nobody@10.20.0.5:5060");
    stage.cm_sends(invite);
    assert_eq!(stage.at_cm().code(), Some(404));
    stage.disconnect(1);
    let mut invite = stage.request(
        "UDP",
        &format!("INVITE {token}"),
        &["From: <sip:2001@x>;tag=1", "To: <sip:1001@x>", "Call-ID: c2", "CSeq: 1 INVITE"],
        "",
    );
    invite.push(name::CONTACT, "<sip:2001@10.20.0.20>");
    stage.cm_sends(invite);
    assert_eq!(stage.at_cm().code(), Some(480));
    assert_eq!((stage.count(Counter::UnknownTargets), stage.count(Counter::PhoneAbsent)), (1, 1));
    stage.nothing_more();
}

#[test]
fn same_invite_by_two_ways_is_refused_once() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.ring_phone();
    let again = stage.invite_of_cm("call-1", &offer_inside());
    stage.cm_sends(again);
    assert_eq!(stage.at_cm().code(), Some(482));
    stage.nothing_more();
}

#[test]
fn ringing_too_long_is_cancelled() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_phone();
    stage.phone_sends(1, reply(&request, 180, "Ringing", "phtag", ""));
    assert_eq!(stage.at_cm().code(), Some(180));
    stage.pass(Duration::from_secs(181));
    assert_eq!(stage.at_phone().method().unwrap().as_str(), "CANCEL");
    assert_eq!(stage.at_cm().code(), Some(408));
    assert!(stage.proxy.calls(stage.now).is_empty());
    assert_eq!(stage.count(Counter::RingTimeouts), 1);
}

#[test]
fn sip_goes_to_configured_addresses_only() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    // The dialog's target is 10.20.0.20, which is no source of the cluster, and its route is the call manager.
    let bye = stage.in_dialog("TLS", "BYE", "sip:x@203.0.113.5", "2 BYE", &[], "");
    stage.phone_sends(1, bye);
    let (route, _) = stage.cm.pop_front().unwrap();
    assert_eq!(route, Route::Udp { to: CM.parse().unwrap() });
}

#[test]
fn phone_is_told_the_listener_that_it_came_to() {
    let mut stage = Stage::new();
    stage.connect_at(PHONE_A, 1, "203.0.113.6:5061");
    stage.register(1, "1001");
    let invite = stage.ring_phone();
    assert!(contact_uri(&invite).ends_with("@203.0.113.6:5061;transport=tls"), "{}", contact_uri(&invite));
    let via = invite.header(name::VIA).unwrap();
    assert!(via.starts_with("SIP/2.0/TLS 203.0.113.6:5061"), "{via}");
    // Another phone came to the other one.
    stage.connect(PHONE_B, 2);
    let mut invite = stage.invite_of_phone("call-2", &offer_outside(KEY_B));
    invite.set(name::FROM, "<sip:1002@lab.example>;tag=phtag");
    stage.phone_sends(2, invite);
    assert_eq!(stage.at_phone().code(), Some(100));
    let request = stage.at_cm();
    let mut ok = reply(&request, 200, "OK", "cmtag", &answer_inside());
    ok.push(name::CONTACT, "<sip:2001@10.20.0.20:5060>");
    stage.cm_sends(ok);
    assert!(contact_uri(&stage.at_phone()).ends_with("@203.0.113.5:5061;transport=tls"));
}
