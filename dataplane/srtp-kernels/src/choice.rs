//! Which engines this processor runs.

use crate::{Engine, Portable};

/// The fastest engine that this processor runs.
pub fn best() -> Box<dyn Engine> {
    available().swap_remove(0)
}

/// The engine of a name; `None` if there is none or this processor cannot run it.
pub fn by_name(name: &str) -> Option<Box<dyn Engine>> {
    available().into_iter().find(|engine| engine.name() == name)
}

/// The engines that this processor runs, best first, the portable one last.
pub fn available() -> Vec<Box<dyn Engine>> {
    let mut engines = simd();
    engines.push(Box::new(Portable));
    engines
}

/// For the tests: the engines that this processor runs, and the variants that others would choose.
pub fn every_variant() -> Vec<Box<dyn Engine>> {
    let mut engines = available();
    #[cfg(target_arch = "x86_64")]
    engines.extend(crate::simd::lesser());
    engines
}

#[cfg(target_arch = "x86_64")]
use crate::simd::available as simd;

#[cfg(not(target_arch = "x86_64"))]
fn simd() -> Vec<Box<dyn Engine>> {
    Vec::new()
}
