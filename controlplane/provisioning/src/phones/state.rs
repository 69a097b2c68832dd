//! All phones in memory: what one critical section does. No disk, no locks.

use std::collections::HashMap;
use std::net::IpAddr;

use pinhole_rates::network;

use super::certificate::CertificateId;
use super::phone::{Admission, Connections, Phone, SessionId};
use super::store::Saved;
use super::timeline::{Moment, Timeline, What};
use super::{Delivery, Enrolment, Grant, PhonePolicy, SecurityClass, Wants};
use crate::{Counter, Counters, Device, Failure};

/// Moments remembered of a device that is not allowed.
const STRANGER_MOMENTS: usize = 8;
/// Addresses remembered per device that may exist.
const SOURCES_PER_DEVICE: usize = 4;

pub(super) struct State {
    pub phones: HashMap<Device, Phone>,
    pub enrolment: Option<Enrolment>,
    /// Devices that are not allowed: what they asked, for the operator to see. Not stored.
    strangers: HashMap<Device, Stranger>,
    /// Which device was served at a source, by its network, and when.
    sources: HashMap<IpAddr, (Device, u64)>,
    /// The last number given out for a session or an epoch.
    last_number: u64,
}

struct Stranger {
    seen_ms: u64,
    timeline: Timeline,
}

/// What a certificate is to a device.
pub(super) enum Recognised {
    /// Its own.
    Known(SessionId),
    /// The first one, which may be pinned.
    First,
}

impl State {
    pub fn new(phones: HashMap<Device, Phone>, enrolment: Option<Enrolment>) -> Self {
        Self { phones, enrolment, strangers: HashMap::new(), sources: HashMap::new(), last_number: 0 }
    }

    /// A number never given before, since the start.
    pub fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub fn ask(
        &mut self,
        device: Device,
        source: IpAddr,
        file: &str,
        wants: Wants<'_>,
        policy: &PhonePolicy,
        now: u64,
    ) -> Result<Grant, Failure> {
        let phone = self.phones.get_mut(&device).ok_or(Failure::NotAllowed)?;
        let (allowed, trust_list) = match wants {
            Wants::TrustList { generation } => (Ok(()), Some(generation)),
            Wants::Configuration { certificate: None, is_bare: true } if !phone.pins.is_empty() => {
                // Whoever could show the pinned certificate and does not is not known to be the phone.
                (Err(Failure::CertificateNotSeen), None)
            }
            Wants::Configuration { certificate, .. } => {
                (phone.may_have_configuration(source, certificate, policy, now), None)
            }
        };
        if let Err(failure) = allowed {
            phone.note(Moment::new(now, What::Refused, file).source(source).failure(failure));
            return Err(failure);
        }
        if let Wants::Configuration { certificate: Some(certificate), .. } = wants {
            phone.shown(certificate);
            if phone.pins.iter().any(|pin| pin.matches(certificate)) {
                phone.proven(source);
            }
        }
        phone.note(Moment::new(now, What::Granted, file).source(source));
        let (epoch, class) = (phone.epoch, phone.class);
        self.seen_at(source, device, policy, now);
        Ok(Grant { device, epoch, source, file: file.into(), trust_list, class })
    }

    /// Whether the grant still counts.
    pub fn delivered(&mut self, grant: &Grant, delivery: Delivery, policy: &PhonePolicy, now: u64) -> bool {
        self.expire_one(grant.device, policy, now);
        let phone = self.phones.get_mut(&grant.device).filter(|phone| phone.epoch == grant.epoch);
        let Some(phone) = phone else { return false };
        let (what, failure) = match delivery {
            Delivery::Acknowledged => (What::Delivered, None),
            Delivery::Sent => (What::Sent, None),
            Delivery::Failed(failure) => (What::Undelivered, Some(failure)),
        };
        let moment = Moment { failure, ..Moment::new(now, what, &grant.file).source(grant.source) };
        phone.note(moment);
        match (delivery, grant.trust_list) {
            (Delivery::Failed(_), _) => {}
            (Delivery::Acknowledged, Some(generation)) => {
                phone.trust_list_delivered(grant.source, Some(generation), now);
            }
            (Delivery::Sent, Some(_)) => phone.trust_list_delivered(grant.source, None, now),
            (_, None) => phone.configuration_delivered(grant.source, now),
        }
        true
    }

    pub fn recognise(
        &mut self,
        device: Device,
        certificate: &CertificateId,
        connections: Connections,
        (source, subject): (IpAddr, &str),
        policy: &PhonePolicy,
        now: u64,
    ) -> Result<Recognised, Failure> {
        let id = SessionId(self.number());
        let phone = self.phones.get_mut(&device).ok_or(Failure::NotAllowed)?;
        let refused = if phone.pins.is_empty() {
            match phone.may_pin_first(policy) {
                Ok(()) => return Ok(Recognised::First),
                Err(failure) => failure,
            }
        } else if phone.pins.iter().any(|pin| pin.matches(certificate)) {
            phone.shown(certificate);
            phone.authenticated(id, connections, source, subject, now);
            self.seen_at(source, device, policy, now);
            return Ok(Recognised::Known(id));
        } else {
            Failure::PinMismatch
        };
        phone.note(Moment::new(now, What::Refused, subject).source(source).failure(refused));
        Err(refused)
    }

    pub fn alive(
        &mut self,
        device: Device,
        session: SessionId,
        registers: bool,
        policy: &PhonePolicy,
        now: u64,
    ) -> Result<bool, Failure> {
        let phone = self.phones.get_mut(&device).ok_or(Failure::NotAuthenticated)?;
        let is_new = phone.alive(session, registers, now)?;
        let source = phone.sessions.iter().find(|of| of.id == session).map(|session| session.source);
        if let Some(source) = source {
            self.seen_at(source, device, policy, now);
        }
        Ok(is_new)
    }

    /// A phone that comes while enrolment is open; it is not there yet.
    pub fn enrol(
        &mut self,
        device: Device,
        enrolment: Enrolment,
        policy: &PhonePolicy,
        now: u64,
    ) -> Result<Phone, Failure> {
        if enrolment.devices_left == 0 {
            return Err(Failure::EnrolmentFull);
        }
        let mut phone = self.new_phone(device, Admission::Enrolled, SecurityClass::default(), policy, now)?;
        phone.note(Moment::new(now, What::Enrolled, ""));
        Ok(phone)
    }

    /// A new phone; it is not there yet.
    pub fn new_phone(
        &mut self,
        device: Device,
        admission: Admission,
        class: SecurityClass,
        policy: &PhonePolicy,
        now: u64,
    ) -> Result<Phone, Failure> {
        if self.phones.len() >= policy.devices as usize {
            return Err(Failure::DeviceLimit);
        }
        let timeline = self.strangers.remove(&device).map(|stranger| stranger.timeline).unwrap_or_default();
        let epoch = self.number();
        Ok(Phone::new(admission, class, timeline, epoch, now))
    }

    /// Remembers something about a device, allowed or not.
    pub fn note(&mut self, device: Device, moment: Moment, policy: &PhonePolicy, counters: &Counters) {
        if let Some(phone) = self.phones.get_mut(&device) {
            return phone.note(moment);
        }
        let most = policy.strangers as usize;
        if most == 0 {
            return;
        }
        if self.strangers.len() >= most && !self.strangers.contains_key(&device) {
            let oldest = self.strangers.iter().min_by_key(|(_, stranger)| stranger.seen_ms);
            if let Some(oldest) = oldest.map(|(device, _)| *device) {
                self.strangers.remove(&oldest);
                counters.count(Counter::StrangersForgotten);
            }
        }
        let stranger = self
            .strangers
            .entry(device)
            .or_insert_with(|| Stranger { seen_ms: 0, timeline: Timeline::default() });
        stranger.seen_ms = moment.at_ms;
        stranger.timeline.note_within(moment, STRANGER_MOMENTS);
    }

    pub fn strangers(&self) -> impl Iterator<Item = (Device, u64, &Timeline)> {
        self.strangers.iter().map(|(device, stranger)| (*device, stranger.seen_ms, &stranger.timeline))
    }

    pub fn seen_at(&mut self, source: IpAddr, device: Device, policy: &PhonePolicy, now: u64) {
        let (source, most) = (network(source), (policy.devices as usize).saturating_mul(SOURCES_PER_DEVICE));
        if self.sources.len() < most || self.sources.contains_key(&source) {
            self.sources.insert(source, (device, now));
        }
    }

    pub fn device_at(&self, source: IpAddr, policy: &PhonePolicy, now: u64) -> Option<Device> {
        let (device, at_ms) = self.sources.get(&network(source))?;
        (!policy.is_idle(*at_ms, now) && self.phones.contains_key(device)).then_some(*device)
    }

    /// Whether the device fell idle.
    pub fn expire_one(&mut self, device: Device, policy: &PhonePolicy, now: u64) -> bool {
        let epoch = self.number();
        self.phones.get_mut(&device).is_some_and(|phone| phone.expire(policy, epoch, now))
    }

    /// Lets all go that are idle. Gives the devices that are forgotten, and the enrolment window if it has closed.
    pub fn expire(
        &mut self,
        policy: &PhonePolicy,
        counters: &Counters,
        now: u64,
    ) -> (Vec<Device>, Option<Option<Enrolment>>) {
        let epoch = self.number();
        let idle = self.phones.values_mut().map(|phone| u64::from(phone.expire(policy, epoch, now))).sum();
        counters.add(Counter::Idle, idle);
        let lapsed = self.phones.extract_if(|_, phone| phone.has_lapsed(policy, now));
        let lapsed: Vec<_> = lapsed.map(|(device, _)| device).collect();
        counters.add(Counter::EnrolmentsLapsed, lapsed.len() as u64);
        self.strangers
            .retain(|_, stranger| !policy.is_idle(stranger.seen_ms, now.saturating_sub(STRANGER_MS)));
        self.sources.retain(|_, (_, at_ms)| !policy.is_idle(*at_ms, now));
        let before = self.enrolment;
        self.enrolment = before.filter(|enrolment| enrolment.is_open(now)).map(|open| Enrolment {
            // Those who went again leave their places to others, or to themselves.
            devices_left: open.devices_left.saturating_add(u32::try_from(lapsed.len()).unwrap_or(u32::MAX)),
            ..open
        });
        let changed = (self.enrolment != before).then_some(self.enrolment);
        (lapsed, changed)
    }

    /// What the store does not have.
    pub fn changed(&mut self) -> Vec<Saved> {
        let dirty = self.phones.iter_mut().filter(|(_, phone)| phone.is_dirty);
        dirty
            .map(|(device, phone)| {
                phone.is_dirty = false;
                Saved::of(*device, phone)
            })
            .collect()
    }

    /// What [`changed`](Self::changed) gave is stored, or is not.
    pub fn written(&mut self, saved: &[Saved], is_stored: bool) {
        for Saved { device, moments, .. } in saved {
            if let Some(phone) = self.phones.get_mut(device) {
                if is_stored {
                    phone.timeline.stored(moments);
                } else {
                    phone.is_dirty = true;
                }
            }
        }
    }
}

/// How much longer than a phone's state a stranger is remembered, in milliseconds: an hour.
const STRANGER_MS: u64 = 3_600_000;
