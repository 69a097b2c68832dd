//! Transactions: CANCEL, failures, retransmissions, a call manager that is silent.

use std::time::Duration;

use pinhole_flow::CommandKind;
use pinhole_proxy::{Counter, DeviceName, Input, Route, Transport, UpstreamId};
use pinhole_sip::{Message, name};

use crate::stage::*;

fn method(message: &Message) -> String {
    message.method().unwrap().to_string()
}

/// An INVITE of the phone that rings inside; the INVITE as the phone sent it and as it arrived.
fn ringing(stage: &mut Stage) -> (Message, Message) {
    let invite = stage.invite_of_phone("call-1", &offer_outside(KEY_A));
    stage.phone_sends(1, invite.clone());
    stage.at_phone();
    let request = stage.at_cm();
    stage.cm_sends(reply(&request, 180, "Ringing", "cmtag", ""));
    stage.at_phone();
    (invite, request)
}

fn cancel_of(invite: &Message) -> Message {
    let mut cancel = Message::request(pinhole_sip::Method::Cancel, invite.uri().unwrap());
    cancel.headers = invite.headers.clone();
    for field in [name::CONTACT, name::CONTENT_TYPE, name::CONTENT_LENGTH] {
        cancel.remove(field);
    }
    cancel.set(name::CSEQ, "1 CANCEL");
    cancel
}

#[test]
fn cancel_goes_hop_by_hop_and_487_comes_back() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let (invite, request) = ringing(&mut stage);
    let mut cancel = cancel_of(&invite);
    cancel.push(name::REASON, "SIP;cause=200;text=\"Call completed elsewhere\"");
    stage.phone_sends(1, cancel);
    let ok = stage.at_phone();
    assert_eq!((ok.code(), method(&ok).as_str()), (Some(200), "CANCEL"));
    let cancel = stage.at_cm();
    assert_eq!(method(&cancel), "CANCEL");
    assert_eq!(cancel.header(name::VIA), request.header(name::VIA));
    assert_eq!(cancel.uri(), request.uri());
    assert!(cancel.header(name::REASON).is_some());
    stage.cm_sends(reply(&cancel, 200, "OK", "cmtag", ""));
    stage.cm_sends(reply(&request, 487, "Request Terminated", "cmtag", ""));
    assert_eq!(method(&stage.at_cm()), "ACK");
    let ended = stage.at_phone();
    assert_eq!(ended.code(), Some(487));
    // Cisco phones leave the To tag out of this ACK: the branch is what counts.
    let mut ack = cancel_of(&invite);
    ack.start =
        pinhole_sip::StartLine::Request { method: pinhole_sip::Method::Ack, uri: "sip:2001@x".to_owned() };
    ack.set(name::CSEQ, "1 ACK");
    stage.phone_sends(1, ack);
    stage.nothing_more();
    assert_eq!(stage.count(Counter::StrayAcks), 0);
    assert!(stage.proxy.calls(stage.now).is_empty());
    assert_eq!(stage.proxy.ports().in_use, 0);
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_phone("call-1", &offer_outside(KEY_A));
    stage.phone_sends(1, invite.clone());
    stage.at_phone();
    let request = stage.at_cm();
    stage.phone_sends(1, cancel_of(&invite));
    assert_eq!(stage.at_phone().code(), Some(200));
    stage.nothing_more();
    stage.cm_sends(reply(&request, 100, "Trying", "", ""));
    assert_eq!(method(&stage.at_cm()), "CANCEL");
}

#[test]
fn cancel_of_nothing_is_answered_481() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_phone("call-1", "");
    stage.phone_sends(1, cancel_of(&invite));
    assert_eq!(stage.at_phone().code(), Some(481));
    stage.nothing_more();
}

#[test]
fn answer_that_crosses_a_forced_end_is_hung_up() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let (invite, request) = ringing(&mut stage);
    stage.phone_sends(1, cancel_of(&invite));
    stage.at_phone();
    stage.at_cm();
    stage.pass(Duration::from_secs(33));
    assert_eq!(stage.at_phone().code(), Some(487));
    stage.cm.clear();
    let mut ok = reply(&request, 200, "OK", "cmtag", &answer_inside());
    ok.push(name::CONTACT, "<sip:2001@10.20.0.20:5060>");
    stage.cm_sends(ok);
    assert_eq!([method(&stage.at_cm()), method(&stage.at_cm())], ["ACK", "BYE"]);
    assert!(stage.phone.is_empty());
}

#[test]
fn failure_of_a_called_phone_reaches_the_call_manager_until_acknowledged() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_phone();
    stage.phone_sends(1, reply(&request, 486, "Busy Here", "phtag", ""));
    assert_eq!(method(&stage.at_phone()), "ACK");
    let busy = stage.at_cm();
    assert_eq!(busy.code(), Some(486));
    assert_eq!(busy.header(name::CONTACT), None);
    stage.pass(Duration::from_millis(600));
    assert_eq!(stage.at_cm(), busy);
    let mut ack = stage.in_dialog("UDP", "ACK", "sip:x@10.20.0.5", "1 ACK", &[], "");
    ack.headers[0] = busy.headers.iter().find(|header| header.is(name::VIA)).unwrap().clone();
    stage.cm_sends(ack);
    stage.pass(Duration::from_secs(60));
    stage.nothing_more();
    assert_eq!(stage.proxy.ports().in_use, 0);
    assert_eq!(stage.proxy.next_timeout().map(|_| ()), Some(()), "the registration's timer is left");
}

#[test]
fn requests_to_a_udp_call_manager_are_sent_again_and_then_given_up() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let message = stage.message_of_phone("");
    stage.phone_sends(1, message);
    stage.pass(Duration::from_secs(31));
    // Timer E: 0.5, 1.5, 3.5, 7.5, 11.5, ... 31.5 s.
    assert_eq!(stage.cm.len(), 1 + 9);
    assert!(stage.phone.is_empty());
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.at_phone().code(), Some(408));
    assert_eq!(stage.count(Counter::ClusterTimeouts), 1);
    stage.cm.clear();
    stage.pass(Duration::from_secs(100));
    stage.nothing_more();
    assert_eq!(stage.proxy.next_timeout(), None);
}

#[test]
fn invite_to_a_silent_call_manager_fails_and_frees_its_ports() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_phone("call-1", &offer_outside(KEY_A));
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_phone().code(), Some(100));
    stage.pass(Duration::from_secs(33));
    // Timer A: 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s.
    assert_eq!(stage.cm.len(), 7);
    assert_eq!(stage.at_phone().code(), Some(408));
    assert!(stage.proxy.calls(stage.now).is_empty());
    assert_eq!(stage.proxy.ports().in_use, 0);
}

#[test]
fn broken_connection_to_the_call_manager_is_503_at_once() {
    let mut config = config();
    config.clusters[0].transport = Transport::Tcp;
    let mut stage = Stage::with(config);
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_phone("call-1", &offer_outside(KEY_A));
    stage.phone_sends(1, invite);
    stage.at_phone();
    let (route, request) = stage.cm.pop_front().unwrap();
    let device = DeviceName::new(PHONE_A).unwrap();
    assert_eq!(route, Route::Device(device.clone()));
    assert!(request.header(name::VIA).unwrap().starts_with("SIP/2.0/TCP 10.20.0.5:5060"));
    assert!(contact_uri(&request).ends_with(";transport=tcp"));
    stage.pass(Duration::from_secs(5));
    assert!(stage.cm.is_empty(), "TCP does not lose what it takes");
    stage.input(Input::UpstreamFailed { cluster: 0, device });
    let response = stage.at_phone();
    assert_eq!((response.code(), response.header(name::RETRY_AFTER)), (Some(503), Some("10")));
    assert_eq!(stage.count(Counter::ClusterFailures), 1);
    assert!(stage.proxy.calls(stage.now).is_empty());
}

#[test]
fn answers_over_tcp_go_back_on_the_same_connection() {
    let mut config = config();
    config.clusters[0].transport = Transport::Tcp;
    let mut stage = Stage::with(config);
    stage.connect(PHONE_A, 1);
    let token = stage.token_of_phone();
    let options = stage.request(
        "TCP",
        &format!("OPTIONS {token}"),
        &["From: <sip:cm@x>;tag=1", "To: <sip:1001@x>", "Call-ID: o", "CSeq: 1 OPTIONS"],
        "",
    );
    stage.input(Input::ClusterMessage { cluster: 0, source: upstream(7), message: options });
    let request = stage.at_phone();
    stage.phone_sends(1, reply(&request, 200, "OK", "p", ""));
    let (route, _) = stage.cm.pop_front().unwrap();
    assert_eq!(route, Route::Upstream(UpstreamId(7)));
}

#[test]
fn retransmitted_requests_are_answered_from_memory() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_cm("call-1", &offer_inside());
    stage.cm_sends(invite.clone());
    let trying = stage.at_cm();
    let request = stage.at_phone();
    stage.cm_sends(invite.clone());
    assert_eq!(stage.at_cm(), trying);
    stage.phone_sends(1, reply(&request, 180, "Ringing", "phtag", ""));
    let ringing = stage.at_cm();
    stage.cm_sends(invite);
    assert_eq!(stage.at_cm(), ringing);
    assert!(stage.phone.is_empty());
    assert_eq!(stage.count(Counter::RequestRetransmissions), 2);
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
}

#[test]
fn answer_to_a_udp_call_manager_is_repeated_until_its_ack() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_phone();
    let mut ok = reply(&request, 200, "OK", "phtag", &answer_outside("1", "AES_CM_128_HMAC_SHA1_80", KEY_A));
    ok.push(name::CONTACT, "<sip:1001@192.168.77.11:5061;transport=tls>");
    stage.phone_sends(1, ok.clone());
    let answer = stage.at_cm();
    stage.pass(Duration::from_millis(1600));
    assert_eq!([stage.at_cm(), stage.at_cm()], [answer.clone(), answer]);
    let ack = stage.in_dialog("UDP", "ACK", "sip:x@10.20.0.5", "1 ACK", &[], "");
    stage.cm_sends(ack.clone());
    let at_phone = stage.at_phone();
    stage.pass(Duration::from_secs(20));
    stage.nothing_more();
    // The phone repeats its answer: the ACK is repeated, the call manager is not bothered.
    stage.phone_sends(1, ok);
    assert_eq!(stage.at_phone(), at_phone);
    stage.nothing_more();
}

#[test]
fn repeated_answer_of_the_call_manager_gets_the_ack_again() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.call_from_phone();
    let mut ok = reply(&request, 200, "OK", "cmtag", &answer_inside());
    ok.push(name::CONTACT, "<sip:2001@10.20.0.20:5060>");
    stage.cm_sends(ok);
    assert_eq!(method(&stage.at_cm()), "ACK");
    stage.nothing_more();
    assert_eq!(stage.count(Counter::AnswerRetransmissions), 1);
}

#[test]
fn answer_that_nobody_acknowledges_ends_the_call() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_phone();
    let mut ok = reply(&request, 200, "OK", "phtag", &answer_outside("1", "AES_CM_128_HMAC_SHA1_80", KEY_A));
    ok.push(name::CONTACT, "<sip:1001@192.168.77.11:5061;transport=tls>");
    stage.phone_sends(1, ok);
    stage.pass(Duration::from_secs(33));
    assert_eq!(stage.count(Counter::AckTimeouts), 1);
    assert_eq!(method(&stage.at_phone()), "BYE");
    assert_eq!(method(&stage.cm.back().unwrap().1), "BYE");
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
}

#[test]
fn responses_of_somebody_else_are_dropped() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.connect(PHONE_B, 2);
    let request = stage.ring_phone();
    stage.phone_sends(2, reply(&request, 200, "OK", "phtag", ""));
    stage.nothing_more();
    stage.cm_sends(reply(&request, 200, "OK", "phtag", ""));
    stage.nothing_more();
    assert_eq!(stage.count(Counter::StrayResponses), 2);
}

#[test]
fn hops_are_counted() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let mut invite = stage.invite_of_phone("call-1", "");
    invite.set(name::MAX_FORWARDS, "0");
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_phone().code(), Some(483));
    let mut invite = stage.invite_of_phone("call-1", "");
    invite.remove(name::MAX_FORWARDS);
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_cm().header(name::MAX_FORWARDS), Some("70"));
}
