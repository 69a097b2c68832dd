//! Whatever comes, in whatever order: no panic, tables within their bounds, and nothing left behind.

use std::time::Duration;

use pinhole_flow::Event;
use pinhole_proxy::{DeviceName, Input, Limits};
use pinhole_sip::{Message, name};
use proptest::prelude::*;

use crate::stage::*;

#[derive(Clone, Debug)]
enum Step {
    /// A request of a phone: connection, method, description, and whether it names the running dialog.
    Phone(u8, u8, u8, bool),
    /// The same of the call manager.
    Cm(u8, u8, bool),
    /// A phone answers one of the requests it has: which, status, description, tag.
    PhoneAnswers(u8, u8, u8, u8),
    /// The same of the call manager.
    CmAnswers(u8, u8, u8, u8),
    /// Something sent before is sent again.
    Again(u8),
    Connect(u8),
    Disconnect(u8),
    Pass(u16),
    Upstream,
    Media(u8, u8, u8),
}

const METHODS: [&str; 24] = [
    "INVITE",
    "INVITE",
    "INVITE",
    "INVITE",
    "INVITE",
    "ACK",
    "ACK",
    "ACK",
    "BYE",
    "UPDATE",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "PRACK",
    "UPDATE",
    "INFO",
    "SUBSCRIBE",
    "NOTIFY",
    "REFER",
    "MESSAGE",
    "OPTIONS",
    "REGISTER",
    "ODD",
];
const CODES: [u16; 10] = [100, 180, 183, 200, 200, 200, 302, 407, 486, 603];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let byte = any::<u8>;
    let step = prop_oneof![
        4 => (byte(), byte(), byte(), any::<bool>()).prop_map(|(a, b, c, d)| Step::Phone(a, b, c, d)),
        4 => (byte(), byte(), any::<bool>()).prop_map(|(a, b, c)| Step::Cm(a, b, c)),
        4 => (byte(), byte(), byte(), byte()).prop_map(|(a, b, c, d)| Step::PhoneAnswers(a, b, c, d)),
        4 => (byte(), byte(), byte(), byte()).prop_map(|(a, b, c, d)| Step::CmAnswers(a, b, c, d)),
        2 => byte().prop_map(Step::Again),
        1 => byte().prop_map(Step::Connect),
        1 => byte().prop_map(Step::Disconnect),
        2 => (0..4_000_u16).prop_map(Step::Pass),
        1 => (0..60_000_u16).prop_map(Step::Pass),
        1 => Just(Step::Upstream),
        1 => (byte(), byte(), byte()).prop_map(|(a, b, c)| Step::Media(a, b, c)),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A description of a phone or of the call manager: mostly one that fits its side.
fn description(phone: bool, choice: u8, request: Option<&Message>) -> String {
    let asked = request.map(body).unwrap_or_default();
    let crypto = asked.lines().find(|line| line.starts_with("a=crypto:")).map(tag_and_suite);
    match (choice % 16, phone, crypto) {
        (0..6, _, _) => String::new(),
        (6, _, _) => "v=0\r\nbroken".to_owned(),
        (7, _, _) => offer_inside(),
        (8, _, _) => offer_outside(KEY_B).replace("192.168.77.11", "0.0.0.0"),
        (9, true, _) => {
            let line = format!("m=video 5000 RTP/SAVPF 96\r\na=crypto:3 AES_CM_128_HMAC_SHA1_80 {KEY_B}\r\n");
            format!("{}{line}", offer_outside(KEY_A))
        }
        (9, false, _) => format!("{}m=video 5000 RTP/AVP 96\r\nm=image 0 udptl t38\r\n", answer_inside()),
        (_, true, Some((tag, suite))) => answer_outside(tag, suite, KEY_A),
        (10, true, None) => offer_outside(KEY_B),
        (_, true, None) => offer_outside(KEY_A),
        (_, false, _) => answer_inside(),
    }
}

struct Play {
    stage: Stage,
    at_phone: Vec<Message>,
    at_cm: Vec<Message>,
    sent: Vec<(bool, Message)>,
    /// Everything that each side was sent, responses as well.
    shown_phone: Vec<String>,
    shown_cm: Vec<String>,
    token: String,
    /// The connection of phone A.
    conn: u64,
}

impl Play {
    fn new(config: pinhole_proxy::ProxyConfig) -> Self {
        let mut stage = Stage::with(config);
        stage.connect(PHONE_A, 1);
        let token = stage.token_of_phone();
        Self {
            stage,
            at_phone: Vec::new(),
            at_cm: Vec::new(),
            sent: Vec::new(),
            shown_phone: Vec::new(),
            shown_cm: Vec::new(),
            token,
            conn: 1,
        }
    }

    fn step(&mut self, step: Step) {
        let stage = &mut self.stage;
        match step {
            Step::Phone(conn, method, body, running) => {
                let method = METHODS[usize::from(method) % METHODS.len()];
                let uri = if running { "sip:x@203.0.113.5" } else { "sip:2001@lab.example" };
                let contact = ["Contact: <sip:1001@192.168.77.11>"];
                let cseq = format!("{} {method}", 1 + conn / 128);
                let mut message =
                    stage.in_dialog("TLS", method, uri, &cseq, &contact, &description(true, body, None));
                message.set(name::CALL_ID, &format!("call-{}", body / 16 % 2));
                if !running {
                    message.set(name::TO, "<sip:1001@lab.example>");
                }
                self.sent.push((true, message.clone()));
                stage.phone_sends(if conn % 8 == 0 { 2 } else { self.conn }, message);
            }
            Step::Cm(method, body, running) => {
                let cseq_number = 1 + method / 128;
                let method = METHODS[usize::from(method) % METHODS.len()];
                let contact = ["Contact: <sip:2001@10.20.0.20>", "Record-Route: <sip:10.20.0.10;lr>"];
                let cseq = format!("{cseq_number} {method}");
                let mut message = stage.in_dialog(
                    "UDP",
                    method,
                    &self.token,
                    &cseq,
                    &contact,
                    &description(false, body, None),
                );
                message.set(name::CALL_ID, &format!("call-{}", body / 16 % 2));
                if !running {
                    message.set(name::TO, "<sip:1001@lab.example>");
                }
                self.sent.push((false, message.clone()));
                stage.cm_sends(message);
            }
            Step::PhoneAnswers(which, code, body, tag) => {
                if let Some(answer) = answer(true, &self.at_phone, [which, code, body, tag]) {
                    self.sent.push((true, answer.clone()));
                    stage.phone_sends(self.conn, answer);
                }
            }
            Step::CmAnswers(which, code, body, tag) => {
                if let Some(answer) = answer(false, &self.at_cm, [which, code, body, tag]) {
                    self.sent.push((false, answer.clone()));
                    stage.cm_sends(answer);
                }
            }
            Step::Again(which) => {
                if let Some((phone, message)) = pick(&self.sent, which).cloned() {
                    if phone { stage.phone_sends(self.conn, message) } else { stage.cm_sends(message) }
                }
            }
            Step::Connect(conn) => {
                if conn % 4 == 0 {
                    stage.connect(PHONE_B, 2);
                } else {
                    self.conn += 10;
                    stage.connect(PHONE_A, self.conn);
                }
            }
            Step::Disconnect(conn) => stage.disconnect(if conn % 2 == 0 { 2 } else { self.conn }),
            Step::Pass(ms) => stage.pass(Duration::from_millis(u64::from(ms))),
            Step::Upstream => {
                let device = DeviceName::new(PHONE_A).unwrap();
                stage.input(Input::UpstreamFailed { cluster: 0, device });
            }
            Step::Media(which, kind, detail) => {
                if let Some(command) = pick(&stage.commands, which).copied() {
                    let (kind, detail) = (u32::from(kind % 4), u32::from(detail % 8));
                    stage.input(Input::Media(Event { kind, detail, ..command.answer(Ok(())) }));
                }
            }
        }
        for (_, message) in stage.phone.drain(..) {
            self.shown_phone.push(body(&message));
            if message.is_request() {
                self.at_phone.push(message);
            }
        }
        for (_, message) in stage.cm.drain(..) {
            self.shown_cm.push(body(&message));
            if message.is_request() {
                self.at_cm.push(message);
            }
        }
    }
}

fn pick<T>(from: &[T], which: u8) -> Option<&T> {
    // Mostly the latest.
    from.iter().rev().nth(usize::from(which) % from.len().clamp(1, 4))
}

fn answer(phone: bool, requests: &[Message], choice: [u8; 4]) -> Option<Message> {
    let [which, code, body, tag] = choice;
    let request = pick(requests, which)?;
    let tag = match (tag, phone) {
        (240.., _) => "other",
        (_, true) => "phtag",
        (_, false) => "cmtag",
    };
    let code = CODES[usize::from(code) % CODES.len()];
    let mut answer = reply(request, code, "", tag, &description(phone, body, Some(request)));
    answer.push(name::CONTACT, "<sip:end@10.20.0.20>");
    Some(answer)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_course_of_events_is_survived_and_leaves_nothing(steps in steps(), workers in 1..=3_u32) {
        let mut config = config();
        config.workers = workers;
        config.limits = Limits {
            calls: 4, calls_per_phone: 3, transactions: 40, transactions_per_phone: 30,
            dialogs: 6, dialogs_per_phone: 4, registrations: 2, forks: 3, ..Limits::default()
        };
        config.max_sessions = 6;
        let mut play = Play::new(config);
        for step in steps {
            play.step(step);
            let calls = play.stage.proxy.calls(play.stage.now);
            prop_assert!(calls.len() <= 4);
            prop_assert_eq!(calls.len(), play.stage.proxy.call_count());
            prop_assert!(play.stage.proxy.sessions().len() <= 6);
            prop_assert!(play.stage.proxy.ports().in_use <= 12);
            for (slot, note) in &play.stage.notes {
                prop_assert!(*slot < 6 && note.len() <= pinhole_flow::slot::NOTE_MAX);
            }
        }
        // Then silence: everything times out.
        play.stage.pass(Duration::from_secs(200_000));
        prop_assert_eq!(play.stage.proxy.call_count(), 0);
        prop_assert_eq!(play.stage.proxy.next_timeout(), None);
        let ports = play.stage.proxy.ports();
        prop_assert_eq!((ports.in_use, ports.quarantined), (0, 0));
    }

    /// Outside there is never a description without SRTP, and inside none with keys.
    #[test]
    fn no_plain_description_reaches_a_phone_and_no_key_the_call_manager(steps in steps()) {
        let mut play = Play::new(config());
        for step in steps {
            play.step(step);
        }
        for text in &play.shown_phone {
            prop_assert!(!text.contains("RTP/AVP"), "{}", text);
            for section in text.split("m=").skip(1).filter(|section| !section.contains(" 0 ")) {
                prop_assert_eq!(section.matches("a=crypto").count(), 1, "{}", text);
            }
            prop_assert!(!text.contains("10.20.0"));
        }
        for text in &play.shown_cm {
            prop_assert!(!text.contains("crypto") && !text.contains("SAVP"), "{}", text);
            prop_assert!(!text.contains("192.168.77"));
        }
    }
}
