//! Two workers in memory: what one of them gets that is the other's.

use pinhole_flow::{Command, DropCause, EventKind, Refusal, Suite};
use pinhole_relay::{Arrival, PacketBuffer};

use crate::support::bench::{SLOTS, port};
use crate::support::packet::OUR_MACS;
use crate::support::*;

/// Ports of worker 0 (classes that are even) and of worker 1.
const OF_FIRST: [u16; 2] = [20_000, 30_000];
const OF_SECOND: [u16; 2] = [20_002, 30_002];

fn workers() -> [Bench; 2] {
    [0, 1].map(|worker| {
        let ports = vec![port(OUR_OUTSIDE, OUR_MACS[0]), port(OUR_INSIDE, OUR_MACS[1])];
        Bench::worker(ports, worker, 2)
    })
}

fn ours(port: u8, local: u16) -> std::net::SocketAddrV4 {
    std::net::SocketAddrV4::new([OUR_OUTSIDE, OUR_INSIDE][usize::from(port)], local)
}

/// A call of the second worker, in its first slot.
fn call_of_second(bench: &mut Bench) -> Peer {
    let (outside, peer) = secure(leg(OUTSIDE, OF_SECOND[0], phone()), Suite::AesCm128HmacSha1_80, 1);
    bench.open(SLOTS, session(outside, leg(INSIDE, OF_SECOND[1], inside())));
    peer
}

#[test]
fn a_frame_for_a_port_of_another_worker_is_handed_on_unchanged_and_relayed_there() {
    let [mut first, mut second] = workers();
    let mut peer = call_of_second(&mut second);
    let packet = Packet::new(phone(), ours(OUTSIDE, OF_SECOND[0]), &peer.protect(&rtp(7, 1)));
    // With what Ethernet adds to short frames.
    let mut bytes = packet.bytes();
    bytes.extend([0; 9]);
    let out = first.burst(OUTSIDE, [TestBuffer::new(&bytes)]);
    let handed = &out.handoff[0];
    assert_eq!((handed.worker, handed.port, handed.arrival), (1, OUTSIDE, Arrival::Wire));
    assert_eq!(handed.frame.data(), bytes);
    assert_eq!(first.stats.missteered, 1);
    let out = second.arrive(handed.port, handed.arrival, [handed.frame.clone()]);
    assert_eq!(out.one().1.payload, rtp(7, 1));
    assert_eq!((second.stats.missteered, second.slots[0].live[0].stats.rx_packets), (0, 1));
    assert_eq!(out.events[0].slot, SLOTS, "events have the control plane's number of the slot");
}

#[test]
fn a_hairpin_crosses_workers_as_a_frame_from_our_own_address_and_only_once() {
    let [mut first, mut second] = workers();
    let (outside, mut near) = secure(leg(OUTSIDE, OF_FIRST[0], phone()), Suite::AeadAes128Gcm, 1);
    first.open(1, session(outside, leg(INSIDE, OF_FIRST[1], ours(INSIDE, OF_SECOND[1]))));
    let other = at("198.51.100.10:41000");
    let (outside, mut far) = secure(leg(OUTSIDE, OF_SECOND[0], other), Suite::AesCm256HmacSha1_32, 5);
    second.open(SLOTS + 1, session(outside, leg(INSIDE, OF_SECOND[1], ours(INSIDE, OF_FIRST[1]))));
    for sequence in 1..4 {
        let sealed = near.protect(&rtp(7, sequence));
        let mut out = first.send(&Packet::new(phone(), ours(OUTSIDE, OF_FIRST[0]), &sealed));
        let handed = out.handoff.remove(0);
        assert_eq!((handed.worker, handed.port, handed.arrival), (1, INSIDE, Arrival::Hairpin));
        let frame = Packet::read(handed.frame.data());
        assert_eq!(
            (frame.source, frame.destination),
            (ours(INSIDE, OF_FIRST[1]), ours(INSIDE, OF_SECOND[1]))
        );
        assert_eq!(frame.destination_mac, OUR_MACS[1]);
        let out = second.arrive(handed.port, handed.arrival, [handed.frame]);
        let sent = &out.one().1;
        assert_eq!((sent.source, sent.destination), (ours(OUTSIDE, OF_SECOND[0]), other));
        assert_eq!(far.unprotect(&sent.payload), Some(rtp(7, sequence)));
    }
    assert_eq!((first.stats.hairpins, second.stats.hairpins), (3, 0));
    assert_eq!(first.slots[1].live[0].stats.passed_packets, 3);

    // From the wire, nothing can come from our own address.
    let spoofed = Packet::new(ours(INSIDE, OF_FIRST[1]), ours(INSIDE, OF_SECOND[1]), &rtp(7, 9));
    second.refuses(&spoofed, DropCause::WrongSource, Some((1, 1)));
    // A second hairpin would be a loop.
    let mut orders = second.slots[1].session;
    orders.legs[0] = leg(OUTSIDE, OF_SECOND[0], ours(OUTSIDE, OF_FIRST[0]));
    second.update(SLOTS + 1, orders);
    let out = second.arrive(INSIDE, Arrival::Hairpin, [spoofed.buffer()]);
    assert_eq!((out.dropped, second.drops(DropCause::HairpinLoop)), (1, 1));
}

#[test]
fn what_comes_from_another_worker_is_never_punted() {
    let [mut first, _] = workers();
    let stray = Packet::new(ours(INSIDE, OF_SECOND[1]), ours(INSIDE, 5060), &rtp(7, 1)).buffer();
    let out = first.arrive(INSIDE, Arrival::Hairpin, [stray]);
    assert_eq!((out.dropped, first.drops(DropCause::ClosedPinhole)), (1, 1));
}

#[test]
fn a_session_with_a_port_of_another_worker_is_refused() {
    let [mut first, mut second] = workers();
    let mixed = session(leg(OUTSIDE, OF_FIRST[0], phone()), leg(INSIDE, OF_SECOND[1], inside()));
    for (bench, slot) in [(&mut first, 0), (&mut second, SLOTS)] {
        let event = bench.command(Command::open(slot, 1, 0, mixed));
        assert_eq!((event.kind, event.detail), (EventKind::Refused as u32, Refusal::WrongWorker as u32));
    }
    let whole = session(leg(OUTSIDE, OF_SECOND[0], phone()), leg(INSIDE, OF_SECOND[1], inside()));
    for slot in [SLOTS - 1, 2 * SLOTS] {
        let event = second.command(Command::open(slot, 1, 0, whole));
        assert_eq!((event.kind, event.detail), (EventKind::Refused as u32, Refusal::BadIndex as u32));
    }
    second.open(2 * SLOTS - 1, whole);
    assert_eq!(second.slots[SLOTS as usize - 1].worker, 1);
}
