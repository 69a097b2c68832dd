//! Connections of SCCP phones, and who may register on them.

use std::net::SocketAddr;
use std::time::Instant;

use pinhole_admin::{Event, EventKind, SecurityClass};
use pinhole_sccp::{Frame, MessageId};

use super::SkinnyOutput;
use super::calls::ToldCalls;
use super::indicator::Secured;
use super::streams::StreamId;
use crate::DeviceName;
use crate::config::SkinnyServer;
use crate::counters::Counter;
use crate::io::{ConnId, Connected};
use crate::proxy::Proxy;
use crate::timers::Timer;

/// A phone's connection, with the one inside that belongs to it.
pub(super) struct Connection {
    pub(super) device: DeviceName,
    pub(super) cluster: usize,
    /// The call manager.
    pub(super) to: SocketAddr,
    /// Whether the connection inside is encrypted.
    pub(super) encrypted: bool,
    pub(super) peer: SocketAddr,
    pub(super) tls: String,
    pub(super) class: SecurityClass,
    /// It came to a listener for old phones.
    pub(super) legacy: bool,
    pub(super) since: Instant,
    pub(super) stage: Stage,
    pub(super) streams: Vec<StreamId>,
    /// What the phone was told of its calls.
    pub(super) told: ToldCalls,
    /// Which of them it shows as secure.
    pub(super) secured: Secured,
}

impl Connection {
    /// Takes what a call manager says of a call.
    pub(super) fn tell(&mut self, frame: &Frame, now: Instant) {
        if let Some(over) = self.told.tell(frame, now) {
            self.secured.remove(over);
        }
    }

    /// No call goes on.
    fn forget_calls(&mut self) {
        self.told.clear();
        self.secured.clear();
    }
}

/// How far a phone has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Nothing that counts was said: a link to a backup stays so.
    Standby,
    /// It has asked, under its own name.
    Registering,
    /// The call manager has granted it.
    Registered,
}

impl Proxy {
    pub(super) fn skinny_connected(&mut self, connected: Connected, now: Instant) {
        let Connected { conn, device, peer, tls, class, listener } = connected;
        let cluster = self.cluster_of(&device);
        let server = cluster.and_then(|at| self.config.clusters.get(at)).and_then(|cluster| {
            let is = |server: &&SkinnyServer| server.outside == listener || server.legacy == Some(listener);
            cluster.skinny.iter().find(is)
        });
        let server = server.map(|server| (server.inside, server.encrypted, server.outside != listener));
        let (Some(cluster), Some((to, encrypted, legacy))) = (cluster, server) else {
            let text = format!("no [[cluster]] that serves {device} has a call manager behind {listener}");
            return self.skinny_refuse(conn, &device, Counter::SkinnyListenersUnknown, text);
        };
        // A phone has one connection to a call manager. When it makes another the old one is dead, whether we know or not.
        if let Some(old) = self.skinny_connection_to(&device, cluster, to) {
            self.count(Counter::PhonesReplaced);
            self.skinny_closed(old, "a newer connection takes over", now);
        }
        let text = format!("connected from {peer}, {tls}, SCCP");
        self.event(Event::new(EventKind::PhoneConnected, text).device(device.as_str()));
        self.skinny.devices.change(&device, |held| held.connections.push(conn));
        let (stage, streams, told) = (Stage::Standby, Vec::new(), ToldCalls::default());
        let connection = Connection {
            device,
            cluster,
            to,
            encrypted,
            peer,
            tls,
            class,
            legacy,
            since: now,
            stage,
            streams,
            told,
            secured: Secured::default(),
        };
        self.skinny.connections.insert(conn, connection);
        self.skinny_output(SkinnyOutput::Connect { conn, cluster, to });
    }

    /// A device's connection to a call manager.
    fn skinny_connection_to(&self, device: &DeviceName, cluster: usize, to: SocketAddr) -> Option<ConnId> {
        let same = |conn: &ConnId| {
            let other = self.skinny.connections.get(conn);
            other.is_some_and(|other| (other.cluster, other.to) == (cluster, to))
        };
        self.skinny.devices.of(device)?.connections.iter().copied().find(same)
    }

    fn skinny_refuse(&mut self, conn: ConnId, device: &DeviceName, counter: Counter, text: String) {
        self.count(counter);
        self.event(Event::new(EventKind::PhoneRefused, text).device(device.as_str()));
        self.skinny_output(SkinnyOutput::Close { conn, reason: counter.name() });
    }

    /// One of the two connections ended. Who talks goes on for a while.
    pub(super) fn skinny_closed(&mut self, conn: ConnId, reason: &'static str, now: Instant) {
        let Some(connection) = self.skinny.connections.remove(&conn) else { return };
        let grace = now + self.config.timers.phone_lost_grace;
        let text = match connection.streams.len() {
            0 => reason.to_owned(),
            n => format!("{reason}; {n} stream(s) go on for a while"),
        };
        self.event(Event::new(EventKind::PhoneClosed, text).device(connection.device.as_str()));
        self.skinny.devices.change(&connection.device, |held| {
            held.connections.retain(|other| *other != conn);
            held.orphans.extend(&connection.streams);
        });
        for id in connection.streams {
            if let Some(stream) = self.skinny.streams.get_mut(&id) {
                stream.conn = None;
                self.timers.set(Timer::Orphan(id), grace);
            }
        }
        self.skinny_output(SkinnyOutput::Close { conn, reason });
    }

    /// A request to be registered, or for a token: the name must be the certificate's, the address becomes ours.
    pub(super) fn skinny_register(
        &mut self,
        conn: ConnId,
        frame: &mut Frame,
        now: Instant,
    ) -> Result<(), Counter> {
        let Some(connection) = self.skinny.connections.get_mut(&conn) else {
            return Err(Counter::UnknownConnections);
        };
        let claimed = frame.registration().and_then(|request| request.device_name().ok().map(str::to_owned));
        if claimed.as_deref() != Some(connection.device.as_str()) {
            let device = connection.device.clone();
            let text = match claimed {
                Some(name) => {
                    format!("asks to register as {name}, which is not its certificate's name: refused")
                }
                None => "asks to register under an impossible name: refused".to_owned(),
            };
            self.event(Event::new(EventKind::IdentityRefused, text).device(device.as_str()));
            if let Ok(frame) = Frame::register_reject(frame.version(), "not your device name") {
                self.skinny_output(SkinnyOutput::ToPhone { conn, frame });
            }
            self.skinny_closed(conn, "it has asked for another name than its own", now);
            return Err(Counter::SkinnyNameRefused);
        }
        let local = self.config.clusters.get(connection.cluster).map(|cluster| cluster.local.ip());
        let mut request = frame.registration_mut().ok_or(Counter::SkinnyMalformed)?;
        request.set_address(local.ok_or(Counter::SkinnyMalformed)?)?;
        // Only what passes counts.
        if frame.id() == MessageId::REGISTER {
            connection.stage = connection.stage.max(Stage::Registering);
        }
        Ok(())
    }

    /// The call manager has granted a registration: what the phone did before, here or on connections that are lost, is
    /// over.
    pub(super) fn skinny_registered(&mut self, conn: ConnId, frame: &Frame, now: Instant) {
        let Some(connection) = self.skinny.connections.get_mut(&conn) else { return };
        connection.stage = Stage::Registered;
        connection.forget_calls();
        let device = connection.device.clone();
        self.count(Counter::SkinnyRegistrations);
        self.skinny_output(SkinnyOutput::Registered { conn });
        let protocol = frame.register_ack().map_or(0, |ack| ack.protocol);
        let text = format!("registered, SCCP protocol {protocol}");
        self.event(Event::new(EventKind::Registered, text).device(device.as_str()));
        let before = self.skinny.streams_of(conn).into_iter().chain(self.skinny.orphans(&device));
        for id in before.collect::<Vec<_>>() {
            self.skinny_close_stream(id, "the phone has registered anew", now);
        }
    }

    /// The call manager has refused a registration, or ended one.
    pub(super) fn skinny_rejected(&mut self, conn: ConnId, frame: &Frame, now: Instant) {
        let text = frame.reject_text().map(String::from_utf8_lossy).unwrap_or_default();
        let text: String = text.chars().filter(|shown| !shown.is_control()).collect();
        self.count(Counter::SkinnyRegistrationsRefused);
        self.skinny_output(SkinnyOutput::NotRegistered { conn, text });
        self.skinny_unregistered(conn, now);
    }

    /// The phone's registration is over, and with it all calls on the connection.
    pub(super) fn skinny_unregistered(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.skinny.connections.get_mut(&conn) else { return };
        let was = std::mem::replace(&mut connection.stage, Stage::Standby);
        connection.forget_calls();
        let device = connection.device.clone();
        if was == Stage::Registered {
            self.event(Event::new(EventKind::Unregistered, "unregistered").device(device.as_str()));
        }
        for id in self.skinny.streams_of(conn) {
            self.skinny_close_stream(id, "the phone is no longer registered", now);
        }
    }
}
