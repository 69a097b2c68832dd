//! The header that lists and signed files share (trust-files 2.1.2).

use std::ops::Range;

use crate::tlv::{self, Field, HEAD, Once, fixed, number, put, put_string, string};
use crate::{Digest, Malformed};

/// Longest header that is read or written. Those of the field have a few hundred bytes.
pub const MAX_HEADER: usize = 4096;
/// Fields that contain fields stand in one another this deep.
const MAX_DEPTH: usize = 2;
/// The byte that fills a header up, a tag without length.
const PADDING: u8 = 13;

/// What phones need to understand a trust list (trust-files 2.1.2, tag 28).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignerVersion {
    /// 1.0: RSA keys alone.
    V1_0,
    /// 1.1: also EC keys, and HTTPS provisioning on phones that know it.
    V1_1,
}

/// How the content is encrypted (trust-files 2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// Initialisation vector of AES-128-CBC.
    pub iv: [u8; 16],
    /// Bytes of padding behind the clear text: 1 to 16.
    pub padding: u16,
    /// Bits of the RSA key that the content's key is wrapped to.
    pub key_bits: u16,
    /// The wrapped key.
    pub wrapped_key: Vec<u8>,
    /// Digest algorithm of `digest`.
    pub digest_algorithm: Digest,
    /// Digest of the clear text.
    pub digest: Vec<u8>,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Major and minor: 1.2 of a list, 1.0 of a signed file, 2.0 of an encrypted one.
    pub version: [u8; 2],
    /// Of a list alone.
    pub signer_version: Option<SignerVersion>,
    /// Distinguished name of the signer.
    pub signer: String,
    /// Serial number of the signer's certificate, without a sign byte.
    pub serial: Vec<u8>,
    /// Distinguished name of the issuer of that certificate.
    pub issuer: String,
    /// What is signed.
    pub digest: Digest,
    /// RSA, PKCS#1 v1.5.
    pub signature: Vec<u8>,
    /// The file's name.
    pub file_name: String,
    /// Seconds since 1970.
    pub timestamp: u32,
    /// Of an encrypted file alone.
    pub encryption: Option<Encryption>,
}

/// A header that was read, and where things stand in the file.
pub struct Placed {
    /// The header.
    pub header: Header,
    /// The signature's field, tag and length included: what is not signed.
    pub signature: Range<usize>,
    /// Length of the header: where the content begins.
    pub len: usize,
}

impl Header {
    /// Reads the header of a file. The order of the fields is free, as in the files of different makers, but
    /// for the first two; padding ends it.
    pub fn parse(file: &[u8]) -> Result<Placed, Malformed> {
        let mut rest = file;
        let first = tlv::take(&mut rest, "the version")?;
        let second = tlv::take(&mut rest, "the header's length")?;
        if (first.tag, second.tag) != (1, 2) {
            return Err(Malformed::Missing("the version or the header's length"));
        }
        let len = usize::from(number(second.value, "the header's length")?);
        if len > MAX_HEADER {
            return Err(Malformed::TooLarge("the header", MAX_HEADER));
        }
        let at = file.len() - rest.len();
        let header = file.get(..len).ok_or(Malformed::Truncated("the header"))?;
        let mut rest = header.get(at..).ok_or(Malformed::Value("the header's length"))?;
        let mut fields = Fields::default();
        while let Some(tag) = rest.first() {
            if *tag == PADDING {
                break;
            }
            let at = len - rest.len();
            let field = tlv::take(&mut rest, "a header field")?;
            fields.note(field, at..len - rest.len(), 0)?;
        }
        if rest.iter().any(|byte| *byte != PADDING) || rest.len() > 3 {
            return Err(Malformed::Trailing(rest.len(), "the header's fields"));
        }
        let (header, signature) = fields.finish(fixed(first.value, "the version")?)?;
        Ok(Placed { header, signature, len })
    }

    /// Writes the header with a signature of `len` zeros, and says where that stands; `None` if something in it is too long.
    pub fn lay_out(&self, len: usize) -> Option<(Vec<u8>, Range<usize>)> {
        let mut to = Vec::new();
        put(&mut to, 1, &self.version)?;
        put(&mut to, 2, &[0, 0])?;
        match self.signer_version {
            Some(SignerVersion::V1_0) => put(&mut to, 28, &[1, 0])?,
            Some(SignerVersion::V1_1) => put(&mut to, 28, &[1, 1])?,
            None => {}
        }
        let mut signer = Vec::new();
        put_string(&mut signer, 4, &self.signer)?;
        put_string(&mut signer, 6, &self.issuer)?;
        put(&mut signer, 5, &self.serial)?;
        put(&mut to, 3, &signer)?;
        let mut algorithm = Vec::new();
        put(&mut algorithm, 10, &[0])?;
        put(&mut algorithm, 11, &[modulus_code(len)?])?;
        let mut how = Vec::new();
        put(&mut how, 8, &[self.digest.code()])?;
        put(&mut how, 9, &algorithm)?;
        put(&mut to, 7, &how)?;
        let at = to.len();
        put(&mut to, 12, &vec![0; len])?;
        let signature = at..to.len();
        put_string(&mut to, 14, &self.file_name)?;
        put(&mut to, 15, &self.timestamp.to_be_bytes())?;
        if let Some(encryption) = &self.encryption {
            encryption.put(&mut to)?;
        }
        while !to.len().is_multiple_of(4) {
            to.push(PADDING);
        }
        if to.len() > MAX_HEADER {
            return None;
        }
        let len = u16::try_from(to.len()).ok()?.to_be_bytes();
        // Behind the version's five bytes and its own head.
        to.get_mut(5 + HEAD..)?.first_chunk_mut().map(|field| *field = len)?;
        Some((to, signature))
    }
}

/// The code of a signature's length (tag 11): 64, 128, 256, 512 bytes; `None` of another, which phones do not check.
pub fn modulus_code(len: usize) -> Option<u8> {
    [64, 128, 256, 512].iter().zip(0..).find(|(known, _)| **known == len).map(|(_, code)| code)
}

impl Encryption {
    fn put(&self, to: &mut Vec<u8>) -> Option<()> {
        let mut vector = Vec::new();
        put(&mut vector, 18, &[0])?;
        put(&mut vector, 19, &self.iv)?;
        put(&mut vector, 20, &self.padding.to_be_bytes())?;
        let mut key = Vec::new();
        put(&mut key, 22, &[0])?;
        put(&mut key, 23, &self.key_bits.to_be_bytes())?;
        put(&mut key, 24, &[1])?;
        put(&mut key, 25, &self.wrapped_key)?;
        let mut both = Vec::new();
        put(&mut both, 17, &vector)?;
        put(&mut both, 21, &key)?;
        put(to, 16, &both)?;
        put(to, 26, &[self.digest_algorithm.code()])?;
        put(to, 27, &self.digest)
    }
}

/// The fields of a header as they come.
struct Fields {
    signer_version: Once<SignerVersion>,
    signer: Once<String>,
    serial: Once<Vec<u8>>,
    issuer: Once<String>,
    digest: Once<Digest>,
    modulus: Once<u8>,
    signature: Once<(Vec<u8>, Range<usize>)>,
    file_name: Once<String>,
    timestamp: Once<u32>,
    iv: Once<[u8; 16]>,
    padding: Once<u16>,
    key_bits: Once<u16>,
    wrapped_key: Once<Vec<u8>>,
    content_digest_algorithm: Once<Digest>,
    content_digest: Once<Vec<u8>>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            signer_version: Once::new("the signer version"),
            signer: Once::new("the signer's name"),
            serial: Once::new("the signer's serial number"),
            issuer: Once::new("the signer's issuer"),
            digest: Once::new("the digest algorithm"),
            modulus: Once::new("the length of the modulus"),
            signature: Once::new("the signature"),
            file_name: Once::new("the file name"),
            timestamp: Once::new("the timestamp"),
            iv: Once::new("the initialisation vector"),
            padding: Once::new("the length of the padding"),
            key_bits: Once::new("the size of the wrapping key"),
            wrapped_key: Once::new("the wrapped key"),
            content_digest_algorithm: Once::new("the digest algorithm of the content"),
            content_digest: Once::new("the digest of the content"),
        }
    }
}

impl Fields {
    /// Notes a field; containers are read through. A field that is not known is covered by the signature
    /// like the others, and makes no difference.
    fn note(&mut self, field: Field<'_>, place: Range<usize>, depth: usize) -> Result<(), Malformed> {
        let Field { tag, value } = field;
        let algorithm = |value: &[u8]| {
            let [code] = fixed(value, "the digest algorithm")?;
            Digest::from_code(code).ok_or(Malformed::Value("the digest algorithm"))
        };
        match tag {
            3 | 7 | 9 | 16 | 17 | 21 => self.note_all(value, depth + 1),
            4 => self.signer.set(string(value, "the signer's name")?),
            5 if value.is_empty() || value.len() > 64 => Err(Malformed::Value("the signer's serial number")),
            5 => self.serial.set(value.to_vec()),
            6 => self.issuer.set(string(value, "the signer's issuer")?),
            8 => self.digest.set(algorithm(value)?),
            10 if value != [0] => Err(Malformed::Value("the signature algorithm")),
            11 => fixed(value, "the length of the modulus").and_then(|[code]| self.modulus.set(code)),
            12 if depth > 0 => Err(Malformed::Value("the signature")),
            12 => self.signature.set((value.to_vec(), place)),
            14 => self.file_name.set(string(value, "the file name")?),
            15 => self.timestamp.set(u32::from_be_bytes(fixed(value, "the timestamp")?)),
            19 => self.iv.set(fixed(value, "the initialisation vector")?),
            20 => self.padding.set(number(value, "the length of the padding")?),
            23 => self.key_bits.set(number(value, "the size of the wrapping key")?),
            25 => self.wrapped_key.set(value.to_vec()),
            26 => self.content_digest_algorithm.set(algorithm(value)?),
            27 => self.content_digest.set(value.to_vec()),
            28 => self.signer_version.set(match value {
                [1, 0] => SignerVersion::V1_0,
                [1, 1] => SignerVersion::V1_1,
                _ => return Err(Malformed::Value("the signer version")),
            }),
            _ => Ok(()),
        }
    }

    fn note_all(&mut self, mut value: &[u8], depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed::TooLarge("the nesting of fields", MAX_DEPTH));
        }
        while !value.is_empty() {
            let field = tlv::take(&mut value, "a field within another")?;
            self.note(field, 0..0, depth)?;
        }
        Ok(())
    }

    fn finish(self, version: [u8; 2]) -> Result<(Header, Range<usize>), Malformed> {
        let (signature, place) = self.signature.need()?;
        let modulus = self.modulus.need()?;
        if modulus_code(signature.len()) != Some(modulus) {
            return Err(Malformed::Value("the length of the modulus"));
        }
        let encryption = match self.wrapped_key.get() {
            None => None,
            Some(wrapped_key) => Some(Encryption {
                iv: self.iv.need()?,
                padding: self.padding.need()?,
                key_bits: self.key_bits.need()?,
                wrapped_key,
                digest_algorithm: self.content_digest_algorithm.need()?,
                digest: self.content_digest.need()?,
            }),
        };
        let header = Header {
            version,
            signer_version: self.signer_version.get(),
            signer: self.signer.need()?,
            serial: self.serial.need()?,
            issuer: self.issuer.need()?,
            digest: self.digest.need()?,
            signature,
            file_name: self.file_name.need()?,
            timestamp: self.timestamp.need()?,
            encryption,
        };
        Ok((header, place))
    }
}
