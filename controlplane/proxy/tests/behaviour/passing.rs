//! Everything that is neither a call nor a registration passes, in dialogs and outside them.

use std::time::Duration;

use pinhole_proxy::Counter;
use pinhole_sip::name;

use crate::stage::*;

#[test]
fn options_to_ourselves_is_answered() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    for (transport, uri) in
        [("TLS", "sip:203.0.113.5:5061"), ("TLS", "sip:pinhole.example"), ("UDP", "sip:10.20.0.5:5060")]
    {
        let options = stage.request(
            transport,
            &format!("OPTIONS {uri}"),
            &["From: <sip:x@y>;tag=1", "To: <sip:z@y>", "Call-ID: o", "CSeq: 1 OPTIONS"],
            "",
        );
        let response = match transport {
            "TLS" => {
                stage.phone_sends(1, options);
                stage.at_phone()
            }
            _ => {
                stage.cm_sends(options);
                stage.at_cm()
            }
        };
        assert_eq!(response.code(), Some(200));
        assert!(response.header(name::ALLOW).unwrap().contains("INVITE"));
        assert!(response.to_tag().is_some());
    }
    stage.nothing_more();
}

#[test]
fn source_of_a_request_is_noted_in_its_via() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let mut options = stage.request(
        "TLS",
        "OPTIONS sip:203.0.113.5",
        &["From: <sip:x@y>;tag=1", "To: <sip:z@y>", "Call-ID: o", "CSeq: 1 OPTIONS"],
        "",
    );
    options.set(name::VIA, "SIP/2.0/TLS 192.168.77.11;rport;branch=z9hG4bKr");
    stage.phone_sends(1, options);
    let via = stage.at_phone().top_via().unwrap();
    assert_eq!((via.received(), via.rport()), (Some(peer(1).ip()), Some(peer(1).port())));
}

#[test]
fn subscription_lives_in_its_dialog() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let subscribe = stage.request(
        "TLS",
        "SUBSCRIBE sip:2001@203.0.113.5",
        &[
            "From: <sip:1001@lab.example>;tag=phtag",
            "To: <sip:2001@lab.example>",
            "Call-ID: call-1",
            "CSeq: 1 SUBSCRIBE",
            "Contact: <sip:1001@192.168.77.11>",
            "Event: dialog",
            "Expires: 600",
        ],
        "",
    );
    stage.phone_sends(1, subscribe);
    let request = stage.at_cm();
    assert_eq!(request.uri(), Some("sip:2001@lab.example"));
    let contact = contact_uri(&request);
    // NOTIFY overtakes the 200.
    let notify = stage.in_dialog(
        "UDP",
        "NOTIFY",
        &contact,
        "1 NOTIFY",
        &["Event: dialog", "Subscription-State: active;expires=600", "Contact: <sip:2001@10.20.0.10>"],
        "",
    );
    stage.cm_sends(notify);
    let notify = stage.at_phone();
    assert_eq!(notify.uri(), Some("sip:1001@192.168.77.11"));
    assert!(!String::from_utf8(notify.to_bytes()).unwrap().contains("10.20.0"));
    stage.phone_sends(1, reply(&notify, 200, "OK", "phtag", ""));
    assert_eq!(stage.at_cm().code(), Some(200));
    let mut ok = reply(&request, 200, "OK", "cmtag", "");
    ok.push(name::CONTACT, "<sip:2001@10.20.0.10>");
    stage.cm_sends(ok);
    assert_eq!(stage.at_phone().code(), Some(200));
    let again =
        stage.in_dialog("TLS", "SUBSCRIBE", "sip:x@203.0.113.5", "2 SUBSCRIBE", &["Expires: 600"], "");
    stage.phone_sends(1, again);
    let again = stage.at_cm();
    assert_eq!(again.uri(), Some("sip:2001@10.20.0.10"));
    stage.cm_sends(reply(&again, 200, "OK", "cmtag", ""));
    stage.at_phone();
    // Long after it ran out nobody knows it.
    stage.pass(Duration::from_secs(700));
    let late =
        stage.in_dialog("UDP", "NOTIFY", &contact, "9 NOTIFY", &["Subscription-State: terminated"], "");
    stage.cm_sends(late);
    assert_eq!(stage.at_cm().code(), Some(481));
    assert_eq!(stage.proxy.next_timeout(), None);
}

#[test]
fn info_refer_and_notify_pass_within_a_call() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let info =
        stage.in_dialog("TLS", "INFO", "sip:x@203.0.113.5", "2 INFO", &["X-Odd:   kept   as it is"], "");
    stage.phone_sends(1, info);
    let info = stage.at_cm();
    assert!(String::from_utf8(info.to_bytes()).unwrap().contains("X-Odd:   kept   as it is\r\n"));
    stage.cm_sends(reply(&info, 200, "OK", "cmtag", ""));
    assert_eq!(stage.at_phone().code(), Some(200));
    let refer = stage.in_dialog(
        "TLS",
        "REFER",
        "sip:x@203.0.113.5",
        "3 REFER",
        &[
            "Refer-To: <sip:2002@lab.example?Replaces=abc%40x%3Bto-tag%3D1%3Bfrom-tag%3D2>",
            "Contact: <sip:1001@192.168.77.11>",
        ],
        "",
    );
    stage.phone_sends(1, refer);
    let refer = stage.at_cm();
    assert_eq!(
        refer.header(name::REFER_TO),
        Some("<sip:2002@lab.example?Replaces=abc%40x%3Bto-tag%3D1%3Bfrom-tag%3D2>")
    );
    stage.cm_sends(reply(&refer, 202, "Accepted", "cmtag", ""));
    assert_eq!(stage.at_phone().code(), Some(202));
    let notify = stage.in_dialog("UDP", "NOTIFY", "sip:x@10.20.0.5", "2 NOTIFY", &["Event: refer"], "");
    stage.cm_sends(notify);
    let notify = stage.at_phone();
    stage.phone_sends(1, reply(&notify, 200, "OK", "phtag", ""));
    assert_eq!(stage.at_cm().code(), Some(200));
    stage.nothing_more();
}

#[test]
fn transfer_to_the_far_end_of_a_call_names_it_by_its_own_address_inside() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_phone("call-1", &offer_outside(KEY_A));
    stage.phone_sends(1, invite);
    stage.at_phone();
    let mut ok = reply(&stage.at_cm(), 200, "OK", "cmtag", &answer_inside());
    ok.push(name::CONTACT, "<sip:2001@10.20.0.20:5060>");
    stage.cm_sends(ok);
    let far = contact_uri(&stage.at_phone());
    let refer = stage.request(
        "TLS",
        "REFER sip:2002@lab.example",
        &[
            "From: <sip:1001@lab.example>;tag=r",
            "To: <sip:2002@lab.example>",
            "Call-ID: refer-1",
            "CSeq: 1 REFER",
            "Contact: <sip:1001@192.168.77.11>",
            &format!("Refer-To: <{far}?Replaces=call-1>"),
        ],
        "",
    );
    stage.phone_sends(1, refer);
    let refer = stage.at_cm();
    assert_eq!(refer.header(name::REFER_TO), Some("<sip:2001@10.20.0.20:5060?Replaces=call-1>"));
    // The same address as a Request-URI reaches the far end as well.
    let options = stage.request(
        "TLS",
        &format!("OPTIONS {far}"),
        &[
            "From: <sip:1001@lab.example>;tag=o",
            "To: <sip:2001@lab.example>",
            "Call-ID: o",
            "CSeq: 1 OPTIONS",
        ],
        "",
    );
    stage.phone_sends(1, options);
    assert_eq!(stage.at_cm().uri(), Some("sip:2001@10.20.0.20:5060"));
}

#[test]
fn notify_outside_dialogs_reaches_the_phone() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let token = stage.token_of_phone();
    let notify = stage.request(
        "UDP",
        &format!("NOTIFY {token}"),
        &[
            "From: <sip:vm@lab.example>;tag=1",
            "To: <sip:1001@lab.example>",
            "Call-ID: mwi",
            "CSeq: 1 NOTIFY",
            "Event: message-summary",
            "Contact: <sip:10.20.0.10>",
            "Warning: 392 10.20.0.10:5060 \"Noisy feedback\"",
        ],
        "",
    );
    stage.cm_sends(notify);
    let notify = stage.at_phone();
    assert_eq!(notify.uri(), Some("sip:1001@192.168.77.11:5061;transport=tls"));
    assert_eq!(notify.header(name::WARNING), Some("392 pinhole \"Noisy feedback\""));
    assert!(!String::from_utf8(notify.to_bytes()).unwrap().contains("10.20.0"));
    stage.phone_sends(1, reply(&notify, 200, "OK", "x", ""));
    assert_eq!(stage.at_cm().code(), Some(200));
}

#[test]
fn redirection_names_what_can_be_asked_for_again() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_cm(&offer_outside(KEY_A));
    let mut moved = reply(&request, 302, "Moved Temporarily", "x", "");
    moved.push(name::CONTACT, "<sip:2002@10.20.0.10:5060>");
    stage.cm_sends(moved);
    assert_eq!(contact_uri(&stage.at_phone()), "sip:2002@lab.example");
}

#[test]
fn ack_without_a_dialog_is_dropped() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let ack = stage.in_dialog("TLS", "ACK", "sip:x@203.0.113.5", "1 ACK", &[], "");
    stage.phone_sends(1, ack);
    stage.nothing_more();
    assert_eq!(stage.count(Counter::StrayAcks), 1);
}
