//! What every engine must do, on random packets of random keys.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Packet, keys, one};
use pinhole_flow::Suite;
use pinhole_srtp_kernels::{E_BIT, Engine, Job, Keys, Kind, Outcome, Portable};
use proptest::prelude::*;

const ENGINES: [&dyn Engine; 1] = [&Portable];

/// A packet, its keys and its place in the stream.
#[derive(Debug)]
struct Case {
    keys: Keys,
    kind: Kind,
    payload_at: usize,
    index: u64,
    plain: Vec<u8>,
}

prop_compose! {
    fn any_case()(
        suite in prop::sample::select(Suite::ALL.to_vec()),
        key in any::<[u8; 32]>(),
        salt in any::<[u8; 14]>(),
        auth in any::<u8>(),
        mki in prop::collection::vec(any::<u8>(), 128),
        mki_len in prop::sample::select(vec![0, 0, 1, 4, 128]),
        is_rtp in any::<bool>(),
        encrypt in prop::bool::weighted(0.8),
        header in 12usize..80,
        payload in 0usize..1500,
        index in 0u64..1 << 48,
        fill in any::<u64>(),
    ) -> Case {
        let kind = if is_rtp { Kind::Rtp } else { Kind::Rtcp };
        let payload_at = if is_rtp { header } else { 8 };
        let e_bit = if encrypt { u64::from(E_BIT) } else { 0 };
        let index = if is_rtp { index } else { index & 0x7fff_ffff | e_bit };
        let bytes = (0u64..).map(|at| (fill.rotate_left(at as u32 % 64).wrapping_mul(at | 1) >> 24) as u8);
        let plain = bytes.take(payload_at + payload).collect();
        Case { keys: keys(&Portable, suite, &key[..suite.key_len()], &salt, auth, &mki[..mki_len]), kind, payload_at, index, plain }
    }
}

impl Case {
    fn protected(&self, engine: &dyn Engine) -> Packet {
        let mut packet = Packet::new(&self.plain);
        let outcome =
            one(|jobs| engine.protect(jobs), &self.keys, self.kind, &mut packet, self.payload_at, self.index);
        assert_eq!(outcome, Outcome::Done);
        packet
    }

    fn unprotect(&self, engine: &dyn Engine, packet: &mut Packet) -> Outcome {
        one(|jobs| engine.unprotect(jobs), &self.keys, self.kind, packet, self.payload_at, self.index)
    }

    /// Whether the payload, if there is one, is encrypted.
    fn encrypted(&self) -> bool {
        self.kind == Kind::Rtp || self.index & u64::from(E_BIT) != 0
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_protected_unprotects_to_the_same(case in any_case()) {
        for engine in ENGINES {
            let mut packet = case.protected(engine);
            prop_assert_eq!(packet.len, case.plain.len() + case.keys.overhead(case.kind));
            let (header, payload) = case.plain.split_at(case.payload_at);
            prop_assert_eq!(&packet.bytes()[..header.len()], header);
            if payload.len() >= 8 {
                let same = &packet.bytes()[header.len()..case.plain.len()] == payload;
                prop_assert_eq!(same, !case.encrypted());
            }
            prop_assert_eq!(case.unprotect(engine, &mut packet), Outcome::Done);
            prop_assert_eq!(packet.bytes(), &case.plain[..]);
        }
    }

    #[test]
    fn a_changed_bit_is_refused_and_the_packet_left_as_it_was(
        case in any_case(), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        for engine in ENGINES {
            let mut packet = case.protected(engine);
            let at = at.index(packet.len);
            packet.buffer[at] ^= 1 << bit;
            let before = packet.clone();
            let outcome = case.unprotect(engine, &mut packet);
            prop_assert!(matches!(outcome, Outcome::AuthFailed | Outcome::MkiMismatch), "{:?}", outcome);
            prop_assert_eq!(packet, before);
        }
    }

    #[test]
    fn another_rollover_counter_is_refused(case in any_case(), roc in any::<u32>()) {
        prop_assume!(case.kind == Kind::Rtp && u64::from(roc) != case.index >> 16);
        for engine in ENGINES {
            let mut packet = case.protected(engine);
            let index = u64::from(roc) << 16 | case.index & 0xffff;
            let outcome =
                one(|jobs| engine.unprotect(jobs), &case.keys, case.kind, &mut packet, case.payload_at, index);
            prop_assert_eq!(outcome, Outcome::AuthFailed);
        }
    }

    #[test]
    fn a_truncated_packet_is_refused(case in any_case(), len in any::<prop::sample::Index>()) {
        for engine in ENGINES {
            let mut packet = case.protected(engine);
            packet.len = len.index(packet.len);
            let short = packet.len < case.payload_at + case.keys.overhead(case.kind);
            let before = packet.clone();
            let outcome = case.unprotect(engine, &mut packet);
            prop_assert_ne!(outcome, Outcome::Done);
            prop_assert_eq!(short, outcome == Outcome::TooShort);
            prop_assert_eq!(packet, before);
        }
    }

    #[test]
    fn random_bytes_are_refused_without_a_panic(
        case in any_case(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        len in 0usize..400,
        payload_at in 0usize..400,
    ) {
        for engine in ENGINES {
            let mut buffer = bytes.clone();
            let mut jobs = [Job {
                keys: &case.keys, kind: case.kind, packet: &mut buffer, len, payload_at,
                ssrc: 1, index: case.index, outcome: Outcome::Pending,
            }];
            engine.unprotect(&mut jobs);
            prop_assert!(!matches!(jobs[0].outcome, Outcome::Done | Outcome::Pending));
            prop_assert_eq!(jobs[0].len, len);
            prop_assert_eq!(&buffer, &bytes);
        }
    }

    #[test]
    fn a_batch_of_different_keys_gives_what_each_gives_alone(cases in prop::collection::vec(any_case(), 0..40)) {
        for engine in ENGINES {
            let alone: Vec<Packet> = cases.iter().map(|case| case.protected(engine)).collect();
            let mut packets: Vec<Packet> = cases.iter().map(|case| Packet::new(&case.plain)).collect();
            for (protect, expected) in [
                (true, alone.iter().map(|packet| packet.bytes().to_vec()).collect::<Vec<_>>()),
                (false, cases.iter().map(|case| case.plain.clone()).collect()),
            ] {
                let mut jobs: Vec<Job<'_>> = cases.iter().zip(&mut packets).map(|(case, packet)| {
                    let at = if case.kind == Kind::Rtp { 8 } else { 4 };
                    let ssrc = u32::from_be_bytes(packet.buffer[at..at + 4].try_into().unwrap());
                    Job {
                        keys: &case.keys, kind: case.kind, len: packet.len, packet: &mut packet.buffer,
                        payload_at: case.payload_at, ssrc, index: case.index, outcome: Outcome::Pending,
                    }
                }).collect();
                if protect { engine.protect(&mut jobs) } else { engine.unprotect(&mut jobs) }
                prop_assert!(jobs.iter().all(|job| job.outcome == Outcome::Done));
                let lens: Vec<usize> = jobs.iter().map(|job| job.len).collect();
                for ((packet, len), expected) in packets.iter_mut().zip(lens).zip(expected) {
                    packet.len = len;
                    prop_assert_eq!(packet.bytes(), &expected[..]);
                }
            }
        }
    }
}

#[test]
fn srtcp_tag_is_80_bits_even_for_the_32_bit_suites() {
    for suite in [Suite::AesCm128HmacSha1_32, Suite::AesCm256HmacSha1_32] {
        let keys = keys(&Portable, suite, &[1; 16], &[2; 14], 3, &[]);
        assert_eq!(keys.overhead(Kind::Rtp), 4);
        assert_eq!(keys.overhead(Kind::Rtcp), 4 + 10);
    }
}

#[test]
fn another_mki_is_a_mismatch_not_skipped() {
    for engine in ENGINES {
        for suite in Suite::ALL {
            for kind in [Kind::Rtp, Kind::Rtcp] {
                let key = vec![7; suite.key_len()];
                let sender = keys(&Portable, suite, &key, &[9; 12], 5, &[0, 0, 0, 1]);
                let receiver = keys(&Portable, suite, &key, &[9; 12], 5, &[0, 0, 0, 2]);
                let mut packet = Packet::new(&[0x80; 100]);
                let index = u64::from(E_BIT);
                assert_eq!(
                    one(|jobs| engine.protect(jobs), &sender, kind, &mut packet, 12, index),
                    Outcome::Done
                );
                let mut copy = packet.clone();
                let refused = one(|jobs| engine.unprotect(jobs), &receiver, kind, &mut copy, 12, index);
                assert_eq!(refused, Outcome::MkiMismatch);
                assert_eq!(copy, packet);
                let accepted = one(|jobs| engine.unprotect(jobs), &sender, kind, &mut packet, 12, index);
                assert_eq!(accepted, Outcome::Done);
            }
        }
    }
}

#[test]
fn a_packet_without_room_for_the_trailer_is_left_as_it_was() {
    for engine in ENGINES {
        for suite in Suite::ALL {
            for kind in [Kind::Rtp, Kind::Rtcp] {
                let keys = keys(&Portable, suite, &vec![7; suite.key_len()], &[9; 12], 5, &[1, 2, 3]);
                let room = keys.overhead(kind);
                let mut packet = Packet { buffer: vec![0x80; 100 + room - 1], len: 100 };
                let before = packet.clone();
                let outcome = one(|jobs| engine.protect(jobs), &keys, kind, &mut packet, 12, 0);
                assert_eq!(outcome, Outcome::NoRoom);
                assert_eq!(packet, before);
                packet.buffer.push(0);
                assert_eq!(one(|jobs| engine.protect(jobs), &keys, kind, &mut packet, 12, 0), Outcome::Done);
            }
        }
    }
}

#[test]
fn an_mki_of_more_than_128_bytes_is_refused() {
    let session = pinhole_srtp_kernels::SessionKeys::default();
    assert!(Portable.expand(Suite::AeadAes128Gcm, &session, &session, &[0; 128]).is_ok());
    assert!(Portable.expand(Suite::AeadAes128Gcm, &session, &session, &[0; 129]).is_err());
}

#[test]
fn debug_output_names_the_suite_and_no_key() {
    let keys = keys(&Portable, Suite::AesCm128HmacSha1_80, &[0xab; 16], &[0xcd; 14], 0xef, &[]);
    assert_eq!(format!("{keys:?}"), "Keys(AES_CM_128_HMAC_SHA1_80)");
}
