//! A packaged TFTP server as call manager, and readers of what is signed, by their own code.

use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use openssl::hash::MessageDigest;
use openssl::sign::Verifier;
use openssl::x509::X509;

pub const DEVICE: &str = "SEP0010DB000001";

pub const CONFIGURATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<device>
<deviceSecurityMode>1</deviceSecurityMode>
<transportLayerProtocol>2</transportLayerProtocol>
<devicePool><callManagerGroup><members><member priority="0"><callManager>
<ports><ethernetPhonePort>2000</ethernetPhonePort><sipPort>5060</sipPort><securedSipPort>5061</securedSipPort></ports>
<processNodeName>10.20.0.10</processNodeName>
</callManager></member></members></callManagerGroup></devicePool>
<vendorConfig><webAccess>0</webAccess></vendorConfig>
<ourOwn><kept a="1"/></ourOwn>
</device>
"#;

/// A packaged TFTP server with the call manager's files; ended when dropped.
pub struct CallManager {
    pub child: Child,
    pub port: u16,
    pub folder: tempfile::TempDir,
}

impl CallManager {
    pub fn start() -> Self {
        Self::serving(serve).with_files()
    }

    /// One that has none yet.
    pub fn without_files() -> Self {
        Self::serving(serve)
    }

    /// One that gives them by HTTP.
    pub fn start_by_http() -> Self {
        Self::serving(serve_http).with_files()
    }

    fn serving(serve: impl Fn(&Path, u16) -> Child) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let port = free_udp(1);
        let child = serve(folder.path(), port);
        Self { child, port, folder }
    }

    fn with_files(self) -> Self {
        let folder = self.folder.path();
        std::fs::write(folder.join(format!("{DEVICE}.cnf.xml")), CONFIGURATION).unwrap();
        std::fs::write(folder.join("CTLFile.tlv"), b"the call manager's own").unwrap();
        std::fs::write(folder.join("Ringlist.xml"), b"<CiscoIPPhoneRingList/>").unwrap();
        self
    }

    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for CallManager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn serve(folder: &Path, port: u16) -> Child {
    Command::new("/usr/sbin/in.tftpd")
        .args(["--foreground", "--user", "root", "--secure", "--address", &format!("127.0.0.1:{port}")])
        .arg(folder)
        .stdin(Stdio::null())
        .spawn()
        .expect("the Debian package tftpd-hpa is needed, and root (scripts/test installs it)")
}

pub fn serve_http(folder: &Path, port: u16) -> Child {
    let child = Command::new("/usr/bin/python3")
        .args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the Debian package python3 is needed (scripts/test installs it)");
    super::eventually(|| TcpStream::connect(("127.0.0.1", port)).is_ok(), "the server listens");
    child
}

/// The first of so many UDP ports that nobody has, at most 32. Tests run side by side, in one process or in many.
pub fn free_udp(many: u16) -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    for _ in 0..500 {
        // Processes that start one after the other have blocks that are not next to each other.
        let block =
            (std::process::id() as u16).wrapping_mul(8).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed))
                % 900;
        let first = 33_000 + 32 * block;
        let bound: Result<Vec<_>, _> =
            (first..first + many).map(|port| UdpSocket::bind(("127.0.0.1", port))).collect();
        if bound.is_ok() {
            return first;
        }
    }
    panic!("no free ports");
}

/// The header's tags with their values, the header's length, and the file without the signature's TLV.
pub struct Signed {
    pub tags: Vec<(u8, Vec<u8>)>,
    pub content: Vec<u8>,
    pub signed: Vec<u8>,
    pub signature: Vec<u8>,
}

/// Reads the header of trust-files 2.1.2, by its own code.
pub fn signed(file: &[u8]) -> Signed {
    let u16_at = |at: usize| usize::from(file[at]) << 8 | usize::from(file[at + 1]);
    assert_eq!(file[5], 2, "the second tag is the header's length");
    let header = u16_at(8);
    let (mut at, mut tags, mut cut) = (0, Vec::new(), 0..0);
    while at < header {
        if file[at] == 13 {
            at += 1;
            continue;
        }
        let (tag, len) = (file[at], u16_at(at + 1));
        if tag == 12 {
            cut = at..at + 3 + len;
        }
        // Containers are entered.
        if ![3, 7, 9].contains(&tag) {
            tags.push((tag, file[at + 3..at + 3 + len].to_vec()));
            at += len;
        }
        at += 3;
    }
    let signature = file[cut.start + 3..cut.end].to_vec();
    let signed = [&file[..cut.start], &file[cut.end..]].concat();
    Signed { tags, content: file[header..].to_vec(), signed, signature }
}

impl Signed {
    pub fn tag(&self, wanted: u8) -> &[u8] {
        &self.tags.iter().find(|(tag, _)| *tag == wanted).expect("the tag is there").1
    }

    /// The certificates of a trust list's records, with their functions.
    pub fn certificates(&self) -> Vec<(u16, X509)> {
        let (mut at, mut found) = (0, Vec::new());
        while at < self.content.len() {
            let end = at + (usize::from(self.content[at + 3]) << 8 | usize::from(self.content[at + 4]));
            let (mut function, mut certificate) = (None, None);
            while at < end {
                let len = usize::from(self.content[at + 1]) << 8 | usize::from(self.content[at + 2]);
                let value = &self.content[at + 3..at + 3 + len];
                match self.content[at] {
                    4 => function = Some(u16::from_be_bytes([value[0], value[1]])),
                    9 => certificate = Some(X509::from_der(value).unwrap()),
                    _ => {}
                }
                at += 3 + len;
            }
            found.push((function.unwrap(), certificate.unwrap()));
        }
        found
    }

    pub fn is_of(&self, certificate: &X509) -> bool {
        let key = certificate.public_key().unwrap();
        let mut verifier = Verifier::new(MessageDigest::sha1(), &key).unwrap();
        verifier.update(&self.signed).unwrap();
        verifier.verify(&self.signature).unwrap_or(false)
    }
}
