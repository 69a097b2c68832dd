//! The main thread while the worker works: the attach socket, DPDK's log, the ports' health.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dpdk::Eal;
use pinhole_flow::{AttachEvent, AttachServer, Device, PortSettings, Region};
use tracing::{debug, info, warn};

use crate::ports::PortPair;
use crate::preflight::{InterfaceState, interface_state};

/// How long a signal or the worker's end may go unnoticed.
const TURN: Duration = Duration::from_millis(200);
/// How often the ports' links are looked at.
const LINKS: Duration = Duration::from_secs(1);
/// How often the ports' counters are looked at.
const COUNTERS: Duration = Duration::from_secs(10);

/// Serves the attach socket and watches the ports until `stop`.
pub fn supervise(
    eal: &Eal,
    ports: &[PortPair<'_>],
    settings: &[PortSettings],
    server: &mut AttachServer,
    region: &Region,
    stop: &AtomicBool,
) {
    let mut watches: Vec<_> =
        ports.iter().zip(settings).map(|(port, settings)| Watch::new(port, settings)).collect();
    let (mut links, mut counters) = (Instant::now(), Instant::now());
    while !stop.load(Ordering::Relaxed) {
        server.wait(TURN);
        while let Some(event) = server.poll(region) {
            tell(&event);
        }
        for line in eal.take_log() {
            warn!("DPDK: {line}");
        }
        if links.elapsed() >= LINKS {
            links = Instant::now();
            watches.iter_mut().for_each(Watch::look_at_link);
        }
        if counters.elapsed() >= COUNTERS {
            counters = Instant::now();
            watches.iter_mut().for_each(Watch::look_at_counters);
        }
    }
}

fn tell(event: &AttachEvent) {
    match event {
        AttachEvent::Attached { peer, shards } => {
            info!("control plane attached: process {}, user {}, {shards} shard(s)", peer.pid, peer.uid);
        }
        AttachEvent::Detached { peer } => {
            warn!("control plane detached: process {}; media goes on", peer.pid);
        }
        AttachEvent::Refused { peer, reason } => {
            warn!("process {} of user {} may not attach: {reason}", peer.pid, peer.uid);
        }
    }
}

/// A port, and what was last said of it.
struct Watch<'a, 'eal> {
    port: &'a PortPair<'eal>,
    settings: &'a PortSettings,
    up: bool,
    lost: u64,
}

impl<'a, 'eal> Watch<'a, 'eal> {
    fn new(port: &'a PortPair<'eal>, settings: &'a PortSettings) -> Self {
        Self { port, settings, up: true, lost: 0 }
    }

    /// Says when the link, or the kernel interface under the port, goes down and comes back.
    fn look_at_link(&mut self) {
        let name = &self.settings.name;
        let trouble = match self.settings.device.interface() {
            Some(interface) => match interface_state(interface) {
                InterfaceState::Up => None,
                InterfaceState::Down => {
                    Some(format!("network interface {interface} is down: `ip link set {interface} up`"))
                }
                InterfaceState::Absent => Some(format!(
                    "network interface {interface} is gone: when it is back, restart the data plane"
                )),
            },
            None => match self.port.wire.link() {
                Some(link) if !link.up => Some(match &self.settings.device {
                    Device::Vhost(path) => format!("no peer is connected to {}", path.display()),
                    _ => "the link is down: check cable and switch".to_owned(),
                }),
                _ => None,
            },
        };
        match (&trouble, self.up) {
            (Some(trouble), true) => warn!("port {name}: {trouble}"),
            (None, false) => info!("port {name}: up again"),
            _ => (),
        }
        self.up = trouble.is_none();
    }

    /// Warns when the port lost packets since the last look.
    fn look_at_counters(&mut self) {
        let name = &self.settings.name;
        let Some(stats) = self.port.wire.stats() else { return };
        debug!("port {name}: {stats:?}");
        let lost = stats.rx_missed + stats.rx_no_buffer + stats.tx_errors;
        if lost > self.lost {
            warn!(
                "port {name} lost {} packets: {} missed on receive, {} without a buffer, {} not sent (totals)",
                lost - self.lost,
                stats.rx_missed,
                stats.rx_no_buffer,
                stats.tx_errors
            );
        }
        self.lost = lost;
    }
}
