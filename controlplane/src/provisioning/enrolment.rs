//! Enrolment of certificates (CAPF) and trust verification (TVS): listeners and connections.
//!
//! `pinhole-enrolment` speaks the protocols; who a phone is, and what it may have, [`clerk`] asks of the database, the
//! authority and the verifier of devices' certificates.

mod clerk;
mod connection;
mod devices;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use pinhole_enrolment::capf::{End, Refusal, Session};
use pinhole_enrolment::tvs::{self, Known};
use pinhole_provisioning::{Counter, Failure};
use pinhole_rates::{Excess, Sources};
use pinhole_trust::Function;
use pinhole_trust::authority::Role;
use rustls::ServerConfig;

use super::listening::Listening;
use super::papers::Papers;
use super::{Office, ProvisioningError};
use crate::config::{self, Config, ConnectionLimits};
use crate::tls;
use clerk::Clerk;
use connection::{Answerer, Connection, Talk, Turn};
use devices::Devices;

/// Tokens of listeners and connections begin here.
pub(super) const TOKENS: usize = 1 << 44;
/// Turns of one connection before the others have their turn.
const AT_ONCE: usize = 64;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a phone may take to say and prove who it is, before it has the time that making a key takes: nobody else holds a
/// place for so long.
const FIRST: Duration = Duration::from_secs(20);
/// How long the end of a connection may take.
const LINGER: Duration = Duration::from_secs(5);
/// Bytes that may wait to be sent.
const WRITE_BUFFER: usize = 65_536;

/// Both services.
pub(super) struct Enrolment {
    doors: Vec<Door>,
    /// Absent while there are no keys.
    devices: Option<Devices>,
    known: Known,
    connections: HashMap<usize, (usize, Connection)>,
    next: usize,
}

/// A listener.
struct Door {
    service: Service,
    listening: Listening,
    limits: ConnectionLimits,
    sources: Sources,
    open: u32,
    /// Absent while there are no keys.
    tls: Option<Arc<ServerConfig>>,
}

#[derive(Clone, Debug)]
enum Service {
    Capf(config::Capf),
    Tvs(config::Tvs),
}

impl Service {
    fn key(&self) -> &'static str {
        match self {
            Self::Capf(_) => "provisioning.capf.listen",
            Self::Tvs(_) => "provisioning.tvs.listen",
        }
    }

    fn listen(&self) -> SocketAddr {
        match self {
            Self::Capf(capf) => capf.listen,
            Self::Tvs(tvs) => tvs.listen,
        }
    }

    fn role(&self) -> Role {
        match self {
            Self::Capf(_) => Role::Capf,
            Self::Tvs(_) => Role::Tvs,
        }
    }

    fn limits(&self) -> ConnectionLimits {
        match self {
            Self::Capf(capf) => capf.limits,
            Self::Tvs(tvs) => tvs.limits,
        }
    }

    /// How long it takes at most until a phone has proved who it is.
    fn first(&self) -> Duration {
        match self {
            Self::Capf(_) => self.time().min(FIRST),
            Self::Tvs(_) => self.time(),
        }
    }

    fn time(&self) -> Duration {
        let seconds = match self {
            Self::Capf(capf) => capf.timeout_s,
            Self::Tvs(tvs) => tvs.timeout_s,
        };
        Duration::from_secs(seconds.into())
    }
}

impl Enrolment {
    /// Opens the listeners that are configured.
    ///
    /// # Errors
    /// When an address cannot be used.
    pub fn open(
        settings: &config::Provisioning,
        registry: &Registry,
        missing: &mut Vec<SocketAddr>,
    ) -> Result<Self, ProvisioningError> {
        let services = settings.capf.clone().map(Service::Capf).into_iter();
        let services = services.chain(settings.tvs.clone().map(Service::Tvs));
        let doors = services.enumerate().map(|(number, service)| {
            let (key, address) = (service.key(), service.listen());
            let listening = Listening::open(key, address, TOKENS + number, registry, missing)?;
            let limits = service.limits();
            let sources = Sources::new(limits.rates());
            Ok(Door { service, listening, limits, sources, open: 0, tls: None })
        });
        let doors: Vec<_> = doors.collect::<Result<_, ProvisioningError>>()?;
        let next = TOKENS + doors.len();
        let (known, connections) = (Known::default(), HashMap::new());
        Ok(Self { doors, devices: None, known, connections, next })
    }

    /// Takes the keys of the authority and the authorities of phones, which may have changed, for connections to come.
    ///
    /// # Errors
    /// What cannot be used; the ones before stay.
    pub fn refresh(&mut self, config: &Config, papers: &Papers) -> Result<(), String> {
        let Some(authority) = papers.authority() else { return Ok(()) };
        if self.doors.iter().any(|door| matches!(door.service, Service::Capf(_))) {
            self.devices = Some(Devices::new(config).map_err(|error| error.to_string())?);
        }
        for door in &mut self.doors {
            let identity = authority.identity(door.service.role()).map_err(|error| error.to_string())?;
            let server = tls::server_config(&identity).map_err(|error| {
                format!("the certificate of {} cannot be used: {error}", door.service.role().name())
            })?;
            door.tls = Some(server);
            if let Service::Tvs(tvs) = &door.service {
                self.known = known(authority, &config.outside.certificate, tvs.ttl_s)?;
            }
        }
        Ok(())
    }

    /// When [`Enrolment::tick`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.connections.values().map(|(_, connection)| connection.until).min()
    }

    /// Ends what takes too long.
    pub fn tick(&mut self, now: Instant, registry: &Registry, office: &Office) {
        let late = self.connections.iter().filter(|(_, (_, connection))| connection.until <= now);
        let late: Vec<usize> = late.map(|(token, _)| *token).collect();
        for token in late {
            self.gone(token, office);
        }
        for number in 0..self.doors.len() {
            if self.doors.get(number).is_some_and(|door| door.listening.is_short()) {
                self.accept(number, registry, office);
            }
        }
    }

    /// Something can be read or sent.
    pub fn ready(&mut self, token: usize, registry: &Registry, office: &Office, papers: &Papers) {
        let number = token.saturating_sub(TOKENS);
        if number < self.doors.len() {
            self.accept(number, registry, office);
        } else {
            self.turn(token, registry, office, papers);
        }
    }

    fn accept(&mut self, number: usize, registry: &Registry, office: &Office) {
        let Some(door) = self.doors.get_mut(number) else { return };
        for (stream, peer) in door.listening.accept(registry) {
            self.accepted(number, stream, peer, registry, office);
        }
    }

    fn accepted(
        &mut self,
        number: usize,
        mut stream: TcpStream,
        peer: SocketAddr,
        registry: &Registry,
        office: &Office,
    ) {
        let (now, source) = (Instant::now(), peer.ip().to_canonical());
        let Some(door) = self.doors.get_mut(number) else { return };
        if let Err(failure) = door.admit(source, now) {
            tracing::debug!(%peer, "{}", failure.meaning());
            return office.counters.fail(failure);
        }
        let Some(tls) = door.tls.as_ref().and_then(|tls| tls::Modern::new(tls, WRITE_BUFFER).ok()) else {
            return office.counters.fail(Failure::IssueFailed);
        };
        let Some(talk) = door.service.talk() else { return };
        let token = self.next;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if registry.register(&mut stream, Token(token), interest).is_err() {
            return;
        }
        if door.sources.opened(source, now).is_err() {
            return office.counters.fail(Failure::EnrolmentLimit);
        }
        door.open += 1;
        self.next += 1;
        let connection = Connection::new(stream, source, tls, talk, now + HANDSHAKE);
        self.connections.insert(token, (number, connection));
    }

    fn turn(&mut self, token: usize, registry: &Registry, office: &Office, papers: &Papers) {
        for _ in 0..AT_ONCE {
            let Some((number, connection)) = self.connections.get_mut(&token) else { return };
            let Some(door) = self.doors.get(*number) else { return };
            let (source, mut epoch) = (connection.source, connection.epoch);
            let mut clerk = match (&door.service, &self.devices) {
                (Service::Capf(settings), Some(devices)) => {
                    let now = SystemTime::now();
                    Some(Clerk { office, papers, devices, settings, source, epoch: &mut epoch, now })
                }
                _ => None,
            };
            let clerk = clerk.as_mut().map(|clerk| clerk as &mut dyn pinhole_enrolment::capf::Office);
            let turn = connection.turn(&mut Answerer { office: clerk, known: &self.known });
            connection.epoch = epoch;
            if connection.has_proved() {
                connection.until = Instant::now() + door.service.time();
            }
            match turn {
                Turn::Waits => return,
                Turn::More => {}
                Turn::Gone => return self.gone(token, office),
                Turn::Opened => connection.until = Instant::now() + door.service.first(),
                told => {
                    if !matches!(told, Turn::Answered { .. }) {
                        connection.until = Instant::now() + LINGER;
                    }
                    tell(told, connection, office);
                }
            }
        }
        // There may be more, and the poll won't say so.
        if let Some((_, connection)) = self.connections.get_mut(&token) {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let _ = registry.reregister(&mut connection.stream, Token(token), interest);
        }
    }

    /// A connection is over, whether it should be or not. Its descriptor leaves the poll when it is closed.
    fn gone(&mut self, token: usize, office: &Office) {
        let Some((number, connection)) = self.connections.remove(&token) else { return };
        if let Some(door) = self.doors.get_mut(number) {
            door.open = door.open.saturating_sub(1);
            door.sources.closed(connection.source);
        }
        if connection.is_enrolling() && connection.device().is_some() {
            fail(&connection, office, Failure::EnrolmentSilent);
        }
    }
}

impl Door {
    fn admit(&mut self, source: IpAddr, now: Instant) -> Result<(), Failure> {
        self.sources.admit(source, now).map_err(|excess| match excess {
            Excess::Source | Excess::All => Failure::RateLimited,
            Excess::Sources => Failure::EnrolmentLimit,
        })?;
        let of_source = self.sources.open(source);
        let is_full = of_source >= self.limits.connections_per_source as usize;
        if is_full || self.open >= self.limits.connections {
            return Err(Failure::EnrolmentLimit);
        }
        Ok(())
    }
}

impl Service {
    /// What is spoken on a new connection; `None` if the system gives no random number.
    fn talk(&self) -> Option<Talk> {
        Some(match self {
            Self::Capf(capf) => {
                let (session, first) = Session::begin(getrandom::u32().ok()?, capf.rules());
                Talk::Capf(Box::new(session), first)
            }
            Self::Tvs(_) => Talk::Tvs { server: tvs::Server::default(), questions: 0 },
        })
    }
}

/// Counts, notes and logs what came of a connection.
fn tell(told: Turn, connection: &Connection, office: &Office) {
    let (source, device) = (connection.source, connection.device().unwrap_or("-"));
    match told {
        Turn::Ended(End::Refused(refusal)) => {
            tracing::warn!(%source, device, "enrolment refused: {refusal}");
            if let Some(failure) = failure(&refusal) {
                fail(connection, office, failure);
            }
        }
        Turn::Ended(end) => tracing::info!(%source, device, "enrolment ended: {end:?}"),
        Turn::Answered { device, is_known } => {
            let device = device.as_deref().unwrap_or("-");
            tracing::debug!(%source, device, is_known, "a certificate was asked about");
            office.counters.count(if is_known { Counter::TrustConfirmed } else { Counter::TrustDenied });
        }
        Turn::Refused(refused) => {
            tracing::debug!(%source, "no question about trust: {refused}");
            office.counters.fail(Failure::EnrolmentMalformed);
        }
        Turn::Failed(refusal) => {
            tracing::debug!(%source, "{refusal}");
            office.counters.fail(Failure::HandshakeFailed);
        }
        Turn::Waits | Turn::More | Turn::Opened | Turn::Gone => {}
    }
}

fn fail(connection: &Connection, office: &Office, failure: Failure) {
    match connection.device().and_then(|name| name.parse().ok()) {
        Some(device) => {
            office.phones.failed(device, connection.source, "enrolment", failure, SystemTime::now());
        }
        None => office.counters.fail(failure),
    }
}

/// Which failure a refusal is; `None`: it is counted already.
fn failure(refusal: &Refusal) -> Option<Failure> {
    Some(match refusal {
        Refusal::Malformed(_)
        | Refusal::Unexpected(_)
        | Refusal::OtherSession
        | Refusal::TooMany
        | Refusal::Version(_) => Failure::EnrolmentMalformed,
        Refusal::NoProof => Failure::EnrolmentUnproved,
        Refusal::Signature => Failure::EnrolmentForged,
        Refusal::NotFresh => Failure::EnrolmentNotFresh,
        Refusal::Key(_) => Failure::EnrolmentKey,
        Refusal::Phone(_) => Failure::EnrolmentPhone,
        Refusal::Denied(_) => return None,
    })
}

/// What phones may be told of: the authority's certificates, and that of the listener for signalling.
fn known(authority: &pinhole_trust::Authority, listener: &Path, ttl: u32) -> Result<Known, String> {
    let mut known = Known::new(ttl);
    for holding in authority.holdings() {
        let der = holding.certificate.to_der().map_err(|error| error.to_string())?;
        known.add(&der, role(holding.role.function()));
    }
    if let Some(der) = tls::first_certificate(listener) {
        known.add(&der, role(Function::Ccm));
    }
    Ok(known)
}

/// Roles are numbered as functions of records are, by one byte.
fn role(function: Function) -> u8 {
    u8::try_from(function.code()).unwrap_or(u8::MAX)
}
