//! The call manager's own keys for phones: media passes as it is.

use pinhole_flow::{CommandKind, MasterKey, Suite};
use pinhole_proxy::{ConnId, Counter, SkinnyCalls, SkinnyInput, SkinnyKeys};
use pinhole_sccp::{
    Algorithm, Encryption, Frame, KeyBlock, MasterKey as SccpKey, MasterSalt, MediaStatus, MessageId,
};

use super::stage::*;
use crate::stage::{PHONE_A, PHONE_B};

fn stage() -> Stage {
    Stage::encrypted(SkinnyCalls { keys: SkinnyKeys::Relay, ..SkinnyCalls::default() })
}

fn theirs(fill: u8) -> Encryption {
    Encryption::new(SccpKey::new([fill; 16]), MasterSalt::new([fill; 14]))
}

fn flow_key(suite: Suite, fill: u8) -> MasterKey {
    MasterKey::new(suite, &[fill; 30]).unwrap()
}

fn refused(stage: &mut Stage, frame: Frame) {
    stage.server_sends(1, frame);
    assert_eq!(stage.at_server().channel().unwrap().status(), Ok(MediaStatus::UNKNOWN));
    assert!(stage.phone.is_empty());
}

#[test]
fn call_managers_keys_reach_the_phone_and_both_sides_of_the_session() {
    let mut stage = stage();
    let eighty = Encryption { algorithm: Algorithm::AesCm128HmacSha1_80, ..theirs(2) };
    stage.server_sends(1, open(7, Some(theirs(1))));
    let opened = stage.at_phone();
    assert_eq!(opened, open(7, Some(theirs(1))), "a channel without a sender passes as it is");
    stage.server_sends(1, start(7, FAR, Some(eighty.clone())));
    let mut started = stage.at_phone();
    let [outside, inside] = stage.orders().legs;
    assert_eq!(endpoint(&started), format!("203.0.113.5:{}", outside.local_rtp));
    started.channel_mut().unwrap().set_endpoint(FAR.parse().unwrap()).unwrap();
    assert_eq!(started, start(7, FAR, Some(eighty)), "only the address is ours");
    let (one, two) = (flow_key(Suite::AesCm128HmacSha1_32, 1), flow_key(Suite::AesCm128HmacSha1_80, 2));
    assert_eq!((outside.outbound, inside.inbound), (one, one));
    assert_eq!((outside.inbound, inside.outbound), (two, two));
}

#[test]
fn way_that_is_not_open_has_no_key_that_anybody_has() {
    let mut stage = stage();
    stage.server_sends(1, open(7, Some(theirs(1))));
    let [outside, inside] = stage.orders().legs;
    assert!(outside.inbound.suite().is_some() && inside.outbound == MasterKey::NONE);
    stage.server_sends(1, start(7, FAR, Some(theirs(2))));
    stage.server_sends(1, end(MessageId::CLOSE_RECEIVE_CHANNEL, 7));
    let [outside, inside] = stage.orders().legs;
    assert_eq!((outside.outbound, inside.inbound), (MasterKey::NONE, MasterKey::NONE));
    // The same channel once more, with its own key or another.
    for fill in [1, 1, 3] {
        stage.server_sends(1, open(7, Some(theirs(fill))));
        assert_eq!(stage.orders().legs[0].outbound, flow_key(Suite::AesCm128HmacSha1_32, fill));
        assert_eq!(stage.orders().legs[1].inbound, flow_key(Suite::AesCm128HmacSha1_32, fill));
    }
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 1);
}

#[test]
fn key_that_the_phone_has_had_for_another_channel_is_refused() {
    let mut stage = stage();
    stage.server_sends(1, open(7, Some(theirs(1))));
    stage.server_sends(1, start(7, FAR, Some(theirs(2))));
    // Another call beside it, another key in between: nothing remembers the packets under the first one.
    stage.phone.clear();
    refused(&mut stage, open(8, Some(theirs(1))));
    stage.server_sends(1, start(7, FAR, Some(theirs(3))));
    stage.phone.clear();
    refused(&mut stage, start(7, FAR, Some(theirs(2))));
    assert_eq!(stage.orders().legs[0].inbound, flow_key(Suite::AesCm128HmacSha1_32, 3));
    // Hold and resume, in either way, and on another connection.
    stage.server_sends(1, end(MessageId::CLOSE_RECEIVE_CHANNEL, 7));
    stage.server_sends(1, end(MessageId::STOP_MEDIA_TRANSMISSION, 7));
    stage.phone.clear();
    let eighty = Encryption { algorithm: Algorithm::AesCm128HmacSha1_80, ..theirs(3) };
    for again in [open(7, Some(theirs(1))), open(7, Some(theirs(3))), start(7, FAR, Some(eighty))] {
        refused(&mut stage, again);
    }
    stage.skinny(SkinnyInput::PhoneClosed { conn: ConnId(1) });
    stage.connect(PHONE_A, 2, PRIMARY);
    stage.register(2, PHONE_A);
    stage.server_sends(2, open(9, Some(theirs(1))));
    assert_eq!(stage.at_server().channel().unwrap().status(), Ok(MediaStatus::UNKNOWN));
    assert_eq!((stage.count(Counter::SkinnyKeysAgain), stage.proxy.ports().in_use), (6, 0));
    let told = stage.events.iter().filter(|event| event.text.contains("sccp_keys = \"rewrite\""));
    assert_eq!(told.count(), 6);
    stage.server_sends(2, open(9, Some(theirs(4))));
    assert_eq!(stage.orders().legs[0].outbound, flow_key(Suite::AesCm128HmacSha1_32, 4));
}

#[test]
fn keys_of_a_phone_are_not_anothers_and_not_remembered_for_ever() {
    let mut stage = stage();
    stage.connect(PHONE_B, 2, PRIMARY);
    stage.register(2, PHONE_B);
    stage.server_sends(1, open(1, Some(theirs(1))));
    // The far end of the call is a phone of ours as well.
    stage.server_sends(2, start(1, FAR, Some(theirs(1))));
    assert_eq!(stage.count(Counter::SkinnyKeysAgain), 0);
    for call in 2..=65 {
        stage.server_sends(1, open(call, Some(theirs(call as u8))));
        stage.server_sends(1, end(MessageId::CLOSE_RECEIVE_CHANNEL, call));
    }
    stage.phone.clear();
    refused(&mut stage, open(66, Some(theirs(2))));
    stage.server_sends(1, open(66, Some(theirs(1))));
    assert_eq!(stage.count(Counter::SkinnyKeysAgain), 1);
}

#[test]
fn keys_of_the_device_that_is_longest_without_one_are_forgotten_first() {
    const PHONE_C: &str = "SEP0010DB00000C";
    let mut config = config();
    config.clusters[0].skinny_calls.keys = SkinnyKeys::Relay;
    config.limits.devices = 2;
    let mut stage = Stage::with(config);
    for (conn, device) in [(1, PHONE_A), (2, PHONE_B), (3, PHONE_C)] {
        stage.connect(device, conn, PRIMARY);
        stage.register(conn, device);
    }
    // A's second key makes B the one.
    for (conn, fill) in [(1, 1), (2, 2), (1, 3), (3, 4)] {
        stage.server_sends(conn, open(fill, Some(theirs(fill as u8))));
    }
    // In another call: A and C have had theirs. B's is not known any more, and A makes room when it comes.
    for (conn, fill, again) in [(1, 1, 1), (3, 4, 2), (2, 2, 2), (3, 4, 3), (1, 3, 3)] {
        stage.server_sends(conn, open(fill + 10, Some(theirs(fill as u8))));
        assert_eq!(stage.count(Counter::SkinnyKeysAgain), again, "{conn}");
    }
}

#[test]
fn call_in_the_clear_inside_has_keys_of_ours_outside() {
    let mut stage = stage();
    let (opened, started) = stage.talk(1, 7);
    let [outside, inside] = stage.orders().legs;
    assert_eq!((outside.outbound, outside.inbound), (key_in(&opened), key_in(&started)));
    assert_eq!((inside.inbound, inside.outbound), (MasterKey::NONE, MasterKey::NONE));
}

#[test]
fn key_of_the_other_way_is_refused() {
    for (first, second) in [
        (open(7, Some(theirs(1))), start(7, FAR, Some(theirs(1)))),
        (start(7, FAR, Some(theirs(1))), open(7, Some(theirs(1)))),
    ] {
        let mut stage = stage();
        stage.server_sends(1, first);
        stage.phone.clear();
        let before = stage.orders();
        refused(&mut stage, second);
        assert_eq!(stage.count(Counter::SkinnyKeysSame), 1);
        assert_eq!((stage.orders(), stage.proxy.sessions().len()), (before, 1));
    }
}

#[test]
fn key_that_cannot_be_checked_is_not_relayed_either() {
    let gcm = Encryption { algorithm: Algorithm::AeadAes128Gcm, ..theirs(1) };
    let mut stage = stage();
    refused(&mut stage, open(7, Some(gcm)));
    assert_eq!(stage.count(Counter::SkinnyKeysUnusable), 1);
    stage.server_sends(1, open(7, Some(theirs(1))));
    stage.phone.clear();
    refused(&mut stage, start(7, FAR, None));
    assert_eq!(stage.count(Counter::SkinnyKeysMixed), 1);
}

#[test]
fn what_stands_behind_the_salt_does_not_pass() {
    let mut stage = stage();
    let mut bytes = open(7, Some(theirs(1))).body().to_vec();
    bytes[66..68].copy_from_slice(&[0xA5; 2]);
    stage.server_sends(1, frame(MessageId::OPEN_RECEIVE_CHANNEL, 17, &bytes));
    let seen = stage.at_phone();
    assert_eq!(seen.channel().unwrap().encryption(), Ok(KeyBlock::Keyed(theirs(1))));
    assert_eq!(seen.body()[66..68], [0; 2]);
}
