use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::sync::Ordering;

/// Longer than a word and no multiple of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Odd([u32; 3]);

impl Entry for Odd {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Secret([u64; 2]);

impl Entry for Secret {
    const WIPED: bool = true;
}

fn odd(n: u32) -> Odd {
    Odd([n, n ^ 0xffff, !n])
}

/// A ring whose places the test can get at.
fn places<T>(capacity: u64) -> Places {
    Places {
        tail: Words::heap(1),
        entries: Words::heap(capacity as usize * Places::stride::<T>()),
        head: Words::heap(1),
        capacity,
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    Pop,
    Discard,
    /// A new process takes over the sending end.
    NewProducer,
    /// A new process takes over the receiving end.
    NewConsumer,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Push),
        8 => Just(Step::Pop),
        1 => Just(Step::Discard),
        1 => Just(Step::NewProducer),
        1 => Just(Step::NewConsumer),
    ]
}

/// Runs the steps on a ring and on a `VecDeque`. The model's front is the entry that was popped but
/// not yet given back, if there is one.
fn agree_with_the_model(steps: &[Step], capacity: u64, start: u64) {
    let places = places::<Odd>(capacity);
    places.tail.store(0, start, Ordering::Relaxed);
    places.head.store(0, start, Ordering::Relaxed);
    let mut producer = Producer::<Odd>::resume(places.clone());
    let mut consumer = Consumer::<Odd>::resume(places.clone());
    let mut model = VecDeque::new();
    let mut held = 0;
    for (n, step) in steps.iter().enumerate() {
        let entry = odd(n as u32);
        match step {
            Step::Push if model.len() < capacity as usize => {
                assert_eq!(producer.push(entry), Ok(()));
                model.push_back(entry);
            }
            Step::Push => assert_eq!(producer.push(entry), Err(Full)),
            Step::Pop => {
                model.drain(..held);
                assert_eq!(consumer.pop(), model.front().copied());
                held = usize::from(!model.is_empty());
            }
            Step::Discard => {
                assert_eq!(consumer.discard(), model.len() - held);
                model.clear();
                held = 0;
            }
            Step::NewProducer => producer = Producer::resume(places.clone()),
            Step::NewConsumer => {
                consumer = Consumer::resume(places.clone());
                held = 0;
            }
        }
        producer.refresh();
        assert_eq!(producer.free(), capacity as usize - model.len());
        assert_eq!(producer.is_drained(), model.is_empty());
    }
    assert_eq!(producer.corrupt() + consumer.corrupt(), 0);
}

proptest! {
    #[test]
    fn ring_behaves_like_a_bounded_queue(
        steps in prop::collection::vec(step(), 0..400),
        log_capacity in 0_u32..5,
        start in prop_oneof![Just(0), Just(u64::MAX - 7), any::<u64>()],
    ) {
        agree_with_the_model(&steps, 1 << log_capacity, start);
    }

    /// Whatever a hostile peer writes, the ends neither panic nor loop nor believe it.
    #[test]
    fn hostile_indices_are_counted_and_mean_full_or_empty(
        garbage in prop::collection::vec((any::<bool>(), any::<u64>()), 1..100),
    ) {
        let places = places::<Odd>(8);
        let mut producer = Producer::<Odd>::resume(places.clone());
        let mut consumer = Consumer::<Odd>::resume(places.clone());
        let mut pushed = 0_u64;
        let mut popped = 0_u64;
        for (tail, value) in garbage {
            let place = if tail { &places.tail } else { &places.head };
            place.store(0, value, Ordering::Relaxed);
            while producer.push(odd(1)).is_ok() {
                pushed += 1;
                prop_assert!(pushed <= 8 * 200);
            }
            for _ in 0..20 {
                popped += u64::from(consumer.pop().is_some());
            }
            prop_assert!(producer.free() <= 8);
            consumer.discard();
        }
        prop_assert!(popped <= 20 * 100);
    }
}

#[test]
fn corrupt_head_means_full_to_the_producer() {
    let places = places::<Odd>(4);
    let mut producer = Producer::<Odd>::resume(places.clone());
    for n in 0..4 {
        producer.push(odd(n)).unwrap();
    }
    for nonsense in [5, 100, u64::MAX] {
        places.head.store(0, nonsense, Ordering::Relaxed);
        assert_eq!(producer.push(odd(9)), Err(Full));
    }
    assert_eq!(producer.corrupt(), 3);
    // Once it makes sense again, the ring works again.
    places.head.store(0, 1, Ordering::Relaxed);
    assert_eq!(producer.push(odd(9)), Ok(()));
}

#[test]
fn head_that_goes_backwards_is_corrupt() {
    let places = places::<Odd>(2);
    let mut producer = Producer::<Odd>::resume(places.clone());
    let mut consumer = Consumer::<Odd>::resume(places.clone());
    for n in 0..2 {
        producer.push(odd(n)).unwrap();
        consumer.pop().unwrap();
    }
    assert_eq!(consumer.pop(), None);
    producer.refresh();
    places.head.store(0, 1, Ordering::Relaxed);
    producer.refresh();
    assert_eq!((producer.corrupt(), producer.free()), (1, 2));
}

#[test]
fn corrupt_tail_means_empty_to_the_consumer() {
    let places = places::<Odd>(4);
    let mut producer = Producer::<Odd>::resume(places.clone());
    let mut consumer = Consumer::<Odd>::resume(places.clone());
    producer.push(odd(7)).unwrap();
    for nonsense in [5, 1 << 40, u64::MAX] {
        places.tail.store(0, nonsense, Ordering::Relaxed);
        assert_eq!(consumer.pop(), None);
    }
    assert_eq!(consumer.corrupt(), 3);
    places.tail.store(0, 1, Ordering::Relaxed);
    assert_eq!(consumer.pop(), Some(odd(7)));
}

#[test]
fn producer_that_resumes_from_a_corrupt_tail_starts_empty() {
    let places = places::<Odd>(4);
    places.head.store(0, 10, Ordering::Relaxed);
    places.tail.store(0, 3, Ordering::Relaxed);
    let mut producer = Producer::<Odd>::resume(places.clone());
    let mut consumer = Consumer::<Odd>::resume(places.clone());
    assert_eq!(producer.free(), 4);
    producer.push(odd(1)).unwrap();
    assert_eq!(consumer.pop(), Some(odd(1)));
    assert_eq!(consumer.pop(), None);
}

#[test]
fn entry_that_was_taken_but_not_finished_comes_again_after_a_restart() {
    let places = places::<Odd>(4);
    let mut producer = Producer::<Odd>::resume(places.clone());
    producer.push(odd(1)).unwrap();
    producer.push(odd(2)).unwrap();
    let mut consumer = Consumer::<Odd>::resume(places.clone());
    assert_eq!(consumer.pop(), Some(odd(1)));
    assert_eq!(consumer.pop(), Some(odd(2)));
    let mut consumer = Consumer::<Odd>::resume(places);
    assert_eq!(consumer.pop(), Some(odd(2)));
    assert_eq!(consumer.pop(), None);
    assert!(producer.is_drained());
}

#[test]
fn half_written_command_of_a_dead_producer_is_invisible_and_wiped() {
    let places = places::<Secret>(4);
    let mut old = Producer::<Secret>::resume(places.clone());
    let mut consumer = Consumer::<Secret>::resume(places.clone());
    old.push(Secret([1, 1])).unwrap();
    // Killed after writing half an entry, before publishing it.
    places.entries.store(2, 0x5ec2e7, Ordering::Relaxed);
    drop(old);
    let mut new = Producer::<Secret>::resume(places.clone());
    assert_eq!(places.entries.load(2, Ordering::Relaxed), 0, "wiped");
    assert_eq!(consumer.pop(), Some(Secret([1, 1])), "what was published stays");
    assert_eq!(consumer.pop(), None);
    new.push(Secret([2, 2])).unwrap();
    assert_eq!(consumer.pop(), Some(Secret([2, 2])));
}

#[test]
fn keys_are_wiped_once_their_entry_is_consumed() {
    let places = places::<Secret>(4);
    let mut producer = Producer::<Secret>::resume(places.clone());
    let mut consumer = Consumer::<Secret>::resume(places.clone());
    let kept = |n: usize| places.entries.load(n * 2, Ordering::Relaxed);
    for n in 1..=3 {
        producer.push(Secret([n, n])).unwrap();
    }
    consumer.pop().unwrap();
    consumer.pop().unwrap();
    producer.refresh();
    assert_eq!([kept(0), kept(1), kept(2)], [0, 2, 3], "the second is still being worked on");
    consumer.pop().unwrap();
    assert_eq!(consumer.pop(), None);
    producer.push(Secret([4, 4])).unwrap();
    assert_eq!([kept(0), kept(1), kept(2), kept(3)], [0, 0, 0, 4]);
}

#[test]
fn entries_cross_threads_whole_and_in_order() {
    const COUNT: u32 = 200_000;
    let (mut producer, mut consumer) = pair::<Odd>(64);
    let sender = std::thread::spawn(move || {
        for n in 0..COUNT {
            while producer.push(odd(n)).is_err() {
                std::thread::yield_now();
            }
        }
    });
    for n in 0..COUNT {
        let entry = loop {
            match consumer.pop() {
                Some(entry) => break entry,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(entry, odd(n));
    }
    sender.join().unwrap();
}
