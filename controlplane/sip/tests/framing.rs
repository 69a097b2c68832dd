//! Messages in a stream.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{INVITE, options_with};
use pinhole_sip::{Frame, FrameError, Framer, Limits, ParseError};

fn frames(bytes: &[u8]) -> Vec<Result<Frame, FrameError>> {
    let mut framer = Framer::new(Limits::default());
    framer.push(bytes);
    std::iter::from_fn(|| framer.next()).collect()
}

fn only_error(bytes: &[u8]) -> ParseError {
    match frames(bytes).as_slice() {
        [Err(FrameError::Message(error))] => error.clone(),
        other => panic!("not one error: {other:?}"),
    }
}

#[test]
fn messages_in_a_row_come_out_one_by_one() {
    let mut bytes = INVITE.to_vec();
    bytes.extend_from_slice(&options_with("Content-Length: 0\r\n"));
    bytes.extend_from_slice(INVITE);
    let sent: Vec<Vec<u8>> = frames(&bytes)
        .into_iter()
        .map(|frame| match frame {
            Ok(Frame::Message(message)) => message.to_bytes(),
            other => panic!("no message: {other:?}"),
        })
        .collect();
    assert_eq!(sent.concat(), bytes);
    assert_eq!(sent.len(), 3);
}

#[test]
fn two_empty_lines_are_a_ping_and_one_a_pong() {
    assert_eq!(frames(b"\r\n\r\n"), [Ok(Frame::Ping)]);
    let mut bytes = b"\r\n\r\n\r\n".to_vec();
    bytes.extend_from_slice(INVITE);
    bytes.extend_from_slice(b"\r\n");
    let frames = frames(&bytes);
    assert!(
        matches!(frames.as_slice(), [Ok(Frame::Ping), Ok(Frame::Pong), Ok(Frame::Message(_))]),
        "{frames:?}"
    );
}

#[test]
fn ping_in_two_pieces_is_still_a_ping() {
    let mut framer = Framer::new(Limits::default());
    for byte in b"\r\n\r" {
        framer.push(&[*byte]);
        assert_eq!(framer.next(), None);
        assert_eq!(framer.pending(), 0, "an empty line may wait for the next one for as long as it likes");
    }
    framer.push(b"\n");
    assert_eq!(framer.next(), Some(Ok(Frame::Ping)));
    assert_eq!(framer.pending(), 0);
}

#[test]
fn body_that_looks_like_a_message_is_a_body() {
    let inner = options_with("Content-Length: 0\r\n");
    let mut bytes = options_with(&format!("Content-Length: {}\r\n", inner.len()));
    bytes.extend_from_slice(&inner);
    match frames(&bytes).as_slice() {
        [Ok(Frame::Message(message))] => assert_eq!(message.body, inner),
        other => panic!("{other:?}"),
    }
}

#[test]
fn lengths_in_doubt_close_the_stream() {
    let duplicate = options_with("Content-Length: 0\r\nl: 400\r\n");
    assert_eq!(only_error(&duplicate), ParseError::DuplicateContentLength);
    assert_eq!(only_error(&options_with("Content-Length: 0, 4\r\n")), ParseError::ContentLength);
    assert_eq!(only_error(&options_with("")), ParseError::NoContentLength);
    let bare_cr = options_with("X: a\rContent-Length: 5\r\nContent-Length: 0\r\n");
    assert_eq!(only_error(&bare_cr), ParseError::ControlCharacter);
    let folded = options_with("X: a\r\n Content-Length: 5\r\nContent-Length: 0\r\n");
    assert!(matches!(frames(&folded).as_slice(), [Ok(Frame::Message(message))] if message.body.is_empty()));
}

#[test]
fn nothing_follows_an_error() {
    let mut framer = Framer::new(Limits::default());
    framer.push(b"garbage\r\n\r\n");
    assert_eq!(framer.next(), Some(Err(FrameError::Message(ParseError::StartLine))));
    framer.push(INVITE);
    assert_eq!(framer.next(), None);
    assert_eq!(framer.pending(), 0);
}

#[test]
fn endless_head_is_refused_at_the_limit() {
    let mut framer = Framer::new(Limits::with_message(1000));
    let mut pushed = 0;
    let error = loop {
        framer.push(&[b'x'; 100]);
        pushed += 100;
        match framer.next() {
            None => assert!(framer.pending() <= 1000),
            Some(frame) => break frame,
        }
    };
    assert_eq!(error, Err(FrameError::Message(ParseError::MessageTooLong { limit: 1000 })));
    assert_eq!(pushed, 1100);
}

#[test]
fn announced_body_beyond_the_limit_is_refused_before_it_arrives() {
    let mut framer = Framer::new(Limits { body: 100, ..Limits::default() });
    framer.push(&options_with("Content-Length: 101\r\n"));
    assert_eq!(framer.next(), Some(Err(FrameError::Message(ParseError::BodyTooLong { limit: 100 }))));
    let mut framer = Framer::new(Limits::with_message(1000));
    framer.push(&options_with("Content-Length: 990\r\n"));
    assert_eq!(framer.next(), Some(Err(FrameError::Message(ParseError::MessageTooLong { limit: 1000 }))));
}

#[test]
fn pushing_without_taking_frames_is_refused() {
    let mut framer = Framer::new(Limits::with_message(1000));
    framer.push(&[b'\r'; 1001]);
    framer.push(b"x");
    assert_eq!(framer.next(), Some(Err(FrameError::NotDrained)));
    assert_eq!(framer.next(), None);
}

#[test]
fn unfinished_message_is_pending() {
    let mut framer = Framer::new(Limits::default());
    let (first, rest) = INVITE.split_at(INVITE.len() - 5);
    framer.push(first);
    assert_eq!(framer.next(), None);
    assert!(framer.pending() > 0, "the head is taken, the body is still awaited");
    framer.push(rest);
    assert!(matches!(framer.next(), Some(Ok(Frame::Message(_)))));
    assert_eq!(framer.pending(), 0);
}
