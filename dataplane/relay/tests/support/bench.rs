//! A relay with two ports, its slots and its counters.

use std::net::{IpAddr, SocketAddrV4};

use pinhole_flow::leg::mapped;
use pinhole_flow::{
    Command, DropCause, Event, EventKind, Leg, LegFlags, MasterKey, Mki, NextHop, Session, SessionSlot,
    Suite, WorkerStats,
};
use pinhole_relay::{Arrival, Frames, Handoff, Output, PacketBuffer, Relay, RelayConfig, RelayPort};
use pinhole_srtp::kernels::Portable;
use zerocopy::FromZeros;

use super::packet::{OUR_INSIDE, OUR_MACS, OUR_OUTSIDE, Packet, TestBuffer};
use super::peer::{Peer, master};
use super::{inside, phone};

pub const OUTSIDE: u8 = 0;
pub const INSIDE: u8 = 1;
/// MAC address of the next hop of each port.
pub const HOP_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 1, 0], [2, 0, 0, 0, 1, 1]];
pub const SLOTS: u32 = 16;
/// How long packets are accepted under the key before the last change of key.
pub const GRACE: u64 = 2 * SECOND;
pub const SECOND: u64 = 1_000_000_000;

pub struct Bench {
    pub relay: Relay,
    pub slots: Vec<SessionSlot>,
    pub stats: Box<WorkerStats>,
    pub now: u64,
    sequence: u32,
}

/// What a burst came to.
#[derive(Debug, Default)]
pub struct Out {
    pub sent: Vec<(u8, Packet)>,
    pub punted: Vec<Vec<u8>>,
    pub dropped: usize,
    pub events: Vec<Event>,
    pub handoff: Vec<Handoff<TestBuffer>>,
}

impl Out {
    /// The one packet that was sent, and its port.
    pub fn one(&self) -> &(u8, Packet) {
        let elsewhere = self.dropped + self.punted.len() + self.handoff.len();
        assert_eq!((self.sent.len(), elsewhere), (1, 0), "{self:?}");
        &self.sent[0]
    }
}

pub fn port(address: std::net::Ipv4Addr, mac: [u8; 6]) -> RelayPort {
    RelayPort { media_address: address, media_ports: 16_384..=32_767, mac, mtu: 1500, vlan: None }
}

impl Bench {
    pub fn new() -> Self {
        Self::with_ports(vec![port(OUR_OUTSIDE, OUR_MACS[0]), port(OUR_INSIDE, OUR_MACS[1])])
    }

    pub fn with_ports(ports: Vec<RelayPort>) -> Self {
        Self::worker(ports, 0, 1)
    }

    /// One of several workers. Each has [`SLOTS`] slots.
    pub fn worker(ports: Vec<RelayPort>, worker: u32, workers: u32) -> Self {
        Self::with_window(ports, worker, workers, 128)
    }

    /// The same with replay windows of a size.
    pub fn with_window(ports: Vec<RelayPort>, worker: u32, workers: u32, replay_window: u32) -> Self {
        let config = RelayConfig {
            ports,
            max_sessions: SLOTS,
            first_slot: worker * SLOTS,
            next_hops: 8,
            worker,
            workers,
            replay_window,
        };
        let mut bench = Self {
            relay: Relay::new(config, Box::new(Portable)).unwrap(),
            slots: vec![SessionSlot::new_zeroed(); SLOTS as usize],
            stats: Box::new(WorkerStats::new_zeroed()),
            now: 5 * SECOND,
            sequence: 0,
        };
        for (port, mac) in (0..).zip(HOP_MACS) {
            bench.next_hop(port.into(), NextHop { port, valid: 1, vlan: 0, mac, reserved: [0; 2] });
        }
        bench
    }

    pub fn next_hop(&mut self, index: u32, hop: NextHop) {
        let event = self.command(Command::next_hop(index, 0, hop));
        assert_eq!(event.kind, EventKind::Done as u32);
    }

    pub fn command(&mut self, mut command: Command) -> Event {
        self.sequence += 1;
        command.sequence = self.sequence;
        let event = self.relay.command(&command, &mut self.slots, self.now);
        assert_eq!((event.sequence, event.command), (self.sequence, command.kind));
        event
    }

    /// Opens a session under generation 1.
    pub fn open(&mut self, slot: u32, session: Session) {
        let event = self.command(Command::open(slot, 1, 0, session));
        assert_eq!((event.kind, event.detail), (EventKind::Done as u32, 0));
    }

    /// Updates a session after a new offer.
    pub fn update(&mut self, slot: u32, session: Session) {
        self.change(Command::update(slot, 1, 0, session).after_offer([true; 2]));
    }

    /// Carries out an update.
    pub fn change(&mut self, update: Command) {
        let event = self.command(update);
        assert_eq!((event.kind, event.detail), (EventKind::Done as u32, 0));
    }

    /// Puts frames through, 20 ms after the last ones. Each must come out exactly once, and each drop
    /// must be counted once.
    pub fn burst(&mut self, port: u8, buffers: impl IntoIterator<Item = TestBuffer>) -> Out {
        self.arrive(port, Arrival::Wire, buffers)
    }

    /// The same for frames that came from another worker.
    pub fn arrive(
        &mut self,
        port: u8,
        arrival: Arrival,
        buffers: impl IntoIterator<Item = TestBuffer>,
    ) -> Out {
        self.now += 20_000_000;
        let mut frames: Frames<TestBuffer> = buffers.into_iter().collect();
        let count = frames.len();
        let drops = self.drops_in_all();
        let mut output = Output::default();
        self.relay.burst(self.now, port, arrival, &mut frames, &mut self.slots, &mut self.stats, &mut output);
        assert!(frames.is_empty());
        let mut out = Out { dropped: output.dropped.len(), ..Out::default() };
        for (port, tx) in (0..).zip(&output.tx) {
            out.sent.extend(tx.iter().map(|frame| (port, Packet::read(frame.data()))));
        }
        out.punted.extend(output.punt.iter().map(|frame| frame.data().to_vec()));
        out.events.extend(output.events);
        out.handoff.extend(output.handoff);
        assert_eq!(out.sent.len() + out.punted.len() + out.handoff.len() + out.dropped, count);
        assert_eq!(self.drops_in_all() - drops, out.dropped as u64);
        out
    }

    pub fn send(&mut self, packet: &Packet) -> Out {
        let port = if packet.destination_mac == OUR_MACS[0] { OUTSIDE } else { INSIDE };
        self.burst(port, [packet.buffer()])
    }

    /// Opens a call in `slot`: the phone at [`phone`](super::phone) to our outside port 20000 + 10 × slot,
    /// the inside phone to our inside port 30000 + 10 × slot. Returns the phone's SRTP.
    pub fn call(&mut self, slot: u32, suite: Suite) -> Peer {
        let (outside, peer) = secure(leg(OUTSIDE, outside_port(slot), phone()), suite, 10 * slot as u8);
        self.open(slot, session(outside, leg(INSIDE, inside_port(slot), inside())));
        peer
    }

    pub fn drops(&self, cause: DropCause) -> u64 {
        self.stats.drops[cause as usize]
    }

    fn drops_in_all(&self) -> u64 {
        self.stats.drops.iter().sum()
    }

    /// Sends what must be dropped for `cause` (and nothing else), counted on the leg too if one is
    /// given.
    pub fn refuses(&mut self, packet: &Packet, cause: DropCause, leg: Option<(usize, usize)>) {
        let before = self.drops(cause);
        let count =
            |bench: &Self| leg.map(|(slot, leg)| bench.slots[slot].live[leg].stats.drops[cause as usize]);
        let on_leg = count(self);
        let out = self.send(packet);
        assert_eq!((out.sent.len(), out.punted.len(), out.dropped), (0, 0, 1), "{cause}: {out:?}");
        assert_eq!(self.drops(cause) - before, 1, "{cause}: {:?}", self.stats.drops);
        assert_eq!(count(self), on_leg.map(|count| count + 1), "{cause}");
    }
}

pub fn outside_port(slot: u32) -> u16 {
    20_000 + 10 * slot as u16
}

pub fn inside_port(slot: u32) -> u16 {
    30_000 + 10 * slot as u16
}

/// Our outside address and RTP port of a call.
pub fn ours_outside(slot: u32) -> SocketAddrV4 {
    SocketAddrV4::new(OUR_OUTSIDE, outside_port(slot))
}

/// Our inside address and RTP port of a call.
pub fn ours_inside(slot: u32) -> SocketAddrV4 {
    SocketAddrV4::new(OUR_INSIDE, inside_port(slot))
}

/// The next port: that of RTCP.
pub fn next(address: SocketAddrV4) -> SocketAddrV4 {
    SocketAddrV4::new(*address.ip(), address.port() + 1)
}

/// A plain leg.
pub fn leg(port: u8, local: u16, remote: SocketAddrV4) -> Leg {
    Leg {
        port,
        flags: 0,
        dscp: 46,
        latch_prefix: 0,
        local_rtp: local,
        local_rtcp: local + 1,
        remote_rtp: remote.port(),
        remote_rtcp: remote.port() + 1,
        next_hop: port.into(),
        remote_ip: mapped(IpAddr::V4(*remote.ip())),
        inbound: MasterKey::NONE,
        outbound: MasterKey::NONE,
        mki: Mki::NONE,
        reserved2: [0; 7],
    }
}

/// A leg that learns, and the peer at its far end.
pub fn secure(leg: Leg, suite: Suite, seed: u8) -> (Leg, Peer) {
    let inbound = master(suite, seed);
    let outbound = master(suite, seed + 1);
    let leg = Leg { flags: leg.flags | LegFlags::LEARN, inbound, outbound, ..leg };
    (leg, Peer::new(&inbound, &outbound))
}

pub fn session(outside: Leg, inside: Leg) -> Session {
    Session { legs: [outside, inside] }
}
