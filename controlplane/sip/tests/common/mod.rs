//! Messages that several tests use.

#![allow(dead_code, reason = "each test crate uses what it needs")]

use pinhole_sip::{Limits, Message};

/// A request with folding, compact names, odd spacing, an unknown header with bytes that are no UTF-8, and a body.
pub const INVITE: &[u8] = b"INVITE sip:2001@lab.example;transport=tcp SIP/2.0\r\n\
Via: SIP/2.0/TLS 192.168.77.11:50001;branch=z9hG4bK776asdhds;rport\r\n\
v:  SIP / 2.0 / UDP  first.example.com: 4000;ttl=16\r\n ;maddr=224.2.0.1 ;branch=z9hG4bKa7c6a8dlze.1, SIP/2.0/TCP [2001:db8::9:1];branch=z9hG4bK87a\r\n\
Max-Forwards:70\r\n\
fRoM : \"J Rosenberg \\\\\\\"\" <sip:1001@lab.example;x=y>  ;tag=98asjd8\r\n\
t: <sip:2001@lab.example>\r\n\
Call-ID: a84b4c76e66710@192.168.77.11\r\n\
CSeq:\t0009  INVITE\r\n\
m: \"Quoted, string \\\"\\\"\" <sip:u-1@192.168.77.11:5060>;expires=3600 , <sip:b@c>\r\n\
X-Unknown-\x2bToken!:  caf\xe9 \xff;, <<\r\n\
Supported: replaces,X-cisco-srtp-fallback,\r\n\
c: application/sdp\r\n\
l: 0005\r\n\
\r\n\
v=0\r\n";

pub fn invite() -> Message {
    Message::parse(INVITE, &Limits::default()).unwrap()
}

/// A small request with extra header lines, without body and Content-Length.
pub fn options_with(lines: &str) -> Vec<u8> {
    format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
         Call-ID: 1@h\r\nCSeq: 1 OPTIONS\r\n{lines}\r\n"
    )
    .into_bytes()
}
