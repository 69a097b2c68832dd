//! Session keys as RustCrypto's ciphers and MACs take them.

use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use aes_gcm::AesGcm;
use aes_gcm::aead::consts::U12;
use hmac::{Hmac, KeyInit};
use pinhole_flow::Suite;
use sha1::Sha1;
use zeroize::{Zeroize, Zeroizing};

use crate::SessionKeys;

/// A suite's cipher and MAC, ready for a packet.
pub(crate) enum Transform {
    Cm128 { cipher: Aes128Enc, mac: Hmac<Sha1>, salt: [u8; 14] },
    Cm192 { cipher: Aes192Enc, mac: Hmac<Sha1>, salt: [u8; 14] },
    Cm256 { cipher: Aes256Enc, mac: Hmac<Sha1>, salt: [u8; 14] },
    Gcm128 { aead: AesGcm<Aes128Enc, U12>, salt: [u8; 12] },
    Gcm256 { aead: AesGcm<Aes256Enc, U12>, salt: [u8; 12] },
}

impl Transform {
    pub(super) fn new(suite: Suite, keys: &SessionKeys) -> Self {
        let [k128 @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = &keys.encryption;
        let [k192 @ .., _, _, _, _, _, _, _, _] = &keys.encryption;
        let k256 = &keys.encryption;
        let [salt12 @ .., _, _] = keys.salt;
        let salt = keys.salt;
        match suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                Self::Cm128 { cipher: Aes128Enc::new(k128.into()), mac: hmac(keys), salt }
            }
            Suite::AesCm192HmacSha1_80 | Suite::AesCm192HmacSha1_32 => {
                Self::Cm192 { cipher: Aes192Enc::new(k192.into()), mac: hmac(keys), salt }
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

impl Drop for Transform {
    /// The ciphers and MACs wipe themselves (their crates' `zeroize` features).
    fn drop(&mut self) {
        match self {
            Self::Cm128 { salt, .. } | Self::Cm192 { salt, .. } | Self::Cm256 { salt, .. } => salt.zeroize(),
            Self::Gcm128 { salt, .. } | Self::Gcm256 { salt, .. } => salt.zeroize(),
        }
    }
}
