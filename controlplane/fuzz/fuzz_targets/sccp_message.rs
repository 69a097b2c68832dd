//! Any body under any id and version: everything is read and every change made that there is: no panic; a change that
//! fails changes nothing; one that is made twice is as if made once; what is read or told shows no key that was set.

#![no_main]

#[path = "../../sccp/tests/common/touch.rs"]
#[allow(missing_docs)]
mod touch;

use libfuzzer_sys::fuzz_target;
use pinhole_sccp::{Frame, KeyBlock, Limits, MessageId};
use touch::{CHANGES, KEY, encryption, read};

fuzz_target!(|input: &[u8]| {
    let [version, id_low, id_high, body @ ..] = input else { return };
    // Names of devices and servers are shown.
    if body.windows(7).any(|part| part == &KEY[..7]) {
        return;
    }
    let id = MessageId(u16::from_le_bytes([*id_low, *id_high]).into());
    let version = u32::from(*version) % (Limits::VERSION_MAX + 1);
    let frame = Frame::new(id, version, body).unwrap();
    assert_eq!(Frame::parse(frame.as_bytes(), &Limits::default()).as_ref(), Ok(&frame));
    assert_eq!((frame.id(), frame.version(), frame.body()), (id, version, body));
    read(&frame);
    touch::change(&frame, |field, changed, result| {
        let shown = format!("{}{result:?}", read(changed));
        let listed = KEY[..7].iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        assert!(!shown.contains("sixteen") && !shown.contains(&listed), "{shown}");
        if result.is_err() {
            return;
        }
        if field.ends_with("encryption")
            && let Some(channel) = changed.channel()
        {
            // What is too short for a block, or was cleared, has none.
            match channel.encryption() {
                Ok(KeyBlock::Keyed(found)) => assert_eq!(found, encryption()),
                other => assert!(field == "encryption", "{other:?} after {field}"),
            }
        }
        if field == "texts" {
            return;
        }
        for (_, again) in CHANGES.iter().filter(|(name, _)| *name == field) {
            let mut once = frame.clone();
            if matches!(again(&mut once), Some(Ok(()))) {
                let mut twice = once.clone();
                assert_eq!(again(&mut twice), Some(Ok(())), "{field} again");
                assert_eq!(twice, once, "{field} again makes a difference");
            }
        }
    });
});
