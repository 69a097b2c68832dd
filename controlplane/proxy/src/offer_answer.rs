//! Offer and answer (RFC 3264) with security descriptions (RFC 4568): which description is an offer,
//! which its answer, and what becomes of the streams.
//!
//! Outside there is RTP/SAVP with exactly one crypto line in what we send, or RTP/AVP for devices of the class
//! *authenticated*; inside RTP/AVP without.
//! Audio and video over RTP are carried, each stream as one session. Other media lines (application,
//! image, DTLS-keyed RTP) go on with port 0: the far end sees them and cannot use them.

use std::time::Instant;

use pinhole_flow::Suite;
use pinhole_sdp::{Direction, Limits as SdpLimits, SdpError, SessionDescription, crypto};
use pinhole_sip::{Message, Method};

use crate::calls::{Keying, Offer, OfferedLine, Remote, Stream};
use crate::counters::Counter;
use crate::description::{Carried, drop_description, remote_of};
use crate::dialogs::SetId;
use crate::offered::key_of;
use crate::proxy::Proxy;
use crate::requests::Refusal;
use crate::teardown::Ending;
use crate::transactions::{Side, TxId};

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
    #[expect(clippy::too_many_arguments, reason = "one message, its place in the call, and the time")]
    fn offer(
        &mut self,
        set: SetId,
        by: Side,
        id: TxId,
        in_response: bool,
        sdp: SessionDescription,
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
        self.describe(by.other(), set, sdp, message, |at| {
            let line = lines.get(at).filter(|line| line.carried)?;
            Some(Carried { profile: line.profile, keying: line.keying, mux: false })
        });
        if let Some(call) = self.sets.call_mut(set) {
            call.offer = Some(Offer { by, carrier: id, in_response, answered: false, lines });
        }
        Ok(())
    }

    /// Takes an answer to the pending offer: sessions open or change, streams that were refused close.
    fn answer(
        &mut self,
        set: SetId,
        by: Side,
        sdp: SessionDescription,
        message: &mut Message,
        now: Instant,
    ) -> Result<(), Counter> {
        let Some(mut offer) = self.sets.call_mut(set).and_then(|call| call.offer.take()) else {
            return self.repeat(set, by, sdp, message);
        };
        if sdp.media().len() > offer.lines.len() {
            return Err(Counter::AnswerMalformed);
        }
        let agreed = agreed(by, &sdp, &offer.lines)?;
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
            if !agreed.iter().any(|agreed| agreed.at == at) {
                self.close_stream(set, at, now);
            }
        }
        for Agreed { at, keying, remote: answered, two_way } in &agreed {
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
        self.describe(by.other(), set, sdp, message, |at| {
            let keying = agreed.iter().find(|agreed| agreed.at == at)?.keying;
            let line = offer.lines.get(at)?;
            Some(Carried {
                profile: line.profile,
                keying: Some(keying),
                mux: line.mux && by == Side::Cluster,
            })
        });
        if let Some(call) = self.sets.call_mut(set) {
            call.offer = Some(offer);
        }
        self.watch_media(set, now);
        Ok(())
    }

    /// Rewrites a description that changes nothing: an answer given again.
    fn repeat(
        &mut self,
        set: SetId,
        by: Side,
        sdp: SessionDescription,
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
        self.describe(by.other(), set, sdp, message, |at| {
            let Stream { profile, keying, mux, .. } = self.sets.call(set)?.streams.get(&at)?;
            Some(Carried { profile: *profile, keying: *keying, mux: *mux && by == Side::Cluster })
        });
        Ok(())
    }

    /// Forgets an offer that will not be answered, with the streams that it would have made.
    pub(crate) fn drop_offer_of(&mut self, set: SetId, id: TxId, now: Instant) {
        let pending = |offer: &mut Offer| offer.carrier == id && !offer.answered;
        let dropped = self.sets.call_mut(set).and_then(|call| call.offer.take_if(pending));
        if dropped.is_some() {
            self.drop_tentative(set, now);
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

/// A media line that offer and answer agree on.
struct Agreed {
    /// Its number.
    at: usize,
    keying: Keying,
    /// Where the answer says that media goes.
    remote: Remote,
    two_way: bool,
}

/// What the answer of a side makes of the lines that it was offered.
fn agreed(by: Side, sdp: &SessionDescription, offered: &[OfferedLine]) -> Result<Vec<Agreed>, Counter> {
    let mut agreed = Vec::new();
    for (at, line) in offered.iter().enumerate() {
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
        let remote = remote_of(sdp, at, false).ok_or(Counter::AnswerMalformed)?;
        let two_way = line.two_way && sdp.direction_of(at) == Direction::SendRecv && !remote.zero;
        agreed.push(Agreed { at, keying, remote, two_way });
    }
    Ok(agreed)
}
