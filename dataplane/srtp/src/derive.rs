//! Key derivation (RFC 3711 section 4.3, RFC 6188 section 3, RFC 7714 section 11), with key
//! derivation rate 0: one derivation per master key.

use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipherCore, consts::U16};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
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
pub fn session_keys(suite: Suite, master: &MasterKey, kind: Kind) -> SessionKeys {
    let labels = match kind {
        Kind::Rtp => Labels { encryption: 0, authentication: 1, salt: 2 },
        Kind::Rtcp => Labels { encryption: 3, authentication: 4, salt: 5 },
    };
    let prf = Prf::new(suite, master);
    let mut keys = SessionKeys::default();
    let (encryption, _) = keys.encryption.split_at_mut(suite.key_len());
    prf.generate(labels.encryption, encryption);
    prf.generate(labels.authentication, &mut keys.authentication);
    prf.generate(labels.salt, &mut keys.salt);
    keys
}

/// Tells master keys from each other without showing them: what the PRF gives for a label that no
/// session key has. Equal for suites that differ in their tag only, under which one packet could be
/// authentic too. `None` for plain RTP.
pub fn fingerprint(master: &MasterKey) -> Option<[u8; 16]> {
    const LABEL: u8 = 0xff;
    let mut out = [0; 16];
    Prf::new(master.suite()?, master).generate(LABEL, &mut out);
    Some(out)
}

/// The pseudo-random function of a master key and its salt.
struct Prf {
    cipher: Cipher,
    salt: [u8; 14],
}

/// AES with the suite's key length.
enum Cipher {
    Aes128(Aes128Enc),
    Aes192(Aes192Enc),
    Aes256(Aes256Enc),
}

impl Prf {
    fn new(suite: Suite, master: &MasterKey) -> Self {
        let [k128 @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = &master.key;
        let [k192 @ .., _, _, _, _, _, _, _, _] = &master.key;
        let cipher = match suite.key_len() {
            16 => Cipher::Aes128(Aes128Enc::new(k128.into())),
            24 => Cipher::Aes192(Aes192Enc::new(k192.into())),
            _ => Cipher::Aes256(Aes256Enc::new((&master.key).into())),
        };
        Self { cipher, salt: padded_salt(master) }
    }

    fn generate(&self, label: u8, out: &mut [u8]) {
        match &self.cipher {
            Cipher::Aes128(cipher) => generate(cipher, &self.salt, label, out),
            Cipher::Aes192(cipher) => generate(cipher, &self.salt, label, out),
            Cipher::Aes256(cipher) => generate(cipher, &self.salt, label, out),
        }
    }
}

fn padded_salt(master: &MasterKey) -> [u8; 14] {
    let mut salt = [0; 14];
    for (to, from) in salt.iter_mut().zip(master.salt()) {
        *to = *from;
    }
    salt
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digits: &str) -> Vec<u8> {
        let digits: String = digits.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn derived(suite: Suite, key: &str, salt: &str) -> SessionKeys {
        let master = MasterKey::new(suite, &hex(&format!("{key}{salt}"))).unwrap();
        session_keys(suite, &master, Kind::Rtp)
    }

    #[test]
    fn rfc_3711_b_3_session_keys_of_a_128_bit_master_key() {
        let key = "E1F97A0D3E018BE0D64FA32C06DE4139";
        let keys = derived(Suite::AesCm128HmacSha1_80, key, "0EC675AD498AFEEBB6960B3AABE6");
        assert_eq!(keys.encryption[..16], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(keys.encryption[16..], [0; 16]);
        assert_eq!(keys.salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(keys.authentication[..], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    #[test]
    fn rfc_6188_7_2_session_keys_of_a_256_bit_master_key() {
        let key = "f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6";
        let keys = derived(Suite::AesCm256HmacSha1_80, key, "3b04803de51ee7c96423ab5b78d2");
        let encryption = "5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4";
        assert_eq!(keys.encryption[..], hex(encryption));
        assert_eq!(keys.salt[..], hex("fa31791685ca444a9e07c6c64e93"));
        assert_eq!(keys.authentication[..], hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
    }

    #[test]
    fn rfc_6188_7_4_session_keys_of_a_192_bit_master_key() {
        let key = "73edc66c4fa15776fb57f9505c171365 50ffda71f3e8e5f1";
        let keys = derived(Suite::AesCm192HmacSha1_32, key, "c8522f3acd4ce86d5add78edbb11");
        assert_eq!(keys.encryption[..24], hex("31874736a8f1143870c26e4857d8a5b2 c4a354407faadabb"));
        assert_eq!(keys.encryption[24..], [0; 8]);
        assert_eq!(keys.salt[..], hex("2372b82d639b6d8503a47adc0a6c"));
        assert_eq!(keys.authentication[..], hex("355b10973cd95b9eacf4061c7e1a7151e7cfbfcb"));
    }

    #[test]
    fn rtp_and_rtcp_get_different_keys() {
        let master = MasterKey::new(Suite::AeadAes256Gcm, &[7; 44]).unwrap();
        let rtp = session_keys(Suite::AeadAes256Gcm, &master, Kind::Rtp);
        let rtcp = session_keys(Suite::AeadAes256Gcm, &master, Kind::Rtcp);
        assert_ne!(rtp.encryption, rtcp.encryption);
        assert_ne!(rtp.salt, rtcp.salt);
    }
}
