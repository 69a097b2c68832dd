//! A device speaks in its own name only.

use crate::stage::*;
use pinhole_admin::EventKind;
use pinhole_proxy::{Counter, Route};
use pinhole_sip::name;

fn register(stage: &mut Stage, to: &str, contact: &str) {
    let register = stage.request(
        "TLS",
        "REGISTER sip:lab.example",
        &[
            "From: <sip:1001@lab.example>;tag=a",
            &format!("To: {to}"),
            "Call-ID: reg",
            "CSeq: 1 REGISTER",
            &format!("Contact: {contact}"),
        ],
        "",
    );
    stage.phone_sends(1, register);
}

#[test]
fn register_of_anothers_address_is_refused() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    register(&mut stage, "<sip:1002@lab.example>", "<sip:1002@192.168.77.11>");
    assert_eq!(stage.at_phone().code(), Some(403));
    stage.nothing_more();
    assert_eq!(stage.count(Counter::RegisterIdentityRefused), 1);
    assert!(stage.has_event(EventKind::IdentityRefused));
}

#[test]
fn escaped_user_is_the_same_user() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    register(&mut stage, "<sip:%31002@lab.example>", "<sip:x@192.168.77.11>");
    assert_eq!(stage.at_phone().code(), Some(403));
}

#[test]
fn contact_with_anothers_device_name_is_refused() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let contact = format!("<sip:u@192.168.77.11>;+u.sip!devicename.ccm.cisco.com=\"{PHONE_B}\"");
    register(&mut stage, "<sip:1001@lab.example>", &contact);
    assert_eq!(stage.at_phone().code(), Some(403));
    assert_eq!(stage.count(Counter::DeviceNameRefused), 1);
    let contact = format!("<sip:u@192.168.77.11>;+u.sip!devicename.ccm.cisco.com=\"{PHONE_A}\"");
    register(&mut stage, "<sip:1001@lab.example>", &contact);
    assert_eq!(stage.cm.len(), 1);
}

#[test]
fn call_in_anothers_name_is_refused() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let mut invite = stage.invite_of_phone("call-1", &offer_outside(KEY_A));
    invite.set(name::FROM, "<sip:1002@lab.example>;tag=x");
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_phone().code(), Some(403));
    stage.nothing_more();
    assert_eq!(stage.count(Counter::FromIdentityRefused), 1);
    assert!(stage.proxy.calls(stage.now).is_empty());
}

#[test]
fn second_from_header_is_refused() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let mut invite = stage.invite_of_phone("call-1", "");
    invite.push("f", "<sip:1002@lab.example>;tag=x");
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_phone().code(), Some(400));
    stage.nothing_more();
}

#[test]
fn asserted_identity_of_another_is_removed() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let mut invite = stage.invite_of_phone("call-1", "");
    invite.push(name::P_ASSERTED_IDENTITY, "<sip:1002@lab.example>");
    invite.push(name::REMOTE_PARTY_ID, "\"me\" <sip:1001@lab.example>;party=calling");
    stage.phone_sends(1, invite);
    let request = stage.at_cm();
    assert!(request.header(name::P_ASSERTED_IDENTITY).is_none());
    assert!(request.header(name::REMOTE_PARTY_ID).is_some());
    assert_eq!(stage.count(Counter::AssertedIdentityRemoved), 1);
}

#[test]
fn message_in_another_phones_dialog_is_refused() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.connect(PHONE_B, 2);
    stage.call_from_phone();
    let bye = stage.in_dialog("TLS", "BYE", "sip:2001@203.0.113.5", "2 BYE", &[], "");
    stage.phone_sends(2, bye);
    assert_eq!(stage.at_phone().code(), Some(481));
    stage.nothing_more();
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
}

#[test]
fn message_from_an_unknown_inside_address_is_dropped() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let message = stage.invite_of_cm("call-9", "");
    stage.input(pinhole_proxy::Input::ClusterMessage {
        cluster: 0,
        source: pinhole_proxy::Source::Udp("10.20.0.99:5060".parse().unwrap()),
        message,
    });
    stage.nothing_more();
    assert_eq!(stage.count(Counter::UnknownSources), 1);
}

#[test]
fn phone_cannot_choose_the_port_that_its_requests_go_to() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let to_cm = Route::Udp { to: CM.parse().unwrap() };
    let mut invite = stage.invite_of_phone("call-1", &offer_outside(KEY_A));
    invite.set_uri("sip:2001@10.20.0.10:69");
    stage.phone_sends(1, invite);
    assert_eq!(stage.cm.pop_front().unwrap().0, to_cm);
    let mut register = stage.request(
        "TLS",
        "REGISTER sip:10.20.0.10:69",
        &[
            "From: <sip:1001@lab.example>;tag=a",
            "To: <sip:1001@lab.example>",
            "Call-ID: r",
            "CSeq: 1 REGISTER",
        ],
        "",
    );
    register.push(name::CONTACT, "<sip:1001@192.168.77.11>");
    stage.phone_sends(1, register);
    assert_eq!(stage.cm.pop_front().unwrap().0, to_cm);
}

#[test]
fn register_sent_by_another_is_refused() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let register = stage.request(
        "TLS",
        "REGISTER sip:lab.example",
        &[
            "From: <sip:1002@lab.example>;tag=a",
            "To: <sip:1001@lab.example>",
            "Call-ID: r",
            "CSeq: 1 REGISTER",
        ],
        "",
    );
    stage.phone_sends(1, register);
    assert_eq!(stage.at_phone().code(), Some(403));
    stage.nothing_more();
    assert_eq!(stage.count(Counter::FromIdentityRefused), 1);
}

#[test]
fn change_to_anothers_name_within_a_dialog_is_refused() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_to_phone();
    let mut update = stage.in_dialog("TLS", "UPDATE", "sip:x@203.0.113.5", "2 UPDATE", &[], "");
    update.set(name::FROM, "\"Boss\" <sip:2000@lab.example>;tag=phtag");
    stage.phone_sends(1, update);
    assert_eq!(stage.at_phone().code(), Some(403));
    stage.nothing_more();
    assert_eq!(stage.count(Counter::FromIdentityRefused), 1);
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
}

#[test]
fn phone_called_by_a_number_that_is_not_its_own_may_hang_up() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let mut invite = stage.invite_of_cm("call-1", "");
    invite.set(name::TO, "<sip:5000@lab.example>");
    stage.cm_sends(invite);
    stage.at_cm();
    let request = stage.at_phone();
    stage.phone_sends(1, reply(&request, 200, "OK", "phtag", ""));
    stage.at_cm();
    let mut bye = stage.in_dialog("TLS", "BYE", "sip:x@203.0.113.5", "2 BYE", &[], "");
    bye.set(name::FROM, "<sip:5000@lab.example>;tag=phtag");
    stage.phone_sends(1, bye);
    assert_eq!(stage.at_cm().method().unwrap().as_str(), "BYE");
}

#[test]
fn neither_end_is_shown_the_others_contact_in_the_place_of_one_not_known_yet() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_phone();
    let token = contact_uri(&request).replace("203.0.113.5:5061;transport=tls", "10.20.0.5:5060");
    let message = stage.request(
        "UDP",
        &format!("MESSAGE {token}"),
        &["From: <sip:2001@x>;tag=1", "To: <sip:1001@x>", "Call-ID: m", "CSeq: 1 MESSAGE"],
        "",
    );
    stage.cm_sends(message);
    assert_eq!(stage.at_cm().code(), Some(404));
    stage.nothing_more();
}

#[test]
fn answer_does_not_give_the_phone_another_name() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_phone();
    let mut ringing = reply(&request, 180, "Ringing", "phtag", "");
    ringing.set(name::TO, "<sip:2000@lab.example>;tag=phtag");
    stage.phone_sends(1, ringing);
    stage.at_cm();
    let mut update = stage.in_dialog("TLS", "UPDATE", "sip:x@203.0.113.5", "2 UPDATE", &[], "");
    update.set(name::FROM, "<sip:2000@lab.example>;tag=phtag");
    stage.phone_sends(1, update);
    assert_eq!(stage.at_phone().code(), Some(403));
}
