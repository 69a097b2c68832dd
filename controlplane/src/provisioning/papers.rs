//! What we sign: trust lists, configurations, other files.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pinhole_provisioning::Failure;
use pinhole_provisioning::cache::Cached;
use pinhole_provisioning::service::{Form, Handling, TrustList};
use pinhole_trust::authority::{Naming, Refused};
use pinhole_trust::{Authority, Digest};

use crate::config;

/// The authority, and what is made with it once.
pub(super) struct Papers {
    authority: Option<Authority>,
    naming: Naming,
    digest: Digest,
    /// When the keys were changed last, in seconds since 1970.
    generation: u32,
    lists: HashMap<&'static str, Arc<[u8]>>,
    /// The change that was read last, or tried to.
    tried: Option<SystemTime>,
}

impl Papers {
    /// Reads the keys, if there are any yet.
    ///
    /// # Errors
    /// When there are some that cannot be used.
    pub fn open(settings: &config::Provisioning) -> Result<Self, Refused> {
        let mut papers = Self {
            authority: None,
            naming: settings.naming(),
            digest: settings.digest(),
            generation: 0,
            lists: HashMap::new(),
            tried: None,
        };
        papers.reload(settings)?;
        Ok(papers)
    }

    /// Whether there were no keys so far, and there are now.
    pub fn are_awaited(&self, settings: &config::Provisioning) -> bool {
        self.authority.is_none() && last_change(&settings.authority()) != self.tried
    }

    /// Reads the keys again; whether there are any.
    ///
    /// # Errors
    /// When they cannot be used; the ones before stay.
    pub fn reload(&mut self, settings: &config::Provisioning) -> Result<bool, Refused> {
        let directory = settings.authority();
        let Some(changed) = last_change(&directory) else { return Ok(false) };
        self.tried = Some(changed);
        self.authority = Some(Authority::open(&directory)?);
        self.generation = seconds(changed);
        self.lists.clear();
        Ok(true)
    }

    /// Which trust list is served; it grows with each change of the keys.
    pub fn generation(&self) -> Option<u64> {
        self.authority.as_ref().map(|_| self.generation.into())
    }

    /// A trust list. It says the time of the last change, so that all phones have the same bytes.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn trust_list(&mut self, list: TrustList) -> Result<Arc<[u8]>, Refused> {
        // The header's name has no device in it, under whatever name the list is asked for (trust-files 2.1.2).
        let name = match list {
            TrustList::Ctl => "CTLFile.tlv",
            TrustList::Itl | TrustList::ItlExtended => "ITLFile.tlv",
        };
        if let Some(made) = self.lists.get(name) {
            return Ok(Arc::clone(made));
        }
        let authority = self.authority.as_ref().ok_or(Refused::NoSigner)?;
        let made: Arc<[u8]> = authority.list(name, &self.naming, self.digest, self.generation)?.into();
        self.lists.insert(name, Arc::clone(&made));
        Ok(made)
    }

    /// A configuration in the form that it was asked for.
    ///
    /// # Errors
    /// When it cannot be signed, or the form is not served.
    pub fn configuration(&self, form: &Form, content: &[u8]) -> Result<Arc<[u8]>, Failure> {
        match form {
            Form::Plain => Ok(content.into()),
            Form::Signed { name } => self.sign(name, content, self.digest),
            Form::EncryptedSigned { .. } | Form::Stub { .. } => Err(Failure::EncryptionOff),
        }
    }

    /// Another file, signed if it is to be.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn file(&self, handling: &Handling, content: &[u8]) -> Result<Arc<[u8]>, Failure> {
        match handling {
            Handling::Pass => Ok(content.into()),
            Handling::Sign { name, sha512 } => {
                self.sign(name, content, if *sha512 { Digest::Sha512 } else { self.digest })
            }
        }
    }

    fn sign(&self, name: &str, content: &[u8], digest: Digest) -> Result<Arc<[u8]>, Failure> {
        let signed = match &self.authority {
            Some(authority) => authority.sign(name, content, digest, seconds(SystemTime::now())),
            None => Err(Refused::NoSigner),
        };
        signed.map(Arc::from).map_err(|error| {
            tracing::error!(name, "cannot be signed: {error}");
            Failure::SigningFailed
        })
    }
}

/// A folder that only we can read.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The whole of a kept file.
pub(super) fn read(cached: Cached) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    cached.file.take(cached.len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == cached.len { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// When a file of a folder was changed last; `None`: there is no file.
fn last_change(directory: &Path) -> Option<SystemTime> {
    let files = std::fs::read_dir(directory).ok()?.flatten();
    let changes = files.filter_map(|file| file.metadata().ok()?.modified().ok());
    changes.max()
}

fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
