//! REGISTER: whose address it is, and our token in the place of the phone's Contact.

use std::time::{Duration, Instant};

use pinhole_admin::{Event, EventKind};
use pinhole_sip::{Message, Method, NameAddr, Uri, name};

use crate::counters::Counter;
use crate::io::Output;
use crate::proxy::Proxy;
use crate::registrations::{RegisterRequest, Registration, RegistrationKey};
use crate::relay::Forward;
use crate::requests::{Origin, Refusal, claimed_device};
use crate::rewriting::with_brackets;
use crate::timers::Timer;
use crate::token::token;
use crate::transactions::{Side, TxId};

/// Contacts in one REGISTER, at most.
const CONTACTS: usize = 4;
/// Answers after which a phone tries again at once: with credentials, or for longer (RFC 3261 sections 22 and 10.3).
const TRIED_AGAIN: [u16; 3] = [401, 407, 423];
/// The longest registration that we believe, in seconds.
const EXPIRES_MAX: u32 = 86_400;

impl Proxy {
    /// A REGISTER of a phone.
    pub(crate) fn register(
        &mut self,
        origin: &Origin,
        mut message: Message,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Some(device) = origin.device.clone() else {
            return Err(Refusal::new(405, "Method Not Allowed", Counter::UnknownTargets));
        };
        let bad = Refusal::new(400, "Bad Request", Counter::MalformedMessages);
        let to = message.header(name::TO).unwrap_or_default().to_owned();
        let mut address: NameAddr = to.parse().map_err(|_| bad)?;
        let mut uri: Uri = address.sip_uri().map_err(|_| bad)?;
        let user = uri.unescaped_user().unwrap_or_default();
        let host = self.domain_of(&uri, origin.cluster);
        if !self.config.identity.allows(&device, &user, &host) {
            let text = format!("REGISTER of an address that is not the device's refused: {}", shown(&user));
            self.event(Event::new(EventKind::IdentityRefused, text).device(device.as_str()));
            return Err(Refusal::new(403, "Forbidden", Counter::RegisterIdentityRefused));
        }
        if !self.speaks_as_itself(&message, &device, origin.cluster) {
            return Err(self.false_from(&device, &Method::Register));
        }
        let contacts = message.contacts().map_err(|_| bad)?;
        if contacts.len() > CONTACTS {
            return Err(bad);
        }
        let claims = |contact: &NameAddr| claimed_device(contact).is_some_and(|name| name != device.as_str());
        if contacts.iter().any(claims) {
            let text = "REGISTER with another device's name in its Contact refused";
            self.event(Event::new(EventKind::IdentityRefused, text).device(device.as_str()));
            return Err(Refusal::new(403, "Forbidden", Counter::DeviceNameRefused));
        }
        let key = RegistrationKey { device: device.clone(), aor: format!("{user}@{host}") };
        if !self.registrations.contains(&key) && !contacts.is_empty() {
            let limits = &self.config.limits;
            let full = self.registrations.len() >= limits.registrations
                || self.registrations.count_of_phone(&device) >= limits.registrations_per_phone;
            if full {
                return Err(Refusal::new(503, "Service Unavailable", Counter::RegistrationLimit));
            }
        }
        let asked = asked_expires(&message, &contacts);
        let register = self.rewrite_contacts(&mut message, &key, &contacts, to, asked, origin.cluster);
        if self.is_outside_host(&uri) {
            uri.host = host;
            uri.port = None;
            uri.params.remove("transport");
            address.uri = uri.to_string();
            message.set(name::TO, &with_brackets(&address));
        }
        let uri = self.uri_to_inside(message.uri().unwrap_or_default(), &device, origin.cluster);
        crate::description::drop_description(&mut message);
        let forward = Forward {
            id: self.transactions.reserve(),
            message,
            uri,
            routes: Vec::new(),
            hop: String::new(),
            contact: String::new(),
            device,
            cluster: origin.cluster,
            set: None,
            register: Some(Box::new(register)),
            offered: false,
        };
        self.forward(origin, forward, now);
        Ok(())
    }

    /// Puts our tokens in the place of the phone's Contacts; their parameters stay.
    fn rewrite_contacts(
        &self,
        message: &mut Message,
        key: &RegistrationKey,
        contacts: &[NameAddr],
        to: String,
        asked: u32,
        cluster: usize,
    ) -> RegisterRequest {
        let mut register = RegisterRequest {
            key: key.clone(),
            contacts: Vec::new(),
            values: contacts.iter().map(with_brackets).collect(),
            asked,
            keep_alive: contacts.iter().any(is_keep_alive),
            to,
        };
        let first = token(&["aor", key.device.as_str(), &key.aor]);
        let mut rewritten = Vec::new();
        for (at, contact) in contacts.iter().enumerate() {
            let mut contact = contact.clone();
            let token = match at {
                0 => first.clone(),
                _ => token(&["aor", key.device.as_str(), &key.aor, &at.to_string()]),
            };
            if contact.uri == "*" {
                // All bindings of the address would be other devices' as well: only this device's go.
                contact.params.set("expires", Some("0"));
            } else {
                register.contacts.push((token.clone(), contact.uri.clone()));
            }
            contact.uri = self.our_uri(Side::Cluster, &key.device, cluster, Some(&token)).to_string();
            rewritten.push(with_brackets(&contact));
        }
        if !rewritten.is_empty() {
            message.remove(name::CONTACT);
            for contact in rewritten {
                message.push(name::CONTACT, &contact);
            }
        }
        register
    }

    /// The answer to a REGISTER: the phone sees its own Contact and nobody else's.
    pub(crate) fn register_response(&mut self, id: TxId, code: u16, message: &mut Message, now: Instant) {
        let Some(tx) = self.transactions.get(id) else { return };
        let Some(register) = tx.register.as_deref().cloned() else { return };
        restore_to(message, &register.to);
        let granted = message.contacts().unwrap_or_default();
        message.remove(name::CONTACT);
        if !(200..300).contains(&code) {
            if code >= 300
                && !TRIED_AGAIN.contains(&code)
                && let Some(conn) = self.conn_of(&register.key.device)
            {
                self.output(Output::NotRegistered { conn, code });
            }
            return;
        }
        let whole = message.header(name::EXPIRES).and_then(|value| value.trim().parse::<u32>().ok());
        let mut kept = None;
        for (at, (token, target)) in register.contacts.iter().enumerate() {
            let ours = granted.iter().find(|contact| {
                contact.sip_uri().is_ok_and(|uri| uri.user.as_deref() == Some(token.as_str()))
            });
            let expires = match ours {
                Some(contact) => {
                    contact.params.value("expires").and_then(|value| value.parse().ok()).or(whole)
                }
                // Some call managers list no Contact: then the header counts. Listed, but not ours: gone.
                None if granted.is_empty() => whole,
                None => Some(0),
            };
            let expires = expires.unwrap_or(register.asked).min(EXPIRES_MAX);
            if expires == 0 {
                continue;
            }
            if let Some(mut value) = register.values.get(at).and_then(|value| value.parse::<NameAddr>().ok())
            {
                value.params.set("expires", Some(&expires.to_string()));
                message.push(name::CONTACT, &with_brackets(&value));
            }
            if kept.is_none() {
                kept = Some((token.clone(), target.clone(), expires));
            }
        }
        // A query, and a keep-alive that says Expires 0, change nothing.
        if register.keep_alive || register.values.is_empty() {
            if register.keep_alive {
                for value in register.values {
                    if message.header(name::CONTACT).is_none() {
                        message.push(name::CONTACT, &value);
                    }
                }
            }
            return;
        }
        self.registered(&register.key, kept, now);
    }

    fn registered(&mut self, key: &RegistrationKey, kept: Option<(String, String, u32)>, now: Instant) {
        let timer = Timer::Registration(key.clone());
        let Some((token, target, seconds)) = kept else {
            self.timers.cancel(&timer);
            if self.registrations.remove(key).is_some() {
                self.count(Counter::Deregistrations);
                self.event(
                    Event::new(EventKind::Unregistered, format!("unregistered {}", shown(&key.aor)))
                        .device(key.device.as_str()),
                );
            }
            return;
        };
        let expires = now + Duration::from_secs(u64::from(seconds));
        let new = self.registrations.insert(key.clone(), Registration { token, target, expires });
        self.timers.set(timer, expires);
        self.count(Counter::Registrations);
        if let Some(conn) = self.conn_of(&key.device) {
            self.output(Output::Registered { conn });
        }
        if new {
            self.event(
                Event::new(EventKind::Registered, format!("registered {} for {seconds} s", shown(&key.aor)))
                    .device(key.device.as_str()),
            );
        }
    }
}

/// A backup keep-alive of Cisco phones: Expires 0, and yet no de-registration.
fn is_keep_alive(contact: &NameAddr) -> bool {
    contact.params.has("cisco-keep-alive")
        || contact.sip_uri().is_ok_and(|uri| uri.params.has("cisco-keep-alive"))
}

/// Seconds that a REGISTER asks for: the first Contact's own, or the header's.
fn asked_expires(message: &Message, contacts: &[NameAddr]) -> u32 {
    let own = contacts.first().and_then(|contact| contact.params.value("expires")?.parse().ok());
    let header = || message.header(name::EXPIRES).and_then(|value| value.trim().parse().ok());
    own.or_else(header).unwrap_or(3600)
}

/// Gives To back the address that the phone wrote; the tag is the call manager's.
fn restore_to(message: &mut Message, original: &str) {
    let tag = message.to_tag();
    let Ok(mut address) = original.parse::<NameAddr>() else { return };
    if address.uri == message.to().map(|to| to.uri).unwrap_or_default() {
        return;
    }
    if let Some(tag) = tag {
        address.params.set("tag", Some(&tag));
    }
    message.set(name::TO, &with_brackets(&address));
}

/// A text from outside for an event: short, and without control characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(64).collect()
}
