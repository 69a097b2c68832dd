//! What a phone fetches from the running process by HTTP: a packaged client on one side, a packaged server with a call
//! manager's configurations on the other.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "only tests use what is here")]

mod authority;
mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::provisioning::{CallManager, DEVICE, free_udp, signed};
use common::{Appliance, Authority, Certified, Validity, eventually};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::x509::X509;
use pinhole_admin::{Request, Response};

struct Stage {
    appliance: Appliance,
    call_manager: CallManager,
    http: SocketAddr,
    https: SocketAddr,
    folder: tempfile::TempDir,
}

/// What curl says of a response.
struct Got {
    status: u16,
    head: String,
    content: Vec<u8>,
}

impl Stage {
    fn start(limits: &str) -> Self {
        Self::start_with(limits, "")
    }

    fn start_with(limits: &str, cluster: &str) -> Self {
        let call_manager = CallManager::start();
        let cluster = format!("tftp_server = \"127.0.0.1:{}\"\n{cluster}", call_manager.port);
        Self::launch(limits, &cluster, call_manager)
    }

    fn launch(limits: &str, cluster: &str, call_manager: CallManager) -> Self {
        let tftp = free_udp(17);
        let [http, https] = free_tcp();
        let provisioning = format!(
            "[provisioning]\ndirectory = \"/etc/pinhole/provisioning\"\n[provisioning.tftp]\n\
             listen = \"127.0.0.1:{tftp}\"\nreply_port = {}\nrequests_per_source = 1000\nkilobytes_per_source = 4000\n\
             [provisioning.http]\nlisten = \"{http}\"\n{limits}\n\
             [provisioning.https]\nlisten = \"{https}\"\n[[cluster]]\n",
            tftp + 1
        );
        let cluster = format!(
            "devices = \"^SEP\"\n{cluster}\n[[cluster.rewrite.call_manager]]\n\
             inside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\nsip_tls_port = 5071\n",
        );
        let changes = [("[[cluster]]\n", provisioning.as_str()), ("devices = \"^SEP\"\n", cluster.as_str())];
        let appliance = Appliance::start_changed(&changes);
        let folder = tempfile::tempdir().unwrap();
        let stage = Self { appliance, call_manager, http, https, folder };
        stage.create_keys();
        stage.allow(DEVICE);
        stage
    }

    fn create_keys(&self) {
        authority::create(&self.appliance.file);
        eventually(
            || self.appliance.events().iter().any(|event| event.text.contains("trust lists are served")),
            "the keys are read",
        );
    }

    fn allow(&self, device: &str) {
        let answer = self.appliance.ask(Request::AllowPhone { device: device.into(), class: None });
        assert!(matches!(answer, Response::Done(_)), "{answer:?}");
    }

    fn curl(&self, name: &str, options: &[&str]) -> Got {
        self.try_curl("http", self.http, name, options).unwrap()
    }

    /// By HTTPS, trusting nobody but the certificate of that name in our folder of keys.
    fn secure(&self, name: &str, options: &[&str]) -> Result<Got, String> {
        let own = self.keys().join("https.crt.pem");
        let options = [&["--cacert", own.to_str().unwrap()], options].concat();
        self.try_curl("https", self.https, name, &options)
    }

    fn keys(&self) -> PathBuf {
        self.appliance.file.parent().unwrap().join("provisioning/authority")
    }

    /// The trust list, read to its end.
    fn fetch_trust_list(&self) {
        assert_eq!(self.get(&format!("ITL{DEVICE}.tlv")).status, 200);
        eventually(|| self.show()["stage"] == "trust_list_delivered", "the trust list is delivered");
    }

    /// Writes a certificate with its key as curl takes them.
    fn certified(&self, Certified { certificate, key }: &Certified) -> [String; 4] {
        let path = |name| self.folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("own.crt"), certificate.pem()).unwrap();
        std::fs::write(path("own.key"), key.serialize_pem()).unwrap();
        ["--cert".into(), path("own.crt"), "--key".into(), path("own.key")]
    }

    fn try_curl(&self, scheme: &str, at: SocketAddr, name: &str, options: &[&str]) -> Result<Got, String> {
        let (head, content) = (self.folder.path().join("head"), self.folder.path().join("content"));
        std::fs::write(&content, b"").unwrap();
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", "--path-as-is", "-w", "%{http_code}"])
            .args(["-D", head.to_str().unwrap(), "-o", content.to_str().unwrap()])
            .args(options)
            .arg(format!("{scheme}://{at}/{name}"))
            .output()
            .expect("curl is needed (scripts/test installs it)");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(Got {
            status: String::from_utf8(output.stdout).unwrap().parse().unwrap(),
            head: std::fs::read_to_string(&head).unwrap(),
            content: std::fs::read(&content).unwrap(),
        })
    }

    fn get(&self, name: &str) -> Got {
        self.curl(name, &[])
    }

    fn count(&self, name: &str) -> u64 {
        self.appliance.counter("provisioning", name)
    }

    fn show(&self) -> serde_json::Value {
        match self.appliance.ask(Request::Provisioned { device: Some(DEVICE.into()) }) {
            Response::Provisioned(mut phones) => phones.remove(0),
            other => panic!("{other:?}"),
        }
    }
}

/// Ports that nobody has now.
fn free_tcp<const N: usize>() -> [SocketAddr; N] {
    let listeners: [_; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

#[test]
fn a_phone_comes_up_by_http_as_by_tftp() {
    let stage = Stage::start("");
    assert_eq!(stage.get(&format!("{DEVICE}.cnf.xml.sgn")).status, 404, "only after the trust list");
    assert_eq!(stage.count("trust_list_missing"), 1);
    let list = stage.get(&format!("ITL{DEVICE}.tlv"));
    assert_eq!((list.status, signed(&list.content).tag(14)), (200, b"ITLFile.tlv\0".as_slice()));
    eventually(|| stage.show()["stage"] == "trust_list_delivered", "the trust list is delivered");
    eventually(|| stage.count("delivered") == 1, "and acknowledged, since the client has closed");
    let name = format!("{DEVICE}.cnf.xml.sgn");
    let got = stage.get(&name);
    assert_eq!(got.status, 200, "{}", got.head);
    assert!(got.head.contains(&format!("Content-Length: {}\r\n", got.content.len())), "{}", got.head);
    let configuration = signed(&got.content);
    assert_eq!(configuration.tag(14), format!("{name}\0").as_bytes());
    let lists = signed(&list.content).certificates();
    assert!(lists.iter().any(|(function, tftp)| *function == 2 && configuration.is_of(tftp)));
    let text = String::from_utf8(configuration.content).unwrap();
    assert!(text.contains("<processNodeName>203.0.113.5</processNodeName>"), "{text}");
    eventually(|| stage.show()["stage"] == "configuration_delivered", "the configuration is delivered");
}

#[test]
fn what_may_not_be_had_is_not_found_and_counted_by_its_reason() {
    let stage = Stage::start("");
    let long = "a".repeat(129);
    for (name, counter) in [
        ("", "name_empty"),
        ("CTLSEP0010DB000099.tlv", "not_allowed"),
        ("%2e%2e/SEP0010DB000001.cnf.xml.sgn", "name_disguised"),
        ("../SEP0010DB000001.cnf.xml.sgn", "name_parent_folder"),
        ("/SEP0010DB000001.cnf.xml.sgn", "name_absolute"),
        ("SEP0010DB000001.cnf.xml.sgn?a=b", "name_disguised"),
        ("Ringlist.xml.sgn", "unknown_source"),
        (&long, "name_too_long"),
    ] {
        let before = stage.count(counter);
        let got = stage.get(name);
        assert_eq!((got.status, got.content.len()), (404, 0), "{name}");
        assert_eq!(stage.count(counter), before + 1, "{name} counts as {counter}");
    }
    let before = stage.count("name_too_long");
    assert_eq!(stage.get(&"a".repeat(10_000)).status, 414);
    assert_eq!(stage.count("name_too_long"), before + 1);
}

#[test]
fn uploads_are_refused_unread() {
    let stage = Stage::start("");
    let list = stage.folder.path().join("list");
    std::fs::write(&list, vec![b'x'; 300_000]).unwrap();
    let upload = ["-T", list.to_str().unwrap()];
    assert_eq!(stage.curl(&format!("CTL{DEVICE}.tlv"), &upload).status, 405);
    let post = format!("@{}", list.display());
    let got = stage.curl("CTLFile.tlv", &["--data-binary", &post]);
    assert_eq!(got.status, 405);
    assert!(got.head.contains("Allow: GET, HEAD\r\n"), "{}", got.head);
    assert_eq!(stage.count("upload_refused"), 2);
    assert_eq!(stage.curl("a", &["-X", "DELETE"]).status, 405);
}

#[test]
fn head_brings_no_phone_any_further() {
    let stage = Stage::start("");
    let name = format!("CTL{DEVICE}.tlv");
    let got = stage.curl(&name, &["--head"]);
    assert_eq!(got.status, 200);
    let length = format!("Content-Length: {}\r\n", stage.get(&name).content.len());
    assert!(got.head.contains(&length), "{}", got.head);
    let stage = Stage::start("");
    stage.curl(&name, &["--head"]);
    assert_eq!(stage.get(&format!("{DEVICE}.cnf.xml.sgn")).status, 404);
    assert_eq!(stage.show()["stage"], "seen");
}

#[test]
fn a_connection_carries_many_requests_and_early_ones_are_answered_in_order() {
    let stage = Stage::start("");
    let name = format!("CTL{DEVICE}.tlv");
    let list = stage.get(&name).content;
    let mut connection = TcpStream::connect(stage.http).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = |name: &str| format!("GET /{name} HTTP/1.1\r\nHost: pinhole\r\n\r\n");
    let early = [request(&name), request("none"), request(&name)].concat();
    connection.write_all(early.as_bytes()).unwrap();
    connection.write_all(b"GET /none HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut all = Vec::new();
    connection.read_to_end(&mut all).unwrap();
    let text = String::from_utf8_lossy(&all);
    let statuses: Vec<_> = text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "404", "200", "404"]);
    assert_eq!(all.windows(list.len()).filter(|window| *window == list.as_slice()).count(), 2);
}

#[test]
fn a_hundred_at_once_are_all_served() {
    let stage = Stage::start("connections_per_source = 200");
    let name = format!("CTL{DEVICE}.tlv");
    let list = stage.get(&name).content;
    let mut command = Command::new("curl");
    command.args(["--no-progress-meter", "--show-error", "--parallel", "--parallel-immediate"]);
    command.args(["--parallel-max", "100", "--max-time", "60"]);
    for transfer in 0..100 {
        let to = stage.folder.path().join(transfer.to_string());
        command.args(["-o", to.to_str().unwrap(), &format!("http://{}/{name}", stage.http)]);
    }
    assert!(command.status().unwrap().success());
    for transfer in 0..100 {
        assert!(std::fs::read(stage.folder.path().join(transfer.to_string())).unwrap() == list);
    }
    eventually(|| stage.count("delivered") == 101, "all are known to be delivered");
}

#[test]
fn a_silent_call_manager_is_told_from_a_missing_file() {
    let mut stage = Stage::start("");
    assert_eq!(stage.get(&format!("CTL{DEVICE}.tlv")).status, 200);
    eventually(|| stage.show()["stage"] == "trust_list_delivered", "the trust list is delivered");
    stage.call_manager.stop();
    assert_eq!(stage.get(&format!("{DEVICE}.cnf.xml.sgn")).status, 503);
    assert_eq!(stage.count("upstream_silent"), 1);
}

#[test]
fn connections_of_an_address_are_bounded_and_slow_ones_are_closed() {
    let stage = Stage::start("connections_per_source = 3\nrequest_timeout_s = 1");
    let mut open: Vec<_> = (0..3).map(|_| TcpStream::connect(stage.http).unwrap()).collect();
    open[0].write_all(b"GET /slow").unwrap();
    let mut refused = TcpStream::connect(stage.http).unwrap();
    for connection in open.iter().chain([&refused]) {
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    let mut rest = Vec::new();
    // What was refused is closed at once, the others when their second is over.
    assert_eq!(refused.read_to_end(&mut rest).unwrap_or(0), 0);
    assert_eq!(stage.count("transfer_limit"), 1);
    for connection in &mut open {
        assert_eq!(connection.read_to_end(&mut rest).unwrap_or(0), 0);
    }
    assert_eq!(stage.get("none").status, 404);
}

#[test]
fn a_configuration_goes_unsigned_by_https_and_nothing_else_does() {
    let stage = Stage::start("");
    let name = format!("{DEVICE}.cnf.xml.sgn");
    assert_eq!(stage.secure(&name, &[]).unwrap().status, 404, "only after the trust list");
    stage.fetch_trust_list();
    for version in ["1.2", "1.3"] {
        for name in [&name, &format!("{DEVICE}.cnf.xml")] {
            let options = [&format!("--tlsv{version}"), "--tls-max", version];
            let got = stage.secure(name, &options).unwrap();
            assert_eq!(got.status, 200, "{version} {name}");
            let text = String::from_utf8(got.content).unwrap();
            assert!(text.contains("<processNodeName>203.0.113.5</processNodeName>"), "{text}");
        }
    }
    assert_eq!(stage.secure(&format!("CTL{DEVICE}.tlv"), &[]).unwrap().status, 404);
    assert_eq!(stage.count("not_over_https"), 1);
    eventually(|| stage.show()["stage"] == "configuration_delivered", "the configuration is delivered");
}

#[test]
fn large_files_come_whole_also_to_slow_readers() {
    let stage = Stage::start("");
    let firmware: Vec<u8> = (0..3_000_000_u32).flat_map(|n| (n * 7).to_be_bytes()).collect();
    std::fs::write(stage.call_manager.folder.path().join("big.loads"), &firmware).unwrap();
    let path = stage.call_manager.folder.path().join(format!("{DEVICE}.cnf.xml"));
    let filling = "x".repeat(200_000);
    let configuration = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, configuration.replace("<ourOwn>", &format!("<ourOwn>{filling}"))).unwrap();
    stage.fetch_trust_list();
    let slowly = ["--limit-rate", "6M"];
    assert!(stage.curl("big.loads", &slowly).content == firmware);
    let got = stage.secure(&format!("{DEVICE}.cnf.xml"), &["--limit-rate", "100K"]).unwrap();
    assert!(String::from_utf8(got.content).unwrap().contains(&filling));
}

#[test]
fn phones_that_fetch_one_file_at_a_time_share_one_copy_of_it() {
    const LEN: usize = 40 << 20;
    let stage = Stage::start("");
    std::fs::write(stage.call_manager.folder.path().join("big.loads"), vec![b'x'; LEN]).unwrap();
    stage.fetch_trust_list();
    assert_eq!(stage.get("big.loads").content.len(), LEN);
    eventually(|| stage.count("cache_stored") == 1, "it is kept");
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    };
    let before = resident();
    let connections: Vec<_> = (0..20)
        .map(|_| {
            let mut connection = TcpStream::connect(stage.http).unwrap();
            connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            connection.write_all(b"GET /big.loads HTTP/1.1\r\n\r\n").unwrap();
            let mut begin = [0; 12];
            connection.read_exact(&mut begin).unwrap();
            assert_eq!(&begin, b"HTTP/1.1 200");
            connection
        })
        .collect();
    // Other tests may run in this process meanwhile.
    let grown = resident().saturating_sub(before);
    assert!(grown < 10 * LEN, "{grown} bytes for {} connections", connections.len());
}

#[test]
fn a_certificate_is_asked_for_but_need_not_be_shown() {
    let stage = Stage::start("");
    stage.fetch_trust_list();
    let name = format!("{DEVICE}.cnf.xml");
    let get = |certified: &Certified| {
        let options = stage.certified(certified);
        stage.secure(&name, &options.each_ref().map(String::as_str))
    };
    assert_eq!(stage.secure(&name, &[]).unwrap().status, 200);
    let authority = &stage.appliance.authority;
    assert_eq!(get(&authority.sign(DEVICE, Validity::Now)).unwrap().status, 200);
    let other = get(&authority.sign("SEP0010DB000002", Validity::Now)).unwrap();
    assert_eq!((other.status, stage.count("certificate_of_other_device")), (404, 1));
    for (certified, counter) in [
        (Authority::new("others").sign(DEVICE, Validity::Now), "certificate_unknown_ca"),
        (authority.sign(DEVICE, Validity::Past), "certificate_expired"),
    ] {
        assert!(get(&certified).is_err());
        assert_eq!(stage.count(counter), 1, "{counter}");
    }
    let before = stage.count("handshake_failed");
    let mut plain = TcpStream::connect(stage.https).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    eventually(|| stage.count("handshake_failed") == before + 1, "HTTP on the HTTPS port");
}

#[test]
fn new_keys_are_served_once_they_were_read() {
    let stage = Stage::start("");
    let config = pinhole_controlplane::config::Config::load(&stage.appliance.file).unwrap();
    let mut authority = pinhole_trust::Authority::open(&stage.keys()).unwrap();
    assert_eq!(stage.secure("none", &[]).unwrap().status, 404);
    let naming = config.provisioning.unwrap().naming();
    authority.rotate(pinhole_trust::authority::Role::Https, &naming, 1_790_000_001).unwrap();
    assert!(stage.secure("none", &[]).is_err(), "still the key before");
    stage.appliance.reload();
    eventually(|| stage.secure("none", &[]).is_ok(), "the new key");
}

#[test]
fn a_configuration_is_encrypted_to_the_certificate_that_the_phone_has_shown() {
    let stage = Stage::start_with("", "encryption = \"when_known\"");
    let (sgn, enc) = (format!("{DEVICE}.cnf.xml.sgn"), format!("{DEVICE}.cnf.xml.enc.sgn"));
    stage.fetch_trust_list();
    assert_eq!((stage.get(&enc).status, stage.count("certificate_not_seen")), (404, 1));
    assert!(String::from_utf8_lossy(&stage.get(&sgn).content).contains("<processNodeName>"));
    let own = stage.appliance.authority.sign_rsa(DEVICE);
    let certificate = X509::from_der(own.certificate.der()).unwrap();
    let serial = certificate.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_string();
    let pinned = stage.appliance.ask(Request::PinPhone { device: DEVICE.into(), serial, issuer: None });
    assert!(matches!(pinned, Response::Done(_)), "{pinned:?}");
    let options = stage.certified(&own);
    let got = stage.secure(&format!("{DEVICE}.cnf.xml"), &options.each_ref().map(String::as_str)).unwrap();
    assert_eq!(got.status, 200);

    let stub = signed(&stage.get(&sgn).content);
    assert_eq!(stub.tag(14), format!("{sgn}\0").as_bytes());
    let text = String::from_utf8(stub.content).unwrap();
    let hash = certificate.digest(MessageDigest::md5()).unwrap();
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(text.contains(&format!("<certHash>{hash}</certHash>")), "{text}");
    assert!(text.contains("<fullConfig>false</fullConfig>") && !text.contains("<processNodeName>"), "{text}");

    let file = stage.get(&enc).content;
    let signer = X509::from_pem(&std::fs::read(stage.keys().join("ccm-tftp.crt.pem")).unwrap()).unwrap();
    let key = PKey::private_key_from_der(own.key.serialized_der()).unwrap();
    let (_, content) = pinhole_trust::encrypted::decrypt(&file, &signer, &key).unwrap();
    let text = String::from_utf8(content).unwrap();
    assert!(text.contains("<processNodeName>203.0.113.5</processNodeName>"), "{text}");
    assert!(!String::from_utf8_lossy(&file).contains("processNodeName"));
}

#[test]
fn where_encryption_is_required_a_stranger_to_it_gets_nothing_but_by_https_with_its_certificate() {
    let stage = Stage::start_with("", "encryption = \"required\"");
    stage.fetch_trust_list();
    assert_eq!(stage.get(&format!("{DEVICE}.cnf.xml.sgn")).status, 404);
    assert_eq!(stage.get(&format!("{DEVICE}.cnf.xml.enc.sgn")).status, 404);
    assert_eq!(stage.secure(&format!("{DEVICE}.cnf.xml.sgn"), &[]).unwrap().status, 404);
    assert_eq!(stage.count("certificate_not_seen"), 3);
    let options = stage.certified(&stage.appliance.authority.sign(DEVICE, Validity::Now));
    let options = options.each_ref().map(String::as_str);
    assert_eq!(stage.secure(&format!("{DEVICE}.cnf.xml.sgn"), &options).unwrap().status, 200);
}

#[test]
fn files_come_from_a_call_manager_by_http_as_by_tftp() {
    let call_manager = CallManager::start_by_http();
    let cluster = format!("http_server = \"127.0.0.1:{}\"", call_manager.port);
    let mut stage = Stage::launch("", &cluster, call_manager);
    let name = format!("{DEVICE}.cnf.xml.sgn");
    let firmware: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    std::fs::write(stage.call_manager.folder.path().join("big.loads"), &firmware).unwrap();
    stage.fetch_trust_list();
    let good = signed(&stage.get(&name).content).content;
    assert!(String::from_utf8_lossy(&good).contains("<processNodeName>203.0.113.5</processNodeName>"));
    assert!(stage.get("big.loads").content == firmware);
    assert_eq!((stage.get("none.loads").status, stage.count("file_not_found")), (404, 1));
    stage.call_manager.stop();
    assert_eq!(signed(&stage.get(&name).content).content, good, "the last good copy");
    assert_eq!(stage.count("stale"), 1);
    assert_eq!((stage.get("other.loads").status, stage.count("upstream_silent")), (503, 1));
}
