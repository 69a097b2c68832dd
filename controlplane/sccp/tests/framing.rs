//! Frames in a stream.
#![allow(clippy::panic)]

mod common;

use common::{body, bytes};
use pinhole_sccp::{Frame, FrameError, Framer, Limits, MessageId};

fn frames(stream: &[u8], limits: Limits) -> Vec<Result<Frame, FrameError>> {
    let mut framer = Framer::new(limits);
    framer.push(stream);
    std::iter::from_fn(|| framer.next()).collect()
}

fn only_error(stream: &[u8]) -> FrameError {
    match frames(stream, Limits::default()).as_slice() {
        [Err(error)] => error.clone(),
        other => panic!("not one error: {other:?}"),
    }
}

#[test]
fn frames_in_one_segment_come_out_one_by_one() {
    let stream = [bytes(0, 0, &[]), bytes(0x105, 17, &body(128)), bytes(0x7777, 22, &body(9))].concat();
    let frames: Vec<Frame> = frames(&stream, Limits::default()).into_iter().map(Result::unwrap).collect();
    assert_eq!(frames.iter().flat_map(Frame::as_bytes).copied().collect::<Vec<u8>>(), stream);
    assert_eq!(
        frames.iter().map(Frame::id).collect::<Vec<_>>(),
        [MessageId::KEEP_ALIVE, MessageId::OPEN_RECEIVE_CHANNEL, MessageId(0x7777)]
    );
    assert_eq!(frames.iter().map(Frame::version).collect::<Vec<_>>(), [0, 17, 22]);
    assert_eq!(frames.iter().map(|frame| frame.body().len()).collect::<Vec<_>>(), [0, 128, 9]);
}

#[test]
fn frame_over_several_segments_comes_out_with_its_last_byte() {
    let stream = bytes(0x22, 17, &body(36));
    let (last, rest) = stream.split_last().unwrap();
    let mut framer = Framer::new(Limits::default());
    for (index, byte) in rest.iter().enumerate() {
        framer.push(&[*byte]);
        assert_eq!(framer.next(), None);
        assert_eq!(framer.pending(), index + 1);
    }
    framer.push(&[*last]);
    assert_eq!(framer.next().unwrap().unwrap().as_bytes(), stream);
    assert_eq!((framer.next(), framer.pending()), (None, 0));
}

#[test]
fn frame_of_64_kib_passes_and_one_byte_more_closes() {
    let longest = bytes(0x157, 20, &vec![1; 65_536 - 12]);
    assert_eq!(frames(&longest, Limits::default()).len(), 1);
    assert!(frames(&longest, Limits::default())[0].is_ok());
    let longer = bytes(0x157, 20, &vec![1; 65_536 - 11]);
    assert_eq!(only_error(&longer), FrameError::TooLong { length: 65_537, limit: 65_536 });
}

#[test]
fn length_is_refused_before_the_frame_is_awaited() {
    assert_eq!(only_error(&[3, 0, 0, 0]), FrameError::TooShort { length: 3 });
    assert_eq!(
        only_error(&[0xFF; 4]),
        FrameError::TooLong { length: u64::from(u32::MAX) + 8, limit: 65_536 },
        "without a byte of what it announces"
    );
}

#[test]
fn version_whose_layouts_are_unknown_closes() {
    let stream = bytes(0, 23, &[]);
    assert_eq!(only_error(&stream[..8]), FrameError::Version { version: 23, limit: 22 });
    let limits = Limits { version: 23, ..Limits::default() };
    assert!(frames(&stream, limits)[0].is_ok(), "unless the limit is set higher");
}

#[test]
fn other_protocols_close_with_a_reason() {
    let tls_hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3];
    for (stream, reason) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "frame_too_long"),
        (b"REGISTER sip:example.com SIP/2.0\r\n", "frame_too_long"),
        (&tls_hello, "frame_too_long"),
        (&[0; 12], "frame_too_short"),
        (&[4, 0, 0, 0, 4, 0, 0, 1, 0, 0, 0, 0], "frame_version"),
    ] {
        assert_eq!(only_error(stream).reason(), reason);
    }
}

#[test]
fn stream_is_dead_after_an_error() {
    let mut framer = Framer::new(Limits::default());
    framer.push(&[bytes(0, 0, &[]), vec![0; 4], bytes(0, 0, &[])].concat());
    assert!(framer.next().unwrap().is_ok(), "what came before the error is taken");
    assert_eq!(framer.next(), Some(Err(FrameError::TooShort { length: 0 })));
    framer.push(&bytes(0, 0, &[]));
    assert_eq!((framer.next(), framer.pending()), (None, 0));
}

#[test]
fn framer_that_is_not_drained_stops_taking() {
    let mut framer = Framer::new(Limits { frame: 64, ..Limits::default() });
    let keep_alives = bytes(0, 0, &[]).repeat(20);
    framer.push(&keep_alives);
    framer.push(&keep_alives);
    assert_eq!(framer.next(), Some(Err(FrameError::NotDrained)));
    assert_eq!((framer.next(), framer.pending()), (None, 0));
}

#[test]
fn limit_without_room_for_a_header_does_not_depend_on_the_cuts() {
    let limits = Limits { frame: 0, ..Limits::default() };
    let keep_alive = bytes(0, 0, &[]);
    let mut framer = Framer::new(limits);
    keep_alive.iter().for_each(|byte| framer.push(std::slice::from_ref(byte)));
    assert_eq!(framer.next(), Some(Err(FrameError::TooLong { length: 12, limit: 0 })));
}

#[test]
fn one_frame_is_parsed_only_whole_and_alone() {
    let whole = bytes(0x9F, 0, &[1, 0, 0, 0]);
    assert!(Frame::parse(&whole, &Limits::default()).is_ok());
    let cut = FrameError::NotOneFrame { announced: 16, actual: 15 };
    assert_eq!(Frame::parse(&whole[..15], &Limits::default()), Err(cut));
    let two = FrameError::NotOneFrame { announced: 16, actual: 32 };
    assert_eq!(Frame::parse(&whole.repeat(2), &Limits::default()), Err(two));
    let no_header = FrameError::NotOneFrame { announced: 12, actual: 3 };
    assert_eq!(Frame::parse(&whole[..3], &Limits::default()), Err(no_header));
}
