//! Every value that the fact sheet (sccp 2.6.1 to 2.6.3) lists: messages, lengths of captured frames, places, numbers. What the
//! codec reads is what stands there; what it does not read it leaves as it came; and every frame leaves as it came.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::net::IpAddr;

use common::{body, bytes, frame, put, touch, word_at, words};
use pinhole_sccp::{
    Address, Algorithm, Channel, Family, FieldError, Frame, KeyBlock, Limits, MediaStatus, MediaType,
    MessageId, PortHandling, Registration, ResetKind, SecurityStatus,
};

/// A value of a message, as the codec tells it.
enum Value {
    /// Not read: no change of anything else touches it. So many bytes.
    Kept(usize),
    /// A word, little-endian.
    Word(fn(&Frame) -> Result<u32, FieldError>),
    /// Bytes as they are.
    Bytes(usize, fn(&Frame) -> Option<Vec<u8>>),
    /// An IPv4 address, in network order.
    V4(fn(&Frame) -> Option<IpAddr>),
    /// A key block.
    Block,
}

use Value::{Block, Bytes, Kept, V4, Word};

fn channel(frame: &Frame) -> Channel<&Frame> {
    frame.channel().expect("a message about media")
}

fn station(frame: &Frame) -> Registration<&Frame> {
    frame.registration().expect("a request of a station")
}

fn address(frame: &Frame) -> Option<IpAddr> {
    channel(frame).address().ok().and_then(Address::ip)
}

const CONFERENCE: Value = Word(|frame| channel(frame).conference());
const PARTY: Value = Word(|frame| channel(frame).party());
const CALL: Value = Word(|frame| channel(frame).call());
const STATUS: Value = Word(|frame| channel(frame).status().map(|status| status.0));
const MS: Value = Word(|frame| channel(frame).packet_ms());
const CODEC: Value = Word(|frame| channel(frame).codec());
const EVENT: Value = Word(|frame| channel(frame).telephone_event());
const FAMILY: Value = Word(|frame| channel(frame).family().map(Family::to_wire));
const IP: Value = V4(address);
const PORT: Value = Word(|frame| channel(frame).port().map(u32::from));
const RTCP: Value = Word(|frame| channel(frame).rtcp_port().map(u32::from));
const MEDIA: Value = Word(|frame| channel(frame).media_type().map(|MediaType(number)| number));
const NAME: Value = Bytes(16, |frame| Some(station(frame).device_name().ok()?.as_bytes().to_vec()));
const SECURITY: Value = Word(|frame| frame.call().unwrap().security().map(SecurityStatus::to_wire));
const WORD: Value = Kept(4);

/// A message in a range of header versions, with a length that was seen or is usual, and the values in it.
struct Row {
    id: u32,
    versions: std::ops::RangeInclusive<u32>,
    length: usize,
    /// Where an address type stands.
    kind: Option<usize>,
    values: &'static [(usize, Value)],
}

const PLAIN: std::ops::RangeInclusive<u32> = 0..=15;
const TYPED: std::ops::RangeInclusive<u32> = 17..=22;
const ALL: std::ops::RangeInclusive<u32> = 0..=22;

#[rustfmt::skip]
const SHEET: &[Row] = &[
    Row { id: 0x8A, versions: PLAIN, length: 116, kind: None, values: &[
        (0, CONFERENCE), (4, PARTY), (8, IP), (12, PORT), (16, MS), (20, CODEC), (24, WORD), (28, WORD), (32, WORD), (36, WORD),
        (40, CALL), (44, Block), (92, WORD), (96, WORD), (100, EVENT), (104, WORD), (108, WORD), (112, WORD),
    ] },
    Row { id: 0x8A, versions: TYPED, length: 132, kind: Some(8), values: &[
        (0, CONFERENCE), (4, PARTY), (12, IP), (28, PORT), (32, MS), (36, CODEC), (40, WORD), (44, WORD), (48, WORD), (52, WORD),
        (56, CALL), (60, Block), (108, WORD), (112, WORD), (116, EVENT), (120, WORD), (124, WORD), (128, WORD),
    ] },
    Row { id: 0x8A, versions: 20..=22, length: 168, kind: Some(8), values: &[(12, IP), (60, Block), (132, Kept(36))] },
    Row { id: 0x105, versions: 0..=10, length: 92, kind: None, values: &[
        (0, CONFERENCE), (4, PARTY), (8, MS), (12, CODEC), (16, WORD), (20, WORD), (24, CALL), (28, Block), (76, WORD), (80, WORD),
        (84, EVENT), (88, WORD),
    ] },
    Row { id: 0x105, versions: 11..=15, length: 116, kind: None, values: &[
        (0, CONFERENCE), (4, PARTY), (24, CALL), (28, Block), (92, WORD), (96, WORD), (100, IP), (104, PORT), (108, FAMILY),
        (112, WORD),
    ] },
    Row { id: 0x105, versions: TYPED, length: 128, kind: Some(100), values: &[
        (0, CONFERENCE), (4, PARTY), (8, MS), (12, CODEC), (24, CALL), (28, Block), (84, EVENT), (104, IP), (120, PORT), (124, FAMILY),
    ] },
    Row { id: 0x105, versions: 20..=22, length: 168, kind: Some(100), values: &[(104, IP), (120, PORT), (128, WORD), (132, Kept(36))] },
    Row { id: 0x22, versions: PLAIN, length: 16, kind: None, values: &[(0, STATUS), (4, IP), (8, PORT), (12, PARTY)] },
    Row { id: 0x22, versions: PLAIN, length: 20, kind: None, values: &[(0, STATUS), (4, IP), (8, PORT), (12, PARTY), (16, CALL)] },
    Row { id: 0x22, versions: TYPED, length: 36, kind: Some(4), values: &[(0, STATUS), (8, IP), (24, PORT), (28, PARTY), (32, CALL)] },
    Row { id: 0x31, versions: PLAIN, length: 20, kind: None, values: &[(0, STATUS), (4, IP), (8, PORT), (12, PARTY), (16, CALL)] },
    Row { id: 0x31, versions: TYPED, length: 36, kind: Some(4), values: &[(0, STATUS), (8, IP), (24, PORT), (28, PARTY), (32, CALL)] },
    Row { id: 0x154, versions: PLAIN, length: 24, kind: None, values: &[
        (0, CONFERENCE), (4, PARTY), (8, CALL), (12, IP), (16, PORT), (20, STATUS),
    ] },
    Row { id: 0x154, versions: TYPED, length: 44, kind: Some(12), values: &[
        (0, CONFERENCE), (4, PARTY), (8, CALL), (16, IP), (32, PORT), (36, STATUS), (40, WORD),
    ] },
    Row { id: 0x154, versions: TYPED, length: 48, kind: Some(12), values: &[(16, IP), (32, PORT), (36, STATUS), (40, WORD), (44, WORD)] },
    Row { id: 0x155, versions: PLAIN, length: 28, kind: None, values: &[
        (0, CONFERENCE), (4, PARTY), (8, CALL), (12, IP), (16, PORT), (20, STATUS), (24, WORD),
    ] },
    Row { id: 0x155, versions: TYPED, length: 44, kind: Some(12), values: &[
        (0, CONFERENCE), (4, PARTY), (8, CALL), (16, IP), (32, PORT), (36, STATUS), (40, WORD),
    ] },
    Row { id: 0x2A, versions: PLAIN, length: 20, kind: None, values: &[(0, CONFERENCE), (4, PARTY), (8, IP), (12, PORT), (16, CALL)] },
    Row { id: 0x2A, versions: TYPED, length: 36, kind: Some(8), values: &[(0, CONFERENCE), (4, PARTY), (12, IP), (28, PORT), (32, CALL)] },
    Row { id: 0x45, versions: PLAIN, length: 24, kind: None, values: &[
        (0, CONFERENCE), (4, CALL), (8, PARTY), (12, IP), (16, PORT), (20, RTCP),
    ] },
    Row { id: 0x45, versions: TYPED, length: 44, kind: Some(12), values: &[
        (0, CONFERENCE), (4, CALL), (8, PARTY), (16, IP), (32, PORT), (36, RTCP), (40, MEDIA),
    ] },
    Row { id: 0x14B, versions: ALL, length: 24, kind: None, values: &[(0, CONFERENCE), (4, CALL), (8, PARTY), (16, FAMILY)] },
    Row { id: 0x14C, versions: ALL, length: 12, kind: None, values: &[(0, CONFERENCE), (4, CALL), (8, PARTY)] },
    Row { id: 0x101, versions: PLAIN, length: 36, kind: None, values: &[
        (0, CONFERENCE), (4, PARTY), (8, IP), (12, PORT), (16, MS), (20, CODEC), (24, WORD), (28, WORD), (32, CALL),
    ] },
    Row { id: 0x101, versions: TYPED, length: 52, kind: Some(8), values: &[(0, CONFERENCE), (4, PARTY), (12, IP), (28, PORT)] },
    Row { id: 0x102, versions: PLAIN, length: 44, kind: None, values: &[(8, IP), (12, PORT)] },
    Row { id: 0x102, versions: TYPED, length: 60, kind: Some(8), values: &[(12, IP), (28, PORT)] },
    Row { id: 0x95, versions: PLAIN, length: 8, kind: None, values: &[(0, IP), (4, WORD)] },
    Row { id: 0x95, versions: TYPED, length: 24, kind: Some(0), values: &[(4, IP), (20, WORD)] },
    Row { id: 0x96, versions: PLAIN, length: 8, kind: None, values: &[(0, IP), (4, WORD)] },
    Row { id: 0x96, versions: TYPED, length: 24, kind: Some(0), values: &[(4, IP), (20, WORD)] },
    Row { id: 0x131, versions: 0..=11, length: 164, kind: None, values: &[
        (0, CONFERENCE), (4, PARTY), (8, CODEC), (12, WORD), (16, CALL), (20, WORD), (24, WORD), (28, WORD), (32, Kept(76)), (108, Block),
        (156, WORD), (160, WORD),
    ] },
    Row { id: 0x131, versions: 12..=15, length: 172, kind: None, values: &[(16, CALL), (108, Block), (164, IP), (168, PORT)] },
    Row { id: 0x131, versions: TYPED, length: 192, kind: Some(164), values: &[
        (0, CONFERENCE), (4, PARTY), (8, CODEC), (16, CALL), (32, Kept(76)), (108, Block), (168, IP), (184, PORT), (188, FAMILY),
    ] },
    Row { id: 0x132, versions: PLAIN, length: 168, kind: None, values: &[
        (0, CONFERENCE), (4, PARTY), (8, CODEC), (12, IP), (16, PORT), (20, CALL), (24, WORD), (28, WORD), (32, WORD), (36, Kept(76)),
        (112, Block), (160, WORD), (164, WORD),
    ] },
    Row { id: 0x132, versions: TYPED, length: 184, kind: Some(12), values: &[
        (0, CONFERENCE), (4, PARTY), (8, CODEC), (16, IP), (32, PORT), (36, CALL), (40, WORD), (44, WORD), (48, WORD), (52, Kept(76)),
        (128, Block), (176, WORD), (180, WORD),
    ] },
    Row { id: 0x8B, versions: ALL, length: 16, kind: None, values: &[(0, CONFERENCE), (4, PARTY), (8, CALL), (12, HANDLING)] },
    Row { id: 0x106, versions: ALL, length: 16, kind: None, values: &[(0, CONFERENCE), (4, PARTY), (8, CALL), (12, HANDLING)] },
    Row { id: 0x133, versions: ALL, length: 16, kind: None, values: &[(0, CONFERENCE), (4, PARTY), (8, CALL), (12, HANDLING)] },
    Row { id: 0x136, versions: ALL, length: 16, kind: None, values: &[(0, CONFERENCE), (4, PARTY), (8, CALL), (12, HANDLING)] },
    Row { id: 0x01, versions: ALL, length: 172, kind: None, values: &[
        (0, NAME), (16, Word(|frame| station(frame).user())), (20, Word(|frame| station(frame).instance())),
        (24, V4(|frame| station(frame).ipv4().ok().map(IpAddr::V4))), (28, Word(|frame| station(frame).device_type())),
        (32, Word(|frame| station(frame).max_streams())), (36, Word(|frame| station(frame).active_streams())),
        (40, Bytes(1, |frame| Some(vec![station(frame).protocol().ok()?]))),
        (41, Bytes(3, |frame| Some(station(frame).features().ok()?.to_vec()))), (44, WORD), (48, WORD), (52, Kept(12)), (64, WORD),
        (68, WORD), (72, Bytes(16, |frame| Some(station(frame).ipv6().ok()?.octets().to_vec()))), (88, WORD), (92, Kept(32)),
        (124, Kept(48)),
    ] },
    // A 7936; a 6961 and a 7960; a 7941.
    Row { id: 0x01, versions: ALL, length: 44, kind: None, values: &[(0, NAME), (24, V4(|frame| station(frame).ipv4().ok().map(IpAddr::V4)))] },
    Row { id: 0x01, versions: ALL, length: 68, kind: None, values: &[(0, NAME), (44, WORD), (48, WORD), (52, Kept(12)), (64, WORD)] },
    Row { id: 0x01, versions: ALL, length: 124, kind: None, values: &[(0, NAME), (52, Kept(12)), (92, Kept(32))] },
    Row { id: 0x29, versions: ALL, length: 52, kind: None, values: &[
        (0, NAME), (16, Word(|frame| station(frame).user())), (20, Word(|frame| station(frame).instance())),
        (24, V4(|frame| station(frame).ipv4().ok().map(IpAddr::V4))), (28, Word(|frame| station(frame).device_type())),
        (32, Bytes(16, |frame| Some(station(frame).ipv6().ok()?.octets().to_vec()))), (48, WORD),
    ] },
    Row { id: 0x8000, versions: ALL, length: 36, kind: None, values: &[
        (0, NAME), (24, V4(|frame| station(frame).ipv4().ok().map(IpAddr::V4))), (28, Word(|frame| station(frame).device_type())),
        (32, Word(|frame| station(frame).max_streams())),
    ] },
    Row { id: 0x02, versions: ALL, length: 4, kind: None, values: &[(0, PORT)] },
    Row { id: 0x20, versions: ALL, length: 92, kind: None, values: &[
        (0, Word(Frame::alarm_severity)), (84, WORD), (88, V4(|frame| frame.alarm_address().ok().map(IpAddr::V4))),
    ] },
    Row { id: 0x8F, versions: ALL, length: 384, kind: None, values: &[(376, SECURITY), (380, WORD)] },
    Row { id: 0x14A, versions: ALL, length: 120, kind: None, values: &[(24, SECURITY), (28, Kept(92))] },
    Row { id: 0x2E, versions: ALL, length: 120, kind: None, values: &DATA },
    Row { id: 0x2F, versions: ALL, length: 120, kind: None, values: &DATA },
    Row { id: 0x11E, versions: ALL, length: 120, kind: None, values: &DATA },
    Row { id: 0x41, versions: ALL, length: 120, kind: None, values: &DATA_VERSION1 },
    Row { id: 0x42, versions: ALL, length: 120, kind: None, values: &DATA_VERSION1 },
    Row { id: 0x13F, versions: ALL, length: 120, kind: None, values: &DATA_VERSION1 },
    Row { id: 0x81, versions: ALL, length: 20, kind: None, values: &[
        (0, Word(|frame| frame.register_ack().map(|ack| ack.keep_alive_s))), (4, Kept(8)),
        (12, Word(|frame| frame.register_ack().map(|ack| ack.backup_keep_alive_s))),
        (16, Bytes(1, |frame| Some(vec![frame.register_ack().ok()?.protocol]))),
        (17, Bytes(3, |frame| Some(frame.register_ack().ok()?.features.to_vec()))),
    ] },
    Row { id: 0x9F, versions: ALL, length: 4, kind: None, values: &[(0, Word(|frame| frame.reset_kind().map(ResetKind::to_wire)))] },
    Row { id: 0x11B, versions: ALL, length: 4, kind: None, values: &[(0, Word(Frame::token_wait_s))] },
    // Lengths of captured frames, whose places are not listed.
    Row { id: 0x157, versions: ALL, length: 2_408 - 12, kind: None, values: &[] },
    Row { id: 0x15A, versions: ALL, length: 2_048, kind: None, values: &[] },
];

const HANDLING: Value = Word(|frame| {
    channel(frame).port_handling().map(|handling| match handling {
        PortHandling::Close => 0,
        PortHandling::Keep => 1,
        PortHandling::Other(number) => number,
    })
});
const DATA: [(usize, Value); 4] = [
    (0, Word(|frame| frame.user_data().unwrap().application())),
    (4, Word(|frame| frame.user_data().unwrap().line())),
    (8, Word(|frame| frame.user_data().unwrap().call())),
    (12, Word(|frame| frame.user_data().unwrap().transaction())),
];
const DATA_VERSION1: [(usize, Value); 9] = [
    (0, Word(|frame| frame.user_data().unwrap().application())),
    (4, Word(|frame| frame.user_data().unwrap().line())),
    (8, Word(|frame| frame.user_data().unwrap().call())),
    (12, Word(|frame| frame.user_data().unwrap().transaction())),
    (20, Word(|frame| frame.user_data().unwrap().sequence())),
    (24, WORD),
    (28, WORD),
    (32, WORD),
    (36, WORD),
];

/// The key block of sccp 2.6.2, no two bytes of key and salt alike.
fn block() -> [u8; 48] {
    let mut block = [0; 48];
    put(&mut block, 0, &[2, 0, 0, 0, 16, 0, 14, 0]);
    (8..38).for_each(|at| block[at] = 0xC0 + at as u8);
    put(&mut block, 40, &[1, 0, 0, 0, 24, 0, 0, 0]);
    block
}

/// A body of a row: another word in each place, and valid what has to be valid.
fn filled(row: &Row) -> Vec<u8> {
    let mut filled = body(row.length);
    if let Some(at) = row.kind {
        put(&mut filled, at, &[0; 4]);
    }
    for (at, value) in row.values {
        match value {
            Block => put(&mut filled, *at, &block()),
            Bytes(16, _) if *at == 0 => put(&mut filled, 0, b"SEP0010DB0000012"),
            _ => {}
        }
    }
    filled
}

#[test]
fn every_value_of_the_sheet_is_read_as_it_stands() {
    for row in SHEET {
        for version in row.versions.clone() {
            let body = filled(row);
            let frame = frame(row.id, version, &body);
            for (at, value) in row.values {
                let shown = format!("{} bytes of {frame:?} at {at}", row.length);
                match value {
                    Kept(_) => {}
                    Word(read) => assert_eq!(read(&frame), Ok(word_at(*at)), "{shown}"),
                    Bytes(length, read) => {
                        assert_eq!(read(&frame), Some(body[*at..at + length].to_vec()), "{shown}")
                    }
                    V4(read) => {
                        let bytes: [u8; 4] = body[*at..at + 4].try_into().unwrap();
                        assert_eq!(read(&frame), Some(IpAddr::from(bytes)), "{shown}");
                    }
                    Block => {
                        let Ok(KeyBlock::Keyed(found)) = channel(&frame).encryption() else {
                            panic!("{shown}")
                        };
                        let block = block();
                        assert_eq!(found.algorithm, Algorithm::AesCm128HmacSha1_80, "{shown}");
                        assert_eq!(found.key.expose()[..], block[8..24], "{shown}");
                        assert_eq!(found.salt.expose()[..], block[24..38], "{shown}");
                        assert_eq!((found.mki, found.derivation_rate), (true, 24), "{shown}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_frame_of_the_sheet_leaves_as_it_came() {
    for row in SHEET {
        for version in row.versions.clone() {
            let wire = bytes(row.id, version, &filled(row));
            let frame = Frame::parse(&wire, &Limits::default()).unwrap();
            touch::read(&frame);
            assert_eq!(frame.as_bytes(), wire, "{frame:?}");
        }
    }
}

#[test]
fn values_that_are_not_read_stay_whatever_is_changed() {
    for row in SHEET {
        for version in row.versions.clone() {
            let original = frame(row.id, version, &filled(row));
            touch::change(&original, |field, changed, result| {
                if result.is_err() || matches!(field, "texts" | "data") {
                    return;
                }
                for (at, value) in row.values {
                    if let Kept(length) = value {
                        let place = *at..at + length;
                        assert_eq!(
                            changed.body()[place.clone()],
                            original.body()[place],
                            "{field} of {original:?}"
                        );
                    }
                }
            });
        }
    }
}

#[test]
fn numbers_of_the_sheet_have_their_meaning() {
    let statuses = [
        (0, MediaStatus::OK),
        (1, MediaStatus::UNKNOWN),
        (2, MediaStatus::OUT_OF_CHANNELS),
        (8, MediaStatus::OUT_OF_SOCKETS),
        (11, MediaStatus::FAMILY_UNAVAILABLE),
    ];
    for (number, status) in statuses {
        assert_eq!(channel(&frame(0x22, 0, &words(20, &[(0, number)]))).status(), Ok(status));
    }
    for number in 0..=12 {
        let read = frame(0x154, 17, &words(40, &[(36, number)]));
        assert_eq!(channel(&read).status(), Ok(MediaStatus(number)));
    }
    for (number, handling) in [(0, PortHandling::Close), (1, PortHandling::Keep), (2, PortHandling::Other(2))]
    {
        assert_eq!(channel(&frame(0x8B, 0, &words(16, &[(12, number)]))).port_handling(), Ok(handling));
    }
    for (number, family) in [(0, Family::V4), (1, Family::V6), (2, Family::Both), (3, Family::Other(3))] {
        assert_eq!(channel(&frame(0x105, 17, &words(128, &[(124, number)]))).family(), Ok(family));
        assert_eq!(family.to_wire(), number);
    }
    let statuses = [
        SecurityStatus::Unknown,
        SecurityStatus::NotAuthenticated,
        SecurityStatus::Authenticated,
        SecurityStatus::Encrypted,
    ];
    for (number, status) in (0..).zip(statuses) {
        for (id, length, at) in [(0x8F, 384, 376), (0x14A, 28, 24)] {
            let read = frame(id, 17, &words(length, &[(at, number)]));
            assert_eq!(read.call().unwrap().security(), Ok(status));
        }
    }
    let kinds = [ResetKind::Reset, ResetKind::Restart, ResetKind::ApplyConfig];
    for (number, kind) in (1..).zip(kinds) {
        assert_eq!(frame(0x9F, 0, &words(4, &[(0, number)])).reset_kind(), Ok(kind));
    }
}

#[test]
fn messages_of_the_sheet_have_their_names() {
    for (id, name) in [
        (0x0000, "KeepAlive"),
        (0x0001, "Register"),
        (0x0002, "IpPort"),
        (0x0011, "MediaPortList"),
        (0x0020, "Alarm"),
        (0x0022, "OpenReceiveChannelAck"),
        (0x0027, "Unregister"),
        (0x0029, "RegisterTokenReq"),
        (0x002A, "MediaTransmissionFailure"),
        (0x002E, "DeviceToUserData"),
        (0x0031, "OpenMultiMediaReceiveChannelAck"),
        (0x0044, "UpdateCapabilitiesV3"),
        (0x0045, "PortResponse"),
        (0x0081, "RegisterAck"),
        (0x008A, "StartMediaTransmission"),
        (0x008B, "StopMediaTransmission"),
        (0x008F, "CallInfo"),
        (0x0093, "ConfigStat"),
        (0x0095, "StartSessionTransmission"),
        (0x0096, "StopSessionTransmission"),
        (0x009D, "RegisterReject"),
        (0x009E, "ServerRes"),
        (0x009F, "Reset"),
        (0x0100, "KeepAliveAck"),
        (0x0101, "StartMulticastMediaReception"),
        (0x0102, "StartMulticastMediaTransmission"),
        (0x0105, "OpenReceiveChannel"),
        (0x0106, "CloseReceiveChannel"),
        (0x0118, "UnregisterAck"),
        (0x011B, "RegisterTokenReject"),
        (0x011E, "UserToDeviceData"),
        (0x012F, "ServiceURLStat"),
        (0x0131, "OpenMultiMediaReceiveChannel"),
        (0x0132, "StartMultiMediaTransmission"),
        (0x0133, "StopMultiMediaTransmission"),
        (0x0136, "CloseMultiMediaReceiveChannel"),
        (0x013F, "UserToDeviceDataVersion1"),
        (0x0142, "ConfigStatDynamic"),
        (0x0148, "ServiceURLStatDynamic"),
        (0x014A, "CallInfoDynamic"),
        (0x014B, "PortRequest"),
        (0x014C, "PortClose"),
        (0x0154, "StartMediaTransmissionAck"),
        (0x0155, "StartMultiMediaTransmissionAck"),
    ] {
        assert_eq!(MessageId(id).name(), Some(name));
    }
    for id in [0x157, 0x15A, 0x8000] {
        assert!(MessageId(id).name().is_some(), "{id:#x}");
    }
}
