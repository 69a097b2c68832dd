//! A signalling shard: one thread, one poll, and everything it owns: connections, phones, calls,
//! ports, rings. Shards share nothing but gauges, events and the next-hop table.

mod accepting;
mod admission;
mod connection;
mod health;
mod inside;
mod mailbox;
mod media;
mod old_phones;
mod outgoing;
mod phones;
mod queue;
mod skinny;
mod taps;
#[cfg(test)]
mod tests;
mod tokens;
mod view;
mod wire;

pub use accepting::WAITING_MAX;
pub use connection::Place;
pub use mailbox::{Attached, Inbox, Mailbox, ToShard};
pub use old_phones::OldPhone;
pub use taps::{Reader, Seen, Tap};
pub use view::View;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use mio::{Events as Ready, Interest, Poll};
use pinhole_admin::Event;
use pinhole_proxy::{DeviceName, Input, Output, Proxy, Random, SkinnyInput};
use pinhole_rates::{Steps, Turns};
use pinhole_sip::{FrameError, ParseError};
use zeroize::Zeroize as _;

use crate::config::Config;
use crate::counters::Counters;
use crate::events::Events;
use crate::legacy::Legacy;
use crate::neighbours::NextHops;
use crate::provisioning::Office;
use crate::tls::Acceptors;
use accepting::Came;
use connection::Phone;
use inside::{Inside, Upstream};
use media::Media;
use skinny::Servers;
use taps::Taps;
use tokens::ClusterSocket;

/// How often media activity is reported to the proxy.
const ACTIVITY: Duration = Duration::from_secs(1);
/// Longest sleep: bounds how late anything without a deadline of its own is noticed.
const IDLE: Duration = Duration::from_millis(250);

/// What all shards share.
pub struct Shared {
    /// The configuration.
    pub config: Arc<Config>,
    /// TLS handshakes in progress.
    pub handshakes: Arc<AtomicU64>,
    /// Connections with a finished handshake.
    pub connections: Arc<AtomicU64>,
    /// Events for operators.
    pub events: Arc<Events>,
    /// Next hops of signalled addresses.
    pub next_hops: Arc<NextHops>,
    /// Every shard's mailbox, once all are made.
    pub shards: OnceLock<Vec<Mailbox>>,
    /// Changed when certificates are read again.
    pub tls: RwLock<Arc<Acceptors>>,
    /// How long phones wait for the data plane at the start. Served without it, nothing can be adopted.
    pub patience: Duration,
    /// The process for old phones, if there is one.
    pub legacy: Option<Arc<Legacy>>,
    /// What provisioning shares; absent where phones fetch nothing from us.
    pub office: Option<Arc<Office>>,
}

impl Shared {
    fn tls(&self) -> Arc<Acceptors> {
        Arc::clone(&self.tls.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A shard's sockets, bound but not yet watched.
pub struct Sockets {
    /// The TLS listener for SIP.
    pub listener: TcpListener,
    /// Those for SCCP, with their addresses.
    pub sccp: Vec<(SocketAddr, TcpListener)>,
    /// Per cluster.
    pub clusters: Vec<ClusterSockets>,
}

/// A shard's sockets of one cluster.
pub struct ClusterSockets {
    /// For datagrams; absent when the cluster speaks TCP.
    pub udp: Option<UdpSocket>,
    /// For connections from the call manager.
    pub listener: TcpListener,
}

/// What the proxy is still to be told.
enum AnyInput {
    Sip(Input),
    Skinny(SkinnyInput),
}

/// A shard.
pub struct Shard {
    id: u32,
    shared: Arc<Shared>,
    poll: Poll,
    messages: Receiver<ToShard>,
    proxy: Proxy,
    listener: Option<mio::net::TcpListener>,
    skinny: Vec<(SocketAddr, mio::net::TcpListener)>,
    inside: Vec<Inside>,
    phones: HashMap<u64, Phone>,
    upstreams: HashMap<u64, Upstream>,
    servers: Servers,
    media: Media,
    taps: Taps,
    counters: Counters,
    /// Deadlines of connections.
    deadlines: BTreeSet<(Instant, u64)>,
    /// Connections of devices to call managers, by cluster.
    by_device: HashMap<(usize, DeviceName), u64>,
    /// Connections to be read again, though the poll won't say so.
    again: Vec<u64>,
    /// Clusters whose datagrams are to be read again.
    datagrams_again: Vec<usize>,
    /// Connections that were handed over before this shard serves any.
    early: Vec<Phone>,
    /// The same, of old phones.
    early_old: Vec<OldPhone>,
    steps: Steps<u64>,
    /// Whose handshake may begin.
    turns: Turns<Came>,
    /// The listener that is looked at first.
    first_door: usize,
    /// Whether connections wait for a handshake to end.
    is_full: bool,
    /// When operators were told of an address that has to give way to others.
    greed_told: Option<Instant>,
    accept_at: Option<Instant>,
    inputs: VecDeque<AnyInput>,
    pumping: bool,
    last_id: u64,
    serving: bool,
    stopping: bool,
    /// When to serve phones even without a data plane.
    serve_at: Instant,
    activity_at: Instant,
    datagram: Box<[u8]>,
}

impl Shard {
    /// A shard that will run on a thread of its own. `None` for a configuration that was not validated.
    pub fn new(id: u32, shared: Arc<Shared>, inbox: Inbox, sockets: Sockets) -> Option<Self> {
        let proxy = Proxy::new(shared.config.proxy(id)?, Box::new(SystemRandom));
        let inside = shared.config.clusters.iter().zip(sockets.clusters);
        let now = Instant::now();
        Some(Self {
            id,
            poll: inbox.poll,
            messages: inbox.messages,
            proxy,
            listener: Some(mio::net::TcpListener::from_std(sockets.listener)),
            skinny: sockets
                .sccp
                .into_iter()
                .map(|(address, listener)| (address, mio::net::TcpListener::from_std(listener)))
                .collect(),
            inside: inside.map(|(cluster, sockets)| Inside::new(cluster, sockets)).collect(),
            phones: HashMap::new(),
            upstreams: HashMap::new(),
            servers: Servers::default(),
            media: Media::new(&shared),
            taps: Taps::default(),
            counters: Counters::default(),
            deadlines: BTreeSet::new(),
            by_device: HashMap::new(),
            again: Vec::new(),
            datagrams_again: Vec::new(),
            early: Vec::new(),
            early_old: Vec::new(),
            steps: Steps::default(),
            turns: accepting::turns(&shared.config),
            first_door: 0,
            is_full: false,
            greed_told: None,
            accept_at: None,
            inputs: VecDeque::new(),
            pumping: false,
            last_id: tokens::CONNECTIONS,
            serving: false,
            stopping: false,
            serve_at: now + shared.patience,
            activity_at: now,
            datagram: vec![0; 65_536].into(),
            shared,
        })
    }

    /// Runs until told to stop.
    ///
    /// # Errors
    /// When the poll fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut ready = Ready::with_capacity(1024);
        while !self.stopping {
            match self.poll.poll(&mut ready, Some(self.timeout(Instant::now()))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let now = Instant::now();
            for event in &ready {
                self.ready(event, now);
            }
            self.turn(now)?;
        }
        Ok(())
    }

    fn ready(&mut self, event: &mio::event::Event, now: Instant) {
        let token = event.token();
        let id = token.0 as u64;
        if token == tokens::WAKER {
            // The mailbox is looked at in every turn.
        } else if token == tokens::LISTENER {
            self.accept_soon(now);
        } else if id >= tokens::CONNECTIONS {
            if event.is_writable() {
                self.phone_writable(id);
                self.upstream_writable(id, now);
                self.server_writable(id, now);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.phone_ready(id, now);
                self.upstream_readable(id, now);
                self.server_readable(id, now);
            }
        } else if tokens::skinny_of(token).is_some() {
            self.accept_soon(now);
        } else {
            match ClusterSocket::from_token(token) {
                Some(ClusterSocket::Udp(cluster)) => self.datagrams(cluster, now),
                Some(ClusterSocket::Listener(cluster)) => self.accept_upstreams(cluster, now),
                None => {}
            }
        }
    }

    /// Everything that is not a socket.
    fn turn(&mut self, now: Instant) -> io::Result<()> {
        while let Ok(message) = self.messages.try_recv() {
            self.message(message, now);
        }
        if !self.serving && now >= self.serve_at {
            self.input(Input::AdoptDone, now);
            self.serving = true;
        }
        if self.serving {
            self.watch()?;
        }
        for phone in if self.serving { std::mem::take(&mut self.early) } else { Vec::new() } {
            self.phone_arrives(phone, now);
        }
        for old in if self.serving { std::mem::take(&mut self.early_old) } else { Vec::new() } {
            self.old_phone_arrives(old, now);
        }
        for cluster in std::mem::take(&mut self.datagrams_again) {
            self.datagrams(cluster, now);
        }
        for id in std::mem::take(&mut self.again) {
            self.phone_ready(id, now);
            self.upstream_readable(id, now);
            self.server_readable(id, now);
        }
        self.accept(now);
        self.handshakes(now);
        self.media_turn(now);
        while self.deadlines.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, id)) = self.deadlines.pop_first() else { break };
            self.phone_deadline(id, now);
            self.upstream_deadline(id, now);
            self.server_deadline(id, now);
        }
        if now >= self.activity_at {
            self.activity_at = now + ACTIVITY;
            self.report_activity(now);
            self.look_for_silence(now);
        }
        if self.proxy.next_timeout().is_some_and(|at| now >= at) {
            self.input(Input::Tick, now);
        }
        // Last: places have become free.
        self.begin_handshakes(now);
        Ok(())
    }

    fn message(&mut self, message: ToShard, now: Instant) {
        match message {
            // Whatever there is to adopt comes first.
            ToShard::Phone(phone) => self.early.push(*phone),
            ToShard::OldPhone(old) => self.early_old.push(*old),
            ToShard::OldRefused(refusals) => self.old_refused(*refusals, now),
            ToShard::Attached(attached) => self.attached(*attached, now),
            ToShard::Detached => self.detached(),
            ToShard::NextHop(update) => self.next_hop(update),
            ToShard::Look(answer) => {
                // Whoever asked may have given up.
                let _ = answer.try_send(self.view(now));
            }
            ToShard::Trace(tap) => self.taps.open(*tap),
            ToShard::TraceEnds(id) => self.taps.close(id),
            ToShard::Withdrawn(device) => {
                self.taps.end(&device);
                self.look_again(&device, now);
            }
            ToShard::Reclassed(device) => self.look_again(&device, now),
            ToShard::Stop => self.stopping = true,
        }
    }

    /// Begins to watch the sockets, once.
    fn watch(&mut self) -> io::Result<()> {
        if self.last_id != tokens::CONNECTIONS {
            return Ok(());
        }
        self.last_id += 1;
        let registry = self.poll.registry();
        if let Some(listener) = &mut self.listener {
            registry.register(listener, tokens::LISTENER, Interest::READABLE)?;
        }
        for (at, (_, listener)) in self.skinny.iter_mut().enumerate() {
            registry.register(listener, tokens::skinny(at), Interest::READABLE)?;
        }
        for (cluster, inside) in self.inside.iter_mut().enumerate() {
            inside.watch(cluster, registry)?;
        }
        Ok(())
    }

    fn timeout(&self, now: Instant) -> Duration {
        if !self.again.is_empty() || !self.datagrams_again.is_empty() || !self.steps.is_empty() {
            return Duration::ZERO;
        }
        let first_deadline = self.deadlines.first().map(|(at, _)| *at);
        let serve = (!self.serving).then_some(self.serve_at);
        [first_deadline, self.proxy.next_timeout(), self.accept_at, serve, Some(self.activity_at)]
            .into_iter()
            .flatten()
            .map(|at| at.saturating_duration_since(now))
            .chain([self.media.patience(), IDLE])
            .min()
            .unwrap_or(IDLE)
            // The poll counts whole milliseconds: rounded up, so that it does not spin.
            .max(Duration::from_micros(200))
    }

    /// Hands an input to the proxy and does everything that follows from it.
    fn input(&mut self, input: Input, now: Instant) {
        self.pump(AnyInput::Sip(input), now);
    }

    /// [`Shard::input`] of SCCP.
    fn skinny_input(&mut self, input: SkinnyInput, now: Instant) {
        self.pump(AnyInput::Skinny(input), now);
    }

    fn pump(&mut self, input: AnyInput, now: Instant) {
        self.inputs.push_back(input);
        if self.pumping {
            return;
        }
        self.pumping = true;
        while let Some(input) = self.inputs.pop_front() {
            match input {
                AnyInput::Sip(input) => self.proxy.handle(input, now),
                AnyInput::Skinny(input) => self.proxy.handle_skinny(input, now),
            }
            while let Some(output) = self.proxy.poll_output() {
                self.output(output, now);
            }
            while let Some(output) = self.proxy.poll_skinny_output() {
                self.skinny_output(output, now);
            }
        }
        self.pumping = false;
    }

    fn output(&mut self, output: Output, now: Instant) {
        match output {
            Output::ToPhone { conn, bytes } => self.send_phone(conn.0, &bytes, now),
            Output::ToCluster { cluster, device, route, bytes } => {
                self.tap_to_inside(cluster, device.as_ref(), &route, &bytes);
                self.send_inside(cluster, route, &bytes, now);
            }
            Output::Registered { conn } => self.phone_registered(conn.0, now),
            Output::NotRegistered { conn, code } => {
                self.phone_not_registered(conn.0, &format!("REGISTER was answered with {code}"));
            }
            Output::NoAudio { conn, from } => self.phone_not_heard(conn.0, from),
            Output::ClosePhone { conn, reason } => self.close_phone(conn.0, reason, now),
            Output::Media(mut command) => {
                self.command(*command, now);
                command.session.zeroize();
            }
            Output::Note { slot, generation, bytes } => self.note(slot, generation, &bytes),
            Output::Event(event) => self.emit(event),
        }
    }

    fn emit(&self, event: Event) {
        self.shared.events.emit(event);
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

fn is_too_long(error: &FrameError) -> bool {
    matches!(
        error,
        FrameError::Message(
            ParseError::MessageTooLong { .. }
                | ParseError::BodyTooLong { .. }
                | ParseError::LineTooLong { .. }
        )
    )
}

/// Randomness of the operating system.
struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Keys come from here: without randomness there is nothing sensible to do but wait for it.
        while getrandom::fill(bytes).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
