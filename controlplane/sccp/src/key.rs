//! The encryption block: 48 bytes that give a phone the key of one direction (sccp 2.6.2).

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{FieldError, Frame};

/// Bytes of the block.
pub(crate) const BLOCK: usize = 48;
/// Bytes of the block without its last two words, the MKI flag and the key derivation rate: messages of old call managers
/// end here (an OpenReceiveChannel of 68 bytes was captured [V]).
pub(crate) const BLOCK_SHORT: usize = 40;
const KEY_LENGTH: usize = 4;
const SALT_LENGTH: usize = 6;
const KEY: usize = 8;
const SALT: usize = 24;
const MKI: usize = 40;
const RATE: usize = 44;
const FIELD: &str = "encryption block";

/// An SRTP transform by its number. Phones know `AesCm128HmacSha1_32` only [V].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// 1: AES_CM_128_HMAC_SHA1_32.
    AesCm128HmacSha1_32,
    /// 2: AES_CM_128_HMAC_SHA1_80.
    AesCm128HmacSha1_80,
    /// 3: F8_128_HMAC_SHA1_32.
    F8_128HmacSha1_32,
    /// 4: F8_128_HMAC_SHA1_80.
    F8_128HmacSha1_80,
    /// 5: AEAD_AES_128_GCM; seen in one enumeration only.
    AeadAes128Gcm,
    /// 6: AEAD_AES_256_GCM; seen in one enumeration only, and its key has no room in the block.
    AeadAes256Gcm,
}

impl Algorithm {
    const ALL: [(u32, Self); 6] = [
        (1, Self::AesCm128HmacSha1_32),
        (2, Self::AesCm128HmacSha1_80),
        (3, Self::F8_128HmacSha1_32),
        (4, Self::F8_128HmacSha1_80),
        (5, Self::AeadAes128Gcm),
        (6, Self::AeadAes256Gcm),
    ];

    /// The algorithm of a number on the wire; 0 (none) is no algorithm.
    pub fn from_wire(number: u32) -> Option<Self> {
        Self::ALL.iter().find(|(wire, _)| *wire == number).map(|(_, algorithm)| *algorithm)
    }

    /// The number on the wire.
    pub fn to_wire(self) -> u32 {
        Self::ALL.iter().find(|(_, algorithm)| *algorithm == self).map_or(0, |(wire, _)| *wire)
    }
}

/// A master key, 16 bytes. Wiped when dropped; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; Self::LEN]);

/// A master salt, 14 bytes. Wiped when dropped; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MasterSalt([u8; Self::LEN]);

impl MasterKey {
    /// Bytes of a key.
    pub const LEN: usize = 16;

    /// A key of these bytes.
    pub fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The key itself.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl MasterSalt {
    /// Bytes of a salt.
    pub const LEN: usize = 14;

    /// A salt of these bytes.
    pub fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The salt itself.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(key)")
    }
}

impl fmt::Debug for MasterSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(salt)")
    }
}

/// What a block orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// The transform.
    pub algorithm: Algorithm,
    /// The master key.
    pub key: MasterKey,
    /// The master salt.
    pub salt: MasterSalt,
    /// Whether packets carry an MKI. Which one, the block does not say.
    pub mki: bool,
    /// The key derivation rate as it stands on the wire; 0 derives once.
    pub derivation_rate: u32,
}

impl Encryption {
    /// AES_CM_128_HMAC_SHA1_32 without MKI, keys derived once: what phones understand.
    pub fn new(key: MasterKey, salt: MasterSalt) -> Self {
        Self { algorithm: Algorithm::AesCm128HmacSha1_32, key, salt, mki: false, derivation_rate: 0 }
    }
}

/// What stands in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyBlock {
    /// Algorithm 0: no encryption. What call managers send to devices that are not secure.
    Clear,
    /// An algorithm from 1 to 6 with a key of 16 and a salt of 14 bytes.
    Keyed(Encryption),
    /// Anything else. Where nothing is encrypted, some servers send what their memory held (sccp 2.6.2), so there this is to be
    /// taken for [`KeyBlock::Clear`], and counted. It may also be a layout that nobody has shown yet: where keys are given, it
    /// is to be refused.
    Unreadable {
        /// The algorithm's word.
        algorithm: u32,
        /// The length of the key.
        key_length: u16,
        /// The length of the salt.
        salt_length: u16,
    },
}

/// Reads the block at `at`.
pub(crate) fn read(frame: &Frame, at: usize) -> Result<KeyBlock, FieldError> {
    frame.span(FIELD, at, BLOCK_SHORT)?;
    let number = frame.word(FIELD, at)?;
    let key_length = frame.array(FIELD, at + KEY_LENGTH).map(u16::from_le_bytes)?;
    let salt_length = frame.array(FIELD, at + SALT_LENGTH).map(u16::from_le_bytes)?;
    if number == 0 {
        return Ok(KeyBlock::Clear);
    }
    let lengths_fit =
        (usize::from(key_length), usize::from(salt_length)) == (MasterKey::LEN, MasterSalt::LEN);
    let Some(algorithm) = Algorithm::from_wire(number).filter(|_| lengths_fit) else {
        return Ok(KeyBlock::Unreadable { algorithm: number, key_length, salt_length });
    };
    Ok(KeyBlock::Keyed(Encryption {
        algorithm,
        key: MasterKey(frame.array(FIELD, at + KEY)?),
        salt: MasterSalt(frame.array(FIELD, at + SALT)?),
        mki: frame.word(FIELD, at + MKI).unwrap_or_default() != 0,
        derivation_rate: frame.word(FIELD, at + RATE).unwrap_or_default(),
    }))
}

/// Overwrites what there is of the block at `at`, at least [`BLOCK_SHORT`] bytes.
pub(crate) fn write(frame: &mut Frame, at: usize, encryption: &Encryption) -> Result<(), FieldError> {
    let mut block = Zeroizing::new(Vec::with_capacity(BLOCK));
    block.extend_from_slice(&encryption.algorithm.to_wire().to_le_bytes());
    block.extend_from_slice(&(MasterKey::LEN as u16).to_le_bytes());
    block.extend_from_slice(&(MasterSalt::LEN as u16).to_le_bytes());
    block.extend_from_slice(encryption.key.expose());
    block.extend_from_slice(encryption.salt.expose());
    block.extend_from_slice(&[0; 2]);
    block.extend_from_slice(&u32::from(encryption.mki).to_le_bytes());
    block.extend_from_slice(&encryption.derivation_rate.to_le_bytes());
    frame.span(FIELD, at, BLOCK_SHORT)?;
    frame.put(FIELD, at, block.get(..present(frame, at)).unwrap_or_default())
}

/// Zeros over what there is of the block at `at`, be it nothing.
pub(crate) fn clear(frame: &mut Frame, at: usize) -> Result<(), FieldError> {
    let length = present(frame, at);
    frame.put(FIELD, at.min(frame.body().len()), [0; BLOCK].get(..length).unwrap_or_default())
}

/// Makes the frame long enough for the block at `at`. One that ends after the salt stays as it is.
pub(crate) fn make_room(frame: &mut Frame, at: usize) -> Result<(), FieldError> {
    match frame.span(FIELD, at, BLOCK_SHORT) {
        Ok(_) => Ok(()),
        Err(_) => frame.grow(FIELD, at + BLOCK),
    }
}

/// Bytes of the block at `at` that the frame has.
fn present(frame: &Frame, at: usize) -> usize {
    frame.body().len().saturating_sub(at).min(BLOCK)
}
