//! The engine of any machine: RustCrypto's ciphers, one packet after the other. They use AES,
//! carry-less multiplication and SHA instructions where the processor has them.

mod cm;
mod gcm;
mod transform;

use pinhole_flow::Suite;

pub(crate) use transform::Transform;

use crate::keys::Context;
use crate::{Engine, Job, Keys, MkiTooLong, Outcome, SessionKeys};

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
    let Some(transform) = transform(job) else { return Outcome::ForeignKeys };
    let done = match transform {
        Transform::Cm128 { cipher, mac, salt } => cm::protect(cipher, mac, salt, job),
        Transform::Cm192 { cipher, mac, salt } => cm::protect(cipher, mac, salt, job),
        Transform::Cm256 { cipher, mac, salt } => cm::protect(cipher, mac, salt, job),
        Transform::Gcm128 { aead, salt } => gcm::protect(aead, salt, job),
        Transform::Gcm256 { aead, salt } => gcm::protect(aead, salt, job),
    };
    finish(job, done)
}

fn unprotect(job: &mut Job<'_>) -> Outcome {
    let Some(transform) = transform(job) else { return Outcome::ForeignKeys };
    let done = match transform {
        Transform::Cm128 { cipher, mac, salt } => cm::unprotect(cipher, mac, salt, job),
        Transform::Cm192 { cipher, mac, salt } => cm::unprotect(cipher, mac, salt, job),
        Transform::Cm256 { cipher, mac, salt } => cm::unprotect(cipher, mac, salt, job),
        Transform::Gcm128 { aead, salt } => gcm::unprotect(aead, salt, job),
        Transform::Gcm256 { aead, salt } => gcm::unprotect(aead, salt, job),
    };
    finish(job, done)
}

fn transform<'a>(job: &Job<'a>) -> Option<&'a Transform> {
    match job.keys.context(job.kind) {
        Context::Portable(transform) => Some(transform),
        #[cfg(target_arch = "x86_64")]
        Context::Simd(_) => None,
    }
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
