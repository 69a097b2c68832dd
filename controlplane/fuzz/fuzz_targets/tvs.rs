//! Any bytes as questions about trust, in pieces: no panic, the same answers however they are cut, and nothing is valid but
//! what is known.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_enrolment::tvs::{Answered, Known, Refused, Server};

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let mut known = Known::new(60);
    known.add(b"ours", 4);
    known.add(b"", 3);
    let whole = all(&[bytes], &known);
    let pieces: Vec<_> = bytes.chunks(usize::from(piece).max(1)).collect();
    assert_eq!(all(&pieces, &known), whole);
    for answered in whole.iter().flatten() {
        let status = &answered.bytes[10..14];
        assert_eq!(status[..3], [7, 0, 1]);
        assert_eq!(answered.is_known, status[3] == 0);
        let is_there = |value: &[u8]| bytes.windows(value.len()).any(|part| part == value);
        // The known ones, with their tags and lengths.
        assert!(!answered.is_known || is_there(b"\x02\0\x04ours") || is_there(b"\x02\0\0"));
    }
});

fn all(pieces: &[&[u8]], known: &Known) -> Vec<Result<Answered, Refused>> {
    let (mut server, mut answers) = (Server::default(), Vec::new());
    for piece in pieces {
        server.push(piece);
        while let Some(answer) = server.answer(known) {
            let is_refused = answer.is_err();
            answers.push(answer);
            if is_refused {
                return answers;
            }
        }
    }
    answers
}
