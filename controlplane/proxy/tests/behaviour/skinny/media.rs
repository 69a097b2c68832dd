//! Channels and transmissions: keys, addresses, sessions.

use pinhole_flow::{CommandKind, LegFlags, MasterKey, Suite};
use pinhole_proxy::{Counter, SkinnyCalls};
use pinhole_sccp::{
    Algorithm, Encryption, Frame, KeyBlock, MasterKey as SccpKey, MasterSalt, MediaStatus, MessageId,
};

use super::stage::*;
use crate::stage::PHONE_A;

const NOWHERE: &str = "0.0.0.0:0";

fn theirs(fill: u8) -> Encryption {
    Encryption::new(SccpKey::new([fill; 16]), MasterSalt::new([fill; 14]))
}

fn flow_key(suite: Suite, fill: u8) -> MasterKey {
    MasterKey::new(suite, &[fill; 30]).unwrap()
}

#[test]
fn phone_gets_a_key_for_each_way_and_our_outside_address() {
    let mut stage = Stage::registered();
    let (opened, started) = stage.talk(1, 7);
    let orders = stage.orders();
    let [outside, inside] = orders.legs;
    assert_eq!(outside.outbound, key_in(&opened));
    assert_eq!(outside.inbound, key_in(&started));
    assert!(outside.outbound != outside.inbound);
    assert!(outside.has(LegFlags::LEARN) && outside.port == 0 && inside.port == 1);
    assert_eq!(endpoint(&started), format!("203.0.113.5:{}", outside.local_rtp));
    assert_eq!((inside.inbound, inside.outbound), (MasterKey::NONE, MasterKey::NONE));
    assert_eq!(inside.remote_ip().to_string(), "10.20.0.20");
    assert_eq!((inside.remote_rtp, inside.remote_rtcp), (24000, 24001));
    let calls = stage.proxy.calls(stage.now);
    assert_eq!((calls.len(), stage.proxy.call_count()), (1, 1));
    assert_eq!(calls[0].suite.as_deref(), Some("AES_CM_128_HMAC_SHA1_32"));
}

#[test]
fn call_manager_gets_our_inside_address() {
    let mut stage = Stage::registered();
    stage.server_sends(1, open(7, None));
    stage.phone_sends(1, open_ack(7, 0x107, CLAIMED, 0));
    let ack = stage.at_server();
    let ours = format!("10.20.0.5:{}", stage.orders().legs[1].local_rtp);
    assert_eq!(endpoint(&ack), ours);
    assert_eq!(ack.channel().unwrap().status(), Ok(MediaStatus::OK));
    stage.server_sends(1, start(7, FAR, None));
    stage.phone_sends(1, start_ack(7, 0x107, CLAIMED));
    assert_eq!(endpoint(&stage.at_server()), ours);
}

#[test]
fn phone_that_is_where_it_says_is_still_learned_from_authentic_packets() {
    let mut stage = Stage::registered();
    stage.server_sends(1, open(7, None));
    stage.phone_sends(1, open_ack(7, 0x107, "198.51.100.10:17000", 0));
    let [outside, _] = stage.orders().legs;
    assert_eq!((outside.remote_ip(), outside.remote_rtp), (crate::stage::peer(1).ip(), 17_000));
    assert_eq!(outside.flags, LegFlags::LEARN | LegFlags::FRESH_KEYS);
}

#[test]
fn nothing_passes_in_the_clear_while_one_way_is_open() {
    for (one_way, hears) in [(open(7, None), true), (start(7, FAR, None), false)] {
        let mut stage = Stage::registered();
        stage.server_sends(1, one_way);
        let told = key_in(&stage.at_phone());
        let [outside, _] = stage.orders().legs;
        assert_eq!(outside.inbound.suite(), Some(Suite::AesCm128HmacSha1_32));
        assert_eq!(outside.inbound == told, !hears);
        assert_eq!(outside.outbound, if hears { told } else { MasterKey::NONE });
        assert!(outside.has(LegFlags::LEARN), "so that the data plane does not take it for a plain one");
    }
}

#[test]
fn ways_may_open_in_any_order() {
    let mut stage = Stage::registered();
    stage.server_sends(1, start(7, FAR, None));
    let started = stage.at_phone();
    stage.server_sends(1, open(7, None));
    let opened = stage.at_phone();
    let [outside, inside] = stage.orders().legs;
    assert_eq!((outside.inbound, outside.outbound), (key_in(&started), key_in(&opened)));
    assert_eq!(inside.remote_rtp, 24000);
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 1);
}

#[test]
fn hold_closes_the_session_and_resume_brings_new_keys_and_ports() {
    let mut stage = Stage::registered();
    let (opened, started) = stage.talk(1, 7);
    let first = stage.orders();
    stage.server_sends(1, end(MessageId::CLOSE_RECEIVE_CHANNEL, 7));
    let held = stage.orders();
    assert_eq!(held.legs[0].outbound, MasterKey::NONE, "nothing is sent where nobody listens");
    assert_eq!(held.legs[0].inbound, first.legs[0].inbound);
    stage.server_sends(1, end(MessageId::STOP_MEDIA_TRANSMISSION, 7));
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    assert_eq!([stage.at_phone().id(), stage.at_phone().id()].map(|id| id.0), [0x106, 0x8B]);
    assert!(stage.proxy.calls(stage.now).is_empty());
    let (again, started_again) = stage.talk(1, 7);
    let keys = [opened, started, again, started_again].map(|frame| key_in(&frame));
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[..at].contains(key), "no key comes twice");
    }
    assert!(stage.orders().legs[0].local_rtp != first.legs[0].local_rtp);
}

#[test]
fn late_close_of_an_earlier_channel_leaves_the_next_one_of_the_call_open() {
    let mut stage = Stage::registered();
    stage.talk(1, 7);
    let before = stage.orders();
    for (id, party) in [(MessageId::CLOSE_RECEIVE_CHANNEL, 0x99), (MessageId::STOP_MEDIA_TRANSMISSION, 0x9A)]
    {
        stage.server_sends(1, frame(id, 17, &body(16, &[(0, 7), (4, party), (8, 7)])));
        assert_eq!(stage.at_phone().id(), id, "the phone may judge for itself");
    }
    assert_eq!((stage.orders(), stage.proxy.sessions().len()), (before, 1));
    stage.server_sends(1, frame(MessageId::CLOSE_RECEIVE_CHANNEL, 17, &body(16, &[(0, 7), (8, 7)])));
    assert!(stage.orders() != before, "one without a party is found by its call");
}

#[test]
fn channel_is_found_by_party_and_call_where_two_calls_share_a_party() {
    let mut stage = Stage::registered();
    for call in [7, 8] {
        stage
            .server_sends(1, frame(MessageId::OPEN_RECEIVE_CHANNEL, 0, &body(28, &[(4, 0x107), (24, call)])));
    }
    stage.server_sends(1, frame(MessageId::CLOSE_RECEIVE_CHANNEL, 0, &body(16, &[(4, 0x107), (8, 8)])));
    let left = stage.proxy.calls(stage.now);
    assert_eq!((left.len(), left[0].call_id.as_str()), (1, "sccp-7"));
}

#[test]
fn stopped_phone_is_not_heard_any_more() {
    let mut stage = Stage::registered();
    let (opened, started) = stage.talk(1, 7);
    stage.server_sends(1, end(MessageId::STOP_MEDIA_TRANSMISSION, 7));
    let [outside, _] = stage.orders().legs;
    assert!(outside.inbound != key_in(&started) && outside.inbound.suite().is_some());
    assert_eq!(outside.outbound, key_in(&opened));
}

#[test]
fn channel_that_is_opened_again_gets_another_key_on_the_same_ports() {
    let mut stage = Stage::registered();
    let (opened, _) = stage.talk(1, 7);
    let before = stage.orders();
    stage.server_sends(1, open(7, None));
    let again = stage.at_phone();
    let after = stage.orders();
    assert!(key_in(&again) != key_in(&opened));
    assert_eq!(after.legs[0].outbound, key_in(&again));
    assert_eq!(after.legs.map(|leg| leg.local_rtp), before.legs.map(|leg| leg.local_rtp));
    assert_eq!(after.legs[1].remote_rtp, 24000, "and the far end is where it was");
}

#[test]
fn acknowledgement_is_found_by_call_or_alone_where_the_party_is_zero() {
    for (call, party) in [(7, 0), (0, 0x107), (9, 0x107), (0, 0)] {
        let mut stage = Stage::registered();
        stage.server_sends(1, open(7, None));
        stage.phone_sends(1, open_ack(call, party, CLAIMED, 0));
        assert_eq!(endpoint(&stage.at_server()), format!("10.20.0.5:{}", stage.orders().legs[1].local_rtp));
    }
}

#[test]
fn acknowledgement_of_no_open_channel_becomes_a_failure_without_an_address() {
    let mut stage = Stage::registered();
    stage.server_sends(1, open(7, None));
    stage.phone.clear();
    let strays = [open_ack(9, 0x109, CLAIMED, 0), start_ack(7, 0x107, CLAIMED)];
    for stray in strays.into_iter().chain([open_ack(9, 0x109, CLAIMED, 8)]) {
        stage.phone_sends(1, stray);
        let seen = stage.at_server();
        assert_eq!(seen.channel().unwrap().status(), Ok(MediaStatus::OUT_OF_SOCKETS));
        assert_eq!(endpoint(&seen), "0.0.0.0:0");
    }
    assert_eq!(stage.count(Counter::SkinnyStrayChannels), 3);
    assert_eq!(stage.proxy.sessions().len(), 1);
}

#[test]
fn acknowledgement_that_could_be_taken_for_another_channels_is_dropped() {
    let mut stage = Stage::registered();
    stage.server_sends(1, open(7, None));
    stage.server_sends(1, open(8, None));
    stage.phone.clear();
    stage.phone_sends(1, open_ack(0, 0, CLAIMED, 0));
    stage.phone_sends(1, open_ack(7, 0x999, CLAIMED, 0));
    assert_eq!(stage.count(Counter::SkinnyStrayChannels), 2);
    stage.nothing_more();
}

#[test]
fn phones_claim_is_believed_only_if_its_connection_comes_from_there() {
    for (claimed, port) in [(CLAIMED, 0), ("198.51.100.10:16384", 16384)] {
        let mut stage = Stage::registered();
        stage.server_sends(1, open(7, None));
        stage.phone_sends(1, open_ack(7, 0x107, claimed, 0));
        assert_eq!(stage.orders().legs[0].remote_rtp, port, "{claimed}");
    }
}

#[test]
fn failed_channel_gives_its_session_back_and_shows_no_address() {
    let mut stage = Stage::registered();
    stage.server_sends(1, open(7, None));
    stage.phone_sends(1, open_ack(7, 0x107, CLAIMED, 8));
    let ack = stage.at_server();
    assert_eq!(
        (endpoint(&ack), ack.channel().unwrap().status()),
        ("0.0.0.0:0".to_owned(), Ok(MediaStatus(8)))
    );
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    assert_eq!(stage.count(Counter::SkinnyChannelsFailed), 1);
}

#[test]
fn sender_that_is_named_is_heard_inside_and_hidden_outside() {
    let mut stage = Stage::registered();
    stage.server_sends(1, open_from(7, "10.20.0.30:30000"));
    let [outside, inside] = stage.orders().legs;
    assert_eq!(endpoint(&stage.at_phone()), format!("203.0.113.5:{}", outside.local_rtp));
    assert_eq!((inside.remote_ip().to_string(), inside.remote_rtp), ("10.20.0.30".to_owned(), 30000));
    stage.server_sends(1, open(8, None));
    assert_eq!(endpoint(&stage.at_phone()), "0.0.0.0:0", "who is not named stays so");
}

#[test]
fn sender_that_is_no_valid_address_is_not_shown_either() {
    let inside = u32::from_le_bytes([10, 20, 0, 30]);
    // A port that is none; an address that the message cuts off; an address without its port.
    let broken_port = body(128, &[(4, 0x107), (24, 7), (104, inside), (120, 0x7F42_0000)]);
    let mut stage = Stage::registered();
    stage.server_sends(1, frame(MessageId::OPEN_RECEIVE_CHANNEL, 17, &broken_port));
    assert_eq!(endpoint(&stage.at_phone()), "0.0.0.0:0");
    stage.server_sends(1, frame(MessageId::OPEN_RECEIVE_CHANNEL, 17, &broken_port[..110]));
    assert!(stage.phone.is_empty());
    assert_eq!(stage.count(Counter::SkinnyMalformed), 1);
    let plain = body(104, &[(4, 0x107), (24, 7), (100, inside)]);
    stage.server_sends(1, frame(MessageId::OPEN_RECEIVE_CHANNEL, 11, &plain));
    let seen = stage.at_phone();
    assert_eq!(seen.channel().unwrap().address().unwrap().ip().unwrap().to_string(), "0.0.0.0");
}

#[test]
fn call_managers_keys_are_those_of_the_inside_leg() {
    let mut stage = Stage::registered();
    let eighty = Encryption { algorithm: Algorithm::AesCm128HmacSha1_80, ..theirs(2) };
    stage.server_sends(1, open(7, Some(theirs(1))));
    stage.server_sends(1, start(7, FAR, Some(eighty)));
    let [outside, inside] = stage.orders().legs;
    assert_eq!(inside.inbound, flow_key(Suite::AesCm128HmacSha1_32, 1));
    assert_eq!(inside.outbound, flow_key(Suite::AesCm128HmacSha1_80, 2));
    assert_eq!((outside.outbound, outside.inbound), (key_in(&stage.at_phone()), key_in(&stage.at_phone())));
}

#[test]
fn keys_that_cannot_be_used_are_refused_in_the_phones_place() {
    let broken = [
        Encryption { algorithm: Algorithm::AeadAes128Gcm, ..theirs(1) },
        Encryption { algorithm: Algorithm::F8_128HmacSha1_32, ..theirs(1) },
        Encryption { mki: true, ..theirs(1) },
        Encryption { derivation_rate: 16, ..theirs(1) },
    ];
    for encryption in broken {
        let mut stage = Stage::registered();
        stage.server_sends(1, open(7, Some(encryption.clone())));
        let refusal = stage.at_server();
        assert_eq!(refusal.id(), MessageId::OPEN_RECEIVE_CHANNEL_ACK);
        assert_eq!(refusal.channel().unwrap().status(), Ok(MediaStatus::UNKNOWN));
        stage.server_sends(1, start(7, FAR, Some(encryption)));
        assert_eq!(stage.at_server().id(), MessageId::START_MEDIA_TRANSMISSION_ACK);
        assert_eq!(stage.count(Counter::SkinnyKeysUnusable), 2);
        assert!(stage.commands.is_empty() && stage.proxy.ports().in_use == 0);
        stage.nothing_more();
    }
}

#[test]
fn rubbish_in_the_block_is_taken_for_no_key_and_overwritten_whole() {
    let mut stage = Stage::registered();
    let mut bytes = open(7, None).as_bytes().to_vec();
    bytes[12 + 28..12 + 76].copy_from_slice(&[0xA5; 48]);
    stage.server_sends(1, Frame::parse(&bytes, &pinhole_sccp::Limits::default()).unwrap());
    let seen = stage.at_phone();
    key_in(&seen);
    assert_eq!(&seen.body()[66..76], &[0; 10], "nothing of it is left");
    assert_eq!(stage.count(Counter::SkinnyKeysUnreadable), 1);
    assert_eq!(stage.orders().legs[1].inbound, MasterKey::NONE);
}

#[test]
fn block_that_cannot_be_read_is_refused_where_the_call_manager_speaks_tls() {
    let lengths = |key: u16, salt: u16| [key.to_le_bytes(), salt.to_le_bytes()].concat();
    let blocks = [
        [&7u32.to_le_bytes()[..], &lengths(16, 14), &[1; 32], &[0; 8]].concat(),
        [&1u32.to_le_bytes()[..], &lengths(32, 14), &[1; 32], &[0; 8]].concat(),
        [&6u32.to_le_bytes()[..], &lengths(32, 12), &[1; 32], &[0; 8]].concat(),
        [&1u32.to_le_bytes()[..], &lengths(0, 0), &[0; 40]].concat(),
        vec![0xA5; 48],
    ];
    let messages = [
        (open(7, None), 28, MessageId::OPEN_RECEIVE_CHANNEL),
        (start(7, FAR, None), 60, MessageId::START_MEDIA_TRANSMISSION),
    ];
    for (message, at, id) in messages {
        let with = |block: &[u8]| {
            let mut bytes = message.body().to_vec();
            bytes[at..at + 48].copy_from_slice(block);
            bytes
        };
        // The last ends within the block.
        let cut = with(&blocks[0])[..at + 20].to_vec();
        for bytes in blocks.iter().map(|block| with(block)).chain([cut]) {
            let mut stage = Stage::encrypted(SkinnyCalls::default());
            stage.server_sends(1, frame(id, 17, &bytes));
            assert_eq!(stage.at_server().channel().unwrap().status(), Ok(MediaStatus::UNKNOWN));
            assert_eq!(
                (stage.count(Counter::SkinnyKeysUnusable), stage.count(Counter::SkinnyKeysUnreadable)),
                (1, 0)
            );
            assert!(stage.commands.is_empty() && stage.proxy.ports().in_use == 0);
            stage.nothing_more();
        }
    }
}

#[test]
fn message_without_room_for_a_key_is_lengthened() {
    let mut stage = Stage::registered();
    stage.server_sends(1, frame(MessageId::OPEN_RECEIVE_CHANNEL, 0, &body(28, &[(4, 0x107), (24, 7)])));
    let seen = stage.at_phone();
    assert_eq!(stage.orders().legs[0].outbound, key_in(&seen));
    assert_eq!(seen.channel().unwrap().call(), Ok(7));
}

#[test]
fn transmission_to_where_nothing_can_be_sent_is_refused() {
    for to in ["0.0.0.0:24000", "239.1.2.3:24000", "127.0.0.1:24000", "10.20.0.20:0", "[2001:db8::1]:24000"] {
        let mut stage = Stage::registered();
        stage.server_sends(1, start(7, to, None));
        let refusal = stage.at_server();
        assert_eq!(refusal.channel().unwrap().status(), Ok(MediaStatus::UNKNOWN), "{to}");
        assert_eq!(stage.count(Counter::SkinnyUnreachable), 1);
        assert!(stage.commands.is_empty() && stage.proxy.ports().in_use == 0);
        stage.nothing_more();
    }
}

#[test]
fn audio_and_video_of_a_call_are_two_sessions() {
    let mut stage = Stage::registered();
    stage.talk(1, 7);
    let video = body(192, &[(0, 7), (4, 0x207), (8, 103), (16, 7)]);
    stage.server_sends(1, frame(MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL, 17, &video));
    let opened = stage.at_phone();
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 2);
    assert_eq!(stage.orders().legs[0].outbound, key_in(&opened));
    let ack = body(36, &[(28, 0), (32, 7)]);
    stage.phone_sends(1, frame(MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL_ACK, 17, &ack));
    assert_eq!(endpoint(&stage.at_server()), format!("10.20.0.5:{}", stage.orders().legs[1].local_rtp));
    let calls = stage.proxy.calls(stage.now);
    assert_eq!((calls.len(), calls[0].sessions.len()), (1, 2));
}

/// A video channel of call 7 is to be opened, of a party.
fn open_video(party: u32) -> Frame {
    frame(
        MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL,
        17,
        &body(192, &[(0, 7), (4, party), (8, 103), (16, 7)]),
    )
}

fn start_video(party: u32) -> Frame {
    let words = [(0, 7), (4, party), (8, 103), (36, 7)];
    let mut start = frame(MessageId::START_MULTIMEDIA_TRANSMISSION, 17, &body(184, &words));
    start.channel_mut().unwrap().set_endpoint(FAR.parse().unwrap()).unwrap();
    start
}

#[test]
fn two_videos_of_a_call_are_two_sessions_each_with_its_own_ways() {
    // Each party's both ways; ways whose parties differ; one that goes only one way, and before the other's.
    for [first, second, third, fourth] in
        [[0x207, 0x208, 0x207, 0x208], [0x207, 0x208, 0x307, 0x308], [0x207, 0x208, 0x208, 0x207]]
    {
        let mut stage = Stage::registered();
        stage.server_sends(1, open_video(first));
        stage.server_sends(1, open_video(second));
        let opened = [stage.at_phone(), stage.at_phone()].map(|frame| key_in(&frame));
        let [one, two] = stage.commands_of(CommandKind::Open)[..] else { panic!("two sessions") };
        assert!(one.slot != two.slot);
        stage.server_sends(1, start_video(third));
        stage.server_sends(1, start_video(fourth));
        let started = [stage.at_phone(), stage.at_phone()].map(|frame| key_in(&frame));
        let orders = |slot: u32| {
            let mut orders = stage.commands.iter().rev().filter(|command| command.slot == slot);
            orders.next().unwrap().session.legs[0]
        };
        let crossed = third == second;
        let [its, others] = if crossed { [started[1], started[0]] } else { started };
        assert_eq!((orders(one.slot).outbound, orders(one.slot).inbound), (opened[0], its));
        assert_eq!((orders(two.slot).outbound, orders(two.slot).inbound), (opened[1], others));
        // What one is told of leaves the other alone.
        let ack = body(36, &[(28, second), (32, 7)]);
        stage.phone_sends(1, frame(MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL_ACK, 17, &ack));
        assert_eq!(endpoint(&stage.at_server()), format!("10.20.0.5:{}", two.session.legs[1].local_rtp));
        let close = |party: u32, id: MessageId| frame(id, 17, &body(16, &[(0, 7), (4, party), (8, 7)]));
        stage.server_sends(1, close(first, MessageId::CLOSE_MULTIMEDIA_RECEIVE_CHANNEL));
        let its = if crossed { fourth } else { third };
        stage.server_sends(1, close(its, MessageId::STOP_MULTIMEDIA_TRANSMISSION));
        let closed = stage.commands_of(CommandKind::Close);
        assert_eq!(closed.iter().map(|command| command.slot).collect::<Vec<_>>(), [one.slot]);
        assert_eq!(stage.proxy.calls(stage.now)[0].sessions.len(), 1);
    }
}

#[test]
fn acknowledgements_without_a_party_are_each_of_the_next_video_that_waits_for_one() {
    let mut stage = Stage::registered();
    stage.server_sends(1, open_video(0x207));
    stage.server_sends(1, open_video(0x208));
    stage.server_sends(1, start_video(0x207));
    stage.server_sends(1, start_video(0x208));
    let [one, two] = stage.commands_of(CommandKind::Open)[..] else { panic!("two sessions") };
    let ports = [one, two].map(|open| format!("10.20.0.5:{}", open.session.legs[1].local_rtp));
    let opened = frame(MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL_ACK, 17, &body(36, &[(32, 7)]));
    let started = frame(MessageId::START_MULTIMEDIA_TRANSMISSION_ACK, 17, &body(40, &[(0, 7), (8, 7)]));
    for ack in [opened, started] {
        let told = [(); 2].map(|()| {
            stage.phone_sends(1, ack.clone());
            endpoint(&stage.at_server())
        });
        assert_eq!(told, ports);
    }
    // What is said once more is of one that is open.
    let again = frame(MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL_ACK, 17, &body(36, &[(32, 7)]));
    stage.phone_sends(1, again);
    assert_eq!(endpoint(&stage.at_server()), ports[0]);
}

#[test]
fn video_that_is_opened_again_stays_where_it_is() {
    let mut stage = Stage::registered();
    stage.server_sends(1, open_video(0x207));
    stage.server_sends(1, open_video(0x207));
    stage.server_sends(1, open_video(0));
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 1);
}

#[test]
fn failed_transmission_is_told_with_the_far_ends_address() {
    let mut stage = Stage::registered();
    let (_, started) = stage.talk(1, 7);
    let mut failure =
        frame(MessageId::MEDIA_TRANSMISSION_FAILURE, 17, &body(36, &[(0, 7), (4, 0x107), (32, 7)]));
    failure.channel_mut().unwrap().set_endpoint(endpoint(&started).parse().unwrap()).unwrap();
    stage.phone_sends(1, failure);
    assert_eq!(endpoint(&stage.at_server()), FAR);
}

#[test]
fn same_call_reference_on_two_connections_is_two_streams() {
    let mut stage = Stage::registered();
    stage.connect(crate::stage::PHONE_B, 2, PRIMARY);
    stage.register(2, crate::stage::PHONE_B);
    stage.talk(1, 7);
    stage.talk(2, 7);
    assert_eq!(stage.proxy.sessions().len(), 2);
    stage.server_sends(2, end(MessageId::CLOSE_RECEIVE_CHANNEL, 7));
    stage.server_sends(2, end(MessageId::STOP_MEDIA_TRANSMISSION, 7));
    let left = stage.proxy.calls(stage.now);
    assert_eq!((left.len(), left[0].device.as_str()), (1, PHONE_A));
}

#[test]
fn every_channel_orders_a_key_that_phones_understand() {
    let mut stage = Stage::registered();
    let (opened, started) = stage.talk(1, 7);
    for frame in [opened, started] {
        let Ok(KeyBlock::Keyed(encryption)) = frame.channel().unwrap().encryption() else { panic!("no key") };
        assert_eq!(encryption.algorithm, Algorithm::AesCm128HmacSha1_32);
        assert!(!encryption.mki && encryption.derivation_rate == 0);
    }
}

#[test]
fn phone_that_acknowledges_again_and_again_changes_no_orders() {
    let mut stage = Stage::registered();
    stage.talk(1, 7);
    let updates = stage.commands_of(CommandKind::Update).len();
    for port in [17_000, 17_002, 17_000] {
        stage.phone_sends(1, open_ack(7, 0x107, &format!("198.51.100.10:{port}"), 0));
        assert_eq!(endpoint(&stage.at_server()), format!("10.20.0.5:{}", stage.orders().legs[1].local_rtp));
    }
    assert_eq!(stage.commands_of(CommandKind::Update).len(), updates);
    stage.server_sends(1, open(7, None));
    stage.phone_sends(1, open_ack(7, 0x107, "198.51.100.10:17002", 0));
    assert_eq!(stage.orders().legs[0].remote_rtp, 17_002, "a channel that is opened again is another");
}

#[test]
fn only_a_channel_that_opens_allows_a_reset_and_only_inside() {
    let mut stage = Stage::registered();
    stage.talk(1, 7);
    stage.server_sends(1, open(7, None));
    stage.server_sends(1, start(7, FAR, None));
    stage.phone_sends(1, open_ack(7, 0x107, "198.51.100.10:17000", 0));
    stage.server_sends(1, end(MessageId::CLOSE_RECEIVE_CHANNEL, 7));
    let anew: Vec<u32> = stage.commands_of(CommandKind::Update).iter().map(|update| update.anew).collect();
    // The transmission, both ways again, the phone's address, the end of a way.
    assert_eq!(anew, [0b10, 0b10, 0b10, 0, 0]);
    assert!(
        stage.orders().legs[0].has(LegFlags::FRESH_KEYS) && !stage.orders().legs[1].has(LegFlags::FRESH_KEYS)
    );
}

#[test]
fn inside_address_with_a_port_that_cannot_be_read_is_overwritten() {
    for source in ["10.20.0.30:30000", "0.0.0.0:0"] {
        let mut stage = Stage::registered();
        let mut named = open_from(7, source);
        let mut bytes = named.body().to_vec();
        bytes[120..124].copy_from_slice(&u32::MAX.to_le_bytes());
        named = frame(named.id(), named.version(), &bytes);
        stage.server_sends(1, named);
        let shown = stage.at_phone();
        assert!(!shown.body().windows(4).any(|bytes| bytes == [10, 20, 0, 30]));
        assert_eq!(endpoint(&shown), NOWHERE);
    }
}

#[test]
fn channel_whose_address_is_cut_off_is_refused() {
    let whole = open_from(7, "10.20.0.30:30000");
    for length in [109, 112, 119, 123] {
        let mut stage = Stage::registered();
        stage.server_sends(1, frame(whole.id(), whole.version(), &whole.body()[..length]));
        assert!(stage.phone.is_empty(), "{length}");
        assert_eq!(stage.at_server().id(), MessageId::OPEN_RECEIVE_CHANNEL_ACK);
        assert!(stage.proxy.sessions().is_empty());
    }
    let mut stage = Stage::registered();
    stage.server_sends(1, frame(whole.id(), whole.version(), &whole.body()[..100]));
    assert_eq!(stage.phone.len(), 1, "one without an address is of an older call manager");
}

#[test]
fn half_in_the_clear_beside_one_with_a_key_is_refused_and_counted() {
    for (first, second) in [(Some(theirs(1)), None), (None, Some(theirs(2)))] {
        let mut stage = Stage::registered();
        stage.server_sends(1, open(7, first.clone()));
        stage.server_sends(1, start(7, FAR, second.clone()));
        assert_eq!((stage.phone.len(), stage.count(Counter::SkinnyKeysMixed)), (1, 1));
        assert_eq!(stage.at_server().id(), MessageId::START_MEDIA_TRANSMISSION_ACK);
        assert_eq!(stage.proxy.sessions().len(), 1, "the open half stays");
        stage.server_sends(1, start(7, FAR, first));
        assert_eq!(stage.phone.len(), 2);
        // What is closed leaves no key behind.
        stage.server_sends(1, end(MessageId::STOP_MEDIA_TRANSMISSION, 7));
        stage.server_sends(1, open(7, second));
        assert_eq!(stage.count(Counter::SkinnyKeysMixed), 1);
        let [_, inside] = stage.orders().legs;
        assert_eq!(inside.outbound, MasterKey::NONE);
    }
}
