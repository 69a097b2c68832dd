//! Replay windows from 64 to 1024 packets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;

use common::rtp_packet;
use pinhole_flow::StreamState;
use pinhole_flow::slot::STREAMS;
use pinhole_srtp::{Guess, Refused, Windows, allow_reset, inbound, retire, rtp};
use proptest::prelude::*;

fn accept(
    streams: &mut [StreamState; STREAMS],
    windows: &mut Windows,
    ssrc: u32,
    sequence: u16,
) -> Result<(), Refused> {
    let header = rtp::parse(&rtp_packet(ssrc, sequence, b"")).unwrap();
    Guess::rtp(streams, &header).commit(streams, windows)
}

#[test]
fn a_window_spans_as_many_packets_as_it_is_set_to() {
    for span in [64, 128, 192, 512, 1024] {
        let mut streams = [StreamState::default(); STREAMS];
        let mut windows = Windows::new(span);
        for ssrc in 1..=STREAMS as u32 {
            accept(&mut streams, &mut windows, ssrc, 20_000).unwrap();
        }
        for ssrc in 1..=STREAMS as u32 {
            let oldest = 20_000 - span as u16 + 1;
            assert_eq!(accept(&mut streams, &mut windows, ssrc, oldest - 1), Err(Refused::TooOld), "{span}");
            assert_eq!(accept(&mut streams, &mut windows, ssrc, oldest), Ok(()), "{span}");
            assert_eq!(accept(&mut streams, &mut windows, ssrc, oldest), Err(Refused::Replayed), "{span}");
        }
    }
}

proptest! {
    #[test]
    fn every_window_does_what_a_set_of_all_packets_would(
        words in 1u32..=16,
        steps in prop::collection::vec(prop_oneof![-1100i64..1200, -70i64..80], 1..300),
    ) {
        let span = 64 * words;
        let mut streams = [StreamState::default(); STREAMS];
        let mut windows = Windows::new(span);
        let (mut accepted, mut highest, mut at) = (HashSet::new(), 30_000i64, 30_000i64);
        accept(&mut streams, &mut windows, 1, 30_000).unwrap();
        accepted.insert(30_000);
        for step in steps {
            at = (at + step).clamp(10_000, 60_000);
            let expected = match () {
                () if at + i64::from(span) <= highest => Err(Refused::TooOld),
                () if !accepted.insert(at) => Err(Refused::Replayed),
                () => Ok(()),
            };
            highest = highest.max(at);
            prop_assert_eq!(accept(&mut streams, &mut windows, 1, at as u16), expected);
        }
    }
}

#[test]
fn a_stream_that_made_room_is_put_back_with_all_that_it_has_seen() {
    for span in [64, 128, 1024] {
        let mut streams = [StreamState::default(); STREAMS];
        let mut windows = Windows::new(span);
        for sequence in 20_000..21_000 {
            accept(&mut streams, &mut windows, 1, sequence).unwrap();
        }
        let state = retire(&mut streams, 1).unwrap();
        assert_eq!((streams, retire(&mut streams, 1)), ([StreamState::default(); STREAMS], None));
        // Another uses its place, and the part of the window that lies beside the states.
        accept(&mut streams, &mut windows, 2, 7).unwrap();
        retire(&mut streams, 2).unwrap();
        inbound::resume(&mut streams, &mut windows, state).unwrap();
        for sequence in 20_000..21_000 {
            assert!(accept(&mut streams, &mut windows, 1, sequence).is_err(), "{span} {sequence}");
        }
        assert_eq!(accept(&mut streams, &mut windows, 1, 21_000), Ok(()));
    }
}

#[test]
fn a_stream_that_was_set_back_makes_room_with_its_higher_state() {
    let (mut streams, mut windows) = ([StreamState::default(); STREAMS], Windows::default());
    accept(&mut streams, &mut windows, 1, 20_000).unwrap();
    allow_reset(&mut streams);
    accept(&mut streams, &mut windows, 1, 10_000).unwrap();
    assert_eq!(streams.iter().filter(|state| state.ssrc == 1).count(), 2);
    let state = retire(&mut streams, 1).unwrap();
    inbound::resume(&mut streams, &mut windows, state).unwrap();
    assert_eq!(accept(&mut streams, &mut windows, 1, 20_000), Err(Refused::Replayed));
    assert_eq!(accept(&mut streams, &mut windows, 1, 10_001), Err(Refused::TooOld));
    assert_eq!(accept(&mut streams, &mut windows, 1, 20_001), Ok(()));
}
