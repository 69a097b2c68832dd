//! Where a phone is: learned from authentic packets, and from nothing else.

use pinhole_flow::leg::mapped;
use pinhole_flow::{DropCause, EventKind, Leg, LegFlags, Suite};

use crate::support::bench::{HOP_MACS, SECOND};
use crate::support::peer::master;
use crate::support::*;

const NAT_MAC: [u8; 6] = [2, 0, 0, 0, 9, 9];

fn nat() -> std::net::SocketAddrV4 {
    at("198.51.100.77:61000")
}

/// An authentic packet from behind a NAT.
fn from(source: std::net::SocketAddrV4, peer: &mut Peer, payload: &[u8]) -> Packet {
    let rtcp = payload[1] >= 192;
    let destination = if rtcp { next(ours_outside(1)) } else { ours_outside(1) };
    Packet { source_mac: NAT_MAC, ..Packet::new(source, destination, &peer.protect(payload)) }
}

/// Where a packet of the inside phone goes: address, MAC address and VLAN tag.
fn answer(bench: &mut Bench, sequence: u16) -> (std::net::SocketAddrV4, [u8; 6], Option<u16>) {
    let out = bench.send(&Packet::new(inside(), ours_inside(1), &rtp(8, sequence)));
    let packet = &out.one().1;
    (packet.destination, packet.destination_mac, packet.tag)
}

#[test]
fn answers_go_to_the_signalled_address_until_an_authentic_packet_comes() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AeadAes128Gcm);
    assert_eq!(answer(&mut bench, 1), (phone(), HOP_MACS[0], None));
    // Neither plain nor forged packets teach anything.
    let mut forged = from(nat(), &mut peer, &rtp(7, 1));
    forged.payload[20] ^= 1;
    bench.refuses(&forged, DropCause::AuthFailed, Some((1, 0)));
    bench.refuses(&Packet { payload: rtp(7, 2), ..forged }, DropCause::AuthFailed, Some((1, 0)));
    assert_eq!(answer(&mut bench, 2), (phone(), HOP_MACS[0], None));

    let out = bench.send(&from(nat(), &mut peer, &rtp(7, 3)).tagged(0x2000 | 300));
    let event = out.events[0];
    assert_eq!(
        (event.kind, event.slot, event.generation, event.detail),
        (EventKind::Learned as u32, 1, 1, 0)
    );
    assert_eq!(answer(&mut bench, 3), (nat(), NAT_MAC, Some(300)));
    let live = &bench.slots[1].live[0];
    assert_eq!((live.remote_ip, live.remote_rtp), (mapped((*nat().ip()).into()), 61_000));
    assert_eq!((live.learned, live.mac, live.vlan), (1, NAT_MAC, 300));
}

#[test]
fn a_replayed_packet_moves_nothing() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AeadAes128Gcm);
    let packet = from(nat(), &mut peer, &rtp(7, 1));
    bench.send(&packet);
    bench.now += 5 * SECOND;
    let stranger = Packet { source: at("203.0.113.66:4444"), ..packet };
    bench.refuses(&stranger, DropCause::Replayed, Some((1, 0)));
    assert_eq!(answer(&mut bench, 1).0, nat());
}

#[test]
fn a_source_moves_at_most_once_a_second_and_every_packet_is_relayed() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AeadAes128Gcm);
    bench.send(&from(nat(), &mut peer, &rtp(7, 1)));
    let moved = at("198.51.100.77:61999");
    let out = bench.send(&from(moved, &mut peer, &rtp(7, 2)));
    assert_eq!((out.sent.len(), out.events.len()), (1, 0));
    assert_eq!(answer(&mut bench, 1).0, nat());
    bench.now += SECOND;
    let out = bench.send(&from(moved, &mut peer, &rtp(7, 3)));
    assert_eq!((out.sent.len(), out.events.len()), (1, 1));
    assert_eq!(answer(&mut bench, 2).0, moved);
}

#[test]
fn a_late_packet_does_not_move_the_source_back() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AeadAes128Gcm);
    let late = from(nat(), &mut peer, &rtp(7, 1));
    let moved = at("198.51.100.77:61999");
    bench.send(&from(moved, &mut peer, &rtp(7, 2)));
    bench.now += 5 * SECOND;
    assert_eq!(bench.send(&late).sent.len(), 1);
    assert_eq!(answer(&mut bench, 1).0, moved);
}

#[test]
fn rtp_and_rtcp_are_learned_separately_and_under_mux_rtcp_follows_rtp() {
    let rtcp_answer = |bench: &mut Bench| {
        let out = bench.send(&Packet::new(next(inside()), next(ours_inside(1)), &rtcp(8)));
        out.one().1.destination
    };
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AeadAes128Gcm);
    let nat_rtcp = at("198.51.100.77:62345");
    bench.send(&from(nat(), &mut peer, &rtp(7, 1)));
    assert_eq!(rtcp_answer(&mut bench), next(phone()));
    bench.send(&from(nat_rtcp, &mut peer, &rtcp(7)));
    assert_eq!((rtcp_answer(&mut bench), answer(&mut bench, 1).0), (nat_rtcp, nat()));
    assert_eq!(bench.slots[1].live[0].learned, 3);
    assert_eq!(bench.slots[1].live[0].remote_rtcp, 62_345);

    let mut orders = bench.slots[1].session;
    orders.legs[0].flags |= LegFlags::RTCP_MUX;
    bench.update(1, orders);
    assert_eq!(rtcp_answer(&mut bench), nat());
    // What still comes to the RTCP port under mux is relayed, but teaches nothing.
    bench.now += 5 * SECOND;
    let out = bench.send(&from(at("198.51.100.77:64000"), &mut peer, &rtcp(7)));
    assert_eq!((out.sent.len(), out.events.len()), (1, 0));
    assert_eq!((rtcp_answer(&mut bench), answer(&mut bench, 9).0), (nat(), nat()));
}

#[test]
fn an_update_keeps_the_learned_source_unless_address_and_key_are_new() {
    let suite = Suite::AeadAes128Gcm;
    let mut bench = Bench::new();
    let mut peer = bench.call(1, suite);
    bench.send(&from(nat(), &mut peer, &rtp(7, 1)));
    let mut orders = bench.slots[1].session;
    bench.update(1, orders);
    assert_eq!(answer(&mut bench, 1).0, nat());
    orders.legs[0].inbound = master(suite, 50);
    bench.update(1, orders);
    assert_eq!(answer(&mut bench, 2).0, nat());
    orders.legs[0].remote_rtp = 40_100;
    bench.update(1, orders);
    assert_eq!(answer(&mut bench, 3).0, nat());
    orders.legs[0].inbound = master(suite, 51);
    orders.legs[0].remote_rtp = 40_200;
    bench.update(1, orders);
    assert_eq!(answer(&mut bench, 4).0.port(), 40_200);
}

#[test]
fn a_secure_leg_that_does_not_learn_accepts_the_signalled_address_alone() {
    let mut bench = Bench::new();
    let (outside, mut peer) = secure(leg(OUTSIDE, 20_010, phone()), Suite::AeadAes128Gcm, 1);
    bench.open(1, session(Leg { flags: 0, ..outside }, leg(INSIDE, 30_010, inside())));
    bench.refuses(&from(nat(), &mut peer, &rtp(7, 1)), DropCause::WrongSource, Some((1, 0)));
    assert_eq!(bench.send(&from(phone(), &mut peer, &rtp(7, 2))).sent.len(), 1);
    assert_eq!(answer(&mut bench, 1), (phone(), HOP_MACS[0], None));
}
