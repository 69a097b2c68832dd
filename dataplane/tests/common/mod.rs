//! What the tests of the running process share. Each is its own program and uses a part of it.

#![allow(dead_code)]
// Clippy knows test functions as tests, but not their helpers.
#![allow(clippy::unwrap_used)]

pub mod peer;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pinhole_flow::leg::mapped;
use pinhole_flow::{Command as Order, EventKind, Leg, MasterKey, Mki, NextHop, Session, ShardEnd};

pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
pub const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 5);
pub const PHONE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
pub const DESK: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 10);

/// Whether the test can run; says so if not.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root for network namespaces");
    }
    root
}

pub fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A data plane in a network namespace, with a directory of its own. The process ends with this; the
/// namespace is its owner's.
pub struct Dataplane {
    pub ns: String,
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl Dataplane {
    pub fn new(ns: &str) -> Self {
        Self { ns: ns.to_owned(), directory: tempfile::tempdir().unwrap(), child: None }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.path("dataplane.sock")
    }

    /// Its command line with this configuration.
    pub fn command(&self, config: &str) -> Command {
        let path = self.path("pinhole.toml");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.ns, env!("CARGO_BIN_EXE_pinhole-dataplane"), "--config"]);
        command.arg(path);
        command
    }

    /// Starts it and waits until it is ready.
    pub fn start(&mut self, config: &str) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        self.child = Some(self.command(config).stderr(Stdio::from(log)).spawn().unwrap());
        self.wait(|this| this.log().contains("ready:"));
    }

    /// Starts it with a configuration that it must refuse; returns the last line and exit code.
    pub fn refusal(&self, config: &str) -> (String, i32) {
        let output = self.command(config).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (text.lines().last().unwrap_or_default().to_owned(), output.status.code().unwrap_or(-1))
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn wait(&self, mut until: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !until(self) {
            assert!(start.elapsed() < Duration::from_secs(20), "timed out; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The effective capabilities of a worker's thread.
    pub fn worker_capabilities(&self, worker: u32) -> Option<u64> {
        let name = format!("Name:\tworker-{worker}\n");
        let statuses = std::fs::read_dir(format!("/proc/{}/task", self.id()))
            .unwrap()
            .map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
        let status = statuses.into_iter().find(|status| status.starts_with(&name))?;
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    }

    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to end; returns its exit code.
    pub fn stop(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        // The child is `ip netns exec`, which became the process itself.
        sh(&format!("kill -TERM {}", child.id()));
        child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A leg with plain RTP on an even local port, whose other end has a port for RTP and the next one for
/// RTCP.
pub fn plain_leg(port: u8, local: u16, next_hop: u32, remote: (Ipv4Addr, u16)) -> Leg {
    Leg {
        port,
        flags: 0,
        dscp: 255,
        latch_prefix: 0,
        local_rtp: local,
        local_rtcp: local + 1,
        remote_rtp: remote.1,
        remote_rtcp: remote.1 + 1,
        next_hop,
        remote_ip: mapped(remote.0.into()),
        inbound: MasterKey::NONE,
        outbound: MasterKey::NONE,
        mki: Mki::NONE,
        reserved2: [0; 7],
    }
}

/// Sends a command and returns the kind of its acknowledgement.
pub fn carry_out(shard: &mut ShardEnd, order: Order) -> u32 {
    shard.command(order).unwrap();
    acknowledgement(shard)
}

/// Opens a session on a slot.
pub fn open(shard: &mut ShardEnd, slot: u32, legs: [Leg; 2]) {
    let kind = carry_out(shard, Order::open(slot, 1, 2, Session { legs }));
    assert_eq!(kind, EventKind::Done as u32);
}

/// Makes next hop `number`, on the port of that number, known to all of so many workers.
pub fn next_hop(shard: &mut ShardEnd, workers: usize, number: u8, mac: [u8; 6]) {
    let hop = NextHop { port: number, valid: 1, vlan: 0, mac, reserved: [0; 2] };
    shard.broadcast(Order::next_hop(number.into(), 1, hop)).unwrap();
    for _ in 0..workers {
        assert_eq!(acknowledgement(shard), EventKind::Done as u32);
    }
}

fn acknowledgement(shard: &mut ShardEnd) -> u32 {
    let start = Instant::now();
    loop {
        if let Some(event) = shard.event() {
            return event.kind;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "no acknowledgement");
        std::thread::sleep(Duration::from_millis(1));
    }
}
