//! Key derivation (RFC 3711 section 4.3, RFC 6188 section 3, RFC 7714 section 11), with key
//! derivation rate 0: one derivation per master key.

use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipherCore, consts::U16};
use aes::{Aes128Enc, Aes256Enc};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use pinhole_flow::{MasterKey, Suite};
use pinhole_srtp_kernels::{Kind, SessionKeys};

/// Labels of RFC 3711 section 4.3.1 and 4.3.2.
struct Labels {
    encryption: u8,
    authentication: u8,
    salt: u8,
}

/// The session keys of one kind. The PRF is AES in counter mode with the suite's key length; a
/// GCM suite's 12-byte salt is padded with zeros.
pub(crate) fn session_keys(suite: Suite, master: &MasterKey, kind: Kind) -> SessionKeys {
    let labels = match kind {
        Kind::Rtp => Labels { encryption: 0, authentication: 1, salt: 2 },
        Kind::Rtcp => Labels { encryption: 3, authentication: 4, salt: 5 },
    };
    let mut salt = [0; 14];
    for (to, from) in salt.iter_mut().zip(master.salt()) {
        *to = *from;
    }
    let [k128 @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = &master.key;
    let mut keys = SessionKeys::default();
    if suite.key_len() == 16 {
        let prf = Aes128Enc::new(k128.into());
        let (encryption, _) = keys.encryption.split_at_mut(16);
        generate(&prf, &salt, labels.encryption, encryption);
        generate(&prf, &salt, labels.authentication, &mut keys.authentication);
        generate(&prf, &salt, labels.salt, &mut keys.salt);
    } else {
        let prf = Aes256Enc::new((&master.key).into());
        generate(&prf, &salt, labels.encryption, &mut keys.encryption);
        generate(&prf, &salt, labels.authentication, &mut keys.authentication);
        generate(&prf, &salt, labels.salt, &mut keys.salt);
    }
    keys
}

/// The start of the keystream from `(label * 2^48 XOR salt) * 2^16`.
fn generate<C>(prf: &C, salt: &[u8; 14], label: u8, out: &mut [u8])
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let mut padded = [0; 16];
    for (to, from) in padded.iter_mut().zip(salt) {
        *to = *from;
    }
    let iv = (u128::from_be_bytes(padded) ^ u128::from(label) << 64).to_be_bytes();
    CtrCore::<&C, Ctr128BE>::inner_iv_init(prf, &iv.into()).apply_keystream_partial(out.into());
}
