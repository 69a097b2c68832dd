//! Devices of the class *authenticated*: TLS, and plain RTP outside.

use pinhole_admin::SecurityClass::{Authenticated, Encrypted};
use pinhole_flow::{CommandKind, Leg, LegFlags, MasterKey, Suite};
use pinhole_proxy::{ConnId, Counter, Input, SkinnyCalls, SkinnyInput, SkinnyKeys};
use pinhole_sccp::{Encryption, Frame, KeyBlock, MasterKey as SccpKey, MasterSalt, MessageId};

use super::stage::*;
use crate::stage::{PHONE_A, PHONE_B, peer};

fn registered() -> Stage {
    let mut stage = Stage::with(config());
    stage.connect_as(PHONE_A, 1, Authenticated, PRIMARY);
    stage.register(1, PHONE_A);
    stage
}

fn outside(stage: &Stage) -> Leg {
    stage.orders().legs[0]
}

fn in_the_clear(leg: &Leg) -> bool {
    [leg.inbound, leg.outbound] == [MasterKey::NONE; 2] && leg.flags == 0
}

fn no_key(frame: &Frame) -> bool {
    frame.channel().unwrap().encryption() == Ok(KeyBlock::Clear)
}

#[test]
fn phone_gets_no_key_and_our_outside_address() {
    let mut stage = registered();
    let (opened, started) = stage.talk(1, 7);
    assert!(no_key(&opened) && no_key(&started));
    let leg = outside(&stage);
    assert!(in_the_clear(&leg));
    assert_eq!(endpoint(&started), format!("203.0.113.5:{}", leg.local_rtp));
    assert_eq!(stage.count(Counter::SessionsClear), 1);
    assert_eq!(stage.proxy.calls(stage.now)[0].suite.as_deref(), Some("RTP"));
}

#[test]
fn key_of_the_call_manager_stays_inside() {
    let theirs = Encryption::new(SccpKey::new([0xa5; 16]), MasterSalt::new([0xa5; 14]));
    let mut stage = registered();
    stage.server_sends(1, open(7, Some(theirs.clone())));
    let opened = stage.at_phone();
    stage.server_sends(1, start(7, FAR, Some(theirs)));
    let started = stage.at_phone();
    for told in [opened, started] {
        assert!(no_key(&told));
        assert!(!told.as_bytes().contains(&0xa5));
    }
    let [outside, inside] = stage.orders().legs;
    assert!(in_the_clear(&outside));
    assert_eq!(inside.outbound.suite(), Some(Suite::AesCm128HmacSha1_32));
}

#[test]
fn key_that_does_not_reach_the_phone_may_be_one_that_it_has_had() {
    let theirs = || Some(Encryption::new(SccpKey::new([0xa5; 16]), MasterSalt::new([0xa5; 14])));
    // While it was encrypted.
    let mut stage = Stage::encrypted(SkinnyCalls { keys: SkinnyKeys::Relay, ..SkinnyCalls::default() });
    stage.server_sends(1, open(7, theirs()));
    assert!(!no_key(&stage.at_phone()));
    stage.skinny(SkinnyInput::PhoneClosed { conn: ConnId(1) });
    stage.connect_as(PHONE_A, 2, Authenticated, PRIMARY);
    stage.register(2, PHONE_A);
    for channel in [open(8, theirs()), start(8, FAR, theirs()), open(9, theirs())] {
        stage.server_sends(2, channel);
        assert!(no_key(&stage.at_phone()) && in_the_clear(&outside(&stage)));
    }
    stage.nothing_more();
    assert_eq!(stage.count(Counter::SkinnyKeysAgain), 0);
}

#[test]
fn media_goes_to_the_port_that_is_said_where_the_connection_comes_from() {
    for said in [CLAIMED, "203.0.113.66:16384"] {
        let mut stage = registered();
        stage.server_sends(1, open(7, None));
        assert_eq!(outside(&stage).remote_rtp, 0, "nothing passes until an address is known");
        stage.phone_sends(1, open_ack(7, 0x107, said, 0));
        let leg = outside(&stage);
        assert_eq!((leg.remote_ip(), leg.remote_rtp), (peer(1).ip(), 16384), "not to {said}");
    }
}

#[test]
fn port_0_is_no_place_for_media() {
    let mut stage = registered();
    stage.server_sends(1, open(7, None));
    stage.phone_sends(1, open_ack(7, 0x107, "192.168.77.11:0", 0));
    let leg = outside(&stage);
    assert_eq!((leg.remote_ip, leg.remote_rtp, leg.remote_rtcp), ([0; 16], 0, 0));
}

#[test]
fn phone_that_only_speaks_is_heard_from_where_it_says_that_it_sends() {
    let mut stage = registered();
    stage.server_sends(1, start(7, FAR, None));
    stage.phone_sends(1, start_ack(7, 0x107, CLAIMED));
    let leg = outside(&stage);
    assert_eq!((leg.remote_ip(), leg.remote_rtp), (peer(1).ip(), 16384));
    // Where it hears counts for more.
    stage.server_sends(1, open(7, None));
    stage.phone_sends(1, open_ack(7, 0x107, "192.168.77.11:17000", 0));
    assert_eq!(outside(&stage).remote_rtp, 17000);
}

#[test]
fn stream_in_the_clear_ends_with_its_second_way() {
    let mut stage = registered();
    stage.talk(1, 7);
    stage.server_sends(1, end(MessageId::CLOSE_RECEIVE_CHANNEL, 7));
    assert!(in_the_clear(&outside(&stage)));
    assert!(stage.commands_of(CommandKind::Close).is_empty());
    stage.server_sends(1, end(MessageId::STOP_MEDIA_TRANSMISSION, 7));
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    assert_eq!(stage.proxy.ports().in_use, 0);
}

#[test]
fn devices_of_both_classes_behind_one_address_are_told_apart() {
    let mut stage = registered();
    stage.connect_as(PHONE_B, 2, Encrypted, PRIMARY);
    stage.register(2, PHONE_B);
    assert_eq!(peer(1).ip(), peer(2).ip());
    let (opened, _) = stage.talk(1, 7);
    assert!(no_key(&opened) && in_the_clear(&outside(&stage)));
    let (opened, started) = stage.talk(2, 8);
    let leg = outside(&stage);
    assert_eq!((leg.outbound, leg.inbound), (key_in(&opened), key_in(&started)));
    assert!(leg.has(LegFlags::LEARN));
}

#[test]
fn stream_in_the_clear_outlives_the_control_plane() {
    let mut old = registered();
    old.talk(1, 7);
    let open = old.commands_of(CommandKind::Open)[0];
    let mut stage = Stage::with(config());
    let (slot, generation, session) = (open.slot, open.generation, Box::new(old.orders()));
    stage.input(Input::Adopt { slot, generation, session, note: old.notes[&slot].clone() });
    stage.input(Input::AdoptDone);
    assert_eq!(stage.count(Counter::CallsAdopted), 1);
    assert_eq!(stage.proxy.calls(stage.now)[0].suite.as_deref(), Some("RTP"));
}
