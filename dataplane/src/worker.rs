//! The worker: one thread on its own core that polls its queues and never blocks.
//!
//! A turn: each wire's burst goes through the relay and comes out as frames to send, to punt to
//! the kernel twin, to hand to another worker, or to drop; each twin's burst goes out on its wire;
//! then a bounded number of frames from each other worker, and of commands. There is no allocation,
//! lock, log or system call in a turn with media, but for what the driver does and what opening a
//! session needs.

use std::sync::atomic::{AtomicBool, Ordering};

use arrayvec::ArrayVec;
use dpdk::{BURST, Mbuf, Queue, free_bulk};
use pinhole_flow::{DropCause, EventKind, Idle, WorkerEnd, monotonic_ns};
use pinhole_relay::{Arrival, Frames, Output, Relay};

use crate::frame::{Frame, from_twin, received, to_twin};
use crate::handoff::{Errand, Links, pick_out};
use crate::idle::Backoff;
use crate::limit::PuntLimit;

/// Most commands of one shard in one turn.
const COMMANDS_PER_TURN: usize = 16;
/// How many turns with work a twin is left alone after it had nothing: each look is a system call, which costs as much as some
/// packets, and the kernel has nothing to send that could not wait so long.
const TWIN_REST: u32 = 8;
/// How many turns lie between two looks at what changes rarely.
const HOUSEKEEPING: u64 = 256;

// Bursts pass between the drivers' arrays and the relay's.
const _: () = assert!(BURST == pinhole_relay::BURST);

/// A worker's way to a device.
pub enum Way<'port, 'eal> {
    /// A queue of its own.
    Queue(Queue<'port, 'eal>),
    /// The worker of this number, which has one.
    Worker(usize),
}

/// A port as one worker has it.
pub struct PolledPort<'port, 'eal> {
    /// The wire.
    pub wire: Way<'port, 'eal>,
    /// The kernel twin.
    pub twin: Way<'port, 'eal>,
    /// VLAN identifier of the wire's frames; the twin is untagged.
    pub vlan: Option<u16>,
    /// How much this worker gives to the twin.
    pub limit: PuntLimit,
}

/// Everything one worker owns.
pub struct Worker<'port, 'eal> {
    ports: Vec<PolledPort<'port, 'eal>>,
    relay: Relay,
    links: Links<'eal>,
    end: WorkerEnd,
    backoff: Backoff,
    /// For how many turns the twins are left alone.
    twin_rest: u32,
    /// When the last turn ended, if it had work: the next one starts then, and the clock is not read
    /// again.
    ended_ns: Option<u64>,
    /// Frames on their way into the relay.
    frames: Frames<Frame<'eal>>,
    /// What the relay made of them.
    output: Output<Frame<'eal>>,
    /// Frames between a driver or a ring and everything else.
    burst: ArrayVec<Mbuf<'eal>, BURST>,
}

impl<'port, 'eal> Worker<'port, 'eal> {
    /// A worker on these ports, in the order of the configuration.
    pub fn new(
        ports: Vec<PolledPort<'port, 'eal>>,
        relay: Relay,
        links: Links<'eal>,
        end: WorkerEnd,
        idle: Idle,
    ) -> Self {
        Self {
            ports,
            relay,
            links,
            end,
            backoff: Backoff::new(idle),
            twin_rest: 0,
            ended_ns: None,
            frames: Frames::new(),
            output: Output::default(),
            burst: ArrayVec::new(),
        }
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.end.number()
    }

    /// Turns until `stop`.
    pub fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if self.turn() > 0 {
                self.backoff.busy();
            } else {
                self.backoff.idle();
            }
        }
    }

    /// One turn; returns how many frames and commands it had.
    fn turn(&mut self) -> usize {
        let start = self.ended_ns.take().unwrap_or_else(monotonic_ns);
        let (mut work, mut from_twins) = (0, 0);
        let looks = self.twin_rest == 0;
        for port in 0..self.ports.len() {
            work += self.poll_wire(port, start);
            if looks {
                from_twins += self.poll_twin(port);
            }
        }
        work += from_twins;
        for other in 0..self.links.others() {
            work += self.take_frames(other, start);
        }
        work += self.take_commands(start);
        self.twin_rest = rest(self.twin_rest, work, from_twins);
        let stats = &mut *self.end.stats;
        stats.polls += 1;
        stats.last_turn_ns = start;
        if work == 0 {
            stats.idle_polls += 1;
        } else {
            let now = monotonic_ns();
            stats.busy_ns += now.saturating_sub(start);
            self.ended_ns = Some(now);
        }
        if stats.polls.is_multiple_of(HOUSEKEEPING) {
            self.relay.housekeeping(start);
            let commands = self.end.commands.iter().map(|ring| ring.corrupt());
            let events = self.end.events.iter().map(|ring| ring.corrupt());
            stats.ring_corrupt = commands.chain(events).sum();
        }
        work
    }

    /// A burst from the wire, through the relay.
    fn poll_wire(&mut self, index: usize, now_ns: u64) -> usize {
        let Some(PolledPort { wire: Way::Queue(wire), .. }) = self.ports.get_mut(index) else { return 0 };
        let count = wire.rx_burst(&mut self.burst);
        if count == 0 {
            return 0;
        }
        let bytes = bytes_of(&self.burst);
        self.frames.extend(self.burst.drain(..).filter_map(received));
        let broken = count - self.frames.len();
        let stats = &mut *self.end.stats;
        stats.mbuf_failures += broken as u64;
        if let Some(counters) = stats.ports.get_mut(index) {
            counters.rx_packets += count as u64;
            counters.rx_bytes += bytes;
        }
        self.relay_frames(index, Arrival::Wire, now_ns);
        count
    }

    /// The frames, through the relay to where they go.
    fn relay_frames(&mut self, index: usize, arrival: Arrival, now_ns: u64) {
        let (frames, slots, stats) = (&mut self.frames, &mut self.end.slots, &mut *self.end.stats);
        // At most MAX_PORTS ports.
        let port = index as u8;
        self.relay.burst(now_ns, port, arrival, frames, slots, stats, &mut self.output);
        for port in 0..self.ports.len() {
            let Some(frames) = self.output.tx.get_mut(port).filter(|frames| !frames.is_empty()) else {
                continue;
            };
            self.burst.extend(frames.drain(..).map(|frame| frame.0));
            self.pass(Errand::Send, port);
        }
        self.hand_off();
        self.punt(index, now_ns);
        self.burst.extend(self.output.dropped.drain(..).map(|frame| frame.0));
        free_bulk(&mut self.burst);
        self.tell();
    }

    /// Hands frames to the workers that have their media ports.
    fn hand_off(&mut self) {
        while let Some(first) = self.output.handoff.first() {
            let (worker, port, arrival) = (first.worker, first.port, first.arrival);
            let burst = &mut self.burst;
            pick_out(
                &mut self.output.handoff,
                |frame| (frame.worker, frame.port, frame.arrival) == (worker, port, arrival),
                |frame| burst.push(frame.frame.0),
            );
            self.hand(usize::from(worker), arrival.into(), port);
        }
    }

    /// Gives frames that are not media to the kernel, as many as it may have.
    fn punt(&mut self, index: usize, now_ns: u64) {
        let count = self.output.punt.len();
        let Some(port) = self.ports.get_mut(index).filter(|_| count > 0) else { return };
        let allowed = port.limit.admit(now_ns, count);
        self.burst.extend(self.output.punt.drain(allowed..).map(|frame| frame.0));
        free_bulk(&mut self.burst);
        self.burst.extend(self.output.punt.drain(..).filter_map(|frame| to_twin(frame, port.vlan)));
        let foreign = allowed - self.burst.len();
        self.count_drops(DropCause::PuntLimited, (count - allowed) as u64);
        self.count_drops(DropCause::ForeignVlan, foreign as u64);
        self.pass(Errand::Punt, index);
    }

    /// A burst from the kernel, out on the wire.
    fn poll_twin(&mut self, index: usize) -> usize {
        let Some(PolledPort { twin: Way::Queue(twin), vlan, .. }) = self.ports.get_mut(index) else {
            return 0;
        };
        let mut untagged = ArrayVec::<_, BURST>::new();
        let count = twin.rx_burst(&mut untagged);
        if count == 0 {
            return 0;
        }
        self.burst.extend(untagged.drain(..).filter_map(|mbuf| from_twin(mbuf, *vlan)));
        self.end.stats.mbuf_failures += (count - self.burst.len()) as u64;
        self.pass(Errand::Inject, index);
        count
    }

    /// A burst from another worker.
    fn take_frames(&mut self, other: usize, now_ns: u64) -> usize {
        let mut taken = ArrayVec::<Mbuf<'eal>, BURST>::new();
        let count = self.links.take(other, &mut taken);
        self.end.stats.handoff_in += count as u64;
        while let Some(first) = taken.first() {
            let tag = first.tag();
            pick_out(&mut taken, |frame| frame.tag() == tag, |frame| self.burst.push(frame));
            let Some((errand, port)) = Errand::of(tag) else {
                // Not reached: all tags are made by `Errand::tag`.
                free_bulk(&mut self.burst);
                continue;
            };
            let arrival = match errand {
                Errand::Arrived => Arrival::Wire,
                Errand::Hairpin => Arrival::Hairpin,
                Errand::Send | Errand::Inject | Errand::Punt => {
                    self.pass(errand, port.into());
                    continue;
                }
            };
            self.frames.extend(self.burst.drain(..).map(Frame));
            self.relay_frames(port.into(), arrival, now_ns);
        }
        count
    }

    /// Puts the burst on a wire or gives it to a twin, or to the worker that can.
    fn pass(&mut self, errand: Errand, index: usize) {
        let Some(port) = self.ports.get_mut(index) else { return free_bulk(&mut self.burst) };
        if self.burst.is_empty() {
            return;
        }
        let (way, full) = match errand {
            Errand::Punt => (&mut port.twin, DropCause::PuntFull),
            _ => (&mut port.wire, DropCause::TxFull),
        };
        let queue = match way {
            Way::Queue(queue) => queue,
            Way::Worker(worker) => {
                let worker = *worker;
                return self.hand(worker, errand, index as u8);
            }
        };
        let (packets, bytes, lost) = transmit(queue, &mut self.burst);
        if let Some(counters) = self.end.stats.ports.get_mut(index) {
            let (counted, counted_bytes) = match errand {
                Errand::Punt => (&mut counters.punt_packets, &mut counters.punt_bytes),
                Errand::Inject => (&mut counters.inject_packets, &mut counters.inject_bytes),
                _ => (&mut counters.tx_packets, &mut counters.tx_bytes),
            };
            *counted += packets;
            *counted_bytes += bytes;
        }
        self.count_drops(full, lost);
    }

    /// Hands the burst to another worker.
    fn hand(&mut self, worker: usize, errand: Errand, port: u8) {
        let handed = self.links.hand(worker, errand, port, &mut self.burst);
        self.end.stats.handoff_out += handed as u64;
        let lost = self.burst.len();
        if lost > 0 {
            free_bulk(&mut self.burst);
            self.count_drops(DropCause::HandoffFull, lost as u64);
        }
    }

    /// Carries out commands. One is taken only when there is room for its acknowledgement.
    fn take_commands(&mut self, now_ns: u64) -> usize {
        let mut taken = 0;
        let shards = self.end.shards();
        let rings = self.end.commands.iter_mut().zip(&mut self.end.events).take(shards);
        let stats = &mut *self.end.stats;
        for (commands, events) in rings {
            for _ in 0..COMMANDS_PER_TURN {
                if events.free() == 0 {
                    stats.ring_full += 1;
                    break;
                }
                let Some(command) = commands.pop() else { break };
                let event = self.relay.command(&command, &mut self.end.slots, now_ns);
                if event.kind == EventKind::Done as u32 {
                    stats.commands_done += 1;
                } else {
                    stats.commands_refused += 1;
                }
                // There is room: checked above.
                let _ = events.push(event);
                taken += 1;
            }
        }
        if taken > 0 {
            stats.sessions_open = u64::from(self.relay.open_sessions());
            stats.ssrcs_full = self.relay.ssrcs_full();
        }
        taken
    }

    /// Tells the control plane of learned sources. An event that finds no room is lost: what it
    /// says also stands in the slot.
    fn tell(&mut self) {
        for event in self.output.events.drain(..) {
            let shard = self.end.shard_of(event.slot);
            let pushed = self.end.events.get_mut(shard).is_some_and(|ring| ring.push(event).is_ok());
            if !pushed {
                self.end.stats.ring_full += 1;
            }
        }
    }

    fn count_drops(&mut self, cause: DropCause, count: u64) {
        if let Some(counter) = self.end.stats.drops.get_mut(cause as usize) {
            *counter += count;
        }
    }
}

/// For how many turns the twins are left alone after a turn with so much work, part of it from them.
fn rest(before: u32, work: usize, from_twins: usize) -> u32 {
    if work == 0 || from_twins > 0 { 0 } else { before.checked_sub(1).unwrap_or(TWIN_REST) }
}

/// Sends a burst and frees what the queue has no room for. Returns packets and bytes sent, and
/// packets lost.
fn transmit<'eal>(queue: &mut Queue<'_, 'eal>, burst: &mut ArrayVec<Mbuf<'eal>, BURST>) -> (u64, u64, u64) {
    let bytes = bytes_of(burst);
    let sent = queue.tx_burst(burst);
    let (lost, lost_bytes) = (burst.len(), bytes_of(burst));
    if lost > 0 {
        free_bulk(burst);
    }
    (sent as u64, bytes - lost_bytes, lost as u64)
}

fn bytes_of(burst: &ArrayVec<Mbuf<'_>, BURST>) -> u64 {
    burst.iter().map(|mbuf| mbuf.data().len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    use pinhole_flow::{DataplaneSettings, Region};
    use pinhole_relay::RelayConfig;
    use pinhole_srtp::kernels::Portable;

    use super::*;

    /// The control plane's memory of this process, as a control plane gone mad would write it.
    fn control_memory() -> File {
        let fds = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let named = |path: &std::path::PathBuf| {
            fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("memfd:pinhole-control"))
        };
        let path = fds.map(|entry| entry.path()).find(named).unwrap();
        File::options().write(true).open(path).unwrap()
    }

    #[test]
    fn twins_rest_only_while_there_is_other_work_and_they_have_nothing() {
        assert_eq!(rest(0, 0, 0), 0);
        assert_eq!(rest(0, 40, 8), 0, "they have something: the next turn looks again");
        let mut turns = vec![rest(0, 32, 0)];
        while *turns.last().unwrap() > 0 {
            turns.push(rest(*turns.last().unwrap(), 32, 0));
        }
        assert_eq!(turns, [8, 7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(rest(5, 0, 0), 0, "a turn without work ends the rest");
    }

    #[test]
    fn a_ring_that_makes_no_sense_is_counted_though_no_command_comes_out_of_it() {
        let settings: DataplaneSettings = toml::from_str("max_sessions = 4").unwrap();
        let mut region = Region::create(&settings, "portable").unwrap();
        let _control = pinhole_flow::Contract::beside(&region, 1).unwrap();
        let config = RelayConfig {
            ports: Vec::new(),
            max_sessions: 4,
            first_slot: 0,
            next_hops: 1,
            worker: 0,
            workers: 1,
            replay_window: 128,
        };
        let relay = Relay::new(config, Box::new(Portable)).unwrap();
        let links = Links::default();
        let mut worker = Worker::new(Vec::new(), relay, links, region.worker().unwrap(), Idle::Poll);
        let turns = |worker: &mut Worker<'_, '_>| (0..2 * HOUSEKEEPING).map(|_| worker.turn()).sum::<usize>();
        assert_eq!(turns(&mut worker), 0);
        assert_eq!(worker.end.stats.ring_corrupt, 0);
        // The rings' counters are what control memory begins with.
        control_memory().write_all_at(&[0xa5; 4096], 0).unwrap();
        assert_eq!(turns(&mut worker), 0);
        assert!(worker.end.stats.ring_corrupt > 0);
    }
}
