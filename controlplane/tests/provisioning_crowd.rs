//! Many phones that fetch at once from the running process, by TFTP and HTTP. Clients are of our own here: they do one step
//! at a time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "only tests use what is here")]

mod authority;
mod common;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::provisioning::{CONFIGURATION, CallManager, free_udp, signed};
use common::tftp::{Transfer, fetch};
use common::{Appliance, eventually};
use pinhole_admin::{Request, Response};

struct Stage {
    appliance: Appliance,
    call_manager: CallManager,
    tftp: SocketAddr,
}

impl Stage {
    /// With these lines about TFTP, and these sections below.
    fn start(tftp_lines: &str, sections: &str) -> Self {
        let call_manager = CallManager::without_files();
        let ports = free_udp(17);
        let tftp = SocketAddr::from(([127, 0, 0, 1], ports));
        let provisioning = format!(
            "[provisioning]\ndirectory = \"/etc/pinhole/provisioning\"\n[provisioning.tftp]\nlisten = \"{tftp}\"\n\
             reply_port = {}\n{tftp_lines}\n{sections}\n[[cluster]]\n",
            ports + 1
        );
        let cluster = format!(
            "devices = \"^SEP\"\ntftp_server = \"127.0.0.1:{}\"\n[[cluster.rewrite.call_manager]]\n\
             inside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\n",
            call_manager.port
        );
        let changes = [("[[cluster]]\n", provisioning.as_str()), ("devices = \"^SEP\"\n", cluster.as_str())];
        let appliance = Appliance::start_prepared(&changes, |file| {
            authority::create(file);
        });
        Self { appliance, call_manager, tftp }
    }

    /// Something the call manager has.
    fn put(&self, name: &str, content: &[u8]) {
        std::fs::write(self.call_manager.folder.path().join(name), content).unwrap();
    }

    fn done(&self, request: Request) {
        let answer = self.appliance.ask(request);
        assert!(matches!(answer, Response::Done(_)), "{answer:?}");
    }

    fn allow(&self, device: &str) {
        self.done(Request::AllowPhone { device: device.into(), class: None });
    }

    /// A phone at an address that has fetched its trust list.
    fn come(&self, device: &str, from: IpAddr) {
        self.allow(device);
        fetch(self.tftp, from, &format!("CTL{device}.tlv"), Some(1428)).unwrap();
        // Its last acknowledgement may be read after a request that comes later.
        eventually(|| self.stage_of(device) == "trust_list_delivered", "its trust list");
    }

    /// How far a phone has come.
    fn stage_of(&self, device: &str) -> String {
        match self.appliance.ask(Request::Provisioned { device: Some(device.into()) }) {
            Response::Provisioned(phones) => phones[0]["stage"].as_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn count(&self, name: &str) -> u64 {
        self.appliance.counter("provisioning", name)
    }
}

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn device(number: usize) -> String {
    format!("SEP0010DB00{number:04X}")
}

fn address(number: usize) -> IpAddr {
    IpAddr::from([127, 0, 1, u8::try_from(number).unwrap()])
}

/// Bytes of which no two blocks of two files are the same.
fn content(seed: usize, len: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn as_many_transfers_as_are_allowed_run_at_once_and_one_more_is_refused_and_counted() {
    // What the settings allow when they say nothing: fifty of one address, 500 in all.
    const SOURCES: usize = 10;
    const EACH: usize = 50;
    let stage = Stage::start("", "");
    let files: Vec<_> = (0..EACH).map(|n| content(n, 9_000 + 37 * n)).collect();
    let name = |n: usize| format!("crowd-{n}.loads");
    for (n, file) in files.iter().enumerate() {
        stage.put(&name(n), file);
    }
    for source in 0..=SOURCES {
        stage.come(&device(source), address(1 + source));
    }
    let mut transfers = Vec::new();
    for source in 0..SOURCES {
        // No more at once than a socket's buffer holds.
        let from = address(1 + source);
        let mut asked: Vec<_> =
            (0..EACH).map(|n| (n, Transfer::ask(stage.tftp, from, &name(n), Some(1428)))).collect();
        for (_, transfer) in &mut asked {
            transfer.begin().unwrap();
            // Whoever has acknowledged something gives way to nobody.
            transfer.step();
        }
        transfers.append(&mut asked);
    }
    assert_eq!((transfers.len(), stage.count("transfer_limit")), (500, 0));
    let one_more = Transfer::ask(stage.tftp, address(1 + SOURCES), &name(0), None);
    eventually(|| stage.count("transfer_limit") == 1, "one more than all may have");
    let of_one_address = Transfer::ask(stage.tftp, address(1), &name(0), None);
    eventually(|| stage.count("transfer_limit") == 2, "one more than an address may have");
    while transfers.iter().any(|(_, transfer)| !transfer.is_done) {
        for (_, transfer) in transfers.iter_mut().filter(|(_, transfer)| !transfer.is_done) {
            transfer.step();
        }
    }
    for (n, transfer) in &transfers {
        assert!(transfer.content == files[*n], "file {n}");
    }
    assert!(one_more.has_nothing() && of_one_address.has_nothing(), "they got nothing");
    assert_eq!((stage.count("transfer_limit"), stage.count("rate_limited")), (2, 0));
    assert_eq!(stage.count("phone_silent"), 0);
    // There is room again.
    let (again, _) = fetch(stage.tftp, address(1 + SOURCES), &name(7), Some(1428)).unwrap();
    assert!(again == files[7]);
}

#[test]
fn files_of_every_odd_size_come_whole_and_in_as_many_blocks_as_they_must() {
    // More than 65,536 blocks of 512 bytes: their numbers begin again at 0.
    const HUGE: usize = (33 << 20) + 700;
    let stage = Stage::start("", "");
    let sizes = [1, 511, 512, 513, 1427, 1428, 1429, 2856, 14_280, HUGE];
    for (n, size) in sizes.into_iter().enumerate() {
        stage.put(&format!("odd-{size}.loads"), &content(n, size));
    }
    let from = address(1);
    stage.come(&device(1), from);
    // A call manager's file with nothing in it is none.
    stage.put("odd-0.loads", b"");
    let (code, _) = fetch(stage.tftp, from, "odd-0.loads", Some(1428)).unwrap_err();
    assert_eq!((code, stage.count("file_parse")), (0, 1));
    for (n, size) in sizes.into_iter().enumerate() {
        let expected = content(n, size);
        // The last asks for more than it may have.
        for (asked, block) in [(None, 512), (Some(512), 512), (Some(1428), 1428), (Some(8192), 1428)] {
            if size == HUGE && asked == Some(512) {
                continue;
            }
            let (got, blocks) = fetch(stage.tftp, from, &format!("odd-{size}.loads"), asked).unwrap();
            assert!(got == expected, "{size} bytes in blocks of {asked:?}");
            assert_eq!(blocks, (size / block) as u64 + 1, "{size} bytes in blocks of {asked:?}");
        }
    }
    for failure in ["rate_limited", "transfer_limit", "phone_silent", "file_not_found"] {
        assert_eq!(stage.count(failure), 0, "{failure}");
    }
}

/// Why there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denied {
    /// It is not for who asks.
    NotFound,
    /// What was to be said first is no longer so.
    AskAgain,
}

/// How a phone asks.
#[derive(Clone, Copy)]
enum Way {
    Tftp,
    /// At this address.
    Http(SocketAddr),
}

impl Stage {
    fn get(&self, way: Way, name: &str) -> Result<Vec<u8>, Denied> {
        match way {
            Way::Tftp => match fetch(self.tftp, LOCAL, name, Some(1428)) {
                Ok((content, _)) => Ok(content),
                Err((1, _)) => Err(Denied::NotFound),
                Err((0, text)) if text.contains("ask again") => Err(Denied::AskAgain),
                Err(other) => panic!("{name}: {other:?}"),
            },
            Way::Http(at) => {
                let mut stream = TcpStream::connect(at).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                let request = format!("GET /{name} HTTP/1.1\r\nHost: pinhole\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes()).unwrap();
                let mut response = Vec::new();
                stream.read_to_end(&mut response).unwrap();
                let end = response.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
                let content = response.split_off(end + 4);
                match &response[..13] {
                    b"HTTP/1.1 200 " => Ok(content),
                    b"HTTP/1.1 404 " => Err(Denied::NotFound),
                    b"HTTP/1.1 503 " => Err(Denied::AskAgain),
                    other => panic!("{name}: {}", String::from_utf8_lossy(other)),
                }
            }
        }
    }
}

/// What came of requests, counted as the process counts it.
#[derive(Default)]
struct Tally {
    trust_lists: AtomicU64,
    configurations: AtomicU64,
    refused: AtomicU64,
    /// Of those that were granted, those that were taken back.
    void: AtomicU64,
}

impl Tally {
    /// Asks for a device's trust list and configuration, and looks whether what comes is that and of that device. Whether each
    /// came.
    fn ask(&self, stage: &Stage, way: Way, device: &str) -> [bool; 2] {
        [self.trust_list(stage, way, device), self.configuration(stage, way, device)]
    }

    fn trust_list(&self, stage: &Stage, way: Way, device: &str) -> bool {
        let list = stage.get(way, &format!("CTL{device}.tlv"));
        if let Ok(list) = &list {
            assert_eq!(signed(list).tag(14), b"CTLFile.tlv\0", "{device}");
        }
        self.count(list, &self.trust_lists)
    }

    fn configuration(&self, stage: &Stage, way: Way, device: &str) -> bool {
        let name = format!("{device}.cnf.xml.sgn");
        let file = stage.get(way, &name);
        if let Ok(file) = &file {
            let file = signed(file);
            assert_eq!(file.tag(14), format!("{name}\0").as_bytes());
            let text = String::from_utf8(file.content).unwrap();
            assert!(text.contains(&format!("<kept a=\"{device}\"/>")), "{device} gets {text}");
            assert_eq!(text.matches("<kept a=").count(), 1, "{device} gets {text}");
        }
        self.count(file, &self.configurations)
    }

    fn count(&self, got: Result<Vec<u8>, Denied>, granted: &AtomicU64) -> bool {
        let counter = if got == Err(Denied::NotFound) { &self.refused } else { granted };
        counter.fetch_add(1, Ordering::Relaxed);
        self.void.fetch_add(u64::from(got == Err(Denied::AskAgain)), Ordering::Relaxed);
        got.is_ok()
    }
}

#[test]
fn of_a_thousand_racing_requests_each_device_gets_what_is_its_own_and_who_is_not_allowed_nothing() {
    let http = common::free_address();
    let rates = "requests_per_source = 1000\nrequests = 2000";
    let stage = Stage::start(rates, &format!("[provisioning.http]\nlisten = \"{http}\"\n"));
    let devices: Vec<_> = (0..5).map(device).collect();
    for device in &devices {
        let configuration = CONFIGURATION.replace("a=\"1\"", &format!("a=\"{device}\""));
        stage.put(&format!("{device}.cnf.xml"), &configuration.into_bytes());
    }
    let [stranger, guest, known @ ..] = &devices[..] else { unreachable!() };
    let (ways, tally) = ([Way::Tftp, Way::Http(http)], Tally::default());
    // All behind one address: nothing but the name tells them apart.
    for device in known {
        stage.come(device, LOCAL);
        tally.trust_lists.fetch_add(1, Ordering::Relaxed);
    }
    let (stage, tally) = (&stage, &tally);
    std::thread::scope(|scope| {
        for way in ways {
            for device in known {
                scope.spawn(move || {
                    for _ in 0..50 {
                        assert_eq!(tally.ask(stage, way, device), [true, true], "{device}");
                    }
                });
            }
            scope.spawn(move || {
                for _ in 0..75 {
                    assert_eq!(tally.ask(stage, way, stranger), [false, false], "{stranger}");
                }
            });
            // Somebody asks in the guest's name all the time.
            scope.spawn(move || {
                for _ in 0..50 {
                    tally.ask(stage, way, guest);
                }
            });
        }
        // The operator lets the guest come and go: what begins after that is decided by it.
        scope.spawn(move || {
            for round in 0..15 {
                let way = ways[round % 2];
                stage.allow(guest);
                assert!(tally.trust_list(stage, way, guest), "round {round}");
                eventually(|| stage.stage_of(guest) != "seen", "its trust list");
                assert!(tally.configuration(stage, way, guest), "round {round}");
                stage.done(Request::ForgetPhone { device: guest.clone() });
                assert_eq!(tally.ask(stage, way, guest), [false, false], "round {round}");
            }
        });
    });
    let made = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counts = |names: &[&str]| names.iter().map(|name| stage.count(name)).sum::<u64>();
    assert_eq!(counts(&["trust_lists"]), made(&tally.trust_lists));
    assert_eq!(counts(&["configurations"]), made(&tally.configurations));
    assert_eq!(counts(&["not_allowed", "trust_list_missing"]), made(&tally.refused));
    assert!(counts(&["deliveries_void"]) >= made(&tally.void));
    assert!(counts(&["requests"]) > 1000, "{}", counts(&["requests"]));
    let all = [&tally.trust_lists, &tally.configurations, &tally.refused].map(made).iter().sum::<u64>();
    assert_eq!(counts(&["requests"]), all, "nothing is lost");
    let groups = stage.appliance.counters().groups;
    let failed: BTreeMap<_, _> = groups["provisioning"]
        .iter()
        .filter(|(name, value)| {
            **value > 0
                && ["rate_limited", "transfer_limit", "stale", "upstream_silent", "other_source"]
                    .contains(&name.as_str())
        })
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn what_comes_for_a_device_that_was_forgotten_meanwhile_is_given_to_nobody() {
    let mut stage = Stage::start("", "");
    let (phone, name) = (device(1), format!("{}.cnf.xml.sgn", device(1)));
    stage.come(&phone, LOCAL);
    // A call manager that takes its time.
    stage.call_manager.stop();
    let upstream = UdpSocket::bind((LOCAL, stage.call_manager.port)).unwrap();
    upstream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for forgets in [false, true] {
        let mut transfer = Transfer::ask(stage.tftp, LOCAL, &name, Some(1428));
        let mut packet = [0; 600];
        let (_, fetches) = upstream.recv_from(&mut packet).unwrap();
        if forgets {
            stage.done(Request::ForgetPhone { device: phone.clone() });
        }
        for (block, bytes) in (1..).zip(CONFIGURATION.as_bytes().chunks(512)) {
            upstream.send_to(&[&[0, 3, 0, block], bytes].concat(), fetches).unwrap();
            while upstream.recv_from(&mut packet).unwrap().1 != fetches || packet[..4] != [0, 4, 0, block] {}
        }
        assert_eq!(transfer.begin().is_ok(), !forgets);
        assert_eq!(stage.count("deliveries_void"), u64::from(forgets));
        if !forgets {
            let (file, _) = transfer.finish();
            assert!(
                String::from_utf8_lossy(&file).contains("<processNodeName>203.0.113.5</processNodeName>")
            );
        }
    }
}
