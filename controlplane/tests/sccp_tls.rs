//! Call managers that are reached by TLS.

#![allow(clippy::unwrap_used, reason = "only tests")]

mod common;
mod frames;

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::{Appliance, Authority, Certified, Phone, Validity, eventually};
use frames::next;
use pinhole_admin::EventKind;
use pinhole_sccp::{Frame, MessageId};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

const DEVICE: &str = "SEP0010DB000001";

/// A call manager, an appliance in front of it, and the file of the certificates that it may show.
struct Stage {
    call_manager: TcpListener,
    appliance: Appliance,
    known: PathBuf,
    _directory: tempfile::TempDir,
}

/// With this text in the file, and these further lines of configuration.
fn stage(known: &str, lines: &str) -> Stage {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("call-manager.pem");
    std::fs::write(&file, known).unwrap();
    let call_manager = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = call_manager.local_addr().unwrap();
    let setting = format!("call_manager = \"{address}\"\nauthority = \"{}\"\n{lines}", file.display());
    let appliance = Appliance::start_changed(&[("call_manager = \"10.20.0.10:2000\"", &setting)]);
    Stage { call_manager, appliance, known: file, _directory: directory }
}

impl Stage {
    /// A phone that asks to be registered.
    fn phone(&self) -> Phone {
        let certified = self.appliance.authority.sign(DEVICE, Validity::Now);
        let mut phone = self.appliance.phone_at(self.appliance.sccp[0], Some(&certified));
        phone.stream.write_all(register().as_bytes()).unwrap();
        phone
    }

    fn accept(&self) -> TcpStream {
        self.call_manager.set_nonblocking(true).unwrap();
        let accepted = RefCell::new(None);
        let arrives =
            || self.call_manager.accept().is_ok_and(|(stream, _)| accepted.replace(Some(stream)).is_none());
        eventually(arrives, "a connection at the call manager");
        let stream = accepted.into_inner().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    /// The call manager, which shows this certificate and demands ours.
    fn serve(&self, certified: &Certified) -> StreamOwned<ServerConnection, TcpStream> {
        self.serve_to(certified, &self.appliance.authority)
    }

    /// The same, if it demands one that this authority has signed.
    fn serve_to(
        &self,
        certified: &Certified,
        authority: &Authority,
    ) -> StreamOwned<ServerConnection, TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(
                vec![certified.certificate.der().clone()],
                PrivateKeyDer::try_from(certified.key.serialize_der()).unwrap(),
            )
            .unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        StreamOwned::new(connection, self.accept())
    }

    /// Registers a phone with a call manager that shows this certificate.
    fn registers(&self, certified: &Certified) {
        let mut phone = self.phone();
        let mut server = self.serve(certified);
        assert_eq!(next(&mut server).unwrap().id(), MessageId::REGISTER);
        let mut body = vec![0; 20];
        (body[0], body[12], body[16]) = (30, 60, 17);
        let ack = Frame::new(MessageId::REGISTER_ACK, 0, &body).unwrap();
        server.write_all(ack.as_bytes()).unwrap();
        assert_eq!(next(&mut phone.stream), Some(ack));
        let display = Frame::new(MessageId::DISPLAY_TEXT, 17, &[7; 60_000]).unwrap();
        for _ in 0..4 {
            server.write_all(display.as_bytes()).unwrap();
            assert_eq!(next(&mut phone.stream), Some(display.clone()));
            phone.stream.write_all(display.as_bytes()).unwrap();
            assert_eq!(next(&mut server), Some(display.clone()));
        }
        // Each end takes the other with it.
        drop(server);
        assert_eq!(next(&mut phone.stream), None);
    }

    /// A phone is cut off, since the call manager is not who it should be. Returns what the operator is told.
    fn refuses(&self, certified: &Certified) -> String {
        let mut phone = self.phone();
        let mut server = self.serve(certified);
        assert_eq!(next(&mut server), None, "it gets nothing of the phone's");
        assert_eq!(next(&mut phone.stream), None);
        self.appliance.wait_for("sccp", "connect_failed", 1);
        assert_eq!(self.appliance.counter("sccp", "connected"), 0);
        let events = self.appliance.events();
        events.into_iter().find(|event| event.kind == EventKind::CallManagerDown).unwrap().text
    }
}

fn register() -> Frame {
    let mut body = vec![0; 172];
    body[..DEVICE.len()].copy_from_slice(DEVICE.as_bytes());
    Frame::new(MessageId::REGISTER, 0, &body).unwrap()
}

fn call_manager(validity: Validity) -> (Authority, Certified) {
    let authority = Authority::new("call managers");
    let certified = authority.sign("cm-one", validity);
    (authority, certified)
}

#[test]
fn call_manager_is_known_by_its_own_certificate_and_sees_ours() {
    for validity in [Validity::Now, Validity::Past] {
        let (_, certified) = call_manager(validity);
        let stage = stage(&certified.certificate.pem(), "");
        stage.registers(&certified);
        assert_eq!(stage.appliance.counter("sccp", "connected"), 1);
    }
}

#[test]
fn call_manager_is_known_by_its_authority_and_name() {
    let (authority, certified) = call_manager(Validity::Now);
    stage(&authority.pem()[0], "certificate_name = \"pinhole.example\"").registers(&certified);
}

#[test]
fn call_manager_that_is_another_gets_nothing() {
    let (authority, certified) = call_manager(Validity::Now);
    let (_, others) = call_manager(Validity::Now);
    for (known, lines, shown) in [
        // Another's; of the same authority, which says nothing without a name; of another name; out of date.
        (certified.certificate.pem(), "", &others),
        (authority.pem()[0].clone(), "", &certified),
        (authority.pem()[0].clone(), "certificate_name = \"cm-two.example\"", &certified),
        (authority.pem()[0].clone(), "certificate_name = \"pinhole.example\"", &others),
        (
            authority.pem()[0].clone(),
            "certificate_name = \"pinhole.example\"",
            &authority.sign("cm-one", Validity::Past),
        ),
    ] {
        let told = stage(&known, lines).refuses(shown);
        assert!(told.contains("its certificate is not the one"), "{told}");
    }
}

#[test]
fn call_manager_that_speaks_in_the_clear_gets_nothing() {
    let (_, certified) = call_manager(Validity::Now);
    let stage = stage(&certified.certificate.pem(), "");
    let mut phone = stage.phone();
    let mut server = stage.accept();
    server.write_all(Frame::keep_alive_ack().unwrap().as_bytes()).unwrap();
    assert_eq!(next(&mut phone.stream), None);
    let mut seen = Vec::new();
    let _ = server.read_to_end(&mut seen);
    assert_eq!(seen.first(), Some(&0x16), "a handshake");
    assert!(!seen.windows(6).any(|part| part == &DEVICE.as_bytes()[..6]));
    stage.appliance.wait_for("sccp", "connect_failed", 1);
}

#[test]
fn certificate_of_a_call_manager_is_read_again() {
    let (_, before) = call_manager(Validity::Now);
    let (_, after) = call_manager(Validity::Now);
    let stage = stage(&before.certificate.pem(), "");
    stage.registers(&before);
    std::fs::write(&stage.known, after.certificate.pem()).unwrap();
    stage.appliance.reload();
    stage.registers(&after);
}

#[test]
fn call_manager_sees_a_certificate_in_each_phones_name() {
    let (_, certified) = call_manager(Validity::Now);
    let authority = Authority::new("phones of the appliance");
    let directory = tempfile::tempdir().unwrap();
    let files = ["certificate", "key"].map(|name| directory.path().join(name));
    files.iter().zip(authority.pem()).for_each(|(file, pem)| std::fs::write(file, pem).unwrap());
    let [certificate, key] = files.map(|file| file.display().to_string());
    // The authority is the cluster's, so it stands before its call managers.
    let known = directory.path().join("call-manager.pem");
    std::fs::write(&known, certified.certificate.pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = listener.local_addr().unwrap();
    let setting = format!("call_manager = \"{address}\"\nauthority = \"{}\"", known.display());
    let of_phones = format!(
        "devices = \"^SEP\"\nphone_authority = {{ certificate = \"{certificate}\", key = \"{key}\" }}"
    );
    let appliance = Appliance::start_changed(&[
        ("call_manager = \"10.20.0.10:2000\"", &setting),
        ("devices = \"^SEP\"", &of_phones),
    ]);
    let stage = Stage { call_manager: listener, appliance, known, _directory: directory };
    for device in ["SEP0010DB000001", "SEP0010DB000002", "SEP0010DB000001"] {
        let phone = stage.appliance.authority.sign(device, Validity::Now);
        let mut phone = stage.appliance.phone_at(stage.appliance.sccp[0], Some(&phone));
        let keep_alive = Frame::new(MessageId::KEEP_ALIVE, 0, &[]).unwrap();
        phone.stream.write_all(keep_alive.as_bytes()).unwrap();
        let mut server = stage.serve_to(&certified, &authority);
        assert_eq!(next(&mut server), Some(keep_alive));
        let shown = &server.conn.peer_certificates().unwrap()[0];
        let shown = openssl::x509::X509::from_der(shown).unwrap();
        let name = shown.subject_name().entries().next().unwrap().data().as_slice().to_vec();
        assert_eq!(name, device.as_bytes());
    }
}
