//! Files from upstream servers, kept on disk: so that firmware passes the firewall once, and phones come up while the
//! call manager is down.
//!
//! Each file is a file of its own, named by the hash of where it is from; it begins with a line that says what it is. A
//! file appears whole or not at all. The disk is the index: what is found there at the start is what is known.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::sha::sha256;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::forms::{hex, millis};
use crate::{Counter, Counters};

/// The longest first line.
const HEAD_MAX: u64 = 1024;
const UNFINISHED: &str = "unfinished-";

/// Where a file is from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the upstream server, such as the cluster's.
    pub upstream: String,
    /// The file's name there.
    pub name: String,
}

/// A file of the cache, ready to be read.
#[derive(Debug)]
pub struct Cached {
    /// At its first byte. It stays readable when the file is dropped from the cache meanwhile.
    pub file: File,
    /// Bytes.
    pub len: u64,
    /// When it was fetched.
    pub fetched: SystemTime,
}

/// What the cache has.
#[derive(Debug)]
pub enum Lookup {
    /// A file that is young enough to be given without asking upstream.
    Fresh(Cached),
    /// One that is only to be given when upstream gives none, by [`Cache::stale`].
    Aged,
    /// Nothing.
    Absent,
}

/// Why the cache cannot be used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// The disk said no.
    #[error("{path}: {source}; look at space and permissions of the cache's folder")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than the whole cache may be.
    #[error("file of {len} bytes does not fit into a cache of {limit}; raise provisioning.cache_mb")]
    TooLarge {
        /// Bytes.
        len: u64,
        /// The limit, bytes.
        limit: u64,
    },
    /// The names are too long to be kept.
    #[error("upstream and file name are too long to be cached")]
    Name,
}

/// The cache. Of one process; not of several threads at once.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    limit: u64,
    used: u64,
    entries: HashMap<Origin, Entry>,
    /// Entries by last use.
    order: BTreeMap<u64, Origin>,
    next_use: u64,
    next_unfinished: u64,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Entry {
    /// Bytes of the file.
    len: u64,
    /// Bytes before it.
    head: u64,
    fetched: SystemTime,
    last_use: u64,
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Head {
    pinhole_cache: u32,
    origin: Origin,
    fetched_ms: u64,
    len: u64,
}

impl Cache {
    /// Opens the cache in a folder of its own, which is created if needed. `limit`: bytes of all files together.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(folder: &Path, limit: u64, counters: Arc<Counters>) -> Result<Self, CacheError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| disk(folder, source))?;
        let mut cache = Self {
            folder: folder.into(),
            limit,
            used: 0,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            next_use: 0,
            next_unfinished: 0,
            counters,
        };
        cache.read_folder()?;
        cache.evict();
        Ok(cache)
    }

    /// Bytes in use; a small file takes 4096.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Looks for a file that was fetched within `fresh` before `now`.
    pub fn lookup(&mut self, origin: &Origin, fresh: Duration, now: SystemTime) -> Lookup {
        let Some(entry) = self.entries.get(origin) else { return Lookup::Absent };
        // A file from the future was fetched before the clock was set back.
        if !now.duration_since(entry.fetched).is_ok_and(|age| age <= fresh) {
            return Lookup::Aged;
        }
        match self.read(origin, now) {
            Some(cached) => {
                self.counters.count(Counter::CacheHits);
                Lookup::Fresh(cached)
            }
            None => Lookup::Absent,
        }
    }

    /// The last good copy, however old, since upstream gives none. The use of it is counted; the log should say so.
    pub fn stale(&mut self, origin: &Origin, now: SystemTime) -> Option<Cached> {
        let cached = self.read(origin, now)?;
        self.counters.count(Counter::Stale);
        Some(cached)
    }

    /// Stores a whole file.
    ///
    /// # Errors
    /// When it does not fit or cannot be written; the copy before is kept.
    pub fn store(&mut self, origin: &Origin, bytes: &[u8], now: SystemTime) -> Result<(), CacheError> {
        let mut writer = self.begin(origin, bytes.len() as u64, now)?;
        writer.write_all(bytes).map_err(|source| writer.failed(source))?;
        self.finish(writer)
    }

    /// Begins to store a file of `len` bytes, which come by and by. It replaces the copy before when it is
    /// [finished](Self::finish), or is gone when it is dropped.
    ///
    /// # Errors
    /// When it cannot fit or cannot be written.
    pub fn begin(&mut self, origin: &Origin, len: u64, now: SystemTime) -> Result<Unfinished, CacheError> {
        if cost(HEAD_MAX, len) > self.limit {
            return Err(CacheError::TooLarge { len, limit: self.limit });
        }
        let head = Head { pinhole_cache: 1, origin: origin.clone(), fetched_ms: millis(now), len };
        let line = serde_json::to_string(&head).map_err(|_| CacheError::Name)? + "\n";
        if line.len() as u64 > HEAD_MAX {
            return Err(CacheError::Name);
        }
        let path = self.folder.join(format!("{UNFINISHED}{}", self.next_unfinished));
        self.next_unfinished += 1;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(|source| disk(&path, source))?;
        let unfinished =
            |file| Unfinished { file, path: path.clone(), head, head_len: line.len() as u64, left: len };
        match file.write_all(line.as_bytes()) {
            Ok(()) => Ok(unfinished(file)),
            Err(source) => {
                drop(unfinished(file));
                Err(disk(&path, source))
            }
        }
    }

    /// Makes a file that is whole part of the cache. The least recently used others go as needed. It is not waited for the
    /// disk: what a power cut tears is too short, and not used at the next start.
    ///
    /// # Errors
    /// When not all bytes have come, or it cannot be written.
    pub fn finish(&mut self, unfinished: Unfinished) -> Result<(), CacheError> {
        let path = &unfinished.path;
        if unfinished.left != 0 {
            return Err(disk(path, io::Error::new(io::ErrorKind::UnexpectedEof, "the file ended early")));
        }
        let origin = unfinished.head.origin.clone();
        fs::rename(path, self.path(&origin)).map_err(|source| disk(path, source))?;
        self.forget(&origin);
        let fetched = UNIX_EPOCH + Duration::from_millis(unfinished.head.fetched_ms);
        self.remember(origin, unfinished.head.len, unfinished.head_len, fetched);
        self.evict();
        self.counters.count(Counter::CacheStored);
        Ok(())
    }

    fn read(&mut self, origin: &Origin, now: SystemTime) -> Option<Cached> {
        let path = self.path(origin);
        let entry = self.entries.get(origin)?;
        let (len, head, fetched) = (entry.len, entry.head, entry.fetched);
        let opened = File::open(&path).and_then(|mut file| {
            // A file that somebody has changed is not what was fetched.
            let whole = file.metadata()?.len() == head + len;
            file.seek(SeekFrom::Start(head))?;
            Ok((file, whole))
        });
        match opened {
            Ok((file, true)) => {
                self.touch(origin, &file, now);
                Some(Cached { file, len, fetched })
            }
            Ok((_, false)) | Err(_) => {
                self.forget(origin);
                None
            }
        }
    }

    /// Makes it the most recently used, on disk too, where that may fail without harm.
    fn touch(&mut self, origin: &Origin, file: &File, now: SystemTime) {
        let last_use = self.next_use;
        self.next_use += 1;
        if let Some(entry) = self.entries.get_mut(origin) {
            self.order.remove(&entry.last_use);
            entry.last_use = last_use;
            self.order.insert(last_use, origin.clone());
        }
        let _ = file.set_modified(now);
    }

    /// Drops the least recently used beyond the limit.
    fn evict(&mut self) {
        while self.used > self.limit {
            let Some((_, origin)) = self.order.pop_first() else { return };
            let _ = fs::remove_file(self.path(&origin));
            self.forget(&origin);
            self.counters.count(Counter::CacheEvicted);
        }
    }

    fn remember(&mut self, origin: Origin, len: u64, head: u64, fetched: SystemTime) {
        let last_use = self.next_use;
        self.next_use += 1;
        self.used += cost(head, len);
        self.order.insert(last_use, origin.clone());
        self.entries.insert(origin, Entry { len, head, fetched, last_use });
    }

    fn forget(&mut self, origin: &Origin) {
        if let Some(entry) = self.entries.remove(origin) {
            self.order.remove(&entry.last_use);
            self.used -= cost(entry.head, entry.len);
        }
    }

    fn path(&self, origin: &Origin) -> PathBuf {
        let hash = sha256(format!("{}\0{}", origin.upstream, origin.name).as_bytes());
        self.folder.join(hex(&hash))
    }

    fn read_folder(&mut self) -> Result<(), CacheError> {
        let folder = self.folder.clone();
        let mut found = Vec::new();
        for item in fs::read_dir(&folder).map_err(|source| disk(&folder, source))? {
            let path = item.map_err(|source| disk(&folder, source))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(UNFINISHED) {
                fs::remove_file(&path).map_err(|source| disk(&path, source))?;
            } else if let Some((head, head_len, used)) = read_head(&path)
                && self.path(&head.origin) == path
            {
                found.push((used, head, head_len));
            }
            // What is not ours stays where it is, and is not used.
        }
        found.sort_by_key(|(used, ..)| *used);
        for (_, head, head_len) in found {
            let fetched = UNIX_EPOCH + Duration::from_millis(head.fetched_ms);
            self.remember(head.origin, head.len, head_len, fetched);
        }
        Ok(())
    }
}

/// A file that is being stored.
#[derive(Debug)]
pub struct Unfinished {
    file: File,
    path: PathBuf,
    head: Head,
    head_len: u64,
    left: u64,
}

impl Unfinished {
    /// What an error of writing it is.
    pub fn failed(&self, source: io::Error) -> CacheError {
        disk(&self.path, source)
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more bytes came than were announced"));
        }
        let written = self.file.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After it was finished there is none of this name.
        let _ = fs::remove_file(&self.path);
    }
}

/// What a file takes of the limit: small ones a block of the disk, so that there are never too many.
fn cost(head: u64, len: u64) -> u64 {
    head.saturating_add(len).max(4096)
}

/// The first line of a whole file, its length, and when the file was used.
fn read_head(path: &Path) -> Option<(Head, u64, SystemTime)> {
    let file = File::open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let mut line = Vec::new();
    BufReader::new(file.take(HEAD_MAX)).read_until(b'\n', &mut line).ok()?;
    let head: Head = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
    let whole = head.pinhole_cache == 1 && metadata.len() == line.len() as u64 + head.len;
    whole.then_some((head, line.len() as u64, metadata.modified().ok()?))
}

fn disk(path: &Path, source: io::Error) -> CacheError {
    CacheError::Disk { path: path.into(), source }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Head").field("origin", &self.origin).field("len", &self.len).finish_non_exhaustive()
    }
}
