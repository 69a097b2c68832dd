//! What we sign: trust lists, configurations, other files.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openssl::hash::MessageDigest;
use openssl::pkey::Id;
use openssl::x509::X509;
use pinhole_provisioning::Failure;
use pinhole_provisioning::cache::Cached;
use pinhole_provisioning::service::{Form, Handling, TrustList};
use pinhole_provisioning::xml::{CertificateHash, stub};
use pinhole_trust::authority::{Issue, Naming, Refused, Role};
use pinhole_trust::{Authority, Digest, Identity};

use crate::config;

/// How long it is until one looks again for keys that are not there.
const AGAIN: Duration = Duration::from_secs(2);

/// The authority, and what is made with it once.
pub(super) struct Papers {
    authority: Option<Authority>,
    naming: Naming,
    digest: Digest,
    /// The trust list that phones get.
    issue: Option<Issue>,
    lists: HashMap<&'static str, Arc<[u8]>>,
    /// When it is looked again for keys that are not there yet, or cannot be used.
    again_at: Instant,
}

impl Papers {
    /// Without keys so far.
    pub fn new(settings: &config::Provisioning) -> Self {
        Self {
            authority: None,
            naming: settings.naming(),
            digest: settings.digest(),
            issue: None,
            lists: HashMap::new(),
            again_at: Instant::now(),
        }
    }

    /// Whether there are no keys so far, and it is time to look again: whatever was wrong with them may have been put right,
    /// and that need not show in any file's time.
    pub fn are_awaited(&self) -> bool {
        self.authority.is_none() && Instant::now() >= self.again_at
    }

    /// Reads the keys again; `None`: there are none.
    ///
    /// # Errors
    /// When they cannot be used; the ones before stay.
    pub fn reload(&mut self, settings: &config::Provisioning) -> Result<Option<&Authority>, Refused> {
        self.again_at = Instant::now() + AGAIN;
        let directory = settings.authority();
        if is_empty(&directory) {
            return Ok(None);
        }
        let authority = Authority::open(&directory)?;
        // Without a SAST's key, configurations are signed all the same: phones have their lists.
        self.issue = match authority.draft(&self.naming, self.digest, seconds(SystemTime::now())) {
            Ok(issue) => Some(issue),
            Err(Refused::NoSigner) => None,
            Err(error) => return Err(error),
        };
        self.lists.clear();
        Ok(Some(self.authority.insert(authority)))
    }

    /// The keys, if there are any.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// Key and certificate for HTTPS; `None`: there are no keys yet.
    pub fn https(&self) -> Option<Result<Identity, Refused>> {
        self.authority.as_ref().map(|authority| authority.identity(Role::Https))
    }

    /// Which trust list is served; it grows with each change of the list.
    pub fn generation(&self) -> Option<u64> {
        self.issue.as_ref().map(|issue| issue.generation.into())
    }

    /// A trust list. Before the first phone gets it, it is remembered that phones may have it.
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
        let (Some(authority), Some(issue)) = (&mut self.authority, &self.issue) else {
            return Err(Refused::NoSigner);
        };
        authority.note_issued(issue)?;
        let made: Arc<[u8]> = authority.list(name, &self.naming, self.digest, issue.generation)?.into();
        self.lists.insert(name, Arc::clone(&made));
        Ok(made)
    }

    /// A configuration in the form that it was asked for. `device`: the certificate to encrypt it to.
    ///
    /// # Errors
    /// When it cannot be signed or encrypted.
    pub fn configuration(
        &self,
        form: &Form,
        content: &[u8],
        device: Option<&X509>,
    ) -> Result<Arc<[u8]>, Failure> {
        let device = || device.ok_or(Failure::CertificateNotSeen);
        match form {
            Form::Plain => Ok(content.into()),
            Form::Signed { name } => self.sign(name, content, self.digest),
            Form::EncryptedSigned { name } => {
                let device = device()?;
                self.made(name, |authority, now| authority.encrypt(name, content, self.digest, now, device))
            }
            Form::Stub { name } => {
                let hash = device()?.digest(MessageDigest::md5()).ok();
                let hash = hash.and_then(|hash| hash.as_ref().try_into().ok()).map(CertificateHash);
                let stub = stub(content, hash.ok_or(Failure::SigningFailed)?);
                self.sign(name, &stub.map_err(|_| Failure::ConfigurationParse)?, self.digest)
            }
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
        self.made(name, |authority, now| authority.sign(name, content, digest, now))
    }

    fn made(
        &self,
        name: &str,
        make: impl FnOnce(&Authority, u32) -> Result<Vec<u8>, Refused>,
    ) -> Result<Arc<[u8]>, Failure> {
        let made = match &self.authority {
            Some(authority) => make(authority, seconds(SystemTime::now())),
            None => Err(Refused::NoSigner),
        };
        made.map(Arc::from).map_err(|error| {
            tracing::error!(name, "cannot be signed or encrypted: {error}");
            Failure::SigningFailed
        })
    }
}

/// The first certificate of a device that a configuration can be encrypted to: one with an RSA key.
pub(super) fn encryptable<'a>(certificates: impl IntoIterator<Item = &'a Arc<[u8]>>) -> Option<X509> {
    let mut read = certificates.into_iter().filter_map(|der| X509::from_der(der).ok());
    read.find(|certificate| certificate.public_key().is_ok_and(|key| key.id() == Id::RSA))
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

/// Whether a folder has nothing in it, or is not there.
fn is_empty(directory: &Path) -> bool {
    match std::fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

pub(super) fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn certificate(key: &KeyPair) -> Arc<[u8]> {
        CertificateParams::new(vec!["a".into()]).unwrap().self_signed(key).unwrap().der().as_ref().into()
    }

    #[test]
    fn only_a_certificate_with_an_rsa_key_can_be_encrypted_to() {
        let elliptic = certificate(&KeyPair::generate().unwrap());
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap().private_key_to_pkcs8().unwrap();
        let rsa = certificate(&KeyPair::try_from(key).unwrap());
        let broken: Arc<[u8]> = Arc::from(*b"\x30\x03abc");
        assert!(encryptable(&[broken.clone(), elliptic.clone()]).is_none());
        let found = encryptable(&[broken, elliptic, Arc::clone(&rsa)]).unwrap();
        assert_eq!(found.to_der().unwrap(), *rsa);
    }
}
