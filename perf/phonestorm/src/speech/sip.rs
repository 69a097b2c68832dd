//! REGISTER and its answer (RFC 3261 section 10), and the ping of RFC 5626 section 4.4.1.

use std::net::SocketAddr;

use super::Heard;

/// What a registrar repeats of a request.
const REPEATED: [&str; 5] = ["via:", "from:", "call-id:", "cseq:", "contact:"];

pub(super) fn register(device: &str, own: SocketAddr) -> Vec<u8> {
    format!(
        "REGISTER sip:registrar.example SIP/2.0\r\n\
         Via: SIP/2.0/TLS {own};branch=z9hG4bK{device}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:{device}@registrar.example>;tag={device}\r\n\
         To: <sip:{device}@registrar.example>\r\n\
         Call-ID: {device}@phones.example\r\n\
         CSeq: 1 REGISTER\r\n\
         Contact: <sip:{device}@{own};transport=tls>;expires=3600\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

pub(super) fn hear(came: &mut Vec<u8>) -> Option<Heard> {
    if came.starts_with(b"\r\n") {
        came.drain(..2);
        return Some(Heard::Alive);
    }
    let end = came.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let message: Vec<u8> = came.drain(..end).collect();
    // Registrations are answered without a body.
    Some(match message.strip_prefix(b"SIP/2.0 ").and_then(|rest| rest.first()) {
        Some(b'2') => Heard::Registered,
        Some(b'3'..=b'6') => Heard::Refused,
        _ => Heard::Other,
    })
}

/// What a registrar says to a datagram; `None`: nothing.
pub fn answer(datagram: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(datagram).ok().filter(|text| text.starts_with("REGISTER "))?;
    let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
    for line in text.lines().take_while(|line| !line.is_empty()) {
        let name = line.to_ascii_lowercase();
        if REPEATED.iter().any(|repeated| name.starts_with(repeated)) {
            answer += &format!("{line}\r\n");
        } else if name.starts_with("to:") {
            answer += &format!("{line};tag=registrar\r\n");
        }
    }
    answer += "Content-Length: 0\r\n\r\n";
    Some(answer.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_are_granted_and_pings_answered() {
        let own = "198.51.100.7:5061".parse().unwrap();
        let mut came = answer(&register("SEP0010DB000001", own)).unwrap();
        let text = String::from_utf8(came.clone()).unwrap();
        assert!(text.contains("To: <sip:SEP0010DB000001@registrar.example>;tag=registrar\r\n"), "{text}");
        assert!(text.contains("CSeq: 1 REGISTER\r\n"), "{text}");
        came.extend(b"\r\n");
        let last = came.split_off(came.len() - 3);
        assert_eq!(hear(&mut came), None);
        came.extend(last);
        assert_eq!([hear(&mut came), hear(&mut came)], [Some(Heard::Registered), Some(Heard::Alive)]);
        assert_eq!(answer(b"OPTIONS sip:registrar.example SIP/2.0\r\n\r\n"), None);
    }
}
