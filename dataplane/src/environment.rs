//! DPDK's environment from the settings: arguments, huge pages, resource limits, cores.

use std::path::Path;

use pinhole_flow::settings::{DataplaneSettings, Device, HugePages};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CpuSet;

use crate::StartError;

/// Where packet memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Huge pages.
    Huge,
    /// Ordinary pages, and how many mebibytes of huge pages were free.
    Ordinary {
        /// Free huge pages in mebibytes.
        free_mb: u64,
    },
}

/// Decides between huge and ordinary pages.
///
/// # Errors
/// [`StartError::HugePages`] when they are required and too few are free.
pub fn choose_memory(settings: &DataplaneSettings) -> Result<Memory, StartError> {
    let free_mb = free_huge_mb(Path::new("/sys/kernel/mm/hugepages"));
    let enough = free_mb >= u64::from(settings.memory_mb);
    match settings.huge_pages {
        HugePages::Off => Ok(Memory::Ordinary { free_mb }),
        HugePages::Auto | HugePages::Require if enough => Ok(Memory::Huge),
        HugePages::Auto => Ok(Memory::Ordinary { free_mb }),
        HugePages::Require => Err(StartError::HugePages { free_mb, need_mb: settings.memory_mb }),
    }
}

/// Mebibytes in free huge pages of all sizes. The directory has one entry per size, such as
/// `hugepages-2048kB/free_hugepages`.
fn free_huge_mb(directory: &Path) -> u64 {
    let Ok(sizes) = std::fs::read_dir(directory) else { return 0 };
    let kilobytes = sizes.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let size: u64 = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let count: u64 =
            std::fs::read_to_string(entry.path().join("free_hugepages")).ok()?.trim().parse().ok()?;
        size.checked_mul(count)
    });
    kilobytes.sum::<u64>() / 1024
}

/// The EAL's arguments. Devices of kernel interfaces are created later, one by one; PCI devices
/// are found by the EAL itself, which may touch no others.
pub fn arguments(settings: &DataplaneSettings, memory: Memory) -> Vec<String> {
    let mut arguments = vec![
        "--lcores".to_owned(),
        format!("0@{}", settings.main_core),
        "-m".to_owned(),
        settings.memory_mb.to_string(),
        "--file-prefix".to_owned(),
        settings.file_prefix.clone(),
        "--no-telemetry".to_owned(),
        "--log-level".to_owned(),
        "notice".to_owned(),
    ];
    // --no-huge and --in-memory exclude each other. Either way nothing is shared with other
    // processes, so no files are left behind.
    match memory {
        Memory::Huge => arguments.push("--in-memory".to_owned()),
        Memory::Ordinary { .. } => arguments.extend(["--no-huge".to_owned(), "--no-shconf".to_owned()]),
    }
    let mut any_pci = false;
    for port in &settings.port {
        if let Device::Pci(address) = &port.device {
            arguments.extend(["-a".to_owned(), address.clone()]);
            any_pci = true;
        }
    }
    if !any_pci {
        arguments.push("--no-pci".to_owned());
    }
    arguments
}

/// Pins the calling thread to a core.
///
/// # Errors
/// [`StartError::System`]; the core was checked to be usable before.
pub fn pin(core: u32) -> Result<(), StartError> {
    let mut set = CpuSet::new();
    set.set(core as usize);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|errno| StartError::system(format!("pin a thread to core {core}"), errno))
}

/// Raises the soft limit of open files to the hard one and returns it; `None`: unlimited.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> DataplaneSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn huge_pages_of_all_sizes_are_added_up() {
        let directory = tempfile::tempdir().unwrap();
        for (size, free) in [("hugepages-2048kB", "100\n"), ("hugepages-1048576kB", "2\n"), ("other", "9\n")]
        {
            std::fs::create_dir(directory.path().join(size)).unwrap();
            std::fs::write(directory.path().join(size).join("free_hugepages"), free).unwrap();
        }
        assert_eq!(free_huge_mb(directory.path()), 200 + 2048);
        assert_eq!(free_huge_mb(Path::new("/nonexistent")), 0);
    }

    #[test]
    fn only_configured_pci_devices_are_probed() {
        let port = "[[port]]\nname = \"a\"\ntap = \"a\"\nmedia_address = \"192.0.2.1\"\nmedia_ports = \"1024-2047\"\n";
        let pci = settings(&format!("{port}device = \"0000:03:00.0\"\n"));
        let arguments_pci = arguments(&pci, Memory::Huge);
        assert!(arguments_pci.windows(2).any(|pair| pair == ["-a", "0000:03:00.0"]));
        assert!(arguments_pci.contains(&"--in-memory".to_owned()));
        assert!(!arguments_pci.contains(&"--no-pci".to_owned()));
        let veth = settings(&format!("{port}device = \"af_xdp:out0\"\n"));
        let arguments_veth = arguments(&veth, Memory::Ordinary { free_mb: 0 });
        assert!(arguments_veth.contains(&"--no-pci".to_owned()));
        assert!(arguments_veth.contains(&"--no-huge".to_owned()));
        assert!(!arguments_veth.contains(&"--in-memory".to_owned()));
    }

    #[test]
    fn required_huge_pages_that_are_not_there_are_an_error() {
        let text = "huge_pages = \"require\"\nmemory_mb = 1048576\n";
        let error = choose_memory(&settings(text)).unwrap_err();
        assert!(error.to_string().contains("scripts/deploy/huge-pages"), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
}
