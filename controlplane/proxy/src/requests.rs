//! Requests that come in: which dialog or phone they are for, and whether they may pass.

use std::time::Instant;

use pinhole_admin::{Event, EventKind};
use pinhole_sip::{Message, Method, NameAddr, Uri, name};

use crate::counters::Counter;
use crate::dialogs::{DialogSet, End, SetId};
use crate::io::{Output, Source};
use crate::messages::Way;
use crate::proxy::Proxy;
use crate::relay::Forward;
use crate::rewriting::{mark_source, without_tag};
use crate::teardown::Ending;
use crate::timers::Timer;
use crate::token::token;
use crate::transactions::{Peer, ServerKey, Side};
use crate::{DeviceName, Route};

/// Where a request came from.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) side: Side,
    pub(crate) cluster: usize,
    /// The phone, when it came from one.
    pub(crate) device: Option<DeviceName>,
    /// Where responses go, towards a call manager.
    pub(crate) route: Option<Route>,
    pub(crate) key: ServerKey,
    pub(crate) unreliable: bool,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) counter: Counter,
}

impl Refusal {
    pub(crate) fn new(code: u16, reason: &'static str, counter: Counter) -> Self {
        Self { code, reason, counter }
    }

    pub(crate) fn busy(counter: Counter) -> Self {
        Self::new(503, "Service Unavailable", counter)
    }
}

const UNKNOWN_DIALOG: (u16, &str) = (481, "Call/Transaction Does Not Exist");

impl Proxy {
    pub(crate) fn phone_request(&mut self, device: &DeviceName, mut message: Message, now: Instant) {
        let Some((cluster, peer)) = self.devices.get(device).map(|entry| (entry.cluster, entry.peer)) else {
            return;
        };
        let Ok(via) = message.top_via() else {
            self.count(Counter::MalformedMessages);
            return;
        };
        let key = ServerKey::of(Peer::Phone(device.clone()), &via, &message);
        mark_source(&mut message, &via, peer);
        let origin = Origin {
            side: Side::Phone,
            cluster,
            device: Some(device.clone()),
            route: None,
            key,
            unreliable: false,
        };
        self.request(&origin, message, now);
    }

    pub(crate) fn cluster_request(
        &mut self,
        cluster: usize,
        source: Source,
        mut message: Message,
        now: Instant,
    ) {
        let Ok(via) = message.top_via() else {
            self.count(Counter::MalformedMessages);
            return;
        };
        let key = ServerKey::of(Peer::Cluster(cluster), &via, &message);
        mark_source(&mut message, &via, source.peer());
        let (route, unreliable) = match source {
            Source::Udp(mut to) => {
                if !via.params.has("rport") {
                    to.set_port(via.port.unwrap_or(5060));
                }
                (Route::Udp { to }, true)
            }
            Source::Tcp { upstream, .. } => (Route::Upstream(upstream), false),
        };
        let origin =
            Origin { side: Side::Cluster, cluster, device: None, route: Some(route), key, unreliable };
        self.request(&origin, message, now);
    }

    fn request(&mut self, origin: &Origin, message: Message, now: Instant) {
        let method = message.method();
        if let Err(error) = message.validate() {
            self.count(Counter::MalformedMessages);
            self.event(Event::new(EventKind::MessageRefused, format!("request refused: {error}")));
            if method != Some(Method::Ack) {
                self.respond(origin, &message, 400, "Bad Request", &[]);
            }
            return;
        }
        let Some(method) = method else { return };
        if let Some(id) = self.transactions.by_server(&origin.key) {
            if method != Method::Ack {
                self.count(Counter::RequestRetransmissions);
                self.send_last_response(id);
                return;
            }
            if self.acknowledged(id, now) {
                return;
            }
        }
        match method {
            Method::Ack => self.ack(origin, message, now),
            Method::Cancel => self.cancel(origin, &message, now),
            _ => {
                let mut head = message.clone();
                head.body.clear();
                if let Err(refusal) = self.new_request(origin, message, &method, now) {
                    self.refuse(origin, &head, refusal);
                }
            }
        }
    }

    /// Answers a request that gets no transaction: the same request gets the same answer again.
    fn refuse(&mut self, origin: &Origin, request: &Message, refusal: Refusal) {
        self.count(refusal.counter);
        tracing::debug!(code = refusal.code, counter = refusal.counter.name(), "request refused");
        let retry: &[(&str, &str)] = if refusal.code == 503 { &[(name::RETRY_AFTER, "10")] } else { &[] };
        self.respond(origin, request, refusal.code, refusal.reason, retry);
    }

    pub(crate) fn respond(
        &mut self,
        origin: &Origin,
        request: &Message,
        code: u16,
        reason: &str,
        fields: &[(&str, &str)],
    ) {
        let branch = request.header(name::VIA).unwrap_or_default();
        let tag = token(&["tag", request.header(name::CALL_ID).unwrap_or_default(), branch]);
        let mut response = Message::response_to(request, code, reason, Some(&tag));
        for (field, value) in fields {
            response.push(field, value);
        }
        self.send_response(
            origin.side,
            origin.device.as_ref(),
            origin.cluster,
            origin.route.as_ref(),
            response.to_bytes(),
        );
    }

    /// Sends a response to where its request came from.
    pub(crate) fn send_response(
        &mut self,
        side: Side,
        device: Option<&DeviceName>,
        cluster: usize,
        route: Option<&Route>,
        bytes: Vec<u8>,
    ) {
        match side {
            Side::Phone => {
                if let Some(conn) = device.and_then(|device| self.conn_of(device)) {
                    self.messages.sip_bytes(Way::ToPhone, &bytes);
                    self.output(Output::ToPhone { conn, bytes });
                }
            }
            Side::Cluster => {
                if let Some(route) = route.cloned() {
                    self.messages.sip_bytes(Way::ToCallManager, &bytes);
                    self.output(Output::ToCluster { cluster, device: device.cloned(), route, bytes });
                }
            }
        }
    }

    fn new_request(
        &mut self,
        origin: &Origin,
        message: Message,
        method: &Method,
        now: Instant,
    ) -> Result<(), Refusal> {
        if message.header(name::MAX_FORWARDS).is_some_and(|value| value.trim() == "0") {
            return Err(Refusal::new(483, "Too Many Hops", Counter::TooManyHops));
        }
        if self.transactions.len() >= self.config.limits.transactions {
            return Err(Refusal::busy(Counter::TransactionLimit));
        }
        if let Some(device) = &origin.device
            && self.transactions.of_phone(device) >= self.config.limits.transactions_per_phone
        {
            return Err(Refusal::busy(Counter::PhoneTransactionLimit));
        }
        if *method == Method::Register {
            return self.register(origin, message, now);
        }
        if message.to_tag().is_some() {
            return self.dialog_request(origin, message, method, now);
        }
        match &origin.device {
            Some(device) => self.request_of_phone(origin, &device.clone(), message, method, now),
            None => self.request_to_phone(origin, message, method, now),
        }
    }

    /// The dialog that a request or an ACK names.
    pub(crate) fn find_dialog(&mut self, origin: &Origin, message: &Message) -> Option<(SetId, usize)> {
        let (from, to) = (message.from_tag()?, message.to_tag()?);
        let call_id = message.call_id().ok()?;
        if let Some(device) = &origin.device {
            let set = self.sets.of_phone(call_id, device)?;
            let at = self.sets.get(set)?.find(&from, &to)?;
            return Some((set, at));
        }
        let sets = self.sets.of_call_id(call_id).to_vec();
        let of_cluster = |id: &SetId| self.sets.get(*id).filter(|set| set.cluster == origin.cluster);
        let known = sets.iter().find_map(|id| Some((*id, of_cluster(id)?.find(&to, &from)?)));
        if known.is_some() {
            return known;
        }
        // A NOTIFY may overtake the response that makes its dialog (RFC 6665 section 4.4.1), and a
        // forked SUBSCRIBE has several.
        if message.method() != Some(Method::Notify) {
            return None;
        }
        let begun = |set: &DialogSet| set.initiator == Side::Phone && set.origin.tag == to;
        let id = sets.into_iter().find(|id| of_cluster(id).is_some_and(begun))?;
        let limit = self.config.limits.forks;
        let set = self.sets.get_mut(id)?;
        let at = set.find_or_make(&from, limit)?;
        let end = &mut set.dialogs.get_mut(at)?.cluster;
        end.address = without_tag(message.header(name::FROM).unwrap_or_default());
        end.routes = message.values(name::RECORD_ROUTE);
        Some((id, at))
    }

    /// A request within a dialog.
    fn dialog_request(
        &mut self,
        origin: &Origin,
        mut message: Message,
        method: &Method,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Some((set_id, at)) = self.find_dialog(origin, &message) else {
            return Err(Refusal::new(UNKNOWN_DIALOG.0, UNKNOWN_DIALOG.1, Counter::UnknownDialogs));
        };
        if let Some(device) = &origin.device
            && !self.keeps_its_name(set_id, at, &message)
            && !self.speaks_as_itself(&message, device, origin.cluster)
        {
            // A change of name within a dialog (RFC 4916) is a claim like any other.
            return Err(self.false_from(device, method));
        }
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let contact = message.contact().ok().flatten().map(|contact| contact.uri);
        let Some(set) = self.sets.get_mut(set_id) else { return Ok(()) };
        let (device, cluster, token) = (set.device.clone(), set.cluster, set.token.clone());
        let Some(dialog) = set.dialogs.get_mut(at) else { return Ok(()) };
        let sender = dialog.end_mut(origin.side);
        sender.cseq = sender.cseq.max(cseq);
        if let Some(contact) = contact {
            sender.target = Some(contact);
        }
        let receiver = dialog.end(origin.side.other()).clone();
        if let Some(call) = self.sets.call_mut(set_id) {
            call.adopted = false;
        }
        if origin.side == Side::Cluster && self.conn_of(&device).is_none() {
            if *method != Method::Bye {
                return Err(Refusal::new(480, "Temporarily Unavailable", Counter::PhoneAbsent));
            }
            // The phone cannot be asked, and nobody else needs the call any more.
            self.respond(origin, &message, 200, "OK", &[]);
            self.end_call(set_id, Ending::Done("call manager hung up while the phone was away"), now);
            return Ok(());
        }
        let id = self.transactions.reserve();
        let offered = self.offer_in_request(set_id, origin.side, id, method, &mut message, now)?;
        self.keep_subscription(set_id, method, &message, now);
        let hop = hop_of(&receiver).to_owned();
        let target = match receiver.target {
            Some(target) => target,
            None if origin.side == Side::Phone => {
                self.uri_to_inside(message.uri().unwrap_or_default(), &device, cluster)
            }
            None => return Err(Refusal::new(480, "Temporarily Unavailable", Counter::PhoneAbsent)),
        };
        let forward = Forward {
            id,
            message,
            uri: target,
            routes: receiver.routes,
            hop,
            contact: token,
            device,
            cluster,
            set: Some(set_id),
            register: None,
            offered,
        };
        self.forward(origin, forward, now);
        if *method == Method::Bye && origin.side == Side::Cluster {
            // A phone asks for no credentials: it is over, whatever it answers.
            self.dialog_ended(set_id, Some(at), "the far end hung up", now);
        }
        self.write_notes(set_id);
        Ok(())
    }

    /// Whether a phone's request comes in the name that its dialog began with.
    fn keeps_its_name(&self, set: SetId, at: usize, message: &Message) -> bool {
        let dialog = self.sets.get(set).and_then(|set| set.dialogs.get(at));
        let known = dialog.and_then(|dialog| dialog.phone.address.parse::<NameAddr>().ok());
        let (Some(known), Ok(from)) = (known, message.from()) else { return false };
        match (known.sip_uri(), from.sip_uri()) {
            (Ok(known), Ok(from)) => known.unescaped_user() == from.unescaped_user(),
            _ => known.uri == from.uri,
        }
    }

    pub(crate) fn answer_options(&mut self, origin: &Origin, message: &Message) {
        let fields = [
            (
                name::ALLOW,
                "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, SUBSCRIBE, NOTIFY, MESSAGE, REFER, REGISTER, PUBLISH",
            ),
            (name::ACCEPT, "application/sdp"),
        ];
        self.respond(origin, message, 200, "OK", &fields);
    }

    /// The host of a URI, with the cluster's domain for our own address.
    pub(crate) fn domain_of(&self, uri: &Uri, cluster: usize) -> String {
        match self.config.clusters.get(cluster) {
            Some(config) if self.is_outside_host(uri) => config.domain.clone(),
            _ => uri.host.clone(),
        }
    }

    /// An ACK of a 2xx: end to end, without a transaction of its own.
    fn ack(&mut self, origin: &Origin, mut message: Message, now: Instant) {
        let Some((set_id, at)) = self.find_dialog(origin, &message) else {
            self.count(Counter::StrayAcks);
            return;
        };
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        // After a restart nobody knows which INVITE was answered.
        let mut answered = self.sets.call(set_id).is_some_and(|call| call.adopted);
        for id in self.transactions.of_set(set_id) {
            if let Some(tx) = self.transactions.get_mut(id)
                && tx.method == Method::Invite
                && tx.cseq == number
                && let Some(server) = tx.server.as_mut().filter(|server| server.side == origin.side)
            {
                answered |= (200..300).contains(&server.code);
                server.acknowledged = true;
                self.timers.cancel(&Timer::ResponseAgain(id));
            }
        }
        let to = origin.side.other();
        let Some(set) = self.sets.get(set_id) else { return };
        let (device, cluster) = (set.device.clone(), set.cluster);
        let Some(dialog) = set.dialogs.get(at) else { return };
        if let Some((acked, side, bytes)) = &dialog.ack
            && *acked == number
            && *side == to
        {
            let (bytes, routes) = (bytes.clone(), dialog.end(to).clone());
            self.send_to(to, &device, cluster, &routes, bytes);
            return;
        }
        if !answered {
            // Of an INVITE that was refused here, without a transaction: hop by hop, and this is the hop.
            self.count(Counter::StrayAcks);
            return;
        }
        let end = dialog.end(to).clone();
        let Some(target) = end.target.clone() else {
            self.count(Counter::StrayAcks);
            return;
        };
        let refused = self.answer_in_ack(set_id, origin.side, &mut message, now).err();
        message.remove(name::VIA);
        message.remove(name::ROUTE);
        message.remove(name::RECORD_ROUTE);
        message.remove(name::CONTACT);
        message.set_uri(&target);
        self.edit_common(&mut message, to, &device, cluster);
        if !end.routes.is_empty() {
            message.push_top(name::ROUTE, &end.routes.join(", "));
        }
        let branch = self.new_branch();
        let via = self.our_via(to, &device, cluster, &branch);
        message.push_top(name::VIA, &via.to_string());
        let bytes = message.to_bytes();
        if let Some(dialog) = self.sets.get_mut(set_id).and_then(|set| set.dialogs.get_mut(at)) {
            dialog.ack = Some((number, to, bytes.clone()));
        }
        self.send_to(to, &device, cluster, &end, bytes);
        if let Some(counter) = refused {
            self.count(counter);
            self.end_call(set_id, Ending::ByUs { code: 488, reason: "Not Acceptable Here" }, now);
        }
    }

    /// Sends a message of ours within a dialog towards an end.
    pub(crate) fn send_to(
        &mut self,
        side: Side,
        device: &DeviceName,
        cluster: usize,
        end: &End,
        bytes: Vec<u8>,
    ) {
        let route = match side {
            Side::Phone => None,
            Side::Cluster => self.cluster_route(cluster, device, hop_of(end)),
        };
        self.send_response(side, Some(device), cluster, route.as_ref(), bytes);
    }
}

/// The next hop towards an end: its first route, or else its target.
pub(crate) fn hop_of(end: &End) -> &str {
    end.routes.first().or(end.target.as_ref()).map_or("", String::as_str)
}

/// The device name that a Contact claims, as Cisco phones put it there.
pub(crate) fn claimed_device(contact: &NameAddr) -> Option<String> {
    let claim = contact.params.value("+u.sip!devicename.ccm.cisco.com")?;
    Some(claim.trim_matches('"').to_owned())
}
