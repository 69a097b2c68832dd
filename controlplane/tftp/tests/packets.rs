//! Packets are what RFC 1350, 2347, 2348 and 2349 say.

use pinhole_tftp::{BLOCK_MAX, BLOCK_MIN, ErrorCode, Malformed, Options, Packet, Request};
use proptest::prelude::*;

#[test]
fn a_request_of_the_rfc_is_read() {
    let request =
        b"\x00\x01SEP001122334455.cnf.xml.sgn\0OcTet\0blksize\x001432\0TSIZE\x000\0timeout\x001\0x\0y\0";
    let options = Options { block_size: Some(1432), transfer_size: Some(0), timeout: Some(1) };
    let name = b"SEP001122334455.cnf.xml.sgn";
    assert_eq!(Packet::parse(request), Ok(Packet::Read(Request { name, is_octet: true, options })));
}

#[test]
fn options_out_of_range_are_passed_over() {
    for (option, value) in
        [("blksize", "7"), ("blksize", "65465"), ("blksize", "+9"), ("timeout", "0"), ("timeout", "256")]
    {
        let request = format!("\0\x01a\0octet\0{option}\0{value}\0");
        let Ok(Packet::Read(read)) = Packet::parse(request.as_bytes()) else { unreachable!() };
        assert!(read.options.is_empty(), "{option} {value}");
    }
}

#[test]
fn what_is_no_packet_is_told_apart() {
    let long_name = [&b"\0\x01"[..], &[b'a'; 129], b"\0octet\0"].concat();
    let long_request = [&b"\0\x01a\0octet\0"[..], &[b'a'; 510]].concat();
    for (datagram, malformed) in [
        (&b""[..], Malformed::Truncated),
        (b"\0", Malformed::Truncated),
        (b"\0\x09", Malformed::Operation(9)),
        (b"\0\x01name", Malformed::Truncated),
        (b"\0\x01name\0octet", Malformed::Truncated),
        (b"\0\x01\0octet\0", Malformed::Name),
        (b"\0\x04\x01", Malformed::Truncated),
        (&long_name, Malformed::Name),
        (&long_request, Malformed::RequestTooLong),
    ] {
        assert_eq!(Packet::parse(datagram), Err(malformed), "{datagram:?}");
    }
}

#[test]
fn an_error_without_its_last_zero_is_read() {
    let packet = Packet::Error { code: ErrorCode::NotFound, message: b"gone" };
    assert_eq!(Packet::parse(b"\0\x05\0\x01gone"), Ok(packet.clone()));
    assert_eq!(Packet::parse(&packet.encode()), Ok(packet));
}

fn options() -> impl Strategy<Value = Options> {
    (
        proptest::option::of(BLOCK_MIN..=BLOCK_MAX),
        proptest::option::of(0..u64::MAX / 2),
        proptest::option::of(1..=u8::MAX),
    )
        .prop_map(|(block_size, transfer_size, timeout)| Options { block_size, transfer_size, timeout })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        name in proptest::collection::vec(1..=255u8, 1..128),
        options in options(),
        block in any::<u16>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let request = Request { name: &name, is_octet: true, options };
        for packet in [
            Packet::Read(request.clone()),
            Packet::Write(request),
            Packet::Data { block, bytes: &bytes },
            Packet::Acknowledge { block },
            Packet::Options(options),
        ] {
            let datagram = packet.encode();
            prop_assert_eq!(Packet::parse(&datagram), Ok(packet));
        }
    }

    #[test]
    fn any_bytes_are_a_packet_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(packet) = Packet::parse(&bytes) {
            let again = packet.encode();
            prop_assert_eq!(Packet::parse(&again).map(|packet| packet.encode()), Ok(again.clone()));
        }
    }
}
