//! Senders that the call manager does not name: music on hold.

use std::net::SocketAddr;

use pinhole_flow::leg::mapped;
use pinhole_flow::{CommandKind, Leg, LegFlags};
use pinhole_proxy::{Network, SkinnyCalls};
use pinhole_sccp::{Encryption, MasterKey, MasterSalt, MessageId};

use super::stage::*;

fn stage() -> Stage {
    let unnamed_senders = Some(Network::try_from("10.20.0.0/16".to_owned()).unwrap());
    Stage::encrypted(SkinnyCalls { unnamed_senders, ..SkinnyCalls::default() })
}

fn theirs(fill: u8) -> Option<Encryption> {
    Some(Encryption::new(MasterKey::new([fill; 16]), MasterSalt::new([fill; 14])))
}

fn inside(stage: &Stage) -> Leg {
    stage.orders().legs[1]
}

fn latches(leg: &Leg) -> bool {
    let network = mapped("10.20.0.0".parse().unwrap());
    let so = leg.has(LegFlags::LATCH);
    if so {
        assert_eq!((leg.remote_ip, leg.latch_prefix), (network, 112));
        assert_eq!((leg.remote_rtp, leg.remote_rtcp), (0, 0));
    }
    so
}

/// Whether a leg hears only who is at this address.
fn hears_only(leg: &Leg, at: &str) -> bool {
    let plain = !leg.has(LegFlags::LATCH) && !leg.has(LegFlags::LEARN) && leg.latch_prefix == 0;
    plain && SocketAddr::new(leg.remote_ip(), leg.remote_rtp).to_string() == at
}

#[test]
fn first_sender_of_the_network_is_heard_on_a_channel_whose_sender_nobody_names() {
    let mut stage = stage();
    stage.server_sends(1, open(7, None));
    assert!(latches(&inside(&stage)));
    assert_eq!(endpoint(&stage.at_phone()), "0.0.0.0:0");
    // What the phone says changes nothing of it, nor is it latched anew.
    stage.phone_sends(1, open_ack(7, 0x107, "198.51.100.10:17000", 0));
    assert!(latches(&inside(&stage)));
    assert_eq!(stage.commands.last().unwrap().anew, 0);
    // The channel is opened again: another may send.
    stage.server_sends(1, open(7, None));
    assert!(latches(&inside(&stage)));
    assert_eq!(stage.commands.last().unwrap().anew, 0b10);
}

#[test]
fn who_is_named_is_heard_alone() {
    let mut stage = stage();
    stage.server_sends(1, open_from(7, "10.20.0.30:30000"));
    assert!(hears_only(&inside(&stage), "10.20.0.30:30000"));
    stage.server_sends(1, open(7, None));
    assert!(latches(&inside(&stage)), "and no longer once another channel names nobody");
    stage.server_sends(1, open_from(7, "10.20.0.30:30000"));
    assert!(hears_only(&inside(&stage), "10.20.0.30:30000"));
}

#[test]
fn who_is_sent_to_is_heard_alone_in_whatever_order() {
    let mut stage = stage();
    stage.server_sends(1, open(7, None));
    stage.server_sends(1, start(7, FAR, None));
    assert!(hears_only(&inside(&stage), FAR));
    stage.server_sends(1, open(7, None));
    assert!(hears_only(&inside(&stage), FAR));
    let mut stage = self::stage();
    stage.server_sends(1, start(7, FAR, None));
    stage.server_sends(1, open(7, None));
    assert!(hears_only(&inside(&stage), FAR));
    stage.server_sends(1, end(MessageId::STOP_MEDIA_TRANSMISSION, 7));
    assert!(hears_only(&inside(&stage), FAR), "the channel is still the one that it was");
    stage.server_sends(1, open(7, None));
    assert!(latches(&inside(&stage)));
}

#[test]
fn music_on_hold_is_heard_and_the_talk_that_follows() {
    let mut stage = stage();
    stage.talk(1, 7);
    for id in [MessageId::CLOSE_RECEIVE_CHANNEL, MessageId::STOP_MEDIA_TRANSMISSION] {
        stage.server_sends(1, end(id, 7));
    }
    stage.phone.clear();
    stage.server_sends(1, open(7, None));
    assert!(latches(&inside(&stage)));
    stage.server_sends(1, end(MessageId::CLOSE_RECEIVE_CHANNEL, 7));
    stage.phone.clear();
    stage.talk(1, 7);
    assert!(hears_only(&inside(&stage), FAR));
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 3);
}

#[test]
fn sender_with_a_key_is_known_by_that_wherever_it_is() {
    for mut stage in [stage(), Stage::encrypted(SkinnyCalls::default())] {
        stage.server_sends(1, open(7, theirs(1)));
        let leg = inside(&stage);
        assert!(leg.has(LegFlags::LEARN) && !leg.has(LegFlags::LATCH) && leg.inbound.suite().is_some());
        stage.server_sends(1, start(7, FAR, theirs(2)));
        assert!(hears_only(&inside(&stage), FAR));
    }
    // In the clear the next time.
    let mut stage = self::stage();
    stage.server_sends(1, open(7, theirs(1)));
    stage.server_sends(1, open(7, None));
    assert!(latches(&inside(&stage)));
    let mut stage = Stage::registered();
    stage.server_sends(1, open(7, theirs(1)));
    stage.server_sends(1, open(7, None));
    assert!(hears_only(&inside(&stage), "[::]:0"));
}

#[test]
fn nobody_is_heard_without_a_network() {
    let mut stage = Stage::registered();
    stage.server_sends(1, open(7, None));
    assert!(hears_only(&inside(&stage), "[::]:0"));
}

#[test]
fn network_is_an_address_and_a_prefix() {
    let read = |text: &str| Network::try_from(text.to_owned());
    assert_eq!(read("10.20.0.0/16").map(|network| network.prefix), Ok(16));
    for text in
        ["", "10.20.0.0", "10.20.0.0/33", "10.20.0/16", "10.20.0.0/-1", "2001:db8::/32", "10.20.0.0/16/1"]
    {
        assert!(read(text).unwrap_err().contains("10.20.0.0/16"), "{text}");
    }
}
