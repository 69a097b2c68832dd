//! AES counter mode with HMAC-SHA1 (RFC 3711 sections 4.1.1, 4.2.1; RFC 6188).

use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, StreamCipherCore};
use aes_gcm::aead::consts::U16;
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use crate::trailer::{cut, payload_at, put, room};
use crate::{E_BIT, Job, Kind, Outcome, iv};

/// Protects a packet; returns its new length.
pub(super) fn protect<C>(
    cipher: &C,
    mac: &Hmac<Sha1>,
    salt: &[u8; 14],
    job: &mut Job<'_>,
) -> Result<usize, Outcome>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let parts = room(job)?;
    let from = payload_at(job);
    let payload = job.packet.get_mut(from..parts.body()).ok_or(Outcome::NoRoom)?;
    match job.kind {
        Kind::Rtp => apply_keystream(cipher, salt, job.ssrc, job.index, payload),
        Kind::Rtcp => {
            let word = job.index as u32;
            if word & E_BIT != 0 {
                apply_keystream(cipher, salt, job.ssrc, u64::from(word & !E_BIT), payload);
            }
            put(job.packet, parts.word(), &word.to_be_bytes()).ok_or(Outcome::NoRoom)?;
        }
    }
    let authenticated = job.packet.get(..parts.mki()).ok_or(Outcome::NoRoom)?;
    let tag = tag(mac, authenticated, job.kind, job.index);
    let tag = tag.get(..parts.end() - parts.tag()).ok_or(Outcome::NoRoom)?;
    put(job.packet, parts.mki(), job.keys.mki()).ok_or(Outcome::NoRoom)?;
    put(job.packet, parts.tag(), tag).ok_or(Outcome::NoRoom)?;
    Ok(parts.end())
}

/// Checks and decrypts a packet; returns its new length.
pub(super) fn unprotect<C>(
    cipher: &C,
    mac: &Hmac<Sha1>,
    salt: &[u8; 14],
    job: &mut Job<'_>,
) -> Result<usize, Outcome>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let parts = cut(job)?;
    let authenticated = job.packet.get(..parts.mki()).ok_or(Outcome::TooShort)?;
    let carried = job.packet.get(parts.tag()..parts.end()).ok_or(Outcome::TooShort)?;
    let expected = tag(mac, authenticated, job.kind, job.index);
    let expected = expected.get(..carried.len()).ok_or(Outcome::TooShort)?;
    if !bool::from(expected.ct_eq(carried)) {
        return Err(Outcome::AuthFailed);
    }
    let index = match job.kind {
        Kind::Rtp => Some(job.index),
        Kind::Rtcp => {
            let word =
                job.packet.get(parts.word()..).and_then(|at| at.first_chunk()).ok_or(Outcome::TooShort)?;
            let word = u32::from_be_bytes(*word);
            (word & E_BIT != 0).then_some(u64::from(word & !E_BIT))
        }
    };
    let payload = job.packet.get_mut(payload_at(job)..parts.body()).ok_or(Outcome::TooShort)?;
    if let Some(index) = index {
        apply_keystream(cipher, salt, job.ssrc, index, payload);
    }
    Ok(parts.body())
}

fn apply_keystream<C>(cipher: &C, salt: &[u8; 14], ssrc: u32, index: u64, payload: &mut [u8])
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let iv = iv::counter(iv::left_aligned(salt), ssrc, index).to_be_bytes();
    CtrCore::<&C, Ctr128BE>::inner_iv_init(cipher, &iv.into()).apply_keystream_partial(payload.into());
}

/// The untruncated tag. SRTP authenticates the ROC behind the packet; SRTCP's index is part of it.
fn tag(mac: &Hmac<Sha1>, authenticated: &[u8], kind: Kind, index: u64) -> [u8; 20] {
    let mut mac = mac.clone();
    mac.update(authenticated);
    if kind == Kind::Rtp {
        mac.update(&((index >> 16) as u32).to_be_bytes());
    }
    mac.finalize().into_bytes().into()
}
