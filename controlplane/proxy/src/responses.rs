//! Responses that come in: matched by branch, put back into the request's own frame, passed on.

use std::time::Instant;

use pinhole_sip::{Message, Method, name};

use crate::counters::Counter;
use crate::dialogs::SetId;
use crate::proxy::Proxy;
use crate::rewriting::without_tag;
use crate::teardown::Ending;
use crate::timers::Timer;
use crate::transactions::{Peer, Side, Transaction, TxId};

impl Proxy {
    pub(crate) fn response(&mut self, peer: &Peer, message: Message, now: Instant) {
        let (Ok(via), Ok(cseq), Some(code)) = (message.top_via(), message.cseq(), message.code()) else {
            self.count(Counter::MalformedMessages);
            return;
        };
        if message.validate().is_err() {
            self.count(Counter::MalformedMessages);
            return;
        }
        let found = via.branch().and_then(|branch| self.transactions.by_branch(branch, &cseq.method));
        let from_asked = |tx: &Transaction| match peer {
            Peer::Phone(device) => tx.client.side == Side::Phone && tx.device == *device,
            Peer::Cluster(cluster) => tx.client.side == Side::Cluster && tx.cluster == *cluster,
        };
        let fits = |tx: &Transaction| from_asked(tx) && tx.method == cseq.method && tx.cseq == cseq.number;
        let Some(id) = found.filter(|id| self.transactions.get(*id).is_some_and(fits)) else {
            self.count(Counter::StrayResponses);
            return;
        };
        let Some(tx) = self.transactions.get(id) else { return };
        let (earlier, own) = (tx.client.code, tx.server.is_none());
        let answered = tx.server.as_ref().is_some_and(|server| server.code >= 200);
        if own {
            self.own_response(id, code, now);
        } else if earlier >= 200 {
            self.later_response(id, earlier, code, message, now);
        } else if answered {
            self.late_final(id, code, &message, now);
        } else {
            self.first_response(id, code, message, now);
        }
    }

    /// A response to a request of our own.
    fn own_response(&mut self, id: TxId, code: u16, now: Instant) {
        if code >= 200 {
            self.remove_transaction(id);
            return;
        }
        let t2 = self.config.timers.t2;
        if let Some(tx) = self.transactions.get_mut(id) {
            tx.client.code = code;
            if tx.client.unreliable {
                self.timers.set(Timer::RequestAgain(id), now + t2);
            }
        }
    }

    /// A response after a final one: a retransmission, or the 2xx of another fork.
    fn later_response(&mut self, id: TxId, earlier: u16, code: u16, message: Message, now: Instant) {
        let Some(tx) = self.transactions.get(id) else { return };
        if tx.method != Method::Invite || code < 200 {
            return;
        }
        if earlier >= 300 {
            match (tx.client.ack.is_empty(), code) {
                (true, 200..300) => self.hang_up_answer(id, &message, now),
                (true, _) => self.acknowledge_failure(id, &message),
                _ => {
                    self.count(Counter::AnswerRetransmissions);
                    self.send_client(id, |client| client.ack.clone());
                }
            }
            return;
        }
        if code >= 300 {
            self.count(Counter::StrayResponses);
            return;
        }
        let number = tx.cseq;
        let to = tx.client.side;
        let Some((set, at)) = dialog_of(self, id, &message) else {
            self.pass(id, code, message, now);
            return;
        };
        let Some(set) = self.sets.get(set) else { return };
        let Some(dialog) = set.dialogs.get(at) else { return };
        if !dialog.confirmed {
            self.pass(id, code, message, now);
            return;
        }
        let acked = dialog.ack.clone().filter(|(acked, side, _)| *acked == number && *side == to);
        let (device, cluster, end) = (set.device.clone(), set.cluster, dialog.end(to).clone());
        self.count(Counter::AnswerRetransmissions);
        // Before the ACK comes there is nothing to say: who asked has the answer, or we repeat it.
        if let Some((_, _, bytes)) = acked {
            self.send_to(to, &device, cluster, &end, bytes);
        }
    }

    /// A final response after we have already answered in its place (time-out, CANCEL).
    fn late_final(&mut self, id: TxId, code: u16, message: &Message, now: Instant) {
        let Some(tx) = self.transactions.get_mut(id) else { return };
        if tx.method != Method::Invite || code < 200 {
            return;
        }
        tx.client.code = code;
        if code >= 300 {
            self.acknowledge_failure(id, message);
        } else {
            self.hang_up_answer(id, message, now);
        }
    }

    fn first_response(&mut self, id: TxId, code: u16, message: Message, now: Instant) {
        let (t2, whole, ring) =
            (self.config.timers.t2, self.config.timers.transaction(), self.config.timers.ring);
        let Some(tx) = self.transactions.get_mut(id) else { return };
        tx.client.code = code;
        let (invite, unreliable) = (tx.method == Method::Invite, tx.client.unreliable);
        if code < 200 {
            if invite {
                self.timers.cancel(&Timer::RequestAgain(id));
                if tx.client.cancel == crate::transactions::Cancel::No {
                    self.timers.set(Timer::TransactionEnd(id), now + ring + whole);
                }
                self.send_cancel(id, now);
            } else if unreliable {
                self.timers.set(Timer::RequestAgain(id), now + t2);
            }
            if code == 100 {
                return;
            }
        } else {
            self.timers.cancel(&Timer::RequestAgain(id));
        }
        self.pass(id, code, message, now);
    }

    /// Passes a response on.
    fn pass(&mut self, id: TxId, code: u16, mut message: Message, now: Instant) {
        let dialog = self.note_dialog(id, code, &message);
        let Some(tx) = self.transactions.get(id) else { return };
        let (method, set, cluster, device) = (tx.method.clone(), tx.set, tx.cluster, tx.device.clone());
        let from = tx.client.side;
        let to = from.other();
        if code >= 300 && method == Method::Invite {
            self.acknowledge_failure(id, &message);
        }
        match set {
            Some(set) => {
                if let Err(counter) = self.offer_in_response(set, id, code, &mut message, now) {
                    self.count(counter);
                    self.answer_refused(id, set, code, &message, now);
                    return;
                }
            }
            None => crate::description::drop_description(&mut message),
        }
        if method == Method::Register {
            self.register_response(id, code, &mut message, now);
        } else if (300..400).contains(&code) {
            self.map_redirection(&mut message, to, &device, cluster);
        } else if code >= 400 {
            message.remove(name::CONTACT);
        } else {
            let user = self.contact_user(id);
            self.replace_contact(&mut message, to, &device, cluster, &user);
        }
        self.edit_common(&mut message, to, &device, cluster);
        message.remove(name::VIA);
        message.remove(name::RECORD_ROUTE);
        let Some(server) = self.transactions.get(id).and_then(|tx| tx.server.as_ref()) else { return };
        if code < 300 {
            message.insert_top(server.record_routes.clone());
        }
        message.insert_top(server.vias.clone());
        self.pass_response(id, code, message.to_bytes(), now);
        if let Some(set) = set {
            if code >= 300 {
                self.request_failed(id, code, now);
            } else if code >= 200 {
                self.request_succeeded(id, set, &method, dialog, now);
            }
        }
    }

    /// Effects of a 2xx on calls and dialogs.
    fn request_succeeded(
        &mut self,
        id: TxId,
        set: SetId,
        method: &Method,
        dialog: Option<(SetId, usize)>,
        now: Instant,
    ) {
        match method {
            Method::Bye if self.asked_by_phone(id) => {
                self.dialog_ended(set, dialog.map(|(_, at)| at), "the phone hung up", now);
            }
            Method::Invite => {
                let initial = self.sets.call(set).is_some_and(|call| call.invite == Some(id));
                if initial {
                    self.call_answered(set, now);
                }
                self.write_notes(set);
            }
            Method::Update => self.write_notes(set),
            _ => {}
        }
    }

    /// Effects of a failure on calls and dialogs.
    pub(crate) fn request_failed(&mut self, id: TxId, code: u16, now: Instant) {
        let Some(tx) = self.transactions.get(id) else { return };
        let (Some(set), method) = (tx.set, tx.method.clone()) else { return };
        self.drop_offer_of(set, id, now);
        let initial = self.sets.call(set).is_some_and(|call| call.invite == Some(id) && !call.answered);
        match method {
            Method::Invite if initial => self.end_call(set, Ending::Failed(code), now),
            // A challenge: BYE comes again with credentials.
            Method::Bye if matches!(code, 401 | 407) => {}
            Method::Bye if self.asked_by_phone(id) => {
                self.end_call(set, Ending::Done("the phone hung up"), now);
            }
            Method::Bye => {}
            // The other end does not know the dialog any more (RFC 3261 section 12.2.1.2). To other
            // methods it may only mean a subscription within it (RFC 5057 section 5.1).
            Method::Invite | Method::Update
                if code == 481 && self.sets.call(set).is_some_and(|call| call.answered) =>
            {
                self.end_call(set, Ending::ByUs { code: 481, reason: "Dialog Unknown" }, now);
            }
            Method::Subscribe | Method::Refer => {
                let empty =
                    self.sets.get(set).is_some_and(|set| set.dialogs.is_empty() && set.call.is_none());
                if empty {
                    self.forget_set(set);
                }
            }
            _ => {}
        }
    }

    fn asked_by_phone(&self, id: TxId) -> bool {
        let server = self.transactions.get(id).and_then(|tx| tx.server.as_ref());
        server.is_some_and(|server| server.side == Side::Phone)
    }

    /// Keeps what a response says about its dialog: makes it, refreshes its target, confirms it.
    fn note_dialog(&mut self, id: TxId, code: u16, message: &Message) -> Option<(SetId, usize)> {
        if let Some(found) = dialog_of(self, id, message) {
            if code < 300 {
                self.refresh_dialog(id, found, code, message);
            }
            return Some(found);
        }
        let tx = self.transactions.get(id)?;
        let set_id = tx.set?;
        let makes = matches!(tx.method, Method::Invite | Method::Subscribe | Method::Refer);
        let asked = tx.server.as_ref()?.to.clone();
        let initial = asked.parse::<pinhole_sip::NameAddr>().ok()?.tag().is_none();
        if !makes || !initial || !(101..300).contains(&code) {
            return None;
        }
        let responder = tx.client.side;
        let tag = message.to_tag()?;
        let limit = self.config.limits.forks;
        let set = self.sets.get_mut(set_id)?;
        if set.initiator.other() != responder {
            return None;
        }
        let Some(at) = set.find_or_make(&tag, limit) else {
            self.count(Counter::ForkLimit);
            return None;
        };
        let end = set.dialogs.get_mut(at)?.end_mut(responder);
        // As the request says it: who answers does not choose a name for the dialog.
        end.address = without_tag(&asked);
        let mut routes = message.values(name::RECORD_ROUTE);
        routes.reverse();
        end.routes = routes;
        self.refresh_dialog(id, (set_id, at), code, message);
        Some((set_id, at))
    }

    fn refresh_dialog(&mut self, id: TxId, (set, at): (SetId, usize), code: u16, message: &Message) {
        let Some(tx) = self.transactions.get(id) else { return };
        let (responder, method) = (tx.client.side, tx.method.clone());
        let initial = tx
            .server
            .as_ref()
            .and_then(|server| server.to.parse::<pinhole_sip::NameAddr>().ok())
            .is_some_and(|to| to.tag().is_none());
        let targets = matches!(
            method,
            Method::Invite | Method::Update | Method::Subscribe | Method::Refer | Method::Notify
        );
        let Some(dialog) = self.sets.get_mut(set).and_then(|set| set.dialogs.get_mut(at)) else { return };
        let confirms = code >= 200 && matches!(method, Method::Invite | Method::Subscribe | Method::Refer);
        let settles = confirms && !dialog.confirmed;
        let end = dialog.end_mut(responder);
        if targets && let Some(contact) = message.contact().ok().flatten() {
            end.target = Some(contact.uri);
        }
        if settles {
            if initial {
                // The route set of a 2xx replaces that of the early dialog (RFC 3261 section 13.2.2.4).
                let mut routes = message.values(name::RECORD_ROUTE);
                routes.reverse();
                end.routes = routes;
            }
            dialog.confirmed = true;
        }
    }
}

/// The dialog that the tags of a response name.
fn dialog_of(proxy: &Proxy, id: TxId, message: &Message) -> Option<(SetId, usize)> {
    let tx = proxy.transactions.get(id)?;
    let set_id = tx.set?;
    let (from, to) = (message.from_tag()?, message.to_tag()?);
    let (phone, cluster) = match tx.client.side {
        Side::Cluster => (from, to),
        Side::Phone => (to, from),
    };
    Some((set_id, proxy.sets.get(set_id)?.find(&phone, &cluster)?))
}
