//! Offer and answer (RFC 3264) with security descriptions (RFC 4568): which description is an offer,
//! which its answer, and what becomes of the streams.
//!
//! Outside there is RTP/SAVP with exactly one crypto line in what we send, or RTP/AVP for devices of the class
//! *authenticated*; inside RTP/AVP without.
//! Audio and video over RTP are carried, each stream as one session. Other media lines (application,
//! image, DTLS-keyed RTP) go on with port 0: the far end sees them and cannot use them.

use std::net::IpAddr;
use std::time::Instant;

use pinhole_admin::EventKind;
use pinhole_flow::{LegFlags, MasterKey, Mki, Session, Suite, leg::mapped};
use pinhole_sdp::{Direction, Limits as SdpLimits, SdpError, SessionDescription, crypto};
use pinhole_sip::{Message, Method, name};
use zeroize::Zeroizing;

use crate::calls::{Keying, Offer, OfferedLine, Profile, Remote, Stream};
use crate::counters::Counter;
use crate::description::{LineShape, remote_of, reshape};
use crate::dialogs::SetId;
use crate::offered::key_of;
use crate::proxy::Proxy;
use crate::requests::Refusal;
use crate::sessions::{NoRoom, Owner};
use crate::teardown::Ending;
use crate::transactions::{Side, TxId};

/// Removes a description that belongs to no call: its addresses are of no use on the other side.
pub(crate) fn drop_description(message: &mut Message) {
    if matches!(message.sdp(), Ok(None)) {
        return;
    }
    message.body.clear();
    for field in [name::CONTENT_TYPE, name::CONTENT_DISPOSITION, name::CONTENT_ENCODING] {
        message.remove(field);
    }
}

fn not_acceptable(counter: Counter) -> Refusal {
    Refusal::new(488, "Not Acceptable Here", counter)
}

impl Proxy {
    /// The description of a request within or at the start of a call, if it has one. `true`: it is an
    /// offer, its answer comes with the response.
    pub(crate) fn offer_in_request(
        &mut self,
        set: SetId,
        by: Side,
        id: TxId,
        method: &Method,
        message: &mut Message,
        now: Instant,
    ) -> Result<bool, Refusal> {
        if matches!(message.sdp(), Ok(None)) {
            return Ok(false);
        }
        let carries = matches!(method, Method::Invite | Method::Update | Method::Prack);
        let Some(call) = self.sets.call(set).filter(|_| carries) else {
            drop_description(message);
            return Ok(false);
        };
        let sdp = self.parse(message).map_err(not_acceptable)?;
        let pending = call.offer.as_ref().filter(|offer| !offer.answered);
        let answers = pending.is_some_and(|offer| offer.in_response && offer.by == by.other());
        if *method == Method::Prack && answers {
            return match self.answer(set, by, sdp, message, now) {
                Ok(()) => Ok(false),
                Err(counter) => {
                    self.end_call(set, Ending::ByUs { code: 488, reason: "Not Acceptable Here" }, now);
                    Err(not_acceptable(counter))
                }
            };
        }
        if pending.is_some() {
            return Err(Refusal::new(491, "Request Pending", Counter::OfferPending));
        }
        self.offer(set, by, id, false, sdp, message, now)?;
        Ok(true)
    }

    /// The description of a response: the answer to the request's offer, or an offer if it had none.
    pub(crate) fn offer_in_response(
        &mut self,
        set: SetId,
        id: TxId,
        code: u16,
        message: &mut Message,
        now: Instant,
    ) -> Result<(), Counter> {
        let Some(tx) = self.transactions.get(id) else { return Ok(()) };
        let (by, offered, method) = (tx.client.side, tx.offered, tx.method.clone());
        let relevant = match method {
            Method::Invite => (101..300).contains(&code),
            Method::Update | Method::Prack => (200..300).contains(&code),
            _ => false,
        };
        let Some(call) = self.sets.call(set).filter(|_| relevant) else {
            drop_description(message);
            return Ok(());
        };
        let current = call.offer.as_ref().filter(|offer| offer.carrier == id);
        let answered = current.is_some_and(|offer| offer.answered);
        if matches!(message.sdp(), Ok(None)) {
            if code >= 200 && offered && current.is_some() && !answered {
                self.drop_offer_of(set, id, now);
            }
            return Ok(());
        }
        let settled = call.answered && call.invite != Some(id) && answered;
        let known = current.is_some();
        let sdp = self.parse(message).map_err(|_| Counter::AnswerMalformed)?;
        if offered {
            if known && !settled {
                return self.answer(set, by, sdp, message, now);
            }
            return self.repeat(set, by, sdp, message);
        }
        if method != Method::Invite || answered {
            return self.repeat(set, by, sdp, message);
        }
        self.offer(set, by, id, true, sdp, message, now).map_err(|refusal| refusal.counter)
    }

    /// The description of an ACK: the answer to an offer that came with the 2xx.
    pub(crate) fn answer_in_ack(
        &mut self,
        set: SetId,
        by: Side,
        message: &mut Message,
        now: Instant,
    ) -> Result<(), Counter> {
        let pending =
            self.sets.call(set).and_then(|call| call.offer.as_ref()).filter(|offer| !offer.answered);
        let carrier =
            pending.filter(|offer| offer.in_response && offer.by == by.other()).map(|offer| offer.carrier);
        let Some(carrier) = carrier else {
            drop_description(message);
            return Ok(());
        };
        if matches!(message.sdp(), Ok(None)) {
            self.drop_offer_of(set, carrier, now);
            return Ok(());
        }
        let outcome = match self.parse(message) {
            Ok(sdp) => self.answer(set, by, sdp, message, now),
            Err(_) => Err(Counter::AnswerMalformed),
        };
        match outcome {
            Ok(()) => self.write_notes(set),
            Err(_) => drop_description(message),
        }
        outcome
    }

    /// Takes an offer: streams get ports, the description goes on in the other side's terms.
    #[allow(clippy::too_many_arguments, reason = "one message, its place in the call, and the time")]
    fn offer(
        &mut self,
        set: SetId,
        by: Side,
        id: TxId,
        in_response: bool,
        mut sdp: SessionDescription,
        message: &mut Message,
        now: Instant,
    ) -> Result<(), Refusal> {
        let lines = match by {
            Side::Phone => self.lines_of_phone(set, &sdp),
            Side::Cluster => self.lines_of_cluster(set, &sdp),
        };
        let mut lines = lines.map_err(not_acceptable)?;
        let wanted = sdp.media().iter().any(|section| section.port() != 0);
        if wanted && !lines.iter().any(|line| line.carried) {
            return Err(not_acceptable(Counter::OfferWithoutMedia));
        }
        for (at, line) in lines.iter_mut().enumerate().filter(|(_, line)| line.carried) {
            let kind = sdp.media().get(at).map_or("", pinhole_sdp::MediaSection::kind).to_owned();
            if let Err(refusal) = self.stream_for(set, at, kind, line, now) {
                self.drop_tentative(set, now);
                return Err(refusal);
            }
        }
        let shapes = self.shapes(set, by.other(), &sdp, |at| {
            lines
                .get(at)
                .filter(|line| line.carried)
                .map(|line| (line.profile, line.keying, false, line.remote.zero))
        });
        self.write(by.other(), set, &mut sdp, &shapes, message);
        if let Some(call) = self.sets.call_mut(set) {
            call.offer = Some(Offer { by, carrier: id, in_response, answered: false, lines });
        }
        Ok(())
    }

    /// The stream of a media line, made when it is new.
    fn stream_for(
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

    /// Takes an answer to the pending offer: sessions open or change, streams that were refused close.
    fn answer(
        &mut self,
        set: SetId,
        by: Side,
        mut sdp: SessionDescription,
        message: &mut Message,
        now: Instant,
    ) -> Result<(), Counter> {
        let Some(mut offer) = self.sets.call_mut(set).and_then(|call| call.offer.take()) else {
            return self.repeat(set, by, sdp, message);
        };
        if sdp.media().len() > offer.lines.len() {
            return Err(Counter::AnswerMalformed);
        }
        let mut agreed = Vec::new();
        for (at, line) in offer.lines.iter().enumerate() {
            let section = sdp.media().get(at).filter(|section| line.carried && section.port() != 0);
            let Some(section) = section else { continue };
            let mut keying = line.keying.ok_or(Counter::AnswerMalformed)?;
            match (by, &mut keying) {
                (Side::Phone, Keying::Sdes(crypto)) => {
                    if !section.is_srtp() {
                        return Err(Counter::AnswerNotSecure);
                    }
                    let fits = |answer: &crypto::Attribute| {
                        answer.tag == crypto.tag && Suite::from_name(&answer.suite) == Some(crypto.suite)
                    };
                    let lines: Vec<_> = section.cryptos().into_iter().flatten().collect();
                    let chosen = lines.iter().find(|line| fits(line)).ok_or(Counter::AnswerCryptoRefused)?;
                    crypto.phone = Some(key_of(chosen).ok_or(Counter::AnswerCryptoRefused)?);
                }
                _ if !section.is_rtp() || section.is_srtp() => return Err(Counter::AnswerMalformed),
                _ => {}
            }
            let remote = remote_of(&sdp, at, false).ok_or(Counter::AnswerMalformed)?;
            let two_way = sdp.direction_of(at) == Direction::SendRecv && !remote.zero;
            agreed.push((at, keying, remote, line.two_way && two_way));
        }
        // Several responses may bring the answer to one offer.
        let anew = !std::mem::replace(&mut offer.answered, true);
        let device = self.sets.get(set).map(|set| set.device.clone());
        let peer = device.and_then(|device| self.devices.get(&device)).map(|entry| entry.peer.ip());
        for at in self
            .sets
            .call(set)
            .map(|call| call.streams.keys().copied().collect::<Vec<_>>())
            .unwrap_or_default()
        {
            if !agreed.iter().any(|(other, ..)| *other == at) {
                self.close_stream(set, at, now);
            }
        }
        for (at, keying, answered, two_way) in &agreed {
            let Some(line) = offer.lines.get(*at) else { continue };
            let (phone, cluster) = match by {
                Side::Phone => (*answered, line.remote),
                Side::Cluster => (line.remote, *answered),
            };
            let mux = by == Side::Cluster && line.mux;
            self.apply(set, *at, *keying, (phone, cluster), mux, peer, anew);
            if let Some(stream) = self.sets.call_mut(set).and_then(|call| call.streams.get_mut(at)) {
                stream.held = !two_way;
                stream.profile = line.profile;
            }
        }
        let shapes = self.shapes(set, by.other(), &sdp, |at| {
            let (_, keying, remote, _) = agreed.iter().find(|(other, ..)| *other == at)?;
            let line = offer.lines.get(at)?;
            Some((line.profile, Some(*keying), line.mux && by == Side::Cluster, remote.zero))
        });
        self.write(by.other(), set, &mut sdp, &shapes, message);
        if let Some(call) = self.sets.call_mut(set) {
            call.offer = Some(offer);
        }
        self.watch_media(set, now);
        Ok(())
    }

    /// Gives the data plane a stream's orders, after a new offer (`anew`) also those that it has.
    #[allow(clippy::too_many_arguments, reason = "what was agreed on, and for which stream")]
    fn apply(
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

    /// Rewrites a description that changes nothing: an answer given again.
    fn repeat(
        &mut self,
        set: SetId,
        by: Side,
        mut sdp: SessionDescription,
        message: &mut Message,
    ) -> Result<(), Counter> {
        if by == Side::Phone {
            let clear = |at: usize| {
                let stream = self.sets.call(set).and_then(|call| call.streams.get(&at));
                stream.is_some_and(|stream| stream.keying == Some(Keying::Clear))
            };
            let plain = |(at, section): (usize, &pinhole_sdp::MediaSection)| {
                section.port() != 0 && section.is_rtp() && !section.is_srtp() && !clear(at)
            };
            if sdp.media().iter().enumerate().any(plain) {
                return Err(Counter::AnswerNotSecure);
            }
        }
        let shapes = self.shapes(set, by.other(), &sdp, |at| {
            let stream = self.sets.call(set)?.streams.get(&at)?;
            let zero = remote_of(&sdp, at, false).is_some_and(|remote| remote.zero);
            Some((stream.profile, stream.keying, stream.mux && by == Side::Cluster, zero))
        });
        self.write(by.other(), set, &mut sdp, &shapes, message);
        Ok(())
    }

    /// What each media line becomes towards a side. `carried` gives profile, keying, rtcp-mux and whether
    /// the address is the all-zero one.
    fn shapes(
        &self,
        set: SetId,
        to: Side,
        sdp: &SessionDescription,
        carried: impl Fn(usize) -> Option<(Profile, Option<Keying>, bool, bool)>,
    ) -> Vec<LineShape> {
        let clear = to == Side::Phone && self.may_be_clear(set);
        let shape = |at: usize, section: &pinhole_sdp::MediaSection| {
            let proto = if clear { section.proto().to_owned() } else { other_profile(section.proto(), to) };
            let off = LineShape::Off { proto };
            if section.port() == 0 {
                return off;
            }
            let Some((profile, keying, mux, zero)) = carried(at) else { return off };
            let slot = self.sets.call(set).and_then(|call| call.streams.get(&at)).map(|stream| stream.slot);
            let Some(session) = slot.and_then(|slot| self.sessions.get(slot)) else { return off };
            let [outside, inside] = &session.orders.legs;
            let (port, proto, crypto, mux) = match (to, keying) {
                (Side::Phone, Some(Keying::Sdes(crypto))) => {
                    let key = Zeroizing::new([crypto.ours.key(), crypto.ours.salt()].concat());
                    let line = crypto::Attribute::new(crypto.tag, crypto.suite.name(), &key);
                    let Ok(line) = line else { return off };
                    (outside.local_rtp, profile.secure(), Some(line), mux)
                }
                (Side::Phone, Some(Keying::Clear)) => (outside.local_rtp, profile.clear(), None, mux),
                (Side::Phone, None) => return off,
                (Side::Cluster, _) => (inside.local_rtp, profile.clear(), None, false),
            };
            LineShape::On { port, proto, crypto, mux, zero }
        };
        sdp.media().iter().enumerate().map(|(at, section)| shape(at, section)).collect()
    }

    /// Puts the rewritten description into the message.
    fn write(
        &mut self,
        to: Side,
        set: SetId,
        sdp: &mut SessionDescription,
        shapes: &[LineShape],
        message: &mut Message,
    ) {
        let cluster = self.sets.get(set).map_or(0, |set| set.cluster);
        let port = match to {
            Side::Phone => self.config.outside.port,
            Side::Cluster => self.config.clusters.get(cluster).map_or(0, |cluster| cluster.port),
        };
        let Some(address) = self.config.media.get(usize::from(port)).map(|port| port.address) else {
            drop_description(message);
            return;
        };
        reshape(sdp, address, shapes);
        if !matches!(message.replace_sdp(&sdp.to_bytes()), Ok(true)) {
            drop_description(message);
        }
    }

    /// Forgets an offer that will not be answered, with the streams that it would have made.
    pub(crate) fn drop_offer_of(&mut self, set: SetId, id: TxId, now: Instant) {
        let pending = |offer: &mut Offer| offer.carrier == id && !offer.answered;
        let dropped = self.sets.call_mut(set).and_then(|call| call.offer.take_if(pending));
        if dropped.is_some() {
            self.drop_tentative(set, now);
        }
    }

    fn drop_tentative(&mut self, set: SetId, now: Instant) {
        let Some(call) = self.sets.call(set) else { return };
        let tentative: Vec<usize> =
            call.streams.iter().filter(|(_, stream)| stream.tentative).map(|(at, _)| *at).collect();
        for at in tentative {
            self.close_stream(set, at, now);
        }
    }

    fn close_stream(&mut self, set: SetId, at: usize, now: Instant) {
        let rested = self.rested(now);
        if let Some(stream) = self.sets.call_mut(set).and_then(|call| call.streams.remove(&at)) {
            self.close_session(stream.slot, rested);
        }
    }

    fn parse(&self, message: &Message) -> Result<SessionDescription, Counter> {
        let limits = SdpLimits { media: self.config.limits.media_lines, ..SdpLimits::default() };
        let bytes = message.sdp().ok().flatten().ok_or(Counter::OfferMalformed)?;
        SessionDescription::parse(bytes, &limits).map_err(|error| match error {
            SdpError::TooManyMedia(_) => Counter::MediaLineLimit,
            _ => Counter::OfferMalformed,
        })
    }
}

/// The profile of a line that is off, in the other side's terms.
fn other_profile(proto: &str, to: Side) -> String {
    match (to, proto) {
        (Side::Cluster, "RTP/SAVP") => "RTP/AVP",
        (Side::Cluster, "RTP/SAVPF") => "RTP/AVPF",
        (Side::Phone, "RTP/AVP") => "RTP/SAVP",
        (Side::Phone, "RTP/AVPF") => "RTP/SAVPF",
        (_, other) => other,
    }
    .to_owned()
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
