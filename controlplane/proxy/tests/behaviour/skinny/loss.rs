//! Connections end, media goes on for a while.

use std::collections::HashSet;
use std::time::Duration;

use pinhole_flow::CommandKind;
use pinhole_proxy::{ConnId, Counter, Input, Silence, SkinnyInput};
use pinhole_sccp::{MediaStatus, MessageId};

use super::stage::*;
use crate::stage::{PHONE_A, PHONE_B};

const GRACE: Duration = Duration::from_secs(30);

/// The phone's packets were seen.
pub fn phone_talks(stage: &mut Stage, packets: u64) {
    let (slot, generation) = stage.proxy.sessions()[0];
    stage.input(Input::MediaActivity { slot, generation, packets: [packets, 0] });
}

#[test]
fn call_in_which_somebody_was_not_heard_is_told_of() {
    for (packets, silent) in [([0, 9], &[Silence::Phone][..]), ([9, 0], &[Silence::FarEnd]), ([9, 9], &[])] {
        let mut stage = Stage::registered();
        stage.talk(1, 7);
        let (slot, generation) = stage.proxy.sessions()[0];
        for _ in 0..6 {
            stage.input(Input::MediaActivity { slot, generation, packets });
        }
        stage.server_sends(1, end(MessageId::CLOSE_RECEIVE_CHANNEL, 7));
        stage.server_sends(1, end(MessageId::STOP_MEDIA_TRANSMISSION, 7));
        assert_eq!(stage.silent, silent);
    }
}

#[test]
fn either_end_takes_the_other_with_it() {
    let conn = ConnId(1);
    for ended in [SkinnyInput::PhoneClosed { conn }, SkinnyInput::ServerClosed { conn }] {
        let mut stage = Stage::registered();
        stage.skinny(ended);
        assert_eq!(stage.closed, [conn]);
        assert!(stage.proxy.phones(stage.now).is_empty());
        stage.phone_sends(1, register(PHONE_A));
        stage.server_sends(1, open(7, None));
        assert_eq!(stage.count(Counter::UnknownConnections), 2);
        stage.nothing_more();
    }
}

#[test]
fn media_of_a_lost_connection_ends_after_the_grace_time() {
    let mut stage = Stage::registered();
    stage.talk(1, 7);
    stage.skinny(SkinnyInput::ServerClosed { conn: ConnId(1) });
    stage.pass(GRACE - Duration::from_secs(1));
    assert_eq!(stage.proxy.sessions().len(), 1);
    stage.pass(Duration::from_secs(2));
    assert!(stage.proxy.sessions().is_empty());
    assert_eq!(stage.count(Counter::PhonesLost), 1);
}

#[test]
fn phone_that_goes_on_talking_keeps_its_media() {
    let mut stage = Stage::registered();
    stage.talk(1, 7);
    stage.skinny(SkinnyInput::ServerClosed { conn: ConnId(1) });
    for second in 0..100 {
        stage.pass(Duration::from_secs(1));
        phone_talks(&mut stage, second + 1);
    }
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
    stage.pass(GRACE + Duration::from_secs(1));
    assert!(stage.proxy.sessions().is_empty(), "until it is silent");
}

#[test]
fn phone_that_registers_anew_has_ended_its_calls() {
    let mut stage = Stage::registered();
    stage.talk(1, 7);
    stage.connect(PHONE_B, 2, PRIMARY);
    stage.register(2, PHONE_B);
    stage.talk(2, 8);
    stage.skinny(SkinnyInput::ServerClosed { conn: ConnId(1) });
    stage.skinny(SkinnyInput::ServerClosed { conn: ConnId(2) });
    stage.connect(PHONE_A, 3, BACKUP);
    assert_eq!(stage.proxy.sessions().len(), 2, "a connection alone says nothing");
    stage.register(3, PHONE_A);
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    let left = stage.proxy.calls(stage.now);
    assert_eq!((left.len(), left[0].device.as_str()), (1, PHONE_B), "of its own only");
}

#[test]
fn phone_that_registers_anew_on_the_same_connection_has_ended_its_calls_too() {
    let mut stage = Stage::registered();
    stage.talk(1, 7);
    stage.register(1, PHONE_A);
    assert!(stage.proxy.calls(stage.now).is_empty());
}

#[test]
fn standby_connection_that_ends_leaves_calls_alone() {
    let mut stage = Stage::registered();
    stage.connect(PHONE_A, 2, BACKUP);
    stage.talk(1, 7);
    stage.skinny(SkinnyInput::PhoneClosed { conn: ConnId(2) });
    stage.pass(GRACE * 2);
    assert_eq!(stage.proxy.sessions().len(), 1);
    assert_eq!(stage.closed, [ConnId(2)]);
}

#[test]
fn streams_end_with_the_data_plane_and_the_call_manager_is_told() {
    let mut stage = Stage::registered();
    stage.talk(1, 7);
    stage.input(Input::MediaBack { open: HashSet::new() });
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 1, "no key begins at index 0 a second time");
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    assert_eq!(stage.count(Counter::SessionsLost), 1);
    let failure = stage.at_server();
    assert_eq!((failure.id(), endpoint(&failure)), (MessageId::MEDIA_TRANSMISSION_FAILURE, FAR.to_owned()));
    let channel = failure.channel().unwrap();
    assert_eq!((channel.party(), channel.call()), (Ok(0x107), Ok(7)));
    stage.nothing_more();
    stage.talk(1, 7);
}

#[test]
fn channels_that_are_not_acknowledged_fail_when_their_data_plane_is_lost() {
    let mut stage = Stage::registered();
    stage.server_sends(1, open(7, None));
    stage.server_sends(1, start(7, FAR, None));
    stage.input(Input::MediaBack { open: HashSet::new() });
    for id in [MessageId::OPEN_RECEIVE_CHANNEL_ACK, MessageId::START_MEDIA_TRANSMISSION_ACK] {
        let refusal = stage.at_server();
        assert_eq!((refusal.id(), endpoint(&refusal)), (id, "0.0.0.0:0".to_owned()));
        let channel = refusal.channel().unwrap();
        assert_eq!((channel.status(), channel.party()), (Ok(MediaStatus::UNKNOWN), Ok(0x107)));
    }
}

#[test]
fn data_plane_that_was_away_keeps_the_streams() {
    let mut stage = Stage::registered();
    stage.talk(1, 7);
    let open = stage.proxy.sessions().into_iter().collect();
    stage.input(Input::MediaBack { open });
    assert_eq!((stage.proxy.sessions().len(), stage.commands_of(CommandKind::Close).len()), (1, 0));
    stage.nothing_more();
}

#[test]
fn ports_rest_after_a_call_and_all_are_given_back() {
    let mut stage = Stage::registered();
    for call in 1..=20 {
        stage.talk(1, call);
    }
    assert_eq!(stage.proxy.ports().in_use, 40);
    stage.skinny(SkinnyInput::PhoneClosed { conn: ConnId(1) });
    stage.pass(GRACE + Duration::from_secs(1));
    assert_eq!((stage.proxy.ports().in_use, stage.proxy.ports().quarantined), (0, 40));
    stage.pass(Duration::from_secs(10));
    assert_eq!(stage.proxy.ports().quarantined, 0);
    assert_eq!(stage.proxy.next_timeout(), None);
}
