//! Addresses and headers: what each side may see of the other is decided here.

use std::net::{IpAddr, SocketAddr};

use pinhole_sip::{Header, Message, NameAddr, Uri, Via, name};

use crate::counters::Counter;
use crate::proxy::Proxy;
use crate::token::token;
use crate::transactions::{Side, TxId};
use crate::{DeviceName, Route, Transport};

/// The option tag by which a phone says that it would fall back to plain RTP. Never passed on.
const SRTP_FALLBACK: &str = "X-cisco-srtp-fallback";

impl Proxy {
    /// Our own URI as one side of a device sees it.
    pub(crate) fn our_uri(&self, side: Side, device: &DeviceName, cluster: usize, user: Option<&str>) -> Uri {
        let (address, transport) = self.our_address(side, device, cluster);
        let mut uri = Uri::new(user, &host_text(address.ip()), Some(address.port()));
        uri.params.set("transport", Some(&transport.to_ascii_lowercase()));
        uri
    }

    /// Our Via towards a side of a device.
    pub(crate) fn our_via(&self, side: Side, device: &DeviceName, cluster: usize, branch: &str) -> Via {
        let (address, transport) = self.our_address(side, device, cluster);
        Via::new(transport, &host_text(address.ip()), Some(address.port()), branch)
    }

    /// Phones may have come to different listeners, and must find us where they did.
    fn our_address(&self, side: Side, device: &DeviceName, cluster: usize) -> (SocketAddr, &'static str) {
        match (side, self.config.clusters.get(cluster)) {
            (Side::Cluster, Some(config)) => match config.transport {
                Transport::Udp => (config.local, "UDP"),
                Transport::Tcp => (config.local, "TCP"),
            },
            _ => {
                let known = self.devices.get(device).map(|device| device.listener);
                (known.unwrap_or(self.config.outside.listen), "TLS")
            }
        }
    }

    /// Whether a host is the appliance, as phones know it.
    pub(crate) fn is_outside_host(&self, uri: &Uri) -> bool {
        let outside = &self.config.outside;
        uri.host_ip() == Some(outside.listen.ip())
            || outside.names.iter().any(|name| name.eq_ignore_ascii_case(&uri.host))
    }

    /// Whether a host is the appliance, as the call manager knows it.
    pub(crate) fn is_inside_host(&self, cluster: usize, uri: &Uri) -> bool {
        self.config.clusters.get(cluster).is_some_and(|config| uri.host_ip() == Some(config.local.ip()))
    }

    /// The inside form of a URI that a phone wrote: our own tokens become what they stand for, our own
    /// address becomes the cluster's domain, and `sips` becomes `sip`, since TLS ends here.
    pub(crate) fn uri_to_inside(&self, text: &str, device: &DeviceName, cluster: usize) -> String {
        let Ok(mut uri) = text.parse::<Uri>() else { return text.to_owned() };
        if self.is_outside_host(&uri) {
            let user = uri.user.clone();
            if let Some(target) = user.and_then(|user| self.inside_target(&user, device, cluster)) {
                return match uri.headers {
                    Some(headers) => format!("{}?{headers}", without_headers(&target)),
                    None => target,
                };
            }
            if let Some(config) = self.config.clusters.get(cluster) {
                uri.host.clone_from(&config.domain);
                uri.port = None;
                uri.params.remove("transport");
            }
        }
        if uri.is_sips() {
            uri.scheme = "sip".to_owned();
        }
        uri.to_string()
    }

    /// What a token in a phone's request stands for inside.
    fn inside_target(&self, user: &str, device: &DeviceName, cluster: usize) -> Option<String> {
        if let Some(set) = self.sets.of_token(user).and_then(|id| self.sets.get(id))
            && set.device == *device
            && let Some(target) = set.target_of(Side::Cluster)
        {
            return Some(target.to_owned());
        }
        // Somebody else's: known inside under the same token.
        let known = self.registrations.of_token(user).is_some() || self.sets.of_token(user).is_some();
        known.then(|| self.our_uri(Side::Cluster, device, cluster, Some(user)).to_string())
    }

    /// The outside form of a URI that a call manager wrote: our inside address becomes our outside one.
    pub(crate) fn uri_to_outside(&self, text: &str, device: &DeviceName, cluster: usize) -> String {
        let Ok(uri) = text.parse::<Uri>() else { return text.to_owned() };
        if !self.is_inside_host(cluster, &uri) {
            return text.to_owned();
        }
        let mut ours = self.our_uri(Side::Phone, device, cluster, uri.user.as_deref());
        ours.headers = uri.headers;
        ours.to_string()
    }

    /// Edits what any request or response that leaves towards a side must not carry over.
    pub(crate) fn edit_common(
        &mut self,
        message: &mut Message,
        to: Side,
        device: &DeviceName,
        cluster: usize,
    ) {
        match to {
            Side::Cluster => {
                self.remove_false_identities(message, device);
                for field in [name::SUPPORTED, name::REQUIRE] {
                    remove_option(message, field, SRTP_FALLBACK);
                }
                self.map_refer_to(message, |proxy, uri| proxy.uri_to_inside(uri, device, cluster));
            }
            Side::Phone => {
                for field in [name::SERVICE_ROUTE, name::PATH] {
                    message.remove(field);
                }
                rename_warning_agents(message);
                self.map_refer_to(message, |proxy, uri| proxy.uri_to_outside(uri, device, cluster));
            }
        }
    }

    fn map_refer_to(&self, message: &mut Message, map: impl Fn(&Self, &str) -> String) {
        let Some(value) = message.header(name::REFER_TO) else { return };
        let Ok(mut address) = value.parse::<NameAddr>() else { return };
        let mapped = map(self, &address.uri);
        if mapped != address.uri {
            address.uri = mapped;
            message.set(name::REFER_TO, &address.to_string());
        }
    }

    /// Removes identities that the device may not assert: nobody inside must trust them (RFC 3325 section 5).
    fn remove_false_identities(&mut self, message: &mut Message, device: &DeviceName) {
        for field in [name::P_ASSERTED_IDENTITY, name::P_PREFERRED_IDENTITY, name::REMOTE_PARTY_ID] {
            if message.header(field).is_none() {
                continue;
            }
            let own = |address: &NameAddr| {
                address.sip_uri().is_ok_and(|uri| {
                    let user = uri.unescaped_user().unwrap_or_default();
                    self.config.identity.allows(device, &user, &uri.host)
                })
            };
            if !message.addresses(field).is_ok_and(|all| all.iter().all(own)) {
                message.remove(field);
                self.count(Counter::AssertedIdentityRemoved);
            }
        }
    }

    /// Puts our own Contact in the place of the sender's.
    pub(crate) fn replace_contact(
        &self,
        message: &mut Message,
        to: Side,
        device: &DeviceName,
        cluster: usize,
        user: &str,
    ) {
        let Some(value) = message.values(name::CONTACT).into_iter().next() else { return };
        let Ok(mut contact) = value.parse::<NameAddr>() else {
            message.remove(name::CONTACT);
            return;
        };
        contact.uri = self.our_uri(to, device, cluster, Some(user)).to_string();
        message.set(name::CONTACT, &with_brackets(&contact));
    }

    /// Contacts of a redirection (3xx): addresses of the appliance and of the call manager become names
    /// that the other side can ask us for.
    pub(crate) fn map_redirection(
        &self,
        message: &mut Message,
        to: Side,
        device: &DeviceName,
        cluster: usize,
    ) {
        let Ok(contacts) = message.contacts() else {
            message.remove(name::CONTACT);
            return;
        };
        let mapped: Vec<String> = contacts
            .into_iter()
            .map(|mut contact| {
                contact.uri = match to {
                    Side::Cluster => self.uri_to_inside(&contact.uri, device, cluster),
                    Side::Phone => self.redirection_to_outside(&contact.uri, cluster),
                };
                with_brackets(&contact)
            })
            .collect();
        message.remove(name::CONTACT);
        for contact in mapped {
            message.push(name::CONTACT, &contact);
        }
    }

    fn redirection_to_outside(&self, text: &str, cluster: usize) -> String {
        match (text.parse::<Uri>(), self.config.clusters.get(cluster)) {
            (Ok(mut uri), Some(config)) if uri.host_ip().is_some() => {
                uri.host.clone_from(&config.domain);
                uri.port = None;
                uri.params.remove("transport");
                uri.to_string()
            }
            _ => text.to_owned(),
        }
    }

    /// User part of our Contact outside dialogs.
    pub(crate) fn device_token(&self, device: &DeviceName) -> String {
        match self.registrations.token_of(device) {
            Some(token) => token.to_owned(),
            None => token(&["device", device.as_str()]),
        }
    }

    /// How a request leaves for a call manager: to the next hop if it is one of the cluster's configured
    /// addresses, otherwise to the call manager. What a message says is never enough.
    pub(crate) fn cluster_route(&self, cluster: usize, device: &DeviceName, hop: &str) -> Option<Route> {
        let config = self.config.clusters.get(cluster)?;
        if config.transport == Transport::Tcp {
            return Some(Route::Device(device.clone()));
        }
        let uri = hop.parse::<NameAddr>().ok().and_then(|hop| hop.sip_uri().ok());
        let named = uri.and_then(|uri| {
            let ip = uri.host_ip().filter(|ip| config.sources.contains(ip))?;
            Some(SocketAddr::new(ip, uri.port.unwrap_or(5060)))
        });
        // Never to ourselves: that would be a loop of our own making.
        let to = named.filter(|to| *to != config.local).unwrap_or(config.call_manager);
        Some(Route::Udp { to })
    }

    /// A branch for a request of ours; unique, and of no meaning to others.
    pub(crate) fn new_branch(&mut self) -> String {
        format!("z9hG4bKph{}", self.random_word())
    }

    /// The set's token, if the transaction belongs to dialogs.
    pub(crate) fn contact_user(&self, id: TxId) -> String {
        let Some(tx) = self.transactions.get(id) else { return String::new() };
        match tx.set.and_then(|set| self.sets.get(set)) {
            Some(set) => set.token.clone(),
            None => self.device_token(&tx.device),
        }
    }
}

/// An address as the host of a URI or a Via.
pub(crate) fn host_text(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// A name-addr in its safe form: with brackets, so that URI parameters stay with the URI.
pub(crate) fn with_brackets(address: &NameAddr) -> String {
    let display = address.display.as_ref().map_or_else(String::new, |display| format!("{display} "));
    format!("{display}<{}>{}", address.uri, address.params)
}

/// The value of From or To without its tag.
pub(crate) fn without_tag(value: &str) -> String {
    match value.parse::<NameAddr>() {
        Ok(mut address) => {
            address.params.remove("tag");
            with_brackets(&address)
        }
        Err(_) => value.to_owned(),
    }
}

fn without_headers(uri: &str) -> &str {
    uri.split('?').next().unwrap_or(uri)
}

/// Notes in the topmost Via where the request really came from (RFC 3261 section 18.2.1, RFC 3581 section 4).
pub(crate) fn mark_source(message: &mut Message, via: &Via, source: SocketAddr) {
    let asks_port = via.params.has("rport");
    let elsewhere = via.host_ip() != Some(source.ip());
    if !asks_port && !elsewhere {
        return;
    }
    let mut marked = via.clone();
    marked.params.set("received", Some(&source.ip().to_string()));
    if asks_port {
        marked.params.set("rport", Some(&source.port().to_string()));
    }
    let rest = message.values(name::VIA).into_iter().skip(1).collect::<Vec<_>>();
    let Some(first) = message.headers.iter().position(|header| header.is(name::VIA)) else { return };
    message.remove(name::VIA);
    let values = std::iter::once(marked.to_string()).chain(rest);
    let fields = values.map(|value| Header::new(name::VIA, &value));
    message.headers.splice(first..first, fields);
}

/// Removes an option tag from a list of them.
fn remove_option(message: &mut Message, field: &str, option: &str) {
    let values = message.values(field);
    if !values.iter().any(|value| value.eq_ignore_ascii_case(option)) {
        return;
    }
    let kept: Vec<String> = values.into_iter().filter(|value| !value.eq_ignore_ascii_case(option)).collect();
    if kept.is_empty() {
        message.remove(field);
    } else {
        message.set(field, &kept.join(", "));
    }
}

/// A Warning names the host that warns (RFC 3261 section 20.43): ours, not one inside.
fn rename_warning_agents(message: &mut Message) {
    for header in message.headers.iter_mut().filter(|header| header.is(name::WARNING)) {
        let mut words = header.value().splitn(3, ' ');
        let value = match (words.next(), words.next(), words.next()) {
            (Some(code), Some(_), Some(text)) => format!("{code} pinhole {text}"),
            _ => "399 pinhole \"-\"".to_owned(),
        };
        header.set_value(&value);
    }
}
