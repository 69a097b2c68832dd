mod documented;
mod legacy;

use std::net::IpAddr;
use std::path::PathBuf;

use pinhole_provisioning::service::Encryption;

use super::*;

/// A directory with certificates, and the text of a configuration without mistakes.
struct Example {
    directory: tempfile::TempDir,
    text: String,
}

impl Example {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certified = rcgen::generate_simple_self_signed(vec!["pinhole.example".into()]).unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("server.crt"), certified.cert.pem()).unwrap();
        std::fs::write(path("server.key"), certified.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("ca.crt"), certified.cert.pem()).unwrap();
        let text = include_str!("example.toml").replace("/etc/pinhole", directory.path().to_str().unwrap());
        Self { directory, text }
    }

    /// A certificate for `name`.example with an RSA key.
    fn make_rsa(&self, name: &str) {
        let key = openssl::rsa::Rsa::generate(2048).and_then(openssl::pkey::PKey::from_rsa).unwrap();
        let key = rcgen::KeyPair::try_from(key.private_key_to_pkcs8().unwrap()).unwrap();
        let params = rcgen::CertificateParams::new(vec![format!("{name}.example")]).unwrap();
        let path = |ending: &str| self.directory.path().join(format!("{name}.{ending}"));
        std::fs::write(path("crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("pinhole.toml")
    }

    fn load(&self) -> Result<Config, ConfigError> {
        std::fs::write(self.path(), &self.text).unwrap();
        Config::load(&self.path())
    }

    /// The mistakes after one replacement.
    fn with(&self, from: &str, to: &str) -> Vec<String> {
        assert!(self.text.contains(from), "{from} is not in the example");
        std::fs::write(self.path(), self.text.replacen(from, to, 1)).unwrap();
        match Config::load(&self.path()) {
            Ok(_) => vec![],
            Err(ConfigError::Invalid { problems, .. }) => problems.iter().map(ToString::to_string).collect(),
            Err(other) => vec![other.to_string()],
        }
    }
}

#[test]
fn example_is_valid_and_reaches_the_proxy() {
    let example = Example::new();
    let config = example.load().unwrap();
    assert_eq!(config.limits.calls, 100);
    assert_eq!(config.timers.ring_s, 180);
    let proxy = config.proxy(1).unwrap();
    assert_eq!(proxy.clusters[0].local.port(), 5061);
    assert_eq!((proxy.outside.port, proxy.clusters[0].port), (0, 1));
    assert_eq!(proxy.clusters[0].sources, vec![IpAddr::from([10, 20, 0, 10])]);
    assert_eq!(proxy.outside.names, vec!["pinhole.example"]);
    assert_eq!(proxy.limits.calls, 50, "limits are divided among shards");
    assert_eq!(proxy.identity.aor_pattern, None, "with an allow-list, nobody else");
    assert_eq!(proxy.suites.len(), 8);
    assert_eq!(proxy.clusters[0].skinny_calls, pinhole_proxy::SkinnyCalls::default(), "the truth is shown");
    let two = &proxy.clusters[0].skinny[1];
    assert_eq!((two.name.as_str(), two.outside.port(), two.inside.port()), ("cm-two", 2444, 2000));
}

#[test]
fn all_suites_are_allowed_unless_told_and_aes_192_is_the_last_choice() {
    let mut example = Example::new();
    example.text =
        example.text.lines().filter(|line| !line.starts_with("suites")).collect::<Vec<_>>().join("\n");
    let suites = example.load().unwrap().proxy(1).unwrap().suites;
    assert_eq!(suites.len(), pinhole_flow::Suite::ALL.len());
    assert!(suites[6..].iter().all(|suite| suite.key_len() == 24), "{suites:?}");
}

#[test]
fn each_mistake_is_one_line_with_its_key() {
    let example = Example::new();
    let cases = [
        ("shards = 2", "shards = 17", "controlplane.shards: 17 is out of range"),
        (
            "admin_socket = \"/run/pinhole/admin.sock\"",
            "admin_socket = \"admin.sock\"",
            "controlplane.admin_socket: must be an absolute path",
        ),
        ("listen = \"203.0.113.5:5061\"", "listen = \"0.0.0.0:5061\"", "outside.listen: needs our address"),
        ("name = \"cm-one\"", "name = \"\"", "cluster[0].sccp[0].name: must have 1 to 47 bytes"),
        (
            "203.0.113.5:2444",
            "203.0.113.5:2443",
            "cluster[0].sccp[1].listen: 203.0.113.5:2443 stands for another",
        ),
        ("203.0.113.5:2443", "203.0.113.5:5061", "cluster[0].sccp[0].listen: is the listener for SIP"),
        ("203.0.113.5:2443", "203.0.113.5:17000", "cluster[0].sccp[0].listen: lies within the media ports"),
        ("203.0.113.5:2443", "203.0.113.5:0", "cluster[0].sccp[0].listen: needs our address and a port"),
        (
            "call_manager = \"10.20.0.10:2000\"",
            "call_manager = \"10.20.0.10:2443\"\nauthority = \"/nonexistent\"",
            "cluster[0].sccp[0].authority: /nonexistent: cannot be read",
        ),
        (
            "call_manager = \"10.20.0.10:2000\"",
            "call_manager = \"10.20.0.10:2443\"\nauthority = \"/nonexistent\"\ncertificate_name = \"no name\"",
            "cluster[0].sccp[0].certificate_name: \"no name\" is neither",
        ),
        (
            "call_manager = \"10.20.0.10:2000\"",
            "call_manager = \"10.20.0.10:2443\"\ncertificate_name = \"cm.example\"",
            "cluster[0].sccp[0].certificate_name: is of no use without authority",
        ),
        (
            "devices = \"^SEP\"",
            "sccp_keys = \"relay\"",
            "cluster[0].sccp_keys: a key that phones get must not be",
        ),
        (
            "devices = \"^SEP\"",
            "phone_authority = { certificate = \"/nonexistent\", key = \"/nonexistent\" }",
            "cluster[0].phone_authority.certificate: /nonexistent: cannot be read",
        ),
        ("10.20.0.11:2000", "0.0.0.0:2000", "cluster[0].sccp[1].call_manager: needs an address and a port"),
        (
            "port = \"outside\"",
            "port = \"outsode\"",
            "outside.port: \"outsode\" is no data-plane port; there are: outside, inside",
        ),
        ("server.crt\"", "absent.crt\"", "outside.certificate: "),
        ("server.key\"", "server.crt\"", "outside.key: "),
        ("/ca.crt\"", "/server.key\"", "identity.authority[0].roots: "),
        ("\"AEAD_AES_256_GCM\"", "\"AES_256_GCM\"", "outside.suites[0]: AES_256_GCM is not a suite"),
        (
            "\"AEAD_AES_256_GCM\"",
            "\"AEAD_AES_128_GCM\"",
            "outside.suites[1]: AEAD_AES_128_GCM is named twice",
        ),
        (
            "name = \"phones\"\n",
            "name = \"phones\"\nnames = [\"SEP.*\"]\n",
            "identity.authority[0].names: SEP.* needs a group",
        ),
        (
            "name = \"phones\"\n",
            "name = \"phones\"\nclusters = [\"nowhere\"]\n",
            "identity.authority[0].clusters: there is no [[cluster]]",
        ),
        (
            "[identity.devices]\n",
            "[identity]\ncrls = [\"/nonexistent\"]\n[identity.devices]\n",
            "identity.crls[0]: ",
        ),
        ("[\"1001\"]", "[]", "identity.devices.SEP0010DB000001: names no address of record"),
        (
            "[\"1001\"]",
            "[\"sip:1001\"]",
            "identity.devices.SEP0010DB000001: \"sip:1001\" is no address of record",
        ),
        (
            "[identity.devices]",
            "[identity]\naor_pattern = \"all\"\n[identity.devices]",
            "identity.aor_pattern: must contain {device}",
        ),
        ("calls = 100", "calls = 0", "limits.calls: 0 is out of range"),
        (
            "calls = 100",
            "message_bytes = 600000",
            "limits.write_buffer_bytes: less than limits.message_bytes",
        ),
        ("ring_s = 180", "ring_s = 1", "timers.ring_s: 1 is out of range"),
        (
            "local = \"10.20.0.5:5060\"",
            "local = \"10.20.0.5:16400\"",
            "cluster[0].local: lies within the media ports",
        ),
        (
            "call_manager = \"10.20.0.10:5060\"",
            "call_manager = \"10.20.0.5:5061\"",
            "cluster[0].call_manager: is our own address",
        ),
        ("domain = \"lab.example\"", "domain = \"sip@lab\"", "cluster[0].domain: must be a host name"),
        ("devices = \"^SEP\"", "devices = \"(\"", "cluster[0].devices: not a regular expression"),
        (
            "domain = \"lab.example\"",
            "domain = \"lab.example\"\nsources = [\"10.20.0.11\"]",
            "cluster[0].sources: lacks the call manager's own address",
        ),
        ("max_sessions = 1000", "max_sessions = 0", "dataplane: "),
        (
            "max_sessions = 1000",
            "max_sessions = 7\nworker_cores = [1, 2, 3, 4]",
            "dataplane.max_sessions: less than one session per shard and worker",
        ),
        (
            "tls_min = \"1.2\"",
            "tls_min = \"1.2\"\nfirst_offer = \"AES_CM_128\"",
            "outside.first_offer: AES_CM_128 is not among outside.suites",
        ),
    ];
    for (from, to, expected) in cases {
        let problems = example.with(from, to);
        assert_eq!(problems.len(), 1, "{to}: {problems:?}");
        assert!(problems[0].starts_with(expected), "{to}: {problems:?}");
        assert_eq!(problems[0].lines().count(), 1);
    }
}

#[test]
fn network_that_is_none_is_refused_with_its_line() {
    let problems = Example::new().with("devices = \"^SEP\"", "sccp_unnamed_senders = \"10.20.0.0/33\"");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("sccp_unnamed_senders: \"10.20.0.0/33\" is no network; write it as"));
}

#[test]
fn every_mistake_is_listed() {
    let mut example = Example::new();
    example.text = example.text.replace("shards = 2", "shards = 0").replace("ring_s = 180", "ring_s = 0");
    example.text = example.text.replace("domain = \"lab.example\"", "domain = \"\"");
    let error = example.load().unwrap_err().to_string();
    for key in ["controlplane.shards", "timers.ring_s", "cluster[0].domain"] {
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn unknown_key_is_refused_with_its_line() {
    let example = Example::new();
    let problems = example.with("shards = 2", "shards = 2\nshads = 3");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("pinhole.toml:18: unknown field `shads`"), "{problems:?}");
}

#[test]
fn key_that_was_replaced_is_refused_with_what_to_write_instead() {
    let example = Example::new();
    let before_authority = "[identity]\ndevice_name = \"x\"\n[[identity.authority]]";
    for (from, to, key) in [
        ("[outside]", "[outside]\nclient_ca = \"x\"", "client_ca"),
        ("[[identity.authority]]", before_authority, "device_name"),
    ] {
        let problems = example.with(from, to);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains(&format!("unknown field `{key}`")), "{problems:?}");
        assert!(problems[0].ends_with("of an [[identity.authority]]"), "{problems:?}");
    }
}

#[test]
fn missing_table_is_named() {
    let example = Example::new();
    let text = example.text.split("[[cluster]]").next().unwrap().to_owned();
    std::fs::write(example.path(), text).unwrap();
    let error = Config::load(&example.path()).unwrap_err().to_string();
    assert!(error.contains("cluster: no [[cluster]]"), "{error}");
}

#[test]
fn absent_file_is_one_clear_line() {
    let error = Config::load(Path::new("/nonexistent/pinhole.toml")).unwrap_err().to_string();
    assert_eq!(error, "/nonexistent/pinhole.toml: No such file or directory (os error 2)");
}

#[test]
fn clusters_must_not_share_an_address() {
    let mut example = Example::new();
    let cluster = example.text.split("[[cluster]]").nth(1).unwrap().replace("\"lab\"", "\"other\"");
    example.text.push_str(&format!("\n[[cluster]]{}", cluster.replace("10.20.0.5:5060", "10.20.0.5:5061")));
    let error = example.load().unwrap_err().to_string();
    assert!(error.contains("cluster[1].local: 10.20.0.5:5061 (shard 0) is already used"), "{error}");
}

#[test]
fn what_is_wrong_with_provisioning_is_named() {
    let mut example = Example::new();
    for key in [
        "tftp_server = \"10.20.0.10:69\"",
        "http_server = \"10.20.0.10:80\"",
        "encryption = \"required\"",
        "authenticated_devices = \"allow\"",
    ] {
        let problems = example.with("devices = \"^SEP\"", &format!("devices = \"^SEP\"\n{key}"));
        let expected = format!("cluster[0].{}: is of no use", key.split(' ').next().unwrap());
        assert!(problems.len() == 1 && problems[0].starts_with(&expected), "{problems:?}");
    }
    example.text = example.text.replace(
        "[[cluster]]",
        "[provisioning]\ndirectory = \"/var/lib/pinhole\"\n[provisioning.tftp]\nlisten = \"203.0.113.5:69\"\n\
         [provisioning.http]\nlisten = \"203.0.113.5:6970\"\n\
         [provisioning.https]\nlisten = \"203.0.113.5:6971\"\n[[cluster]]",
    );
    let server = "devices = \"^SEP\"\nhttp_server = \"10.20.0.10:6970\"\n";
    example.text = example.text.replace("devices = \"^SEP\"\n", server);
    example
        .text
        .push_str("\n[[cluster.rewrite.call_manager]]\ninside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\n");
    assert_eq!(example.load().unwrap().clusters[0].encryption, Encryption::Off);
    let other = "[[cluster]]\nname = \"other\"\ncall_manager = \"10.20.0.11:5060\"\nlocal = \"10.20.0.5:5062\"\n\
                 port = \"inside\"\ndomain = \"other.example\"\nauthenticated_devices = \"allow\"\n[provisioning]\n";
    for (from, to, expected) in [
        ("[provisioning]\n", other, "cluster[0].authenticated_devices: is of no use without tftp_server"),
        (
            "http_server",
            "tftp_server = \"10.20.0.10:69\"\nhttp_server",
            "cluster[0].http_server: is one server too many",
        ),
        ("5:6971", "5:6970", "provisioning.https.listen: is that of provisioning.http"),
        ("203.0.113.5:6970", "0.0.0.0:6970", "provisioning.http.listen: needs our address"),
        ("203.0.113.5:6971", "203.0.113.5:5061", "provisioning.https.listen: is the phones' listener"),
        ("5:6970\"\n", "5:6970\"\nconnections = 0\n", "provisioning.http.connections: 0 is out of range"),
        ("5:6971\"\n", "5:6971\"\nstall_timeout_s = 0\n", "provisioning.https.stall_timeout_s: 0 is out"),
    ] {
        let problems = example.with(from, to);
        assert_eq!(problems.len(), 1, "{to}: {problems:?}");
        assert!(problems[0].starts_with(expected), "{to}: {problems:?}");
    }
}

#[test]
fn enrolment_is_checked_with_what_phones_are_told() {
    let mut example = Example::new();
    let listen = |port: u16| format!("listen = \"203.0.113.5:{port}\"");
    let sections = format!(
        "[provisioning]\ndirectory = \"/var/lib/pinhole\"\n[provisioning.tftp]\n{}\n[provisioning.capf]\n{}\n\
         [provisioning.tvs]\n{}\n[[cluster]]\n",
        listen(69),
        listen(3804),
        listen(2445)
    );
    let told = "devices = \"^SEP\"\ntftp_server = \"10.20.0.10:69\"\n[cluster.rewrite]\n\
                capf = { at = { address = \"203.0.113.5\", port = 3804 } }\n\
                tvs = { at = { address = \"203.0.113.5\", port = 2445 } }\n\
                [[cluster.rewrite.call_manager]]\ninside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\n";
    example.text = example.text.replace("[[cluster]]\n", &sections).replace("devices = \"^SEP\"\n", told);
    assert!(example.load().is_ok(), "{:?}", example.load().err());
    let capf = |line: &str| format!("{}\n{line}", listen(3804));
    for (from, to, expected) in [
        (listen(3804), listen(0), "provisioning.capf.listen: needs our address and a port, usually 3804"),
        (listen(3804), capf("days = 0"), "provisioning.capf.days: 0 is out of range"),
        (listen(3804), capf("rsa_bits_min = 512"), "provisioning.capf.rsa_bits_min: 512 is out of range"),
        (listen(3804), capf("key = \"rsa_1024\""), "provisioning.capf.key: shorter than rsa_bits_min"),
        (listen(3804), capf("days = 30"), "provisioning.capf.renew_before_days: not less than days"),
        (listen(3804), capf("timeout_s = 1"), "provisioning.capf.timeout_s: 1 is out of range"),
        (
            listen(3804),
            capf("limits = { connections = 0 }"),
            "provisioning.capf.limits.connections: 0 is out of range",
        ),
        (listen(2445), "listen = \"0.0.0.0:2445\"".into(), "provisioning.tvs.listen: needs our address"),
        (
            "capf = { at = { address = \"203.0.113.5\", port = 3804 } }".into(),
            "capf = \"remove\"".into(),
            "provisioning.capf: no phone is told of it",
        ),
        (
            "tvs = { at = { address = \"203.0.113.5\", port = 2445 } }".into(),
            "tvs = \"remove\"".into(),
            "provisioning.tvs: no phone is told of it",
        ),
    ] {
        let problems = example.with(&from, &to);
        let found: Vec<_> = problems.iter().filter(|problem| problem.starts_with(expected)).collect();
        assert_eq!(found.len(), 1, "{to}: {problems:?}");
    }
}

#[test]
fn open_files_of_provisioning_are_connections_of_all_listeners_sockets_of_tftp_and_fetches() {
    let open_files = |sections: &str| {
        let mut example = Example::new();
        let cluster = "devices = \"^SEP\"\ntftp_server = \"10.20.0.10:69\"\n[[cluster.rewrite.call_manager]]\n\
                       inside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\n";
        let sections = format!("[provisioning]\ndirectory = \"/var/lib/pinhole\"\n{sections}\n[[cluster]]\n");
        example.text =
            example.text.replace("[[cluster]]\n", &sections).replace("devices = \"^SEP\"\n", cluster);
        example.load().unwrap().provisioning.unwrap().open_files()
    };
    let tftp = "[provisioning.tftp]\nlisten = \"203.0.113.5:69\"\n";
    // A listener and 16 ports that replies go out by, and 256 fetches.
    assert_eq!(open_files(tftp), 1 + 16 + 256);
    assert_eq!(open_files(&format!("{tftp}single_port = true\n")), 1 + 256);
    let http = "[provisioning.http]\nlisten = \"203.0.113.5:6970\"\nconnections = 77\n";
    assert_eq!(open_files(&format!("{tftp}{http}")), 1 + 16 + 256 + 77);
}
