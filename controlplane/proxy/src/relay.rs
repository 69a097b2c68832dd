//! Relaying a request: our own client transaction on the other side, retransmissions, CANCEL, and the
//! ends of transactions.

use std::time::{Duration, Instant};

use pinhole_sip::{Header, Message, Method, name};

use crate::counters::Counter;
use crate::dialogs::SetId;
use crate::proxy::Proxy;
use crate::registrations::RegisterRequest;
use crate::requests::Origin;
use crate::teardown::Ending;
use crate::timers::Timer;
use crate::transactions::{Cancel, Client, Server, Side, Transaction, TxId};
use crate::{DeviceName, Route};

/// How long a finished transaction lingers on a reliable transport, for what crosses on the wire.
const LINGER: Duration = Duration::from_secs(5);

/// A request about to be forwarded.
pub(crate) struct Forward {
    pub(crate) id: TxId,
    pub(crate) message: Message,
    /// Its Request-URI on the other side.
    pub(crate) uri: String,
    /// Its route set on the other side.
    pub(crate) routes: Vec<String>,
    /// The next hop inside, as the call manager has named it; empty: the call manager itself. Never what a
    /// phone wrote, or it would choose at which port our datagrams arrive.
    pub(crate) hop: String,
    /// User part of our Contact.
    pub(crate) contact: String,
    pub(crate) device: DeviceName,
    pub(crate) cluster: usize,
    pub(crate) set: Option<SetId>,
    pub(crate) register: Option<Box<RegisterRequest>>,
    pub(crate) offered: bool,
}

impl Proxy {
    /// Sends a request on to the other side and keeps what its response needs.
    pub(crate) fn forward(&mut self, origin: &Origin, forward: Forward, now: Instant) {
        let Forward { id, mut message, uri, routes, hop, contact, device, cluster, set, register, offered } =
            forward;
        let to = origin.side.other();
        let Ok(cseq) = message.cseq() else { return };
        let rest = [name::FROM, name::CALL_ID, name::CSEQ];
        let server = Server {
            key: origin.key.clone(),
            side: origin.side,
            route: origin.route.clone(),
            rest: message
                .headers
                .iter()
                .filter(|header| rest.iter().any(|name| header.is(name)))
                .cloned()
                .collect(),
            to: match &register {
                Some(register) => register.to.clone(),
                None => message.header(name::TO).unwrap_or_default().to_owned(),
            },
            vias: message.remove(name::VIA),
            record_routes: message.remove(name::RECORD_ROUTE),
            unreliable: origin.unreliable,
            code: 0,
            last: Vec::new(),
            interval: self.config.timers.t1,
            acknowledged: false,
        };
        message.remove(name::ROUTE);
        if !routes.is_empty() {
            message.push_top(name::ROUTE, &routes.join(", "));
        }
        message.set_uri(&uri);
        let hops = message.header(name::MAX_FORWARDS).and_then(|value| value.trim().parse::<u32>().ok());
        message.set(name::MAX_FORWARDS, &hops.map_or(70, |hops| hops.min(255).saturating_sub(1)).to_string());
        self.edit_common(&mut message, to, &device, cluster);
        if register.is_none() {
            self.replace_contact(&mut message, to, &device, cluster, &contact);
        }
        let route = match to {
            Side::Phone => None,
            Side::Cluster => self.cluster_route(cluster, &device, &hop),
        };
        let branch = self.new_branch();
        let via = self.our_via(to, &device, cluster, &branch);
        message.push_top(name::VIA, &via.to_string());
        let client = self.client_half(branch, to, route, message);
        let transaction = Transaction {
            method: cseq.method.clone(),
            cseq: cseq.number,
            device,
            cluster,
            server: Some(server),
            client,
            set,
            register,
            offered,
        };
        self.transactions.insert(id, transaction);
        if cseq.method == Method::Invite {
            self.respond_locally(id, 100, "Trying", now);
        }
        self.send_request(id, now);
    }

    /// Begins a transaction of our own.
    pub(crate) fn own_request(
        &mut self,
        message: Message,
        branch: String,
        to: Side,
        route: Option<Route>,
        about: (DeviceName, usize, Option<SetId>),
        now: Instant,
    ) {
        let Ok(cseq) = message.cseq() else { return };
        let (device, cluster, set) = about;
        let client = self.client_half(branch, to, route, message);
        let id = self.transactions.reserve();
        let transaction = Transaction {
            method: cseq.method,
            cseq: cseq.number,
            device,
            cluster,
            server: None,
            client,
            set,
            register: None,
            offered: false,
        };
        self.transactions.insert(id, transaction);
        self.send_request(id, now);
    }

    fn client_half(&self, branch: String, side: Side, route: Option<Route>, mut request: Message) -> Client {
        let bytes = request.to_bytes();
        let kept =
            [name::VIA, name::ROUTE, name::FROM, name::TO, name::CALL_ID, name::CSEQ, name::MAX_FORWARDS];
        request.headers.retain(|header| kept.iter().any(|name| header.is(name)));
        request.body.clear();
        Client {
            branch,
            side,
            unreliable: matches!(route, Some(Route::Udp { .. })),
            route,
            request,
            bytes,
            code: 0,
            interval: self.config.timers.t1,
            cancel: Cancel::No,
            ack: Vec::new(),
        }
    }

    /// Sends a request for the first time and starts its timers (A and B, or E and F).
    fn send_request(&mut self, id: TxId, now: Instant) {
        self.send_client(id, |client| client.bytes.clone());
        let Some(tx) = self.transactions.get(id) else { return };
        if tx.client.unreliable {
            self.timers.set(Timer::RequestAgain(id), now + self.config.timers.t1);
        }
        self.timers.set(Timer::TransactionEnd(id), now + self.config.timers.transaction());
    }

    /// Sends a message of a client half to where its request went.
    pub(crate) fn send_client(&mut self, id: TxId, bytes: impl Fn(&Client) -> Vec<u8>) {
        let Some(tx) = self.transactions.get(id) else { return };
        let bytes = bytes(&tx.client);
        let (side, device, cluster, route) =
            (tx.client.side, tx.device.clone(), tx.cluster, tx.client.route.clone());
        if !bytes.is_empty() {
            self.send_response(side, Some(&device), cluster, route.as_ref(), bytes);
        }
    }

    /// Timer A or E.
    pub(crate) fn request_again(&mut self, id: TxId, now: Instant) {
        let t2 = self.config.timers.t2;
        let Some(tx) = self.transactions.get_mut(id) else { return };
        let invite = tx.method == Method::Invite;
        if tx.client.code >= 200 || (invite && tx.client.code > 0) {
            return;
        }
        tx.client.interval = match tx.client.interval * 2 {
            _ if !invite && tx.client.code > 0 => t2,
            longer if !invite => longer.min(t2),
            longer => longer,
        };
        let again = now + tx.client.interval;
        self.timers.set(Timer::RequestAgain(id), again);
        self.count(Counter::Retransmitted);
        self.send_client(id, |client| client.bytes.clone());
    }

    /// Timer G, and the same for 2xx until its ACK (RFC 3261 section 13.3.1.4).
    pub(crate) fn response_again(&mut self, id: TxId, now: Instant) {
        let t2 = self.config.timers.t2;
        let Some(server) = self.transactions.get_mut(id).and_then(|tx| tx.server.as_mut()) else { return };
        if server.acknowledged {
            return;
        }
        server.interval = (server.interval * 2).min(t2);
        let again = now + server.interval;
        self.timers.set(Timer::ResponseAgain(id), again);
        self.count(Counter::Retransmitted);
        self.send_last_response(id);
    }

    /// Sends the last response once more.
    pub(crate) fn send_last_response(&mut self, id: TxId) {
        let Some(tx) = self.transactions.get(id) else { return };
        let Some(server) = tx.server.as_ref().filter(|server| !server.last.is_empty()) else { return };
        let (side, route, bytes) = (server.side, server.route.clone(), server.last.clone());
        let (device, cluster) = (tx.device.clone(), tx.cluster);
        self.send_response(side, Some(&device), cluster, route.as_ref(), bytes);
    }

    /// Answers a relayed request ourselves.
    pub(crate) fn respond_locally(&mut self, id: TxId, code: u16, reason: &str, now: Instant) {
        let word = self.random_word();
        let Some(server) = self.transactions.get(id).and_then(|tx| tx.server.as_ref()) else { return };
        let mut response = Message::response(code, reason);
        response.headers = server.vias.clone();
        response.headers.extend(server.rest.iter().cloned());
        let has_tag = server.to.parse::<pinhole_sip::NameAddr>().is_ok_and(|to| to.tag().is_some());
        let to = match code {
            100 => server.to.clone(),
            _ if has_tag => server.to.clone(),
            _ => format!("{};tag={word}", server.to),
        };
        response.push(name::TO, &to);
        if code == 503 {
            response.push(name::RETRY_AFTER, "10");
        }
        self.pass_response(id, code, response.to_bytes(), now);
    }

    /// Sends a response to who asked, and starts the timers of a final one.
    pub(crate) fn pass_response(&mut self, id: TxId, code: u16, bytes: Vec<u8>, now: Instant) {
        let timers = &self.config.timers;
        let (t1, whole) = (timers.t1, timers.transaction());
        let Some(tx) = self.transactions.get_mut(id) else { return };
        let invite = tx.method == Method::Invite;
        let Some(server) = tx.server.as_mut() else { return };
        let first_final = code >= 200 && server.code < 200;
        server.code = code;
        server.last = bytes;
        let unreliable = server.unreliable;
        self.send_last_response(id);
        if !first_final {
            return;
        }
        self.timers.cancel(&Timer::RequestAgain(id));
        if invite && unreliable {
            self.timers.set(Timer::ResponseAgain(id), now + t1);
        }
        let lingers = if invite || unreliable { whole } else { LINGER };
        self.timers.set(Timer::TransactionEnd(id), now + lingers);
    }

    /// An ACK that names a transaction of ours. `false` if it is for a 2xx, thus end to end.
    pub(crate) fn acknowledged(&mut self, id: TxId, now: Instant) -> bool {
        let whole = self.config.timers.transaction();
        let Some(tx) = self.transactions.get_mut(id) else { return false };
        let client_lingers = if tx.client.unreliable { whole } else { LINGER };
        let Some(server) = tx.server.as_mut().filter(|server| server.code >= 300) else { return false };
        if !std::mem::replace(&mut server.acknowledged, true) {
            self.timers.cancel(&Timer::ResponseAgain(id));
            self.timers.set(Timer::TransactionEnd(id), now + client_lingers);
        }
        true
    }

    /// A CANCEL: hop by hop, matched to its INVITE by branch (RFC 3261 section 9.2).
    pub(crate) fn cancel(&mut self, origin: &Origin, message: &Message, now: Instant) {
        let invite = origin.key.clone().of_invite();
        let Some(id) = self.transactions.by_server(&invite) else {
            self.count(Counter::UnknownDialogs);
            self.respond(origin, message, 481, "Call/Transaction Does Not Exist", &[]);
            return;
        };
        self.respond(origin, message, 200, "OK", &[]);
        let reasons: Vec<Header> =
            message.headers.iter().filter(|header| header.is(name::REASON)).cloned().collect();
        let waits = self.transactions.get(id).is_some_and(|tx| {
            tx.client.code < 200 && tx.server.as_ref().is_some_and(|server| server.code < 200)
        });
        if waits {
            self.cancel_invite(id, reasons, now);
        }
    }

    /// Cancels an INVITE that we forwarded; at the latest after 64 * T1 it is answered 487.
    pub(crate) fn cancel_invite(&mut self, id: TxId, reasons: Vec<Header>, now: Instant) {
        let whole = self.config.timers.transaction();
        let Some(tx) = self.transactions.get_mut(id) else { return };
        if tx.client.cancel != Cancel::No || tx.client.code >= 200 {
            return;
        }
        tx.client.request.headers.extend(reasons);
        tx.client.cancel = Cancel::Wanted;
        self.timers.set(Timer::TransactionEnd(id), now + whole);
        self.send_cancel(id, now);
    }

    /// Sends the CANCEL that is wanted, once a provisional response allows it.
    pub(crate) fn send_cancel(&mut self, id: TxId, now: Instant) {
        let Some(tx) = self.transactions.get_mut(id) else { return };
        if tx.client.cancel != Cancel::Wanted || tx.client.code == 0 || tx.client.code >= 200 {
            return;
        }
        tx.client.cancel = Cancel::Sent;
        let mut message = Message::request(Method::Cancel, tx.client.request.uri().unwrap_or_default());
        message.headers = tx.client.request.headers.clone();
        message.set(name::CSEQ, &format!("{} CANCEL", tx.cseq));
        message.set(name::MAX_FORWARDS, "70");
        let (branch, side, route) = (tx.client.branch.clone(), tx.client.side, tx.client.route.clone());
        let about = (tx.device.clone(), tx.cluster, None);
        self.own_request(message, branch, side, route, about, now);
    }

    /// The time of a transaction is over.
    pub(crate) fn transaction_end(&mut self, id: TxId, now: Instant) {
        let Some(tx) = self.transactions.get(id) else { return };
        let set = tx.set;
        let Some(server) = &tx.server else {
            if tx.client.code < 200 {
                self.count_timeout(tx.client.side);
            }
            self.remove_transaction(id);
            return;
        };
        if server.code < 200 {
            let cancelled = tx.client.cancel != Cancel::No;
            if cancelled {
                self.fail_transaction(id, 487, "Request Terminated", now);
            } else {
                let side = tx.client.side;
                self.count_timeout(side);
                self.fail_transaction(id, 408, "Request Timeout", now);
            }
            return;
        }
        let unacknowledged = tx.method == Method::Invite && server.code < 300 && !server.acknowledged;
        self.remove_transaction(id);
        if let Some(set) = set
            && unacknowledged
            && self.sets.call(set).is_some()
        {
            self.count(Counter::AckTimeouts);
            self.end_call(set, Ending::ByUs { code: 408, reason: "Request Timeout" }, now);
        }
    }

    fn count_timeout(&mut self, side: Side) {
        self.count(match side {
            Side::Phone => Counter::PhoneTimeouts,
            Side::Cluster => Counter::ClusterTimeouts,
        });
    }

    /// Gives up waiting for an answer: who asked gets `code`.
    pub(crate) fn fail_transaction(&mut self, id: TxId, code: u16, reason: &str, now: Instant) {
        let Some(tx) = self.transactions.get_mut(id) else { return };
        if tx.server.is_none() {
            self.remove_transaction(id);
            return;
        }
        tx.client.code = code;
        self.timers.cancel(&Timer::RequestAgain(id));
        if tx.server.as_ref().is_some_and(|server| server.code < 200) {
            self.respond_locally(id, code, reason, now);
        }
        self.request_failed(id, code, now);
    }

    pub(crate) fn remove_transaction(&mut self, id: TxId) {
        self.timers.cancel(&Timer::RequestAgain(id));
        self.timers.cancel(&Timer::ResponseAgain(id));
        self.timers.cancel(&Timer::TransactionEnd(id));
        self.transactions.remove(id);
    }
}
