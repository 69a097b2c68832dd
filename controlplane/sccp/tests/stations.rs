//! Messages of a registration, and of the frames that real phones send.

mod common;

use std::net::{IpAddr, Ipv4Addr};

use common::touch::{V4, V6};
use common::{body, bytes, frame, put, words};
use pinhole_sccp::{
    CallState, FieldError, Frame, KeyBlock, Limits, MediaStatus, MessageId, RegisterAck, ResetKind,
    SecurityStatus, Server,
};

/// The body of a Register as sccp 2.6.3 describes it, cut to a length.
fn register(length: usize) -> Vec<u8> {
    let mut body = words(172, &[(16, 0), (20, 1), (28, 115), (32, 5), (36, 0), (44, 1), (48, 0), (68, 34)]);
    put(&mut body, 0, b"SEP0010DB000001\0");
    put(&mut body, 24, &[192, 168, 77, 11]);
    put(&mut body, 40, &[17, 0x20, 0x70, 0x85]);
    put(&mut body, 52, &[0, 0x10, 0xDB, 0, 0, 1]);
    put(&mut body, 72, &V6.octets());
    put(&mut body, 92, b"SCCP42.9-4-2SR3-1S");
    put(&mut body, 124, b"{A-CONFIG-STAMP}");
    body.truncate(length);
    body
}

#[test]
fn registration_of_a_phone_that_says_everything() {
    let frame = frame(1, 0, &register(172));
    let view = frame.registration().unwrap();
    assert_eq!(view.device_name(), Ok("SEP0010DB000001"));
    assert_eq!((view.user(), view.instance(), view.device_type()), (Ok(0), Ok(1), Ok(115)));
    assert_eq!((view.max_streams(), view.active_streams()), (Ok(5), Ok(0)));
    assert_eq!((view.protocol(), view.features()), (Ok(17), Ok([0x20, 0x70, 0x85])));
    assert_eq!((view.ipv4(), view.ipv6()), (Ok(Ipv4Addr::new(192, 168, 77, 11)), Ok(V6)));
}

#[test]
fn old_phones_register_with_less() {
    for (length, protocol, ipv6) in
        [(36, false, false), (44, true, false), (68, true, false), (124, true, true)]
    {
        let mut frame = frame(1, 0, &register(length));
        let view = frame.registration().unwrap();
        assert_eq!(view.device_name(), Ok("SEP0010DB000001"), "{length} bytes");
        assert_eq!(view.protocol().is_ok(), protocol, "{length} bytes");
        assert_eq!(view.ipv6().is_ok(), ipv6, "{length} bytes");
        frame.registration_mut().unwrap().set_address(V4.into()).unwrap();
        assert_eq!(frame.registration().unwrap().ipv4(), Ok(V4));
        assert_eq!(frame.body().len(), length);
    }
}

#[test]
fn station_address_replaces_those_of_both_families() {
    let original = frame(1, 0, &register(172));
    let mut changed = original.clone();
    changed.registration_mut().unwrap().set_address(V4.into()).unwrap();
    let mut expected = register(172);
    put(&mut expected, 24, &V4.octets());
    put(&mut expected, 72, &[0; 16]);
    assert_eq!(changed.body(), expected);
    changed.registration_mut().unwrap().set_address(V6.into()).unwrap();
    put(&mut expected, 24, &[0; 4]);
    put(&mut expected, 72, &V6.octets());
    assert_eq!(changed.body(), expected);
}

#[test]
fn piece_of_an_ipv6_address_is_not_left() {
    let mut frame = frame(1, 0, &register(80));
    frame.registration_mut().unwrap().set_address(V4.into()).unwrap();
    assert_eq!(frame.body()[72..], [0; 8]);
}

#[test]
fn ipv6_address_needs_room() {
    let original = frame(1, 0, &register(68));
    let mut changed = original.clone();
    assert!(matches!(
        changed.registration_mut().unwrap().set_address(V6.into()),
        Err(FieldError::Short { .. })
    ));
    assert_eq!(changed, original);
    let mut spcp = frame(0x8000, 0, &body(36));
    let refused = spcp.registration_mut().unwrap().set_address(V6.into());
    assert!(matches!(refused, Err(FieldError::NoField { .. })));
}

#[test]
fn requests_for_a_token_have_fields_of_their_own() {
    let mut token = words(52, &[(28, 8), (48, 7)]);
    put(&mut token, 0, b"SEP0010DB000002\0");
    put(&mut token, 24, &V4.octets());
    put(&mut token, 32, &V6.octets());
    let token = frame(0x29, 0, &token);
    let view = token.registration().unwrap();
    assert_eq!(view.device_name(), Ok("SEP0010DB000002"));
    assert_eq!((view.ipv4(), view.ipv6(), view.device_type()), (Ok(V4), Ok(V6), Ok(8)));
    assert!(matches!(view.max_streams(), Err(FieldError::NoField { .. })));
    assert!(matches!(view.protocol(), Err(FieldError::NoField { .. })));

    let spcp = frame(0x8000, 0, &words(36, &[(28, 8), (32, 3)]));
    let view = spcp.registration().unwrap();
    assert_eq!((view.device_type(), view.max_streams()), (Ok(8), Ok(3)));
}

#[test]
fn device_name_is_plain_or_invalid() {
    let named = |name: &[u8]| {
        let mut body = register(44);
        put(&mut body, 0, &[0; 16]);
        put(&mut body, 0, name);
        frame(1, 0, &body).registration().unwrap().device_name().map(str::to_owned)
    };
    assert_eq!(named(b"SEP0010DB000001"), Ok("SEP0010DB000001".to_owned()));
    assert_eq!(named(b"SIXTEEN_BYTES_AT"), Ok("SIXTEEN_BYTES_AT".to_owned()));
    assert_eq!(named(b"ATA\0garbage"), Ok("ATA".to_owned()));
    for bad in [&b""[..], b"SEP 1", b"SEP\n1", b"SEP\xFF", b"../x", b"\0SEP1"] {
        assert!(matches!(named(bad), Err(FieldError::Invalid { .. })), "{bad:?}");
    }
}

#[test]
fn acknowledgement_of_a_registration_grants_intervals_and_a_protocol() {
    let mut body = words(20, &[(0, 30), (12, 60)]);
    put(&mut body, 4, b"D/M/YY");
    put(&mut body, 16, &[11, 1, 2, 3]);
    let ack = RegisterAck { keep_alive_s: 30, backup_keep_alive_s: 60, protocol: 11, features: [1, 2, 3] };
    assert_eq!(frame(0x81, 0, &body).register_ack(), Ok(ack));
    let old = RegisterAck { protocol: 0, features: [0; 3], ..ack };
    assert_eq!(frame(0x81, 0, &body[..16]).register_ack(), Ok(old));
    assert!(matches!(frame(0x81, 0, &body[..12]).register_ack(), Err(FieldError::Short { .. })));
    assert!(matches!(frame(0x80, 0, &body).register_ack(), Err(FieldError::NoField { .. })));
}

#[test]
fn words_of_short_messages_are_read() {
    assert_eq!(frame(0x9F, 0, &words(4, &[(0, 1)])).reset_kind(), Ok(ResetKind::Reset));
    assert_eq!(frame(0x9F, 0, &words(4, &[(0, 2)])).reset_kind(), Ok(ResetKind::Restart));
    assert_eq!(frame(0x9F, 0, &words(4, &[(0, 3)])).reset_kind(), Ok(ResetKind::ApplyConfig));
    assert_eq!(frame(0x9F, 0, &words(4, &[(0, 9)])).reset_kind(), Ok(ResetKind::Other(9)));
    assert_eq!(frame(0x11B, 0, &words(4, &[(0, 60)])).token_wait_s(), Ok(60));
    assert_eq!(frame(0x8101, 0, &words(4, &[(0, 61)])).token_wait_s(), Ok(61));
    assert_eq!(frame(0x118, 0, &words(4, &[])).unregister_status(), Ok(0));
    assert_eq!(frame(0x9D, 0, b"no such device\0..").reject_text(), Ok(&b"no such device"[..]));
    assert!(matches!(frame(0x27, 0, &[]).unregister_status(), Err(FieldError::NoField { .. })));
}

#[test]
fn servers_are_read_and_set_in_both_generations() {
    let typed = |at: usize| 260 + at * 20;
    for (version, length) in [(0, 280), (15, 280), (17, 360), (22, 360)] {
        let mut body = vec![0; length];
        put(&mut body, 48, b"cucm2.example\0");
        put(&mut body, 244, &2_000_u32.to_le_bytes());
        put(&mut body, if length == 280 { 264 } else { typed(1) + 4 }, &[10, 20, 0, 11]);
        let original = frame(0x9E, version, &body);
        let second =
            Server { name: b"cucm2.example".to_vec(), port: 2_000, address: IpAddr::from([10, 20, 0, 11]) };
        assert_eq!(original.servers().unwrap().get(1), Ok(second));
        assert_eq!(original.servers().unwrap().get(0), Ok(Server::none()));
        assert!(original.servers().unwrap().get(5).is_err());

        let mut changed = original.clone();
        let outside = Server { name: b"pinhole.example".to_vec(), port: 2_443, address: V4.into() };
        changed.servers_mut().unwrap().set(1, &outside).unwrap();
        put(&mut body, 48, b"pinhole.example\0");
        put(&mut body, 244, &2_443_u32.to_le_bytes());
        put(&mut body, if length == 280 { 264 } else { typed(1) + 4 }, &V4.octets());
        assert_eq!(changed.body(), body);
        assert_eq!(changed.servers().unwrap().get(1), Ok(outside));
    }
}

#[test]
fn list_of_typed_addresses_that_is_cut_off_is_neither_read_nor_set() {
    for length in [279, 281, 300, 359] {
        let mut cut_off = frame(0x9E, 17, &vec![0; length]);
        assert!(cut_off.servers().unwrap().get(4).is_err());
        assert!(cut_off.servers_mut().unwrap().set(4, &Server::none()).is_err(), "{length}");
    }
    assert_eq!(frame(0x9E, 17, &[0; 280]).servers().unwrap().get(4), Ok(Server::none()), "one as before 17");
}

#[test]
fn server_that_does_not_fit_changes_nothing() {
    let original = frame(0x9E, 0, &[0; 280]);
    let mut changed = original.clone();
    let mut view = changed.servers_mut().unwrap();
    let long = Server { name: vec![b'n'; 48], ..Server::none() };
    assert!(matches!(view.set(0, &long), Err(FieldError::NoRoom { room: 47, .. })));
    let ipv6 = Server { name: b"six".to_vec(), port: 1, address: V6.into() };
    assert!(matches!(view.set(0, &ipv6), Err(FieldError::Family { .. })));
    assert_eq!(changed, original);
}

#[test]
fn security_status_is_the_only_word_that_changes() {
    for (id, length, at) in [(0x8F, 384, 376), (0x14A, 120, 24)] {
        let mut expected = body(length);
        put(&mut expected, at, &[3, 0, 0, 0]);
        let mut frame = frame(id, 17, &expected);
        let mut call = frame.call_mut().unwrap();
        assert_eq!(call.security(), Ok(SecurityStatus::Encrypted));
        call.set_security(SecurityStatus::NotAuthenticated).unwrap();
        put(&mut expected, at, &[1, 0, 0, 0]);
        assert_eq!(frame.body(), expected);
    }
}

#[test]
fn state_of_a_call_names_line_and_reference() {
    let frame = frame(0x111, 17, &words(24, &[(0, 5), (4, 1), (8, 0x0100_001F)]));
    let call = frame.call().unwrap();
    assert_eq!(
        (call.state(), call.line(), call.reference()),
        (Ok(CallState::CONNECTED), Ok(1), Ok(0x0100_001F))
    );
    assert!(matches!(call.security(), Err(FieldError::NoField { .. })));
}

#[test]
fn alarm_shows_another_address() {
    let mut expected = words(92, &[(0, 2), (84, 4)]);
    put(&mut expected, 4, b"25: Name=SEP0010DB000001 Load=9.4.2SR3 Last=Initialized");
    put(&mut expected, 88, &[192, 168, 77, 11]);
    let mut frame = frame(0x20, 0, &expected);
    assert_eq!((frame.alarm_severity(), frame.alarm_address()), (Ok(2), Ok(Ipv4Addr::new(192, 168, 77, 11))));
    frame.set_alarm_address(V4).unwrap();
    put(&mut expected, 88, &V4.octets());
    assert_eq!(frame.body(), expected);
}

/// The shapes of captured frames that sccp 2.6 describes: lengths that are not those of the tables.
mod shapes {
    use super::*;

    #[test]
    fn acknowledgement_of_a_7941_has_one_word_more() {
        let mut body = words(44, &[(0, 1), (4, 2), (8, 3), (32, 17_000), (36, 0), (40, 9)]);
        put(&mut body, 16, &[192, 168, 77, 11]);
        let mut frame = frame(0x154, 17, &body);
        let channel = frame.channel().unwrap();
        assert_eq!((channel.conference(), channel.party(), channel.call()), (Ok(1), Ok(2), Ok(3)));
        let endpoint = channel.endpoint().unwrap().socket_address();
        assert_eq!(endpoint, Some(([192, 168, 77, 11], 17_000).into()));
        assert_eq!(channel.status(), Ok(MediaStatus::OK));
        frame.channel_mut().unwrap().set_endpoint((V4, 40_000).into()).unwrap();
        put(&mut body, 16, &V4.octets());
        put(&mut body, 32, &40_000_u32.to_le_bytes());
        assert_eq!(frame.as_bytes(), bytes(0x154, 17, &body));
    }

    #[test]
    fn acknowledgement_of_a_6901_has_two_words_more_and_no_party() {
        let frame = frame(0x154, 17, &words(48, &[(8, 3), (32, 17_000)]));
        let channel = frame.channel().unwrap();
        assert_eq!((channel.party(), channel.call(), channel.port()), (Ok(0), Ok(3), Ok(17_000)));
    }

    #[test]
    fn old_request_to_open_a_channel_ends_before_the_source_address() {
        // A captured one to a 7912: ids, 20 ms, PCMU, and a key block without its last two words.
        let set = [(0, 0x0100_001F), (4, 0x0100_0101), (8, 20), (12, 4), (24, 0x0100_001F)];
        let oldest = frame(0x105, 0, &words(68, &set));
        let channel = oldest.channel().unwrap();
        assert_eq!((channel.packet_ms(), channel.codec()), (Ok(20), Ok(4)));
        assert_eq!((channel.conference(), channel.call()), (Ok(0x0100_001F), Ok(0x0100_001F)));
        assert_eq!(channel.party(), Ok(0x0100_0101));
        assert_eq!(channel.encryption(), Ok(KeyBlock::Clear));
        assert!(matches!(channel.address(), Err(FieldError::Short { .. })));

        let of_92 = frame(0x105, 0, &words(92, &set));
        assert_eq!(of_92.channel().unwrap().encryption(), Ok(KeyBlock::Clear));
        assert!(matches!(of_92.channel().unwrap().address(), Err(FieldError::Short { .. })));
    }

    #[test]
    fn request_to_open_a_channel_of_128_bytes_has_source_and_family() {
        let mut body = words(128, &[(4, 2), (24, 3), (120, 4_000), (124, 1)]);
        put(&mut body, 104, &V4.octets());
        let frame = frame(0x105, 17, &body);
        let channel = frame.channel().unwrap();
        assert_eq!(channel.endpoint().unwrap().socket_address(), Some((V4, 4_000).into()));
        assert_eq!(channel.family(), Ok(pinhole_sccp::Family::V6));
    }

    #[test]
    fn memory_of_the_server_in_a_key_block_of_video_is_no_key() {
        let mut body = words(168, &[(4, 2), (16, 5_445), (20, 3)]);
        put(&mut body, 12, &V4.octets());
        put(&mut body, 112, &[0xB8, 0x4C, 0x7A, 0xF1, 0x00, 0x7F, 0x01, 0x00, 0x40, 0x12]);
        let frame = frame(0x132, 0, &body);
        let channel = frame.channel().unwrap();
        assert!(matches!(channel.encryption(), Ok(KeyBlock::Unreadable { .. })));
        assert_eq!(channel.endpoint().unwrap().socket_address(), Some((V4, 5_445).into()));
    }

    #[test]
    fn latent_capabilities_behind_a_start_stay() {
        let original = frame(0x8A, 22, &body(168));
        let mut changed = original.clone();
        let mut channel = changed.channel_mut().unwrap();
        channel.set_endpoint((V4, 40_000).into()).unwrap();
        channel.set_encryption(&common::touch::encryption()).unwrap();
        assert_eq!(changed.body()[132..], original.body()[132..]);
    }

    #[test]
    fn every_shape_leaves_as_it_came() {
        for (id, version, length) in [
            (0x01, 0, 44),
            (0x01, 0, 68),
            (0x01, 0, 124),
            (0x22, 0, 16),
            (0x22, 0, 20),
            (0x22, 17, 36),
            (0x8A, 0, 116),
            (0x8A, 17, 132),
            (0x8A, 22, 168),
            (0x8F, 0, 384),
            (0x105, 0, 68),
            (0x105, 0, 92),
            (0x105, 17, 128),
            (0x105, 20, 168),
            (0x132, 0, 168),
            (0x154, 17, 44),
            (0x154, 17, 48),
            (0x157, 20, 2_408),
            (0x15A, 20, 2_052),
        ] {
            let wire = bytes(id, version, &body(length));
            let frame = Frame::parse(&wire, &Limits::default()).unwrap();
            common::touch::read(&frame);
            assert_eq!(frame.as_bytes(), wire);
        }
    }
}

#[test]
fn messages_have_one_name_each() {
    let mut names: Vec<_> = MessageId::NAMED.iter().map(|id| id.name().unwrap()).collect();
    assert!(MessageId::NAMED.is_sorted());
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), MessageId::NAMED.len());
    assert_eq!(MessageId::OPEN_RECEIVE_CHANNEL.to_string(), "OpenReceiveChannel");
    assert_eq!(MessageId(0x7777).to_string(), "message 0x7777");
}

#[test]
fn messages_with_addresses_in_unknown_places_are_named() {
    for id in [0x11, 0x46, 0x47, 0x14D, 0x14E, 0x14F, 0x150, 0x151] {
        assert!(MessageId(id).carries_addresses_unread());
    }
    assert!(!MessageId::OPEN_RECEIVE_CHANNEL.carries_addresses_unread());
}
