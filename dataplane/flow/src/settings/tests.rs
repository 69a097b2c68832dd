use proptest::prelude::*;

use super::*;

const MINIMAL: &str = r#"
[[port]]
name = "outside"
device = "af_xdp:out0"
tap = "outside"
media_address = "203.0.113.5"
media_ports = "16384-32767"

[[port]]
name = "inside"
device = "0000:03:00.1"
tap = "inside"
mac = "02:00:5e:00:53:01"
media_address = "10.20.0.5"
media_ports = "16384-16385"
vlan = 20
"#;

fn parsed(text: &str) -> Result<DataplaneSettings, String> {
    let settings: DataplaneSettings = toml::from_str(text).map_err(|error| error.to_string())?;
    settings.validate().map_err(|error| error.to_string())?;
    Ok(settings)
}

/// The error of the minimal table with one text replaced by another.
fn refusal(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from));
    parsed(&MINIMAL.replacen(from, to, 1)).unwrap_err()
}

/// The error of the minimal table with a line before it.
fn refusal_with(line: &str) -> String {
    parsed(&format!("{line}\n{MINIMAL}")).unwrap_err()
}

#[test]
fn minimal_table_has_the_documented_defaults() {
    let settings = parsed(MINIMAL).unwrap();
    assert_eq!(settings.socket, PathBuf::from("/run/pinhole/dataplane.sock"));
    assert_eq!((&settings.worker_cores[..], settings.main_core), (&[1][..], 0));
    assert_eq!((settings.huge_pages, settings.idle), (HugePages::Auto, Idle::Poll));
    assert_eq!((settings.memory_mb, settings.max_sessions), (256, 10_000));
    assert_eq!((settings.file_prefix.as_str(), settings.engine), ("pinhole", EngineChoice::Auto));
    assert_eq!((settings.workers(), settings.replay_window), (1, 128));
    assert_eq!(settings.socket_group, None);
    let [outside, inside] = &settings.port[..] else { panic!("two ports") };
    assert_eq!(outside.device, Device::AfXdp("out0".into()));
    assert_eq!((outside.mtu, outside.vlan, outside.mac), (1500, None, None));
    assert_eq!(inside.device, Device::Pci("0000:03:00.1".into()));
    assert_eq!(inside.mac, Some(MacAddr([2, 0, 0x5e, 0, 0x53, 1])));
    assert_eq!((inside.vlan, inside.media_ports.pairs()), (Some(20), 1));
}

#[test]
fn a_vhost_device_is_the_path_of_its_socket() {
    let settings = parsed(&MINIMAL.replace("af_xdp:out0", "vhost:/run/pinhole/out.sock")).unwrap();
    let device = &settings.port[0].device;
    assert_eq!(device, &Device::Vhost("/run/pinhole/out.sock".into()));
    assert_eq!((device.interface(), device.to_string().as_str()), (None, "vhost:/run/pinhole/out.sock"));
}

#[test]
fn settings_survive_writing_and_reading() {
    let settings = parsed(MINIMAL).unwrap();
    assert_eq!(parsed(&toml::to_string(&settings).unwrap()).unwrap(), settings);
}

#[test]
fn unknown_keys_are_refused_by_name() {
    assert!(refusal_with("max_session = 5").contains("max_session"));
    assert!(refusal("tap = \"outside\"", "tap = \"outside\"\nmedia_port = 5").contains("media_port"));
    assert!(refusal_with("idle = \"doze\"").contains("doze"));
    let former = refusal_with("worker_core = 1");
    assert!(former.contains("unknown field `worker_core`") && former.contains("`worker_cores`"), "{former}");
}

#[test]
fn values_out_of_range_are_refused_with_key_value_and_remedy() {
    let cases = [
        ("max_sessions = 0", "max_sessions = 0: must be from 1 to 100000"),
        ("max_sessions = 100001", "max_sessions = 100001: must be"),
        ("memory_mb = 1", "memory_mb = 1: must be from 64"),
        ("main_core = 5000", "main_core = 5000: must be a core number"),
        ("worker_cores = [1, 5000]", "worker_cores = [1, 5000]: must be 1 to 16 different core numbers"),
        ("worker_cores = [2, 3, 2]", "worker_cores = [2, 3, 2]: must be"),
        ("worker_cores = []", "worker_cores = []: must be"),
        ("worker_cores = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]", "must be 1 to 16"),
        ("replay_window = 0", "replay_window = 0: must be a multiple of 64 from 64 to 1024"),
        ("replay_window = 100", "replay_window = 100: must be"),
        ("replay_window = 1088", "replay_window = 1088: must be"),
        ("socket = \"run/here.sock\"", "socket = \"run/here.sock\": must be an absolute path"),
        ("socket_group = \"\"", "socket_group = \"\": must be"),
        ("file_prefix = \"../x\"", "file_prefix = \"../x\": must be 1 to 32 letters"),
    ];
    for (line, message) in cases {
        let error = refusal_with(line);
        assert!(error.contains(message), "{line}: {error}");
    }
    let long = format!("socket = \"/{}\"", "x".repeat(107));
    assert!(refusal_with(&long).contains("at most 107 bytes"));
}

#[test]
fn ports_are_checked_one_by_one() {
    let cases = [
        ("\"outside\"", "\"out side\"", "name = \"out side\""),
        ("tap = \"outside\"", "tap = \"outside-of-the-house\"", "1 to 15"),
        ("tap = \"outside\"", "tap = \"out0\"", "another name than the device's interface"),
        ("203.0.113.5", "224.0.0.5", "media_address = 224.0.0.5: must be a unicast"),
        ("203.0.113.5", "0.0.0.0", "media_address = 0.0.0.0"),
        ("203.0.113.5", "127.0.0.1", "media_address = 127.0.0.1"),
        ("203.0.113.5", "255.255.255.255", "media_address"),
        ("203.0.113.5", "2001:db8::5", "IPv4"),
        ("vlan = 20", "vlan = 4095", "vlan = 4095: must be from 1 to 4094"),
        ("vlan = 20", "punt_rate = 10", "punt_rate = 10: must be from 100"),
        ("vlan = 20", "mtu = 100", "mtu = 100: must be from 576"),
        ("vlan = 20", "mtu = 9001", "mtu = 9001: must be from 576 to 9000"),
        (
            "tap = \"outside\"",
            "tap = \"outside\"\nmtu = 1901",
            "mtu = 1901: must be from 576 to 1900, what a frame",
        ),
        ("02:00:5e:00:53:01", "03:00:5e:00:53:01", "must be a unicast address"),
        ("02:00:5e:00:53:01", "02:00:5e:00:53", "is no MAC address"),
        ("af_xdp:out0", "eth0", "is no device: write a PCI address"),
        ("af_xdp:out0", "af_xdp:", "is no device"),
        ("af_xdp:out0", "vhost:out.sock", "is no device"),
        ("af_xdp:out0", "vhost:/run/a,b.sock", "is no device"),
        ("af_xdp:out0", "vhost:/run/pinhole/", "is no device"),
        ("16384-32767", "16385-32767", "is no media port range: write FIRST-LAST"),
        ("16384-32767", "80-81", "is no media port range"),
        ("16384-32767", "16384", "is no media port range"),
    ];
    for (from, to, message) in cases {
        let error = refusal(from, to);
        assert!(error.contains(message), "{to}: {error}");
    }
}

#[test]
fn what_must_be_unique_is_refused_twice() {
    for (from, to) in [
        ("name = \"inside\"", "name = \"outside\""),
        ("tap = \"inside\"", "tap = \"outside\""),
        ("device = \"0000:03:00.1\"", "device = \"af_xdp:out0\""),
        ("10.20.0.5", "203.0.113.5"),
    ] {
        let error = refusal(from, to);
        assert!(error.contains("already used by another port"), "{to}: {error}");
    }
}

#[test]
fn engines_are_forced_by_their_names() {
    for name in ["avx512", "avx2", "portable"] {
        let settings = parsed(&format!("engine = \"{name}\"\n{MINIMAL}")).unwrap();
        assert_eq!(settings.engine.name(), Some(name));
    }
    assert_eq!(parsed(MINIMAL).unwrap().engine.name(), None);
    assert!(refusal_with("engine = \"sse2\"").contains("avx512"));
}

#[test]
fn table_without_ports_or_with_too_many_is_refused() {
    assert!(parsed("").unwrap_err().contains("add one for each side"));
    let mut settings = parsed(MINIMAL).unwrap();
    let first = settings.port[0].clone();
    settings.port = vec![first; MAX_PORTS + 1];
    assert_eq!(settings.validate(), Err(SettingsError::TooManyPorts { count: MAX_PORTS + 1 }));
}

#[test]
fn fingerprint_follows_what_both_processes_must_agree_on() {
    let settings = parsed(MINIMAL).unwrap();
    let mut other = settings.clone();
    other.worker_cores = vec![3];
    assert_eq!(other.fingerprint(), settings.fingerprint());
    other.worker_cores = vec![3, 4];
    assert_ne!(other.fingerprint(), settings.fingerprint());
    let mut other = settings.clone();
    other.port.swap(0, 1);
    assert_ne!(other.fingerprint(), settings.fingerprint());
    let mut other = settings.clone();
    other.port[0].media_ports = PortRange::new(20_000, 20_001).unwrap();
    assert_ne!(other.fingerprint(), settings.fingerprint());
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(text in ".{0,40}") {
        let _ = text.parse::<Device>();
        let _ = text.parse::<MacAddr>();
        let _ = text.parse::<PortRange>();
    }

    #[test]
    fn values_read_back_as_they_are_written(octets: [u8; 6], first in 512_u16..16_000, pairs in 1_u16..100) {
        prop_assert_eq!(MacAddr(octets).to_string().parse(), Ok(MacAddr(octets)));
        let range = PortRange::new(first * 2, first * 2 + pairs * 2 - 1).unwrap();
        prop_assert_eq!(range.to_string().parse(), Ok(range));
        prop_assert_eq!(range.pairs(), usize::from(pairs));
    }
}
