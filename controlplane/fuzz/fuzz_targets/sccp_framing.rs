//! Any bytes as an SCCP stream, cut into any segments: no panic; the cuts make no difference; frames leave byte for byte as
//! they came; an error is told once and ends the stream; no more is held than one frame within the limit.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pinhole_sccp::{Frame, FrameError, Framer, Limits};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// Bytes of a frame at most: this many times sixteen.
    limit: u8,
    version: u8,
    cuts: Vec<u8>,
    stream: &'a [u8],
}

/// All that can be taken now.
fn take(framer: &mut Framer) -> Vec<Result<Frame, FrameError>> {
    std::iter::from_fn(|| framer.next()).collect()
}

fuzz_target!(|input: Input<'_>| {
    let limits = Limits { frame: usize::from(input.limit) * 16, version: input.version.into() };
    let mut whole = Framer::new(limits);
    whole.push(input.stream);
    let expected = take(&mut whole);

    let mut framer = Framer::new(limits);
    let mut found = Vec::new();
    let mut rest = input.stream;
    let mut cuts = input.cuts.iter().chain([&u8::MAX]).cycle();
    while !rest.is_empty() {
        let cut = cuts.next().map_or(1, |cut| usize::from(*cut).max(1));
        let (segment, later) = rest.split_at(cut.min(rest.len()));
        framer.push(segment);
        found.extend(take(&mut framer));
        assert!(framer.pending() <= limits.frame.max(12), "{} bytes are held", framer.pending());
        rest = later;
    }
    assert_eq!(found, expected, "the cuts make a difference");
    assert_eq!(framer.pending(), whole.pending());

    let frames = found.iter().take_while(|frame| frame.is_ok()).count();
    assert!(found.len() <= frames + 1, "something follows an error");
    let mut at = 0;
    for frame in found.iter().flatten() {
        let bytes = frame.as_bytes();
        assert!(bytes.len() <= limits.frame && frame.version() <= limits.version);
        assert_eq!(bytes, &input.stream[at..at + bytes.len()]);
        assert_eq!(Frame::parse(bytes, &limits).as_ref(), Ok(frame));
        at += bytes.len();
    }
    match found.last() {
        Some(Err(error)) => {
            assert!(matches!(error.reason(), "frame_too_short" | "frame_too_long" | "frame_version"));
            assert_eq!(framer.pending(), 0, "a dead stream holds bytes");
        }
        _ => assert_eq!(framer.pending(), input.stream.len() - at, "bytes are lost"),
    }
});
