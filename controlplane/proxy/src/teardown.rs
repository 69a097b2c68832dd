//! How calls become answered and how they end, whoever ends them.

use std::time::Instant;

use pinhole_admin::{Event, EventKind};
use pinhole_flow::Refusal as MediaRefusal;
use pinhole_sip::{Message, Method, name};

use crate::DeviceName;
use crate::counters::Counter;
use crate::dialogs::{Dialog, SetId};
use crate::io::{ConnId, Output};
use crate::proxy::Proxy;
use crate::requests::hop_of;
use crate::sessions::Owner;
use crate::timers::Timer;
use crate::transactions::{Side, TxId};

/// Why a call ends, and what is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The ends have agreed: nothing to say.
    Done(&'static str),
    /// The INVITE failed with this status.
    Failed(u16),
    /// The INVITE was refused before it went anywhere.
    Refused(Counter),
    /// We end it: BYE to both ends, or this status and CANCEL while it is not answered.
    ByUs {
        /// Status for who waits for an answer.
        code: u16,
        /// Its reason phrase.
        reason: &'static str,
    },
}

impl Proxy {
    pub(crate) fn call_answered(&mut self, set: SetId, now: Instant) {
        self.timers.cancel(&Timer::Ring(set));
        let Some(call) = self.sets.call_mut(set) else { return };
        if std::mem::replace(&mut call.answered, true) {
            return;
        }
        call.invite = None;
        call.media_seen = now;
        let suite = call.suite().unwrap_or("no media yet");
        self.count(Counter::CallsAnswered);
        self.call_event(set, EventKind::CallAnswered, format!("answered, {suite}"));
        self.watch_media(set, now);
    }

    /// Ends a call: its media at once, its dialogs as `ending` says.
    pub(crate) fn end_call(&mut self, set: SetId, ending: Ending, now: Instant) {
        let Some(call) = self.sets.take_call(set) else { return };
        for timer in [Timer::Ring(set), Timer::Media(set), Timer::Grace(set)] {
            self.timers.cancel(&timer);
        }
        for stream in
            call.streams.values().filter(|stream| call.answered && !stream.held && stream.kind == "audio")
        {
            if let Some(device) = self.sets.get(set).map(|set| set.device.clone()) {
                let conn = self.conn_of(&device);
                self.note_silence(&device, conn, stream.slot);
            }
        }
        let rested = self.rested(now);
        for stream in call.streams.values() {
            self.close_session(stream.slot, rested);
        }
        let text = match ending {
            Ending::Done(text) => text.to_owned(),
            Ending::Failed(code) => format!("not answered: {code}"),
            Ending::Refused(counter) => format!("refused: {}", counter.name()),
            Ending::ByUs { code, reason } => format!("ended by the proxy: {code} {reason}"),
        };
        if let Ending::Refused(_) = ending {
            self.call_event(set, EventKind::CallRefused, text);
        } else {
            self.count(Counter::CallsEnded);
            self.call_event(set, EventKind::CallEnded, text);
        }
        if let Ending::ByUs { code, reason } = ending {
            self.end_invites(set, code, reason, now);
            self.hang_up(set, now);
        }
        let confirmed =
            self.sets.get(set).is_some_and(|set| set.dialogs.iter().any(|dialog| dialog.confirmed));
        if confirmed {
            // Late messages of the dialog still find it for a while.
            self.timers.set(Timer::DialogsIdle(set), now + self.config.timers.transaction());
        } else {
            self.forget_set(set);
        }
    }

    /// A dialog has ended by BYE; the call with it, unless another fork of it was answered as well.
    pub(crate) fn dialog_ended(
        &mut self,
        set_id: SetId,
        at: Option<usize>,
        text: &'static str,
        now: Instant,
    ) {
        let Some(set) = self.sets.get_mut(set_id) else { return };
        let confirmed = set.dialogs.iter().filter(|dialog| dialog.confirmed).count();
        if confirmed > 1
            && let Some(at) = at.filter(|at| *at < set.dialogs.len())
        {
            set.dialogs.remove(at);
            return;
        }
        self.end_call(set_id, Ending::Done(text), now);
    }

    /// Answers and cancels the INVITEs of a call that we end.
    fn end_invites(&mut self, set: SetId, code: u16, reason: &str, now: Instant) {
        for id in self.transactions.of_set(set) {
            let Some(tx) = self.transactions.get(id) else { continue };
            let waits = tx.server.as_ref().is_some_and(|server| server.code < 200);
            if tx.method != Method::Invite || !waits {
                continue;
            }
            if tx.client.code < 200 {
                self.cancel_invite(id, Vec::new(), now);
            }
            self.respond_locally(id, code, reason, now);
        }
    }

    /// Sends BYE to both ends of every answered dialog.
    fn hang_up(&mut self, set: SetId, now: Instant) {
        let Some(entry) = self.sets.get(set) else { return };
        let (call_id, device, cluster) = (entry.call_id.clone(), entry.device.clone(), entry.cluster);
        let dialogs: Vec<Dialog> = entry.dialogs.iter().filter(|dialog| dialog.confirmed).cloned().collect();
        for dialog in dialogs {
            for side in [Side::Phone, Side::Cluster] {
                self.send_bye(&call_id, &device, cluster, &dialog, side, now);
            }
        }
        if let Some(entry) = self.sets.get_mut(set) {
            for dialog in &mut entry.dialogs {
                dialog.phone.cseq += 1;
                dialog.cluster.cseq += 1;
            }
        }
    }

    /// Sends BYE to one end in the name of the other.
    fn send_bye(
        &mut self,
        call_id: &str,
        device: &DeviceName,
        cluster: usize,
        dialog: &Dialog,
        to: Side,
        now: Instant,
    ) {
        if to == Side::Phone && self.conn_of(device).is_none() {
            return;
        }
        let cseq = dialog.end(to.other()).cseq + 1;
        let of = (device, cluster);
        let Some((message, branch)) = self.own_message(Method::Bye, call_id, of, dialog, to, cseq) else {
            return;
        };
        let route = match to {
            Side::Phone => None,
            Side::Cluster => self.cluster_route(cluster, device, hop_of(dialog.end(to))),
        };
        self.own_request(message, branch, to, route, (device.clone(), cluster, None), now);
    }

    /// A request within a dialog, to one end in the name of the other.
    fn own_message(
        &mut self,
        method: Method,
        call_id: &str,
        (device, cluster): (&DeviceName, usize),
        dialog: &Dialog,
        to: Side,
        cseq: u32,
    ) -> Option<(Message, String)> {
        let (receiver, sender) = (dialog.end(to), dialog.end(to.other()));
        let mut message = Message::request(method.clone(), receiver.target.as_deref()?);
        let branch = self.new_branch();
        message.push(name::VIA, &self.our_via(to, device, cluster, &branch).to_string());
        if !receiver.routes.is_empty() {
            message.push(name::ROUTE, &receiver.routes.join(", "));
        }
        message.push(name::MAX_FORWARDS, "70");
        message.push(name::FROM, &format!("{};tag={}", sender.address, sender.tag));
        message.push(name::TO, &format!("{};tag={}", receiver.address, receiver.tag));
        message.push(name::CALL_ID, call_id);
        message.push(name::CSEQ, &format!("{cseq} {method}"));
        Some((message, branch))
    }

    /// Ends a dialog that a 2xx has made and that nobody can use: ACK, then BYE to who answered.
    pub(crate) fn hang_up_answer(&mut self, id: TxId, message: &Message, now: Instant) {
        let Some(tx) = self.transactions.get(id) else { return };
        let (side, cluster, device, cseq) = (tx.client.side, tx.cluster, tx.device.clone(), tx.cseq);
        let call_id = message.call_id().unwrap_or_default().to_owned();
        let mut routes = message.values(name::RECORD_ROUTE);
        routes.reverse();
        let responder = crate::dialogs::End {
            tag: message.to_tag().unwrap_or_default(),
            address: crate::rewriting::without_tag(message.header(name::TO).unwrap_or_default()),
            target: message.contact().ok().flatten().map(|contact| contact.uri),
            routes,
            cseq: 0,
        };
        let requester = crate::dialogs::End {
            tag: message.from_tag().unwrap_or_default(),
            address: crate::rewriting::without_tag(message.header(name::FROM).unwrap_or_default()),
            target: None,
            routes: Vec::new(),
            cseq,
        };
        let (phone, cluster_end) = match side {
            Side::Phone => (responder, requester),
            Side::Cluster => (requester, responder),
        };
        let dialog = Dialog { phone, cluster: cluster_end, confirmed: true, ack: None };
        let of = (&device, cluster);
        if let Some((ack, _)) = self.own_message(Method::Ack, &call_id, of, &dialog, side, cseq) {
            let end = dialog.end(side).clone();
            let bytes = ack.to_bytes();
            if let Some(tx) = self.transactions.get_mut(id) {
                tx.client.ack.clone_from(&bytes);
            }
            self.send_to(side, &device, cluster, &end, bytes);
        }
        self.send_bye(&call_id, &device, cluster, &dialog, side, now);
    }

    /// An answer cannot be used: nobody may believe that the call stands.
    pub(crate) fn answer_refused(
        &mut self,
        id: TxId,
        set: SetId,
        code: u16,
        message: &Message,
        now: Instant,
    ) {
        self.call_event(set, EventKind::CallRefused, "the answer cannot be used: see the counters");
        let Some(tx) = self.transactions.get(id) else { return };
        let initial = self.sets.call(set).is_some_and(|call| call.invite == Some(id) && !call.answered);
        if tx.method == Method::Invite && initial {
            if code >= 200 {
                if let Some(set) = self.sets.get_mut(set) {
                    set.dialogs.clear();
                }
                self.hang_up_answer(id, message, now);
            }
        } else if tx.method == Method::Invite && code >= 200 {
            // A re-INVITE: acknowledged, then the whole dialog ends.
            self.acknowledge_answer(id, set, message);
        }
        let waits = self.transactions.get(id).and_then(|tx| tx.server.as_ref()).is_some_and(|s| s.code < 200);
        if waits && (code >= 200 || !initial) {
            self.respond_locally(id, 488, "Not Acceptable Here", now);
        }
        self.end_call(set, Ending::ByUs { code: 488, reason: "Not Acceptable Here" }, now);
    }

    /// ACK of a 2xx to a re-INVITE, in the name of who will not see it.
    fn acknowledge_answer(&mut self, id: TxId, set: SetId, message: &Message) {
        let Some(tx) = self.transactions.get(id) else { return };
        let (side, cseq) = (tx.client.side, tx.cseq);
        let Some(entry) = self.sets.get(set) else { return };
        let (from, to) = (message.from_tag().unwrap_or_default(), message.to_tag().unwrap_or_default());
        let (phone, other) = if side == Side::Cluster { (from, to) } else { (to, from) };
        let Some(dialog) = entry.find(&phone, &other).and_then(|at| entry.dialogs.get(at)).cloned() else {
            return;
        };
        let (call_id, device, cluster) = (entry.call_id.clone(), entry.device.clone(), entry.cluster);
        let of = (&device, cluster);
        if let Some((ack, _)) = self.own_message(Method::Ack, &call_id, of, &dialog, side, cseq) {
            let end = dialog.end(side).clone();
            self.send_to(side, &device, cluster, &end, ack.to_bytes());
        }
    }

    /// ACK of a final response other than 2xx: hop by hop (RFC 3261 section 17.1.1.3).
    pub(crate) fn acknowledge_failure(&mut self, id: TxId, response: &Message) {
        let Some(tx) = self.transactions.get_mut(id) else { return };
        let mut ack = Message::request(Method::Ack, tx.client.request.uri().unwrap_or_default());
        let kept = [name::VIA, name::ROUTE, name::FROM, name::CALL_ID];
        ack.headers = tx
            .client
            .request
            .headers
            .iter()
            .filter(|header| kept.iter().any(|name| header.is(name)))
            .cloned()
            .collect();
        ack.push(name::TO, response.header(name::TO).unwrap_or_default());
        ack.push(name::CSEQ, &format!("{} ACK", tx.cseq));
        ack.push(name::MAX_FORWARDS, "70");
        tx.client.ack = ack.to_bytes();
        self.send_client(id, |client| client.ack.clone());
    }

    /// The data plane refused a command for a session.
    pub(crate) fn media_refused(&mut self, slot: u32, owner: Option<Owner>, detail: u32, now: Instant) {
        self.count(Counter::MediaRefused);
        let why = match MediaRefusal::from_code(detail) {
            Some(MediaRefusal::UnknownKind) => "unknown command: versions differ",
            Some(MediaRefusal::BadIndex) => "slot out of range",
            Some(MediaRefusal::SlotBusy) => "slot busy",
            Some(MediaRefusal::NotOpen) => "session not open",
            Some(MediaRefusal::BadLeg) => "address, port or suite out of range",
            Some(MediaRefusal::PortBusy) => "media port busy",
            Some(MediaRefusal::WrongWorker) => "media port of another worker",
            None => "unknown reason",
        };
        let text = format!("the data plane refused session {slot}: {why}; call ended");
        match owner {
            Some(Owner::Stream(stream)) => self.skinny_failed(stream, EventKind::MediaRefused, text, now),
            Some(Owner::Call(set)) => {
                self.call_event(set, EventKind::MediaRefused, text);
                self.end_call(set, Ending::ByUs { code: 500, reason: "Server Internal Error" }, now);
            }
            None => self.event(pinhole_admin::Event::new(EventKind::MediaRefused, text)),
        }
    }

    /// A session is lost with the data plane that had it: its call ends, and both ends are told.
    pub(crate) fn media_lost(&mut self, slot: u32, owner: Option<Owner>, now: Instant) {
        self.count(Counter::SessionsLost);
        let text = format!("session {slot} was lost with its data plane; call ended");
        match owner {
            Some(Owner::Stream(stream)) => self.skinny_failed(stream, EventKind::MediaLost, text, now),
            Some(Owner::Call(set)) => {
                self.call_event(set, EventKind::MediaLost, text);
                self.end_call(set, Ending::ByUs { code: 503, reason: "Service Unavailable" }, now);
            }
            None => self.event(pinhole_admin::Event::new(EventKind::MediaLost, text)),
        }
        // One that no call has, and one whose call has ended already.
        let rested = self.rested(now);
        self.close_session(slot, rested);
    }

    /// Timer C: nobody answers.
    pub(crate) fn ring_timeout(&mut self, set: SetId, now: Instant) {
        if self.sets.call(set).is_some_and(|call| !call.answered) {
            self.count(Counter::RingTimeouts);
            self.end_call(set, Ending::ByUs { code: 408, reason: "Request Timeout" }, now);
        }
    }

    /// Nobody has used these dialogs for long.
    pub(crate) fn dialogs_idle(&mut self, set: SetId, _now: Instant) {
        if self.sets.call(set).is_none() {
            self.forget_set(set);
        }
    }

    pub(crate) fn forget_set(&mut self, set: SetId) {
        self.timers.cancel(&Timer::DialogsIdle(set));
        self.sets.remove(set);
    }

    /// Says that audio which should have flowed both ways did not, if so.
    pub(crate) fn note_silence(&mut self, device: &DeviceName, conn: Option<ConnId>, slot: u32) {
        let Some(silent) = self.sessions.silent(slot) else { return };
        self.count(Counter::CallsSilent);
        let text = format!("a call of {device} had no audio from {silent}");
        self.event(Event::new(EventKind::Warning, text).device(device.as_str()));
        if let Some(conn) = conn {
            self.output(Output::NoAudio { conn, from: silent });
        }
    }

    pub(crate) fn close_session(&mut self, slot: u32, rested: Instant) {
        let opened = self.sessions.get(slot).is_some_and(|session| session.opened && !session.closing);
        if opened {
            self.count(Counter::SessionsClosed);
        }
        match self.sessions.close(slot, rested) {
            Some(command) => self.command(command),
            None => self.watch_ports(),
        }
    }
}
