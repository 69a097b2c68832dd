//! A stage for SCCP: phones, a primary and a backup call manager, and a data plane that says yes.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pinhole_admin::SecurityClass;
use pinhole_flow::{Command, CommandKind, MasterKey, Refusal, Suite};
use pinhole_proxy::{
    ConnId, Connected, Counter, DeviceName, Input, Output, Proxy, ProxyConfig, Silence, SkinnyCalls,
    SkinnyInput, SkinnyOutput, SkinnyServer,
};
use pinhole_sccp::{Encryption, Frame, KeyBlock, Media, MessageId};

use crate::stage::{self, Counted, PHONE_A};

pub const PRIMARY: &str = "203.0.113.5:2443";
pub const BACKUP: &str = "203.0.113.6:2443";
/// Where the far end of calls is.
pub const FAR: &str = "10.20.0.20:24000";
/// Where phone A says it is: behind a NAT.
pub const CLAIMED: &str = "192.168.77.11:16384";

pub fn config() -> ProxyConfig {
    let mut config = stage::config();
    let server = |name: &str, outside: &str, inside: &str| SkinnyServer {
        name: name.to_owned(),
        outside: outside.parse().unwrap(),
        inside: inside.parse().unwrap(),
        encrypted: false,
        legacy: None,
    };
    config.clusters[0].skinny = vec![
        server("one.example", PRIMARY, "10.20.0.10:2000"),
        server("two.example", BACKUP, "10.20.0.11:2000"),
    ];
    config
}

pub struct Stage {
    pub proxy: Proxy,
    pub now: Instant,
    pub phone: VecDeque<(ConnId, Frame)>,
    pub server: VecDeque<(ConnId, Frame)>,
    pub connects: Vec<(ConnId, SocketAddr)>,
    pub closed: Vec<ConnId>,
    /// What the process was told of registrations.
    pub registrations: Vec<ConnId>,
    pub rejections: Vec<(ConnId, String)>,
    /// From where no audio came in calls.
    pub silent: Vec<Silence>,
    pub commands: Vec<Command>,
    pub events: Vec<pinhole_admin::Event>,
    pub notes: BTreeMap<u32, Vec<u8>>,
    /// Whether the data plane refuses what is opened.
    pub refuses: bool,
}

impl Stage {
    /// With phone A registered on connection 1.
    pub fn registered() -> Self {
        let mut stage = Self::with(config());
        stage.connect(PHONE_A, 1, PRIMARY);
        stage.register(1, PHONE_A);
        stage
    }

    /// The same before encrypted call managers, whose cluster treats calls so.
    pub fn encrypted(calls: SkinnyCalls) -> Self {
        let mut config = config();
        config.clusters[0].skinny_calls = calls;
        config.clusters[0].skinny.iter_mut().for_each(|server| server.encrypted = true);
        let mut stage = Self::with(config);
        stage.connect(PHONE_A, 1, PRIMARY);
        stage.register(1, PHONE_A);
        stage
    }

    pub fn with(config: ProxyConfig) -> Self {
        Self {
            proxy: Proxy::new(config, Box::new(Counted(7))),
            now: Instant::now(),
            phone: VecDeque::new(),
            server: VecDeque::new(),
            connects: Vec::new(),
            closed: Vec::new(),
            registrations: Vec::new(),
            rejections: Vec::new(),
            silent: Vec::new(),
            commands: Vec::new(),
            events: Vec::new(),
            notes: BTreeMap::new(),
            refuses: false,
        }
    }

    pub fn skinny(&mut self, input: SkinnyInput) {
        self.proxy.handle_skinny(input, self.now);
        self.drain();
    }

    pub fn input(&mut self, input: Input) {
        self.proxy.handle(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.proxy.poll_output() {
            match output {
                Output::Media(command) => {
                    self.commands.push(*command);
                    let refused = self.refuses && command.kind != CommandKind::Close as u32;
                    let answer = command.answer(if refused { Err(Refusal::BadLeg) } else { Ok(()) });
                    self.proxy.handle(Input::Media(answer), self.now);
                }
                Output::Event(event) => self.events.push(event),
                Output::Note { slot, bytes, .. } => drop(self.notes.insert(slot, bytes)),
                Output::NoAudio { from, .. } => self.silent.push(from),
                other => panic!("SCCP makes {other:?}"),
            }
        }
        while let Some(output) = self.proxy.poll_skinny_output() {
            match output {
                SkinnyOutput::Connect { conn, to, .. } => self.connects.push((conn, to)),
                SkinnyOutput::ToPhone { conn, frame } => self.phone.push_back((conn, frame)),
                SkinnyOutput::ToServer { conn, frame } => self.server.push_back((conn, frame)),
                SkinnyOutput::Close { conn, .. } => self.closed.push(conn),
                SkinnyOutput::Registered { conn } => self.registrations.push(conn),
                SkinnyOutput::NotRegistered { conn, text } => self.rejections.push((conn, text)),
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

    pub fn connect(&mut self, device: &str, conn: u64, listener: &str) {
        self.connect_as(device, conn, SecurityClass::Encrypted, listener);
    }

    pub fn connect_as(&mut self, device: &str, conn: u64, class: SecurityClass, listener: &str) {
        self.skinny(SkinnyInput::Connected(Connected {
            conn: ConnId(conn),
            device: DeviceName::new(device).unwrap(),
            peer: stage::peer(conn),
            tls: "TLSv1.2".to_owned(),
            class,
            listener: listener.parse().unwrap(),
        }));
    }

    pub fn phone_sends(&mut self, conn: u64, frame: Frame) {
        self.skinny(SkinnyInput::FromPhone { conn: ConnId(conn), frame });
    }

    pub fn server_sends(&mut self, conn: u64, frame: Frame) {
        self.skinny(SkinnyInput::FromServer { conn: ConnId(conn), frame });
    }

    pub fn at_phone(&mut self) -> Frame {
        self.phone.pop_front().expect("a frame for a phone").1
    }

    pub fn at_server(&mut self) -> Frame {
        self.server.pop_front().expect("a frame for the call manager").1
    }

    pub fn nothing_more(&self) {
        assert!(self.phone.is_empty() && self.server.is_empty(), "{:?}, {:?}", self.phone, self.server);
    }

    pub fn register(&mut self, conn: u64, name: &str) {
        self.phone_sends(conn, register(name));
        assert_eq!(self.at_server().id(), MessageId::REGISTER);
        self.server_sends(conn, register_ack());
        assert_eq!(self.at_phone().id(), MessageId::REGISTER_ACK);
        self.nothing_more();
    }

    /// Opens both ways of a call with audio; returns what the phone was told.
    pub fn talk(&mut self, conn: u64, call: u32) -> (Frame, Frame) {
        self.server_sends(conn, open(call, None));
        let opened = self.at_phone();
        self.phone_sends(conn, open_ack(call, call + 0x100, CLAIMED, 0));
        self.at_server();
        self.server_sends(conn, start(call, FAR, None));
        let started = self.at_phone();
        self.phone_sends(conn, start_ack(call, call + 0x100, CLAIMED));
        self.at_server();
        self.nothing_more();
        (opened, started)
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.proxy.counters().get(counter)
    }

    /// Commands of a kind, oldest first.
    pub fn commands_of(&self, kind: CommandKind) -> Vec<Command> {
        self.commands.iter().filter(|command| command.kind == kind as u32).copied().collect()
    }

    /// The orders in force.
    pub fn orders(&self) -> pinhole_flow::Session {
        self.commands.last().expect("a command").session
    }
}

/// Words at their offsets in a body of that length.
pub fn body(length: usize, words: &[(usize, u32)]) -> Vec<u8> {
    let mut body = vec![0; length];
    for (at, word) in words {
        body[*at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    body
}

pub fn frame(id: MessageId, version: u32, body: &[u8]) -> Frame {
    Frame::new(id, version, body).unwrap()
}

pub fn named(id: MessageId, name: &str, length: usize) -> Frame {
    let mut body = vec![0; length];
    body[..name.len()].copy_from_slice(name.as_bytes());
    body[24..28].copy_from_slice(&[192, 168, 77, 11]);
    frame(id, 0, &body)
}

pub fn register(name: &str) -> Frame {
    named(MessageId::REGISTER, name, 172)
}

pub fn register_ack() -> Frame {
    frame(MessageId::REGISTER_ACK, 0, &body(20, &[(0, 30), (12, 60), (16, 17)]))
}

fn media(call: u32, endpoint: Option<&str>, encryption: Option<Encryption>) -> Media {
    Media {
        conference: call,
        party: call + 0x100,
        call,
        codec: 4,
        packet_ms: 20,
        telephone_event: 101,
        endpoint: endpoint.map(|endpoint| endpoint.parse().unwrap()),
        encryption,
    }
}

/// OpenReceiveChannel of protocol 17; the party is the call's number and 0x100.
pub fn open(call: u32, encryption: Option<Encryption>) -> Frame {
    Frame::open_receive_channel(17, &media(call, None, encryption)).unwrap()
}

/// The same, from a call manager that names the sender.
pub fn open_from(call: u32, source: &str) -> Frame {
    Frame::open_receive_channel(17, &media(call, Some(source), None)).unwrap()
}

pub fn start(call: u32, to: &str, encryption: Option<Encryption>) -> Frame {
    Frame::start_media_transmission(17, &media(call, Some(to), encryption)).unwrap()
}

pub fn open_ack(call: u32, party: u32, at: &str, status: u32) -> Frame {
    let mut frame =
        frame(MessageId::OPEN_RECEIVE_CHANNEL_ACK, 17, &body(36, &[(0, status), (28, party), (32, call)]));
    frame.channel_mut().unwrap().set_endpoint(at.parse().unwrap()).unwrap();
    frame
}

pub fn start_ack(call: u32, party: u32, at: &str) -> Frame {
    let mut frame =
        frame(MessageId::START_MEDIA_TRANSMISSION_ACK, 17, &body(40, &[(0, call), (4, party), (8, call)]));
    frame.channel_mut().unwrap().set_endpoint(at.parse().unwrap()).unwrap();
    frame
}

/// CloseReceiveChannel, StopMediaTransmission.
pub fn end(id: MessageId, call: u32) -> Frame {
    frame(id, 17, &body(16, &[(0, call), (4, call + 0x100), (8, call)]))
}

/// The key that a message gives a phone, as the data plane has it.
pub fn key_in(frame: &Frame) -> MasterKey {
    let Ok(KeyBlock::Keyed(encryption)) = frame.channel().unwrap().encryption() else {
        panic!("no key in {frame:?}");
    };
    assert_eq!(encryption, Encryption::new(encryption.key.clone(), encryption.salt.clone()));
    let bytes = [&encryption.key.expose()[..], encryption.salt.expose()].concat();
    MasterKey::new(Suite::AesCm128HmacSha1_32, &bytes).unwrap()
}

pub fn endpoint(frame: &Frame) -> String {
    frame.channel().unwrap().endpoint().unwrap().socket_address().unwrap().to_string()
}
