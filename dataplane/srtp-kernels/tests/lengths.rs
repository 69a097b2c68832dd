//! Byte for byte what the portable engine does: every length, every burst, every kind of header.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Case, Packet, batch};
use pinhole_flow::Suite;
use pinhole_srtp_kernels::{Engine, Keys, Outcome, Portable, every_variant};

const MKIS: [&[u8]; 3] = [&[], &[0, 0, 0, 1], &[0x5a; 128]];

/// Protects the cases in batches of `burst`, compares with the portable engine, and unprotects.
fn same_as_portable(cases: &[Case], burst: usize) {
    let expected: Vec<Packet> = cases.iter().map(|case| case.protected(&Portable)).collect();
    for engine in every_variant() {
        for (cases, expected) in cases.chunks(burst).zip(expected.chunks(burst)) {
            same(&*engine, cases, expected);
        }
    }
}

fn same(engine: &dyn Engine, cases: &[Case], expected: &[Packet]) {
    let keys: Vec<Keys> = cases.iter().map(|case| case.keys(engine)).collect();
    let mut packets: Vec<Packet> = cases.iter().map(|case| Packet::new(&case.plain)).collect();
    let outcomes = batch(|jobs| engine.protect(jobs), cases, &keys, &mut packets);
    for (at, packet) in packets.iter().enumerate() {
        let (case, name) = (&cases[at], engine.name());
        let is = format!("{name}, {}, {:?}, {} bytes", case.suite.name(), case.kind, case.plain.len());
        assert_eq!(outcomes[at], Outcome::Done, "{is}");
        assert!(packet == &expected[at], "{is}");
    }
    let outcomes = batch(|jobs| engine.unprotect(jobs), cases, &keys, &mut packets);
    for ((packet, case), outcome) in packets.iter().zip(cases).zip(outcomes) {
        assert_eq!(outcome, Outcome::Done);
        assert!(packet.bytes() == case.plain, "{}, {} bytes", case.suite.name(), case.plain.len());
    }
}

/// Payload lengths: each to 1,500, then some to 9,000, among them those around multiples of blocks.
fn lengths() -> impl Iterator<Item = usize> {
    let jumbo = (1501..=9000).filter(|len| len % 509 == 0 || len % 1024 < 2 || len % 4096 > 4094);
    (0..=1500).chain(jumbo).chain([8999, 9000])
}

#[test]
fn rtp_of_every_length_is_the_same_in_batches_of_like_lengths() {
    for suite in Suite::ALL {
        let cases: Vec<Case> = lengths().map(|len| Case::rtp(suite, 12, len)).collect();
        same_as_portable(&cases, 32);
    }
}

#[test]
fn packets_of_one_length_and_many_keys_are_the_same() {
    let own = |(case, at): (Case, u8)| Case { seed: at, index: case.index + (u64::from(at) << 16), ..case };
    for suite in Suite::ALL {
        for len in (0..=270).chain([1488, 1500, 9000]) {
            let rtp = std::iter::repeat_n(Case::rtp(suite, 12, len), 20);
            let rtcp = std::iter::repeat_n(Case::rtcp(suite, true, len), 20);
            for cases in [rtp, rtcp] {
                let cases: Vec<Case> = cases.zip(0..).map(own).collect();
                same_as_portable(&cases, 20);
            }
        }
    }
}

#[test]
fn rtp_of_every_length_is_the_same_in_batches_of_mixed_lengths_and_suites() {
    let mut cases: Vec<Case> = lengths()
        .enumerate()
        .map(|(at, len)| Case::rtp(Suite::ALL[at % 6], 12, len).with_mki(MKIS[at % 3]))
        .collect();
    // Neighbours get far apart.
    cases.sort_by_key(|case| case.plain.len() * 7919 % 1511);
    same_as_portable(&cases, 64);
}

#[test]
fn a_packet_alone_is_the_same_at_every_length() {
    for suite in Suite::ALL {
        let cases: Vec<Case> = (0..=300).map(|len| Case::rtp(suite, 12, len)).collect();
        same_as_portable(&cases, 1);
    }
}

#[test]
fn rtcp_of_every_length_is_the_same_encrypted_or_not() {
    for suite in Suite::ALL {
        for encrypt in [true, false] {
            for mki in MKIS {
                let cases: Vec<Case> =
                    (0..400).map(|len| Case::rtcp(suite, encrypt, len).with_mki(mki)).collect();
                same_as_portable(&cases, 20);
            }
        }
    }
}

#[test]
fn bursts_of_one_to_a_hundred_are_the_same() {
    for suite in Suite::ALL {
        for burst in 1..=100 {
            let cases: Vec<Case> =
                (0..burst).map(|at| Case::rtp(suite, 12, [160, 160, 20, 33, 240][at % 5])).collect();
            same_as_portable(&cases, burst);
        }
    }
}

#[test]
fn headers_of_every_length_are_the_same() {
    for suite in Suite::ALL {
        // CSRCs and extensions make headers of multiples of four bytes, to more than a thousand.
        let headers = (12..=140).chain((144..1100).step_by(28));
        let cases: Vec<Case> =
            headers.flat_map(|header| [0, 1, 16, 160].map(|len| Case::rtp(suite, header, len))).collect();
        same_as_portable(&cases, 64);
    }
}

#[test]
fn every_rollover_counter_is_the_same() {
    for suite in Suite::ALL {
        let cases: Vec<Case> = (0..48)
            .flat_map(|bit| [1 << bit, (1 << bit) - 1])
            .chain([(1 << 48) - 1])
            .map(|index| Case { index, ..Case::rtp(suite, 12, 160) })
            .collect();
        same_as_portable(&cases, 32);
    }
}
