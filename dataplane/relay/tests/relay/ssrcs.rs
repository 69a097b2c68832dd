//! More SSRCs than a direction keeps states for: they make room and come back.

use pinhole_flow::slot::STREAMS;
use pinhole_flow::{Command, DropCause, Suite};

use crate::support::bench::GRACE;
use crate::support::peer::master;
use crate::support::*;

/// Sends a packet of the phone in, and returns what the inside phone gets.
fn inwards(bench: &mut Bench, peer: &mut Peer, packet: &[u8]) -> Vec<u8> {
    bench.send(&Packet::new(phone(), ours_outside(1), &peer.protect(packet))).one().1.payload.clone()
}

/// Sends a packet of the inside phone in, and returns what the phone gets.
fn outwards(bench: &mut Bench, packet: &[u8]) -> Vec<u8> {
    bench.send(&Packet::new(inside(), ours_inside(1), packet)).one().1.payload.clone()
}

#[test]
fn an_update_makes_room_for_one_more_ssrc() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AeadAes128Gcm);
    let orders = bench.slots[1].session;
    for ssrc in 1..=STREAMS as u32 {
        inwards(&mut bench, &mut peer, &rtp(ssrc, 1));
        outwards(&mut bench, &rtp(100 + ssrc, 1));
    }
    // Sealed by an endpoint of its own, because the peer remembers no more SSRCs either.
    let mut late = Peer::new(&orders.legs[0].inbound, &orders.legs[0].outbound);
    let sealed = Packet::new(phone(), ours_outside(1), &late.protect(&rtp(50, 1)));
    let clear = Packet::new(inside(), ours_inside(1), &rtp(150, 1));
    bench.refuses(&sealed, DropCause::SsrcLimit, Some((1, 0)));
    bench.refuses(&clear, DropCause::SsrcLimit, Some((1, 1)));
    bench.update(1, orders);
    assert_eq!(bench.send(&sealed).one().1.payload, rtp(50, 1));
    assert_eq!(bench.send(&clear).sent.len(), 1);
    // The others go on.
    assert_eq!(inwards(&mut bench, &mut peer, &rtp(4, 2)), rtp(4, 2));
    assert_eq!(bench.slots[1].live[0].inbound.iter().filter(|state| state.flags & 1 != 0).count(), STREAMS);
}

#[test]
fn ssrcs_that_are_refused_do_not_make_those_that_are_sent_look_quiet() {
    let mut bench = Bench::new();
    bench.call(1, Suite::AeadAes128Gcm);
    let clear = |ssrc, sequence| Packet::new(inside(), ours_inside(1), &rtp(ssrc, sequence));
    for ssrc in 1..=STREAMS as u32 {
        assert_eq!(bench.send(&clear(ssrc, 1)).sent.len(), 1);
    }
    for ssrc in 1..=STREAMS as u32 {
        bench.refuses(&clear(50 + ssrc, 1), DropCause::SsrcLimit, Some((1, 1)));
    }
    bench.refuses(&clear(1, 1), DropCause::Replayed, Some((1, 1)));
    bench.update(1, bench.slots[1].session);
    assert_eq!(bench.send(&clear(50, 1)).sent.len(), 1);
    let mut kept = bench.slots[1].live[0].outbound.map(|state| state.ssrc);
    kept.sort_unstable();
    assert_eq!(kept, [2, 3, 4, 5, 50], "the first was quiet longest");
}

/// A call whose phone's SSRC 100 has come to ROC 2 and has made room for others, and the packets it sent last.
fn call_with_a_retired_ssrc(bench: &mut Bench) -> (Peer, Vec<Packet>) {
    let mut peer = bench.call(1, Suite::AeadAes128Gcm);
    let seal =
        |peer: &mut Peer, sequence| Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(100, sequence)));
    let mut captured = Vec::new();
    for sequence in [1_000, 30_000, 60_000, 20_000, 50_000, 10_000].into_iter().chain(10_001..10_300) {
        let packet = seal(&mut peer, sequence);
        assert_eq!(bench.send(&packet).sent.len(), 1);
        captured.push(packet);
    }
    let report = Packet::new(next(phone()), next(ours_outside(1)), &peer.protect(&rtcp(100)));
    assert_eq!(bench.send(&report).sent.len(), 1);
    captured.push(report);
    retire(bench);
    (peer, captured)
}

/// Others make SSRC 100 make room.
fn retire(bench: &mut Bench) {
    let orders = bench.slots[1].session;
    let mut others = Peer::new(&orders.legs[0].inbound, &orders.legs[0].outbound);
    for ssrc in 1..=STREAMS as u32 {
        let packet = Packet::new(phone(), ours_outside(1), &others.protect(&rtp(200 + ssrc, 1)));
        assert_eq!(bench.send(&packet).sent.len(), 1);
        bench.update(1, orders);
    }
    assert!(bench.slots[1].live[0].inbound.iter().all(|state| state.ssrc != 100));
}

#[test]
fn an_ssrc_that_made_room_and_comes_back_is_heard_and_nothing_of_it_twice() {
    let mut bench = Bench::new();
    let (mut peer, captured) = call_with_a_retired_ssrc(&mut bench);
    let states = bench.slots[1].live[0].inbound;
    // The first of them is further back than a window, and would be a phone that begins anew after a re-offer.
    for packet in &captured[captured.len() - 128..] {
        bench.refuses(packet, DropCause::Replayed, Some((1, 0)));
    }
    assert_eq!(bench.slots[1].live[0].inbound, states, "what is refused takes no state");
    for sequence in 10_300..10_310 {
        assert_eq!(inwards(&mut bench, &mut peer, &rtp(100, sequence)), rtp(100, sequence));
    }
    for packet in &captured[captured.len() - 100..] {
        bench.refuses(packet, DropCause::Replayed, Some((1, 0)));
    }
}

#[test]
fn an_ssrc_that_made_room_keeps_its_window_when_its_key_is_changed_and_comes_back() {
    let mut bench = Bench::new();
    let (mut peer, captured) = call_with_a_retired_ssrc(&mut bench);
    let first = bench.slots[1].session;
    let mut second = first;
    second.legs[0].inbound = master(Suite::AeadAes128Gcm, 99);
    bench.update(1, second);
    for packet in &captured {
        assert!(bench.send(packet).sent.is_empty(), "in flight, but seen");
    }
    // Under the new key its counter goes on.
    peer.rekey(&second.legs[0].inbound);
    assert_eq!(inwards(&mut bench, &mut peer, &rtp(100, 10_400)), rtp(100, 10_400));
    bench.now += GRACE;
    bench.update(1, first);
    for packet in &captured {
        assert!(bench.send(packet).sent.is_empty());
    }
    peer.rekey(&first.legs[0].inbound);
    assert_eq!(inwards(&mut bench, &mut peer, &rtp(100, 10_500)), rtp(100, 10_500));
}

#[test]
fn an_ssrc_that_made_room_and_comes_back_uses_no_index_twice_towards_a_phone() {
    let mut bench = Bench::new();
    bench.call(1, Suite::AeadAes128Gcm);
    let orders = bench.slots[1].session;
    let mut phone = Peer::new(&orders.legs[0].inbound, &orders.legs[0].outbound);
    let rtp_in = |ssrc, sequence| Packet::new(inside(), ours_inside(1), &rtp(ssrc, sequence));
    let rtcp_in = |ssrc| Packet::new(next(inside()), next(ours_inside(1)), &rtcp(ssrc));
    for sequence in [1_000, 30_000, 60_000, 20_000, 20_001] {
        let sealed = bench.send(&rtp_in(100, sequence)).one().1.payload.clone();
        assert_eq!(phone.unprotect(&sealed), Some(rtp(100, sequence)));
        bench.send(&rtcp_in(100));
    }
    for ssrc in 1..=STREAMS as u32 {
        bench.send(&rtp_in(200 + ssrc, 1));
        bench.update(1, orders);
    }
    assert!(bench.slots[1].live[0].outbound.iter().all(|state| state.ssrc != 100));
    // Its rollover counter is what it was, what was sent before is not sent again, and a number that is
    // set back leaves as the next one.
    bench.refuses(&rtp_in(100, 20_001), DropCause::Replayed, Some((1, 1)));
    assert_eq!(bench.slots[1].live[0].outbound.iter().filter(|state| state.ssrc == 100).count(), 1);
    for sequence in [20_002, 20_003] {
        let sealed = bench.send(&rtp_in(100, sequence)).one().1.payload.clone();
        assert_eq!(phone.unprotect(&sealed), Some(rtp(100, sequence)));
    }
    let sealed = bench.send(&rtp_in(100, 5)).one().1.payload.clone();
    assert_eq!(sealed[2..4], 20_004u16.to_be_bytes());
    let report = bench.send(&rtcp_in(100)).one().1.payload.clone();
    assert_eq!(report[report.len() - 4..], (1u32 << 31 | 5).to_be_bytes());
    // Now it is another's turn to make room, and so on.
    for round in 0..20u16 {
        bench.update(1, orders);
        let ssrc = 300 + u32::from(round % 7);
        assert_eq!(bench.send(&rtp_in(ssrc, round)).sent.len(), 1);
    }
}

#[test]
fn an_update_without_an_offer_or_another_key_makes_no_room() {
    let mut bench = Bench::new();
    bench.call(1, Suite::AesCm128HmacSha1_80);
    let orders = bench.slots[1].session;
    let rtp_in = |ssrc| Packet::new(inside(), ours_inside(1), &rtp(ssrc, 1));
    for ssrc in 1..=STREAMS as u32 {
        bench.send(&rtp_in(ssrc));
    }
    bench.change(Command::update(1, 1, 0, orders));
    bench.refuses(&rtp_in(100), DropCause::SsrcLimit, Some((1, 1)));
    let mut other = orders;
    other.legs[0].inbound = master(Suite::AesCm128HmacSha1_80, 99);
    bench.change(Command::update(1, 1, 0, other));
    assert_eq!(bench.send(&rtp_in(100)).sent.len(), 1);
}

#[test]
fn what_can_make_room_no_more_is_counted() {
    let mut bench = Bench::new();
    bench.call(1, Suite::AesCm128HmacSha1_80);
    let orders = bench.slots[1].session;
    let rtp_in = |ssrc| Packet::new(inside(), ours_inside(1), &rtp(ssrc, 1));
    let all = 256 + STREAMS as u32;
    for ssrc in 1..=all {
        assert_eq!(bench.send(&rtp_in(ssrc)).sent.len(), 1, "{ssrc}");
        assert_eq!(bench.relay.ssrcs_full(), 0);
        if ssrc < all {
            bench.update(1, orders);
        }
    }
    bench.update(1, orders);
    assert_eq!(bench.relay.ssrcs_full(), 1);
    bench.refuses(&rtp_in(all + 1), DropCause::SsrcLimit, Some((1, 1)));
}
