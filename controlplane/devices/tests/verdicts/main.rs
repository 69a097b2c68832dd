//! Chains that are trusted, and every reason why others are not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "only tests use what is here")]

mod authenticity;
mod chains;
mod constraints;
mod lifetimes;
mod parity;
mod revocation;
mod scope;
mod settings;

const LSC: &str = "SEP0010DB000001";
const MIC: &str = "CP-8841-SEP0010DB000001";
