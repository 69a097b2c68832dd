//! Single-producer, single-consumer ring over shared memory.
//!
//! Two counters that only grow: `tail`, entries ever pushed, written by the producer; `head`,
//! entries ever given back, written by the consumer. Entry `n` lies at place `n % capacity`. The
//! producer publishes an entry with a release store of `tail`, the consumer gives a place back with
//! a release store of `head`; so a push that is cut short by a kill is invisible.
//!
//! Each end keeps its own counter privately and only publishes it. It never reads its own back, and
//! it doesn't trust the peer's: a distance above the capacity is counted as corrupt and means "full"
//! to a producer and "empty" to a consumer.

mod consumer;
mod producer;

use zerocopy::{FromBytes, Immutable, IntoBytes};

pub use consumer::Consumer;
pub use producer::{Full, Producer};

use crate::words::{WORD, Words};

/// What can go through a ring: plain data for which any bits are a value.
pub trait Entry: FromBytes + IntoBytes + Immutable + Copy {
    /// Whether places are zeroed once the consumer has given them back, because entries carry keys.
    const WIPED: bool = false;
}

/// Where a ring's parts lie.
#[derive(Clone)]
pub(crate) struct Places {
    /// One word, written by the producer.
    pub tail: Words,
    /// The entries, written by the producer.
    pub entries: Words,
    /// One word, written by the consumer.
    pub head: Words,
    /// Number of entries, a power of two.
    pub capacity: u64,
}

impl Places {
    /// Words of an entry.
    pub(crate) const fn stride<T>() -> usize {
        size_of::<T>().div_ceil(WORD)
    }

    /// First word of entry `n`.
    fn at<T>(&self, n: u64) -> usize {
        (n & (self.capacity - 1)) as usize * Self::stride::<T>()
    }
}

/// A ring on the heap of this process, for tests. `capacity` is rounded up to a power of two.
pub fn pair<T: Entry>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity.max(1).next_power_of_two();
    let places = Places {
        tail: Words::heap(1),
        entries: Words::heap(capacity * Places::stride::<T>()),
        head: Words::heap(1),
        capacity: capacity as u64,
    };
    (Producer::resume(places.clone()), Consumer::resume(places))
}

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(loom)))]
mod tests;
