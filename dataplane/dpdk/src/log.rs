//! DPDK's log, kept out of the terminal until somebody wants it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::error::Log;

/// The most bytes read back at once: what a pipe holds.
const PIPE_BYTES: usize = 65_536;

/// A pipe that DPDK logs into. Both ends are non-blocking: a full pipe loses lines, it never
/// stops the packet path.
pub(crate) struct Capture {
    /// `None`: the pipe could not be made, DPDK logs to its default place.
    reader: Option<File>,
}

impl Capture {
    /// Points DPDK's log at a new pipe. Called before `rte_eal_init`, so that its own lines are
    /// caught too.
    pub(crate) fn install() -> Self {
        Self { reader: open_pipe() }
    }

    /// Takes what was logged since the last call, line by line.
    pub(crate) fn take(&self) -> Log {
        let mut bytes = vec![0; PIPE_BYTES];
        let Some(mut reader) = self.reader.as_ref() else { return Log::default() };
        let len = reader.read(&mut bytes).unwrap_or(0);
        bytes.truncate(len);
        let text = String::from_utf8_lossy(&bytes);
        Log(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }
}

fn open_pipe() -> Option<File> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors that pipe2 writes.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } != 0 {
        return None;
    }
    let [read_end, write_end] = ends;
    // SAFETY: the descriptor is new and nobody else's.
    let reader = unsafe { OwnedFd::from_raw_fd(read_end) };
    // SAFETY: the descriptor is open for writing and the mode is a NUL-terminated string. The
    // stream owns the descriptor and stays open for the rest of the process, as DPDK's own threads
    // may log at any time.
    let stream = unsafe { libc::fdopen(write_end, c"w".as_ptr()) };
    if stream.is_null() {
        // SAFETY: fdopen failed, so the descriptor is still only ours.
        drop(unsafe { OwnedFd::from_raw_fd(write_end) });
        return None;
    }
    // SAFETY: `stream` is an open C stream that is never closed. bindgen's FILE and libc's name
    // the same C type.
    unsafe { dpdk_sys::rte_openlog_stream(stream.cast()) };
    Some(File::from(reader))
}
