//! A burst allocates nothing.

#![allow(clippy::unwrap_used)]

#[path = "../../srtp/tests/counting/mod.rs"]
mod counting;
mod support;

use std::net::SocketAddrV4;

use counting::account;
use pinhole_flow::Suite;
use pinhole_relay::{Arrival, Frames, Output};
use support::bench::port;
use support::peer::master;
use support::*;

#[test]
fn a_burst_of_everything_allocates_and_frees_nothing() {
    let mut bench = Bench::new();
    let mut peers: Vec<_> =
        Suite::ALL.into_iter().zip(1..).map(|(suite, slot)| bench.call(slot, suite)).collect();
    let (first, mut near) = secure(leg(OUTSIDE, 20_100, phone()), Suite::AeadAes128Gcm, 100);
    bench.open(10, session(first, leg(INSIDE, 30_100, ours_inside(11))));
    let (second, _) = secure(leg(OUTSIDE, 20_110, phone()), Suite::AesCm256HmacSha1_80, 110);
    bench.open(11, session(second, leg(INSIDE, 30_110, ours_inside(10))));

    // A call whose key changes in its middle: packets in flight, and the new ones.
    let mut old_key = bench.call(12, Suite::AesCm128HmacSha1_80);
    let mut rekeyed = bench.slots[12].session;
    rekeyed.legs[0].inbound = master(Suite::AesCm128HmacSha1_80, 222);
    let mut new_key = Peer::new(&rekeyed.legs[0].inbound, &rekeyed.legs[0].outbound);
    // A phone and a desk that begin anew after a re-offer.
    let mut first_life = bench.call(13, Suite::AeadAes256Gcm);
    let kept = bench.slots[13].session;
    let mut second_life = Peer::new(&kept.legs[0].inbound, &kept.legs[0].outbound);

    let mut bursts = Vec::new();
    for sequence in 0..20u16 {
        let mut frames = Frames::new();
        for (slot, peer) in (1..).zip(&mut peers) {
            let sealed = peer.protect(&rtp(slot, sequence));
            // A source that moves, a replay, plain RTP or a forgery, a stranger, no pinhole.
            let moving = at(&format!("192.0.2.1:{}", 1000 + sequence));
            frames.push(Packet::new(moving, ours_outside(slot), &sealed).buffer());
            frames.push(Packet::new(moving, ours_outside(slot), &sealed).buffer());
            let worthless = match slot % 2 {
                0 => rtp(slot, sequence),
                _ => [&sealed[..], b"x"].concat(),
            };
            frames.push(Packet::new(moving, ours_outside(slot), &worthless).buffer());
        }
        frames.push(Packet::new(phone(), ours_outside(10), &near.protect(&rtp(7, sequence))).buffer());
        frames.push(Packet::new(phone(), ours_outside(9), &rtp(7, sequence)).buffer());
        frames.push(TestBuffer::new(&[0xff; 60]));
        let mut inwards = Frames::new();
        for slot in 1..=8 {
            inwards.push(Packet::new(inside(), ours_inside(slot), &rtp(slot, sequence)).tagged(5).buffer());
            inwards.push(Packet::new(next(inside()), next(ours_inside(slot)), &rtcp(slot)).buffer());
            inwards.push(Packet::new(phone(), ours_inside(slot), &rtp(slot, sequence)).buffer());
        }
        let before = if sequence < 10 { 30_000 } else { 0 };
        inwards.push(Packet::new(inside(), ours_inside(13), &rtp(9, sequence + before)).buffer());
        frames.push(Packet::new(phone(), ours_outside(12), &old_key.protect(&rtp(9, sequence))).buffer());
        frames
            .push(Packet::new(phone(), ours_outside(12), &new_key.protect(&rtp(9, sequence + 500))).buffer());
        let (life, before) = match sequence {
            0..10 => (&mut first_life, 30_000),
            _ => (&mut second_life, 0),
        };
        let sealed = life.protect(&rtp(9, sequence + before));
        frames.push(Packet::new(phone(), ours_outside(13), &sealed).buffer());
        bursts.push((OUTSIDE, frames));
        bursts.push((INSIDE, inwards));
    }

    let mut output = Output::default();
    let mut sent = 0;
    for (number, (port, mut frames)) in bursts.into_iter().enumerate() {
        bench.now += 70_000_000;
        if number == 20 {
            bench.update(12, rekeyed);
            bench.update(13, kept);
        }
        let before = account();
        let (slots, stats) = (&mut bench.slots, &mut bench.stats);
        bench.relay.burst(bench.now, port, Arrival::Wire, &mut frames, slots, stats, &mut output);
        assert_eq!(account(), before);
        sent += output.tx.iter().map(|tx| tx.len()).sum::<usize>();
        assert!(!output.dropped.is_empty());
        output.tx.iter_mut().for_each(|tx| tx.clear());
        output.punt.clear();
        output.dropped.clear();
        output.events.clear();
    }
    // The calls of every suite, the hairpin, both directions of the call that began anew; and of the
    // call whose key changes one of two packets, or, while both keys are good, both.
    assert_eq!(sent, 20 * (8 + 1 + 16 + 2) + 10 + 20);
    assert_eq!((bench.stats.hairpins, bench.stats.old_key), (20, 10));
}

#[test]
fn an_ssrc_that_comes_back_after_it_made_room_allocates_and_frees_nothing() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AeadAes128Gcm);
    let orders = bench.slots[1].session;
    let mut others = Peer::new(&orders.legs[0].inbound, &orders.legs[0].outbound);
    for ssrc in 0..6 {
        let peer = if ssrc == 0 { &mut peer } else { &mut others };
        bench.send(&Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(ssrc, 1))));
        bench.send(&Packet::new(inside(), ours_inside(1), &rtp(ssrc, 1)));
        bench.update(1, orders);
    }
    for (port, packet) in [
        (OUTSIDE, Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(0, 2)))),
        (INSIDE, Packet::new(inside(), ours_inside(1), &rtp(0, 2))),
    ] {
        let mut frames = Frames::new();
        frames.push(packet.buffer());
        let mut output = Output::default();
        let before = account();
        let (slots, stats) = (&mut bench.slots, &mut bench.stats);
        bench.relay.burst(bench.now, port, Arrival::Wire, &mut frames, slots, stats, &mut output);
        assert_eq!(account(), before);
        assert_eq!(output.tx.iter().map(|tx| tx.len()).sum::<usize>(), 1);
    }
}

#[test]
fn a_burst_for_another_worker_allocates_and_frees_nothing() {
    let ports = [0, 1].map(|at| port([OUR_OUTSIDE, OUR_INSIDE][at], packet::OUR_MACS[at]));
    let mut bench = Bench::worker(ports.to_vec(), 0, 2);
    // Ports 20000 and 30000 are this worker's, 20002 and 30002 the other's.
    let meeting = SocketAddrV4::new(OUR_INSIDE, 30_002);
    bench.open(1, session(leg(OUTSIDE, 20_000, phone()), leg(INSIDE, 30_000, meeting)));
    let mut frames = Frames::new();
    for sequence in 0..16 {
        for local in [20_000, 20_002] {
            let ours = SocketAddrV4::new(OUR_OUTSIDE, local);
            frames.push(Packet::new(phone(), ours, &rtp(7, sequence)).buffer());
        }
    }
    let mut output = Output::default();
    let before = account();
    let (slots, stats) = (&mut bench.slots, &mut bench.stats);
    bench.relay.burst(bench.now, OUTSIDE, Arrival::Wire, &mut frames, slots, stats, &mut output);
    assert_eq!(account(), before);
    assert_eq!(output.handoff.len(), 32);
}
