//! The engine of any machine: RustCrypto's ciphers, one packet after the other. They use AES,
//! carry-less multiplication and SHA instructions where the processor has them.

mod cm;
mod gcm;
mod transform;

use pinhole_flow::Suite;
use subtle::ConstantTimeEq;

pub(crate) use transform::Transform;

use crate::keys::Context;
use crate::trailer::Parts;
use crate::{Engine, Job, Keys, Kind, MkiTooLong, Outcome, SessionKeys, trailer};

/// The portable engine. It is also what faster engines are compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable;

impl Engine for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn expand(
        &self,
        suite: Suite,
        rtp: &SessionKeys,
        rtcp: &SessionKeys,
        mki: &[u8],
    ) -> Result<Keys, MkiTooLong> {
        let context = |keys| Context::Portable(Box::new(Transform::new(suite, keys)));
        Keys::new(suite, context(rtp), context(rtcp), mki)
    }

    fn protect(&self, jobs: &mut [Job<'_>]) {
        for job in jobs {
            job.outcome = protect(job);
        }
    }

    fn unprotect(&self, jobs: &mut [Job<'_>]) {
        for job in jobs {
            job.outcome = unprotect(job);
        }
    }
}

fn protect(job: &mut Job<'_>) -> Outcome {
    let Context::Portable(transform) = job.keys.context(job.kind);
    let done = match &**transform {
        Transform::Cm128 { cipher, mac, salt } => cm::protect(cipher, mac, salt, job),
        Transform::Cm256 { cipher, mac, salt } => cm::protect(cipher, mac, salt, job),
        Transform::Gcm128 { aead, salt } => gcm::protect(aead, salt, job),
        Transform::Gcm256 { aead, salt } => gcm::protect(aead, salt, job),
    };
    finish(job, done)
}

fn unprotect(job: &mut Job<'_>) -> Outcome {
    let Context::Portable(transform) = job.keys.context(job.kind);
    let done = match &**transform {
        Transform::Cm128 { cipher, mac, salt } => cm::unprotect(cipher, mac, salt, job),
        Transform::Cm256 { cipher, mac, salt } => cm::unprotect(cipher, mac, salt, job),
        Transform::Gcm128 { aead, salt } => gcm::unprotect(aead, salt, job),
        Transform::Gcm256 { aead, salt } => gcm::unprotect(aead, salt, job),
    };
    finish(job, done)
}

fn finish(job: &mut Job<'_>, done: Result<usize, Outcome>) -> Outcome {
    match done {
        Ok(len) => {
            job.len = len;
            Outcome::Done
        }
        Err(failure) => failure,
    }
}

/// Where encryption starts: an RTCP header is always 8 bytes long.
fn payload_at(job: &Job<'_>) -> usize {
    match job.kind {
        Kind::Rtp => job.payload_at,
        Kind::Rtcp => 8,
    }
}

/// The trailer of a packet to protect, if there is room for it.
fn room(job: &Job<'_>) -> Result<Parts, Outcome> {
    let parts = trailer::lay_out(job.keys, job.kind, job.len);
    let fits = parts.end <= job.packet.len() && payload_at(job) <= job.len;
    if fits { Ok(parts) } else { Err(Outcome::NoRoom) }
}

/// The trailer of a packet to unprotect, with its MKI checked.
fn cut(job: &Job<'_>) -> Result<Parts, Outcome> {
    let packet = job.packet.get(..job.len).ok_or(Outcome::TooShort)?;
    let parts = trailer::split(job.keys, job.kind, job.len, payload_at(job)).ok_or(Outcome::TooShort)?;
    let expected = job.keys.mki();
    let mki = packet.get(parts.mki..parts.mki + expected.len()).ok_or(Outcome::TooShort)?;
    if bool::from(mki.ct_eq(expected)) { Ok(parts) } else { Err(Outcome::MkiMismatch) }
}

/// Copies `from` to `packet` at `at`.
fn put(packet: &mut [u8], at: usize, from: &[u8]) -> Option<()> {
    packet.get_mut(at..at + from.len())?.copy_from_slice(from);
    Some(())
}
