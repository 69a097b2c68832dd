//! Benchmarks: ratios against a reference measured in the same run.
//!
//! Each program under `src/bin` prints its progress to stderr, and one JSON object as the last line of stdout.

#![forbid(unsafe_code)]

pub mod kernel;
pub mod spread;
