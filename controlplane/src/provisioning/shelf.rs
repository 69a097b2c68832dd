//! The cache, kept by a thread of its own: nobody waits for the disk while a file is stored.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, SystemTime};

use pinhole_provisioning::cache::{CacheError, Cached, Lookup, Origin};
use pinhole_provisioning::{Cache, Counter, Counters};

/// Files that wait to be stored.
const FILES: usize = 1024;
/// Bytes of them together; a single file may have more.
const BYTES: usize = 128 << 20;

/// What is kept of files from upstream.
pub(super) struct Shelf {
    cache: Arc<Mutex<Cache>>,
    counters: Arc<Counters>,
    /// Bytes that wait.
    waiting: Arc<AtomicUsize>,
    files: Option<SyncSender<File>>,
    keeper: Option<JoinHandle<()>>,
}

struct File {
    origin: Origin,
    bytes: Arc<Vec<u8>>,
    fetched: SystemTime,
}

impl Shelf {
    /// Begins to keep files in a cache.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn open(cache: Cache, counters: Arc<Counters>) -> io::Result<Self> {
        let (cache, waiting) = (Arc::new(Mutex::new(cache)), Arc::new(AtomicUsize::new(0)));
        let (files, to_store) = sync_channel(FILES);
        let (of_keeper, stored) = (Arc::clone(&cache), Arc::clone(&waiting));
        let keeper =
            Builder::new().name("cache".into()).spawn(move || keep(&of_keeper, &to_store, &stored))?;
        Ok(Self { cache, counters, waiting, files: Some(files), keeper: Some(keeper) })
    }

    /// Stores a file by and by; one that comes while too many wait is not stored, and counted.
    pub fn store(&self, origin: &Origin, bytes: &Arc<Vec<u8>>, fetched: SystemTime) {
        let len = bytes.len();
        let before = self.waiting.fetch_add(len, Ordering::Relaxed);
        let file = File { origin: origin.clone(), bytes: Arc::clone(bytes), fetched };
        let has_room = before == 0 || before.saturating_add(len) <= BYTES;
        if !(has_room && self.files.as_ref().is_some_and(|files| files.try_send(file).is_ok())) {
            self.waiting.fetch_sub(len, Ordering::Relaxed);
            self.counters.count(Counter::CacheNotStored);
        }
    }

    /// Looks for a file that was fetched within `fresh` before `now`.
    pub fn lookup(&self, origin: &Origin, fresh: Duration, now: SystemTime) -> Lookup {
        lock(&self.cache).lookup(origin, fresh, now)
    }

    /// The last good copy, however old.
    pub fn stale(&self, origin: &Origin, now: SystemTime) -> Option<Cached> {
        lock(&self.cache).stale(origin, now)
    }
}

impl Drop for Shelf {
    /// What waits is stored.
    fn drop(&mut self) {
        drop(self.files.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

fn keep(cache: &Mutex<Cache>, files: &Receiver<File>, waiting: &AtomicUsize) {
    for File { origin, bytes, fetched } in files {
        if let Err(error) = store(cache, &origin, &bytes, fetched) {
            tracing::warn!(name = origin.name, "not kept: {error}");
        }
        waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
    }
}

/// The cache is locked only while a file begins and ends.
fn store(cache: &Mutex<Cache>, origin: &Origin, bytes: &[u8], fetched: SystemTime) -> Result<(), CacheError> {
    let mut unfinished = lock(cache).begin(origin, bytes.len() as u64, fetched)?;
    if let Err(error) = unfinished.write_all(bytes) {
        return Err(unfinished.failed(error));
    }
    lock(cache).finish(unfinished)
}

fn lock(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(name: &str) -> Origin {
        Origin { upstream: "hq".into(), name: name.into() }
    }

    #[test]
    fn files_that_come_while_too_many_wait_are_counted_and_not_stored() {
        let folder = tempfile::tempdir().unwrap();
        let counters = Arc::new(Counters::default());
        let cache = Cache::open(folder.path(), 1 << 20, Arc::clone(&counters)).unwrap();
        let shelf = Shelf::open(cache, Arc::clone(&counters)).unwrap();
        let busy = Arc::clone(&shelf.cache);
        let busy = lock(&busy);
        // The keeper has at most one in its hands.
        let small = Arc::new(vec![7; 100]);
        for number in 0..FILES + 10 {
            shelf.store(&origin(&number.to_string()), &small, SystemTime::now());
        }
        let refused = counters.get(Counter::CacheNotStored);
        assert!((9..=10).contains(&refused), "{refused}");
        drop(busy);
        drop(shelf);
        assert_eq!(counters.get(Counter::CacheStored), (FILES + 10) as u64 - refused);
        // What waited when it ended is there.
        let mut cache = Cache::open(folder.path(), 1 << 30, Arc::default()).unwrap();
        assert!(cache.stale(&origin(&(FILES - 1).to_string()), SystemTime::now()).is_some());
    }

    #[test]
    fn bytes_that_wait_are_bounded_but_for_a_single_file() {
        let folder = tempfile::tempdir().unwrap();
        let counters = Arc::new(Counters::default());
        let cache = Cache::open(folder.path(), 1, Arc::clone(&counters)).unwrap();
        let shelf = Shelf::open(cache, Arc::clone(&counters)).unwrap();
        let busy = Arc::clone(&shelf.cache);
        let busy = lock(&busy);
        let huge = Arc::new(vec![0; BYTES + 1]);
        shelf.store(&origin("a"), &huge, SystemTime::now());
        assert_eq!(counters.get(Counter::CacheNotStored), 0);
        shelf.store(&origin("b"), &Arc::new(vec![0; 1]), SystemTime::now());
        assert_eq!(counters.get(Counter::CacheNotStored), 1);
        drop(busy);
        let waiting = Arc::clone(&shelf.waiting);
        drop(shelf);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }
}
