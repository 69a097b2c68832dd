//! SCCP phones over TLS, call managers over TCP, one connection inside for each outside.

#![allow(clippy::unwrap_used, reason = "only tests")]

mod common;
mod frames;

use std::cell::RefCell;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use common::{Appliance, Phone, Validity, eventually};
use frames::next;
use pinhole_admin::{EventKind, Request, Response};
use pinhole_sccp::{Frame, MessageId};

const DEVICE: &str = "SEP0010DB000001";

/// A call manager that accepts connections, and an appliance in front of it.
fn stage(shards: u32) -> (TcpListener, Appliance) {
    let call_manager = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = call_manager.local_addr().unwrap().to_string();
    let shards = format!("shards = {shards}");
    let changes = [("10.20.0.10:2000", address.as_str()), ("shards = 2", shards.as_str())];
    (call_manager, Appliance::start_changed(&changes))
}

fn connect(appliance: &Appliance, listener: usize) -> Phone {
    let certified = appliance.authority.sign(DEVICE, Validity::Now);
    appliance.phone_at(appliance.sccp[listener], Some(&certified))
}

fn accept(call_manager: &TcpListener) -> TcpStream {
    call_manager.set_nonblocking(true).unwrap();
    let accepted = RefCell::new(None);
    let arrives = || call_manager.accept().is_ok_and(|(stream, _)| accepted.replace(Some(stream)).is_none());
    eventually(arrives, "a connection at the call manager");
    let stream = accepted.into_inner().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

fn register(name: &str) -> Frame {
    let mut body = vec![0; 172];
    body[..name.len()].copy_from_slice(name.as_bytes());
    Frame::new(MessageId::REGISTER, 0, &body).unwrap()
}

fn register_ack() -> Frame {
    let mut body = vec![0; 20];
    (body[0], body[12], body[16]) = (30, 60, 17);
    Frame::new(MessageId::REGISTER_ACK, 0, &body).unwrap()
}

#[test]
fn phone_registers_through_a_connection_of_its_own() {
    // With three shards most phones are handed over to another.
    let (call_manager, appliance) = stage(3);
    let mut phone = connect(&appliance, 0);
    phone.stream.write_all(register(DEVICE).as_bytes()).unwrap();
    let mut server = accept(&call_manager);
    assert_eq!(server.peer_addr().unwrap().ip(), appliance.inside.ip());
    let request = next(&mut server).unwrap();
    assert_eq!(request.registration().unwrap().ipv4().unwrap(), appliance.inside.ip());
    server.write_all(register_ack().as_bytes()).unwrap();
    assert_eq!(next(&mut phone.stream), Some(register_ack()));
    eventually(|| appliance.status().registered == 1, "registered");
    assert_eq!(appliance.counter("sccp", "connected"), 1);
    let Response::Phones(phones) = appliance.ask(Request::Phones) else { unreachable!() };
    assert_eq!((phones.len(), phones[0].device.as_str()), (1, DEVICE));
}

#[test]
fn refusal_of_the_call_manager_stands_in_the_time_line() {
    let call_manager = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = call_manager.local_addr().unwrap().to_string();
    let provisioning = format!(
        "[provisioning]\ndirectory = \"/etc/pinhole/provisioning\"\n[provisioning.phones]\ntrust_list_first = false\n\
         [provisioning.tftp]\nsingle_port = true\nlisten = \"{}\"\n[[cluster]]\n",
        common::free_address()
    );
    let files = "devices = \"^SEP\"\ntftp_server = \"127.0.0.1:9\"\n[[cluster.rewrite.call_manager]]\n\
                 inside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\n";
    let appliance = Appliance::start_changed(&[
        ("10.20.0.10:2000", &address),
        ("[[cluster]]\n", &provisioning),
        ("devices = \"^SEP\"\n", files),
    ]);
    let asked = appliance.ask(Request::AllowPhone { device: DEVICE.into(), class: None });
    assert!(matches!(asked, Response::Done(_)), "{asked:?}");
    let mut phone = connect(&appliance, 0);
    phone.stream.write_all(register(DEVICE).as_bytes()).unwrap();
    let mut server = accept(&call_manager);
    assert_eq!(next(&mut server).unwrap().id(), MessageId::REGISTER);
    server.write_all(Frame::register_reject(0, "Error: DB Config").unwrap().as_bytes()).unwrap();
    assert_eq!(next(&mut phone.stream).unwrap().id(), MessageId::REGISTER_REJECT);
    eventually(|| appliance.counter("provisioning", "registration_failed") == 1, "told to the database");
    let shown = appliance.ask(Request::Provisioned { device: Some(DEVICE.into()) });
    assert!(format!("{shown:?}").contains("RegisterReject: Error: DB Config"), "{shown:?}");
}

#[test]
fn frames_in_pieces_and_in_heaps_arrive_whole_and_in_order() {
    let (call_manager, appliance) = stage(1);
    let mut phone = connect(&appliance, 0);
    let keep_alive = Frame::new(MessageId::KEEP_ALIVE, 0, &[]).unwrap();
    for byte in register(DEVICE).as_bytes() {
        phone.stream.write_all(std::slice::from_ref(byte)).unwrap();
    }
    let mut server = accept(&call_manager);
    phone.stream.write_all(&keep_alive.as_bytes().repeat(1000)).unwrap();
    assert_eq!(next(&mut server).unwrap().id(), MessageId::REGISTER);
    for _ in 0..1000 {
        assert_eq!(next(&mut server), Some(keep_alive.clone()));
    }
    let display = Frame::new(MessageId::DISPLAY_TEXT, 17, &[7; 60_000]).unwrap();
    server.write_all(&[display.as_bytes(), display.as_bytes()].concat()).unwrap();
    assert_eq!(next(&mut phone.stream), Some(display.clone()));
    assert_eq!(next(&mut phone.stream), Some(display));
}

#[test]
fn each_end_takes_the_other_with_it() {
    let (call_manager, appliance) = stage(1);
    let mut phone = connect(&appliance, 0);
    phone.stream.flush().unwrap();
    let server = accept(&call_manager);
    drop(server);
    assert_eq!(next(&mut phone.stream), None);
    let mut phone = connect(&appliance, 0);
    phone.stream.flush().unwrap();
    let mut server = accept(&call_manager);
    drop(phone);
    assert_eq!(next(&mut server), None);
    eventually(|| appliance.status().connections == 0, "no connection left");
}

#[test]
fn phone_of_a_dead_call_manager_is_cut_off_and_may_try_another() {
    let call_manager = TcpListener::bind("127.0.0.2:0").unwrap();
    let alive = call_manager.local_addr().unwrap().to_string();
    let dead = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().to_string();
    let changes = [("10.20.0.10:2000", dead.as_str()), ("10.20.0.11:2000", alive.as_str())];
    let appliance = Appliance::start_changed(&changes);
    let mut phone = connect(&appliance, 0);
    phone.stream.flush().unwrap();
    assert_eq!(next(&mut phone.stream), None);
    appliance.wait_for("sccp", "connect_failed", 1);
    assert!(appliance.events().iter().any(|event| event.kind == EventKind::CallManagerDown));
    let mut phone = connect(&appliance, 1);
    phone.stream.write_all(register(DEVICE).as_bytes()).unwrap();
    assert_eq!(next(&mut accept(&call_manager)).unwrap().id(), MessageId::REGISTER);
}

#[test]
fn phone_with_anothers_name_is_rejected_and_its_request_goes_nowhere() {
    let (call_manager, appliance) = stage(1);
    let mut phone = connect(&appliance, 0);
    phone.stream.write_all(register("SEP0010DB000002").as_bytes()).unwrap();
    assert_eq!(next(&mut phone.stream).unwrap().id(), MessageId::REGISTER_REJECT);
    assert_eq!(next(&mut phone.stream), None);
    assert_eq!(next(&mut accept(&call_manager)), None, "only a connection that ends");
    appliance.wait_for("proxy", "skinny_name_refused", 1);
}

#[test]
fn what_is_no_sccp_closes_the_connection_from_either_end() {
    let (call_manager, appliance) = stage(1);
    let mut phone = connect(&appliance, 0);
    phone.stream.write_all(b"REGISTER sip:pinhole.example SIP/2.0\r\n\r\n").unwrap();
    assert_eq!(next(&mut phone.stream), None);
    assert_eq!(next(&mut accept(&call_manager)), None);
    appliance.wait_for("sccp", "malformed", 1);
    let mut phone = connect(&appliance, 0);
    phone.stream.flush().unwrap();
    accept(&call_manager).write_all(&[0xFF; 12]).unwrap();
    assert_eq!(next(&mut phone.stream), None);
    appliance.wait_for("sccp", "malformed", 2);
}

#[test]
fn stranger_is_refused_as_at_the_listener_for_sip() {
    let (_call_manager, appliance) = stage(1);
    let mut phone = appliance.phone_at(appliance.sccp[0], None);
    assert_eq!(next(&mut phone.stream), None);
    appliance.wait_for("tls", "refused_no_certificate", 1);
    let mut phone = connect(&appliance, 0);
    phone.stream.flush().unwrap();
    appliance.wait_for("tls", "handshakes_done", 1);
}
