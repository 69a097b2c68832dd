//! Provisioning as a process's thread: what phones fetch by TFTP and HTTP, and from where it comes.
//!
//! `pinhole-provisioning` decides, `pinhole-trust` signs, `pinhole-tftp` and `pinhole-http` speak the protocols; here are
//! the sockets ([`tftp`], [`doors`]) and what is done about requests, whatever they come by ([`desk`]).

mod desk;
mod doors;
mod enrolment;
mod errands;
mod https;
mod keys;
mod listening;
mod papers;
mod sessions;
mod shelf;
mod tftp;
mod upstream;

pub use errands::{Errands, Preview};
pub use upstream::AT_A_TIME as FETCHES_AT_A_TIME;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use mio::{Events as Ready, Poll};
use pinhole_provisioning::cache::CacheError;
use pinhole_provisioning::phones::StoreError;
use pinhole_provisioning::service::{ClusterFiles, Transport};
use pinhole_provisioning::{Cache, Counters, Phones, Service};
use regex::Regex;
use thiserror::Error;

use crate::config::AuthenticatedDevices;
use crate::config::{self, Config};
use crate::events::Events;
use crate::sockets::BindError;
use desk::{Asker, Desk};
use doors::Door;
use enrolment::Enrolment;
use papers::Papers;
pub use sessions::Session;
use shelf::Shelf;
use tftp::Tftp;
use upstream::Upstream;

/// How often idle phones are looked for, and what has changed is written.
const TICK: Duration = Duration::from_secs(1);
/// From here on, tokens are listeners; before, TFTP's sockets.
const LISTENERS: usize = 1 << 12;
/// From here on, tokens are fetches.
const FETCHES: usize = 1 << 16;
/// From here on, tokens are connections.
const CONNECTIONS: usize = 1 << 48;

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
    /// The folder cannot be made.
    #[error("provisioning.directory: {0} cannot be made: {1}; make it, owned by this user, mode 0700")]
    Directory(std::path::PathBuf, io::Error),
    /// A cluster's pattern is none.
    #[error("cluster.devices: {0}")]
    Devices(#[from] regex::Error),
    /// The system refuses a thread.
    #[error("the system refuses a thread: {0}")]
    Thread(io::Error),
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
    /// Whether phones can enrol.
    pub enrols: bool,
    /// The clusters; the first whose devices match counts.
    clusters: Vec<OfCluster>,
}

/// What a cluster has its devices do.
struct OfCluster {
    name: String,
    devices: Regex,
    /// They fetch files from us, and so are in the database.
    has_files: bool,
    /// They may be of the class *authenticated*.
    authenticated: bool,
}

/// The thread.
pub struct Provisioning {
    office: Arc<Office>,
    events: Arc<Events>,
    config: Arc<Config>,
    settings: config::Provisioning,
    poll: Poll,
    tftp: Tftp,
    doors: Vec<Door>,
    enrolment: Enrolment,
    desk: Desk,
    tick_at: Instant,
    remind_at: Instant,
    /// What was said last of the keys.
    told: Option<String>,
}

impl Provisioning {
    /// Opens everything, and says which addresses are not on this machine yet.
    ///
    /// # Errors
    /// When an address, the database or the cache cannot be used. Keys that cannot be used are an event: calls go on, and
    /// they are looked for again and again.
    pub fn open(
        config: &Arc<Config>,
        settings: config::Provisioning,
        events: Arc<Events>,
        missing: &mut Vec<SocketAddr>,
    ) -> Result<Self, ProvisioningError> {
        papers::make_directory(&settings.directory)
            .map_err(|error| ProvisioningError::Directory(settings.directory.clone(), error))?;
        let counters = Arc::new(Counters::default());
        let phones = Phones::open(&settings.database(), settings.phones.clone(), Arc::clone(&counters))?;
        let enrols = settings.capf.is_some();
        let of_clusters = config.clusters.iter();
        let of_clusters = of_clusters.map(|of| {
            Ok(OfCluster {
                name: of.name.clone(),
                devices: Regex::new(&of.devices)?,
                has_files: of.file_server().is_some(),
                authenticated: of.authenticated_devices == AuthenticatedDevices::Allow,
            })
        });
        let of_clusters = of_clusters.collect::<Result<_, regex::Error>>()?;
        let office = Office {
            phones: Arc::new(phones),
            counters,
            errands: Errands::default(),
            enrols,
            clusters: of_clusters,
        };
        let cache = Cache::open(&settings.cache(), settings.cache_bytes(), Arc::clone(&office.counters))?;
        let cache = Shelf::open(cache, Arc::clone(&office.counters)).map_err(ProvisioningError::Thread)?;
        let papers = Papers::new(&settings);
        let (mut clusters, mut servers) = (Vec::new(), HashMap::new());
        for cluster in &config.clusters {
            let Some(server) = cluster.file_server() else { continue };
            clusters.push(ClusterFiles {
                name: cluster.name.clone(),
                devices: Regex::new(&cluster.devices)?,
                rules: cluster.rewrite.clone(),
                encryption: cluster.encryption,
            });
            servers.insert(cluster.name.clone(), server);
        }
        let (phones, counters) = (Arc::clone(&office.phones), Arc::clone(&office.counters));
        let service = Service::new(clusters, settings.files.clone(), phones, counters);
        let poll = Poll::new().map_err(ProvisioningError::Poll)?;
        let registry = poll.registry();
        let tftp = Tftp::open(&settings.tftp, registry, missing)?;
        let http = settings.http.iter().map(|http| (Transport::Http, http));
        let https = settings.https.iter().map(|https| (Transport::Https, https));
        let doors = http.chain(https).enumerate().map(|(number, (transport, http))| {
            Door::open(number, transport, http, &settings.tftp, registry, missing)
        });
        let doors = doors.collect::<Result<_, _>>()?;
        let enrolment = Enrolment::open(&settings, registry, missing)?;
        let upstream = Upstream::new(servers, registry.try_clone().map_err(ProvisioningError::Poll)?);
        let office = Arc::new(office);
        let desk = Desk::new(Arc::clone(&office), service, papers, cache, settings.fresh(), upstream);
        let config = Arc::clone(config);
        let (tick_at, remind_at) = (Instant::now(), Instant::now());
        let mut all = Self {
            office,
            events,
            config,
            settings,
            poll,
            tftp,
            doors,
            enrolment,
            desk,
            tick_at,
            remind_at,
            told: None,
        };
        // What is wrong with them is said, and they are awaited.
        let _ = all.read_keys();
        Ok(all)
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
        let mut buffer = vec![0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            let due = [self.tftp.due(), self.desk.upstream.due(), Some(self.tick_at)];
            let due = due.into_iter().chain(self.doors.iter().map(Door::due));
            let due = due.chain([self.enrolment.due()]).flatten().min();
            let wait = due.map_or(TICK, |due| due.saturating_duration_since(Instant::now()));
            match self
                .poll
                .poll(&mut ready, Some(wait.clamp(Duration::from_millis(1), Duration::from_millis(250))))
            {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &ready {
                self.ready(event.token().0, &mut buffer);
                self.settle(&mut buffer);
            }
            self.turn(&mut buffer);
        }
        // What is known of phones is not lost; the next start goes on with it.
        self.tick();
        Ok(())
    }

    /// Something can be read or sent.
    fn ready(&mut self, token: usize, buffer: &mut [u8]) {
        let registry = self.poll.registry();
        if token >= CONNECTIONS {
            let (door, connection) = Door::of_token(token);
            if let Some(door) = self.doors.get_mut(door) {
                door.ready(connection, registry, buffer);
            }
        } else if token >= enrolment::TOKENS {
            self.enrolment.ready(token, registry, &self.office, &self.desk.papers);
        } else if token >= FETCHES {
            self.desk.fetch_ready(token, buffer);
        } else if token >= LISTENERS {
            if let Some(door) = self.doors.get_mut(token - LISTENERS) {
                door.accept(registry, &self.desk);
            }
        } else {
            self.tftp.receive(token, buffer, registry);
        }
    }

    /// Hands requests to the desk and its answers to those who asked, until nobody has anything to say.
    fn settle(&mut self, buffer: &mut [u8]) {
        loop {
            self.tftp.report(&mut self.desk);
            self.doors.iter_mut().for_each(|door| door.report(&mut self.desk));
            let answers = self.desk.answers();
            if answers.is_empty() {
                return;
            }
            for (asker, answer) in answers {
                match asker {
                    Asker::Tftp(transfer) => self.tftp.answer(transfer, answer),
                    Asker::Http { door, request } => {
                        if let Some(door) = self.doors.get_mut(door) {
                            door.answer(request, answer, self.poll.registry(), buffer);
                        }
                    }
                }
            }
        }
    }

    /// Everything that is due.
    fn turn(&mut self, buffer: &mut [u8]) {
        let now = Instant::now();
        self.tftp.tick(now);
        for door in &mut self.doors {
            door.tick(now, self.poll.registry(), &self.desk, buffer);
        }
        self.enrolment.tick(now, self.poll.registry(), &self.office);
        self.desk.tick(now);
        self.errands();
        self.settle(buffer);
        if now >= self.tick_at {
            self.tick_at = now + TICK;
            self.tick();
        }
    }

    fn tick(&mut self) {
        if let Err(error) = self.office.phones.tick(SystemTime::now()) {
            tracing::error!("the database of phones cannot be written, tried again: {error}");
        }
        if self.desk.papers.are_awaited() {
            // What is wrong with them was said.
            let _ = self.look_for_keys();
        }
        if Instant::now() >= self.remind_at {
            self.remind();
        }
    }
}
