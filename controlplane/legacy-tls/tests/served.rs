//! Old phones at a control plane that has started the process: OpenSSL's own client, with TLS 1.0.

#![allow(clippy::unwrap_used, reason = "only tests")]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/frames/mod.rs"]
mod frames;

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use common::{Appliance, Authority, Certified, eventually, free_address};
use frames::next;
use pinhole_admin::{EventKind, LegacyTls};
use pinhole_provisioning::SecurityClass;
use pinhole_provisioning::phones::{PhonePolicy, Phones};
use pinhole_sccp::{Frame, MessageId};

const DEVICE: &str = "SEP0010DB000001";
const OTHER: &str = "SEP0010DB000002";

/// An appliance with listeners for old phones.
struct Site {
    appliance: Appliance,
    sip: SocketAddr,
    sccp: SocketAddr,
    files: tempfile::TempDir,
}

impl Site {
    /// With these lines in `[legacy_tls]`.
    fn start(lines: &str) -> Self {
        Self::start_changed(lines, &[], |_| ())
    }

    fn start_changed(lines: &str, changes: &[(&str, &str)], before: impl FnOnce(&Path)) -> Self {
        let files = tempfile::tempdir().unwrap();
        let ours = Authority::new("ours").sign_rsa("pinhole.example");
        std::fs::write(files.path().join("old.crt"), ours.certificate.pem()).unwrap();
        std::fs::write(files.path().join("old.key"), ours.key.serialize_pem()).unwrap();
        let sip = free_address();
        let sccp = SocketAddr::new(sip.ip(), sip.port() + 1);
        let section = format!(
            "[legacy_tls]\nlisten = \"{sip}\"\ncertificate = \"{0}/old.crt\"\nkey = \"{0}/old.key\"\nprogram = \"{1}\"\n{lines}\n[limits]\n",
            files.path().display(),
            env!("CARGO_BIN_EXE_pinhole-legacy-tls")
        );
        let listen = format!("listen = \"203.0.113.5:2443\"\nlegacy_listen = \"{sccp}\"\n");
        let mut all = changes.to_vec();
        all.extend([("[limits]\n", section.as_str()), ("listen = \"203.0.113.5:2443\"\n", &listen)]);
        let appliance = Appliance::start_prepared(&all, before);
        let site = Self { appliance, sip, sccp, files };
        site.wait_until_ready();
        site
    }

    /// With the classes of two devices in the database of phones.
    fn start_with_classes(lines: &str) -> Self {
        Self::start_with_classes_of(lines, "^SEP")
    }

    /// The same where other devices than theirs may be the cluster's.
    fn start_with_classes_of(lines: &str, devices: &str) -> Self {
        let cluster = format!(
            "devices = \"{devices}\"\nauthenticated_devices = \"allow\"\ntftp_server = \"127.0.0.1:9\"\n[[cluster.rewrite.call_manager]]\n\
             inside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\n"
        );
        let changes = [
            (
                "[[cluster]]\n",
                "[provisioning]\ndirectory = \"/etc/pinhole/provisioning\"\n[provisioning.tftp]\nsingle_port = true\n\
                 listen = \"127.0.0.1:0\"\n[provisioning.phones]\ntrust_list_first = false\n[[cluster]]\n",
            ),
            ("devices = \"^SEP\"\n", cluster.as_str()),
            ("127.0.0.1:0", &free_address().to_string()),
        ];
        Self::start_changed(lines, &changes, |file| {
            let folder = file.parent().unwrap().join("provisioning");
            std::fs::create_dir(&folder).unwrap();
            let phones =
                Phones::open(&folder.join("phones.sqlite"), PhonePolicy::default(), Arc::default()).unwrap();
            for (device, class) in [(DEVICE, SecurityClass::Authenticated), (OTHER, SecurityClass::Encrypted)]
            {
                phones.allow(device.parse().unwrap(), class, SystemTime::now()).unwrap();
            }
        })
    }

    fn legacy(&self) -> LegacyTls {
        self.appliance.status().legacy_tls.unwrap()
    }

    fn wait_until_ready(&self) {
        eventually(
            || self.legacy().pid != 0 && !self.legacy().confined.is_empty(),
            "the process for old phones",
        );
    }

    /// OpenSSL's client, with TLS 1.0.
    fn connect(&self, listen: SocketAddr, cipher: &str, shown: Option<&Certified>) -> OldPhone {
        let path = |name: &str| -> PathBuf { self.files.path().join(name) };
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-tls1", "-cipher", &format!("{cipher}:@SECLEVEL=0")]);
        command.args(["-connect", &listen.to_string()]);
        if let Some(shown) = shown {
            std::fs::write(path("phone.crt"), shown.certificate.pem()).unwrap();
            std::fs::write(path("phone.key"), shown.key.serialize_pem()).unwrap();
            command.arg("-cert").arg(path("phone.crt")).arg("-key").arg(path("phone.key"));
        }
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = piped.spawn().unwrap();
        let (says, hears) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        OldPhone { child, says, hears }
    }

    fn old_phone(&self, device: &str) -> OldPhone {
        self.connect(self.sip, "AES128-SHA", Some(&self.appliance.authority.sign_rsa(device)))
    }

    fn refused(&self, name: &str) -> u64 {
        self.appliance.counter("tls", &format!("refused_{name}"))
    }
}

struct OldPhone {
    child: Child,
    says: ChildStdin,
    hears: BufReader<ChildStdout>,
}

impl OldPhone {
    /// A CRLF keep-alive; whether it is answered.
    fn is_served(&mut self) -> bool {
        let mut answer = [0; 2];
        let said = self.says.write_all(b"\r\n\r\n").and_then(|()| self.says.flush());
        said.is_ok() && self.hears.read_exact(&mut answer).is_ok() && answer == *b"\r\n"
    }

    /// Waits for its end.
    fn is_cut_off(&mut self) -> bool {
        let mut rest = Vec::new();
        self.hears.read_to_end(&mut rest).is_ok() && rest.is_empty()
    }

    fn next_frame(&mut self) -> Option<Frame> {
        next(&mut self.hears)
    }
}

impl Drop for OldPhone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn old_phone_is_served_by_its_listener_and_refused_by_the_modern_one() {
    let site = Site::start("");
    let shown = site.appliance.authority.sign_rsa(DEVICE);
    let mut phone = site.connect(site.sip, "AES128-SHA", Some(&shown));
    assert!(phone.is_served());
    assert_eq!(site.appliance.status().connections, 1);
    assert_eq!(site.legacy().connections, 1);
    let pinhole_admin::Response::Phones(phones) = site.appliance.ask(pinhole_admin::Request::Phones) else {
        panic!("no phones")
    };
    assert_eq!((phones[0].device.as_str(), phones[0].tls.as_str()), (DEVICE, "TLS 1.0 AES128-SHA (legacy)"));
    drop(phone);
    eventually(|| site.appliance.status().connections + site.legacy().connections == 0, "it is forgotten");

    let before = site.refused("protocol");
    assert!(!site.connect(site.appliance.listen, "AES128-SHA", Some(&shown)).is_served());
    site.appliance.wait_for("tls", "refused_protocol", before + 1);
    // Nobody may send in the clear unless that was said.
    assert!(!site.connect(site.sip, "NULL-SHA", Some(&shown)).is_served());
    site.appliance.wait_for("tls", "refused_protocol", before + 2);
    assert_eq!(site.appliance.counter("legacy_tls", "handed_over"), 1);
    let events = site.appliance.events();
    let loud = |text: &str| {
        let warns = |event: &&pinhole_admin::Event| event.kind == EventKind::Warning;
        events.iter().filter(warns).any(|event| event.text.contains(text))
    };
    assert!(loud("LEGACY TLS: TLS 1.0 to TLS 1.2 with AES128-SHA, AES256-SHA at"), "{events:?}");
}

#[test]
fn null_cipher_is_for_devices_of_class_authenticated() {
    let site = Site::start_with_classes("null_cipher = true");
    let mut phone = site.connect(site.sip, "NULL-SHA", Some(&site.appliance.authority.sign_rsa(DEVICE)));
    assert!(phone.is_served());
    assert!(!site.connect(site.sip, "NULL-SHA", Some(&site.appliance.authority.sign_rsa(OTHER))).is_served());
    site.appliance.wait_for("legacy_tls", "refused_null_cipher", 1);
    let stranger = site.appliance.authority.sign_rsa("SEP0010DB000003");
    assert!(!site.connect(site.sip, "NULL-SHA", Some(&stranger)).is_served());
    site.appliance.wait_for("legacy_tls", "refused_null_cipher", 2);
    assert!(site.appliance.events().iter().any(|event| {
        event.kind == EventKind::PhoneRefused && event.text.contains("class is not authenticated")
    }));
    // With encryption it may come.
    assert!(site.old_phone(OTHER).is_served());
    assert!(phone.is_served());
    let (shown, before) = (site.appliance.authority.sign_rsa(DEVICE), site.refused("protocol"));
    assert!(!site.connect(site.appliance.listen, "NULL-SHA", Some(&shown)).is_served());
    site.appliance.wait_for("tls", "refused_protocol", before + 1);
}

#[test]
fn null_cipher_is_refused_where_no_cluster_allows_the_class() {
    // What the database still says of a device that has left the cluster does not count.
    let site = Site::start_with_classes_of("null_cipher = true", "^SEP00FF");
    assert!(
        !site.connect(site.sip, "NULL-SHA", Some(&site.appliance.authority.sign_rsa(DEVICE))).is_served()
    );
    site.appliance.wait_for("legacy_tls", "refused_null_cipher", 1);
}

#[test]
fn phone_without_certificate_or_with_a_foreign_one_is_refused_as_everywhere() {
    let site = Site::start("");
    assert!(!site.connect(site.sip, "AES128-SHA", None).is_served());
    site.appliance.wait_for("tls", "refused_no_certificate", 1);
    let foreign = Authority::new("strangers").sign_rsa(DEVICE);
    for listen in [site.sip, site.sccp] {
        let before = site.refused("unknown_ca");
        assert!(!site.connect(listen, "AES128-SHA", Some(&foreign)).is_served());
        site.appliance.wait_for("tls", "refused_unknown_ca", before + 1);
    }
    eventually(|| site.legacy().connections == 0, "none is left");
}

#[test]
fn only_the_devices_that_are_named_may_come_by_old_tls() {
    let site = Site::start("devices = \"1$\"");
    assert!(!site.old_phone(OTHER).is_served());
    site.appliance.wait_for("legacy_tls", "refused_device", 1);
    assert!(site.old_phone(DEVICE).is_served());
}

#[test]
fn when_the_process_is_killed_only_its_phones_drop_and_it_is_started_again() {
    let site = Site::start("");
    let mut modern = site.appliance.device(OTHER);
    let mut old = site.old_phone(DEVICE);
    assert!(modern.is_served() && old.is_served());
    let before = site.legacy();
    let killed = Command::new("kill").args(["-KILL", &before.pid.to_string()]).status().unwrap();
    assert!(killed.success());
    assert!(old.is_cut_off());
    eventually(|| site.legacy().started == 2 && site.legacy().pid != 0, "it is started again");
    assert_ne!(site.legacy().pid, before.pid);
    assert!(modern.is_served());
    eventually(|| site.appliance.status().connections == 1, "the old phone is forgotten");
    assert!(site.old_phone(DEVICE).is_served());
    assert_eq!(site.appliance.counter("legacy_tls", "ended"), 1);
    let told = |event: &pinhole_admin::Event| event.text.contains("old phones are cut off, others are not");
    assert!(site.appliance.events().iter().any(told));
    // It goes with the control plane.
    let pid = site.legacy().pid;
    drop(site);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn process_that_closes_its_channel_and_stays_is_ended_and_holds_up_nobody() {
    let files = tempfile::tempdir().unwrap();
    let program = files.path().join("stays");
    std::fs::write(&program, "#!/bin/sh\nhead -c 1 >/dev/null\nexec sleep 1000 0<&-\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ours = Authority::new("ours").sign_rsa("pinhole.example");
    let [certificate, key] = ["old.crt", "old.key"].map(|name| files.path().join(name));
    std::fs::write(&certificate, ours.certificate.pem()).unwrap();
    std::fs::write(&key, ours.key.serialize_pem()).unwrap();
    let section = format!(
        "[legacy_tls]\nlisten = \"{}\"\ncertificate = {certificate:?}\nkey = {key:?}\nprogram = {program:?}\n[limits]\n",
        free_address()
    );
    let appliance = Appliance::start_prepared(&[("[limits]\n", section.as_str())], |_| ());
    let told = |event: &pinhole_admin::Event| event.text.contains("closed its channel");
    eventually(|| appliance.events().iter().any(told), "its end is told");
    eventually(|| appliance.counter("legacy_tls", "started") >= 2, "it is started again");
    drop(appliance);
}

#[test]
fn renewed_certificates_and_trust_hold_for_connections_to_come() {
    let site = Site::start("");
    let mut before = site.old_phone(DEVICE);
    assert!(before.is_served());
    let certificate = || {
        let mut command = Command::new("openssl");
        command.args([
            "s_client",
            "-tls1",
            "-cipher",
            "AES128-SHA:@SECLEVEL=0",
            "-connect",
            &site.sip.to_string(),
        ]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(certificate().contains("CN = pinhole.example"));
    let renewed = Authority::new("ours").sign_rsa("renewed.example");
    std::fs::write(site.files.path().join("old.crt"), renewed.certificate.pem()).unwrap();
    std::fs::write(site.files.path().join("old.key"), renewed.key.serialize_pem()).unwrap();
    site.appliance.reload();
    eventually(|| certificate().contains("CN = renewed.example"), "the new certificate");
    assert!(before.is_served() && site.legacy().started == 1);
}

#[test]
fn old_phone_registers_by_sccp() {
    let call_manager = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = call_manager.local_addr().unwrap().to_string();
    let site = Site::start_changed("", &[("10.20.0.10:2000", address.as_str())], |_| ());
    let shown = site.appliance.authority.sign_rsa(DEVICE);
    let mut phone = site.connect(site.sccp, "AES256-SHA", Some(&shown));
    let mut body = vec![0; 172];
    body[..DEVICE.len()].copy_from_slice(DEVICE.as_bytes());
    let register = Frame::new(MessageId::REGISTER, 0, &body).unwrap();
    phone.says.write_all(register.as_bytes()).unwrap();
    phone.says.flush().unwrap();
    let (mut server, _) = call_manager.accept().unwrap();
    let mut request = vec![0; register.as_bytes().len()];
    server.read_exact(&mut request).unwrap();
    let mut ack = vec![0; 20];
    (ack[0], ack[12], ack[16]) = (30, 60, 17);
    let ack = Frame::new(MessageId::REGISTER_ACK, 0, &ack).unwrap();
    server.write_all(ack.as_bytes()).unwrap();
    assert_eq!(phone.next_frame(), Some(ack));
    eventually(|| site.appliance.status().registered == 1, "registered");
    drop(server);
    assert!(phone.is_cut_off());
}
