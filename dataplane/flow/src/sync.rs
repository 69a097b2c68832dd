//! The atomics of the rings: the standard library's, or loom's under `--cfg loom`, so that the
//! model checker sees every access.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
