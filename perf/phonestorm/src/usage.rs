//! What another process uses, as the kernel tells.

use std::fs;
use std::time::{Duration, Instant};

use crate::StormError;

/// What a process uses at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// When.
    pub at: Instant,
    /// Resident memory in bytes.
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Processor time of its threads so far.
    pub processor: Duration,
}

impl Usage {
    /// Of process `pid`, now.
    ///
    /// # Errors
    /// [`StormError::Gone`].
    pub fn of(pid: u32) -> Result<Self, StormError> {
        Self::read(pid).ok_or(StormError::Gone(pid))
    }

    fn read(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let resident: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        // In nanoseconds; the times in /proc/PID/stat are in hundredths of a second.
        let of_thread = |thread: fs::DirEntry| -> Option<u64> {
            let line = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            line.split_whitespace().next()?.parse().ok()
        };
        let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
        let processor = Duration::from_nanos(threads.filter_map(of_thread).sum());
        Some(Self { at: Instant::now(), memory: resident * 1024, descriptors, processor })
    }

    /// Percent of one core that was used since.
    pub fn percent_since(&self, earlier: &Self) -> f64 {
        let wall = self.at.duration_since(earlier.at).as_secs_f64();
        100.0 * self.processor.saturating_sub(earlier.processor).as_secs_f64() / wall.max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_descriptors_and_time() {
        let before = Usage::of(std::process::id()).unwrap();
        assert!(before.memory > 100_000 && before.descriptors >= 3, "{before:?}");
        let _open = fs::File::open("/proc/self/status").unwrap();
        let mut after = Usage::of(std::process::id()).unwrap();
        assert!(after.descriptors > before.descriptors);
        while after.processor == before.processor {
            after = Usage::of(std::process::id()).unwrap();
        }
        assert!(after.percent_since(&before) > 0.0);
        assert!(matches!(Usage::of(u32::MAX), Err(StormError::Gone(u32::MAX))));
    }
}
