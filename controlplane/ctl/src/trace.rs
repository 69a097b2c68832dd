//! A trace's lines for people.

use pinhole_admin::{Content, Hop, Traced, TracedMessage};

use crate::table::{line, moment};

/// A line of a trace: a heading, then the message.
pub fn shown(traced: &Traced) -> String {
    match traced {
        Traced::Message(message) => self::message(message),
        Traced::Lost { messages } => {
            format!("── {messages} messages are not shown here: they were not read fast enough")
        }
        Traced::Ended { reason, messages, lost } => {
            format!("── The trace has ended: {}. {messages} messages shown, {lost} lost.", line(reason))
        }
    }
}

fn message(message: &TracedMessage) -> String {
    let address = |address: Option<std::net::SocketAddr>| {
        address.map_or_else(|| "-".into(), |address| address.to_string())
    };
    let (phone, manager) = (address(message.phone), address(message.call_manager));
    let way = match message.hop {
        Hop::FromPhone => format!("phone {phone} → Pinhole (for {manager})"),
        Hop::ToPhone => format!("Pinhole → phone {phone} (from {manager})"),
        Hop::FromCallManager => format!("call manager {manager} → Pinhole"),
        Hop::ToCallManager => format!("Pinhole → call manager {manager}"),
    };
    let said = match &message.content {
        Content::Sip { .. } => "SIP".to_owned(),
        Content::Sccp { message, id, version, .. } => {
            format!("SCCP {} ({id:#06x}), version {version}", line(message))
        }
    };
    let (cluster, transport, length) = (line(&message.cluster), &message.transport, message.length);
    let mut text =
        format!("── {} {way}, {transport}, {cluster}: {said}, {length} bytes\n", moment(message.time_ms));
    match &message.content {
        Content::Sip { text: sip } => text.push_str(&lines(sip)),
        Content::Sccp { fields, hex, .. } => {
            for (name, value) in fields {
                text.push_str(&format!("   {name:<16} {}\n", line(value)));
            }
            text.push_str(hex.as_deref().unwrap_or_default());
        }
    }
    text
}

/// A text of somebody else's, with its lines but without control characters, which terminals obey.
fn lines(text: &str) -> String {
    let lines = text.trim_end().lines();
    lines.flat_map(|each| [line(each), "\n".into()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traced(content: Content) -> String {
        shown(&Traced::Message(Box::new(TracedMessage {
            time_ms: 0,
            hop: Hop::FromPhone,
            phone: Some("198.51.100.10:4711".parse().unwrap()),
            cluster: "office".into(),
            call_manager: Some("10.20.0.10:2000".parse().unwrap()),
            transport: "tls".into(),
            length: 20,
            content,
        })))
    }

    #[test]
    fn message_has_a_heading_that_says_when_who_and_what() {
        let fields = vec![("call".to_owned(), "7".to_owned())];
        let hex = Some("0000  01 ··\n".to_owned());
        let content = Content::Sccp { message: "OffHook".into(), id: 6, version: 17, fields, hex };
        assert_eq!(
            traced(content),
            "── 1970-01-01T00:00:00.000Z phone 198.51.100.10:4711 → Pinhole (for 10.20.0.10:2000), tls, office: \
            SCCP OffHook (0x0006), version 17, 20 bytes\n   call             7\n0000  01 ··\n"
        );
    }

    #[test]
    fn sip_keeps_its_lines_and_cannot_steer_a_terminal() {
        let text = traced(Content::Sip { text: "BYE x\r\nA:\tb\x1b[2J\r\n\r\n".into() });
        assert!(text.ends_with("SIP, 20 bytes\nBYE x\nA: b\u{fffd}[2J\n"), "{text}");
    }
}
