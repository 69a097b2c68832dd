//! The appliance's own keys, and what it signs with them.
//!
//! A directory has a certificate `NAME.crt.pem` for each [`Role`] and, but for keys that are in escrow, its private key
//! `NAME.key.pem`. Files are readable by their owner only and replaced as a whole; what a rotation replaces is kept under `replaced/`.
//!
//! **Who signs.** A phone accepts a list that is signed by a security administrator (SAST) of the list it has. There are two, and
//! one is replaced at a time. So it is always the elder of those whose key is here that signs: every phone that has got a list since
//! the elder was made knows it.

mod device;
mod issue;
mod store;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use crate::encrypted::Secrets;
use crate::{
    Digest, Draft, Failure, Function, Identity, Record, SignerVersion, TrustList, distinguished_name,
    encrypted, signed,
};

/// Longest life of the certificates, in days. Phones hold them for as long; rotation needs no end of life.
pub const DAYS: u32 = 3650;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Security administrator.
    SastA,
    /// The other one. Its key is for escrow.
    SastB,
    /// Call manager and configuration server.
    CcmTftp,
    /// Configuration server by HTTPS, with an EC key.
    Https,
    /// Enrolment: issues certificates to phones.
    Capf,
    /// Trust verification service.
    Tvs,
}

impl Role {
    /// All of them, in the order of the records of a list.
    pub const ALL: [Self; 6] = [Self::SastA, Self::SastB, Self::CcmTftp, Self::Https, Self::Capf, Self::Tvs];

    /// Its name in commands and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SastA => "sast-a",
            Self::SastB => "sast-b",
            Self::CcmTftp => "ccm-tftp",
            Self::Https => "https",
            Self::Capf => "capf",
            Self::Tvs => "tvs",
        }
    }

    /// The role of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What its record says.
    pub const fn function(self) -> Function {
        match self {
            Self::SastA | Self::SastB => Function::Sast,
            Self::CcmTftp => Function::CcmTftp,
            Self::Https => Function::Tftp,
            Self::Capf => Function::Capf,
            Self::Tvs => Function::Tvs,
        }
    }

    /// Whether it signs lists.
    pub const fn is_sast(self) -> bool {
        matches!(self, Self::SastA | Self::SastB)
    }

    /// The other security administrator.
    const fn other_sast(self) -> Self {
        if matches!(self, Self::SastA) { Self::SastB } else { Self::SastA }
    }
}

/// What the certificates say, and how phones reach us.
#[derive(Clone, Debug)]
pub struct Naming {
    /// Organisation, in every certificate.
    pub organization: String,
    /// Host name.
    pub dns_name: Option<String>,
    /// Address.
    pub address: Option<Ipv4Addr>,
}

/// A certificate of ours, and its key if that is here.
#[derive(Clone)]
pub struct Holding {
    /// What it is for.
    pub role: Role,
    /// The certificate.
    pub certificate: X509,
    /// The key; `None` in escrow.
    pub key: Option<PKey<Private>>,
}

/// The appliance's keys.
pub struct Authority {
    directory: PathBuf,
    holdings: Vec<Holding>,
}

/// Why a change of the keys was not made.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There are keys already.
    #[error("{0} exists: an authority that phones trust is not to be overwritten; use `rotate`")]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is no key or certificate.
    #[error("{path}: not a PEM {what}: {error}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Key or certificate.
        what: &'static str,
        /// Why.
        error: openssl::error::ErrorStack,
    },
    /// Key and certificate belong to different pairs.
    #[error(
        "the key of {0} is not the one of its certificate: restore the right one from a backup or from escrow"
    )]
    Mismatch(&'static str),
    /// No security administrator's key is here.
    #[error(
        "no SAST key is here to sign with: import the one in escrow (`pinholectl trust import sast-b FILE`)"
    )]
    NoSigner,
    /// The key is in escrow.
    #[error("the key of {0} is not here: import it first (`pinholectl trust import {0} FILE`)")]
    InEscrow(&'static str),
    /// Replacing it would leave nobody whom phones know.
    #[error(
        "{0} cannot be replaced while the key of {1} is not here: phones would know no signer of the new list; import {1} from escrow"
    )]
    WouldStrand(&'static str, &'static str),
    /// It is the only key that can sign.
    #[error("the key of {0} cannot be removed: it is the only one here that can sign")]
    LastSigner(&'static str),
    /// The container cannot be opened.
    #[error("the file cannot be opened: wrong passphrase, or no PKCS#12 file ({0})")]
    Container(openssl::error::ErrorStack),
    /// The container lacks something.
    #[error("the file has no {0}")]
    Lacks(&'static str),
    /// It could not be made or signed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<openssl::error::ErrorStack> for Refused {
    fn from(error: openssl::error::ErrorStack) -> Self {
        Self::Failure(error.into())
    }
}

impl Authority {
    /// Makes all keys in a directory that has none yet. `now`: seconds since 1970.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn create(directory: &Path, naming: &Naming, now: u32) -> Result<Self, Refused> {
        store::make_directory(directory)?;
        for role in Role::ALL {
            let path = store::certificate_path(directory, role);
            if path.exists() {
                return Err(Refused::Exists(path));
            }
        }
        for role in Role::ALL {
            store::save(directory, role, &issue::identity(role, naming, now)?)?;
        }
        Self::open(directory)
    }

    /// Reads the keys of a directory.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn open(directory: &Path) -> Result<Self, Refused> {
        let holdings = Role::ALL.into_iter().map(|role| store::load(directory, role));
        let holdings: Vec<_> = holdings.collect::<Result<_, _>>()?;
        for Holding { role, certificate, key } in &holdings {
            if key.as_ref().is_some_and(|key| !certificate.public_key().is_ok_and(|own| own.public_eq(key))) {
                return Err(Refused::Mismatch(role.name()));
            }
        }
        Ok(Self { directory: directory.to_owned(), holdings })
    }

    /// All certificates and the keys that are here.
    pub fn holdings(&self) -> &[Holding] {
        &self.holdings
    }

    /// Key and certificate of a role.
    ///
    /// # Errors
    /// [`Refused::InEscrow`].
    pub fn identity(&self, role: Role) -> Result<Identity, Refused> {
        let holding = self.holdings.iter().find(|holding| holding.role == role);
        holding.and_then(Holding::identity).ok_or(Refused::InEscrow(role.name()))
    }

    /// The security administrator that signs lists: the elder of those whose key is here.
    ///
    /// # Errors
    /// [`Refused::NoSigner`].
    pub fn signer(&self) -> Result<Identity, Refused> {
        elder(self.holdings.iter().filter(|holding| holding.role.is_sast())).ok_or(Refused::NoSigner)
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
        Ok(TrustList::build(&self.signer()?, &draft)?)
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

    /// Whether a phone that holds a list would accept what is signed after a role's key was replaced.
    ///
    /// # Errors
    /// [`Refused`], as of [`rotate`](Self::rotate).
    pub fn would_accept(&self, role: Role, held: &TrustList) -> Result<bool, Refused> {
        Ok(held.knows(&self.signer_after(role)?.certificate)?)
    }

    /// Replaces a role's key and certificate.
    ///
    /// # Errors
    /// [`Refused`]; [`Refused::WouldStrand`] for a security administrator while the other's key is not here.
    pub fn rotate(&mut self, role: Role, naming: &Naming, now: u32) -> Result<(), Refused> {
        self.signer_after(role)?;
        store::keep(&self.directory, role, now)?;
        store::save(&self.directory, role, &issue::identity(role, naming, now)?)?;
        *self = Self::open(&self.directory)?;
        Ok(())
    }

    /// A role's key and certificate as a PKCS#12 file under a passphrase.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn export(&self, role: Role, passphrase: &str) -> Result<Vec<u8>, Refused> {
        let Identity { certificate, key } = self.identity(role)?;
        let mut builder = Pkcs12::builder();
        builder.name(role.name()).pkey(&key).cert(&certificate);
        Ok(builder.build2(passphrase)?.to_der()?)
    }

    /// Removes a security administrator's key, which is in escrow, from the directory. Its certificate stays.
    ///
    /// # Errors
    /// [`Refused::LastSigner`] if no other key could sign.
    pub fn remove_key(&mut self, role: Role) -> Result<(), Refused> {
        let other = self.identity(role.other_sast());
        if !role.is_sast() || other.is_err() {
            return Err(Refused::LastSigner(role.name()));
        }
        store::remove_key(&self.directory, role)?;
        *self = Self::open(&self.directory)?;
        Ok(())
    }

    /// Takes a key and its certificate from a PKCS#12 file: from escrow, or that of another system. `now` dates
    /// what it replaces.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn import(
        &mut self,
        role: Role,
        container: &[u8],
        passphrase: &str,
        now: u32,
    ) -> Result<(), Refused> {
        let parsed = Pkcs12::from_der(container).and_then(|container| container.parse2(passphrase));
        let parsed = parsed.map_err(Refused::Container)?;
        let key = parsed.pkey.ok_or(Refused::Lacks("key"))?;
        let certificate = parsed.cert.ok_or(Refused::Lacks("certificate"))?;
        if !certificate.public_key()?.public_eq(&key) {
            return Err(Refused::Mismatch(role.name()));
        }
        store::keep(&self.directory, role, now)?;
        store::save(&self.directory, role, &Identity { certificate, key })?;
        *self = Self::open(&self.directory)?;
        Ok(())
    }

    /// Who signs once a role's key has been replaced.
    fn signer_after(&self, role: Role) -> Result<Identity, Refused> {
        if !role.is_sast() {
            return self.signer();
        }
        let other = role.other_sast();
        self.identity(other).map_err(|_| Refused::WouldStrand(role.name(), other.name()))
    }
}

impl Holding {
    /// Key and certificate, if the key is here.
    pub fn identity(&self) -> Option<Identity> {
        Some(Identity { certificate: self.certificate.clone(), key: self.key.clone()? })
    }
}

impl std::fmt::Debug for Authority {
    /// Never prints key material.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names =
            self.holdings.iter().map(|holding| distinguished_name(holding.certificate.subject_name()));
        f.debug_list().entries(names).finish()
    }
}

/// The one with the earliest certificate whose key is here.
fn elder<'a>(holdings: impl Iterator<Item = &'a Holding>) -> Option<Identity> {
    let mut eldest: Option<&Holding> = None;
    for holding in holdings.filter(|holding| holding.key.is_some()) {
        let earlier = |other: &Holding| {
            let (one, other) = (holding.certificate.not_before(), other.certificate.not_before());
            one.compare(other).is_ok_and(|order| order.is_lt())
        };
        if eldest.is_none_or(earlier) {
            eldest = Some(holding);
        }
    }
    eldest.and_then(Holding::identity)
}
