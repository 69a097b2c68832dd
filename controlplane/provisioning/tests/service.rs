//! What is done about a request.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pinhole_provisioning::names::FileName;
use pinhole_provisioning::phones::{CertificateId, Delivery, PhonePolicy, Phones, Pin, Stage};
use pinhole_provisioning::service::{
    Action, ClusterFiles, ConfigurationTask, Encryption, FilePolicy, Form, Handling, OtherFiles, Request,
    Service, Transport, TrustList, check_file,
};
use pinhole_provisioning::xml::RewriteRules;
use pinhole_provisioning::{Counter, Counters, Device, Failure, SecurityClass};
use proptest::prelude::*;
use regex::Regex;
use tempfile::TempDir;

const SAMPLE: &[u8] = include_bytes!("data/SEP0010DB000001.cnf.xml");
const DEVICE: Device = Device::new([0x00, 0x10, 0xdb, 0, 0, 1]);
const OTHER: Device = Device::new([0x00, 0x10, 0xdb, 0, 0, 2]);
const CTL: &str = "CTLSEP0010DB000001.tlv";
const PLAIN: &str = "SEP0010DB000001.cnf.xml";
const SIGNED: &str = "SEP0010DB000001.cnf.xml.sgn";
const ENCRYPTED: &str = "SEP0010DB000001.cnf.xml.enc.sgn";
const NOW: Duration = Duration::from_secs(1_700_000_000);

struct Bench {
    service: Service,
    phones: Arc<Phones>,
    counters: Arc<Counters>,
    /// Whether the device's certificate is known.
    known: bool,
    _folder: TempDir,
}

impl Bench {
    fn new(policy: FilePolicy, encryption: Encryption) -> Self {
        let folder = TempDir::new().unwrap();
        let counters = Arc::new(Counters::default());
        let path = folder.path().join("phones.db");
        let phones = Arc::new(Phones::open(&path, PhonePolicy::default(), counters.clone()).unwrap());
        phones.allow(DEVICE, SecurityClass::Encrypted, now()).unwrap();
        let rules: RewriteRules =
            toml::from_str("[[call_manager]]\ninside = \"10.1.0.1\"\noutside = \"phones.example.net\"")
                .unwrap();
        let cluster = |name: &str, devices: &str, rules| ClusterFiles {
            name: name.into(),
            devices: Regex::new(devices).unwrap(),
            rules,
            encryption,
        };
        let clusters = vec![
            cluster("hq", "^SEP0010DB0000", rules),
            cluster("branch", "^SEP0010DB01", RewriteRules::default()),
        ];
        let service = Service::new(clusters, policy, phones.clone(), counters.clone());
        Self { service, phones, counters, known: false, _folder: folder }
    }

    fn default() -> Self {
        Self::new(FilePolicy::default(), Encryption::Off)
    }

    fn ask(&self, transport: Transport, name: impl AsRef<[u8]>) -> Action {
        self.ask_with(transport, name, None)
    }

    fn ask_with(
        &self,
        transport: Transport,
        name: impl AsRef<[u8]>,
        certificate: Option<(Device, &CertificateId)>,
    ) -> Action {
        let request = Request {
            transport,
            name: name.as_ref(),
            source: source(1),
            certificate,
            trust_list: Some(3),
            now: now(),
        };
        self.service.request(&request, &|_| self.known)
    }

    fn denied(&self, transport: Transport, name: impl AsRef<[u8]>) -> Failure {
        match self.ask(transport, name) {
            Action::Deny(failure) => {
                assert_eq!(self.counters.failures(failure), 1, "each refusal is counted once");
                failure
            }
            other => panic!("{other:?}"),
        }
    }

    fn with_trust_list(self) -> Self {
        match self.ask(Transport::Tftp, CTL) {
            Action::TrustList { list: TrustList::Ctl, grant: Some(grant) } => {
                assert!(self.phones.delivered(&grant, Delivery::Acknowledged, now()));
            }
            other => panic!("{other:?}"),
        }
        self
    }

    fn task(&self, transport: Transport, name: &str) -> ConfigurationTask {
        match self.ask(transport, name) {
            Action::Configuration(task) => task,
            other => panic!("{other:?}"),
        }
    }

    fn form(&self, transport: Transport, name: &str) -> Form {
        self.task(transport, name).form
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + NOW
}

fn source(number: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, number])
}

fn policy() -> FilePolicy {
    FilePolicy::default()
}

#[test]
fn phone_gets_our_trust_list_then_its_signed_configuration() {
    let bench = Bench::default().with_trust_list();
    let task = bench.task(Transport::Tftp, SIGNED);
    assert_eq!(task.form, Form::Signed { name: SIGNED.into() });
    assert_eq!((task.fetch.upstream.as_str(), task.fetch.name.as_str()), ("hq", PLAIN));
    let made = bench.service.configuration(&task, SAMPLE, now()).unwrap();
    assert!(String::from_utf8(made.body).unwrap().contains("<processNodeName>phones.example.net<"));
    assert!(bench.phones.delivered(&task.grant, Delivery::Acknowledged, now()));
    assert_eq!(bench.phones.show(DEVICE).unwrap().unwrap().stage, Stage::ConfigurationDelivered);
    assert_eq!(
        (bench.counters.get(Counter::TrustLists), bench.counters.get(Counter::Configurations)),
        (1, 1)
    );
}

#[test]
fn every_trust_list_is_our_own_and_none_comes_from_upstream() {
    let names = [
        "CTLSEP0010DB000001.tlv",
        "ITLSEP0010DB000001.tlv",
        "ext_ITLSEP0010DB000001.tlv",
        "CTLFile.tlv",
        "ITLFile.tlv",
    ];
    let generous = FilePolicy { common_trust_lists: true, extended_trust_lists: true, ..policy() };
    let bench = Bench::new(generous, Encryption::Off);
    for name in names {
        assert!(matches!(bench.ask(Transport::Http, name), Action::TrustList { .. }), "{name}");
    }
    let bench = Bench::default();
    assert_eq!(bench.denied(Transport::Tftp, names[2]), Failure::ExtendedTrustListRefused);
    assert_eq!(bench.denied(Transport::Tftp, names[3]), Failure::CommonTrustListRefused);
    let request = Request {
        transport: Transport::Tftp,
        name: CTL.as_bytes(),
        source: source(1),
        certificate: None,
        trust_list: None,
        now: now(),
    };
    let action = bench.service.request(&request, &|_| false);
    assert!(matches!(action, Action::Deny(Failure::TrustListUnavailable)));
}

#[test]
fn requests_out_of_order_or_of_strangers_are_refused_once_counted_and_noted() {
    let bench = Bench::default();
    assert_eq!(bench.denied(Transport::Tftp, SIGNED), Failure::TrustListMissing);
    assert_eq!(bench.denied(Transport::Tftp, "CTLSEP0010DB000002.tlv"), Failure::NotAllowed);
    assert_eq!(bench.denied(Transport::Tftp, "CTLSEP0010DB990001.tlv"), Failure::NoCluster);
    let seen = bench.phones.show(OTHER).unwrap().unwrap();
    assert_eq!(seen.timeline.len(), 1);
    assert_eq!(seen.timeline[0].failure, Some(Failure::NotAllowed));
    assert_eq!(bench.counters.get(Counter::Requests), 3);
}

#[test]
fn unsigned_names_are_refused_unless_the_policy_lets_them() {
    let bench = Bench::default().with_trust_list();
    assert_eq!(bench.denied(Transport::Http, PLAIN), Failure::UnsignedName);
    let bench = Bench::default().with_trust_list();
    assert_eq!(bench.denied(Transport::Tftp, "Ringlist.xml"), Failure::UnsignedName);
    let bench =
        Bench::new(FilePolicy { unsigned_names: true, ..policy() }, Encryption::Off).with_trust_list();
    assert_eq!(bench.form(Transport::Tftp, PLAIN), Form::Plain);
    let Action::File { handling, .. } = bench.ask(Transport::Tftp, "Ringlist.xml") else { panic!() };
    assert_eq!(handling, Handling::Pass);
}

#[test]
fn https_is_for_configurations_and_gives_them_unsigned() {
    let bench = Bench::default().with_trust_list();
    assert_eq!(bench.form(Transport::Https, PLAIN), Form::Plain);
    assert_eq!(bench.form(Transport::Https, SIGNED), Form::Plain);
    assert_eq!(bench.denied(Transport::Https, ENCRYPTED), Failure::EncryptionOff);
    assert_eq!(bench.denied(Transport::Https, CTL), Failure::NotOverHttps);
    assert!(matches!(bench.ask(Transport::Https, "Ringlist.xml.sgn"), Action::Deny(Failure::NotOverHttps)));
}

#[test]
fn what_would_go_encrypted_goes_by_https_only_to_who_shows_the_certificate() {
    let own = CertificateId::new(&[1], "CN=CA", [0; 32]).unwrap();
    for (encryption, known) in [(Encryption::Required, false), (Encryption::WhenKnown, true)] {
        let mut bench = Bench::new(policy(), encryption).with_trust_list();
        bench.known = known;
        assert_eq!(bench.denied(Transport::Https, SIGNED), Failure::CertificateNotSeen);
        let Action::Configuration(task) = bench.ask_with(Transport::Https, SIGNED, Some((DEVICE, &own)))
        else {
            panic!("{encryption:?}")
        };
        assert_eq!(task.form, Form::Plain);
    }
    let bench = Bench::new(policy(), Encryption::WhenKnown).with_trust_list();
    assert_eq!(bench.form(Transport::Https, SIGNED), Form::Plain);
}

#[test]
fn configuration_of_a_pinned_device_goes_by_https_only_to_its_certificate() {
    let bench = Bench::default().with_trust_list();
    bench.phones.pin(DEVICE, Pin::listed(&[1], Some("CN=CA")).unwrap(), now()).unwrap();
    assert_eq!(bench.denied(Transport::Https, PLAIN), Failure::CertificateNotSeen);
    let timeline = bench.phones.show(DEVICE).unwrap().unwrap().timeline;
    assert_eq!(timeline.last().unwrap().failure, Some(Failure::CertificateNotSeen));
    let shown = |serial| {
        let certificate = CertificateId::new(&[serial], "CN=CA", [0; 32]).unwrap();
        bench.ask_with(Transport::Https, PLAIN, Some((DEVICE, &certificate)))
    };
    assert!(matches!(shown(2), Action::Deny(Failure::PinMismatch)));
    assert!(matches!(shown(1), Action::Configuration(_)));
    // Elsewhere no certificate can be shown.
    assert_eq!(bench.form(Transport::Http, SIGNED), Form::Signed { name: SIGNED.into() });
}

#[test]
fn encryption_follows_whether_the_certificate_is_known() {
    let signed = Form::Signed { name: SIGNED.into() };
    let stub = Form::Stub { name: SIGNED.into() };
    let encrypted = Form::EncryptedSigned { name: ENCRYPTED.into() };
    let bench = Bench::default().with_trust_list();
    assert_eq!(bench.denied(Transport::Tftp, ENCRYPTED), Failure::EncryptionOff);
    assert_eq!(bench.form(Transport::Tftp, SIGNED), signed);
    let mut bench = Bench::new(policy(), Encryption::WhenKnown).with_trust_list();
    assert_eq!(bench.denied(Transport::Tftp, ENCRYPTED), Failure::CertificateNotSeen);
    assert_eq!(bench.form(Transport::Tftp, SIGNED), signed);
    bench.known = true;
    assert_eq!(bench.form(Transport::Tftp, ENCRYPTED), encrypted);
    assert_eq!(bench.form(Transport::Tftp, SIGNED), stub);
    let unsigned = FilePolicy { unsigned_names: true, ..policy() };
    let mut bench = Bench::new(unsigned, Encryption::Required).with_trust_list();
    assert_eq!(bench.denied(Transport::Tftp, SIGNED), Failure::CertificateNotSeen);
    bench.known = true;
    assert_eq!(bench.form(Transport::Tftp, ENCRYPTED), encrypted);
    assert_eq!(bench.form(Transport::Tftp, SIGNED), stub);
    assert_eq!(bench.denied(Transport::Tftp, PLAIN), Failure::UnsignedName);
}

#[test]
fn certificate_of_another_device_opens_nothing() {
    let bench = Bench::default().with_trust_list();
    let certificate = CertificateId::new(&[1], "CN=CA", [0; 32]).unwrap();
    let action = bench.ask_with(Transport::Https, SIGNED, Some((OTHER, &certificate)));
    assert!(matches!(action, Action::Deny(Failure::CertificateOfOtherDevice)));
    assert!(matches!(
        bench.ask_with(Transport::Https, SIGNED, Some((DEVICE, &certificate))),
        Action::Configuration(_)
    ));
}

#[test]
fn other_files_are_signed_and_firmware_passes() {
    let bench = Bench::default();
    assert_eq!(bench.denied(Transport::Tftp, "Ringlist.xml.sgn"), Failure::UnknownSource);
    let bench = bench.with_trust_list();
    for (name, upstream, expected) in [
        (
            "New_Zealand/g3-tones.xml.sgn",
            "New_Zealand/g3-tones.xml",
            Handling::Sign { name: "New_Zealand/g3-tones.xml.sgn".into(), sha512: false },
        ),
        (
            "Chime.rwb.sgn.sha512",
            "Chime.rwb",
            Handling::Sign { name: "Chime.rwb.sgn.sha512".into(), sha512: true },
        ),
        ("SIP42.9-3-1SR1-1S.loads", "SIP42.9-3-1SR1-1S.loads", Handling::Pass),
        ("rootfs.88xx.zz.sgn", "rootfs.88xx.zz.sgn", Handling::Pass),
    ] {
        let Action::File { fetch, handling, .. } = bench.ask(Transport::Tftp, name) else { panic!("{name}") };
        assert_eq!((fetch.upstream.as_str(), fetch.name.as_str()), ("hq", upstream));
        assert_eq!(handling, expected);
    }
    let anyone = Bench::new(FilePolicy { other_files: OtherFiles::Anyone, ..policy() }, Encryption::Off);
    assert!(matches!(anyone.ask(Transport::Tftp, "Ringlist.xml.sgn"), Action::File { .. }));
}

#[test]
fn default_configuration_and_bad_names_are_refused() {
    let bench = Bench::default().with_trust_list();
    assert_eq!(bench.denied(Transport::Tftp, "XMLDefault.cnf.xml.sgn"), Failure::DefaultConfigurationRefused);
    assert_eq!(bench.denied(Transport::Tftp, "../SEP0010DB000001.cnf.xml"), Failure::NameParentFolder);
    assert_eq!(bench.denied(Transport::Tftp, [b'a'; 10_000]), Failure::NameTooLong);
    assert_eq!(bench.denied(Transport::Tftp, "sep0010db000001.cnf.xml"), Failure::NameDisguised);
    assert_eq!(bench.denied(Transport::Http, "etc/passwd"), Failure::NameUnknownFolder);
}

#[test]
fn upload_of_a_trust_list_is_refused_and_changes_nothing() {
    let bench = Bench::default();
    assert_eq!(bench.service.upload(CTL.as_bytes(), source(6), now()), Failure::UploadRefused);
    assert_eq!(bench.service.upload(b"../x", source(6), now()), Failure::UploadRefused);
    assert_eq!(bench.counters.failures(Failure::UploadRefused), 2);
    let seen = bench.phones.show(DEVICE).unwrap().unwrap();
    assert_eq!((seen.stage, seen.trust_list), (Stage::Seen, None));
    assert_eq!(seen.timeline.last().unwrap().failure, Some(Failure::UploadRefused));
    assert_eq!(bench.phones.device_at(source(6), now()), None);
}

/// A configuration with these call managers.
fn of_call_managers(names: &[&str]) -> Vec<u8> {
    let member = |name: &&str| {
        format!("<member><callManager><processNodeName>{name}</processNodeName></callManager></member>")
    };
    let members: String = names.iter().map(member).collect();
    format!("<device><callManagerGroup><members>{members}</members></callManagerGroup></device>").into()
}

#[test]
fn configuration_that_cannot_be_given_has_its_own_failure() {
    let bench = Bench::default().with_trust_list();
    let task = bench.task(Transport::Tftp, SIGNED);
    for (fetched, failure) in [
        (&b"<device>"[..], Failure::ConfigurationParse),
        (b"<device/>", Failure::ConfigurationNoCallManager),
        (b"<device><fullConfig>false</fullConfig></device>", Failure::ConfigurationEncrypted),
        (&of_call_managers(&["cucm.example", "10.9.9.9"]), Failure::ConfigurationUnmapped),
        (&of_call_managers(&["cucm", "cucm.example"]), Failure::ConfigurationDns),
    ] {
        assert_eq!(bench.service.configuration(&task, fetched, now()).unwrap_err(), failure);
        assert_eq!(bench.counters.failures(failure), 1);
        let timeline = bench.phones.show(DEVICE).unwrap().unwrap().timeline;
        assert_eq!(timeline.last().unwrap().failure, Some(failure));
    }
    bench.service.failed(&task, Failure::UpstreamSilent, now());
    assert_eq!(bench.counters.failures(Failure::UpstreamSilent), 1);
}

#[test]
fn operator_sees_what_a_phone_would_get() {
    let bench = Bench::default();
    let preview = bench.service.preview(DEVICE, SAMPLE).unwrap();
    assert!(preview.changes.iter().any(|change| change.path == "device/deviceSecurityMode"));
    assert_eq!(bench.service.origin(DEVICE).unwrap().name, PLAIN);
    let strange = Device::new([9; 6]);
    assert!(bench.service.preview(strange, SAMPLE).is_err() && bench.service.origin(strange).is_none());
    assert_eq!(bench.counters.iter().filter(|(_, value)| *value != 0).count(), 0);
}

#[test]
fn fetched_files_must_be_what_their_names_say() {
    let check = |name: &str, fetched: &[u8]| match FileName::parse(name.as_bytes()).unwrap() {
        FileName::Other(file) => check_file(&file, fetched),
        other => panic!("{other:?}"),
    };
    for (name, good) in [
        ("Ringlist.xml.sgn", &b"\xef\xbb\xbf\r\n<CiscoIPPhoneRingList/>"[..]),
        ("Chime.rwb.sgn", b"\0\0"),
        ("x.loads", b"\x01\x00\x02\x01\x00"),
    ] {
        assert_eq!(check(name, good), Ok(()), "{name}");
    }
    for (name, bad) in [
        ("Ringlist.xml.sgn", &b""[..]),
        ("Ringlist.xml.sgn", b"404 not found"),
        ("Chime.rwb.sgn", b"\x01\x00\x02\x01\x00\x02"),
        ("x.loads", b""),
    ] {
        assert_eq!(check(name, bad), Err(Failure::FileParse), "{name}");
    }
    assert_eq!(check("Ringlist.xml.sgn", &[b'<'; (4 << 20) + 1]), Err(Failure::FileParse));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_request_ends_in_one_place_and_nothing_is_fetched_that_must_not_be(
        names in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "(CTL|ITL|ext_ITL)?(SEP0010DB00000[12])?(\\.cnf\\.xml|\\.tlv|Ringlist\\.xml|x\\.loads)(\\.enc)?(\\.sgn)?(\\.sha512)?"
                .prop_map(String::into_bytes),
        ], 1..20),
        transport in prop::sample::select(vec![Transport::Tftp, Transport::Http, Transport::Https]),
    ) {
        let bench = Bench::default();
        for name in &names {
            match bench.ask(transport, name) {
                Action::Deny(_) | Action::TrustList { .. } => {}
                Action::Configuration(task) => prop_assert!(task.fetch.name.ends_with(".cnf.xml")),
                Action::File { fetch, .. } => {
                    let lower = fetch.name.to_lowercase();
                    prop_assert!(!lower.contains(".cnf") && !lower.contains(".tlv"));
                }
            }
        }
        let counted: u64 = bench.counters.iter().map(|(_, value)| value).sum();
        prop_assert_eq!(counted, 2 * names.len() as u64);
    }
}
