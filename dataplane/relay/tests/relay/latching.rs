//! A plain leg whose sender nobody has named: the first one of its network is heard, and nobody else.

use pinhole_flow::leg::mapped;
use pinhole_flow::{Command, DropCause, EventKind, Leg, LegFlags, Refusal, Session, Suite};

use crate::support::bench::SECOND;
use crate::support::packet::OUR_MACS;
use crate::support::peer::master;
use crate::support::*;

/// An inside leg that latches in a network.
fn latching(network: &str, bits: u8) -> Leg {
    let address = network.parse().unwrap();
    let nowhere = at("0.0.0.0:0");
    Leg {
        flags: LegFlags::LATCH,
        remote_ip: mapped(address),
        remote_rtp: 0,
        remote_rtcp: 0,
        latch_prefix: 96 + bits,
        ..leg(INSIDE, 30_010, nowhere)
    }
}

fn orders(inside: Leg) -> (Session, Peer) {
    let (outside, peer) = secure(leg(OUTSIDE, 20_010, phone()), Suite::AesCm128HmacSha1_32, 10);
    (session(outside, inside), peer)
}

fn open() -> (Bench, Peer) {
    let mut bench = Bench::new();
    let (orders, peer) = orders(latching("10.20.0.0", 16));
    bench.open(1, orders);
    (bench, peer)
}

fn from(source: &str, sequence: u16) -> Packet {
    Packet::new(at(source), ours_inside(1), &rtp(8, sequence))
}

/// Sends a packet that the phone must get.
fn is_heard(bench: &mut Bench, peer: &mut Peer, packet: &Packet) -> Out {
    let out = bench.send(packet);
    let (port, sent) = out.one();
    assert_eq!((*port, sent.destination), (OUTSIDE, phone()));
    assert_eq!(peer.unprotect(&sent.payload), Some(packet.payload.clone()));
    out
}

#[test]
fn first_sender_of_the_network_is_heard_and_others_are_not() {
    let (mut bench, mut peer) = open();
    for outside in ["10.21.0.9:7000", "192.0.2.1:7000", "10.20.0.9:0", "0.0.0.0:7000", "127.0.0.1:7000"] {
        bench.refuses(&from(outside, 1), DropCause::WrongSource, Some((1, 1)));
    }
    let out = is_heard(&mut bench, &mut peer, &from("10.20.255.9:7000", 1));
    assert_eq!((out.events.len(), out.events[0].kind), (1, EventKind::Learned as u32));
    for other in ["10.20.255.9:7002", "10.20.0.8:7000"] {
        bench.refuses(&from(other, 2), DropCause::WrongSource, Some((1, 1)));
    }
    bench.now += 100 * SECOND;
    bench.refuses(&from("10.20.0.8:7000", 3), DropCause::WrongSource, Some((1, 1)));
    assert!(is_heard(&mut bench, &mut peer, &from("10.20.255.9:7000", 4)).events.is_empty());
}

#[test]
fn who_was_latched_is_shown() {
    let (mut bench, mut peer) = open();
    assert_eq!((bench.slots[1].live[1].learned, bench.slots[1].live[1].remote_rtp), (0, 0));
    is_heard(&mut bench, &mut peer, &from("10.20.0.9:7000", 1));
    let live = &bench.slots[1].live[1];
    assert_eq!((live.learned, live.remote_rtp), (1, 7000));
    assert_eq!(live.remote_ip, mapped("10.20.0.9".parse().unwrap()));
}

#[test]
fn of_a_burst_with_several_senders_the_first_is_heard_alone() {
    let (mut bench, _) = open();
    let sources = ["10.20.0.9:7000", "10.20.0.8:7000", "10.20.0.9:7000", "10.20.0.9:7002"];
    let burst: Vec<_> = (1..).zip(sources).map(|(n, source)| from(source, n).buffer()).collect();
    let out = bench.burst(INSIDE, burst);
    assert_eq!((out.sent.len(), out.dropped, bench.drops(DropCause::WrongSource)), (2, 2, 2));
}

#[test]
fn what_is_no_rtp_latches_nothing() {
    let (mut bench, mut peer) = open();
    for payload in [&b""[..], b"not RTP at all", &rtp(8, 1)[..11]] {
        let packet = Packet::new(at("10.20.0.8:7000"), ours_inside(1), payload);
        bench.refuses(&packet, DropCause::RtpMalformed, Some((1, 1)));
    }
    let report = Packet::new(at("10.20.0.8:7001"), next(ours_inside(1)), &rtcp(8));
    bench.refuses(&report, DropCause::WrongSource, Some((1, 1)));
    is_heard(&mut bench, &mut peer, &from("10.20.0.9:7000", 1));
    bench.refuses(&report, DropCause::WrongSource, Some((1, 1)));
    let own = Packet::new(at("10.20.0.9:7001"), next(ours_inside(1)), &rtcp(8));
    assert_eq!(bench.send(&own).sent.len(), 1, "reports come from the port above");
}

#[test]
fn nothing_is_sent_to_whom_a_leg_is_latched() {
    let (mut bench, mut peer) = open();
    is_heard(&mut bench, &mut peer, &from("10.20.0.9:7000", 1));
    let sealed = Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(7, 1)));
    bench.refuses(&sealed, DropCause::NoDestination, Some((1, 0)));
}

#[test]
fn who_was_latched_is_not_taken_for_a_sender_that_was_learned() {
    let (mut bench, mut peer) = open();
    is_heard(&mut bench, &mut peer, &from("10.20.0.9:7000", 1));
    let mut keyed = bench.slots[1].session;
    let key = master(Suite::AesCm128HmacSha1_80, 3);
    keyed.legs[1] =
        Leg { inbound: key, outbound: key, flags: LegFlags::LEARN, ..leg(INSIDE, 30_010, at("0.0.0.0:0")) };
    bench.change(Command::update(1, 1, 0, keyed));
    assert_eq!((bench.slots[1].live[1].learned, bench.slots[1].live[1].remote_rtp), (0, 0));
    let sealed = Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(7, 1)));
    bench.refuses(&sealed, DropCause::NoDestination, Some((1, 0)));
}

#[test]
fn another_sender_is_latched_only_after_an_offer_or_when_the_orders_say_so() {
    let (mut bench, mut peer) = open();
    is_heard(&mut bench, &mut peer, &from("10.20.0.9:7000", 1));
    let same = bench.slots[1].session;
    bench.change(Command::update(1, 1, 0, same));
    bench.refuses(&from("10.20.0.8:7000", 2), DropCause::WrongSource, Some((1, 1)));
    is_heard(&mut bench, &mut peer, &from("10.20.0.9:7000", 3));
    bench.update(1, same);
    is_heard(&mut bench, &mut peer, &from("10.20.0.8:7000", 4));
    bench.refuses(&from("10.20.0.9:7000", 5), DropCause::WrongSource, Some((1, 1)));
    // A sender who is named is heard alone, and one who was latched before counts for nothing.
    let mut named = same;
    named.legs[1] = leg(INSIDE, 30_010, inside());
    bench.change(Command::update(1, 1, 0, named));
    bench.refuses(&from("10.20.0.8:7000", 6), DropCause::WrongSource, Some((1, 1)));
    is_heard(&mut bench, &mut peer, &from("10.20.0.20:5000", 7));
    assert_eq!(bench.slots[1].live[1].learned, 0);
    bench.change(Command::update(1, 1, 0, same));
    is_heard(&mut bench, &mut peer, &from("10.20.0.7:7000", 8));
}

#[test]
fn network_is_as_wide_as_ordered() {
    for (network, bits, heard, unheard) in [
        ("10.20.0.9", 32, "10.20.0.9:7000", Some("10.20.0.8:7000")),
        ("10.20.0.99", 24, "10.20.0.1:7000", Some("10.20.1.1:7000")),
        ("0.0.0.0", 0, "192.0.2.1:7000", None),
        ("128.0.0.0", 1, "192.0.2.1:7000", Some("10.20.0.1:7000")),
    ] {
        let mut bench = Bench::new();
        let (orders, mut peer) = orders(latching(network, bits));
        bench.open(1, orders);
        if let Some(unheard) = unheard {
            bench.refuses(&from(unheard, 1), DropCause::WrongSource, Some((1, 1)));
        }
        is_heard(&mut bench, &mut peer, &from(heard, 2));
    }
}

#[test]
fn orders_to_latch_that_make_no_sense_are_refused() {
    let good = latching("10.20.0.0", 16);
    let key = master(Suite::AesCm128HmacSha1_80, 3);
    for broken in [
        Leg { latch_prefix: 95, ..good },
        Leg { latch_prefix: 129, ..good },
        Leg { latch_prefix: 0, ..good },
        Leg { flags: 0, ..good },
        Leg { flags: good.flags | LegFlags::LEARN, ..good },
        Leg { remote_rtp: 5000, ..good },
        Leg { remote_rtcp: 5001, ..good },
        Leg { inbound: key, ..good },
        Leg { outbound: key, ..good },
        Leg { remote_ip: [0x20; 16], ..good },
    ] {
        let mut bench = Bench::new();
        let (orders, _) = orders(broken);
        let event = bench.command(Command::open(1, 1, 0, orders));
        assert_eq!((event.kind, event.detail), (EventKind::Refused as u32, Refusal::BadLeg as u32));
    }
}

#[test]
fn our_own_address_on_the_wire_latches_nothing() {
    let (mut bench, _) = open();
    let forged = Packet::new(at("10.20.0.5:30000"), ours_inside(1), &rtp(8, 1));
    assert_eq!(forged.destination_mac, OUR_MACS[1]);
    bench.refuses(&forged, DropCause::WrongSource, Some((1, 1)));
}

#[test]
fn session_of_ours_is_heard_like_a_sender_of_the_network_wherever_that_is() {
    let mut bench = Bench::new();
    let (hearing, mut hearer) = orders(latching("172.16.0.0", 12));
    bench.open(1, hearing);
    let (outside, mut speaker) =
        secure(leg(OUTSIDE, 20_020, at("198.51.100.10:41000")), Suite::AesCm128HmacSha1_32, 20);
    bench.open(2, session(outside, leg(INSIDE, 30_020, ours_inside(1))));
    let mut says = |n| Packet::new(at("198.51.100.10:41000"), ours_outside(2), &speaker.protect(&rtp(9, n)));
    let said = says(1);
    let out = bench.send(&said);
    assert_eq!((out.one().1.destination, hearer.unprotect(&out.one().1.payload)), (phone(), Some(rtp(9, 1))));
    assert_eq!(bench.slots[1].live[1].remote_rtp, 30_020);
    bench.refuses(&from("172.16.0.9:7000", 1), DropCause::WrongSource, Some((1, 1)));
    // Nor is a session of ours heard where another was first.
    bench.update(1, hearing);
    is_heard(&mut bench, &mut hearer, &from("172.16.0.9:7000", 2));
    bench.refuses(&says(2), DropCause::WrongSource, Some((1, 1)));
}
