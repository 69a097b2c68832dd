//! What the server does for whom, and what it refuses.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::file;
use pinhole_tftp::{
    Denied, End, ErrorCode, Limits, Options, Output, Packet, Rate, Refusal, Request, Server, Settings,
    TransferId,
};

/// A server and the time.
struct Stage {
    server: Server,
    now: Instant,
    out: Vec<Output>,
}

impl Stage {
    fn new(settings: Settings) -> Self {
        Self { server: Server::new(settings), now: Instant::now(), out: Vec::new() }
    }

    fn send(&mut self, socket: usize, from: SocketAddr, packet: &Packet<'_>) -> Vec<Output> {
        self.server.datagram(socket, from, &packet.encode(), self.now, &mut self.out);
        std::mem::take(&mut self.out)
    }

    fn ask(&mut self, from: SocketAddr, name: &str, options: Options) -> Vec<Output> {
        self.send(0, from, &read(name, options))
    }

    fn answer(&mut self, transfer: TransferId, bytes: &[u8]) -> Vec<Output> {
        self.server.answer(transfer, Ok(Arc::from(bytes)), self.now, &mut self.out);
        std::mem::take(&mut self.out)
    }

    /// Asks and is answered; what was sent.
    fn begin(&mut self, from: SocketAddr, bytes: &[u8], options: Options) -> (usize, Vec<u8>) {
        let transfer = requested(&self.ask(from, "a.xml.sgn", options)).unwrap();
        sent(&self.answer(transfer, bytes)).unwrap()
    }

    fn wait(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.server.tick(self.now, &mut self.out);
        std::mem::take(&mut self.out)
    }
}

fn read(name: &str, options: Options) -> Packet<'_> {
    Packet::Read(Request { name: name.as_bytes(), is_octet: true, options })
}

fn requested(out: &[Output]) -> Option<TransferId> {
    out.iter().find_map(|output| match output {
        Output::Requested { transfer, .. } => Some(*transfer),
        _ => None,
    })
}

fn sent(out: &[Output]) -> Option<(usize, Vec<u8>)> {
    out.iter().find_map(|output| match output {
        Output::Send { socket, datagram, .. } => Some((*socket, datagram.clone())),
        _ => None,
    })
}

fn ends(out: &[Output]) -> Vec<End> {
    let end = |output: &Output| match output {
        Output::Ended { end, .. } => Some(end.clone()),
        _ => None,
    };
    out.iter().filter_map(end).collect()
}

fn refusal(out: &[Output]) -> Option<Refusal> {
    out.iter().find_map(|output| match output {
        Output::Refused { why, .. } => Some(why.clone()),
        _ => None,
    })
}

const ACK: fn(u16) -> Packet<'static> = |block| Packet::Acknowledge { block };

fn phone(last: u8) -> SocketAddr {
    SocketAddr::new([192, 0, 2, last].into(), 40_000)
}

#[test]
fn the_first_reply_names_only_options_that_were_asked_for() {
    let mut stage = Stage::new(Settings::default());
    let options = Options { block_size: Some(65_000), transfer_size: Some(0), timeout: Some(3) };
    let (_, datagram) = stage.begin(phone(1), &file(5000), options);
    let taken = Options { block_size: Some(1428), transfer_size: Some(5000), timeout: Some(3) };
    assert_eq!(Packet::parse(&datagram), Ok(Packet::Options(taken)));
    let (_, datagram) = stage.begin(phone(2), &file(5000), Options::default());
    assert_eq!(Packet::parse(&datagram), Ok(Packet::Data { block: 1, bytes: &file(5000)[..512] }));
}

#[test]
fn before_the_first_acknowledgement_each_request_has_one_packet_and_silence_has_none() {
    let mut stage = Stage::new(Settings::default());
    stage.begin(phone(1), &file(5000), Options::default());
    for _ in 0..3 {
        let out = stage.ask(phone(1), "a.xml.sgn", Options::default());
        assert_eq!(out.len(), 1, "{out:?}");
        assert!(sent(&out).is_some());
    }
    let mut out = Vec::new();
    for _ in 0..30 {
        out.extend(stage.wait(Duration::from_millis(500)));
    }
    assert_eq!(sent(&out), None);
    assert_eq!(ends(&out), [End::Silent]);
    assert_eq!(stage.server.transfers(), 0);
}

#[test]
fn a_file_of_one_block_to_a_forged_address_does_not_count_as_sent() {
    let mut stage = Stage::new(Settings::default());
    stage.begin(phone(1), b"short", Options::default());
    assert_eq!(ends(&stage.wait(Duration::from_secs(60))), [End::Silent]);
}

#[test]
fn a_lost_last_acknowledgement_is_told_from_a_lost_phone() {
    let mut stage = Stage::new(Settings::default());
    for (acknowledged, end) in [(2, End::AllSent), (1, End::Silent)] {
        let (socket, _) = stage.begin(phone(1), &file(1300), Options::default());
        for block in 1..=acknowledged {
            assert!(sent(&stage.send(socket, phone(1), &ACK(block))).is_some());
        }
        let mut out = Vec::new();
        for _ in 0..200 {
            out.extend(stage.wait(Duration::from_millis(500)));
        }
        assert_eq!(out.iter().filter(|output| matches!(output, Output::Send { .. })).count(), 5);
        assert_eq!(ends(&out), [end]);
    }
}

#[test]
fn only_the_outstanding_block_is_acknowledged() {
    let mut stage = Stage::new(Settings::default());
    let (socket, _) = stage.begin(phone(1), &file(2000), Options::default());
    assert!(stage.send(socket, phone(1), &ACK(2)).is_empty());
    assert!(sent(&stage.send(socket, phone(1), &ACK(1))).is_some());
    assert!(stage.send(socket, phone(1), &ACK(1)).is_empty(), "a duplicate must not be answered");
    let other_socket = if socket == 1 { 2 } else { 1 };
    assert_eq!(refusal(&stage.send(other_socket, phone(1), &ACK(2))), Some(Refusal::UnknownTransfer));
    assert_eq!(refusal(&stage.send(socket, phone(2), &ACK(2))), Some(Refusal::UnknownTransfer));
}

#[test]
fn in_single_port_mode_everything_goes_by_the_port_that_was_asked() {
    let mut stage = Stage::new(Settings { reply_sockets: 0, ..Settings::default() });
    let (socket, _) = stage.begin(phone(1), &file(600), Options::default());
    assert_eq!(socket, 0);
    assert_eq!(sent(&stage.send(0, phone(1), &ACK(1))).unwrap().0, 0);
    assert_eq!(ends(&stage.send(0, phone(1), &ACK(2))), [End::Acknowledged]);
}

#[test]
fn an_upload_is_refused_unread_and_reported() {
    let mut stage = Stage::new(Settings::default());
    let upload = Request { name: b"CTLSEP001122334455.tlv", is_octet: true, options: Options::default() };
    let out = stage.send(0, phone(1), &Packet::Write(upload));
    assert_eq!(refusal(&out), Some(Refusal::Upload { name: b"CTLSEP001122334455.tlv".to_vec() }));
    let (_, datagram) = sent(&out).unwrap();
    assert!(matches!(Packet::parse(&datagram), Ok(Packet::Error { code: ErrorCode::AccessViolation, .. })));
    let data = Packet::Data { block: 1, bytes: b"list" };
    assert_eq!(refusal(&stage.send(0, phone(1), &data)), Some(Refusal::UnknownTransfer));
}

#[test]
fn another_mode_than_octet_is_refused() {
    let mut stage = Stage::new(Settings::default());
    let request = Request { name: b"a.xml", is_octet: false, options: Options::default() };
    assert_eq!(refusal(&stage.send(0, phone(1), &Packet::Read(request))), Some(Refusal::Mode));
}

#[test]
fn what_the_phone_says_when_it_refuses_is_passed_on() {
    let mut stage = Stage::new(Settings::default());
    let (socket, _) = stage.begin(phone(1), &file(600), Options::default());
    let error = Packet::Error { code: ErrorCode::NotDefined, message: b"auth\x07 fail" };
    let end = End::Refused { code: ErrorCode::NotDefined, message: "auth fail".into() };
    assert_eq!(ends(&stage.send(socket, phone(1), &error)), [end]);
}

#[test]
fn a_denied_file_is_an_error_and_the_phone_can_go_on() {
    let mut stage = Stage::new(Settings::default());
    for (denied, code) in
        [(Denied::NotFound, ErrorCode::NotFound), (Denied::Unavailable, ErrorCode::NotDefined)]
    {
        let transfer = requested(&stage.ask(phone(1), "x.xml", Options::default())).unwrap();
        stage.server.answer(transfer, Err(denied), stage.now, &mut stage.out);
        let out = std::mem::take(&mut stage.out);
        let (_, datagram) = sent(&out).unwrap();
        assert!(matches!(Packet::parse(&datagram), Ok(Packet::Error { code: is, .. }) if is == code));
        assert_eq!(ends(&out), [End::Denied]);
    }
}

#[test]
fn a_request_that_nobody_answers_ends_and_a_late_answer_does_nothing() {
    let mut stage = Stage::new(Settings::default());
    let transfer = requested(&stage.ask(phone(1), "x.xml", Options::default())).unwrap();
    assert!(stage.ask(phone(1), "x.xml", Options::default()).is_empty(), "it is on its way");
    assert_eq!(ends(&stage.wait(Duration::from_secs(31))), [End::Unanswered]);
    assert!(stage.answer(transfer, b"late").is_empty());
}

#[test]
fn a_phone_that_begins_anew_from_the_same_port_is_served() {
    let mut stage = Stage::new(Settings::default());
    let (socket, _) = stage.begin(phone(1), &file(5000), Options::default());
    stage.send(socket, phone(1), &ACK(1));
    let out = stage.ask(phone(1), "b.xml.sgn", Options::default());
    assert_eq!(ends(&out), [End::Abandoned]);
    assert!(requested(&out).is_some());
}

#[test]
fn ten_times_the_rate_of_one_source_leaves_the_others_served() {
    let limits = Limits {
        requests_per_source: Rate { per_second: 10, burst: 10 },
        requests: Rate { per_second: 100, burst: 100 },
        ..Limits::default()
    };
    let mut stage = Stage::new(Settings { limits, ..Settings::default() });
    let (mut flood_served, mut served) = (0, 0);
    for tick in 0..1000u16 {
        stage.now += Duration::from_millis(10);
        let port = 1000 + tick;
        let flood = stage.ask(SocketAddr::new([192, 0, 2, 1].into(), port), "a.xml", Options::default());
        flood_served += usize::from(requested(&flood).is_some());
        if tick % 20 == 0 {
            let from = SocketAddr::new([192, 0, 2, 2].into(), port);
            let out = stage.ask(from, "a.xml", Options::default());
            let transfer = requested(&out).expect("the others are served");
            stage.server.answer(transfer, Err(Denied::NotFound), stage.now, &mut stage.out);
            stage.out.clear();
            served += 1;
        }
    }
    assert_eq!(served, 50);
    // Ten seconds at ten a second, but no more than 50 at a time, none of which was answered.
    assert_eq!(flood_served, 50);
}

#[test]
fn forged_addresses_that_acknowledge_nothing_do_not_keep_a_phone_out() {
    let limits = Limits {
        requests: Rate { per_second: 1_000_000, burst: 1_000_000 },
        transfers: 20,
        sources: 100,
        ..Limits::default()
    };
    let mut stage = Stage::new(Settings { limits, ..Settings::default() });
    let (active, _) = stage.begin(phone(1), &file(5000), Options::default());
    stage.send(active, phone(1), &ACK(1));
    for forged in 0..=255u8 {
        stage.now += Duration::from_millis(20);
        let from = SocketAddr::new([203, 0, 113, forged].into(), 69);
        let asked = requested(&stage.ask(from, "a.xml.sgn", Options::default()));
        if let Some(transfer) = asked {
            stage.answer(transfer, b"bytes");
        }
        assert!(stage.server.transfers() <= 20);
    }
    let honest = requested(&stage.ask(phone(2), "a.xml.sgn", Options::default())).expect("there is room");
    stage.answer(honest, b"bytes");
    assert!(sent(&stage.send(active, phone(1), &ACK(2))).is_some(), "the active transfer goes on");
}

#[test]
fn a_full_table_of_addresses_is_cleared_of_those_that_are_idle() {
    let limits = Limits { sources: 10, ..Limits::default() };
    let mut stage = Stage::new(Settings { limits, ..Settings::default() });
    for last in 0..10 {
        let transfer = requested(&stage.ask(phone(last), "a", Options::default())).unwrap();
        stage.server.answer(transfer, Err(Denied::NotFound), stage.now, &mut stage.out);
    }
    assert_eq!(refusal(&stage.ask(phone(20), "a", Options::default())), Some(Refusal::Sources));
    stage.now += Duration::from_secs(2);
    assert!(requested(&stage.ask(phone(20), "a", Options::default())).is_some());
}

#[test]
fn bytes_beyond_the_rate_wait() {
    let rate = Rate { per_second: 1000, burst: 516 };
    let limits = Limits { bytes_per_source: Some(rate), ..Limits::default() };
    let mut stage = Stage::new(Settings { limits, ..Settings::default() });
    let (socket, _) = stage.begin(phone(1), &file(512 * 9), Options::default());
    let begun = stage.now;
    for block in 1..=9u16 {
        let mut out = stage.send(socket, phone(1), &ACK(block));
        while sent(&out).is_none() {
            assert!(out.is_empty(), "{out:?}");
            out = stage.wait(Duration::from_millis(1));
        }
    }
    let took = stage.now.duration_since(begun).as_millis();
    // Nine packets, the last of 4 bytes.
    assert!((4100..4200).contains(&took), "{took} ms");
}
