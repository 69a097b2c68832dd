//! What holds for all bytes, in all pieces.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;

use common::Stage;
use pinhole_http::{Denied, HEAD_MAX, Output, Settings, parse};
use proptest::prelude::*;

/// Something like requests, now and then broken.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "(GET|HEAD) /[a-zA-Z0-9./%]{0,20} HTTP/1\\.[01]\r\n(Host: a\r\n|Connection: (close|keep-alive)\r\n)?\r\n"
            .prop_map(String::into_bytes),
        1 => "(PUT|POST|DELETE) /a HTTP/1\\.1\r\nContent-Length: 3\r\n\r\nabc".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => Just(b"\r\n".to_vec()),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// All requests and responses of a stream that comes in pieces of one size.
fn served(bytes: &[u8], size: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut stage = Stage::new(Settings::default());
    let connection = stage.connect(1).unwrap();
    let (mut names, mut sent, mut open) = (Vec::new(), Vec::new(), HashSet::new());
    for piece in bytes.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() && stage.server.room(connection) > 0 {
            let (now, later) = rest.split_at(stage.server.room(connection).min(rest.len()));
            stage.server.received(connection, now, stage.now, &mut stage.said);
            rest = later;
            while !stage.said.is_empty() {
                for output in stage.take() {
                    match output {
                        Output::Requested { request, name, .. } => {
                            assert!(open.insert(request));
                            let file = (!name.is_empty()).then_some(name.as_slice()).ok_or(Denied::NotFound);
                            stage.answer(request, file);
                            names.push(name);
                        }
                        Output::Ended { request, .. } => assert!(open.remove(&request)),
                        _ => {}
                    }
                }
                while !stage.server.to_send(connection).is_empty() {
                    let piece = stage.server.to_send(connection).to_vec();
                    sent.extend_from_slice(&piece);
                    stage.server.sent(connection, piece.len(), stage.now, &mut stage.said);
                }
            }
        }
    }
    stage.server.lost(connection, stage.now, &mut stage.said);
    for output in stage.take() {
        if let Output::Ended { request, .. } = output {
            assert!(open.remove(&request));
        }
    }
    assert!(open.is_empty(), "each request ends once");
    assert_eq!(stage.server.connections(), 0);
    (names, sent)
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
        if let Ok(Some((head, len))) = parse(&bytes) {
            prop_assert!(len <= HEAD_MAX && head.name.len() < len);
        }
    }

    #[test]
    fn the_same_is_served_in_whatever_pieces_it_comes(bytes in stream(), size in 1_usize..50) {
        prop_assert_eq!(served(&bytes, size), served(&bytes, bytes.len().max(1)));
    }
}
