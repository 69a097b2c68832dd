//! Engines for x86-64: a batch is prepared in safe code ([`batch`]) and done by a tier's kernels.
#![allow(unsafe_code, reason = "vector instructions")]
#![allow(clippy::indexing_slicing, reason = "arrays of constant length, indexed in unrolled loops")]
#![allow(clippy::needless_range_loop, reason = "several arrays are walked in lock step")]

mod avx2;
mod avx512;
mod batch;
mod context;
mod ghash;
pub(crate) mod memory;
mod message;
mod schedule;
mod sha_ni;
mod tier;

pub(crate) use context::Context;

use avx2::Avx2;
use avx512::Avx512;
use batch::Batches;

use crate::{Engine, Rounds};

/// The engines that this processor runs, best first.
pub(crate) fn available() -> Vec<Box<dyn Engine>> {
    let mut engines: Vec<Box<dyn Engine>> = Vec::new();
    engines.extend(Avx512::detect().map(|tier| Box::new(Batches(tier)) as Box<dyn Engine>));
    engines.extend(Avx2::detect().map(|tier| Box::new(Batches(tier)) as Box<dyn Engine>));
    engines
}

/// What [`available`] leaves out because this processor has better instructions.
pub(crate) fn lesser() -> Option<Box<dyn Engine>> {
    Avx2::detect().map(|tier| Box::new(Batches(tier.without_sha_ni())) as Box<dyn Engine>)
}

/// Does a part of the AVX-512 engine `n` times, if the processor runs it.
pub(crate) fn rounds(part: Rounds, n: usize) -> bool {
    Avx512::detect().map(|tier| tier.rounds(part, n)).is_some()
}
