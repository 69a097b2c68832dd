//! Messages that open, start, acknowledge and close channels.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use pinhole_admin::SecurityClass;
use pinhole_flow::leg::mapped;
use pinhole_flow::{Leg, LegFlags, MasterKey, Suite};
use pinhole_sccp::{Algorithm, Channel, Encryption, FieldError, Frame, KeyBlock, MediaStatus, MessageId};

use super::SkinnyOutput;
use super::streams::{Half, Medium, StreamId, Way};
use crate::calls::Remote;
use crate::config::{Network, SkinnyCalls, SkinnyKeys};
use crate::counters::Counter;
use crate::io::ConnId;
use crate::proxy::Proxy;
use crate::streams::{reachable, set_remote};

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl From<FieldError> for Counter {
    fn from(_: FieldError) -> Self {
        Self::SkinnyMalformed
    }
}

/// The medium of a message about channels.
fn medium(id: MessageId) -> Medium {
    match id {
        MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL
        | MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL_ACK
        | MessageId::CLOSE_MULTIMEDIA_RECEIVE_CHANNEL
        | MessageId::START_MULTIMEDIA_TRANSMISSION
        | MessageId::START_MULTIMEDIA_TRANSMISSION_ACK
        | MessageId::STOP_MULTIMEDIA_TRANSMISSION => Medium::Video,
        _ => Medium::Audio,
    }
}

/// Party id and call reference; 0 where the message has none.
pub(super) fn ids<F: std::borrow::Borrow<Frame>>(channel: &Channel<F>) -> (u32, u32) {
    (channel.party().unwrap_or_default(), channel.call().unwrap_or_default())
}

/// Overwrites address and port as far as the message has them: what is there may be no valid address, and still show one.
fn blank(channel: &mut Channel<&mut Frame>) -> Result<(), Counter> {
    for blanked in [channel.set_address(NOWHERE.ip()), channel.set_port(NOWHERE.port())] {
        match blanked {
            // The message ends before the field, not within it.
            Err(FieldError::Short { at, length, .. }) if length <= at => {}
            other => other?,
        }
    }
    Ok(())
}

fn remote(at: SocketAddr) -> Remote {
    Remote { ip: Some(at.ip()), rtp: at.port(), rtcp: at.port().saturating_add(1), zero: false }
}

fn direct(leg: &mut Leg, at: SocketAddr) {
    set_remote(leg, &remote(at), false, true);
}

/// An inside leg whose far end is named: it is heard alone.
fn hear_only(leg: &mut Leg, far: SocketAddr) {
    direct(leg, far);
    leg.flags &= !(LegFlags::LEARN | LegFlags::LATCH);
    leg.latch_prefix = 0;
}

/// An inside leg that only hears, and whose sender nobody names: with a key it is who has that, else the first one of the
/// network.
fn listen(leg: &mut Leg, network: Option<Network>) {
    let keyed = leg.inbound.suite().is_some();
    let nowhere = Remote { ip: None, rtp: 0, rtcp: 0, zero: false };
    if !keyed && network.is_none() {
        // Whoever was named before.
        leg.flags &= !LegFlags::LEARN;
        return;
    }
    set_remote(leg, &nowhere, false, true);
    leg.flags &= !(LegFlags::LEARN | LegFlags::LATCH);
    leg.latch_prefix = 0;
    match network {
        _ if keyed => leg.flags |= LegFlags::LEARN,
        Some(network) => {
            leg.flags |= LegFlags::LATCH;
            leg.remote_ip = mapped(network.address.into());
            leg.latch_prefix = 96 + network.prefix.min(32);
        }
        None => {}
    }
}

impl Proxy {
    /// Opens one way. OpenReceiveChannel: the phone is to hear the far end under a key of ours. StartMediaTransmission: it is
    /// to speak to us under a key of ours, and we to the far end. If that cannot be, the call manager is told so in the phone's
    /// place.
    pub(super) fn skinny_begin(
        &mut self,
        conn: ConnId,
        frame: &mut Frame,
        way: Way,
        now: Instant,
    ) -> Result<(), Counter> {
        let begun = self.skinny_try_begin(conn, frame, way, now);
        if let Err(counter) = begun {
            let status = match counter {
                Counter::SlotsExhausted | Counter::PortsExhausted => MediaStatus::OUT_OF_SOCKETS,
                Counter::SkinnyStreamLimit => MediaStatus::OUT_OF_CHANNELS,
                _ => MediaStatus::UNKNOWN,
            };
            if let Some(Ok(frame)) = frame.refusal(status) {
                self.skinny_output(SkinnyOutput::ToServer { conn, frame });
            }
        }
        begun
    }

    fn skinny_try_begin(
        &mut self,
        conn: ConnId,
        frame: &mut Frame,
        way: Way,
        now: Instant,
    ) -> Result<(), Counter> {
        let (medium, version) = (medium(frame.id()), frame.version());
        let channel = frame.channel().ok_or(Counter::SkinnyMalformed)?;
        let (party, call) = (channel.party()?, channel.call()?);
        let far = channel.endpoint().ok().and_then(pinhole_sccp::Endpoint::socket_address);
        let usable = far.filter(|far| reachable(far.ip()) && far.port() != 0);
        let block = channel.encryption();
        let theirs = self.skinny_inside_key(conn, &block)?;
        if way == Way::Transmit && usable.is_none() {
            return Err(Counter::SkinnyUnreachable);
        }
        self.skinny_settle(conn, (party, call), medium);
        let relayed = match block {
            Ok(KeyBlock::Keyed(_)) if self.skinny_relays(conn) => {
                let open = self.skinny.of_channel(conn, (party, call), medium, Some(way));
                open.map_or(Ok(()), |id| self.skinny_differs(id, way, &theirs))?;
                Some(self.skinny_is_fresh(conn, open, way, &theirs)?)
            }
            _ => None,
        };
        let id = self.skinny_stream(conn, (party, call), medium, Some(way), now)?;
        self.skinny_matches(id, way, &theirs)?;
        let clear = self.skinny.streams.get(&id).is_some_and(|stream| stream.clear);
        let (ours, encryption) = match block {
            _ if clear => (MasterKey::NONE, None),
            Ok(KeyBlock::Keyed(encryption)) if relayed.is_some() => (theirs, Some(encryption)),
            _ => {
                let (ours, encryption) = self.skinny_key();
                (ours, Some(encryption))
            }
        };
        let written = self.skinny_write(id, frame, way, encryption.as_ref());
        let Some(stream) = self.skinny.streams.get_mut(&id) else { return Err(Counter::SkinnyMalformed) };
        if written.is_err() {
            if stream.unused() {
                self.skinny_close_stream(id, "its message cannot be rewritten", now);
            }
            return written;
        }
        *stream.half(way) = Some(Half { party, version, acknowledged: false });
        *stream.relayed(way) = relayed;
        if let Some(mark) = relayed {
            self.skinny.relayed.insert(&stream.device, mark, self.config.limits.devices);
        }
        let transmits = stream.transmit.is_some();
        let network = self.skinny_calls_of(conn).and_then(|calls| calls.unnamed_senders);
        self.skinny_order(id, true, |orders| {
            let [outside, inside] = &mut orders.legs;
            match way {
                Way::Receive => (outside.outbound, inside.inbound) = (ours, theirs),
                Way::Transmit => (outside.inbound, inside.outbound) = (ours, theirs),
            }
            // Where a channel's media comes from is said by few; where it goes to is where it comes from.
            match usable {
                _ if way == Way::Receive && transmits => {}
                Some(far) => hear_only(inside, far),
                None => listen(inside, network),
            }
        });
        self.skinny_take_back(conn, call);
        Ok(())
    }

    /// Whether a half's key goes with that of the other half, if that is open: a leg that is SRTP one way neither sends nor
    /// accepts anything in the clear the other way.
    fn skinny_matches(&mut self, id: StreamId, way: Way, theirs: &MasterKey) -> Result<(), Counter> {
        let stream = self.skinny.streams.get_mut(&id).ok_or(Counter::SkinnyMalformed)?;
        let other = if way == Way::Receive { Way::Transmit } else { Way::Receive };
        let open = stream.half(other).is_some();
        let session = self.sessions.get(stream.slot).ok_or(Counter::SkinnyMalformed)?;
        let [_, inside] = &session.orders.legs;
        let others = if way == Way::Receive { &inside.outbound } else { &inside.inbound };
        let keyed = |key: &MasterKey| *key != MasterKey::NONE;
        if open && keyed(others) != keyed(theirs) { Err(Counter::SkinnyKeysMixed) } else { Ok(()) }
    }

    /// Whether the call manager's keys are to reach the phone. Who speaks in the clear gets none.
    fn skinny_relays(&self, conn: ConnId) -> bool {
        let class = self.skinny.connections.get(&conn).map(|connection| connection.class);
        let relays = || self.skinny_calls_of(conn).is_some_and(|calls| calls.keys == SkinnyKeys::Relay);
        class != Some(SecurityClass::Authenticated) && relays()
    }

    /// How a phone's calls are to be treated.
    fn skinny_calls_of(&self, conn: ConnId) -> Option<&SkinnyCalls> {
        let cluster = self.skinny.connections.get(&conn).map(|connection| connection.cluster)?;
        self.config.clusters.get(cluster).map(|cluster| &cluster.skinny_calls)
    }

    /// Whether a key that is to reach the phone is not the other way's: else what was sent to the phone could be sent back to
    /// us, and would pass for the phone's.
    fn skinny_differs(&self, id: StreamId, way: Way, theirs: &MasterKey) -> Result<(), Counter> {
        let slot = self.skinny.streams.get(&id).map(|stream| stream.slot);
        let session = slot.and_then(|slot| self.sessions.get(slot)).ok_or(Counter::SkinnyMalformed)?;
        let [outside, _] = &session.orders.legs;
        let others = if way == Way::Receive { &outside.inbound } else { &outside.outbound };
        if others == theirs { Err(Counter::SkinnyKeysSame) } else { Ok(()) }
    }

    /// Puts our key, or none, and our outside address into a message to the phone. A channel whose sender is not named stays
    /// so.
    fn skinny_write(
        &mut self,
        id: StreamId,
        frame: &mut Frame,
        way: Way,
        encryption: Option<&Encryption>,
    ) -> Result<(), Counter> {
        let [outside, _] = self.skinny_ends(id).ok_or(Counter::SkinnyMalformed)?;
        let mut channel = frame.channel_mut().ok_or(Counter::SkinnyMalformed)?;
        let sender = channel.endpoint().ok().and_then(pinhole_sccp::Endpoint::socket_address);
        let named = sender.is_some_and(|sender| !sender.ip().is_unspecified());
        match way {
            Way::Transmit => channel.set_endpoint(outside)?,
            Way::Receive if named => channel.set_endpoint(outside)?,
            Way::Receive => blank(&mut channel)?,
        }
        let written = match encryption {
            Some(encryption) => channel.insert_encryption(encryption),
            None => channel.clear_encryption(),
        };
        Ok(written?)
    }

    /// The key of the inside leg that a call manager's block orders; [`MasterKey::NONE`] for none. A block that cannot be read
    /// may be what a server's memory held, where nothing is encrypted; from a call manager that speaks TLS it may as well be an
    /// order to encrypt, and nothing is sent in the clear in its stead.
    fn skinny_inside_key(
        &mut self,
        conn: ConnId,
        block: &Result<KeyBlock, FieldError>,
    ) -> Result<MasterKey, Counter> {
        let encrypted = self.skinny.connections.get(&conn).is_some_and(|connection| connection.encrypted);
        let encryption = match block {
            Ok(KeyBlock::Keyed(encryption)) => encryption,
            Ok(KeyBlock::Unreadable { .. }) if encrypted => return Err(Counter::SkinnyKeysUnusable),
            // The message ends within the block.
            Err(FieldError::Short { at, length, .. }) if encrypted && at < length => {
                return Err(Counter::SkinnyKeysUnusable);
            }
            Ok(KeyBlock::Unreadable { .. }) => {
                self.count(Counter::SkinnyKeysUnreadable);
                return Ok(MasterKey::NONE);
            }
            // A message that ends before its block does orders nothing.
            Ok(KeyBlock::Clear) | Err(_) => return Ok(MasterKey::NONE),
        };
        let suite = match encryption.algorithm {
            Algorithm::AesCm128HmacSha1_32 => Suite::AesCm128HmacSha1_32,
            Algorithm::AesCm128HmacSha1_80 => Suite::AesCm128HmacSha1_80,
            _ => return Err(Counter::SkinnyKeysUnusable),
        };
        // Which MKI packets carry, the block does not say.
        if encryption.mki || encryption.derivation_rate != 0 {
            return Err(Counter::SkinnyKeysUnusable);
        }
        let bytes =
            zeroize::Zeroizing::new([&encryption.key.expose()[..], encryption.salt.expose()].concat());
        MasterKey::new(suite, &bytes).ok_or(Counter::SkinnyKeysUnusable)
    }

    /// An acknowledgement: of a channel, of a transmission. The call manager is told our inside address.
    pub(super) fn skinny_acknowledged(
        &mut self,
        conn: ConnId,
        frame: &mut Frame,
        way: Way,
        now: Instant,
    ) -> Result<(), Counter> {
        let medium = medium(frame.id());
        let mut channel = frame.channel_mut().ok_or(Counter::SkinnyMalformed)?;
        let status = channel.status()?;
        let ids = ids(&channel);
        let Some(id) = self.skinny.find(conn, way, Some(medium), ids, true) else {
            return self.skinny_stray(conn, &mut channel, way, (medium, ids));
        };
        if status != MediaStatus::OK {
            channel.set_endpoint(NOWHERE)?;
            self.count(Counter::SkinnyChannelsFailed);
            self.skinny_close_half(id, way, now);
            return Ok(());
        }
        let claimed = channel.endpoint().ok().and_then(pinhole_sccp::Endpoint::socket_address);
        let claimed = claimed.filter(|claimed| claimed.port() != 0);
        let [_, inside] = self.skinny_ends(id).ok_or(Counter::SkinnyStrayChannels)?;
        channel.set_endpoint(inside)?;
        let peer = self.skinny_peer(conn);
        let Some(stream) = self.skinny.streams.get_mut(&id) else { return Err(Counter::SkinnyStrayChannels) };
        // Only the first counts: a phone could have us change our orders as often as it likes.
        let half = stream.half(way).as_mut();
        let first = half.is_some_and(|half| !std::mem::replace(&mut half.acknowledged, true));
        // A phone says where it thinks it is. We send only to where its TLS connection comes from: nobody can have media sent
        // to a third party. Of a phone with keys an authentic packet will tell; in the clear, the port is taken as it is said,
        // and nothing is learned.
        let plausible = match (claimed, peer) {
            (Some(claimed), Some(peer)) if stream.clear => Some(SocketAddr::new(peer, claimed.port())),
            (claimed, peer) => claimed.filter(|claimed| Some(claimed.ip()) == peer),
        };
        // Who only speaks in the clear is heard from where it says that it sends.
        let counts = way == Way::Receive || (stream.clear && stream.receive.is_none());
        if let Some(claimed) = plausible.filter(|_| first && counts) {
            self.skinny_order(id, false, |orders| {
                let [outside, _] = &mut orders.legs;
                direct(outside, claimed);
            });
        }
        Ok(())
    }

    /// An acknowledgement of no channel of ours: the data plane has refused it, or it is closed. A call manager that
    /// waits for it hears that there is none. One that names no channel, or whose call has another open by now, is
    /// dropped: it could be taken for that one's.
    fn skinny_stray(
        &mut self,
        conn: ConnId,
        channel: &mut Channel<&mut Frame>,
        way: Way,
        (medium, (party, call)): (Medium, (u32, u32)),
    ) -> Result<(), Counter> {
        let other_is_open =
            self.skinny.of_call(conn, call, medium).any(|(_, stream)| stream.opened(way).is_some());
        if (party, call) == (0, 0) || other_is_open {
            return Err(Counter::SkinnyStrayChannels);
        }
        channel.set_endpoint(NOWHERE)?;
        if channel.status()? == MediaStatus::OK {
            channel.set_status(MediaStatus::OUT_OF_SOCKETS)?;
        }
        self.count(Counter::SkinnyStrayChannels);
        Ok(())
    }

    /// CloseReceiveChannel, StopMediaTransmission. What means no channel of ours passes all the same.
    pub(super) fn skinny_ended(&mut self, conn: ConnId, frame: &Frame, way: Way, now: Instant) {
        let Some(channel) = frame.channel() else { return };
        if let Some(id) = self.skinny.find(conn, way, Some(medium(frame.id())), ids(&channel), false) {
            self.skinny_close_half(id, way, now);
        }
    }

    /// MediaTransmissionFailure: the phone names where it could not send to, which is ours; the call manager knows the far
    /// end's.
    pub(super) fn skinny_transmission_failed(
        &mut self,
        conn: ConnId,
        frame: &mut Frame,
    ) -> Result<(), Counter> {
        let mut channel = frame.channel_mut().ok_or(Counter::SkinnyMalformed)?;
        let id = self.skinny.find(conn, Way::Transmit, None, ids(&channel), false);
        let id = id.ok_or(Counter::SkinnyStrayChannels)?;
        let slot = self.skinny.streams.get(&id).map(|stream| stream.slot);
        let session = slot.and_then(|slot| self.sessions.get(slot)).ok_or(Counter::SkinnyStrayChannels)?;
        let [_, inside] = &session.orders.legs;
        let far = SocketAddr::new(inside.remote_ip(), inside.remote_rtp);
        self.count(Counter::SkinnyChannelsFailed);
        Ok(channel.set_endpoint(far)?)
    }
}
