//! Whose certificate is trusted, and what the secure-phone database says to it: real handshakes, by OpenSSL.

#![allow(clippy::unwrap_used, clippy::panic, reason = "only tests use what is here")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Appliance, Validity, eventually};
use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode, SslVersion};
use openssl::x509::extension::BasicConstraints;
use openssl::x509::{X509, X509Name};
use pinhole_admin::{Request, Response, Traced};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

const DEVICE: &str = "SEP0010DB000001";
const VERSIONS: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

/// A certificate with its key.
struct Issued {
    certificate: X509,
    key: PKey<Private>,
}

/// The root of a manufacturer of old phones: SHA-1.
static MANUFACTURER: LazyLock<Issued> = LazyLock::new(|| issued("Manufacturer", None, &Form::default()));

struct Form {
    bits: u32,
    digest: MessageDigest,
    serial: u32,
    /// In days from now.
    valid: (i64, i64),
}

impl Default for Form {
    fn default() -> Self {
        Self { bits: 2048, digest: MessageDigest::sha1(), serial: 1, valid: (-100, 100) }
    }
}

fn issued(common_name: &str, issuer: Option<&Issued>, form: &Form) -> Issued {
    let key = PKey::from_rsa(Rsa::generate(form.bits).unwrap()).unwrap();
    let name = |text: &str| {
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("CN", text).unwrap();
        name.build()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let time = |days: i64| Asn1Time::from_unix(now + days * 86_400).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name(common_name)).unwrap();
    builder.set_issuer_name(&name(if issuer.is_some() { "Manufacturer" } else { common_name })).unwrap();
    builder.set_pubkey(&key).unwrap();
    let serial = Asn1Integer::from_bn(&BigNum::from_u32(form.serial).unwrap()).unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_not_before(&time(form.valid.0)).unwrap();
    builder.set_not_after(&time(form.valid.1)).unwrap();
    if issuer.is_none() {
        builder.append_extension(BasicConstraints::new().ca().build().unwrap()).unwrap();
    }
    builder.sign(issuer.map_or(&key, |issuer| &issuer.key), form.digest).unwrap();
    Issued { certificate: builder.build(), key }
}

/// The MIC of a phone.
fn mic(device: &str, form: &Form) -> Issued {
    issued(&format!("CP-7965-{device}"), Some(&MANUFACTURER), form)
}

/// An appliance that trusts the manufacturer too, with these lines in that authority's section, and these below
/// `[provisioning]`, which is left out where they are absent.
struct Site {
    appliance: Appliance,
    _files: tempfile::TempDir,
}

impl Site {
    fn start(authority: &str, provisioning: Option<&str>) -> Self {
        Self::start_changed(authority, provisioning, &[])
    }

    fn start_changed(authority: &str, provisioning: Option<&str>, changes: &[(&str, &str)]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let root = files.path().join("manufacturer.pem");
        std::fs::write(&root, MANUFACTURER.certificate.to_pem().unwrap()).unwrap();
        let authority = format!(
            "[[identity.authority]]\nname = \"manufacturer\"\nroots = [\"{}\"]\n{authority}\n[identity.devices]\n",
            root.display()
        );
        let section = provisioning.map(|lines| {
            format!(
                "[provisioning]\ndirectory = \"/etc/pinhole/provisioning\"\n[provisioning.tftp]\nsingle_port = true\n\
                 listen = \"{}\"\n[provisioning.phones]\ntrust_list_first = false\n{lines}\n[[cluster]]\n",
                free_udp()
            )
        });
        let cluster = "devices = \"^SEP\"\ntftp_server = \"127.0.0.1:9\"\n[[cluster.rewrite.call_manager]]\n\
                       inside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\n";
        let mut all = vec![("[identity.devices]\n", authority.as_str())];
        if let Some(section) = &section {
            all.extend([("[[cluster]]\n", section.as_str()), ("devices = \"^SEP\"\n", cluster)]);
        }
        all.extend(changes);
        Self { appliance: Appliance::start_changed(&all), _files: files }
    }

    fn connect(&self, shown: &Issued, version: SslVersion) -> Option<SslStream<TcpStream>> {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_verify(SslVerifyMode::NONE);
        connector.set_security_level(0);
        connector.set_min_proto_version(Some(version)).unwrap();
        connector.set_max_proto_version(Some(version)).unwrap();
        connector.set_certificate(&shown.certificate).unwrap();
        connector.set_private_key(&shown.key).unwrap();
        let socket = TcpStream::connect(self.appliance.listen).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        connector.build().connect("pinhole.example", socket).ok()
    }

    /// A connection that is served; `None`: it is refused.
    fn served(&self, shown: &Issued, version: SslVersion) -> Option<SslStream<TcpStream>> {
        let mut stream = self.connect(shown, version)?;
        let mut answer = [0; 2];
        let is_served = stream.write_all(b"\r\n\r\n").is_ok() && stream.read_exact(&mut answer).is_ok();
        is_served.then_some(stream)
    }

    fn is_served(&self, shown: &Issued) -> bool {
        self.served(shown, SslVersion::TLS1_3).is_some()
    }

    fn refused(&self, name: &str) -> u64 {
        self.appliance.counter("tls", &format!("refused_{name}"))
    }

    fn failures(&self, name: &str) -> u64 {
        self.appliance.counter("provisioning", name)
    }

    fn done(&self, request: Request) {
        let answer = self.appliance.ask(request);
        assert!(matches!(answer, Response::Done(_)), "{answer:?}");
    }

    fn allow(&self, device: &str) {
        self.done(Request::AllowPhone { device: device.into(), class: None });
    }

    fn pin(&self, serial: &str) {
        let issuer = Some("CN=Manufacturer".to_owned());
        self.done(Request::PinPhone { device: DEVICE.into(), serial: serial.into(), issuer });
    }

    fn show(&self) -> serde_json::Value {
        match self.appliance.ask(Request::Provisioned { device: Some(DEVICE.into()) }) {
            Response::Provisioned(mut phones) => phones.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn timeline(&self) -> String {
        self.show()["timeline"].to_string()
    }
}

/// A UDP address that nobody has. Tests run side by side, in one process or in many.
fn free_udp() -> String {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    loop {
        let nth =
            (std::process::id() as u16).wrapping_mul(37).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let address = format!("127.0.0.1:{}", 34_000 + nth % 10_000);
        if UdpSocket::bind(&address).is_ok() {
            return address;
        }
    }
}

#[test]
fn old_phones_are_served_where_their_authority_may_be_weak() {
    let site = Site::start("legacy = true", None);
    for version in VERSIONS {
        for (bits, digest) in
            [(1024, MessageDigest::sha1()), (1024, MessageDigest::sha256()), (2048, MessageDigest::sha1())]
        {
            let mic = mic(DEVICE, &Form { bits, digest, ..Form::default() });
            assert!(site.served(&mic, version).is_some(), "{bits} {version:?}");
        }
    }
}

#[test]
fn old_phones_are_refused_where_it_may_not() {
    let site = Site::start("", None);
    for (at, version) in (1..).zip(VERSIONS) {
        assert!(site.served(&mic(DEVICE, &Form::default()), version).is_none());
        site.appliance.wait_for("tls", "refused_weak", at);
    }
    let events = site.appliance.events();
    assert!(events.iter().any(|event| event.text.contains("legacy = true")), "{events:?}");
}

#[test]
fn who_does_not_hold_the_key_is_refused() {
    let site = Site::start("", Some(""));
    let stolen = site.appliance.authority.sign(DEVICE, Validity::Now);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let thief = PrivateKeyDer::try_from(rcgen::KeyPair::generate().unwrap().serialize_der()).unwrap();
    let thief = provider.key_provider.load_private_key(thief).unwrap();
    let shown = CertifiedKey::new(vec![stolen.certificate.der().clone()], thief);
    let shown = Arc::new(SingleCertAndKey::from(shown));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(site.appliance.authority.certificate().clone()).unwrap();
    for (at, version) in (1..).zip([&rustls::version::TLS12, &rustls::version::TLS13]) {
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_client_cert_resolver(shown.clone());
        let name = "pinhole.example".try_into().unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(site.appliance.listen).unwrap();
        let mut phone = common::Phone { stream: rustls::StreamOwned::new(connection, socket) };
        assert!(!phone.is_served());
        site.appliance.wait_for("tls", "refused_not_holder", at);
        eventually(|| site.failures("key_not_held") == at, "counted there too");
    }
    let key = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
    let other = mic(DEVICE, &Form { bits: 1024, ..Form::default() });
    let other = pinhole_devices::Certificate::parse(&other.certificate.to_der().unwrap()).unwrap();
    let mut signer = openssl::sign::Signer::new(MessageDigest::sha256(), &key).unwrap();
    let signature = signer.sign_oneshot_to_vec(b"handshake").unwrap();
    let algorithm = pinhole_devices::Algorithm::RsaPkcs1(pinhole_devices::Hash::Sha256);
    assert!(!other.key().has_signed(algorithm, b"handshake", &signature), "nor with a short key");
}

#[test]
fn without_provisioning_a_trusted_certificate_is_enough() {
    let site = Site::start("legacy = true", None);
    assert!(site.is_served(&mic(DEVICE, &Form::default())));
    assert!(site.is_served(&mic(DEVICE, &Form { serial: 2, ..Form::default() })));
}

#[test]
fn a_phone_that_is_not_allowed_is_refused_and_seen() {
    let site = Site::start("legacy = true", Some(""));
    assert!(!site.is_served(&mic(DEVICE, &Form::default())));
    site.appliance.wait_for("tls", "refused_by_database", 1);
    assert_eq!(site.failures("not_allowed"), 1);
    assert!(site.timeline().contains("not_allowed"));
    // Of another phone that is allowed, this one is not the certificate.
    site.allow("SEP0010DB000002");
    assert!(!site.is_served(&mic(DEVICE, &Form::default())));
    eventually(|| site.appliance.status().connections == 0, "no connection is left");
}

#[test]
fn the_first_certificate_is_pinned_and_no_other_is_the_phones() {
    let site = Site::start("legacy = true", Some(""));
    site.allow(DEVICE);
    let first = mic(DEVICE, &Form { serial: 0x1234, ..Form::default() });
    let phone = site.served(&first, SslVersion::TLS1_3).unwrap();
    assert_eq!(site.show()["stage"], "authenticated");
    assert_eq!(site.show()["pins"][0]["serial"], "1234");
    assert_eq!(site.show()["pins"][0]["issuer"], "CN=Manufacturer");
    // Neither another of the manufacturer, nor one that the site has signed.
    assert!(!site.is_served(&mic(DEVICE, &Form { serial: 0x1235, ..Form::default() })));
    let lsc = site.appliance.authority.sign(DEVICE, Validity::Now);
    assert!(!site.appliance.phone(Some(&lsc)).is_served());
    eventually(|| site.failures("pin_mismatch") == 2, "both are counted");
    assert!(site.timeline().contains("pin_mismatch"));
    assert_eq!(site.show()["stage"], "authenticated", "who is refused ends nobody's session");
    drop(phone);
    eventually(|| site.show()["stage"] != "authenticated", "the connection is lost");
    assert!(site.is_served(&first), "it comes again");
}

#[test]
fn an_expired_certificate_is_good_only_if_it_is_pinned_and_the_policy_says_so() {
    let expired = || mic(DEVICE, &Form { serial: 0x77, valid: (-100, -1), ..Form::default() });
    let strict = Site::start("legacy = true", Some(""));
    let lenient = Site::start("legacy = true\nexpired = \"accept_pinned\"", Some(""));
    for site in [&strict, &lenient] {
        site.allow(DEVICE);
        assert!(!site.is_served(&expired()), "it is not pinned");
        site.pin("77");
    }
    assert!(!strict.is_served(&expired()));
    assert_eq!((strict.refused("expired"), strict.failures("certificate_expired")), (2, 2));
    assert!(strict.timeline().contains("certificate_expired") && strict.timeline().contains("serial 77"));
    let mic = expired();
    assert!(lenient.is_served(&mic));
    assert_eq!(lenient.appliance.counter("tls", "expired_accepted"), 1);
}

#[test]
fn what_is_not_trusted_is_counted_and_stands_in_the_time_line_of_whom_it_claims_to_be() {
    let site = Site::start("kind = \"lsc\"", Some(""));
    site.allow(DEVICE);
    for (form, name, counter) in [
        (Form::default(), DEVICE, "weak"),
        (
            Form { digest: MessageDigest::sha256(), ..Form::default() },
            &format!("CP-1-{DEVICE}"),
            "device_name",
        ),
        (Form { digest: MessageDigest::sha256(), valid: (1, 2), ..Form::default() }, DEVICE, "not_yet_valid"),
    ] {
        assert!(!site.is_served(&issued(name, Some(&MANUFACTURER), &form)));
        site.appliance.wait_for("tls", &format!("refused_{counter}"), 1);
    }
    let stranger = common::Authority::new("strangers").sign(DEVICE, Validity::Now);
    assert!(!site.appliance.phone(Some(&stranger)).is_served());
    assert!(!site.appliance.phone(None).is_served());
    eventually(|| site.failures("handshake_failed") == 1, "no certificate at all");
    let timeline = site.timeline();
    for failure in
        ["certificate_weak", "certificate_name", "certificate_not_yet_valid", "certificate_unknown_ca"]
    {
        assert_eq!(site.failures(failure), 1, "{failure}");
        assert!(timeline.contains(failure), "{failure} in {timeline}");
    }
    assert_eq!(site.show()["pins"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_registration_counts_for_the_session_and_a_forgotten_phone_is_closed() {
    let call_manager = UdpSocket::bind("127.0.0.2:0").unwrap();
    call_manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let address = call_manager.local_addr().unwrap().to_string();
    let site = Site::start_changed("legacy = true", Some(""), &[("10.20.0.10:5060", &address)]);
    site.allow(DEVICE);
    let mut phone = site.served(&mic(DEVICE, &Form::default()), SslVersion::TLS1_3).unwrap();
    let mut register = |sequence: u32, status: &str| {
        let request = format!(
            "REGISTER sip:pinhole.example SIP/2.0\r\nVia: SIP/2.0/TLS 192.168.0.2:5061;branch=z9hG4bK{sequence};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:1001@lab.example>;tag=a\r\nTo: <sip:1001@lab.example>\r\nCall-ID: c\r\n\
             CSeq: {sequence} REGISTER\r\nContact: <sip:1001@192.168.0.2:5061;transport=tls>\r\nExpires: 300\r\n\
             Content-Length: 0\r\n\r\n"
        );
        phone.write_all(request.as_bytes()).unwrap();
        let mut bytes = [0; 4096];
        let (length, from) = call_manager.recv_from(&mut bytes).unwrap();
        let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let echoed = |name: &str| request.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        let headers = ["Via", "From", "To", "Call-ID", "CSeq", "Contact"].map(echoed).join("\r\n");
        let answer = format!("SIP/2.0 {status}\r\n{headers};expires=300\r\nContent-Length: 0\r\n\r\n");
        call_manager.send_to(answer.as_bytes(), from).unwrap();
        let mut bytes = [0; 4096];
        let length = phone.read(&mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    assert!(register(1, "403 Forbidden").starts_with("SIP/2.0 403 "));
    eventually(|| site.failures("registration_failed") == 1, "told to the database");
    assert_eq!(site.show()["stage"], "authenticated");
    assert!(register(2, "200 OK").starts_with("SIP/2.0 200 "));
    eventually(|| site.show()["stage"] == "registered", "registered");
    assert!(site.timeline().contains("registration_failed"));
    let traced = site.appliance.trace(DEVICE, None);
    site.done(Request::ForgetPhone { device: DEVICE.into() });
    let ended = traced.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(
        matches!(&ended, Traced::Ended { reason, .. } if reason == "the phone was withdrawn"),
        "{ended:?}"
    );
    // Without a word of the phone.
    site.appliance.wait_for("tls", "session_over", 1);
    assert_eq!(site.failures("not_authenticated"), 1);
    eventually(|| site.appliance.status().connections == 0, "the connection is closed");
}

#[test]
fn of_a_cluster_that_serves_no_files_phones_need_not_be_in_the_database() {
    let other = format!(
        "[[cluster]]\nname = \"other\"\ncall_manager = \"127.0.0.4:5060\"\nlocal = \"{}\"\n\
         port = \"inside\"\ndomain = \"other.example\"\ndevices = \"^SEP0010DB0000FF$\"\n[provisioning]\n",
        common::free_address()
    );
    let site = Site::start_changed("legacy = true", Some(""), &[("[provisioning]\n", &other)]);
    assert!(site.is_served(&mic("SEP0010DB0000FF", &Form::default())));
    assert!(!site.is_served(&mic(DEVICE, &Form::default())));
}
