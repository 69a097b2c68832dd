//! No planted key is ever shown, whatever stands around it.
#![allow(clippy::unwrap_used)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pinhole_sccp::{Frame, MessageId};
use pinhole_trace::{sccp, sip};
use proptest::collection::vec;
use proptest::prelude::*;

/// Random parts of that length do not stand anywhere by chance.
const PART: usize = 6;

fn assert_hidden(shown: &str, key: &str) {
    for part in key.as_bytes().windows(PART) {
        let part = std::str::from_utf8(part).unwrap();
        assert!(!shown.contains(part), "{part} of {key} in {shown}");
    }
}

fn spaces() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", " ", "\t", "  ", "\r\n ", "\r\n\t", "\n  "]).prop_map(str::to_owned)
}

fn gap() -> impl Strategy<Value = String> {
    prop::sample::select(vec![" ", "\t", "   ", "\r\n ", "\r\n\t ", "\n "]).prop_map(str::to_owned)
}

fn cased(word: &'static str) -> impl Strategy<Value = String> {
    vec(any::<bool>(), word.len()).prop_map(move |upper| {
        word.chars().zip(upper).map(|(c, upper)| if upper { c.to_ascii_uppercase() } else { c }).collect()
    })
}

/// A key in base64, and a line or lines that carry it.
fn secret_line() -> impl Strategy<Value = (String, String)> {
    let key = vec(any::<u8>(), 16..=46).prop_map(|bytes| STANDARD.encode(bytes));
    let end = prop::sample::select(vec![
        "",
        "|2^20",
        "|1048576|1:4",
        "|2^31|18446744:8",
        " UNENCRYPTED_SRTCP",
        " KDR=1 WSH=64",
    ]);
    let crypto =
        (spaces(), spaces(), spaces(), spaces(), spaces(), gap(), gap(), cased("crypto"), cased("inline"));
    let kind = 0_usize..9;
    (key, crypto, end, kind, 1_u32..999_999_999).prop_map(
        |(key, (before, a, b, c, d, gap, more, crypto, inline), end, kind, tag)| {
            let suite = "AES_CM_128_HMAC_SHA1_80";
            let line = match kind {
                0 | 1 => format!("a={crypto}:{tag}{gap}{suite}{more}{inline}:{key}{end}"),
                2 => format!("a{a}={b}{crypto}{c}:{d}{tag}{gap}{suite}{more}{inline}{a}:{b}{key}{end}"),
                3 => format!("a=acap:{tag}{gap}{crypto}:1{gap}{suite}{more}{inline}:{key}{end}"),
                4 => format!("a=key-mgmt:mikey{gap}{key}"),
                5 => format!("k={}:{key}", ["clear", "base64"][tag as usize % 2]),
                6 => format!("Proxy-Authorization{a}:{b}Digest{gap}username=\"1\",{c}response{d}={d}\"{key}\",{gap}nc=1"),
                7 => format!("Authorization:{b}Digest{gap}username=\"1{gap}{inline}{c}:{key}{end}\",{gap}nc=1"),
                _ => format!("Authorization:{b}Basic{gap}{key}"),
            };
            // In a body a line may be indented, in a head that would continue the line before.
            let before = before.trim_start_matches(['\r', '\n']);
            (key, format!("{before}{line}"))
        },
    )
}

fn other_line() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "v=0",
            "m=audio 5004 RTP/SAVP 0 101",
            "m=video 5006 RTP/SAVP 96",
            "c=IN IP4 192.0.2.1",
            "a=sendrecv",
            "a=",
            "--boundary",
            "--boundary--",
            "Content-Type: application/sdp",
            "Content-Type: multipart/mixed;boundary=boundary",
            "Content-Disposition: inline",
            "Via: SIP/2.0/TLS 192.0.2.1",
            "Contact: <sip:1001@192.0.2.1;transport=tls>",
            "inline",
            "",
            "",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,40}",
    ]
}

fn line_ends() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["\r\n", "\r\n", "\n", "\r"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn masked_sip_has_no_key(
        start in prop::sample::select(vec!["INVITE sip:1002@lab.example SIP/2.0", "SIP/2.0 200 OK", ""]),
        lines in vec((other_line(), line_ends(), prop::option::weighted(0.4, secret_line())), 1..14),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut message = format!("{start}\r\n");
        let mut keys = Vec::new();
        for (line, end, secret) in lines {
            message.push_str(&line);
            message.push_str(end);
            if let Some((key, line)) = secret {
                message.push_str(&line);
                message.push_str(end);
                keys.push(key);
            }
        }
        if cuts {
            message.truncate(cut.index(message.len()));
        }
        let shown = sip::masked(message.as_bytes());
        keys.iter().for_each(|key| assert_hidden(&shown, key));
    }

    #[test]
    fn text_without_marks_is_shown_as_it_is(lines in vec(("[a-zA-Z <>;@]{0,30}", line_ends()), 0..10)) {
        let text: String = lines.into_iter().map(|(line, end)| line + end).collect();
        prop_assert_eq!(sip::masked(text.as_bytes()), text);
    }

    #[test]
    fn any_bytes_are_shown_as_text(bytes in vec(any::<u8>(), 0..300)) {
        let shown = sip::masked(&bytes);
        prop_assert!(!shown.contains('\0'), "{shown}");
    }

    #[test]
    fn shown_sccp_has_no_key((id, at, version) in keyed(), key in any::<[u8; 32]>(), body in vec(any::<u8>(), 0..240)) {
        // Long enough for the key, or cut off within it.
        let mut body = body;
        if let Some(part) = body.get_mut(at + 8..) {
            let length = part.len().min(32);
            part[..length].copy_from_slice(&key[..length]);
        }
        if let Some(head) = body.get_mut(at..at + 8) {
            head.copy_from_slice(&[1, 0, 0, 0, 16, 0, 14, 0]);
        }
        let frame = Frame::new(MessageId(id), version, &body).unwrap();
        assert_bytes_hidden(&frame, &key);
    }

    #[test]
    fn shown_sccp_has_no_key_in_a_tail_or_a_gap(id in media_ids(), version in 0_u32..=22, length in 0_usize..300) {
        // A body of nothing but keys: what is shown of it is known fields of four bytes, or addresses.
        let body: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let frame = Frame::new(MessageId(id), version, &body).unwrap();
        let (shown, known) = (frame.showable(), if version >= 17 { 200 } else { 180 });
        prop_assert!(shown.iter().all(|range| range.end <= known.min(length)));
        prop_assert!(shown.windows(2).all(|pair| pair[0].end < pair[1].start), "{shown:?}");
        prop_assert!(shown.iter().map(|range| range.len()).sum::<usize>() <= 76, "{shown:?}");
    }

    #[test]
    fn nothing_of_unknown_messages_is_shown(id in any::<u32>(), version in 0_u32..=22, body in vec(any::<u8>(), 0..200)) {
        let id = MessageId(id);
        prop_assume!(id.name().is_none());
        let frame = Frame::new(id, version, &body).unwrap();
        prop_assert_eq!(frame.showable(), vec![]);
        prop_assert!(sccp::fields(&frame).is_empty());
    }
}

#[test]
fn for_which_medium_ports_are_asked_is_shown() {
    let mut body = [0; 24];
    body[20] = 2;
    let frame = Frame::new(MessageId::PORT_REQUEST, 19, &body).unwrap();
    assert!(sccp::fields(&frame).contains(&("media type".to_owned(), "2".to_owned())));
    assert!(frame.showable().iter().any(|shown| shown.contains(&20)));
}

/// Messages with keys: id, where the block begins, header version. At 16 both generations are possible.
fn keyed() -> impl Strategy<Value = (u32, usize, u32)> {
    let rows = vec![(0x105, 28, 28), (0x8A, 44, 60), (0x131, 108, 108), (0x132, 112, 128)];
    (prop::sample::select(rows), 0_u32..=22, any::<bool>()).prop_map(
        |((id, plain, typed), version, newer)| {
            let newer = version > 16 || (version == 16 && newer);
            (id, if newer { typed } else { plain }, version)
        },
    )
}

fn media_ids() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![
        0x02, 0x11, 0x22, 0x2A, 0x31, 0x44, 0x45, 0x46, 0x8A, 0x8B, 0x95, 0x96, 0x101, 0x102, 0x103, 0x104,
        0x105, 0x106, 0x131, 0x132, 0x133, 0x134, 0x136, 0x14B, 0x14C, 0x154, 0x155,
    ])
}

fn assert_bytes_hidden(frame: &Frame, key: &[u8]) {
    let dump: String = sccp::hex(frame).lines().map(|line| &line[5..]).collect();
    for part in key.windows(4) {
        let digits: String = part.iter().map(|byte| format!(" {byte:02x}")).collect();
        assert!(!dump.contains(&digits), "{digits} in {dump} of {frame:?}");
        let word = u32::from_le_bytes(part.try_into().unwrap()).to_string();
        let address = part.iter().map(u8::to_string).collect::<Vec<_>>().join(".");
        for (name, value) in sccp::fields(frame) {
            assert!(value != word && !value.starts_with(&address), "{name} {value} of {frame:?}");
        }
    }
}
