//! Whatever phones and call managers say, in any order: nothing in the clear, no key twice, nothing left.

use std::collections::BTreeSet;
use std::time::Duration;

use pinhole_flow::{CommandKind, LegFlags};
use pinhole_proxy::{ConnId, SkinnyInput};
use pinhole_sccp::{KeyBlock, MessageId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::stage::*;
use crate::stage::{PHONE_A, PHONE_B};

const SESSIONS: u32 = 6;
/// Where a phone says it is that is not behind a NAT.
const NO_NAT: &str = "198.51.100.10:16384";

#[derive(Clone, Debug)]
enum Step {
    Connect { conn: u64, backup: bool },
    Register { conn: u64 },
    FromPhone { conn: u64, id: MessageId, version: u32, body: Vec<u8> },
    FromServer { conn: u64, id: MessageId, version: u32, body: Vec<u8> },
    Talk { conn: u64, call: u32, acknowledged: Option<&'static str> },
    End { conn: u64, call: u32, id: MessageId },
    PhoneClosed { conn: u64 },
    ServerClosed { conn: u64 },
    Pass { seconds: u64 },
    Refuse { on: bool },
}

/// Ids about media often, any other that has a name, or any at all.
fn ids() -> impl Strategy<Value = MessageId> {
    let media = [0x105, 0x8A, 0x22, 0x154, 0x106, 0x8B, 0x131, 0x132, 0x14B, 0x14C, 0x45, 0x2A];
    prop_oneof![
        4 => prop::sample::select(media.to_vec()).prop_map(MessageId),
        2 => prop::sample::select(MessageId::NAMED.to_vec()),
        1 => any::<u32>().prop_map(MessageId),
    ]
}

/// Bodies of small words, so that calls and parties meet, and of any bytes.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let words = vec(prop::sample::select(vec![0_u32, 1, 2, 0x101, 0x102, 0x1400_140A, 24000]), 0..70);
    let words = words.prop_map(|words| words.into_iter().flat_map(u32::to_le_bytes).collect());
    prop_oneof![3 => words, 1 => vec(any::<u8>(), 0..280)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let conn = || 1_u64..=4;
    let version = || prop::sample::select(vec![0_u32, 11, 16, 17, 22]);
    let ends = [0x106, 0x8B, 0x133, 0x136].map(MessageId);
    let step = prop_oneof![
        2 => (conn(), any::<bool>()).prop_map(|(conn, backup)| Step::Connect { conn, backup }),
        2 => conn().prop_map(|conn| Step::Register { conn }),
        4 => (conn(), ids(), version(), bodies())
            .prop_map(|(conn, id, version, body)| Step::FromPhone { conn, id, version, body }),
        6 => (conn(), ids(), version(), bodies())
            .prop_map(|(conn, id, version, body)| Step::FromServer { conn, id, version, body }),
        4 => (conn(), 1_u32..4, prop::option::of(prop::sample::select(vec![CLAIMED, NO_NAT])))
            .prop_map(|(conn, call, acknowledged)| Step::Talk { conn, call, acknowledged }),
        3 => (conn(), 1_u32..4, prop::sample::select(ends.to_vec()))
            .prop_map(|(conn, call, id)| Step::End { conn, call, id }),
        1 => conn().prop_map(|conn| Step::PhoneClosed { conn }),
        1 => conn().prop_map(|conn| Step::ServerClosed { conn }),
        1 => (0_u64..40).prop_map(|seconds| Step::Pass { seconds }),
        1 => any::<bool>().prop_map(|on| Step::Refuse { on }),
    ];
    vec(step, 1..60)
}

fn device(conn: u64) -> &'static str {
    if conn % 2 == 1 { PHONE_A } else { PHONE_B }
}

fn take(stage: &mut Stage, step: Step) {
    match step {
        Step::Connect { conn, backup } => {
            stage.skinny(SkinnyInput::PhoneClosed { conn: ConnId(conn) });
            stage.connect(device(conn), conn, if backup { BACKUP } else { PRIMARY });
        }
        Step::Register { conn } => {
            stage.phone_sends(conn, register(device(conn)));
            stage.server_sends(conn, register_ack());
        }
        Step::FromPhone { conn, id, version, body } => stage.phone_sends(conn, frame(id, version, &body)),
        Step::FromServer { conn, id, version, body } => stage.server_sends(conn, frame(id, version, &body)),
        Step::Talk { conn, call, acknowledged } => {
            stage.server_sends(conn, open(call, None));
            if let Some(at) = acknowledged {
                stage.phone_sends(conn, open_ack(call, 0, at, 0));
            }
            stage.server_sends(conn, start(call, FAR, None));
        }
        Step::End { conn, call, id } => stage.server_sends(conn, end(id, call)),
        Step::PhoneClosed { conn } => stage.skinny(SkinnyInput::PhoneClosed { conn: ConnId(conn) }),
        Step::ServerClosed { conn } => stage.skinny(SkinnyInput::ServerClosed { conn: ConnId(conn) }),
        Step::Pass { seconds } => stage.pass(Duration::from_secs(seconds)),
        Step::Refuse { on } => stage.refuses = on,
    }
}

/// Messages to phones that carry a key.
fn keyed(id: MessageId) -> bool {
    [0x105, 0x8A, 0x131, 0x132].contains(&id.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_course_of_events_is_safe_and_leaves_nothing(steps in steps()) {
        let mut config = config();
        config.max_sessions = SESSIONS;
        let mut stage = Stage::with(config);
        let mut keys = BTreeSet::new();
        for step in steps {
            let commands = stage.commands.len();
            take(&mut stage, step);
            for command in &stage.commands[commands..] {
                let [outside, inside] = command.session.legs;
                if command.kind != CommandKind::Close as u32 {
                    prop_assert!(outside.inbound.suite().is_some());
                    prop_assert!(outside.has(LegFlags::LEARN) && outside.inbound != outside.outbound);
                    prop_assert!((outside.port, inside.port) == (0, 1));
                }
            }
            for (_, frame) in stage.phone.drain(..).filter(|(_, frame)| keyed(frame.id())) {
                let channel = frame.channel().unwrap();
                let Ok(KeyBlock::Keyed(encryption)) = channel.encryption() else {
                    return Err(TestCaseError::fail(format!("{frame:?} without a key")));
                };
                prop_assert!(keys.insert(*encryption.key.expose()), "a key twice");
                if let Ok(Some(at)) = channel.address().map(|address| address.ip()) {
                    let ours = at.is_unspecified() || at.to_string() == "203.0.113.5";
                    prop_assert!(ours, "{frame:?} shows {at}");
                }
            }
            for (_, frame) in stage.server.drain(..) {
                let acknowledges = [0x22, 0x154, 0x31, 0x155, 0x45].contains(&frame.id().0);
                if let Some(Ok(at)) = frame.channel().filter(|_| acknowledges).map(|channel| channel.address()) {
                    let at = at.ip().unwrap();
                    prop_assert!(at.is_unspecified() || at.to_string() == "10.20.0.5", "{frame:?} shows {at}");
                }
            }
            prop_assert!(stage.proxy.sessions().len() <= SESSIONS as usize);
            prop_assert!(stage.proxy.ports().in_use <= u64::from(2 * SESSIONS));
            prop_assert_eq!(stage.proxy.calls(stage.now).len(), stage.proxy.call_count());
        }
        stage.refuses = false;
        for conn in 1..=4 {
            stage.skinny(SkinnyInput::PhoneClosed { conn: ConnId(conn) });
        }
        stage.pass(Duration::from_secs(300));
        prop_assert!(stage.proxy.sessions().is_empty() && stage.proxy.phones(stage.now).is_empty());
        prop_assert_eq!(stage.proxy.ports().in_use + stage.proxy.ports().quarantined, 0);
        prop_assert_eq!(stage.proxy.next_timeout(), None);
    }
}
