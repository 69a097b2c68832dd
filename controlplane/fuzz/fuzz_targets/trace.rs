//! Any message as operators see it: a key that stands where keys do is never shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_sccp::{Encryption, Frame, Limits, MasterKey, MasterSalt, MessageId};
use pinhole_trace::{sccp, sip};

const KEY: &str = "c2l4dGVlbi1ieXRlLWtleWZvdXJ0ZWVuLWJ5dGVz";
const MARKS: [&str; 4] = ["inline:", "k=base64:", "key-mgmt:mikey ", "authorization: basic "];

fuzz_target!(|input: &[u8]| match input {
    [0, text @ ..] => sip(text),
    [_, version, id_low, id_high, body @ ..] => sccp([*id_low, *id_high], *version, body),
    _ => {}
});

/// The key after each mark that the text has by itself.
fn sip(text: &[u8]) {
    let mut message = Vec::new();
    for at in 0..=text.len() {
        let before = String::from_utf8_lossy(&text[..at]).to_ascii_lowercase();
        let word = before.ends_with(MARKS[0]);
        let begins = |mark: &&str| before.ends_with(&format!("\n{mark}")) || before == **mark;
        let sdp = before.ends_with(&format!("\na={}", MARKS[2]));
        if word || sdp || [MARKS[1], MARKS[3]].iter().any(begins) {
            message.extend_from_slice(KEY.as_bytes());
        }
        message.extend(text.get(at));
    }
    let shown = sip::masked(&message);
    assert!(!shown.contains(&KEY[..12]), "{shown}");
}

fn sccp(id: [u8; 2], version: u8, body: &[u8]) {
    let version = u32::from(version) % (Limits::VERSION_MAX + 1);
    let mut frame = Frame::new(MessageId(u16::from_le_bytes(id).into()), version, body).unwrap();
    assert!(frame.showable().iter().all(|range| range.end <= body.len()));
    sccp::fields(&frame);
    let key: [u8; 16] = std::array::from_fn(|at| 0xA0 + at as u8);
    let part = " a4 a5 a6 a7";
    if sccp::hex(&frame).contains(part) {
        return;
    }
    let encryption = Encryption::new(MasterKey::new(key), MasterSalt::new([0; 14]));
    if let Some(mut channel) = frame.channel_mut()
        && channel.set_encryption(&encryption).is_ok()
    {
        let dump = sccp::hex(&frame);
        assert!(!dump.contains(part), "{dump}");
    }
}
