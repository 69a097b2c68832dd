//! Keys and certificates as files.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use openssl::pkey::PKey;
use openssl::x509::X509;

use super::{Holding, Refused, Role};
use crate::Identity;

/// As many keys and certificates that were replaced are kept, of each role.
pub const REPLACED_MAX: usize = 16;
/// Where what was replaced is kept.
const REPLACED: &str = "replaced";

pub(super) fn certificate_path(directory: &Path, role: Role) -> PathBuf {
    directory.join(format!("{}.crt.pem", role.name()))
}

fn key_path(directory: &Path, role: Role) -> PathBuf {
    directory.join(format!("{}.key.pem", role.name()))
}

/// The certificate whose key was exported last.
fn exported_path(directory: &Path, role: Role) -> PathBuf {
    directory.join(format!("{}.exported.pem", role.name()))
}

/// Makes a directory for its owner alone, if it is not there.
pub(super) fn make_directory(directory: &Path) -> Result<(), Refused> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| file_error(directory, error))
}

/// Keeps others from changing the directory while it is read, or from doing anything in it while it is changed. It
/// ends with what is returned.
pub(super) fn lock(directory: &Path, to_change: bool) -> Result<File, Refused> {
    let file = File::open(directory).map_err(|error| file_error(directory, error))?;
    match if to_change { file.try_lock() } else { file.try_lock_shared() } {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Refused::Busy(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(file_error(directory, error)),
    }
}

pub(super) fn load(directory: &Path, role: Role) -> Result<Holding, Refused> {
    let path = certificate_path(directory, role);
    let pem = fs::read(&path).map_err(|error| file_error(&path, error))?;
    let what = "certificate";
    let certificate = X509::from_pem(&pem).map_err(|error| Refused::Pem { path, what, error })?;
    let path = key_path(directory, role);
    let key = match read(&path)? {
        Some(pem) => {
            let key = PKey::private_key_from_pem_passphrase(&pem, b"");
            Some(key.map_err(|error| Refused::Pem { path, what: "private key", error })?)
        }
        None => None,
    };
    let is_exported = read(&exported_path(directory, role))?.is_some_and(|exported| exported == pem);
    Ok(Holding { role, certificate, key, is_exported })
}

/// Writes a key and its certificate. The key first: a certificate without its key looks like one in escrow.
pub(super) fn save(directory: &Path, role: Role, identity: &Identity) -> Result<(), Refused> {
    write(&key_path(directory, role), &identity.key.private_key_to_pem_pkcs8()?)?;
    write(&certificate_path(directory, role), &identity.certificate.to_pem()?)
}

pub(super) fn remove_key(directory: &Path, role: Role) -> Result<(), Refused> {
    remove(&key_path(directory, role))
}

/// Remembers that the key of a role's certificate was exported.
pub(super) fn note_export(directory: &Path, role: Role) -> Result<(), Refused> {
    let path = certificate_path(directory, role);
    let pem = fs::read(&path).map_err(|error| file_error(&path, error))?;
    write(&exported_path(directory, role), &pem)
}

/// Keeps what is there under a name with the time.
pub(super) fn keep(directory: &Path, role: Role, now: u32) -> Result<(), Refused> {
    let kept = directory.join(REPLACED);
    make_directory(&kept)?;
    for path in [key_path(directory, role), certificate_path(directory, role)] {
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
        let Some(bytes) = read(&path)? else { continue };
        // What was kept within the same second is not overwritten.
        let free = (now..).map(|now| kept.join(format!("{now}-{name}"))).find(|path| !path.exists());
        if let Some(free) = free {
            write(&free, &bytes)?;
        }
        if let Err(error) = prune(&kept, &name) {
            tracing::warn!("too much is kept of what was replaced: {error}");
        }
    }
    Ok(())
}

/// Removes what was replaced longest ago, of files of a name more than [`REPLACED_MAX`].
fn prune(kept: &Path, name: &str) -> Result<(), Refused> {
    let failed = |error| file_error(kept, error);
    let entries = fs::read_dir(kept).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let dated = entries.iter().filter_map(|entry| {
        let file = entry.file_name();
        let (date, _) = file.to_str()?.split_once('-').filter(|(_, of)| *of == name)?;
        Some((date.parse::<u32>().ok()?, entry.path()))
    });
    let mut dated: Vec<_> = dated.collect();
    dated.sort();
    for (_, path) in dated.iter().take(dated.len().saturating_sub(REPLACED_MAX)) {
        remove(path)?;
        tracing::info!("{} is removed: it was replaced long ago", path.display());
    }
    Ok(())
}

/// Removes a file.
pub(super) fn remove(path: &Path) -> Result<(), Refused> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::remove_file(path).and_then(|()| sync(directory)).map_err(|error| file_error(path, error))
}

/// Writes a file for its owner alone, as a whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Refused> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let written = || {
        // Readable by its owner only from the start.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        sync(directory)
    };
    written().map_err(|error: io::Error| file_error(path, error))
}

/// A file that need not be there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Refused> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(path, error)),
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn file_error(path: &Path, error: io::Error) -> Refused {
    Refused::File { path: path.to_owned(), error }
}
