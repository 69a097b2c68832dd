//! The lists that phones have had, by generation: what is known of a phone is which of them it holds.

use std::path::Path;
use std::{fs, io};

use openssl::x509::X509;

use super::{Refused, store};
use crate::TrustList;

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
    store::write(&directory.join(format!("{}.tlv", issue.generation)), &issue.file)
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
