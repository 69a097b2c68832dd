//! Encrypted files, `.enc.sgn` (trust-files 2.3): AES-128-CBC under a key that is wrapped to the device's
//! certificate, and signed.

use openssl::hash::hash;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Padding;
use openssl::symm::{Cipher, Crypter, Mode};
use openssl::x509::X509;

use crate::header::{Encryption, Header};
use crate::{Digest, Failure, Identity, Malformed, signed};

/// Block of AES, and longest padding.
const BLOCK: usize = 16;
/// The byte of the padding.
const PADDING: u8 = 0x0d;

/// What must be different for each file, and known to nobody.
pub struct Secrets {
    /// The key of the content.
    pub key: [u8; 16],
    /// The initialisation vector.
    pub iv: [u8; 16],
}

impl Secrets {
    /// Random ones.
    ///
    /// # Errors
    /// [`Failure::Library`]: no random numbers.
    pub fn random() -> Result<Self, Failure> {
        let mut secrets = Self { key: [0; 16], iv: [0; 16] };
        openssl::rand::rand_bytes(&mut secrets.key)?;
        openssl::rand::rand_bytes(&mut secrets.iv)?;
        Ok(secrets)
    }
}

/// Encrypts a file to a device's certificate and signs it, under the name that it is asked for with.
///
/// # Errors
/// [`Failure`]; [`Failure::DeviceKey`] for a device without an RSA key.
pub fn encrypt(
    identity: &Identity,
    name: &str,
    content: &[u8],
    digest: Digest,
    timestamp: u32,
    device: &X509,
    secrets: &Secrets,
) -> Result<Vec<u8>, Failure> {
    let key = device.public_key()?;
    if key.id() != Id::RSA {
        return Err(Failure::DeviceKey);
    }
    let rsa = key.rsa()?;
    let mut wrapped_key = vec![0; key.size()];
    let len = rsa.public_encrypt(&secrets.key, &mut wrapped_key, Padding::PKCS1)?;
    wrapped_key.truncate(len);
    // A full block where nothing is to be filled up.
    let padding = BLOCK - content.len() % BLOCK;
    let padded = [content, &vec![PADDING; padding]].concat();
    let mut header = signed::begin(identity, [2, 0], name, digest, timestamp)?;
    header.encryption = Some(Encryption {
        iv: secrets.iv,
        padding: padding as u16,
        key_bits: key.bits() as u16,
        wrapped_key,
        digest_algorithm: digest,
        digest: hash(digest.message_digest(), content)?.to_vec(),
    });
    let encrypted = cipher(Mode::Encrypt, &secrets.key, &secrets.iv, &padded)?;
    signed::seal(&header, identity, &encrypted)
}

/// The content of an encrypted file that a certificate's key has signed, as the device reads it.
///
/// # Errors
/// [`Failure`].
pub fn decrypt(file: &[u8], signer: &X509, device: &PKey<Private>) -> Result<(Header, Vec<u8>), Failure> {
    let (header, encrypted) = signed::verify(file, signer)?;
    let encryption = header.encryption.as_ref().ok_or(Malformed::Missing("the encryption"))?;
    let mut key = vec![0; device.size()];
    let len = device.rsa()?.private_decrypt(&encryption.wrapped_key, &mut key, Padding::PKCS1)?;
    let key = key.get(..len).and_then(|key| key.first_chunk::<16>()).filter(|_| len == 16);
    let key = key.ok_or(Malformed::Value("the wrapped key"))?;
    let mut content = cipher(Mode::Decrypt, key, &encryption.iv, encrypted)?;
    let padding = usize::from(encryption.padding);
    let len = content.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding));
    content.truncate(len.ok_or(Malformed::Value("the length of the padding"))?);
    let digest = hash(encryption.digest_algorithm.message_digest(), &content)?;
    if *digest != *encryption.digest { Err(Failure::BadDigest) } else { Ok((header, content)) }
}

fn cipher(mode: Mode, key: &[u8; 16], iv: &[u8; 16], data: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut crypter = Crypter::new(Cipher::aes_128_cbc(), mode, key, Some(iv))?;
    // The format has a padding of its own.
    crypter.pad(false);
    let mut out = vec![0; data.len() + BLOCK];
    let mut len = crypter.update(data, &mut out)?;
    len += crypter.finalize(&mut out[len..])?;
    out.truncate(len);
    Ok(out)
}
