//! What strangers and phones that mean ill do to calls in progress: media stays where it is, and what
//! they took comes back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pinhole_admin::CallState;
use pinhole_flow::CommandKind;
use pinhole_proxy::{Counter, Input, MediaPort, Source};
use pinhole_sip::Message;

use crate::stage::*;

const ATTACKER: &str = "198.51.100.66";

/// A re-INVITE in the dialog of `call-1` that wants media at the attacker's address.
fn redirecting(stage: &mut Stage, transport: &str) -> Message {
    let body = match transport {
        "TLS" => offer_outside(KEY_B).replace("192.168.77.11", ATTACKER),
        _ => offer_inside().replace("10.20.0.20", ATTACKER),
    };
    stage.in_dialog(transport, "INVITE", "sip:x@203.0.113.5", "2 INVITE", &[], &body)
}

/// Nothing was ordered since the call was set up, and it goes on.
fn unmoved(stage: &Stage) {
    assert_eq!(stage.commands.len(), 1, "only the Open of the call");
    let calls = stage.proxy.calls(stage.now);
    assert_eq!((calls.len(), calls[0].state), (1, CallState::Talking));
    assert_eq!(stage.proxy.ports().in_use, 2);
}

#[test]
fn reinvite_of_another_phone_moves_no_media() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.connect(PHONE_B, 2);
    stage.call_from_phone();
    let invite = redirecting(&mut stage, "TLS");
    stage.phone_sends(2, invite);
    assert_eq!(stage.at_phone().code(), Some(481));
    stage.nothing_more();
    unmoved(&stage);
}

#[test]
fn reinvite_from_an_unknown_inside_address_moves_no_media() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let message = redirecting(&mut stage, "UDP");
    let source = Source::Udp(format!("{ATTACKER}:5060").parse().unwrap());
    stage.input(Input::ClusterMessage { cluster: 0, source, message });
    stage.nothing_more();
    unmoved(&stage);
}

#[test]
fn reinvite_with_a_strange_tag_moves_no_media() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    for tags in [("phtag", "other"), ("other", "cmtag")] {
        let mut invite = redirecting(&mut stage, "TLS");
        invite.set(pinhole_sip::name::FROM, &format!("<sip:1001@lab.example>;tag={}", tags.0));
        invite.set(pinhole_sip::name::TO, &format!("<sip:2001@lab.example>;tag={}", tags.1));
        stage.phone_sends(1, invite);
        assert!(stage.at_phone().code().unwrap() >= 400);
        stage.nothing_more();
    }
    unmoved(&stage);
}

#[test]
fn reinvite_with_an_address_that_is_not_the_phones_sends_it_no_media() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let invite = redirecting(&mut stage, "TLS");
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_phone().code(), Some(100));
    let request = stage.at_cm();
    unmoved(&stage);
    stage.cm_sends(reply(&request, 200, "OK", "cmtag", &answer_inside()));
    let update = stage.commands_of(CommandKind::Update)[0];
    let outside = &update.session.legs[0];
    assert_eq!((outside.remote_rtp, outside.remote_ip), (0, [0; 16]), "until the phone is heard from");
}

#[test]
fn media_stays_as_it_is_until_a_reinvite_is_answered() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let invite =
        stage.in_dialog("TLS", "INVITE", "sip:x@203.0.113.5", "2 INVITE", &[], &offer_outside(KEY_B));
    stage.phone_sends(1, invite);
    stage.at_phone();
    let request = stage.at_cm();
    unmoved(&stage);
    stage.cm_sends(reply(&request, 488, "Not Acceptable Here", "cmtag", ""));
    stage.pass(Duration::from_secs(60));
    unmoved(&stage);
}

#[test]
fn flood_of_reinvites_takes_no_ports() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let video = format!("m=video 30002 RTP/SAVP 96\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_B}\r\n");
    let body = format!("{}{video}", offer_outside(KEY_B));
    for n in 2..500 {
        let cseq = format!("{n} INVITE");
        let invite = stage.in_dialog("TLS", "INVITE", "sip:x@203.0.113.5", &cseq, &[], &body);
        stage.phone_sends(1, invite);
        assert!(stage.proxy.ports().in_use <= 4, "the one stream more that is pending");
        stage.phone.clear();
        stage.cm.clear();
    }
    stage.pass(Duration::from_secs(300));
    assert!(stage.proxy.ports().in_use <= 2);
    assert!(stage.commands_of(CommandKind::Update).is_empty());
}

/// Lets half-seconds pass while media flows in the first session since `began`.
fn talk(stage: &mut Stage, began: Instant, steps: u32) {
    let (slot, generation) = stage.proxy.sessions()[0];
    for _ in 0..steps {
        stage.pass(Duration::from_millis(500));
        let packets = (stage.now - began).as_secs() * 50;
        stage.input(Input::MediaActivity { slot, generation, packets: [packets; 2] });
    }
}

#[test]
fn flood_of_unanswered_offers_leaves_calls_alone_and_gets_no_port_twice() {
    for workers in [1, 2, 3] {
        let mut config = config();
        config.workers = workers;
        config.limits.calls_per_phone = 1000;
        config.limits.dialogs_per_phone = 1000;
        config.limits.transactions_per_phone = 10_000;
        config.media[0] = MediaPort { address: "203.0.113.5".parse().unwrap(), ports: 16384..=16399 };
        let mut stage = Stage::with(config);
        stage.connect(PHONE_A, 1);
        stage.call_from_phone();
        let began = stage.now;
        // Ports inside of the offers that wait for an answer, by Call-ID.
        let mut ports =
            BTreeMap::from([("call-1".to_owned(), stage.commands[0].session.legs[1].local_rtp.to_string())]);
        for n in 2..300 {
            let invite = stage.invite_of_phone(&format!("call-{n}"), &offer_outside(KEY_B));
            stage.phone_sends(1, invite);
            talk(&mut stage, began, 1);
            for (_, message) in stage.phone.drain(..) {
                if message.code().is_some_and(|code| code >= 300) {
                    ports.remove(message.call_id().unwrap());
                }
            }
            let invites =
                stage.cm.drain(..).map(|(_, message)| message).filter(|message| !message.body.is_empty());
            for invite in invites {
                let (call, port) = (invite.call_id().unwrap().to_owned(), sdp_line(&invite, "m=audio"));
                let port = port.split(' ').nth(1).unwrap().to_owned();
                // INVITEs are sent again while nobody answers.
                let shared = ports.iter().any(|(other, taken)| *other != call && *taken == port);
                assert!(!shared, "{call} got {port} of {ports:?}");
                ports.insert(call, port);
            }
        }
        assert!(stage.count(Counter::PortsExhausted) > 0, "the flood has hit the bound");
        assert_eq!(stage.commands.len(), 1, "the call is as it was");
        talk(&mut stage, began, 120);
        let ports = stage.proxy.ports();
        assert_eq!((ports.in_use, ports.quarantined), (2, 0));
        assert_eq!(stage.proxy.calls(stage.now).len(), 1);
    }
}
