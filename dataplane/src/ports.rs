//! Brings up each port of the configuration: its wire, its kernel twin, and their MAC address.

use std::path::Path;

use dpdk::{Eal, Error, Mempool, Port, PortConfig};
use pinhole_flow::{DataplaneSettings, Device, MacAddr, PortSettings};
use rustix::fs::Mode;
use tracing::{debug, info, warn};

use crate::StartError;
use crate::handoff::WAITING;
use crate::limit::PuntLimit;
use crate::preflight::net;
use crate::quiet::quietly;
use crate::steering::{self, Steering};
use crate::worker::{PolledPort, Way};

/// Descriptors of each queue.
const DESCRIPTORS: u16 = 1024;
/// The same for AF_XDP: as many buffers as the driver gives the kernel to receive into. With fewer descriptors, frames
/// would be lost that there are buffers for.
const XDP_DESCRIPTORS: u16 = 2048;
/// Buffers that a twin and its rings can hold at most.
const BUFFERS_PER_TWIN: u32 = 2 * DESCRIPTORS as u32;
/// Buffers of a worker: bursts in hand, its cache, and what waits for it in hand-off rings.
const BUFFERS_PER_WORKER: u32 = 2048 + WAITING;
/// The largest MTU that `net_tap` takes: signalling needs no more than Ethernet's usual one.
const TWIN_MTU_MAX: u16 = 1500;
/// Bytes of a buffer beyond an IP packet: Ethernet header, VLAN tag, and what a packet grows by.
const FRAME_ROOM: u16 = 148;
/// Buffers in each thread's cache.
const CACHE: u32 = 256;
/// Bytes of an AF_PACKET ring's slot: a frame and the kernel's header, within a packet buffer.
const PACKET_SLOT: u32 = 2048;
/// Slots of an AF_PACKET ring.
const PACKET_SLOTS: u32 = 1024;

/// Who may connect to a vhost socket: our user and the socket's group.
const SOCKET_MASK: Mode = Mode::from_bits_truncate(0o117);

/// A port of the configuration, up.
pub struct PortPair<'eal> {
    /// What carries the traffic.
    pub wire: Port<'eal>,
    /// The TAP device that carries the addresses.
    pub twin: Port<'eal>,
    /// The MAC address of the twin, and of what the relay sends.
    pub mac: [u8; 6],
    /// VLAN identifier of the wire's frames.
    pub vlan: Option<u16>,
    /// Frames per second that a worker gives to the twin at most.
    pub punt_rate: u32,
}

/// Gives each of `workers` workers its queues of all ports. `None`: a port lacks a queue that it said
/// it has.
pub fn share_out<'port, 'eal>(
    ports: &'port [PortPair<'eal>],
    workers: usize,
) -> Option<Vec<Vec<PolledPort<'port, 'eal>>>> {
    let mut shares: Vec<_> = (0..workers).map(|_| Vec::with_capacity(ports.len())).collect();
    for (index, port) in ports.iter().enumerate() {
        let wires = ways(index, &port.wire, workers)?;
        let twins = ways(index, &port.twin, workers)?;
        for ((share, wire), twin) in shares.iter_mut().zip(wires).zip(twins) {
            let limit = PuntLimit::new(port.punt_rate);
            share.push(PolledPort { wire, twin, vlan: port.vlan, limit });
        }
    }
    Some(shares)
}

/// Each worker's way to a device.
fn ways<'port, 'eal>(
    index: usize,
    device: &'port Port<'eal>,
    workers: usize,
) -> Option<Vec<Way<'port, 'eal>>> {
    let queues = device.queues();
    let mut ways: Vec<_> =
        (0..workers).map(|worker| Way::Worker(steering::sender(index, queues, worker, workers))).collect();
    for queue in 0..queues {
        *ways.get_mut(steering::poller(index, queues, queue, workers))? = Way::Queue(device.queue()?);
    }
    Some(ways)
}

/// The pools that the ports receive into.
pub struct Pools<'eal> {
    /// For most.
    ordinary: Mempool<'eal>,
    /// For ports with an MTU that an ordinary buffer does not hold.
    large: Option<Mempool<'eal>>,
}

impl<'eal> Pools<'eal> {
    /// The pools that these ports need.
    ///
    /// # Errors
    /// [`StartError::Memory`] when they don't fit.
    pub fn make(eal: &'eal Eal, settings: &DataplaneSettings) -> Result<Self, StartError> {
        let (large, ordinary): (Vec<_>, Vec<_>) = settings.port.iter().partition(|port| is_large(port));
        let make = |name, ports: Vec<&PortSettings>, room| {
            let buffers = buffers(&ports, settings.worker_cores.len() as u32);
            Mempool::with_room(eal, name, buffers, CACHE, room).map_err(|source| StartError::Memory {
                source: Box::new(source),
                memory_mb: settings.memory_mb,
            })
        };
        let room = large.iter().map(|port| port.mtu + FRAME_ROOM).max();
        Ok(Self {
            ordinary: make("packets", ordinary, dpdk::ROOM)?,
            large: room.map(|room| make("large_packets", large, room)).transpose()?,
        })
    }

    fn of(&self, port: &PortSettings) -> &Mempool<'eal> {
        self.large.as_ref().filter(|_| is_large(port)).unwrap_or(&self.ordinary)
    }
}

/// Whether a port needs larger buffers than ordinary ones.
fn is_large(port: &PortSettings) -> bool {
    port.mtu > dpdk::ROOM - FRAME_ROOM
}

/// Buffers that the ports of a pool and the workers can hold at most.
fn buffers(ports: &[&PortSettings], workers: u32) -> u32 {
    let of_port = |port: &&PortSettings| BUFFERS_PER_TWIN + workers * buffers_per_queue(&port.device);
    let buffers = workers * BUFFERS_PER_WORKER + ports.iter().map(of_port).sum::<u32>();
    // A pool is kept in a ring, which has room for one less than a power of two.
    buffers.next_power_of_two() - 1
}

/// Buffers that a wire's queue and its rings can hold at most.
fn buffers_per_queue(device: &Device) -> u32 {
    match device {
        // Received ones, and those in the transmit and completion rings.
        Device::AfXdp(_) => 3 * u32::from(XDP_DESCRIPTORS),
        Device::Pci(_) | Device::AfPacket(_) => 2 * u32::from(DESCRIPTORS),
        // Frames are copied to and from the peer's memory at once.
        Device::Vhost(_) => 0,
    }
}

/// Brings up all ports, in the order of the configuration.
///
/// # Errors
/// The first port that does not come up.
pub fn open_all<'eal>(
    eal: &'eal Eal,
    pools: &Pools<'eal>,
    settings: &DataplaneSettings,
) -> Result<Vec<PortPair<'eal>>, StartError> {
    let workers = settings.worker_cores.len();
    let open = |(number, port)| open_pair(eal, pools.of(port), number, port, workers);
    settings.port.iter().enumerate().map(open).collect()
}

fn open_pair<'eal>(
    eal: &'eal Eal,
    pool: &Mempool<'eal>,
    number: usize,
    settings: &PortSettings,
    workers: usize,
) -> Result<PortPair<'eal>, StartError> {
    let failed = |source| StartError::Port { port: settings.name.clone(), source: Box::new(source) };
    let config = PortConfig {
        rx_descriptors: DESCRIPTORS,
        tx_descriptors: DESCRIPTORS,
        mtu: Some(settings.mtu),
        ..PortConfig::default()
    };
    let of_wire = match settings.device {
        Device::AfXdp(_) => {
            PortConfig { rx_descriptors: XDP_DESCRIPTORS, tx_descriptors: XDP_DESCRIPTORS, ..config }
        }
        _ => config,
    };
    let (wire, steering) = open_wire(eal, pool, number, settings, &of_wire, workers)?;
    let own = wire.mac().map_err(failed)?;
    let mac = our_mac(settings, own);
    if mac != own {
        wire.set_promiscuous().map_err(failed)?;
    }
    if let Device::AfPacket(interface) = &settings.device {
        silence_arp(interface);
    }
    let name = format!("net_tap{number}");
    eal.probe(&format!("{name},iface={},mac={}", settings.tap, MacAddr(mac))).map_err(failed)?;
    let config = PortConfig { mtu: Some(settings.mtu.min(TWIN_MTU_MAX)), ..config };
    let twin = Port::start(eal, &name, pool, &config).map_err(failed)?;
    report(settings, &wire, mac, steering);
    Ok(PortPair { wire, twin, mac, vlan: settings.vlan, punt_rate: settings.punt_rate })
}

fn open_wire<'eal>(
    eal: &'eal Eal,
    pool: &Mempool<'eal>,
    number: usize,
    settings: &PortSettings,
    config: &PortConfig<'_>,
    workers: usize,
) -> Result<(Port<'eal>, Steering), StartError> {
    let name = match &settings.device {
        Device::Pci(address) => address.clone(),
        Device::AfXdp(_) => format!("net_af_xdp{number}"),
        Device::AfPacket(_) => format!("net_af_packet{number}"),
        Device::Vhost(_) => format!("net_vhost{number}"),
    };
    // A vhost socket appears with the mode that its users need, and no file with more.
    let umask = rustix::process::umask(SOCKET_MASK);
    let (started, lines) = quietly(|| {
        if let Some(arguments) = device_arguments(&settings.device, workers) {
            eal.probe(&format!("{name},{arguments}"))?;
        }
        steering::start(eal, &name, pool, config, workers)
    });
    rustix::process::umask(umask);
    let port = settings.name.clone();
    let source = match started {
        Ok(wire) => {
            lines.iter().for_each(|line| debug!("{line}"));
            return Ok(wire);
        }
        Err(source) => source,
    };
    lines.iter().for_each(|line| warn!("{line}"));
    match &settings.device {
        Device::Pci(address) if matches!(source, Error::NoSuchPort { .. }) => {
            Err(StartError::PciNotDriven { port, address: address.clone() })
        }
        Device::AfXdp(interface) => {
            Err(StartError::AfXdp { port, interface: interface.clone(), source: Box::new(source) })
        }
        _ => Err(StartError::Port { port, source: Box::new(source) }),
    }
}

/// What DPDK is told of a device that it does not find by itself.
fn device_arguments(device: &Device, workers: usize) -> Option<String> {
    match device {
        Device::Pci(_) => None,
        Device::AfXdp(interface) => {
            // Virtual interfaces such as veth have no device behind them and no zero-copy. For these the driver would
            // make a system call at every empty ring, to let the kernel poll a device that fills the ring anyway.
            let is_real = net(interface).join("device").exists();
            let copy = if is_real { "" } else { ",force_copy=1,busy_budget=0" };
            Some(format!("iface={interface},start_queue=0,queue_count=1{copy}"))
        }
        Device::AfPacket(interface) => Some(format!(
            "iface={interface},qpairs=1,blocksz={},framesz={PACKET_SLOT},framecnt={PACKET_SLOTS}",
            16 * PACKET_SLOT
        )),
        Device::Vhost(path) => Some(format!("iface={},queues={workers}", path.display())),
    }
}

/// The MAC address of a port: the configured one, else the device's own. The kernel also sees the
/// frames of an AF_PACKET interface and would answer those to its own address: there ours differs.
fn our_mac(settings: &PortSettings, own: [u8; 6]) -> [u8; 6] {
    if let Some(MacAddr(mac)) = settings.mac {
        return mac;
    }
    let [first, rest @ ..] = own;
    let [b, c, d, e, f] = rest;
    match settings.device {
        // Locally administered, and different also from an address that already was.
        Device::AfPacket(_) => [(first | 0x02) ^ 0x04, b, c, d, e, f],
        Device::Pci(_) | Device::AfXdp(_) | Device::Vhost(_) => own,
    }
}

/// Keeps the kernel from answering ARP on an AF_PACKET interface for addresses of the twin.
fn silence_arp(interface: &str) {
    let path = Path::new("/proc/sys/net/ipv4/conf").join(interface).join("arp_ignore");
    if let Err(error) = std::fs::write(&path, "8") {
        warn!("cannot write 8 to {}: {error}; the kernel may answer ARP on {interface} too", path.display());
    }
}

fn report(settings: &PortSettings, wire: &Port<'_>, mac: [u8; 6], steering: Steering) {
    let link = match wire.link() {
        Some(link) if !link.up => "down".to_owned(),
        Some(link) => link.speed.map_or("up".to_owned(), |speed| format!("up, {speed} Mbit/s")),
        None => "unknown".to_owned(),
    };
    let vlan = settings.vlan.map_or("none".to_owned(), |vlan| vlan.to_string());
    info!(
        "port {}: {} ({}), MAC {}, queues: {}, {steering}, MTU {}, VLAN {vlan}, link {link}; kernel twin {}; media {} ports {}",
        settings.name,
        settings.device,
        wire.driver(),
        MacAddr(mac),
        wire.queues(),
        settings.mtu,
        settings.tap,
        settings.media_address,
        settings.media_ports,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(device: &str, mac: Option<MacAddr>) -> PortSettings {
        let text = format!(
            "name = \"a\"\ntap = \"a\"\nmedia_address = \"192.0.2.1\"\nmedia_ports = \"1024-2047\"\ndevice = \"{device}\"\n"
        );
        PortSettings { mac, ..toml::from_str(&text).unwrap() }
    }

    #[test]
    fn only_af_packet_takes_another_address_than_the_device() {
        let own = [0x52, 0x54, 0, 1, 2, 3];
        assert_eq!(our_mac(&settings("af_xdp:out0", None), own), own);
        assert_eq!(our_mac(&settings("0000:03:00.0", None), own), own);
        let ours = our_mac(&settings("af_packet:out0", None), own);
        assert_ne!(ours, own);
        assert_eq!(ours[0] & 3, 2, "locally administered and unicast");
        let configured = MacAddr([2, 0, 0, 0, 0, 9]);
        assert_eq!(our_mac(&settings("af_packet:out0", Some(configured)), own), configured.0);
    }
}
