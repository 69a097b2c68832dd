//! RTP and RTCP of all shapes on both legs of calls of every kind, forged or under the right key, from the
//! right address or not, across re-keying: no panic; what is not authentic changes drop counters alone; what
//! is authentic is relayed at most once, whole, and the source is learned from nothing else.

#![no_main]

use std::collections::BTreeSet;
use std::net::SocketAddrV4;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pinhole_flow::leg::unmapped_v4;
use pinhole_fuzz::support::bench::SECOND;
use pinhole_fuzz::support::peer::master;
use pinhole_fuzz::support::{Packet, inside, next, ours_inside, phone};
use pinhole_fuzz::{CALLS, Calls, Identity, Sealer, Untouched};

#[derive(Arbitrary, Debug)]
enum Event {
    Packet(Shot),
    /// A packet that was there before, once more.
    Again(u8),
    /// The phone's key of a call is another one from now on.
    Rekey(u8),
    /// A re-offer that changes nothing.
    Reoffer(u8),
    Wait(u8),
}

#[derive(Arbitrary, Debug)]
struct Shot {
    call: u8,
    inside: bool,
    rtcp_port: bool,
    from: From,
    /// `Some`: under the leg's key and this rollover counter, or SRTCP index.
    sealed: Option<u32>,
    shape: Shape,
}

#[derive(Arbitrary, Debug)]
enum From {
    Signalled,
    Stranger(u16),
    Ourselves,
}

#[derive(Arbitrary, Debug)]
enum Shape {
    Any(Vec<u8>),
    Rtp { flags: u8, kind: u8, sequence: u16, ssrc: u8, rest: Vec<u8> },
    Rtcp { flags: u8, kind: u8, words: u8, ssrc: u8, rest: Vec<u8> },
}

impl Shape {
    fn bytes(&self) -> Vec<u8> {
        let (mut packet, rest) = match self {
            Self::Any(bytes) => (Vec::new(), bytes),
            Self::Rtp { flags, kind, sequence, ssrc, rest } => {
                let mut packet = vec![0x80 | flags & 0x3f, *kind];
                packet.extend(sequence.to_be_bytes());
                packet.extend([0, 0, 0, 0, 0, 0, 0, *ssrc]);
                (packet, rest)
            }
            Self::Rtcp { flags, kind, words, ssrc, rest } => {
                (vec![0x80 | flags & 0x3f, 192 | kind & 31, 0, *words, 0, 0, 0, *ssrc], rest)
            }
        };
        packet.extend(rest.iter().take(1400));
        packet
    }
}

/// A packet on its way, and what it is if it is authentic: call, leg, number of the key, and which of it.
#[derive(Clone)]
struct Flight {
    packet: Packet,
    call: u32,
    leg: usize,
    authentic: Option<(usize, Identity)>,
    plain: Vec<u8>,
}

struct Run {
    calls: Calls,
    /// Keys that a call's phone has had, and that of the inside leg, the last one in force.
    keys: [Vec<Vec<Sealer>>; 2],
    flights: Vec<Flight>,
    relayed: BTreeSet<(u32, usize, usize, Identity)>,
}

impl Run {
    fn new() -> Self {
        let calls = Calls::open();
        let keys = [0, 1].map(|leg| {
            let sealer = |slot: usize| {
                let leg = &calls.bench.slots[slot].session.legs[leg];
                (leg.inbound.suite != 0).then(|| Sealer::new(&leg.inbound, &leg.mki)).into_iter().collect()
            };
            (0..=*CALLS.end() as usize).map(sealer).collect()
        });
        Self { calls, keys, flights: Vec::new(), relayed: BTreeSet::new() }
    }

    fn call(number: u8) -> u32 {
        CALLS.start() + u32::from(number) % CALLS.count() as u32
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Packet(shot) => {
                let flight = self.flight(shot);
                self.fly(&flight);
                self.flights.push(flight);
            }
            Event::Again(number) => {
                if let Some(flight) = self.flights.get(usize::from(*number)).cloned() {
                    self.fly(&flight);
                }
            }
            Event::Rekey(number) => self.rekey(Self::call(*number)),
            Event::Reoffer(number) => {
                let slot = Self::call(*number);
                // A sender may set its sequence numbers back then: what is in no window any more may come
                // once again.
                self.relayed.retain(|(call, _, _, identity)| *call != slot || identity.rtcp);
                self.calls.bench.update(slot, self.calls.bench.slots[slot as usize].session);
            }
            Event::Wait(tenths) => self.calls.bench.now += u64::from(*tenths) * SECOND / 10,
        }
    }

    fn flight(&self, shot: &Shot) -> Flight {
        let (call, leg) = (Self::call(shot.call), usize::from(shot.inside));
        let plain = shot.shape.bytes();
        let keys = &self.keys[leg][call as usize];
        let sealed = shot.sealed.and_then(|roc| keys.last()?.seal(&plain, roc));
        let (payload, authentic) = match sealed {
            Some((bytes, identity)) => (bytes, Some((keys.len(), identity))),
            None => (plain.clone(), None),
        };
        let destination = Calls::ours(call, leg, shot.rtcp_port);
        let signalled = if shot.inside { inside() } else { phone() };
        let source = match shot.from {
            From::Signalled if shot.rtcp_port => next(signalled),
            From::Signalled => signalled,
            From::Stranger(port) => SocketAddrV4::new([192, 0, 2, 66].into(), port),
            From::Ourselves => ours_inside(call),
        };
        let packet = Packet::new(source, destination, &payload);
        let packet = if shot.inside { packet.tagged(7) } else { packet };
        Flight { packet, call, leg, authentic, plain }
    }

    fn fly(&mut self, flight: &Flight) {
        let bench = &mut self.calls.bench;
        let slot = flight.call as usize;
        let session = &bench.slots[slot].session;
        let [orders, far] = if flight.leg == 0 { [0, 1] } else { [1, 0] }.map(|leg| session.legs[leg]);
        let plain_leg = orders.inbound.suite == 0 && orders.flags & 1 == 0;
        let trusted = if plain_leg { from_signalled(flight, &orders) } else { flight.authentic.is_some() };
        let before = Untouched::of(bench, false);
        let accepted = accepted_by(bench, flight);
        let remote = bench.slots[slot].live[flight.leg];
        let out = bench.send(&flight.packet);
        if !trusted {
            assert!(out.sent.is_empty(), "relayed for a stranger: {:?}", flight.packet);
            before.check(bench);
            return;
        }
        let now = bench.slots[slot].live[flight.leg];
        let source = flight.packet.source;
        assert!(
            now.remote_ip == remote.remote_ip && now.remote_rtp == remote.remote_rtp
                || unmapped_v4(now.remote_ip) == Some(*source.ip()),
            "learned {:?}:{} from {source}",
            unmapped_v4(now.remote_ip),
            now.remote_rtp,
        );
        let accepted = accepted_by(bench, flight) - accepted;
        assert!(accepted <= 1 && out.sent.len() as u64 <= accepted, "sent {} of {accepted}", out.sent.len());
        if let (Some((key, identity)), 1) = (flight.authentic, accepted) {
            let first = self.relayed.insert((flight.call, flight.leg, key, identity));
            assert!(first, "accepted twice: {identity:?} under key {key} of call {}", flight.call);
        }
        let straight = unmapped_v4(far.remote_ip) == Some(*inside().ip());
        if let [(_, sent)] = &out.sent[..]
            && straight
            && far.outbound.suite == 0
        {
            assert!(sent.payload == flight.plain, "changed on its way: {sent:?}");
        }
    }

    fn rekey(&mut self, slot: u32) {
        let mut session = self.calls.bench.slots[slot as usize].session;
        let keys = &mut self.keys[0][slot as usize];
        let Some(suite) = session.legs[0].inbound.suite() else { return };
        session.legs[0].inbound = master(suite, 100 + keys.len() as u8);
        keys.push(Sealer::new(&session.legs[0].inbound, &session.legs[0].mki));
        self.calls.bench.update(slot, session);
    }
}

/// Packets that the leg has accepted so far.
fn accepted_by(bench: &pinhole_fuzz::support::Bench, flight: &Flight) -> u64 {
    let stats = &bench.slots[flight.call as usize].live[flight.leg].stats;
    stats.rx_packets + stats.rtcp_rx
}

fn from_signalled(flight: &Flight, leg: &pinhole_flow::Leg) -> bool {
    let source = flight.packet.source;
    Some(*source.ip()) == unmapped_v4(leg.remote_ip)
        && (source.port() == leg.remote_rtp || source.port() == leg.remote_rtcp)
}

fuzz_target!(|events: Vec<Event>| {
    let mut run = Run::new();
    for event in events.iter().take(64) {
        run.event(event);
    }
});
