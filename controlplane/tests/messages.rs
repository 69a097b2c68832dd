//! What a connected phone may send, and how the process is looked at and ended.

mod common;

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use common::Appliance;
use pinhole_admin::{EventKind, Request, Response};
use pinhole_controlplane::Process;
use pinhole_controlplane::config::Config;

#[test]
fn message_that_is_too_long_closes_the_connection() {
    let appliance = Appliance::start(1, "message_bytes = 4096");
    let mut phone = appliance.device("SEP0010DB000001");
    assert!(phone.is_served());
    let head = "REGISTER sip:pinhole.example SIP/2.0\r\nX: ";
    let _ = phone.stream.write_all(format!("{head}{}", "x".repeat(10_000)).as_bytes());
    assert!(!matches!(phone.stream.read(&mut [0; 64]), Ok(length) if length > 0));
    appliance.wait_for("sip", "limit_message_bytes", 1);
    let events = appliance.events();
    let line = events.iter().find(|event| event.kind == EventKind::MessageRefused).unwrap();
    assert_eq!(line.device.as_deref(), Some("SEP0010DB000001"));
}

#[test]
fn message_that_is_never_finished_closes_the_connection() {
    let appliance = Appliance::start(1, "message_timeout_s = 1");
    let mut patient = appliance.device("SEP0010DB000002");
    let mut phone = appliance.device("SEP0010DB000001");
    // An empty line begins no message.
    assert!(patient.is_served() && patient.stream.write_all(b"\r\n").is_ok());
    let _ = phone.stream.write_all(b"REGISTER sip:pinhole.example SIP/2.0\r\nX: ");
    assert!(!matches!(phone.stream.read(&mut [0; 64]), Ok(length) if length > 0));
    assert_eq!(appliance.counter("sip", "message_timeout"), 1);
    assert_eq!(appliance.status().connections, 1);
    let mut answer = [0; 2];
    assert!(patient.stream.write_all(b"\r\n").is_ok() && patient.stream.read_exact(&mut answer).is_ok());
}

#[test]
fn what_is_not_sip_closes_the_connection() {
    let appliance = Appliance::start(1, "");
    let mut phone = appliance.device("SEP0010DB000001");
    let _ = phone.stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(!matches!(phone.stream.read(&mut [0; 64]), Ok(length) if length > 0));
    appliance.wait_for("sip", "malformed", 1);
}

#[test]
fn admin_socket_answers_everything() {
    let appliance = Appliance::start(2, "");
    let status = appliance.status();
    assert_eq!((status.shards, status.dataplane.attached), (2, false));
    assert_eq!(status.listen, appliance.listen.to_string());
    assert_eq!(status.pid, std::process::id());
    assert_eq!(appliance.ask(Request::Calls), Response::Calls(vec![]));
    assert_eq!(appliance.ask(Request::Sessions), Response::Sessions(vec![]));
    assert!(matches!(appliance.ask(Request::Phones), Response::Phones(_)));
    let kinds: Vec<_> = appliance.events().iter().map(|event| event.kind).collect();
    assert!(kinds.contains(&EventKind::Started) && kinds.contains(&EventKind::DataPlaneLost), "{kinds:?}");
}

#[test]
fn admin_socket_is_for_its_group_only_and_refuses_what_it_does_not_know() {
    use std::os::unix::fs::PermissionsExt as _;
    let appliance = Appliance::start(1, "");
    let mode = std::fs::metadata(&appliance.admin_socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut stream = std::os::unix::net::UnixStream::connect(&appliance.admin_socket).unwrap();
    stream.write_all(b"{\"ask\":\"reboot\"}\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("not understood"), "{answer}");
}

#[test]
fn second_control_plane_is_refused() {
    let appliance = Appliance::start(1, "");
    let config = Config::load(&appliance.file).unwrap();
    let error = Process::start(config, &appliance.file, Duration::ZERO, Arc::default()).err().unwrap();
    assert!(error.to_string().contains("another control plane answers at"), "{error}");
}

#[test]
fn orderly_end_removes_the_socket() {
    let appliance = Appliance::start(2, "");
    let socket = appliance.admin_socket.clone();
    assert!(appliance.stop());
    assert!(!socket.exists());
}
