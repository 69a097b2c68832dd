//! The loop: one thread, one poll.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use openssl::ssl::{Ssl, SslContext, SslStream};
use pinhole_legacy_tls::{
    Cause, Channel, ChannelError, FILES_MAX, Handover, Limits, MESSAGE_MAX, Report, Settings,
};
use pinhole_rates::{Rate, Rates, Sources, Steps, Turn, Turns};
use socket2::{SockRef, TcpKeepalive};
use zeroize::Zeroizing;

use crate::context::context;
use crate::phone::{Moved, Phone, Stage};
use crate::reports::Reports;

const CONTROL: Token = Token(0);
/// First token of the listening sockets.
const LISTENERS: usize = 1;
/// First number of a phone. Its socket has the token of twice that, its clear stream the next.
const PHONES: usize = 1 + FILES_MAX;
/// Connections that may wait for a handshake to begin.
const WAITING_MAX: usize = 4096;
/// Connections accepted before others have their turn.
const ACCEPTS: usize = 64;
/// How long accepting rests after a failure such as too many open files.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// For how long what a phone still says is thrown away.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes moved at a time: what a TLS record holds.
const CHUNK: usize = 16_384;
/// Bytes that the kernel keeps of a clear stream, each way; it takes twice that.
const CLEAR_BUFFER: usize = 32_768;
/// Why a phone cannot be handed over.
const UNTOLD: &str = "too many certificates, or what was agreed on is not what was offered";
/// How soon what was held back is told.
const SOON: Duration = Duration::from_millis(100);

/// A connection that waits for its handshake to begin.
struct Came {
    stream: TcpStream,
    peer: SocketAddr,
    listener: usize,
}

/// Everything that the process has.
pub struct Process {
    poll: Poll,
    channel: Channel,
    context: SslContext,
    limits: Limits,
    listeners: Vec<TcpListener>,
    phones: HashMap<usize, Phone>,
    /// Whose handshake goes on, and who waits for theirs to begin.
    turns: Turns<Came>,
    /// Whether connections wait for a handshake to end.
    is_full: bool,
    sources: Sources,
    reports: Reports,
    deadlines: BTreeSet<(Instant, usize)>,
    /// To be gone on with, though the poll won't say so.
    again: Vec<usize>,
    steps: Steps<usize>,
    accept_at: Option<Instant>,
    last: usize,
    scratch: Zeroizing<Vec<u8>>,
}

impl Process {
    /// With the control plane's end, what is listened at, and what is to be done.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(channel: Channel, listeners: Vec<OwnedFd>, settings: &Settings) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let context = context(settings)?;
        channel.set_nonblocking()?;
        let control = channel.as_fd().as_raw_fd();
        poll.registry().register(
            &mut SourceFd(&control),
            CONTROL,
            Interest::READABLE | Interest::WRITABLE,
        )?;
        let mut watched = Vec::new();
        for (at, listener) in listeners.into_iter().enumerate() {
            let listener = std::net::TcpListener::from(listener);
            listener
                .set_nonblocking(true)
                .context("what came from the control plane is no listening socket")?;
            let mut listener = TcpListener::from_std(listener);
            poll.registry().register(&mut listener, Token(LISTENERS + at), Interest::READABLE)?;
            watched.push(listener);
        }
        let now = Instant::now();
        Ok(Self {
            poll,
            channel,
            context,
            limits: settings.limits,
            listeners: watched,
            phones: HashMap::new(),
            turns: Turns::new(settings.limits.handshakes as usize, WAITING_MAX),
            is_full: false,
            sources: Sources::new(rates(&settings.limits)),
            reports: Reports::new(now),
            deadlines: BTreeSet::new(),
            again: Vec::new(),
            steps: Steps::default(),
            accept_at: Some(now),
            last: PHONES,
            scratch: Zeroizing::new(vec![0; CHUNK]),
        })
    }

    /// Tells the control plane something.
    pub fn report(&mut self, report: &Report) {
        self.reports.push(report, None);
    }

    /// Runs until the control plane goes away.
    ///
    /// # Errors
    /// When the poll fails, or the control plane says what cannot be meant.
    pub fn run(mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let now = Instant::now();
            match self.reports.send(&self.channel, now) {
                Ok(()) => {}
                Err(ChannelError::Closed) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            match self.poll.poll(&mut events, self.timeout(now)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error).context("the poll fails");
                }
                _ => {}
            }
            let now = Instant::now();
            for event in &events {
                match event.token().0 {
                    0 => {
                        if !self.obey()? {
                            return Ok(());
                        }
                    }
                    at if at < PHONES => self.accept(at - LISTENERS, now),
                    token => self.ready(token / 2, now),
                }
            }
            for id in std::mem::take(&mut self.again) {
                self.go_on(id, now);
            }
            if self.accept_at.is_some_and(|at| at <= now) {
                self.accept_at = None;
                (0..self.listeners.len()).for_each(|at| self.accept(at, now));
            }
            self.handshakes(now);
            while self.deadlines.first().is_some_and(|(at, _)| *at <= now) {
                let Some((_, id)) = self.deadlines.pop_first() else { break };
                self.overdue(id);
            }
            // Last: places have become free.
            self.begin_handshakes(now);
        }
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        if !self.again.is_empty() || !self.steps.is_empty() {
            return Some(Duration::ZERO);
        }
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let times = [deadline, self.accept_at].into_iter().flatten();
        let look = (self.turns.waiting() > 0).then_some(SOON);
        let times = times.map(|at| at.saturating_duration_since(now) + Duration::from_millis(1));
        times.chain(self.reports.are_left().then_some(SOON)).chain(look).min()
    }

    /// Takes what the control plane says; false when it has gone.
    fn obey(&mut self) -> anyhow::Result<bool> {
        let mut buffer = Zeroizing::new(vec![0; MESSAGE_MAX]);
        loop {
            let length = match self.channel.receive(&mut buffer) {
                Ok((length, _)) => length,
                Err(ChannelError::Closed) => return Ok(false),
                Err(ChannelError::WouldBlock) => return Ok(true),
                Err(error) => return Err(error.into()),
            };
            let settings = Settings::decode(buffer.get(..length).unwrap_or_default())?;
            (self.context, self.limits) = (context(&settings)?, settings.limits);
            self.turns.set_most(settings.limits.handshakes as usize);
        }
    }

    fn accept(&mut self, at: usize, now: Instant) {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.listeners.get(at) else { return };
            match listener.accept() {
                Ok((stream, peer)) => self.accepted(at, stream, peer, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => {
                    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
                    self.reports.refused(Cause::Resources, nobody, Report::text(&error.to_string()));
                    self.accept_at = Some(now + ACCEPT_REST);
                    return;
                }
            }
        }
        self.accept_at = Some(now);
    }

    fn accepted(&mut self, listener: usize, stream: TcpStream, peer: SocketAddr, now: Instant) {
        self.reports.accepted();
        let source = peer.ip();
        let limits = self.limits;
        let cause = if self.phones.len() + self.turns.waiting() >= limits.connections as usize {
            Some(Cause::Connections)
        } else if self.sources.open(source) >= limits.connections_per_source as usize
            || self.sources.admit(source, now).is_err()
            || self.sources.opened(source, now).is_err()
        {
            Some(Cause::Source)
        } else {
            None
        };
        if let Some(cause) = cause {
            return self.reports.refused(cause, peer, String::new());
        }
        if let Some(Came { peer, .. }) = self.turns.wait(source, Came { stream, peer, listener }) {
            self.sources.closed(peer.ip());
            self.reports.refused(Cause::Waiting, peer, String::new());
        }
    }

    /// Begins handshakes of those whose turn it is.
    fn begin_handshakes(&mut self, now: Instant) {
        while self.steps.have_room() {
            match self.turns.next(now) {
                Turn::Begins(came) => self.begin_handshake(came, now),
                Turn::GivesWay(id) => self.gives_way(id),
                Turn::Full => return self.all_places_taken(),
                Turn::Nobody => {
                    self.is_full = false;
                    return;
                }
            }
        }
    }

    fn begin_handshake(&mut self, came: Came, now: Instant) {
        let Came { mut stream, peer, listener } = came;
        let id = self.last + 1;
        let watched = self.watch(id, &mut stream).map_err(|error| error.to_string());
        let made = watched.and_then(|()| {
            Ssl::new(&self.context)
                .and_then(|ssl| SslStream::new(ssl, stream))
                .map_err(|error| error.to_string())
        });
        let tls = match made {
            Ok(tls) => tls,
            Err(error) => {
                self.sources.closed(peer.ip());
                return self.reports.refused(Cause::Resources, peer, Report::text(&error));
            }
        };
        self.last = id;
        let listener = u8::try_from(listener).unwrap_or(u8::MAX);
        self.phones.insert(id, Phone { tls, peer, listener, stage: Stage::Handshake });
        self.turns.began(peer.ip(), id as u64, now);
        self.deadlines.insert((now + Duration::from_secs(self.limits.handshake_timeout_s.into()), id));
        self.ready(id, now);
    }

    /// Whoever comes waits. That is told once.
    fn all_places_taken(&mut self) {
        if !std::mem::replace(&mut self.is_full, true) {
            let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
            self.reports.refused(Cause::Handshakes, nobody, String::new());
        }
    }

    /// The oldest handshake of the address that has most of them makes room for another address.
    fn gives_way(&mut self, id: u64) {
        let Ok(id) = usize::try_from(id) else { return };
        let Some(phone) = self.phones.get(&id) else { return };
        self.reports.refused(Cause::GaveWay, phone.peer, String::new());
        self.forget(id);
    }

    /// Watches a phone's socket, which must tell when the phone has lost its power.
    fn watch(&self, id: usize, stream: &mut TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(30))
            .with_interval(Duration::from_secs(10))
            .with_retries(3);
        let socket = SockRef::from(&*stream);
        socket.set_tcp_keepalive(&keepalive)?;
        socket.set_tcp_user_timeout(Some(Duration::from_secs(30)))?;
        self.poll.registry().register(stream, Token(2 * id), Interest::READABLE | Interest::WRITABLE)
    }

    /// One of a phone's sockets is ready. Handshakes wait for their steps, all else is done at once.
    fn ready(&mut self, id: usize, now: Instant) {
        match self.phones.get(&id).map(|phone| &phone.stage) {
            Some(Stage::Handshake) => self.steps.wait(id),
            Some(_) => self.go_on(id, now),
            None => {}
        }
    }

    /// Some steps of handshakes.
    fn handshakes(&mut self, now: Instant) {
        for _ in 0..Steps::<usize>::AT_A_TIME {
            let Some(id) = self.steps.take() else { return };
            self.go_on(id, now);
        }
    }

    fn go_on(&mut self, id: usize, now: Instant) {
        let Some(phone) = self.phones.get_mut(&id) else { return };
        match phone.go_on(&mut self.scratch) {
            Moved::Waits => {}
            Moved::More => self.again.push(id),
            Moved::Shaken => match phone.handover() {
                None => self.failed(id, Cause::Protocol, UNTOLD.into(), now),
                Some(handover) => match self.hand_over(id, handover) {
                    Ok(()) => self.shaken(id),
                    Err(error) => self.failed(id, Cause::Resources, Report::text(&error.to_string()), now),
                },
            },
            Moved::Ended => self.linger(id, now),
            Moved::Gone => self.forget(id),
            Moved::Failed(cause, text) => self.failed(id, cause, text, now),
        }
    }

    /// Its handshake is over, and what it says goes to the control plane.
    fn shaken(&mut self, id: usize) {
        if let Some(phone) = self.phones.get(&id) {
            self.turns.ended(phone.address(), id as u64);
        }
        self.again.push(id);
    }

    /// Gives the control plane one end of a phone's clear stream.
    fn hand_over(&mut self, id: usize, handover: Handover) -> anyhow::Result<()> {
        let phone = self.phones.get_mut(&id).context("it has gone")?;
        let (ours, theirs) = UnixStream::pair()?;
        for end in [&ours, &theirs] {
            end.set_nonblocking(true)?;
            SockRef::from(end).set_send_buffer_size(CLEAR_BUFFER)?;
        }
        let mut clear = mio::net::UnixStream::from_std(ours);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut clear, Token(2 * id + 1), interest)?;
        let is_told = self.reports.push(&Report::Phone(handover), Some(theirs.into()));
        anyhow::ensure!(is_told, "the control plane does not take it");
        phone.carry(clear);
        Ok(())
    }

    fn failed(&mut self, id: usize, cause: Cause, text: String, now: Instant) {
        let Some(phone) = self.phones.get(&id) else { return };
        self.reports.refused(cause, phone.peer, text);
        match cause {
            Cause::Closed => self.forget(id),
            // An alert may be on its way.
            _ => self.linger(id, now),
        }
    }

    fn linger(&mut self, id: usize, now: Instant) {
        let Some(phone) = self.phones.get_mut(&id) else { return };
        phone.linger();
        self.turns.ended(phone.address(), id as u64);
        self.deadlines.insert((now + LINGER, id));
        self.again.push(id);
    }

    fn overdue(&mut self, id: usize) {
        let Some(phone) = self.phones.get(&id) else { return };
        match phone.stage {
            Stage::Handshake => {
                self.reports.refused(Cause::Timeout, phone.peer, String::new());
                self.forget(id);
            }
            Stage::Carrying(_) => {}
            Stage::Lingering => self.forget(id),
        }
    }

    fn forget(&mut self, id: usize) {
        let Some(phone) = self.phones.remove(&id) else { return };
        self.turns.ended(phone.address(), id as u64);
        self.sources.closed(phone.address());
    }
}

fn rates(limits: &Limits) -> Rates {
    let rate = |per_second: u32, times: u32| Rate { per_second, burst: per_second.saturating_mul(times) };
    Rates {
        requests_per_source: rate(limits.requests_per_source, 10),
        requests: rate(limits.requests, 2),
        bytes_per_source: None,
        bytes: None,
        sources: (limits.connections as usize).saturating_mul(4).max(4096),
    }
}
