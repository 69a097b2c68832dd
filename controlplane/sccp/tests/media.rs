//! Messages about media: where fields are, in both generations.

mod common;

use std::net::{Ipv4Addr, SocketAddr};

use common::touch::{KEY, SALT, V4, V6, encryption};
use common::{ROWS, Row, body, field_len, frame, put, word_at, words};
use pinhole_sccp::{
    Address, Algorithm, Family, FieldError, Frame, KeyBlock, MediaStatus, MediaType, MessageId, PortHandling,
};

fn versions(row: &Row) -> std::ops::RangeInclusive<u32> {
    if row.typed { 17..=22 } else { 0..=15 }
}

/// A body with another word in each place, and an address and port that are valid.
fn distinct(row: &Row) -> Vec<u8> {
    let mut body = body(row.length);
    for (name, at) in row.fields {
        if *name == "address" && row.typed {
            put(&mut body, *at, &[0; 4]);
        }
    }
    body
}

#[test]
fn every_field_is_read_where_the_table_has_it() {
    for row in ROWS {
        for version in versions(row) {
            let body = distinct(row);
            let frame = frame(row.id, version, &body);
            let channel = frame.channel().unwrap();
            for (name, at) in row.fields {
                let shown = format!("{name} of {frame:?}");
                let expected = Ok(word_at(*at));
                match *name {
                    "conference" => assert_eq!(channel.conference(), expected, "{shown}"),
                    "party" => assert_eq!(channel.party(), expected, "{shown}"),
                    "call" => assert_eq!(channel.call(), expected, "{shown}"),
                    "ms" => assert_eq!(channel.packet_ms(), expected, "{shown}"),
                    "codec" => assert_eq!(channel.codec(), expected, "{shown}"),
                    "event" => assert_eq!(channel.telephone_event(), expected, "{shown}"),
                    "status" => assert_eq!(channel.status().map(|status| status.0), expected, "{shown}"),
                    "family" => assert_eq!(channel.family(), expected.map(Family::Other), "{shown}"),
                    "handling" => {
                        assert_eq!(channel.port_handling(), expected.map(PortHandling::Other), "{shown}")
                    }
                    "media" => assert_eq!(channel.media_type(), expected.map(MediaType), "{shown}"),
                    "port" => assert_eq!(channel.port().map(u32::from), expected, "{shown}"),
                    "rtcp" => assert_eq!(channel.rtcp_port().map(u32::from), expected, "{shown}"),
                    "encryption" => {
                        let KeyBlock::Unreadable { algorithm, .. } = channel.encryption().unwrap() else {
                            panic!("{shown} is no noise")
                        };
                        assert_eq!(algorithm, word_at(*at), "{shown}");
                    }
                    "address" => {
                        let at = if row.typed { at + 4 } else { *at };
                        let network_order = word_at(at).to_le_bytes();
                        let expected = Address::V4(Ipv4Addr::from(network_order));
                        assert_eq!(channel.address(), Ok(expected), "{shown}");
                    }
                    other => panic!("{other}"),
                }
            }
        }
    }
}

#[test]
fn field_that_a_message_does_not_have_is_no_field_of_it() {
    for row in ROWS {
        let frame = frame(row.id, if row.typed { 17 } else { 3 }, &body(row.length));
        let channel = frame.channel().unwrap();
        let has = |name| row.fields.iter().any(|(field, _)| *field == name);
        let answers = [
            ("conference", channel.conference().err()),
            ("party", channel.party().err()),
            ("call", channel.call().err()),
            ("status", channel.status().err()),
            ("ms", channel.packet_ms().err()),
            ("codec", channel.codec().err()),
            ("event", channel.telephone_event().err()),
            ("family", channel.family().err()),
            ("handling", channel.port_handling().err()),
            ("media", channel.media_type().err()),
            ("port", channel.port().err()),
            ("rtcp", channel.rtcp_port().err()),
            ("encryption", channel.encryption().err()),
            ("address", channel.address().err()),
        ];
        for (name, error) in answers {
            let none = matches!(error, Some(FieldError::NoField { .. }));
            assert_eq!(none, !has(name), "{name} of {frame:?}: {error:?}");
        }
    }
}

#[test]
fn changes_stay_within_their_field() {
    for row in ROWS {
        for (name, at) in row.fields {
            for version in versions(row) {
                let original = frame(row.id, version, &body(row.length));
                let span = 12 + at..12 + at + field_len(name, row.typed);
                common::touch::change(&original, |field, changed, result| {
                    if field == *name && result.is_ok() {
                        let (before, after) = (original.as_bytes(), changed.as_bytes());
                        assert_eq!(
                            before[..span.start],
                            after[..span.start],
                            "before {name} of {original:?}"
                        );
                        assert_eq!(before[span.end..], after[span.end..], "after {name} of {original:?}");
                        assert_ne!(before[span.clone()], after[span.clone()], "{name} of {original:?}");
                    }
                });
            }
        }
    }
}

#[test]
fn address_and_port_are_set_in_both_generations() {
    for row in ROWS.iter().filter(|row| row.fields.iter().any(|(name, _)| *name == "port")) {
        let mut frame = frame(row.id, *versions(row).start(), &body(row.length));
        let Some((_, at)) = row.fields.iter().find(|(name, _)| *name == "address") else { continue };
        let mut channel = frame.channel_mut().unwrap();
        channel.set_endpoint(SocketAddr::from((V4, 40_000))).unwrap();
        assert_eq!(channel.endpoint().unwrap().socket_address(), Some(SocketAddr::from((V4, 40_000))));
        let ipv6 = channel.set_endpoint(SocketAddr::from((V6, 40_002)));
        if row.typed {
            assert_eq!(channel.endpoint().unwrap().socket_address(), Some(SocketAddr::from((V6, 40_002))));
        } else {
            assert!(matches!(ipv6, Err(FieldError::Family { .. })));
            assert_eq!(frame.body()[*at..at + 4], V4.octets(), "network order");
        }
    }
}

#[test]
fn ipv4_address_leaves_nothing_of_an_ipv6_address_behind() {
    let mut frame = frame(0x22, 17, &[0xEE; 36]);
    frame.channel_mut().unwrap().set_endpoint(SocketAddr::from((V4, 40_000))).unwrap();
    let mut expected = [0; 24];
    put(&mut expected, 4, &V4.octets());
    put(&mut expected, 20, &40_000_u32.to_le_bytes());
    assert_eq!(frame.body()[4..28], expected);
}

#[test]
fn address_types_are_told_apart() {
    let with_type = |kind: u32, address: &[u8]| {
        let mut body = words(36, &[(4, kind)]);
        put(&mut body, 8, address);
        frame(0x22, 20, &body).channel().unwrap().address().unwrap()
    };
    assert_eq!(with_type(0, &V4.octets()), Address::V4(V4));
    assert_eq!(with_type(1, &V6.octets()), Address::V6(V6));
    assert_eq!(with_type(2, &V4.octets()).ip(), Some(V4.into()));
    assert_eq!(with_type(2, &V6.octets()).ip(), Some(V6.into()));
    assert_eq!(with_type(3, &V4.octets()), Address::Invalid);
    assert_eq!(with_type(0x0A00_0001, &V4.octets()).ip(), None);
}

#[test]
fn port_beyond_16_bits_is_invalid() {
    let frame = frame(0x22, 0, &words(20, &[(8, 65_536)]));
    assert!(matches!(frame.channel().unwrap().port(), Err(FieldError::Invalid { .. })));
}

#[test]
fn frame_of_version_16_says_itself_which_generation_it_is() {
    let typed = frame(0x22, 16, &words(36, &[(24, 5_000)]));
    assert_eq!(
        typed.channel().unwrap().port(),
        Ok(5_000),
        "as long as one of protocol 17, with a valid type"
    );
    let plain = frame(0x22, 16, &words(20, &[(8, 5_000)]));
    assert_eq!(plain.channel().unwrap().port(), Ok(5_000), "too short for protocol 17");
    let mut long = words(36, &[(8, 5_000)]);
    put(&mut long, 4, &V4.octets());
    assert_eq!(frame(0x22, 16, &long).channel().unwrap().port(), Ok(5_000), "no address type");
}

#[test]
fn frame_too_short_for_its_version_is_read_by_the_layout_before() {
    let frame = frame(0x22, 17, &words(20, &[(8, 5_000), (12, 7), (16, 9)]));
    let channel = frame.channel().unwrap();
    assert_eq!((channel.port(), channel.party(), channel.call()), (Ok(5_000), Ok(7), Ok(9)));
}

/// Offsets of the key block within a message, in the four that have one, with the header version and the usual length.
const BLOCKS: [(MessageId, u32, usize, usize); 8] = [
    (MessageId::OPEN_RECEIVE_CHANNEL, 11, 116, 28),
    (MessageId::OPEN_RECEIVE_CHANNEL, 20, 168, 28),
    (MessageId::START_MEDIA_TRANSMISSION, 11, 116, 44),
    (MessageId::START_MEDIA_TRANSMISSION, 20, 168, 60),
    (MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL, 11, 172, 108),
    (MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL, 20, 192, 108),
    (MessageId::START_MULTIMEDIA_TRANSMISSION, 11, 168, 112),
    (MessageId::START_MULTIMEDIA_TRANSMISSION, 20, 184, 128),
];

/// The block of sccp 2.6.2, written by hand.
fn block() -> [u8; 48] {
    let mut block = [0; 48];
    put(&mut block, 0, &[1, 0, 0, 0, 16, 0, 14, 0]);
    put(&mut block, 8, &KEY);
    put(&mut block, 24, &SALT);
    block
}

#[test]
fn key_block_is_written_whole_where_each_generation_has_it() {
    for (id, version, length, at) in BLOCKS {
        let original = frame(id.0, version, &vec![0xEE; length]);
        let mut frame = original.clone();
        frame.channel_mut().unwrap().set_encryption(&encryption()).unwrap();
        assert_eq!(frame.body()[at..at + 48], block(), "{frame:?}");
        assert_eq!(frame.body()[..at], original.body()[..at], "{frame:?}");
        assert_eq!(frame.body()[at + 48..], original.body()[at + 48..], "{frame:?}");
        assert_eq!(frame.channel().unwrap().encryption(), Ok(KeyBlock::Keyed(encryption())));
        frame.channel_mut().unwrap().clear_encryption().unwrap();
        assert_eq!(frame.body()[at..at + 48], [0; 48], "{frame:?}");
        assert_eq!(frame.channel().unwrap().encryption(), Ok(KeyBlock::Clear));
    }
}

#[test]
fn message_without_a_key_block_gets_one() {
    for (id, version, _, at) in BLOCKS {
        for length in [0, 24, 27, 28, at - 1, at, at + 1, at + 39] {
            let original = frame(id.0, version, &vec![0xEE; length]);
            let mut frame = original.clone();
            let mut channel = frame.channel_mut().unwrap();
            assert!(matches!(channel.encryption(), Err(FieldError::Short { .. })));
            assert!(matches!(channel.set_encryption(&encryption()), Err(FieldError::Short { .. })));
            channel.insert_encryption(&encryption()).unwrap();
            assert_eq!(frame.channel().unwrap().encryption(), Ok(KeyBlock::Keyed(encryption())));
            let kept = length.min(at);
            assert_eq!(frame.body()[..kept], original.body()[..kept], "{original:?}");
            assert_eq!(frame.body()[kept..at], vec![0; at - kept], "{original:?}");
            assert_eq!(frame.body()[at..], block(), "{original:?}");
        }
    }
}

#[test]
fn key_block_that_ends_after_the_salt_is_used_as_it_is() {
    let mut frame = frame(0x105, 0, &[0; 68]);
    let mut channel = frame.channel_mut().unwrap();
    assert_eq!(channel.encryption(), Ok(KeyBlock::Clear));
    channel.insert_encryption(&encryption()).unwrap();
    assert_eq!(channel.encryption(), Ok(KeyBlock::Keyed(encryption())));
    assert_eq!(frame.body().len(), 68);
    assert_eq!(frame.body()[28..], block()[..40]);
}

#[test]
fn block_is_real_only_with_a_known_algorithm_and_fitting_lengths() {
    let with = |algorithm: u32, lengths: [u8; 4]| {
        let mut body = words(116, &[(28, algorithm)]);
        put(&mut body, 32, &lengths);
        frame(0x105, 0, &body).channel().unwrap().encryption().unwrap()
    };
    for (number, algorithm) in [
        (1, Algorithm::AesCm128HmacSha1_32),
        (2, Algorithm::AesCm128HmacSha1_80),
        (3, Algorithm::F8_128HmacSha1_32),
        (4, Algorithm::F8_128HmacSha1_80),
        (5, Algorithm::AeadAes128Gcm),
        (6, Algorithm::AeadAes256Gcm),
    ] {
        let KeyBlock::Keyed(found) = with(number, [16, 0, 14, 0]) else { panic!("{number}") };
        assert_eq!((found.algorithm, found.algorithm.to_wire()), (algorithm, number));
    }
    assert_eq!(with(0, [16, 0, 14, 0]), KeyBlock::Clear);
    let noise = KeyBlock::Unreadable { algorithm: 7, key_length: 16, salt_length: 14 };
    assert_eq!(with(7, [16, 0, 14, 0]), noise);
    let noise = KeyBlock::Unreadable { algorithm: 1, key_length: 32, salt_length: 14 };
    assert_eq!(with(1, [32, 0, 14, 0]), noise);
    let noise = KeyBlock::Unreadable { algorithm: 1, key_length: 16, salt_length: 12 };
    assert_eq!(with(1, [16, 0, 12, 0]), noise);
}

#[test]
fn mki_flag_and_derivation_rate_are_kept() {
    let mut wanted = encryption();
    wanted.mki = true;
    wanted.derivation_rate = 24;
    let mut frame = frame(0x8A, 20, &[0; 168]);
    frame.channel_mut().unwrap().set_encryption(&wanted).unwrap();
    assert_eq!(frame.body()[100..108], [1, 0, 0, 0, 24, 0, 0, 0]);
    assert_eq!(frame.channel().unwrap().encryption(), Ok(KeyBlock::Keyed(wanted)));
}

#[test]
fn other_messages_are_none_about_media() {
    for id in [0, 1, 0x9E, 0x11E, 0x7777] {
        assert!(frame(id, 0, &body(200)).channel().is_none());
    }
}

#[test]
fn request_is_refused_with_its_own_ids() {
    for (request, version, answer) in [
        (0x105, 0, 0x22),
        (0x105, 20, 0x22),
        (0x131, 20, 0x31),
        (0x8A, 0, 0x154),
        (0x8A, 22, 0x154),
        (0x132, 17, 0x155),
    ] {
        let request = frame(request, version, &body(192));
        let refusal = request.refusal(MediaStatus::OUT_OF_CHANNELS).unwrap().unwrap();
        assert_eq!((refusal.id(), refusal.version()), (MessageId(answer), version));
        let (request, refusal) = (request.channel().unwrap(), refusal.channel().unwrap());
        assert_eq!((refusal.party(), refusal.call()), (request.party(), request.call()));
        assert_eq!(refusal.status(), Ok(MediaStatus::OUT_OF_CHANNELS));
        assert_eq!(refusal.endpoint().unwrap().socket_address(), Some(SocketAddr::from(([0, 0, 0, 0], 0))));
    }
    assert!(Frame::keep_alive_ack().unwrap().refusal(MediaStatus::UNKNOWN).is_none());
}
