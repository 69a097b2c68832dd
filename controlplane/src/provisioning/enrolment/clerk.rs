//! What enrolment asks of the appliance: passwords, certificates of devices, and new ones.

use std::net::IpAddr;
use std::time::SystemTime;

use openssl::pkey::{PKeyRef, Public};
use openssl::sha::sha256;
use pinhole_enrolment::capf::{Denied, Kind, Office as Asked, Proof, Task};
use pinhole_provisioning::phones::Enrolling;
use pinhole_provisioning::{Counter, Device, Failure};

use super::devices::{self, Devices, Facts};
use crate::config;
use crate::provisioning::Office;
use crate::provisioning::papers::{Papers, seconds};

/// Does what one session asks.
pub(super) struct Clerk<'a> {
    pub office: &'a Office,
    pub papers: &'a Papers,
    pub devices: &'a Devices,
    pub settings: &'a config::Capf,
    pub source: IpAddr,
    /// Under what the device was known when it proved who it is.
    pub epoch: &'a mut Option<u64>,
    pub now: SystemTime,
}

impl Clerk<'_> {
    /// Counts a failure, and notes it in the device's time line.
    fn fail(&self, device: Device, subject: &str, failure: Failure) -> Denied {
        self.office.phones.failed(device, self.source, subject, failure, self.now);
        if failure == Failure::NotAllowed { Denied::Unknown } else { Denied::Refused }
    }

    /// A device, which must be the one that has proved who it is, unless that comes only now.
    fn known(&self, device: &str) -> Result<(Device, Enrolling), Denied> {
        let device: Device = device.parse().map_err(|_| {
            self.office.counters.fail(Failure::NotAllowed);
            Denied::Unknown
        })?;
        if self.epoch.is_some() && self.office.phones.epoch(device) != *self.epoch {
            return Err(self.fail(device, "enrolment", Failure::NotAllowed));
        }
        let known = self.office.phones.enrolling(device, self.now);
        Ok((device, known.map_err(|failure| self.fail(device, "enrolment", failure))?))
    }

    /// Whose the certificate is; one that we have issued needs no other proof than that it is the one.
    fn kind(&self, device: Device, der: &[u8]) -> Result<Kind, Failure> {
        let phones = &self.office.phones;
        let Facts { id, validity } = Facts::read(der)?;
        if phones.is_issued(device, &sha256(der)) {
            return if self.now < validity.until {
                Ok(Kind::Issued)
            } else {
                Err(Failure::CertificateExpired)
            };
        }
        self.devices.verify(device, der, self.office, self.now)?;
        phones.would_recognise(device, &id)?;
        Ok(Kind::Manufacturer)
    }

    /// Only now that the key is proved, the first certificate of a device is pinned.
    fn proved(&self, device: Device, proof: &Proof) -> Result<(), Failure> {
        match proof {
            Proof::Certificate { kind: Kind::Manufacturer, der } => {
                let id = Facts::read(der)?.id;
                self.office.phones.recognise(device, &id, self.source, self.now)
            }
            Proof::Certificate { kind: Kind::Issued, .. } | Proof::Password => Ok(()),
        }
    }

    /// The end of the certificate that a phone goes by: of the one that it has shown, or else of the one that it was issued.
    fn end(known: &Enrolling, proof: &Proof) -> Option<SystemTime> {
        match proof {
            Proof::Certificate { kind: Kind::Issued, der } => {
                Facts::read(der).ok().map(|of| of.validity.until)
            }
            _ => known.issued_until,
        }
    }

    /// Whether a certificate with this end is to be renewed: it is near, and a new one would live longer. One that ends with
    /// the authority does not become better at each visit.
    fn is_due(&self, end: SystemTime) -> bool {
        let until = self.papers.authority().map(|authority| {
            authority.device_until(self.settings.days, seconds(self.now)).map(devices::time)
        });
        // Without keys, to try says what is missing.
        let lives_longer = until.is_none_or(|until| until.is_ok_and(|until| until > end));
        end <= self.now + self.settings.renew_before() && lives_longer
    }

    fn issue_to(&self, device: Device, key: &PKeyRef<Public>) -> Result<Vec<u8>, String> {
        let authority = self.papers.authority().ok_or("there are no keys")?;
        let (name, days) = (device.to_string(), self.settings.days);
        let certificate = authority.issue_device(&name, key, days, seconds(self.now));
        let der =
            certificate.map_err(|error| error.to_string())?.to_der().map_err(|error| error.to_string())?;
        let Facts { id, validity } = Facts::read(&der).map_err(|failure| failure.meaning().to_owned())?;
        let epoch = self.epoch.ok_or("it has not proved who it is")?;
        let issued = self.office.phones.issued((device, epoch), &id, validity, self.source, self.now);
        issued.map_err(|error| error.to_string())?;
        tracing::info!(%device, source = %self.source, "a certificate is issued: {id}");
        Ok(der)
    }
}

impl Asked for Clerk<'_> {
    fn password(&mut self, device: &str, password: &[u8]) -> Result<(), Denied> {
        let (device, _) = self.known(device)?;
        *self.epoch = self.office.phones.epoch(device);
        // It counts and notes by itself.
        let used = self.office.phones.consume_password(device, password, self.source, self.now);
        used.map_err(|_| Denied::Refused)
    }

    fn certificate(&mut self, device: &str, der: &[u8]) -> Result<Kind, Denied> {
        let (device, _) = self.known(device)?;
        *self.epoch = self.office.phones.epoch(device);
        self.kind(device, der).map_err(|failure| self.fail(device, "certificate at enrolment", failure))
    }

    fn names(&mut self, device: &str, der: &[u8]) -> Result<(), Denied> {
        let (device, _) = self.known(device)?;
        if self.office.phones.is_issued(device, &sha256(der)) {
            return Ok(());
        }
        let verified = self.devices.verify(device, der, self.office, self.now);
        verified.map_err(|failure| self.fail(device, "SUDI at enrolment", failure))
    }

    fn task(&mut self, device: &str, proof: &Proof) -> Result<Task, Denied> {
        let (device, known) = self.known(device)?;
        self.proved(device, proof)
            .map_err(|failure| self.fail(device, "certificate at enrolment", failure))?;
        let is_due = Self::end(&known, proof).is_none_or(|end| self.is_due(end));
        Ok(match proof {
            // Whoever has it may have nothing to delete any more.
            Proof::Password => Task::Install(self.settings.key.request()),
            _ if known.is_withdrawn => Task::Delete,
            Proof::Certificate { .. } if known.is_asked || is_due => {
                Task::Install(self.settings.key.request())
            }
            Proof::Certificate { .. } => {
                self.office.counters.count(Counter::NothingToIssue);
                Task::Nothing
            }
        })
    }

    fn issue(&mut self, device: &str, key: &PKeyRef<Public>) -> Result<Vec<u8>, Denied> {
        let (device, _) = self.known(device)?;
        self.issue_to(device, key).map_err(|error| {
            tracing::error!(%device, "a certificate cannot be issued: {error}");
            self.fail(device, "enrolment", Failure::IssueFailed)
        })
    }

    fn deleted(&mut self, device: &str) -> Result<(), Denied> {
        let (device, _) = self.known(device)?;
        let epoch = self.epoch.unwrap_or_default();
        self.office.phones.deleted((device, epoch), self.source, self.now).map_err(|error| {
            tracing::error!(%device, "its certificate is deleted, but that cannot be noted: {error}");
            self.fail(device, "enrolment", Failure::StoreFailed)
        })
    }
}
