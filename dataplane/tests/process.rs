//! The process itself, between two veth pairs in network namespaces: one port over AF_XDP, one
//! over AF_PACKET. Needs root (network namespaces) iproute2 and ethtool; without root the tests say so and
//! do nothing.

// Clippy knows test functions as tests, but not their helpers.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use common::{DESK, Dataplane, INSIDE, OUTSIDE, PHONE, carry_out, is_root, next_hop, open, plain_leg, sh};
use pinhole_flow::steering::worker_of;
use pinhole_flow::{Command as Order, Contract, DropCause, EventKind, WorkerStats};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Three namespaces and a data plane; both go when this is dropped.
struct Bench {
    name: String,
    dataplane: Dataplane,
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
        let dataplane = Dataplane::new(&format!("{name}-app"));
        Self { name, dataplane }
    }

    /// The configuration, with one piece of text replaced.
    fn config(&self, from: &str, to: &str) -> String {
        let text = format!(
            "[dataplane]\nsocket = {:?}\nidle = \"sleep\"\nmax_sessions = 16\nfile_prefix = \"pinhole-test\"\n\
             [[dataplane.port]]\nname = \"outside\"\ndevice = \"af_xdp:wire-o\"\ntap = \"outside\"\n\
             media_address = \"{OUTSIDE}\"\nmedia_ports = \"16384-16483\"\n\
             [[dataplane.port]]\nname = \"inside\"\ndevice = \"af_packet:wire-i\"\ntap = \"inside\"\n\
             media_address = \"{INSIDE}\"\nmedia_ports = \"16384-16483\"\n",
            self.dataplane.socket(),
        );
        text.replace(from, to)
    }

    /// Starts the process, waits until it is ready, and gives the twins their addresses.
    fn start(&mut self) {
        self.start_with("", "");
    }

    /// The same with one piece of the configuration replaced.
    fn start_with(&mut self, from: &str, to: &str) {
        self.dataplane.start(&self.config(from, to));
        let name = &self.name;
        sh(&format!(
            "ip -n {name}-app addr add {OUTSIDE}/24 dev outside; ip -n {name}-app addr add {INSIDE}/24 dev inside"
        ));
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

    fn mac(&self, end: &str) -> [u8; 6] {
        let text = sh(&format!("ip netns exec {}-{end} cat /sys/class/net/eth0/address", self.name));
        text.trim().parse::<pinhole_flow::MacAddr>().unwrap().0
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
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

/// Sends a packet to one of our addresses and receives it from another.
fn pass(from: &UdpSocket, to: &UdpSocket, via: (Ipv4Addr, u16), expect: (Ipv4Addr, u16), packet: &[u8]) {
    to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    from.send_to(packet, via).unwrap();
    let mut got = [0; 2000];
    let (len, source) = to.recv_from(&mut got).unwrap();
    assert_eq!((&got[..len], source), (packet, expect.into()));
}

#[test]
fn signalling_passes_the_twins_and_media_passes_the_relay() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new("pass");
    bench.start();
    bench.dataplane.wait(|this| this.worker_capabilities(0) == Some(0));
    echo_over_tcp(&bench, "out", "app", OUTSIDE);
    echo_over_tcp(&bench, "in", "app", INSIDE);
    echo_over_tcp(&bench, "app", "in", DESK);
    echo_over_tcp(&bench, "app", "out", PHONE);

    let mut contract = Contract::attach(&bench.dataplane.socket(), 1).unwrap();
    let mut shard = contract.shard(0).unwrap();
    for (number, end) in [(0, "out"), (1, "in")] {
        next_hop(&mut shard, 1, number, bench.mac(end));
    }
    open(&mut shard, 3, [plain_leg(0, 16384, 0, (PHONE, 40000)), plain_leg(1, 16384, 1, (DESK, 40000))]);

    let phone = bench.inside("out", || UdpSocket::bind((PHONE, 40000)).unwrap());
    let desk = bench.inside("in", || UdpSocket::bind((DESK, 40000)).unwrap());
    let mut rtp = [0_u8; 172];
    rtp[0] = 0x80;
    for (from, to, via, expect) in [(&phone, &desk, OUTSIDE, INSIDE), (&desk, &phone, INSIDE, OUTSIDE)] {
        for sequence in 0..50 {
            rtp[3] = sequence;
            pass(from, to, (via, 16384), (expect, 16384), &rtp);
        }
    }
    assert_eq!(shard.read_slot(3).unwrap().live[0].stats.rx_packets, 50);
    let stats = contract.stats()[0];
    assert_eq!((stats.sessions_open, stats.drops.iter().sum::<u64>()), (1, 0));
    assert!(stats.ports[0].punt_packets > 0 && stats.ports[1].inject_packets > 0);

    sh(&format!("ip -n {}-app link set wire-i down", bench.name));
    bench.dataplane.wait(|this| this.log().contains("interface wire-i is down"));
    // More than the wire's ring holds: the worker must not wait for room in it.
    let flood = bench.inside("app", || UdpSocket::bind((INSIDE, 0)).unwrap());
    for _ in 0..3000 {
        flood.send_to(&rtp, (DESK, 9)).unwrap();
        std::thread::sleep(Duration::from_micros(50));
    }
    let turns = contract.stats()[0].polls;
    bench.dataplane.wait(|_| contract.stats()[0].polls > turns + 1000);
    sh(&format!("ip -n {}-app link set wire-i up", bench.name));
    bench.dataplane.wait(|this| this.log().contains("port inside: up again"));

    assert_eq!(carry_out(&mut shard, Order::close(3, 1, 3)), EventKind::Done as u32);
    phone.send_to(&rtp, (OUTSIDE, 16384)).unwrap();
    bench.dataplane.wait(|_| contract.stats()[0].drops[DropCause::ClosedPinhole as usize] == 1);
    desk.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(desk.recv_from(&mut [0; 2000]).is_err(), "nothing passes a closed pinhole");

    assert_eq!(bench.dataplane.stop(), 0, "{}", bench.dataplane.log());
    assert!(!contract.is_alive());
    assert!(!bench.dataplane.socket().exists());
    let links = sh(&format!("ip -n {}-app link", bench.name));
    assert!(!links.contains("outside") && !links.contains("inside"), "the twins are gone: {links}");
    assert!(!links.contains("xdp") && !links.contains("PROMISC"), "the wires are as before: {links}");
    let warnings: Vec<_> = bench
        .dataplane
        .log()
        .lines()
        .filter(|line| line.contains("WARN") && !line.contains(" lost "))
        .map(str::to_owned)
        .collect();
    assert_eq!(warnings.len(), 1, "only of the wire that was down: {warnings:?}");
}

#[test]
fn a_flood_of_what_is_not_media_is_limited_and_media_passes() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new("flood");
    bench.start_with("tap = \"outside\"", "tap = \"outside\"\npunt_rate = 100");
    let mut contract = Contract::attach(&bench.dataplane.socket(), 1).unwrap();
    let mut shard = contract.shard(0).unwrap();
    for (number, end) in [(0, "out"), (1, "in")] {
        next_hop(&mut shard, 1, number, bench.mac(end));
    }
    open(&mut shard, 3, [plain_leg(0, 16384, 0, (PHONE, 40000)), plain_leg(1, 16384, 1, (DESK, 40000))]);
    let phone = bench.inside("out", || UdpSocket::bind((PHONE, 40000)).unwrap());
    let desk = bench.inside("in", || UdpSocket::bind((DESK, 40000)).unwrap());
    let mut rtp = [0_u8; 172];
    rtp[0] = 0x80;
    for sequence in 0..50 {
        for _ in 0..20 {
            phone.send_to(b"whatever", (OUTSIDE, 9)).unwrap();
        }
        rtp[3] = sequence;
        pass(&phone, &desk, (OUTSIDE, 16384), (INSIDE, 16384), &rtp);
    }
    let stats = contract.stats()[0];
    let limited = stats.drops[DropCause::PuntLimited as usize];
    assert!(limited > 0 && stats.ports[0].punt_packets > 0);
    assert_eq!(stats.drops.iter().sum::<u64>(), limited);
    assert_eq!(bench.dataplane.stop(), 0, "{}", bench.dataplane.log());
}

/// Ports with one queue have one worker each, so that whatever belongs to the other crosses.
#[test]
fn two_workers_share_ports_with_one_queue() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if !is_root() || cores < 2 {
        eprintln!("skipped: needs root and two cores, there are {cores}");
        return;
    }
    let mut bench = Bench::new("two");
    bench.start_with("idle = \"sleep\"", "idle = \"sleep\"\nworker_cores = [0, 1]");
    assert_eq!(bench.dataplane.log().matches("queues: 1, steering by hand-off").count(), 2);
    echo_over_tcp(&bench, "out", "app", OUTSIDE);
    echo_over_tcp(&bench, "app", "in", DESK);
    let mut contract = Contract::attach(&bench.dataplane.socket(), 1).unwrap();
    let mut shard = contract.shard(0).unwrap();
    for (number, end) in [(0, "out"), (1, "in")] {
        next_hop(&mut shard, 2, number, bench.mac(end));
    }
    let phone = bench.inside("out", || UdpSocket::bind((PHONE, 40000)).unwrap());
    let desk = bench.inside("in", || UdpSocket::bind((DESK, 40000)).unwrap());
    let mut rtp = [0_u8; 172];
    rtp[0] = 0x80;
    for worker in 0..2 {
        let port = 16384 + 2 * worker as u16;
        assert_eq!(worker_of(port, 2), worker);
        let slot = shard.slots(worker).start;
        open(&mut shard, slot, [plain_leg(0, port, 0, (PHONE, 40000)), plain_leg(1, port, 1, (DESK, 40000))]);
        let before = contract.stats();
        for sequence in 0..50 {
            rtp[3] = sequence;
            pass(&phone, &desk, (OUTSIDE, port), (INSIDE, port), &rtp);
            pass(&desk, &phone, (INSIDE, port), (OUTSIDE, port), &rtp);
        }
        let now = contract.stats();
        let change = |of: fn(&WorkerStats) -> u64| [0, 1].map(|at| of(&now[at]) - of(&before[at]));
        // Worker 0 has the outside port, worker 1 the inside one. One direction comes to the session's
        // worker and leaves by the other's port; the other direction comes to the other's.
        let mut missteered = [50, 50];
        missteered[worker as usize] = 0;
        assert_eq!(change(|stats| stats.missteered), missteered);
        assert!(change(|stats| stats.handoff_out).into_iter().all(|count| count >= 50));
        assert!(change(|stats| stats.handoff_in).into_iter().all(|count| count >= 50));
        assert!(now[0].ports[0].tx_packets > 0 && now[0].ports[1].tx_packets == 0);
        assert!(now[1].ports[1].tx_packets > 0 && now[1].ports[0].tx_packets == 0);
    }
    assert_eq!(contract.stats().iter().map(|stats| stats.drops.iter().sum::<u64>()).sum::<u64>(), 0);
    assert_eq!(bench.dataplane.stop(), 0, "{}", bench.dataplane.log());
}

#[test]
fn frames_of_another_vlan_reach_no_twin_and_are_counted() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new("vlan");
    bench.start_with("tap = \"outside\"", "tap = \"outside\"\nvlan = 7");
    let contract = Contract::attach(&bench.dataplane.socket(), 1).unwrap();
    let phone = bench.inside("out", || UdpSocket::bind((PHONE, 0)).unwrap());
    // Asks by ARP, without a tag, for an address that lies in VLAN 7 only.
    phone.send_to(b"anybody?", (OUTSIDE, 5060)).unwrap();
    bench.dataplane.wait(|_| contract.stats()[0].drops[DropCause::ForeignVlan as usize] > 0);
    assert_eq!(contract.stats()[0].ports[0].punt_packets, 0);
    echo_over_tcp(&bench, "in", "app", INSIDE);
    assert_eq!(bench.dataplane.stop(), 0, "{}", bench.dataplane.log());
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
        let (line, found) = bench.dataplane.refusal(&bench.config(from, to));
        assert!(line.contains("ERROR") && line.contains(words) && found == code, "{to}: {found} {line}");
    }
    bench.start();
    let (line, code) = bench.dataplane.refusal(&bench.config("", ""));
    assert!(line.contains("another data plane listens") && code == 1, "{line}");
    let other = bench.dataplane.path("other.sock");
    let config = bench.config(bench.dataplane.socket().to_str().unwrap(), other.to_str().unwrap());
    let (line, code) = bench.dataplane.refusal(&config);
    assert!(line.contains("an interface outside exists already") && code == 1, "{line}");
    assert!(!other.exists());
    // The first one goes on, also after being killed and started again.
    echo_over_tcp(&bench, "out", "app", OUTSIDE);
    bench.dataplane.kill();
    bench.start();
    echo_over_tcp(&bench, "in", "app", INSIDE);
    assert_eq!(bench.dataplane.stop(), 0, "{}", bench.dataplane.log());
}
