//! Messages by name: how many of each came, went, and were dropped. Names are those that are known, and one for all others,
//! so nobody makes the tables grow.

use std::borrow::Cow;

use pinhole_sccp::MessageId;
use pinhole_sip::{Message, Method, StartLine};

/// What became of messages, on each of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Phones have sent them.
    FromPhone,
    /// They were sent to phones.
    ToPhone,
    /// Call managers have sent them.
    FromCallManager,
    /// They were sent to call managers.
    ToCallManager,
    /// Phones have sent them, and they did not pass. SCCP only.
    DroppedFromPhone,
    /// Call managers have sent them, and they did not pass. SCCP only.
    DroppedFromCallManager,
}

const WAYS: usize = 6;
/// Groups as operators know them, by [`Way`].
const SCCP_GROUPS: [&str; WAYS] = [
    "sccp.from_phone",
    "sccp.to_phone",
    "sccp.from_call_manager",
    "sccp.to_call_manager",
    "sccp.dropped_from_phone",
    "sccp.dropped_from_call_manager",
];
const SIP_GROUPS: [&str; WAYS] =
    ["sip.from_phone", "sip.to_phone", "sip.from_call_manager", "sip.to_call_manager", "", ""];
/// Methods with a name; others are counted together.
const METHODS: [Method; 14] = [
    Method::Invite,
    Method::Ack,
    Method::Bye,
    Method::Cancel,
    Method::Register,
    Method::Options,
    Method::Prack,
    Method::Update,
    Method::Info,
    Method::Subscribe,
    Method::Notify,
    Method::Message,
    Method::Refer,
    Method::Publish,
];
/// The first status code, whose place is that after the methods and the others.
const FIRST_CODE: usize = 100;
const SIP_NAMES: usize = METHODS.len() + 1 + 600;
const OTHERS: &str = "unknown";

/// How many messages of each name.
#[derive(Clone, Debug)]
pub struct Messages {
    sccp: [Vec<u64>; WAYS],
    sip: [Vec<u64>; WAYS],
}

impl Default for Messages {
    fn default() -> Self {
        let table = |names: usize| std::array::from_fn(|_| vec![0; names]);
        Self { sccp: table(MessageId::NAMED.len() + 1), sip: table(SIP_NAMES) }
    }
}

impl Messages {
    pub(crate) fn sccp(&mut self, way: Way, id: MessageId) {
        let place = MessageId::NAMED.binary_search(&id).unwrap_or(MessageId::NAMED.len());
        count(&mut self.sccp, way, place);
    }

    pub(crate) fn sip(&mut self, way: Way, message: &Message) {
        let place = match &message.start {
            StartLine::Request { method, .. } => method_place(method),
            StartLine::Response { code, .. } => code_place(*code),
        };
        count(&mut self.sip, way, place);
    }

    /// A message as it is sent.
    pub(crate) fn sip_bytes(&mut self, way: Way, bytes: &[u8]) {
        let place = match bytes.strip_prefix(b"SIP/2.0 ").and_then(|rest| rest.get(..3)) {
            Some(code) => {
                code_place(std::str::from_utf8(code).ok().and_then(|code| code.parse().ok()).unwrap_or(0))
            }
            None => {
                let word = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
                METHODS.iter().position(|method| method.as_str().as_bytes() == word).unwrap_or(METHODS.len())
            }
        };
        count(&mut self.sip, way, place);
    }

    /// Group, name and number of each that there were.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Cow<'static, str>, u64)> + '_ {
        let sccp = SCCP_GROUPS.into_iter().zip(&self.sccp).flat_map(|(group, values)| {
            values
                .iter()
                .enumerate()
                .map(move |(place, value)| (group, Cow::Borrowed(sccp_name(place)), *value))
        });
        let sip = SIP_GROUPS.into_iter().zip(&self.sip).flat_map(|(group, values)| {
            values.iter().enumerate().map(move |(place, value)| (group, sip_name(place), *value))
        });
        sccp.chain(sip).filter(|(.., value)| *value > 0)
    }
}

fn count(table: &mut [Vec<u64>; WAYS], way: Way, place: usize) {
    if let Some(value) = table.get_mut(way as usize).and_then(|values| values.get_mut(place)) {
        *value += 1;
    }
}

fn method_place(method: &Method) -> usize {
    METHODS.iter().position(|known| known == method).unwrap_or(METHODS.len())
}

fn code_place(code: u16) -> usize {
    usize::from(code).checked_sub(FIRST_CODE).map_or(METHODS.len(), |code| METHODS.len() + 1 + code)
}

fn sccp_name(place: usize) -> &'static str {
    MessageId::NAMED.get(place).and_then(|id| id.name()).unwrap_or(OTHERS)
}

fn sip_name(place: usize) -> Cow<'static, str> {
    match METHODS.get(place) {
        Some(method) => method.as_str().to_owned().into(),
        None if place == METHODS.len() => OTHERS.into(),
        None => (place - METHODS.len() - 1 + FIRST_CODE).to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_by_name_and_unknown_ones_together() {
        let mut messages = Messages::default();
        for id in [0, 0x105, 0x15A, 0x8101, 0x7777, 0xFFFF_FFFF] {
            messages.sccp(Way::FromPhone, MessageId(id));
        }
        for bytes in
            ["INVITE sip:a SIP/2.0", "PUBLISH x", "BREW x", "SIP/2.0 100 x", "SIP/2.0 699 x", "SIP/2.0 0", ""]
        {
            messages.sip_bytes(Way::ToPhone, bytes.as_bytes());
        }
        messages.sip(Way::ToPhone, &Message::response(486, "Busy Here"));
        messages.sip(Way::ToPhone, &Message::request(Method::Invite, "sip:a"));
        let counted: Vec<_> =
            messages.iter().map(|(group, name, value)| format!("{group} {name} {value}")).collect();
        let sccp =
            ["KeepAlive 1", "OpenReceiveChannel 1", "XMLAlarm 1", "SPCPRegisterTokenReject 1", "unknown 2"];
        let sip = ["INVITE 2", "PUBLISH 1", "unknown 3", "100 1", "486 1", "699 1"];
        let expected: Vec<_> = sccp
            .iter()
            .map(|line| format!("sccp.from_phone {line}"))
            .chain(sip.iter().map(|line| format!("sip.to_phone {line}")))
            .collect();
        assert_eq!(counted, expected);
    }
}
