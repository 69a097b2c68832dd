//! Every message in every version, cut off and lengthened: what passes the proxy is as it came but for what has to be changed.

use std::ops::Range;

use pinhole_sccp::{Frame, MessageId, Sender};

use super::stage::*;
use crate::stage::PHONE_A;

#[path = "../../../../sccp/tests/common/mod.rs"]
mod sheet;

const LENGTHS: [usize; 30] = [
    0, 3, 4, 8, 12, 16, 17, 20, 24, 28, 32, 36, 40, 44, 47, 60, 68, 76, 100, 116, 124, 128, 132, 168, 184,
    192, 280, 360, 384, 413,
];

/// Where the proxy may change a message.
fn touched(id: MessageId, version: u32) -> Vec<Range<usize>> {
    let of = |fields: &[&str]| fields.iter().flat_map(|field| sheet::places(id.0, version, field)).collect();
    let at = |places: &[(usize, usize)]| places.iter().map(|(from, to)| *from..*to).collect();
    match id {
        MessageId::OPEN_RECEIVE_CHANNEL
        | MessageId::START_MEDIA_TRANSMISSION
        | MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL
        | MessageId::START_MULTIMEDIA_TRANSMISSION => of(&["endpoint", "encryption"]),
        MessageId::OPEN_RECEIVE_CHANNEL_ACK
        | MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL_ACK
        | MessageId::START_MEDIA_TRANSMISSION_ACK
        | MessageId::START_MULTIMEDIA_TRANSMISSION_ACK => of(&["endpoint", "status"]),
        MessageId::PORT_RESPONSE => of(&["endpoint", "rtcp"]),
        MessageId::MEDIA_TRANSMISSION_FAILURE => of(&["endpoint"]),
        MessageId::REGISTER => at(&[(24, 28), (72, 88)]),
        MessageId::REGISTER_TOKEN_REQ => at(&[(24, 28), (32, 48)]),
        MessageId::SPCP_REGISTER_TOKEN_REQ => at(&[(24, 28)]),
        MessageId::ALARM => at(&[(88, 92)]),
        MessageId::SERVER_RES if version >= 17 => at(&[(0, 360)]),
        MessageId::SERVER_RES => at(&[(0, 280)]),
        MessageId::CALL_INFO => at(&[(376, 380)]),
        MessageId::CALL_INFO_DYNAMIC => at(&[(24, 28)]),
        _ => Vec::new(),
    }
}

/// A message of the channels that are open, as long as that, with another word in each place that means nothing.
fn message(id: MessageId, version: u32, length: usize) -> Frame {
    let whole = sheet::frame(id.0, version, &sheet::body(420));
    let mut whole = whole;
    if let Some(mut channel) = whole.channel_mut() {
        let _ = channel.set_call(7);
        let _ = channel.set_party(0x107);
        let _ = channel.set_endpoint(FAR.parse().unwrap());
        let _ = channel.clear_encryption();
    }
    let mut bytes = whole.body()[..length].to_vec();
    if whole.registration().is_some() && length >= 16 {
        bytes[..16].fill(0);
        bytes[..PHONE_A.len()].copy_from_slice(PHONE_A.as_bytes());
    }
    frame(id, version, &bytes)
}

#[test]
fn what_passes_is_as_it_came_but_for_what_must_be_changed() {
    let (mut passed, mut changed) = (0_u32, 0_u32);
    for id in MessageId::NAMED.iter().copied().chain([MessageId(0x7777)]) {
        let of_media = message(id, 17, 400).channel().is_some();
        for version in 0..=22 {
            let allowed = touched(id, version);
            let mut stage = Stage::registered();
            for length in LENGTHS {
                if of_media || !allowed.is_empty() {
                    stage = Stage::registered();
                }
                if of_media {
                    stage.talk(1, 7);
                }
                let sent = message(id, version, length);
                let seen = if id.sender() == Some(Sender::Phone) {
                    stage.phone_sends(1, sent.clone());
                    stage.server.pop_front()
                } else {
                    stage.server_sends(1, sent.clone());
                    stage.phone.pop_front()
                };
                let Some((_, seen)) = seen else { continue };
                passed += 1;
                changed += u32::from(seen != sent);
                assert_eq!((seen.id(), seen.version()), (id, version));
                let (before, after) = (sent.body(), seen.body());
                let strays = |at: &usize| !allowed.iter().any(|place| place.contains(at));
                let stray = (0..length.min(after.len())).filter(|at| before[*at] != after[*at]).find(strays);
                assert_eq!(stray, None, "{length} bytes of {id} in {version}: {sent:?} became {seen:?}");
                // Only a key makes a message longer.
                let keyed = seen.channel().is_some_and(|channel| channel.encryption().is_ok());
                assert!(after.len() == length || (keyed && after.len() > length), "{sent:?} became {seen:?}");
            }
        }
    }
    assert!(passed > 90_000 && changed > 3_000, "{passed} passed, {changed} of them changed");
}
