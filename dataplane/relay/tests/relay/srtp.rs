//! SRTP on either leg, RTP and RTCP, separate or muxed.

use pinhole_flow::{DropCause, Leg, LegFlags, MasterKey, Mki, Suite};

use crate::support::bench::{GRACE, port};
use crate::support::packet::OUR_MACS;
use crate::support::peer::master;
use crate::support::*;

/// Sends a packet of the phone in, and returns what the inside phone gets.
fn inwards(bench: &mut Bench, peer: &mut Peer, packet: &[u8]) -> Vec<u8> {
    let out = bench.send(&Packet::new(phone(), ours_outside(1), &peer.protect(packet)));
    let (port, sent) = out.one();
    assert_eq!((*port, sent.source, sent.destination), (INSIDE, ours_inside(1), inside()));
    sent.payload.clone()
}

/// Sends a packet of the inside phone in, and returns what the phone gets.
fn outwards(bench: &mut Bench, packet: &[u8]) -> Vec<u8> {
    let out = bench.send(&Packet::new(inside(), ours_inside(1), packet));
    let (port, sent) = out.one();
    assert_eq!((*port, sent.source, sent.destination), (OUTSIDE, ours_outside(1), phone()));
    sent.payload.clone()
}

#[test]
fn every_suite_is_translated_both_ways() {
    for suite in Suite::ALL {
        let mut bench = Bench::new();
        let mut peer = bench.call(1, suite);
        // Across a rollover of the sequence number in both directions.
        for n in 0..8u16 {
            let sequence = 65_532u16.wrapping_add(n);
            assert_eq!(inwards(&mut bench, &mut peer, &rtp(7, sequence)), rtp(7, sequence), "{suite:?}");
            let sealed = outwards(&mut bench, &rtp(8, sequence));
            assert_eq!(sealed.len(), rtp(8, sequence).len() + suite.rtp_tag_len());
            assert_ne!(sealed[12..40], rtp(8, sequence)[12..40]);
            assert_eq!(peer.unprotect(&sealed), Some(rtp(8, sequence)), "{suite:?}");
        }
    }
}

#[test]
fn every_suite_carries_rtcp_both_ways() {
    for suite in Suite::ALL {
        let mut bench = Bench::new();
        let mut peer = bench.call(1, suite);
        for _ in 0..3 {
            let sealed = peer.protect(&rtcp(7));
            let out = bench.send(&Packet::new(next(phone()), next(ours_outside(1)), &sealed));
            let (port, sent) = out.one();
            assert_eq!(
                (*port, sent.source, sent.destination),
                (INSIDE, next(ours_inside(1)), next(inside()))
            );
            assert_eq!(sent.payload, rtcp(7));
            let out = bench.send(&Packet::new(next(inside()), next(ours_inside(1)), &rtcp(8)));
            let (port, sent) = out.one();
            assert_eq!(
                (*port, sent.source, sent.destination),
                (OUTSIDE, next(ours_outside(1)), next(phone()))
            );
            assert_eq!(peer.unprotect(&sent.payload), Some(rtcp(8)), "{suite:?}");
        }
        let stats = bench.slots[1]
            .live
            .map(|live| (live.stats.rtcp_rx, live.stats.rtcp_passed, live.stats.rx_packets));
        assert_eq!(stats, [(3, 3, 0), (3, 3, 0)]);
    }
}

#[test]
fn a_burst_of_all_suites_and_directions_is_translated_at_once() {
    let mut bench = Bench::new();
    let mut peers: Vec<_> =
        Suite::ALL.into_iter().zip(1..).map(|(suite, slot)| bench.call(slot, suite)).collect();
    let mut frames = Vec::new();
    for (peer, slot) in peers.iter_mut().zip(1..) {
        for sequence in 0..4 {
            frames
                .push(Packet::new(phone(), ours_outside(slot), &peer.protect(&rtp(slot, sequence))).buffer());
        }
    }
    let out = bench.burst(OUTSIDE, frames);
    let expected: Vec<_> = (1..=8).flat_map(|slot| (0..4).map(move |sequence| rtp(slot, sequence))).collect();
    assert_eq!(out.sent.iter().map(|(_, packet)| packet.payload.clone()).collect::<Vec<_>>(), expected);
}

#[test]
fn srtp_is_rekeyed_between_two_secure_legs() {
    let mut bench = Bench::new();
    let (outside, mut near) = secure(leg(OUTSIDE, 20_010, phone()), Suite::AeadAes128Gcm, 1);
    let (far_leg, mut far) = secure(leg(INSIDE, 30_010, inside()), Suite::AesCm128HmacSha1_80, 5);
    bench.open(1, session(outside, far_leg));
    let out = bench.send(&Packet::new(phone(), ours_outside(1), &near.protect(&rtp(7, 1))));
    assert_eq!(far.unprotect(&out.one().1.payload), Some(rtp(7, 1)));
    let out = bench.send(&Packet::new(inside(), ours_inside(1), &far.protect(&rtp(8, 1))));
    assert_eq!(near.unprotect(&out.one().1.payload), Some(rtp(8, 1)));
}

#[test]
fn an_mki_is_carried_and_one_that_is_wrong_is_its_own_cause() {
    let mut bench = Bench::new();
    let suite = Suite::AesCm128HmacSha1_80;
    let keys = [master(suite, 1), master(suite, 2)];
    let flags = LegFlags::LEARN;
    let outside = Leg {
        inbound: keys[0],
        outbound: keys[1],
        mki: Mki::new(b"one").unwrap(),
        flags,
        ..leg(OUTSIDE, 20_010, phone())
    };
    bench.open(1, session(outside, leg(INSIDE, 30_010, inside())));
    let mut peer = Peer::with_mki(&keys[0], b"one", &keys[1]);
    assert_eq!(inwards(&mut bench, &mut peer, &rtp(7, 1)), rtp(7, 1));
    assert_eq!(peer.unprotect(&outwards(&mut bench, &rtp(8, 1))), Some(rtp(8, 1)));
    let mut other = Peer::with_mki(&keys[0], b"two", &keys[1]);
    let packet = Packet::new(phone(), ours_outside(1), &other.protect(&rtp(7, 2)));
    bench.refuses(&packet, DropCause::MkiMismatch, Some((1, 0)));
}

#[test]
fn rtcp_mux_of_the_legs_is_independent() {
    for (outside_mux, inside_mux) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut bench = Bench::new();
        let mux =
            |leg: Leg, on: bool| Leg { flags: leg.flags | if on { LegFlags::RTCP_MUX } else { 0 }, ..leg };
        let (outside, mut peer) =
            secure(mux(leg(OUTSIDE, 20_010, phone()), outside_mux), Suite::AesCm256HmacSha1_32, 1);
        bench.open(1, session(outside, mux(leg(INSIDE, 30_010, inside()), inside_mux)));
        let place = |address, mux| if mux { address } else { next(address) };
        let (near, ours_near) = (place(phone(), outside_mux), place(ours_outside(1), outside_mux));
        let (far, ours_far) = (place(inside(), inside_mux), place(ours_inside(1), inside_mux));

        let out = bench.send(&Packet::new(near, ours_near, &peer.protect(&rtcp(7))));
        let sent = &out.one().1;
        assert_eq!((sent.source, sent.destination, &sent.payload), (ours_far, far, &rtcp(7)));
        let out = bench.send(&Packet::new(far, ours_far, &rtcp(8)));
        let sent = &out.one().1;
        assert_eq!((sent.source, sent.destination), (ours_near, near));
        assert_eq!(peer.unprotect(&sent.payload), Some(rtcp(8)));
        // RTP is where it always is.
        assert_eq!(inwards(&mut bench, &mut peer, &rtp(7, 1)), rtp(7, 1));
    }
}

#[test]
fn rtcp_on_the_rtp_port_of_a_leg_without_mux_is_malformed_rtp() {
    let mut bench = Bench::new();
    bench.call(1, Suite::AeadAes128Gcm);
    bench.refuses(&Packet::new(inside(), ours_inside(1), &rtcp(8)), DropCause::RtpMalformed, Some((1, 1)));
}

#[test]
fn an_update_with_the_same_key_keeps_roc_and_replay_window() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AesCm128HmacSha1_80);
    let orders = bench.slots[1].session;
    let mut captured = Vec::new();
    for sequence in [65_534u16, 65_535, 0, 1] {
        let sealed = Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(7, sequence)));
        assert_eq!(bench.send(&sealed).sent.len(), 1);
        captured.push(sealed);
        peer.unprotect(&outwards(&mut bench, &rtp(8, sequence))).unwrap();
    }
    bench.update(1, orders);
    assert_eq!(inwards(&mut bench, &mut peer, &rtp(7, 2)), rtp(7, 2));
    assert_eq!(peer.unprotect(&outwards(&mut bench, &rtp(8, 2))), Some(rtp(8, 2)));
    for packet in &captured {
        bench.refuses(packet, DropCause::Replayed, Some((1, 0)));
    }
}

/// Sequence numbers that go around three times, to a ROC of 3.
const AROUND: [u16; 9] = [1, 30_000, 60_000, 24_464, 54_464, 18_928, 48_928, 65_000, 0];

#[test]
fn an_update_with_a_new_key_goes_on_with_either_roc_and_refuses_the_old_key_after_its_grace() {
    let suite = Suite::AeadAes256Gcm;
    for reset in [false, true] {
        let mut bench = Bench::new();
        let mut old = bench.call(1, suite);
        for sequence in AROUND {
            inwards(&mut bench, &mut old, &rtp(7, sequence));
        }
        assert_eq!(bench.slots[1].live[0].inbound[0].index >> 16, 3);
        let mut orders = bench.slots[1].session;
        orders.legs[0].inbound = master(suite, 99);
        bench.update(1, orders);
        bench.now += GRACE;
        let late = Packet::new(phone(), ours_outside(1), &old.protect(&rtp(7, 2)));
        bench.refuses(&late, DropCause::AuthFailed, Some((1, 0)));
        let mut new = Peer::new(&orders.legs[0].inbound, &orders.legs[0].outbound);
        if !reset {
            // The peer carries its ROC over too: it seals for nobody until it has got there.
            for sequence in AROUND {
                new.protect(&rtp(7, sequence));
            }
        }
        for sequence in 3..6 {
            assert_eq!(inwards(&mut bench, &mut new, &rtp(7, sequence)), rtp(7, sequence), "reset {reset}");
        }
    }
}

#[test]
fn the_replay_window_is_as_wide_as_configured_and_an_update_keeps_it() {
    for window in [64, 128, 1024] {
        let ports = [(OUR_OUTSIDE, OUR_MACS[0]), (OUR_INSIDE, OUR_MACS[1])].map(|(own, mac)| port(own, mac));
        let mut bench = Bench::with_window(ports.to_vec(), 0, 1, window);
        let mut peer = bench.call(1, Suite::AesCm128HmacSha1_80);
        let sealed: Vec<_> = (0..=window as u16)
            .map(|n| Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(7, n))))
            .collect();
        let [too_old, oldest, ..] = &sealed[..] else { unreachable!() };
        assert_eq!(bench.send(&sealed[window as usize]).sent.len(), 1);
        bench.refuses(too_old, DropCause::TooOld, Some((1, 0)));
        assert_eq!(bench.send(oldest).sent.len(), 1, "{window}");
        let orders = bench.slots[1].session;
        bench.update(1, orders);
        bench.refuses(oldest, DropCause::Replayed, Some((1, 0)));
    }
}

#[test]
fn a_secure_leg_without_keys_yet_neither_accepts_nor_sends_anything() {
    let mut bench = Bench::new();
    let outside = Leg { flags: LegFlags::LEARN, ..leg(OUTSIDE, 20_010, phone()) };
    bench.open(1, session(outside, leg(INSIDE, 30_010, inside())));
    let plain = Packet::new(phone(), ours_outside(1), &rtp(7, 1));
    bench.refuses(&plain, DropCause::AuthFailed, Some((1, 0)));
    let clear = Packet::new(inside(), ours_inside(1), &rtp(8, 1));
    bench.refuses(&clear, DropCause::NoDestination, Some((1, 1)));
    // With one key, the other direction stays shut.
    let half = Leg { outbound: master(Suite::AeadAes128Gcm, 1), inbound: MasterKey::NONE, ..outside };
    bench.update(1, session(half, leg(INSIDE, 30_010, inside())));
    assert_eq!(bench.send(&clear).sent.len(), 1);
    bench.refuses(&plain, DropCause::AuthFailed, Some((1, 0)));
}

#[test]
fn a_forged_packet_of_an_unknown_ssrc_harms_no_other_packet_of_its_burst() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AesCm128HmacSha1_80);
    let real = [1, 2, 3].map(|n| Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(7, n))));
    let mut forged = rtp(99, 5);
    forged.extend([0xaa; 10]);
    let forged = Packet::new(phone(), ours_outside(1), &forged);
    let out = bench.burst(OUTSIDE, [real[0].buffer(), forged.buffer(), real[1].buffer(), real[2].buffer()]);
    assert_eq!(out.sent.len(), 3);
    assert_eq!(bench.drops(DropCause::Replayed), 0);
}
