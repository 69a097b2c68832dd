//! REGISTER: the call manager sees our token, the phone its own Contact.

use std::time::Duration;

use crate::stage::*;
use pinhole_admin::EventKind;
use pinhole_proxy::{ConnId, Counter};
use pinhole_sip::name;

#[test]
fn call_manager_sees_a_token_and_the_phone_its_own_contact() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let register = stage.request(
        "TLS",
        "REGISTER sip:203.0.113.5:5061;transport=tls",
        &[
            "Via: SIP/2.0/TLS 192.168.77.1;branch=z9hG4bKdeep",
            "Route: <sip:203.0.113.5:5061;transport=tls;lr>",
            "From: <sip:1001@lab.example>;tag=a",
            "To: <sip:1001@203.0.113.5>",
            "Call-ID: reg",
            "CSeq: 7 REGISTER",
            "Contact: <sip:uuid@192.168.77.11:50000;transport=tls>;+sip.instance=\"<urn:x>\"",
            "Expires: 3600",
        ],
        "",
    );
    stage.phone_sends(1, register);
    let request = stage.at_cm();
    assert_eq!(request.uri(), Some("sip:lab.example"));
    assert_eq!(request.to().unwrap().uri, "sip:1001@lab.example");
    assert_eq!(request.values(name::VIA).len(), 1);
    assert!(request.header(name::VIA).unwrap().starts_with("SIP/2.0/UDP 10.20.0.5:5060;branch="));
    assert!(request.header(name::ROUTE).is_none());
    assert_eq!(request.header(name::MAX_FORWARDS), Some("69"));
    let contact = request.contact().unwrap().unwrap();
    assert!(contact.uri.ends_with("@10.20.0.5:5060;transport=udp"), "{}", contact.uri);
    assert_eq!(contact.params.value("+sip.instance"), Some("\"<urn:x>\""));

    let mut ok = reply(&request, 200, "OK", "srv", "");
    ok.push(name::CONTACT, &format!("<{}>;expires=120", contact.uri));
    ok.push(name::CONTACT, "<sip:other@10.20.0.77>;expires=50");
    ok.push(name::SERVICE_ROUTE, "<sip:10.20.0.10;lr>");
    stage.cm_sends(ok);
    let response = stage.at_phone();
    assert_eq!(response.code(), Some(200));
    assert_eq!(response.values(name::VIA).len(), 2);
    assert_eq!(response.to().unwrap().uri, "sip:1001@203.0.113.5");
    assert_eq!(response.to_tag().as_deref(), Some("srv"));
    let contact = response.contact().unwrap().unwrap();
    assert_eq!(contact.uri, "sip:uuid@192.168.77.11:50000;transport=tls");
    assert_eq!(contact.params.value("expires"), Some("120"));
    assert!(!String::from_utf8(response.to_bytes()).unwrap().contains("10.20.0"));
    stage.nothing_more();

    let phones = stage.proxy.phones(stage.now);
    assert_eq!(phones[0].registered, ["1001@lab.example"]);
    assert_eq!(phones[0].expires_s, Some(120));
    assert!(stage.has_event(EventKind::Registered));
}

#[test]
fn challenge_passes_end_to_end() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let register = stage.request(
        "TLS",
        "REGISTER sip:lab.example",
        &[
            "From: <sip:1001@lab.example>;tag=a",
            "To: <sip:1001@lab.example>",
            "Call-ID: reg",
            "CSeq: 1 REGISTER",
            "Contact: <sip:1001@192.168.77.11>",
        ],
        "",
    );
    stage.phone_sends(1, register);
    let mut challenge = reply(&stage.at_cm(), 401, "Unauthorized", "srv", "");
    challenge.push("WWW-Authenticate", "Digest realm=\"lab\", nonce=\"n\"");
    stage.cm_sends(challenge);
    let response = stage.at_phone();
    assert_eq!(response.code(), Some(401));
    assert_eq!(response.header("WWW-Authenticate"), Some("Digest realm=\"lab\", nonce=\"n\""));
    assert!(stage.proxy.phones(stage.now)[0].registered.is_empty());
    assert!(stage.registrations.is_empty(), "neither accepted nor refused yet");
}

#[test]
fn the_process_is_told_what_the_call_manager_says_of_a_registration() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.register(1, "1001");
    stage.register(1, "1001");
    let request = again(&mut stage, "Contact: <sip:1001@192.168.77.11:5061;transport=tls>");
    stage.cm_sends(reply(&request, 403, "Forbidden", "srv", ""));
    assert_eq!(stage.registrations, [(ConnId(1), 200), (ConnId(1), 200), (ConnId(1), 403)]);
}

#[test]
fn registration_runs_out() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.register(1, "1001");
    stage.pass(Duration::from_secs(119));
    assert_eq!(stage.proxy.phones(stage.now)[0].registered.len(), 1);
    stage.pass(Duration::from_secs(2));
    assert!(stage.proxy.phones(stage.now)[0].registered.is_empty());
    assert_eq!(stage.count(Counter::RegistrationsExpired), 1);
}

fn again(stage: &mut Stage, contact: &str) -> pinhole_sip::Message {
    let register = stage.request(
        "TLS",
        "REGISTER sip:lab.example",
        &[
            "From: <sip:1001@lab.example>;tag=a",
            "To: <sip:1001@lab.example>",
            "Call-ID: reg-1001",
            "CSeq: 2 REGISTER",
            contact,
            "Expires: 0",
        ],
        "",
    );
    stage.phone_sends(1, register);
    stage.at_cm()
}

#[test]
fn expires_zero_unregisters() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.register(1, "1001");
    let request = again(&mut stage, "Contact: <sip:1001@192.168.77.11:5061;transport=tls>");
    stage.cm_sends(reply(&request, 200, "OK", "srv", ""));
    assert!(stage.proxy.phones(stage.now)[0].registered.is_empty());
    assert_eq!(stage.count(Counter::Deregistrations), 1);
}

#[test]
fn star_removes_this_devices_binding_only() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.register(1, "1001");
    let request = again(&mut stage, "Contact: *");
    let contact = request.contact().unwrap().unwrap();
    assert!(contact.uri.contains("@10.20.0.5"));
    assert_eq!(contact.params.value("expires"), Some("0"));
    stage.cm_sends(reply(&request, 200, "OK", "srv", ""));
    assert_eq!(stage.count(Counter::Deregistrations), 1);
}

#[test]
fn cisco_keep_alive_is_no_deregistration() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.register(1, "1001");
    let request = again(&mut stage, "Contact: <sip:1001@192.168.77.11;transport=tls>;cisco-keep-alive");
    assert!(request.contact().unwrap().unwrap().params.has("cisco-keep-alive"));
    stage.cm_sends(reply(&request, 200, "OK", "srv", ""));
    assert_eq!(stage.at_phone().code(), Some(200));
    assert_eq!(stage.proxy.phones(stage.now)[0].registered.len(), 1);
    assert_eq!(stage.count(Counter::Deregistrations), 0);
}

#[test]
fn same_phone_has_the_same_token_after_a_restart() {
    let token = |seed| {
        let mut stage = Stage::seeded(config(), seed);
        stage.connect(PHONE_A, 1);
        stage.token_of_phone()
    };
    assert_eq!(token(1), token(2));
}
