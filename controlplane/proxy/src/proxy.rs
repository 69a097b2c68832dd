//! The proxy of one shard: what it keeps, and where its inputs go.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use pinhole_admin::{Event, EventKind, SecurityClass};
use pinhole_flow::{Command, Suite};
use pinhole_sip::Message;

use crate::counters::{Counter, Counters};
use crate::dialogs::{DialogSets, SetId};
use crate::io::{ConnId, Input, Output, Random};
use crate::messages::{Messages, Way};
use crate::registrations::Registrations;
use crate::sessions::{MediaSessions, Outcome};
use crate::skinny::Skinny;
use crate::timers::{Timer, TimerQueue};
use crate::transactions::{Peer, Transactions};
use crate::{DeviceName, ProxyConfig};

/// The signalling brain of one shard. No sockets, no clock, no threads.
///
/// Give it every input with the time, drain [`Proxy::poll_output`] after each, and call it with
/// [`Input::Tick`] at [`Proxy::next_timeout`].
pub struct Proxy {
    pub(crate) config: ProxyConfig,
    rng: Box<dyn Random + Send>,
    pub(crate) counters: Counters,
    pub(crate) messages: Messages,
    outputs: VecDeque<Output>,
    pub(crate) timers: TimerQueue,
    pub(crate) devices: HashMap<DeviceName, Device>,
    pub(crate) conns: HashMap<ConnId, DeviceName>,
    pub(crate) registrations: Registrations,
    pub(crate) transactions: Transactions,
    pub(crate) sets: DialogSets,
    pub(crate) sessions: MediaSessions,
    pub(crate) skinny: Skinny,
}

/// A device that we know.
pub(crate) struct Device {
    pub(crate) cluster: usize,
    pub(crate) conn: Option<ConnId>,
    pub(crate) peer: SocketAddr,
    pub(crate) tls: String,
    pub(crate) class: SecurityClass,
    /// The listener that it came to.
    pub(crate) listener: SocketAddr,
    /// When the connection was made, or lost.
    pub(crate) since: Instant,
    /// Suites that the phone offered last.
    pub(crate) offered: Vec<Suite>,
}

impl Proxy {
    /// A proxy that knows nothing yet.
    pub fn new(config: ProxyConfig, mut rng: Box<dyn Random + Send>) -> Self {
        let mut generation = [0; 4];
        rng.fill(&mut generation);
        let sessions = MediaSessions::new(&config, u32::from_le_bytes(generation));
        Self {
            config,
            rng,
            counters: Counters::default(),
            messages: Messages::default(),
            outputs: VecDeque::new(),
            timers: TimerQueue::default(),
            devices: HashMap::new(),
            conns: HashMap::new(),
            registrations: Registrations::default(),
            transactions: Transactions::default(),
            sets: DialogSets::default(),
            sessions,
            skinny: Skinny::default(),
        }
    }

    /// Takes one input. Afterwards drain [`Proxy::poll_output`].
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::PhoneConnected(connected) => self.phone_connected(connected, now),
            Input::PhoneMessage { conn, message } => self.phone_message(conn, message, now),
            Input::PhoneClosed { conn } => self.phone_closed(conn, now),
            Input::ClusterMessage { cluster, source, message } => {
                self.cluster_message(cluster, source, message, now);
            }
            Input::UpstreamClosed { .. } | Input::Tick => {}
            Input::UpstreamFailed { cluster, device } => self.upstream_failed(cluster, &device, now),
            Input::Media(event) => {
                let rested = self.rested(now);
                match self.sessions.event(&event, rested) {
                    Outcome::Nothing => {}
                    Outcome::Closed => self.watch_ports(),
                    Outcome::Refused(owner, detail) => self.media_refused(event.slot, owner, detail, now),
                }
            }
            Input::MediaBack { open } => {
                for (slot, owner) in self.sessions.lost(&open) {
                    self.media_lost(slot, owner, now);
                }
                // What was to be written while it was away.
                self.write_all_notes();
            }
            Input::Adopt { slot, generation, session, note } => {
                self.adopt(slot, generation, *session, &note, now);
            }
            Input::AdoptDone => self.adopt_done(now),
            Input::MediaActivity { slot, generation, packets } => {
                self.media_activity(slot, generation, packets, now);
            }
        }
        self.run_timers(now);
    }

    pub(crate) fn run_timers(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop(now) {
            self.timer(timer, now);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due; `None`: nothing is under way.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Messages by name.
    pub fn messages(&self) -> &Messages {
        &self.messages
    }

    fn phone_message(&mut self, conn: ConnId, message: Message, now: Instant) {
        let Some(device) = self.conns.get(&conn).cloned() else {
            self.count(Counter::UnknownConnections);
            return;
        };
        self.messages.sip(Way::FromPhone, &message);
        if message.is_request() {
            self.count(Counter::PhoneRequests);
            self.phone_request(&device, message, now);
        } else {
            self.count(Counter::PhoneResponses);
            self.response(&Peer::Phone(device), message, now);
        }
    }

    fn cluster_message(&mut self, cluster: usize, source: crate::Source, message: Message, now: Instant) {
        let known = self
            .config
            .clusters
            .get(cluster)
            .is_some_and(|config| config.sources.contains(&source.peer().ip()));
        if !known {
            self.count(Counter::UnknownSources);
            return;
        }
        self.messages.sip(Way::FromCallManager, &message);
        if message.is_request() {
            self.count(Counter::ClusterRequests);
            self.cluster_request(cluster, source, message, now);
        } else {
            self.count(Counter::ClusterResponses);
            self.response(&Peer::Cluster(cluster), message, now);
        }
    }

    fn timer(&mut self, timer: Timer, now: Instant) {
        match timer {
            Timer::RequestAgain(id) => self.request_again(id, now),
            Timer::ResponseAgain(id) => self.response_again(id, now),
            Timer::TransactionEnd(id) => self.transaction_end(id, now),
            Timer::Ring(set) => self.ring_timeout(set, now),
            Timer::Media(set) => self.check_media(set, now),
            Timer::Grace(set) => self.check_grace(set, now),
            Timer::DialogsIdle(set) => self.dialogs_idle(set, now),
            Timer::Registration(key) => self.registration_expired(&key),
            Timer::Unclaimed => self.close_unclaimed(now),
            Timer::Orphan(stream) => self.skinny_orphan(stream, now),
            Timer::Unused(stream) => self.skinny_unused(stream, now),
            Timer::Ports => {
                self.sessions.wake_ports(now);
                self.watch_ports();
            }
        }
    }

    /// Whether no call more may begin. Each stream of SCCP counts as a call of SIP does.
    pub(crate) fn calls_full(&self) -> bool {
        self.sets.calls() + self.skinny.stream_count() >= self.config.limits.calls
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.output(Output::Media(Box::new(command)));
    }

    pub(crate) fn count(&mut self, counter: Counter) {
        self.counters.count(counter);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.output(Output::Event(event));
    }

    /// An event about a dialog set.
    pub(crate) fn call_event(&mut self, set: SetId, kind: EventKind, text: impl Into<String>) {
        let mut event = Event::new(kind, text);
        if let Some(set) = self.sets.get(set) {
            event = event.device(set.device.as_str()).call_id(set.call_id.clone());
        }
        self.event(event);
    }

    pub(crate) fn random(&mut self, bytes: &mut [u8]) {
        self.rng.fill(bytes);
    }

    /// A fresh random word for branches and tags.
    pub(crate) fn random_word(&mut self) -> String {
        let mut bytes = [0; 12];
        self.rng.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Sees to it that ports which have rested are freed.
    pub(crate) fn watch_ports(&mut self) {
        match self.sessions.next_rested() {
            Some(at) => self.timers.set(Timer::Ports, at),
            None => self.timers.cancel(&Timer::Ports),
        }
    }

    /// When ports that are given back now may be used again.
    pub(crate) fn rested(&self, now: Instant) -> Instant {
        now + self.config.timers.port_quarantine
    }

    /// The connection of a device, if it is there.
    pub(crate) fn conn_of(&self, device: &DeviceName) -> Option<ConnId> {
        self.devices.get(device)?.conn
    }
}
