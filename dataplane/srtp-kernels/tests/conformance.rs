//! What every engine must do, on random packets of random keys.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Case, Packet, batch, keys, one};
use pinhole_flow::Suite;
use pinhole_srtp_kernels::{E_BIT, Engine, Job, Keys, Kind, Outcome, Portable, SessionKeys, every_variant};
use proptest::prelude::*;

prop_compose! {
    fn any_case()(
        suite in prop::sample::select(Suite::ALL.to_vec()),
        seed in any::<u8>(),
        mki in prop::collection::vec(any::<u8>(), 128),
        mki_len in prop::sample::select(vec![0, 0, 1, 4, 128]),
        is_rtp in any::<bool>(),
        encrypt in prop::bool::weighted(0.8),
        header in prop_oneof![12usize..80, 12usize..1100],
        payload in prop_oneof![0usize..300, 0usize..1500],
        index in 0u64..1 << 48,
        fill in any::<u64>(),
    ) -> Case {
        let kind = if is_rtp { Kind::Rtp } else { Kind::Rtcp };
        let payload_at = if is_rtp { header } else { 8 };
        let e_bit = if encrypt { u64::from(E_BIT) } else { 0 };
        let index = if is_rtp { index } else { index & 0x7fff_ffff | e_bit };
        let bytes = (0u64..).map(|at| (fill.rotate_left(at as u32 % 64).wrapping_mul(at | 1) >> 24) as u8);
        let plain = bytes.take(payload_at + payload).collect();
        Case { suite, seed, mki: mki[..mki_len].to_vec(), kind, payload_at, index, plain }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_protected_unprotects_to_the_same(case in any_case()) {
        for engine in every_variant() {
            let mut packet = case.protected(&*engine);
            let overhead = case.keys(&*engine).overhead(case.kind);
            prop_assert_eq!(packet.len, case.plain.len() + overhead);
            let (header, payload) = case.plain.split_at(case.payload_at);
            prop_assert_eq!(&packet.bytes()[..header.len()], header);
            if payload.len() >= 8 {
                let same = &packet.bytes()[header.len()..case.plain.len()] == payload;
                prop_assert_eq!(same, !case.encrypted());
            }
            prop_assert_eq!(case.unprotect(&*engine, &mut packet), Outcome::Done);
            prop_assert_eq!(packet.bytes(), &case.plain[..]);
        }
    }

    #[test]
    fn a_changed_bit_is_refused_and_the_packet_left_as_it_was(
        case in any_case(), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        for engine in every_variant() {
            let mut packet = case.protected(&*engine);
            let at = at.index(packet.len);
            packet.buffer[at] ^= 1 << bit;
            let before = packet.clone();
            let outcome = case.unprotect(&*engine, &mut packet);
            prop_assert!(matches!(outcome, Outcome::AuthFailed | Outcome::MkiMismatch), "{:?}", outcome);
            prop_assert_eq!(packet, before);
        }
    }

    #[test]
    fn another_rollover_counter_is_refused(case in any_case(), roc in any::<u32>()) {
        prop_assume!(case.kind == Kind::Rtp && u64::from(roc) != case.index >> 16);
        for engine in every_variant() {
            let mut packet = case.protected(&*engine);
            let other = Case { index: u64::from(roc) << 16 | case.index & 0xffff, ..case.clone() };
            prop_assert_eq!(other.unprotect(&*engine, &mut packet), Outcome::AuthFailed);
        }
    }

    #[test]
    fn a_truncated_packet_is_refused(case in any_case(), len in any::<prop::sample::Index>()) {
        for engine in every_variant() {
            let mut packet = case.protected(&*engine);
            packet.len = len.index(packet.len);
            let short = packet.len < case.payload_at + case.keys(&*engine).overhead(case.kind);
            let before = packet.clone();
            let outcome = case.unprotect(&*engine, &mut packet);
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
        for engine in every_variant() {
            let keys = case.keys(&*engine);
            let mut buffer = bytes.clone();
            let mut jobs = [Job {
                keys: &keys, kind: case.kind, packet: &mut buffer, len, payload_at,
                ssrc: 1, index: case.index, outcome: Outcome::Pending,
            }];
            engine.unprotect(&mut jobs);
            prop_assert!(!matches!(jobs[0].outcome, Outcome::Done | Outcome::Pending));
            prop_assert_eq!(jobs[0].len, len);
            prop_assert_eq!(&buffer, &bytes);
        }
    }

    #[test]
    fn a_batch_of_different_keys_gives_what_the_portable_engine_gives_each_alone(
        cases in prop::collection::vec(any_case(), 0..100), forged in any::<u64>(),
    ) {
        let expected: Vec<Packet> = cases.iter().map(|case| case.protected(&Portable)).collect();
        for engine in every_variant() {
            let keys: Vec<Keys> = cases.iter().map(|case| case.keys(&*engine)).collect();
            let mut packets: Vec<Packet> = cases.iter().map(|case| Packet::new(&case.plain)).collect();
            let outcomes = batch(|jobs| engine.protect(jobs), &cases, &keys, &mut packets);
            prop_assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done));
            for (packet, expected) in packets.iter().zip(&expected) {
                prop_assert_eq!(packet.bytes(), expected.bytes());
            }

            // Some are forged: they fail and stay as they are, their neighbours are done.
            let is_forged = |at: usize| forged >> (at % 64) & 1 == 1;
            for (at, packet) in packets.iter_mut().enumerate().filter(|(at, _)| is_forged(*at)) {
                let end = packet.len - 1 - cases[at].mki.len() * usize::from(cases[at].suite.is_aead());
                packet.buffer[end] ^= 0x10;
            }
            let before = packets.clone();
            let outcomes = batch(|jobs| engine.unprotect(jobs), &cases, &keys, &mut packets);
            for (at, packet) in packets.iter().enumerate() {
                if is_forged(at) {
                    prop_assert_eq!(outcomes[at], Outcome::AuthFailed);
                    prop_assert_eq!(packet, &before[at]);
                } else {
                    prop_assert_eq!(outcomes[at], Outcome::Done);
                    prop_assert_eq!(packet.bytes(), &cases[at].plain[..]);
                }
            }
        }
    }
}

#[test]
fn srtcp_tag_is_80_bits_even_for_the_32_bit_suites() {
    for engine in every_variant() {
        for suite in [Suite::AesCm128HmacSha1_32, Suite::AesCm192HmacSha1_32, Suite::AesCm256HmacSha1_32] {
            let keys = keys(&*engine, suite, &[1; 16], &[2; 14], 3, &[]);
            assert_eq!(keys.overhead(Kind::Rtp), 4);
            assert_eq!(keys.overhead(Kind::Rtcp), 4 + 10);
        }
    }
}

#[test]
fn another_mki_is_a_mismatch_not_skipped() {
    for engine in every_variant() {
        for suite in Suite::ALL {
            for case in [Case::rtp(suite, 12, 88), Case::rtcp(suite, true, 92)] {
                let sent = case.clone().with_mki(&[0, 0, 0, 1]);
                let mut packet = sent.protected(&*engine);
                let before = packet.clone();
                let receiver = case.clone().with_mki(&[0, 0, 0, 2]);
                assert_eq!(receiver.unprotect(&*engine, &mut packet), Outcome::MkiMismatch);
                assert_eq!(packet, before);
                assert_eq!(sent.unprotect(&*engine, &mut packet), Outcome::Done);
            }
        }
    }
}

#[test]
fn a_packet_without_room_for_the_trailer_is_left_as_it_was() {
    for engine in every_variant() {
        for suite in Suite::ALL {
            for kind in [Kind::Rtp, Kind::Rtcp] {
                let keys = keys(&*engine, suite, &vec![7; suite.key_len()], &[9; 12], 5, &[1, 2, 3]);
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
fn keys_of_another_kind_of_engine_are_refused() {
    let mut engines = every_variant();
    engines.retain(|engine| engine.name() != Portable.name());
    for engine in engines {
        for suite in Suite::ALL {
            let case = Case::rtp(suite, 12, 160);
            let pairs: [(&dyn Engine, &dyn Engine); 2] = [(&Portable, &*engine), (&*engine, &Portable)];
            for (maker, user) in pairs {
                let keys = case.keys(maker);
                for work in [Engine::protect, Engine::unprotect] {
                    let mut packet = Packet::new(&case.plain);
                    let before = packet.clone();
                    let outcome = one(|jobs| work(user, jobs), &keys, case.kind, &mut packet, 12, 0);
                    assert_eq!(outcome, Outcome::ForeignKeys);
                    assert_eq!(packet, before);
                }
            }
        }
    }
}

#[test]
fn an_mki_of_more_than_128_bytes_is_refused() {
    let session = SessionKeys::default();
    for engine in every_variant() {
        assert!(engine.expand(Suite::AeadAes128Gcm, &session, &session, &[0; 128]).is_ok());
        assert!(engine.expand(Suite::AeadAes128Gcm, &session, &session, &[0; 129]).is_err());
    }
}

#[test]
fn debug_output_names_the_suite_and_no_key() {
    for engine in every_variant() {
        let keys = keys(&*engine, Suite::AesCm128HmacSha1_80, &[0xab; 16], &[0xcd; 14], 0xef, &[]);
        assert_eq!(format!("{keys:?}"), "Keys(AES_CM_128_HMAC_SHA1_80)");
    }
}
