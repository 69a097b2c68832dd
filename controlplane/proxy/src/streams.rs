//! Streams and their sessions: one for each media line of a call, made by an offer, given its orders by the answer.

use std::net::IpAddr;
use std::time::Instant;

use pinhole_admin::EventKind;
use pinhole_flow::{LegFlags, MasterKey, Mki, Session, leg::mapped};

use crate::calls::{Keying, OfferedLine, Remote, Stream};
use crate::counters::Counter;
use crate::dialogs::SetId;
use crate::proxy::Proxy;
use crate::requests::Refusal;
use crate::sessions::{NoRoom, Owner};

impl Proxy {
    /// The stream of a media line, made when it is new.
    pub(crate) fn stream_for(
        &mut self,
        set: SetId,
        at: usize,
        kind: String,
        line: &OfferedLine,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Some(entry) = self.sets.get(set) else { return Ok(()) };
        if entry.call.as_ref().is_none_or(|call| call.streams.contains_key(&at)) {
            return Ok(());
        }
        let inside = self.config.clusters.get(entry.cluster).map_or(0, |cluster| cluster.port);
        let slot = self.sessions.reserve(Owner::Call(set), [self.config.outside.port, inside], now).map_err(
            |full| {
                let counter = match full {
                    NoRoom::Slots => Counter::SlotsExhausted,
                    NoRoom::Ports => Counter::PortsExhausted,
                };
                Refusal::new(503, "Service Unavailable", counter)
            },
        )?;
        let stream = Stream {
            slot,
            kind,
            profile: line.profile,
            keying: line.keying,
            mux: false,
            held: false,
            tentative: true,
        };
        if let Some(call) = self.sets.call_mut(set) {
            call.streams.insert(at, stream);
        }
        Ok(())
    }

    /// Gives the data plane a stream's orders, after a new offer (`anew`) also those that it has.
    #[expect(clippy::too_many_arguments, reason = "what was agreed on, and for which stream")]
    pub(crate) fn apply(
        &mut self,
        set: SetId,
        at: usize,
        keying: Keying,
        (phone, cluster): (Remote, Remote),
        mux: bool,
        peer: Option<IpAddr>,
        anew: bool,
    ) {
        let Some(stream) = self.sets.call_mut(set).and_then(|call| call.streams.get_mut(&at)) else { return };
        stream.keying = Some(keying);
        stream.mux = mux;
        stream.tentative = false;
        let (slot, kind) = (stream.slot, stream.kind.clone());
        let Some(session) = self.sessions.get(slot) else { return };
        let opened = session.opened;
        let mut orders: Session = session.orders;
        let [outside, inside] = &mut orders.legs;
        outside.flags = if mux { LegFlags::RTCP_MUX } else { 0 };
        // A phone says where it thinks it is. We send only to where its TLS connection comes from: nobody can have
        // media sent to a third party.
        match keying {
            Keying::Sdes(crypto) => {
                outside.flags |= LegFlags::LEARN;
                (outside.inbound, outside.mki) = crypto.phone.unwrap_or((MasterKey::NONE, Mki::NONE));
                outside.outbound = crypto.ours;
                // Otherwise an authentic packet will tell.
                set_remote(outside, &phone, mux, phone.ip.is_some() && phone.ip == peer);
            }
            Keying::Clear => {
                (outside.inbound, outside.outbound) = (MasterKey::NONE, MasterKey::NONE);
                outside.mki = Mki::NONE;
                set_remote(outside, &at_peer(phone, peer), mux, true);
            }
        }
        set_remote(inside, &cluster, false, true);
        if let Some(command) = self.sessions.order(slot, orders, [anew; 2]) {
            self.command(command);
            if !opened {
                self.count(Counter::SessionsOpened);
                if keying == Keying::Clear {
                    self.count(Counter::SessionsClear);
                }
                let text = format!("{kind} in slot {slot}, {}", keying.name());
                self.call_event(set, EventKind::SessionOpened, text);
            }
        }
    }

    pub(crate) fn drop_tentative(&mut self, set: SetId, now: Instant) {
        let Some(call) = self.sets.call(set) else { return };
        let tentative: Vec<usize> =
            call.streams.iter().filter(|(_, stream)| stream.tentative).map(|(at, _)| *at).collect();
        for at in tentative {
            self.close_stream(set, at, now);
        }
    }

    pub(crate) fn close_stream(&mut self, set: SetId, at: usize, now: Instant) {
        let rested = self.rested(now);
        if let Some(stream) = self.sets.call_mut(set).and_then(|call| call.streams.remove(&at)) {
            self.close_session(stream.slot, rested);
        }
    }
}

/// Where a phone is whose media is in the clear: at the port that it says, where its TLS connection comes from, whatever
/// address it says. Nothing in its packets proves that they are its own, so that nothing is learned from them.
fn at_peer(phone: Remote, peer: Option<IpAddr>) -> Remote {
    Remote { ip: peer.filter(|_| !phone.zero), ..phone }
}

pub(crate) fn set_remote(leg: &mut pinhole_flow::Leg, remote: &Remote, mux: bool, plausible: bool) {
    let ip = remote.ip.filter(|ip| plausible && reachable(*ip));
    leg.remote_ip = ip.map_or([0; 16], mapped);
    leg.remote_rtp = if ip.is_some() { remote.rtp } else { 0 };
    leg.remote_rtcp = match ip {
        Some(_) if mux => remote.rtp,
        Some(_) => remote.rtcp,
        None => 0,
    };
}

/// Addresses that the data plane can send to.
pub(crate) fn reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !ip.is_loopback() && !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified()
        }
        IpAddr::V6(_) => false,
    }
}
