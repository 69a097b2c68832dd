//! Why the process does not start. Each message is the one line that the operator sees.

use std::path::PathBuf;

use pinhole_flow::settings::SettingsError;

/// A reason not to start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    ReadConfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The configuration file is not TOML, or its `[dataplane]` table has a wrong key or value.
    #[error("{path}{}: {message}", .line.map(|line| format!(" line {line}")).unwrap_or_default())]
    ParseConfig {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
    /// There is no `[dataplane]` table.
    #[error("{path} has no [dataplane] table: add one, scripts/deploy/pinhole.toml is an example")]
    NoTable {
        /// The file.
        path: PathBuf,
    },
    /// A value is out of range.
    #[error("{path}: {source}")]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SettingsError,
    },
    /// A capability is missing.
    #[error(
        "pinhole-dataplane lacks {missing}: start it as root, or through scripts/deploy/systemd/pinhole-dataplane.service"
    )]
    Capability {
        /// Names of the missing capabilities.
        missing: String,
    },
    /// A configured core does not exist or may not be used.
    #[error("[dataplane] {key} = {core}: this process may only use the cores {allowed}; change {key}")]
    Core {
        /// The configuration key.
        key: &'static str,
        /// The configured core.
        core: u32,
        /// The cores that may be used.
        allowed: String,
    },
    /// Huge pages are required and too few are free.
    #[error(
        "huge_pages = \"require\", but {free_mb} MiB of huge pages are free and memory_mb = {need_mb}: reserve them with scripts/deploy/huge-pages, or set huge_pages = \"auto\""
    )]
    HugePages {
        /// What is free, in mebibytes.
        free_mb: u64,
        /// What is needed, in mebibytes.
        need_mb: u32,
    },
    /// A kernel interface is absent.
    #[error(
        "port {port:?}: there is no network interface {interface}: see `ip link`, and correct device = \"{device}\""
    )]
    NoInterface {
        /// The port's name.
        port: String,
        /// The interface.
        interface: String,
        /// The configured device.
        device: String,
    },
    /// A kernel interface is down.
    #[error("port {port:?}: network interface {interface} is down: `ip link set {interface} up`")]
    InterfaceDown {
        /// The port's name.
        port: String,
        /// The interface.
        interface: String,
    },
    /// AF_XDP gets the packets of queue 0 only, and the interface has more.
    #[error(
        "port {port:?}: {interface} has {queues} receive queues and AF_XDP reads only the first: `ethtool -L {interface} combined 1`"
    )]
    TooManyQueues {
        /// The port's name.
        port: String,
        /// The interface.
        interface: String,
        /// How many it has.
        queues: usize,
    },
    /// The name of a kernel twin is taken.
    #[error(
        "port {port:?}: an interface {tap} exists already: another pinhole-dataplane may be running; otherwise choose another tap name or `ip link del {tap}`"
    )]
    TapTaken {
        /// The port's name.
        port: String,
        /// The twin's name.
        tap: String,
    },
    /// There is no `/dev/net/tun`.
    #[error("/dev/net/tun is missing, the kernel twins need it: `modprobe tun`")]
    NoTun,
    /// There is no PCI device of this address.
    #[error("port {port:?}: there is no PCI device {address}: see `lspci -D`, and correct the port's device")]
    NoPciDevice {
        /// The port's name.
        port: String,
        /// The PCI address.
        address: String,
    },
    /// The PCI device is driven by the kernel.
    #[error(
        "port {port:?}: PCI device {address} is bound to {driver}: bind it to vfio-pci with scripts/deploy/bind-nic {address}"
    )]
    PciNotBound {
        /// The port's name.
        port: String,
        /// The PCI address.
        address: String,
        /// The kernel's driver, or "no driver".
        driver: String,
    },
    /// DPDK has no driver for the PCI device.
    #[error(
        "port {port:?}: no DPDK driver takes PCI device {address}: is its driver package installed (librte-net-*)?"
    )]
    PciNotDriven {
        /// The port's name.
        port: String,
        /// The PCI address.
        address: String,
    },
    /// The directory of a vhost socket is missing.
    #[error("port {port:?}: the directory of {} does not exist: create it, or correct the port's device", path.display())]
    NoVhostDirectory {
        /// The port's name.
        port: String,
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no abandoned socket stands at a vhost socket's path.
    #[error("port {port:?}: {} {what}: choose another path in the port's device, or remove it", path.display())]
    VhostPathTaken {
        /// The port's name.
        port: String,
        /// The socket.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// AF_XDP does not get the interface's queue.
    #[error(
        "port {port:?}: AF_XDP does not get {interface}; most often another program has it (does `ip link show {interface}` name a prog/xdp?), otherwise try device = \"af_packet:{interface}\": {source}"
    )]
    AfXdp {
        /// The port's name.
        port: String,
        /// The interface.
        interface: String,
        /// What DPDK said.
        source: Box<dpdk::Error>,
    },
    /// The packet buffers don't fit the memory.
    #[error("{source}: raise [dataplane] memory_mb, now {memory_mb}")]
    Memory {
        /// What DPDK said.
        source: Box<dpdk::Error>,
        /// The configured memory in mebibytes.
        memory_mb: u32,
    },
    /// A device of a port does not start.
    #[error("port {port:?}: {source}")]
    Port {
        /// The port's name.
        port: String,
        /// What DPDK said.
        source: Box<dpdk::Error>,
    },
    /// The EAL does not start.
    #[error(transparent)]
    Eal(Box<dpdk::Error>),
    /// The attach socket cannot be made.
    #[error(transparent)]
    Socket(#[from] pinhole_flow::BindError),
    /// The shared memory cannot be made.
    #[error(transparent)]
    Region(#[from] pinhole_flow::RegionError),
    /// The relay refuses the ports.
    #[error(transparent)]
    Relay(#[from] pinhole_relay::ConfigError),
    /// The processor does not run the engine that is asked for.
    #[error(
        "[dataplane] engine = \"{wanted}\": this processor runs only {available}: name one of these, or \"auto\""
    )]
    Engine {
        /// The engine's name.
        wanted: &'static str,
        /// Names of those that it runs.
        available: String,
    },
    /// A queue that each port has was not there.
    #[error("a port or the shared memory has nothing for a worker: this is a defect, please report it")]
    NoQueue,
    /// A worker ended by a panic.
    #[error("worker {worker} has panicked: this is a defect, please report it with the lines above")]
    WorkerPanicked {
        /// Its number.
        worker: u32,
    },
    /// A system call at start failed.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl StartError {
    /// The process's exit status: 2 when the configuration is wrong, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ReadConfig { .. }
            | Self::ParseConfig { .. }
            | Self::NoTable { .. }
            | Self::Settings { .. }
            | Self::Engine { .. } => 2,
            _ => 1,
        }
    }

    /// A failed system call, with what it was for.
    pub(crate) fn system(what: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::System { what: what.into(), source: source.into() }
    }
}
