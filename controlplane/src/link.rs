//! The link to the data plane: attaching, handing out the shards' ends, noticing its death.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pinhole_admin::{DataPlane, Event, EventKind, Worker};
use pinhole_flow::{Contract, Leg, ShardEnd, WorkerStats, monotonic_ns};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::shard::{Attached, Shared, ToShard};
use crate::workers::Samples;

/// First and longest pause between attempts to attach.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often the end of the process is looked for.
const LOOK: Duration = Duration::from_millis(200);

/// The link, shared by the thread that keeps it and those who look at statistics.
pub struct Link {
    shared: Arc<Shared>,
    contract: Mutex<Option<Contract>>,
    samples: Mutex<Samples>,
}

impl Link {
    /// A link that is not attached yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, contract: Mutex::new(None), samples: Mutex::default() }
    }

    /// Attaches again and again, until `stop`.
    pub fn run(&self, stop: &AtomicBool) {
        let mut pause = PAUSE.0;
        let mut told = String::new();
        while !stop.load(Ordering::Relaxed) {
            match self.attach() {
                Ok(connection) => {
                    pause = PAUSE.0;
                    told.clear();
                    self.wait_for_its_end(connection, stop);
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    self.lost();
                }
                Err(reason) => {
                    if reason != told {
                        let text = format!(
                            "no data plane: {reason}; tried again every few seconds, calls are refused until then"
                        );
                        self.shared.events.emit(Event::new(EventKind::DataPlaneLost, text));
                        told = reason;
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 3 / 2).min(PAUSE.1);
                }
            }
        }
    }

    /// What an operator is shown of the link.
    pub fn view(&self) -> DataPlane {
        let settings = &self.shared.config.dataplane;
        let contract = self.lock();
        let header = contract.as_ref().map(Contract::header);
        DataPlane {
            attached: header.is_some(),
            socket: settings.socket.display().to_string(),
            version: header.map(pinhole_flow::Header::version).unwrap_or_default(),
            engine: header.map(pinhole_flow::Header::engine).unwrap_or_default(),
            pid: header.map_or(0, |header| header.pid),
            boot: header.map_or(0, |header| header.boot_generation),
            workers: header.map_or(0, |header| header.workers),
            max_sessions: header.map_or(settings.max_sessions, |header| header.max_sessions),
            commands_outstanding: 0,
            commands_queued: 0,
        }
    }

    /// Statistics of every worker; empty when not attached.
    pub fn stats(&self) -> Vec<WorkerStats> {
        self.lock().as_ref().map(Contract::stats).unwrap_or_default()
    }

    /// The workers; none when not attached.
    pub fn workers(&self) -> Vec<Worker> {
        let contract = self.lock();
        let Some(contract) = contract.as_ref() else { return Vec::new() };
        self.samples().workers(monotonic_ns(), contract.header().worker_cores(), &contract.stats())
    }

    /// One attempt. Hands out the ends; returns the connection whose end is the data plane's.
    fn attach(&self) -> Result<OwnedFd, String> {
        let config = &self.shared.config;
        let shards = config.controlplane.shards;
        let mut contract =
            Contract::attach(&config.dataplane.socket, shards).map_err(|error| error.to_string())?;
        if !contract.fits(&config.dataplane) {
            return Err("it was started with another [dataplane] table (sessions, number of workers, ports, addresses or ranges); restart it with this file".into());
        }
        let connection = contract.connection().ok_or("no connection")?.try_clone_to_owned();
        let connection = connection.map_err(|error: io::Error| error.to_string())?;
        let ends: Option<Vec<ShardEnd>> = (0..shards).map(|shard| contract.shard(shard)).collect();
        let ends = ends.ok_or("it has fewer sessions than there are shards")?;
        let header = contract.header();
        let text = format!(
            "attached to data plane {} (process {}, {} worker(s), SRTP engine {}, {} sessions)",
            header.version(),
            header.pid,
            header.workers,
            header.engine(),
            header.max_sessions
        );
        *self.lock() = Some(contract);
        self.shared.events.emit(Event::new(EventKind::DataPlaneAttached, text));
        // All indices before any shard goes on, so that none is given to another address.
        let attached: Vec<Attached> = ends.into_iter().map(|end| self.with_next_hops(end)).collect();
        for (mailbox, attached) in self.shared.shards.get().into_iter().flatten().zip(attached) {
            mailbox.send(ToShard::Attached(Box::new(attached)));
        }
        Ok(connection)
    }

    /// Takes over the next-hop indices of the sessions that a shard will find open.
    fn with_next_hops(&self, end: ShardEnd) -> Attached {
        let open = end.all_slots().filter(|slot| end.activity(*slot).is_some_and(|activity| activity.open));
        let hops = open
            .filter_map(|slot| Some((slot, end.read_slot(slot)?.session.legs.map(|leg| self.adopt(&leg)))));
        let hops = hops.collect();
        Attached { end, hops }
    }

    fn adopt(&self, leg: &Leg) -> u32 {
        let adopted = self.shared.next_hops.adopt(leg.next_hop, leg.port, leg.remote_ip());
        if adopted { leg.next_hop } else { 0 }
    }

    fn wait_for_its_end(&self, connection: OwnedFd, stop: &AtomicBool) {
        let look = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
        while !stop.load(Ordering::Relaxed) {
            let mut fds = [PollFd::new(&connection, PollFlags::IN)];
            if matches!(poll(&mut fds, Some(&look)), Ok(ready) if ready > 0) {
                return;
            }
            self.samples().take(monotonic_ns(), || self.stats());
        }
    }

    fn lost(&self) {
        *self.lock() = None;
        *self.samples() = Samples::default();
        for mailbox in self.shared.shards.get().into_iter().flatten() {
            mailbox.send(ToShard::Detached);
        }
        let text = "the data plane has ended; calls have no media until it is back".to_owned();
        self.shared.events.emit(Event::new(EventKind::DataPlaneLost, text));
    }

    fn samples(&self) -> MutexGuard<'_, Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Contract>> {
        self.contract.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
