//! The farm's ports: DPDK devices that face the relay.

use std::fmt;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use dpdk::{Eal, Mempool, Port, PortConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::FarmError;

/// Packets that a ring holds, in each direction: some milliseconds at the highest rates, so that
/// a moment in which the other process does not run costs no packets.
const DESCRIPTORS: u16 = 4096;
/// Packets that a ring of shared memory holds. The buffers of a ring are used one after the other, so that those of
/// deep ones have left the caches of both processes when their turn comes: with 4,096 a packet takes a third longer.
const SHARED_DESCRIPTORS: u16 = 1024;
/// Packets on their way to the other process at most: fewer than it may send back, so that all have room when it catches up
/// while we do not run.
const SHARED_SENT: u16 = 512;
/// Packet buffers beyond those in rings.
const SPARE: u32 = 4095;
/// Packet buffers in the thread's cache.
const CACHE: u32 = 512;
/// Mebibytes of packet memory of one port: two rings of buffers of about 2.3 KiB, and room.
const PORT_MB: u32 = 96;

/// What a port of the farm is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The other end of a data plane's `vhost:` device: shared memory, by the path of its socket.
    Virtio(PathBuf),
    /// A kernel interface over AF_PACKET.
    AfPacket(String),
    /// A kernel interface over AF_XDP.
    AfXdp(String),
    /// Gives back what is sent: for measuring the farm alone.
    Loop,
}

impl FromStr for Device {
    type Err = FarmError;

    fn from_str(text: &str) -> Result<Self, FarmError> {
        match text.split_once(':') {
            Some(("virtio", path)) if path.starts_with('/') => Ok(Self::Virtio(path.into())),
            Some(("af_packet", interface)) if !interface.is_empty() => Ok(Self::AfPacket(interface.into())),
            Some(("af_xdp", interface)) if !interface.is_empty() => Ok(Self::AfXdp(interface.into())),
            None if text == "loop" => Ok(Self::Loop),
            _ => Err(FarmError::Device(text.into())),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Virtio(path) => write!(f, "virtio:{}", path.display()),
            Self::AfPacket(interface) => write!(f, "af_packet:{interface}"),
            Self::AfXdp(interface) => write!(f, "af_xdp:{interface}"),
            Self::Loop => f.write_str("loop"),
        }
    }
}

impl Device {
    /// Name and arguments of the DPDK device.
    fn arguments(&self, number: usize) -> (String, String) {
        match self {
            // A packed ring without merged buffers, as a DPDK peer may ask for: both sides touch fewer cache lines a packet.
            Self::Virtio(path) => (
                format!("net_virtio_user{number}"),
                format!(
                    "path={},server=0,queues=1,queue_size={SHARED_DESCRIPTORS},packed_vq=1,mrg_rxbuf=0,in_order=1,mac=02:50:48:00:00:{:02x}",
                    path.display(),
                    number + 1
                ),
            ),
            Self::AfPacket(interface) => (
                format!("net_af_packet{number}"),
                format!("iface={interface},qpairs=1,blocksz=32768,framesz=2048,framecnt={DESCRIPTORS}"),
            ),
            Self::AfXdp(interface) => {
                // Virtual interfaces such as veth have no device behind them and no zero-copy; for these the driver
                // asks the kernel at every empty ring, unless its budget for that is 0.
                let real = Path::new("/sys/class/net").join(interface).join("device").exists();
                let copy = if real { "" } else { ",force_copy=1,busy_budget=0" };
                (
                    format!("net_af_xdp{number}"),
                    format!("iface={interface},start_queue=0,queue_count=1{copy}"),
                )
            }
            Self::Loop => (format!("net_ring{number}"), String::new()),
        }
    }

    /// Opens the device.
    ///
    /// # Errors
    /// [`FarmError::NoSocket`], or what DPDK says.
    pub fn open<'eal>(
        &self,
        eal: &'eal Eal,
        pool: &Mempool<'eal>,
        number: usize,
    ) -> Result<Port<'eal>, FarmError> {
        if let Self::Virtio(path) = self {
            let is_socket = fs::metadata(path).is_ok_and(|found| found.file_type().is_socket());
            if !is_socket {
                return Err(FarmError::NoSocket(path.clone()));
            }
        }
        let (name, arguments) = self.arguments(number);
        eal.probe(format!("{name},{arguments}").trim_end_matches(','))?;
        let (rx_descriptors, tx_descriptors) = match self {
            Self::Virtio(_) => (SHARED_DESCRIPTORS, SHARED_SENT),
            Self::AfPacket(_) | Self::AfXdp(_) | Self::Loop => (DESCRIPTORS, DESCRIPTORS),
        };
        let config = PortConfig { rx_descriptors, tx_descriptors, ..PortConfig::default() };
        Ok(Port::start(eal, &name, pool, &config)?)
    }
}

/// Starts DPDK for a number of ports, with the calling thread on `core`, in huge pages if enough are free.
///
/// # Errors
/// What DPDK says.
pub fn start_dpdk(ports: usize, core: u32) -> Result<Eal, FarmError> {
    // DPDK keeps one file open per piece of memory.
    let limit = getrlimit(Resource::Nofile);
    // As far as it goes: a refusal shows when files run out.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let memory_mb = 64 + PORT_MB * ports as u32;
    let mut arguments: Vec<String> = [
        "--lcores",
        &format!("0@{core}"),
        "-m",
        &memory_mb.to_string(),
        "--file-prefix",
        &format!("phonefarm-{}", std::process::id()),
        "--no-pci",
        "--no-telemetry",
        "--log-level",
        "notice",
        // The data plane maps the farm's memory, with one descriptor for all of it.
        "--single-file-segments",
    ]
    .map(str::to_owned)
    .into();
    if free_huge_mb() >= u64::from(memory_mb) {
        arguments.push("--in-memory".into());
    } else {
        arguments.extend(["--no-huge".into(), "--no-shconf".into()]);
    }
    Ok(Eal::init(&arguments)?)
}

/// The pool for a number of ports.
///
/// # Errors
/// What DPDK says, most often that memory is short.
pub fn pool(eal: &Eal, ports: usize) -> Result<Mempool<'_>, FarmError> {
    let buffers = SPARE + ports as u32 * 2 * u32::from(DESCRIPTORS);
    Ok(Mempool::new(eal, "farm", buffers, CACHE)?)
}

/// Mebibytes in free huge pages of 2 MiB.
fn free_huge_mb() -> u64 {
    let free = fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    free.ok().and_then(|text| text.trim().parse::<u64>().ok()).map_or(0, |pages| pages * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for text in ["virtio:/run/pinhole/outside.sock", "af_packet:eth0", "af_xdp:eth1", "loop"] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        for text in ["virtio:relative.sock", "af_xdp:", "eth0", "vhost:/a.sock", ""] {
            assert!(text.parse::<Device>().unwrap_err().to_string().contains("virtio:/PATH.sock"), "{text}");
        }
    }
}
