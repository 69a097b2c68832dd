//! What holds for any bytes, any message, any version and any length.

mod common;

use common::touch::{change, read};
use common::{ROWS, bytes, frame, places};
use pinhole_sccp::{Frame, FrameError, Framer, Limits, MessageId};
use proptest::collection::vec;
use proptest::prelude::*;

/// Ids that have layouts, any other named id, and any number.
fn ids() -> impl Strategy<Value = u32> {
    let rows: Vec<u32> = ROWS.iter().map(|row| row.id).collect();
    let others =
        [0x01, 0x20, 0x29, 0x8000, 0x9E, 0x8F, 0x14A, 0x111, 0x11E, 0x41, 0x148, 0x142, 0x12F, 0x93, 0x15A];
    let named: Vec<u32> = MessageId::NAMED.iter().map(|id| id.0).collect();
    prop_oneof![
        4 => prop::sample::select(rows),
        3 => prop::sample::select(others.to_vec()),
        1 => prop::sample::select(named),
        1 => any::<u32>(),
    ]
}

/// Bodies shorter and longer than any layout, of small words (ids, types, ports) and of any bytes.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let small_words =
        vec(0_u8..8, 0..110).prop_map(|words| words.iter().flat_map(|low| [*low, 0, 0, 0]).collect());
    let cut = (small_words, 0_usize..440).prop_map(|(mut body, length): (Vec<u8>, usize)| {
        body.truncate(length);
        body
    });
    prop_oneof![vec(any::<u8>(), 0..440), cut]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn frames_do_not_depend_on_the_cuts(
        messages in vec((ids(), 0_u32..=22, vec(any::<u8>(), 0..60)), 0..12),
        end in vec(any::<u8>(), 0..16),
        cuts in vec(1_usize..40, 1..20),
    ) {
        let mut stream: Vec<u8> = messages.iter().flat_map(|(id, version, body)| bytes(*id, *version, body)).collect();
        stream.extend_from_slice(&end);
        let mut whole = Framer::new(Limits::default());
        whole.push(&stream);
        let expected: Vec<_> = std::iter::from_fn(|| whole.next()).collect();
        let mut framer = Framer::new(Limits::default());
        let mut found = Vec::new();
        let (mut rest, mut cut) = (stream.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (segment, later) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
            framer.push(segment);
            found.extend(std::iter::from_fn(|| framer.next()));
            rest = later;
        }
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(framer.pending(), whole.pending());
        let wire: Vec<u8> = found.iter().flatten().flat_map(Frame::as_bytes).copied().collect();
        prop_assert!(stream.starts_with(&wire), "frames leave as they came");
    }

    #[test]
    fn any_bytes_end_in_frames_or_in_one_counted_reason(stream in vec(any::<u8>(), 0..200), small in any::<bool>()) {
        let mut stream = stream;
        if small && stream.len() > 4 {
            stream[1..4].fill(0);
        }
        let mut framer = Framer::new(Limits::default());
        framer.push(&stream);
        let found: Vec<_> = std::iter::from_fn(|| framer.next()).collect();
        for (index, frame) in found.iter().enumerate() {
            match frame {
                Ok(frame) => {
                    read(frame);
                    change(frame, |_, _, _| {});
                }
                Err(error) => {
                    prop_assert_eq!(index + 1, found.len(), "nothing follows an error");
                    prop_assert!(matches!(error.reason(), "frame_too_short" | "frame_too_long" | "frame_version"));
                }
            }
        }
    }

    #[test]
    fn changes_touch_their_field_alone(id in ids(), version in 0_u32..=22, body in bodies()) {
        let original = frame(id, version, &body);
        read(&original);
        let mut problem = None;
        change(&original, |field, changed, result| {
            if result.is_err() || matches!(field, "data" | "texts") {
                return;
            }
            let (before, after) = (original.body(), changed.body());
            let allowed = places(id, version, field);
            let stray = before.iter().zip(after).enumerate().find(|(at, (one, other))| {
                one != other && !allowed.iter().any(|place| place.contains(at))
            });
            let grown = if field == "inserted encryption" { after.len() >= before.len() } else { after.len() == before.len() };
            if stray.is_some() || !grown {
                problem = Some(format!("{field} changes {stray:?} of {original:?} to {changed:?}"));
            }
        });
        prop_assert_eq!(problem, None);
    }

    #[test]
    fn what_is_set_is_read_again(id in ids(), version in 0_u32..=22, body in bodies()) {
        let original = frame(id, version, &body);
        let mut problems = Vec::new();
        change(&original, |field, changed, result| {
            if result.is_err() {
                return;
            }
            let fine = match (field, changed.channel()) {
                ("conference", Some(channel)) => channel.conference() == Ok(0xA1A2_A3A4),
                ("party", Some(channel)) => channel.party() == Ok(0xA1A2_A3A4),
                ("call", Some(channel)) => channel.call() == Ok(0xA1A2_A3A4),
                ("port", Some(channel)) => channel.port() == Ok(40_000),
                ("rtcp", Some(channel)) => channel.rtcp_port() == Ok(40_001),
                ("endpoint", Some(channel)) => channel.endpoint().is_ok_and(|endpoint| {
                    endpoint.port == 40_000 && endpoint.socket_address().is_some()
                }),
                ("encryption" | "inserted encryption", Some(channel)) => {
                    !matches!(channel.encryption(), Ok(pinhole_sccp::KeyBlock::Unreadable { .. }))
                }
                _ => true,
            };
            if !fine {
                problems.push(format!("{field} of {original:?}"));
            }
        });
        prop_assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn texts_are_rewritten_and_nothing_else(id in ids(), version in 0_u32..=22, body in bodies()) {
        let original = frame(id, version, &body);
        let mut same = original.clone();
        prop_assert_eq!(same.rewrite_texts(|_| None), Ok(0));
        prop_assert_eq!(&same, &original, "no text replaced, nothing changed");
        let mut shown = Vec::new();
        let _cut_off = same.clone().rewrite_texts(|text| { shown.push(text.bytes.to_vec()); None });
        let listed: Vec<_> = original.texts().iter().map(|text| text.bytes.to_vec()).collect();
        prop_assert_eq!(shown, listed, "what is offered is what is listed");
        if let Ok(count) = same.rewrite_texts(|_| Some(b"new".to_vec())) {
            prop_assert_eq!(count, original.texts().len());
            prop_assert!(same.texts().iter().all(|text| text.bytes == b"new"));
        }
    }

    #[test]
    fn one_frame_is_parsed_as_the_framer_cuts_it(stream in vec(any::<u8>(), 0..40)) {
        let parsed = Frame::parse(&stream, &Limits::default());
        let mut framer = Framer::new(Limits::default());
        framer.push(&stream);
        match (parsed, framer.next()) {
            (Ok(frame), Some(Ok(cut))) => prop_assert_eq!(frame, cut),
            (Err(FrameError::NotOneFrame { .. }), None | Some(Ok(_))) => {}
            (Err(one), Some(Err(other))) => prop_assert_eq!(one, other),
            (parsed, cut) => prop_assert!(false, "{:?} and {:?}", parsed, cut),
        }
    }
}
