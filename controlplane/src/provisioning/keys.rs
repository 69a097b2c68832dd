//! When the authority's keys are read, and what is said about them.

use std::time::{Duration, Instant};

use pinhole_admin::{Event, EventKind};
use pinhole_provisioning::Failure;
use pinhole_trust::authority::Refused;

use super::Provisioning;
use super::https::{Https, HttpsError};

/// How often it is said again that nobody has a SAST's key but this machine.
pub(super) const REMIND: Duration = Duration::from_secs(24 * 3600);

impl Provisioning {
    /// Reads the keys again, and tells the operator; what came of it, as one line.
    ///
    /// # Errors
    /// When they cannot be used; the ones before stay.
    pub(super) fn read_keys(&mut self) -> Result<String, Refused> {
        self.told = None;
        self.look_for_keys()
    }

    /// The same; what was said before is not said again.
    ///
    /// # Errors
    /// As [`read_keys`](Self::read_keys).
    pub(super) fn look_for_keys(&mut self) -> Result<String, Refused> {
        let read = self.desk.papers.reload(&self.settings).map(|authority| authority.is_some());
        self.desk.keys_changed();
        let (kind, text) = match (&read, self.desk.papers.generation()) {
            (Ok(false), _) => {
                let text = "there are no keys yet, so phones get no trust list: make them with `pinholectl trust create`";
                (EventKind::Warning, text.to_owned())
            }
            (Ok(true), Some(generation)) => {
                let text = format!(
                    "the authority's keys were read; trust lists are served, generation {generation}"
                );
                (EventKind::Started, text)
            }
            (Ok(true), None) => {
                let text = format!(
                    "the authority's keys were read; no trust lists are served: {}",
                    Refused::NoSigner
                );
                (EventKind::Warning, text)
            }
            (Err(error), _) if self.desk.papers.authority().is_some() => {
                (EventKind::Warning, format!("the authority's keys stay as they were: {error}"))
            }
            (Err(error), _) => {
                let text =
                    format!("the authority's keys cannot be used, so phones get no trust list: {error}");
                (EventKind::Warning, text)
            }
        };
        if self.told.replace(text.clone()).as_ref() != Some(&text) {
            self.events.emit(Event::new(kind, text.clone()));
        }
        if let (Ok(true), Err(error)) = (&read, self.secure()) {
            let text = format!("HTTPS stays as it was: {error}");
            self.events.emit(Event::new(EventKind::Warning, text));
        }
        if let (Ok(true), Err(error)) = (&read, self.enrolment.refresh(&self.config, &self.desk.papers)) {
            let text = format!("enrolment and trust verification stay as they were: {error}");
            self.events.emit(Event::new(EventKind::Warning, text));
        }
        self.remind();
        read.map(|_| text)
    }

    /// From now on, HTTPS is served with the keys that were read last.
    fn secure(&mut self) -> Result<(), HttpsError> {
        for door in self.doors.iter_mut().filter(|door| door.is_https()) {
            if let Some(identity) = self.desk.papers.https() {
                door.secure(Https::new(&self.config, &identity?, &self.office)?);
            }
        }
        Ok(())
    }

    /// Says that losing this machine would strand every phone, if that is so.
    pub(super) fn remind(&mut self) {
        self.remind_at = Instant::now() + REMIND;
        if self.desk.papers.authority().is_some_and(pinhole_trust::Authority::is_without_escrow) {
            let failure = Failure::SastNotEscrowed;
            self.office.counters.fail(failure);
            let text = format!("{} {}", failure.meaning(), failure.remedy());
            self.events.emit(Event::new(EventKind::Warning, text));
        }
    }
}
