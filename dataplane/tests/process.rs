//! The process itself, between two veth pairs in network namespaces: one port over AF_XDP, one
//! over AF_PACKET. Needs root (network namespaces) iproute2 and ethtool; without root the tests say so and
//! do nothing.

// Clippy knows test functions as tests, but not their helpers.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pinhole_flow::leg::mapped;
use pinhole_flow::{
    Command as Order, Contract, DropCause, EventKind, Leg, MasterKey, NextHop, Session, ShardEnd,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 5);
const PHONE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
const DESK: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 10);

/// Three namespaces and a running process; both go when this is dropped.
struct Bench {
    name: String,
    directory: tempfile::TempDir,
    process: Option<Child>,
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root for network namespaces");
    }
    root
}

fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Bench {
    fn new(test: &str) -> Self {
        let name = format!("pdt-{test}-{}", std::process::id());
        sh(&format!(
            "for end in app out in; do ip netns add {name}-$end; ip -n {name}-$end link set lo up; done
             ip link add wire-o netns {name}-app type veth peer name eth0 netns {name}-out
             ip link add wire-i netns {name}-app type veth peer name eth0 netns {name}-in
             for pair in app/wire-o app/wire-i out/eth0 in/eth0; do
                 ns={name}-${{pair%/*}} dev=${{pair#*/}}
                 ip -n $ns link set $dev up
                 ip netns exec $ns ethtool -K $dev tx off rx off gso off gro off tso off >/dev/null
             done
             ip -n {name}-out addr add {PHONE}/24 dev eth0
             ip -n {name}-in addr add {DESK}/24 dev eth0"
        ));
        Self { name, directory: tempfile::tempdir().unwrap(), process: None }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("dataplane.sock")
    }

    /// The configuration, with one piece of text replaced.
    fn config(&self, from: &str, to: &str) -> PathBuf {
        let text = format!(
            "[dataplane]\nsocket = {:?}\nidle = \"sleep\"\nmax_sessions = 16\nfile_prefix = \"pinhole-test\"\n\
             [[dataplane.port]]\nname = \"outside\"\ndevice = \"af_xdp:wire-o\"\ntap = \"outside\"\n\
             media_address = \"{OUTSIDE}\"\nmedia_ports = \"16384-16483\"\n\
             [[dataplane.port]]\nname = \"inside\"\ndevice = \"af_packet:wire-i\"\ntap = \"inside\"\n\
             media_address = \"{INSIDE}\"\nmedia_ports = \"16384-16483\"\n",
            self.socket(),
        );
        let path = self.directory.path().join(format!("{}.toml", to.len()));
        std::fs::write(&path, text.replace(from, to)).unwrap();
        path
    }

    fn command(&self, config: &PathBuf) -> Command {
        let mut command = Command::new("ip");
        let ns = format!("{}-app", self.name);
        command.args(["netns", "exec", &ns, env!("CARGO_BIN_EXE_pinhole-dataplane"), "--config"]).arg(config);
        command.stderr(Stdio::piped());
        command
    }

    /// Starts the process, waits until it is ready, and gives the twins their addresses.
    fn start(&mut self) {
        self.start_with("", "");
    }

    /// The same with one piece of the configuration replaced.
    fn start_with(&mut self, from: &str, to: &str) {
        let config = self.config(from, to);
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        self.process = Some(self.command(&config).stderr(log).spawn().unwrap());
        self.wait(|bench| bench.log().contains("ready:"));
        let name = &self.name;
        sh(&format!(
            "ip -n {name}-app addr add {OUTSIDE}/24 dev outside; ip -n {name}-app addr add {INSIDE}/24 dev inside"
        ));
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn wait(&mut self, mut until: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !until(self) {
            assert!(start.elapsed() < Duration::from_secs(20), "timed out; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs `action` on a thread inside a namespace; sockets made there stay there.
    fn inside<T: Send>(&self, end: &str, action: impl FnOnce() -> T + Send) -> T {
        let ns = std::fs::File::open(format!("/run/netns/{}-{end}", self.name)).unwrap();
        std::thread::scope(|scope| {
            let enter = move || {
                move_into_link_name_space(std::os::fd::AsFd::as_fd(&ns), Some(LinkNameSpaceType::Network))
                    .unwrap();
                action()
            };
            scope.spawn(enter).join().unwrap()
        })
    }

    /// Starts it with a configuration that it must refuse; returns the last line and exit code.
    fn refusal(&self, from: &str, to: &str) -> (String, i32) {
        let output = self.command(&self.config(from, to)).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (text.lines().last().unwrap_or_default().to_owned(), output.status.code().unwrap_or(-1))
    }

    fn stop(&mut self) -> i32 {
        let mut process = self.process.take().unwrap();
        // The child is `ip netns exec`, which became the process itself.
        sh(&format!("kill -TERM {}", process.id()));
        process.wait().unwrap().code().unwrap_or(-1)
    }

    /// The effective capabilities of the worker's thread.
    fn worker_capabilities(&self) -> Option<u64> {
        let tasks = format!("/proc/{}/task", self.process.as_ref().unwrap().id());
        let statuses = std::fs::read_dir(tasks)
            .unwrap()
            .map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
        let status = statuses.into_iter().find(|status| status.starts_with("Name:\tworker-0"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    }

    fn mac(&self, end: &str) -> [u8; 6] {
        let text = sh(&format!("ip netns exec {}-{end} cat /sys/class/net/eth0/address", self.name));
        text.trim().parse::<pinhole_flow::MacAddr>().unwrap().0
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        for end in ["app", "out", "in"] {
            let _ = Command::new("ip").args(["netns", "del", &format!("{}-{end}", self.name)]).output();
        }
    }
}

/// A megabyte through a TCP connection from `client` to `server`, both ways.
fn echo_over_tcp(bench: &Bench, client: &str, server: &str, address: Ipv4Addr) {
    let listener = bench.inside(server, || TcpListener::bind((address, 5061)).unwrap());
    let data: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 7) as u8).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut back = vec![0; data.len()];
            stream.read_exact(&mut back).unwrap();
            stream.write_all(&back).unwrap();
        });
        let mut stream = bench.inside(client, || TcpStream::connect((address, 5061)).unwrap());
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(&data).unwrap();
        let mut back = vec![0; data.len()];
        stream.read_exact(&mut back).unwrap();
        assert!(back == data);
    });
}

fn plain_leg(port: u8, next_hop: u32, remote: Ipv4Addr) -> Leg {
    Leg {
        port,
        flags: 0,
        dscp: 255,
        reserved: 0,
        local_rtp: 16384,
        local_rtcp: 16385,
        remote_rtp: 40000,
        remote_rtcp: 40001,
        next_hop,
        remote_ip: mapped(remote.into()),
        inbound: MasterKey::NONE,
        outbound: MasterKey::NONE,
    }
}

fn carry_out(shard: &mut ShardEnd, order: Order) -> u32 {
    shard.command(order).unwrap();
    let start = Instant::now();
    loop {
        if let Some(event) = shard.event() {
            return event.kind;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "no acknowledgement");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn signalling_passes_the_twins_and_media_passes_the_relay() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new("pass");
    bench.start();
    bench.wait(|bench| bench.worker_capabilities() == Some(0));
    echo_over_tcp(&bench, "out", "app", OUTSIDE);
    echo_over_tcp(&bench, "in", "app", INSIDE);
    echo_over_tcp(&bench, "app", "in", DESK);
    echo_over_tcp(&bench, "app", "out", PHONE);

    let mut contract = Contract::attach(&bench.socket(), 1).unwrap();
    let mut shard = contract.shard(0).unwrap();
    for (port, end) in [(0, "out"), (1, "in")] {
        let hop = NextHop { port, valid: 1, vlan: 0, mac: bench.mac(end), reserved: [0; 2] };
        assert_eq!(carry_out(&mut shard, Order::next_hop(port.into(), 1, hop)), EventKind::Done as u32);
    }
    let session = Session { legs: [plain_leg(0, 0, PHONE), plain_leg(1, 1, DESK)] };
    assert_eq!(carry_out(&mut shard, Order::open(3, 1, 2, session)), EventKind::Done as u32);

    let phone = bench.inside("out", || UdpSocket::bind((PHONE, 40000)).unwrap());
    let desk = bench.inside("in", || UdpSocket::bind((DESK, 40000)).unwrap());
    let mut rtp = [0_u8; 172];
    rtp[0] = 0x80;
    for (from, to, via, expect) in [(&phone, &desk, OUTSIDE, INSIDE), (&desk, &phone, INSIDE, OUTSIDE)] {
        to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for sequence in 0..50 {
            rtp[3] = sequence;
            from.send_to(&rtp, (via, 16384)).unwrap();
            let mut got = [0; 2000];
            let (len, source) = to.recv_from(&mut got).unwrap();
            assert_eq!((&got[..len], source), (&rtp[..], (expect, 16384).into()));
        }
    }
    assert_eq!(shard.read_slot(3).unwrap().live[0].stats.rx_packets, 50);
    let stats = contract.stats()[0];
    assert_eq!((stats.sessions_open, stats.drops.iter().sum::<u64>()), (1, 0));
    assert!(stats.ports[0].punt_packets > 0 && stats.ports[1].inject_packets > 0);

    sh(&format!("ip -n {}-app link set wire-i down", bench.name));
    bench.wait(|bench| bench.log().contains("interface wire-i is down"));
    // More than the wire's ring holds: the worker must not wait for room in it.
    let flood = bench.inside("app", || UdpSocket::bind((INSIDE, 0)).unwrap());
    for _ in 0..3000 {
        flood.send_to(&rtp, (DESK, 9)).unwrap();
        std::thread::sleep(Duration::from_micros(50));
    }
    let turns = contract.stats()[0].polls;
    bench.wait(|_| contract.stats()[0].polls > turns + 1000);
    sh(&format!("ip -n {}-app link set wire-i up", bench.name));
    bench.wait(|bench| bench.log().contains("port inside: up again"));

    assert_eq!(carry_out(&mut shard, Order::close(3, 1, 3)), EventKind::Done as u32);
    phone.send_to(&rtp, (OUTSIDE, 16384)).unwrap();
    bench.wait(|_| contract.stats()[0].drops[DropCause::ClosedPinhole as usize] == 1);
    desk.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(desk.recv_from(&mut [0; 2000]).is_err(), "nothing passes a closed pinhole");

    assert_eq!(bench.stop(), 0, "{}", bench.log());
    assert!(!contract.is_alive());
    assert!(!bench.socket().exists());
    let links = sh(&format!("ip -n {}-app link", bench.name));
    assert!(!links.contains("outside") && !links.contains("inside"), "the twins are gone: {links}");
    assert!(!links.contains("xdp") && !links.contains("PROMISC"), "the wires are as before: {links}");
    let warnings: Vec<_> = bench
        .log()
        .lines()
        .filter(|line| line.contains("WARN") && !line.contains(" lost "))
        .map(str::to_owned)
        .collect();
    assert_eq!(warnings.len(), 1, "only of the wire that was down: {warnings:?}");
}

#[test]
fn frames_of_another_vlan_reach_no_twin_and_are_counted() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new("vlan");
    bench.start_with("tap = \"outside\"", "tap = \"outside\"\nvlan = 7");
    let contract = Contract::attach(&bench.socket(), 1).unwrap();
    let phone = bench.inside("out", || UdpSocket::bind((PHONE, 0)).unwrap());
    // Asks by ARP, without a tag, for an address that lies in VLAN 7 only.
    phone.send_to(b"anybody?", (OUTSIDE, 5060)).unwrap();
    bench.wait(|_| contract.stats()[0].drops[DropCause::ForeignVlan as usize] > 0);
    assert_eq!(contract.stats()[0].ports[0].punt_packets, 0);
    echo_over_tcp(&bench, "in", "app", INSIDE);
    assert_eq!(bench.stop(), 0, "{}", bench.log());
}

#[test]
fn what_keeps_it_from_starting_is_one_line_and_an_exit_code() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new("refuse");
    for (from, to, words, code) in [
        ("wire-o", "absent0", "there is no network interface absent0", 1),
        ("af_xdp:wire-o", "0000:ff:1f.7", "there is no PCI device 0000:ff:1f.7", 1),
        (
            "max_sessions = 16",
            "huge_pages = \"require\"\nmemory_mb = 1000000",
            "scripts/deploy/huge-pages",
            1,
        ),
        ("max_sessions = 16", "worker_cores = [1000]", "worker_cores = 1000", 1),
        ("max_sessions = 16", "max_session = 16", "max_session", 2),
        ("16384-16483", "16384-99999", "media port range", 2),
        ("10.20.0.5", "203.0.113.5", "already used by another port", 2),
    ] {
        let (line, found) = bench.refusal(from, to);
        assert!(line.contains("ERROR") && line.contains(words) && found == code, "{to}: {found} {line}");
    }
    bench.start();
    let (line, code) = bench.refusal("", "");
    assert!(line.contains("another data plane listens") && code == 1, "{line}");
    let other = bench.directory.path().join("other.sock");
    let (line, code) = bench.refusal(bench.socket().to_str().unwrap(), other.to_str().unwrap());
    assert!(line.contains("an interface outside exists already") && code == 1, "{line}");
    assert!(!other.exists());
    // The first one goes on, also after being killed and started again.
    echo_over_tcp(&bench, "out", "app", OUTSIDE);
    bench.process.as_mut().unwrap().kill().unwrap();
    bench.process.as_mut().unwrap().wait().unwrap();
    bench.start();
    echo_over_tcp(&bench, "in", "app", INSIDE);
    assert_eq!(bench.stop(), 0, "{}", bench.log());
}
