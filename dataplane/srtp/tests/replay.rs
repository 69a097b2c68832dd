//! The replay windows: every packet is accepted exactly once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;

use common::{Drop, Party, rtcp_packet, rtp_packet};
use pinhole_flow::StreamState;
use pinhole_flow::Suite;
use pinhole_flow::slot::STREAMS;
use pinhole_srtp::kernels::Kind;
use pinhole_srtp::{Guess, Refused, Windows, outbound, rtp};
use proptest::prelude::*;

const SSRC: u32 = 0xfeed_f00d;
const REPLAYED: Result<Vec<u8>, Drop> = Err(Drop::State(Refused::Replayed));
const TOO_OLD: Result<Vec<u8>, Drop> = Err(Drop::State(Refused::TooOld));

fn pair() -> (Party, Party) {
    (Party::new(Suite::AeadAes128Gcm, 1, &[]), Party::new(Suite::AeadAes128Gcm, 1, &[]))
}

#[test]
fn every_packet_sent_twice_is_accepted_once() {
    let (mut sender, mut receiver) = pair();
    for step in 0..300u16 {
        let packet = sender.protect(&rtp_packet(SSRC, step.wrapping_add(65_400), b"voice")).unwrap();
        assert!(receiver.unprotect(&packet).is_ok());
        assert_eq!(receiver.unprotect(&packet), REPLAYED);
        let packet = sender.protect_rtcp(&rtcp_packet(SSRC, Some(step))).unwrap();
        assert!(receiver.unprotect_rtcp(&packet).is_ok());
        assert_eq!(receiver.unprotect_rtcp(&packet), REPLAYED);
    }
}

#[test]
fn a_packet_replayed_after_half_a_window_a_window_and_a_rollover_is_refused() {
    let (mut sender, mut receiver) = pair();
    let first = sender.protect(&rtp_packet(SSRC, 0, b"voice")).unwrap();
    assert!(receiver.unprotect(&first).is_ok());
    for step in 1..70_000u32 {
        let packet = sender.protect(&rtp_packet(SSRC, step as u16, b"voice")).unwrap();
        assert!(receiver.unprotect(&packet).is_ok());
        match step {
            64 | 127 => assert_eq!(receiver.unprotect(&first), REPLAYED),
            128 | 30_000 => assert_eq!(receiver.unprotect(&first), TOO_OLD),
            // One whole rollover later the old packet has the wrong counter.
            65_536 => assert!(matches!(receiver.unprotect(&first), Err(Drop::Crypto(_)))),
            _ => {}
        }
    }
}

#[test]
fn packets_late_by_less_than_the_window_are_accepted_once() {
    let (mut sender, mut receiver) = pair();
    let sent: Vec<_> = (0..=200).map(|step| sender.protect(&rtp_packet(SSRC, step, b"")).unwrap()).collect();
    assert!(receiver.unprotect(&sent[200]).is_ok());
    for late in &sent[73..200] {
        assert!(receiver.unprotect(late).is_ok());
        assert_eq!(receiver.unprotect(late), REPLAYED);
    }
    assert_eq!(receiver.unprotect(&sent[72]), TOO_OLD);
}

#[test]
fn rtp_and_rtcp_of_one_ssrc_have_windows_of_their_own() {
    let (mut sender, mut receiver) = pair();
    let rtp = sender.protect(&rtp_packet(SSRC, 0, b"voice")).unwrap();
    let rtcp = sender.protect_rtcp(&rtcp_packet(SSRC, None)).unwrap();
    assert!(receiver.unprotect(&rtp).is_ok());
    assert!(receiver.unprotect_rtcp(&rtcp).is_ok());
    assert_eq!(receiver.unprotect(&rtp), REPLAYED);
    assert_eq!(receiver.unprotect_rtcp(&rtcp), REPLAYED);
    assert_eq!(receiver.streams.iter().filter(|state| state.flags != 0).count(), 1);
}

#[test]
fn a_replayed_packet_changes_no_state() {
    let (mut sender, mut receiver) = pair();
    let sent: Vec<_> = (0..200).map(|step| sender.protect(&rtp_packet(SSRC, step, b"")).unwrap()).collect();
    for packet in &sent {
        receiver.unprotect(packet).unwrap();
    }
    let before = receiver.streams;
    for packet in &sent {
        assert!(receiver.unprotect(packet).is_err());
    }
    assert_eq!(receiver.streams, before);
}

#[test]
fn a_sequence_number_is_never_sent_twice() {
    let (mut sender, _) = pair();
    assert!(sender.protect(&rtp_packet(SSRC, 10, b"one")).is_ok());
    assert_eq!(sender.protect(&rtp_packet(SSRC, 10, b"two")), REPLAYED);
    assert!(sender.protect(&rtp_packet(SSRC, 200, b"")).is_ok());
    assert_eq!(sender.protect(&rtp_packet(SSRC, 10, b"three")), TOO_OLD);
}

/// What the window should do, kept as the set of everything ever accepted.
#[derive(Default)]
struct Model {
    accepted: HashSet<u64>,
    highest: u64,
}

impl Model {
    fn accept(&mut self, index: u64) -> Result<(), Refused> {
        if self.accepted.is_empty() {
            self.highest = index;
        }
        if index + 128 <= self.highest {
            return Err(Refused::TooOld);
        }
        if !self.accepted.insert(index) {
            return Err(Refused::Replayed);
        }
        self.highest = self.highest.max(index);
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_window_does_what_a_set_of_all_packets_would(
        start in prop_oneof![0u64..300, 65_300u64..65_700, Just((1 << 40) - 5)],
        steps in prop::collection::vec(-200i64..260, 1..400),
    ) {
        let mut model = Model::default();
        let mut streams = [StreamState::default(); STREAMS];
        let mut at = start;
        for step in steps {
            // Further back the packet would be one of the next rollover.
            at = at.saturating_add_signed(step).max(model.highest.saturating_sub(20_000));
            let mut guess = Guess::rtp(&streams, &rtp::parse(&rtp_packet(SSRC, at as u16, b"")).unwrap());
            if model.accepted.is_empty() {
                // What a successful authentication at another counter would have given.
                guess.index = at;
            }
            prop_assert_eq!(guess.index, at);
            prop_assert_eq!(guess.commit(&mut streams, &mut Windows::default()), model.accept(at));
        }
    }

    #[test]
    fn no_index_is_assigned_twice(sequences in prop::collection::vec(any::<u16>(), 1..600)) {
        let mut streams = [StreamState::default(); STREAMS];
        let mut assigned = HashSet::new();
        for sequence in sequences {
            if let Ok(index) = outbound::assign_rtp(&mut streams, SSRC, sequence) {
                prop_assert_eq!(index as u16, sequence);
                prop_assert!(assigned.insert(index));
            }
        }
    }

    #[test]
    fn shuffled_and_repeated_packets_arrive_exactly_once(
        order in prop::collection::vec(0usize..60, 1..200),
        start in any::<u16>(),
    ) {
        let (mut sender, mut receiver) = pair();
        let sent: Vec<_> = (0..60)
            .map(|step| sender.protect(&rtp_packet(SSRC, start.wrapping_add(step), b"x")).unwrap())
            .collect();
        let mut seen = HashSet::new();
        receiver.unprotect(&sent[0]).unwrap();
        seen.insert(0);
        for at in order {
            prop_assert_eq!(receiver.unprotect(&sent[at]).is_ok(), seen.insert(at));
        }
    }

    #[test]
    fn whatever_old_reports_come_after_updates_the_real_sender_is_heard_and_its_report_ends_their_time(
        old in prop::collection::vec((0u64..400, any::<bool>(), any::<bool>()), 1..200),
    ) {
        let mut streams = [StreamState::default(); STREAMS];
        let header = rtp::parse(&rtp_packet(SSRC, 0, b"")).unwrap();
        let commit = |streams: &mut [StreamState; STREAMS], index| {
            let mut guess = Guess::rtp(streams, &header);
            (guess.kind, guess.index) = (Kind::Rtcp, index);
            guess.commit(streams, &mut Windows::default())
        };
        let mut real = 300;
        commit(&mut streams, real).unwrap();
        let (mut permitted, mut set_back) = (false, false);
        for (index, update, speaks) in old {
            permitted |= update;
            if update {
                pinhole_srtp::allow_reset(&mut streams);
            }
            // Captured, so no newer than what was sent.
            let index = index.min(real);
            if commit(&mut streams, index).is_ok() {
                let older_than_the_window = index + 64 <= real;
                prop_assert!(!older_than_the_window || permitted || set_back);
                if older_than_the_window {
                    (permitted, set_back) = (permitted && set_back, true);
                }
                prop_assert_eq!(commit(&mut streams, index), Err(Refused::Replayed));
            }
            if speaks {
                real += 1;
                prop_assert_eq!(commit(&mut streams, real), Ok(()));
                prop_assert_eq!(commit(&mut streams, real), Err(Refused::Replayed));
                set_back = false;
                if !permitted {
                    prop_assert_eq!(commit(&mut streams, 100), Err(Refused::TooOld));
                }
            }
        }
    }

    #[test]
    fn any_kind_of_state_found_in_shared_memory_is_survived(
        index: u64, window: [u64; 2], rtcp_window: u64, rtcp_index: u32, flags: u32, sequence: u16, offset: u16,
    ) {
        let state = StreamState { index, window, rtcp_window, rtcp_index, ssrc: SSRC, flags, offset, offset_before: !offset };
        let mut streams = [state; STREAMS];
        let header = rtp::parse(&rtp_packet(SSRC, sequence, b"")).unwrap();
        let mut guess = Guess::rtp(&streams, &header);
        let _ = guess.again(&streams, None).and_then(|guess| guess.again(&streams, Some(&streams)));
        let _ = guess.commit(&mut streams, &mut Windows::default());
        guess.kind = Kind::Rtcp;
        let _ = guess.commit(&mut streams, &mut Windows::default());
        let _ = outbound::assign_rtp(&mut streams, SSRC, sequence);
        let _ = outbound::assign_rtcp(&mut streams, SSRC);
    }
}
