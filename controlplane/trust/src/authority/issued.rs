//! The lists that phones have had, by generation: what is known of a phone is which of them it holds.

use std::path::{Path, PathBuf};
use std::{fs, io};

use openssl::x509::X509;

use super::{Refused, store};
use crate::TrustList;

/// As many lists are kept.
pub const ISSUED_MAX: usize = 64;
/// Where they are.
const ISSUED: &str = "issued";

/// A list that phones may hold.
pub struct Issue {
    /// Its number: the time that it says, so it grows with each change. Seconds since 1970.
    pub generation: u32,
    /// The file, as `CTLFile.tlv`.
    pub file: Vec<u8>,
}

/// A list that was issued.
pub(super) struct Issued {
    pub issue: Issue,
    pub list: TrustList,
}

/// Every list that was issued, the oldest first.
pub(super) fn load(directory: &Path) -> Result<Vec<Issued>, Refused> {
    let directory = directory.join(ISSUED);
    let failed = |error| Refused::File { path: directory.clone(), error };
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed(error)),
    };
    let mut issued = Vec::new();
    for path in entries.into_iter().map(|entry| entry.path()) {
        let Some(generation) = generation_of(&path) else { continue };
        let file = fs::read(&path).map_err(|error| Refused::File { path: path.clone(), error })?;
        let list = TrustList::parse(&file).map_err(|error| Refused::Issued { path, error })?;
        issued.push(Issued { issue: Issue { generation, file }, list });
    }
    issued.sort_by_key(|issued| issued.issue.generation);
    Ok(issued)
}

pub(super) fn save(directory: &Path, issue: &Issue) -> Result<(), Refused> {
    let directory = directory.join(ISSUED);
    store::make_directory(&directory)?;
    store::write(&path_of(&directory, issue.generation), &issue.file)
}

/// Removes lists beyond [`ISSUED_MAX`]. First goes the oldest that names the security administrators of the one before it
/// and of the one after it, so that who signs, and who would be stranded, is told as before; the first and the last stay. If
/// each names others, the oldest goes. Phones that hold what is gone count as not known until they fetch another. What cannot
/// be removed stays, and is no reason not to issue a list.
pub(super) fn prune(directory: &Path, issued: &mut Vec<Issued>) {
    let directory = directory.join(ISSUED);
    while issued.len() > ISSUED_MAX {
        let sasts: Vec<_> = issued.iter().map(|issued| issued.list.sasts()).collect();
        let between = sasts.windows(3).position(|three| three.iter().all(|of| Some(of) == three.first()));
        let goes = between.map_or(0, |before| before + 1);
        let Some(generation) = issued.get(goes).map(|issued| issued.issue.generation) else { return };
        let path = path_of(&directory, generation);
        match store::remove(&path) {
            Ok(()) => {
                let path = path.display();
                tracing::info!("{path} is removed: more than {ISSUED_MAX} trust lists were issued");
                issued.remove(goes);
            }
            Err(error) => return tracing::warn!("too many trust lists are kept: {error}"),
        }
    }
}

fn path_of(directory: &Path, generation: u32) -> PathBuf {
    directory.join(format!("{generation}.tlv"))
}

/// Since when every list names a security administrator without a break; `None`: the last one does not.
pub(super) fn since(issued: &[Issued], sast: &X509) -> Option<u32> {
    let naming = issued.iter().rev().take_while(|issued| issued.list.knows(sast).unwrap_or(false));
    naming.last().map(|issued| issued.issue.generation)
}

fn generation_of(path: &Path) -> Option<u32> {
    let is_list = path.extension().is_some_and(|extension| extension == "tlv");
    path.file_stem().filter(|_| is_list)?.to_str()?.parse().ok()
}

impl std::fmt::Debug for Issue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "generation {}, {} bytes", self.generation, self.file.len())
    }
}
