//! A phone that comes from another shard, with what it has said meanwhile.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pinhole_admin::SecurityClass;
use pinhole_legacy_tls::{CipherSuite, Version};
use pinhole_provisioning::phones::Connections;
use pinhole_proxy::DeviceName;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::connection::{Phone, Place, Speech, Stage};
use super::mailbox::ToShard;
use super::wire::Wire;
use crate::Process;
use crate::config::Config;
use crate::tls::Legacy;

const DEVICE: &str = "SEP0010DB000001";
const INVITE: &str = "INVITE sip:2001@pinhole.example SIP/2.0\r\nVia: SIP/2.0/TLS 192.168.77.11:5061;branch=z9hG4bK1\r\n\
    Max-Forwards: 70\r\nFrom: <sip:1001@lab.example>;tag=a\r\nTo: <sip:2001@lab.example>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
    Contact: <sip:1001@192.168.77.11:5061;transport=tls>\r\nContent-Type: application/sdp\r\nContent-Length: 108\r\n\r\n\
    v=0\r\no=- 1 1 IN IP4 192.168.77.11\r\ns=-\r\nc=IN IP4 192.168.77.11\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\na=sendrecv\r\n";

/// A process of one shard, its folder, and the device's certificate, DER.
fn start() -> (Process, TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(vec![]).unwrap());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "phones");
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let signed = |name: &str| {
        let mut params = CertificateParams::new(vec!["pinhole.example".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &issuer).unwrap(), key.serialize_pem())
    };
    let (server, key) = signed("pinhole.example");
    for (file, text) in [("ca.crt", authority), ("server.crt", server.pem()), ("server.key", key)] {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let here = format!("127.{}.{middle}.{low}", 128 + high % 64);
    let provisioning = format!(
        "[provisioning]\ndirectory = \"/etc/pinhole/provisioning\"\n[provisioning.phones]\ntrust_list_first = false\n\
         [provisioning.tftp]\nsingle_port = true\nlisten = \"{here}:6900\"\n[[cluster]]\n"
    );
    let cluster = "devices = \"^SEP\"\ntftp_server = \"127.0.0.1:9\"\nauthenticated_devices = \"allow\"\n\
                   [[cluster.rewrite.call_manager]]\ninside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\n";
    let text = include_str!("../config/example.toml")
        .replace("[[cluster]]\n", &provisioning)
        .replace("devices = \"^SEP\"\n", cluster)
        .replace("/etc/pinhole", folder.path().to_str().unwrap())
        .replace("/run/pinhole", folder.path().to_str().unwrap())
        .replace(
            "max_sessions",
            &format!("socket = \"{}/absent.sock\"\nmax_sessions", folder.path().display()),
        )
        .replace("203.0.113.5:", &format!("{here}:"))
        .replace("10.20.0.5:5060", &format!("{here}:5060"))
        .replace("10.20.0.10:5060", "127.0.0.2:5060")
        .replace("shards = 2", "shards = 1");
    let file = folder.path().join("pinhole.toml");
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&file).unwrap();
    let process = Process::start(config, &file, Duration::ZERO, Arc::default()).unwrap();
    (process, folder, signed(DEVICE).0.der().to_vec())
}

/// What the phone reads that was admitted as *authenticated* and has begun a call in the clear, when it has come to its home
/// after its class has become this.
fn reads(class: SecurityClass) -> Vec<u8> {
    let (process, _folder, certificate) = start();
    let (shared, now) = (&process.shared, SystemTime::now());
    let office = shared.office.as_ref().unwrap();
    let peer: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    let device = DEVICE.parse().unwrap();
    office.phones.allow(device, SecurityClass::Authenticated, now).unwrap();
    let identity = shared.tls().sip.trust().judge(&[&certificate], now).unwrap();
    let session = office.admit(&identity, Connections::One, peer).unwrap();
    let (mut far, near) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    far.write_all(INVITE.as_bytes()).unwrap();
    let wire = Wire::clear(near, Place::take(&Arc::default(), 1).unwrap());
    let tls = Box::new(Legacy::new(identity, Version::Tls12, CipherSuite::Aes128Sha, 65_536));
    let speech = Speech::sip_at(shared.config.outside.listen, 65_536);
    let mut phone = Phone::new(wire, peer, tls, None, speech);
    (phone.session, phone.stage) = (session, Stage::Bound(DeviceName::new(DEVICE).unwrap()));
    office.phones.allow(device, class, now).unwrap();
    assert!(shared.shards.get().unwrap()[0].send(ToShard::Phone(Box::new(phone))));
    let mut read = vec![0; 11];
    // Closed with what it said unread.
    let length = match far.read(&mut read) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
        other => other.unwrap(),
    };
    read.truncate(length);
    assert!(process.stop());
    read
}

#[test]
fn nothing_counts_that_a_phone_said_in_a_class_that_it_has_lost_on_its_way_between_shards() {
    assert_eq!(reads(SecurityClass::Authenticated), b"SIP/2.0 100");
    assert_eq!(reads(SecurityClass::Encrypted), b"");
}
