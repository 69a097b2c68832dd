//! Hostile RTP and RTCP headers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{rtcp_packet, rtp_packet, rtp_packet_with};
use pinhole_flow::Suite;
use pinhole_srtp::rtp::Malformed;
use pinhole_srtp::{Guess, rtcp, rtp};
use proptest::prelude::*;

#[test]
fn the_fields_of_an_rtp_header_are_read() {
    let mut packet = rtp_packet_with(0xcafe_babe, 0x1234, 2, Some(3), b"payload");
    packet[1] = 0x80 | 8;
    let header = rtp::parse(&packet).unwrap();
    assert_eq!(
        (header.ssrc, header.sequence, header.payload_type, header.marker),
        (0xcafe_babe, 0x1234, 8, true)
    );
    assert_eq!(header.timestamp, 0x1234 * 160);
    assert_eq!(&packet[header.payload_at..], b"payload");
}

#[test]
fn packets_of_0_to_64_bytes_are_parsed_or_refused_without_a_panic() {
    for len in 0..=64 {
        for first in 0..=255u8 {
            for fill in [0, 0x7f, 0xff] {
                let mut packet = vec![fill; len];
                if let Some(byte) = packet.first_mut() {
                    *byte = first;
                }
                if let Ok(header) = rtp::parse(&packet) {
                    assert!(header.payload_at <= len);
                    let _ = header.padding_fits(&packet);
                }
                let _ = rtcp::parse(&packet);
                let _ = rtcp::check_compound(&packet);
            }
        }
    }
}

#[test]
fn fifteen_csrcs_that_are_not_there_are_refused() {
    let mut packet = rtp_packet(1, 1, &[0; 59]);
    packet[0] = 0x8f;
    assert_eq!(rtp::parse(&packet), Err(Malformed::Csrc));
    packet.push(0);
    assert_eq!(rtp::parse(&packet).unwrap().payload_at, 72);
}

#[test]
fn a_header_extension_past_the_end_is_refused() {
    for words in [2, 100, u16::MAX] {
        let mut packet = rtp_packet_with(1, 1, 0, Some(1), b"abc");
        packet[14..16].copy_from_slice(&words.to_be_bytes());
        assert_eq!(rtp::parse(&packet), Err(Malformed::Extension));
    }
    let mut packet = rtp_packet(1, 1, b"abc");
    packet[0] |= 0x10;
    assert_eq!(rtp::parse(&packet), Err(Malformed::Extension));
}

#[test]
fn another_version_is_refused() {
    for version in [0, 1, 3] {
        let mut packet = rtp_packet(1, 1, b"abc");
        packet[0] = version << 6;
        assert_eq!(rtp::parse(&packet), Err(Malformed::Version));
        let mut packet = rtcp_packet(1, None);
        packet[0] = version << 6;
        assert_eq!(rtcp::parse(&packet), Err(Malformed::Version));
    }
}

#[test]
fn padding_longer_than_the_payload_is_refused() {
    for (count, fits) in [(0, false), (1, true), (4, true), (5, false), (255, false)] {
        let mut packet = rtp_packet(1, 1, &[0, 0, 0, count]);
        packet[0] |= 0x20;
        assert_eq!(rtp::parse(&packet).unwrap().padding_fits(&packet).is_ok(), fits, "{count}");
    }
    let mut packet = rtp_packet(1, 1, &[]);
    packet[0] |= 0x20;
    assert_eq!(rtp::parse(&packet).unwrap().padding_fits(&packet), Err(Malformed::Padding));
}

#[test]
fn rtcp_is_told_from_rtp_by_its_second_byte() {
    assert!(rtcp::is_rtcp(&rtcp_packet(1, None)));
    let mut packet = rtp_packet(1, 1, b"");
    for payload_type in (0..64).chain(96..128) {
        for marker in [0, 0x80] {
            packet[1] = marker | payload_type;
            assert!(!rtcp::is_rtcp(&packet));
        }
    }
    assert!(!rtcp::is_rtcp(&[0x80]));
}

#[test]
fn a_compound_packet_must_be_made_of_whole_packets() {
    let packet = rtcp_packet(1, Some(3));
    assert_eq!(rtcp::check_compound(&packet), Ok(()));
    for len in 0..packet.len() {
        // The first packet alone is a compound packet too.
        assert_eq!(rtcp::check_compound(&packet[..len]).is_ok(), len == 28, "{len}");
    }
    let mut padded = packet.clone();
    padded[0] |= 0x20;
    assert_eq!(rtcp::check_compound(&padded), Err(Malformed::Padding));
    let mut long = packet;
    long[3] = 200;
    assert_eq!(rtcp::parse(&long), Err(Malformed::Length));
}

#[test]
fn srtcp_shorter_than_its_trailer_is_refused() {
    for suite in Suite::ALL {
        let direction = common::direction(suite, 1, &[1, 2, 3]);
        let shortest = 8 + direction.overhead(pinhole_srtp::kernels::Kind::Rtcp);
        for len in 8..shortest + 8 {
            let mut packet = vec![0; len];
            packet[..4].copy_from_slice(&[0x80, 201, 0, 1]);
            let header = rtcp::parse(&packet).unwrap();
            assert_eq!(Guess::rtcp(&direction, &packet, &header).is_some(), len >= shortest);
        }
    }
}

proptest! {
    #[test]
    fn random_packets_never_panic_and_never_reach_past_their_end(packet in prop::collection::vec(any::<u8>(), 0..1600)) {
        if let Ok(header) = rtp::parse(&packet) {
            prop_assert!(header.payload_at >= 12 && header.payload_at <= packet.len());
            let _ = header.padding_fits(&packet);
        }
        if let Ok(header) = rtcp::parse(&packet) {
            prop_assert!(header.first_len >= 8 && header.first_len <= packet.len());
        }
        let _ = rtcp::check_compound(&packet);
    }

    #[test]
    fn the_payload_starts_behind_csrcs_and_extension(
        csrcs in 0u8..16, words in prop::option::of(0u16..50), payload in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let packet = rtp_packet_with(1, 1, csrcs, words, &payload);
        let header = rtp::parse(&packet).unwrap();
        prop_assert_eq!(&packet[header.payload_at..], &payload[..]);
    }
}
