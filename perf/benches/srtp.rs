//! Our engine's bursts of 32 beside libsrtp2, packet by packet, in one run.
//!
//! Both do all of a packet's work: header, index, replay check, cipher, tag. The packets are 172 bytes
//! long (20 ms of G.711) and come from 2,048 flows with a key each, in random order, so that key state is
//! about as cold as on a loaded appliance. Each flow carries one packet before the clock runs, because
//! libsrtp2 makes its per-SSRC context at the first. Only the ratios printed at the end mean something:
//! the absolute times are the machine's and the moment's. libsrtp2 is the one that pkg-config finds;
//! Debian's is built on NSS, so the ratios say nothing about a libsrtp2 built on OpenSSL.

#![allow(clippy::unwrap_used, reason = "a benchmark stops by panicking")]

use std::array::from_fn;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use libsrtp2::{Policy, ROOM, Role, Session};
use pinhole_flow::slot::STREAMS;
use pinhole_flow::{MasterKey, StreamState, Suite};
use pinhole_srtp::kernels::{Engine, Job, Kind, Outcome, Portable};
use pinhole_srtp::{Direction, Guess, outbound, rtp};

const FLOWS: usize = 2_048;
const BURST: usize = 32;
const PACKET: usize = 172;
const SUITES: [Suite; 4] =
    [Suite::AesCm128HmacSha1_80, Suite::AesCm256HmacSha1_80, Suite::AeadAes128Gcm, Suite::AeadAes256Gcm];

/// A buffer aligned as libsrtp2 wants it.
#[repr(align(64))]
struct Buffer {
    bytes: [u8; PACKET + ROOM],
    len: usize,
}

/// A burst: which flow each packet belongs to, and the packets.
struct Burst {
    flows: [usize; BURST],
    buffers: [Buffer; BURST],
}

/// Plain packets of flows in random order, with the next sequence number of each flow.
struct Source {
    random: u64,
    /// How many flows have not carried a packet yet: those come first, in order.
    fresh: usize,
    sequences: Vec<u16>,
}

impl Source {
    fn new() -> Self {
        Self { random: 0x9e37_79b9_7f4a_7c15, fresh: FLOWS, sequences: vec![0; FLOWS] }
    }

    fn fill(&mut self, burst: &mut Burst) {
        for (flow, buffer) in burst.flows.iter_mut().zip(&mut burst.buffers) {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            *flow = (self.random >> 20) as usize % FLOWS;
            if let Some(fresh) = self.fresh.checked_sub(1) {
                *flow = fresh;
                self.fresh = fresh;
            }
            let sequence = self.sequences[*flow];
            self.sequences[*flow] = sequence.wrapping_add(1);
            buffer.len = PACKET;
            buffer.bytes[..PACKET].fill(0xd5);
            buffer.bytes[..2].copy_from_slice(&[0x80, 0]);
            buffer.bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
            buffer.bytes[8..12].copy_from_slice(&(*flow as u32).to_be_bytes());
        }
    }
}

fn key_and_salt(suite: Suite, flow: usize) -> Vec<u8> {
    let len = suite.key_len() + suite.salt_len();
    (0..len).map(|at| (flow >> (8 * (at % 2))) as u8 ^ (at as u8).wrapping_mul(29)).collect()
}

/// What is measured: protects or unprotects a burst.
trait Side {
    fn run(&mut self, burst: &mut Burst);
}

struct Ours {
    directions: Vec<Direction>,
    streams: Vec<[StreamState; STREAMS]>,
    role: Role,
}

impl Ours {
    fn new(suite: Suite, role: Role) -> Self {
        let derive = |flow| {
            let master = MasterKey::new(suite, &key_and_salt(suite, flow), &[]).unwrap();
            Direction::derive(&master, &Portable).unwrap().unwrap()
        };
        let directions = (0..FLOWS).map(derive).collect();
        Self { directions, streams: vec![[StreamState::default(); STREAMS]; FLOWS], role }
    }

    fn protect(&mut self, burst: &mut Burst) {
        let flows = burst.flows;
        let headers = burst.buffers.each_ref().map(|buffer| rtp::parse(&buffer.bytes[..PACKET]).unwrap());
        let indices: [u64; BURST] = from_fn(|at| {
            let header = &headers[at];
            outbound::assign_rtp(&mut self.streams[flows[at]], header.ssrc, header.sequence).unwrap()
        });
        let mut buffers = burst.buffers.iter_mut();
        let mut jobs: [Job<'_>; BURST] = from_fn(|at| {
            let (buffer, header) = (buffers.next().unwrap(), &headers[at]);
            let (len, packet) = (buffer.len, &mut buffer.bytes[..]);
            self.directions[flows[at]].job(
                Kind::Rtp,
                packet,
                len,
                header.payload_at,
                header.ssrc,
                indices[at],
            )
        });
        Portable.protect(&mut jobs);
        assert!(jobs.iter().all(|job| job.outcome == Outcome::Done));
        let lens = jobs.map(|job| job.len);
        burst.buffers.iter_mut().zip(lens).for_each(|(buffer, len)| buffer.len = len);
    }

    fn unprotect(&mut self, burst: &mut Burst) {
        let flows = burst.flows;
        let guesses: [(Guess, usize); BURST] = from_fn(|at| {
            let buffer = &burst.buffers[at];
            let header = rtp::parse(&buffer.bytes[..buffer.len]).unwrap();
            (Guess::rtp(&self.streams[flows[at]], &header), header.payload_at)
        });
        let mut buffers = burst.buffers.iter_mut();
        let mut jobs: [Job<'_>; BURST] = from_fn(|at| {
            let buffer = buffers.next().unwrap();
            let (len, packet) = (buffer.len, &mut buffer.bytes[..]);
            let (guess, payload_at) = &guesses[at];
            self.directions[flows[at]].job(Kind::Rtp, packet, len, *payload_at, guess.ssrc, guess.index)
        });
        Portable.unprotect(&mut jobs);
        assert!(jobs.iter().all(|job| job.outcome == Outcome::Done));
        for (flow, (guess, _)) in flows.iter().zip(&guesses) {
            guess.commit(&mut self.streams[*flow]).unwrap();
        }
    }
}

impl Side for Ours {
    fn run(&mut self, burst: &mut Burst) {
        match self.role {
            Role::Sender => self.protect(burst),
            Role::Receiver => self.unprotect(burst),
        }
    }
}

struct Theirs {
    sessions: Vec<Session>,
    role: Role,
}

impl Theirs {
    fn new(suite: Suite, role: Role) -> Self {
        let create = |flow| {
            let key_and_salt = key_and_salt(suite, flow);
            let policy =
                Policy { suite: suite.name(), key_and_salt: &key_and_salt, mki: &[], encrypt_rtcp: true };
            Session::new(role, &policy).unwrap()
        };
        Self { sessions: (0..FLOWS).map(create).collect(), role }
    }
}

impl Side for Theirs {
    fn run(&mut self, burst: &mut Burst) {
        for (flow, buffer) in burst.flows.iter().zip(&mut burst.buffers) {
            let session = &mut self.sessions[*flow];
            buffer.len = match self.role {
                Role::Sender => session.protect(&mut buffer.bytes, buffer.len).unwrap(),
                Role::Receiver => session.unprotect(&mut buffer.bytes, buffer.len).unwrap(),
            };
        }
    }
}

/// Time and packets of each side under a name, for the table of ratios.
#[derive(Default)]
struct Totals(BTreeMap<String, [(Duration, u64); 2]>);

impl Totals {
    fn print(&self) {
        println!("\n{:<42} {:>10} {:>10} {:>7}", "172-byte packets, 2,048 keys", "ours", "libsrtp2", "ratio");
        for (name, sides) in &self.0 {
            let [ours, theirs] = sides.map(|(time, packets)| time.as_nanos() as f64 / packets.max(1) as f64);
            println!("{name:<42} {ours:>7.0} ns {theirs:>7.0} ns {:>6.2}x", theirs / ours);
        }
        println!(
            "Debian builds libsrtp2 on NSS, which makes a cipher context per packet: OpenSSL builds are much faster."
        );
    }
}

/// Measures one side. What it unprotects was protected by our sender, whose output is that of libsrtp2.
fn measure(criterion: &mut Criterion, totals: &mut Totals, suite: Suite, role: Role, ours: bool) {
    let verb = if role == Role::Sender { "protect" } else { "unprotect" };
    let name = format!("{} {verb}", suite.name());
    let mut side: Box<dyn Side> =
        if ours { Box::new(Ours::new(suite, role)) } else { Box::new(Theirs::new(suite, role)) };
    let mut sender = (role == Role::Receiver).then(|| Ours::new(suite, Role::Sender));
    let mut source = Source::new();
    let mut burst =
        Burst { flows: [0; BURST], buffers: from_fn(|_| Buffer { bytes: [0; PACKET + ROOM], len: 0 }) };
    for _ in 0..FLOWS / BURST {
        source.fill(&mut burst);
        if let Some(sender) = &mut sender {
            sender.run(&mut burst);
        }
        side.run(&mut burst);
    }
    let total = &mut totals.0.entry(name.clone()).or_default()[usize::from(!ours)];
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(BURST as u64));
    group.bench_function(if ours { "pinhole" } else { "libsrtp2" }, |bencher| {
        bencher.iter_custom(|bursts| {
            let mut time = Duration::ZERO;
            for _ in 0..bursts {
                source.fill(&mut burst);
                if let Some(sender) = &mut sender {
                    sender.run(&mut burst);
                }
                let start = Instant::now();
                side.run(&mut burst);
                time += start.elapsed();
            }
            total.0 += time;
            total.1 += bursts * BURST as u64;
            time
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut totals = Totals::default();
    for suite in SUITES {
        for role in [Role::Sender, Role::Receiver] {
            for ours in [true, false] {
                measure(&mut criterion, &mut totals, suite, role, ours);
            }
        }
    }
    totals.print();
    criterion.final_summary();
}
