//! The control plane's side: opens the two memories and hands out the shards' ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use zerocopy::FromZeros;

use crate::attach::{self, AttachError};
use crate::layout::{ABI_VERSION, Header, LAYOUT_HASH, Layout, MAGIC, MAX_SHARDS, MAX_WORKERS};
use crate::mapping::{Access, Mapping};
use crate::ring::{Consumer, Producer};
use crate::settings::MAX_SESSIONS;
use crate::shard::ShardEnd;
use crate::steering::{shard_slots, worker_slots};
use crate::words::Words;
use crate::{DataplaneSettings, Region, WorkerStats};

/// How long a worker may take to carry out what the control plane before had ordered.
const SETTLE: Duration = Duration::from_secs(2);

/// The shared memories, as the control plane holds them. The data plane regards this control plane
/// as attached until the contract is dropped or the process ends.
pub struct Contract {
    /// The connection to the data plane; absent in [`Contract::beside`].
    connection: Option<OwnedFd>,
    worker_memory: Arc<Mapping>,
    control_memory: Arc<Mapping>,
    layout: Layout,
    header: Header,
    /// The ends of all rings: those beyond `used` only serve to clear away remains.
    shards: Vec<Option<ShardEnd>>,
    used: u32,
}

impl Contract {
    /// Attaches to the data plane that listens at `path`, with `shards` signalling shards. Waits until
    /// the workers have carried out what a control plane before had still ordered, and throws away
    /// the events that nobody waits for any more; after that the slots tell what there is.
    ///
    /// # Errors
    /// [`AttachError`], each with what to do about it.
    pub fn attach(path: &Path, shards: u32) -> Result<Self, AttachError> {
        let attached = attach::client::attach(path, shards)?;
        let mut this = Self::open(attached.worker_memfd, attached.control_memfd, shards)?;
        this.connection = Some(attached.connection);
        this.settle(SETTLE)?;
        Ok(this)
    }

    /// Opens a region of the same process, without a socket: for tests and benchmarks.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn beside(region: &Region, shards: u32) -> Result<Self, AttachError> {
        let [worker, control] = region.memfds();
        let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map_err(AttachError::io("dup"));
        let this = Self::open(copy(worker)?, copy(control)?, shards)?;
        region.set_shards(shards);
        Ok(this)
    }

    fn open(worker_memfd: OwnedFd, control_memfd: OwnedFd, shards: u32) -> Result<Self, AttachError> {
        if !(1..=MAX_SHARDS).contains(&(shards as usize)) {
            return Err(AttachError::Shards { shards });
        }
        let worker_bytes = checked_size(&worker_memfd, SealFlags::FUTURE_WRITE)?;
        let header = read_header(&worker_memfd, worker_bytes)?;
        let layout = Layout::new(header.max_sessions, header.workers);
        let control_bytes = checked_size(&control_memfd, SealFlags::empty())?;
        for (found, wanted, said) in [
            (worker_bytes, layout.worker_bytes, header.worker_bytes),
            (control_bytes, layout.control_bytes, header.control_bytes),
        ] {
            if found != wanted || said != wanted as u64 {
                return Err(AttachError::Size { found, wanted });
            }
        }
        let map = |fd: &OwnedFd, bytes, access| {
            Mapping::new(fd.as_fd(), bytes, access)
                .map(Arc::new)
                .map_err(|errno| AttachError::io("mmap")(errno.into()))
        };
        let worker_memory = map(&worker_memfd, worker_bytes, Access::Read)?;
        let control_memory = map(&control_memfd, control_bytes, Access::Write)?;
        let mut this = Self {
            connection: None,
            worker_memory,
            control_memory,
            layout,
            header,
            shards: Vec::new(),
            used: shards,
        };
        this.shards = (0..MAX_SHARDS).map(|shard| this.end(shard, shards)).collect();
        Ok(this)
    }

    fn end(&self, shard: usize, shards: u32) -> Option<ShardEnd> {
        let mut commands = Vec::new();
        let mut events = Vec::new();
        for worker in 0..self.layout.workers {
            let ring = (shard, worker);
            commands.push(Producer::resume(self.layout.commands(
                &self.worker_memory,
                &self.control_memory,
                ring,
            )?));
            events.push(Consumer::resume(self.layout.events(
                &self.worker_memory,
                &self.control_memory,
                ring,
            )?));
        }
        let of_worker = |worker| worker_slots(worker, self.header.workers, self.header.max_sessions);
        let slots = (0..self.header.workers)
            .map(|worker| shard_slots(shard as u32, shards, &of_worker(worker)))
            .collect();
        ShardEnd::new(commands, events, slots, &self.layout, &self.worker_memory, &self.control_memory)
    }

    /// Waits until every command is consumed, and discards all events.
    fn settle(&mut self, patience: Duration) -> Result<(), AttachError> {
        let deadline = Instant::now() + patience;
        loop {
            let mut waiting = 0;
            for end in self.shards.iter_mut().flatten() {
                // Commands first: once they are consumed, all their events are there.
                waiting += end.commands.iter_mut().map(|ring| usize::from(!ring.is_drained())).sum::<usize>();
                for events in &mut end.events {
                    events.discard();
                }
            }
            if waiting == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(AttachError::Stalled { seconds: patience.as_secs() });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The ends of shard `shard`, once.
    pub fn shard(&mut self, shard: u32) -> Option<ShardEnd> {
        let used = self.shards.get_mut(..self.used as usize)?;
        used.get_mut(shard as usize)?.take()
    }

    /// The header: what the data plane says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the data plane was started with `[dataplane]` settings that fit these.
    pub fn fits(&self, settings: &DataplaneSettings) -> bool {
        self.header.settings_fingerprint == settings.fingerprint()
    }

    /// Statistics of every worker, as of now.
    pub fn stats(&self) -> Vec<WorkerStats> {
        (0..self.layout.workers)
            .map(|worker| {
                let mut stats = WorkerStats::new_zeroed();
                let place =
                    Words::mapped(&self.worker_memory, self.layout.stats(worker), size_of::<WorkerStats>());
                if let Some(words) = place {
                    words.read(0, &mut stats);
                }
                stats
            })
            .collect()
    }

    /// Whether the data plane still holds the connection. It never sends, so the descriptor of
    /// [`Contract::connection`] turns readable only when it ends.
    pub fn is_alive(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !attach::has_ended(connection))
    }

    /// The connection, for a poll loop: readable means that the data plane has ended.
    pub fn connection(&self) -> Option<BorrowedFd<'_>> {
        self.connection.as_ref().map(AsFd::as_fd)
    }
}

/// The size of a memfd that cannot shrink any more and has the `further` seals.
fn checked_size(memfd: &OwnedFd, further: SealFlags) -> Result<usize, AttachError> {
    let seals = fcntl_get_seals(memfd).map_err(|errno| AttachError::io("reading seals")(errno.into()))?;
    if !seals.contains(SealFlags::SHRINK | SealFlags::GROW | further) {
        return Err(AttachError::Unsealed);
    }
    let stat = fstat(memfd).map_err(|errno| AttachError::io("fstat")(errno.into()))?;
    Ok(usize::try_from(stat.st_size).unwrap_or(0))
}

/// Reads and checks the header of worker memory.
fn read_header(memfd: &OwnedFd, bytes: usize) -> Result<Header, AttachError> {
    let wanted = size_of::<Header>();
    if bytes < wanted {
        return Err(AttachError::Size { found: bytes, wanted });
    }
    // All of it: what lies in huge pages cannot be mapped in part.
    let mapping = Mapping::new(memfd.as_fd(), bytes, Access::Read)
        .map_err(|errno| AttachError::io("mmap")(errno.into()))?;
    let mut header = Header::new_zeroed();
    if let Some(words) = Words::mapped(&Arc::new(mapping), 0, wanted) {
        words.read(0, &mut header);
    }
    check_header(&header)?;
    Ok(header)
}

fn check_header(header: &Header) -> Result<(), AttachError> {
    if header.magic != MAGIC {
        return Err(AttachError::Magic);
    }
    if header.abi_version != ABI_VERSION {
        return Err(AttachError::Abi { theirs: header.abi_version });
    }
    if header.layout_hash != LAYOUT_HASH {
        return Err(AttachError::Layout { theirs: header.layout_hash });
    }
    let workers = 1..=MAX_WORKERS as u32;
    if !(1..=MAX_SESSIONS).contains(&header.max_sessions) || !workers.contains(&header.workers) {
        return Err(AttachError::Header {
            what: format!("{} sessions, {} workers", header.max_sessions, header.workers),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
