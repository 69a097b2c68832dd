//! The `[dataplane]` table of the configuration file: what both processes must agree on.

mod port;

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use port::{Device, MacAddr, PortRange, PortSettings};

use crate::layout::{FNV_START, MAX_PORTS, MAX_WORKERS, fnv1a};

/// Most sessions a slab is made for.
pub const MAX_SESSIONS: u32 = 100_000;
/// Highest core number.
const CORE_MAX: u32 = 1023;
/// The least replay window (RFC 3711 section 3.3.2) and the greatest that a slot has room for.
const REPLAY_WINDOW_MIN: u32 = 64;
const REPLAY_WINDOW_MAX: u32 = 1024;
/// Longest path of a Unix socket in bytes (`sun_path` less its terminator).
const SOCKET_PATH_MAX: usize = 107;

/// The `[dataplane]` table. Unknown keys are refused; [`DataplaneSettings::validate`] checks the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataplaneSettings {
    /// Path of the Unix socket on which the control plane attaches.
    #[serde(default = "default_socket")]
    pub socket: PathBuf,
    /// Group (name or number) that may attach; absent: only the data plane's own user.
    #[serde(default)]
    pub socket_group: Option<String>,
    /// Core of each worker: as many workers as cores.
    #[serde(default = "default_worker_cores")]
    pub worker_cores: Vec<u32>,
    /// Core of the main thread: attach socket, housekeeping.
    #[serde(default)]
    pub main_core: u32,
    /// Whether huge pages are used.
    #[serde(default)]
    pub huge_pages: HugePages,
    /// Memory of DPDK in mebibytes.
    #[serde(default = "default_memory_mb")]
    pub memory_mb: u32,
    /// What a worker without packets does.
    #[serde(default)]
    pub idle: Idle,
    /// Slots in the session slab.
    #[serde(default = "default_max_sessions")]
    pub max_sessions: u32,
    /// DPDK's file prefix: keeps two data planes on one machine apart.
    #[serde(default = "default_file_prefix")]
    pub file_prefix: String,
    /// Which SRTP engine is used.
    #[serde(default)]
    pub engine: EngineChoice,
    /// SRTP packets behind the newest one that are still told from replayed ones (RFC 3711 section
    /// 3.3.2): 64 to 1024, a multiple of 64.
    #[serde(default = "default_replay_window")]
    pub replay_window: u32,
    /// The ports, in the order of their index in [`Leg::port`](crate::Leg::port).
    #[serde(default)]
    pub port: Vec<PortSettings>,
}

/// Use of huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HugePages {
    /// When they are reserved; otherwise go on without.
    #[default]
    Auto,
    /// Refuse to start without.
    Require,
    /// Never.
    Off,
}

/// What a worker without packets does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Polls on: lowest latency, a full core.
    #[default]
    Poll,
    /// Backs off: pauses, then short sleeps.
    Sleep,
}

/// The SRTP engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// The fastest that the processor runs.
    #[default]
    Auto,
    /// AVX-512 with VAES, VPCLMULQDQ and SHA-NI.
    Avx512,
    /// AVX2 with AES-NI and SHA-NI.
    Avx2,
    /// The one that runs on every processor.
    Portable,
}

impl EngineChoice {
    /// The engine's name; `None`: the fastest that the processor runs.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Avx512 => Some("avx512"),
            Self::Avx2 => Some("avx2"),
            Self::Portable => Some("portable"),
        }
    }
}

/// Why a `[dataplane]` table is refused. Each message says where and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A value is out of its range.
    #[error("[dataplane] {key} = {value}: must be {must}")]
    Range {
        /// The key.
        key: &'static str,
        /// The value found.
        value: String,
        /// What it must be.
        must: String,
    },
    /// There is no port.
    #[error("[dataplane] has no [[dataplane.port]]: add one for each side, outside and inside")]
    NoPorts,
    /// There are more ports than the contract has room for.
    #[error("[dataplane] has {count} [[dataplane.port]] tables: at most {MAX_PORTS} are possible")]
    TooManyPorts {
        /// How many there are.
        count: usize,
    },
    /// Two ports share what must be unique.
    #[error("[[dataplane.port]] {name:?}: {key} {value} is already used by another port, give each its own")]
    Duplicate {
        /// The port's name.
        name: String,
        /// The key.
        key: &'static str,
        /// The value found twice.
        value: String,
    },
    /// A value of a port is out of its range.
    #[error("[[dataplane.port]] {name:?}: {key} = {value}: must be {must}")]
    Port {
        /// The port's name.
        name: String,
        /// The key.
        key: &'static str,
        /// The value found.
        value: String,
        /// What it must be.
        must: String,
    },
}

impl DataplaneSettings {
    /// Checks everything that the types don't: ranges, uniqueness, names.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let range =
            |key, value: String, must: &str| Err(SettingsError::Range { key, value, must: must.into() });
        let socket = self.socket.as_os_str().len();
        if !self.socket.is_absolute() || socket > SOCKET_PATH_MAX {
            return range(
                "socket",
                format!("{:?}", self.socket),
                "an absolute path of at most 107 bytes, such as \"/run/pinhole/dataplane.sock\"",
            );
        }
        if self.socket_group.as_deref() == Some("") {
            return range("socket_group", "\"\"".into(), "the name or number of a group, or absent");
        }
        if !(1..=MAX_SESSIONS).contains(&self.max_sessions) {
            return range("max_sessions", self.max_sessions.to_string(), "from 1 to 100000");
        }
        if !(64..=1_048_576).contains(&self.memory_mb) {
            return range("memory_mb", self.memory_mb.to_string(), "from 64 to 1048576 (mebibytes)");
        }
        if self.main_core > CORE_MAX {
            return range("main_core", self.main_core.to_string(), "a core number, from 0 to 1023");
        }
        let distinct: HashSet<u32> = self.worker_cores.iter().copied().collect();
        if !(1..=MAX_WORKERS).contains(&self.worker_cores.len())
            || distinct.len() < self.worker_cores.len()
            || distinct.iter().any(|core| *core > CORE_MAX)
        {
            return range(
                "worker_cores",
                format!("{:?}", self.worker_cores),
                "1 to 16 different core numbers from 0 to 1023, such as [1, 2]",
            );
        }
        if !(REPLAY_WINDOW_MIN..=REPLAY_WINDOW_MAX).contains(&self.replay_window)
            || !self.replay_window.is_multiple_of(64)
        {
            return range(
                "replay_window",
                self.replay_window.to_string(),
                "a multiple of 64 from 64 to 1024 (packets)",
            );
        }
        if !is_word(&self.file_prefix, 32) {
            return range(
                "file_prefix",
                format!("{:?}", self.file_prefix),
                "1 to 32 letters, digits, '-', '_' or '.'",
            );
        }
        self.validate_ports()
    }

    fn validate_ports(&self) -> Result<(), SettingsError> {
        match self.port.len() {
            0 => return Err(SettingsError::NoPorts),
            1..=MAX_PORTS => (),
            count => return Err(SettingsError::TooManyPorts { count }),
        }
        let mut seen = HashSet::new();
        for port in &self.port {
            port.validate()?;
            for (key, value) in [
                ("name", port.name.clone()),
                ("device", port.device.to_string()),
                ("tap", port.tap.clone()),
                ("media_address", port.media_address.to_string()),
            ] {
                if !seen.insert((key, value.clone())) {
                    return Err(SettingsError::Duplicate { name: port.name.clone(), key, value });
                }
            }
        }
        Ok(())
    }

    /// How many workers there are.
    pub fn workers(&self) -> u32 {
        // Validated to be 1 to MAX_WORKERS.
        self.worker_cores.len() as u32
    }

    /// A number that differs when the two processes were started with settings that don't fit
    /// together: slab size, workers, ports, their addresses and ranges.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = fnv1a(FNV_START, &self.max_sessions.to_le_bytes());
        hash = fnv1a(hash, &self.workers().to_le_bytes());
        for port in &self.port {
            let text = format!("{}|{}|{}|{:?};", port.name, port.media_address, port.media_ports, port.vlan);
            hash = fnv1a(hash, text.as_bytes());
        }
        hash
    }
}

/// Whether `text` is 1 to `max` characters that are harmless in file and interface names.
fn is_word(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text != "."
        && text != ".."
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn default_socket() -> PathBuf {
    PathBuf::from("/run/pinhole/dataplane.sock")
}

fn default_worker_cores() -> Vec<u32> {
    vec![1]
}

fn default_replay_window() -> u32 {
    128
}

fn default_memory_mb() -> u32 {
    256
}

fn default_max_sessions() -> u32 {
    10_000
}

fn default_file_prefix() -> String {
    "pinhole".into()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
