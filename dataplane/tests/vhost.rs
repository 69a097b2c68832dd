//! The process between two vhost ports. The test is the peer of both: DPDK's virtio_user, in this
//! process, which hence has one test. Needs root (a network namespace for the kernel twins);
//! without root it says so and does nothing.

// Clippy knows test functions as tests, but not their helpers.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use dpdk::{BURST, Eal, Mbuf, Mempool, Port, PortConfig, Queue};
use pinhole_flow::leg::mapped;
use pinhole_flow::{
    Command as Order, Contract, DropCause, EventKind, Leg, MasterKey, NextHop, Session, ShardEnd,
};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 5);
const PHONE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
const DESK: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 10);
const OUTSIDE_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];
const INSIDE_MAC: [u8; 6] = [2, 0, 0, 0, 2, 1];
const PHONE_MAC: [u8; 6] = [2, 0, 0, 0, 1, 2];
const DESK_MAC: [u8; 6] = [2, 0, 0, 0, 2, 2];

fn sh(line: &str) {
    let output = Command::new("sh").args(["-ec", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A namespace and a running process; both go when this is dropped.
struct Bench {
    ns: String,
    directory: tempfile::TempDir,
    process: Option<Child>,
}

impl Bench {
    fn new() -> Self {
        let ns = format!("pdt-vhost-{}", std::process::id());
        sh(&format!("ip netns add {ns}"));
        Self { ns, directory: tempfile::tempdir().unwrap(), process: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, directory: &Path) -> Command {
        let text = format!(
            "[dataplane]\nsocket = {:?}\nidle = \"sleep\"\nmax_sessions = 16\nfile_prefix = \"pinhole-{}\"\nhuge_pages = \"off\"\n\
             [[dataplane.port]]\nname = \"outside\"\ndevice = \"vhost:{}\"\ntap = \"outside\"\nmac = \"02:00:00:00:01:01\"\n\
             media_address = \"{OUTSIDE}\"\nmedia_ports = \"16384-16483\"\n\
             [[dataplane.port]]\nname = \"inside\"\ndevice = \"vhost:{}\"\ntap = \"inside\"\nmac = \"02:00:00:00:02:01\"\n\
             media_address = \"{INSIDE}\"\nmedia_ports = \"16384-16483\"\n",
            self.path("dataplane.sock"),
            self.ns,
            directory.join("outside.sock").display(),
            directory.join("inside.sock").display(),
        );
        let config = self.path("pinhole.toml");
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.ns, env!("CARGO_BIN_EXE_pinhole-dataplane"), "--config"]);
        command.arg(config);
        command
    }

    fn refusal(&self, directory: &Path) -> String {
        let output = self.command(directory).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
    }

    fn start(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut command = self.command(self.directory.path());
        self.process = Some(command.stderr(Stdio::from(log)).spawn().unwrap());
        self.wait(|bench| bench.log().contains("ready:"));
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn wait(&self, mut until: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !until(self) {
            assert!(start.elapsed() < Duration::from_secs(20), "timed out; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    fn stop(&mut self) -> i32 {
        let mut process = self.process.take().unwrap();
        // The child is `ip netns exec`, which became the process itself.
        sh(&format!("kill -TERM {}", process.id()));
        process.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.ns]).output();
    }
}

/// The other end of a vhost port.
fn peer<'eal>(eal: &'eal Eal, pool: &Mempool<'eal>, name: &str, socket: &Path) -> Port<'eal> {
    eal.probe(&format!("{name},path={},queues=1,queue_size=256", socket.display())).unwrap();
    Port::start(eal, name, pool, &PortConfig::default()).unwrap()
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

fn carry_out(shard: &mut ShardEnd, order: Order) {
    shard.command(order).unwrap();
    let start = Instant::now();
    loop {
        if let Some(event) = shard.event() {
            assert_eq!(event.kind, EventKind::Done as u32);
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "no acknowledgement");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn checksum(header: &[u8]) -> u16 {
    let sum = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// A frame with a UDP datagram.
fn datagram(macs: ([u8; 6], [u8; 6]), from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let len = (20 + 8 + payload.len()) as u16;
    let mut ip = [&[0x45, 0][..], &len.to_be_bytes(), &[0, 0, 0x40, 0, 64, 17, 0, 0]].concat();
    ip.extend([from.ip().octets(), to.ip().octets()].concat());
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    let udp = [from.port().to_be_bytes(), to.port().to_be_bytes(), (len - 20).to_be_bytes(), [0, 0]].concat();
    [&macs.1[..], &macs.0, &[8, 0], &ip, &udp, payload].concat()
}

fn rtp(sequence: u8) -> Vec<u8> {
    let mut packet = vec![0; 172];
    packet[0] = 0x80;
    packet[3] = sequence;
    packet[20..].fill(sequence);
    packet
}

/// Sends a frame and returns the payload of the UDP datagram that comes out at the other port.
fn pass<'eal>(
    pool: &Mempool<'eal>,
    from: &mut Queue<'_, 'eal>,
    to: &mut Queue<'_, 'eal>,
    frame: &[u8],
) -> Option<Vec<u8>> {
    let mut burst = ArrayVec::<Mbuf<'eal>, BURST>::new();
    let mut mbuf = pool.alloc().unwrap();
    mbuf.grow(frame.len()).unwrap().copy_from_slice(frame);
    burst.push(mbuf);
    assert_eq!(from.tx_burst(&mut burst), 1);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        to.rx_burst(&mut burst);
        let mut udp =
            burst.drain(..).filter(|mbuf| mbuf.data().get(12..14) == Some(&[8, 0]) && mbuf.data()[23] == 17);
        if let Some(mbuf) = udp.next() {
            return mbuf.data().get(42..).map(<[u8]>::to_vec);
        }
    }
    None
}

#[test]
fn media_passes_vhost_ports_and_their_peer_may_leave_and_come_back() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root for a network namespace");
        return;
    }
    let mut bench = Bench::new();
    let line = bench.refusal(Path::new("/nonexistent"));
    assert!(line.contains("the directory of /nonexistent/outside.sock does not exist"), "{line}");
    let socket = bench.path("outside.sock");
    std::fs::write(&socket, "precious").unwrap();
    let line = bench.refusal(bench.directory.path());
    assert!(line.contains("outside.sock is not a socket"), "{line}");
    std::fs::remove_file(&socket).unwrap();

    bench.start();
    bench.kill();
    assert!(socket.exists(), "a killed process leaves its sockets");
    bench.start();
    let metadata = socket.metadata().unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.uid()), (0o660, 0));
    bench.wait(|bench| bench.log().contains("no peer is connected to"));

    let prefix = format!("pinhole-peer-{}", std::process::id());
    let eal = Eal::init(&[
        "--no-huge",
        "-m",
        "64",
        "--no-shconf",
        "--single-file-segments",
        "--no-pci",
        "--no-telemetry",
        "--lcores",
        "0",
        "--file-prefix",
        &prefix,
    ])
    .unwrap();
    let pool = Mempool::new(&eal, "buffers", 4095, 0).unwrap();
    let mut contract = Contract::attach(&bench.path("dataplane.sock"), 1).unwrap();
    let mut shard = contract.shard(0).unwrap();
    for (port, mac) in [(0, PHONE_MAC), (1, DESK_MAC)] {
        let hop = NextHop { port, valid: 1, vlan: 0, mac, reserved: [0; 2] };
        carry_out(&mut shard, Order::next_hop(port.into(), 1, hop));
    }
    let session = Session { legs: [plain_leg(0, 0, PHONE), plain_leg(1, 1, DESK)] };
    carry_out(&mut shard, Order::open(3, 1, 2, session));

    let at = SocketAddrV4::new;
    for visit in 0..3 {
        let outside = peer(&eal, &pool, &format!("net_virtio_user{}", 2 * visit), &socket);
        let inside =
            peer(&eal, &pool, &format!("net_virtio_user{}", 2 * visit + 1), &bench.path("inside.sock"));
        bench.wait(|bench| bench.log().matches(": up again").count() == 2 * usize::from(visit) + 2);
        let (mut phone, mut desk) = (outside.queue().unwrap(), inside.queue().unwrap());
        for sequence in 0..50 {
            let payload = rtp(visit * 50 + sequence);
            let frame = datagram((PHONE_MAC, OUTSIDE_MAC), at(PHONE, 40000), at(OUTSIDE, 16384), &payload);
            assert_eq!(pass(&pool, &mut phone, &mut desk, &frame), Some(payload.clone()), "{}", bench.log());
            let frame = datagram((DESK_MAC, INSIDE_MAC), at(DESK, 40000), at(INSIDE, 16384), &payload);
            assert_eq!(pass(&pool, &mut desk, &mut phone, &frame), Some(payload), "{}", bench.log());
        }
        drop((outside, inside));
        bench.wait(|bench| bench.log().matches("no peer is connected").count() == 2 * usize::from(visit) + 4);
    }
    assert_eq!(shard.read_slot(3).unwrap().live[0].stats.rx_packets, 150);
    // What the kernel sent while nobody was there found no room on the wire; nothing else was lost.
    let drops = contract.stats()[0].drops;
    assert_eq!(drops.iter().sum::<u64>(), drops[DropCause::TxFull as usize]);
    assert_eq!(bench.stop(), 0, "{}", bench.log());
    assert!(!socket.exists() && !bench.path("inside.sock").exists());
}
