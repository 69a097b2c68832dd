//! The inside of a shard: datagrams and connections from and to call managers.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Interest, Registry};
use pinhole_admin::{Event, EventKind};
use pinhole_proxy::{DeviceName, Input, Route, Source, UpstreamId};
use pinhole_sip::{Frame, FrameError, Framer, Limits, Message, ParseError};

use super::health::Health;
use super::outgoing::{CONNECT_TIME, connecting, has_connected, send_waiting};
use super::tokens::{self, ClusterSocket};
use super::{ClusterSockets, Shard};
use crate::config::Cluster;
use crate::counters::Counter;

/// First and longest pause after a call manager did not accept a connection.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));
/// Connections of one cluster that the call manager may open on one shard.
const ACCEPTED_MAX: usize = 1024;
/// Datagrams or reads before others have their turn.
const BUDGET: usize = 64;

/// A cluster as one shard reaches it.
pub(super) struct Inside {
    name: String,
    call_manager: SocketAddr,
    local: IpAddr,
    sources: Vec<IpAddr>,
    udp: Option<UdpSocket>,
    listener: TcpListener,
    health: Health,
    pause: Duration,
    /// Set after a failure: no connection is tried before.
    retry_at: Option<Instant>,
}

/// A connection to or from a call manager.
pub(super) struct Upstream {
    stream: TcpStream,
    cluster: usize,
    peer: SocketAddr,
    /// The device that it was made for; absent: the call manager made it.
    device: Option<DeviceName>,
    connected: bool,
    framer: Framer,
    waiting: Vec<u8>,
}

impl Inside {
    pub(super) fn new(cluster: &Cluster, sockets: ClusterSockets) -> Self {
        Self {
            name: cluster.name.clone(),
            call_manager: cluster.call_manager,
            local: cluster.local.ip(),
            sources: cluster.sources(),
            udp: sockets.udp.map(UdpSocket::from_std),
            listener: TcpListener::from_std(sockets.listener),
            health: Health::default(),
            pause: BACKOFF.0,
            retry_at: None,
        }
    }

    pub(super) fn watch(&mut self, cluster: usize, registry: &Registry) -> io::Result<()> {
        if let Some(udp) = &mut self.udp {
            registry.register(udp, ClusterSocket::Udp(cluster).token(), Interest::READABLE)?;
        }
        registry.register(&mut self.listener, ClusterSocket::Listener(cluster).token(), Interest::READABLE)
    }
}

impl Shard {
    /// Reads datagrams of a cluster.
    pub(super) fn datagrams(&mut self, cluster: usize, now: Instant) {
        for _ in 0..BUDGET {
            let Some(inside) = self.inside.get(cluster) else { return };
            let Some(udp) = &inside.udp else { return };
            match udp.recv_from(&mut self.datagram) {
                Ok((length, from)) => {
                    self.counters.count(Counter::InsideDatagrams);
                    if !inside.sources.contains(&from.ip()) {
                        self.unknown_source(cluster, from);
                    } else if let Some(message) = self.parse(length, from) {
                        self.call_manager_lives(cluster);
                        let source = Source::Udp(from);
                        self.tap_from_inside(cluster, from, "udp", &message);
                        self.input(Input::ClusterMessage { cluster, source, message }, now);
                        self.tap_over();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An error of an earlier send; the queue may still hold datagrams.
                Err(_) => {}
            }
        }
        self.datagrams_again.push(cluster);
    }

    fn parse(&mut self, length: usize, from: SocketAddr) -> Option<Message> {
        let bytes = self.datagram.get(..length).unwrap_or_default();
        let limits = Limits::with_message(self.shared.config.limits.message_bytes as usize);
        match Message::parse(bytes, &limits) {
            Ok(message) => Some(message),
            Err(ParseError::Empty) => None,
            Err(error) => {
                let text = format!("a datagram of {length} bytes from {from} was dropped: {error}");
                self.count_frame_error(&FrameError::Message(error));
                self.emit(Event::new(EventKind::MessageRefused, text));
                None
            }
        }
    }

    fn unknown_source(&mut self, cluster: usize, from: SocketAddr) {
        self.counters.count(Counter::InsideUnknownSource);
        let name = self.inside.get(cluster).map_or("", |inside| inside.name.as_str());
        let text = format!("SIP from {from} was dropped: it is not in sources of cluster {name}");
        self.emit(Event::new(EventKind::MessageRefused, text));
    }

    /// Sends to a call manager.
    pub(super) fn send_inside(&mut self, cluster: usize, route: Route, bytes: &[u8], now: Instant) {
        if let Some(inside) = self.inside.get_mut(cluster) {
            inside.health.sent(bytes, now);
        }
        match route {
            Route::Udp { to } => {
                let udp = self.inside.get(cluster).and_then(|inside| inside.udp.as_ref());
                // A datagram that cannot be sent is one that got lost: the proxy sends it again.
                if udp.is_none_or(|udp| udp.send_to(bytes, to).is_err()) {
                    self.counters.count(Counter::InsideSendFailed);
                }
            }
            Route::Upstream(UpstreamId(id)) => self.send_upstream(id, bytes, now),
            Route::Device(device) => {
                let open = self.by_device.get(&(cluster, device.clone())).copied();
                match open.or_else(|| self.connect(cluster, &device, now)) {
                    Some(id) => self.send_upstream(id, bytes, now),
                    None => self.input(Input::UpstreamFailed { cluster, device }, now),
                }
            }
        }
    }

    /// The far end of a connection inside.
    pub(super) fn upstream_peer(&self, id: u64) -> Option<SocketAddr> {
        self.upstreams.get(&id).map(|upstream| upstream.peer)
    }

    fn send_upstream(&mut self, id: u64, bytes: &[u8], now: Instant) {
        let limit = self.shared.config.limits.write_buffer_bytes as usize;
        let Some(upstream) = self.upstreams.get_mut(&id) else { return };
        if upstream.waiting.len() + bytes.len() > limit {
            self.counters.count(Counter::WriteLimit);
            return self.upstream_ended(id, Some("it does not read what is sent to it"), now);
        }
        upstream.waiting.extend_from_slice(bytes);
        if upstream.connected {
            self.upstream_writable(id, now);
        }
    }

    /// Opens a connection for a device, unless the call manager failed a moment ago.
    fn connect(&mut self, cluster: usize, device: &DeviceName, now: Instant) -> Option<u64> {
        let inside = self.inside.get(cluster)?;
        if inside.retry_at.is_some_and(|at| now < at) {
            self.counters.count(Counter::UpstreamBackoff);
            return None;
        }
        let (peer, local) = (inside.call_manager, inside.local);
        let id = match connecting(peer, local) {
            Ok(stream) => self.watch_upstream(stream, cluster, peer, Some(device.clone())),
            Err(error) => {
                self.call_manager_refuses(cluster, &error.to_string(), now);
                None
            }
        }?;
        self.deadlines.insert((now + CONNECT_TIME, id));
        Some(id)
    }

    /// Accepts connections from a call manager.
    pub(super) fn accept_upstreams(&mut self, cluster: usize, now: Instant) {
        loop {
            let Some(inside) = self.inside.get(cluster) else { return };
            match inside.listener.accept() {
                Ok((_, from)) if !inside.sources.contains(&from.ip()) => self.unknown_source(cluster, from),
                Ok((stream, from)) => {
                    let accepted =
                        |upstream: &&Upstream| upstream.cluster == cluster && upstream.device.is_none();
                    if self.upstreams.values().filter(accepted).count() >= ACCEPTED_MAX {
                        self.counters.count(Counter::UpstreamLimit);
                        continue;
                    }
                    self.counters.count(Counter::UpstreamAccepted);
                    if let Some(id) = self.watch_upstream(stream, cluster, from, None) {
                        self.upstream_readable(id, now);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.counters.count(Counter::AcceptFailed),
            }
        }
    }

    fn watch_upstream(
        &mut self,
        mut stream: TcpStream,
        cluster: usize,
        peer: SocketAddr,
        device: Option<DeviceName>,
    ) -> Option<u64> {
        let id = self.next_id();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, tokens::connection(id), interest).ok()?;
        let framer = Framer::new(Limits::with_message(self.shared.config.limits.message_bytes as usize));
        let connected = device.is_none();
        if let Some(device) = &device {
            self.by_device.insert((cluster, device.clone()), id);
        }
        self.upstreams
            .insert(id, Upstream { stream, cluster, peer, device, connected, framer, waiting: Vec::new() });
        Some(id)
    }

    /// The socket is connected, or takes more.
    pub(super) fn upstream_writable(&mut self, id: u64, now: Instant) {
        let Some(upstream) = self.upstreams.get_mut(&id) else { return };
        if !upstream.connected {
            match has_connected(&upstream.stream) {
                Ok(true) => {
                    upstream.connected = true;
                    let cluster = upstream.cluster;
                    self.counters.count(Counter::UpstreamConnected);
                    self.call_manager_lives(cluster);
                }
                Ok(false) => return,
                Err(error) => return self.upstream_ended(id, Some(&error.to_string()), now),
            }
        }
        let Some(upstream) = self.upstreams.get_mut(&id) else { return };
        if let Err(error) = send_waiting(&mut upstream.stream, &mut upstream.waiting) {
            self.upstream_ended(id, Some(&error.to_string()), now);
        }
    }

    /// Reads a connection and hands on its messages.
    pub(super) fn upstream_readable(&mut self, id: u64, now: Instant) {
        if !self.upstreams.contains_key(&id) {
            return;
        }
        let mut chunk = [0; 16_384];
        for _ in 0..BUDGET {
            let Some(upstream) = self.upstreams.get_mut(&id).filter(|upstream| upstream.connected) else {
                return;
            };
            let (cluster, source) =
                (upstream.cluster, Source::Tcp { upstream: UpstreamId(id), peer: upstream.peer });
            match upstream.stream.read(&mut chunk) {
                Ok(0) => return self.upstream_ended(id, None, now),
                Ok(length) => upstream.framer.push(chunk.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.upstream_ended(id, Some(&error.to_string()), now),
            }
            while let Some(frame) = self.upstreams.get_mut(&id).and_then(|upstream| upstream.framer.next()) {
                match frame {
                    Ok(Frame::Message(message)) => {
                        self.call_manager_lives(cluster);
                        self.tap_from_inside(cluster, source.peer(), "tcp", &message);
                        self.input(Input::ClusterMessage { cluster, source, message }, now);
                        self.tap_over();
                    }
                    Ok(Frame::Ping) => {
                        self.counters.count(Counter::KeepAlives);
                        self.send_upstream(id, b"\r\n", now);
                    }
                    Ok(Frame::Pong) => {}
                    Err(error) => {
                        self.count_frame_error(&error);
                        return self.upstream_ended(id, Some(&error.to_string()), now);
                    }
                }
            }
        }
        self.again.push(id);
    }

    /// A connection did not come up in time.
    pub(super) fn upstream_deadline(&mut self, id: u64, now: Instant) {
        if self.upstreams.get(&id).is_some_and(|upstream| !upstream.connected) {
            self.upstream_ended(id, Some("no answer"), now);
        }
    }

    fn upstream_ended(&mut self, id: u64, reason: Option<&str>, now: Instant) {
        let Some(mut upstream) = self.upstreams.remove(&id) else { return };
        let _ = self.poll.registry().deregister(&mut upstream.stream);
        let cluster = upstream.cluster;
        if !upstream.connected {
            self.call_manager_refuses(cluster, reason.unwrap_or("it closed the connection"), now);
        }
        if let Some(device) = &upstream.device {
            self.by_device.remove(&(cluster, device.clone()));
        }
        match upstream.device {
            Some(device) if !upstream.connected || !upstream.waiting.is_empty() => {
                self.input(Input::UpstreamFailed { cluster, device }, now);
            }
            _ => self.input(Input::UpstreamClosed { cluster, upstream: UpstreamId(id) }, now),
        }
    }

    /// Looks for call managers that answer nothing any more.
    pub(super) fn look_for_silence(&mut self, now: Instant) {
        for inside in &mut self.inside {
            if inside.health.falls_silent(now) {
                let text = format!(
                    "call manager {} of cluster {} answers nothing; phones are told 408 until it does",
                    inside.call_manager, inside.name
                );
                self.shared.events.emit(Event::new(EventKind::CallManagerDown, text));
            }
        }
    }

    /// The call manager takes no connection: it is tried again, but not at once.
    fn call_manager_refuses(&mut self, cluster: usize, reason: &str, now: Instant) {
        self.counters.count(Counter::UpstreamFailed);
        let Some(inside) = self.inside.get_mut(cluster) else { return };
        inside.retry_at = Some(now + inside.pause);
        inside.pause = inside.pause.saturating_mul(2).min(BACKOFF.1);
        if inside.health.failed() {
            let text = format!(
                "call manager {} of cluster {} takes no connection ({reason}); phones are told 503 until it does",
                inside.call_manager, inside.name
            );
            self.emit(Event::new(EventKind::CallManagerDown, text));
        }
    }

    /// A sign of life of a cluster's call manager.
    fn call_manager_lives(&mut self, cluster: usize) {
        let Some(inside) = self.inside.get_mut(cluster) else { return };
        inside.pause = BACKOFF.0;
        inside.retry_at = None;
        if inside.health.heard() {
            let text =
                format!("call manager {} of cluster {} answers again", inside.call_manager, inside.name);
            self.emit(Event::new(EventKind::CallManagerUp, text));
        }
    }
}
