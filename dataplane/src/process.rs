//! The life of the process: checks, DPDK, ports, workers, and everything back in reverse.

use std::sync::atomic::AtomicBool;

use dpdk::Eal;
use pinhole_flow::settings::HugePages;
use pinhole_flow::{AttachServer, DataplaneSettings, Idle, NEXT_HOPS, Pages, Region, WorkerEnd};
use pinhole_relay::{Relay, RelayConfig, RelayPort};
use pinhole_srtp::kernels::{self, Engine};
use tracing::{debug, info, warn};

use crate::environment::{Memory, arguments, choose_memory, pin, raise_file_limit};
use crate::handoff::Links;
use crate::ports::{Pools, PortPair, open_all, share_out};
use crate::quiet::quietly;
use crate::supervise::supervise;
use crate::worker::Worker;
use crate::{StartError, preflight, workers};

/// Runs until `stop` is set, by a signal or because a worker ended.
///
/// # Errors
/// [`StartError`]: everything that was started is stopped again.
pub fn run(settings: &DataplaneSettings, stop: &AtomicBool) -> Result<(), StartError> {
    let files = raise_file_limit().map_or("unlimited".to_owned(), |limit| limit.to_string());
    preflight::check_process(settings)?;
    let memory = choose_memory(settings)?;
    let engine_name = engine(settings)?.name();
    info!(
        "pinhole-dataplane {}: {}, workers on cores {:?}, main thread on core {}, idle policy {:?}, SRTP engine {engine_name}, {} sessions, open files {files}",
        env!("CARGO_PKG_VERSION"),
        dpdk::version(),
        settings.worker_cores,
        settings.main_core,
        settings.idle,
        settings.max_sessions,
    );
    say_memory(settings, memory);
    // First of all that is visible to others: it also finds a data plane that runs already.
    let mut server = AttachServer::bind(&settings.socket, settings.socket_group.as_deref())?;
    preflight::check_ports(settings)?;
    rustix::thread::set_no_new_privs(true)
        .map_err(|errno| StartError::system("forbid itself new privileges", errno))?;
    // Also DPDK's own threads stay off the workers' cores.
    pin(settings.main_core)?;
    let eal = Eal::init(&arguments(settings, memory)).map_err(|source| StartError::Eal(Box::new(source)))?;
    let pools = Pools::make(&eal, settings)?;
    let ports = open_all(&eal, &pools, settings)?;
    // Warnings of a start that went well, such as the twins' missing multiq qdisc, are harmless.
    eal.take_log().iter().for_each(|line| debug!("DPDK: {line}"));
    let shares = share_out(&ports, settings.worker_cores.len()).ok_or(StartError::NoQueue)?;
    let links = Links::between(&eal, settings.worker_cores.len())?;
    // Sessions have what huge pages packets leave.
    let mut region = Region::create(settings, engine_name)?;
    say_pages(settings, region.pages());
    let mut workers = Vec::with_capacity(shares.len());
    for (share, links) in shares.into_iter().zip(links) {
        let end = region.worker().ok_or(StartError::NoQueue)?;
        let relay = Relay::new(relay_config(settings, &ports, &end), engine(settings)?)?;
        workers.push(Worker::new(share, relay, links, end, settings.idle));
    }
    let outcome = workers::run(&eal, &mut workers, &settings.worker_cores, stop, || {
        info!("ready: control planes attach at {}", settings.socket.display());
        supervise(&eal, &ports, &settings.port, &mut server, &region, stop);
    });
    drop(workers);
    info!("stopping: closing ports, kernel twins and the attach socket");
    let ((), lines) = quietly(|| drop(ports));
    lines.iter().for_each(|line| debug!("{line}"));
    outcome
}

/// The engine of the settings; each worker has its own.
fn engine(settings: &DataplaneSettings) -> Result<Box<dyn Engine>, StartError> {
    let Some(wanted) = settings.engine.name() else { return Ok(kernels::best()) };
    kernels::by_name(wanted).ok_or_else(|| {
        let names: Vec<_> = kernels::available().iter().map(|engine| engine.name()).collect();
        StartError::Engine { wanted, available: names.join(", ") }
    })
}

fn relay_config(settings: &DataplaneSettings, ports: &[PortPair<'_>], end: &WorkerEnd) -> RelayConfig {
    let port = |(settings, pair): (&pinhole_flow::PortSettings, &PortPair<'_>)| RelayPort {
        media_address: settings.media_address,
        media_ports: settings.media_ports.first()..=settings.media_ports.last(),
        mac: pair.mac,
        mtu: settings.mtu,
        vlan: Some(settings.vlan.unwrap_or(0)),
    };
    RelayConfig {
        ports: settings.port.iter().zip(ports).map(port).collect(),
        max_sessions: end.slots.len() as u32,
        first_slot: end.first_slot(),
        next_hops: NEXT_HOPS as u32,
        worker: end.number(),
        workers: settings.worker_cores.len() as u32,
        replay_window: settings.replay_window,
    }
}

fn say_pages(settings: &DataplaneSettings, pages: &Pages) {
    match pages {
        Pages::Huge => info!("sessions: in huge pages"),
        Pages::Ordinary => info!("sessions: in ordinary pages"),
        Pages::NotHuge(why) if settings.huge_pages == HugePages::Require => warn!(
            "sessions: in ordinary pages, which is slower: packets leave too few huge ones ({why}); reserve more with scripts/deploy/huge-pages"
        ),
        Pages::NotHuge(why) => info!("sessions: in ordinary pages ({why})"),
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
