//! Session slots of the data plane: which ones this shard owns and which are free.

use std::collections::VecDeque;
use std::ops::Range;

/// Hands out slots and generations. A slot comes back only after the worker has acknowledged its
/// Close, and the one that is free for longest goes first.
#[derive(Debug)]
pub(crate) struct SlotAllocator {
    range: Range<u32>,
    used: Vec<bool>,
    free: VecDeque<u32>,
    generation: u32,
}

impl SlotAllocator {
    /// The slots of `shard` of `shards`: `[shard * max / shards, (shard + 1) * max / shards)`.
    /// Generations go on from `generation`, a random number: after a restart they do not repeat.
    pub(crate) fn new(max: u32, shard: u32, shards: u32, generation: u32) -> Self {
        let shards = shards.max(1);
        let share = |n: u32| u32::try_from(u64::from(max) * u64::from(n) / u64::from(shards)).unwrap_or(max);
        let range = share(shard)..share(shard.saturating_add(1)).min(max);
        Self { used: vec![false; range.len()], free: range.clone().collect(), range, generation }
    }

    /// A free slot and the generation to open it under.
    pub(crate) fn allocate(&mut self) -> Option<(u32, u32)> {
        while let Some(slot) = self.free.pop_front() {
            if let Some(used @ false) = self.entry(slot) {
                *used = true;
                self.generation = self.generation.wrapping_add(1).max(1);
                return Some((slot, self.generation));
            }
        }
        None
    }

    /// Marks a slot as used: a session that runs already has it. `false` if it is not ours or taken.
    pub(crate) fn claim(&mut self, slot: u32) -> bool {
        self.entry(slot).is_some_and(|used| !std::mem::replace(used, true))
    }

    /// Takes a slot back.
    pub(crate) fn release(&mut self, slot: u32) {
        if let Some(used @ true) = self.entry(slot) {
            *used = false;
            self.free.push_back(slot);
        }
    }

    fn entry(&mut self, slot: u32) -> Option<&mut bool> {
        let at = slot.checked_sub(self.range.start)?;
        self.used.get_mut(usize::try_from(at).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_have_slots_of_their_own() {
        let mut first = SlotAllocator::new(7, 0, 2, 0);
        let mut second = SlotAllocator::new(7, 1, 2, 0);
        let slots = |slots: &mut SlotAllocator| -> Vec<u32> {
            std::iter::from_fn(|| slots.allocate().map(|(slot, _)| slot)).collect()
        };
        assert_eq!(slots(&mut first), [0, 1, 2]);
        assert_eq!(slots(&mut second), [3, 4, 5, 6]);
    }

    #[test]
    fn generation_differs_at_each_reuse() {
        let mut slots = SlotAllocator::new(1, 0, 1, u32::MAX);
        let (slot, first) = slots.allocate().unwrap();
        assert_eq!(slots.allocate(), None);
        slots.release(slot);
        slots.release(slot);
        let (_, second) = slots.allocate().unwrap();
        assert!(first != second && first != 0 && second != 0);
        assert_eq!(slots.allocate(), None);
    }

    #[test]
    fn claimed_slot_is_not_handed_out() {
        let mut slots = SlotAllocator::new(2, 0, 1, 5);
        assert!(slots.claim(0));
        assert!(!slots.claim(0));
        assert!(!slots.claim(2));
        assert_eq!(slots.allocate().unwrap().0, 1);
        assert_eq!(slots.allocate(), None);
        slots.release(0);
        assert_eq!(slots.allocate().unwrap().0, 0);
    }
}
