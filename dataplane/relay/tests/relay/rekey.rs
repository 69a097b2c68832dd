//! A key is changed in mid-call: what is in flight still arrives, and nothing arrives twice.

use pinhole_flow::{Command, DropCause, LegFlags, Session, Suite};

use crate::support::bench::{GRACE, SECOND};
use crate::support::peer::master;
use crate::support::*;

const SUITE: Suite = Suite::AesCm128HmacSha1_80;

fn from_phone(peer: &mut Peer, packet: &[u8]) -> Packet {
    let rtcp = packet[1] >= 192;
    let ours = if rtcp { next(ours_outside(1)) } else { ours_outside(1) };
    let source = if rtcp { next(phone()) } else { phone() };
    Packet::new(source, ours, &peer.protect(packet))
}

/// Changes the phone's key and returns the phone with it, its stream where it was.
fn rekey(bench: &mut Bench, seed: u8, sent: &[u16]) -> Peer {
    rekey_to(bench, SUITE, seed, sent)
}

fn rekey_to(bench: &mut Bench, suite: Suite, seed: u8, sent: &[u16]) -> Peer {
    let mut orders = bench.slots[1].session;
    orders.legs[0].inbound = master(suite, seed);
    bench.update(1, orders);
    peer_of(&orders, sent)
}

/// The phone, which has sent these sequence numbers (to nobody).
fn peer_of(orders: &Session, sent: &[u16]) -> Peer {
    let mut peer = Peer::new(&orders.legs[0].inbound, &orders.legs[0].outbound);
    for sequence in sent {
        peer.protect(&rtp(7, *sequence));
    }
    peer
}

#[test]
fn packets_in_flight_are_accepted_under_the_old_key_for_two_seconds_and_counted() {
    let mut bench = Bench::new();
    let mut old = bench.call(1, SUITE);
    bench.send(&from_phone(&mut old, &rtp(7, 1)));
    let [in_flight, late] = [2, 3].map(|sequence| from_phone(&mut old, &rtp(7, sequence)));
    let [report, late_report] = [(), ()].map(|()| from_phone(&mut old, &rtcp(7)));
    let mut new = rekey(&mut bench, 99, &[1, 2, 3]);
    // The first packet of the new key comes between.
    assert_eq!(bench.send(&from_phone(&mut new, &rtp(7, 4))).one().1.payload, rtp(7, 4));
    assert_eq!(bench.send(&in_flight).one().1.payload, rtp(7, 2));
    assert_eq!(bench.send(&report).one().1.payload, rtcp(7));
    assert_eq!(bench.stats.old_key, 2);
    bench.refuses(&in_flight, DropCause::Replayed, Some((1, 0)));
    bench.refuses(&report, DropCause::Replayed, Some((1, 0)));
    bench.now += GRACE;
    bench.refuses(&late, DropCause::AuthFailed, Some((1, 0)));
    bench.refuses(&late_report, DropCause::AuthFailed, Some((1, 0)));
    assert_eq!(bench.send(&from_phone(&mut new, &rtp(7, 5))).one().1.payload, rtp(7, 5));
    assert_eq!(bench.stats.old_key, 2);
}

#[test]
fn a_packet_under_the_old_key_moves_no_source() {
    let mut bench = Bench::new();
    let mut old = bench.call(1, SUITE);
    bench.send(&from_phone(&mut old, &rtp(7, 1)));
    rekey(&mut bench, 99, &[]);
    bench.now += SECOND;
    let elsewhere = Packet { source: at("198.51.100.66:6000"), ..from_phone(&mut old, &rtp(7, 2)) };
    let out = bench.send(&elsewhere);
    assert_eq!((out.sent.len(), out.events.len(), bench.stats.old_key), (1, 0, 1));
}

#[test]
fn old_and_new_suite_may_differ_and_so_may_mkis() {
    let mut bench = Bench::new();
    let mut old = bench.call(1, SUITE);
    let in_flight = from_phone(&mut old, &rtp(7, 1));
    let mut orders = bench.slots[1].session;
    orders.legs[0].inbound = master(Suite::AeadAes256Gcm, 99);
    orders.legs[0].mki = pinhole_flow::Mki::new(b"new").unwrap();
    bench.update(1, orders);
    assert_eq!(bench.send(&in_flight).one().1.payload, rtp(7, 1));
    let mut new = Peer::with_mki(&orders.legs[0].inbound, b"new", &orders.legs[0].outbound);
    assert_eq!(bench.send(&from_phone(&mut new, &rtp(7, 2))).one().1.payload, rtp(7, 2));
}

#[test]
fn the_old_keys_are_wiped_when_their_time_is_over() {
    let mut bench = Bench::new();
    let mut old = bench.call(1, SUITE);
    rekey(&mut bench, 99, &[]);
    let at = bench.now;
    assert!(bench.relay.holds_old_key(1, 0));
    bench.relay.housekeeping(at + GRACE - 1);
    assert!(bench.relay.holds_old_key(1, 0));
    // A second change of key begins a time of its own.
    bench.now += SECOND;
    rekey(&mut bench, 98, &[]);
    bench.relay.housekeeping(at + GRACE);
    assert!(bench.relay.holds_old_key(1, 0));
    bench.relay.housekeeping(at + GRACE + SECOND);
    assert!(!bench.relay.holds_old_key(1, 0));
    // The first key was dropped by the second change.
    bench.refuses(&from_phone(&mut old, &rtp(7, 2)), DropCause::AuthFailed, Some((1, 0)));
}

#[test]
fn a_session_that_is_closed_during_the_grace_leaves_nothing_behind() {
    let mut bench = Bench::new();
    bench.call(1, SUITE);
    rekey(&mut bench, 99, &[]);
    bench.command(pinhole_flow::Command::close(1, 1, 0));
    let mut orders = bench.slots[2].session;
    let (outside, _) = secure(leg(OUTSIDE, 20_010, phone()), SUITE, 3);
    orders.legs = [outside, leg(INSIDE, 30_010, inside())];
    bench.command(pinhole_flow::Command::open(1, 2, 0, orders));
    bench.relay.housekeeping(bench.now + 10 * SECOND);
    assert!(!bench.relay.holds_old_key(1, 0));
    assert_eq!(bench.relay.open_sessions(), 1);
}

#[test]
fn a_key_that_comes_back_finds_its_replay_windows_and_nothing_is_accepted_twice() {
    for wait in [0, GRACE] {
        let mut bench = Bench::new();
        let mut first = bench.call(1, SUITE);
        let key = bench.slots[1].session.legs[0].inbound;
        let captured: Vec<_> = (1..=300).map(|n| from_phone(&mut first, &rtp(7, n))).collect();
        for packet in &captured {
            assert_eq!(bench.send(packet).sent.len(), 1);
        }
        let reports: Vec<_> = (0..70).map(|_| from_phone(&mut first, &rtcp(7))).collect();
        for packet in &reports {
            assert_eq!(bench.send(packet).sent.len(), 1);
        }
        let mut second = rekey(&mut bench, 99, &[300]);
        bench.now += wait;
        let under_second: Vec<_> = (301..320).map(|n| from_phone(&mut second, &rtp(7, n))).collect();
        for packet in &under_second {
            assert_eq!(bench.send(packet).sent.len(), 1);
        }
        let mut orders = bench.slots[1].session;
        orders.legs[0].inbound = key;
        bench.update(1, orders);
        for packet in captured.iter().chain(&reports).chain(&under_second) {
            assert!(bench.send(packet).sent.is_empty());
        }
        assert_eq!(bench.send(&from_phone(&mut first, &rtp(7, 320))).one().1.payload, rtp(7, 320));
        // And back again: the second key has its windows too.
        orders.legs[0].inbound = master(SUITE, 99);
        bench.update(1, orders);
        for packet in captured.iter().chain(&under_second) {
            assert!(bench.send(packet).sent.is_empty());
        }
        assert_eq!(bench.send(&from_phone(&mut second, &rtp(7, 321))).one().1.payload, rtp(7, 321));
    }
}

#[test]
fn a_key_that_comes_back_after_a_rollover_under_the_other_is_followed_with_either_roc() {
    for carried in [true, false] {
        let mut bench = Bench::new();
        let mut first = bench.call(1, SUITE);
        let key = bench.slots[1].session.legs[0].inbound;
        bench.send(&from_phone(&mut first, &rtp(7, 60_000)));
        let mut second = rekey(&mut bench, 99, &[60_000]);
        for sequence in [60_001, 10_000, 40_000, 60_000] {
            bench.send(&from_phone(&mut second, &rtp(7, sequence)));
        }
        let mut orders = bench.slots[1].session;
        orders.legs[0].inbound = key;
        bench.update(1, orders);
        let sent: &[u16] = if carried { &[60_000, 10_000, 40_000, 60_000] } else { &[60_000] };
        let mut first = peer_of(&orders, sent);
        for sequence in 60_002..60_010 {
            let out = bench.send(&from_phone(&mut first, &rtp(7, sequence)));
            assert_eq!(out.one().1.payload, rtp(7, sequence), "carried {carried}");
        }
    }
}

#[test]
fn the_same_key_under_a_suite_with_a_shorter_tag_keeps_its_replay_window() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, SUITE);
    let sealed = from_phone(&mut peer, &rtp(7, 1));
    assert_eq!(bench.send(&sealed).sent.len(), 1);
    let mut orders = bench.slots[1].session;
    orders.legs[0].inbound.suite = Suite::AesCm128HmacSha1_32.code();
    bench.update(1, orders);
    // Its tag is the beginning of the longer one.
    let cut = Packet { payload: sealed.payload[..sealed.payload.len() - 6].to_vec(), ..sealed };
    bench.refuses(&cut, DropCause::Replayed, Some((1, 0)));
}

#[test]
fn forged_packets_during_the_grace_change_nothing() {
    let mut bench = Bench::new();
    let mut old = bench.call(1, SUITE);
    bench.send(&from_phone(&mut old, &rtp(7, 1)));
    let mut new = rekey(&mut bench, 99, &[1]);
    for n in 0..500u32 {
        let mut forged = rtp(if n % 2 == 0 { 7 } else { n }, n as u16);
        forged.resize(182, n as u8);
        let packet = Packet::new(at("203.0.113.66:4444"), ours_outside(1), &forged);
        bench.now -= 20_000_000;
        bench.refuses(&packet, DropCause::AuthFailed, Some((1, 0)));
    }
    assert_eq!(bench.stats.old_key, 0);
    assert_eq!(bench.send(&from_phone(&mut old, &rtp(7, 2))).one().1.payload, rtp(7, 2));
    for sequence in 3..23 {
        assert_eq!(bench.send(&from_phone(&mut new, &rtp(7, sequence))).one().1.payload, rtp(7, sequence));
    }
}

/// A call of which five SSRCs from inside were sent, the last at ROC 2, and more have made room.
fn long_call(bench: &mut Bench, flags: u8) -> (Peer, Session) {
    let mut peer = bench.call(1, SUITE);
    let mut orders = bench.slots[1].session;
    orders.legs[0].flags |= flags;
    for ssrc in 100..110 {
        bench.update(1, orders);
        for sequence in [1, 30_000, 60_000, 20_000, 50_000, 10_000] {
            let sealed = bench.send(&from_desk(ssrc, sequence)).one().1.payload.clone();
            assert_eq!(peer.unprotect(&sealed).is_some(), ssrc < 105, "the peer keeps five");
        }
    }
    (peer, orders)
}

fn from_desk(ssrc: u32, sequence: u16) -> Packet {
    Packet::new(inside(), ours_inside(1), &rtp(ssrc, sequence))
}

#[test]
fn a_phone_whose_keys_are_fresh_hears_every_stream_from_rollover_0() {
    let mut bench = Bench::new();
    let (_, mut orders) = long_call(&mut bench, LegFlags::FRESH_KEYS);
    orders.legs[0].outbound = master(SUITE, 77);
    bench.change(Command::update(1, 1, 0, orders));
    let mut phone = peer_of(&orders, &[]);
    // The one that is heard, one that was, and one that had made room; reports begin at 0 too.
    for ssrc in [109, 106, 101] {
        let sealed = bench.send(&from_desk(ssrc, 10_001)).one().1.payload.clone();
        assert_eq!(phone.unprotect(&sealed), Some(rtp(ssrc, 10_001)));
    }
    let report = bench.send(&Packet::new(next(inside()), next(ours_inside(1)), &rtcp(109)));
    let report = report.one().1.payload.clone();
    assert_eq!(report[report.len() - 14..report.len() - 10], (1u32 << 31).to_be_bytes());
}

#[test]
fn a_fresh_context_is_given_with_a_fresh_key_only() {
    let mut bench = Bench::new();
    let (_, orders) = long_call(&mut bench, LegFlags::FRESH_KEYS);
    let states = bench.slots[1].live[0].outbound;
    let mut moved = orders;
    moved.legs[0].inbound = master(SUITE, 88);
    moved.legs[0].remote_rtp += 2;
    bench.change(Command::update(1, 1, 0, moved));
    let index =
        |states: &[pinhole_flow::StreamState]| states.iter().find(|at| at.ssrc == 109).map(|at| at.index);
    assert_eq!(index(&bench.slots[1].live[0].outbound), index(&states));
    bench.refuses(&from_desk(109, 10_000), DropCause::Replayed, Some((1, 1)));
}

#[test]
fn a_new_outbound_key_keeps_the_rollover_where_keys_are_not_said_to_be_fresh() {
    let mut bench = Bench::new();
    let (_, mut orders) = long_call(&mut bench, 0);
    orders.legs[0].outbound = master(SUITE, 77);
    bench.change(Command::update(1, 1, 0, orders));
    bench.send(&from_desk(109, 10_001));
    let sent = bench.slots[1].live[0].outbound;
    assert!(sent.iter().any(|at| at.ssrc == 109 && at.index == 2 << 16 | 10_001));
}
