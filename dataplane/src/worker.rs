//! The worker: one thread on its own core that polls every port and never blocks.
//!
//! A turn: each wire's burst goes through the relay and comes out as frames to send, to punt to
//! the kernel twin, or to drop; each twin's burst goes out on its wire; then a bounded number of
//! commands. There is no allocation, lock, log or system call in a turn with media, but for what
//! the driver does and what opening a session needs.

use std::sync::atomic::{AtomicBool, Ordering};

use arrayvec::ArrayVec;
use dpdk::{BURST, Mbuf, Queue, free_bulk};
use pinhole_flow::{DropCause, EventKind, Idle, PortStats, WorkerEnd, monotonic_ns};
use pinhole_relay::{Arrival, Frames, Output, Relay};

use crate::frame::{Frame, from_twin, received, to_twin};
use crate::idle::Backoff;

/// Most commands of one shard in one turn.
const COMMANDS_PER_TURN: usize = 16;
/// How many turns lie between two looks at what changes rarely.
const HOUSEKEEPING: u64 = 256;

// Bursts pass between the drivers' arrays and the relay's.
const _: () = assert!(BURST == pinhole_relay::BURST);

/// The queues of a port that a worker polls.
pub struct PolledPort<'port, 'eal> {
    /// Queue of the wire.
    pub wire: Queue<'port, 'eal>,
    /// Queue of the kernel twin.
    pub twin: Queue<'port, 'eal>,
    /// VLAN identifier of the wire's frames; the twin is untagged.
    pub vlan: Option<u16>,
}

/// Everything one worker owns.
pub struct Worker<'port, 'eal> {
    ports: Vec<PolledPort<'port, 'eal>>,
    relay: Relay,
    end: WorkerEnd,
    backoff: Backoff,
    /// Frames from the wire, on their way into the relay.
    frames: Frames<Frame<'eal>>,
    /// What the relay made of them.
    output: Output<Frame<'eal>>,
    /// Frames between a driver and everything else.
    burst: ArrayVec<Mbuf<'eal>, BURST>,
}

impl<'port, 'eal> Worker<'port, 'eal> {
    /// A worker on these ports, in the order of the configuration.
    pub fn new(ports: Vec<PolledPort<'port, 'eal>>, relay: Relay, end: WorkerEnd, idle: Idle) -> Self {
        Self {
            ports,
            relay,
            end,
            backoff: Backoff::new(idle),
            frames: Frames::new(),
            output: Output::default(),
            burst: ArrayVec::new(),
        }
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
        let start = monotonic_ns();
        let mut work = 0;
        for port in 0..self.ports.len() {
            work += self.poll_wire(port, start);
            work += self.poll_twin(port);
        }
        work += self.take_commands(start);
        let stats = &mut *self.end.stats;
        stats.polls += 1;
        stats.last_turn_ns = start;
        if work == 0 {
            stats.idle_polls += 1;
        } else {
            stats.busy_ns += monotonic_ns().saturating_sub(start);
        }
        if stats.polls.is_multiple_of(HOUSEKEEPING) {
            let commands = self.end.commands.iter().map(|ring| ring.corrupt());
            let events = self.end.events.iter().map(|ring| ring.corrupt());
            stats.ring_corrupt = commands.chain(events).sum();
        }
        work
    }

    /// A burst from the wire, through the relay.
    fn poll_wire(&mut self, index: usize, now_ns: u64) -> usize {
        let Some(port) = self.ports.get_mut(index) else { return 0 };
        let count = port.wire.rx_burst(&mut self.burst);
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
        // At most MAX_PORTS ports.
        let number = index as u8;
        let (frames, slots) = (&mut self.frames, &mut self.end.slots);
        self.relay.burst(now_ns, number, Arrival::Wire, frames, slots, stats, &mut self.output);
        self.send();
        self.punt(index);
        self.burst.extend(self.output.dropped.drain(..).map(|frame| frame.0));
        free_bulk(&mut self.burst);
        self.tell();
        count
    }

    /// Sends what the relay made, on whichever port.
    fn send(&mut self) {
        let ports = self.ports.iter_mut().zip(&mut self.end.stats.ports).zip(&mut self.output.tx);
        let mut lost = 0;
        for ((port, counters), frames) in ports.filter(|(_, frames)| !frames.is_empty()) {
            self.burst.extend(frames.drain(..).map(|frame| frame.0));
            let (packets, bytes, unsent) = transmit(&mut port.wire, &mut self.burst);
            counters.tx_packets += packets;
            counters.tx_bytes += bytes;
            lost += unsent;
        }
        self.count_drops(DropCause::TxFull, lost);
    }

    /// Hands frames that are not media to the kernel.
    fn punt(&mut self, index: usize) {
        let Some(port) = self.ports.get_mut(index) else { return };
        let count = self.output.punt.len();
        if count == 0 {
            return;
        }
        self.burst.extend(self.output.punt.drain(..).filter_map(|frame| to_twin(frame, port.vlan)));
        let foreign = count - self.burst.len();
        let (packets, bytes, lost) = transmit(&mut port.twin, &mut self.burst);
        if let Some(counters) = self.port_stats(index) {
            counters.punt_packets += packets;
            counters.punt_bytes += bytes;
        }
        self.count_drops(DropCause::ForeignVlan, foreign as u64);
        self.count_drops(DropCause::PuntFull, lost);
    }

    /// A burst from the kernel, out on the wire.
    fn poll_twin(&mut self, index: usize) -> usize {
        let Some(port) = self.ports.get_mut(index) else { return 0 };
        let count = port.twin.rx_burst(&mut self.burst);
        if count == 0 {
            return 0;
        }
        let mut tagged = ArrayVec::<_, BURST>::new();
        tagged.extend(self.burst.drain(..).filter_map(|mbuf| from_twin(mbuf, port.vlan)));
        let broken = count - tagged.len();
        let (packets, bytes, lost) = transmit(&mut port.wire, &mut tagged);
        if let Some(counters) = self.port_stats(index) {
            counters.inject_packets += packets;
            counters.inject_bytes += bytes;
        }
        self.end.stats.mbuf_failures += broken as u64;
        self.count_drops(DropCause::TxFull, lost);
        count
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

    fn port_stats(&mut self, index: usize) -> Option<&mut PortStats> {
        self.end.stats.ports.get_mut(index)
    }

    fn count_drops(&mut self, cause: DropCause, count: u64) {
        if let Some(counter) = self.end.stats.drops.get_mut(cause as usize) {
            *counter += count;
        }
    }
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
        let mut worker = Worker::new(Vec::new(), relay, region.worker().unwrap(), Idle::Poll);
        let turns = |worker: &mut Worker<'_, '_>| (0..2 * HOUSEKEEPING).map(|_| worker.turn()).sum::<usize>();
        assert_eq!(turns(&mut worker), 0);
        assert_eq!(worker.end.stats.ring_corrupt, 0);
        // The rings' counters are what control memory begins with.
        control_memory().write_all_at(&[0xa5; 4096], 0).unwrap();
        assert_eq!(turns(&mut worker), 0);
        assert!(worker.end.stats.ring_corrupt > 0);
    }
}
