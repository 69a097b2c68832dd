//! The receiving end.

use std::marker::PhantomData;

use super::{Entry, Places};
use crate::sync::Ordering;

/// The receiving end of a ring.
pub struct Consumer<T> {
    places: Places,
    /// Entries ever taken; the place of the last one may not be given back yet.
    head: u64,
    /// What the producer was last told.
    given_back: u64,
    /// The producer's counter, as last seen.
    tail: u64,
    corrupt: u64,
    entry: PhantomData<T>,
}

impl<T: Entry> Consumer<T> {
    /// Takes over the receiving end where the process before left it. An entry that it took but
    /// did not finish comes again. A corrupt own counter is set to the producer's.
    pub(crate) fn resume(places: Places) -> Self {
        let tail = places.tail.load(0, Ordering::Acquire);
        let mut head = places.head.load(0, Ordering::Relaxed);
        if tail.wrapping_sub(head) > places.capacity {
            head = tail;
            places.head.store(0, head, Ordering::Release);
        }
        Self { places, head, given_back: head, tail, corrupt: 0, entry: PhantomData }
    }

    /// Takes the next entry, and gives back the places of those before it: an entry counts as
    /// consumed only when its consumer comes for the next one. `None`: nothing is waiting.
    pub fn pop(&mut self) -> Option<T> {
        self.give_back();
        if self.head == self.tail && !self.look() {
            return None;
        }
        let mut entry = T::new_zeroed();
        self.places.entries.read(self.places.at::<T>(self.head), &mut entry);
        self.head = self.head.wrapping_add(1);
        Some(entry)
    }

    /// Throws away everything that waits; how many entries that was.
    pub fn discard(&mut self) -> usize {
        self.look();
        let waiting = self.tail.wrapping_sub(self.head);
        self.head = self.tail;
        self.give_back();
        waiting as usize
    }

    /// How many times the producer's counter made no sense.
    pub fn corrupt(&self) -> u64 {
        self.corrupt
    }

    /// Reads the producer's counter; whether something waits.
    fn look(&mut self) -> bool {
        let tail = self.places.tail.load(0, Ordering::Acquire);
        if tail.wrapping_sub(self.head) > self.places.capacity {
            self.corrupt += 1;
            return false;
        }
        self.tail = tail;
        tail != self.head
    }

    fn give_back(&mut self) {
        if self.given_back != self.head {
            self.places.head.store(0, self.head, Ordering::Release);
            self.given_back = self.head;
        }
    }
}
