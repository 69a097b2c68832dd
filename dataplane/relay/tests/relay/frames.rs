//! Which frames are media, which are the kernel's, which are broken; and the headers that we make.

use pinhole_flow::{DropCause, NextHop, Suite};
use pinhole_relay::{Arrival, PacketBuffer};

use crate::support::bench::{HOP_MACS, port};
use crate::support::packet::{OUR_MACS, PEER_MAC};
use crate::support::*;

fn plain_call(bench: &mut Bench) {
    bench.open(1, session(leg(OUTSIDE, 20_010, phone()), leg(INSIDE, 30_010, inside())));
}

fn from_inside() -> Packet {
    Packet::new(inside(), ours_inside(1), &rtp(7, 1))
}

fn punts(bench: &mut Bench, port: u8, frame: &[u8]) {
    let out = bench.burst(port, [TestBuffer::new(frame)]);
    assert_eq!(out.punted, [frame], "punted unchanged: {out:?}");
}

#[test]
fn media_leaves_with_fresh_headers() {
    let mut bench = Bench::new();
    plain_call(&mut bench);
    let out = bench.send(&from_inside());
    let expected = Packet {
        source_mac: OUR_MACS[0],
        destination_mac: HOP_MACS[0],
        tos: 46 << 2,
        ttl: 64,
        ..Packet::new(ours_outside(1), phone(), &rtp(7, 1))
    };
    assert_eq!(out.one(), &(OUTSIDE, expected));
}

#[test]
fn dscp_is_copied_when_the_leg_says_so_and_ecn_is_not() {
    let mut bench = Bench::new();
    let outside = pinhole_flow::Leg { dscp: 255, ..leg(OUTSIDE, 20_010, phone()) };
    bench.open(1, session(outside, leg(INSIDE, 30_010, inside())));
    // Of each packet its own.
    for (sequence, dscp) in (1..).zip([34, 46, 0]) {
        let payload = rtp(7, sequence);
        let out = bench.send(&Packet { tos: dscp << 2 | 3, payload, ..from_inside() });
        assert_eq!(out.one().1.tos, dscp << 2);
    }
}

#[test]
fn vlan_tags_are_taken_off_and_put_on_by_the_next_hop() {
    let mut bench = Bench::new();
    plain_call(&mut bench);
    // In with a tag (and its priority bits), out without.
    let out = bench.send(&from_inside().tagged(0xa000 | 100));
    assert_eq!((out.one().1.tag, &out.one().1.payload), (None, &rtp(7, 1)));
    // In without, out with; then both.
    bench.next_hop(0, NextHop { port: 0, valid: 1, vlan: 200, mac: HOP_MACS[0], reserved: [0; 2] });
    for packet in [from_inside(), from_inside().tagged(100)] {
        let out = bench.send(&packet);
        assert_eq!((out.one().1.tag, &out.one().1.payload), (Some(200), &rtp(7, 1)));
    }
}

#[test]
fn a_port_with_a_vlan_leaves_other_vlans_to_the_kernel() {
    let tagged = |vlan| pinhole_relay::RelayPort { vlan: Some(vlan), ..port(OUR_INSIDE, OUR_MACS[1]) };
    let mut bench = Bench::with_ports(vec![port(OUR_OUTSIDE, OUR_MACS[0]), tagged(100)]);
    plain_call(&mut bench);
    assert_eq!(bench.send(&from_inside().tagged(100)).sent.len(), 1);
    punts(&mut bench, INSIDE, &from_inside().tagged(101).bytes());
    punts(&mut bench, INSIDE, &from_inside().bytes());
}

#[test]
fn ip_options_and_ethernet_padding_are_left_behind() {
    let mut bench = Bench::new();
    plain_call(&mut bench);
    let short = rtp(7, 1)[..13].to_vec();
    let packet = Packet { options: vec![1; 8], payload: short.clone(), ..from_inside() };
    let mut frame = packet.bytes();
    frame.resize(80, 0xff);
    let out = bench.burst(INSIDE, [TestBuffer::new(&frame)]);
    assert_eq!((&out.one().1.payload, out.one().1.options.len()), (&short, 0));
}

#[test]
fn what_is_not_for_the_media_ports_is_the_kernels() {
    let mut bench = Bench::new();
    plain_call(&mut bench);
    let mut arp = vec![0xff; 6];
    arp.extend(PEER_MAC);
    arp.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4]);
    punts(&mut bench, INSIDE, &arp);
    let mut ipv6 = [OUR_MACS[1], PEER_MAC].concat();
    ipv6.extend([0x86, 0xdd, 0x60]);
    punts(&mut bench, INSIDE, &ipv6);
    punts(&mut bench, INSIDE, &[0; 9]);
    punts(&mut bench, INSIDE, &[]);
    let mut doubly_tagged = [OUR_MACS[1], PEER_MAC].concat();
    doubly_tagged.extend([0x81, 0, 0, 1, 0x81, 0, 0, 2, 8, 0]);
    punts(&mut bench, INSIDE, &doubly_tagged);
    // Another port, another address, another MAC address, another protocol.
    punts(&mut bench, INSIDE, &Packet { destination: at("10.20.0.5:5060"), ..from_inside() }.bytes());
    punts(&mut bench, INSIDE, &Packet { destination: at("10.20.0.5:32768"), ..from_inside() }.bytes());
    punts(&mut bench, INSIDE, &Packet { destination: at("10.20.0.6:30010"), ..from_inside() }.bytes());
    punts(&mut bench, INSIDE, &Packet { destination_mac: [0xff; 6], ..from_inside() }.bytes());
    let mut tcp = from_inside().bytes();
    tcp[14 + 9] = 6;
    punts(&mut bench, INSIDE, &tcp);
    // The address of one port on another, and a port that there is not.
    punts(&mut bench, OUTSIDE, &from_inside().bytes());
    punts(&mut bench, 7, &from_inside().bytes());
    assert!(bench.stats.drops.iter().all(|count| *count == 0));
}

#[test]
fn broken_datagrams_for_media_ports_are_dropped_under_their_causes() {
    let mut bench = Bench::new();
    plain_call(&mut bench);
    let good = from_inside().bytes();
    let mut drops = |cause, change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = good.clone();
        change(&mut frame);
        let before = bench.drops(cause);
        let out = bench.burst(INSIDE, [TestBuffer::new(&frame)]);
        assert_eq!((out.dropped, bench.drops(cause) - before), (1, 1), "{cause}: {out:?}");
    };
    drops(DropCause::IpMalformed, &|frame| frame[14] = 0x55);
    drops(DropCause::IpMalformed, &|frame| frame[14] = 0x44);
    drops(DropCause::IpMalformed, &|frame| frame[16] = 0xff);
    drops(DropCause::IpMalformed, &|frame| frame[16..18].fill(0));
    drops(DropCause::IpMalformed, &|frame| frame.truncate(30));
    drops(DropCause::IpChecksum, &|frame| frame[14 + 8] ^= 1);
    drops(DropCause::UdpChecksum, &|frame| frame[60] ^= 1);
    drops(DropCause::UdpMalformed, &|frame| frame[34 + 4] = 0xff);
    drops(DropCause::UdpMalformed, &|frame| frame[34 + 4..34 + 6].copy_from_slice(&[0, 7]));
}

#[test]
fn a_datagram_without_udp_checksum_is_relayed_and_gets_one() {
    let mut bench = Bench::new();
    plain_call(&mut bench);
    let mut frame = from_inside().bytes();
    frame[34 + 6..34 + 8].fill(0);
    let out = bench.burst(INSIDE, [TestBuffer::new(&frame)]);
    assert_eq!(out.one().1.payload, rtp(7, 1));
}

#[test]
fn first_fragments_for_media_ports_are_dropped_and_others_left_to_the_kernel() {
    let mut bench = Bench::new();
    plain_call(&mut bench);
    bench.refuses(&Packet { fragment: 0x2000, ..from_inside() }, DropCause::Fragment, None);
    punts(&mut bench, INSIDE, &Packet { fragment: 0x0010, ..from_inside() }.bytes());
    let sip = Packet { destination: at("10.20.0.5:5060"), fragment: 0x2000, ..from_inside() };
    punts(&mut bench, INSIDE, &sip.bytes());
    // Don't fragment is no fragment.
    assert_eq!(bench.send(&Packet { fragment: 0x4000, ..from_inside() }).sent.len(), 1);
}

#[test]
fn a_packet_that_outgrows_the_mtu_by_its_tag_is_dropped() {
    let mut bench = Bench::new();
    bench.call(1, Suite::AeadAes128Gcm);
    let mut payload = rtp(7, 1);
    payload.resize(1500 - 28 - 16, 0);
    assert_eq!(bench.send(&Packet::new(inside(), ours_inside(1), &payload)).sent.len(), 1);
    payload[3] += 1;
    payload.push(0);
    bench.refuses(&Packet::new(inside(), ours_inside(1), &payload), DropCause::TooBig, Some((1, 1)));
}

#[test]
fn a_buffer_without_room_for_the_tag_is_a_drop() {
    let mut bench = Bench::new();
    bench.call(1, Suite::AeadAes128Gcm);
    struct Tight(TestBuffer);
    impl PacketBuffer for Tight {
        fn data(&self) -> &[u8] {
            self.0.data()
        }
        fn data_mut(&mut self) -> &mut [u8] {
            self.0.data_mut()
        }
        fn grow(&mut self, _: usize) -> Option<&mut [u8]> {
            None
        }
        fn truncate(&mut self, len: usize) {
            self.0.truncate(len);
        }
    }
    let mut frames = pinhole_relay::Frames::new();
    frames.push(Tight(Packet::new(inside(), ours_inside(1), &rtp(7, 1)).buffer()));
    let mut output = pinhole_relay::Output::default();
    bench.relay.burst(1, INSIDE, Arrival::Wire, &mut frames, &mut bench.slots, &mut bench.stats, &mut output);
    assert_eq!((output.dropped.len(), bench.drops(DropCause::TooBig)), (1, 1));
    let stats = bench.slots[1].live[1].stats;
    assert_eq!((stats.rx_packets, stats.passed_packets, stats.passed_bytes), (1, 0, 0));
}

#[test]
fn each_packet_has_an_identification_of_its_own() {
    let mut bench = Bench::new();
    plain_call(&mut bench);
    let mut output = pinhole_relay::Output::default();
    for sequence in 1..4 {
        let packet = Packet { payload: rtp(7, sequence), ..from_inside() };
        let mut frames = [packet.buffer()].into_iter().collect();
        bench.relay.burst(
            1,
            INSIDE,
            Arrival::Wire,
            &mut frames,
            &mut bench.slots,
            &mut bench.stats,
            &mut output,
        );
    }
    let sent = &output.tx[usize::from(OUTSIDE)];
    let identifications = sent.iter().map(|frame| frame.data()[18..20].to_vec());
    assert_eq!(identifications.collect::<std::collections::HashSet<_>>().len(), 3);
}
