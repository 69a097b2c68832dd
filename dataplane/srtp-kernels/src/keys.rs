//! Session keys and what an engine precomputes from them.

use std::fmt;

use aes::{Aes128Enc, Aes256Enc};
use aes_gcm::AesGcm;
use aes_gcm::aead::consts::U12;
use hmac::{Hmac, KeyInit};
use pinhole_flow::Suite;
use pinhole_flow::leg::MKI_MAX;
use sha1::Sha1;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Kind;
use crate::trailer;

/// The session keys of one direction for one [`Kind`], derived from a master key (RFC 3711
/// section 4.3). Wiped on drop.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SessionKeys {
    /// Encryption key; 128-bit suites use the first 16 bytes.
    pub encryption: [u8; 32],
    /// Salt; GCM suites use the first 12 bytes.
    pub salt: [u8; 14],
    /// HMAC-SHA1 key; unused by GCM suites.
    pub authentication: [u8; 20],
}

impl fmt::Debug for SessionKeys {
    /// Never prints key material.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys(..)")
    }
}

/// The MKI has more than [`MKI_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MkiTooLong;

/// Session keys of one direction, RTP and RTCP, with round keys and HMAC states. Wiped on drop.
pub struct Keys {
    suite: Suite,
    mki_len: u8,
    mki: [u8; MKI_MAX],
    rtp: Transform,
    rtcp: Transform,
}

/// A suite's cipher and MAC, ready for a packet.
pub(crate) enum Transform {
    Cm128 { cipher: Aes128Enc, mac: Hmac<Sha1>, salt: [u8; 14] },
    Cm256 { cipher: Aes256Enc, mac: Hmac<Sha1>, salt: [u8; 14] },
    Gcm128 { aead: AesGcm<Aes128Enc, U12>, salt: [u8; 12] },
    Gcm256 { aead: AesGcm<Aes256Enc, U12>, salt: [u8; 12] },
}

impl Keys {
    /// Expands session keys. Fails if the MKI is longer than 128 bytes.
    pub fn new(suite: Suite, rtp: &SessionKeys, rtcp: &SessionKeys, mki: &[u8]) -> Result<Self, MkiTooLong> {
        let mut held = [0; MKI_MAX];
        held.get_mut(..mki.len()).ok_or(MkiTooLong)?.copy_from_slice(mki);
        let mki_len = u8::try_from(mki.len()).map_err(|_| MkiTooLong)?;
        Ok(Self {
            suite,
            mki_len,
            mki: held,
            rtp: Transform::new(suite, rtp),
            rtcp: Transform::new(suite, rtcp),
        })
    }

    /// The suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The master key identifier that packets carry; empty: none.
    pub fn mki(&self) -> &[u8] {
        self.mki.get(..usize::from(self.mki_len)).unwrap_or_default()
    }

    /// Length of the authentication tag in bytes.
    pub fn tag_len(&self, kind: Kind) -> usize {
        match kind {
            Kind::Rtp => self.suite.rtp_tag_len(),
            Kind::Rtcp => self.suite.rtcp_tag_len(),
        }
    }

    /// By how many bytes protection lengthens a packet: tag, MKI and, for SRTCP, the index word.
    pub fn overhead(&self, kind: Kind) -> usize {
        let word = if kind == Kind::Rtcp { trailer::WORD } else { 0 };
        self.tag_len(kind) + usize::from(self.mki_len) + word
    }

    /// The word with [`E_BIT`](crate::E_BIT) and index that a protected SRTCP packet carries, not
    /// yet authenticated. `None` if the packet is shorter than an RTCP header and the trailer.
    pub fn srtcp_word(&self, packet: &[u8]) -> Option<u32> {
        let parts = trailer::split(self, Kind::Rtcp, packet.len(), 8)?;
        packet.get(parts.word..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
    }

    pub(crate) fn transform(&self, kind: Kind) -> &Transform {
        match kind {
            Kind::Rtp => &self.rtp,
            Kind::Rtcp => &self.rtcp,
        }
    }
}

impl Transform {
    fn new(suite: Suite, keys: &SessionKeys) -> Self {
        let [k128 @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = &keys.encryption;
        let k256 = &keys.encryption;
        let [salt12 @ .., _, _] = keys.salt;
        let salt = keys.salt;
        match suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                Self::Cm128 { cipher: Aes128Enc::new(k128.into()), mac: hmac(keys), salt }
            }
            Suite::AesCm256HmacSha1_80 | Suite::AesCm256HmacSha1_32 => {
                Self::Cm256 { cipher: Aes256Enc::new(k256.into()), mac: hmac(keys), salt }
            }
            Suite::AeadAes128Gcm => Self::Gcm128 { aead: AesGcm::new(k128.into()), salt: salt12 },
            Suite::AeadAes256Gcm => Self::Gcm256 { aead: AesGcm::new(k256.into()), salt: salt12 },
        }
    }
}

/// HMAC pads a short key with zeros to its block (RFC 2104), so a padded key is the same key.
fn hmac(keys: &SessionKeys) -> Hmac<Sha1> {
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(keys.authentication) {
        *to = from;
    }
    Hmac::new((&*block).into())
}

impl Drop for Keys {
    /// The ciphers and MACs wipe themselves (their crates' `zeroize` features).
    fn drop(&mut self) {
        for transform in [&mut self.rtp, &mut self.rtcp] {
            match transform {
                Transform::Cm128 { salt, .. } | Transform::Cm256 { salt, .. } => salt.zeroize(),
                Transform::Gcm128 { salt, .. } | Transform::Gcm256 { salt, .. } => salt.zeroize(),
            }
        }
        self.mki.zeroize();
    }
}

impl ZeroizeOnDrop for Keys {}

impl fmt::Debug for Keys {
    /// Never prints key material.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.suite.name())
    }
}
