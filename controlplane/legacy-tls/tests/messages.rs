//! Messages are what they were, and what is none is refused.

#![allow(clippy::unwrap_used, reason = "only tests")]

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use pinhole_legacy_tls::{
    BadMessage, Cause, Channel, ChannelError, CipherSuite, FILES_MAX, Handover, Limits, MESSAGE_MAX,
    Refusals, Report, Settings, TEXT_MAX, Version,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn peer() -> SocketAddr {
    "[2001:db8::1]:40000".parse().unwrap()
}

fn handover(chain: Vec<Vec<u8>>) -> Report {
    let (version, suite) = (Version::Tls10, CipherSuite::NullSha);
    Report::Phone(Handover { listener: 3, peer: peer(), version, suite, chain })
}

fn refusals(count: u32, text: &str) -> Report {
    Report::Refused(Refusals { cause: Cause::Protocol, count, peer: peer(), text: text.into() })
}

fn settings() -> Settings {
    Settings {
        chain: vec![vec![0x30; 900]],
        key: vec![7; 1200].into(),
        oldest: Version::Tls10,
        newest: Version::Tls12,
        suites: CipherSuite::ALL.into(),
        authorities: vec![b"name".into()],
        limits: Limits {
            connections: 1,
            connections_per_source: 2,
            handshakes: 3,
            handshake_timeout_s: 4,
            requests: 5,
            requests_per_source: 6,
        },
    }
}

#[test]
fn messages_come_back_as_they_were() {
    for report in [
        Report::Ready("landlock".into()),
        Report::Accepted(7),
        handover(vec![vec![1; 16_384]; 6]),
        refusals(1, "no shared cipher"),
    ] {
        assert_eq!(Report::decode(&report.encode().unwrap()), Ok(report));
    }
    assert_eq!(Settings::decode(&settings().encode().unwrap()), Ok(settings()));
}

#[test]
fn what_exceeds_its_bounds_is_refused() {
    assert_eq!(handover(vec![vec![1; MESSAGE_MAX]]).encode(), Err(BadMessage));
    let long = "x".repeat(TEXT_MAX + 1);
    for report in [refusals(0, ""), refusals(1, &long), refusals(1, "\u{1b}[2J"), refusals(1, "a\nb")] {
        assert_eq!(Report::decode(&report.encode().unwrap()), Err(BadMessage), "{report:?}");
    }
    assert_eq!(Report::decode(&handover(vec![vec![]; 33]).encode().unwrap()), Err(BadMessage));
    let text = Report::text(&format!("\u{1b}[2J\n{long}é"));
    assert!(Report::decode(&refusals(1, &text).encode().unwrap()).is_ok(), "{text:?}");
}

#[test]
fn descriptors_come_along_and_the_end_shows() {
    let (one, other) = Channel::pair().unwrap();
    let (mut near, far) = UnixStream::pair().unwrap();
    one.send(&handover(vec![]).encode().unwrap(), &[far.as_fd()]).unwrap();
    drop((one, far));
    let mut buffer = vec![0; MESSAGE_MAX];
    let (length, mut files) = other.receive(&mut buffer).unwrap();
    assert_eq!(Report::decode(&buffer[..length]), Ok(handover(vec![])));
    let mut far = UnixStream::from(files.pop().unwrap());
    assert!(files.is_empty());
    near.write_all(b"REGISTER").unwrap();
    drop(near);
    let mut said = String::new();
    far.read_to_string(&mut said).unwrap();
    assert_eq!(said, "REGISTER");
    assert!(matches!(other.receive(&mut buffer), Err(ChannelError::Closed)));
}

#[test]
fn longest_message_fits_and_a_longer_one_is_not_sent() {
    let (one, other) = Channel::pair().unwrap();
    one.send(&vec![1; MESSAGE_MAX], &[]).unwrap();
    let mut buffer = vec![0; MESSAGE_MAX];
    assert_eq!(other.receive(&mut buffer).unwrap().0, MESSAGE_MAX);
    assert!(matches!(one.send(&vec![1; MESSAGE_MAX + 1], &[]), Err(ChannelError::TooLong)));
    let files = vec![other.as_fd(); FILES_MAX + 1];
    assert!(matches!(one.send(&[1], &files), Err(ChannelError::TooLong)));
    one.send(&[1; 9], &[]).unwrap();
    assert!(matches!(other.receive(&mut buffer[..8]), Err(ChannelError::TooLong)), "cut short");
}

proptest! {
    /// Any bytes: no panic, bounded, and what is taken is what such a message is written as.
    #[test]
    fn any_bytes_are_a_message_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(report) = Report::decode(&bytes) {
            prop_assert_eq!(Report::decode(&report.encode().unwrap()), Ok(report));
        }
        let _ = Settings::decode(&bytes);
    }

    /// A message with bytes changed, cut off or added is another message or none.
    #[test]
    fn a_broken_message_is_refused_or_another(
        lengths in vec(0_usize..300, 0..12), at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let report = handover(lengths.into_iter().map(|length| vec![9; length]).collect());
        let mut bytes = report.encode().unwrap();
        let longer = [&bytes[..], &[0]].concat();
        prop_assert_eq!(Report::decode(&longer), Err(BadMessage));
        prop_assert_eq!(Report::decode(&bytes[..cut.index(bytes.len())]), Err(BadMessage));
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(Report::Phone(phone)) = Report::decode(&bytes) {
            prop_assert!(phone.chain.iter().map(Vec::len).sum::<usize>() <= bytes.len());
        }
    }
}
