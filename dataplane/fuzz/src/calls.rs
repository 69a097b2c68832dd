//! A relay with one call of every kind.

use std::net::SocketAddrV4;

use pinhole_flow::{LegFlags, Mki, NextHop, Suite};

use crate::support::packet::{OUR_MACS, PEER_MAC};
use crate::support::peer::master;
use crate::support::{
    Bench, INSIDE, OUR_INSIDE, OUR_OUTSIDE, OUTSIDE, Packet, Peer, inside, leg, next, ours_inside,
    ours_outside, phone, rtp, secure, session,
};
use pinhole_relay::RelayPort;

/// VLAN of the inside port.
const VLAN: u16 = 7;
/// Media ports of the outside and of the inside: as few as the calls need, so that an array is soon made.
pub const PORTS: [std::ops::RangeInclusive<u16>; 2] = [20_000..=20_127, 30_000..=30_127];

/// The calls' slots: outside RTP at port 20000 + 10 × slot, inside RTP at 30000 + 10 × slot.
pub const CALLS: std::ops::RangeInclusive<u32> = 1..=8;
/// SRTP to RTP.
const COUNTER: u32 = 1;
/// SRTP to RTP, GCM, with rtcp-mux towards the phone.
const MUXED: u32 = 2;
/// SRTP to SRTP, the inside leg from its signalled address only.
const REKEYED: u32 = 3;
/// Two calls that meet on our inside address.
const HAIRPIN: [u32; 2] = [4, 5];
/// RTP to RTP.
const PLAIN: u32 = 6;
/// Packets from the phone carry an MKI.
const IDENTIFIED: u32 = 7;
/// The phone's leg has no keys yet.
const UNKEYED: u32 = 8;

/// A relay with one call of every kind open, and the phones' keys.
pub struct Calls {
    /// The relay.
    pub bench: Bench,
    /// SRTP of the phone of each call; `None` where the phone has no keys.
    pub phones: Vec<Option<Peer>>,
    /// SRTP of the inside peer of the re-keyed call.
    pub inside: Peer,
}

impl Calls {
    /// Opens the calls.
    pub fn open() -> Self {
        let [outside_ports, inside_ports] = PORTS;
        let mut bench = Bench::with_ports(vec![
            RelayPort {
                media_address: OUR_OUTSIDE,
                media_ports: outside_ports,
                mac: OUR_MACS[0],
                mtu: 1500,
                vlan: None,
            },
            RelayPort {
                media_address: OUR_INSIDE,
                media_ports: inside_ports,
                mac: OUR_MACS[1],
                mtu: 1500,
                vlan: Some(VLAN),
            },
        ]);
        bench.next_hop(1, NextHop { port: 1, valid: 1, vlan: VLAN, mac: PEER_MAC, reserved: [0; 2] });
        let mut calls = Self { bench, phones: Vec::new(), inside: inside_peer() };
        calls.phones.resize_with(*CALLS.end() as usize + 1, || None);
        for slot in CALLS {
            calls.phones[slot as usize] = calls.one(slot);
        }
        calls
    }

    fn one(&mut self, slot: u32) -> Option<Peer> {
        let base = 10 * slot as u16;
        let outside = leg(OUTSIDE, 20_000 + base, phone());
        let mut within = leg(INSIDE, 30_000 + base, inside());
        let suite = match slot {
            COUNTER | REKEYED => Suite::AesCm128HmacSha1_80,
            MUXED => Suite::AeadAes256Gcm,
            IDENTIFIED => Suite::AesCm256HmacSha1_80,
            _ => Suite::AeadAes128Gcm,
        };
        let (mut keyed, mut peer) = secure(outside, suite, 10 * slot as u8);
        match slot {
            MUXED => keyed.flags |= LegFlags::RTCP_MUX,
            REKEYED => {
                (within.inbound, within.outbound) = inside_keys();
            }
            IDENTIFIED => {
                keyed.mki = Mki::new(b"mki").unwrap();
                peer = Peer::with_mki(&keyed.inbound, b"mki", &keyed.outbound);
            }
            UNKEYED => keyed = pinhole_flow::Leg { flags: LegFlags::LEARN, ..outside },
            PLAIN => keyed = outside,
            _ => {}
        }
        if let Some(at) = HAIRPIN.iter().position(|hairpin| *hairpin == slot) {
            within = leg(INSIDE, 30_000 + base, ours_inside(HAIRPIN[1 - at]));
        }
        self.bench.open(slot, session(keyed, within));
        (keyed.inbound.suite != 0).then_some(peer)
    }

    /// Sends a packet from each phone that has keys: the call must go on.
    pub fn go_on(&mut self, ssrc: u32, sequence: u16) {
        let packet = rtp(ssrc, sequence);
        for slot in CALLS {
            let Some(phone_srtp) = &mut self.phones[slot as usize] else { continue };
            let sealed = phone_srtp.protect(&packet);
            let out = self.bench.send(&Packet::new(phone(), ours_outside(slot), &sealed));
            let sent = &out.one().1;
            match slot {
                REKEYED => assert_eq!(self.inside.unprotect(&sent.payload).as_ref(), Some(&packet)),
                slot if HAIRPIN.contains(&slot) => {
                    assert_eq!(sent.source, ours_outside(HAIRPIN[0] + HAIRPIN[1] - slot))
                }
                _ => assert_eq!((sent.destination, &sent.payload), (inside(), &packet)),
            }
        }
    }

    /// The local address of a call's leg for RTP or RTCP.
    pub fn ours(slot: u32, leg: usize, rtcp: bool) -> SocketAddrV4 {
        let rtp = if leg == 0 { ours_outside(slot) } else { ours_inside(slot) };
        if rtcp { next(rtp) } else { rtp }
    }
}

fn inside_keys() -> (pinhole_flow::MasterKey, pinhole_flow::MasterKey) {
    (master(Suite::AeadAes128Gcm, 201), master(Suite::AeadAes128Gcm, 202))
}

fn inside_peer() -> Peer {
    let (inbound, outbound) = inside_keys();
    Peer::new(&inbound, &outbound)
}
