//! The inside: who may send us SIP, and call managers that are dead.

#![allow(clippy::unwrap_used, reason = "only tests")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use common::{Appliance, Phone, eventually};
use pinhole_admin::EventKind;

/// REGISTER of the device's own address of record.
fn register(sequence: u32) -> String {
    format!(
        "REGISTER sip:pinhole.example SIP/2.0\r\nVia: SIP/2.0/TLS 192.168.0.2:5061;branch=z9hG4bK{sequence};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1001@lab.example>;tag=a\r\nTo: <sip:1001@lab.example>\r\nCall-ID: c\r\n\
         CSeq: {sequence} REGISTER\r\nContact: <sip:1001@192.168.0.2:5061;transport=tls>\r\nExpires: 300\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// What a phone is answered.
fn answer(phone: &mut Phone) -> String {
    let mut bytes = vec![0; 4096];
    let length = phone.stream.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

fn read(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut bytes = vec![0; 4096];
    let length = stream.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[test]
fn datagram_and_connection_from_a_stranger_are_dropped_and_counted() {
    let appliance = Appliance::start(1, "");
    let stranger = UdpSocket::bind("127.0.0.3:0").unwrap();
    stranger.send_to(b"OPTIONS sip:a SIP/2.0\r\n\r\n", appliance.inside).unwrap();
    appliance.wait_for("inside", "unknown_source", 1);
    let mut stream = TcpStream::connect(appliance.inside).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    appliance.wait_for("inside", "unknown_source", 2);
}

#[test]
fn broken_datagram_is_dropped_and_counted() {
    let appliance = Appliance::start(1, "");
    let call_manager = UdpSocket::bind("127.0.0.2:0").unwrap();
    call_manager.send_to(b"\r\n\r\n", appliance.inside).unwrap();
    call_manager.send_to(b"nonsense\r\n\r\n", appliance.inside).unwrap();
    appliance.wait_for("inside", "datagrams", 2);
    assert_eq!(appliance.counter("sip", "malformed"), 1, "a keep-alive is no mistake");
}

#[test]
fn each_phone_has_a_connection_of_its_own_and_answers_come_back_on_it() {
    let call_manager = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = call_manager.local_addr().unwrap().to_string();
    let appliance = Appliance::start_changed(&[
        ("10.20.0.10:5060", &address),
        ("transport = \"udp\"", "transport = \"tcp\""),
    ]);
    let mut phone = appliance.device("SEP0010DB000001");
    phone.stream.write_all(register(1).as_bytes()).unwrap();
    let (mut upstream, _) = call_manager.accept().unwrap();
    let request = read(&mut upstream);
    assert!(request.starts_with("REGISTER sip:lab.example SIP/2.0\r\n"), "{request}");
    let echoed = |name: &str| request.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let headers = ["Via", "From", "To", "Call-ID", "CSeq", "Contact"].map(echoed).join("\r\n");
    upstream
        .write_all(format!("SIP/2.0 200 OK\r\n{headers};expires=300\r\nContent-Length: 0\r\n\r\n").as_bytes())
        .unwrap();
    assert!(answer(&mut phone).starts_with("SIP/2.0 200 "));
    eventually(|| appliance.status().registered == 1, "registered");
    assert_eq!(appliance.counter("inside", "upstream_connected"), 1);
}

#[test]
fn call_manager_that_takes_no_connection_is_told_once_and_phones_get_503() {
    // A port that was just free: nobody listens there.
    let address = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().to_string();
    let appliance = Appliance::start_changed(&[
        ("10.20.0.10:5060", &address),
        ("transport = \"udp\"", "transport = \"tcp\""),
    ]);
    let mut phone = appliance.device("SEP0010DB000001");
    for sequence in 1..=3 {
        phone.stream.write_all(register(sequence).as_bytes()).unwrap();
        let answer = answer(&mut phone);
        assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    }
    let told = appliance.events().iter().filter(|event| event.kind == EventKind::CallManagerDown).count();
    assert_eq!(told, 1);
    assert!(appliance.counter("inside", "upstream_backoff") > 0, "it is not tried at once again");
}
