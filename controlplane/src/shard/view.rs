//! What can be seen of a shard.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use pinhole_admin::{Call, Leg as LegView, Phone, Ports, Session as SessionView};
use pinhole_flow::{DropCause, Leg, LegFlags, LegLive, LegStats, SlotView, monotonic_ns};

use super::Shard;
use crate::counters::Counters;

/// A shard at one moment.
#[derive(Debug, Default)]
pub struct View {
    /// Its phones.
    pub phones: Vec<Phone>,
    /// Its calls.
    pub calls: Vec<Call>,
    /// Open slots of its part of the slab.
    pub sessions: Vec<SessionView>,
    /// Its media ports.
    pub ports: Ports,
    /// What the process counted on it.
    pub process: Counters,
    /// What the proxy counted.
    pub proxy: Vec<(&'static str, u64)>,
    /// Messages by name, with their groups.
    pub messages: Vec<(&'static str, Cow<'static, str>, u64)>,
    /// Commands not yet acknowledged, and waiting for room.
    pub commands: (usize, usize),
}

impl Shard {
    pub(super) fn view(&self, now: Instant) -> View {
        View {
            phones: self.proxy.phones(now),
            calls: self.proxy.calls(now),
            sessions: self.sessions(),
            ports: self.proxy.ports(),
            process: self.counters.clone(),
            proxy: self.proxy.counters().iter().collect(),
            messages: self.proxy.messages().iter().collect(),
            commands: self.media.backlog(),
        }
    }

    fn sessions(&self) -> Vec<SessionView> {
        let Some(end) = &self.media.end else { return Vec::new() };
        let open = end.all_slots().filter(|slot| end.activity(*slot).is_some_and(|activity| activity.open));
        let views = open.filter_map(|slot| Some((slot, end.read_slot(slot)?)));
        views.map(|(slot, view)| self.session(slot, &view)).collect()
    }

    fn session(&self, slot: u32, view: &SlotView) -> SessionView {
        let now_ns = monotonic_ns();
        let owner = self.proxy.session_owner(slot, view.generation);
        let (call_id, device) = owner.unzip();
        let across = view.live.iter().rev();
        let legs = view.session.legs.iter().zip(&view.live).zip(across);
        SessionView {
            slot,
            generation: view.generation,
            shard: self.id,
            worker: view.worker,
            since_s: now_ns.saturating_sub(view.opened_ns) / 1_000_000_000,
            call_id,
            device,
            legs: legs.map(|((leg, live), across)| self.leg(leg, live, &across.stats, now_ns)).collect(),
        }
    }

    /// A leg; `across` are the counters of the other, which has received what this one has sent.
    fn leg(&self, leg: &Leg, live: &LegLive, across: &LegStats, now_ns: u64) -> LegView {
        let port = self.shared.config.dataplane.port.get(usize::from(leg.port));
        let stats = &live.stats;
        let local_ip = port.map_or(IpAddr::from([0; 4]), |port| IpAddr::V4(port.media_address));
        let remote_ip = std::net::Ipv6Addr::from(live.remote_ip).to_canonical();
        let address = |ip, port| (port != 0).then(|| SocketAddr::new(ip, port).to_string());
        let seen = stats.last_rx_ns != 0;
        let payload_type = u8::try_from(stats.payload_type).ok().filter(|_| seen);
        let lost = stats.expected.saturating_sub(stats.rx_packets);
        let suite = |key: &pinhole_flow::MasterKey| key.suite().map(|suite| suite.name().to_owned());
        LegView {
            port: port.map_or_else(|| leg.port.to_string(), |port| port.name.clone()),
            local: SocketAddr::new(local_ip, leg.local_rtp).to_string(),
            local_rtcp: if leg.has(LegFlags::RTCP_MUX) { leg.local_rtp } else { leg.local_rtcp },
            signalled: address(leg.remote_ip(), leg.remote_rtp),
            remote: address(remote_ip, live.remote_rtp),
            learned: live.learned & 1 != 0,
            suite_in: suite(&leg.inbound),
            suite_out: suite(&leg.outbound),
            rx_packets: stats.rx_packets,
            rx_bytes: stats.rx_bytes,
            tx_packets: across.passed_packets,
            tx_bytes: across.passed_bytes,
            rtcp_rx: stats.rtcp_rx,
            rtcp_tx: across.rtcp_passed,
            payload_type,
            lost,
            loss_percent: percent(lost, stats.expected),
            jitter_ms: f64::from(stats.jitter_q4) / 16.0 * 1000.0 / clock_rate(payload_type),
            idle_ms: seen.then(|| now_ns.saturating_sub(stats.last_rx_ns) / 1_000_000),
            drops: drops(&stats.drops),
        }
    }
}

/// Counts by cause, those that are not zero.
fn drops(counts: &[u64]) -> BTreeMap<String, u64> {
    let causes = DropCause::ALL.into_iter().zip(counts);
    causes.filter(|(_, count)| **count > 0).map(|(cause, count)| (cause.name().to_owned(), *count)).collect()
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// RTP clock rate in Hz of a static payload type (RFC 3551 section 6). Dynamic types are taken for
/// 8 kHz, the rate of telephone events and of most of what call managers negotiate.
fn clock_rate(payload_type: Option<u8>) -> f64 {
    match payload_type {
        Some(6) => 16_000.0,
        Some(10 | 11) => 44_100.0,
        Some(16) => 11_025.0,
        Some(17) => 22_050.0,
        Some(14 | 25..=34) => 90_000.0,
        _ => 8_000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_causes_that_happened_are_shown() {
        let mut counts = [0; DropCause::COUNT];
        counts[DropCause::Replayed as usize] = 3;
        assert_eq!(drops(&counts), BTreeMap::from([("replayed".to_owned(), 3)]));
    }

    #[test]
    fn loss_of_nothing_is_none() {
        assert!(percent(0, 0).abs() < f64::EPSILON);
        assert!((percent(1, 4) - 25.0).abs() < f64::EPSILON);
    }
}
