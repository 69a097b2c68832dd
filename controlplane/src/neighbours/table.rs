//! The next-hop table, shared by the shards (who need indices) and the resolver (who fills it).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pinhole_flow::NextHop;

/// A next hop without a MAC address.
pub(super) const UNRESOLVED: NextHop = NextHop { port: 0, valid: 0, vlan: 0, mac: [0; 6], reserved: [0; 2] };

/// One entry of the data plane's table that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// Index in the table.
    pub index: u32,
    /// Its value.
    pub value: NextHop,
}

/// The table: an index for each pair of data-plane port and signalled address, with a count of the
/// legs that use it. Index 0 is never resolved: it stands for "no address" and for a full table.
pub struct NextHops {
    inner: Mutex<Inner>,
    wake: Box<dyn Fn() + Send + Sync>,
}

struct Inner {
    entries: Vec<Option<Entry>>,
    by_address: HashMap<(u8, IpAddr), u32>,
    fresh: Vec<u32>,
    full: u64,
}

struct Entry {
    port: u8,
    ip: IpAddr,
    references: u32,
    value: NextHop,
}

impl NextHops {
    /// A table of `capacity` indices; `wake` tells the resolver that there is a new address.
    pub fn new(capacity: usize, wake: Box<dyn Fn() + Send + Sync>) -> Self {
        let entries = (0..capacity.max(1)).map(|_| None).collect();
        let inner = Inner { entries, by_address: HashMap::new(), fresh: Vec::new(), full: 0 };
        Self { inner: Mutex::new(inner), wake }
    }

    /// The index for packets that leave by `port` for `ip`, counted as one use more.
    /// 0 when the table is full of addresses in use.
    pub fn acquire(&self, port: u8, ip: IpAddr) -> u32 {
        let index = {
            let mut inner = self.lock();
            if let Some(index) = inner.by_address.get(&(port, ip)).copied() {
                inner.count_use(index);
                return index;
            }
            let Some(index) = inner.free_index() else {
                inner.full += 1;
                return 0;
            };
            inner.insert(index, port, ip);
            index
        };
        (self.wake)();
        index
    }

    /// Takes over an index that a session from before a restart uses. False when the index is
    /// taken by another address: the session needs another one.
    pub fn adopt(&self, index: u32, port: u8, ip: IpAddr) -> bool {
        let adopted = {
            let mut inner = self.lock();
            match inner.by_address.get(&(port, ip)).copied() {
                Some(known) if known == index => {
                    inner.count_use(index);
                    return true;
                }
                Some(_) => return false,
                None => {}
            }
            let free = index != 0 && inner.entries.get(index as usize).is_some_and(Option::is_none);
            if free {
                inner.insert(index, port, ip);
            }
            free
        };
        if adopted {
            (self.wake)();
        }
        adopted
    }

    /// One use less. The entry stays until its place is needed.
    pub fn release(&self, index: u32) {
        if let Some(Some(entry)) = self.lock().entries.get_mut(index as usize) {
            entry.references = entry.references.saturating_sub(1);
        }
    }

    /// Everything that is resolved: what a data plane that was just attached must be told.
    pub fn resolved(&self) -> Vec<Update> {
        let inner = self.lock();
        let known = inner.entries.iter().zip(0..);
        known
            .filter_map(|(entry, index)| {
                entry
                    .as_ref()
                    .filter(|entry| entry.value.valid != 0)
                    .map(|entry| Update { index, value: entry.value })
            })
            .collect()
    }

    /// How many addresses have an index, and how often the table was full.
    pub fn usage(&self) -> (usize, u64) {
        let inner = self.lock();
        (inner.by_address.len(), inner.full)
    }

    /// Addresses that are new since the last call.
    pub(super) fn take_fresh(&self) -> Vec<u32> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// The address at `index`.
    pub(super) fn address(&self, index: u32) -> Option<(u8, IpAddr)> {
        self.lock().entries.get(index as usize)?.as_ref().map(|entry| (entry.port, entry.ip))
    }

    /// Sets the value at `index` if it still belongs to `ip`; the update when that changes anything.
    pub(super) fn set(&self, index: u32, ip: IpAddr, value: NextHop) -> Option<Update> {
        let mut inner = self.lock();
        let entry = inner.entries.get_mut(index as usize)?.as_mut().filter(|entry| entry.ip == ip)?;
        (entry.value != value).then(|| {
            entry.value = value;
            Update { index, value }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change leaves the table whole, so a panic elsewhere does not make it unusable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn count_use(&mut self, index: u32) {
        if let Some(Some(entry)) = self.entries.get_mut(index as usize) {
            entry.references += 1;
        }
    }

    fn insert(&mut self, index: u32, port: u8, ip: IpAddr) {
        if let Some(place) = self.entries.get_mut(index as usize) {
            *place = Some(Entry { port, ip, references: 1, value: UNRESOLVED });
            self.by_address.insert((port, ip), index);
            self.fresh.push(index);
        }
    }

    /// An index that was never used, or else one that no leg uses any more.
    fn free_index(&mut self) -> Option<u32> {
        let unused = |entry: &Option<Entry>| entry.as_ref().is_none_or(|entry| entry.references == 0);
        let never = self.entries.iter().skip(1).position(Option::is_none);
        let index = never.or_else(|| self.entries.iter().skip(1).position(unused))? + 1;
        if let Some(old) = self.entries.get_mut(index).and_then(Option::take) {
            self.by_address.remove(&(old.port, old.ip));
        }
        u32::try_from(index).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(capacity: usize) -> NextHops {
        NextHops::new(capacity, Box::new(|| {}))
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn same_address_has_the_same_index() {
        let table = table(8);
        assert_eq!(table.acquire(1, ip(1)), table.acquire(1, ip(1)));
        assert_ne!(table.acquire(1, ip(1)), table.acquire(0, ip(1)));
        assert_eq!(table.take_fresh().len(), 2);
    }

    #[test]
    fn full_table_gives_index_zero_and_counts() {
        let table = table(3);
        assert_eq!([table.acquire(0, ip(1)), table.acquire(0, ip(2)), table.acquire(0, ip(3))], [1, 2, 0]);
        assert_eq!(table.usage(), (2, 1));
        table.release(2);
        assert_eq!(table.acquire(0, ip(4)), 2);
        assert_eq!(table.address(2), Some((0, ip(4))));
    }

    #[test]
    fn adopted_index_keeps_its_place() {
        let table = table(8);
        assert!(table.adopt(5, 1, ip(9)));
        assert!(table.adopt(5, 1, ip(9)));
        assert!(!table.adopt(5, 1, ip(8)));
        assert!(!table.adopt(0, 1, ip(7)));
        assert!(!table.adopt(99, 1, ip(7)));
        assert_eq!(table.acquire(1, ip(9)), 5);
    }

    #[test]
    fn value_of_a_reused_index_is_not_overwritten_for_the_old_address() {
        let table = table(2);
        assert_eq!(table.acquire(0, ip(1)), 1);
        table.release(1);
        assert_eq!(table.acquire(0, ip(2)), 1);
        let value = NextHop { valid: 1, mac: [2; 6], ..UNRESOLVED };
        assert_eq!(table.set(1, ip(1), value), None);
        assert_eq!(table.set(1, ip(2), value), Some(Update { index: 1, value }));
        assert_eq!(table.set(1, ip(2), value), None);
        assert_eq!(table.resolved(), vec![Update { index: 1, value }]);
    }
}
