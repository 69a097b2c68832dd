//! A relay with open sessions, and bursts for it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use arrayvec::ArrayVec;
use pinhole_flow::leg::mapped;
use pinhole_flow::{
    Command, EventKind, Leg, LegFlags, MasterKey, Mki, NextHop, Session, SessionSlot, Suite, WorkerStats,
};
use pinhole_relay::{
    Arrival, BURST, Frames, Observer, Output, PacketBuffer, Relay, RelayConfig, RelayPort, Stage,
};
use pinhole_srtp::Direction;
use pinhole_srtp::kernels::{Engine, Job, Kind, Outcome};
use zerocopy::FromZeros;

use crate::clock::{Random, cycles, middle};
use crate::counting::account;
use crate::frames::{Addresses, Frame, HEADERS, Pool, RTP, write_headers, write_rtp};

const SUITE: Suite = Suite::AesCm128HmacSha1_80;
/// Length of its tag.
const TAG: usize = 10;
/// Data-plane ports: phones on the first four, the inside on the others.
const PORTS: u8 = 8;
/// Sessions with ports of one media address.
const PER_PORT: u32 = 32_000;
/// MAC address of whoever is at the other end of a port.
const PEER: [u8; 6] = [2, 0, 0, 0, 9, 9];
/// How many bursts are made in advance: their frames are what a receive queue holds.
const GROUP: usize = 16;

/// A relay with open sessions.
pub struct Scene {
    relay: Relay,
    engine: Box<dyn Engine>,
    slots: Vec<SessionSlot>,
    stats: Box<WorkerStats>,
    output: Output<Frame>,
    sessions: u32,
    /// Sequence numbers with their rollover counters, by direction and session.
    next: [Vec<u32>; 2],
    /// Sessions whose turn it is, by direction and port.
    turns: [Vec<Vec<u32>>; 2],
    random: Random,
    now_ns: u64,
}

/// What a slice of bursts came to: nanoseconds per packet, and cycles per packet by stage.
pub struct Slice {
    pub inwards_ns: f64,
    pub outwards_ns: f64,
    pub stages: [f64; Stage::COUNT],
    pub allocations: u64,
}

impl Slice {
    /// Half of the packets go each way.
    pub fn whole_ns(&self) -> f64 {
        f64::midpoint(self.inwards_ns, self.outwards_ns)
    }
}

/// Cycles by stage.
#[derive(Default)]
struct Watch {
    last: u64,
    /// Of the burst under way.
    cycles: [u64; Stage::COUNT],
    /// Of the bursts before it, per packet.
    bursts: [Vec<f64>; Stage::COUNT],
}

impl Observer for Watch {
    fn passed(&mut self, stage: Stage) {
        let now = cycles();
        self.cycles[stage as usize] += now - self.last;
        self.last = now;
    }
}

impl Watch {
    /// Ends a burst of so many packets.
    fn end(&mut self, packets: f64) {
        for (bursts, cycles) in self.bursts.iter_mut().zip(std::mem::take(&mut self.cycles)) {
            bursts.push(cycles as f64 / packets);
        }
    }
}

/// A burst that is ready, the data-plane port it comes to, and its sessions.
struct Burst {
    direction: usize,
    port: u8,
    frames: Frames<Frame>,
    sessions: ArrayVec<(u32, u32), BURST>,
}

/// A master key of a suite that depends on two numbers.
pub fn master(suite: Suite, number: u32, kind: u8) -> MasterKey {
    let mut random = Random(u64::from(number) << 8 | u64::from(kind) | 1 << 63);
    let len = suite.key_len() + suite.salt_len();
    let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
    MasterKey::new(suite, &bytes).unwrap_or(MasterKey::NONE)
}

fn address(port: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 20, 0, port)
}

fn mac(port: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, port]
}

/// The far end of a leg.
fn remote(leg: usize, session: u32) -> (Ipv4Addr, u16) {
    let [_, a, b, c] = session.to_be_bytes();
    (Ipv4Addr::new([100, 172][leg], 16 + a, b, c), 4000)
}

fn place(leg: usize, session: u32) -> (u8, u16) {
    let port = (session / PER_PORT) as u8 + [0, PORTS / 2][leg];
    (port, 2 + 2 * (session % PER_PORT) as u16)
}

fn orders(leg: usize, session: u32) -> Leg {
    let ((ip, remote_rtp), (port, local_rtp)) = (remote(leg, session), place(leg, session));
    let key = |kind| if leg == 0 { master(SUITE, session, kind) } else { MasterKey::NONE };
    Leg {
        port,
        flags: if leg == 0 { LegFlags::LEARN } else { 0 },
        dscp: 46,
        latch_prefix: 0,
        local_rtp,
        local_rtcp: local_rtp + 1,
        remote_rtp,
        remote_rtcp: remote_rtp + 1,
        next_hop: port.into(),
        remote_ip: mapped(IpAddr::V4(ip)),
        inbound: key(1),
        outbound: key(2),
        mki: Mki::NONE,
        reserved2: [0; 7],
    }
}

impl Scene {
    /// A relay with this many open sessions.
    pub fn open(sessions: u32, engine: Box<dyn Engine>) -> Result<Self> {
        let port = |port| RelayPort {
            media_address: address(port),
            media_ports: 2..=65_535,
            mac: mac(port),
            mtu: 1500,
            vlan: Some(0),
        };
        let config = RelayConfig {
            ports: (0..PORTS).map(port).collect(),
            max_sessions: sessions,
            first_slot: 0,
            next_hops: PORTS.into(),
            worker: 0,
            workers: 1,
            replay_window: 128,
        };
        let own = pinhole_srtp::kernels::by_name(engine.name()).context("the engine")?;
        let mut scene = Self {
            relay: Relay::new(config, engine)?,
            engine: own,
            slots: vec![SessionSlot::new_zeroed(); sessions as usize],
            stats: Box::new(WorkerStats::new_zeroed()),
            output: Output::default(),
            sessions,
            next: [vec![1000; sessions as usize], vec![1000; sessions as usize]],
            turns: [0, 1].map(|_| vec![Vec::new(); PORTS as usize]),
            random: Random(0x9e37_79b9_7f4a_7c15),
            now_ns: 1_000_000_000,
        };
        for port in 0..PORTS {
            let hop = NextHop { port, valid: 1, vlan: 0, mac: PEER, reserved: [0; 2] };
            scene.command(&Command::next_hop(port.into(), 0, hop))?;
        }
        for session in 0..sessions {
            let legs = [0, 1].map(|leg| orders(leg, session));
            scene.command(&Command::open(session, 1, 0, Session { legs }))?;
        }
        Ok(scene)
    }

    pub fn sessions(&self) -> u32 {
        self.sessions
    }

    /// Bytes on the heap that are the benchmark's, or counted apart.
    pub fn own_bytes(&self) -> i64 {
        let vectors = self.slots.len() * size_of::<SessionSlot>() + 8 * self.sessions as usize;
        vectors as i64
    }

    fn command(&mut self, command: &Command) -> Result<()> {
        let event = self.relay.command(command, &mut self.slots, self.now_ns);
        ensure!(event.kind == EventKind::Done as u32, "refused: {event:?}");
        Ok(())
    }

    /// Has a packet go each way in each session: the first of a stream takes longer, and is not what is measured. Its
    /// memory allocations are: there must be none.
    pub fn warm_up(&mut self, pool: &mut Pool) -> Result<()> {
        for direction in [0, 1] {
            loop {
                let mut burst = self.burst(direction, pool)?;
                let (frames, slots) = (&mut burst.frames, &mut self.slots[..]);
                let (stats, output) = (&mut *self.stats, &mut self.output);
                let before = account().calls;
                self.relay.burst(self.now_ns, burst.port, Arrival::Wire, frames, slots, stats, output);
                let allocations = account().calls - before;
                ensure!(allocations == 0, "{allocations} memory allocations in a burst of first packets");
                self.check(&burst, false)?;
                self.take_back(pool);
                if self.turns[direction].iter().all(Vec::is_empty) {
                    break;
                }
            }
        }
        Ok(())
    }

    fn take_back(&mut self, pool: &mut Pool) {
        self.output.tx.iter_mut().for_each(|tx| tx.drain(..).for_each(|frame| pool.give(frame)));
        self.output.events.clear();
    }

    /// Relays some bursts, half of them from the phones.
    pub fn run(&mut self, pool: &mut Pool, bursts: usize) -> Result<Slice> {
        let mut spent = [Vec::new(), Vec::new()];
        let mut watches = [0, 1].map(|_| Watch::default());
        let mut allocations = 0;
        for group in 0..bursts.div_ceil(GROUP) {
            let mut made = Vec::with_capacity(GROUP);
            for number in 0..GROUP {
                made.push(self.burst(number % 2, pool)?);
            }
            for (number, mut burst) in made.into_iter().enumerate() {
                self.now_ns += 32_000;
                let (frames, output) = (&mut burst.frames, &mut self.output);
                let (slots, stats) = (&mut self.slots[..], &mut *self.stats);
                let count = frames.len().max(1) as f64;
                let before = account().calls;
                // The stages are timed in every fourth group, so that the clock does not add to the others.
                if group % 4 == 3 {
                    let watch = &mut watches[burst.direction];
                    watch.last = cycles();
                    self.relay.burst_observed(
                        self.now_ns,
                        burst.port,
                        Arrival::Wire,
                        frames,
                        slots,
                        stats,
                        output,
                        watch,
                    );
                    allocations += account().calls - before;
                    watch.end(count);
                } else {
                    let start = Instant::now();
                    self.relay.burst(self.now_ns, burst.port, Arrival::Wire, frames, slots, stats, output);
                    let ns = start.elapsed().as_nanos() as f64 / count;
                    allocations += account().calls - before;
                    spent[burst.direction].push(ns);
                }
                self.check(&burst, number < 2)?;
                self.take_back(pool);
            }
        }
        let [inwards_ns, outwards_ns] = spent.map(middle);
        let [inwards, outwards] = watches.map(|watch| watch.bursts.map(middle));
        let stages = std::array::from_fn(|stage| f64::midpoint(inwards[stage], outwards[stage]));
        Ok(Slice { inwards_ns, outwards_ns, stages, allocations })
    }

    /// The next sessions in random order, all of one port: every session comes once in a round.
    fn turn(&mut self, direction: usize) -> Result<(u8, ArrayVec<u32, BURST>)> {
        let turns = &mut self.turns[direction];
        if turns.iter().all(Vec::is_empty) {
            for session in 0..self.sessions {
                turns[usize::from(place(direction, session).0)].push(session);
            }
            turns.iter_mut().for_each(|turns| self.random.shuffle(turns));
        }
        let open: Vec<_> = (0..turns.len()).filter(|port| !turns[*port].is_empty()).collect();
        let port = open[self.random.below(open.len())];
        let turns = &mut turns[port];
        let from = turns.len().saturating_sub(BURST);
        Ok((port as u8, turns.drain(from..).collect()))
    }

    fn burst(&mut self, direction: usize, pool: &mut Pool) -> Result<Burst> {
        let (port, sessions) = self.turn(direction)?;
        let mut made = Burst { direction, port, frames: Frames::new(), sessions: ArrayVec::new() };
        let len = HEADERS + RTP + if direction == 0 { TAG } else { 0 };
        for session in sessions {
            let next = &mut self.next[direction][session as usize];
            *next += 1;
            let index = *next;
            let mut frame = pool.take(len).context("no buffer left")?;
            write_rtp(&mut frame.data_mut()[HEADERS..], session, index as u16);
            made.frames.push(frame);
            made.sessions.push((session, index));
        }
        if direction == 0 {
            self.seal(&mut made)?;
        }
        for (frame, (session, _)) in made.frames.iter_mut().zip(&made.sessions) {
            let (port, local) = place(direction, *session);
            let destination = (address(port), local);
            let source = remote(direction, *session);
            write_headers(frame.data_mut(), &Addresses { macs: [PEER, mac(port)], source, destination });
        }
        Ok(made)
    }

    /// Protects as the phones do.
    fn seal(&self, burst: &mut Burst) -> Result<()> {
        let derive = |session| Direction::derive(&master(SUITE, session, 1), &*self.engine);
        let keys = burst.sessions.iter().map(|(session, _)| derive(*session)?.context("a key"));
        let keys: Vec<_> = keys.collect::<Result<_>>()?;
        let mut jobs: ArrayVec<Job<'_>, BURST> = ArrayVec::new();
        for ((frame, (session, index)), key) in burst.frames.iter_mut().zip(&burst.sessions).zip(&keys) {
            let packet = &mut frame.data_mut()[HEADERS..];
            jobs.push(key.job(Kind::Rtp, packet, RTP, 12, *session, u64::from(*index)));
        }
        self.engine.protect(&mut jobs);
        ensure!(jobs.iter().all(|job| job.outcome == Outcome::Done), "a frame could not be made");
        Ok(())
    }

    /// Looks at what came out: every frame was sent, and with `closely` what it says.
    fn check(&mut self, burst: &Burst, closely: bool) -> Result<()> {
        let port = usize::from(burst.port) ^ usize::from(PORTS / 2);
        let sent = &mut self.output.tx[port];
        ensure!(sent.len() == burst.sessions.len(), "{} of {} sent", sent.len(), burst.sessions.len());
        let mut expected = [0; RTP];
        for (frame, (session, index)) in sent.iter_mut().zip(&burst.sessions).filter(|_| closely) {
            let packet = &mut frame.data_mut()[HEADERS..];
            if burst.direction == 1 {
                let key = Direction::derive(&master(SUITE, *session, 2), &*self.engine)?;
                let (key, len) = (key.context("a key")?, packet.len());
                let mut jobs = [key.job(Kind::Rtp, packet, len, 12, *session, u64::from(*index))];
                self.engine.unprotect(&mut jobs);
                ensure!(jobs[0].outcome == Outcome::Done, "what was sent is not authentic");
            }
            write_rtp(&mut expected, *session, *index as u16);
            ensure!(packet[..RTP] == expected, "a payload is wrong");
        }
        Ok(())
    }
}
