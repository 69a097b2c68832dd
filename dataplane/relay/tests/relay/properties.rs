//! Whatever comes: no panic, nothing relayed that should not be, checksums right in what is.

use pinhole_flow::{Command, Suite};
use proptest::collection::vec;
use proptest::prelude::*;
use zerocopy::FromZeros;

use crate::support::packet::OUR_MACS;
use crate::support::*;

fn calls() -> Bench {
    let mut bench = Bench::new();
    bench.call(1, Suite::AesCm128HmacSha1_80);
    bench.call(2, Suite::AeadAes256Gcm);
    bench
}

/// A destination: often a port of a call.
fn local_port() -> impl Strategy<Value = u16> {
    prop_oneof![20_008..20_024u16, 30_008..30_024u16, any::<u16>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_frames_are_never_relayed(port in 0..3u8, frames in vec(vec(any::<u8>(), 0..300), 0..=32)) {
        let out = calls().burst(port, frames.iter().map(|frame| TestBuffer::new(frame)));
        prop_assert!(out.sent.is_empty());
    }

    #[test]
    fn frames_with_flipped_bytes_are_never_relayed_by_a_secure_leg(
        flips in vec((0..250usize, 1..=255u8), 1..4),
        sequence in any::<u16>(),
    ) {
        let mut bench = Bench::new();
        let mut peer = bench.call(1, Suite::AesCm128HmacSha1_80);
        let packet = Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(7, sequence)));
        let mut frame = packet.bytes();
        for (at, mask) in flips {
            let len = frame.len();
            // The SRTP packet itself, under a right checksum.
            frame[42 + at % (len - 42)] ^= mask;
        }
        let changed = Packet { payload: frame[42..].to_vec(), ..packet.clone() };
        prop_assume!(changed.payload != packet.payload);
        prop_assert!(bench.send(&changed).sent.is_empty());
    }

    #[test]
    fn arbitrary_payloads_from_strangers_are_never_relayed(
        port in local_port(),
        outside in any::<bool>(),
        payload in vec(any::<u8>(), 0..300),
        rtp_like in any::<bool>(),
        options in 0..=10usize,
        tag in proptest::option::of(any::<u16>()),
    ) {
        let mut bench = calls();
        let mut payload = payload;
        if rtp_like && payload.len() > 1 {
            payload[0] = 0x80 | payload[0] & 0x3f;
        }
        let own = if outside { OUR_OUTSIDE } else { OUR_INSIDE };
        let destination = std::net::SocketAddrV4::new(own, port);
        let packet = Packet { options: vec![1; 4 * options], tag, ..Packet::new(at("192.0.2.66:999"), destination, &payload) };
        prop_assert!(bench.send(&packet).sent.is_empty());
    }

    #[test]
    fn whatever_the_call_manager_side_sends_leaves_with_right_checksums(
        payload in vec(any::<u8>(), 12..1400),
        options in 0..=10usize,
        tag in proptest::option::of(any::<u16>()),
        vlan in 0..4095u16,
        tos in any::<u8>(),
    ) {
        let mut bench = Bench::new();
        let mut peer = bench.call(1, Suite::AeadAes128Gcm);
        let hop = pinhole_flow::NextHop { port: 0, valid: 1, vlan, mac: OUR_MACS[1], reserved: [0; 2] };
        bench.next_hop(0, hop);
        let mut payload = payload;
        (payload[0], payload[1]) = (0x80, payload[1] & 0x3f);
        let packet = Packet { options: vec![1; 4 * options], tag, tos, ..Packet::new(inside(), ours_inside(1), &payload) };
        let out = bench.send(&packet);
        // Reading it has checked lengths and checksums.
        prop_assert_eq!(out.one().1.tag, (vlan != 0).then_some(vlan));
        prop_assert_eq!(peer.unprotect(&out.one().1.payload), Some(payload));
    }

    #[test]
    fn arbitrary_commands_never_panic_and_never_open_the_impossible(
        commands in vec((0..6u32, 0..20u32, 0..3u32, vec(any::<u8>(), size_of::<Command>())), 1..30),
        raw in any::<bool>(),
    ) {
        use zerocopy::{FromBytes, IntoBytes};
        let mut bench = Bench::new();
        for (kind, slot, generation, bytes) in commands {
            let mut command = Command::new_zeroed();
            if raw {
                command = Command::read_from_bytes(&bytes).unwrap();
            } else {
                // Something that is nearly right.
                let local = 16_380 + u16::from(bytes[0]) * 2;
                command.session = session(leg(bytes[1] % 3, local, phone()), leg(bytes[2] % 3, local + 2 * u16::from(bytes[3] % 3), inside()));
                command.session.legs[0].flags = bytes[4] % 9;
                command.session.as_mut_bytes()[usize::from(bytes[5])] ^= bytes[6] & bytes[7] & 1;
            }
            (command.kind, command.slot, command.generation) = (kind, slot, generation);
            bench.command(command);
        }
        let open = bench.slots.iter().filter(|slot| slot.state == pinhole_flow::slot::state::OPEN).count();
        prop_assert_eq!(open, bench.relay.open_sessions() as usize);
        let frames = (0..32u16).map(|n| {
            Packet::new(inside(), std::net::SocketAddrV4::new(OUR_INSIDE, 16_384 + n), &rtp(1, n)).buffer()
        });
        bench.burst(INSIDE, frames);
    }
}
