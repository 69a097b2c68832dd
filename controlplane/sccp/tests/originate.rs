//! Messages that a proxy sends of its own accord.

mod common;

use common::touch::{V4, V6, encryption};
use common::{bytes, put, words};
use pinhole_sccp::{
    BuildError, FieldError, Frame, FrameError, KeyBlock, Media, ResetKind, SecurityStatus, Server,
    header_version,
};

fn media() -> Media {
    Media {
        conference: 11,
        party: 12,
        call: 13,
        codec: 4,
        packet_ms: 20,
        telephone_event: 101,
        endpoint: None,
        encryption: None,
    }
}

#[test]
fn header_version_is_zero_before_protocol_10() {
    let versions: Vec<u32> = (0..=22).map(header_version).collect();
    assert_eq!(versions[..10], [0; 10]);
    assert_eq!(versions[10..], (10..=22).collect::<Vec<u32>>());
}

#[test]
fn short_messages_are_what_a_phone_expects() {
    assert_eq!(Frame::keep_alive_ack().unwrap().as_bytes(), bytes(0x100, 0, &[]));
    assert_eq!(Frame::reset(11, ResetKind::Restart).unwrap().as_bytes(), bytes(0x9F, 11, &[2, 0, 0, 0]));
    assert_eq!(Frame::register_token_reject(5, 60).unwrap().as_bytes(), bytes(0x11B, 0, &[60, 0, 0, 0]));
    let mut text = [0; 32];
    put(&mut text, 0, b"device name");
    assert_eq!(Frame::register_reject(17, "device name").unwrap().as_bytes(), bytes(0x9D, 17, &text));
}

#[test]
fn text_of_a_rejection_is_cut_between_characters() {
    let long = Frame::register_reject(3, &"x".repeat(40)).unwrap();
    assert_eq!(long.reject_text(), Ok("x".repeat(31).as_bytes()));
    let umlauts = Frame::register_reject(3, &"ü".repeat(40)).unwrap();
    assert_eq!(umlauts.reject_text(), Ok("ü".repeat(15).as_bytes()));
    assert_eq!(umlauts.body().len(), 32);
}

#[test]
fn servers_are_written_for_the_phone_s_protocol() {
    let server = Server { name: b"pinhole.example".to_vec(), port: 2_443, address: V4.into() };
    for (protocol, length, at) in [(3, 280, 260), (16, 280, 260), (17, 360, 264), (22, 360, 264)] {
        let frame = Frame::server_res(protocol, std::slice::from_ref(&server)).unwrap();
        let mut body = words(length, &[(240, 2_443)]);
        put(&mut body, 0, b"pinhole.example");
        put(&mut body, at, &V4.octets());
        assert_eq!(frame.as_bytes(), bytes(0x9E, header_version(protocol), &body));
    }
    let six = std::iter::repeat_n(server, 6).collect::<Vec<_>>();
    assert!(matches!(Frame::server_res(3, &six), Err(BuildError::Field(FieldError::Invalid { .. }))));
}

#[test]
fn channel_is_opened_as_the_protocol_has_it() {
    for (protocol, length) in
        [(0, 92), (10, 92), (11, 116), (16, 116), (17, 132), (19, 132), (20, 168), (22, 168)]
    {
        let frame = Frame::open_receive_channel(protocol, &media()).unwrap();
        let body = words(length, &[(0, 11), (4, 12), (8, 20), (12, 4), (24, 13), (84, 101)]);
        assert_eq!(frame.as_bytes(), bytes(0x105, header_version(protocol), &body));
        let keyed = Media { encryption: Some(encryption()), ..media() };
        let keyed = Frame::open_receive_channel(protocol, &keyed).unwrap();
        assert_eq!(keyed.channel().unwrap().encryption(), Ok(KeyBlock::Keyed(encryption())));
        assert_eq!(keyed.body().len(), length);
    }
}

#[test]
fn transmission_is_started_as_the_protocol_has_it() {
    let media = Media { endpoint: Some((V4, 40_000).into()), ..media() };
    for protocol in [0, 9, 16] {
        let mut body = words(116, &[(0, 11), (4, 12), (12, 40_000), (16, 20), (20, 4), (40, 13), (100, 101)]);
        put(&mut body, 8, &V4.octets());
        let frame = Frame::start_media_transmission(protocol, &media).unwrap();
        assert_eq!(frame.as_bytes(), bytes(0x8A, header_version(protocol), &body));
    }
    for (protocol, length) in [(17, 132), (19, 132), (20, 168), (22, 168)] {
        let mut body =
            words(length, &[(0, 11), (4, 12), (28, 40_000), (32, 20), (36, 4), (56, 13), (116, 101)]);
        put(&mut body, 12, &V4.octets());
        let frame = Frame::start_media_transmission(protocol, &media).unwrap();
        assert_eq!(frame.as_bytes(), bytes(0x8A, protocol, &body));
    }
}

#[test]
fn what_a_protocol_cannot_say_is_not_built() {
    let ipv6 = Media { endpoint: Some((V6, 40_000).into()), ..media() };
    assert!(Frame::start_media_transmission(17, &ipv6).is_ok());
    let refused = Frame::start_media_transmission(11, &ipv6);
    assert!(matches!(refused, Err(BuildError::Field(FieldError::Family { .. }))));
    let source = Media { endpoint: Some((V4, 40_000).into()), ..media() };
    assert!(Frame::open_receive_channel(11, &source).is_ok());
    let refused = Frame::open_receive_channel(10, &source);
    assert!(matches!(refused, Err(BuildError::Field(FieldError::Short { .. }))));
    let refused = Frame::reset(23, ResetKind::Reset);
    assert!(matches!(refused, Err(BuildError::Frame(FrameError::Version { version: 23, limit: 22 }))));
}

#[test]
fn numbers_that_are_not_known_survive_being_read() {
    assert_eq!(SecurityStatus::Other(9).to_wire(), 9);
    assert_eq!(ResetKind::Other(9).to_wire(), 9);
}
