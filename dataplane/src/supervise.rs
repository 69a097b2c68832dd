//! The main thread while the worker works: the attach socket, DPDK's log, the ports' health.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dpdk::Eal;
use pinhole_flow::{AttachEvent, AttachServer, Region};
use tracing::{debug, info, warn};

use crate::ports::PortPair;

/// How long a signal or the worker's end may go unnoticed.
const TURN: Duration = Duration::from_millis(200);
/// How often the ports' counters are looked at.
const HEALTH: Duration = Duration::from_secs(10);

/// Serves the attach socket until `stop`.
pub fn supervise(
    eal: &Eal,
    ports: &[PortPair<'_>],
    names: &[&str],
    server: &mut AttachServer,
    region: &Region,
    stop: &AtomicBool,
) {
    let mut lost = vec![0; ports.len()];
    let mut looked = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        server.wait(TURN);
        while let Some(event) = server.poll(region) {
            tell(&event);
        }
        for line in eal.take_log() {
            warn!("DPDK: {line}");
        }
        if looked.elapsed() >= HEALTH {
            looked = Instant::now();
            ports.iter().zip(names).zip(&mut lost).for_each(|((port, name), lost)| look_at(port, name, lost));
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

/// Warns when a port lost packets since the last look.
fn look_at(port: &PortPair<'_>, name: &str, lost: &mut u64) {
    let Some(stats) = port.wire.stats() else { return };
    debug!("port {name}: {stats:?}");
    let now = stats.rx_missed + stats.rx_no_buffer + stats.tx_errors;
    if now > *lost {
        warn!(
            "port {name} lost {} packets: {} missed on receive, {} without a buffer, {} not sent (totals)",
            now - *lost,
            stats.rx_missed,
            stats.rx_no_buffer,
            stats.tx_errors
        );
    }
    *lost = now;
}
