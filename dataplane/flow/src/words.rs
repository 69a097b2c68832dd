//! Shared memory as both processes may look at it while the other one writes: 64-bit words, each
//! read and written atomically with relaxed order. A value that is copied word by word while its
//! writer is at work can be a mixture, but the copy is never undefined behaviour, and every type
//! that is copied so takes any bits (`FromBytes`). Order and consistency are made by the callers:
//! the rings' indices, the slots' version, the notes' checksum.

use std::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::sync::{AtomicU64, Ordering};

/// Bytes of a word.
pub(crate) const WORD: usize = 8;

/// A run of words in shared memory (or, for tests, on the heap).
#[derive(Clone)]
pub(crate) struct Words {
    memory: Memory,
    /// First word of the run.
    first: usize,
    /// Number of words.
    len: usize,
}

#[derive(Clone)]
enum Memory {
    Heap(Arc<[AtomicU64]>),
    #[cfg(not(loom))]
    Mapped(Arc<crate::mapping::Mapping>),
}

impl Words {
    /// Zeroed words on the heap of this process.
    pub(crate) fn heap(len: usize) -> Self {
        Self { memory: Memory::Heap((0..len).map(|_| AtomicU64::new(0)).collect()), first: 0, len }
    }

    /// The words at `offset` (bytes, a multiple of 8) of a mapping. `None` if they leave it.
    #[cfg(not(loom))]
    pub(crate) fn mapped(
        mapping: &Arc<crate::mapping::Mapping>,
        offset: usize,
        bytes: usize,
    ) -> Option<Self> {
        let end = offset.checked_add(bytes)?;
        (offset.is_multiple_of(WORD) && bytes.is_multiple_of(WORD) && end <= mapping.len()).then(|| Self {
            memory: Memory::Mapped(Arc::clone(mapping)),
            first: offset / WORD,
            len: bytes / WORD,
        })
    }

    fn word(&self, at: usize) -> Option<&AtomicU64> {
        if at >= self.len {
            return None;
        }
        match &self.memory {
            Memory::Heap(words) => words.get(self.first + at),
            #[cfg(not(loom))]
            Memory::Mapped(mapping) => mapping.word(self.first + at),
        }
    }

    /// The word `at`; 0 beyond the end, where no caller looks.
    pub(crate) fn load(&self, at: usize, order: Ordering) -> u64 {
        self.word(at).map_or(0, |word| word.load(order))
    }

    /// Sets the word `at`; nothing beyond the end, where no caller writes. The caller's mapping
    /// must be writable: see [`crate::mapping::Mapping`].
    pub(crate) fn store(&self, at: usize, value: u64, order: Ordering) {
        if let Some(word) = self.word(at) {
            word.store(value, order);
        }
    }

    /// Copies a value out of the words from `at` on.
    pub(crate) fn read<T: FromBytes + IntoBytes>(&self, at: usize, out: &mut T) {
        for (n, bytes) in out.as_mut_bytes().chunks_mut(WORD).enumerate() {
            let word = self.load(at + n, Ordering::Relaxed).to_ne_bytes();
            for (to, from) in bytes.iter_mut().zip(word) {
                *to = from;
            }
        }
    }

    /// Copies a value into the words from `at` on; zero fills its last word.
    pub(crate) fn write<T: IntoBytes + Immutable>(&self, at: usize, value: &T) {
        for (n, bytes) in value.as_bytes().chunks(WORD).enumerate() {
            let mut word = [0; WORD];
            for (to, from) in word.iter_mut().zip(bytes) {
                *to = *from;
            }
            self.store(at + n, u64::from_ne_bytes(word), Ordering::Relaxed);
        }
    }

    /// Sets `count` words from `at` on to zero.
    pub(crate) fn wipe(&self, at: usize, count: usize) {
        for n in at..at.saturating_add(count).min(self.len) {
            self.store(n, 0, Ordering::Relaxed);
        }
    }
}
