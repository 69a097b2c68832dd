//! Every table has a bound, and a counter of what it refused.

use std::time::Duration;

use pinhole_proxy::{Counter, Limits, MediaPort};

use crate::stage::*;

fn limited(change: impl Fn(&mut Limits)) -> Stage {
    let mut config = config();
    change(&mut config.limits);
    let mut stage = Stage::with(config);
    stage.connect(PHONE_A, 1);
    stage
}

/// The answer to the `n`th call of the phone, after the 100.
fn call(stage: &mut Stage, n: usize) -> Option<u16> {
    let invite = stage.invite_of_phone(&format!("call-{n}"), &offer_outside(KEY_A));
    stage.phone_sends(1, invite);
    let last = stage.phone.pop_back().unwrap().1;
    stage.phone.clear();
    last.code()
}

#[test]
fn calls_are_bounded() {
    let mut stage = limited(|limits| limits.calls = 1);
    assert_eq!([call(&mut stage, 1), call(&mut stage, 2)], [Some(100), Some(503)]);
    assert_eq!(stage.count(Counter::CallLimit), 1);
}

#[test]
fn calls_of_a_phone_are_bounded() {
    let mut stage = limited(|limits| limits.calls_per_phone = 1);
    assert_eq!([call(&mut stage, 1), call(&mut stage, 2)], [Some(100), Some(486)]);
    assert_eq!(stage.count(Counter::PhoneCallLimit), 1);
}

#[test]
fn transactions_are_bounded() {
    let mut stage = limited(|limits| limits.transactions = 1);
    assert_eq!([call(&mut stage, 1), call(&mut stage, 2)], [Some(100), Some(503)]);
    assert_eq!(stage.count(Counter::TransactionLimit), 1);
    let mut stage = limited(|limits| limits.transactions_per_phone = 1);
    assert_eq!([call(&mut stage, 1), call(&mut stage, 2)], [Some(100), Some(503)]);
    assert_eq!(stage.count(Counter::PhoneTransactionLimit), 1);
}

#[test]
fn dialogs_are_bounded() {
    let mut stage = limited(|limits| limits.dialogs = 1);
    assert_eq!([call(&mut stage, 1), call(&mut stage, 2)], [Some(100), Some(503)]);
    assert_eq!(stage.count(Counter::DialogLimit), 1);
    let mut stage = limited(|limits| limits.dialogs_per_phone = 1);
    assert_eq!([call(&mut stage, 1), call(&mut stage, 2)], [Some(100), Some(503)]);
    assert_eq!(stage.count(Counter::PhoneDialogLimit), 1);
}

#[test]
fn registrations_are_bounded() {
    let mut stage = limited(|limits| limits.registrations = 1);
    stage.connect(PHONE_B, 2);
    stage.register(1, "1001");
    let register = stage.request(
        "TLS",
        "REGISTER sip:lab.example",
        &[
            "From: <sip:1002@lab.example>;tag=a",
            "To: <sip:1002@lab.example>",
            "Call-ID: r",
            "CSeq: 1 REGISTER",
            "Contact: <sip:1002@192.168.77.12>",
        ],
        "",
    );
    stage.phone_sends(2, register);
    assert_eq!(stage.at_phone().code(), Some(503));
    assert_eq!(stage.count(Counter::RegistrationLimit), 1);
    // The phone that has one may refresh it.
    stage.register(1, "1001");
}

#[test]
fn devices_are_bounded_and_idle_ones_make_room() {
    let mut stage = limited(|limits| limits.devices = 1);
    stage.connect(PHONE_B, 2);
    assert_eq!(stage.closed.len(), 1);
    assert_eq!(stage.count(Counter::DeviceLimit), 1);
    stage.disconnect(1);
    stage.connect(PHONE_B, 3);
    assert_eq!(stage.closed.len(), 1);
}

#[test]
fn media_lines_are_bounded() {
    let mut stage = limited(|limits| limits.media_lines = 1);
    let line = format!("m=video 30002 RTP/SAVP 96\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_A}\r\n");
    let invite = stage.invite_of_phone("call-1", &format!("{}{line}", offer_outside(KEY_A)));
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_phone().code(), Some(488));
    assert_eq!(stage.count(Counter::MediaLineLimit), 1);
}

#[test]
fn forks_are_bounded() {
    let mut stage = limited(|limits| limits.forks = 3);
    let request = stage.ring_cm(&offer_outside(KEY_A));
    for n in 0..5 {
        stage.cm_sends(reply(&request, 180, "Ringing", &format!("fork{n}"), ""));
    }
    assert_eq!(stage.count(Counter::ForkLimit), 2);
}

#[test]
fn flood_of_unanswered_calls_leaves_answered_ones_alone_and_ports_come_back() {
    let mut config = config();
    config.limits.calls_per_phone = 100;
    config.limits.dialogs_per_phone = 100;
    config.media[0] = MediaPort { address: "203.0.113.5".parse().unwrap(), ports: 16384..=16391 };
    let mut stage = Stage::with(config);
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let codes: Vec<_> = (2..12).map(|n| call(&mut stage, n)).collect();
    assert_eq!(codes.iter().filter(|code| **code == Some(100)).count(), 3);
    assert_eq!(stage.count(Counter::PortsExhausted), 7);
    assert_eq!(stage.proxy.ports().in_use, 8);
    stage.pass(Duration::from_secs(60));
    assert_eq!((stage.proxy.ports().in_use, stage.proxy.ports().quarantined), (2, 0));
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
    stage.phone.clear();
    assert_eq!(call(&mut stage, 20), Some(100));
}

#[test]
fn slots_are_bounded() {
    let mut config = config();
    config.max_sessions = 1;
    let mut stage = Stage::with(config);
    stage.connect(PHONE_A, 1);
    assert_eq!([call(&mut stage, 1), call(&mut stage, 2)], [Some(100), Some(503)]);
    assert_eq!(stage.count(Counter::SlotsExhausted), 1);
    assert_eq!(stage.proxy.ports().in_use, 2);
}

#[test]
fn nothing_is_left_after_many_calls() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    for _ in 0..300 {
        stage.call_from_phone();
        let bye = stage.in_dialog("TLS", "BYE", "sip:x@203.0.113.5", "2 BYE", &[], "");
        stage.phone_sends(1, bye);
        let bye = stage.at_cm();
        stage.cm_sends(reply(&bye, 200, "OK", "cmtag", ""));
        stage.at_phone();
        stage.pass(Duration::from_secs(1));
    }
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.proxy.next_timeout(), None);
    assert_eq!((stage.proxy.ports().in_use, stage.proxy.ports().quarantined), (0, 0));
    assert!(stage.proxy.sessions().is_empty());
}
