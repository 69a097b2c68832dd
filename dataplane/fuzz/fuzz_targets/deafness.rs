//! An honest sender among forgers and replayers who know all that it has ever sent, across losses, rollovers,
//! re-offers and new keys: each of its packets is relayed, once more at most for each re-offer, and nothing is sent
//! to anybody else.

#![no_main]

use std::net::SocketAddrV4;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pinhole_flow::Suite;
use pinhole_flow::leg::unmapped_v4;
use pinhole_fuzz::Sealer;
use pinhole_fuzz::support::bench::SECOND;
use pinhole_fuzz::support::peer::master;
use pinhole_fuzz::support::{Bench, Packet, next, ours_outside, phone, rtcp, rtp};

const SLOT: u32 = 1;
const SSRC: u32 = 7;
/// So many packets of an attacker must be taken for a phone that begins anew, before media goes there.
const RESTARTED: u32 = 16;

#[derive(Arbitrary, Debug)]
enum Event {
    /// The sender's next packet, after some that were lost.
    Send { lost: u16 },
    /// A packet that it has sent, again, from the attacker's address or its own.
    Replay { which: u16, spoofed: bool },
    /// A packet of the attacker's under its SSRC or another.
    Forge { sequence: u16, other: bool, spoofed: bool },
    /// A re-offer that changes nothing.
    Reoffer,
    /// A new key, whose ROC goes on.
    Rekey,
    /// Tenths of a second pass.
    Wait(u8),
    /// The sender's next report, after some that were lost.
    Report { lost: u8 },
}

/// What the sender has sent.
#[derive(Clone)]
struct Captured {
    packet: Packet,
    /// How often it was sent on.
    relayed: u32,
}

struct Sender {
    bench: Bench,
    suite: Suite,
    keys: Vec<Sealer>,
    index: u64,
    report: u32,
    captured: Vec<Captured>,
    offers: u32,
    /// When the sender was heard last, and since when media goes elsewhere.
    heard: u64,
    wrong: u64,
    /// How many packets were relayed since that came from elsewhere.
    strangers: u32,
}

impl Sender {
    fn new(suite: u8, first: u16) -> Self {
        let suite = Suite::ALL[usize::from(suite) % Suite::ALL.len()];
        let mut bench = Bench::new();
        bench.call(SLOT, suite);
        let leg = &bench.slots[SLOT as usize].session.legs[0];
        let keys = vec![Sealer::new(&leg.inbound, &leg.mki)];
        let index = u64::from(first);
        let (captured, report, offers, heard, wrong, strangers) = (Vec::new(), 0, 0, 0, 0, 0);
        Self { bench, suite, keys, index, report, captured, offers, heard, wrong, strangers }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Send { lost } => self.send(*lost),
            Event::Replay { which, spoofed } => {
                let which = usize::from(*which);
                if let Some(captured) = self.captured.get(which).cloned() {
                    let relayed = captured.relayed + u32::from(self.attack(captured.packet, *spoofed));
                    assert!(relayed <= 1 + self.offers, "relayed {relayed} times");
                    self.captured[which].relayed = relayed;
                }
            }
            Event::Forge { sequence, other, spoofed } => {
                let mut packet = rtp(if *other { 0xbad } else { SSRC }, *sequence);
                packet.resize(packet.len() + self.suite.rtp_tag_len(), 0x5a);
                assert!(!self.attack(Packet::new(phone(), ours_outside(SLOT), &packet), *spoofed));
            }
            Event::Reoffer => {
                self.offers += 1;
                self.bench.update(SLOT, self.bench.slots[SLOT as usize].session);
            }
            Event::Rekey => {
                let mut session = self.bench.slots[SLOT as usize].session;
                session.legs[0].inbound = master(self.suite, 100 + self.keys.len() as u8);
                self.keys.push(Sealer::new(&session.legs[0].inbound, &session.legs[0].mki));
                self.bench.update(SLOT, session);
            }
            Event::Wait(tenths) => self.bench.now += u64::from(*tenths) * SECOND / 10,
            Event::Report { lost } => self.report(*lost),
        }
    }

    fn send(&mut self, lost: u16) {
        let plain = rtp(SSRC, self.index as u16);
        let (packet, _) = self.keys.last().unwrap().seal(&plain, (self.index >> 16) as u32).unwrap();
        let packet = Packet::new(phone(), ours_outside(SLOT), &packet);
        let out = self.bench.send(&packet);
        assert_eq!(out.sent.len(), 1, "deaf at index {:#x}: {:?}", self.index, self.bench.slots[1].live[0]);
        assert!(out.sent[0].1.payload == plain);
        self.captured.push(Captured { packet, relayed: 1 });
        (self.heard, self.strangers) = (self.bench.now, 0);
        // A source moves once a second.
        assert!(self.is_right() || self.bench.now - self.wrong < SECOND, "media does not come back");
        // As many may be lost in a row as an index can be guessed across.
        self.index += 1 + u64::from(lost % 0x7ff0);
    }

    fn report(&mut self, lost: u8) {
        let (packet, _) = self.keys.last().unwrap().seal(&rtcp(SSRC), self.report).unwrap();
        let packet = Packet::new(next(phone()), next(ours_outside(SLOT)), &packet);
        let out = self.bench.send(&packet);
        assert_eq!(out.sent.len(), 1, "deaf at report {:#x}: {:?}", self.report, self.bench.slots[1].live[0]);
        self.captured.push(Captured { packet, relayed: 1 });
        self.report += 1 + u32::from(lost);
    }

    /// Sends an attacker's packet, and says whether it was relayed.
    fn attack(&mut self, mut packet: Packet, spoofed: bool) -> bool {
        if !spoofed {
            packet.source = SocketAddrV4::new([192, 0, 2, 66].into(), 6666);
        }
        let was_right = self.is_right();
        let relayed = !self.bench.send(&packet).sent.is_empty();
        self.strangers += u32::from(relayed && !spoofed);
        if was_right && !self.is_right() {
            // Who has many packets that are forgotten may be the sender, if that was silent for long.
            assert!(self.bench.now - self.heard >= 5 * SECOND, "media goes to an attacker");
            assert!(self.strangers >= RESTARTED, "media goes to an attacker for {} packets", self.strangers);
            self.wrong = self.bench.now;
        }
        relayed
    }

    /// Whether media goes to the sender.
    fn is_right(&self) -> bool {
        let live = &self.bench.slots[SLOT as usize].live[0];
        unmapped_v4(live.remote_ip) == Some(*phone().ip())
    }
}

fuzz_target!(|input: (u8, u16, Vec<Event>)| {
    let (suite, first, events) = input;
    let mut sender = Sender::new(suite, first);
    // Known, so that nobody else can be first.
    sender.send(0);
    for event in events.iter().take(128) {
        sender.event(event);
    }
    sender.send(0);
});
