//! Session slots of the data plane: which ones this shard owns, of which worker, and which are free.

use std::collections::VecDeque;
use std::ops::Range;

use pinhole_flow::steering::{shard_slots, worker_slots};

/// Hands out slots and generations. A slot comes back only after the worker has acknowledged its
/// Close, and of a worker's slots the one that is free for longest goes first.
#[derive(Debug)]
pub(crate) struct SlotAllocator {
    parts: Vec<Part>,
    /// The worker that is asked first while all carry equally much.
    preferred: u32,
    generation: u32,
}

/// This shard's part of a worker's slots.
#[derive(Debug)]
struct Part {
    range: Range<u32>,
    used: Vec<bool>,
    in_use: usize,
    free: VecDeque<u32>,
}

impl SlotAllocator {
    /// The slots of `shard` of `shards` among those of each of `workers`, of `max` slots in all.
    /// Generations go on from `generation`, a random number: after a restart they do not repeat.
    pub(crate) fn new(max: u32, workers: u32, shard: u32, shards: u32, generation: u32) -> Self {
        let part = |worker| {
            let range = shard_slots(shard, shards, &worker_slots(worker, workers, max));
            Part { used: vec![false; range.len()], in_use: 0, free: range.clone().collect(), range }
        };
        let preferred = shard.checked_rem(workers).unwrap_or(0);
        Self { parts: (0..workers).map(part).collect(), preferred, generation }
    }

    /// The workers that have a free slot, the one with the fewest sessions of this shard first. Among
    /// equals each shard begins at another worker.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let count = self.parts.len() as u32;
        let order = |worker: &u32| {
            let in_use = self.parts.get(*worker as usize).map_or(0, |part| part.in_use);
            (in_use, (worker + count - self.preferred) % count)
        };
        let free =
            |worker: &u32| self.parts.get(*worker as usize).is_some_and(|part| part.in_use < part.used.len());
        let mut workers: Vec<u32> = (0..count).filter(free).collect();
        workers.sort_by_key(order);
        workers
    }

    /// A free slot of a worker and the generation to open it under.
    pub(crate) fn allocate(&mut self, worker: u32) -> Option<(u32, u32)> {
        let part = self.parts.get_mut(worker as usize)?;
        // Slots claimed by adoption stay in the queue and are skipped here.
        while let Some(slot) = part.free.pop_front() {
            if part.set(slot, true) {
                self.generation = self.generation.wrapping_add(1).max(1);
                return Some((slot, self.generation));
            }
        }
        None
    }

    /// Marks a slot as used: a session that runs already has it. `false` if it is not ours or taken.
    pub(crate) fn claim(&mut self, slot: u32) -> bool {
        self.part(slot).is_some_and(|part| part.set(slot, true))
    }

    /// Takes a slot back.
    pub(crate) fn release(&mut self, slot: u32) {
        if let Some(part) = self.part(slot)
            && part.set(slot, false)
        {
            part.free.push_back(slot);
        }
    }

    fn part(&mut self, slot: u32) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.range.contains(&slot))
    }
}

impl Part {
    /// Marks a slot as used or free; whether that changes anything.
    fn set(&mut self, slot: u32, to: bool) -> bool {
        let at = slot.checked_sub(self.range.start).and_then(|at| usize::try_from(at).ok());
        let Some(used) = at.and_then(|at| self.used.get_mut(at)).filter(|used| **used != to) else {
            return false;
        };
        *used = to;
        self.in_use = if to { self.in_use + 1 } else { self.in_use - 1 };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_have_slots_of_their_own() {
        let mut first = SlotAllocator::new(7, 1, 0, 2, 0);
        let mut second = SlotAllocator::new(7, 1, 1, 2, 0);
        let slots = |slots: &mut SlotAllocator| -> Vec<u32> {
            std::iter::from_fn(|| slots.allocate(0).map(|(slot, _)| slot)).collect()
        };
        assert_eq!(slots(&mut first), [0, 1, 2]);
        assert_eq!(slots(&mut second), [3, 4, 5, 6]);
    }

    #[test]
    fn worker_with_the_fewest_sessions_goes_first_and_a_full_one_not_at_all() {
        let mut slots = SlotAllocator::new(7, 3, 0, 1, 0);
        assert_eq!(slots.workers(), [0, 1, 2]);
        assert_eq!(slots.allocate(0).unwrap().0, 0);
        assert_eq!(slots.workers(), [1, 2, 0]);
        assert!(slots.claim(2));
        assert_eq!(slots.workers(), [2, 0, 1]);
        slots.allocate(0).unwrap();
        assert_eq!(slots.workers(), [2, 1], "the first has two slots");
        slots.release(2);
        assert_eq!(slots.workers(), [1, 2]);
        assert_eq!(slots.allocate(3), None);
    }

    #[test]
    fn shards_begin_at_different_workers() {
        let first = |shard| SlotAllocator::new(100, 3, shard, 4, 0).workers()[0];
        assert_eq!([first(0), first(1), first(2), first(3)], [0, 1, 2, 0]);
    }

    #[test]
    fn generation_differs_at_each_reuse() {
        let mut slots = SlotAllocator::new(1, 1, 0, 1, u32::MAX);
        let (slot, first) = slots.allocate(0).unwrap();
        assert_eq!(slots.allocate(0), None);
        slots.release(slot);
        slots.release(slot);
        let (_, second) = slots.allocate(0).unwrap();
        assert!(first != second && first != 0 && second != 0);
        assert_eq!(slots.allocate(0), None);
    }

    #[test]
    fn claimed_slot_is_not_handed_out() {
        let mut slots = SlotAllocator::new(2, 1, 0, 1, 5);
        assert!(slots.claim(0));
        assert!(!slots.claim(0));
        assert!(!slots.claim(2));
        assert_eq!(slots.allocate(0).unwrap().0, 1);
        assert_eq!(slots.allocate(0), None);
        slots.release(0);
        assert_eq!(slots.allocate(0).unwrap().0, 0);
    }
}
