//! What is checked before DPDK is started, where a clear message is still possible.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use pinhole_flow::settings::{DataplaneSettings, Device, PortSettings};
use rustix::thread::{CapabilitySet, CpuSet};

use crate::StartError;

/// `IFF_UP` in `/sys/class/net/*/flags`.
const IFF_UP: u32 = 1;
/// Kernel drivers that leave a PCI device to user space. The mlx drivers share it with DPDK.
const USER_SPACE_DRIVERS: [&str; 5] = ["vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core"];

/// Checks what concerns the process itself: capabilities and cores.
///
/// # Errors
/// The first thing found wrong.
pub fn check_process(settings: &DataplaneSettings) -> Result<(), StartError> {
    check_capabilities(settings)?;
    check_cores(settings)
}

/// Checks interfaces, PCI devices and the twins' names.
///
/// # Errors
/// The first thing found wrong.
pub fn check_ports(settings: &DataplaneSettings) -> Result<(), StartError> {
    if !Path::new("/dev/net/tun").exists() {
        return Err(StartError::NoTun);
    }
    settings.port.iter().try_for_each(check_port)
}

fn check_capabilities(settings: &DataplaneSettings) -> Result<(), StartError> {
    let mut needed = vec![("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN)];
    if settings.port.iter().any(|port| port.device.interface().is_some()) {
        needed.push(("CAP_NET_RAW", CapabilitySet::NET_RAW));
    }
    if settings.port.iter().any(|port| matches!(port.device, Device::AfXdp(_))) {
        // libxdp looks up the programs of an interface by number, which CAP_BPF does not allow.
        needed.push(("CAP_SYS_ADMIN", CapabilitySet::SYS_ADMIN));
    }
    let have = rustix::thread::capabilities(None)
        .map_err(|errno| StartError::system("read this process's capabilities", errno))?
        .effective;
    let missing: Vec<_> =
        needed.into_iter().filter(|(_, bit)| !have.contains(*bit)).map(|(name, _)| name).collect();
    if missing.is_empty() { Ok(()) } else { Err(StartError::Capability { missing: missing.join(" and ") }) }
}

fn check_cores(settings: &DataplaneSettings) -> Result<(), StartError> {
    let set = rustix::thread::sched_getaffinity(None)
        .map_err(|errno| StartError::system("read the cores that may be used", errno))?;
    let workers = settings.worker_cores.iter().map(|core| ("worker_cores", *core));
    for (key, core) in workers.chain([("main_core", settings.main_core)]) {
        let index = core as usize;
        if index >= CpuSet::MAX_CPU || !set.is_set(index) {
            let allowed: Vec<_> =
                (0..CpuSet::MAX_CPU).filter(|at| set.is_set(*at)).map(|at| at.to_string()).collect();
            return Err(StartError::Core { key, core, allowed: allowed.join(", ") });
        }
    }
    Ok(())
}

fn check_port(port: &PortSettings) -> Result<(), StartError> {
    if interface_exists(&port.tap) {
        return Err(StartError::TapTaken { port: port.name.clone(), tap: port.tap.clone() });
    }
    match &port.device {
        Device::Pci(address) => check_pci(port, address),
        Device::AfXdp(interface) => {
            check_interface(port, interface)?;
            let queues = receive_queues(interface);
            if queues > 1 {
                let (port, interface) = (port.name.clone(), interface.clone());
                return Err(StartError::TooManyQueues { port, interface, queues });
            }
            Ok(())
        }
        Device::AfPacket(interface) => check_interface(port, interface),
        Device::Vhost(path) => check_vhost(port, path),
    }
}

/// Checks the place of a vhost socket, and removes one that a killed data plane left there.
fn check_vhost(port: &PortSettings, path: &Path) -> Result<(), StartError> {
    if !path.parent().is_some_and(Path::is_dir) {
        return Err(StartError::NoVhostDirectory { port: port.name.clone(), path: path.into() });
    }
    let taken = |what| Err(StartError::VhostPathTaken { port: port.name.clone(), path: path.into(), what });
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Ok(metadata) if !metadata.file_type().is_socket() => return taken("is not a socket"),
        _ => (),
    }
    match UnixStream::connect(path) {
        Ok(_) => taken("is the socket of a running process"),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path)
            .map_err(|error| StartError::system(format!("remove the abandoned {}", path.display()), error)),
        Err(error) => Err(StartError::system(format!("look at {}", path.display()), error)),
    }
}

fn check_interface(port: &PortSettings, interface: &str) -> Result<(), StartError> {
    let (name, interface) = (port.name.clone(), interface.to_owned());
    match interface_state(&interface) {
        InterfaceState::Absent => {
            Err(StartError::NoInterface { port: name, interface, device: port.device.to_string() })
        }
        InterfaceState::Down => Err(StartError::InterfaceDown { port: name, interface }),
        InterfaceState::Up => Ok(()),
    }
}

/// What the kernel says of a network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InterfaceState {
    /// There is none of this name.
    Absent,
    /// Switched off.
    Down,
    /// Switched on.
    Up,
}

/// The state of a network interface.
pub(crate) fn interface_state(name: &str) -> InterfaceState {
    if !interface_exists(name) {
        return InterfaceState::Absent;
    }
    let flags = std::fs::read_to_string(net(name).join("flags")).unwrap_or_default();
    match u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16) {
        Ok(flags) if flags & IFF_UP == 0 => InterfaceState::Down,
        _ => InterfaceState::Up,
    }
}

fn receive_queues(interface: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(net(interface).join("queues")) else { return 1 };
    entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-")).count()
}

fn check_pci(port: &PortSettings, address: &str) -> Result<(), StartError> {
    let device = Path::new("/sys/bus/pci/devices").join(address);
    let (port, address) = (port.name.clone(), address.to_owned());
    if !device.exists() {
        return Err(StartError::NoPciDevice { port, address });
    }
    let driver = std::fs::read_link(device.join("driver")).ok();
    let driver = driver.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    match driver {
        Some(driver) if USER_SPACE_DRIVERS.contains(&driver.as_str()) => Ok(()),
        Some(driver) => {
            Err(StartError::PciNotBound { port, address, driver: format!("the kernel's {driver}") })
        }
        None => Err(StartError::PciNotBound { port, address, driver: "no driver".into() }),
    }
}

/// Whether this process's network namespace has an interface of this name. `/sys/class/net` may
/// show another namespace, `/proc/self/net` does not.
fn interface_exists(name: &str) -> bool {
    let Ok(list) = std::fs::read_to_string("/proc/self/net/dev") else { return net(name).exists() };
    list.lines().filter_map(|line| line.split_once(':')).any(|(found, _)| found.trim() == name)
}

/// The kernel's directory of a network interface.
pub(crate) fn net(interface: &str) -> std::path::PathBuf {
    Path::new("/sys/class/net").join(interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_found_by_name() {
        assert!(interface_exists("lo"));
        assert!(!interface_exists("l"));
        assert!(!interface_exists("no-such-if"));
    }
}
