//! The process, started as the control plane starts it, with phones of OpenSSL.

#![allow(clippy::unwrap_used, clippy::panic, reason = "only tests")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode, SslVersion};
use openssl::x509::{X509, X509Name};
use pinhole_legacy_tls::{
    CERTIFICATES_MAX, Cause, Channel, ChannelError, CipherSuite, Handover, Limits, MESSAGE_MAX, Refusals,
    Report, Settings, Version,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

const LIMITS: Limits = Limits {
    connections: 5,
    connections_per_source: 4,
    handshakes: 2,
    handshake_timeout_s: 1,
    requests: 1000,
    requests_per_source: 1000,
};

struct Certified {
    certificate: X509,
    key: PKey<Private>,
}

fn certified(name: &str) -> Certified {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&subject).unwrap();
    certificate.set_issuer_name(&subject).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
    // As certificates of old phones.
    certificate.sign(&key, MessageDigest::sha1()).unwrap();
    Certified { certificate: certificate.build(), key }
}

/// A running process, and where it listens.
struct Running {
    child: Child,
    channel: Option<Channel>,
    listen: SocketAddr,
}

impl Running {
    fn start(suites: &[CipherSuite]) -> Self {
        Self::limited(suites, LIMITS)
    }

    fn limited(suites: &[CipherSuite], limits: Limits) -> Self {
        let ours = certified("pinhole.example");
        let (channel, theirs) = Channel::pair().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_pinhole-legacy-tls"))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = Settings {
            chain: vec![ours.certificate.to_der().unwrap()],
            key: ours.key.private_key_to_pkcs8().unwrap().into(),
            oldest: Version::Tls10,
            newest: Version::Tls12,
            suites: suites.into(),
            authorities: vec![ours.certificate.subject_name().to_der().unwrap()],
            limits,
        };
        channel.set_timeout(Duration::from_secs(20)).unwrap();
        channel.send(&settings.encode().unwrap(), &[listener.as_fd()]).unwrap();
        let running = Self { child, channel: Some(channel), listen: listener.local_addr().unwrap() };
        let (Report::Ready(how), _) = running.report() else { panic!("not ready") };
        assert!(how.contains("no capabilities"), "{how}");
        running
    }

    fn report(&self) -> (Report, Vec<OwnedFd>) {
        let mut buffer = vec![0; MESSAGE_MAX];
        let (length, files) = self.channel.as_ref().unwrap().receive(&mut buffer).unwrap();
        (Report::decode(&buffer[..length]).unwrap(), files)
    }

    fn handed_over(&self) -> (Handover, UnixStream) {
        loop {
            match self.report() {
                (Report::Phone(phone), mut files) => {
                    let clear = UnixStream::from(files.pop().unwrap());
                    clear.set_nonblocking(false).unwrap();
                    clear.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                    return (phone, clear);
                }
                (Report::Accepted(_), _) => {}
                (other, _) => panic!("{other:?}"),
            }
        }
    }

    fn refused(&self) -> Refusals {
        loop {
            match self.report().0 {
                Report::Refused(refusals) => return refusals,
                Report::Accepted(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn connect(
        &self,
        suite: &str,
        newest: SslVersion,
        shown: Option<&Certified>,
    ) -> Option<SslStream<TcpStream>> {
        self.connect_with(suite, newest, shown, 0)
    }

    /// With its certificate again so many times after it.
    fn connect_with(
        &self,
        suite: &str,
        newest: SslVersion,
        shown: Option<&Certified>,
        again: usize,
    ) -> Option<SslStream<TcpStream>> {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_security_level(0);
        connector.set_min_proto_version(Some(SslVersion::TLS1)).unwrap();
        connector.set_max_proto_version(Some(newest)).unwrap();
        connector.set_cipher_list(suite).unwrap();
        connector.set_verify(SslVerifyMode::NONE);
        if let Some(Certified { certificate, key }) = shown {
            connector.set_certificate(certificate).unwrap();
            connector.set_private_key(key).unwrap();
            for _ in 0..again {
                connector.add_extra_chain_cert(certificate.clone()).unwrap();
            }
        }
        let socket = TcpStream::connect(self.listen).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        connector.build().connect("pinhole.example", socket).ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn old_phone(running: &Running, shown: &Certified) -> SslStream<TcpStream> {
    running.connect("AES128-SHA", SslVersion::TLS1, Some(shown)).unwrap()
}

#[test]
fn old_phone_is_handed_over_with_what_it_has_shown() {
    let running = Running::start(&CipherSuite::ALL);
    let shown = certified("SEP0010DB000001");
    for (suite, newest, version) in [
        (CipherSuite::Aes128Sha, SslVersion::TLS1, Version::Tls10),
        (CipherSuite::Aes256Sha, SslVersion::TLS1_1, Version::Tls11),
        (CipherSuite::EcdheAes128Sha, SslVersion::TLS1_2, Version::Tls12),
        (CipherSuite::NullSha, SslVersion::TLS1, Version::Tls10),
    ] {
        let mut phone = running.connect(suite.name(), newest, Some(&shown)).unwrap();
        let (handover, mut clear) = running.handed_over();
        let chain = vec![shown.certificate.to_der().unwrap()];
        let peer = phone.get_ref().local_addr().unwrap();
        assert_eq!(handover, Handover { listener: 0, peer, version, suite, chain });
        phone.write_all(b"REGISTER").unwrap();
        let mut said = [0; 8];
        clear.read_exact(&mut said).unwrap();
        clear.write_all(b"200").unwrap();
        phone.read_exact(&mut said[..3]).unwrap();
        assert_eq!(&said, b"200ISTER");
    }
}

#[test]
fn phone_that_shows_more_certificates_than_can_be_told_is_refused_and_takes_nobody_with_it() {
    let running = Running::start(&CipherSuite::ALL);
    let shown = certified("SEP0010DB000001");
    let most = running.connect_with("AES128-SHA", SslVersion::TLS1, Some(&shown), CERTIFICATES_MAX - 1);
    assert_eq!(running.handed_over().0.chain.len(), CERTIFICATES_MAX);
    let _more = running.connect_with("AES128-SHA", SslVersion::TLS1, Some(&shown), CERTIFICATES_MAX);
    // A report that held them could not be read, and would be the end of the process.
    let refusals = running.refused();
    assert_eq!(refusals.cause, Cause::Protocol);
    assert!(refusals.text.contains("too many certificates"), "{}", refusals.text);
    drop(most);
}

#[test]
fn null_cipher_is_the_last_choice_and_none_where_it_is_not_wanted() {
    let shown = certified("SEP0010DB000001");
    let running = Running::start(&[CipherSuite::Aes128Sha, CipherSuite::NullSha]);
    let _phone = running.connect("NULL-SHA:AES128-SHA", SslVersion::TLS1, Some(&shown)).unwrap();
    assert_eq!(running.handed_over().0.suite, CipherSuite::Aes128Sha);
    let running = Running::start(&[CipherSuite::Aes128Sha]);
    assert!(running.connect("NULL-SHA", SslVersion::TLS1, Some(&shown)).is_none());
    let refusals = running.refused();
    assert_eq!((refusals.cause, refusals.count), (Cause::Protocol, 1));
    assert_eq!(refusals.text, "no shared cipher");
}

#[test]
fn phone_without_certificate_or_that_speaks_no_tls_is_refused() {
    let running = Running::start(&CipherSuite::ALL);
    assert!(running.connect("AES128-SHA", SslVersion::TLS1, None).is_none());
    assert_eq!(running.refused().cause, Cause::NoCertificate);
    let mut socket = TcpStream::connect(running.listen).unwrap();
    socket.write_all(b"REGISTER sip:pinhole.example SIP/2.0\r\n\r\n").unwrap();
    let refusals = running.refused();
    assert_eq!((refusals.cause, refusals.peer), (Cause::Protocol, socket.local_addr().unwrap()));
}

#[test]
fn who_does_not_read_slows_down_who_writes_and_nothing_is_lost() {
    const LENGTH: usize = 8 << 20;
    let running = Running::start(&CipherSuite::ALL);
    let mut phone = old_phone(&running, &certified("SEP0010DB000001"));
    let (_, mut clear) = running.handed_over();
    let pattern = |n: usize| (n % 251) as u8;
    let said: Vec<u8> = (0..LENGTH).map(pattern).collect();
    // The control plane says more than the buffers of both sides hold, while the phone does not listen.
    clear.set_nonblocking(true).unwrap();
    let mut written = 0;
    let deadline = Instant::now() + Duration::from_millis(500);
    while Instant::now() < deadline && written < LENGTH {
        match clear.write(&said[written..]) {
            Ok(length) => written += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(written < LENGTH, "8 MiB are bounded by something");
    clear.set_nonblocking(false).unwrap();
    let rest = said[written..].to_vec();
    let writer = thread::spawn(move || {
        clear.write_all(&rest).unwrap();
        clear
    });
    let mut heard = vec![0; LENGTH];
    phone.read_exact(&mut heard).unwrap();
    assert!(heard == said);
    // And the other way.
    let mut clear = writer.join().unwrap();
    let reader = thread::spawn(move || {
        let mut heard = vec![0; LENGTH];
        clear.read_exact(&mut heard).unwrap();
        heard
    });
    phone.write_all(&said).unwrap();
    assert!(reader.join().unwrap() == said);
}

#[test]
fn each_end_takes_the_other_with_it_and_last_words_arrive() {
    let running = Running::start(&CipherSuite::ALL);
    let shown = certified("SEP0010DB000001");
    let mut phone = old_phone(&running, &shown);
    let (_, mut clear) = running.handed_over();
    phone.write_all(b"bye").unwrap();
    phone.shutdown().unwrap();
    let mut said = Vec::new();
    clear.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"bye");
    // The phone has said its last word, and may still be answered.
    clear.write_all(b"ok").unwrap();
    drop(clear);
    said.clear();
    phone.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"ok");

    let mut phone = old_phone(&running, &shown);
    let (_, mut clear) = running.handed_over();
    // What the phone says now is read by nobody.
    phone.write_all(&[7; 1000]).unwrap();
    clear.write_all(&[9; 100_000]).unwrap();
    drop(clear);
    said.clear();
    phone.read_to_end(&mut said).unwrap();
    assert_eq!(said, [9; 100_000]);

    let phone = old_phone(&running, &shown);
    let (_, mut clear) = running.handed_over();
    // Without TLS's goodbye.
    drop(phone);
    assert_eq!(clear.read(&mut [0; 9]).unwrap(), 0, "it was cut off");
}

#[test]
fn handshakes_and_connections_are_bounded() {
    let running = Running::start(&CipherSuite::ALL);
    let shown = certified("SEP0010DB000001");
    let silent = [(); 3].map(|()| TcpStream::connect(running.listen).unwrap());
    // The third waits, and has its turn when the others are overdue.
    assert_eq!(running.refused().cause, Cause::Handshakes);
    let mut overdue = 0;
    while overdue < 3 {
        let refusals = running.refused();
        assert_eq!(refusals.cause, Cause::Timeout);
        overdue += refusals.count;
    }
    assert_eq!(overdue, 3);
    drop(silent);
    let phones = [(); 4].map(|()| (old_phone(&running, &shown), running.handed_over()));
    assert!(running.connect("AES128-SHA", SslVersion::TLS1, Some(&shown)).is_none());
    assert_eq!(running.refused().cause, Cause::Source);
    drop(phones);
}

#[test]
fn address_that_holds_all_places_half_open_keeps_no_phone_of_another_from_coming_in() {
    let limits = Limits { connections: 100, connections_per_source: 50, handshake_timeout_s: 60, ..LIMITS };
    let running = Running::limited(&CipherSuite::ALL, limits);
    let silent = [(); 20].map(|()| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 77], 0)).into()).unwrap();
        socket.connect(&running.listen.into()).unwrap();
        socket
    });
    assert_eq!(running.refused().cause, Cause::Handshakes);
    let _phone = old_phone(&running, &certified("SEP0010DB000001"));
    let refusals = running.refused();
    assert_eq!((refusals.cause, refusals.count), (Cause::GaveWay, 1));
    assert_eq!(refusals.peer.ip().to_string(), "127.0.0.77");
    let (handover, _clear) = running.handed_over();
    assert_eq!(handover.peer.ip().to_string(), "127.0.0.1");
    drop(silent);
}

#[test]
fn phones_that_connect_all_at_once_hold_up_none_that_is_served() {
    const OFFICE: u32 = 40;
    let limits = Limits { connections: 100, connections_per_source: 60, handshakes: 60, ..LIMITS };
    let limits = Limits { handshake_timeout_s: 60, ..limits };
    let running = Running::limited(&CipherSuite::ALL, limits);
    let mut served = old_phone(&running, &certified("SEP0010DB000001"));
    let (_, _clear) = running.handed_over();
    let mut office: Vec<_> = (0..OFFICE).map(|_| TcpStream::connect(running.listen).unwrap()).collect();
    let mut accepted = 0;
    while accepted < OFFICE {
        let (Report::Accepted(more), _) = running.report() else { panic!("something else than phones") };
        accepted += more;
    }
    // While it stands still, all of them say something, and after them the served one. Their order is told by reports: a
    // handshake that fails is a step like any, and what the served one says ends its connection.
    let pid = Pid::from_child(&running.child);
    kill_process(pid, Signal::STOP).unwrap();
    waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
    office.iter_mut().for_each(|phone| phone.write_all(b"REGISTER sip:pinhole.example").unwrap());
    served.get_mut().write_all(b"what no record of TLS begins with").unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    let (mut before, mut after, mut heard) = (0, 0, false);
    while before + after < OFFICE || !heard {
        let refusals = running.refused();
        match refusals.cause {
            Cause::Broken => heard = true,
            Cause::Protocol if heard => after += refusals.count,
            Cause::Protocol => before += refusals.count,
            other => panic!("{other:?}"),
        }
    }
    // Those of the turn in which it stood still, and of the next.
    assert!(before <= 16, "{before} had their turn before it");
    assert_eq!(before + after, OFFICE, "and all have it");
}

#[test]
fn it_ends_with_the_control_plane() {
    let mut running = Running::start(&CipherSuite::ALL);
    let mut phone = old_phone(&running, &certified("SEP0010DB000001"));
    let (_, _clear) = running.handed_over();
    running.channel = None;
    assert!(running.child.wait().unwrap().success());
    assert!(phone.read(&mut [0; 9]).map_or(true, |length| length == 0));
}

#[test]
fn it_may_open_nothing_and_sees_what_it_says_refused() {
    let running = Running::start(&CipherSuite::ALL);
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!((value("NoNewPrivs:"), value("Seccomp:")), ("1".into(), "2".into()));
    assert_eq!(value("CapEff:"), "0000000000000000");
    assert_eq!(value("CapPrm:"), "0000000000000000");
    // What is not meant is no reason to go on.
    running.channel.as_ref().unwrap().send(b"nonsense", &[]).unwrap();
    let mut buffer = vec![0; MESSAGE_MAX];
    assert!(matches!(running.channel.as_ref().unwrap().receive(&mut buffer), Err(ChannelError::Closed)));
}

#[test]
fn by_hand_it_says_who_starts_it() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_pinhole-legacy-tls")).stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("the control plane starts this program"));
}
