//! Texts in which addresses may stand.

mod common;

use common::{body, frame, put, words};
use pinhole_sccp::{FieldError, Frame, Text};

const INSIDE: &str = "10.20.0.10";
const OUTSIDE: &str = "pinhole.example";

/// What a proxy does: other names for the inside.
fn outside(text: Text<'_>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text.bytes).ok()?;
    text.contains(INSIDE).then(|| text.replace(INSIDE, OUTSIDE).into_bytes())
}

fn strings(frame: &Frame) -> Vec<String> {
    frame.texts().iter().map(|text| String::from_utf8_lossy(text.bytes).into_owned()).collect()
}

#[test]
fn text_of_fixed_size_is_replaced_and_filled_up() {
    let mut expected = body(304);
    put(&mut expected, 4, &[0; 256]);
    put(&mut expected, 4, b"http://10.20.0.10:8080/directory");
    put(&mut expected, 260, b"Directory\0");
    let mut frame = frame(0x12F, 0, &expected);
    assert_eq!(frame.rewrite_texts(outside), Ok(1));
    put(&mut expected, 4, b"http://pinhole.example:8080/directory");
    assert_eq!(frame.body(), expected);
    assert_eq!(strings(&frame)[0], "http://pinhole.example:8080/directory");
}

#[test]
fn text_that_does_not_fit_changes_nothing() {
    let mut body = words(92, &[]);
    put(&mut body, 4, format!("{} {INSIDE}", "x".repeat(68)).as_bytes());
    let original = frame(0x20, 0, &body);
    let mut changed = original.clone();
    let refused = changed.rewrite_texts(outside);
    assert!(matches!(refused, Err(FieldError::NoRoom { length: 84, room: 79, .. })), "{refused:?}");
    assert_eq!(changed, original);
}

#[test]
fn what_a_shorter_text_leaves_is_wiped() {
    let mut body = words(92, &[]);
    put(&mut body, 4, b"Server=10.20.0.10 secret");
    let mut frame = frame(0x20, 0, &body);
    frame.rewrite_texts(|_| Some(b"-".to_vec())).unwrap();
    assert_eq!(frame.body()[4..84], [b"-".as_slice(), &[0; 79]].concat());
}

#[test]
fn new_text_has_no_nul() {
    let original = frame(0x9D, 0, b"because\0");
    let mut changed = original.clone();
    let refused = changed.rewrite_texts(|_| Some(b"a\0b".to_vec()));
    assert!(matches!(refused, Err(FieldError::Invalid { .. })));
    assert_eq!(changed, original);
}

#[test]
fn names_of_configuration_and_servers_are_texts() {
    let mut config = words(112, &[(104, 2)]);
    put(&mut config, 0, b"SEP0010DB000001\0");
    put(&mut config, 24, b"user");
    put(&mut config, 64, INSIDE.as_bytes());
    let mut config = frame(0x93, 0, &config);
    assert_eq!(strings(&config), ["user", INSIDE]);
    assert_eq!(config.rewrite_texts(outside), Ok(1));
    assert_eq!(strings(&config), ["user", OUTSIDE]);
    assert_eq!(config.body()[104..], words(8, &[(0, 2)]));

    let mut servers = vec![0; 280];
    put(&mut servers, 192, INSIDE.as_bytes());
    assert_eq!(strings(&frame(0x9E, 0, &servers)), [INSIDE]);
}

#[test]
fn strings_of_dynamic_messages_move_what_follows() {
    let old = [&[1, 0, 0, 0], b"http://10.20.0.10/\0".as_slice(), b"Services\0\0\0\0\0"].concat();
    let mut frame = frame(0x148, 17, &old);
    assert_eq!(frame.rewrite_texts(outside), Ok(1));
    let new = [&[1, 0, 0, 0], b"http://pinhole.example/\0".as_slice(), b"Services\0\0\0\0\0\0\0\0"].concat();
    assert_eq!(frame.body(), new, "in whole words, as before");
    assert_eq!(frame.as_bytes()[..4], (new.len() as u32 + 4).to_le_bytes());
}

#[test]
fn xml_keeps_the_length_of_the_frame_while_it_fits() {
    let mut xml = vec![0; 2_052];
    put(&mut xml, 0, b"<x>10.20.0.10</x>");
    let mut roomy = frame(0x15A, 20, &xml);
    assert_eq!(roomy.rewrite_texts(outside), Ok(1));
    assert_eq!(roomy.body().len(), 2_052);
    assert_eq!(strings(&roomy), ["<x>pinhole.example</x>"]);

    let mut tight = frame(0x157, 20, b"<x>10.20.0.10</x>\0\0\0");
    assert_eq!(tight.rewrite_texts(outside), Ok(1));
    assert_eq!(tight.body(), b"<x>pinhole.example</x>\0\0\0\0\0\0");
}

#[test]
fn data_of_applications_is_replaced_with_its_length() {
    for (id, at) in [(0x2E, 20), (0x2F, 20), (0x11E, 20), (0x41, 40), (0x42, 40), (0x13F, 40)] {
        let xml = b"<url>http://10.20.0.10/</url>";
        let mut head = body(at);
        put(&mut head, 16, &29_u32.to_le_bytes());
        let old = frame(id, 17, &[&head, xml.as_slice(), &[0; 3]].concat());
        assert_eq!(old.user_data().unwrap().data(), Ok(xml.as_slice()));
        let mut new = old.clone();
        assert_eq!(new.rewrite_texts(outside), Ok(1));
        assert_eq!(new.user_data().unwrap().data(), Ok(b"<url>http://pinhole.example/</url>".as_slice()));
        put(&mut head, 16, &34_u32.to_le_bytes());
        assert_eq!(new.body()[..at], head);
        assert_eq!(new.body().len() % 4, 0);
        assert_eq!(new.user_data().unwrap().sequence().is_ok(), at == 40);
    }
}

#[test]
fn data_does_not_grow_beyond_what_one_message_carries() {
    let mut head = body(20);
    put(&mut head, 16, &4_u32.to_le_bytes());
    let mut frame = frame(0x11E, 0, &[&head, b"data".as_slice()].concat());
    frame.user_data_mut().unwrap().set_data(&[b'x'; 2_000]).unwrap();
    let refused = frame.user_data_mut().unwrap().set_data(&[b'x'; 2_001]);
    assert!(matches!(refused, Err(FieldError::NoRoom { length: 2_001, room: 2_000, .. })));
}

#[test]
fn data_that_the_frame_cuts_off_is_shown_and_not_replaced() {
    let mut head = body(20);
    put(&mut head, 16, &u32::MAX.to_le_bytes());
    let original = frame(0x11E, 0, &[&head, INSIDE.as_bytes()].concat());
    assert!(original.user_data().unwrap().data().is_err());
    assert_eq!(strings(&original), [INSIDE]);
    let mut changed = original.clone();
    assert!(matches!(changed.rewrite_texts(outside), Err(FieldError::Short { .. })));
    assert_eq!(changed, original);
}

#[test]
fn messages_without_such_texts_have_none() {
    for id in [0x105, 0x112, 0x8F, 0x7777] {
        let original = frame(id, 17, &[b'x'; 400]);
        let mut changed = original.clone();
        assert_eq!(changed.rewrite_texts(|_| panic!("no text")), Ok(0));
        assert_eq!((changed.texts().len(), &changed), (0, &original));
    }
}
