//! A memfd mapped into this process.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::sync::AtomicU64;

/// A shared mapping of a sealed memfd. Every [`Mapping`] is a range of addresses of its own, so two
/// ends in one process (as in tests) never hold references to the same addresses.
pub(crate) struct Mapping {
    base: NonNull<c_void>,
    len: usize,
}

/// What this process may do with the memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// The other process writes it; a store here is a fault.
    Read,
    /// This process writes it.
    Write,
}

impl Mapping {
    /// Maps the first `len` bytes, whole pages, of `memfd`, whose size the caller has checked and sealed, so that
    /// no later truncation can make an access fail.
    pub(crate) fn new(memfd: BorrowedFd<'_>, len: usize, access: Access) -> Result<Self, Errno> {
        let protection = match access {
            Access::Read => ProtFlags::READ,
            Access::Write => ProtFlags::READ | ProtFlags::WRITE,
        };
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, memfd, 0) }?;
        NonNull::new(base).map(|base| Self { base, len }).ok_or(Errno::NOMEM)
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The word `at`, for reads by either side and stores by the side that maps the memory writable.
    pub(crate) fn word(&self, at: usize) -> Option<&AtomicU64> {
        let offset = at.checked_mul(8)?;
        if offset.checked_add(8)? > self.len {
            return None;
        }
        // SAFETY: the word lies in the mapping, which lives as long as `self` and is page-aligned.
        // This process makes non-atomic accesses only through `Owned`, whose ranges no `Words` covers.
        Some(unsafe { AtomicU64::from_ptr(self.base.as_ptr().byte_add(offset).cast()) })
    }

    /// Address of the byte at `offset`, if `bytes` bytes from there lie in the mapping.
    pub(crate) fn address(&self, offset: usize, bytes: usize) -> Option<NonNull<c_void>> {
        if offset.checked_add(bytes)? > self.len {
            return None;
        }
        // SAFETY: the offset lies in the mapping.
        Some(unsafe { self.base.byte_add(offset) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this mapping is ours, and whatever points into it holds an `Arc` of `self`.
        // An error would mean that it was not mapped; nothing can be done about it.
        let _ = unsafe { munmap(self.base.as_ptr(), self.len) };
    }
}

// SAFETY: the mapping is plain memory without ties to a thread; all shared access is atomic.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}
