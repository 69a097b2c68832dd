//! Security classes of devices: from the secure-phone database to signalling, and where they may not be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "only tests use what is here")]

mod common;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use common::{Appliance, Certified, Phone, Validity, eventually};
use pinhole_admin::{Client, EventKind, Request, Response, SecurityClass};
use pinhole_provisioning::Counters;
use pinhole_provisioning::phones::{PhonePolicy, Phones};

const SOFT: &str = "SEP0010DB000001";
const HARD: &str = "SEP0010DB000002";

/// Phones fetch from a cluster with this line.
fn start(line: &str, before: impl FnOnce(&Path)) -> Appliance {
    let provisioning = format!(
        "[provisioning]\ndirectory = \"/etc/pinhole/provisioning\"\n[provisioning.phones]\ntrust_list_first = false\n\
         [provisioning.tftp]\nsingle_port = true\nlisten = \"{}\"\n[[cluster]]\n",
        common::free_address()
    );
    let cluster = format!(
        "devices = \"^SEP\"\ntftp_server = \"127.0.0.1:9\"\n{line}\n[[cluster.rewrite.call_manager]]\n\
         inside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\n"
    );
    let changes = [
        ("[[cluster]]\n", provisioning.as_str()),
        ("devices = \"^SEP\"\n", cluster.as_str()),
        ("[identity.devices]\n", "[identity.devices]\nSEP0010DB000002 = [\"1002\"]\n"),
    ];
    Appliance::start_prepared(&changes, before)
}

fn allow(appliance: &Appliance, device: &str, class: Option<SecurityClass>) -> String {
    let client = Client::connect(&appliance.admin_socket).unwrap();
    match client.ask(Request::AllowPhone { device: device.into(), class }) {
        Ok(Response::Done(said)) => said,
        Err(refused) => refused.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The code that an offer of plain RTP is answered with first.
fn offers_in_the_clear(phone: &mut Phone, device: &str, call: u32) -> String {
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.168.77.11\r\ns=-\r\nc=IN IP4 192.168.77.11\r\nt=0 0\r\n\
               m=audio 30000 RTP/AVP 0\r\n";
    let user = if device == SOFT { "1001" } else { "1002" };
    let invite = format!(
        "INVITE sip:2001@pinhole.example SIP/2.0\r\nVia: SIP/2.0/TLS 192.168.77.11:5061;branch=z9hG4bK{call}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@lab.example>;tag=a\r\nTo: <sip:2001@lab.example>\r\nCall-ID: {call}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:{user}@192.168.77.11:5061;transport=tls>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    phone.stream.write_all(invite.as_bytes()).unwrap();
    let mut answer = [0; 11];
    phone.stream.read_exact(&mut answer).unwrap();
    String::from_utf8_lossy(answer.get(8..).unwrap()).into_owned()
}

fn shown(appliance: &Appliance, device: &str) -> serde_json::Value {
    match appliance.ask(Request::Provisioned { device: Some(device.into()) }) {
        Response::Provisioned(mut phones) => phones.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn class_of_a_device_is_that_of_its_media() {
    let appliance = start("authenticated_devices = \"allow\"", |_| ());
    let loud = |text: &str| text.contains("MEDIA IS IN THE CLEAR OUTSIDE") && text.contains("lab");
    let events = appliance.events();
    assert!(events.iter().any(|event| event.kind == EventKind::Warning && loud(&event.text)), "{events:?}");
    let said = allow(&appliance, SOFT, Some(SecurityClass::Authenticated));
    assert!(said.ends_with("class authenticated"), "{said}");
    let said = allow(&appliance, HARD, None);
    assert!(said.ends_with("class encrypted"), "{said}");
    let (mut soft, mut hard) = (appliance.device(SOFT), appliance.device(HARD));
    assert!(soft.is_served() && hard.is_served());
    assert_eq!(offers_in_the_clear(&mut soft, SOFT, 1), "100");
    assert_eq!(offers_in_the_clear(&mut hard, HARD, 2), "488");
    assert_eq!(appliance.counter("proxy", "offer_not_secure"), 1);
    // Allowed again without a class, it stays what it is.
    let said = allow(&appliance, SOFT, None);
    assert!(said.ends_with("class authenticated"), "{said}");
    assert_eq!(
        (shown(&appliance, SOFT)["class"].as_str(), shown(&appliance, SOFT)["stage"].as_str()),
        (Some("authenticated"), Some("authenticated"))
    );
    let said = allow(&appliance, SOFT, Some(SecurityClass::Encrypted));
    assert!(said.contains("have it restart"), "{said}");
    assert_eq!(shown(&appliance, SOFT)["connected_from"], serde_json::Value::Null);
    // Its connection ends without a word of it, and the other's does not.
    appliance.wait_for("tls", "session_over", 1);
    eventually(|| appliance.status().connections == 1, "closed");
}

/// A certificate of a device, for one that was forgotten before.
fn known(appliance: &Appliance, device: &str) -> Certified {
    appliance.authority.sign(device, Validity::Now)
}

#[test]
fn where_media_may_not_be_in_the_clear_no_device_becomes_authenticated_and_none_is_served() {
    let appliance = start("", |file| {
        let folder = file.parent().unwrap().join("provisioning");
        std::fs::create_dir_all(&folder).unwrap();
        let phones =
            Phones::open(&folder.join("phones.sqlite"), PhonePolicy::default(), Arc::<Counters>::default());
        let soft = SOFT.parse().unwrap();
        phones.unwrap().allow(soft, SecurityClass::Authenticated, SystemTime::now()).unwrap();
    });
    let said = allow(&appliance, HARD, Some(SecurityClass::Authenticated));
    assert!(said.contains("authenticated_devices = \"allow\" in [[cluster]] \"lab\""), "{said}");
    assert!(!appliance.events().iter().any(|event| event.text.contains("IN THE CLEAR")));
    let certified = known(&appliance, SOFT);
    assert!(!appliance.phone(Some(&certified)).is_served());
    eventually(|| appliance.counter("provisioning", "class_refused") == 1, "counted");
    assert!(shown(&appliance, SOFT)["timeline"].to_string().contains("class_refused"));
    allow(&appliance, SOFT, Some(SecurityClass::Encrypted));
    let mut phone = appliance.phone(Some(&certified));
    assert!(phone.is_served());
    assert_eq!(offers_in_the_clear(&mut phone, SOFT, 1), "488");
}
