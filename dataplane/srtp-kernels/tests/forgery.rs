//! Every single bit that is changed is noticed, and what is refused stays as it came.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Case, Packet, batch};
use pinhole_flow::Suite;
use pinhole_srtp_kernels::{Engine, Keys, Outcome, every_variant};

/// Flips each bit of a packet in turn, `burst` packets at once, an untouched one in their middle.
fn every_flip_is_refused(engine: &dyn Engine, case: &Case, burst: usize) {
    let genuine = case.protected(engine);
    let bits: Vec<usize> = (0..8 * genuine.len).collect();
    let keys: Vec<Keys> = (0..=burst).map(|_| case.keys(engine)).collect();
    for bits in bits.chunks(burst) {
        let mut packets: Vec<Packet> = vec![genuine.clone(); bits.len()];
        packets.iter_mut().zip(bits).for_each(|(packet, bit)| packet.buffer[bit / 8] ^= 1 << (bit % 8));
        let middle = bits.len() / 2;
        packets.insert(middle, genuine.clone());
        let before = packets.clone();
        let cases = vec![case.clone(); packets.len()];
        let outcomes = batch(|jobs| engine.unprotect(jobs), &cases, &keys, &mut packets);
        for at in 0..packets.len() {
            if at == middle {
                assert_eq!(outcomes[at], Outcome::Done, "{}", engine.name());
                assert!(packets[at].bytes() == case.plain);
            } else {
                let refused = matches!(outcomes[at], Outcome::AuthFailed | Outcome::MkiMismatch);
                assert!(refused, "{}, {:?}", engine.name(), case);
                assert!(packets[at] == before[at], "{}, {:?}", engine.name(), case);
            }
        }
    }
}

#[test]
fn every_bit_of_an_rtp_packet_is_authenticated() {
    for engine in every_variant() {
        for suite in Suite::ALL {
            for (header, payload) in [(12, 0), (12, 3), (12, 160), (20, 61), (92, 230)] {
                for burst in [3, 31] {
                    every_flip_is_refused(&*engine, &Case::rtp(suite, header, payload).with_mki(&[7]), burst);
                }
            }
        }
    }
}

#[test]
fn every_bit_of_an_rtcp_packet_is_authenticated() {
    for engine in every_variant() {
        for suite in Suite::ALL {
            for encrypt in [true, false] {
                for body in [0, 20, 44, 250] {
                    every_flip_is_refused(&*engine, &Case::rtcp(suite, encrypt, body).with_mki(&[7, 8]), 15);
                }
            }
        }
    }
}
