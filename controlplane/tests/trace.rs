//! One phone's signalling as operators see it: both sides, both protocols, no keys, and who has looked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "only tests")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use common::{Appliance, Validity, eventually};
use pinhole_admin::{Client, Content, EventKind, Hop, Request, Response, Traced, TracedMessage};
use pinhole_sccp::{Encryption, Frame, KeyBlock, Limits, MasterKey, MasterSalt, Media, MessageId};

const DEVICE: &str = "SEP0010DB000001";
const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

/// Messages up to the end of a trace, and why it ended.
fn messages(traced: &Receiver<Traced>) -> (Vec<TracedMessage>, String) {
    let mut messages = Vec::new();
    loop {
        match traced.recv_timeout(Duration::from_secs(10)).unwrap() {
            Traced::Message(message) => messages.push(*message),
            Traced::Ended { reason, .. } => return (messages, reason),
            lost @ Traced::Lost { .. } => panic!("{lost:?}"),
        }
    }
}

fn text(message: &TracedMessage) -> &str {
    match &message.content {
        Content::Sip { text } => text,
        Content::Sccp { message, .. } => message,
    }
}

#[test]
fn sip_is_shown_on_both_sides_without_keys_and_credentials() {
    let call_manager = UdpSocket::bind("127.0.0.2:0").unwrap();
    call_manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let address = call_manager.local_addr().unwrap();
    let appliance = Appliance::start_changed(&[("10.20.0.10:5060", &address.to_string())]);
    let mut phone = appliance.device(DEVICE);
    assert!(phone.is_served());
    let other = appliance.trace("SEP0010DB000002", None);
    let traced = appliance.trace(DEVICE, Some(4));
    let body = format!("v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
    let request = format!(
        "REGISTER sip:pinhole.example SIP/2.0\r\nVia: SIP/2.0/TLS 192.168.0.2:5061;branch=z9hG4bK1;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1001@lab.example>;tag=a\r\nTo: <sip:1001@lab.example>\r\nCall-ID: c\r\n\
         CSeq: 1 REGISTER\r\nContact: <sip:1001@192.168.0.2:5061;transport=tls>\r\nExpires: 300\r\n\
         Authorization: Digest username=\"1001\", realm=\"lab\", nonce=\"n\", uri=\"sip:lab\", response=\"{KEY}\"\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    phone.stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = [0; 4096];
    let (length, from) = call_manager.recv_from(&mut bytes).unwrap();
    let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
    assert!(
        request.contains(&format!("inline:{KEY}")) && request.contains(&format!("\"{KEY}\"")),
        "{request}"
    );
    let echoed = |name: &str| request.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let headers = ["Via", "From", "To", "Call-ID", "CSeq", "Contact"].map(echoed).join("\r\n");
    let answer = format!("SIP/2.0 200 OK\r\n{headers};expires=300\r\nContent-Length: 0\r\n\r\n");
    call_manager.send_to(answer.as_bytes(), from).unwrap();
    assert!(phone.stream.read(&mut bytes).unwrap() > 0);

    let (seen, reason) = messages(&traced);
    assert_eq!(reason, "as many messages as were asked for");
    let hops: Vec<_> = seen.iter().map(|message| message.hop).collect();
    assert_eq!(hops, [Hop::FromPhone, Hop::ToCallManager, Hop::FromCallManager, Hop::ToPhone]);
    for (message, transport) in seen.iter().zip(["tls", "udp", "udp", "tls"]) {
        assert!(!text(message).contains(&KEY[..6]), "{}", text(message));
        assert_eq!((message.transport.as_str(), message.cluster.as_str()), (transport, "lab"));
        assert_eq!(message.call_manager, Some(address));
        assert!(message.phone.is_some() && message.time_ms > 0);
    }
    assert!(text(&seen[0]).contains("inline:(masked)") && text(&seen[0]).contains("username=\"1001\""));
    assert_eq!(text(&seen[2]), answer);
    assert!(other.try_recv().is_err(), "nothing of another phone");
    for group in ["sip.from_phone", "sip.to_call_manager"] {
        assert_eq!(appliance.counter(group, "REGISTER"), 1);
    }
    for group in ["sip.from_call_manager", "sip.to_phone"] {
        assert_eq!(appliance.counter(group, "200"), 1);
    }
}

#[test]
fn sccp_is_shown_on_both_sides_without_keys_and_the_log_says_who_looked() {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = listener.local_addr().unwrap();
    let appliance = Appliance::start_changed(&[("10.20.0.10:2000", &address.to_string())]);
    let certified = appliance.authority.sign(DEVICE, Validity::Now);
    let mut phone = appliance.phone_at(appliance.sccp[0], Some(&certified));
    phone.stream.flush().unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let traced = appliance.trace(DEVICE, Some(8));
    let mut body = vec![0; 172];
    body[..DEVICE.len()].copy_from_slice(DEVICE.as_bytes());
    phone.stream.write_all(Frame::new(MessageId::REGISTER, 0, &body).unwrap().as_bytes()).unwrap();
    server.read_exact(&mut [0; 184]).unwrap();
    let mut body = vec![0; 20];
    (body[0], body[12], body[16]) = (30, 60, 17);
    server.write_all(Frame::new(MessageId::REGISTER_ACK, 0, &body).unwrap().as_bytes()).unwrap();
    phone.stream.read_exact(&mut [0; 32]).unwrap();
    let key: [u8; 16] = std::array::from_fn(|at| 0xC1 + at as u8);
    let media = Media {
        conference: 7,
        party: 8,
        call: 9,
        codec: 4,
        packet_ms: 20,
        telephone_event: 101,
        endpoint: None,
        encryption: Some(Encryption::new(MasterKey::new(key), MasterSalt::new([0xEE; 14]))),
    };
    server.write_all(Frame::open_receive_channel(17, &media).unwrap().as_bytes()).unwrap();
    let mut told = [0; 144];
    phone.stream.read_exact(&mut told).unwrap();
    // There is no data plane, so the call manager is told of a failure.
    server.read_exact(&mut [0; 48]).unwrap();
    // An unknown message goes through, and nothing of it is shown.
    phone.stream.write_all(Frame::new(MessageId(0x7777), 17, &key).unwrap().as_bytes()).unwrap();

    let (seen, _) = messages(&traced);
    let said: Vec<_> = seen.iter().map(|message| (message.hop, text(message))).collect();
    let (down, up) = ((Hop::FromCallManager, Hop::ToPhone), (Hop::FromPhone, Hop::ToCallManager));
    assert_eq!(
        said,
        [
            (up.0, "Register"),
            (up.1, "Register"),
            (down.0, "RegisterAck"),
            (down.1, "RegisterAck"),
            (down.0, "OpenReceiveChannel"),
            (down.1, "OpenReceiveChannel"),
            (up.1, "OpenReceiveChannelAck"),
            (up.0, "message 0x7777"),
        ]
    );
    assert!(seen.iter().all(|message| message.call_manager == Some(address) && message.cluster == "lab"));
    let Content::Sccp { fields, hex: Some(hex), version: 17, .. } = &seen[4].content else {
        panic!("{:?}", seen[4]);
    };
    assert!(fields.contains(&("call".into(), "9".into())), "{fields:?}");
    assert!(
        fields.contains(&("encryption".into(), "AesCm128HmacSha1_32, key and salt (masked)".into())),
        "{fields:?}"
    );
    assert!(hex.contains(" 09 00 00 00") && hex.contains("··"), "{hex}");
    let all = serde_json::to_string(&seen).unwrap();
    let told = Frame::parse(&told, &Limits::default()).unwrap();
    let Ok(KeyBlock::Keyed(ours)) = told.channel().unwrap().encryption() else { panic!("{told:?}") };
    let [a, b, c, ..] = *ours.key.expose();
    let ours = format!("{a:02x} {b:02x} {c:02x}");
    assert!(!all.contains("c3 c4") && !all.contains("ee ee") && !all.contains(&ours), "{all}");

    let group = |way: &str| format!("sccp.{way}");
    assert_eq!(appliance.counter(&group("from_call_manager"), "OpenReceiveChannel"), 1);
    assert_eq!(appliance.counter(&group("to_phone"), "OpenReceiveChannel"), 1);
    assert_eq!(appliance.counter(&group("to_call_manager"), "OpenReceiveChannelAck"), 1);
    eventually(
        || appliance.counter(&group("from_phone"), "unknown") == 1,
        "unknown messages are counted together",
    );

    let of_trace = |kind| {
        let events = appliance.events();
        events
            .into_iter()
            .find(|event| event.kind == kind && event.device.as_deref() == Some(DEVICE))
            .map(|event| event.text)
    };
    let who = format!("user {} (process {})", own_user(), std::process::id());
    assert!(of_trace(EventKind::TraceBegun).unwrap().starts_with(&who));
    eventually(|| of_trace(EventKind::TraceEnded).is_some(), "the end is told");
    let ended = of_trace(EventKind::TraceEnded).unwrap();
    assert!(ended.contains(&who) && ended.ends_with("8 messages shown, 0 lost"), "{ended}");
}

/// The user of this process.
fn own_user() -> u32 {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap())
}

#[test]
fn traces_are_few_and_end_with_their_client() {
    let appliance = Appliance::start(1, "");
    let mut open: Vec<_> = (0..8).map(|_| appliance.trace(DEVICE, None)).collect();
    let request = || Request::Trace { device: DEVICE.into(), seconds: 1, messages: None, hex: false };
    let refused = Client::connect(&appliance.admin_socket).unwrap().trace(request(), |_| true).unwrap_err();
    assert!(refused.to_string().contains("8 traces are under way"), "{refused}");
    // A client that is gone is noticed though nothing passes.
    let mut phone = appliance.device(DEVICE);
    open.clear();
    assert!(phone.is_served());
    phone
        .stream
        .write_all(
            b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TLS a;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n",
        )
        .unwrap();
    let ended = || {
        let mut ended = None;
        let client = Client::connect(&appliance.admin_socket).unwrap();
        let _ = client.trace(request(), |line| {
            ended = Some(line);
            true
        });
        matches!(ended, Some(Traced::Ended { reason, .. }) if reason == "its time is over")
    };
    eventually(ended, "a trace is possible again, and ends with its time");
    let nobody = Request::Trace { device: "no name!".into(), seconds: 1, messages: None, hex: false };
    let refused = Client::connect(&appliance.admin_socket).unwrap().ask(nobody).unwrap_err();
    assert!(refused.to_string().contains("is no device name"), "{refused}");
}

#[test]
fn reader_that_is_slow_loses_messages_and_holds_nobody_up() {
    const MESSAGES: u64 = 400;
    let appliance = Appliance::start(1, "");
    let mut phone = appliance.device(DEVICE);
    assert!(phone.is_served());
    let mut slow = UnixStream::connect(&appliance.admin_socket).unwrap();
    let request = Request::Trace { device: DEVICE.into(), seconds: 60, messages: None, hex: false };
    slow.write_all(format!("{}\n", serde_json::to_string(&request).unwrap()).as_bytes()).unwrap();
    eventually(
        || appliance.events().iter().any(|event| event.kind == EventKind::TraceBegun),
        "the trace begins",
    );
    appliance.status();
    let padding = "x".repeat(8_000);
    let message = format!(
        "NOTIFY sip:a SIP/2.0\r\nVia: SIP/2.0/TLS a;branch=z9hG4bK1\r\nX: {padding}\r\nContent-Length: 0\r\n\r\n"
    );
    for _ in 0..MESSAGES {
        phone.stream.write_all(message.as_bytes()).unwrap();
    }
    eventually(|| appliance.counter("sip.from_phone", "NOTIFY") == MESSAGES, "every message is handled");
    let (mut shown, mut lost) = (0, 0);
    for line in BufReader::new(slow).lines() {
        match serde_json::from_str(&line.unwrap()).unwrap() {
            Response::Trace(Traced::Message(_)) => shown += 1,
            Response::Trace(Traced::Lost { messages }) => lost += messages,
            other => panic!("{other:?}"),
        }
        // Each has an answer: 400.
        if shown + lost == 2 * MESSAGES {
            break;
        }
    }
    assert!(shown > 100 && lost > 100, "{shown} shown, {lost} lost");
}
