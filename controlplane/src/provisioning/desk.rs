//! What is done about requests, whatever protocol they come by: the decision, the file from upstream, the answer, and
//! what came of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use pinhole_http::RequestId;
use pinhole_provisioning::cache::{Lookup, Origin};
use pinhole_provisioning::names::OtherFile;
use pinhole_provisioning::phones::{CertificateId, Delivery, Grant};
use pinhole_provisioning::service::{Action, ConfigurationTask, Handling, Request, Transport, check_file};
use pinhole_provisioning::{Device, Failure, Service};
use pinhole_tftp::TransferId;

use super::Office;
use super::errands::Previewing;
use super::papers::{self, Papers};
use super::shelf::Shelf;
use super::upstream::{Fetched, Upstream};
use crate::tls;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    /// A TFTP transfer.
    Tftp(TransferId),
    /// A request on a connection of one of the doors.
    Http { door: usize, request: RequestId },
}

/// What is asked for.
pub(super) struct Asked<'a> {
    pub transport: Transport,
    pub client: SocketAddr,
    pub name: &'a [u8],
    /// The verified client certificate of the connection.
    pub certificate: Option<&'a (Device, CertificateId)>,
}

/// Why there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The phone may not have it, or there is none.
    NotFound,
    /// It cannot be had now.
    Unavailable,
}

/// A file, or why there is none.
pub(super) type Answer = Result<Arc<[u8]>, Denied>;

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The phone has it.
    Acknowledged,
    /// All was sent.
    Sent,
    /// The phone says that it does not take it.
    Refused,
    /// The phone fell silent.
    Silent,
    /// Nothing was delivered.
    Nothing,
}

/// All requests that are open, and what is needed to answer them.
pub(super) struct Desk {
    office: Arc<Office>,
    pub(super) service: Service,
    pub papers: Papers,
    cache: Shelf,
    /// For how long a kept file is given without asking again.
    fresh: Duration,
    pub upstream: Upstream,
    open: HashMap<Asker, Open>,
    /// Who waits for what comes from upstream.
    pub(super) waiting: HashMap<Origin, Vec<Waiting>>,
    /// Who waits to see what becomes of it.
    pub(super) previewing: HashMap<Origin, Vec<Previewing>>,
    /// Files of no device that are being sent: a hundred phones that fetch one firmware share one copy of it.
    shared: HashMap<(Origin, Handling), Weak<[u8]>>,
    answers: Vec<(Asker, Answer)>,
}

/// A request that has not ended.
struct Open {
    client: SocketAddr,
    /// What came of it is reported for this.
    grant: Option<Grant>,
    is_trust_list: bool,
    /// It is known already that all was sent.
    is_sent: bool,
}

/// A request that needs a file from upstream.
pub(super) struct Waiting {
    asker: Asker,
    what: What,
}

enum What {
    Configuration(ConfigurationTask),
    File { file: OtherFile, handling: Handling },
}

impl Desk {
    pub fn new(
        office: Arc<Office>,
        service: Service,
        papers: Papers,
        cache: Shelf,
        fresh: Duration,
        upstream: Upstream,
    ) -> Self {
        let (open, waiting, previewing, shared, answers) = Default::default();
        Self { office, service, papers, cache, fresh, upstream, open, waiting, previewing, shared, answers }
    }

    /// What there is to say to those who asked.
    pub fn answers(&mut self) -> Vec<(Asker, Answer)> {
        std::mem::take(&mut self.answers)
    }

    /// Somebody asks for a file. [`Desk::answers`] has the answer, now or when it has come from upstream.
    pub fn ask(&mut self, asker: Asker, asked: &Asked<'_>) {
        let (now, client) = (SystemTime::now(), asked.client);
        let request = Request {
            transport: asked.transport,
            name: asked.name,
            source: client.ip(),
            certificate: asked.certificate.map(|(device, certificate)| (*device, certificate)),
            trust_list: self.papers.generation(),
            now,
        };
        let encrypts_to = |device| papers::encryptable(&self.office.phones.certificates(device)).is_some();
        let action = self.service.request(&request, &encrypts_to);
        let is_trust_list = matches!(action, Action::TrustList { .. });
        self.open.insert(asker, Open { client, grant: None, is_trust_list, is_sent: false });
        match action {
            Action::Deny(failure) => {
                let name = asked.name.escape_ascii();
                tracing::debug!(%client, %name, "refused: {}", failure.meaning());
                self.answer(asker, Err(Denied::NotFound));
            }
            Action::TrustList { list, grant } => match self.papers.trust_list(list) {
                Ok(file) => {
                    if let Some(open) = self.open.get_mut(&asker) {
                        open.grant = grant;
                    }
                    self.answer(asker, Ok(file));
                }
                Err(error) => {
                    tracing::error!(%client, "a trust list cannot be made: {error}");
                    self.fail(Failure::SigningFailed);
                    self.answer(asker, Err(Denied::Unavailable));
                }
            },
            Action::Configuration(task) => {
                let origin = task.fetch.clone();
                self.wait_for(&origin, Waiting { asker, what: What::Configuration(task) });
            }
            Action::File { fetch, file, handling } => {
                let found = self.cache.lookup(&fetch, self.fresh, now);
                let shared = self.shared.get(&(fetch.clone(), handling.clone())).and_then(Weak::upgrade);
                let waiting = Waiting { asker, what: What::File { file, handling } };
                match (found, shared) {
                    (Lookup::Fresh(_), Some(file)) => self.answer(asker, Ok(file)),
                    (Lookup::Fresh(cached), None) => match papers::read(cached) {
                        Ok(bytes) => self.serve(&fetch, waiting, &bytes),
                        Err(_) => self.wait_for(&fetch, waiting),
                    },
                    (Lookup::Aged | Lookup::Absent, _) => self.wait_for(&fetch, waiting),
                }
            }
        }
    }

    /// All of a file was handed over to be sent; how that ended comes as [`Desk::ended`].
    pub fn sent(&mut self, asker: Asker) {
        let Some(open) = self.open.get_mut(&asker) else { return };
        open.is_sent = true;
        if let Some(grant) = &open.grant {
            self.office.phones.delivered(grant, Delivery::Sent, SystemTime::now());
        }
    }

    /// A request has ended.
    pub fn ended(&mut self, asker: Asker, outcome: Outcome) {
        // Whoever sent it has dropped it. What is only looked at weakly keeps its memory all the same.
        self.shared.retain(|_, file| file.strong_count() > 0);
        let Some(Open { client, grant, is_trust_list, is_sent }) = self.open.remove(&asker) else { return };
        let undelivered = if is_trust_list { Failure::TrustListUndelivered } else { Failure::PhoneSilent };
        let delivery = match outcome {
            Outcome::Acknowledged => Delivery::Acknowledged,
            Outcome::Sent if is_sent => return,
            Outcome::Sent => Delivery::Sent,
            Outcome::Refused => Delivery::Failed(Failure::TftpAuthentication),
            Outcome::Silent => Delivery::Failed(undelivered),
            Outcome::Nothing => return,
        };
        if let Delivery::Failed(failure) = delivery {
            tracing::info!(%client, "not delivered: {}", failure.meaning());
        }
        match grant {
            Some(grant) => drop(self.office.phones.delivered(&grant, delivery, SystemTime::now())),
            None => {
                if let Delivery::Failed(failure) = delivery {
                    self.fail(failure);
                }
            }
        }
    }

    /// Something was sent to us as a file; it was not read.
    pub fn upload(&self, client: SocketAddr, name: &[u8]) {
        self.service.upload(name, client.ip(), SystemTime::now());
        tracing::warn!(%client, name = %name.escape_ascii(), "an upload was refused unread");
    }

    /// A TLS connection is refused.
    pub fn refused(&self, refusal: &tls::Refusal, peer: SocketAddr) {
        self.office.refused(refusal, peer);
    }

    /// Counts a failure that is no phone's.
    pub fn fail(&self, failure: Failure) {
        self.office.counters.fail(failure);
    }

    /// A socket of a fetch is ready.
    pub fn fetch_ready(&mut self, token: usize, buffer: &mut [u8]) {
        if let Some((origin, fetched)) = self.upstream.ready(token, buffer, Instant::now()) {
            self.fetched(&origin, fetched);
        }
    }

    /// Does what is due of the fetches.
    pub fn tick(&mut self, now: Instant) {
        for (origin, fetched) in self.upstream.tick(now) {
            self.fetched(&origin, fetched);
        }
    }

    /// Other keys sign from now on.
    pub fn keys_changed(&mut self) {
        self.shared.clear();
    }

    fn answer(&mut self, asker: Asker, answer: Answer) {
        self.answers.push((asker, answer));
    }

    fn wait_for(&mut self, origin: &Origin, waiting: Waiting) {
        let all = self.waiting.entry(origin.clone()).or_default();
        all.push(waiting);
        if all.len() > 1 || self.previewing.contains_key(origin) {
            return;
        }
        if let Err(error) = self.upstream.fetch(origin, Instant::now()) {
            self.fetched(origin, Err(error));
        }
    }

    /// A file has come from upstream, or will not.
    pub(super) fn fetched(&mut self, origin: &Origin, fetched: Fetched) {
        let now = SystemTime::now();
        let waiting = self.waiting.remove(origin).unwrap_or_default();
        let bytes = match fetched {
            Ok(bytes) => {
                let bytes = Arc::new(bytes);
                self.cache.store(origin, &bytes, now);
                Ok(bytes)
            }
            Err(error) if error.failure() == Failure::FileNotFound => Err(Failure::FileNotFound),
            Err(error) => {
                let stale = self.cache.stale(origin, now).and_then(|cached| papers::read(cached).ok());
                let kept = if stale.is_some() { "; the last good copy is given" } else { "" };
                tracing::warn!(cluster = origin.upstream, name = origin.name, "{error}{kept}");
                stale.map(Arc::new).ok_or(error.failure())
            }
        };
        self.previewed(origin, bytes.as_deref().map(Vec::as_slice).map_err(|failure| *failure));
        self.shared.retain(|(of, _), _| of != origin);
        for waiting in waiting {
            match &bytes {
                Ok(bytes) => self.serve(origin, waiting, bytes),
                Err(failure) => self.refuse(&waiting, *failure),
            }
        }
    }

    /// Makes of what came from upstream what the phone gets, if it still waits for it.
    fn serve(&mut self, origin: &Origin, waiting: Waiting, fetched: &[u8]) {
        if !self.open.contains_key(&waiting.asker) {
            return;
        }
        let made = match &waiting.what {
            // It was allowed when it asked. What it may have now, it is told when it asks again.
            What::Configuration(task) if !self.office.phones.still_counts(&task.grant) => {
                return self.answer(waiting.asker, Err(Denied::Unavailable));
            }
            What::Configuration(task) => match self.service.configuration(task, fetched, SystemTime::now()) {
                Ok(rewritten) => {
                    let certificates = self.office.phones.certificates(task.grant.device());
                    let device = papers::encryptable(&certificates);
                    self.papers.configuration(&task.form, &rewritten.body, device.as_ref())
                }
                // It is counted and in the time line.
                Err(_) => return self.answer(waiting.asker, Err(Denied::NotFound)),
            },
            What::File { file, handling } => {
                let key = (origin.clone(), handling.clone());
                match self.shared.get(&key).and_then(Weak::upgrade) {
                    Some(made) => Ok(made),
                    None => {
                        let made = check_file(file, fetched);
                        let made = made.and_then(|()| self.papers.file(handling, fetched));
                        made.inspect(|made| drop(self.shared.insert(key, Arc::downgrade(made))))
                    }
                }
            }
        };
        let file = match made {
            Ok(file) => file,
            Err(failure) => return self.refuse(&waiting, failure),
        };
        let Waiting { asker, what } = waiting;
        if let (What::Configuration(task), Some(open)) = (what, self.open.get_mut(&asker)) {
            open.grant = Some(task.grant);
        }
        self.answer(asker, Ok(file));
    }

    fn refuse(&mut self, waiting: &Waiting, failure: Failure) {
        match &waiting.what {
            What::Configuration(task) => self.service.failed(task, failure, SystemTime::now()),
            What::File { .. } => self.fail(failure),
        }
        let denied = if failure == Failure::FileNotFound { Denied::NotFound } else { Denied::Unavailable };
        self.answer(waiting.asker, Err(denied));
    }
}
