//! Old phones: `pinhole-legacy-tls` ends their TLS in a process of its own, and what it hands over is verified and served here
//! like any phone's. It is not trusted: what it may say is bounded, and which devices may come by it is configured.

mod keeper;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pinhole_admin::{Event, EventKind, LegacyTls as View};
use pinhole_legacy_tls::Settings;
use regex::Regex;

use crate::config::{Config, LegacyListener, LegacyTls};
use crate::events::Events;
use crate::tls::{Acceptors, Files, FilesError};

/// The program's name, beside our own.
const PROGRAM: &str = "pinhole-legacy-tls";

/// What is known of the process for old phones, by its keeper and by those who look.
pub struct Legacy {
    listeners: Vec<(LegacyListener, TcpListener)>,
    devices: Regex,
    program: PathBuf,
    most: u64,
    /// Settings, and how often they have changed.
    settings: Mutex<(u64, Settings)>,
    /// Phones that were handed over and are still there.
    phones: Arc<AtomicU64>,
    /// 0: it does not run.
    pid: AtomicU32,
    confined: Mutex<String>,
    counted: Counted,
}

/// What its keeper counts.
#[derive(Default)]
struct Counted {
    started: AtomicU64,
    ended: AtomicU64,
    accepted: AtomicU64,
    handed_over: AtomicU64,
    over_limit: AtomicU64,
    bad_reports: AtomicU64,
}

impl Legacy {
    /// With the sockets that it is given. `None` for a configuration that was not validated.
    pub fn new(
        legacy: &LegacyTls,
        listeners: Vec<(LegacyListener, TcpListener)>,
        settings: Settings,
    ) -> Option<Self> {
        let beside = || std::env::current_exe().ok().map(|own| own.with_file_name(PROGRAM));
        Some(Self {
            listeners,
            devices: Regex::new(&legacy.devices).ok()?,
            program: legacy.program.clone().or_else(beside).unwrap_or_else(|| PROGRAM.into()),
            most: legacy.connections.into(),
            settings: Mutex::new((0, settings)),
            phones: Arc::default(),
            pid: AtomicU32::default(),
            confined: Mutex::default(),
            counted: Counted::default(),
        })
    }

    /// What the process is told.
    ///
    /// # Errors
    /// When certificate or key cannot be read.
    pub fn settings(
        config: &Config,
        legacy: &LegacyTls,
        trusted: &Acceptors,
    ) -> Result<Settings, FilesError> {
        let read = Files::of_legacy(legacy, &config.outside).read();
        let (chain, key) = read.map_err(|mut errors| errors.swap_remove(0))?.into_der();
        let subjects = [&trusted.sip, &trusted.sccp].into_iter().flat_map(|at| &at.trust().subjects);
        let mut authorities: Vec<Vec<u8>> = subjects.map(|name| name.as_ref().to_vec()).collect();
        authorities.sort_unstable();
        authorities.dedup();
        Ok(Settings {
            chain,
            key,
            oldest: legacy.tls_min,
            newest: legacy.tls_max,
            suites: legacy.suites(),
            authorities,
            limits: legacy.limits(),
        })
    }

    /// Other settings, for connections to come.
    pub fn change(&self, settings: Settings) {
        let mut held = self.held();
        *held = (held.0 + 1, settings);
    }

    /// Whether a device may come this way.
    pub fn serves(&self, device: &str) -> bool {
        self.devices.is_match(device)
    }

    /// For operators.
    pub fn view(&self) -> View {
        View {
            listen: self.listeners.iter().map(|(listener, _)| listener.address.to_string()).collect(),
            pid: self.pid.load(Ordering::Relaxed),
            started: self.counted.started.load(Ordering::Relaxed),
            connections: self.phones.load(Ordering::Relaxed),
            confined: self.confined.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// What was counted, by names.
    pub fn counters(&self) -> [(&'static str, u64); 7] {
        let counted = &self.counted;
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("started", value(&counted.started)),
            ("ended", value(&counted.ended)),
            ("accepted", value(&counted.accepted)),
            ("handed_over", value(&counted.handed_over)),
            ("limit_handed_over", value(&counted.over_limit)),
            ("bad_reports", value(&counted.bad_reports)),
            ("connections", value(&self.phones)),
        ]
    }

    /// Says loudly that there is such a thing, and what it costs.
    pub fn say_started(&self, config: &Config, events: &Events) {
        let Some(legacy) = &config.legacy_tls else { return };
        let warn = |text: String| events.emit(Event::new(EventKind::Warning, format!("LEGACY TLS: {text}")));
        let suites: Vec<_> = legacy.suites().iter().map(|suite| suite.name()).collect();
        let named = |(listener, _): &(LegacyListener, TcpListener)| {
            format!("{} ({})", listener.address, if listener.is_sccp { "SCCP" } else { "SIP" })
        };
        warn(format!(
            "{} to {} with {} at {} for devices that match \"{}\"; such connections can be broken, keep them few ([legacy_tls])",
            legacy.tls_min.name(),
            legacy.tls_max.name(),
            suites.join(", "),
            self.listeners.iter().map(named).collect::<Vec<_>>().join(", "),
            legacy.devices,
        ));
        if legacy.null_cipher {
            warn("NULL-SHA is on: the signalling of devices of class authenticated can be read on its way (legacy_tls.null_cipher)".into());
        }
        if legacy.key.is_none() {
            warn("the key is that of [outside]; one of its own keeps the modern listeners out of its troubles (legacy_tls.key; `pinholectl trust rotate legacy-tls` makes one)".into());
        }
    }

    fn held(&self) -> MutexGuard<'_, (u64, Settings)> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
