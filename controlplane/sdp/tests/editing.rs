//! Reading and editing session descriptions.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use pinhole_sdp::{Direction, Limits, SdpError, SessionDescription, attribute};
use proptest::prelude::*;
use proptest::sample::Index;

const OFFER: &[u8] = b"v=0\r\no=Cisco-SIPUA 27451 0 IN IP4 192.168.77.11\r\ns=SIP Call \xe9\r\nc=IN IP4 192.168.77.11\r\nb=AS:4064\r\nt=0 0\r\na=cisco-mari:v1\r\na=sendonly\r\na=group:BUNDLE a v\r\n\
m=audio 16384  RTP/SAVP 0 8 101\r\ni=speech\r\na=crypto:1 F8_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp:53020 IN IP4 126.16.64.4\r\na=RTCP-mux\r\na=candidate:1 1 UDP 2130706431 192.168.77.11 16384 typ host\r\na=ice-ufrag:x\r\na=setup:actpass\r\na=fingerprint:sha-256 AA:BB\r\na=sendrecv\r\n\
m=video 0/2 RTP/AVP 31\r\nc=IN IP6 ff15::101/3\r\nb=TIAS:1000\r\n\
m=application 5070 UDP/BFCP *\r\na=floorctrl:c-s\r\n\r\n";

fn parse(bytes: &[u8]) -> SessionDescription {
    SessionDescription::parse(bytes, &Limits::default()).unwrap()
}

fn refuse(text: &str) -> SdpError {
    SessionDescription::parse(text.as_bytes(), &Limits::default()).unwrap_err()
}

fn ours() -> IpAddr {
    IpAddr::from([10, 20, 0, 5])
}

#[test]
fn untouched_description_is_identical() {
    assert_eq!(parse(OFFER).to_bytes(), OFFER);
    let bare: Vec<u8> = OFFER.iter().copied().filter(|byte| *byte != b'\r').collect();
    assert_eq!(parse(&bare).to_bytes(), bare);
    let unterminated = b"v=0\r\no=- 1 1 IN IP4 h\ns=-";
    assert_eq!(parse(unterminated).to_bytes(), unterminated);
}

#[test]
fn lines_are_read() {
    let sdp = parse(OFFER);
    let origin = sdp.origin().unwrap();
    assert_eq!((origin.session_id.as_str(), origin.address.as_str()), ("27451", "192.168.77.11"));
    let [audio, video, bfcp] = sdp.media() else { panic!("three sections") };
    assert_eq!((audio.kind(), audio.port(), audio.proto()), ("audio", 16384, "RTP/SAVP"));
    assert_eq!(audio.formats(), ["0", "8", "101"]);
    assert!(audio.is_srtp() && audio.is_rtp() && audio.rtcp_mux());
    assert_eq!(audio.rtcp().unwrap().unwrap().port, 53020);
    assert_eq!(audio.rtcp().unwrap().unwrap().connection.unwrap().address, "126.16.64.4");
    assert_eq!((video.port(), video.port_count(), video.is_srtp()), (0, Some(2), false));
    assert_eq!((bfcp.kind(), bfcp.proto(), bfcp.is_rtp()), ("application", "UDP/BFCP", false));
    assert_eq!(sdp.connection_of(0).unwrap().ip(), Some(IpAddr::from([192, 168, 77, 11])));
    assert_eq!(sdp.connection_of(1).unwrap().address, "ff15::101");
    assert_eq!(sdp.connection_of(3), Err(SdpError::NoConnection));
    assert_eq!(
        [0, 1, 2].map(|index| sdp.direction_of(index)),
        [Direction::SendRecv, Direction::SendOnly, Direction::SendOnly]
    );
}

#[test]
fn refused_crypto_line_leaves_the_others() {
    let cryptos = parse(OFFER).media()[0].cryptos();
    let [first, second] = cryptos.as_slice() else { panic!("two lines") };
    assert!(first.as_ref().unwrap_err().to_string().contains("F8_128_HMAC_SHA1_80"));
    assert_eq!(second.as_ref().unwrap().tag, 2);
}

#[test]
fn readdressing_changes_only_what_says_where_media_goes() {
    let mut sdp = parse(OFFER);
    sdp.set_origin_address(ours());
    sdp.set_connection(ours());
    sdp.remove_attributes(attribute::GROUPING);
    let audio = &mut sdp.media_mut()[0];
    audio.set_transport(ours(), 20000, "RTP/AVP");
    audio.remove_keying();
    let expected = b"v=0\r\no=Cisco-SIPUA 27451 0 IN IP4 10.20.0.5\r\ns=SIP Call \xe9\r\nc=IN IP4 10.20.0.5\r\nb=AS:4064\r\nt=0 0\r\na=cisco-mari:v1\r\na=sendonly\r\n\
m=audio 20000 RTP/AVP 0 8 101\r\ni=speech\r\nc=IN IP4 10.20.0.5\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n\
m=video 0/2 RTP/AVP 31\r\nc=IN IP6 ff15::101/3\r\nb=TIAS:1000\r\n\
m=application 5070 UDP/BFCP *\r\na=floorctrl:c-s\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&sdp.to_bytes()), String::from_utf8_lossy(expected));
}

#[test]
fn one_crypto_line_replaces_all() {
    let mut sdp = parse(OFFER);
    let crypto = pinhole_sdp::crypto::Attribute::new(2, "AES_CM_128_HMAC_SHA1_32", &[7; 30]).unwrap();
    sdp.media_mut()[0].set_cryptos(std::slice::from_ref(&crypto));
    let again = parse(&sdp.to_bytes());
    assert_eq!(again.media()[0].cryptos(), [Ok(crypto)]);
}

#[test]
fn direction_is_set_in_its_place() {
    let mut sdp = parse(OFFER);
    sdp.media_mut()[0].set_direction(Direction::Inactive);
    sdp.media_mut()[2].set_direction(Direction::RecvOnly);
    let text = String::from_utf8_lossy(&sdp.to_bytes()).into_owned();
    assert!(text.contains("a=fingerprint:sha-256 AA:BB\r\na=inactive\r\nm=video"));
    // Before the empty line at the end.
    assert!(text.ends_with("a=floorctrl:c-s\r\na=recvonly\r\n\r\n"));
}

#[test]
fn disabled_section_keeps_its_place() {
    let mut sdp = parse(OFFER);
    sdp.media_mut()[0].disable();
    let again = parse(&sdp.to_bytes());
    assert_eq!(again.media().len(), 3);
    assert_eq!(again.media()[0].port(), 0);
    assert!(again.media()[0].cryptos().is_empty());
}

#[test]
fn hold_of_old_is_recognised() {
    let sdp = parse(b"v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 0\r\n");
    assert!(sdp.connection_of(0).unwrap().is_unspecified());
}

#[test]
fn attribute_after_an_unterminated_line_begins_a_new_line() {
    let mut sdp = parse(b"v=0\no=- 1 1 IN IP4 h\ns=-\nm=audio 1 RTP/AVP 0");
    sdp.media_mut()[0].add_attribute("x", "y\r\na=injected");
    assert_eq!(sdp.to_bytes(), b"v=0\no=- 1 1 IN IP4 h\ns=-\nm=audio 1 RTP/AVP 0\r\na=x:y  a=injected\r\n");
}

#[test]
fn broken_descriptions_are_refused() {
    assert_eq!(refuse(""), SdpError::Version);
    assert_eq!(refuse("s=-\r\n"), SdpError::Version);
    assert_eq!(refuse("v=1\r\n"), SdpError::Version);
    assert_eq!(refuse("m=audio 1 RTP/AVP 0\r\n"), SdpError::Version);
    assert_eq!(refuse("v=0\r\ns=-\r\n"), SdpError::Origin);
    assert_eq!(refuse("v=0\r\no=too short\r\n"), SdpError::Origin);
    for line in ["junk", " a=x", "=x", "a x", "1=2", "a=x\ry", "a=x\0"] {
        assert_eq!(refuse(&format!("v=0\r\no=- 1 1 IN IP4 h\r\n{line}\r\n")), SdpError::Line(3), "{line:?}");
    }
    for media in [
        "",
        "audio",
        "audio 1",
        "audio x RTP/AVP 0",
        "audio 65536 RTP/AVP 0",
        "audio 1/x RTP/AVP 0",
        "audio +1 RTP/AVP 0",
    ] {
        assert_eq!(
            refuse(&format!("v=0\r\no=- 1 1 IN IP4 h\r\nm={media}\r\n")),
            SdpError::Media(1),
            "{media}"
        );
    }
    for line in ["v=0", "o=- 1 1 IN IP4 h", "c=IN IP4 h"] {
        let kind = line.chars().next().unwrap();
        let text = format!("v=0\r\no=- 1 1 IN IP4 h\r\nc=IN IP4 h\r\n{line}\r\n");
        assert_eq!(refuse(&text), SdpError::Repeated { line: 4, kind });
    }
    for connection in ["", "IN IP4", "IN IP5 h", "ATM IP4 h", "IN IP4 /1", "IN IP4 h x"] {
        let sdp =
            parse(format!("v=0\r\no=- 1 1 IN IP4 h\r\nc={connection}\r\nm=audio 1 RTP/AVP\r\n").as_bytes());
        assert_eq!(sdp.connection_of(0), Err(SdpError::Connection), "{connection}");
    }
}

#[test]
fn every_limit_holds() {
    let limits = Limits { bytes: 400, lines: 20, line: 40, media: 3 };
    let parse = |text: &str| {
        SessionDescription::parse(format!("v=0\r\no=- 1 1 IN IP4 h\r\n{text}").as_bytes(), &limits).map(drop)
    };
    assert_eq!(parse(&"m=a 1 p\r\n".repeat(3)), Ok(()));
    assert_eq!(parse(&"m=a 1 p\r\n".repeat(4)), Err(SdpError::TooManyMedia(3)));
    assert_eq!(parse(&"a=\r\n".repeat(19)), Err(SdpError::TooManyLines(20)));
    assert_eq!(
        parse(&format!("a={}\r\n", "x".repeat(39))),
        Err(SdpError::LineTooLong { line: 3, limit: 40 })
    );
    assert_eq!(parse(&"x".repeat(400)), Err(SdpError::TooLong(400)));
}

#[test]
fn debug_shows_no_keys() {
    let mut sdp = parse(OFFER);
    sdp.add_attribute("acap", "1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET");
    sdp.add_attribute("key-mgmt", "mikey SECRET");
    sdp.add_attribute("Crypto ", "SECRET");
    sdp.media_mut()[1].add_attribute("crypto", "SECRET");
    let debug = format!("{sdp:?}");
    assert!(!debug.contains("WVNf") && !debug.contains("SECRET"), "{debug}");
    sdp.remove_keying();
    sdp.media_mut().iter_mut().for_each(pinhole_sdp::MediaSection::remove_keying);
    let text = String::from_utf8_lossy(&sdp.to_bytes()).into_owned();
    assert!(!text.contains("WVNf") && !text.contains("SECRET") && !text.contains("fingerprint"), "{text}");
}

/// Lines near SDP, and the offer with random damage.
fn near_sdp() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<Index>(), any::<u8>(), 0_u8..3), 0..6);
    prop_oneof![
        "(v=0\r?\no=- 1 1 IN IP4 h\r?\n)?([a-z]=[ -~]{0,20}\r?\n|m=audio [0-9]{1,5}(/[0-9])? RTP/S?AVP( [0-9]{1,3}){0,3}\r\n|a=crypto:[ -~]{0,20}\n){0,12}"
            .prop_map(String::into_bytes),
        damage.prop_map(|damage| {
            let mut bytes = OFFER.to_vec();
            for (index, byte, kind) in damage {
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, b"\r\n:=a 0"[usize::from(byte) % 7]),
                    _ => drop(bytes.remove(at)),
                }
            }
            bytes
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_written_back(bytes in near_sdp()) {
        if let Ok(sdp) = SessionDescription::parse(&bytes, &Limits::default()) {
            prop_assert_eq!(sdp.to_bytes(), bytes);
            for (index, section) in sdp.media().iter().enumerate() {
                let _ = (section.cryptos(), section.rtcp(), section.connection(), sdp.connection_of(index), sdp.direction_of(index));
            }
        }
    }

    #[test]
    fn edits_of_one_section_leave_the_rest(bytes in near_sdp(), index in any::<Index>(), port in any::<u16>()) {
        let Ok(mut sdp) = SessionDescription::parse(&bytes, &Limits::default()) else { return Ok(()) };
        if sdp.media().is_empty() {
            return Ok(());
        }
        let index = index.index(sdp.media().len());
        let before = sdp.clone();
        let section = &mut sdp.media_mut()[index];
        section.set_transport(ours(), port, "RTP/AVP");
        section.remove_keying();
        section.set_direction(Direction::SendOnly);
        section.add_attribute("last", "");
        let again = SessionDescription::parse(&sdp.to_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!(again.media().len(), before.media().len());
        prop_assert_eq!(again.origin(), before.origin());
        for (other, (old, new)) in before.media().iter().zip(sdp.media()).enumerate() {
            prop_assert!(other == index || old == new);
        }
        let section = &again.media()[index];
        prop_assert_eq!((section.port(), section.proto()), (port, "RTP/AVP"));
        prop_assert_eq!(section.kind(), before.media()[index].kind());
        prop_assert_eq!(section.formats(), before.media()[index].formats());
        prop_assert_eq!(again.connection_of(index).unwrap().ip(), Some(ours()));
        prop_assert_eq!(section.direction(), Some(Direction::SendOnly));
        prop_assert!(section.cryptos().is_empty() && section.has_attribute("last"));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = SessionDescription::parse(&bytes, &Limits::default());
    }
}
