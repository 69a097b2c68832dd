//! The loop: one thread sends and receives on all ports, paced by the time stamp counter.

use std::time::Duration;

use arrayvec::ArrayVec;
use dpdk::{BURST, Mempool, Port};
use pinhole_srtp::kernels::{self, Engine};

use crate::FarmError;
use crate::account::Tally;
use crate::clock::{self, Clock};
use crate::flow::Flow;
use crate::forge::{Forger, View};
use crate::pacing::{Pace, Random};
use crate::receiver::Receivers;
use crate::sender::Senders;
use crate::wire::Wire;

/// The most ports of a farm.
pub const PORTS_MAX: usize = 4;
/// Bursts that are received from a port in one turn, as long as they are full.
const RECEIVE_TURNS: usize = 4;
/// How often the watcher is called.
const WATCH: Duration = Duration::from_millis(100);
/// How often the first packets are sent before the relay is taken for deaf.
const GREETINGS: usize = 5;

/// How a run is paced.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Every flow sends one packet in each interval.
    pub interval: Duration,
    /// For how long packets are sent.
    pub duration: Duration,
    /// How long after the last packet that arrived the missing ones are given up, and after `duration` those
    /// that could not be sent in time.
    pub patience: Duration,
}

impl Plan {
    /// Packets that `flows` flows send in a second.
    pub fn rate(&self, flows: usize) -> f64 {
        flows as f64 / self.interval.as_secs_f64()
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Everything counted.
    pub tally: Tally,
    /// Packets sent and received of the flows that are sent at each port.
    pub by_port: Vec<(u64, u64)>,
    /// For how long packets were sent: longer than planned when the farm or a ring was too slow.
    pub sending: Duration,
    /// Whether the watcher ended the run.
    pub stopped: bool,
}

impl Report {
    /// Packets sent in a second, all ports together.
    pub fn rate(&self) -> f64 {
        self.tally.sent as f64 / self.sending.as_secs_f64().max(1e-9)
    }
}

/// Flows and the ports that they are played on.
pub struct Farm<'port, 'eal> {
    pool: &'port Mempool<'eal>,
    clock: Clock,
    engine: Box<dyn Engine>,
    wires: Vec<Wire<'port, 'eal>>,
    senders: Senders,
    receivers: Receivers,
    flows: usize,
}

/// What a port is to send in a run.
struct Schedule {
    pace: Pace,
    sent: u64,
    wanted: u64,
}

impl Schedule {
    /// How many packets are due and were not sent yet.
    #[inline]
    fn due(&self, now: u64) -> u64 {
        self.pace.due(now).min(self.wanted).saturating_sub(self.sent)
    }
}

/// The state of a run.
struct Run {
    tally: Tally,
    schedules: ArrayVec<Schedule, PORTS_MAX>,
    end: u64,
    /// When a packet last left.
    last_sent: u64,
    last_arrival: u64,
}

impl Run {
    /// What was not sent so far is not sent any more.
    fn give_up(&mut self) {
        self.schedules.iter_mut().for_each(|schedule| schedule.wanted = schedule.sent);
    }
}

impl<'port, 'eal> Farm<'port, 'eal> {
    /// A farm that plays `flows` on `ports`, in an order that follows from `seed`.
    ///
    /// # Errors
    /// [`FarmError`] when two flows arrive at the same place, a key is broken, or a port has no queue.
    pub fn new(
        pool: &'port Mempool<'eal>,
        ports: &'port [Port<'eal>],
        flows: &[Flow],
        seed: u64,
    ) -> Result<Self, FarmError> {
        let known = ports.len().min(PORTS_MAX);
        for port in flows.iter().flat_map(|flow| [flow.send.port, flow.expect.port]) {
            if port >= known {
                return Err(FarmError::UnknownPort(port));
            }
        }
        let engine = kernels::best();
        let mut random = Random::new(seed);
        let senders = Senders::new(flows, &*engine, &mut random, seed)?;
        let receivers = Receivers::new(flows, &senders.sources, &*engine, seed)?;
        let wire = |(number, port): (usize, &'port Port<'eal>)| {
            let queue = port.queue().ok_or_else(|| FarmError::NoQueue(port.name().into()))?;
            Wire::new(queue, number, flows, &mut random)
        };
        let wires = ports.iter().take(known).enumerate().map(wire).collect::<Result<Vec<_>, _>>()?;
        let clock = Clock::calibrate();
        Ok(Self { pool, clock, engine, wires, senders, receivers, flows: flows.len() })
    }

    /// Name of the SRTP engine in use.
    pub fn engine(&self) -> &'static str {
        self.engine.name()
    }

    /// The calibrated clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Sends one packet on each flow of `port` and waits for all of them, some times over if need be: so
    /// a relay learns where phones are, and all caches and rings have been used once.
    ///
    /// # Errors
    /// [`FarmError::NotRelayed`].
    pub fn greet(&mut self, port: usize, spread: Duration) -> Result<(), FarmError> {
        let plan = Plan { interval: spread, duration: spread, patience: Duration::from_millis(500) };
        let (mut sent, mut lost) = (0, 0);
        for _ in 0..GREETINGS {
            let report = self.play(&plan, Some(port), None, &mut |_, _| true)?;
            (sent, lost) = (report.tally.sent, report.tally.lost());
            if lost == 0 {
                return Ok(());
            }
        }
        Err(FarmError::NotRelayed { sent, lost })
    }

    /// Plays all flows. `watch` is called ten times a second, with what was counted so far and the time since
    /// the start; it ends the run by returning false. `forger` has its say between the packets.
    ///
    /// # Errors
    /// None but [`FarmError::Delays`].
    pub fn run(
        &mut self,
        plan: &Plan,
        forger: Option<&mut (dyn Forger + '_)>,
        watch: &mut dyn FnMut(&Tally, Duration) -> bool,
    ) -> Result<Report, FarmError> {
        self.play(plan, None, forger, watch)
    }

    /// How many flows there are.
    pub fn flows(&self) -> usize {
        self.flows
    }

    fn play(
        &mut self,
        plan: &Plan,
        only: Option<usize>,
        mut forger: Option<&mut (dyn Forger + '_)>,
        watch: &mut dyn FnMut(&Tally, Duration) -> bool,
    ) -> Result<Report, FarmError> {
        for (stream, source) in self.receivers.streams.iter_mut().zip(&self.senders.sources) {
            stream.begin(source.count);
        }
        let patience = self.clock.ticks(plan.patience);
        let watch_every = self.clock.ticks(WATCH);
        let start = clock::ticks();
        let mut run = self.begin(plan, only, start)?;
        let mut watch_at = start + watch_every;
        let mut stopped = false;
        loop {
            let now = clock::ticks();
            let busy = self.turn(&mut run, now, forger.as_deref_mut());
            if now >= watch_at {
                watch_at = now + watch_every;
                let elapsed = Duration::from_nanos(self.clock.nanoseconds(now - start));
                if !stopped && !watch(&run.tally, elapsed) {
                    stopped = true;
                    run.end = run.end.min(now);
                    run.give_up();
                }
            }
            // A farm or a relay that is too slow does not make the run longer than that.
            if now >= run.end + patience {
                run.give_up();
            }
            let forging = forger.as_ref().is_some_and(|forger| forger.is_at_work()) && !stopped;
            // Rings that stay full: nobody is at their other end, and what waits is lost.
            let stuck = now >= run.end.max(run.last_sent) + patience;
            if (busy || forging) && !stuck || now < run.end {
                continue;
            }
            let all_there = run.tally.received >= run.tally.sent && forger.is_none();
            if all_there || now >= run.end.max(run.last_arrival) + patience {
                break;
            }
        }
        self.wires.iter_mut().for_each(|wire| wire.out.clear());
        let sending = Duration::from_nanos(self.clock.nanoseconds(run.end.max(run.last_sent) - start));
        Ok(Report { by_port: self.by_port(&run), tally: run.tally, sending, stopped })
    }

    fn begin(&self, plan: &Plan, only: Option<usize>, start: u64) -> Result<Run, FarmError> {
        let period = self.clock.ticks(plan.interval);
        let schedules = self.wires.iter().enumerate().map(|(number, wire)| {
            let flows = if only.is_none_or(|only| only == number) { wire.flows } else { 0 };
            // The ports take turns: each starts a part of a packet's time later.
            let shift = period / (wire.flows.max(1) * self.wires.len().max(1)) as u64 * number as u64;
            let wanted = plan.duration.as_nanos() * flows as u128 / plan.interval.as_nanos().max(1);
            Schedule { pace: Pace::new(start + shift, period, flows), sent: 0, wanted: wanted as u64 }
        });
        Ok(Run {
            tally: Tally::new()?,
            schedules: schedules.collect(),
            end: start + self.clock.ticks(plan.duration),
            last_sent: start,
            last_arrival: start,
        })
    }

    /// One turn over all ports. Returns whether something is still to be sent.
    #[inline]
    fn turn(&mut self, run: &mut Run, now: u64, mut forger: Option<&mut (dyn Forger + '_)>) -> bool {
        let Self { pool, clock, engine, wires, senders, receivers, .. } = self;
        let mut busy = false;
        for (port, (wire, schedule)) in wires.iter_mut().zip(&mut run.schedules).enumerate() {
            let due = schedule.due(now);
            if due > 0 {
                let lag = clock.nanoseconds(now.saturating_sub(schedule.pace.due_at(schedule.sent)));
                run.tally.lag_max_ns = run.tally.lag_max_ns.max(lag);
                let most = due.min(BURST as u64) as usize;
                let listener = forger.as_deref_mut().filter(|forger| forger.listens());
                let built = senders.build(wire, most, &**engine, pool, &mut run.tally, listener);
                schedule.sent += built as u64;
            }
            busy |= schedule.sent < schedule.wanted;
            if wire.flush(&mut run.tally) > 0 {
                run.last_sent = now;
            }
            busy |= !wire.out.is_empty();
            for _ in 0..RECEIVE_TURNS {
                let stranger = &mut |frame: &[u8]| {
                    if let Some(forger) = forger.as_deref_mut() {
                        forger.stranger(port, frame);
                    }
                };
                let sources = &senders.sources;
                let before = run.tally.received;
                let count = receivers.burst(wire, sources, &**engine, clock, &mut run.tally, stranger);
                if run.tally.received > before {
                    run.last_arrival = now;
                }
                if count < BURST {
                    break;
                }
            }
        }
        if let Some(forger) = forger
            && forge(forger, now, pool, wires, senders, &mut run.tally) > 0
        {
            run.last_sent = now;
        }
        busy
    }

    /// Packets sent and received, by the port that they were sent at.
    fn by_port(&self, run: &Run) -> Vec<(u64, u64)> {
        let received = |wire: &Wire<'_, '_>| {
            let flows = wire.order.iter().take(wire.flows);
            flows
                .filter_map(|flow| self.receivers.streams.get(*flow as usize))
                .map(|stream| u64::from(stream.received))
                .sum()
        };
        self.wires
            .iter()
            .zip(&run.schedules)
            .map(|(wire, schedule)| (schedule.sent, received(wire)))
            .collect()
    }
}

/// Lets the forger send a burst at most. Returns how many packets left.
fn forge<'eal>(
    forger: &mut (dyn Forger + '_),
    now: u64,
    pool: &Mempool<'eal>,
    wires: &mut [Wire<'_, 'eal>],
    senders: &Senders,
    tally: &mut Tally,
) -> usize {
    let mut frame = ArrayVec::new();
    for _ in 0..BURST {
        if wires.iter().any(|wire| wire.out.is_full()) {
            break;
        }
        frame.clear();
        let Some(port) = forger.forge(now, &View { sources: &senders.sources }, &mut frame) else { break };
        let Some(wire) = wires.get_mut(port) else { break };
        let mut buffer = pool.alloc();
        match buffer.as_mut().and_then(|buffer| buffer.grow(frame.len())) {
            Some(bytes) => bytes.copy_from_slice(&frame),
            None => tally.no_buffer += 1,
        }
        wire.out.extend(buffer);
    }
    wires.iter_mut().map(|wire| wire.flush(tally)).sum()
}
