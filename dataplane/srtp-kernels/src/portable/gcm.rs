//! AES in Galois/counter mode (RFC 7714 sections 8 and 9).

use aes_gcm::AeadInOut;
use aes_gcm::aead::consts::{U12, U16};

use crate::trailer::{WORD, cut, payload_at, put, room};
use crate::{E_BIT, Job, Kind, Outcome, iv};

const TAG: usize = 16;

/// Protects a packet; returns its new length.
pub(super) fn protect<A>(aead: &A, salt: &[u8; 12], job: &mut Job<'_>) -> Result<usize, Outcome>
where
    A: AeadInOut<NonceSize = U12, TagSize = U16>,
{
    let parts = room(job)?;
    let word = job.index as u32;
    let nonce = match job.kind {
        Kind::Rtp => nonce(salt, job.ssrc, job.index),
        Kind::Rtcp => nonce(salt, job.ssrc, u64::from(word & !E_BIT)),
    };
    let nonce = &nonce.into();
    let tag = if job.kind == Kind::Rtcp && word & E_BIT == 0 {
        put(job.packet, parts.body(), &word.to_be_bytes()).ok_or(Outcome::NoRoom)?;
        let aad = job.packet.get(..parts.body() + WORD).ok_or(Outcome::NoRoom)?;
        aead.encrypt_inout_detached(nonce, aad, (&mut [][..]).into())
    } else {
        let from = payload_at(job);
        let body = job.packet.get_mut(..parts.body()).ok_or(Outcome::NoRoom)?;
        let (header, payload) = body.split_at_mut_checked(from).ok_or(Outcome::NoRoom)?;
        match job.kind {
            Kind::Rtp => aead.encrypt_inout_detached(nonce, header, payload.into()),
            Kind::Rtcp => {
                let aad = srtcp_aad(header, word).ok_or(Outcome::NoRoom)?;
                aead.encrypt_inout_detached(nonce, &aad, payload.into())
            }
        }
    };
    let tag = tag.map_err(|_| Outcome::NoRoom)?;
    put(job.packet, parts.tag(), &tag).ok_or(Outcome::NoRoom)?;
    if job.kind == Kind::Rtcp {
        put(job.packet, parts.word(), &word.to_be_bytes()).ok_or(Outcome::NoRoom)?;
    }
    put(job.packet, parts.mki(), job.keys.mki()).ok_or(Outcome::NoRoom)?;
    Ok(parts.end())
}

/// Checks and decrypts a packet; returns its new length.
pub(super) fn unprotect<A>(aead: &A, salt: &[u8; 12], job: &mut Job<'_>) -> Result<usize, Outcome>
where
    A: AeadInOut<NonceSize = U12, TagSize = U16>,
{
    let parts = cut(job)?;
    let from = payload_at(job);
    let (body, trailer) = job.packet.split_at_mut_checked(parts.body()).ok_or(Outcome::TooShort)?;
    let tag = (*trailer.first_chunk::<TAG>().ok_or(Outcome::TooShort)?).into();
    let (header, payload) = body.split_at_mut_checked(from).ok_or(Outcome::TooShort)?;
    let opened = match job.kind {
        Kind::Rtp => {
            let nonce = nonce(salt, job.ssrc, job.index).into();
            aead.decrypt_inout_detached(&nonce, header, payload.into(), &tag)
        }
        Kind::Rtcp => {
            let word = trailer.get(TAG..).and_then(|at| at.first_chunk()).ok_or(Outcome::TooShort)?;
            let word = u32::from_be_bytes(*word);
            let nonce = nonce(salt, job.ssrc, u64::from(word & !E_BIT)).into();
            if word & E_BIT != 0 {
                let aad = srtcp_aad(header, word).ok_or(Outcome::TooShort)?;
                aead.decrypt_inout_detached(&nonce, &aad, payload.into(), &tag)
            } else {
                // The associated data is body and word, which the tag keeps apart: bring the word
                // in front of the tag, and back.
                let span = parts.body()..parts.body() + TAG + WORD;
                job.packet.get_mut(span.clone()).ok_or(Outcome::TooShort)?.rotate_left(TAG);
                let aad = job.packet.get(..parts.body() + WORD).ok_or(Outcome::TooShort)?;
                let opened = aead.decrypt_inout_detached(&nonce, aad, (&mut [][..]).into(), &tag);
                job.packet.get_mut(span).ok_or(Outcome::TooShort)?.rotate_right(TAG);
                opened
            }
        }
    };
    opened.map_err(|_| Outcome::AuthFailed)?;
    Ok(parts.body())
}

/// Associated data of an encrypted SRTCP packet: its header and the index word (RFC 7714
/// section 9.2).
fn srtcp_aad(header: &[u8], word: u32) -> Option<[u8; 12]> {
    let mut aad = [0; 12];
    let (to_header, to_word) = aad.split_at_mut_checked(8)?;
    to_header.copy_from_slice(header.get(..8)?);
    to_word.copy_from_slice(&word.to_be_bytes());
    Some(aad)
}

/// The nonce of a packet.
fn nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let [nonce @ .., _, _, _, _] = iv::gcm(iv::left_aligned(salt), ssrc, index).to_be_bytes();
    nonce
}
