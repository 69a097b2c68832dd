//! Which index a packet gets, as scenarios of real senders and networks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Drop, Party, rtcp_packet, rtp_packet};
use pinhole_flow::slot::STREAMS;
use pinhole_flow::{StreamState, Suite};
use pinhole_srtp::kernels::{Kind, Outcome};
use pinhole_srtp::{Guess, Refused, Windows, inbound, outbound, rtp};

const SUITE: Suite = Suite::AesCm128HmacSha1_80;
const SSRC: u32 = 0x1234_5678;

fn pair() -> (Party, Party) {
    (Party::new(SUITE, 1, &[]), Party::new(SUITE, 1, &[]))
}

fn plain(sequence: u16) -> Vec<u8> {
    rtp_packet(SSRC, sequence, &sequence.to_be_bytes())
}

fn packet_at(sender: &Party, index: u64) -> Vec<u8> {
    sender.send(Kind::Rtp, &plain(index as u16), 12, SSRC, index).unwrap()
}

#[test]
fn a_stream_that_starts_near_65535_rolls_over() {
    let (mut sender, mut receiver) = pair();
    for sequence in [65534, 65535, 0, 1] {
        let packet = sender.protect(&plain(sequence)).unwrap();
        assert_eq!(receiver.unprotect(&packet).unwrap(), plain(sequence));
    }
    assert_eq!(receiver.streams[0].index, 0x1_0001);
}

#[test]
fn a_start_near_65535_with_the_first_packets_lost_is_followed() {
    let (mut sender, mut receiver) = pair();
    sender.protect(&plain(65534)).unwrap();
    sender.protect(&plain(65535)).unwrap();
    for sequence in [0, 1, 2] {
        let packet = sender.protect(&plain(sequence)).unwrap();
        assert_eq!(receiver.unprotect(&packet).unwrap(), plain(sequence));
    }
    assert_eq!(receiver.streams[0].index, 0x1_0002);
}

#[test]
fn a_first_packet_late_after_the_rollover_has_the_earlier_counter() {
    let (mut sender, mut receiver) = pair();
    let packets = [65535, 0, 1].map(|sequence| sender.protect(&plain(sequence)).unwrap());
    for at in [1, 2, 0] {
        assert!(receiver.unprotect(&packets[at]).is_ok());
    }
    assert_eq!(receiver.streams[0].index, 0x1_0001);
}

#[test]
fn the_rollover_counter_is_never_negative() {
    let mut streams = [StreamState::default(); STREAMS];
    let guess = |streams: &[StreamState], sequence| {
        Guess::rtp(streams, &rtp::parse(&rtp_packet(SSRC, sequence, &[])).unwrap())
    };
    guess(&streams, 5).commit(&mut streams, &mut Windows::default()).unwrap();
    assert_eq!(guess(&streams, 65535).index, 65535);
    assert_eq!(outbound::assign_rtp(&mut streams, SSRC, 65535), Err(Refused::TooOld));
}

#[test]
fn reordering_across_a_rollover_is_undone() {
    let (mut sender, mut receiver) = pair();
    let sent =
        [65532, 65533, 65534, 65535, 0, 1, 2, 3].map(|sequence| sender.protect(&plain(sequence)).unwrap());
    for at in [0, 4, 1, 6, 3, 2, 7, 5] {
        assert!(receiver.unprotect(&sent[at]).is_ok(), "packet {at}");
    }
    assert_eq!(receiver.streams[0].index, 0x1_0003);
}

#[test]
fn packets_sent_out_of_order_across_a_rollover_keep_their_counters() {
    let (mut sender, mut receiver) = pair();
    let mut indices = Vec::new();
    for sequence in [65533, 0, 65535, 1, 65534, 2] {
        let packet = sender.protect(&plain(sequence)).unwrap();
        assert!(receiver.unprotect(&packet).is_ok());
        indices.push(sender.streams[0].index);
    }
    assert_eq!(indices, [0xfffd, 0x1_0000, 0x1_0000, 0x1_0001, 0x1_0001, 0x1_0002]);
}

#[test]
fn a_burst_of_32767_lost_packets_is_survived() {
    let (sender, mut receiver) = pair();
    let mut index = 100;
    for _ in 0..5 {
        assert!(receiver.unprotect(&packet_at(&sender, index)).is_ok());
        index += 32767;
    }
    assert_eq!(receiver.streams[0].index >> 16, 2);
}

#[test]
fn a_change_of_ssrc_and_back_keeps_the_first_ones_counter() {
    let (mut sender, mut receiver) = pair();
    let mut relay = |ssrc, sequence| {
        let packet = sender.protect(&rtp_packet(ssrc, sequence, b"payload")).unwrap();
        receiver.unprotect(&packet).unwrap();
    };
    for sequence in [65534, 65535, 0, 1] {
        relay(0xa, sequence);
    }
    for sequence in 100..110 {
        relay(0xb, sequence);
    }
    relay(0xa, 2);
    assert_eq!((receiver.streams[0].ssrc, receiver.streams[0].index), (0xa, 0x1_0002));
    assert_eq!((receiver.streams[1].ssrc, receiver.streams[1].index), (0xb, 109));
}

#[test]
fn an_ssrc_that_comes_late_starts_its_own_stream() {
    let (mut sender, mut receiver) = pair();
    for sequence in 0..500 {
        receiver.unprotect(&sender.protect(&rtp_packet(1, sequence, &[])).unwrap()).unwrap();
    }
    let late = sender.protect(&rtp_packet(2, 40_000, b"late")).unwrap();
    assert_eq!(receiver.unprotect(&late).unwrap(), rtp_packet(2, 40_000, b"late"));
}

#[test]
fn one_ssrc_more_than_there_are_entries_is_refused() {
    let (_, mut receiver) = pair();
    let mut sender = Party::new(SUITE, 1, &[]);
    for ssrc in 0..STREAMS as u32 {
        receiver.unprotect(&sender.protect(&rtp_packet(ssrc, 1, &[])).unwrap()).unwrap();
    }
    let full = receiver.streams;
    let mut another = Party::new(SUITE, 1, &[]);
    let packet = another.protect(&rtp_packet(99, 1, &[])).unwrap();
    assert_eq!(receiver.unprotect(&packet), Err(Drop::State(Refused::SsrcLimit)));
    let packet = another.protect_rtcp(&rtcp_packet(99, None)).unwrap();
    assert_eq!(receiver.unprotect_rtcp(&packet), Err(Drop::State(Refused::SsrcLimit)));
    assert_eq!(receiver.streams, full);
    assert_eq!(sender.protect(&rtp_packet(99, 1, &[])), Err(Drop::State(Refused::SsrcLimit)));
    receiver.unprotect(&sender.protect(&rtp_packet(2, 2, &[])).unwrap()).unwrap();
}

#[test]
fn a_forged_packet_changes_no_state() {
    let (mut sender, mut receiver) = pair();
    receiver.unprotect(&sender.protect(&plain(7)).unwrap()).unwrap();
    let before = receiver.streams;
    for (ssrc, sequence) in [(SSRC, 8), (SSRC, 40_000), (SSRC, 65_535), (77, 1), (78, 60_000)] {
        let forged = rtp_packet(ssrc, sequence, &[0; 30]);
        assert_eq!(receiver.unprotect(&forged), Err(Drop::Crypto(Outcome::AuthFailed)));
        let forged = rtcp_packet(ssrc, Some(9));
        assert_eq!(receiver.unprotect_rtcp(&forged), Err(Drop::Crypto(Outcome::AuthFailed)));
    }
    assert_eq!(receiver.streams, before);
    for sequence in 8..28 {
        receiver.unprotect(&sender.protect(&plain(sequence)).unwrap()).unwrap();
    }
}

#[test]
fn a_forged_packet_of_a_known_ssrc_is_tried_once() {
    let mut streams = [StreamState::default(); STREAMS];
    let guess = |streams: &[StreamState], ssrc, sequence| {
        Guess::rtp(streams, &rtp::parse(&rtp_packet(ssrc, sequence, &[])).unwrap())
    };
    guess(&streams, SSRC, 5).commit(&mut streams, &mut Windows::default()).unwrap();
    assert_eq!(guess(&streams, SSRC, 6).again(&streams, None), None);
    assert_eq!(guess(&streams, 1, 40_000).again(&streams, None), None);
    let second = guess(&streams, 1, 3).again(&streams, None).unwrap();
    assert_eq!(second.index, 0x1_0003);
    assert_eq!(second.again(&streams, None), None);
}

#[test]
fn packets_of_one_burst_are_guessed_again_after_the_rollover_among_them_is_committed() {
    let mut streams = [StreamState::default(); STREAMS];
    let both = [40_000, 7_000].map(|s| Guess::rtp(&streams, &rtp::parse(&rtp_packet(SSRC, s, &[])).unwrap()));
    both[0].commit(&mut streams, &mut Windows::default()).unwrap();
    assert_eq!(both[1].index, 7_000);
    assert_eq!(both[1].again(&streams, None).unwrap().index, 7_000 + (1 << 16));
}

#[test]
fn a_new_key_keeps_the_rollover_counter() {
    let (sender, mut receiver) = pair();
    receiver.unprotect(&packet_at(&sender, 65_530)).unwrap();
    receiver.unprotect(&packet_at(&sender, 65_540)).unwrap();
    inbound::carry_over(&mut receiver.streams);
    let sender = Party::new(SUITE, 2, &[]);
    receiver.direction = common::direction(SUITE, 2, &[]);
    for index in [65_541, 65_542, 65_600] {
        receiver.unprotect(&packet_at(&sender, index)).unwrap();
    }
    assert_eq!(receiver.streams[0].index, 65_600);
}

#[test]
fn a_phone_that_resets_the_rollover_counter_with_a_new_key_is_followed() {
    let (sender, mut receiver) = pair();
    for index in [65_530, 65_540] {
        receiver.unprotect(&packet_at(&sender, index)).unwrap();
    }
    inbound::carry_over(&mut receiver.streams);
    let sender = Party::new(SUITE, 2, &[]);
    receiver.direction = common::direction(SUITE, 2, &[]);
    for index in [5, 6, 7] {
        receiver.unprotect(&packet_at(&sender, index)).unwrap();
    }
    assert_eq!(receiver.streams[0].index, 7);
    assert_eq!(receiver.unprotect(&packet_at(&sender, 6)), Err(Drop::State(Refused::Replayed)));
    let old_counter = receiver.unprotect(&packet_at(&sender, 65_541));
    assert_eq!(old_counter, Err(Drop::Crypto(Outcome::AuthFailed)), "the counter is settled now");
}

#[test]
fn the_srtcp_index_counts_from_zero_and_stops_at_its_end() {
    let mut streams = [StreamState::default(); STREAMS];
    for expected in [0, 1, 2] {
        assert_eq!(outbound::assign_rtcp(&mut streams, SSRC), Ok(1 << 31 | expected));
    }
    streams[0].rtcp_index = (1 << 31) - 2;
    assert_eq!(outbound::assign_rtcp(&mut streams, SSRC), Ok((1 << 32) - 1));
    assert_eq!(outbound::assign_rtcp(&mut streams, SSRC), Err(Refused::Exhausted));
}

#[test]
fn the_srtp_index_stops_at_its_end() {
    let mut streams = [StreamState::default(); STREAMS];
    outbound::assign_rtp(&mut streams, SSRC, 65_535).unwrap();
    streams[0].index = (1 << 48) - 1;
    assert_eq!(outbound::assign_rtp(&mut streams, SSRC, 0), Err(Refused::Exhausted));
    assert_eq!(streams[0].index, (1 << 48) - 1);
}

#[test]
fn nothing_is_accepted_beyond_the_last_index() {
    let (sender, mut receiver) = pair();
    let last = (1 << 48) - 1;
    receiver.unprotect(&packet_at(&sender, 65_534)).unwrap();
    receiver.streams[0].index = last - 1;
    receiver.unprotect(&packet_at(&sender, last)).unwrap();
    // A sender that counts on uses its first indices once more.
    assert_eq!(receiver.unprotect(&packet_at(&sender, 0)), Err(Drop::State(Refused::TooOld)));
    assert_eq!(receiver.streams[0].index, last);
}
