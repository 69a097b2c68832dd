//! The appliance's own keys, and what it signs with them.
//!
//! A directory has a certificate `NAME.crt.pem` for each [`Role`] and, but for keys that are in escrow, its private key
//! `NAME.key.pem`. Files are readable by their owner only and replaced as a whole; what a rotation replaces is kept under
//! `replaced/`. Under `issued/` is every trust list that phones have had, by generation; both are bounded.
//!
//! **Who signs.** A phone accepts a list that is signed by a security administrator (SAST) of the list it has. There are two, and
//! one is replaced at a time. It is the one that phones have known for longest that signs, of those whose key is here: whom
//! the lists under `issued/` name without a break since the earliest generation. If both are known for equally long, or no
//! list was issued yet, it is [`Role::SastA`]. What certificates say about their age does not matter: an older one that was
//! imported is known to no phone.

mod change;
mod device;
mod issue;
mod issued;
mod refused;
mod role;
mod store;

use std::path::{Path, PathBuf};

use openssl::x509::X509;

use crate::encrypted::Secrets;
use crate::{
    Digest, Draft, Failure, Identity, Record, SignerVersion, TrustList, distinguished_name, encrypted, signed,
};
use issued::Issued;

pub use change::{PASSPHRASE_MIN, unpack};
pub use issued::{ISSUED_MAX, Issue};
pub use refused::Refused;
pub use role::{Holding, Naming, Role};
pub use store::REPLACED_MAX;

/// Longest life of the certificates, in days. Phones hold them for as long; rotation needs no end of life.
pub const DAYS: u32 = 3650;

/// The appliance's keys.
pub struct Authority {
    directory: PathBuf,
    holdings: Vec<Holding>,
    /// The oldest first.
    issued: Vec<Issued>,
}

impl Authority {
    /// Reads the keys of a directory.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn open(directory: &Path) -> Result<Self, Refused> {
        let _unchanged = store::lock(directory, false)?;
        Self::read(directory)
    }

    fn read(directory: &Path) -> Result<Self, Refused> {
        let there = |role: &Role| !role.is_optional() || store::certificate_path(directory, *role).exists();
        let holdings = Role::ALL.into_iter().filter(there).map(|role| store::load(directory, role));
        let holdings: Vec<_> = holdings.collect::<Result<_, _>>()?;
        for Holding { role, certificate, key, .. } in &holdings {
            if key.as_ref().is_some_and(|key| !certificate.public_key().is_ok_and(|own| own.public_eq(key))) {
                return Err(Refused::Mismatch(role.name()));
            }
        }
        Ok(Self { directory: directory.to_owned(), holdings, issued: issued::load(directory)? })
    }

    /// All certificates and the keys that are here.
    pub fn holdings(&self) -> &[Holding] {
        &self.holdings
    }

    fn holding(&self, role: Role) -> Option<&Holding> {
        self.holdings.iter().find(|holding| holding.role == role)
    }

    /// Key and certificate of a role.
    ///
    /// # Errors
    /// [`Refused::InEscrow`]; [`Refused::None`] of an optional role.
    pub fn identity(&self, role: Role) -> Result<Identity, Refused> {
        let holding = self.holding(role).ok_or(Refused::None(role.name()))?;
        holding.identity().ok_or(Refused::InEscrow(role.name()))
    }

    /// The security administrator that signs lists: of those whose key is here, the one that phones have known for longest.
    ///
    /// # Errors
    /// [`Refused::NoSigner`].
    pub fn signer(&self) -> Result<&Holding, Refused> {
        let here = self.holdings.iter().filter(|holding| holding.role.is_sast() && holding.key.is_some());
        // Of equals, the first: SAST A.
        let known = |holding: &&Holding| self.known_since(&holding.certificate).unwrap_or(u32::MAX);
        here.min_by_key(known).ok_or(Refused::NoSigner)
    }

    /// Since which generation all lists name a security administrator; `None`: the last one does not, or there is none.
    pub fn known_since(&self, sast: &X509) -> Option<u32> {
        issued::since(&self.issued, sast)
    }

    /// Whether losing this machine would lose every key that can sign lists: no SAST's is in escrow.
    pub fn is_without_escrow(&self) -> bool {
        let mut sasts = self.holdings.iter().filter(|holding| holding.role.is_sast());
        sasts.all(|sast| sast.key.is_some() && !sast.is_exported)
    }

    /// A list that phones have had, by its generation.
    pub fn issued(&self, generation: u32) -> Option<&TrustList> {
        self.issued.iter().find(|issued| issued.issue.generation == generation).map(|issued| &issued.list)
    }

    /// The list that phones had last.
    pub fn last_issued(&self) -> Option<&TrustList> {
        self.issued.last().map(|issued| &issued.list)
    }

    /// The list that phones are to have from now on. It is the one that they had last, unless keys, names or the digest have
    /// changed since. A new one has a greater generation, even if the clock was set back. `now`: seconds since 1970.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn draft(&self, naming: &Naming, digest: Digest, now: u32) -> Result<Issue, Refused> {
        let make = |generation| {
            let file = self.list(CTL, naming, digest, generation)?;
            Ok::<_, Refused>(Issue { generation, file })
        };
        let Some(Issued { issue: last, .. }) = self.issued.last() else { return make(now) };
        let same = make(last.generation)?;
        if same.file == last.file { Ok(same) } else { make(now.max(last.generation.saturating_add(1))) }
    }

    /// Remembers that phones may have a list, before the first one gets it.
    ///
    /// # Errors
    /// [`Refused`]: it must not be given to anybody; [`Refused::Outdated`], since another list was issued meanwhile.
    pub fn note_issued(&mut self, issue: &Issue) -> Result<(), Refused> {
        if self.issued.last().is_some_and(|last| last.issue.generation >= issue.generation) {
            return Ok(());
        }
        let _alone = store::lock(&self.directory, true)?;
        if issued::load(&self.directory)?.len() != self.issued.len() {
            return Err(Refused::Outdated);
        }
        self.add_issued(issue)
    }

    fn add_issued(&mut self, issue: &Issue) -> Result<(), Refused> {
        let list = TrustList::parse(&issue.file).map_err(Failure::from)?;
        issued::save(&self.directory, issue)?;
        let Issue { generation, ref file } = *issue;
        self.issued.push(Issued { issue: Issue { generation, file: file.clone() }, list });
        issued::prune(&self.directory, &mut self.issued);
        Ok(())
    }

    /// The trust list, under one of the names that phones know it by: `CTLFile.tlv` or `ITLFile.tlv`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn list(
        &self,
        file_name: &str,
        naming: &Naming,
        digest: Digest,
        timestamp: u32,
    ) -> Result<Vec<u8>, Refused> {
        let record = |holding: &Holding| {
            let record = Record::of(&holding.certificate, holding.role.function())?;
            let reached = !holding.role.is_sast();
            let name = naming.dns_name.as_deref().filter(|_| reached);
            Ok(record.reached_by(name, naming.address.filter(|_| reached)))
        };
        let records: Vec<_> = self.holdings.iter().map(record).collect::<Result<_, Failure>>()?;
        let draft =
            Draft { file_name, signer_version: SignerVersion::V1_1, digest, timestamp, records: &records };
        let signer = self.signer()?.identity().ok_or(Refused::NoSigner)?;
        Ok(TrustList::build(&signer, &draft)?)
    }

    /// Signs a file, under the name that it is asked for with.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn sign(
        &self,
        name: &str,
        content: &[u8],
        digest: Digest,
        timestamp: u32,
    ) -> Result<Vec<u8>, Refused> {
        Ok(signed::sign(&self.identity(Role::CcmTftp)?, name, content, digest, timestamp)?)
    }

    /// Encrypts a file to a device's certificate and signs it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn encrypt(
        &self,
        name: &str,
        content: &[u8],
        digest: Digest,
        timestamp: u32,
        device: &X509,
    ) -> Result<Vec<u8>, Refused> {
        let (identity, secrets) = (self.identity(Role::CcmTftp)?, Secrets::random()?);
        Ok(encrypted::encrypt(&identity, name, content, digest, timestamp, device, &secrets)?)
    }
}

/// The name under which lists are kept.
const CTL: &str = "CTLFile.tlv";

impl std::fmt::Debug for Authority {
    /// Never prints key material.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names =
            self.holdings.iter().map(|holding| distinguished_name(holding.certificate.subject_name()));
        f.debug_list().entries(names).finish()
    }
}
