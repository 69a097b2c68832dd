//! What operators see of SCCP phones and their calls.

use pinhole_admin::{CallState, Direction};
use pinhole_sccp::{Frame, MessageId};

use super::stage::*;
use crate::stage::PHONE_A;

/// A CallState.
fn told(state: u32, call: u32) -> Frame {
    let words = [state, 1, call, 0, 0, 0].map(u32::to_le_bytes).concat();
    Frame::new(MessageId::CALL_STATE, 17, &words).unwrap()
}

/// The call manager says something to the phone.
fn tell(stage: &mut Stage, frame: Frame) {
    stage.server_sends(1, frame.clone());
    assert_eq!(stage.at_phone(), frame, "it passes as it is");
}

fn shown(stage: &Stage) -> Vec<(String, Direction, CallState)> {
    let calls = stage.proxy.calls(stage.now);
    assert_eq!(calls.len(), stage.proxy.call_count());
    let counted: u32 = stage.proxy.phones(stage.now).iter().map(|phone| phone.calls).sum();
    assert_eq!(counted as usize, calls.len(), "each call is one of its phone's");
    calls.into_iter().map(|call| (call.call_id, call.direction, call.state)).collect()
}

#[test]
fn call_is_shown_as_the_phone_is_told_of_it_with_and_without_media() {
    let mut stage = Stage::registered();
    let call = |direction, state| vec![("sccp-7".to_owned(), direction, state)];
    tell(&mut stage, told(1, 7));
    assert_eq!(shown(&stage), [], "a phone that is off hook has no call yet");
    tell(&mut stage, told(12, 7));
    tell(&mut stage, told(3, 7));
    assert_eq!(shown(&stage), call(Direction::FromPhone, CallState::Setup));
    tell(&mut stage, told(5, 7));
    stage.talk(1, 7);
    assert_eq!(shown(&stage), call(Direction::FromPhone, CallState::Talking));
    assert_eq!(stage.proxy.calls(stage.now)[0].sessions.len(), 1);
    tell(&mut stage, end(MessageId::CLOSE_RECEIVE_CHANNEL, 7));
    tell(&mut stage, end(MessageId::STOP_MEDIA_TRANSMISSION, 7));
    tell(&mut stage, told(8, 7));
    assert_eq!(shown(&stage), call(Direction::FromPhone, CallState::Held), "without media");
    tell(&mut stage, told(2, 7));
    assert_eq!(shown(&stage), []);
    tell(&mut stage, told(4, 8));
    assert_eq!(shown(&stage), [("sccp-8".to_owned(), Direction::ToPhone, CallState::Setup)]);
}

#[test]
fn no_more_calls_are_kept_in_mind_than_a_phone_can_have_and_none_after_its_connection() {
    let mut stage = Stage::registered();
    (0..1000).for_each(|call| tell(&mut stage, told(5, call)));
    assert_eq!(shown(&stage).len(), 64);
    stage.skinny(pinhole_proxy::SkinnyInput::PhoneClosed { conn: pinhole_proxy::ConnId(1) });
    assert_eq!(shown(&stage), []);
}

#[test]
fn each_connection_shows_its_call_manager() {
    let stage = Stage::registered();
    let phones = stage.proxy.phones(stage.now);
    let [phone] = phones.as_slice() else { panic!("{phones:?}") };
    assert_eq!((phone.device.as_str(), phone.protocol.as_str()), (PHONE_A, "sccp"));
    assert_eq!(phone.call_manager, Some(stage.connects[0].1));
}
