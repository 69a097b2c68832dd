//! What each device holds, so that nobody has to look through the tables of all for it.

use std::collections::HashMap;

use super::streams::StreamId;
use crate::DeviceName;
use crate::io::ConnId;

/// What a device holds.
#[derive(Default)]
pub(super) struct Held {
    /// Its connections, one to each call manager.
    pub(super) connections: Vec<ConnId>,
    /// The streams whose connections are lost.
    pub(super) orphans: Vec<StreamId>,
}

/// The devices that hold anything.
#[derive(Default)]
pub(super) struct Devices(HashMap<DeviceName, Held>);

impl Devices {
    /// What a device holds; `None` for nothing.
    pub(super) fn of(&self, device: &DeviceName) -> Option<&Held> {
        self.0.get(device)
    }

    /// Changes what a device holds.
    pub(super) fn change(&mut self, device: &DeviceName, change: impl FnOnce(&mut Held)) {
        let held = self.0.entry(device.clone()).or_default();
        change(held);
        if held.connections.is_empty() && held.orphans.is_empty() {
            self.0.remove(device);
        }
    }
}
