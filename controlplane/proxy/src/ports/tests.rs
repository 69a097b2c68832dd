use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[test]
fn pairs_are_even_and_inside_the_range() {
    let now = Instant::now();
    let mut ports = PortAllocator::new(&(16385..=16392), 0, 1, 1);
    let all: Vec<u16> = std::iter::from_fn(|| ports.allocate(0, now)).collect();
    assert_eq!(all, [16386, 16388, 16390]);
    let mut top = PortAllocator::new(&(65530..=65535), 0, 1, 1);
    assert_eq!(std::iter::from_fn(|| top.allocate(0, now)).last(), Some(65534));
}

#[test]
fn shards_share_the_range_without_overlap() {
    let now = Instant::now();
    let mut seen = HashSet::new();
    for shard in 0..3 {
        let mut ports = PortAllocator::new(&(100..=119), shard, 3, 1);
        while let Some(port) = ports.allocate(0, now) {
            assert!(seen.insert(port));
        }
    }
    assert_eq!(seen.len(), 10);
}

#[test]
fn released_pair_rests_before_it_is_reused() {
    let now = Instant::now();
    let rest = Duration::from_secs(5);
    let mut ports = PortAllocator::new(&(100..=101), 0, 1, 1);
    assert_eq!(ports.allocate(0, now), Some(100));
    ports.release(100, now + rest);
    assert_eq!(ports.usage().quarantined, 1);
    assert_eq!(ports.allocate(0, now + rest / 2), None);
    assert_eq!(ports.allocate(0, now + rest), Some(100));
}

#[test]
fn claimed_pair_is_not_handed_out() {
    let now = Instant::now();
    let mut ports = PortAllocator::new(&(100..=103), 0, 1, 1);
    assert!(ports.claim(100));
    assert!(!ports.claim(100));
    assert!(!ports.claim(101));
    assert!(!ports.claim(104));
    assert_eq!(ports.allocate(0, now), Some(102));
    assert_eq!(ports.allocate(0, now), None);
}

#[test]
fn pairs_are_those_of_the_worker() {
    let now = Instant::now();
    for workers in 1..=16 {
        let mut ports = PortAllocator::new(&(16384..=16511), 0, 1, workers);
        let mut seen = HashSet::new();
        for worker in 0..workers {
            while let Some(port) = ports.allocate(worker, now) {
                assert_eq!([worker_of(port, workers), worker_of(port + 1, workers)], [worker; 2]);
                assert!(seen.insert(port));
            }
        }
        assert_eq!(seen.len(), 64, "{workers} workers");
        assert_eq!(ports.allocate(workers, now), None, "there is no such worker");
    }
}

#[test]
fn pair_that_was_put_back_needs_no_rest() {
    let now = Instant::now();
    let mut ports = PortAllocator::new(&(100..=103), 0, 1, 1);
    assert_eq!(ports.allocate(0, now), Some(100));
    ports.put_back(100);
    ports.put_back(102);
    assert_eq!(ports.usage().in_use, 0);
    assert_eq!(ports.allocate(0, now), Some(100));
    assert_eq!(ports.allocate(0, now), Some(102));
    assert_eq!(ports.allocate(0, now), None);
}

/// What becomes of a pair in the model.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Modelled {
    Free,
    Used,
    RestsUntil(Instant),
}

proptest! {
    /// Whatever the order of requests, a pair has one owner at a time, rests, and is found again;
    /// a worker gets its own pairs for as long as it has one.
    #[test]
    fn allocator_does_what_the_model_does(
        workers in 1..=4_u32,
        ops in proptest::collection::vec((0..5_u8, 0..80_u16), 1..400),
    ) {
        let rest = Duration::from_secs(5);
        let mut now = Instant::now();
        let mut ports = PortAllocator::new(&(1000..=1079), 0, 1, workers);
        let mut model: BTreeMap<u16, Modelled> =
            (1000..1080).step_by(2).map(|port| (port, Modelled::Free)).collect();
        for (op, value) in ops {
            for state in model.values_mut() {
                if matches!(state, Modelled::RestsUntil(until) if *until <= now) {
                    *state = Modelled::Free;
                }
            }
            let worker = u32::from(value) % workers;
            let named = 1000 + value;
            match op {
                0 | 1 => {
                    let free = |(port, state): (&u16, &Modelled)| {
                        *state == Modelled::Free && worker_of(*port, workers) == worker
                    };
                    let any = model.iter().any(free);
                    let got = ports.allocate(worker, now);
                    prop_assert_eq!(got.is_some(), any);
                    if let Some(port) = got {
                        prop_assert_eq!(worker_of(port, workers), worker);
                        prop_assert_eq!(model.insert(port, Modelled::Used), Some(Modelled::Free));
                    }
                }
                2 => {
                    ports.release(named, now + rest);
                    model.entry(named).and_modify(|state| {
                        if *state == Modelled::Used {
                            *state = Modelled::RestsUntil(now + rest);
                        }
                    });
                }
                3 => {
                    // Resting pairs wake when they are looked at.
                    ports.wake(now);
                    let free = model.get(&named) == Some(&Modelled::Free);
                    prop_assert_eq!(ports.claim(named), free);
                    if free {
                        model.insert(named, Modelled::Used);
                    }
                }
                _ => now += Duration::from_secs(u64::from(value % 4)),
            }
            let used = model.values().filter(|state| **state == Modelled::Used).count();
            prop_assert_eq!(ports.usage().in_use, used as u64);
        }
        for port in model.keys() {
            ports.release(*port, now + rest);
        }
        now += rest;
        let all = (0..workers).map(|worker| std::iter::from_fn(|| ports.allocate(worker, now)).count());
        prop_assert_eq!(all.sum::<usize>(), 40);
    }
}
