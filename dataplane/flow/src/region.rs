//! The data plane's side: makes the two memories and hands out the workers' ends.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::time::{ClockId, clock_gettime};
use zerocopy::FromZeros;

use crate::layout::{ABI_VERSION, Header, LAYOUT_HASH, Layout, MAGIC, MAX_SHARDS};
use crate::mapping::{Access, Mapping};
use crate::owned::Owned;
use crate::ring::{Consumer, Producer};
use crate::settings::HugePages;
use crate::steering::{shard_of, worker_slots};
use crate::words::Words;
use crate::{Command, DataplaneSettings, Event, SessionSlot, WorkerStats};

/// The shared memories, as the data plane holds them.
pub struct Region {
    worker_memfd: OwnedFd,
    control_memfd: OwnedFd,
    worker_memory: Arc<Mapping>,
    control_memory: Arc<Mapping>,
    layout: Layout,
    header: Header,
    pages: Pages,
    shards: Arc<Shards>,
    /// Workers whose ends are given out.
    taken: u32,
}

/// In which pages worker memory lies.
#[derive(Debug)]
pub enum Pages {
    /// Huge ones of 2 MiB.
    Huge,
    /// Ordinary ones, as the settings want it.
    Ordinary,
    /// Ordinary ones, because huge ones could not be had: why.
    NotHuge(RegionError),
}

/// Numbers of shards, from the main thread to the workers.
#[derive(Default)]
struct Shards {
    /// Of the control plane that is attached or was last; 0: none yet.
    now: AtomicU32,
    /// The most that there were.
    most: AtomicU32,
}

/// Why the shared memories could not be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot make the shared memory ({bytes} bytes): {step}: {source}; lower [dataplane] max_sessions or free memory"
)]
pub struct RegionError {
    /// What failed.
    step: &'static str,
    /// Bytes wanted.
    bytes: usize,
    /// Why.
    source: Errno,
}

impl Region {
    /// Makes, maps and seals the memories for these settings. `engine` is the SRTP engine's name,
    /// for the header. Worker memory lies in huge pages if enough of 2 MiB are free and the settings don't forbid it:
    /// with ordinary ones most packets of thousands of sessions would cost a walk through the page tables.
    ///
    /// # Errors
    /// [`RegionError`]: no memory or no file descriptor left.
    pub fn create(settings: &DataplaneSettings, engine: &str) -> Result<Self, RegionError> {
        let layout = Layout::new(settings.max_sessions, settings.workers());
        let worker = |flags| make("pinhole-worker", layout.worker_bytes, Access::Write, flags);
        let ((worker_memfd, worker_memory), pages) = match settings.huge_pages {
            HugePages::Off => (worker(MemfdFlags::empty())?, Pages::Ordinary),
            _ => match worker(MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB) {
                Ok(made) => (made, Pages::Huge),
                Err(error) => (worker(MemfdFlags::empty())?, Pages::NotHuge(error)),
            },
        };
        let (control_memfd, control_memory) =
            make("pinhole-control", layout.control_bytes, Access::Read, MemfdFlags::empty())?;
        let header = header(settings, engine, &layout);
        if let Some(words) = Words::mapped(&worker_memory, 0, size_of::<Header>()) {
            words.write(0, &header);
        }
        let shards = Arc::default();
        Ok(Self {
            worker_memfd,
            control_memfd,
            worker_memory,
            control_memory,
            layout,
            header,
            pages,
            shards,
            taken: 0,
        })
    }

    /// The ends of the next worker; `None` when all are given out. Call it once per worker.
    pub fn worker(&mut self) -> Option<WorkerEnd> {
        let worker = self.taken;
        if worker >= self.header.workers {
            return None;
        }
        let number = worker as usize;
        let commands = (0..MAX_SHARDS)
            .map(|shard| {
                let ring = (shard, number);
                Some(Consumer::resume(self.layout.commands(
                    &self.worker_memory,
                    &self.control_memory,
                    ring,
                )?))
            })
            .collect::<Option<Vec<_>>>()?;
        let events = (0..MAX_SHARDS)
            .map(|shard| {
                let ring = (shard, number);
                Some(Producer::resume(self.layout.events(&self.worker_memory, &self.control_memory, ring)?))
            })
            .collect::<Option<Vec<_>>>()?;
        let part = worker_slots(worker, self.header.workers, self.header.max_sessions);
        let slots = self.layout.slot(part.start as usize);
        // SAFETY: the mapping is writable, `make` sealed the memfd against other writable ones, the
        // parts of workers are disjoint and lie outside header and rings, and `taken` gives each out once.
        let slots = unsafe { Owned::new(&self.worker_memory, slots, part.len()) }?;
        // SAFETY: as above.
        let stats = unsafe { Owned::new(&self.worker_memory, self.layout.stats(number), 1) }?;
        self.taken += 1;
        Some(WorkerEnd {
            worker,
            commands,
            events,
            slots,
            stats: StatsWriter(stats),
            shards: Arc::clone(&self.shards),
            part,
        })
    }

    /// The header, as the control plane sees it.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// In which pages worker memory lies, which has the sessions.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Number of shards of the control plane that is attached or was last; 0: none yet.
    pub fn shards(&self) -> u32 {
        self.shards.now.load(Ordering::Relaxed)
    }

    /// Takes the number of shards of a control plane that attaches.
    pub(crate) fn set_shards(&self, shards: u32) {
        self.shards.now.store(shards, Ordering::Relaxed);
        self.shards.most.fetch_max(shards, Ordering::Relaxed);
    }

    /// The memories' file descriptors: worker memory, control memory.
    pub(crate) fn memfds(&self) -> [BorrowedFd<'_>; 2] {
        [self.worker_memfd.as_fd(), self.control_memfd.as_fd()]
    }
}

/// Makes a memfd, maps it, and then seals it, so that a `FUTURE_WRITE` seal spares this mapping.
fn make(
    name: &'static str,
    bytes: usize,
    access: Access,
    flags: MemfdFlags,
) -> Result<(OwnedFd, Arc<Mapping>), RegionError> {
    let failed = |step| move |source| RegionError { step, bytes, source };
    let memfd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | flags)
        .map_err(failed("memfd_create"))?;
    ftruncate(&memfd, bytes as u64).map_err(failed("ftruncate"))?;
    if access == Access::Write {
        // All at once: too little memory shows here, not as a fault in the worker.
        // A signal ends it early, which goes on where it was.
        retry_on_intr(|| fallocate(&memfd, FallocateFlags::empty(), 0, bytes as u64))
            .map_err(failed("fallocate"))?;
    }
    let mapping = Mapping::new(memfd.as_fd(), bytes, access).map_err(failed("mmap"))?;
    let mut seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    seals.set(SealFlags::FUTURE_WRITE, access == Access::Write);
    fcntl_add_seals(&memfd, seals).map_err(failed("sealing"))?;
    // Kernels before 5.13 took the seal for huge pages and let others write all the same.
    if access == Access::Write && Mapping::new(memfd.as_fd(), bytes, Access::Write).is_ok() {
        return Err(failed("sealing against writing")(Errno::NOSYS));
    }
    Ok((memfd, Arc::new(mapping)))
}

fn header(settings: &DataplaneSettings, engine: &str, layout: &Layout) -> Header {
    let mut header = Header::new_zeroed();
    header.magic = MAGIC;
    header.layout_hash = LAYOUT_HASH;
    header.abi_version = ABI_VERSION;
    header.pid = std::process::id();
    header.boot_generation = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos()));
    header.settings_fingerprint = settings.fingerprint();
    header.started_ns = monotonic_ns();
    header.worker_bytes = layout.worker_bytes as u64;
    header.control_bytes = layout.control_bytes as u64;
    header.max_sessions = settings.max_sessions;
    header.workers = settings.workers();
    header.ports = settings.port.len() as u32;
    header.replay_window = settings.replay_window;
    for (to, core) in header.worker_cores.iter_mut().zip(&settings.worker_cores) {
        *to = u16::try_from(*core).unwrap_or(u16::MAX);
    }
    pad(&mut header.engine, engine);
    pad(&mut header.version, env!("CARGO_PKG_VERSION"));
    header
}

fn pad(to: &mut [u8], text: &str) {
    for (to, from) in to.iter_mut().zip(text.bytes()) {
        *to = from;
    }
}

/// CLOCK_MONOTONIC in nanoseconds: the clock of every `_ns` field, the same in both processes.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// A worker's ends of everything that it shares with the control plane.
pub struct WorkerEnd {
    worker: u32,
    /// Commands, by shard; all [`MAX_SHARDS`] rings, of which [`WorkerEnd::shards`] are in use.
    pub commands: Vec<Consumer<Command>>,
    /// Events, by shard. A command's acknowledgement goes to the shard that it came from, so a
    /// command is only taken while `events[shard].free() > 0`.
    pub events: Vec<Producer<Event>>,
    /// This worker's session slots, from number [`WorkerEnd::first_slot`] on: an ordinary
    /// `[SessionSlot]`, written by this worker only.
    pub slots: SlotsWriter,
    /// This worker's statistics.
    pub stats: StatsWriter,
    shards: Arc<Shards>,
    /// Numbers of this worker's slots.
    part: Range<u32>,
}

/// The session slots as their worker has them; derefs to `[SessionSlot]`.
pub type SlotsWriter = Owned<SessionSlot>;

impl WorkerEnd {
    /// The worker's number.
    pub fn number(&self) -> u32 {
        self.worker
    }

    /// Number of this worker's first slot. Commands, events and notes count slots over all workers.
    pub fn first_slot(&self) -> u32 {
        self.part.start
    }

    /// How many rings of each kind are to be served: the most shards that any control plane had so
    /// far, since one with fewer may find commands of the one before still waiting.
    pub fn shards(&self) -> usize {
        self.shards.most.load(Ordering::Relaxed) as usize
    }

    /// The shard, of those of the latest control plane, that owns `slot` and is told of events that
    /// no command caused.
    pub fn shard_of(&self, slot: u32) -> usize {
        shard_of(slot, self.shards.now.load(Ordering::Relaxed), &self.part) as usize
    }
}

/// A worker's statistics as it writes them; derefs to [`WorkerStats`].
pub struct StatsWriter(Owned<WorkerStats>);

impl std::ops::Deref for StatsWriter {
    type Target = WorkerStats;

    fn deref(&self) -> &WorkerStats {
        // `Owned::new` was asked for one item.
        &self.0[0]
    }
}

impl std::ops::DerefMut for StatsWriter {
    fn deref_mut(&mut self) -> &mut WorkerStats {
        &mut self.0[0]
    }
}
