//! Tables that others fill have bounds, and what was refused is told and counted.

use pinhole_flow::CommandKind;
use pinhole_proxy::{ConnId, Connected, Counter, DeviceName, Input, SkinnyInput};
use pinhole_sccp::MediaStatus;

use super::stage::*;
use crate::stage::{self, PHONE_A, PHONE_B};

fn refusal(stage: &mut Stage, call: u32) -> MediaStatus {
    stage.server_sends(1, open(call, None));
    let status = stage.at_server().channel().unwrap().status().unwrap();
    stage.server_sends(1, start(call, FAR, None));
    assert_eq!(stage.at_server().channel().unwrap().status(), Ok(status));
    assert!(stage.phone.is_empty(), "the phone hears nothing of it");
    status
}

#[test]
fn phone_has_one_connection_to_a_call_manager_and_the_newest_is_the_one() {
    let mut stage = Stage::with(config());
    stage.connect(PHONE_A, 1, PRIMARY);
    stage.connect(PHONE_A, 2, BACKUP);
    stage.connect(PHONE_B, 3, PRIMARY);
    stage.connect(PHONE_A, 4, PRIMARY);
    assert_eq!(stage.closed, [ConnId(1)]);
    assert_eq!(stage.count(Counter::PhonesReplaced), 1);
    stage.register(4, PHONE_A);
}

#[test]
fn connection_has_a_bounded_number_of_streams() {
    let mut config = config();
    config.limits.skinny_streams_per_connection = 2;
    let mut stage = Stage::with(config);
    stage.connect(PHONE_A, 1, PRIMARY);
    stage.register(1, PHONE_A);
    stage.talk(1, 7);
    stage.talk(1, 8);
    assert_eq!(refusal(&mut stage, 9), MediaStatus::OUT_OF_CHANNELS);
    assert_eq!(stage.count(Counter::SkinnyStreamLimit), 2);
}

#[test]
fn streams_count_among_the_calls() {
    let mut config = config();
    config.limits.calls = 1;
    let mut stage = Stage::with(config);
    stage.connect(PHONE_A, 1, PRIMARY);
    stage.register(1, PHONE_A);
    stage.talk(1, 7);
    assert_eq!(refusal(&mut stage, 9), MediaStatus::OUT_OF_CHANNELS);
}

#[test]
fn sip_calls_find_no_room_where_streams_have_taken_it() {
    let mut config = config();
    config.limits.calls = 1;
    let mut sip = stage::Stage::with(config);
    sip.connect(PHONE_A, 1);
    let conn = ConnId(2);
    let connected = SkinnyInput::Connected(Connected {
        conn,
        device: DeviceName::new(PHONE_B).unwrap(),
        peer: stage::peer(2),
        tls: "TLSv1.2".to_owned(),
        class: Default::default(),
        listener: PRIMARY.parse().unwrap(),
    });
    let opened = SkinnyInput::FromServer { conn, frame: open(7, None) };
    for input in [connected, opened] {
        sip.proxy.handle_skinny(input, sip.now);
    }
    sip.input(Input::Tick);
    assert_eq!(sip.proxy.sessions().len(), 1);
    let invite = sip.invite_of_phone("call-1", &stage::offer_outside(stage::KEY_A));
    sip.phone_sends(1, invite);
    assert_eq!(sip.phone.pop_back().unwrap().1.code(), Some(503));
    assert_eq!(sip.count(Counter::CallLimit), 1);
}

#[test]
fn channel_without_a_slot_or_port_is_refused_in_the_phones_place() {
    let mut no_slot = config();
    no_slot.max_sessions = 1;
    let mut no_port = config();
    no_port.media[1].ports = 20000..=20001;
    for (config, counter) in [(no_slot, Counter::SlotsExhausted), (no_port, Counter::PortsExhausted)] {
        let mut stage = Stage::with(config);
        stage.connect(PHONE_A, 1, PRIMARY);
        stage.register(1, PHONE_A);
        stage.talk(1, 7);
        assert_eq!(refusal(&mut stage, 9), MediaStatus::OUT_OF_SOCKETS);
        assert_eq!(stage.count(counter), 2);
        assert_eq!(stage.proxy.ports().in_use, 2, "nothing half is left");
    }
}

#[test]
fn stream_that_the_data_plane_refuses_is_given_up() {
    let mut stage = Stage::registered();
    stage.refuses = true;
    stage.server_sends(1, open(7, None));
    assert_eq!(stage.count(Counter::MediaRefused), 1);
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    assert!(stage.proxy.calls(stage.now).is_empty());
    let refusal = stage.at_server();
    assert_eq!(refusal.channel().unwrap().status(), Ok(MediaStatus::UNKNOWN), "the call manager hears of it");
}

#[test]
fn call_manager_hears_that_a_channel_failed_which_the_data_plane_refused() {
    let mut stage = Stage::registered();
    stage.refuses = true;
    stage.server_sends(1, open(7, None));
    stage.phone.clear();
    stage.server.clear();
    stage.phone_sends(1, open_ack(7, 0x107, CLAIMED, 0));
    let ack = stage.at_server();
    let channel = ack.channel().unwrap();
    assert_eq!((channel.party(), channel.call()), (Ok(0x107), Ok(7)));
    assert_eq!(channel.status(), Ok(MediaStatus::OUT_OF_SOCKETS));
    assert_eq!(endpoint(&ack), "0.0.0.0:0");
    assert_eq!(stage.count(Counter::SkinnyStrayChannels), 1);
    stage.nothing_more();
}
