//! Streams: a medium of a call reference on a connection, each one session of the data plane.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use pinhole_admin::{Event, EventKind, SecurityClass};
use pinhole_flow::{LegFlags, MasterKey, Session, Suite};
use pinhole_sccp::{Encryption, Frame, MasterKey as SccpKey, MasterSalt, MessageId};
use zeroize::Zeroizing;

use super::asked::Asked;
use super::relayed::Mark;
use super::{Skinny, SkinnyOutput};
use crate::DeviceName;
use crate::counters::Counter;
use crate::io::ConnId;
use crate::proxy::Proxy;
use crate::sessions::{NoRoom, Owner};
use crate::timers::Timer;

/// All that phones know (sccp 2.6.2).
const SUITE: Suite = Suite::AesCm128HmacSha1_32;
const KEY_LEN: usize = SccpKey::LEN;

/// A stream, numbered over the life of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StreamId(u64);

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    Audio,
    Video,
}

/// Which way, as the phone sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Receive,
    Transmit,
}

/// A channel that is open one way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Half {
    /// The pass-through party id.
    pub(super) party: u32,
    /// The header version of the message that opened it.
    pub(super) version: u32,
    pub(super) acknowledged: bool,
}

/// One medium of a call.
pub(super) struct Stream {
    pub(super) device: DeviceName,
    pub(super) cluster: usize,
    /// `None` once its connection is lost.
    pub(super) conn: Option<ConnId>,
    /// The call reference.
    pub(super) call: u32,
    pub(super) medium: Medium,
    pub(super) slot: u32,
    /// Its outside leg is plain RTP.
    pub(super) clear: bool,
    pub(super) receive: Option<Half>,
    pub(super) transmit: Option<Half>,
    /// The last key of the call manager's that reached the phone, if the last one is such: to receive, to transmit.
    pub(super) relayed: [Option<Mark>; 2],
    /// What ports were asked for, if they were before a channel.
    pub(super) asked: Option<Asked>,
    pub(super) since: Instant,
    /// When an authentic packet of the phone was last seen.
    pub(super) phone_media_seen: Instant,
}

impl Stream {
    /// The stream of a call in a slot, with no way open.
    pub(super) fn new(
        (device, cluster, conn): (DeviceName, usize, Option<ConnId>),
        (call, medium): (u32, Medium),
        (slot, clear): (u32, bool),
        now: Instant,
    ) -> Self {
        Self {
            device,
            cluster,
            conn,
            call,
            medium,
            slot,
            clear,
            receive: None,
            transmit: None,
            relayed: [None; 2],
            asked: None,
            since: now,
            phone_media_seen: now,
        }
    }

    /// Whether no way is open.
    pub(super) fn unused(&self) -> bool {
        self.receive.is_none() && self.transmit.is_none()
    }

    /// The last key of the call manager's that reached the phone this way.
    pub(super) fn relayed(&mut self, way: Way) -> &mut Option<Mark> {
        let [receive, transmit] = &mut self.relayed;
        match way {
            Way::Receive => receive,
            Way::Transmit => transmit,
        }
    }

    /// What is open that way.
    pub(super) fn opened(&self, way: Way) -> Option<Half> {
        match way {
            Way::Receive => self.receive,
            Way::Transmit => self.transmit,
        }
    }

    pub(super) fn half(&mut self, way: Way) -> &mut Option<Half> {
        match way {
            Way::Receive => &mut self.receive,
            Way::Transmit => &mut self.transmit,
        }
    }
}

impl Skinny {
    pub(super) fn next_id(&mut self) -> StreamId {
        self.last = StreamId(self.last.0 + 1);
        self.last
    }

    /// The streams of a connection.
    pub(super) fn streams_of(&self, conn: ConnId) -> Vec<StreamId> {
        self.connections.get(&conn).map(|connection| connection.streams.clone()).unwrap_or_default()
    }

    /// A connection's streams of a call, oldest first: of audio one, of video several.
    pub(super) fn of_call(
        &self,
        conn: ConnId,
        call: u32,
        medium: Medium,
    ) -> impl Iterator<Item = (StreamId, &Stream)> {
        let held = self.connections.get(&conn).into_iter().flat_map(|connection| &connection.streams);
        let known = held.filter_map(|id| Some((*id, self.streams.get(id)?)));
        known.filter(move |(_, stream)| (stream.call, stream.medium) == (call, medium))
    }

    /// A connection's stream of a channel. A call's audio is one; of its videos it is that of the party, or one that no other
    /// party has that way (a call manager may name each way's party differently). `way`: `None` for ports alone.
    pub(super) fn of_channel(
        &self,
        conn: ConnId,
        (party, call): (u32, u32),
        medium: Medium,
        way: Option<Way>,
    ) -> Option<StreamId> {
        let any = |_: &Stream| true;
        let its = |stream: &Stream| stream.is_of(party) && stream.is_free_for(party, way);
        let free = |stream: &Stream| stream.is_free_for(party, way);
        let find = |such: &dyn Fn(&Stream) -> bool| {
            self.of_call(conn, call, medium).find(|(_, stream)| such(stream)).map(|(id, _)| id)
        };
        match (medium, party) {
            (Medium::Audio, _) | (_, 0) => find(&any),
            _ => find(&its).or_else(|| find(&free)),
        }
    }

    /// The streams of a device whose connections are lost.
    pub(super) fn orphans(&self, device: &DeviceName) -> Vec<StreamId> {
        self.devices.of(device).map(|held| held.orphans.clone()).unwrap_or_default()
    }

    /// The stream with an open half that a message means: by party id, of several by call reference too. By the call alone
    /// only where one of the two has no party id, else a late message about a channel that is closed would mean the one
    /// that came after it. `waiting` means one that is not acknowledged rather than one that is, where no party tells; with
    /// neither party nor call, the only one.
    pub(super) fn find(
        &mut self,
        conn: ConnId,
        way: Way,
        medium: Option<Medium>,
        (party, call): (u32, u32),
        waiting: bool,
    ) -> Option<StreamId> {
        let mut open = Vec::new();
        for id in self.streams_of(conn) {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            let Some(half) = *stream.half(way) else { continue };
            if medium.is_none_or(|medium| medium == stream.medium) {
                open.push((id, half, stream.call));
            }
        }
        let same_party = |half: &Half| party != 0 && half.party == party;
        let same_call = |reference: u32| call != 0 && reference == call;
        let both = open.iter().find(|(_, half, reference)| same_party(half) && same_call(*reference));
        let by_party = || open.iter().find(|(_, half, _)| same_party(half));
        let by_call = || {
            let its =
                || open.iter().filter(|(_, half, call)| same_call(*call) && (party == 0 || half.party == 0));
            its().find(|(_, half, _)| waiting && !half.acknowledged).or_else(|| its().next())
        };
        if let Some((id, ..)) = both.or_else(by_party).or_else(by_call) {
            return Some(*id);
        }
        let mut pending = open.iter().filter(|(_, half, _)| !half.acknowledged);
        match (pending.next(), pending.next()) {
            (Some((id, ..)), None) if waiting && (party, call) == (0, 0) => Some(*id),
            _ => None,
        }
    }

    /// How many streams there are.
    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Call and device that a session serves, for operators.
    pub(crate) fn owner(&self, id: StreamId) -> Option<(String, String)> {
        let stream = self.streams.get(&id)?;
        Some((format!("sccp-{}", stream.call), stream.device.as_str().to_owned()))
    }
}

impl Proxy {
    /// The stream of a channel, made if there is none: without a key to send under, and with one to receive under that nobody has, so
    /// that nothing passes until a half opens. In the clear, nothing passes until an address is known.
    pub(super) fn skinny_stream(
        &mut self,
        conn: ConnId,
        (party, call): (u32, u32),
        medium: Medium,
        way: Option<Way>,
        now: Instant,
    ) -> Result<StreamId, Counter> {
        let Some(connection) = self.skinny.connections.get(&conn) else {
            return Err(Counter::UnknownConnections);
        };
        let (device, cluster, held) =
            (connection.device.clone(), connection.cluster, connection.streams.len());
        let clear = connection.class == SecurityClass::Authenticated;
        if let Some(id) = self.skinny.of_channel(conn, (party, call), medium, way) {
            return Ok(id);
        }
        if held >= self.config.limits.skinny_streams_per_connection || self.calls_full() {
            return Err(Counter::SkinnyStreamLimit);
        }
        let inside = self.config.clusters.get(cluster).map_or(0, |cluster| cluster.port);
        let id = self.skinny.next_id();
        let sides = [self.config.outside.port, inside];
        let slot = self.sessions.reserve(Owner::Stream(id), sides, now).map_err(|full| match full {
            NoRoom::Slots => Counter::SlotsExhausted,
            NoRoom::Ports => Counter::PortsExhausted,
        })?;
        let nobodys = self.skinny_key().0;
        if let Some(session) = self.sessions.get_mut(slot).filter(|_| !clear) {
            let [outside, _] = &mut session.orders.legs;
            outside.flags = LegFlags::LEARN | LegFlags::FRESH_KEYS;
            outside.inbound = nobodys;
        }
        let stream = Stream::new((device, cluster, Some(conn)), (call, medium), (slot, clear), now);
        self.skinny.streams.insert(id, stream);
        if let Some(connection) = self.skinny.connections.get_mut(&conn) {
            connection.streams.push(id);
        }
        Ok(id)
    }

    /// Changes a stream's orders and puts them in force. `anew`: the far end may begin anew. A phone that does
    /// has been given another key.
    pub(super) fn skinny_order(&mut self, id: StreamId, anew: bool, change: impl FnOnce(&mut Session)) {
        let Some(stream) = self.skinny.streams.get(&id) else { return };
        let (slot, clear, device) = (stream.slot, stream.clear, stream.device.clone());
        let Some(session) = self.sessions.get(slot) else { return };
        let (mut orders, opened) = (session.orders, session.opened);
        change(&mut orders);
        if let Some(command) = self.sessions.order(slot, orders, [false, anew]) {
            self.command(command);
            if !opened {
                self.count(Counter::SessionsOpened);
                if clear {
                    self.count(Counter::SessionsClear);
                }
                let text = format!("SCCP in slot {slot}, {}", if clear { "RTP" } else { SUITE.name() });
                self.event(Event::new(EventKind::SessionOpened, text).device(device.as_str()));
                self.skinny_write_note(id);
            }
        }
    }

    /// A fresh key, for the data plane and for a phone.
    pub(super) fn skinny_key(&mut self) -> (MasterKey, Encryption) {
        let mut bytes = Zeroizing::new([0; 32]);
        self.random(&mut bytes[..KEY_LEN]);
        let mut salt = Zeroizing::new([0; MasterSalt::LEN]);
        self.random(&mut salt[..]);
        let mut key = Zeroizing::new([0; KEY_LEN]);
        key.copy_from_slice(&bytes[..KEY_LEN]);
        let ours = MasterKey { suite: SUITE.code(), reserved: 0, salt: *salt, key: *bytes };
        (ours, Encryption::new(SccpKey::new(*key), MasterSalt::new(*salt)))
    }

    /// Our address and RTP port of a stream, outside and inside.
    pub(super) fn skinny_ends(&self, id: StreamId) -> Option<[SocketAddr; 2]> {
        let session = self.sessions.get(self.skinny.streams.get(&id)?.slot)?;
        let [outside, inside] = &session.orders.legs;
        let address = |port: u8| Some(self.config.media.get(usize::from(port))?.address);
        let end = |port: u8, rtp: u16| Some(SocketAddr::new(address(port)?, rtp));
        Some([end(outside.port, outside.local_rtp)?, end(inside.port, inside.local_rtp)?])
    }

    /// Closes one way of a stream: what the phone is to hear no more is not sent any more, and its own key gives way to one that
    /// nobody has, so that what is on its way still arrives. With the second way the stream ends. In the clear one way
    /// cannot be closed alone: the far end has been told to stop, and does.
    pub(super) fn skinny_close_half(&mut self, id: StreamId, way: Way, now: Instant) {
        self.skinny_note_silence(id);
        let Some(stream) = self.skinny.streams.get_mut(&id) else { return };
        *stream.half(way) = None;
        if stream.unused() {
            return self.skinny_close_stream(id, "both ways are closed", now);
        }
        let instead = match way {
            Way::Transmit if !stream.clear => self.skinny_key().0,
            _ => MasterKey::NONE,
        };
        self.skinny_order(id, false, |orders| {
            let [outside, inside] = &mut orders.legs;
            match way {
                Way::Receive => (outside.outbound, inside.inbound) = (instead, MasterKey::NONE),
                Way::Transmit => (outside.inbound, inside.outbound) = (instead, MasterKey::NONE),
            }
        });
    }

    /// Notes that nobody was heard while both ways of audio were open.
    fn skinny_note_silence(&mut self, id: StreamId) {
        let Some(stream) = self.skinny.streams.get(&id) else { return };
        if stream.medium == Medium::Audio && stream.receive.is_some() && stream.transmit.is_some() {
            let (device, conn, slot) = (stream.device.clone(), stream.conn, stream.slot);
            self.note_silence(&device, conn, slot);
        }
    }

    pub(super) fn skinny_close_stream(&mut self, id: StreamId, reason: &str, now: Instant) {
        self.skinny_note_silence(id);
        let Some(stream) = self.skinny.streams.remove(&id) else { return };
        self.timers.cancel(&Timer::Orphan(id));
        self.timers.cancel(&Timer::Unused(id));
        match stream.conn.and_then(|conn| self.skinny.connections.get_mut(&conn)) {
            Some(connection) => connection.streams.retain(|other| *other != id),
            None => {
                self.skinny.devices.change(&stream.device, |held| held.orphans.retain(|other| *other != id))
            }
        }
        let text = format!("SCCP in slot {}: {reason}", stream.slot);
        self.event(Event::new(EventKind::SessionClosed, text).device(stream.device.as_str()));
        let rested = self.rested(now);
        self.close_session(stream.slot, rested);
    }

    /// Packets were accepted on a stream's session, perhaps from the phone.
    pub(crate) fn skinny_activity(&mut self, id: StreamId, phone: bool, now: Instant) {
        if let Some(stream) = self.skinny.streams.get_mut(&id).filter(|_| phone) {
            stream.phone_media_seen = now;
        }
    }

    /// Ports were asked for long ago.
    pub(crate) fn skinny_unused(&mut self, id: StreamId, now: Instant) {
        if self.skinny.streams.get(&id).is_some_and(Stream::unused) {
            self.skinny_close_stream(id, "no channel has used its ports", now);
        }
    }

    /// The grace time of a stream without a connection is over: whoever still talks gets another.
    pub(crate) fn skinny_orphan(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.skinny.streams.get(&id).filter(|stream| stream.conn.is_none()) else {
            return;
        };
        let grace = self.config.timers.phone_lost_grace.max(std::time::Duration::from_secs(1));
        let again = stream.phone_media_seen + grace;
        if again > now {
            return self.timers.set(Timer::Orphan(id), again);
        }
        self.count(Counter::PhonesLost);
        self.skinny_close_stream(id, "the phone did not come back", now);
    }

    /// The data plane has refused a stream, or lost it. It ends, and the call manager hears of it as from the phone.
    pub(crate) fn skinny_failed(&mut self, id: StreamId, kind: EventKind, text: String, now: Instant) {
        let Some(stream) = self.skinny.streams.get(&id) else { return };
        self.event(Event::new(kind, text).device(stream.device.as_str()));
        self.skinny_tell_failure(id);
        self.skinny_close_stream(id, "the data plane does not carry it", now);
    }

    /// Refuses the halves that are not acknowledged yet, and says of a transmission that it has failed. That a channel
    /// to receive fails later, no phone can say.
    fn skinny_tell_failure(&mut self, id: StreamId) {
        let Some(stream) = self.skinny.streams.get(&id) else { return };
        let (Some(conn), Some(session)) = (stream.conn, self.sessions.get(stream.slot)) else { return };
        let [_, inside] = &session.orders.legs;
        let far = SocketAddr::new(inside.remote_ip(), inside.remote_rtp);
        let audio = stream.medium == Medium::Audio;
        let told = [(stream.receive, Way::Receive), (stream.transmit, Way::Transmit)].map(|(half, way)| {
            let half = half?;
            let answer = match (way, half.acknowledged, audio) {
                (Way::Receive, false, true) => MessageId::OPEN_RECEIVE_CHANNEL_ACK,
                (Way::Receive, false, false) => MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL_ACK,
                (Way::Receive, true, _) => return None,
                (Way::Transmit, false, true) => MessageId::START_MEDIA_TRANSMISSION_ACK,
                (Way::Transmit, false, false) => MessageId::START_MULTIMEDIA_TRANSMISSION_ACK,
                (Way::Transmit, true, _) => MessageId::MEDIA_TRANSMISSION_FAILURE,
            };
            Frame::media_failure(answer, half.version, (half.party, stream.call), far).ok()
        });
        for frame in told.into_iter().flatten() {
            self.skinny_output(SkinnyOutput::ToServer { conn, frame });
        }
    }

    /// The address of a phone's connection.
    pub(super) fn skinny_peer(&self, conn: ConnId) -> Option<IpAddr> {
        self.skinny.connections.get(&conn).map(|connection| connection.peer.ip())
    }
}
