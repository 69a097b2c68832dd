//! Provisioning as a process's thread: what phones fetch by TFTP, and from where it comes.
//!
//! `pinhole-provisioning` decides, `pinhole-trust` signs, `pinhole-tftp` speaks the protocol; here are the sockets.

mod errands;
mod keys;
mod papers;
mod upstream;

pub use errands::{Errands, Preview};

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use mio::{Events as Ready, Interest, Poll, Token};
use pinhole_provisioning::cache::{CacheError, Lookup, Origin};
use pinhole_provisioning::names::OtherFile;
use pinhole_provisioning::phones::{Delivery, Grant, StoreError};
use pinhole_provisioning::service::{
    Action, ClusterFiles, ConfigurationTask, Handling, Request, Transport, check_file,
};
use pinhole_provisioning::{Cache, Counters, Failure, Phones, Service};
use pinhole_tftp::{Denied, End, FetchError, Output, Refusal, Server, TransferId};
use regex::Regex;
use thiserror::Error;

use crate::config::{self, Config};
use crate::events::Events;
use crate::sockets::{self, BindError};
use errands::Previewing;
use papers::Papers;
use upstream::{Fetched, Upstream};

/// How often idle phones are looked for, and what has changed is written.
const TICK: Duration = Duration::from_secs(1);
/// Datagrams of one socket before the others have their turn.
const DATAGRAMS: usize = 64;
/// From here on, tokens are fetches.
const FETCHES: usize = 1 << 16;

/// Why provisioning cannot start.
#[derive(Debug, Error)]
pub enum ProvisioningError {
    /// An address cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The database cannot be used.
    #[error("provisioning.directory: {0}")]
    Store(#[from] StoreError),
    /// The cache cannot be used.
    #[error("provisioning.directory: {0}")]
    Cache(#[from] CacheError),
    /// The authority's keys cannot be used.
    #[error("provisioning.directory: {0}")]
    Authority(#[from] pinhole_trust::authority::Refused),
    /// The folder cannot be made.
    #[error("provisioning.directory: {0} cannot be made: {1}; make it, owned by this user, mode 0700")]
    Directory(std::path::PathBuf, io::Error),
    /// A cluster's pattern is none.
    #[error("cluster.devices: {0}")]
    Devices(#[from] regex::Error),
    /// The system refuses a poll.
    #[error("the system refuses a poll: {0}")]
    Poll(io::Error),
}

/// What the other threads share with this one.
pub struct Office {
    /// The secure-phone database.
    pub phones: Arc<Phones>,
    /// Everything that is counted here.
    pub counters: Arc<Counters>,
    /// What they ask of it.
    pub errands: Errands,
}

/// The thread.
pub struct Provisioning {
    office: Arc<Office>,
    events: Arc<Events>,
    settings: config::Provisioning,
    service: Service,
    papers: Papers,
    cache: Cache,
    poll: Poll,
    sockets: Vec<mio::net::UdpSocket>,
    server: Server,
    /// What each transfer is of.
    transfers: HashMap<TransferId, Transfer>,
    upstream: Upstream,
    /// Who waits for what comes from upstream.
    waiting: HashMap<Origin, Vec<Waiting>>,
    /// Who waits to see what becomes of it.
    previewing: HashMap<Origin, Vec<Previewing>>,
    tick_at: Instant,
    remind_at: Instant,
}

/// A transfer to a phone.
struct Transfer {
    client: SocketAddr,
    /// What came of it is reported for this.
    grant: Option<Grant>,
    is_trust_list: bool,
}

/// A transfer that needs a file from upstream.
struct Waiting {
    transfer: TransferId,
    what: What,
}

enum What {
    Configuration(ConfigurationTask),
    File { file: OtherFile, handling: Handling },
}

impl Provisioning {
    /// Opens everything, and says which addresses are not on this machine yet.
    ///
    /// # Errors
    /// When an address, the database, the cache or the keys cannot be used.
    pub fn open(
        config: &Config,
        settings: config::Provisioning,
        events: Arc<Events>,
        missing: &mut Vec<SocketAddr>,
    ) -> Result<Self, ProvisioningError> {
        papers::make_directory(&settings.directory)
            .map_err(|error| ProvisioningError::Directory(settings.directory.clone(), error))?;
        let counters = Arc::new(Counters::default());
        let phones = Phones::open(&settings.database(), settings.phones.clone(), Arc::clone(&counters))?;
        let office = Office { phones: Arc::new(phones), counters, errands: Errands::default() };
        let cache = Cache::open(&settings.cache(), settings.cache_bytes(), Arc::clone(&office.counters))?;
        let papers = Papers::new(&settings);
        let (mut clusters, mut servers) = (Vec::new(), HashMap::new());
        for cluster in &config.clusters {
            let Some(server) = cluster.tftp_server else { continue };
            clusters.push(ClusterFiles {
                name: cluster.name.clone(),
                devices: Regex::new(&cluster.devices)?,
                rules: cluster.rewrite.clone(),
                encryption: Default::default(),
            });
            servers.insert(cluster.name.clone(), server);
        }
        let (phones, counters) = (Arc::clone(&office.phones), Arc::clone(&office.counters));
        let service = Service::new(clusters, settings.files.clone(), phones, counters);
        let poll = Poll::new().map_err(ProvisioningError::Poll)?;
        let sockets = watched(&settings.tftp, &poll, missing)?;
        let mut provisioning = Self {
            office: Arc::new(office),
            events,
            service,
            papers,
            cache,
            poll,
            sockets,
            server: Server::new(settings.tftp.settings()),
            transfers: HashMap::new(),
            upstream: Upstream::new(servers),
            waiting: HashMap::new(),
            previewing: HashMap::new(),
            tick_at: Instant::now(),
            remind_at: Instant::now(),
            settings,
        };
        match provisioning.read_keys() {
            // Who changes them just now is done soon, and they are awaited.
            Ok(_) | Err(pinhole_trust::authority::Refused::Busy(_)) => Ok(provisioning),
            Err(error) => Err(error.into()),
        }
    }

    /// What the other threads share with this one.
    pub fn office(&self) -> Arc<Office> {
        Arc::clone(&self.office)
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// When the poll fails.
    pub fn run(mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut ready = Ready::with_capacity(256);
        let mut datagram = vec![0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            let due =
                [self.server.due(), self.upstream.due(), Some(self.tick_at)].into_iter().flatten().min();
            let wait = due.map_or(TICK, |due| due.saturating_duration_since(Instant::now()));
            match self
                .poll
                .poll(&mut ready, Some(wait.clamp(Duration::from_millis(1), Duration::from_millis(250))))
            {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &ready {
                match event.token().0 {
                    fetch if fetch >= FETCHES => self.receive_fetched(fetch, &mut datagram),
                    socket => self.receive(socket, &mut datagram),
                }
            }
            self.turn();
        }
        // What is known of phones is not lost; the next start goes on with it.
        self.tick();
        Ok(())
    }

    /// Everything that is due.
    fn turn(&mut self) {
        let now = Instant::now();
        let mut out = Vec::new();
        self.server.tick(now, &mut out);
        self.outputs(out);
        for (origin, fetched) in self.upstream.tick(now, self.poll.registry()) {
            self.fetched(&origin, fetched);
        }
        self.errands();
        if now >= self.tick_at {
            self.tick_at = now + TICK;
            self.tick();
        }
    }

    fn tick(&mut self) {
        if let Err(error) = self.office.phones.tick(SystemTime::now()) {
            tracing::error!("the database of phones cannot be written, tried again: {error}");
        }
        if self.papers.are_awaited(&self.settings) {
            // What is wrong with them was said.
            let _ = self.read_keys();
        }
        if Instant::now() >= self.remind_at {
            self.remind();
        }
    }

    fn receive(&mut self, socket: usize, buffer: &mut [u8]) {
        for _ in 0..DATAGRAMS {
            let Some(received) = self.sockets.get(socket).map(|socket| socket.recv_from(buffer)) else {
                return;
            };
            // What the kernel reports of one phone is nothing to the others.
            let (len, client) = match received {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => continue,
            };
            let mut out = Vec::new();
            let datagram = buffer.get(..len).unwrap_or_default();
            self.server.datagram(socket, client, datagram, Instant::now(), &mut out);
            self.outputs(out);
        }
        // There may be more, and the poll won't say so.
        if let Some(socket_again) = self.sockets.get_mut(socket) {
            let _ = self.poll.registry().reregister(socket_again, Token(socket), Interest::READABLE);
        }
    }

    fn outputs(&mut self, mut out: Vec<Output>) {
        while !out.is_empty() {
            for output in std::mem::take(&mut out) {
                match output {
                    Output::Send { socket, to, datagram } => {
                        if let Some(socket) = self.sockets.get(socket) {
                            // A full buffer is a loss like any other: the protocol sends again.
                            let _ = socket.send_to(&datagram, to);
                        }
                    }
                    Output::Requested { transfer, client, name } => {
                        self.requested(transfer, client, &name, &mut out)
                    }
                    Output::Ended { transfer, end } => self.ended(transfer, &end),
                    Output::Refused { client, why } => self.refused(client, &why),
                }
            }
        }
    }

    fn requested(&mut self, transfer: TransferId, client: SocketAddr, name: &[u8], out: &mut Vec<Output>) {
        let now = SystemTime::now();
        let request = Request {
            transport: Transport::Tftp,
            name,
            source: client.ip(),
            certificate: None,
            trust_list: self.papers.generation(),
            now,
        };
        let action = self.service.request(&request, &|_| false);
        let is_trust_list = matches!(action, Action::TrustList { .. });
        self.transfers.insert(transfer, Transfer { client, grant: None, is_trust_list });
        match action {
            Action::Deny(failure) => {
                tracing::debug!(%client, name = %name.escape_ascii(), "refused: {}", failure.meaning());
                self.server.answer(transfer, Err(Denied::NotFound), Instant::now(), out);
            }
            Action::TrustList { list, grant } => match self.papers.trust_list(list) {
                Ok(file) => {
                    if let Some(of) = self.transfers.get_mut(&transfer) {
                        of.grant = grant;
                    }
                    self.server.answer(transfer, Ok(file), Instant::now(), out);
                }
                Err(error) => {
                    tracing::error!(%client, "a trust list cannot be made: {error}");
                    self.office.counters.fail(Failure::SigningFailed);
                    self.server.answer(transfer, Err(Denied::Unavailable), Instant::now(), out);
                }
            },
            Action::Configuration(task) => {
                let origin = task.fetch.clone();
                self.wait_for(&origin, Waiting { transfer, what: What::Configuration(task) });
            }
            Action::File { fetch, file, handling } => {
                let waiting = Waiting { transfer, what: What::File { file, handling } };
                match self.cache.lookup(&fetch, self.settings.fresh(), now) {
                    Lookup::Fresh(cached) => match papers::read(cached) {
                        Ok(bytes) => self.serve(waiting, &bytes, out),
                        Err(_) => self.wait_for(&fetch, waiting),
                    },
                    Lookup::Aged | Lookup::Absent => self.wait_for(&fetch, waiting),
                }
            }
        }
    }

    fn wait_for(&mut self, origin: &Origin, waiting: Waiting) {
        let all = self.waiting.entry(origin.clone()).or_default();
        all.push(waiting);
        if all.len() > 1 || self.previewing.contains_key(origin) {
            return;
        }
        if let Err(error) = self.upstream.fetch(origin, Instant::now(), self.poll.registry()) {
            self.fetched(origin, Err(error));
        }
    }

    fn receive_fetched(&mut self, token: usize, buffer: &mut [u8]) {
        if let Some((origin, fetched)) =
            self.upstream.ready(token, buffer, Instant::now(), self.poll.registry())
        {
            self.fetched(&origin, fetched);
        }
    }

    /// A file has come from upstream, or will not.
    fn fetched(&mut self, origin: &Origin, fetched: Fetched) {
        let now = SystemTime::now();
        let waiting = self.waiting.remove(origin).unwrap_or_default();
        let bytes = match fetched {
            Ok(bytes) => {
                if let Err(error) = self.cache.store(origin, &bytes, now) {
                    tracing::warn!(name = origin.name, "not kept: {error}");
                }
                Ok(bytes)
            }
            Err(FetchError::NotFound) => Err(Failure::FileNotFound),
            Err(error) => {
                let failure = if error == FetchError::Silent {
                    Failure::UpstreamSilent
                } else {
                    Failure::UpstreamError
                };
                let stale = self.cache.stale(origin, now).and_then(|cached| papers::read(cached).ok());
                let kept = if stale.is_some() { "; the last good copy is given" } else { "" };
                tracing::warn!(cluster = origin.upstream, name = origin.name, "{error}{kept}");
                stale.ok_or(failure)
            }
        };
        self.previewed(origin, bytes.as_deref().map_err(|failure| *failure));
        let mut out = Vec::new();
        for waiting in waiting {
            match &bytes {
                Ok(bytes) => self.serve(waiting, bytes, &mut out),
                Err(failure) => self.fail(waiting, *failure, &mut out),
            }
        }
        self.outputs(out);
    }

    /// Makes of what came from upstream what the phone gets, and sends it.
    fn serve(&mut self, waiting: Waiting, fetched: &[u8], out: &mut Vec<Output>) {
        let Waiting { transfer, what } = waiting;
        let now = SystemTime::now();
        let made = match &what {
            What::Configuration(task) => match self.service.configuration(task, fetched, now) {
                Ok(rewritten) => self.papers.configuration(&task.form, &rewritten.body),
                // It is counted and in the time line.
                Err(_) => return self.server.answer(transfer, Err(Denied::NotFound), Instant::now(), out),
            },
            What::File { file, handling } => {
                check_file(file, fetched).and_then(|()| self.papers.file(handling, fetched))
            }
        };
        let file = match made {
            Ok(file) => file,
            Err(failure) => return self.fail(Waiting { transfer, what }, failure, out),
        };
        if let (What::Configuration(task), Some(of)) = (what, self.transfers.get_mut(&transfer)) {
            of.grant = Some(task.grant);
        }
        self.server.answer(transfer, Ok(file), Instant::now(), out);
    }

    fn fail(&mut self, waiting: Waiting, failure: Failure, out: &mut Vec<Output>) {
        match &waiting.what {
            What::Configuration(task) => self.service.failed(task, failure, SystemTime::now()),
            What::File { .. } => self.office.counters.fail(failure),
        }
        let denied = if failure == Failure::FileNotFound { Denied::NotFound } else { Denied::Unavailable };
        self.server.answer(waiting.transfer, Err(denied), Instant::now(), out);
    }

    fn ended(&mut self, transfer: TransferId, end: &End) {
        let Some(Transfer { client, grant, is_trust_list }) = self.transfers.remove(&transfer) else {
            return;
        };
        let undelivered = if is_trust_list { Failure::TrustListUndelivered } else { Failure::PhoneSilent };
        let delivery = match end {
            End::Acknowledged => Delivery::Acknowledged,
            End::AllSent => Delivery::Sent,
            End::Refused { code, message } => {
                tracing::info!(%client, ?code, message, "the phone refuses a file");
                Delivery::Failed(Failure::TftpAuthentication)
            }
            End::Silent | End::Abandoned => Delivery::Failed(undelivered),
            End::Denied | End::Unanswered => return,
        };
        match grant {
            Some(grant) => drop(self.office.phones.delivered(&grant, delivery, SystemTime::now())),
            None => {
                if let Delivery::Failed(failure) = delivery {
                    self.office.counters.fail(failure);
                }
            }
        }
    }

    fn refused(&mut self, client: SocketAddr, why: &Refusal) {
        let counters = &self.office.counters;
        match why {
            Refusal::Upload { name } => {
                self.service.upload(name, client.ip(), SystemTime::now());
                tracing::warn!(%client, name = %name.escape_ascii(), "an upload was refused unread");
            }
            Refusal::SourceRate | Refusal::Rate => counters.fail(Failure::RateLimited),
            Refusal::SourceTransfers | Refusal::Transfers | Refusal::Sources => {
                counters.fail(Failure::TransferLimit);
            }
            Refusal::Malformed(error) => tracing::debug!(%client, "{error}"),
            Refusal::Mode | Refusal::UnknownTransfer => tracing::debug!(%client, "refused: {why:?}"),
        }
    }
}

fn watched(
    settings: &config::Tftp,
    poll: &Poll,
    missing: &mut Vec<SocketAddr>,
) -> Result<Vec<mio::net::UdpSocket>, ProvisioningError> {
    let addresses = std::iter::once(settings.listen).chain(settings.reply_addresses());
    let mut sockets = Vec::new();
    for (at, address) in addresses.enumerate() {
        let key = if at == 0 { "provisioning.tftp.listen" } else { "provisioning.tftp.reply_port" };
        let socket: UdpSocket = sockets::udp(key, address, missing)?;
        let mut socket = mio::net::UdpSocket::from_std(socket);
        poll.registry()
            .register(&mut socket, Token(at), Interest::READABLE)
            .map_err(ProvisioningError::Poll)?;
        sockets.push(socket);
    }
    Ok(sockets)
}
