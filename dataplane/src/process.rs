//! The life of the process: checks, DPDK, ports, worker, and everything back in reverse.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dpdk::{Eal, RegisteredThread};
use pinhole_flow::{AttachServer, DataplaneSettings, EngineChoice, Idle, NEXT_HOPS, Region};
use pinhole_relay::{Relay, RelayConfig, RelayPort};
use pinhole_srtp::kernels::{self, Engine, Portable};
use rustix::thread::{CapabilitySet, CapabilitySets};
use tracing::{debug, info, warn};

use crate::environment::{Memory, arguments, choose_memory, pin, raise_file_limit};
use crate::ports::{PortPair, make_pool, open_all};
use crate::quiet::quietly;
use crate::supervise::supervise;
use crate::worker::{PolledPort, Worker};
use crate::{StartError, preflight};

/// Runs until `stop` is set, by a signal or because the worker ended.
///
/// # Errors
/// [`StartError`]: everything that was started is stopped again.
pub fn run(settings: &DataplaneSettings, stop: &Arc<AtomicBool>) -> Result<(), StartError> {
    let files = raise_file_limit().map_or("unlimited".to_owned(), |limit| limit.to_string());
    preflight::check_process(settings)?;
    let &[worker_core] = settings.worker_cores.as_slice() else { return Err(StartError::OneWorker) };
    let memory = choose_memory(settings)?;
    let engine = engine(settings);
    info!(
        "pinhole-dataplane {}: {}, worker on core {}, main thread on core {}, idle policy {:?}, SRTP engine {}, {} sessions, open files {files}",
        env!("CARGO_PKG_VERSION"),
        dpdk::version(),
        worker_core,
        settings.main_core,
        settings.idle,
        engine.name(),
        settings.max_sessions,
    );
    say_memory(settings, memory);
    let mut region = Region::create(settings, engine.name())?;
    // First of all that is visible to others: it also finds a data plane that runs already.
    let mut server = AttachServer::bind(&settings.socket, settings.socket_group.as_deref())?;
    preflight::check_ports(settings)?;
    rustix::thread::set_no_new_privs(true)
        .map_err(|errno| StartError::system("forbid itself new privileges", errno))?;
    // Also DPDK's own threads stay off the worker's core.
    pin(settings.main_core)?;
    let eal = Eal::init(&arguments(settings, memory)).map_err(|source| StartError::Eal(Box::new(source)))?;
    let pool = make_pool(&eal, settings)?;
    let ports = open_all(&eal, &pool, settings)?;
    // Warnings of a start that went well, such as the twins' missing multiq qdisc, are harmless.
    eal.take_log().iter().for_each(|line| debug!("DPDK: {line}"));
    let polled = ports.iter().map(poll).collect::<Option<Vec<_>>>().ok_or(StartError::NoQueue)?;
    let end = region.worker().ok_or(StartError::NoQueue)?;
    let relay = Relay::new(relay_config(settings, &ports, end.number()), engine)?;
    let mut worker = Worker::new(polled, relay, end, settings.idle);

    let outcome = std::thread::scope(|scope| {
        let eal = &eal;
        let work = {
            let stop = Arc::clone(stop);
            let core = worker_core;
            move || {
                let result = enter(eal, core).map(|_registered| {
                    // A panic ends the process in good order instead of leaving it without worker.
                    catch_unwind(AssertUnwindSafe(|| worker.run(&stop)))
                        .map_err(|_| StartError::WorkerPanicked)
                });
                stop.store(true, Ordering::Relaxed);
                result.and_then(|inner| inner)
            }
        };
        let builder = std::thread::Builder::new().name("worker-0".to_owned());
        let thread = builder
            .spawn_scoped(scope, work)
            .map_err(|source| StartError::system("start the worker", source))?;
        info!("ready: control planes attach at {}", settings.socket.display());
        supervise(eal, &ports, &settings.port, &mut server, &region, stop);
        thread.join().unwrap_or(Err(StartError::WorkerPanicked))
    });
    info!("stopping: closing ports, kernel twins and the attach socket");
    let ((), lines) = quietly(|| drop(ports));
    lines.iter().for_each(|line| debug!("{line}"));
    outcome
}

/// What the worker's thread does before its first turn: its core, and no capability, since it is
/// the thread that reads what strangers send. The main thread keeps its own for closing the ports.
fn enter(eal: &Eal, core: u32) -> Result<RegisteredThread<'_>, StartError> {
    pin(core)?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none)
        .map_err(|errno| StartError::system("give up the worker's capabilities", errno))?;
    eal.register_thread().map_err(|source| StartError::Eal(Box::new(source)))
}

fn poll<'port, 'eal>(port: &'port PortPair<'eal>) -> Option<PolledPort<'port, 'eal>> {
    Some(PolledPort { wire: port.wire.queue()?, twin: port.twin.queue()?, vlan: port.vlan })
}

/// The engine of the settings.
fn engine(settings: &DataplaneSettings) -> Box<dyn Engine> {
    match settings.engine {
        EngineChoice::Auto => kernels::best(),
        EngineChoice::Portable => Box::new(Portable),
    }
}

fn relay_config(settings: &DataplaneSettings, ports: &[PortPair<'_>], worker: u32) -> RelayConfig {
    let port = |(settings, pair): (&pinhole_flow::PortSettings, &PortPair<'_>)| RelayPort {
        media_address: settings.media_address,
        media_ports: settings.media_ports.first()..=settings.media_ports.last(),
        mac: pair.mac,
        mtu: settings.mtu,
        vlan: Some(settings.vlan.unwrap_or(0)),
    };
    RelayConfig {
        worker,
        ports: settings.port.iter().zip(ports).map(port).collect(),
        max_sessions: settings.max_sessions,
        first_slot: 0,
        workers: 1,
        replay_window: 128,
        next_hops: NEXT_HOPS as u32,
    }
}

fn say_memory(settings: &DataplaneSettings, memory: Memory) {
    match memory {
        Memory::Huge => info!("packet memory: {} MiB in huge pages", settings.memory_mb),
        Memory::Ordinary { free_mb } => {
            info!(
                "packet memory: {} MiB in ordinary pages ({free_mb} MiB of huge pages are free)",
                settings.memory_mb
            );
        }
    }
    if settings.idle == Idle::Poll && settings.worker_cores.contains(&settings.main_core) {
        warn!(
            "worker_cores and main_core share core {}: a polling worker leaves the main thread little time",
            settings.main_core
        );
    }
}
