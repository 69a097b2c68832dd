//! Which message goes where, and what is changed in it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use pinhole_sccp::{Frame, MessageId, Sender, Server};

use super::SkinnyOutput;
use super::connections::Stage;
use super::streams::Way;
use crate::counters::Counter;
use crate::io::ConnId;
use crate::messages::Way as Counted;
use crate::proxy::Proxy;

/// What a phone may say before it has asked to be registered.
const BEFORE_REGISTER: [MessageId; 7] = [
    MessageId::KEEP_ALIVE,
    MessageId::REGISTER,
    MessageId::REGISTER_TOKEN_REQ,
    MessageId::SPCP_REGISTER_TOKEN_REQ,
    MessageId::UNREGISTER,
    MessageId::ALARM,
    MessageId::XML_ALARM,
];

/// Messages of multicast media, which does not reach outside: nobody there is of the group.
const MULTICAST: [MessageId; 5] = [
    MessageId::MULTICAST_MEDIA_RECEPTION_ACK,
    MessageId::START_MULTICAST_MEDIA_RECEPTION,
    MessageId::START_MULTICAST_MEDIA_TRANSMISSION,
    MessageId::STOP_MULTICAST_MEDIA_RECEPTION,
    MessageId::STOP_MULTICAST_MEDIA_TRANSMISSION,
];

/// Other messages whose addresses are of no use on the other side.
const NOT_CARRIED: [MessageId; 2] =
    [MessageId::START_SESSION_TRANSMISSION, MessageId::STOP_SESSION_TRANSMISSION];

impl Proxy {
    pub(super) fn skinny_from_phone(&mut self, conn: ConnId, mut frame: Frame, now: Instant) {
        let id = frame.id();
        self.count(Counter::SkinnyPhoneMessages);
        self.messages.sccp(Counted::FromPhone, id);
        match self.skinny_to_server(conn, &mut frame, now) {
            Ok(()) => self.skinny_output(SkinnyOutput::ToServer { conn, frame }),
            Err(counter) => {
                self.count(counter);
                self.messages.sccp(Counted::DroppedFromPhone, id);
            }
        }
    }

    pub(super) fn skinny_from_server(&mut self, conn: ConnId, mut frame: Frame, now: Instant) {
        let id = frame.id();
        self.count(Counter::SkinnyServerMessages);
        self.messages.sccp(Counted::FromCallManager, id);
        match self.skinny_to_phone(conn, &mut frame, now) {
            Ok(()) => self.skinny_output(SkinnyOutput::ToPhone { conn, frame }),
            Err(counter) => {
                self.count(counter);
                self.messages.sccp(Counted::DroppedFromCallManager, id);
            }
        }
    }

    /// Makes a phone's message fit for the call manager, or says why it is dropped.
    fn skinny_to_server(&mut self, conn: ConnId, frame: &mut Frame, now: Instant) -> Result<(), Counter> {
        let id = frame.id();
        let stage = self.skinny.connections.get(&conn).map(|connection| connection.stage);
        if stage.ok_or(Counter::UnknownConnections)? == Stage::Standby && !BEFORE_REGISTER.contains(&id) {
            return Err(Counter::SkinnyUnregistered);
        }
        self.skinny_passes(frame, Sender::Phone)?;
        match id {
            MessageId::REGISTER | MessageId::REGISTER_TOKEN_REQ | MessageId::SPCP_REGISTER_TOKEN_REQ => {
                self.skinny_register(conn, frame, now)
            }
            MessageId::OPEN_RECEIVE_CHANNEL_ACK | MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL_ACK => {
                self.skinny_acknowledged(conn, frame, Way::Receive, now)
            }
            MessageId::START_MEDIA_TRANSMISSION_ACK | MessageId::START_MULTIMEDIA_TRANSMISSION_ACK => {
                self.skinny_acknowledged(conn, frame, Way::Transmit, now)
            }
            MessageId::PORT_RESPONSE => self.skinny_ports(conn, frame),
            MessageId::MEDIA_TRANSMISSION_FAILURE => self.skinny_transmission_failed(conn, frame),
            MessageId::ALARM => {
                // Old phones end before the address.
                if let (true, Some(IpAddr::V4(local))) =
                    (frame.alarm_address().is_ok(), self.skinny_local(conn))
                {
                    frame.set_alarm_address(local)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Makes a call manager's message fit for the phone, or says why it is dropped.
    fn skinny_to_phone(&mut self, conn: ConnId, frame: &mut Frame, now: Instant) -> Result<(), Counter> {
        let connection = self.skinny.connections.get_mut(&conn).ok_or(Counter::UnknownConnections)?;
        connection.tell(frame, now);
        self.skinny_passes(frame, Sender::CallManager)?;
        match frame.id() {
            MessageId::OPEN_RECEIVE_CHANNEL | MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL => {
                return self.skinny_begin(conn, frame, Way::Receive, now);
            }
            MessageId::START_MEDIA_TRANSMISSION | MessageId::START_MULTIMEDIA_TRANSMISSION => {
                return self.skinny_begin(conn, frame, Way::Transmit, now);
            }
            MessageId::CLOSE_RECEIVE_CHANNEL | MessageId::CLOSE_MULTIMEDIA_RECEIVE_CHANNEL => {
                self.skinny_ended(conn, frame, Way::Receive, now);
            }
            MessageId::STOP_MEDIA_TRANSMISSION | MessageId::STOP_MULTIMEDIA_TRANSMISSION => {
                self.skinny_ended(conn, frame, Way::Transmit, now);
            }
            MessageId::PORT_REQUEST => self.skinny_port_request(conn, frame, now)?,
            MessageId::PORT_CLOSE => self.skinny_port_close(conn, frame, now),
            MessageId::REGISTER_ACK => self.skinny_registered(conn, frame, now),
            // A Reset ends nothing yet: a phone may finish its call first, then unregisters or lets go of the connection.
            MessageId::REGISTER_REJECT => self.skinny_rejected(conn, frame, now),
            MessageId::UNREGISTER_ACK if frame.unregister_status() == Ok(0) => {
                self.skinny_unregistered(conn, now);
            }
            MessageId::SERVER_RES => return self.skinny_servers(conn, frame),
            MessageId::CALL_INFO | MessageId::CALL_INFO_DYNAMIC => self.skinny_security(conn, frame),
            _ => {}
        }
        Ok(())
    }

    /// Whether a message may pass at all from that end.
    fn skinny_passes(&mut self, frame: &Frame, from: Sender) -> Result<(), Counter> {
        let id = frame.id();
        if id.name().is_none() {
            self.count(Counter::SkinnyUnknownMessages);
        }
        if MULTICAST.contains(&id) {
            return Err(Counter::SkinnyMulticast);
        }
        if id.carries_addresses_unread() || NOT_CARRIED.contains(&id) {
            return Err(Counter::SkinnyNotCarried);
        }
        let matters = frame.channel().is_some() || frame.registration().is_some();
        if matters && id.sender() != Some(from) {
            return Err(Counter::SkinnyWrongDirection);
        }
        Ok(())
    }

    /// The list of call managers: those that phones can reach, where they reach them.
    fn skinny_servers(&mut self, conn: ConnId, frame: &mut Frame) -> Result<(), Counter> {
        let connection = self.skinny.connections.get(&conn).ok_or(Counter::SkinnyMalformed)?;
        let cluster = self.config.clusters.get(connection.cluster).ok_or(Counter::SkinnyMalformed)?;
        let mut servers = frame.servers_mut().ok_or(Counter::SkinnyMalformed)?;
        let known = |place| {
            let listed = servers.get(place).ok()?;
            let inside = SocketAddr::new(listed.address, listed.port);
            // A port of 0 is the usual one; one that phones reach by TLS may be listed with its port for those that do not [I].
            let exactly = cluster.skinny.iter().find(|known| known.inside == inside);
            let known = exactly.or_else(|| {
                let mut same = cluster.skinny.iter().filter(|known| known.inside.ip() == inside.ip());
                same.find(|known| inside.port() == 0 || known.encrypted)
            })?;
            let at = if connection.legacy { known.legacy? } else { known.outside };
            Some(Server { name: known.name.clone().into_bytes(), port: at.port(), address: at.ip() })
        };
        let mut shown: Vec<Server> = (0..Server::PLACES).filter_map(known).collect();
        // Those left out leave no hole: a phone may end its reading at one.
        shown.resize(Server::PLACES, Server::none());
        for (place, server) in shown.iter().enumerate() {
            servers.set(place, server)?;
        }
        Ok(())
    }

    /// Our own address inside, for the phone on a connection.
    fn skinny_local(&self, conn: ConnId) -> Option<IpAddr> {
        let cluster = self.skinny.connections.get(&conn)?.cluster;
        self.config.clusters.get(cluster).map(|cluster| cluster.local.ip())
    }
}
