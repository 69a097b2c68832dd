//! The link to the data plane: attaching, adoption, orphans, its death. The data plane here is the
//! contract's own side of it, with a worker that only acknowledges.

#![allow(clippy::unwrap_used, reason = "only tests")]

mod common;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use common::{Appliance, eventually};
use pinhole_admin::{EventKind, Request, Response};
use pinhole_controlplane::config::Config;
use pinhole_flow::leg::mapped;
use pinhole_flow::slot::state;
use pinhole_flow::steering::worker_of_slot;
use pinhole_flow::{AttachServer, Command, CommandKind, Region, Session, WorkerEnd, monotonic_ns};

/// A data plane without packets.
struct DataPlane {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    commands: Mutex<Receiver<(CommandKind, u32, u32)>>,
}

impl DataPlane {
    /// Starts one with these sessions open: slot and generation.
    fn start(socket: PathBuf, appliance_config: &std::path::Path, open: &[(u32, u32)]) -> Self {
        let mut settings = Config::read(appliance_config).unwrap().dataplane;
        settings.socket = socket;
        let mut region = Region::create(&settings, "portable").unwrap();
        let mut workers: Vec<WorkerEnd> = std::iter::from_fn(|| region.worker()).collect();
        for (number, generation) in open {
            let worker = worker_of_slot(*number, settings.workers(), settings.max_sessions);
            let owner = &mut workers[worker as usize];
            let own = (*number - owner.first_slot()) as usize;
            owner.slots[own].change(|slot| {
                slot.state = state::OPEN;
                slot.generation = *generation;
                slot.worker = worker;
                slot.opened_ns = monotonic_ns();
                slot.session = session(*number, worker);
            });
        }
        let mut server = AttachServer::bind(&settings.socket, None).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, commands) = channel();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                server.wait(Duration::from_millis(2));
                while server.poll(&region).is_some() {}
                workers.iter_mut().for_each(|worker| work(worker, &sender));
            }
        });
        Self { stop, thread: Some(thread), commands: Mutex::new(commands) }
    }

    /// The next command of a kind.
    fn expect(&self, kind: CommandKind) -> (u32, u32) {
        let commands = self.commands.lock().unwrap();
        loop {
            let (found, slot, generation) = commands.recv_timeout(Duration::from_secs(10)).unwrap();
            if found == kind {
                return (slot, generation);
            }
        }
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn work(worker: &mut WorkerEnd, seen: &Sender<(CommandKind, u32, u32)>) {
    worker.stats.polls += 1;
    worker.stats.last_turn_ns = monotonic_ns();
    let first = worker.first_slot();
    for shard in 0..worker.shards() {
        while let Some(command) = worker.commands[shard].pop() {
            let kind = CommandKind::from_code(command.kind).unwrap();
            if kind == CommandKind::Close {
                let own = (command.slot - first) as usize;
                worker.slots[own].change(|slot| slot.state = state::FREE);
            }
            worker.events[shard].push(command.answer(Ok(()))).unwrap();
            let _ = seen.send((kind, command.slot, command.generation));
        }
    }
}

/// The session in a slot, with ports of its worker.
fn session(slot: u32, worker: u32) -> Session {
    let mut session = Command::close(0, 0, 0).session;
    for (port, leg) in (0..).zip(&mut session.legs) {
        leg.port = port;
        // Of two shards the second has these slots, and the upper half of the ports.
        let half = if (250..500).contains(&slot) || slot >= 750 { 24_576 } else { 16_384 };
        leg.local_rtp = half + 2 * worker as u16;
        leg.local_rtcp = leg.local_rtp + 1;
        leg.remote_ip = mapped([10, 20, 0, 20].into());
        leg.remote_rtp = 4000;
        leg.next_hop = 3 + u32::from(port);
    }
    session
}

fn socket_of(appliance: &Appliance) -> PathBuf {
    appliance.file.with_file_name("absent.sock")
}

#[test]
fn data_plane_is_attached_noticed_when_it_dies_and_attached_again() {
    let appliance = Appliance::start(2, "");
    let first = DataPlane::start(socket_of(&appliance), &appliance.file, &[]);
    eventually(|| appliance.status().dataplane.attached, "attached");
    let boot = appliance.status().dataplane.boot;
    assert_eq!(appliance.status().dataplane.engine, "portable");
    drop(first);
    eventually(|| !appliance.status().dataplane.attached, "detached");
    let _second = DataPlane::start(socket_of(&appliance), &appliance.file, &[]);
    eventually(|| appliance.status().dataplane.attached, "attached again");
    assert_ne!(appliance.status().dataplane.boot, boot);
    appliance.wait_for("media", "attached", 4);
    assert_eq!(appliance.counter("media", "detached"), 2, "once for each shard");
}

#[test]
fn session_without_a_call_is_shown_and_closed_after_the_grace_time() {
    let (appliance, dataplane) =
        Appliance::start_after(1, &[], |socket, file| DataPlane::start(socket, file, &[(5, 7)]));
    eventually(|| appliance.status().sessions == 1, "the session is shown");
    let Response::Sessions(sessions) = appliance.ask(Request::Sessions) else { panic!("sessions") };
    assert_eq!((sessions[0].slot, sessions[0].generation), (5, 7));
    assert_eq!(sessions[0].legs[1].signalled.as_deref(), Some("10.20.0.20:4000"));
    assert_eq!(appliance.counter("process", "next_hop_addresses"), 2, "its next hops keep their indices");
    assert_eq!(dataplane.expect(CommandKind::Close), (5, 7));
    eventually(|| appliance.status().sessions == 0, "it is closed");
}

#[test]
fn sessions_of_every_worker_and_shard_are_taken_over() {
    let open = [(5, 1), (300, 2), (505, 3), (800, 4)];
    let two = [("max_sessions = 1000", "max_sessions = 1000\nworker_cores = [1, 0]")];
    let (appliance, dataplane) =
        Appliance::start_after(2, &two, |socket, file| DataPlane::start(socket, file, &open));
    eventually(|| appliance.status().sessions == 4, "the sessions are shown");
    assert_eq!(appliance.counter("proxy", "sessions_foreign"), 0);
    let Response::Sessions(sessions) = appliance.ask(Request::Sessions) else { panic!("sessions") };
    let mut places: Vec<_> =
        sessions.iter().map(|session| (session.slot, session.shard, session.worker)).collect();
    places.sort_unstable();
    assert_eq!(places, [(5, 0, 0), (300, 1, 0), (505, 0, 1), (800, 1, 1)]);
    let Response::Workers(workers) = appliance.ask(Request::Workers) else { panic!("workers") };
    assert_eq!(
        workers.iter().map(|worker| (worker.number, worker.core)).collect::<Vec<_>>(),
        [(0, 1), (1, 0)]
    );
    assert!(workers.iter().all(|worker| worker.polls > 0));
    let mut closed: Vec<_> = open.iter().map(|_| dataplane.expect(CommandKind::Close)).collect();
    closed.sort_unstable();
    assert_eq!(closed, open);
    eventually(|| appliance.status().sessions == 0, "they are closed");
}

#[test]
fn session_that_a_late_data_plane_brings_is_closed_at_once() {
    let appliance = Appliance::start(1, "");
    let dataplane = DataPlane::start(socket_of(&appliance), &appliance.file, &[(900, 2)]);
    assert_eq!(dataplane.expect(CommandKind::Close), (900, 2));
    appliance.wait_for("media", "orphans_closed", 1);
}

#[test]
fn data_plane_with_other_settings_is_not_used() {
    let appliance = Appliance::start(1, "");
    let other = appliance.file.with_file_name("other.toml");
    let text = std::fs::read_to_string(&appliance.file).unwrap();
    std::fs::write(&other, text.replace("max_sessions = 1000", "max_sessions = 999")).unwrap();
    let _dataplane = DataPlane::start(socket_of(&appliance), &other, &[]);
    let told = || {
        let lost = appliance.events().into_iter().filter(|event| event.kind == EventKind::DataPlaneLost);
        lost.filter(|event| event.text.contains("another [dataplane] table")).count()
    };
    eventually(|| told() == 1, "one line says so");
    assert!(!appliance.status().dataplane.attached);
}
