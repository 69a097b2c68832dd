//! A million frames, right, changed and random, from both ends, as they come out of a stream: nothing panics, nothing grows,
//! nothing is left, and whoever is cut off is so for a reason that is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use pinhole_proxy::{ConnId, Counter, Network, SecureIndicator, SkinnyCalls, SkinnyInput, SkinnyKeys};
use pinhole_sccp::{Encryption, Framer, KeyBlock, Limits, MasterKey, MasterSalt, MessageId, Sender};

use super::stage::*;
use crate::stage::{PHONE_A, PHONE_B};

/// Frames of a storm; there are four.
const FRAMES: u32 = 250_000;
/// Frames of a connection.
const OF_CONNECTION: u32 = 500;
const SESSIONS: u32 = 40;

/// A small generator (xorshift64*): the same seed, the same storm.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Says where in which storm something went wrong.
struct Place {
    seed: u64,
    connection: u32,
    frame: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, connection, frame } = self;
            eprintln!("seed {seed:#x}, connection {connection}, frame {frame}");
        }
    }
}

/// Frames of every message that has a name and of some that have none, in every generation, of lengths with and without each
/// of their fields, about calls and parties of which there are a few.
fn corpus() -> Vec<Vec<u8>> {
    let key = Encryption::new(MasterKey::new([9; 16]), MasterSalt::new([9; 14]));
    let ids = MessageId::NAMED.iter().copied().chain([0x7777, 0xFFFF_FFFF].map(MessageId));
    let mut corpus = Vec::new();
    for id in ids {
        for version in [0, 3, 11, 16, 17, 20, 22] {
            for (turn, length) in [0, 12, 24, 44, 116, 132, 192, 384].into_iter().enumerate() {
                let turn = turn as u32 + version;
                let mut frame = frame(id, version, &vec![0; length]);
                if let Some(mut channel) = frame.channel_mut() {
                    let call = 1 + turn % 3;
                    let address = if turn.is_multiple_of(2) { FAR } else { CLAIMED };
                    // What a frame is too short for stays out.
                    let _ = channel.set_conference(call);
                    let _ = channel.set_call(call);
                    let _ = channel.set_party(call + 0x100);
                    let _ = channel.set_endpoint(address.parse().unwrap());
                    if turn.is_multiple_of(4) {
                        let _ = channel.set_encryption(&key);
                    }
                }
                let mut bytes = frame.as_bytes().to_vec();
                if frame.registration().is_some() && length >= 16 {
                    bytes[12..12 + PHONE_A.len()].copy_from_slice(PHONE_A.as_bytes());
                }
                corpus.push(bytes);
            }
        }
    }
    corpus
}

/// A frame as it is, changed, cut, lengthened, mixed with another, or no frame at all.
fn spoilt(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[dice.below(corpus.len())].clone();
    let mut counted = true;
    match dice.below(16) {
        0..=5 => return bytes,
        6..=8 => {
            for _ in 0..=dice.below(4) {
                let at = 4 + dice.below(bytes.len() - 4);
                bytes[at] = dice.roll() as u8;
            }
        }
        9 => {
            let at = 12 + 4 * dice.below((bytes.len() - 8) / 4);
            let words = [0, 1, 2, 3, 0x101, 0x102, 0x7FFF_FFFF, u32::MAX, 0x1400_140A];
            let word = words[dice.below(words.len())].to_le_bytes();
            if let Some(place) = bytes.get_mut(at..at + 4) {
                place.copy_from_slice(&word);
            }
        }
        10 => bytes.truncate(12 + dice.below(bytes.len() - 12 + 1)),
        11 => bytes.extend((0..dice.below(300)).map(|_| dice.roll() as u8).collect::<Vec<_>>()),
        12 => {
            let other = &corpus[dice.below(corpus.len())];
            bytes.truncate(12 + dice.below(bytes.len() - 12 + 1));
            bytes.extend_from_slice(&other[12 + dice.below(other.len() - 12 + 1)..]);
        }
        13 | 14 => bytes = (0..12 + dice.below(200)).map(|_| dice.roll() as u8).collect(),
        // Its length is another than it says, or its version one that nobody knows. Seldom: it ends the connection.
        _ if dice.one_in(40) => {
            bytes[dice.below(8)] = dice.roll() as u8;
            counted = false;
        }
        _ => {}
    }
    if counted {
        let length = bytes.len() as u32 - 8;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..8].copy_from_slice(&(dice.below(23) as u32).to_le_bytes());
    }
    bytes
}

/// Plays a storm out. Returns how often a stream ended for which reason.
fn storm(seed: u64, calls: SkinnyCalls) -> BTreeMap<&'static str, u32> {
    let corpus = corpus();
    let (mut config, relays) = (config(), calls.keys == SkinnyKeys::Relay);
    config.max_sessions = SESSIONS;
    config.clusters[0].skinny_calls = calls;
    let mut stage = Stage::with(config);
    let mut dice = Dice(seed);
    let mut place = Place { seed, connection: 0, frame: 0 };
    let (mut reasons, mut cut_off, mut replaced) = (BTreeMap::new(), 0, 0);
    while place.frame < FRAMES {
        place.connection += 1;
        let (conn, other) = (u64::from(2 * place.connection), u64::from(2 * place.connection + 1));
        // One that comes again to the same call manager takes the place of the one before, if that is still there.
        stage.connect(PHONE_A, conn, PRIMARY);
        stage.connect(PHONE_B, other, BACKUP);
        stage.refuses = dice.one_in(8);
        stage.register(conn, PHONE_A);
        let mut framers = [Sender::Phone, Sender::CallManager].map(|_| Framer::new(Limits::default()));
        let mut ended = None;
        let end = (place.frame + OF_CONNECTION).min(FRAMES);
        while place.frame < end && ended.is_none() {
            place.frame += 1;
            let bytes = spoilt(&mut dice, &corpus);
            let from = dice.below(2);
            let framer = &mut framers[from];
            let (one, other) = bytes.split_at(dice.below(bytes.len() + 1));
            let mut whole = Vec::new();
            for part in [one, other] {
                framer.push(part);
                whole.extend(std::iter::from_fn(|| framer.next()));
            }
            for frame in whole {
                match frame {
                    Ok(frame) if from == 0 => stage.phone_sends(conn, frame),
                    Ok(mut frame) => {
                        // Whose keys reach phones mostly makes one for each channel.
                        let keyed = frame
                            .channel_mut()
                            .filter(|channel| matches!(channel.encryption(), Ok(KeyBlock::Keyed(_))));
                        if let Some(mut channel) = keyed.filter(|_| relays && !dice.one_in(4)) {
                            let key = MasterKey::new(std::array::from_fn(|_| dice.roll() as u8));
                            let salt = MasterSalt::new([9; 14]);
                            channel.set_encryption(&Encryption::new(key, salt)).unwrap();
                        }
                        stage.server_sends(conn, frame);
                    }
                    Err(error) => ended = Some(error.reason()),
                }
            }
            assert!(stage.proxy.sessions().len() <= SESSIONS as usize);
            assert!(stage.proxy.ports().in_use <= u64::from(2 * SESSIONS));
            assert!(framer.pending() <= Limits::FRAME_MAX);
            // The proxy itself cuts off who asks for another's name.
            cut_off += u64::from(stage.closed.contains(&ConnId(conn)));
            if std::mem::take(&mut stage.closed).contains(&ConnId(conn)) {
                break;
            }
            stage.commands.clear();
            stage.phone.clear();
            stage.server.clear();
            stage.events.clear();
            stage.notes.clear();
            if dice.one_in(200) {
                stage.pass(Duration::from_secs(dice.below(40) as u64));
            }
        }
        if let Some(reason) = ended {
            *reasons.entry(reason).or_default() += 1;
        }
        if dice.one_in(4) {
            // The next one takes its place.
            replaced += 1;
            stage.phone.clear();
            stage.server.clear();
            continue;
        }
        let input = match dice.below(2) {
            0 => SkinnyInput::PhoneClosed { conn: ConnId(conn) },
            _ => SkinnyInput::ServerClosed { conn: ConnId(conn) },
        };
        stage.skinny(input);
        stage.skinny(SkinnyInput::PhoneClosed { conn: ConnId(other) });
        stage.refuses = false;
        stage.pass(Duration::from_secs(300));
        assert!(stage.proxy.sessions().is_empty(), "sessions are left");
        assert!(stage.proxy.phones(stage.now).is_empty() && stage.proxy.calls(stage.now).is_empty());
        assert_eq!(stage.proxy.ports().in_use + stage.proxy.ports().quarantined, 0, "ports are left");
        assert_eq!(stage.proxy.next_timeout(), None, "timers are left");
        stage.closed.clear();
        stage.phone.clear();
        stage.server.clear();
    }
    assert_eq!(cut_off, stage.count(Counter::SkinnyNameRefused), "who is cut off is counted");
    assert!(replaced > 0 && stage.count(Counter::PhonesReplaced) > 0);
    let seen = stage.count(Counter::SkinnyPhoneMessages) + stage.count(Counter::SkinnyServerMessages);
    assert!(seen > u64::from(FRAMES) * 9 / 10, "{seen} of {FRAMES} frames came to the proxy");
    for counter in [
        Counter::SessionsOpened,
        Counter::SkinnyMalformed,
        Counter::SkinnyWrongDirection,
        Counter::SkinnyNotCarried,
        Counter::SkinnyMulticast,
        Counter::SkinnyUnknownMessages,
        Counter::SkinnyStrayChannels,
        Counter::SkinnyKeysMixed,
        Counter::SkinnyKeysUnusable,
        Counter::SkinnyKeysUnreadable,
        Counter::SkinnyUnreachable,
        Counter::SkinnyUnregistered,
        Counter::SkinnyNameRefused,
        Counter::MediaRefused,
    ] {
        assert!(stage.count(counter) > 0, "the storm never came to {}", counter.name());
    }
    assert_eq!(
        stage.count(Counter::SkinnyKeysAgain) > 0,
        relays,
        "only keys that reach phones are known again"
    );
    reasons
}

fn is_survived(seed: u64, calls: SkinnyCalls) {
    let reasons = storm(seed, calls);
    let known = ["frame_too_short", "frame_too_long", "frame_version"];
    assert_eq!(reasons.keys().filter(|reason| !known.contains(reason)).count(), 0, "{reasons:?}");
    assert!(reasons.len() == known.len(), "{reasons:?}");
}

#[test]
fn first_quarter_of_a_million_frames_is_survived() {
    is_survived(0x5EED_0001, SkinnyCalls::default());
}

#[test]
fn second_quarter_of_a_million_frames_is_survived() {
    is_survived(0x5EED_0002, SkinnyCalls::default());
}

#[test]
fn third_quarter_of_a_million_frames_is_survived() {
    let unnamed_senders = Network::try_from("10.20.0.0/16".to_owned()).ok();
    is_survived(
        0x5EED_0003,
        SkinnyCalls { keys: SkinnyKeys::Relay, unnamed_senders, ..SkinnyCalls::default() },
    );
}

#[test]
fn last_quarter_of_a_million_frames_is_survived() {
    is_survived(
        0x5EED_0004,
        SkinnyCalls { secure_indicator: SecureIndicator::CallManager, ..SkinnyCalls::default() },
    );
}
