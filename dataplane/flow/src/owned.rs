//! The worker's own part of worker memory, as ordinary `&mut`.
//!
//! Soundness: `&mut` promises that nobody else writes the memory, and that nobody else in this
//! process looks at it. The first holds because the kernel refuses every other process a writable
//! mapping of worker memory (seal `F_SEAL_FUTURE_WRITE`), so this does not depend on the other
//! process's good will. The second holds because [`Region`](crate::Region) gives out each part once,
//! and no [`Words`](crate::words::Words) of this mapping covers it. The other process reads: it does so
//! word-wise and atomically through a mapping of its own and bears the consequences, namely that
//! what it reads across several words may be a mixture.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use zerocopy::{FromBytes, IntoBytes};

use crate::mapping::Mapping;

/// A run of `T` in worker memory that belongs to one worker.
pub struct Owned<T> {
    mapping: Arc<Mapping>,
    offset: usize,
    len: usize,
    item: PhantomData<T>,
}

impl<T: FromBytes + IntoBytes> Owned<T> {
    /// `len` items at `offset` of a writable mapping; `None` if they leave it or are not aligned.
    ///
    /// # Safety
    /// The mapping is writable, no other process can have a writable one, and nothing else in this
    /// process uses this range of it.
    pub(crate) unsafe fn new(mapping: &Arc<Mapping>, offset: usize, len: usize) -> Option<Self> {
        let start = mapping.address(offset, len.checked_mul(size_of::<T>())?)?;
        start.cast::<T>().is_aligned().then(|| Self {
            mapping: Arc::clone(mapping),
            offset,
            len,
            item: PhantomData,
        })
    }
}

impl<T> Owned<T> {
    fn start(&self) -> *mut T {
        self.mapping.address(self.offset, 0).map_or(std::ptr::null_mut(), |start| start.cast().as_ptr())
    }
}

impl<T: FromBytes + IntoBytes> Deref for Owned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `new` checked range and alignment, any bits are a `T`, the mapping lives as long as
        // `self`, and nobody writes but through `&mut self` (see the module's text).
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }
}

impl<T: FromBytes + IntoBytes> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `&mut self` is the only way in.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.len) }
    }
}
