//! A control plane on loopback, with certificates of its own and no data plane.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "only tests use this, but it holds none itself"
)]
#![allow(dead_code, reason = "each test file uses its part")]

pub mod provisioning;
pub mod tftp;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use pinhole_admin::{Client, Counters, Event, EventKind, Request, Response, Status, Traced};
use pinhole_controlplane::Process;
use pinhole_controlplane::config::Config;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// An authority that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate with its key.
pub struct Certified {
    pub certificate: rcgen::Certificate,
    pub key: KeyPair,
}

/// The validity of a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Now,
    Past,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    /// Its certificate and key, PEM.
    pub fn pem(&self) -> [String; 2] {
        [self.certificate.pem(), self.issuer.key().serialize_pem()]
    }

    /// Its revocation list with these certificates, PEM.
    pub fn revocation_list(&self, revoked: &[&Certified]) -> String {
        self.revocation_list_until(2100, revoked)
    }

    /// The same, if the next is due in a year.
    pub fn revocation_list_until(&self, year: i32, revoked: &[&Certified]) -> String {
        let revoked_certs = revoked.iter().map(|revoked| {
            let certificate = openssl::x509::X509::from_der(revoked.certificate.der()).unwrap();
            let serial = certificate.serial_number().to_bn().unwrap().to_vec();
            RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2024, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    pub fn sign(&self, common_name: &str, validity: Validity) -> Certified {
        self.sign_key(common_name, validity, KeyPair::generate().unwrap(), |_| ())
    }

    /// With this changed of what a certificate has.
    pub fn sign_changed(&self, common_name: &str, change: impl FnOnce(&mut CertificateParams)) -> Certified {
        self.sign_key(common_name, Validity::Now, KeyPair::generate().unwrap(), change)
    }

    /// With an RSA key, as phones have.
    pub fn sign_rsa(&self, common_name: &str) -> Certified {
        let key = openssl::rsa::Rsa::generate(2048).and_then(openssl::pkey::PKey::from_rsa).unwrap();
        let key = KeyPair::try_from(key.private_key_to_pkcs8().unwrap()).unwrap();
        self.sign_key(common_name, Validity::Now, key, |_| ())
    }

    fn sign_key(
        &self,
        common_name: &str,
        validity: Validity,
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certified {
        let mut params = CertificateParams::new(vec!["pinhole.example".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        if validity == Validity::Past {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        change(&mut params);
        Certified { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }
}

/// A running control plane.
pub struct Appliance {
    process: Option<Process>,
    pub authority: Authority,
    pub listen: SocketAddr,
    /// Two listeners for SCCP.
    pub sccp: [SocketAddr; 2],
    pub inside: SocketAddr,
    pub admin_socket: PathBuf,
    pub file: PathBuf,
    _directory: tempfile::TempDir,
}

/// A phone's TLS connection.
pub struct Phone {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Appliance {
    /// Starts one with this many shards and these lines in `[limits]`. It serves phones at once.
    pub fn start(shards: u32, limits: &str) -> Self {
        Self::launch(shards, limits, Duration::ZERO, &[], |_, _| ()).0
    }

    /// Starts one with these changes to the text of its configuration.
    pub fn start_changed(changes: &[(&str, &str)]) -> Self {
        Self::launch(1, "", Duration::ZERO, changes, |_, _| ()).0
    }

    /// The same, after `before` had the configuration's file.
    pub fn start_prepared(changes: &[(&str, &str)], before: impl FnOnce(&Path)) -> Self {
        Self::launch(1, "", Duration::ZERO, changes, |_, file| before(file)).0
    }

    /// Starts one with these changes to its configuration that waits for the data plane, after `before`
    /// had the data plane's socket and the file.
    pub fn start_after<T>(
        shards: u32,
        changes: &[(&str, &str)],
        before: impl FnOnce(PathBuf, &Path) -> T,
    ) -> (Self, T) {
        Self::launch(shards, "", Duration::from_secs(10), changes, before)
    }

    fn launch<T>(
        shards: u32,
        limits: &str,
        patience: Duration,
        changes: &[(&str, &str)],
        before: impl FnOnce(PathBuf, &Path) -> T,
    ) -> (Self, T) {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let authority = Authority::new("phones");
        let server = authority.sign("pinhole.example", Validity::Now);
        std::fs::write(path("server.crt"), server.certificate.pem()).unwrap();
        std::fs::write(path("server.key"), server.key.serialize_pem()).unwrap();
        std::fs::write(path("ca.crt"), authority.certificate.pem()).unwrap();
        let listen = free_address();
        let sccp = [8, 9].map(|n| SocketAddr::new(listen.ip(), listen.port() + n));
        let inside = free_address();
        let example = include_str!("../../src/config/example.toml").to_owned();
        let text = changes
            .iter()
            .fold(example, |text, (from, to)| text.replace(from, to))
            .replace("/etc/pinhole", directory.path().to_str().unwrap())
            .replace("/run/pinhole", directory.path().to_str().unwrap())
            .replace("max_sessions", &format!("socket = \"{}\"\nmax_sessions", path("absent.sock").display()))
            .replace("203.0.113.5:5061", &listen.to_string())
            .replace("203.0.113.5:2443", &sccp[0].to_string())
            .replace("203.0.113.5:2444", &sccp[1].to_string())
            .replace("10.20.0.5:5060", &inside.to_string())
            .replace("10.20.0.10:5060", "127.0.0.2:5060")
            .replace("shards = 2", &format!("shards = {shards}"))
            .replace("calls = 100", limits)
            .replace("ring_s = 180", "adopt_grace_s = 2");
        let file = path("pinhole.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&file).unwrap();
        let before = before(path("absent.sock"), &file);
        let process = Process::start(config, &file, patience, Arc::default()).unwrap();
        let admin_socket = path("admin.sock");
        (
            Self {
                process: Some(process),
                authority,
                listen,
                sccp,
                inside,
                admin_socket,
                file,
                _directory: directory,
            },
            before,
        )
    }

    pub fn ask(&self, request: Request) -> Response {
        Client::connect(&self.admin_socket).unwrap().ask(request).unwrap()
    }

    pub fn status(&self) -> Status {
        match self.ask(Request::Status) {
            Response::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    pub fn counters(&self) -> Counters {
        match self.ask(Request::Counters) {
            Response::Counters(counters) => counters,
            other => panic!("{other:?}"),
        }
    }

    pub fn counter(&self, group: &str, name: &str) -> u64 {
        self.counters()
            .groups
            .get(group)
            .and_then(|group| group.get(name))
            .copied()
            .unwrap_or_else(|| panic!("{group}.{name}"))
    }

    pub fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let client = Client::connect(&self.admin_socket).unwrap();
        client
            .events(false, |event| {
                events.push(event);
                true
            })
            .unwrap();
        events
    }

    /// Traces a phone, from now on.
    pub fn trace(&self, device: &str, messages: Option<u64>) -> Receiver<Traced> {
        let begun = || {
            let is_of = |event: &&Event| {
                event.kind == EventKind::TraceBegun && event.device.as_deref() == Some(device)
            };
            self.events().iter().filter(is_of).count()
        };
        let (client, before) = (Client::connect(&self.admin_socket).unwrap(), begun());
        let (lines, traced) = channel();
        let request = Request::Trace { device: device.into(), seconds: 60, messages, hex: true };
        std::thread::spawn(move || client.trace(request, |line| lines.send(line).is_ok()));
        eventually(|| begun() > before, "the trace begins");
        // Whatever a shard was told before it answers, it has done.
        self.status();
        traced
    }

    /// Waits until a counter has this value.
    pub fn wait_for(&self, group: &str, name: &str, value: u64) {
        eventually(|| self.counter(group, name) == value, &format!("{group}.{name} = {value}"));
    }

    /// Connects as a phone. TLS 1.3 tells a client of a refusal only when it reads.
    pub fn phone(&self, certified: Option<&Certified>) -> Phone {
        self.phone_at(self.listen, certified)
    }

    /// The same, at another listener.
    pub fn phone_at(&self, listen: SocketAddr, certified: Option<&Certified>) -> Phone {
        let chain = |of: &Certified| vec![of.certificate.der().clone()];
        self.phone_showing(listen, &self.authority, certified.map(|of| (chain(of), &of.key)))
    }

    /// The same, of a phone that trusts this authority and shows a chain of certificates, to the first of which it has the key.
    pub fn phone_showing(
        &self,
        listen: SocketAddr,
        trusted: &Authority,
        shown: Option<(Vec<CertificateDer<'static>>, &KeyPair)>,
    ) -> Phone {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match shown {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let name = ServerName::try_from("pinhole.example").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(listen).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Phone { stream: StreamOwned::new(connection, socket) }
    }

    /// A phone that is accepted.
    pub fn device(&self, name: &str) -> Phone {
        self.phone(Some(&self.authority.sign(name, Validity::Now)))
    }

    /// Ends the process, and keeps its files until what is returned is dropped.
    pub fn keep(mut self) -> tempfile::TempDir {
        self.process.take().unwrap().stop();
        let other = tempfile::tempdir().unwrap();
        std::mem::replace(&mut self._directory, other)
    }

    /// Has certificates and keys read again.
    pub fn reload(&self) {
        self.process.as_ref().unwrap().reload_certificates();
    }

    /// Ends the process; whether all was well.
    pub fn stop(mut self) -> bool {
        self.process.take().unwrap().stop()
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }
}

impl Phone {
    /// A CRLF keep-alive (RFC 5626 section 4.4.1); whether it is answered.
    pub fn is_served(&mut self) -> bool {
        let mut answer = [0; 2];
        self.stream.write_all(b"\r\n\r\n").is_ok()
            && self.stream.read_exact(&mut answer).is_ok()
            && answer == *b"\r\n"
    }
}

pub fn eventually(condition: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An address with 16 ports from there on that nobody else uses: a loopback address for each process, since
/// tests run in processes of their own at once, and a stride of ports for each call.
pub fn free_address() -> SocketAddr {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    // Process numbers have 22 bits.
    let own = [127, 64 + high % 64, middle, low];
    SocketAddr::from((own, 10_000 + NEXT.fetch_add(1, Ordering::Relaxed) * 20))
}
