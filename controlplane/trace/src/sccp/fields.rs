//! The fields that the codec knows, by name.

use std::fmt::{Debug, Display};

use pinhole_sccp::{FieldError, Frame, KeyBlock, PortHandling, Server};

use crate::MASK;

/// Names and values of what is known of a frame. Fields that it has not, or that cannot be read, are left out. Of keys only
/// the algorithm is named, and where the layout is in doubt, nothing that might be one is read.
pub fn fields(frame: &Frame) -> Vec<(String, String)> {
    let mut fields = Fields(Vec::new());
    channel(frame, &mut fields);
    registration(frame, &mut fields);
    call(frame, &mut fields);
    application(frame, &mut fields);
    fields.put("waits (s)", frame.token_wait_s());
    fields.put("status", frame.unregister_status());
    fields.debug("kind", frame.reset_kind());
    fields.put("severity", frame.alarm_severity());
    fields.put("address", frame.alarm_address());
    fields.0
}

struct Fields(Vec<(String, String)>);

impl Fields {
    fn say(&mut self, name: &str, value: impl Display) {
        self.0.push((name.to_owned(), value.to_string()));
    }

    fn put(&mut self, name: &str, value: Result<impl Display, FieldError>) {
        if let Ok(value) = value {
            self.say(name, value);
        }
    }

    fn debug(&mut self, name: &str, value: Result<impl Debug, FieldError>) {
        if let Ok(value) = value {
            self.say(name, format!("{value:?}"));
        }
    }
}

fn channel(frame: &Frame, fields: &mut Fields) {
    let Some(channel) = frame.channel() else { return };
    fields.put("conference", channel.conference());
    fields.put("party", channel.party());
    if frame.layout_is_doubtful() {
        return fields.say("more", "not shown, since this version may mean two layouts");
    }
    fields.put("call", channel.call());
    fields.put("status", channel.status().map(|status| status.0));
    match (channel.address(), channel.port()) {
        (Ok(address), Ok(port)) => match address.ip() {
            Some(ip) => fields.say("address", std::net::SocketAddr::new(ip, port)),
            None => fields.say("port", port),
        },
        (Ok(address), Err(_)) => fields.put("address", address.ip().ok_or_else(|| no_field(frame))),
        (Err(_), port) => fields.put("port", port),
    }
    fields.put("RTCP port", channel.rtcp_port());
    fields.debug("family", channel.family());
    fields.put("media type", channel.media_type().map(|kind| kind.0));
    fields.put("codec", channel.codec());
    fields.put("packet (ms)", channel.packet_ms());
    fields.put("telephone event", channel.telephone_event());
    match channel.port_handling() {
        Ok(PortHandling::Close) => fields.say("port", "closed"),
        Ok(PortHandling::Keep) => fields.say("port", "kept"),
        Ok(PortHandling::Other(_)) | Err(_) => {}
    }
    match channel.encryption() {
        Ok(KeyBlock::Clear) => fields.say("encryption", "none"),
        Ok(KeyBlock::Keyed(block)) => {
            fields.say("encryption", format!("{:?}, key and salt {MASK}", block.algorithm));
        }
        Ok(KeyBlock::Unreadable { .. }) => fields.say("encryption", "unreadable"),
        Err(_) => {}
    }
}

fn no_field(frame: &Frame) -> FieldError {
    FieldError::NoField { message: frame.id(), field: "address" }
}

fn registration(frame: &Frame, fields: &mut Fields) {
    if let Some(request) = frame.registration() {
        fields.put("device", request.device_name());
        fields.put("instance", request.instance());
        fields.put("address", request.ipv4());
        fields.put("IPv6 address", request.ipv6());
        fields.put("device type", request.device_type());
        fields.put("streams at most", request.max_streams());
        fields.put("streams", request.active_streams());
        fields.put("protocol", request.protocol());
        fields.debug("features", request.features());
    }
    if let Ok(granted) = frame.register_ack() {
        fields.say("protocol", granted.protocol);
        fields.debug("features", Ok(granted.features));
        fields.say("keep-alive (s)", granted.keep_alive_s);
        fields.say("keep-alive of a backup (s)", granted.backup_keep_alive_s);
    }
    if let Some(servers) = frame.servers() {
        let listed = (0..Server::PLACES).filter_map(|place| servers.get(place).ok());
        for server in listed.filter(|server| !server.name.is_empty() || !server.address.is_unspecified()) {
            fields.say("server address", std::net::SocketAddr::new(server.address, server.port));
        }
    }
}

fn call(frame: &Frame, fields: &mut Fields) {
    let Some(call) = frame.call() else { return };
    fields.put("line", call.line());
    fields.put("call", call.reference());
    fields.put("kind", call.kind());
    fields.debug("state", call.state());
    fields.debug("security", call.security());
}

fn application(frame: &Frame, fields: &mut Fields) {
    if let Some(data) = frame.user_data() {
        fields.put("application", data.application());
        fields.put("line", data.line());
        fields.put("call", data.call());
        fields.put("transaction", data.transaction());
        fields.put("sequence", data.sequence());
    }
    for text in frame.texts() {
        fields.say(text.field, String::from_utf8_lossy(text.bytes));
    }
}
