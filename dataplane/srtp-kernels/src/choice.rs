//! Which engines this processor runs.

use crate::{Engine, Portable};

/// The fastest engine that this processor runs.
pub fn best() -> Box<dyn Engine> {
    Box::new(Portable)
}

/// The engine of a name; `None` if there is none or this processor cannot run it.
pub fn by_name(name: &str) -> Option<Box<dyn Engine>> {
    available().into_iter().find(|engine| engine.name() == name)
}

/// The engines that this processor runs, best first, the portable one last.
pub fn available() -> Vec<Box<dyn Engine>> {
    vec![Box::new(Portable)]
}
