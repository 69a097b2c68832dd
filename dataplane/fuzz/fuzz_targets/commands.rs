//! Any bytes as commands of a control plane gone mad: no panic, every refusal named, as many sessions open
//! as slots say, and pinholes exactly where those sessions have them.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pinhole_flow::slot::state;
use pinhole_flow::{
    Command, CommandKind, DropCause, EventKind, LegFlags, MasterKey, NextHop, Refusal, Suite,
};
use pinhole_fuzz::support::bench::port;
use pinhole_fuzz::support::packet::OUR_MACS;
use pinhole_fuzz::support::peer::master;
use pinhole_fuzz::support::{Bench, OUR_INSIDE, OUR_OUTSIDE, Packet, inside, leg, phone, session};
use pinhole_relay::RelayPort;
use zerocopy::{FromZeros, IntoBytes};

/// Our media ports on both sides.
const MEDIA: std::ops::RangeInclusive<u16> = 20_000..=20_031;

#[derive(Arbitrary, Debug)]
enum Order {
    /// A command that is nearly right.
    Nearly { kind: u8, slot: u8, generation: u8, legs: [Side; 2], changes: Vec<(u16, u8)> },
    /// A command as it lies in the ring; what is missing is zero.
    Raw(Vec<u8>),
    /// A frame to each side: what is open takes it, what is not drops it.
    Frame { local: u8, bytes: Vec<u8> },
}

/// How a leg differs from a right one: all zero is right.
#[derive(Arbitrary, Debug)]
struct Side {
    port: bool,
    shift: u8,
    flags: u8,
    suites: [u8; 2],
    next_hop: u8,
}

impl Side {
    fn leg(&self, number: u8, slot: u32, remote: std::net::SocketAddrV4) -> pinhole_flow::Leg {
        // Four slots have ports of their own; the last few are out of range.
        let pair = (slot as u16 % 4 * 4 + 2 * u16::from(number) + u16::from(self.shift)) % 18;
        let mut leg = leg(number ^ u8::from(self.port), MEDIA.start() + 2 * pair, remote);
        leg.flags = self.flags & LegFlags::ALL;
        if leg.has(LegFlags::LATCH) {
            (leg.remote_rtp, leg.remote_rtcp) = (0, 0);
            leg.latch_prefix = 96 + self.shift % 33;
        }
        leg.next_hop = u32::from(self.next_hop % 9);
        for (key, suite) in [&mut leg.inbound, &mut leg.outbound].into_iter().zip(self.suites) {
            *key = Suite::from_code(suite % 9).map_or(MasterKey::NONE, |suite| master(suite, number));
        }
        leg
    }
}

impl Order {
    fn command(&self) -> Option<Command> {
        let mut command = Command::new_zeroed();
        match self {
            Self::Raw(bytes) => {
                let len = bytes.len().min(size_of::<Command>());
                command.as_mut_bytes()[..len].copy_from_slice(&bytes[..len]);
            }
            Self::Nearly { kind, slot, generation, legs, changes } => {
                command.kind = [1, 3, 2, 4, 0, 5][usize::from(kind % 6)];
                command.slot = u32::from(if *slot < 224 { slot % 4 } else { slot % 32 });
                command.generation = u32::from(generation % 2);
                command.session =
                    session(legs[0].leg(0, command.slot, phone()), legs[1].leg(1, command.slot, inside()));
                command.next_hop =
                    NextHop { port: slot % 2, valid: 1, vlan: 0, mac: OUR_MACS[0], reserved: [0; 2] };
                let bytes = command.as_mut_bytes();
                for (at, value) in changes {
                    let at = usize::from(*at) % bytes.len();
                    bytes[at] = *value;
                }
            }
            Self::Frame { .. } => return None,
        }
        Some(command)
    }
}

/// What must be open: the media ports of each slot's session, by data-plane port and local port.
type Open = BTreeMap<u32, BTreeSet<(u8, u16)>>;

fuzz_target!(|input: (bool, Vec<Order>)| {
    let (alone, orders) = input;
    let ports = [OUR_OUTSIDE, OUR_INSIDE].into_iter().zip(OUR_MACS);
    let ports = ports.map(|(address, mac)| RelayPort { media_ports: MEDIA, ..port(address, mac) });
    let mut bench = Bench::worker(ports.collect(), 0, if alone { 1 } else { 2 });
    let mut open = Open::new();
    for order in orders.iter().take(64) {
        match (order.command(), order) {
            (Some(command), _) => carry_out(&mut bench, command, &mut open),
            (None, Order::Frame { local, bytes }) => knock(&mut bench, *local, bytes),
            (None, _) => {}
        }
    }
    let expected: BTreeSet<_> = open.values().flatten().copied().collect();
    assert_eq!(pinholes(&mut bench), expected);
});

fn carry_out(bench: &mut Bench, command: Command, open: &mut Open) {
    // Checks that the acknowledgement names the command.
    let event = bench.command(command);
    assert_eq!((event.slot, event.generation), (command.slot, command.generation));
    let done = match EventKind::from_code(event.kind) {
        Some(EventKind::Done) => event.detail == 0,
        Some(EventKind::Refused) => {
            let reason = Refusal::from_code(event.detail);
            assert!(reason.is_some(), "a refusal without a reason: {event:?}");
            let mut others = open.iter().filter(|(slot, _)| **slot != command.slot);
            let taken = others.any(|(_, ports)| !ports.is_disjoint(&ports_of(&command)));
            assert!(reason != Some(Refusal::PortBusy) || taken, "busy with nobody's session: {event:?}");
            false
        }
        _ => panic!("no acknowledgement: {event:?}"),
    };
    if done {
        match CommandKind::from_code(command.kind) {
            // Repeated, it changes nothing.
            Some(CommandKind::Open) => {
                open.entry(command.slot).or_insert_with(|| ports_of(&command));
            }
            Some(CommandKind::Update) => {
                open.insert(command.slot, ports_of(&command));
            }
            Some(CommandKind::Close) => {
                open.remove(&command.slot);
            }
            Some(CommandKind::NextHop) => {}
            None => panic!("an unknown command was carried out"),
        }
    }
    let slots = bench.slots.iter().filter(|slot| slot.state == state::OPEN).count();
    assert_eq!((slots, bench.relay.open_sessions() as usize), (open.len(), open.len()));
    for (slot, shared) in (0..).zip(&bench.slots) {
        assert!(
            open.contains_key(&slot) || shared.session.as_bytes().iter().all(|byte| *byte == 0),
            "keys left"
        );
    }
}

fn ports_of(command: &Command) -> BTreeSet<(u8, u16)> {
    let legs = &command.session.legs;
    legs.iter().flat_map(|leg| [(leg.port, leg.local_rtp), (leg.port, leg.local_rtcp)]).collect()
}

fn knock(bench: &mut Bench, local: u8, payload: &[u8]) {
    let payload = &payload[..payload.len().min(1400)];
    let local = MEDIA.start() + u16::from(local) % MEDIA.len() as u16;
    for (own, source) in [(OUR_OUTSIDE, phone()), (OUR_INSIDE, inside())] {
        bench.send(&Packet::new(source, std::net::SocketAddrV4::new(own, local), payload));
    }
}

/// Where a packet is not dropped for want of a pinhole.
fn pinholes(bench: &mut Bench) -> BTreeSet<(u8, u16)> {
    let mut open = BTreeSet::new();
    for (port, own) in (0..).zip([OUR_OUTSIDE, OUR_INSIDE]) {
        for local in MEDIA {
            let before = bench.drops(DropCause::ClosedPinhole);
            let out = bench.send(&Packet::new(phone(), std::net::SocketAddrV4::new(own, local), &[]));
            // Another worker's port is handed off.
            if out.handoff.is_empty() && bench.drops(DropCause::ClosedPinhole) == before {
                open.insert((port, local));
            }
        }
    }
    open
}
