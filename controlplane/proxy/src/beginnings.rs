//! Requests outside dialogs: in whose name they come, whom they are for, and the dialogs they begin.

use std::time::{Duration, Instant};

use pinhole_admin::{Event, EventKind};
use pinhole_sip::{Message, Method, Uri, name};

use crate::DeviceName;
use crate::calls::Call;
use crate::counters::Counter;
use crate::dialogs::{DialogSet, End, SetId};
use crate::proxy::Proxy;
use crate::register::shown;
use crate::relay::Forward;
use crate::requests::{Origin, Refusal};
use crate::rewriting::without_tag;
use crate::teardown::Ending;
use crate::timers::Timer;
use crate::token::token;
use crate::transactions::Side;

impl Proxy {
    /// A request of a phone outside dialogs.
    pub(crate) fn request_of_phone(
        &mut self,
        origin: &Origin,
        device: &DeviceName,
        message: Message,
        method: &Method,
        now: Instant,
    ) -> Result<(), Refusal> {
        let text = message.uri().unwrap_or_default().to_owned();
        if *method == Method::Options
            && text.parse::<Uri>().is_ok_and(|uri| uri.user.is_none() && self.is_outside_host(&uri))
        {
            self.answer_options(origin, &message);
            return Ok(());
        }
        if !self.speaks_as_itself(&message, device, origin.cluster) {
            return Err(self.false_from(device, method));
        }
        let uri = self.uri_to_inside(&text, device, origin.cluster);
        self.start(origin, device.clone(), message, method, uri, now)
    }

    /// Whether the address in From is the device's.
    pub(crate) fn speaks_as_itself(&self, message: &Message, device: &DeviceName, cluster: usize) -> bool {
        let from = message.from().and_then(|from| from.sip_uri());
        from.is_ok_and(|uri| {
            let user = uri.unescaped_user().unwrap_or_default();
            self.config.identity.allows(device, &user, &self.domain_of(&uri, cluster))
        })
    }

    /// Refuses a request in another's name, and tells.
    pub(crate) fn false_from(&mut self, device: &DeviceName, method: &Method) -> Refusal {
        let text = format!("{} in another's name refused", shown(method.as_str()));
        self.event(Event::new(EventKind::IdentityRefused, text).device(device.as_str()));
        Refusal::new(403, "Forbidden", Counter::FromIdentityRefused)
    }

    /// A request of a call manager outside dialogs.
    pub(crate) fn request_to_phone(
        &mut self,
        origin: &Origin,
        message: Message,
        method: &Method,
        now: Instant,
    ) -> Result<(), Refusal> {
        let uri = message.uri().unwrap_or_default().parse::<Uri>();
        let user = uri.as_ref().ok().and_then(Uri::unescaped_user);
        if *method == Method::Options && user.is_none() {
            self.answer_options(origin, &message);
            return Ok(());
        }
        let user = user.unwrap_or_default();
        let by_set = || {
            let set = self.sets.get(self.sets.of_token(&user)?)?;
            Some((set.device.clone(), set.target_of(Side::Phone)?.to_owned()))
        };
        let registered = self.registrations.of_token(&user).or_else(|| self.registrations.of_user(&user));
        let found = registered.map(|(device, target)| (device.clone(), target.to_owned())).or_else(by_set);
        let of_cluster = |device: &DeviceName| {
            self.devices.get(device).is_some_and(|entry| entry.cluster == origin.cluster)
        };
        let Some((device, target)) = found.filter(|(device, _)| of_cluster(device)) else {
            return Err(Refusal::new(404, "Not Found", Counter::UnknownTargets));
        };
        if self.conn_of(&device).is_none() {
            return Err(Refusal::new(480, "Temporarily Unavailable", Counter::PhoneAbsent));
        }
        self.start(origin, device, message, method, target, now)
    }

    /// Forwards a request outside dialogs; one that makes a dialog gets a dialog set.
    fn start(
        &mut self,
        origin: &Origin,
        device: DeviceName,
        mut message: Message,
        method: &Method,
        uri: String,
        now: Instant,
    ) -> Result<(), Refusal> {
        let set = match method {
            Method::Invite | Method::Subscribe | Method::Refer => {
                Some(self.dialog_set(origin, &device, &message, method, now)?)
            }
            _ => None,
        };
        let id = self.transactions.reserve();
        let mut offered = false;
        match set {
            Some(set) => match self.offer_in_request(set, origin.side, id, method, &mut message, now) {
                Ok(carries) => offered = carries,
                Err(refusal) => {
                    self.end_call(set, Ending::Refused(refusal.counter), now);
                    return Err(refusal);
                }
            },
            None => crate::description::drop_description(&mut message),
        }
        let contact = match set.and_then(|set| self.sets.get(set)) {
            Some(set) => set.token.clone(),
            None => self.device_token(&device),
        };
        let forward = Forward {
            id,
            message,
            uri,
            routes: Vec::new(),
            hop: String::new(),
            contact,
            device,
            cluster: origin.cluster,
            set,
            register: None,
            offered,
        };
        self.forward(origin, forward, now);
        if *method == Method::Invite
            && let Some(set) = set
        {
            if let Some(call) = self.sets.call_mut(set) {
                call.invite = Some(id);
            }
            self.timers.set(Timer::Ring(set), now + self.config.timers.ring);
            self.count(Counter::CallsStarted);
            let text = match origin.side {
                Side::Phone => "the phone calls",
                Side::Cluster => "the phone is called",
            };
            self.call_event(set, EventKind::CallStarted, text);
        }
        Ok(())
    }

    fn dialog_set(
        &mut self,
        origin: &Origin,
        device: &DeviceName,
        message: &Message,
        method: &Method,
        now: Instant,
    ) -> Result<SetId, Refusal> {
        let call_id = message.call_id().unwrap_or_default().to_owned();
        let from = message.header(name::FROM).unwrap_or_default();
        let end = End {
            tag: message.from_tag().unwrap_or_default(),
            address: without_tag(from),
            target: message.contact().ok().flatten().map(|contact| contact.uri),
            routes: message.values(name::RECORD_ROUTE),
            cseq: message.cseq().map_or(0, |cseq| cseq.number),
        };
        let limits = &self.config.limits;
        let invite = *method == Method::Invite;
        if invite && self.calls_full() {
            return Err(Refusal::busy(Counter::CallLimit));
        }
        if invite && self.sets.calls_of_phone(device) >= limits.calls_per_phone {
            return Err(Refusal::new(486, "Busy Here", Counter::PhoneCallLimit));
        }
        if let Some(id) = self.sets.of_phone(&call_id, device) {
            // The same Call-ID again: a retry with credentials, or the same request by another way
            // (RFC 3261 section 8.2.2.2).
            let again = self.sets.get(id).is_some_and(|set| {
                set.call.is_none() && set.initiator == origin.side && set.origin.tag == end.tag
            });
            if !again {
                return Err(Refusal::new(482, "Loop Detected", Counter::MergedRequests));
            }
            self.forget_set(id);
        }
        if self.sets.len() >= self.config.limits.dialogs {
            return Err(Refusal::busy(Counter::DialogLimit));
        }
        if self.sets.count_of_phone(device) >= self.config.limits.dialogs_per_phone {
            return Err(Refusal::busy(Counter::PhoneDialogLimit));
        }
        let set = DialogSet {
            token: token(&["call", &call_id, device.as_str()]),
            call_id,
            device: device.clone(),
            cluster: origin.cluster,
            initiator: origin.side,
            origin: end,
            dialogs: Vec::new(),
            call: invite.then(|| Call::new(now)),
        };
        let id = self.sets.insert(set);
        if !invite {
            self.keep_subscription(id, method, message, now);
        }
        Ok(id)
    }

    /// Keeps the dialogs of a subscription as long as it may live (RFC 6665).
    pub(crate) fn keep_subscription(&mut self, set: SetId, method: &Method, message: &Message, now: Instant) {
        if self.sets.call(set).is_some() {
            return;
        }
        let seconds = |value: &str| value.trim().parse::<u64>().ok();
        let ended = message
            .header(name::SUBSCRIPTION_STATE)
            .is_some_and(|state| state.trim_start().to_ascii_lowercase().starts_with("terminated"));
        let keep = match method {
            _ if ended => self.config.timers.transaction(),
            Method::Subscribe => {
                let expires = message.header(name::EXPIRES).and_then(seconds).unwrap_or(3600);
                Duration::from_secs(expires.min(86_400)) + Duration::from_secs(60)
            }
            Method::Refer => Duration::from_secs(300),
            Method::Notify => {
                let expires = message
                    .header(name::SUBSCRIPTION_STATE)
                    .and_then(|state| state.split(';').find_map(|part| part.trim().strip_prefix("expires=")))
                    .and_then(seconds)
                    .unwrap_or(300);
                Duration::from_secs(expires.min(86_400)) + Duration::from_secs(60)
            }
            _ => return,
        };
        self.timers.set(Timer::DialogsIdle(set), now + keep);
    }
}
