//! The other ends of two vhost ports, `outside` and `inside`: DPDK's virtio_user, in the test's own
//! process. An EAL starts once in a process, so each such test is alone in its program.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use dpdk::{BURST, Eal, Mbuf, Mempool, Port, PortConfig, Queue};

use super::{DESK, Dataplane, INSIDE, OUTSIDE, PHONE, sh};

/// Of the data plane: outside, inside.
pub const OUR_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 2, 1]];
/// Of the peers: phone, desk.
pub const PEER_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 1, 2], [2, 0, 0, 0, 2, 2]];

/// How long a frame is waited for.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A namespace for the kernel twins, removed in the end.
pub struct Namespace(pub String);

impl Namespace {
    pub fn new(test: &str) -> Self {
        let name = format!("pdt-{test}-{}", std::process::id());
        sh(&format!("ip netns add {name}"));
        Self(name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

/// The configuration of a data plane with two vhost ports.
pub fn config(dataplane: &Dataplane, cores: &str) -> String {
    let port = |name: &str, mac: u8, address: Ipv4Addr| {
        format!(
            "[[dataplane.port]]\nname = \"{name}\"\ndevice = \"vhost:{}\"\ntap = \"{name}\"\n\
             mac = \"02:00:00:00:{mac:02}:01\"\nmedia_address = \"{address}\"\nmedia_ports = \"16384-16483\"\n",
            dataplane.path(&format!("{name}.sock")).display()
        )
    };
    format!(
        "[dataplane]\nsocket = {:?}\nworker_cores = {cores}\nidle = \"sleep\"\nmax_sessions = 16\n\
         file_prefix = \"{}\"\nhuge_pages = \"off\"\n{}{}",
        dataplane.socket(),
        dataplane.ns,
        port("outside", 1, OUTSIDE),
        port("inside", 2, INSIDE),
    )
}

/// DPDK in the test's process.
pub fn eal() -> Eal {
    let prefix = format!("pdt-peer-{}", std::process::id());
    let arguments = "--no-huge -m 64 --no-shconf --single-file-segments --no-pci --no-telemetry --lcores 0";
    let arguments: Vec<_> = arguments.split(' ').chain(["--file-prefix", &prefix]).collect();
    Eal::init(&arguments).unwrap()
}

/// The other end of the vhost port `name`.
pub fn connect<'eal>(
    eal: &'eal Eal,
    pool: &Mempool<'eal>,
    dataplane: &Dataplane,
    device: usize,
    name: &str,
    queues: u16,
) -> Port<'eal> {
    let socket = dataplane.path(&format!("{name}.sock"));
    let device = format!("net_virtio_user{device}");
    eal.probe(&format!("{device},path={},queues={queues},cq=1,queue_size=256", socket.display())).unwrap();
    Port::start(eal, &device, pool, &PortConfig { queues, ..PortConfig::default() }).unwrap()
}

/// A frame from the peer of port `side` (0: the phone, 1: the desk) with a UDP datagram to our address
/// there.
pub fn datagram(side: usize, from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = [(PHONE, OUTSIDE), (DESK, INSIDE)][side];
    let len = (20 + 8 + payload.len()) as u16;
    let mut ip = [&[0x45, 0][..], &len.to_be_bytes(), &[0, 0, 0x40, 0, 64, 17, 0, 0]].concat();
    ip.extend([source.octets(), destination.octets()].concat());
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    let udp = [from.to_be_bytes(), to.to_be_bytes(), (len - 20).to_be_bytes(), [0, 0]].concat();
    [&OUR_MACS[side][..], &PEER_MACS[side], &[8, 0], &ip, &udp, payload].concat()
}

fn checksum(header: &[u8]) -> u16 {
    let sum = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// An RTP packet without meaning that is unlike others.
pub fn rtp(sequence: u8) -> Vec<u8> {
    let mut packet = vec![sequence; 172];
    packet[..12].fill(0);
    packet[0] = 0x80;
    packet[3] = sequence;
    packet
}

pub fn send<'eal>(pool: &Mempool<'eal>, queue: &mut Queue<'_, 'eal>, frame: &[u8]) {
    let mut mbuf = pool.alloc().unwrap();
    mbuf.grow(frame.len()).unwrap().copy_from_slice(frame);
    let mut burst: ArrayVec<_, BURST> = [mbuf].into_iter().collect();
    assert_eq!(queue.tx_burst(&mut burst), 1);
}

/// What a peer received.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    pub source: SocketAddrV4,
    pub destination: SocketAddrV4,
    pub payload: Vec<u8>,
}

impl Received {
    pub fn new(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), payload: &[u8]) -> Self {
        let at = |(address, port)| SocketAddrV4::new(address, port);
        Self { source: at(source), destination: at(destination), payload: payload.to_vec() }
    }
}

/// The next UDP datagram from a queue; `None`: there is none for seconds.
pub fn receive(queue: &mut Queue<'_, '_>) -> Option<Received> {
    receive_within(queue, PATIENCE)
}

/// The same with another patience.
pub fn receive_within(queue: &mut Queue<'_, '_>, patience: Duration) -> Option<Received> {
    let frame = receive_frame(queue, patience, |frame| {
        frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&17)
    })?;
    let address = |at: usize, port: usize| {
        let [a, b, c, d] = frame[at..at + 4].try_into().unwrap();
        SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([frame[port], frame[port + 1]]))
    };
    Some(Received { source: address(26, 34), destination: address(30, 36), payload: frame[42..].to_vec() })
}

/// The next frame from a queue that is `wanted`; others, such as what the kernel announces, are passed over.
pub fn receive_frame(
    queue: &mut Queue<'_, '_>,
    patience: Duration,
    wanted: impl Fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let start = Instant::now();
    let mut burst = ArrayVec::<Mbuf<'_>, 1>::new();
    while start.elapsed() < patience {
        if queue.rx_burst(&mut burst) == 0 {
            std::thread::sleep(Duration::from_micros(20));
        }
        if let Some(mbuf) = burst.pop().filter(|mbuf| wanted(mbuf.data())) {
            return Some(mbuf.data().to_vec());
        }
    }
    None
}

/// Sends frames until one arrives: a queue of a peer that has just connected may not be ready. The
/// rest of them is thrown away.
pub fn warm_up<'eal>(
    pool: &Mempool<'eal>,
    from: &mut Queue<'_, 'eal>,
    to: &mut Queue<'_, 'eal>,
    frame: &[u8],
) {
    for _ in 0..100 {
        send(pool, from, frame);
        if receive_within(to, Duration::from_millis(50)).is_some() {
            break;
        }
    }
    while receive_within(to, Duration::from_millis(50)).is_some() {}
}
