//! What holds for every input.
#![allow(clippy::unwrap_used)]

mod common;

use common::{INVITE, options_with};
use pinhole_sip::{Frame, FrameError, Framer, Limits, Message, NameAddr, Params, Uri, Via};
use proptest::prelude::*;
use proptest::sample::Index;

const SMALL: Limits = Limits { message: 600, headers: 12, line: 120, body: 200 };

/// Exercises every reader of a message.
fn read_everything(message: &Message) {
    let _ = (
        message.validate(),
        message.cseq(),
        message.from(),
        message.to(),
        message.contacts(),
        message.top_via(),
    );
    let _ = (message.sdp(), message.method(), format!("{message:?}"));
    for name in ["Via", "Contact", "Route", "Supported"] {
        let _ = message.addresses(name);
    }
}

/// Bytes near SIP: random ones, and real messages with random damage.
fn near_sip() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<Index>(), any::<u8>(), 0_u8..4), 0..8);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "(INVITE|SIP/2.0|ACK) [ -~]{0,30}( SIP/2.0)?\r?\n([A-Za-z-]{1,8} ?:[ -~\t]{0,20}(\r?\n [ -~]{0,8})?\r?\n){0,8}\r?\n[ -~\r\n]{0,40}"
            .prop_map(String::into_bytes),
        damage.prop_map(|damage| {
            let mut bytes = INVITE.to_vec();
            for (index, byte, kind) in damage {
                bytes.push(b'x');
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, b"\r\n:;,<>\"= 0"[usize::from(byte) % 11]),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at + 1),
                }
            }
            bytes
        }),
    ]
}

/// Well-formed header lines of every odd shape, as they stand on the wire.
fn header_lines() -> impl Strategy<Value = String> {
    let name = "(X-[A-Za-z0-9!%*_+`'~.-]{0,10}|Via|v|ROUTE|Contact|m|Subject|k|zz)";
    let line = (name, "[ \t]{0,2}", "[ \t]{0,2}[!-~ \t\u{e4}\u{20ac}]{0,30}(\r\n[ \t]{1,2}[!-~]{0,10}){0,2}");
    prop::collection::vec(line.prop_map(|(name, space, value)| format!("{name}{space}:{value}\r\n")), 0..10)
        .prop_map(|lines| lines.concat())
}

fn run(pieces: &[&[u8]], limits: Limits) -> (Vec<Frame>, Option<FrameError>) {
    let mut framer = Framer::new(limits);
    let mut frames = Vec::new();
    for piece in pieces {
        framer.push(piece);
        while let Some(frame) = framer.next() {
            match frame {
                Ok(frame) => frames.push(frame),
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(framer.pending() <= limits.message + 1);
    }
    (frames, None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in near_sip()) {
        for limits in [Limits::default(), SMALL] {
            if let Ok(message) = Message::parse(&bytes, &limits) {
                read_everything(&message);
                // What we send, others and we ourselves read as the same message.
                let again = Message::parse(&message.to_bytes(), &Limits::default()).unwrap();
                prop_assert_eq!(&again.start, &message.start);
                prop_assert_eq!(&again.body, &message.body);
                prop_assert_eq!(again.to_bytes(), message.to_bytes());
            }
        }
    }

    #[test]
    fn untouched_message_is_identical(lines in header_lines(), body in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut bytes = options_with(&format!("{lines}Content-Length:  {}\r\n", body.len()));
        bytes.extend_from_slice(&body);
        let message = Message::parse(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(message.to_bytes(), bytes);
    }

    #[test]
    fn setting_a_header_touches_no_other(lines in header_lines(), name in "(Via|X-New|Route|CSeq|k)", value in "[ -~]{0,20}") {
        let before = Message::parse(&options_with(&lines), &Limits::default()).unwrap();
        let mut after = before.clone();
        after.set(&name, &value);
        let others = |message: &Message| -> Vec<_> {
            message.headers.iter().filter(|header| !header.is(&name)).cloned().collect()
        };
        prop_assert_eq!(others(&before), others(&after));
        prop_assert_eq!(after.single(&name), Ok(value.as_str()));
        let again = Message::parse(&after.to_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!(again.single(&name).unwrap(), value.trim());
        prop_assert_eq!(again.headers.len(), after.headers.len() + usize::from(before.header("l").is_none()));
    }

    #[test]
    fn framing_does_not_depend_on_segmentation(
        parts in prop::collection::vec(
            prop_oneof![
                Just(INVITE.to_vec()),
                Just(options_with("Content-Length: 0\r\n")),
                Just(b"\r\n".to_vec()),
                Just(b"\r\n\r\n".to_vec()),
                Just(b"\n".to_vec()),
                near_sip(),
            ],
            0..5,
        ),
        cuts in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        let bytes = parts.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        for limits in [Limits::default(), SMALL] {
            let whole = run(&[&bytes], limits);
            prop_assert_eq!(&run(&pieces, limits), &whole);
            prop_assert_eq!(&run(&single, limits), &whole);
        }
    }

    #[test]
    fn fields_survive_reading_and_writing(text in "[ -~]{0,40}|(sips?:)?[a-z0-9%;?:@\\[\\]=.\"<> -]{0,40}|SIP/2.0/[A-Z]{1,4} [a-z0-9:\\[\\].;= \"-]{0,30}") {
        if let Ok(uri) = text.parse::<Uri>() {
            prop_assert_eq!(uri.to_string().parse::<Uri>(), Ok(uri));
        }
        if let Ok(address) = text.parse::<NameAddr>() {
            prop_assert_eq!(address.to_string().parse::<NameAddr>(), Ok(address));
        }
        if let Ok(via) = text.parse::<Via>() {
            prop_assert_eq!(via.to_string().parse::<Via>(), Ok(via));
        }
        if let Some(params) = Params::parse(&text) {
            prop_assert_eq!(Params::parse(&params.to_string()), Some(params));
        }
    }

    #[test]
    fn replaced_sdp_reads_back(other in "[ -~\r\n]{0,30}", old in "[ -~]{0,30}", new in "[ -~]{1,30}") {
        let mut message = Message::request(pinhole_sip::Method::Invite, "sip:a@b");
        message.push("Content-Type", "multipart/mixed;boundary=Zq9x");
        message.body = format!("--Zq9x\r\nA: b\r\n\r\n{other}\r\n--Zq9x\r\nContent-Type: application/sdp\r\n\r\n{old}\r\n--Zq9x--\r\n").into_bytes();
        prop_assert!(message.replace_sdp(new.as_bytes()).unwrap());
        prop_assert_eq!(message.sdp().unwrap().unwrap(), new.as_bytes());
    }
}
