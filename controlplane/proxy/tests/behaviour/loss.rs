//! Phones that are lost, media that stops, a data plane that says no.

use std::collections::HashSet;
use std::time::Duration;

use pinhole_admin::EventKind;
use pinhole_flow::{CommandKind, Refusal};
use pinhole_proxy::{ConnId, Counter, Input, Silence};
use pinhole_sip::Message;

use crate::stage::*;

fn method(message: &Message) -> String {
    message.method().unwrap().to_string()
}

#[test]
fn lost_phone_ends_its_calls_after_the_grace_time() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    stage.disconnect(1);
    stage.pass(Duration::from_secs(29));
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
    stage.pass(Duration::from_secs(2));
    assert!(stage.proxy.calls(stage.now).is_empty());
    let bye = stage.at_cm();
    assert_eq!(method(&bye), "BYE");
    assert_eq!(bye.uri(), Some("sip:2001@10.20.0.20:5060"));
    assert_eq!((bye.from_tag().as_deref(), bye.to_tag().as_deref()), (Some("phtag"), Some("cmtag")));
    assert_eq!(bye.cseq().unwrap().number, 2);
    stage.cm_sends(reply(&bye, 200, "OK", "cmtag", ""));
    stage.cm.clear();
    stage.pass(Duration::from_secs(60));
    stage.nothing_more();
    assert_eq!(stage.count(Counter::PhonesLost), 1);
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
}

#[test]
fn phone_that_comes_back_in_time_keeps_its_call() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    stage.disconnect(1);
    stage.pass(Duration::from_secs(20));
    stage.connect(PHONE_A, 2);
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
    let bye = stage.in_dialog("UDP", "BYE", "sip:x@10.20.0.5", "2 BYE", &[], "");
    stage.cm_sends(bye);
    let (conn, bye) = stage.phone.pop_front().unwrap();
    assert_eq!((conn, method(&bye).as_str()), (ConnId(2), "BYE"));
}

#[test]
fn bye_from_inside_while_the_phone_is_away_is_answered() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    stage.disconnect(1);
    let bye = stage.in_dialog("UDP", "BYE", "sip:x@10.20.0.5", "2 BYE", &[], "");
    stage.cm_sends(bye);
    assert_eq!(stage.at_cm().code(), Some(200));
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    stage.pass(Duration::from_secs(100));
    stage.nothing_more();
}

#[test]
fn newer_connection_takes_over() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    stage.connect(PHONE_A, 2);
    assert_eq!(stage.closed, [ConnId(1)]);
    stage.disconnect(1);
    stage.pass(Duration::from_secs(100));
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
    let bye = stage.in_dialog("TLS", "BYE", "sip:x@203.0.113.5", "2 BYE", &[], "");
    stage.phone_sends(1, bye.clone());
    stage.nothing_more();
    stage.phone_sends(2, bye);
    assert_eq!(method(&stage.at_cm()), "BYE");
}

#[test]
fn device_that_no_cluster_serves_is_turned_away() {
    let mut stage = Stage::new();
    stage.connect("TOASTER", 1);
    assert_eq!(stage.closed, [ConnId(1)]);
    assert_eq!(stage.count(Counter::DevicesWithoutCluster), 1);
    assert!(stage.has_event(EventKind::PhoneRefused));
}

fn activity(stage: &mut Stage, packets: [u64; 2]) {
    for (slot, generation) in stage.proxy.sessions() {
        stage.input(Input::MediaActivity { slot, generation, packets });
    }
}

/// A call of that many seconds, in which packets had come from these sides.
fn ended_call(seconds: u32, packets: [u64; 2], held: bool) -> Stage {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    if held {
        stage.call_from_phone_with(&offer_outside(KEY_A).replace("sendrecv", "sendonly"));
    } else {
        stage.call_from_phone();
    }
    for _ in 0..seconds {
        activity(&mut stage, packets);
    }
    let bye = stage.in_dialog("TLS", "BYE", "sip:x@203.0.113.5", "2 BYE", &[], "");
    stage.phone_sends(1, bye);
    let bye = stage.at_cm();
    stage.cm_sends(reply(&bye, 200, "OK", "cmtag", ""));
    assert!(stage.proxy.calls(stage.now).is_empty());
    stage
}

#[test]
fn call_in_which_somebody_was_not_heard_is_told_of() {
    for (packets, from) in [([0, 9], Silence::Phone), ([9, 0], Silence::FarEnd), ([0, 0], Silence::Both)] {
        let stage = ended_call(6, packets, false);
        assert_eq!(stage.silent, [(ConnId(1), from)]);
        assert_eq!(stage.count(Counter::CallsSilent), 1);
        assert!(stage.events.iter().any(|event| event.text.contains(&format!("no audio from {from}"))));
    }
    for (seconds, packets, held) in [(6, [9, 9], false), (2, [0, 9], false), (6, [0, 9], true)] {
        assert!(ended_call(seconds, packets, held).silent.is_empty(), "{seconds} {packets:?} {held}");
    }
}

#[test]
fn silence_on_both_legs_ends_the_call() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    for n in 1..10 {
        stage.pass(Duration::from_secs(60));
        activity(&mut stage, [0, n]);
    }
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
    for _ in 0..3 {
        stage.pass(Duration::from_secs(45));
        activity(&mut stage, [0, 9]);
    }
    assert!(stage.proxy.calls(stage.now).is_empty());
    assert_eq!([method(&stage.at_phone()), method(&stage.at_cm())], ["BYE", "BYE"]);
    assert_eq!(stage.count(Counter::MediaTimeouts), 1);
    assert!(stage.has_event(EventKind::MediaTimeout));
}

#[test]
fn call_on_hold_may_be_silent_for_longer() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let offer = offer_outside(KEY_A).replace("sendrecv", "inactive");
    let invite = stage.in_dialog("TLS", "INVITE", "sip:x@203.0.113.5", "2 INVITE", &[], &offer);
    stage.phone_sends(1, invite);
    stage.at_phone();
    let request = stage.at_cm();
    stage.cm_sends(reply(&request, 200, "OK", "cmtag", &format!("{}a=inactive\r\n", answer_inside())));
    stage.at_phone();
    let ack = stage.in_dialog("TLS", "ACK", "sip:x@203.0.113.5", "2 ACK", &[], "");
    stage.phone_sends(1, ack);
    stage.pass(Duration::from_secs(1700));
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
    stage.pass(Duration::from_secs(200));
    assert!(stage.proxy.calls(stage.now).is_empty());
}

#[test]
fn refused_open_ends_the_call() {
    let mut stage = Stage::new();
    stage.acknowledges = false;
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let open = stage.commands[0];
    stage.input(Input::Media(open.answer(Err(Refusal::PortBusy))));
    assert_eq!([method(&stage.at_phone()), method(&stage.at_cm())], ["BYE", "BYE"]);
    assert_eq!(stage.count(Counter::MediaRefused), 1);
    let close = stage.commands_of(CommandKind::Close)[0];
    stage.input(Input::Media(close.answer(Err(Refusal::NotOpen))));
    assert_eq!(stage.proxy.ports().in_use, 0);
}

#[test]
fn refused_open_of_early_media_fails_the_call() {
    let mut stage = Stage::new();
    stage.acknowledges = false;
    stage.connect(PHONE_A, 1);
    let request = stage.ring_cm(&offer_outside(KEY_A));
    stage.cm_sends(reply(&request, 183, "Session Progress", "cmtag", &answer_inside()));
    stage.at_phone();
    let open = stage.commands[0];
    stage.input(Input::Media(open.answer(Err(Refusal::BadLeg))));
    assert_eq!(stage.at_phone().code(), Some(500));
    assert_eq!(method(&stage.at_cm()), "CANCEL");
}

#[test]
fn ports_rest_after_the_acknowledgement_of_close() {
    let mut stage = Stage::new();
    stage.acknowledges = false;
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let bye = stage.in_dialog("UDP", "BYE", "sip:x@10.20.0.5", "2 BYE", &[], "");
    stage.cm_sends(bye);
    stage.pass(Duration::from_secs(60));
    assert_eq!((stage.proxy.ports().in_use, stage.proxy.ports().quarantined), (2, 0));
    let close = stage.commands_of(CommandKind::Close)[0];
    stage.input(Input::Media(close.answer(Ok(()))));
    assert_eq!((stage.proxy.ports().in_use, stage.proxy.ports().quarantined), (0, 2));
    stage.pass(Duration::from_secs(6));
    assert_eq!((stage.proxy.ports().in_use, stage.proxy.ports().quarantined), (0, 0));
}

#[test]
fn acknowledgement_of_an_older_generation_frees_nothing() {
    let mut stage = Stage::new();
    stage.acknowledges = false;
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let mut close = stage.commands[0];
    close.kind = CommandKind::Close as u32;
    stage.input(Input::Media(close.answer(Ok(()))));
    close.generation = close.generation.wrapping_sub(1);
    stage.input(Input::Media(close.answer(Ok(()))));
    assert_eq!(stage.proxy.ports().in_use, 2);
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
}

#[test]
fn call_ends_with_the_data_plane_that_had_its_keys_and_indices() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    stage.phone.clear();
    stage.input(Input::MediaBack { open: HashSet::new() });
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 1, "no key begins at index 0 a second time");
    let ends = [stage.at_cm(), stage.phone.pop_back().unwrap().1];
    assert_eq!(ends.each_ref().map(method), ["BYE", "BYE"]);
    assert!(stage.proxy.calls(stage.now).is_empty());
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    assert_eq!((stage.proxy.ports().in_use, stage.count(Counter::SessionsLost)), (0, 1));
}

#[test]
fn ports_of_a_lost_session_are_free_when_the_new_data_plane_knows_nothing_of_it() {
    let mut stage = Stage::new();
    stage.acknowledges = false;
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let open = stage.commands[0];
    stage.input(Input::MediaBack { open: HashSet::from([(open.slot, open.generation.wrapping_add(1))]) });
    assert!(stage.proxy.calls(stage.now).is_empty(), "another session in the slot is not the call's");
    assert_eq!(stage.proxy.ports().in_use, 2, "until the close is acknowledged");
    let close = stage.commands_of(CommandKind::Close)[0];
    stage.input(Input::Media(close.answer(Err(Refusal::NotOpen))));
    assert_eq!(stage.proxy.ports().in_use, 0);
}

#[test]
fn data_plane_that_was_away_keeps_the_calls() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    stage.notes.clear();
    let commands = stage.commands.len();
    let open = stage.proxy.sessions().into_iter().collect();
    stage.input(Input::MediaBack { open });
    assert_eq!((stage.commands.len(), stage.notes.len()), (commands, 1));
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
}

#[test]
fn far_end_that_has_forgotten_the_dialog_ends_the_call() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    for (method, cseq, left) in [("NOTIFY", "2 NOTIFY", 1), ("INVITE", "3 INVITE", 0)] {
        let request = stage.in_dialog("TLS", method, "sip:x@203.0.113.5", cseq, &[], "");
        stage.phone_sends(1, request);
        let request = stage.at_cm();
        stage.cm_sends(reply(&request, 481, "Call/Transaction Does Not Exist", "cmtag", ""));
        assert_eq!(stage.proxy.calls(stage.now).len(), left);
    }
    assert_eq!(method(&stage.phone.back().unwrap().1), "BYE");
}
