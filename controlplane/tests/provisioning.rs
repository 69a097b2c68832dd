//! What a phone fetches from the running process by TFTP: a packaged client on one side, a packaged server with a call
//! manager's configurations on the other. Signatures are checked with OpenSSL on bytes that are cut out here.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "only tests use what is here")]

mod authority;
mod common;

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use common::Appliance;
use common::provisioning::{CONFIGURATION, CallManager, DEVICE, free_udp, serve, signed};
use pinhole_admin::{Request, Response};

struct Stage {
    appliance: Appliance,
    call_manager: CallManager,
    port: u16,
    downloads: tempfile::TempDir,
}

impl Stage {
    fn start(section: &str) -> Self {
        Self::start_with(section, |_| ())
    }

    /// After `before` had the configuration's file.
    fn start_with(section: &str, before: impl FnOnce(&std::path::Path)) -> Self {
        let call_manager = CallManager::start();
        let ports = free_udp(17);
        let provisioning = format!(
            "[provisioning]\ndirectory = \"/etc/pinhole/provisioning\"\n{section}\n[provisioning.tftp]\n\
             listen = \"127.0.0.1:{ports}\"\nreply_port = {}\n[[cluster]]\n",
            ports + 1
        );
        let cluster = format!(
            "devices = \"^SEP\"\ntftp_server = \"127.0.0.1:{}\"\n[[cluster.rewrite.call_manager]]\n\
             inside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\nsip_tls_port = 5071\n",
            call_manager.port
        );
        let changes = [("[[cluster]]\n", provisioning.as_str()), ("devices = \"^SEP\"\n", cluster.as_str())];
        let appliance = Appliance::start_prepared(&changes, before);
        Self { appliance, call_manager, port: ports, downloads: tempfile::tempdir().unwrap() }
    }

    fn directory(&self) -> PathBuf {
        self.appliance.file.parent().unwrap().join("provisioning")
    }

    fn create_keys(&self) {
        authority::create(&self.appliance.file);
        let begun = Instant::now();
        while self.get("SEP0010DB00FFFF.cnf.xml.sgn").is_some()
            || !self.appliance.events().iter().any(|event| event.text.contains("trust lists are served"))
        {
            assert!(begun.elapsed() < Duration::from_secs(20), "the keys are not read");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Fetches a file with a packaged client; `None` if it is refused as not found.
    fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.get_from("127.0.0.1", name)
    }

    /// From this address.
    fn get_from(&self, address: &str, name: &str) -> Option<Vec<u8>> {
        let to = self.downloads.path().join("file");
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "30",
                "--path-as-is",
                "--interface",
                address,
                "-o",
                to.to_str().unwrap(),
            ])
            .arg(format!("tftp://127.0.0.1:{}/{name}", self.port))
            .output()
            .expect("curl is needed (scripts/test installs it)");
        match output.status.code() {
            Some(0) => Some(std::fs::read(&to).unwrap()),
            Some(68) => None,
            other => panic!("curl ends with {other:?}: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Asks for a file, by a socket that answers nothing by itself.
    fn ask_for(&self, name: &str, options: &[u8]) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let request = [b"\0\x01", name.as_bytes(), b"\0octet\0", options].concat();
        socket.send_to(&request, ("127.0.0.1", self.port)).unwrap();
        socket
    }

    /// What happened to the phone that counts as this failure.
    fn has_met(&self, failure: &str) -> bool {
        self.show()["timeline"].as_array().unwrap().iter().any(|moment| moment["failure"] == failure)
    }

    fn allow(&self, device: &str) {
        let answer = self.appliance.ask(Request::AllowPhone { device: device.into(), class: None });
        assert!(matches!(answer, Response::Done(_)), "{answer:?}");
    }

    fn failures(&self, name: &str) -> u64 {
        self.appliance.counter("provisioning", name)
    }

    fn show(&self) -> serde_json::Value {
        match self.appliance.ask(Request::Provisioned { device: Some(DEVICE.into()) }) {
            Response::Provisioned(mut phones) => phones.remove(0),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_phone_fetches_trust_list_and_signed_configuration_and_can_check_both() {
    let stage = Stage::start("");
    stage.create_keys();
    stage.allow(DEVICE);
    // The configuration only after the trust list.
    assert_eq!(stage.get(&format!("{DEVICE}.cnf.xml.sgn")), None);
    assert_eq!(stage.failures("trust_list_missing"), 1);
    let list = signed(&stage.get(&format!("CTL{DEVICE}.tlv")).expect("a trust list"));
    assert_eq!(list.tag(14), b"CTLFile.tlv\0");
    let certificates = list.certificates();
    let of =
        |wanted: u16| certificates.iter().filter(move |(function, _)| *function == wanted).map(|(_, of)| of);
    assert_eq!(of(0).count(), 2, "two security administrators");
    assert_eq!(of(0).filter(|sast| list.is_of(sast)).count(), 1, "one of them has signed");

    let name = format!("{DEVICE}.cnf.xml.sgn");
    let configuration = signed(&stage.get(&name).expect("a configuration"));
    assert_eq!(configuration.tag(14), format!("{name}\0").as_bytes());
    assert!(of(2).any(|tftp| configuration.is_of(tftp)), "signed by a TFTP role of the list");
    let text = String::from_utf8(configuration.content).unwrap();
    for expected in [
        "<deviceSecurityMode>3</deviceSecurityMode>",
        "<transportLayerProtocol>3</transportLayerProtocol>",
        "<processNodeName>203.0.113.5</processNodeName>",
        "<securedSipPort>5071</securedSipPort>",
        "<webAccess>1</webAccess>",
        "<ourOwn><kept a=\"1\"/></ourOwn>",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    // The last acknowledgement may come after the client has gone.
    let begun = Instant::now();
    while stage.show()["stage"] != "configuration_delivered" {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", stage.show());
        std::thread::sleep(Duration::from_millis(20));
    }
    let moments = stage.show()["timeline"].to_string();
    assert!(moments.contains("trust_list_missing") && moments.contains("delivered"), "{moments}");
}

#[test]
fn what_is_not_for_a_phone_is_refused_and_counted_each_by_its_reason() {
    let stage = Stage::start("");
    stage.create_keys();
    stage.allow(DEVICE);
    let long = "a".repeat(127);
    for (name, counter) in [
        ("CTLSEP0010DB000099.tlv", "not_allowed"),
        ("CTLFile.tlv", "common_trust_list_refused"),
        ("SEP0010DB000001.cnf.xml", "unsigned_name"),
        ("XMLDefault.cnf.xml", "default_configuration_refused"),
        ("Ringlist.xml.sgn", "unknown_source"),
        ("../SEP0010DB000001.cnf.xml.sgn", "name_parent_folder"),
        (&long, "name_unknown"),
    ] {
        let before = stage.failures(counter);
        assert_eq!(stage.get(name), None, "{name}");
        assert_eq!(stage.failures(counter), before + 1, "{name} counts as {counter}");
    }
    assert!(stage.get(&format!("CTL{DEVICE}.tlv")).is_some());
    assert!(stage.get("Ringlist.xml.sgn").is_some(), "now a phone is known there");
}

#[test]
fn an_injected_trust_list_is_refused_unread() {
    let stage = Stage::start("");
    stage.create_keys();
    stage.allow(DEVICE);
    let before = stage.get(&format!("CTL{DEVICE}.tlv")).unwrap();
    let list = stage.downloads.path().join("list");
    std::fs::write(&list, b"another list").unwrap();
    let status = Command::new("curl")
        .args(["--silent", "--max-time", "20", "-T", list.to_str().unwrap()])
        .arg(format!("tftp://127.0.0.1:{}/CTL{DEVICE}.tlv", stage.port))
        .status()
        .unwrap();
    // CURLE_TFTP_PERM.
    assert_eq!(status.code(), Some(69));
    assert!(stage.failures("upload_refused") >= 1);
    assert_eq!(stage.get(&format!("CTL{DEVICE}.tlv")).unwrap(), before);
}

#[test]
fn without_keys_there_is_no_trust_list() {
    let stage = Stage::start("");
    stage.allow(DEVICE);
    assert_eq!(stage.get(&format!("CTL{DEVICE}.tlv")), None);
    assert_eq!(stage.failures("trust_list_unavailable"), 1);
    assert!(stage.directory().join("phones.sqlite").exists());
}

#[test]
fn an_authority_that_is_not_whole_stops_nothing_but_trust_lists_until_it_is() {
    let made = tempfile::tempdir().unwrap();
    let stage = Stage::start_with("", |file| {
        let settings = pinhole_controlplane::config::Config::load(file).unwrap().provisioning.unwrap();
        let whole = made.path().join("authority");
        pinhole_trust::Authority::create(&whole, &settings.naming(), 1_790_000_000).unwrap();
        std::fs::create_dir_all(settings.authority()).unwrap();
        // As a crash or a copy by hand leaves it.
        std::fs::write(settings.authority().join("sast-a.crt.pem"), b"-----BEGIN CERT").unwrap();
    });
    stage.allow(DEVICE);
    let said = |text: &str| stage.appliance.events().iter().any(|event| event.text.contains(text));
    assert!(said("keys cannot be used, so phones get no trust list"));
    assert_eq!(stage.get(&format!("CTL{DEVICE}.tlv")), None);
    for entry in std::fs::read_dir(made.path().join("authority")).unwrap() {
        let (from, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if from.is_file() {
            std::fs::copy(from, stage.directory().join("authority").join(name)).unwrap();
        }
    }
    common::eventually(|| said("trust lists are served"), "the keys are read");
    assert!(stage.get(&format!("CTL{DEVICE}.tlv")).is_some());
}

#[test]
fn keys_are_found_when_what_was_wrong_is_put_right_though_no_file_is_newer() {
    let stage = Stage::start_with("", |file| {
        // Something old stands where the lists are to be.
        let wrong = std::fs::File::create(authority::create(file).join("issued")).unwrap();
        wrong.set_modified(std::time::UNIX_EPOCH).unwrap();
    });
    stage.allow(DEVICE);
    let told = |text: &str| stage.appliance.events().iter().filter(|event| event.text.contains(text)).count();
    assert_eq!(told("keys cannot be used, so phones get no trust list"), 1);
    std::fs::remove_file(stage.directory().join("authority/issued")).unwrap();
    common::eventually(|| told("trust lists are served") == 1, "the keys are read");
    assert!(stage.get(&format!("CTL{DEVICE}.tlv")).is_some());
    assert_eq!(told("keys cannot be used"), 1, "it is said once");
}

#[test]
fn the_last_good_configuration_is_given_while_the_call_manager_is_down() {
    let mut stage = Stage::start("");
    stage.create_keys();
    stage.allow(DEVICE);
    let (list, name) = (format!("CTL{DEVICE}.tlv"), format!("{DEVICE}.cnf.xml.sgn"));
    assert!(stage.get(&list).is_some());
    let good = signed(&stage.get(&name).unwrap()).content;
    common::eventually(|| stage.failures("cache_stored") == 1, "it is kept");
    stage.call_manager.stop();
    let stale = signed(&stage.get(&name).expect("the last good copy")).content;
    assert_eq!(stale, good);
    assert_eq!(stage.failures("stale"), 1);
    std::fs::remove_file(stage.call_manager.folder.path().join(format!("{DEVICE}.cnf.xml"))).unwrap();
    stage.call_manager.child = serve(stage.call_manager.folder.path(), stage.call_manager.port);
    let begun = Instant::now();
    // A phone that the call manager no longer has gets nothing.
    while stage.get(&name).is_some() {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    assert!(stage.failures("file_not_found") >= 1);
}

#[test]
fn enrolment_lets_as_many_phones_come_as_were_expected() {
    let stage = Stage::start("");
    stage.create_keys();
    let opened = stage.appliance.ask(Request::OpenEnrolment { minutes: 5, devices: 1 });
    assert!(matches!(opened, Response::Done(_)), "{opened:?}");
    assert!(stage.get(&format!("CTL{DEVICE}.tlv")).is_some());
    assert_eq!(stage.get("CTLSEP0010DB000002.tlv"), None);
    assert_eq!(stage.failures("enrolment_full"), 1);
    let forgotten = stage.appliance.ask(Request::ForgetPhone { device: DEVICE.into() });
    assert!(matches!(forgotten, Response::Done(_)), "{forgotten:?}");
    stage.appliance.ask(Request::OpenEnrolment { minutes: 0, devices: 0 });
    let before = stage.failures("not_allowed");
    assert_eq!(stage.get(&format!("CTL{DEVICE}.tlv")), None);
    assert_eq!(stage.failures("not_allowed"), before + 1);
}

#[test]
fn a_phone_that_refuses_a_file_or_falls_silent_is_told_from_one_that_has_it() {
    let stage = Stage::start("");
    stage.create_keys();
    stage.allow(DEVICE);
    let list = format!("CTL{DEVICE}.tlv");
    let phone = stage.ask_for(&list, b"");
    let mut first = [0; 600];
    let (_, from) = phone.recv_from(&mut first).unwrap();
    assert_eq!(first[..4], [0, 3, 0, 1], "the first block");
    phone.send_to(b"\0\x05\0\0Trust list is not of the list before\0", from).unwrap();
    common::eventually(|| stage.failures("tftp_authentication") == 1, "the phone's refusal");
    assert!(stage.has_met("tftp_authentication"));

    assert!(stage.get(&list).is_some());
    let every_second = b"timeout\x001\0";
    let silent =
        [stage.ask_for(&list, every_second), stage.ask_for(&format!("{DEVICE}.cnf.xml.sgn"), every_second)];
    for failure in ["trust_list_undelivered", "phone_silent"] {
        common::eventually(|| stage.failures(failure) == 1, failure);
        assert!(stage.has_met(failure));
    }
    assert_eq!(stage.failures("tftp_authentication"), 1);
    drop(silent);
}

#[test]
fn ten_times_the_rate_from_one_address_is_counted_and_leaves_others_served() {
    let stage = Stage::start("");
    stage.create_keys();
    stage.allow(DEVICE);
    let list = format!("CTL{DEVICE}.tlv");
    // 10 a second, and 100 at once, is what an address may ask for.
    let mut flood = Vec::new();
    for _ in 0..10 {
        flood.extend((0..100).map(|_| stage.ask_for("nothing", b"")));
        assert!(stage.get_from("127.0.0.2", &list).is_some());
    }
    assert!(stage.failures("rate_limited") > 500);
}

#[test]
fn phones_of_two_clusters_get_the_configurations_of_their_own_call_managers() {
    const OTHER: &str = "SEP0010DB000002";
    let other = CallManager::start();
    let of_other = CONFIGURATION.replace("10.20.0.10", "cucm.other.example").replace("a=\"1\"", "a=\"2\"");
    for device in [DEVICE, OTHER] {
        std::fs::write(other.folder.path().join(format!("{device}.cnf.xml")), &of_other).unwrap();
    }
    let stage = Stage::start(&format!(
        "[[cluster]]\nname = \"other\"\ncall_manager = \"127.0.0.4:5060\"\nlocal = \"{}\"\nport = \"inside\"\n\
         domain = \"other.example\"\ndevices = \"2$\"\ntftp_server = \"127.0.0.1:{}\"\n\
         [[cluster.rewrite.call_manager]]\ninside = \"cucm.other.example\"\noutside = \"phones.other.example\"\n\
         sip_tls_port = 5072\n",
        common::free_address(),
        other.port
    ));
    stage.create_keys();
    for (device, expected) in
        [(DEVICE, ["203.0.113.5", "5071", "a=\"1\""]), (OTHER, ["phones.other.example", "5072", "a=\"2\""])]
    {
        stage.allow(device);
        assert!(stage.get(&format!("CTL{device}.tlv")).is_some());
        let configuration = signed(&stage.get(&format!("{device}.cnf.xml.sgn")).unwrap()).content;
        let text = String::from_utf8(configuration).unwrap();
        for words in expected {
            assert!(text.contains(words), "{words} in {text}");
        }
    }
}
