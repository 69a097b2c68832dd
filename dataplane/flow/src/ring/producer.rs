//! The sending end.

use std::marker::PhantomData;

use super::{Entry, Places};
use crate::sync::Ordering;

/// The ring has no free place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ring is full")]
pub struct Full;

/// The sending end of a ring.
pub struct Producer<T> {
    places: Places,
    /// Entries ever pushed.
    tail: u64,
    /// The consumer's counter, as last seen.
    head: u64,
    /// Places below this count are wiped.
    wiped: u64,
    corrupt: u64,
    entry: PhantomData<T>,
}

impl<T: Entry> Producer<T> {
    /// Takes over the sending end where the process before left it. What it had pushed and is not
    /// consumed yet stays; places that hold nothing are wiped. A corrupt own counter is set to the
    /// consumer's.
    pub(crate) fn resume(places: Places) -> Self {
        let head = places.head.load(0, Ordering::Acquire);
        let mut tail = places.tail.load(0, Ordering::Relaxed);
        if tail.wrapping_sub(head) > places.capacity {
            tail = head;
            places.tail.store(0, tail, Ordering::Release);
        }
        // The places from one round below the tail up to the head hold nothing that anybody waits for.
        let wiped = tail.wrapping_sub(places.capacity);
        let mut this = Self { places, tail, head, wiped, corrupt: 0, entry: PhantomData };
        this.wipe();
        this
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// [`Full`] when the consumer has given no place back: wait for it.
    pub fn push(&mut self, entry: T) -> Result<(), Full> {
        if self.seen_free() == 0 || T::WIPED {
            self.refresh();
        }
        if self.seen_free() == 0 {
            return Err(Full);
        }
        self.places.entries.write(self.places.at::<T>(self.tail), &entry);
        self.tail = self.tail.wrapping_add(1);
        self.places.tail.store(0, self.tail, Ordering::Release);
        Ok(())
    }

    /// How many entries can be pushed now.
    pub fn free(&mut self) -> usize {
        self.refresh();
        self.seen_free() as usize
    }

    /// Whether the consumer has taken everything and come back for more.
    pub fn is_drained(&mut self) -> bool {
        self.refresh();
        self.tail == self.head
    }

    /// How many times the consumer's counter made no sense.
    pub fn corrupt(&self) -> u64 {
        self.corrupt
    }

    /// The number of places.
    pub fn capacity(&self) -> usize {
        self.places.capacity as usize
    }

    /// Looks at the consumer's counter, and wipes what it has given back if entries carry keys.
    /// [`Producer::push`] does so too; an idle producer calls this from time to time.
    pub fn refresh(&mut self) {
        let head = self.places.head.load(0, Ordering::Acquire);
        // It can only have moved from where it was seen last towards the tail.
        if self.tail.wrapping_sub(head) > self.tail.wrapping_sub(self.head) {
            self.corrupt += 1;
            return;
        }
        self.head = head;
        self.wipe();
    }

    /// Free places, by the consumer's counter as last seen.
    fn seen_free(&self) -> u64 {
        self.places.capacity - self.tail.wrapping_sub(self.head)
    }

    fn wipe(&mut self) {
        if !T::WIPED {
            return;
        }
        // Places are wiped before they are pushed to again: `push` refreshes first.
        while self.wiped != self.head {
            self.places.entries.wipe(self.places.at::<T>(self.wiped), Places::stride::<T>());
            self.wiped = self.wiped.wrapping_add(1);
        }
    }
}
