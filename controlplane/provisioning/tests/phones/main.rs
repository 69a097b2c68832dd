//! How phones become known, and stay so.
#![allow(clippy::unwrap_used)]

mod admission;
mod enrolment;
mod passwords;
mod races;
mod restart;
mod stages;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pinhole_provisioning::phones::{
    CertificateId, Connections, Decision, Delivery, Grant, PhonePolicy, PhoneView, Phones, SessionId, Stage,
    Validity, Wants,
};
use pinhole_provisioning::{Counter, Counters, Device, Failure, SecurityClass};
use tempfile::TempDir;

/// A database, and what its phones do.
struct Bench {
    folder: TempDir,
    phones: Option<Phones>,
    counters: Arc<Counters>,
    policy: PhonePolicy,
}

impl Bench {
    fn new() -> Self {
        Self::with(PhonePolicy::default())
    }

    fn with(policy: PhonePolicy) -> Self {
        let folder = TempDir::new().unwrap();
        let counters = Arc::new(Counters::default());
        let mut bench = Self { folder, phones: None, counters, policy };
        bench.open();
        bench
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("phones.db")
    }

    fn open(&mut self) {
        self.phones = None;
        self.phones = Some(Phones::open(&self.path(), self.policy.clone(), self.counters.clone()).unwrap());
    }

    fn allowed(self, device: Device) -> Self {
        self.phones().allow(device, SecurityClass::Encrypted, at(0)).unwrap();
        self
    }

    fn phones(&self) -> &Phones {
        self.phones.as_ref().unwrap()
    }

    fn ask(&self, device: Device, source: IpAddr, wants: Wants<'_>, now: u64) -> Result<Grant, Failure> {
        let file = match wants {
            Wants::TrustList { .. } => format!("CTL{device}.tlv"),
            Wants::Configuration { .. } => format!("{device}.cnf.xml.sgn"),
        };
        match self.phones().ask(device, source, &file, wants, at(now)) {
            Decision::Granted(grant) => Ok(grant),
            Decision::Refused(failure) => Err(failure),
        }
    }

    fn fetch_trust_list(&self, device: Device, source: IpAddr, now: u64) -> Result<(), Failure> {
        let grant = self.ask(device, source, TRUST_LIST, now)?;
        assert!(self.phones().delivered(&grant, Delivery::Acknowledged, at(now)));
        Ok(())
    }

    fn fetch_configuration(&self, device: Device, source: IpAddr, now: u64) -> Result<(), Failure> {
        let grant = self.ask(device, source, CONFIGURATION, now)?;
        assert!(self.phones().delivered(&grant, Delivery::Acknowledged, at(now)));
        Ok(())
    }

    fn provision(&self, device: Device, source: IpAddr, now: u64) {
        self.fetch_trust_list(device, source, now).unwrap();
        self.fetch_configuration(device, source, now).unwrap();
    }

    fn connect(&self, device: Device, serial: u8, source: IpAddr, now: u64) -> Result<SessionId, Failure> {
        self.phones().authenticated(device, &certificate(serial), Connections::One, source, at(now))
    }

    /// Issues a certificate that is good for ten days.
    fn issue(&self, device: Device, serial: u8, now: u64) {
        let validity = Validity { from: at(now), until: at(now + 10 * DAY) };
        let known = (device, self.phones().epoch(device).unwrap());
        self.phones().issued(known, &certificate(serial), validity, source(9), at(now)).unwrap();
    }

    fn show(&self, device: Device) -> PhoneView {
        self.phones().show(device).unwrap().unwrap()
    }

    fn stage(&self, device: Device) -> Stage {
        self.show(device).stage
    }

    fn count(&self, counter: Counter) -> u64 {
        self.counters.get(counter)
    }

    fn failures(&self, failure: Failure) -> u64 {
        self.counters.failures(failure)
    }
}

/// In seconds.
const DAY: u64 = 86_400;

const TRUST_LIST: Wants<'_> = Wants::TrustList { generation: 7 };
const CONFIGURATION: Wants<'_> = Wants::Configuration { certificate: None, is_bare: false };

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn device(number: u16) -> Device {
    let [high, low] = number.to_be_bytes();
    Device::new([0x00, 0x10, 0xdb, 0x00, high, low])
}

fn source(number: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, number])
}

fn certificate(serial: u8) -> CertificateId {
    CertificateId::new(&[0, serial], "CN=Manufacturing CA", [serial; 32]).unwrap()
}
