//! Any bytes: no panic, no loss, and the same messages however they come.

use pinhole_enrolment::capf::{Capf, Command, Message};
use pinhole_enrolment::element::Elements;
use pinhole_enrolment::tvs::{self, Known, Tvs};
use pinhole_enrolment::{Framer, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;

fn messages() -> impl Strategy<Value = Message> {
    let elements = vec((any::<u8>(), vec(any::<u8>(), 0..40)), 0..20);
    (any::<u8>(), any::<u32>(), elements).prop_map(|(command, session, list)| {
        let with = |all: Elements, (tag, value): (u8, Vec<u8>)| all.with(tag, value);
        let elements = list.into_iter().fold(Elements::default(), with);
        Message { command: Command(command), session, elements }
    })
}

fn all<P: Protocol>(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
    let (mut framer, mut found) = (Framer::<P>::default(), Vec::new());
    for piece in pieces {
        framer.push(piece);
        while let Some(message) = framer.take() {
            let Ok((_, elements)) = message else { return (found, false) };
            found.push(elements.to_bytes());
        }
    }
    (found, true)
}

proptest! {
    #[test]
    fn a_message_comes_back_as_it_was(message in messages()) {
        let bytes = message.to_bytes().unwrap();
        let mut framer = Framer::<Capf>::default();
        framer.push(&bytes);
        let (header, elements) = framer.take().unwrap().unwrap();
        prop_assert_eq!(Message { command: header.command, session: header.session, elements }, message);
        prop_assert_eq!(framer.pending(), 0);
    }

    #[test]
    fn elements_that_are_read_are_written_as_they_were(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(elements) = Elements::parse(&bytes) {
            prop_assert_eq!(elements.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_stream_means_the_same_however_it_is_cut(
        list in vec(messages(), 0..4),
        rest in vec(any::<u8>(), 0..30),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes: Vec<u8> = list.iter().flat_map(|message| message.to_bytes().unwrap()).collect();
        bytes.extend(rest);
        let (one, other) = bytes.split_at(cut.index(bytes.len() + 1));
        prop_assert_eq!(all::<Capf>(&[&bytes]), all::<Capf>(&[one, other]));
        prop_assert_eq!(all::<Tvs>(&[&bytes]), all::<Tvs>(&[one, other]));
    }

    #[test]
    fn whatever_is_asked_of_tvs_only_what_is_known_is_valid(der in vec(any::<u8>(), 0..64), name in vec(any::<u8>(), 0..80)) {
        let mut known = Known::new(60);
        known.add(b"one of ours", 4);
        let header = tvs::Header { command: tvs::Command::VERIFY_REQUEST, session: 3 };
        let elements = Elements::default().with(tvs::tag::DEVICE_NAME, name).with(tvs::tag::CERTIFICATE, der.clone());
        let mut server = tvs::Server::default();
        server.push(&header.message(&elements).unwrap());
        let answered = server.answer(&known).unwrap().unwrap();
        prop_assert_eq!(answered.is_known, der == b"one of ours");
    }
}
