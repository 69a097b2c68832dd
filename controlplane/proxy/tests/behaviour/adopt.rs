//! Restart: calls outlive the control plane.

use std::time::Duration;

use pinhole_admin::CallState;
use pinhole_flow::{CommandKind, slot::NOTE_MAX};
use pinhole_proxy::{Counter, Input, ProxyConfig};
use pinhole_sip::name;

use crate::stage::*;

/// The control plane dies in the middle of the calls of `old`; a new one finds what the data plane has.
fn restart(old: &Stage) -> Stage {
    restart_with(old, config())
}

/// The same with another configuration.
pub fn restart_with(old: &Stage, config: ProxyConfig) -> Stage {
    let mut stage = Stage::seeded(config, 99);
    stage.now = old.now;
    for open in old.commands_of(CommandKind::Open) {
        let note = old.notes.get(&open.slot).cloned().unwrap_or_default();
        stage.input(Input::Adopt {
            slot: open.slot,
            generation: open.generation,
            session: Box::new(open.session),
            note,
        });
    }
    stage.input(Input::AdoptDone);
    stage
}

#[test]
fn call_is_shown_and_ended_by_the_phone() {
    let mut old = Stage::new();
    old.connect(PHONE_A, 1);
    old.call_from_phone();
    let mut stage = restart(&old);
    let calls = stage.proxy.calls(stage.now);
    assert_eq!((calls.len(), calls[0].state), (1, CallState::Adopted));
    assert_eq!((calls[0].call_id.as_str(), calls[0].device.as_str()), ("call-1", PHONE_A));
    assert_eq!(
        (calls[0].from.as_str(), calls[0].to.as_str()),
        ("sip:1001@lab.example", "sip:2001@lab.example")
    );
    assert_eq!(calls[0].suite.as_deref(), Some("AES_CM_128_HMAC_SHA1_80"));
    assert_eq!(stage.proxy.ports().in_use, 2);
    assert!(stage.commands.is_empty());
    stage.connect(PHONE_A, 5);
    let bye = stage.in_dialog("TLS", "BYE", "sip:x@203.0.113.5", "2 BYE", &[], "");
    stage.phone_sends(5, bye);
    let bye = stage.at_cm();
    assert_eq!(bye.uri(), Some("sip:2001@10.20.0.20:5060"));
    assert_eq!(bye.header(name::ROUTE), Some("<sip:10.20.0.10;lr>"));
    stage.cm_sends(reply(&bye, 200, "OK", "cmtag", ""));
    assert_eq!(stage.at_phone().code(), Some(200));
    let close = stage.commands_of(CommandKind::Close);
    assert_eq!((close.len(), close[0].generation), (1, old.commands[0].generation));
    assert_eq!(stage.proxy.ports().in_use, 0);
}

#[test]
fn call_is_ended_from_inside_before_the_phone_is_back() {
    let mut old = Stage::new();
    old.connect(PHONE_A, 1);
    old.call_to_phone();
    let mut stage = restart(&old);
    let bye = stage.in_dialog("UDP", "BYE", "sip:x@10.20.0.5", "2 BYE", &[], "");
    stage.cm_sends(bye);
    assert_eq!(stage.at_cm().code(), Some(200));
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    assert!(stage.proxy.calls(stage.now).is_empty());
}

#[test]
fn call_is_ended_from_inside_when_the_phone_is_back() {
    let mut old = Stage::new();
    old.connect(PHONE_A, 1);
    old.call_to_phone();
    let mut stage = restart(&old);
    stage.connect(PHONE_A, 1);
    let bye = stage.in_dialog("UDP", "BYE", "sip:x@10.20.0.5", "2 BYE", &[], "");
    stage.cm_sends(bye);
    assert_eq!(stage.at_phone().uri(), Some("sip:1001@192.168.77.11:5061;transport=tls"));
}

#[test]
fn reinvite_goes_on_with_the_same_ports_and_keys() {
    let mut old = Stage::new();
    old.connect(PHONE_A, 1);
    old.call_from_phone();
    let mut stage = restart(&old);
    stage.connect(PHONE_A, 1);
    let invite =
        stage.in_dialog("TLS", "INVITE", "sip:x@203.0.113.5", "2 INVITE", &[], &offer_outside(KEY_A));
    stage.phone_sends(1, invite);
    stage.at_phone();
    let request = stage.at_cm();
    assert_eq!(sdp_line(&request, "m=audio"), "m=audio 20000 RTP/AVP 0 101");
    stage.cm_sends(reply(&request, 200, "OK", "cmtag", &answer_inside()));
    assert_eq!(sdp_line(&stage.at_phone(), "m=audio"), "m=audio 16384 RTP/SAVP 0");
    let [update] = &stage.commands[..] else { panic!("one update, of orders that are as they were") };
    assert_eq!((update.kind, update.session), (CommandKind::Update as u32, old.commands[0].session));
    assert_eq!(stage.proxy.calls(stage.now)[0].state, CallState::Talking);
}

#[test]
fn silent_call_whose_phone_stays_away_ends_after_the_grace_time() {
    let mut old = Stage::new();
    old.connect(PHONE_A, 1);
    old.call_from_phone();
    let mut stage = restart(&old);
    stage.pass(Duration::from_secs(61));
    assert!(stage.proxy.calls(stage.now).is_empty());
    let bye = stage.at_cm();
    assert_eq!((bye.from_tag().as_deref(), bye.cseq().unwrap().number), (Some("phtag"), 2));
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
}

#[test]
fn call_whose_phone_still_sends_media_is_kept() {
    let mut old = Stage::new();
    old.connect(PHONE_A, 1);
    old.call_from_phone();
    let mut stage = restart(&old);
    let (slot, generation) = stage.proxy.sessions()[0];
    for n in 0..100 {
        stage.input(Input::MediaActivity { slot, generation, packets: [500 * n, 500 * n] });
        stage.pass(Duration::from_secs(5));
    }
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
    // The phone hangs up by vanishing.
    stage.pass(Duration::from_secs(40));
    assert!(stage.proxy.calls(stage.now).is_empty());
}

#[test]
fn session_without_a_note_is_closed_after_the_grace_time() {
    let mut old = Stage::new();
    old.connect(PHONE_A, 1);
    old.call_from_phone();
    old.notes.clear();
    let mut stage = restart(&old);
    assert!(stage.proxy.calls(stage.now).is_empty());
    stage.pass(Duration::from_secs(59));
    assert!(stage.commands.is_empty());
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    assert_eq!(stage.count(Counter::SessionsUnclaimed), 1);
    assert_eq!(stage.proxy.ports().in_use, 0);
}

#[test]
fn broken_notes_are_no_calls() {
    let mut old = Stage::new();
    old.connect(PHONE_A, 1);
    old.call_from_phone();
    let note = old.notes[&0].clone();
    for cut in 0..note.len() {
        old.notes.insert(0, note[..cut].to_vec());
        let stage = restart(&old);
        assert!(stage.proxy.calls(stage.now).is_empty());
    }
}

#[test]
fn session_that_cannot_be_ours_is_closed_at_once() {
    let mut old = Stage::new();
    old.connect(PHONE_A, 1);
    old.call_from_phone();
    old.commands[0].session.legs[0].local_rtp = 2;
    let stage = restart(&old);
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    assert_eq!(stage.count(Counter::SessionsForeign), 1);
    old.commands[0].slot = 4711;
    let stage = restart(&old);
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
}

#[test]
fn new_calls_get_other_slots_and_ports() {
    let mut old = Stage::new();
    old.connect(PHONE_A, 1);
    old.call_from_phone();
    let mut stage = restart(&old);
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_phone("call-2", &offer_outside(KEY_A));
    stage.phone_sends(1, invite);
    stage.at_phone();
    let request = stage.at_cm();
    stage.cm_sends(reply(&request, 200, "OK", "cmtag", &answer_inside()));
    let (one, two) = (old.commands[0], stage.commands_of(CommandKind::Open)[0]);
    assert_ne!(one.slot, two.slot);
    for leg in 0..2 {
        assert_ne!(one.session.legs[leg].local_rtp, two.session.legs[leg].local_rtp);
    }
}

#[test]
fn long_note_is_cut_down_and_still_adopted() {
    let mut old = Stage::new();
    old.connect(PHONE_A, 1);
    let invite = old.invite_of_phone("call-1", &offer_outside(KEY_A));
    let mut long = invite.clone();
    long.set(name::FROM, &format!("\"{}\" <sip:1001@lab.example>;tag=phtag", "x".repeat(700)));
    old.phone_sends(1, long);
    old.at_phone();
    let request = old.at_cm();
    let mut ok = reply(&request, 200, "OK", "cmtag", &answer_inside());
    ok.push(name::CONTACT, "<sip:2001@10.20.0.20:5060>");
    ok.push(name::RECORD_ROUTE, &format!("<sip:10.20.0.10;lr;did={}>", "y".repeat(300)));
    old.cm_sends(ok);
    assert!(old.notes[&0].len() <= NOTE_MAX);
    assert_eq!(old.count(Counter::NotesShortened), 1);
    let stage = restart(&old);
    assert_eq!(stage.proxy.calls(stage.now)[0].from, "sip:1001@lab.example");
}
