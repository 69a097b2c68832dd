//! Which worker owns what: media ports by steering class, session slots by even parts.
//!
//! The control plane chooses ports and slots, so it decides which worker carries a session. Both
//! processes compute the owner with these functions; hardware is told to realise the same map.

use std::ops::Range;

/// Steering classes of media ports. A power of two, so that a network card can tell them by bits.
pub const CLASSES: u16 = 32;

/// The steering class of a UDP port: bits 1 to 5, so that the RTP and the RTCP port of a pair
/// share it.
pub const fn class_of(port: u16) -> u16 {
    (port >> 1) & (CLASSES - 1)
}

/// The worker of `workers` that owns a media port.
pub const fn worker_of(port: u16, workers: u32) -> u32 {
    if workers == 0 { 0 } else { class_of(port) as u32 % workers }
}

/// The slots of `worker` of `workers`, of `max_sessions` in all: an even part, in order.
pub fn worker_slots(worker: u32, workers: u32, max_sessions: u32) -> Range<u32> {
    part(worker, workers, &(0..max_sessions))
}

/// The worker of `workers` that owns `slot`; for a slot that does not exist, the nearest.
pub fn worker_of_slot(slot: u32, workers: u32, max_sessions: u32) -> u32 {
    part_of(slot, workers, &(0..max_sessions))
}

/// The slots that `shard` of `shards` allocates among those of one worker: an even part, in order.
pub fn shard_slots(shard: u32, shards: u32, of_worker: &Range<u32>) -> Range<u32> {
    part(shard, shards, of_worker)
}

/// The shard of `shards` that allocates `slot` among those of its worker; the nearest if it is not
/// the worker's.
pub fn shard_of(slot: u32, shards: u32, of_worker: &Range<u32>) -> u32 {
    part_of(slot, shards, of_worker)
}

/// Part `n` of `parts` of a range; empty if there is no such part.
fn part(n: u32, parts: u32, whole: &Range<u32>) -> Range<u32> {
    let len = whole.end.saturating_sub(whole.start);
    let bound = |n: u32| whole.start + (u64::from(n) * u64::from(len) / u64::from(parts.max(1))) as u32;
    if n < parts { bound(n)..bound(n + 1) } else { whole.start..whole.start }
}

/// The part of `parts` of a range that holds `item`.
fn part_of(item: u32, parts: u32, whole: &Range<u32>) -> u32 {
    // The last part that does not begin behind the item: the greatest n with
    // n * len / parts < offset + 1, also when there are more parts than items.
    let len = whole.end.saturating_sub(whole.start).max(1);
    let offset = item.saturating_sub(whole.start);
    let beyond = ((u64::from(offset) + 1) * u64::from(parts)).div_ceil(u64::from(len));
    beyond.saturating_sub(1).min(u64::from(parts.saturating_sub(1))) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: u32 = 16;

    #[test]
    fn rtp_and_rtcp_of_a_pair_have_one_worker() {
        for rtp in (0..=u16::MAX - 1).step_by(2) {
            assert_eq!(class_of(rtp), class_of(rtp + 1));
            assert!(class_of(rtp) < CLASSES);
        }
    }

    #[test]
    fn workers_are_evenly_loaded() {
        for workers in 1..=MOST {
            let mut classes = vec![0_u32; workers as usize];
            for class in 0..CLASSES {
                classes[worker_of(class * 2, workers) as usize] += 1;
            }
            let (least, most) = (classes.iter().min().unwrap(), classes.iter().max().unwrap());
            assert!(*least > 0 && most - least <= 1, "{workers} workers: {classes:?}");
        }
    }

    #[test]
    fn every_slot_has_one_worker_and_one_shard_in_every_combination() {
        for max_sessions in [1, 2, 3, 7, 15, 16, 17, 31, 97, 255, 256, 257, 1000] {
            for workers in 1..=MOST {
                for shards in 1..=MOST {
                    check_division(max_sessions, workers, shards);
                }
            }
        }
    }

    /// The parts follow each other without gap or overlap, and the inverse functions find them.
    fn check_division(max_sessions: u32, workers: u32, shards: u32) {
        let mut next = 0;
        for worker in 0..workers {
            let of_worker = worker_slots(worker, workers, max_sessions);
            assert_eq!(of_worker.start, next);
            for shard in 0..shards {
                let slots = shard_slots(shard, shards, &of_worker);
                assert_eq!(slots.start, next);
                next = slots.end;
                for slot in slots {
                    let owners =
                        (worker_of_slot(slot, workers, max_sessions), shard_of(slot, shards, &of_worker));
                    assert_eq!(owners, (worker, shard), "slot {slot} of {max_sessions}");
                }
            }
            assert_eq!(of_worker.end, next);
        }
        assert_eq!(next, max_sessions);
    }

    proptest! {
        #[test]
        fn every_slot_has_one_worker_and_one_shard(
            max_sessions in 1..5000_u32, workers in 1..=MOST, shards in 1..=MOST,
        ) {
            check_division(max_sessions, workers, shards);
        }

        #[test]
        fn parts_differ_by_one_slot_at_most(max_sessions in 0..100_000_u32, workers in 1..=MOST) {
            let sizes = (0..workers).map(|worker| worker_slots(worker, workers, max_sessions).len());
            let (least, most) = (sizes.clone().min().unwrap(), sizes.max().unwrap());
            prop_assert!(most - least <= 1);
        }
    }

    #[test]
    fn nonsense_stays_in_range() {
        assert_eq!(worker_of_slot(u32::MAX, 4, 10), 3);
        assert_eq!(worker_of_slot(5, 0, 0), 0);
        assert_eq!(shard_of(3, 4, &(5..10)), 0);
        assert!(worker_slots(4, 4, 100).is_empty());
        assert!(worker_slots(0, 0, 100).is_empty());
        assert!(shard_slots(1, 2, &(7..7)).is_empty());
        assert_eq!(worker_of(40_000, 0), 0);
    }
}
