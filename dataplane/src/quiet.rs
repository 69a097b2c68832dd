//! Keeps what C libraries write on standard error out of the operator's sight, but not lost.
//!
//! DPDK logs into a pipe of ours, but libbpf and libxdp, which AF_XDP ports use, print their
//! progress and their fall-backs on standard error.

use std::fs::File;
use std::io::{Read, Seek, stderr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::stdio::dup2_stderr;

/// Runs `action` with standard error turned into memory, and returns the lines that were written
/// there. For the start only: no other thread logs then. If the redirection cannot be made,
/// `action` runs without.
pub fn quietly<T>(action: impl FnOnce() -> T) -> (T, Vec<String>) {
    let Some((saved, mut memory)) = redirect() else { return (action(), Vec::new()) };
    let result = action();
    // Cannot fail for two open descriptors; if it did, the log would be lost, not the process.
    let _ = dup2_stderr(&saved);
    let mut bytes = Vec::new();
    let _ = memory.rewind().and_then(|()| memory.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    (result, text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn redirect() -> Option<(OwnedFd, File)> {
    let saved = stderr().as_fd().try_clone_to_owned().ok()?;
    let memory = memfd_create("pinhole-stderr", MemfdFlags::CLOEXEC).ok()?;
    dup2_stderr(&memory).ok()?;
    Some((saved, File::from(memory)))
}
