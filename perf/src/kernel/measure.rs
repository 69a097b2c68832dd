//! Interleaved measurement: round after round, each contestant gets a short slice.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pinhole_flow::Suite;
use serde::Serialize;

use super::contestant::{self, BURST, Contestant, LIBSRTP2, Role};
use super::packets::{PACKET, Packet, Source};
use crate::spread::Spread;

/// Packets between two readings of the clock: few enough to stay in the first caches beside the keys. Of a
/// contestant that needs more than 10 microseconds a packet, [`BURST`].
const BATCH: usize = 256;

/// How long a contestant's slice should be, in nanoseconds.
const SLICE: f64 = 400_000.0;

/// Batches at the start of a slice that bring a contestant's keys into the caches and do not count: 4,096 packets. The
/// slow ones, whose time is their own, have fewer.
const WARM: usize = 16;

/// Batches that are tried to see how long a contestant's slices may be, and which of its ways is the quickest: at
/// least so many, unless they take long.
const TRIES: usize = 32;
const LONG: Duration = Duration::from_millis(20);

/// Rounds of a contestant that needs more than 100 microseconds a packet: its figure needs no more.
const SLOW_ROUNDS: usize = 3;

/// What is measured at a time.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Packets that a contestant gets at a time.
    pub burst: usize,
    /// How often each contestant has its turn.
    pub rounds: usize,
}

/// What a contestant needed in a [`Case`].
#[derive(Debug, Serialize)]
pub struct Score {
    /// Who.
    pub name: String,
    /// In which of its ways, if it has several.
    pub way: String,
    /// Nanoseconds per packet.
    pub ns: Spread,
    /// Nanoseconds per packet over those of our best engine in the same round.
    pub ratio: Spread,
}

/// The contestants of a suite in one role.
pub struct Arena {
    suite: Suite,
    role: Role,
    keys: usize,
    entrants: Vec<Entrant>,
    sender: Box<dyn Contestant>,
    packets: Vec<Packet>,
    random: u64,
}

struct Entrant {
    contestant: Box<dyn Contestant>,
    source: Source,
}

/// How a contestant is measured in a [`Case`].
struct Slice {
    /// Packets in a batch.
    packets: usize,
    /// Batches that bring the keys into the cache and do not count.
    warm: usize,
    /// Batches that count.
    batches: usize,
    /// Rounds.
    rounds: usize,
}

impl Slice {
    /// For a contestant that needs about `ns` nanoseconds a packet.
    fn of(ns: f64, case: Case) -> Self {
        if ns > 100_000.0 {
            return Self { packets: BURST, warm: 0, batches: 1, rounds: SLOW_ROUNDS.min(case.rounds) };
        }
        let packets = if ns > 10_000.0 { BURST } else { BATCH };
        let warm = if ns > 2_000.0 { 2 } else { WARM };
        let batches = (SLICE / (ns * packets as f64)).clamp(3.0, 64.0) as usize;
        Self { packets, warm, batches, rounds: case.rounds }
    }
}

impl Arena {
    /// Expands as many different keys for every contestant that is wanted, and checks that all do the same. Our
    /// best engine is always there: the others are compared with it.
    pub fn new(suite: Suite, role: Role, keys: usize, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let mut contestants = contestant::ours(suite, role, keys)?;
        contestants.extend(contestant::others(suite, role, keys, wanted(LIBSRTP2))?);
        let best = contestants.first().map(|contestant| contestant.name());
        contestants.retain(|contestant| wanted(&contestant.name()) || Some(contestant.name()) == best);
        let mut entrants = Vec::new();
        for mut contestant in contestants {
            let mut source = Source::new(keys);
            contestant::check(contestant.as_mut(), suite, role, &mut source)?;
            entrants.push(Entrant { contestant, source });
        }
        let sender = contestant::sender(suite, keys)?;
        Ok(Self {
            suite,
            role,
            keys,
            entrants,
            sender,
            packets: vec![Packet::new(); BATCH],
            random: 0x2545_f491_4f6c_dd1d,
        })
    }

    /// Measures all contestants. The first score is that of our best engine.
    pub fn measure(&mut self, case: Case) -> Result<Vec<Score>> {
        let entrants = self.entrants.len();
        let choices = (0..entrants).map(|at| self.choose(at, case)).collect::<Result<Vec<_>>>()?;
        let slices: Vec<Slice> = choices.iter().map(|(_, ns)| Slice::of(*ns, case)).collect();
        let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); entrants];
        let mut order: Vec<usize> = (0..entrants).collect();
        for round in 0..case.rounds {
            self.shuffle(&mut order);
            for &at in &order {
                if round < slices[at].rounds {
                    rounds[at].push(self.slice(at, case, &slices[at])?);
                }
            }
        }
        let Some(ours) = rounds.first().cloned() else { return Ok(Vec::new()) };
        let scores =
            self.entrants.iter().zip(choices).zip(rounds).filter_map(|((entrant, choice), rounds)| {
                let ratio = Spread::of(rounds.iter().zip(&ours).map(|(theirs, ours)| theirs / ours))?;
                Some(Score { name: entrant.contestant.name(), way: choice.0, ns: Spread::of(rounds)?, ratio })
            });
        Ok(scores.collect())
    }

    /// Another order, so that nobody always follows the same neighbour, whose keys fill the caches.
    fn shuffle(&mut self, order: &mut [usize]) {
        for place in (1..order.len()).rev() {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            order.swap(place, (self.random >> 20) as usize % (place + 1));
        }
    }

    /// Tries a contestant's ways in turns, leaves it at the quickest, and says which that is and what it takes.
    fn choose(&mut self, at: usize, case: Case) -> Result<(String, f64)> {
        let ways = self.entrants[at].contestant.ways();
        let mut quickest = vec![f64::INFINITY; ways];
        let started = Instant::now();
        for turn in 0..TRIES.div_ceil(2 * ways).max(8) {
            if turn > 0 && started.elapsed() > LONG {
                break;
            }
            for (way, quickest) in quickest.iter_mut().enumerate() {
                self.entrants[at].contestant.choose(way);
                for _ in 0..2 {
                    *quickest = quickest.min(self.batch(at, case, BURST)?);
                }
            }
        }
        let best = (0..ways).min_by(|a, b| quickest[*a].total_cmp(&quickest[*b])).unwrap_or(0);
        Ok((self.entrants[at].contestant.choose(best), quickest[best]))
    }

    /// Nanoseconds per packet in one slice: the batch in the middle, so that an interruption by something else
    /// on the machine does not count.
    fn slice(&mut self, at: usize, case: Case, slice: &Slice) -> Result<f64> {
        for _ in 0..slice.warm {
            self.batch(at, case, slice.packets)?;
        }
        let batches =
            (0..slice.batches).map(|_| self.batch(at, case, slice.packets)).collect::<Result<Vec<_>>>()?;
        Ok(Spread::of(batches).map_or(f64::NAN, |spread| spread.median))
    }

    /// Nanoseconds per packet of one batch.
    fn batch(&mut self, at: usize, case: Case, packets: usize) -> Result<f64> {
        let Entrant { contestant, source } = &mut self.entrants[at];
        let packets = &mut self.packets[..packets];
        source.fill(packets, self.keys);
        if self.role == Role::Unprotect {
            let sent = packets.chunks_mut(BURST).all(|burst| self.sender.run(burst));
            ensure!(sent, "our best engine failed to protect {}", self.suite.name());
        }
        let before = Instant::now();
        let done = packets.chunks_mut(case.burst).fold(true, |done, burst| contestant.run(burst) & done);
        let elapsed = before.elapsed();
        let len = |packet: &Packet| (packet.len == PACKET) == (self.role == Role::Unprotect);
        ensure!(
            done && packets.iter().all(len),
            "{} failed to {} {}",
            contestant.name(),
            self.role.name(),
            self.suite.name()
        );
        Ok(elapsed.as_nanos() as f64 / packets.len() as f64)
    }
}
