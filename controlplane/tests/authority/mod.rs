//! The appliance's keys, made as `pinholectl trust create` does.

#![allow(clippy::unwrap_used, reason = "only tests use this")]

use std::path::{Path, PathBuf};

use pinhole_controlplane::config::Config;

/// Makes the keys that a configuration file asks for. Gives the folder that they are in.
pub fn create(file: &Path) -> PathBuf {
    let settings = Config::load(file).unwrap().provisioning.unwrap();
    let folder = settings.authority();
    pinhole_trust::Authority::create(&folder, &settings.naming(), 1_790_000_000).unwrap();
    folder
}
