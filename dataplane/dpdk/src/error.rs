//! What can go wrong between Pinhole and DPDK.

use std::ffi::CStr;
use std::fmt;

/// A failure of DPDK, with what DPDK itself logged about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument has a NUL byte in it.
    #[error("{what} contains a NUL byte")]
    Nul {
        /// Which argument.
        what: &'static str,
    },
    /// The EAL starts once per process, also if the first start failed.
    #[error("the EAL was already started in this process")]
    AlreadyStarted,
    /// `rte_eal_init` failed.
    #[error("DPDK's environment does not start: {reason}{log}")]
    Init {
        /// DPDK's error code in words.
        reason: String,
        /// What DPDK logged.
        log: Log,
    },
    /// A device could not be created or probed.
    #[error("device {device} does not start: {reason}{log}")]
    Probe {
        /// The device, with its arguments.
        device: String,
        /// DPDK's error code in words.
        reason: String,
        /// What DPDK logged.
        log: Log,
    },
    /// No port has this name.
    #[error("no DPDK port is called {name}")]
    NoSuchPort {
        /// The port's name.
        name: String,
    },
    /// The port was opened before.
    #[error("the DPDK port {name} is already open")]
    PortTaken {
        /// The port's name.
        name: String,
    },
    /// A step of a port's start failed.
    #[error("port {port}: {step} failed: {reason}{log}")]
    Port {
        /// The port's name.
        port: String,
        /// What was tried.
        step: &'static str,
        /// DPDK's error code in words.
        reason: String,
        /// What DPDK logged.
        log: Log,
    },
    /// A pool could not be created: most often there is too little memory.
    #[error("cannot create a pool of {buffers} packet buffers: {reason}{log}")]
    Pool {
        /// How many buffers were asked for.
        buffers: u32,
        /// DPDK's error code in words.
        reason: String,
        /// What DPDK logged.
        log: Log,
    },
    /// A ring could not be created: most often there is too little memory.
    #[error("cannot create the ring {name}: {reason}{log}")]
    Ring {
        /// The ring's name.
        name: String,
        /// DPDK's error code in words.
        reason: String,
        /// What DPDK logged.
        log: Log,
    },
    /// The thread could not be made known to DPDK.
    #[error("cannot register a thread with DPDK: {reason}")]
    Thread {
        /// DPDK's error code in words.
        reason: String,
    },
}

/// The lines DPDK logged before a failure, shown on one line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Log(pub Vec<String>);

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (DPDK: {})", self.0.join("; ")) }
    }
}

/// The words for a DPDK error code, positive or negative.
pub(crate) fn reason(code: i32) -> String {
    // SAFETY: rte_strerror takes any code and returns a NUL-terminated string that is static or
    // belongs to this thread; it is copied before the thread can call it again.
    let text = unsafe { CStr::from_ptr(dpdk_sys::rte_strerror(code.saturating_abs())) };
    text.to_string_lossy().into_owned()
}

/// `rte_errno` in words: for functions that return a null pointer or -1.
pub(crate) fn last_reason() -> String {
    // SAFETY: reads a thread-local integer.
    reason(unsafe { dpdk_sys::dpdk_errno() })
}
