//! What the server does, by itself.

mod common;

use std::time::Duration;

use common::{Stage, status};
use pinhole_http::{Denied, End, Malformed, Output, Rate, Rates, Refusal, Settings};

const GET: &str = "GET /a HTTP/1.1\r\nHost: b\r\n\r\n";

fn stage() -> Stage {
    Stage::new(Settings::default())
}

#[test]
fn a_file_counts_as_sent_when_handed_over_and_as_read_when_the_phone_goes_on() {
    let mut stage = stage();
    let connection = stage.connect(1).unwrap();
    for (goes_on, ends) in [(GET, true), ("\r\n", false)] {
        stage.send(connection, GET);
        let (request, name) = stage.requested();
        assert_eq!(name, "a");
        assert_eq!(stage.server.to_send(connection), b"");
        stage.answer(request, Ok(b"content"));
        let head = stage.server.to_send(connection).len();
        stage.server.sent(connection, head, stage.now, &mut stage.said);
        stage.server.sent(connection, 6, stage.now, &mut stage.said);
        assert_eq!(stage.take(), [], "one byte is missing");
        stage.server.sent(connection, 1, stage.now, &mut stage.said);
        assert_eq!(stage.take(), [Output::Sent { request }]);
        stage.send(connection, goes_on);
        let said = stage.take();
        assert_eq!(said.contains(&Output::Ended { request, end: End::Acknowledged }), ends, "{said:?}");
        if ends {
            let Some(Output::Requested { request, .. }) = said.last() else { panic!("{said:?}") };
            stage.answer(*request, Err(Denied::NotFound));
            assert_eq!(status(&stage.read(connection)), 404);
            assert_eq!(stage.ends(), [End::Denied]);
        }
    }
    stage.server.peer_ended(connection, stage.now, &mut stage.said);
    assert_eq!(stage.ends(), [End::Acknowledged]);
    assert_eq!((stage.server.connections(), stage.server.due()), (0, None));
}

#[test]
fn a_phone_that_goes_away_before_the_end_has_not_got_the_file() {
    for (before, after, end) in [(0, false, End::Silent), (3, false, End::Silent), (7, true, End::AllSent)] {
        let mut stage = stage();
        let connection = stage.connect(1).unwrap();
        stage.send(connection, GET);
        let (request, _) = stage.requested();
        stage.answer(request, Ok(b"content"));
        let head = stage.server.to_send(connection).len();
        stage.server.sent(connection, head, stage.now, &mut stage.said);
        stage.server.sent(connection, before, stage.now, &mut stage.said);
        assert_eq!(stage.take().contains(&Output::Sent { request }), after);
        stage.server.lost(connection, stage.now, &mut stage.said);
        assert_eq!(stage.take(), [Output::Ended { request, end }, Output::Close { connection }]);
    }
}

#[test]
fn who_ends_his_side_early_is_answered_but_proves_nothing() {
    let mut stage = stage();
    let connection = stage.connect(1).unwrap();
    stage.send(connection, GET);
    let (request, _) = stage.requested();
    stage.server.peer_ended(connection, stage.now, &mut stage.said);
    stage.answer(request, Ok(b"content"));
    assert!(stage.read(connection).ends_with("content"));
    assert_eq!(stage.ends(), [End::AllSent]);
    assert_eq!(stage.server.connections(), 0);
}

#[test]
fn requests_that_come_early_wait_and_are_answered_in_order() {
    let mut stage = stage();
    let connection = stage.connect(1).unwrap();
    stage.send(connection, &GET.repeat(3).replacen("/a", "/first", 1));
    let (request, name) = stage.requested();
    assert_eq!(name, "first");
    stage.answer(request, Ok(b"1"));
    assert!(stage.read(connection).ends_with("\r\n\r\n1"));
    // What was asked before the file had come does not prove that it has been read.
    assert_eq!(stage.said[1], Output::Ended { request, end: End::AllSent });
    let Some(Output::Requested { request, .. }) = stage.take().pop() else { panic!() };
    assert_eq!(stage.server.room(connection), 8192 - GET.len(), "no more than a head is kept");
    stage.answer(request, Ok(b"2"));
    assert!(stage.read(connection).ends_with("\r\n\r\n2"));
}

#[test]
fn a_request_may_come_byte_by_byte_but_not_for_ever() {
    let mut stage = stage();
    let connection = stage.connect(1).unwrap();
    for byte in GET.chars() {
        stage.send(connection, &byte.to_string());
    }
    stage.requested();
    let slow = stage.connect(1).unwrap();
    for byte in GET.chars().take(11) {
        stage.send(slow, &byte.to_string());
        stage.wait(1);
    }
    assert_eq!(stage.refusals(), [Refusal::Slow]);
    assert_eq!(stage.server.room(slow), 0);
}

#[test]
fn an_idle_connection_is_closed() {
    let mut stage = stage();
    let silent = stage.connect(1).unwrap();
    stage.wait(10);
    assert_eq!(stage.take(), [Output::Close { connection: silent }]);
    let connection = stage.connect(1).unwrap();
    stage.send(connection, GET);
    let (request, _) = stage.requested();
    stage.answer(request, Ok(b""));
    stage.read(connection);
    stage.send(connection, "\r\n\r\n");
    stage.wait(14);
    assert_eq!(stage.take(), [Output::Sent { request }]);
    stage.wait(1);
    assert_eq!(stage.take(), [Output::Ended { request, end: End::AllSent }, Output::Close { connection }]);
}

#[test]
fn nobody_takes_longer_than_an_hour_for_a_file_of_any_length() {
    let mut stage = stage();
    let connection = stage.connect(1).unwrap();
    stage.send(connection, GET);
    let (request, _) = stage.requested();
    stage.answer(request, Ok(&vec![b'x'; 40 << 20]));
    let mut seconds = 0;
    while stage.server.connections() > 0 {
        stage.wait(10);
        stage.server.sent(connection, 20_000, stage.now, &mut stage.said);
        seconds += 10;
        assert!(seconds < 10_000);
    }
    assert_eq!((seconds, stage.ends()), (3630, vec![End::Silent]));
}

#[test]
fn who_reads_too_slowly_is_cut_off() {
    let file = vec![b'x'; 10_000];
    for (every, expected) in [(31, 31), (1, 40)] {
        let mut stage = stage();
        let connection = stage.connect(1).unwrap();
        stage.send(connection, GET);
        let (request, _) = stage.requested();
        stage.answer(request, Ok(&file));
        let mut seconds = 0;
        while stage.server.connections() > 0 {
            stage.wait(every);
            stage.server.sent(connection, 1, stage.now, &mut stage.said);
            seconds += every;
            assert!(seconds < 100);
        }
        // Half a minute and a second for each kilobyte, whatever trickles.
        assert_eq!(seconds, expected);
        assert_eq!(stage.ends(), [End::Silent]);
    }
}

#[test]
fn a_request_that_nobody_answers_is_told_to_ask_again() {
    let mut stage = stage();
    let connection = stage.connect(1).unwrap();
    stage.send(connection, GET);
    let (request, _) = stage.requested();
    stage.now += Duration::from_secs(30);
    let mut sends = Vec::new();
    stage.server.tick(stage.now, &mut sends, &mut stage.said);
    assert_eq!((sends, stage.ends()), (vec![connection], vec![End::Unanswered]));
    assert_eq!(status(&stage.read(connection)), 503);
    stage.answer(request, Ok(b"late"));
    assert_eq!(stage.server.to_send(connection), b"");
}

#[test]
fn head_says_what_get_would_bring_and_is_no_delivery() {
    let mut stage = stage();
    let connection = stage.connect(1).unwrap();
    stage.send(connection, "HEAD /a.xml HTTP/1.1\r\n\r\n");
    let (request, _) = stage.requested();
    stage.answer(request, Ok(b"content"));
    let response = stage.read(connection);
    assert!(response.contains("Content-Length: 7\r\n") && response.contains("text/xml"), "{response}");
    assert!(response.ends_with("\r\n\r\n"));
    assert_eq!(stage.take(), [Output::Ended { request, end: End::Described }]);
}

#[test]
fn an_upload_is_refused_unread_and_what_follows_is_thrown_away() {
    for method in ["PUT", "POST"] {
        let mut stage = stage();
        let connection = stage.connect(1).unwrap();
        let hidden = format!("{method} /CTLFile.tlv HTTP/1.1\r\nContent-Length: {}\r\n\r\n{GET}", GET.len());
        stage.send(connection, &hidden);
        let response = stage.read(connection);
        assert_eq!(status(&response), 405);
        assert!(response.contains("Allow: GET, HEAD\r\n") && response.contains("Connection: close"));
        let why = Refusal::Upload { name: b"CTLFile.tlv".to_vec() };
        assert!(
            matches!(&stage.take()[..], [Output::Refused { why: found, .. }, Output::Shut { .. }] if *found == why)
        );
        stage.send(connection, GET);
        assert_eq!(stage.take(), [], "{method}");
        for _ in 0..200 {
            stage.send(connection, &"x".repeat(8192));
        }
        assert_eq!(stage.take(), [Output::Close { connection }], "more than a megabyte is not waited for");
    }
}

#[test]
fn what_cannot_be_a_request_is_answered_and_ends_the_connection() {
    for (text, code, why) in [
        ("DELETE /a HTTP/1.1\r\n\r\n".to_owned(), 405, Refusal::Method),
        ("rubbish\r\n".to_owned(), 400, Refusal::Malformed(Malformed::Syntax)),
        ("GET /a HTTP/3.0\r\n\r\n".to_owned(), 505, Refusal::Malformed(Malformed::Version)),
        (
            "GET /a HTTP/1.1\r\nContent-Length: 9\r\n\r\n".to_owned(),
            400,
            Refusal::Malformed(Malformed::Content),
        ),
        (format!("GET /{}", "a".repeat(10_000)), 414, Refusal::Malformed(Malformed::LineTooLong)),
        (format!("{}x: {}", &GET[..17], "a".repeat(9000)), 431, Refusal::Malformed(Malformed::HeadTooLong)),
    ] {
        let mut stage = stage();
        let connection = stage.connect(1).unwrap();
        stage.send(connection, &text);
        assert_eq!(status(&stage.read(connection)), code, "{text}");
        assert_eq!(stage.refusals(), [why], "{text}");
        stage.send(connection, GET);
        stage.wait(5);
        assert_eq!(stage.take(), [Output::Close { connection }]);
    }
}

#[test]
fn a_source_that_asks_too_often_is_told_so_and_others_are_served() {
    let rates = Rates { requests_per_source: Rate { per_second: 1, burst: 2 }, ..Settings::default().rates };
    let mut stage = Stage::new(Settings { rates, ..Settings::default() });
    let connection = stage.connect(1).unwrap();
    for _ in 0..2 {
        stage.send(connection, GET);
        let Some(Output::Requested { request, .. }) = stage.take().pop() else { panic!() };
        stage.answer(request, Ok(b""));
        stage.read(connection);
    }
    stage.send(connection, GET);
    assert_eq!(status(&stage.read(connection)), 429);
    assert_eq!(stage.refusals(), [Refusal::SourceRate]);
    let rubbish = stage.connect(1).unwrap();
    stage.send(rubbish, "rubbish\n");
    assert_eq!(status(&stage.read(rubbish)), 429);
    let other = stage.connect(2).unwrap();
    stage.take();
    stage.send(other, GET);
    stage.requested();
    // Where the handshake costs already, it is the connection that is refused.
    let client = "192.0.2.1:4000".parse().unwrap();
    assert_eq!(stage.server.accepted(client, true, stage.now, &mut stage.said), Err(Refusal::SourceRate));
}

#[test]
fn connections_are_bounded_and_those_that_ask_nothing_give_way() {
    let settings = Settings { connections: 3, connections_per_source: 2, ..Settings::default() };
    let mut stage = Stage::new(settings);
    let first = stage.connect(1).unwrap();
    let busy = stage.connect(1).unwrap();
    assert_eq!(stage.connect(1), Err(Refusal::SourceConnections));
    stage.send(busy, GET);
    stage.wait(1);
    let third = stage.connect(2).unwrap();
    stage.take();
    let fourth = stage.connect(3).unwrap();
    assert_eq!(stage.take(), [Output::Close { connection: first }]);
    stage.send(third, GET);
    stage.send(fourth, GET);
    assert_eq!(stage.connect(4), Err(Refusal::Connections));
    assert_eq!(stage.server.connections(), 3);
}

#[test]
fn bytes_beyond_the_rate_wait_and_others_are_served() {
    let bytes_per_source = Some(Rate { per_second: 1000, burst: 2000 });
    let rates = Rates { bytes_per_source, ..Settings::default().rates };
    let mut stage = Stage::new(Settings { rates, ..Settings::default() });
    let (first, other) = (stage.connect(1).unwrap(), stage.connect(2).unwrap());
    stage.send(first, GET);
    let (request, _) = stage.requested();
    stage.answer(request, Ok(&[b'x'; 100_000]));
    let head = stage.server.to_send(first).len();
    stage.server.sent(first, head, stage.now, &mut stage.said);
    stage.server.sent(first, 42_000 - head, stage.now, &mut stage.said);
    assert_eq!(stage.server.to_send(first), b"");
    stage.send(other, GET);
    let (of_other, _) = stage.requested();
    stage.answer(of_other, Ok(b"content"));
    assert!(stage.read(other).ends_with("content"));
    stage.take();
    stage.wait(39);
    assert_eq!(stage.server.to_send(first), b"");
    stage.now += Duration::from_secs(1);
    let mut sends = Vec::new();
    stage.server.tick(stage.now, &mut sends, &mut stage.said);
    assert_eq!(sends, [first]);
    assert!(!stage.server.to_send(first).is_empty());
    assert_eq!(stage.server.connections(), 2 - 1, "the other was idle for too long meanwhile");
    stage.wait(30);
    assert_eq!(stage.ends().last(), Some(&End::Silent), "now it is the phone that takes nothing");
}
