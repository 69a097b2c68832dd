//! What passes unchanged, and what does not pass.

use pinhole_proxy::Counter;
use pinhole_sccp::{MessageId, Sender};

use super::stage::*;

/// Messages with a rule of their own, told of elsewhere.
fn ruled(id: MessageId) -> bool {
    let of_media = frame(id, 17, &[0; 200]).channel().is_some();
    let ruled = [
        MessageId::REGISTER,
        MessageId::REGISTER_TOKEN_REQ,
        MessageId::SPCP_REGISTER_TOKEN_REQ,
        MessageId::ALARM,
        MessageId::MULTICAST_MEDIA_RECEPTION_ACK,
        MessageId::SERVER_RES,
        MessageId::CALL_INFO,
        MessageId::CALL_INFO_DYNAMIC,
    ];
    of_media || ruled.contains(&id) || id.carries_addresses_unread()
}

#[test]
fn everything_else_passes_byte_for_byte() {
    let mut passed = 0;
    for id in MessageId::NAMED.iter().copied().filter(|id| !ruled(*id)) {
        let mut stage = Stage::registered();
        let bytes: Vec<u8> = (0..99).collect();
        let message = frame(id, 17, &bytes);
        match id.sender() {
            Some(Sender::Phone) => {
                stage.phone_sends(1, message.clone());
                assert_eq!(stage.at_server(), message);
            }
            _ => {
                stage.server_sends(1, message.clone());
                assert_eq!(stage.at_phone(), message);
            }
        }
        stage.nothing_more();
        passed += 1;
    }
    assert!(passed > 90, "{passed}");
}

#[test]
fn unknown_messages_pass_and_are_counted() {
    let mut stage = Stage::registered();
    let message = frame(MessageId(0x7777), 22, b"anything");
    stage.phone_sends(1, message.clone());
    assert_eq!(stage.at_server(), message);
    stage.server_sends(1, message.clone());
    assert_eq!(stage.at_phone(), message);
    assert_eq!(stage.count(Counter::SkinnyUnknownMessages), 2);
}

#[test]
fn addresses_that_cannot_be_replaced_do_not_pass() {
    let unread = MessageId::NAMED.iter().copied().filter(|id| id.carries_addresses_unread());
    let sessions = [0x95, 0x96].map(MessageId);
    for id in unread.chain(sessions) {
        let mut stage = Stage::registered();
        stage.server_sends(1, frame(id, 17, &[0; 60]));
        stage.phone_sends(1, frame(id, 17, &[0; 60]));
        assert_eq!(stage.count(Counter::SkinnyNotCarried), 2, "{id}");
        stage.nothing_more();
    }
}

#[test]
fn message_about_media_from_the_wrong_end_does_not_pass() {
    let mut stage = Stage::registered();
    stage.talk(1, 7);
    let before = stage.commands.len();
    stage.phone_sends(1, open(7, None));
    stage.phone_sends(1, start(7, FAR, None));
    stage.phone_sends(1, end(MessageId::STOP_MEDIA_TRANSMISSION, 7));
    stage.phone_sends(1, end(MessageId::CLOSE_RECEIVE_CHANNEL, 7));
    stage.server_sends(1, open_ack(7, 0x107, FAR, 0));
    stage.server_sends(1, register("SEP0010DB000002"));
    assert_eq!(stage.count(Counter::SkinnyWrongDirection), 6);
    assert_eq!(stage.commands.len(), before);
    stage.nothing_more();
}

#[test]
fn message_that_ends_too_early_is_dropped_and_a_channel_refused() {
    let mut stage = Stage::registered();
    stage.server_sends(1, frame(MessageId::START_MEDIA_TRANSMISSION, 17, &[0; 8]));
    stage.server_sends(1, frame(MessageId::OPEN_RECEIVE_CHANNEL, 17, &[0; 4]));
    stage.server_sends(1, frame(MessageId::SERVER_RES, 17, &[0; 4]));
    stage.phone_sends(1, frame(MessageId::OPEN_RECEIVE_CHANNEL_ACK, 17, &[]));
    stage.phone_sends(1, frame(MessageId::REGISTER, 17, b"SEP0010DB000001\0"));
    assert!(stage.phone.is_empty() && stage.commands.is_empty());
    assert_eq!(stage.count(Counter::SkinnyMalformed), 5);
}

#[test]
fn multicast_is_refused_outside_and_counted_whatever_its_version() {
    let group = u32::from_le_bytes([239, 1, 2, 3]);
    for version in 0..=22 {
        for id in [0x101, 0x102, 0x103, 0x104].map(MessageId) {
            let mut stage = Stage::registered();
            stage.talk(1, 7);
            let before = stage.commands.len();
            let (address, port) = if version >= 17 { (12, 28) } else { (8, 12) };
            let words = [(0, 7), (4, 0x107), (address, group), (port, 24000)];
            stage.server_sends(1, frame(id, version, &body(60, &words)));
            stage.server_sends(1, frame(id, version, &[]));
            assert_eq!(stage.count(Counter::SkinnyMulticast), 2, "{id}");
            assert_eq!((stage.commands.len(), stage.proxy.sessions().len()), (before, 1));
            stage.nothing_more();
        }
    }
    let mut stage = Stage::registered();
    stage.phone_sends(1, frame(MessageId::MULTICAST_MEDIA_RECEPTION_ACK, 17, &[0; 12]));
    assert_eq!(stage.count(Counter::SkinnyMulticast), 1, "nor is an answer to what was never asked");
    stage.nothing_more();
}
