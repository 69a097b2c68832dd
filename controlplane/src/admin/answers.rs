//! What the admin socket answers: gathered from the shards, the link and the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use pinhole_admin::{Counters, Event, Request, Response, Status};
use pinhole_flow::{DropCause, WorkerStats};
use pinhole_proxy::DeviceName;

use super::provisioned;
use crate::link::Link;
use crate::shard::{Shared, ToShard, View};

/// How long a shard may take to answer.
const SHARD_TIME: Duration = Duration::from_secs(2);

/// Everything that answers are made of.
pub struct Answers {
    /// What the shards share.
    pub shared: Arc<Shared>,
    /// The link to the data plane.
    pub link: Arc<Link>,
    /// Lines that the log lost.
    pub log_lines_lost: Arc<AtomicU64>,
    /// When the process started.
    pub started: Instant,
    /// The configuration file.
    pub config_file: String,
    /// Limit of open files.
    pub file_limit: u64,
    /// Traces under way.
    pub traces: Arc<AtomicU64>,
}

impl Answers {
    /// The answer to anything but events.
    pub fn to(&self, request: Request) -> Response {
        let Some(views) = self.views() else {
            return Response::Error("a signalling shard does not answer; look at the log".into());
        };
        match request {
            Request::Status => Response::Status(Box::new(self.status(&views))),
            Request::Phones => {
                let mut phones: Vec<_> = views.into_iter().flat_map(|view| view.phones).collect();
                phones.sort_by(|a, b| a.device.cmp(&b.device));
                Response::Phones(phones)
            }
            Request::Calls => Response::Calls(views.into_iter().flat_map(|view| view.calls).collect()),
            Request::Sessions => {
                Response::Sessions(views.into_iter().flat_map(|view| view.sessions).collect())
            }
            Request::Workers => Response::Workers(self.link.workers()),
            Request::Counters => Response::Counters(self.counters(&views)),
            Request::Provisioned { .. }
            | Request::AllowPhone { .. }
            | Request::ForgetPhone { .. }
            | Request::PinPhone { .. }
            | Request::DiffPhone { .. }
            | Request::ReadKeys
            | Request::EnrolPhone { .. }
            | Request::WithdrawCertificate { .. }
            | Request::OpenEnrolment { .. } => match &self.shared.office {
                Some(office) => {
                    let response = provisioned::answer(office, &request);
                    match (&request, &response) {
                        (Request::ForgetPhone { device }, Response::Done(_)) => {
                            self.tell_home(device, ToShard::Withdrawn);
                        }
                        (Request::AllowPhone { device, .. }, Response::Done(_)) => {
                            self.tell_home(device, ToShard::Reclassed);
                        }
                        _ => {}
                    }
                    response
                }
                None => {
                    Response::Error("nothing is provisioned: the configuration has no [provisioning]".into())
                }
            },
            Request::Events { .. } | Request::Trace { .. } => {
                Response::Error("events and traces are answered one by one".into())
            }
        }
    }

    /// Tells the shard that serves a phone what was done with it.
    fn tell_home(&self, device: &str, what: impl FnOnce(DeviceName) -> ToShard) {
        let Ok(device) = DeviceName::new(device) else { return };
        let home = device.shard(self.shared.config.controlplane.shards);
        if let Some(shard) = self.shared.shards.get().and_then(|shards| shards.get(home as usize)) {
            shard.send(what(device));
        }
    }

    /// Events from a number on.
    pub fn events(&self, from: u64, patience: Duration) -> (Vec<Event>, u64) {
        self.shared.events.since(from, patience)
    }

    /// Asks every shard; `None` when one does not answer.
    fn views(&self) -> Option<Vec<View>> {
        let mailboxes = self.shared.shards.get()?;
        let (answer, answers) = sync_channel(mailboxes.len());
        for mailbox in mailboxes {
            mailbox.send(ToShard::Look(answer.clone()));
        }
        let deadline = Instant::now() + SHARD_TIME;
        let mut views = Vec::new();
        while views.len() < mailboxes.len() {
            views.push(answers.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?);
        }
        Some(views)
    }

    fn status(&self, views: &[View]) -> Status {
        let mut dataplane = self.link.view();
        let mut ports = pinhole_admin::Ports::default();
        for view in views {
            dataplane.commands_outstanding += view.commands.0 as u64;
            dataplane.commands_queued += view.commands.1 as u64;
            ports += view.ports;
        }
        let phones = || views.iter().flat_map(|view| &view.phones);
        let config = &self.shared.config;
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            config: self.config_file.clone(),
            listen: config.outside.listen.to_string(),
            shards: config.controlplane.shards,
            dataplane,
            connections: self.shared.connections.load(Ordering::Relaxed),
            handshakes: self.shared.handshakes.load(Ordering::Relaxed),
            registered: phones().filter(|phone| !phone.registered.is_empty()).count() as u64,
            calls: views.iter().map(|view| view.calls.len() as u64).sum(),
            sessions: views.iter().map(|view| view.sessions.len() as u64).sum(),
            ports,
            file_limit: self.file_limit,
            log_lines_lost: self.log_lines_lost.load(Ordering::Relaxed),
            legacy_tls: self.shared.legacy.as_ref().map(|legacy| legacy.view()),
        }
    }

    fn counters(&self, views: &[View]) -> Counters {
        let mut counters = Counters::default();
        for view in views {
            view.process.add_to(&mut counters);
            view.proxy.iter().for_each(|(name, value)| counters.add("proxy", name, *value));
            view.messages.iter().for_each(|(group, name, value)| counters.add(group, name, *value));
        }
        for (name, value) in self.shared.office.iter().flat_map(|office| office.counters.iter()) {
            counters.add("provisioning", name, value);
        }
        for (name, value) in self.shared.legacy.iter().flat_map(|legacy| legacy.counters()) {
            counters.add("legacy_tls", name, value);
        }
        let (addresses, full) = self.shared.next_hops.usage();
        counters.add("process", "next_hop_addresses", addresses as u64);
        counters.add("process", "next_hop_table_full", full);
        counters.add("process", "events_suppressed", self.shared.events.suppressed());
        counters.add("process", "log_lines_lost", self.log_lines_lost.load(Ordering::Relaxed));
        for stats in self.link.stats() {
            self.worker(&stats, &mut counters);
        }
        counters
    }

    fn worker(&self, stats: &WorkerStats, counters: &mut Counters) {
        let values = [
            ("polls", stats.polls),
            ("idle_polls", stats.idle_polls),
            ("busy_ns", stats.busy_ns),
            ("commands_done", stats.commands_done),
            ("commands_refused", stats.commands_refused),
            ("ring_corrupt", stats.ring_corrupt),
            ("ring_full", stats.ring_full),
            ("sessions_open", stats.sessions_open),
            ("mbuf_failures", stats.mbuf_failures),
            ("hairpins", stats.hairpins),
            ("missteered", stats.missteered),
            ("handoff_in", stats.handoff_in),
            ("handoff_out", stats.handoff_out),
            ("old_key", stats.old_key),
            ("ssrcs_full", stats.ssrcs_full),
        ];
        values.into_iter().for_each(|(name, value)| counters.add("dataplane", name, value));
        for (cause, count) in DropCause::ALL.into_iter().zip(stats.drops) {
            counters.add("dataplane.drops", cause.name(), count);
        }
        for (settings, port) in self.shared.config.dataplane.port.iter().zip(stats.ports) {
            let group = format!("dataplane.port.{}", settings.name);
            let values = [
                ("rx_packets", port.rx_packets),
                ("rx_bytes", port.rx_bytes),
                ("tx_packets", port.tx_packets),
                ("tx_bytes", port.tx_bytes),
                ("punt_packets", port.punt_packets),
                ("punt_bytes", port.punt_bytes),
                ("inject_packets", port.inject_packets),
                ("inject_bytes", port.inject_bytes),
            ];
            values.into_iter().for_each(|(name, value)| counters.add(&group, name, value));
        }
    }
}
