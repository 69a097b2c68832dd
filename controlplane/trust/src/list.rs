//! Trust lists, `.tlv`: CTL and ITL (trust-files 2.1).

use openssl::x509::X509;

use crate::header::{Header, SignerVersion};
use crate::record::{Function, Record};
use crate::{Digest, Failure, Identity, Malformed, signed};

/// Largest list that is read. Those of the field have a few kilobytes.
pub const MAX_LIST: usize = 256 * 1024;
/// Most records of a list.
pub const MAX_RECORDS: usize = 256;

/// A trust list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustList {
    /// Its header.
    pub header: Header,
    /// Whom to trust with what.
    pub records: Vec<Record>,
}

/// What a list is made of.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// `CTLFile.tlv` or `ITLFile.tlv`, also when it is served under a phone's own name.
    pub file_name: &'a str,
    /// What phones must understand.
    pub signer_version: SignerVersion,
    /// What is signed.
    pub digest: Digest,
    /// Seconds since 1970.
    pub timestamp: u32,
    /// Whom to trust with what, the signer among them.
    pub records: &'a [Record],
}

impl TrustList {
    /// Reads a list, without asking whether it is to be trusted.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(file: &[u8]) -> Result<Self, Malformed> {
        if file.len() > MAX_LIST {
            return Err(Malformed::TooLarge("the list", MAX_LIST));
        }
        let placed = Header::parse(file)?;
        let mut rest = file.get(placed.len..).unwrap_or_default();
        let mut records = Vec::new();
        while !rest.is_empty() {
            if records.len() == MAX_RECORDS {
                return Err(Malformed::TooLarge("the number of records", MAX_RECORDS));
            }
            records.push(Record::take(&mut rest)?);
        }
        Ok(Self { header: placed.header, records })
    }

    /// Reads a list that is signed by one of its own security administrators: what a phone accepts that has no
    /// list yet.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn verify(file: &[u8]) -> Result<Self, Failure> {
        let list = Self::parse(file)?;
        list.check(file, &list)?;
        Ok(list)
    }

    /// Reads a list that is signed by a security administrator of `held`: what a phone accepts that has that list.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn verify_against(file: &[u8], held: &Self) -> Result<Self, Failure> {
        let list = Self::parse(file)?;
        list.check(file, held)?;
        Ok(list)
    }

    /// Makes a list. The signer must be among the records that may sign, of which phones take two at most.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn build(identity: &Identity, draft: &Draft<'_>) -> Result<Vec<u8>, Failure> {
        let sasts = draft.records.iter().filter(|record| record.function == Function::Sast).count();
        if !(1..=2).contains(&sasts) {
            return Err(Failure::Sasts(sasts));
        }
        let Draft { file_name, digest, timestamp, .. } = *draft;
        let mut header = signed::begin(identity, [1, 2], file_name, digest, timestamp)?;
        header.signer_version = Some(draft.signer_version);
        let mut records = Vec::new();
        for record in draft.records {
            record.put(&mut records).ok_or(Malformed::TooLarge("a record", u16::MAX.into()))?;
        }
        signed::seal(&header, identity, &records)
    }

    /// The certificates of those who may sign lists.
    pub fn sasts(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.function == Function::Sast)
    }

    /// The record of a list's signer among those who may sign.
    pub fn sast(&self, header: &Header) -> Option<&Record> {
        self.sasts().find(|record| record.serial == header.serial && record.issuer == header.issuer)
    }

    fn check(&self, file: &[u8], held: &Self) -> Result<(), Failure> {
        let unknown = || Failure::UnknownSigner {
            signer: self.header.signer.clone(),
            serial: hexadecimal(&self.header.serial),
        };
        let signer = held.sast(&self.header).ok_or_else(unknown)?;
        let certificate =
            signer.certificate.as_deref().ok_or_else(|| Failure::NoCertificate(signer.subject.clone()))?;
        let certificate = X509::from_der(certificate)?;
        let key = certificate.public_key()?;
        signed::check(file, &Header::parse(file)?, &key)
    }
}

/// Bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
