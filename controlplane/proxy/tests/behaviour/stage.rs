//! A stage for the proxy: scripted phones, a scripted call manager and a data plane that says yes.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pinhole_admin::{EventKind, SecurityClass};
use pinhole_flow::steering::{worker_of, worker_of_slot};
use pinhole_flow::{Command, CommandKind, Suite};
use pinhole_proxy::{
    ClusterConfig, ConnId, Connected, Counter, DeviceName, Identity, Input, Limits, MediaPort, Output,
    Outside, Proxy, ProxyConfig, Random, Route, Silence, SkinnyCalls, Source, Timers, Transport, UpstreamId,
};
use pinhole_sip::{Message, name};

pub const PHONE_A: &str = "SEP0010DB000001";
pub const PHONE_B: &str = "SEP0010DB000002";
pub const CM: &str = "10.20.0.10:5060";
pub const KEY_A: &str = "inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
pub const KEY_B: &str = "inline:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

/// A stream of bytes that is the same in every run, from a seed.
pub struct Counted(pub u64);

impl Random for Counted {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.0 >> 33) as u8;
        }
    }
}

pub fn config() -> ProxyConfig {
    ProxyConfig {
        shard: 0,
        shards: 1,
        workers: 1,
        max_sessions: 100,
        outside: Outside {
            listen: "203.0.113.5:5061".parse().unwrap(),
            names: vec!["pinhole.example".to_owned()],
            port: 0,
        },
        clusters: vec![ClusterConfig {
            name: "lab".to_owned(),
            call_manager: CM.parse().unwrap(),
            sources: vec!["10.20.0.10".parse().unwrap()],
            transport: Transport::Udp,
            local: "10.20.0.5:5060".parse().unwrap(),
            port: 1,
            domain: "lab.example".to_owned(),
            devices: regex::Regex::new("^SEP").unwrap(),
            skinny: Vec::new(),
            skinny_calls: SkinnyCalls::default(),
        }],
        media: vec![
            MediaPort { address: "203.0.113.5".parse().unwrap(), ports: 16384..=16583 },
            MediaPort { address: "10.20.0.5".parse().unwrap(), ports: 20000..=20199 },
        ],
        suites: vec![Suite::AeadAes256Gcm, Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32],
        default_suite: None,
        identity: Identity {
            devices: BTreeMap::from([
                (PHONE_A.to_owned(), vec!["1001".to_owned()]),
                (PHONE_B.to_owned(), vec!["1002".to_owned()]),
            ]),
            aor_pattern: None,
        },
        limits: Limits::default(),
        timers: Timers::default(),
    }
}

pub struct Stage {
    pub proxy: Proxy,
    pub now: Instant,
    /// What phones received, oldest first.
    pub phone: VecDeque<(ConnId, Message)>,
    /// What the call manager received.
    pub cm: VecDeque<(Route, Message)>,
    pub commands: Vec<Command>,
    pub notes: BTreeMap<u32, Vec<u8>>,
    pub events: Vec<pinhole_admin::Event>,
    pub closed: Vec<ConnId>,
    /// What the process was told of registrations: 200, or the code of a refusal.
    pub registrations: Vec<(ConnId, u16)>,
    /// In which calls' connections no audio came, and from where.
    pub silent: Vec<(ConnId, Silence)>,
    /// Whether the data plane acknowledges commands at once.
    pub acknowledges: bool,
    /// Workers of the data plane, and their slots together.
    workers: u32,
    max_sessions: u32,
    branch: u32,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: ProxyConfig) -> Self {
        Self::seeded(config, 1)
    }

    pub fn seeded(config: ProxyConfig, seed: u64) -> Self {
        let (workers, max_sessions) = (config.workers, config.max_sessions);
        Self {
            proxy: Proxy::new(config, Box::new(Counted(seed))),
            now: Instant::now(),
            phone: VecDeque::new(),
            cm: VecDeque::new(),
            commands: Vec::new(),
            notes: BTreeMap::new(),
            events: Vec::new(),
            closed: Vec::new(),
            registrations: Vec::new(),
            silent: Vec::new(),
            acknowledges: true,
            workers,
            max_sessions,
            branch: 0,
        }
    }

    pub fn input(&mut self, input: Input) {
        let subject = self.subject(&input);
        self.proxy.handle(input, self.now);
        while let Some(output) = self.proxy.poll_output() {
            match output {
                Output::ToPhone { conn, bytes } => {
                    let message = parse(&bytes);
                    if let Some((call_id, subject)) = &subject
                        && message.call_id() == Ok(call_id.as_str())
                    {
                        let known = subject.as_ref().and_then(|subject| self.proxy.connection_of(subject));
                        assert_eq!(known, Some(conn), "whose it is was known before: {message:?}");
                    }
                    self.phone.push_back((conn, message));
                }
                Output::ToCluster { route, bytes, .. } => self.cm.push_back((route, parse(&bytes))),
                Output::ClosePhone { conn, .. } => self.closed.push(conn),
                Output::Registered { conn } => self.registrations.push((conn, 200)),
                Output::NotRegistered { conn, code } => self.registrations.push((conn, code)),
                Output::NoAudio { conn, from } => self.silent.push((conn, from)),
                Output::Media(command) => {
                    self.check_worker(&command);
                    self.commands.push(*command);
                    if self.acknowledges {
                        self.proxy.handle(Input::Media(command.answer(Ok(()))), self.now);
                    }
                }
                Output::Note { slot, bytes, .. } => {
                    self.notes.insert(slot, bytes);
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Call-ID of a message from the call manager, and the device that it is said to be for.
    fn subject(&self, input: &Input) -> Option<(String, Option<DeviceName>)> {
        let Input::ClusterMessage { cluster, message, .. } = input else { return None };
        Some((message.call_id().ok()?.to_owned(), self.proxy.subject(*cluster, message)))
    }

    /// The worker of a session's slot.
    pub fn worker_of(&self, slot: u32) -> u32 {
        worker_of_slot(slot, self.workers, self.max_sessions)
    }

    /// A data plane refuses a session whose ports are not those of its slot's worker.
    fn check_worker(&self, command: &Command) {
        if command.kind != CommandKind::Close as u32 {
            let worker = self.worker_of(command.slot);
            for leg in &command.session.legs {
                let workers = [leg.local_rtp, leg.local_rtcp].map(|port| worker_of(port, self.workers));
                assert_eq!(workers, [worker; 2], "slot {}", command.slot);
            }
        }
    }

    /// Lets time pass, timer by timer.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.proxy.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = end;
        self.input(Input::Tick);
    }

    pub fn connect(&mut self, device: &str, conn: u64) {
        self.connect_by(device, conn, SecurityClass::Encrypted, "203.0.113.5:5061");
    }

    pub fn connect_as(&mut self, device: &str, conn: u64, class: SecurityClass) {
        self.connect_by(device, conn, class, "203.0.113.5:5061");
    }

    pub fn connect_at(&mut self, device: &str, conn: u64, listener: &str) {
        self.connect_by(device, conn, SecurityClass::Encrypted, listener);
    }

    fn connect_by(&mut self, device: &str, conn: u64, class: SecurityClass, listener: &str) {
        self.input(Input::PhoneConnected(Connected {
            conn: ConnId(conn),
            device: DeviceName::new(device).unwrap(),
            peer: peer(conn),
            tls: "TLSv1.3".to_owned(),
            class,
            listener: listener.parse().unwrap(),
        }));
    }

    pub fn disconnect(&mut self, conn: u64) {
        self.input(Input::PhoneClosed { conn: ConnId(conn) });
    }

    pub fn phone_sends(&mut self, conn: u64, message: Message) {
        self.input(Input::PhoneMessage { conn: ConnId(conn), message });
    }

    pub fn cm_sends(&mut self, message: Message) {
        self.input(Input::ClusterMessage { cluster: 0, source: Source::Udp(CM.parse().unwrap()), message });
    }

    /// The next message that a phone received.
    pub fn at_phone(&mut self) -> Message {
        self.phone.pop_front().expect("a message to a phone").1
    }

    /// The next message that the call manager received.
    pub fn at_cm(&mut self) -> Message {
        self.cm.pop_front().expect("a message to the call manager").1
    }

    pub fn nothing_more(&self) {
        let show = |message: &Message| String::from_utf8_lossy(&message.to_bytes()).into_owned();
        let phone: Vec<_> = self.phone.iter().map(|(_, message)| show(message)).collect();
        let cm: Vec<_> = self.cm.iter().map(|(_, message)| show(message)).collect();
        assert!(phone.is_empty() && cm.is_empty(), "to phones {phone:#?}, to the call manager {cm:#?}");
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.proxy.counters().get(counter)
    }

    pub fn has_event(&self, kind: EventKind) -> bool {
        self.events.iter().any(|event| event.kind == kind)
    }

    /// A request with a fresh branch. `lines` are further header lines; a body is SDP.
    pub fn request(&mut self, transport: &str, start: &str, lines: &[&str], body: &str) -> Message {
        self.branch += 1;
        let from = if transport == "TLS" { "192.168.77.11:40000" } else { CM };
        let method = start.split(' ').next().unwrap();
        let mut text =
            format!("{start} SIP/2.0\r\nVia: SIP/2.0/{transport} {from};branch=z9hG4bKt{}\r\n", self.branch);
        text.push_str("Max-Forwards: 70\r\n");
        for line in lines {
            text.push_str(&line.replace("METHOD", method));
            text.push_str("\r\n");
        }
        if !body.is_empty() {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        parse(text.as_bytes())
    }

    /// Registers a phone's address of record; both sides are left empty.
    pub fn register(&mut self, conn: u64, user: &str) {
        let register = self.request(
            "TLS",
            "REGISTER sip:203.0.113.5",
            &[
                &format!("From: <sip:{user}@lab.example>;tag=reg{user}"),
                &format!("To: <sip:{user}@lab.example>"),
                &format!("Call-ID: reg-{user}"),
                "CSeq: 1 REGISTER",
                &format!("Contact: <sip:{user}@192.168.77.11:5061;transport=tls>"),
                "Expires: 3600",
            ],
            "",
        );
        self.phone_sends(conn, register);
        let request = self.at_cm();
        let mut ok = reply(&request, 200, "OK", "regtag", "");
        let contact = request.header(name::CONTACT).unwrap().to_owned();
        ok.push(name::CONTACT, &format!("{contact};expires=120"));
        self.cm_sends(ok);
        assert_eq!(self.at_phone().code(), Some(200));
        self.nothing_more();
    }

    /// An answered call from phone A to 2001; returns the INVITE that the call manager saw.
    pub fn call_from_phone(&mut self) -> Message {
        self.call_from_phone_with(&offer_outside(KEY_A))
    }

    /// The same with another offer.
    pub fn call_from_phone_with(&mut self, offer: &str) -> Message {
        let at_cm = self.ring_cm(offer);
        let mut ok = reply(&at_cm, 200, "OK", "cmtag", &answer_inside());
        ok.push(name::CONTACT, "<sip:2001@10.20.0.20:5060>");
        ok.push(name::RECORD_ROUTE, "<sip:10.20.0.10;lr>");
        self.cm_sends(ok);
        let at_phone = self.at_phone();
        assert_eq!(at_phone.code(), Some(200));
        let ack = self.in_dialog("TLS", "ACK", &contact_uri(&at_phone), "1 ACK", &[], "");
        self.phone_sends(1, ack);
        assert_eq!(self.at_cm().uri(), Some("sip:2001@10.20.0.20:5060"));
        self.nothing_more();
        at_cm
    }

    /// A call from phone A that is not answered yet: the INVITE that the call manager saw.
    pub fn ring_cm(&mut self, offer: &str) -> Message {
        let invite = self.invite_of_phone("call-1", offer);
        self.phone_sends(1, invite);
        assert_eq!(self.at_phone().code(), Some(100));
        self.at_cm()
    }

    /// An answered call from the call manager to phone A; returns the INVITE that the phone saw.
    pub fn call_to_phone(&mut self) -> Message {
        let at_phone = self.ring_phone();
        let crypto = sdp_line(&at_phone, "a=crypto:");
        let (tag, suite) = tag_and_suite(&crypto);
        let mut ok = reply(&at_phone, 200, "OK", "phtag", &answer_outside(tag, suite, KEY_A));
        ok.push(name::CONTACT, "<sip:1001@192.168.77.11:5061;transport=tls>");
        self.phone_sends(1, ok);
        let at_cm = self.at_cm();
        assert_eq!(at_cm.code(), Some(200));
        let ack = self.in_dialog("UDP", "ACK", &contact_uri(&at_cm), "1 ACK", &[], "");
        self.cm_sends(ack);
        assert!(self.at_phone().uri().unwrap().starts_with("sip:1001@192.168.77.11"));
        self.nothing_more();
        at_phone
    }

    /// The call manager calls phone A, which is registered here; returns the INVITE that the phone saw.
    pub fn ring_phone(&mut self) -> Message {
        let invite = self.invite_of_cm("call-1", &offer_inside());
        self.cm_sends(invite);
        assert_eq!(self.at_cm().code(), Some(100));
        self.at_phone()
    }

    pub fn invite_of_phone(&mut self, call_id: &str, body: &str) -> Message {
        self.request(
            "TLS",
            "INVITE sip:2001@203.0.113.5",
            &[
                "From: <sip:1001@lab.example>;tag=phtag",
                "To: <sip:2001@lab.example>",
                &format!("Call-ID: {call_id}"),
                "CSeq: 1 INVITE",
                "Contact: <sip:1001@192.168.77.11:5061;transport=tls>",
                "Supported: replaces, X-cisco-srtp-fallback",
            ],
            body,
        )
    }

    /// A text from phone A, in no dialog.
    pub fn message_of_phone(&mut self, body: &str) -> Message {
        let fields = [
            "From: <sip:1001@lab.example>;tag=a",
            "To: <sip:2001@lab.example>",
            "Call-ID: m",
            "CSeq: 1 MESSAGE",
        ];
        self.request("TLS", "MESSAGE sip:2001@lab.example", &fields, body)
    }

    pub fn invite_of_cm(&mut self, call_id: &str, body: &str) -> Message {
        let target = self.token_of_phone();
        self.request(
            "UDP",
            &format!("INVITE {target}"),
            &[
                "Record-Route: <sip:10.20.0.10;lr>",
                "From: <sip:2001@lab.example>;tag=cmtag",
                "To: <sip:1001@lab.example>",
                &format!("Call-ID: {call_id}"),
                "CSeq: 1 INVITE",
                "Contact: <sip:2001@10.20.0.20:5060>",
            ],
            body,
        )
    }

    /// The Contact by which the call manager knows phone A: registers it once more to see it.
    pub fn token_of_phone(&mut self) -> String {
        let register = self.request(
            "TLS",
            "REGISTER sip:lab.example",
            &[
                "From: <sip:1001@lab.example>;tag=reg",
                "To: <sip:1001@lab.example>",
                "Call-ID: reg-again",
                "CSeq: 1 REGISTER",
                "Contact: <sip:1001@192.168.77.11:5061;transport=tls>",
            ],
            "",
        );
        self.phone_sends(1, register);
        let request = self.at_cm();
        let contact = contact_uri(&request);
        let mut ok = reply(&request, 200, "OK", "regtag", "");
        ok.push(name::CONTACT, &format!("<{contact}>;expires=3600"));
        self.cm_sends(ok);
        self.at_phone();
        contact
    }

    /// A request in the dialog of `call-1`, between tags `phtag` and `cmtag`.
    pub fn in_dialog(
        &mut self,
        transport: &str,
        method: &str,
        uri: &str,
        cseq: &str,
        lines: &[&str],
        body: &str,
    ) -> Message {
        let (phone, cm) = ("<sip:1001@lab.example>;tag=phtag", "<sip:2001@lab.example>;tag=cmtag");
        let (from, to) = if transport == "TLS" { (phone, cm) } else { (cm, phone) };
        let (from, to) = (format!("From: {from}"), format!("To: {to}"));
        let cseq = format!("CSeq: {cseq}");
        let mut all = vec![from.as_str(), to.as_str(), "Call-ID: call-1", cseq.as_str()];
        all.extend(lines);
        self.request(transport, &format!("{method} {uri}"), &all, body)
    }

    /// Commands of a kind, oldest first.
    pub fn commands_of(&self, kind: CommandKind) -> Vec<Command> {
        self.commands.iter().filter(|command| command.kind == kind as u32).copied().collect()
    }
}

/// Where the connections of the stage come from.
pub fn peer(conn: u64) -> SocketAddr {
    format!("198.51.100.10:{}", 40_000 + conn).parse().unwrap()
}

pub fn upstream(number: u64) -> Source {
    Source::Tcp { upstream: UpstreamId(number), peer: CM.parse().unwrap() }
}

pub fn parse(bytes: &[u8]) -> Message {
    Message::parse(bytes, &pinhole_sip::Limits::default()).unwrap()
}

/// A response to a request as the far end would give it.
pub fn reply(request: &Message, code: u16, reason: &str, tag: &str, body: &str) -> Message {
    let mut response = Message::response_to(request, code, reason, Some(tag));
    for header in request.headers.iter().filter(|header| header.is(name::RECORD_ROUTE)) {
        response.headers.push(header.clone());
    }
    if !body.is_empty() {
        response.set_sdp_body(body.as_bytes());
    }
    response
}

pub fn contact_uri(message: &Message) -> String {
    message.contact().unwrap().expect("a Contact").uri
}

pub fn body(message: &Message) -> String {
    String::from_utf8(message.body.clone()).unwrap()
}

/// The only line of a body that begins so.
pub fn sdp_line(message: &Message, begin: &str) -> String {
    let body = body(message);
    let lines: Vec<&str> = body.lines().filter(|line| line.starts_with(begin)).collect();
    assert_eq!(lines.len(), 1, "one {begin} in:\n{body}");
    lines[0].to_owned()
}

pub fn tag_and_suite(crypto: &str) -> (&str, &str) {
    let mut words = crypto.strip_prefix("a=crypto:").unwrap().split(' ');
    (words.next().unwrap(), words.next().unwrap())
}

pub fn offer_outside(key: &str) -> String {
    sdp(
        "192.168.77.11",
        &format!(
            "m=audio 30000 RTP/SAVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_32 {key}\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 {key}\r\n\
             a=candidate:1 1 UDP 1 192.168.77.11 30000 typ host\r\na=sendrecv\r\n"
        ),
    )
}

pub fn answer_outside(tag: &str, suite: &str, key: &str) -> String {
    sdp("192.168.77.11", &format!("m=audio 30000 RTP/SAVP 0\r\na=crypto:{tag} {suite} {key}\r\n"))
}

pub fn offer_inside() -> String {
    sdp("10.20.0.20", "m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n")
}

pub fn answer_inside() -> String {
    sdp("10.20.0.20", "m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n")
}

/// The same offer in the clear.
pub fn plain_offer_outside() -> String {
    sdp("192.168.77.11", "m=audio 30000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n")
}

pub fn sdp(address: &str, media: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{media}")
}
