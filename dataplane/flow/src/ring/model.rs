//! The ring under loom's model checker: every interleaving, and every value that relaxed loads of
//! an entry's words may return. See the crate's README for the command.
//!
//! Loom never lets a load see a store that comes later in its own run, so it proves the order of `tail`
//! against the entries, but cannot tell whether the order of `head` is needed: that a place is not
//! written before its entry was read. Release and acquire on `head` stand on the memory model alone.

use loom::thread;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::*;

/// Two words, so that a torn entry shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Plain([u64; 2]);

impl Entry for Plain {}

/// The same, wiped after use: the wiping must not reach an entry that is still being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Secret([u64; 2]);

impl Entry for Secret {
    const WIPED: bool = true;
}

fn places<T>(capacity: u64) -> Places {
    Places {
        tail: Words::heap(1),
        entries: Words::heap(capacity as usize * Places::stride::<T>()),
        head: Words::heap(1),
        capacity,
    }
}

fn push<T: Entry>(producer: &mut Producer<T>, entry: T) {
    while producer.push(entry).is_err() {
        thread::yield_now();
    }
}

fn pop<T: Entry>(consumer: &mut Consumer<T>) -> T {
    loop {
        match consumer.pop() {
            Some(entry) => return entry,
            None => thread::yield_now(),
        }
    }
}

#[test]
fn entries_arrive_whole_and_in_order() {
    loom::model(|| {
        let (mut producer, mut consumer) = pair::<Plain>(2);
        let sender = thread::spawn(move || {
            for n in 1..=3 {
                push(&mut producer, Plain([n, !n]));
            }
        });
        for n in 1..=3 {
            assert_eq!(pop(&mut consumer), Plain([n, !n]));
        }
        sender.join().unwrap();
        assert_eq!(consumer.pop(), None);
        assert_eq!(consumer.corrupt(), 0);
    });
}

#[test]
fn wiping_never_touches_an_entry_in_use() {
    loom::model(|| {
        let (mut producer, mut consumer) = pair::<Secret>(1);
        let sender = thread::spawn(move || {
            for n in 1..=2 {
                push(&mut producer, Secret([n, !n]));
            }
            producer.refresh();
            assert_eq!(producer.corrupt(), 0);
        });
        for n in 1..=2 {
            assert_eq!(pop(&mut consumer), Secret([n, !n]));
        }
        sender.join().unwrap();
    });
}

#[test]
fn new_producer_resumes_where_the_dead_one_left_while_the_worker_goes_on() {
    loom::model(|| {
        let places = places::<Secret>(2);
        let mut consumer = Consumer::<Secret>::resume(places.clone());
        let mut dead = Producer::<Secret>::resume(places.clone());
        dead.push(Secret([1, !1])).unwrap();
        drop(dead);
        let next = thread::spawn(move || {
            let mut producer = Producer::<Secret>::resume(places);
            push(&mut producer, Secret([2, !2]));
        });
        assert_eq!(pop(&mut consumer), Secret([1, !1]));
        assert_eq!(pop(&mut consumer), Secret([2, !2]));
        next.join().unwrap();
        assert_eq!((consumer.pop(), consumer.corrupt()), (None, 0));
    });
}
