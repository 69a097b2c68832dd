//! The relay's behaviour, on frames in memory.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod commands;
mod frames;
mod hairpin;
mod handoff;
mod latching;
mod learning;
mod properties;
mod rekey;
mod reset;
mod same_key;
mod srtp;
mod ssrcs;
mod statistics;
mod trust;
