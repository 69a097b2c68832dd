//! What other threads ask of this one, and wait for.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pinhole_provisioning::cache::Origin;
use pinhole_provisioning::xml::Change;
use pinhole_provisioning::{Device, Failure};

use super::Provisioning;
use super::desk::Desk;

/// How long they wait: less than a client of the admin socket does.
const PATIENCE: Duration = Duration::from_secs(4);

/// An answer, or why there is none, as one line.
type Answer<T> = Result<T, String>;

/// What the rewriting changes in a configuration.
pub struct Preview {
    /// The changes, secrets masked.
    pub changes: Vec<Change>,
    /// Changes beyond those, not listed.
    pub unlisted: usize,
}

enum Errand {
    /// Read the keys again.
    ReadKeys(SyncSender<Answer<String>>),
    /// Show what a device would get.
    Preview(Device, SyncSender<Answer<Preview>>),
}

/// Who waits for the preview of a configuration.
pub(super) struct Previewing {
    device: Device,
    answer: SyncSender<Answer<Preview>>,
}

/// Errands that nobody has done yet.
#[derive(Default)]
pub struct Errands(Mutex<Vec<Errand>>);

impl Errands {
    /// Has the keys read again; does not wait for it.
    pub fn read_keys_soon(&self) {
        // Nobody listens to the answer; it is an event as well.
        self.add(Errand::ReadKeys(sync_channel(1).0));
    }

    /// Has the keys read again; what came of it.
    ///
    /// # Errors
    /// Why they stay as they were.
    pub fn read_keys(&self) -> Answer<String> {
        self.wait(Errand::ReadKeys)
    }

    /// What the rewriting changes in the configuration of a device.
    ///
    /// # Errors
    /// Why it cannot be shown.
    pub fn preview(&self, device: Device) -> Answer<Preview> {
        self.wait(|answer| Errand::Preview(device, answer))
    }

    fn wait<T>(&self, errand: impl FnOnce(SyncSender<Answer<T>>) -> Errand) -> Answer<T> {
        let (answer, answers) = sync_channel(1);
        self.add(errand(answer));
        let late = |_| format!("not done within {} s; look at the log and try again", PATIENCE.as_secs());
        answers.recv_timeout(PATIENCE).map_err(late)?
    }

    fn add(&self, errand: Errand) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(errand);
    }

    fn take(&self) -> Vec<Errand> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Provisioning {
    /// Does what was asked. Who asked may have stopped waiting.
    pub(super) fn errands(&mut self) {
        for errand in self.office.errands.take() {
            match errand {
                Errand::ReadKeys(answer) => {
                    let _ = answer.try_send(self.read_keys().map_err(|error| error.to_string()));
                }
                Errand::Preview(device, answer) => self.desk.preview(device, answer),
            }
        }
    }
}

impl Desk {
    /// Fetches a device's configuration to show what becomes of it, unless it is being fetched already.
    fn preview(&mut self, device: Device, answer: SyncSender<Answer<Preview>>) {
        let Some(origin) = self.service.origin(device) else {
            let _ = answer.try_send(Err(format!("{device}: {}", Failure::NoCluster.meaning())));
            return;
        };
        let is_fetched = self.waiting.contains_key(&origin);
        let previewing = self.previewing.entry(origin.clone()).or_default();
        previewing.push(Previewing { device, answer });
        if previewing.len() > 1 || is_fetched {
            return;
        }
        if let Err(error) = self.upstream.fetch(&origin, Instant::now()) {
            self.fetched(&origin, Err(error));
        }
    }

    /// A configuration that is to be shown has come from upstream, or will not.
    pub(super) fn previewed(&mut self, origin: &Origin, fetched: Result<&[u8], Failure>) {
        for Previewing { device, answer } in self.previewing.remove(origin).unwrap_or_default() {
            let shown = match fetched {
                Ok(bytes) => self.service.preview(device, bytes).map_err(|error| error.to_string()),
                Err(failure) => Err(format!("{} {}", failure.meaning(), failure.remedy())),
            };
            let shown = shown.map(|made| Preview { changes: made.changes, unlisted: made.unlisted });
            let _ = answer.try_send(shown);
        }
    }
}
