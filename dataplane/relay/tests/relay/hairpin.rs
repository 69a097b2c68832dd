//! Calls between two sessions of ours, within one burst.

use pinhole_flow::{DropCause, Suite};

use crate::support::bench::port;
use crate::support::packet::OUR_MACS;
use crate::support::*;

/// Two outside phones whose sessions meet on our inside address, as a call manager that stays out of the
/// media path has it: phone 1's session is slot 1, phone 2's slot 2.
fn call_between_phones(bench: &mut Bench, suites: [Suite; 2]) -> [Peer; 2] {
    let (first, peer) = secure(leg(OUTSIDE, 20_010, phone()), suites[0], 1);
    bench.open(1, session(first, leg(INSIDE, 30_010, ours_inside(2))));
    let (second, other) = secure(leg(OUTSIDE, 20_020, other_phone()), suites[1], 5);
    bench.open(2, session(second, leg(INSIDE, 30_020, ours_inside(1))));
    [peer, other]
}

fn other_phone() -> std::net::SocketAddrV4 {
    at("198.51.100.10:41000")
}

#[test]
fn srtp_goes_from_phone_to_phone_through_both_sessions_without_touching_the_inside_wire() {
    let mut bench = Bench::new();
    let [mut near, mut far] =
        call_between_phones(&mut bench, [Suite::AeadAes256Gcm, Suite::AesCm128HmacSha1_32]);
    for sequence in 1..4 {
        let out = bench.send(&Packet::new(phone(), ours_outside(1), &near.protect(&rtp(7, sequence))));
        let (port, sent) = out.one();
        assert_eq!((*port, sent.source, sent.destination), (OUTSIDE, ours_outside(2), other_phone()));
        assert_eq!(far.unprotect(&sent.payload), Some(rtp(7, sequence)));
        let out = bench.send(&Packet::new(other_phone(), ours_outside(2), &far.protect(&rtp(8, sequence))));
        let (_, sent) = out.one();
        assert_eq!((sent.source, sent.destination), (ours_outside(1), phone()));
        assert_eq!(near.unprotect(&sent.payload), Some(rtp(8, sequence)));
    }
    let out = bench.send(&Packet::new(next(phone()), next(ours_outside(1)), &near.protect(&rtcp(7))));
    assert_eq!(out.one().1.destination, next(other_phone()));
    assert_eq!(far.unprotect(&out.one().1.payload), Some(rtcp(7)));
    assert_eq!(bench.stats.hairpins, 7);
    let packets = |slot: usize, leg: usize| {
        let stats = bench.slots[slot].live[leg].stats;
        (stats.rx_packets, stats.passed_packets, stats.rtcp_rx, stats.rtcp_passed)
    };
    assert_eq!([packets(1, 0), packets(1, 1)], [(3, 3, 1, 1), (3, 3, 0, 0)]);
    assert_eq!([packets(2, 0), packets(2, 1)], [(3, 3, 0, 0), (3, 3, 1, 1)]);
}

#[test]
fn a_burst_mixes_hairpins_with_packets_for_the_wire() {
    let mut bench = Bench::new();
    let [mut near, mut far] =
        call_between_phones(&mut bench, [Suite::AeadAes128Gcm, Suite::AesCm256HmacSha1_80]);
    let mut third = bench.call(3, Suite::AesCm128HmacSha1_80);
    let frames: Vec<_> = (1..=10)
        .flat_map(|sequence| {
            [
                Packet::new(phone(), ours_outside(1), &near.protect(&rtp(7, sequence))).buffer(),
                Packet::new(phone(), ours_outside(3), &third.protect(&rtp(9, sequence))).buffer(),
                Packet::new(other_phone(), ours_outside(2), &far.protect(&rtp(8, sequence))).buffer(),
            ]
        })
        .collect();
    let out = bench.burst(OUTSIDE, frames);
    assert_eq!(out.sent.len(), 30);
    let to = |destination| out.sent.iter().filter(move |(_, packet)| packet.destination == destination);
    for (sequence, (_, packet)) in (1..).zip(to(other_phone())) {
        assert_eq!(far.unprotect(&packet.payload), Some(rtp(7, sequence)));
    }
    for (sequence, (_, packet)) in (1..).zip(to(phone())) {
        assert_eq!(near.unprotect(&packet.payload), Some(rtp(8, sequence)));
    }
    for (sequence, (_, packet)) in (1..).zip(to(inside())) {
        assert_eq!(packet.payload, rtp(9, sequence));
    }
}

#[test]
fn srtp_between_the_two_sessions_is_unprotected_and_learned_like_any_other() {
    let mut bench = Bench::new();
    let suite = Suite::AeadAes128Gcm;
    let (first, mut near) = secure(leg(OUTSIDE, 20_010, phone()), suite, 1);
    let (mut meeting, _) = secure(leg(INSIDE, 30_010, ours_inside(2)), suite, 20);
    bench.open(1, session(first, meeting));
    (meeting.local_rtp, meeting.local_rtcp) = (30_020, 30_021);
    // What one sends the other receives; the signalled address is wrong, so that it must be learned.
    (meeting.inbound, meeting.outbound) = (meeting.outbound, meeting.inbound);
    (meeting.remote_rtp, meeting.remote_rtcp) = (31_000, 31_001);
    let (second, mut far) = secure(leg(OUTSIDE, 20_020, other_phone()), suite, 5);
    bench.open(2, session(second, meeting));
    let out = bench.send(&Packet::new(phone(), ours_outside(1), &near.protect(&rtp(7, 1))));
    assert_eq!(far.unprotect(&out.one().1.payload), Some(rtp(7, 1)));
    assert_eq!(out.events.len(), 2);
    let out = bench.send(&Packet::new(other_phone(), ours_outside(2), &far.protect(&rtp(8, 1))));
    assert_eq!(near.unprotect(&out.one().1.payload), Some(rtp(8, 1)));
}

#[test]
fn a_hairpin_to_a_closed_pinhole_or_a_leg_that_expects_another_source_is_dropped() {
    let mut bench = Bench::new();
    let (first, mut near) = secure(leg(OUTSIDE, 20_010, phone()), Suite::AeadAes128Gcm, 1);
    bench.open(1, session(first, leg(INSIDE, 30_010, ours_inside(2))));
    let mut packet = |sequence| Packet::new(phone(), ours_outside(1), &near.protect(&rtp(7, sequence)));
    let (one, two) = (packet(1), packet(2));
    bench.refuses(&one, DropCause::ClosedPinhole, None);
    bench.call(2, Suite::AeadAes128Gcm);
    bench.refuses(&two, DropCause::WrongSource, Some((2, 1)));
}

#[test]
fn a_hairpin_to_what_is_no_media_port_is_dropped_and_not_given_to_the_kernel() {
    let mut bench = Bench::new();
    let (first, mut near) = secure(leg(OUTSIDE, 20_010, phone()), Suite::AeadAes128Gcm, 1);
    let signalling = std::net::SocketAddrV4::new(*ours_inside(1).ip(), 5060);
    bench.open(1, session(first, leg(INSIDE, 30_010, signalling)));
    let packet = Packet::new(phone(), ours_outside(1), &near.protect(&rtp(7, 1)));
    bench.refuses(&packet, DropCause::ClosedPinhole, None);
    assert_eq!(bench.stats.hairpins, 1);
}

#[test]
fn hairpins_arrive_also_where_the_port_has_a_vlan() {
    let tagged = pinhole_relay::RelayPort { vlan: Some(100), ..port(OUR_INSIDE, OUR_MACS[1]) };
    let mut bench = Bench::with_ports(vec![port(OUR_OUTSIDE, OUR_MACS[0]), tagged]);
    let [mut near, mut far] = call_between_phones(&mut bench, [Suite::AesCm128HmacSha1_80; 2]);
    for sequence in 1..3 {
        let out = bench.send(&Packet::new(phone(), ours_outside(1), &near.protect(&rtp(7, sequence))));
        let (to, sent) = out.one();
        assert_eq!((*to, sent.tag, sent.destination), (OUTSIDE, None, other_phone()));
        assert_eq!(far.unprotect(&sent.payload), Some(rtp(7, sequence)));
    }
}

#[test]
fn a_packet_that_would_hairpin_twice_is_dropped_as_a_loop() {
    let mut bench = Bench::new();
    // Session 1 passes to session 2, session 2 back to session 1, for ever.
    bench.open(1, session(leg(OUTSIDE, 20_010, phone()), leg(INSIDE, 30_010, ours_inside(2))));
    bench.open(2, session(leg(OUTSIDE, 20_020, ours_outside(1)), leg(INSIDE, 30_020, ours_inside(1))));
    let packet = Packet::new(phone(), ours_outside(1), &rtp(7, 1));
    bench.refuses(&packet, DropCause::HairpinLoop, Some((2, 1)));
    assert_eq!(bench.stats.hairpins, 1);
}
