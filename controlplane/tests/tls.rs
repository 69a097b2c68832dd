//! Who may connect: every refusal has its own counter and one line with the peer's address.

#![allow(clippy::unwrap_used, reason = "only tests")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use common::{Appliance, Authority, Phone, Validity, eventually};
use pinhole_admin::EventKind;

/// The phone is refused, counted under `counter` and nowhere else, and one line says why.
fn assert_refused(appliance: &Appliance, mut phone: Phone, counter: &str, why: &str) {
    assert!(!phone.is_served());
    appliance.wait_for("tls", counter, 1);
    let counters = appliance.counters();
    let refusals: u64 = counters.groups["tls"]
        .iter()
        .filter(|(name, _)| name.starts_with("refused_"))
        .map(|(_, value)| value)
        .sum();
    assert_eq!(refusals, 1, "{counters:?}");
    let events = appliance.events();
    let lines: Vec<_> = events.iter().filter(|event| event.kind == EventKind::PhoneRefused).collect();
    assert_eq!(lines.len(), 1, "{events:?}");
    let peer = phone.stream.sock.local_addr().map(|peer| peer.to_string()).unwrap_or_default();
    assert!(!peer.is_empty() && lines[0].text.contains(&peer) && lines[0].text.contains(why), "{lines:?}");
    eventually(
        || appliance.status().connections + appliance.status().handshakes == 0,
        "no connection is left",
    );
}

#[test]
fn known_device_is_served() {
    let appliance = Appliance::start(1, "");
    let mut phone = appliance.device("SEP0010DB000001");
    assert!(phone.is_served());
    assert_eq!(appliance.status().connections, 1);
    assert_eq!(appliance.counter("tls", "handshakes_done"), 1);
    drop(phone);
    eventually(|| appliance.status().connections == 0, "the connection is forgotten");
}

#[test]
fn phone_without_certificate_is_refused() {
    let appliance = Appliance::start(1, "");
    let phone = appliance.phone(None);
    assert_refused(&appliance, phone, "refused_no_certificate", "showed no certificate");
}

#[test]
fn certificate_of_an_unknown_authority_is_refused() {
    let appliance = Appliance::start(1, "");
    let stranger = Authority::new("strangers").sign("SEP0010DB000001", Validity::Now);
    let phone = appliance.phone(Some(&stranger));
    assert_refused(&appliance, phone, "refused_unknown_ca", "identity.authority");
}

#[test]
fn authority_of_the_same_name_with_another_key_is_unknown() {
    let appliance = Appliance::start(1, "");
    let impostor = Authority::new("phones").sign("SEP0010DB000001", Validity::Now);
    let phone = appliance.phone(Some(&impostor));
    assert_refused(&appliance, phone, "refused_unknown_ca", "identity.authority");
}

#[test]
fn expired_certificate_is_refused() {
    let appliance = Appliance::start(1, "");
    let expired = appliance.authority.sign("SEP0010DB000001", Validity::Past);
    let phone = appliance.phone(Some(&expired));
    assert_refused(&appliance, phone, "refused_expired", "has expired");
}

#[test]
fn certificate_that_names_no_device_is_refused() {
    let appliance = Appliance::start(1, "");
    let phone = appliance.device("toaster.example");
    assert_refused(&appliance, phone, "refused_device_name", "toaster.example");
}

#[test]
fn what_is_not_tls_is_refused() {
    let appliance = Appliance::start(1, "");
    let mut socket = TcpStream::connect(appliance.listen).unwrap();
    socket.write_all(b"REGISTER sip:pinhole.example SIP/2.0\r\n\r\n").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // An alert, then the end.
    let _ = socket.read_to_end(&mut Vec::new());
    appliance.wait_for("tls", "refused_protocol", 1);
}

#[test]
fn handshake_that_takes_too_long_is_refused() {
    let appliance = Appliance::start(1, "handshake_timeout_s = 1");
    let mut socket = TcpStream::connect(appliance.listen).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _ = socket.read_to_end(&mut Vec::new());
    assert_eq!(appliance.counter("tls", "refused_timeout"), 1);
    assert_eq!(appliance.status().handshakes, 0);
}

#[test]
fn half_open_handshakes_are_bounded_and_whoever_comes_then_waits() {
    let appliance = Appliance::start(1, "handshakes = 3\nhandshake_timeout_s = 60");
    let half_open: Vec<_> = (0..3).map(|_| TcpStream::connect(appliance.listen).unwrap()).collect();
    eventually(|| appliance.status().handshakes == 3, "three handshakes in progress");
    let mut phones: Vec<_> = (1..=4).map(|n| appliance.device(&format!("SEP00000000000{n}"))).collect();
    eventually(|| appliance.counter("tls", "limit_handshakes") > 0, "somebody waits");
    assert_eq!(appliance.status().handshakes, 3);
    assert_eq!(appliance.counter("tls", "handshakes_done"), 0);
    drop(half_open);
    assert!(phones.iter_mut().all(Phone::is_served));
    assert_eq!(appliance.counter("tls", "handshakes_gave_way"), 0);
}

/// A connection that says nothing, from an address that no phone has.
fn silent(appliance: &Appliance) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 77], 0)).into()).unwrap();
    socket.connect(&appliance.listen.into()).unwrap();
    socket.into()
}

#[test]
fn address_that_holds_all_places_half_open_keeps_no_phone_of_another_from_coming_in() {
    let appliance = Appliance::start(1, "handshakes = 4\nhandshake_timeout_s = 60");
    let half_open: Vec<_> = (0..20).map(|_| silent(&appliance)).collect();
    eventually(|| appliance.counter("tls", "accepted") == 20, "all of them are accepted");
    assert_eq!(appliance.status().handshakes, 4);
    // Before the sixteen that came earlier.
    let mut phones: Vec<_> = (1..=3).map(|n| appliance.device(&format!("SEP00000000000{n}"))).collect();
    assert!(phones.iter_mut().all(Phone::is_served));
    assert!(appliance.counter("tls", "handshakes_gave_way") >= 1);
    assert_eq!(appliance.counter("tls", "refused_timeout"), 0);
    let told = |event: &&pinhole_admin::Event| event.text.contains("127.0.0.77:");
    let events = appliance.events();
    let told: Vec<_> = events.iter().filter(told).collect();
    assert!(told.len() == 1 && told[0].text.contains("limits.handshakes"), "{told:?}");
    drop(half_open);
}

#[test]
fn connections_are_bounded() {
    let appliance = Appliance::start(2, "connections = 2");
    let mut phones: Vec<_> = (1..=2).map(|n| appliance.device(&format!("SEP00000000000{n}"))).collect();
    assert!(phones.iter_mut().all(Phone::is_served));
    assert!(!appliance.device("SEP000000000003").is_served());
    appliance.wait_for("tls", "limit_connections", 1);
}

#[test]
fn connection_is_handed_to_the_home_shard() {
    let appliance = Appliance::start(4, "");
    let mut phones: Vec<_> = (0..16).map(|n| appliance.device(&format!("SEP0000000000{n:02}"))).collect();
    assert!(phones.iter_mut().all(Phone::is_served));
    assert_eq!(appliance.status().connections, 16);
    // The kernel spreads connections and the home is a hash: 16 times at home by chance is out of the question.
    assert!(appliance.counter("tls", "handed_over") > 0);
}

#[test]
fn phone_whose_certificate_was_revoked_is_refused_once_the_list_is_read_again() {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    let site = Authority::new("site");
    let [lost, kept] = ["SEP0010DB000001", "SEP0010DB000002"].map(|device| site.sign(device, Validity::Now));
    std::fs::write(path("site.pem"), &site.pem()[0]).unwrap();
    std::fs::write(path("site.crl"), site.revocation_list(&[])).unwrap();
    let lists = format!("[identity]\ncrls = [\"{}\"]\n[outside]\n", path("site.crl").display());
    let authority = format!(
        "[[identity.authority]]\nname = \"site\"\nroots = [\"{}\"]\n[identity.devices]\n",
        path("site.pem").display()
    );
    let changes = [("[outside]\n", lists.as_str()), ("[identity.devices]\n", authority.as_str())];
    let appliance = Appliance::start_changed(&changes);
    assert!(appliance.phone(Some(&lost)).is_served());
    std::fs::write(path("site.crl"), site.revocation_list(&[&lost])).unwrap();
    appliance.reload();
    eventually(|| !appliance.phone(Some(&lost)).is_served(), "it is refused");
    appliance.wait_for("tls", "refused_revoked", 1);
    assert!(appliance.phone(Some(&kept)).is_served());
    let refused = appliance.events().into_iter().filter(|event| event.kind == EventKind::PhoneRefused);
    let lines: Vec<_> = refused.map(|event| event.text).collect();
    assert!(matches!(&lines[..], [line] if line.contains("revoked")), "{lines:?}");
}
