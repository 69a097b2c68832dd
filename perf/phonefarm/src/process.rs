//! What another process uses, as the kernel tells.

use std::fs;

use serde_json::{Value, json};

/// Memory and open files of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in KiB.
    pub rss_kb: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

impl Usage {
    /// Of process `pid`, as of now; `None`: there is no such process, or it is another user's.
    pub fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let rss_kb = rss.trim().strip_suffix("kB")?.trim().parse().ok()?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        Some(Self { rss_kb, descriptors })
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        json!({ "rss_kb": self.rss_kb, "descriptors": self.descriptors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_and_descriptors() {
        let before = Usage::of(std::process::id()).unwrap();
        assert!(before.rss_kb > 100 && before.descriptors >= 3, "{before:?}");
        let _open = fs::File::open("/proc/self/status").unwrap();
        assert!(Usage::of(std::process::id()).unwrap().descriptors > before.descriptors);
        assert_eq!(Usage::of(u32::MAX), None);
    }
}
