//! Enrolment and trust verification by the running process, over TLS of OpenSSL, as phones have it. The phone is that of
//! the tests of `pinhole-enrolment`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "only tests use what is here")]

mod common;
#[allow(dead_code, reason = "not every part of it is used here")]
#[path = "../enrolment/tests/sessions/phone.rs"]
mod phone;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::{Appliance, Certified, Validity, eventually, free_address};
use openssl::pkey::{PKey, Private};
use openssl::sha::sha256;
use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode};
use openssl::x509::X509;
use phone::{DEVICE, Holder, answer, both, element, message, password, rsa};
use pinhole_admin::{Client, Request, Response};
use pinhole_provisioning::phones::{self, CertificateId, PhonePolicy, PhoneView, Phones};
use pinhole_provisioning::{Device, SecurityClass};
use pinhole_trust::Authority;
use pinhole_trust::authority::{Naming, Role};

struct Stage {
    appliance: Appliance,
    authority: Authority,
    capf: SocketAddr,
    tvs: SocketAddr,
}

impl Stage {
    /// With one device that is allowed, and what `before` does to the database.
    fn start(capf_section: &str, before: impl FnOnce(&Phones, &Authority)) -> Self {
        Self::start_made(seconds(), capf_section, before)
    }

    /// The same with keys that were made then.
    fn start_made(made: u32, capf_section: &str, before: impl FnOnce(&Phones, &Authority)) -> Self {
        let (capf, tvs) = (free_address(), free_address());
        let provisioning = format!(
            "[provisioning]\ndirectory = \"/etc/pinhole/provisioning\"\n[provisioning.phones]\n\
             trust_list_first = false\n[provisioning.tftp]\nlisten = \"{}\"\nsingle_port = true\n\
             [provisioning.capf]\nlisten = \"{capf}\"\n{capf_section}\n[provisioning.tvs]\nlisten = \"{tvs}\"\n\
             [[cluster]]\n",
            free_address()
        );
        let cluster = "devices = \"^SEP\"\ntftp_server = \"127.0.0.1:9\"\n[cluster.rewrite]\n\
                       capf = { at = { address = \"203.0.113.5\", port = 3804 } }\n\
                       tvs = { at = { address = \"203.0.113.5\", port = 2445 } }\n\
                       [[cluster.rewrite.call_manager]]\ninside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\n";
        let changes = [("[[cluster]]\n", provisioning.as_str()), ("devices = \"^SEP\"\n", cluster)];
        let prepare = |_, file: &Path| {
            let directory = file.parent().unwrap().join("provisioning");
            std::fs::create_dir(&directory).unwrap();
            let naming = Naming { organization: "Pinhole".into(), dns_name: None, address: None };
            let authority = Authority::create(&directory.join("authority"), &naming, made).unwrap();
            let database = directory.join("phones.sqlite");
            let phones = Phones::open(&database, PhonePolicy::default(), Arc::default()).unwrap();
            phones.allow(device(), SecurityClass::Encrypted, SystemTime::now()).unwrap();
            before(&phones, &authority);
            authority
        };
        let (appliance, authority) = Appliance::start_after(1, &changes, prepare);
        Self { appliance, authority, capf, tvs }
    }

    fn plain() -> Self {
        Self::start("", |_, _| ())
    }

    fn certificate(&self, role: Role) -> X509 {
        let holding = self.authority.holdings().iter().find(|holding| holding.role == role);
        holding.unwrap().certificate.clone()
    }

    /// Connects, and looks whether the server is the one of the trust list.
    fn connect(&self, role: Role) -> SslStream<TcpStream> {
        let at = if role == Role::Tvs { self.tvs } else { self.capf };
        let socket = TcpStream::connect(at).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_verify(SslVerifyMode::NONE);
        let mut connection = connector.build().configure().unwrap();
        connection.set_verify_hostname(false);
        let stream = connection.connect("pinhole", socket).unwrap();
        let shown = stream.ssl().peer_certificate().unwrap().to_der().unwrap();
        assert_eq!(shown, self.certificate(role).to_der().unwrap());
        stream
    }

    /// A session with its number, after the server has spoken.
    fn session(&self) -> Session {
        let mut session = Session { stream: self.connect(Role::Capf), id: 0 };
        let (command, id, _) = session.read();
        assert_eq!(command, 1);
        session.id = id;
        session
    }

    fn password(&self) -> String {
        match self.appliance.ask(Request::EnrolPhone { device: DEVICE.into(), minutes: 5 }) {
            Response::Password { password, .. } => password,
            other => panic!("{other:?}"),
        }
    }

    fn show(&self) -> PhoneView {
        match self.appliance.ask(Request::Provisioned { device: Some(DEVICE.into()) }) {
            Response::Provisioned(mut phones) => serde_json::from_value(phones.remove(0)).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn count(&self, name: &str) -> u64 {
        self.appliance.counter("provisioning", name)
    }

    fn wait_for(&self, name: &str, value: u64) {
        self.appliance.wait_for("provisioning", name, value);
    }

    /// A certificate that the manufacturer has made for a device.
    fn mic(&self, name: &str) -> Holder {
        holder(&self.appliance.authority.sign(name, Validity::Now))
    }
}

struct Session {
    stream: SslStream<TcpStream>,
    id: u32,
}

impl Session {
    fn read(&mut self) -> (u8, u32, Vec<(u8, Vec<u8>)>) {
        let mut bytes = vec![0; 8];
        self.stream.read_exact(&mut bytes).unwrap();
        let len = usize::from(bytes[6]) << 8 | usize::from(bytes[7]);
        bytes.resize(8 + len, 0);
        self.stream.read_exact(&mut bytes[8..]).unwrap();
        phone::read(&bytes)
    }

    fn say(&mut self, bytes: &[u8]) -> (u8, Vec<(u8, Vec<u8>)>) {
        self.stream.write_all(bytes).unwrap();
        let (command, id, elements) = self.read();
        assert_eq!(id, self.id);
        (command, elements)
    }

    fn prove(&mut self, proof: &[Vec<u8>]) -> (u8, Vec<(u8, Vec<u8>)>) {
        self.say(&answer(self.id, DEVICE, proof))
    }

    /// From the request for a key to the end; what was stored.
    fn install(&mut self, asked: (u8, Vec<(u8, Vec<u8>)>), key: &PKey<Private>) -> Holder {
        assert_eq!(asked.0, 3, "a key is asked for: {asked:?}");
        self.stream.write_all(&message(17, self.id, &[])).unwrap();
        let public = element(9, &key.public_key_to_der().unwrap());
        let (command, elements) = self.say(&message(4, self.id, &[public]));
        assert_eq!(command, 9, "{elements:?}");
        let der = elements.iter().find(|(tag, _)| *tag == 4).unwrap().1[5..].to_vec();
        assert_eq!(self.say(&message(10, self.id, &[element(1, &[1])])), (15, vec![(1, vec![1])]));
        self.is_closed();
        Holder { key: key.clone(), der }
    }

    fn is_closed(&mut self) {
        assert_eq!(self.stream.read(&mut [0]).unwrap(), 0, "the orderly end");
    }
}

fn holder(Certified { certificate, key }: &Certified) -> Holder {
    let key = PKey::private_key_from_der(&key.serialize_der()).unwrap();
    Holder { key, der: certificate.der().to_vec() }
}

fn device() -> Device {
    DEVICE.parse().unwrap()
}

fn seconds() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u32::try_from(since.as_secs()).unwrap()
}

const REFUSED: (u8, [u8; 1]) = (15, [7]);

fn refused((command, elements): (u8, Vec<(u8, Vec<u8>)>)) -> (u8, [u8; 1]) {
    (command, [elements[0].1[0]])
}

#[test]
fn a_phone_gets_a_certificate_by_its_one_time_password_and_is_known_by_it() {
    let stage = Stage::plain();
    let (digits, key) = (stage.password(), rsa(2048));
    let mut session = stage.session();
    let asked = session.prove(&password(&digits));
    let lsc = session.install(asked, &key);
    let certificate = X509::from_der(&lsc.der).unwrap();
    assert!(certificate.verify(&stage.certificate(Role::Capf).public_key().unwrap()).unwrap());
    assert!(certificate.public_key().unwrap().public_eq(&key));
    let shown = stage.show();
    let sha256: String = sha256(&lsc.der).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown.pins[0].sha256.as_ref(), Some(&sha256));
    let issued = shown.issued.unwrap();
    assert_eq!(issued.serial, shown.pins[0].serial);
    assert!(shown.password_until_ms.is_none());
    assert_eq!(stage.count("certificates_issued"), 1);
    // The password is used up.
    assert_eq!(refused(stage.session().prove(&password(&digits))), REFUSED);
    assert_eq!(stage.count("password_missing"), 1);
}

#[test]
fn a_phone_that_proves_what_it_was_issued_has_nothing_to_do_unless_the_operator_asks() {
    let stage = Stage::plain();
    let mic = stage.mic(DEVICE);
    let mut session = stage.session();
    let asked = session.prove(&password(&stage.password()));
    let lsc = session.install(asked, &rsa(2048));
    let mut session = stage.session();
    let nothing = session.prove(&both(session.id, DEVICE, &lsc, &mic));
    assert_eq!(nothing, (15, vec![(1, vec![0])]));
    stage.wait_for("nothing_to_issue", 1);
    stage.password();
    let mut session = stage.session();
    let asked = session.prove(&both(session.id, DEVICE, &lsc, &mic));
    let second = session.install(asked, &rsa(2048));
    assert_ne!(second.der, lsc.der);
    // Both are good, until the next.
    assert_eq!(stage.show().pins.len(), 2);
    let mut session = stage.session();
    assert_eq!(session.prove(&both(session.id, DEVICE, &second, &mic)), (15, vec![(1, vec![0])]));
}

#[test]
fn a_certificate_near_its_end_is_renewed_and_one_past_it_proves_nothing() {
    let key = rsa(2048);
    let public = PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap();
    let (mut near, mut past) = (Vec::new(), Vec::new());
    let stage = Stage::start("", |phones, authority| {
        for (der, days, made) in [(&mut near, 20, seconds()), (&mut past, 1, seconds() - 2 * 86_400)] {
            let certificate = authority.issue_device(DEVICE, &public, days, made).unwrap();
            *der = certificate.to_der().unwrap();
            let serial = certificate.serial_number().to_bn().unwrap().to_vec();
            let id = CertificateId::new(&serial, "CN=it is known by its digest", sha256(der)).unwrap();
            let from = SystemTime::UNIX_EPOCH + Duration::from_secs(made.into());
            let until = from + Duration::from_secs(u64::from(days) * 86_400);
            let validity = phones::Validity { from, until };
            let source = IpAddr::from([127, 0, 0, 1]);
            let known = (device(), phones.epoch(device()).unwrap());
            phones.issued(known, &id, validity, source, SystemTime::now()).unwrap();
        }
    });
    let mic = stage.mic(DEVICE);
    let past = Holder { key: key.clone(), der: past };
    let mut session = stage.session();
    assert_eq!(refused(session.prove(&both(session.id, DEVICE, &past, &mic))), REFUSED);
    stage.wait_for("certificate_expired", 1);
    let near = Holder { key, der: near };
    let mut session = stage.session();
    let asked = session.prove(&both(session.id, DEVICE, &near, &mic));
    session.install(asked, &rsa(2048));
    assert_eq!(stage.count("certificates_issued"), 1);
}

#[test]
fn a_certificate_that_ends_with_the_authority_is_not_renewed_at_each_visit() {
    let day = 86_400;
    let stage = Stage::start_made(seconds() - (pinhole_trust::authority::DAYS - 10) * day, "", |_, _| ());
    let mic = stage.mic(DEVICE);
    let mut session = stage.session();
    let asked = session.prove(&password(&stage.password()));
    let lsc = session.install(asked, &rsa(2048));
    let end = stage.show().issued.unwrap().until_ms / 1000;
    assert!(end <= u64::from(seconds() + 10 * day), "it ends with the authority");
    for _ in 0..2 {
        let mut session = stage.session();
        let said = session.prove(&both(session.id, DEVICE, &lsc, &mic));
        assert_eq!(said, (15, vec![(1, vec![0])]));
    }
    assert_eq!(stage.count("certificates_issued"), 1);
    // Who asks for it gets another all the same.
    stage.password();
    let mut session = stage.session();
    let asked = session.prove(&both(session.id, DEVICE, &lsc, &mic));
    session.install(asked, &rsa(2048));
}

#[test]
fn a_phone_gets_an_ec_certificate_by_the_one_it_was_made_with() {
    let stage = Stage::start("key = \"ec_p256\"", |_, _| ());
    let mic = stage.mic(DEVICE);
    let mut session = stage.session();
    let asked = session.prove(&both(session.id, DEVICE, &mic, &mic));
    assert_eq!(asked.1, [(17, vec![1]), (18, vec![0])]);
    let key = phone::ec(openssl::nid::Nid::X9_62_PRIME256V1);
    let lsc = session.install(asked, &key);
    assert!(X509::from_der(&lsc.der).unwrap().public_key().unwrap().public_eq(&key));
    assert_eq!(stage.show().pins.len(), 2, "what it was made with is pinned, and what it was issued");
    // It has one now.
    let mut session = stage.session();
    assert_eq!(session.prove(&both(session.id, DEVICE, &mic, &mic)), (15, vec![(1, vec![0])]));
    // Another certificate of the same name is not the one that it is known by.
    let another = stage.mic(DEVICE);
    let mut session = stage.session();
    assert_eq!(refused(session.prove(&both(session.id, DEVICE, &another, &another))), REFUSED);
    stage.wait_for("pin_mismatch", 1);
}

#[test]
fn what_is_no_proof_is_refused_counted_and_in_the_time_line() {
    let stage = Stage::plain();
    stage.password();
    let (mic, other) = (stage.mic(DEVICE), stage.mic("SEP0010DB000002"));
    let stranger = holder(&common::Authority::new("unknown").sign(DEVICE, Validity::Now));
    let expired = holder(&stage.appliance.authority.sign(DEVICE, Validity::Past));
    type Proof<'a> = &'a dyn Fn(u32) -> Vec<Vec<u8>>;
    let cases: [(&str, Proof<'_>); 8] = [
        ("password_wrong", &|_| password("0000")),
        ("enrolment_unproved", &|_| password("")),
        ("enrolment_not_fresh", &|_| phone::standing(DEVICE, &mic)),
        ("enrolment_forged", &|id| both(id + 1, DEVICE, &mic, &mic)),
        ("certificate_of_other_device", &|id| both(id, DEVICE, &other, &other)),
        ("certificate_unknown_ca", &|id| both(id, DEVICE, &stranger, &stranger)),
        ("certificate_expired", &|id| both(id, DEVICE, &expired, &expired)),
        ("enrolment_malformed", &|_| vec![element(7, &[3])]),
    ];
    for (counter, proof) in cases {
        let mut session = stage.session();
        assert_eq!(refused(session.prove(&proof(session.id))), REFUSED, "{counter}");
        stage.wait_for(counter, 1);
        let timeline = stage.show().timeline;
        let noted = |moment: &phones::Moment| moment.failure.is_some_and(|failure| failure.name() == counter);
        assert!(timeline.iter().any(noted), "{counter} in {timeline:?}");
    }
    assert_eq!(stage.count("certificates_issued"), 0);
    assert!(stage.show().pins.is_empty(), "what is not proved is not pinned");
    // A device that is not allowed.
    let mut session = stage.session();
    let said = answer(session.id, "SEP0010DB000002", &password("0000"));
    assert_eq!(refused(session.say(&said)), (15, [9]));
    assert_eq!(stage.count("not_allowed"), 1);
}

#[test]
fn five_wrong_passwords_make_the_right_one_void() {
    let stage = Stage::plain();
    let digits = stage.password();
    for _ in 0..5 {
        assert_eq!(refused(stage.session().prove(&password("wrong"))), REFUSED);
    }
    assert_eq!(refused(stage.session().prove(&password(&digits))), REFUSED);
    assert_eq!((stage.count("password_wrong"), stage.count("password_exhausted")), (5, 1));
}

#[test]
fn a_withdrawn_certificate_is_deleted_by_the_phone() {
    let stage = Stage::plain();
    let mic = stage.mic(DEVICE);
    let withdraw = || {
        let client = Client::connect(&stage.appliance.admin_socket).unwrap();
        client.ask(Request::WithdrawCertificate { device: DEVICE.into() })
    };
    assert!(withdraw().unwrap_err().to_string().contains("no certificate was issued"));
    let mut session = stage.session();
    let asked = session.prove(&password(&stage.password()));
    let lsc = session.install(asked, &rsa(2048));
    assert!(matches!(withdraw().unwrap(), Response::Done(_)));
    let mut session = stage.session();
    let asked = session.prove(&both(session.id, DEVICE, &lsc, &mic));
    assert_eq!(asked, (13, vec![]));
    assert_eq!(session.say(&message(14, session.id, &[element(1, &[1])])), (15, vec![(1, vec![1])]));
    assert_eq!((stage.show().issued, stage.count("certificates_deleted")), (None, 1));
    // It is not known by that any more.
    let mut session = stage.session();
    assert_eq!(refused(session.prove(&both(session.id, DEVICE, &lsc, &mic))), REFUSED);
    stage.wait_for("certificate_unknown_ca", 1);
}

#[test]
fn a_phone_that_falls_silent_is_noted() {
    let stage = Stage::plain();
    let mut session = stage.session();
    assert_eq!(session.prove(&password(&stage.password())).0, 3);
    drop(session);
    stage.wait_for("enrolment_silent", 1);
    drop(stage.session());
    let name = |moment: &phones::Moment| moment.failure.map(|failure| failure.name());
    assert!(stage.show().timeline.iter().any(|moment| name(moment) == Some("enrolment_silent")));
}

#[test]
fn an_address_has_so_many_connections_and_gets_them_back() {
    let stage = Stage::start("limits = { connections_per_source = 2 }", |_, _| ());
    let held = [stage.session(), stage.session()];
    let mut third = TcpStream::connect(stage.capf).unwrap();
    third.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(matches!(third.read(&mut [0]), Ok(0) | Err(_)), "it is closed at once");
    assert_eq!(stage.count("enrolment_limit"), 1);
    drop(held);
    eventually(
        || {
            let mut socket = TcpStream::connect(stage.capf).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            // An open one says nothing before the phone does.
            socket.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        },
        "there is room again",
    );
}

#[test]
fn what_is_no_tls_or_no_enrolment_is_refused_and_counted() {
    let stage = Stage::plain();
    let mut socket = TcpStream::connect(stage.capf).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    stage.wait_for("handshake_failed", 1);
    stage.session().stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    stage.wait_for("enrolment_malformed", 1);
    stage.connect(Role::Tvs).write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    stage.wait_for("enrolment_malformed", 2);
}

#[test]
fn phones_are_told_whose_certificates_are_ours() {
    let stage = Stage::plain();
    let mut stream = stage.connect(Role::Tvs);
    let mut ask = |der: &[u8]| {
        let elements = [element(1, b"\0CP-8841-SEP0010DB000001"), element(2, der)].concat();
        let len = u16::try_from(elements.len()).unwrap().to_be_bytes();
        stream.write_all(&[&[87, 1, 1, 0, 0, 0, 0, 5], len.as_slice(), &elements].concat()).unwrap();
        let mut header = [0; 10];
        stream.read_exact(&mut header).unwrap();
        assert_eq!(header[..8], [87, 1, 2, 0, 0, 0, 0, 5]);
        let mut answer = vec![0; usize::from(header[8]) << 8 | usize::from(header[9])];
        stream.read_exact(&mut answer).unwrap();
        answer
    };
    let valid = |role: u8| [&[7, 0, 1, 0, 8, 0, 1, role, 9, 0, 4][..], &3600_u32.to_be_bytes()].concat();
    for (role, code) in
        [(Role::SastA, 0), (Role::CcmTftp, 2), (Role::Https, 3), (Role::Capf, 4), (Role::Tvs, 21)]
    {
        assert_eq!(ask(&stage.certificate(role).to_der().unwrap()), valid(code));
    }
    let signalling = std::fs::read(stage.appliance.file.parent().unwrap().join("server.crt")).unwrap();
    assert_eq!(ask(&X509::from_pem(&signalling).unwrap().to_der().unwrap()), valid(1));
    assert_eq!(ask(&stage.mic(DEVICE).der), [7, 0, 1, 1]);
    assert_eq!((stage.count("trust_confirmed"), stage.count("trust_denied")), (6, 1));
}
