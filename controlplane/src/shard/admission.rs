//! From a finished handshake to a phone's connection, or to a refusal with its cause.

use std::net::SocketAddr;
use std::time::Instant;

use pinhole_admin::{Event, EventKind, SecurityClass};
use pinhole_devices::{Refusal as Untrusted, Verified};
use pinhole_provisioning::Failure;
use pinhole_provisioning::phones::Connections;
use pinhole_proxy::{DeviceName, Silence};

use super::Shard;
use super::connection::{Phone, Place, Stage};
use super::mailbox::ToShard;
use crate::counters::Counter;
use crate::provisioning::Session;
use crate::tls::Refusal;

impl Shard {
    /// Binds a connection to its device and brings it home.
    pub(super) fn handshake_done(&mut self, conn: u64, now: Instant) {
        let Some(mut phone) = self.phones.remove(&conn) else { return };
        let peer = phone.peer;
        self.turns.ended(peer.ip(), conn);
        let named = |identity: Verified| Some((DeviceName::new(&identity.device).ok()?, identity));
        let Some((device, identity)) = phone.tls.take_identity().and_then(named) else {
            return self.refused(peer, &Refusal::NoCertificate);
        };
        let office = self.shared.office.as_ref();
        let is_authenticated = || office.is_some_and(|office| office.is_authenticated(device.as_str()));
        if !phone.tls.is_encrypted() && !is_authenticated() {
            return self.hides_nothing(&mut phone, &device);
        }
        let limit = self.shared.config.limits.connections;
        let Some(place) = Place::take(&self.shared.connections, u64::from(limit)) else {
            self.counters.count(Counter::ConnectionLimit);
            phone.close();
            let text = format!("{peer} refused: {limit} connections (limits.connections)");
            return self.emit(Event::new(EventKind::LimitReached, text).device(device.as_str()));
        };
        // An SCCP phone holds a connection to each of its call managers; of SIP, the proxy serves the newest.
        let connections = if phone.speech.is_skinny() { Connections::Several } else { Connections::One };
        let admitted = office.map_or(Ok(None), |office| office.admit(&identity, connections, peer));
        match admitted {
            Ok(session) => phone.session = session,
            Err(failure) => {
                self.counters.count(Counter::NotAdmitted);
                phone.close();
                let (id, meaning, remedy) = (&identity.certificate, failure.meaning(), failure.remedy());
                let text = format!("{peer} refused with the certificate {id}: {meaning} {remedy}");
                return self.emit(Event::new(EventKind::PhoneRefused, text).device(device.as_str()));
            }
        }
        // An operator may have changed the class since it was asked for above.
        let class = phone.session.as_ref().map(Session::class);
        if !phone.tls.is_encrypted() && class != Some(SecurityClass::Authenticated) {
            return self.hides_nothing(&mut phone, &device);
        }
        for (is_so, counter) in [
            (identity.is_expired, Counter::ExpiredAccepted),
            (identity.crl_overdue, Counter::CrlOverdueAccepted),
        ] {
            if is_so {
                self.counters.count(counter);
            }
        }
        phone.place = Some(place);
        phone.stage = Stage::Bound(device.clone());
        self.counters.count(Counter::HandshakesDone);
        let home = device.shard(self.shared.config.controlplane.shards);
        if home == self.id {
            let tls = phone.tls.description();
            self.phones.insert(conn, phone);
            return self.bound(conn, device, peer, tls, now);
        }
        let _ = self.poll.registry().deregister(&mut phone.stream);
        self.counters.count(Counter::HandedOver);
        if let Some(mailbox) = self.shared.shards.get().and_then(|shards| shards.get(home as usize)) {
            mailbox.send(ToShard::Phone(Box::new(phone)));
        }
    }

    /// Refuses a phone whose TLS does not encrypt.
    fn hides_nothing(&mut self, phone: &mut Phone, device: &DeviceName) {
        self.counters.count(Counter::NullCipher);
        phone.close();
        let text = format!(
            "{} refused: {} hides nothing, and the device's class is not authenticated (pinholectl phone allow)",
            phone.peer,
            phone.tls.description()
        );
        self.emit(Event::new(EventKind::PhoneRefused, text).device(device.as_str()));
    }

    /// Tells the secure-phone database that a phone has sent something; `false`: its session is over, and its
    /// connection is closed.
    pub(super) fn is_alive(&mut self, conn: u64, now: Instant) -> bool {
        let session = self.phones.get_mut(&conn).and_then(|phone| phone.session.as_mut());
        let told = session.map_or(Ok(()), |session| session.alive(now));
        self.goes_on(conn, told, now)
    }

    /// An operator has changed what the database says of a device: connections whose session that has ended are closed now,
    /// not with the next message.
    pub(super) fn look_again(&mut self, device: &DeviceName, now: Instant) {
        let is_its = |phone: &Phone| matches!(&phone.stage, Stage::Bound(of) if of == device);
        let its = self.phones.iter().filter(|(_, phone)| is_its(phone));
        for conn in its.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.look_at(conn, now);
        }
    }

    /// Closes a connection whose session has ended.
    pub(super) fn look_at(&mut self, conn: u64, now: Instant) {
        let session = self.phones.get(&conn).and_then(|phone| phone.session.as_ref());
        let told = session.map_or(Ok(()), Session::holds);
        self.goes_on(conn, told, now);
    }

    /// The call manager has accepted a registration of a phone.
    pub(super) fn phone_registered(&mut self, conn: u64, now: Instant) {
        let session = self.phones.get(&conn).and_then(|phone| phone.session.as_ref());
        let told = session.map_or(Ok(()), Session::registered);
        self.goes_on(conn, told, now);
    }

    /// The call manager has refused a registration of a phone, in these words.
    pub(super) fn phone_not_registered(&self, conn: u64, answer: &str) {
        if let Some(session) = self.phones.get(&conn).and_then(|phone| phone.session.as_ref()) {
            session.not_registered(answer);
        }
    }

    /// A call of a phone ended in which nothing was heard from somewhere.
    pub(super) fn phone_not_heard(&self, conn: u64, from: Silence) {
        if let Some(session) = self.phones.get(&conn).and_then(|phone| phone.session.as_ref()) {
            session.no_audio(from);
        }
    }

    fn goes_on(&mut self, conn: u64, told: Result<(), Failure>, now: Instant) -> bool {
        let Err(failure) = told else { return true };
        if let Some(phone) = self.phones.get(&conn) {
            self.counters.count(Counter::SessionOver);
            self.emit(session_over(phone, failure));
            self.phone_gone(conn, now);
        }
        false
    }

    /// Counts a refused connection, and says why.
    pub(super) fn refused(&mut self, peer: SocketAddr, refusal: &Refusal) {
        if let Some(office) = &self.shared.office {
            office.refused(refusal, peer);
        }
        self.counters.count(counter(refusal));
        self.emit(Event::new(EventKind::PhoneRefused, format!("{peer} refused: {refusal}")));
    }
}

/// That a connection is closed because its session has ended.
pub(super) fn session_over(phone: &Phone, failure: Failure) -> Event {
    let text = format!("{} closed: {} {}", phone.peer, failure.meaning(), failure.remedy());
    let event = Event::new(EventKind::PhoneClosed, text);
    match &phone.stage {
        Stage::Bound(device) => event.device(device.as_str()),
        Stage::Handshake | Stage::Closing => event,
    }
}

/// What counts a refusal.
pub(super) fn counter(refusal: &Refusal) -> Counter {
    match refusal {
        Refusal::NoCertificate => Counter::NoCertificate,
        Refusal::Certificate(refused) => cause(&refused.refusal),
        Refusal::NotHolder(_) => Counter::NotHolder,
        Refusal::RefusedUs(_) => Counter::RefusedUs,
        Refusal::Protocol(_) => Counter::TlsProtocol,
    }
}

fn cause(refusal: &Untrusted) -> Counter {
    match refusal {
        Untrusted::UnknownCa { .. } => Counter::UnknownCa,
        Untrusted::Invalid(_) => Counter::BadCertificate,
        Untrusted::ChainTooLong => Counter::ChainTooLong,
        Untrusted::Constraints { .. } => Counter::Constraints,
        Untrusted::Weak { .. } => Counter::Weak,
        Untrusted::Revoked { .. } => Counter::Revoked,
        Untrusted::CrlOverdue { .. } => Counter::CrlOverdue,
        Untrusted::NotYetValid { .. } => Counter::NotYetValid,
        Untrusted::Name { .. } => Counter::NoDeviceName,
        Untrusted::OtherCluster { .. } => Counter::OtherCluster,
        Untrusted::Expired { .. } => Counter::Expired,
    }
}
