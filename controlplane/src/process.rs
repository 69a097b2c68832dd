//! The process as a whole: its threads, started and stopped together.

mod certificates;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pinhole_admin::{Event, EventKind};
use pinhole_devices::SettingsError;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::SIGTERM;
use thiserror::Error;

use crate::admin::{AdminError, AdminSocket, Answers};
use crate::config::{self, Config};
use crate::events::Events;
use crate::legacy::Legacy;
use crate::link::Link;
use crate::neighbours::{Interface, Resolver};
use crate::provisioning::{Provisioning, ProvisioningError};
use crate::shard::{Mailbox, Shard, Shared, ToShard, WAITING_MAX};
use crate::sockets::{self, BindError};
use crate::tls::{FilesError, KnownError};
use certificates::{legacy_settings, trust};

/// Descriptors that are neither phones nor handshakes: sockets of clusters, rings, log, admin clients.
const OTHER_FILES: u64 = 256;

/// Why the process cannot start. One line says what, where and what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin socket cannot be opened.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Phones cannot be provisioned.
    #[error(transparent)]
    Provisioning(#[from] ProvisioningError),
    /// A certificate or key cannot be used.
    #[error("{key}: {source}")]
    Tls {
        /// The configuration key that names the file.
        key: &'static str,
        /// What is wrong.
        source: FilesError,
    },
    /// An authority or a revocation list cannot be used.
    #[error(transparent)]
    Identity(#[from] SettingsError),
    /// A call manager cannot be reached by TLS.
    #[error("{key}: {source}")]
    CallManager {
        /// The configuration key that names the file.
        key: String,
        /// What is wrong.
        source: KnownError,
    },
    /// What old phones are served with cannot be used.
    #[error("legacy_tls: {0}")]
    Legacy(String),
    /// The configuration was not validated.
    #[error("the configuration names a data-plane port that does not exist; run check")]
    NotChecked,
    /// The system refuses a thread, a poll or a netlink socket.
    #[error("the system refuses {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
}

/// The running process.
pub struct Process {
    pub(crate) shared: Arc<Shared>,
    answers: Arc<Answers>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    failed: Arc<AtomicBool>,
}

impl Process {
    /// Starts everything. Phones are served once the data plane was attached, or after `patience`.
    ///
    /// # Errors
    /// When an address, a socket or a file cannot be used.
    pub fn start(
        config: Config,
        file: &Path,
        patience: Duration,
        log_lines_lost: Arc<AtomicU64>,
    ) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let events = Arc::new(Events::default());
        let file_limit = raise_file_limit(&config, &events);
        let admin = AdminSocket::open(&config.controlplane.admin_socket)?;
        let (sockets, mut missing) = sockets::bind(&config)?;
        let old = sockets::legacy(&config, &mut missing)?;
        let provisioning = config
            .provisioning
            .clone()
            .map(|settings| Provisioning::open(&config, settings, Arc::clone(&events), &mut missing));
        let provisioning = provisioning.transpose()?;
        let office = provisioning.as_ref().map(Provisioning::office);
        let tls = trust(&config, office.as_ref(), &events)?;
        let legacy = match &config.legacy_tls {
            Some(legacy) => {
                let settings = legacy_settings(&config, legacy, &tls)?;
                let legacy = Legacy::new(legacy, old, settings).ok_or(StartError::NotChecked)?;
                Some(Arc::new(legacy))
            }
            None => None,
        };
        tell_missing(missing, &events);

        let shards = (0..config.controlplane.shards).map(|_| Mailbox::new()).collect::<io::Result<Vec<_>>>();
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = shards.map_err(refused("a poll"))?.into_iter().unzip();
        let first = mailboxes.first().cloned();
        let publish = Box::new(move |update| {
            if let Some(first) = &first {
                first.send(ToShard::NextHop(update));
            }
        });
        let interfaces = Interface::all(&config.dataplane);
        let (next_hops, resolver) =
            Resolver::new(pinhole_flow::NEXT_HOPS, interfaces, Arc::clone(&events), publish)
                .map_err(refused("a netlink socket"))?;
        let shared = Arc::new(Shared {
            config: Arc::clone(&config),
            handshakes: Arc::default(),
            connections: Arc::default(),
            events: Arc::clone(&events),
            next_hops,
            shards: OnceLock::from(mailboxes),
            tls: RwLock::new(Arc::new(tls)),
            patience,
            legacy,
            office,
        });
        let link = Arc::new(Link::new(Arc::clone(&shared)));
        let answers = Arc::new(Answers {
            shared: Arc::clone(&shared),
            link: Arc::clone(&link),
            log_lines_lost,
            started: Instant::now(),
            config_file: file.display().to_string(),
            file_limit,
            traces: Arc::default(),
        });
        let mut process =
            Self { shared, answers, stop: Arc::default(), threads: Vec::new(), failed: Arc::default() };
        for ((id, inbox), sockets) in (0..).zip(inboxes).zip(sockets) {
            let shard =
                Shard::new(id, Arc::clone(&process.shared), inbox, sockets).ok_or(StartError::NotChecked)?;
            process.thread(format!("shard-{id}"), move || shard.run())?;
        }
        process.start_threads(provisioning, resolver, link, admin)?;
        process.say_started(file);
        Ok(process)
    }

    /// The threads beside the shards.
    fn start_threads(
        &mut self,
        provisioning: Option<Provisioning>,
        resolver: Resolver,
        link: Arc<Link>,
        admin: AdminSocket,
    ) -> Result<(), StartError> {
        if let Some(provisioning) = provisioning {
            let stop = Arc::clone(&self.stop);
            self.thread("provisioning".into(), move || provisioning.run(&stop))?;
        }
        if let Some(legacy) = self.shared.legacy.clone() {
            let (stop, shared) = (Arc::clone(&self.stop), Arc::clone(&self.shared));
            self.thread("legacy-tls".into(), move || {
                legacy.run(&shared, &stop);
                Ok(())
            })?;
        }
        let stop = Arc::clone(&self.stop);
        self.thread("neighbours".into(), move || {
            resolver.run(&stop);
            Ok(())
        })?;
        let stop = Arc::clone(&self.stop);
        self.thread("link".into(), move || {
            link.run(&stop);
            Ok(())
        })?;
        let (stop, answers) = (Arc::clone(&self.stop), Arc::clone(&self.answers));
        self.thread("admin".into(), move || {
            admin.run(&answers, &stop);
            Ok(())
        })
    }

    /// Reads certificates and keys again, for connections to come.
    pub fn reload_certificates(&self) {
        if let Some(office) = &self.shared.office {
            office.errands.read_keys_soon();
        }
        let shared = &self.shared;
        let read = trust(&shared.config, shared.office.as_ref(), &shared.events).and_then(|tls| {
            let legacy = shared.legacy.as_ref().zip(shared.config.legacy_tls.as_ref());
            let legacy = match legacy {
                Some((to, legacy)) => Some((to, legacy_settings(&shared.config, legacy, &tls)?)),
                None => None,
            };
            Ok((tls, legacy))
        });
        let event = match read {
            Ok((tls, legacy)) => {
                if let Some((to, settings)) = legacy {
                    Legacy::change(to, settings);
                }
                *shared.tls.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tls);
                Event::new(EventKind::Started, "certificates were read again; new connections use them")
            }
            Err(reason) => Event::new(
                EventKind::Warning,
                format!("certificates stay as they were, the new ones cannot be used: {reason}"),
            ),
        };
        self.shared.events.emit(event);
    }

    /// Stops everything but the media: the next start adopts the calls. True if all was well until now.
    pub fn stop(self) -> bool {
        self.shared
            .events
            .emit(Event::new(EventKind::Stopping, "stopping; media goes on, the next start adopts it"));
        self.stop.store(true, Ordering::Relaxed);
        for mailbox in self.shared.shards.get().into_iter().flatten() {
            mailbox.send(ToShard::Stop);
        }
        for thread in self.threads {
            let _ = thread.join();
        }
        !self.failed.load(Ordering::Relaxed)
    }

    /// A thread whose end by an error or a panic is the end of the process: a supervisor starts it
    /// again, and calls survive that.
    fn thread(
        &mut self,
        name: String,
        run: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<(), StartError> {
        let fuse = Fuse {
            name: name.clone(),
            failed: Arc::clone(&self.failed),
            events: Arc::clone(&self.shared.events),
        };
        let body = move || {
            let fuse = fuse;
            if let Err(error) = run() {
                fuse.blow(&error.to_string());
            }
        };
        let thread = std::thread::Builder::new().name(name).spawn(body).map_err(refused("a thread"))?;
        self.threads.push(thread);
        Ok(())
    }

    fn say_started(&self, file: &Path) {
        let config = &self.shared.config;
        tracing::info!(file = %file.display(), admin = %config.controlplane.admin_socket.display(), file_limit = self.answers.file_limit, "configuration read");
        for cluster in &config.clusters {
            if cluster.authenticated_devices == config::AuthenticatedDevices::Allow {
                let text = format!(
                    "authenticated_devices = \"allow\": MEDIA IS IN THE CLEAR OUTSIDE for devices of the class authenticated in cluster {}",
                    cluster.name
                );
                self.shared.events.emit(Event::new(EventKind::Warning, text));
            }
            tracing::info!(cluster = cluster.name, call_manager = %cluster.call_manager, transport = ?cluster.transport, local = %cluster.local, "call manager");
        }
        if let Some(legacy) = &self.shared.legacy {
            legacy.say_started(config, &self.shared.events);
        }
        let text = format!(
            "pinhole-controlplane {} started: {} shard(s), phones at {} (TLS {} and later), {} call manager(s)",
            env!("CARGO_PKG_VERSION"),
            config.controlplane.shards,
            config.outside.listen,
            match config.outside.tls_min {
                crate::config::TlsVersion::Tls12 => "1.2",
                crate::config::TlsVersion::Tls13 => "1.3",
            },
            config.clusters.len()
        );
        self.shared.events.emit(Event::new(EventKind::Started, text));
    }
}

struct Fuse {
    name: String,
    failed: Arc<AtomicBool>,
    events: Arc<Events>,
}

impl Fuse {
    fn blow(&self, reason: &str) {
        self.failed.store(true, Ordering::Relaxed);
        let text = format!("thread {} has failed ({reason}); the process ends, media goes on", self.name);
        self.events.emit(Event::new(EventKind::Warning, text));
        let _ = signal_hook::low_level::raise(SIGTERM);
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.blow("a defect: please report it with the log");
        }
    }
}

/// Raises the soft limit of open files to the hard one; what it is now.
fn raise_file_limit(config: &Config, events: &Events) -> u64 {
    let before = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let upstreams = config
        .clusters
        .iter()
        .any(|cluster| cluster.transport == crate::config::Transport::Tcp || !cluster.sccp.is_empty());
    let connections = u64::from(config.limits.connections) * if upstreams { 2 } else { 1 };
    let files: u64 = config.provisioning.iter().map(config::Provisioning::open_files).sum();
    let handshakes = u64::from(config.limits.handshakes) + u64::from(WAITING_MAX);
    let needed = connections + handshakes + files + OTHER_FILES;
    if limit < needed {
        let text = format!(
            "{limit} open files are allowed, limits.connections, limits.handshakes, and the connections and fetches of provisioning may need {needed}; raise the hard limit (LimitNOFILE) or lower them"
        );
        events.emit(Event::new(EventKind::Warning, text));
    }
    limit
}

fn refused(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

/// Tells of addresses that are to be listened at and are not on this machine yet.
fn tell_missing(mut missing: Vec<SocketAddr>, events: &Events) {
    missing.sort_unstable();
    missing.dedup_by_key(|address| address.ip());
    for address in missing {
        let text = format!(
            "{} is not an address of this machine yet; it is served as soon as it is (the data plane's twin must be up and have it)",
            address.ip()
        );
        events.emit(Event::new(EventKind::Warning, text));
    }
}
