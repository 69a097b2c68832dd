//! What the fuzz targets share: a relay with calls of every kind, and what a stranger may change of it.
//!
//! Frames, relay and SRTP peers are those of the relay's own tests.

#[path = "../../relay/tests/support/mod.rs"]
#[allow(missing_docs, clippy::new_without_default)]
pub mod support;

mod calls;
mod sealer;
mod untouched;

pub use calls::{CALLS, Calls, PORTS};
pub use sealer::{Identity, Sealer};
pub use untouched::Untouched;
