//! Nothing that may end in a log shows a key.

mod common;

use common::touch::{KEY, SALT, encryption, read};
use common::{bytes, frame};
use pinhole_sccp::{Frame, Framer, Limits, Media, MessageId};

/// Ways in which a key could be printed: as text, as a list of numbers, as hexadecimal digits.
fn forms(bytes: &[u8]) -> Vec<String> {
    let listed = |bytes: &[u8]| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let part = &bytes[..6];
    vec![String::from_utf8_lossy(part).into_owned(), listed(part), hex(part), hex(part).to_uppercase()]
}

fn assert_secret(shown: &str) {
    for form in [forms(&KEY), forms(&SALT)].concat() {
        assert!(!shown.contains(&form), "{form} in {shown}");
    }
}

#[test]
fn debug_of_keys_blocks_and_media_shows_no_key() {
    let encryption = encryption();
    let media = Media {
        conference: 1,
        party: 2,
        call: 3,
        codec: 4,
        packet_ms: 20,
        telephone_event: 0,
        endpoint: None,
        encryption: Some(encryption.clone()),
    };
    assert_secret(&format!("{encryption:?} {:?} {:?} {media:#?}", encryption.key, encryption.salt));
    assert!(format!("{encryption:?}").contains("AesCm128HmacSha1_32"), "but the suite");
}

#[test]
fn debug_of_frames_and_everything_read_from_them_shows_no_key() {
    for id in MessageId::NAMED {
        for version in [0, 11, 16, 17, 22] {
            // Keys everywhere, so also in fields where none is expected.
            let body = [KEY.as_slice(), &SALT].concat().repeat(20);
            let whole = frame(id.0, version, &body);
            let shown = format!("{whole:?} {whole:#?}");
            assert_secret(&shown);
            assert!(shown.contains(id.name().unwrap()));
        }
    }
    for (id, length) in [(0x105, 168), (0x8A, 168), (0x131, 192), (0x132, 184)] {
        for version in [0, 17, 20] {
            let mut keyed = frame(id, version, &vec![0; length]);
            keyed.channel_mut().unwrap().set_encryption(&encryption()).unwrap();
            assert_secret(&read(&keyed));
        }
    }
}

#[test]
fn errors_show_nothing_of_the_frame() {
    for id in MessageId::NAMED {
        for length in [0, 30, 60, 90] {
            let body = [KEY.as_slice(), &SALT].concat().repeat(3);
            common::touch::change(&frame(id.0, 17, &body[..length]), |_, _, result| {
                if let Err(error) = result {
                    assert_secret(&format!("{error} {error:?}"));
                }
            });
        }
    }
    let error = Frame::parse(&bytes(0x105, 17, &KEY)[..20], &Limits::default()).unwrap_err();
    assert_secret(&format!("{error} {error:?}"));
}

#[test]
fn debug_of_a_framer_shows_no_key() {
    let mut framer = Framer::new(Limits::default());
    framer.push(&bytes(0x105, 17, &KEY)[..27]);
    assert_secret(&format!("{framer:?} {framer:#?}"));
}
