//! What an operator does with the keys. One change at a time; each is made on what is on disk then.

use std::fs::File;
use std::path::Path;

use openssl::pkcs12::Pkcs12;
use openssl::pkey::Id;
use openssl::x509::X509;

use super::{Authority, Issue, Naming, Refused, Role, issue, store};
use crate::{Identity, TrustList};

/// Shortest passphrase of an exported key, in characters.
pub const PASSPHRASE_MIN: usize = 8;
/// Rounds of PBKDF2 between a passphrase and the key of a container.
const ROUNDS: u32 = 600_000;
/// Lengths in bytes of RSA keys with which all phones check signatures (trust-files 2.1.2 and 2.1.6).
const RSA_BYTES: [usize; 3] = [64, 128, 256];

impl Authority {
    /// Makes all keys but optional ones in a directory that has none yet. `now`: seconds since 1970.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn create(directory: &Path, naming: &Naming, now: u32) -> Result<Self, Refused> {
        store::make_directory(directory)?;
        let _alone = store::lock(directory, true)?;
        for role in Role::ALL {
            let path = store::certificate_path(directory, role);
            if path.exists() {
                return Err(Refused::Exists(path));
            }
        }
        for role in Role::ALL.into_iter().filter(|role| !role.is_optional()) {
            store::save(directory, role, &issue::identity(role, naming, now)?)?;
        }
        Self::read(directory)
    }

    /// Whether a phone that holds a list would accept the next one, if a role's key were replaced now; without a role, the one
    /// that it would be offered today.
    ///
    /// # Errors
    /// [`Refused`], as of [`rotate`](Self::rotate).
    pub fn would_accept(&self, replaced: Option<Role>, held: &TrustList) -> Result<bool, Refused> {
        let signer = match replaced {
            Some(role) => self.signer_after(role)?,
            None => Some(&self.signer()?.certificate),
        };
        Ok(signer.map_or(Ok(false), |signer| held.knows(signer))?)
    }

    /// Whether a role's key and certificate may be replaced now.
    ///
    /// # Errors
    /// [`Refused`], as of [`rotate`](Self::rotate).
    pub fn check_rotation(&self, role: Role) -> Result<(), Refused> {
        self.signer_after(role).map(drop)
    }

    /// Replaces a role's key and certificate.
    ///
    /// # Errors
    /// [`Refused`]; [`Refused::WouldStrand`] and [`Refused::NotKnownYet`] for a security administrator, if no phone knows who
    /// would sign then.
    pub fn rotate(&mut self, role: Role, naming: &Naming, now: u32) -> Result<(), Refused> {
        let _alone = self.alone()?;
        self.check_rotation(role)?;
        let identity = issue::identity(role, naming, now)?;
        self.replace(role, &identity, now)
    }

    /// A role's key and certificate as a PKCS#12 file under a passphrase. Once that is in a safe place:
    /// [`exported`](Self::exported).
    ///
    /// # Errors
    /// [`Refused`].
    pub fn export(&self, role: Role, passphrase: &str) -> Result<Vec<u8>, Refused> {
        if passphrase.chars().count() < PASSPHRASE_MIN {
            return Err(Refused::Passphrase(PASSPHRASE_MIN));
        }
        let Identity { certificate, key } = self.identity(role)?;
        let mut builder = Pkcs12::builder();
        builder.name(role.name()).pkey(&key).cert(&certificate).key_iter(ROUNDS).mac_iter(ROUNDS);
        Ok(builder.build2(passphrase)?.to_der()?)
    }

    /// Remembers that a role's key was exported.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn exported(&mut self, role: Role) -> Result<(), Refused> {
        let _alone = self.alone()?;
        store::note_export(&self.directory, role)?;
        self.read_again()
    }

    /// Removes a security administrator's key, which is in escrow, from the directory. Its certificate stays.
    ///
    /// # Errors
    /// [`Refused`] if it is needed here, or nobody has it elsewhere.
    pub fn remove_key(&mut self, role: Role) -> Result<(), Refused> {
        let _alone = self.alone()?;
        if !role.is_sast() {
            return Err(Refused::NotSast(role.name()));
        }
        self.identity(role)?;
        if self.signer()?.role == role {
            return Err(Refused::Signs(role.name()));
        }
        if !self.holding(role).is_some_and(|holding| holding.is_exported) {
            return Err(Refused::NotExported(role.name()));
        }
        store::remove_key(&self.directory, role)?;
        self.read_again()
    }

    /// Takes a key and its certificate that were [unpacked](unpack): from escrow, or those of another system. Then `held` is
    /// the list that phones have of that system, which names it: since they know it for longer than any of ours, it signs. `now`
    /// dates what is replaced.
    ///
    /// # Errors
    /// [`Refused`]; as of [`rotate`](Self::rotate), if it is not the certificate that is here already.
    pub fn import(
        &mut self,
        role: Role,
        identity: &Identity,
        held: Option<&[u8]>,
        now: u32,
    ) -> Result<(), Refused> {
        let _alone = self.alone()?;
        let held = held.map(|held| self.foreign(role, held, &identity.certificate, now)).transpose()?;
        if self.has(role, &identity.certificate) {
            store::save(&self.directory, role, identity)?;
            self.read_again()?;
        } else {
            self.check_rotation(role)?;
            self.replace(role, identity, now)?;
        }
        held.map_or(Ok(()), |held| self.add_issued(&held))
    }

    /// Whether a certificate is the one of a role.
    pub fn has(&self, role: Role, certificate: &X509) -> bool {
        self.holding(role).is_some_and(|holding| *holding.certificate == **certificate)
    }

    /// The list of another system that phones hold already.
    fn foreign(&self, role: Role, file: &[u8], sast: &X509, now: u32) -> Result<Issue, Refused> {
        if !self.issued.is_empty() {
            return Err(Refused::AlreadyIssued);
        }
        let list = TrustList::verify(file)?;
        if !role.is_sast() || !list.knows(sast)? {
            return Err(Refused::NotInList(role.name()));
        }
        Ok(Issue { generation: list.header.timestamp.min(now), file: file.to_vec() })
    }

    /// Who signs once a role's key has been replaced; `None`: a new one that nobody knows, but nobody has had a list either.
    fn signer_after(&self, role: Role) -> Result<Option<&X509>, Refused> {
        if !role.is_sast() {
            return Ok(Some(&self.signer()?.certificate));
        }
        let other = role.other_sast();
        let here = self.holding(other).filter(|holding| holding.key.is_some());
        let known = here.filter(|holding| self.known_since(&holding.certificate).is_some());
        match (here, known) {
            (_, Some(known)) => Ok(Some(&known.certificate)),
            _ if self.issued.is_empty() => Ok(None),
            (Some(_), None) => Err(Refused::NotKnownYet(role.name(), other.name())),
            (None, None) => Err(Refused::WouldStrand(role.name(), other.name())),
        }
    }

    fn replace(&mut self, role: Role, identity: &Identity, now: u32) -> Result<(), Refused> {
        store::keep(&self.directory, role, now)?;
        store::save(&self.directory, role, identity)?;
        self.read_again()
    }

    /// Keeps others away while something is changed, and takes what they have changed before.
    fn alone(&mut self) -> Result<File, Refused> {
        let alone = store::lock(&self.directory, true)?;
        self.read_again()?;
        Ok(alone)
    }

    fn read_again(&mut self) -> Result<(), Refused> {
        *self = Self::read(&self.directory)?;
        Ok(())
    }
}

/// Key and certificate of a PKCS#12 file, if phones can do with them in this role.
///
/// # Errors
/// [`Refused`].
pub fn unpack(role: Role, container: &[u8], passphrase: &str) -> Result<Identity, Refused> {
    let parsed = Pkcs12::from_der(container).and_then(|container| container.parse2(passphrase));
    let parsed = parsed.map_err(Refused::Container)?;
    let key = parsed.pkey.ok_or(Refused::Lacks("key"))?;
    let certificate = parsed.cert.ok_or(Refused::Lacks("certificate"))?;
    if !certificate.public_key()?.public_eq(&key) {
        return Err(Refused::Mismatch(role.name()));
    }
    let is_rsa = key.id() == Id::RSA && RSA_BYTES.contains(&key.size());
    if !is_rsa && role != Role::Https {
        return Err(Refused::KeyKind(role.name()));
    }
    Ok(Identity { certificate, key })
}
