//! Many phones that fetch at once from the running process, by TFTP and HTTP. Clients are of our own here: they do one step
//! at a time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "only tests use what is here")]

mod common;

use std::net::{IpAddr, SocketAddr};

use common::provisioning::{CallManager, free_udp};
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
            let settings = pinhole_controlplane::config::Config::load(file).unwrap().provisioning.unwrap();
            let keys = settings.authority();
            pinhole_trust::Authority::create(&keys, &settings.naming(), 1_790_000_000).unwrap();
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
    }

    fn count(&self, name: &str) -> u64 {
        self.appliance.counter("provisioning", name)
    }
}

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
