//! Trust lists, `.tlv`: CTL and ITL (trust-files 2.1).

use openssl::x509::X509;

use crate::certificate::{distinguished_name, serial};
use crate::header::{Header, Placed, SignerVersion};
use crate::record::{Function, Record, public_key};
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
        let (placed, records) = Self::read(file)?;
        Ok(Self { header: placed.header, records })
    }

    fn read(file: &[u8]) -> Result<(Placed, Vec<Record>), Malformed> {
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
        Ok((placed, records))
    }

    /// Reads a list that is signed by one of its own security administrators: what a phone accepts that has no
    /// list yet.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn verify(file: &[u8]) -> Result<Self, Failure> {
        let (placed, records) = Self::read(file)?;
        check(file, &placed, &records, is_sast)?;
        Ok(Self { header: placed.header, records })
    }

    /// Reads a list that is signed by a security administrator of `held`: what a phone accepts that has that list.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn verify_against(file: &[u8], held: &Self) -> Result<Self, Failure> {
        let (placed, records) = Self::read(file)?;
        check(file, &placed, &held.records, is_sast)?;
        Ok(Self { header: placed.header, records })
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

    /// The content of a signed file, if its signer is one of those whom this list trusts with configurations.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn verify_signed<'a>(&self, file: &'a [u8]) -> Result<(Header, &'a [u8]), Failure> {
        let placed = Header::parse(file)?;
        check(file, &placed, &self.records, |function| {
            matches!(function, Function::CcmTftp | Function::Tftp)
        })?;
        Ok((placed.header, file.get(placed.len..).unwrap_or_default()))
    }

    /// Whether a certificate's key may sign lists, for who holds this one.
    ///
    /// # Errors
    /// [`Failure::Library`].
    pub fn knows(&self, sast: &X509) -> Result<bool, Failure> {
        let (serial, issuer) = (serial(sast)?, distinguished_name(sast.issuer_name()));
        let key = public_key(&sast.public_key()?)?;
        let record = find(&self.records, &serial, &issuer, is_sast);
        Ok(record.is_some_and(|record| record.public_key == key))
    }

    /// The security administrators: serial number, issuer and key of each.
    pub(crate) fn sasts(&self) -> Vec<(&[u8], &str, &[u8])> {
        let sasts = self.records.iter().filter(|record| is_sast(record.function));
        sasts.map(|of| (of.serial.as_slice(), of.issuer.as_str(), of.public_key.as_slice())).collect()
    }
}

fn is_sast(function: Function) -> bool {
    function == Function::Sast
}

/// The record of a signer among those that may sign.
fn find<'a>(
    records: &'a [Record],
    serial: &[u8],
    issuer: &str,
    may_sign: impl Fn(Function) -> bool,
) -> Option<&'a Record> {
    let mut signers = records.iter().filter(|record| may_sign(record.function));
    signers.find(|record| record.serial == serial && record.issuer == issuer)
}

/// Checks that a file is signed by one of those who may sign, of these records.
fn check(
    file: &[u8],
    placed: &Placed,
    held: &[Record],
    may_sign: impl Fn(Function) -> bool,
) -> Result<(), Failure> {
    let Header { signer, serial, issuer, .. } = &placed.header;
    let unknown = || Failure::UnknownSigner { signer: signer.clone(), serial: hexadecimal(serial) };
    let record = find(held, serial, issuer, may_sign).ok_or_else(unknown)?;
    let certificate = record.certificate.as_deref();
    let certificate = certificate.ok_or_else(|| Failure::NoCertificate(record.subject.clone()))?;
    let key = X509::from_der(certificate)?.public_key()?;
    signed::check(file, placed, &key)
}

/// Bytes as hexadecimal digits.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
