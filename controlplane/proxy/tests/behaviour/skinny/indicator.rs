//! Whether a phone shows a call as secure.

use pinhole_proxy::{Counter, SecureIndicator, SkinnyCalls};
use pinhole_sccp::{Encryption, Frame, MasterKey, MasterSalt, MessageId, SecurityStatus};

use super::stage::*;

/// Length, place of the call reference and place of the status, in every version.
const PLACES: [(MessageId, usize, usize, usize); 2] =
    [(MessageId::CALL_INFO, 384, 132, 376), (MessageId::CALL_INFO_DYNAMIC, 120, 4, 24)];

fn info((id, length, call, status): (MessageId, usize, usize, usize), version: u32, said: u32) -> Frame {
    frame(id, version, &body(length, &[(call, 7), (status, said)]))
}

fn theirs(fill: u8) -> Option<Encryption> {
    Some(Encryption::new(MasterKey::new([fill; 16]), MasterSalt::new([fill; 14])))
}

/// What a phone is shown of what its call manager says, and that nothing else of the message changes.
fn shown(stage: &mut Stage, places: (MessageId, usize, usize, usize), version: u32, said: u32) -> u32 {
    let sent = info(places, version, said);
    stage.server_sends(1, sent.clone());
    let mut seen = stage.at_phone();
    let shown = seen.call().unwrap().security().unwrap();
    seen.call_mut().unwrap().set_security(SecurityStatus::Other(said)).unwrap();
    assert_eq!(seen, sent);
    shown.to_wire()
}

fn truth() -> SkinnyCalls {
    SkinnyCalls::default()
}

#[test]
fn no_call_is_shown_as_secure_while_the_connection_inside_is_in_the_clear() {
    for places in PLACES {
        for version in 0..=22 {
            for (said, expected) in [(0, 0), (1, 1), (2, 1), (3, 1), (9, 1)] {
                let mut stage = Stage::registered();
                assert_eq!(shown(&mut stage, places, version, said), expected, "{said} in {version}");
                assert_eq!(stage.count(Counter::SkinnyIndicatorCleared), u64::from(said != expected));
            }
        }
    }
}

#[test]
fn call_manager_whose_connection_is_encrypted_is_believed() {
    for places in PLACES {
        for version in 0..=22 {
            for said in [0, 1, 2, 3, 9] {
                let mut stage = Stage::encrypted(truth());
                stage.server_sends(1, open(7, theirs(1)));
                stage.server_sends(1, start(7, FAR, theirs(2)));
                stage.phone.clear();
                assert_eq!(shown(&mut stage, places, version, said), said, "in {version}");
            }
        }
    }
}

#[test]
fn call_with_a_way_in_the_clear_inside_is_not_shown_as_secure() {
    for clear in [open(7, None), start(7, FAR, None)] {
        for places in PLACES {
            let mut stage = Stage::encrypted(truth());
            stage.server_sends(1, clear.clone());
            stage.phone.clear();
            assert_eq!(shown(&mut stage, places, 17, 3), 1);
        }
    }
    let mut stage = Stage::encrypted(truth());
    stage.server_sends(1, open(8, None));
    stage.phone.clear();
    assert_eq!(shown(&mut stage, PLACES[0], 17, 3), 3, "another call's media say nothing of it");
}

#[test]
fn indicator_is_taken_back_when_a_way_opens_in_the_clear_later() {
    for clear in [open(7, None), start(7, FAR, None)] {
        for places in PLACES {
            let mut stage = Stage::encrypted(truth());
            assert_eq!(shown(&mut stage, places, 17, 3), 3, "nothing is open yet");
            stage.server_sends(1, open(8, None));
            stage.at_phone();
            stage.nothing_more();
            stage.server_sends(1, clear.clone());
            assert_eq!(stage.at_phone(), info(places, 17, 1), "before the channel");
            assert_eq!(stage.at_phone().id(), clear.id());
            assert_eq!(stage.count(Counter::SkinnyIndicatorCleared), 1);
            stage.server_sends(1, clear.clone());
            assert_eq!(stage.at_phone().id(), clear.id());
            stage.nothing_more();
        }
    }
}

#[test]
fn indicator_stays_while_every_way_has_keys_and_where_nothing_is_shown_as_secure() {
    let mut stage = Stage::encrypted(truth());
    assert_eq!(shown(&mut stage, PLACES[0], 17, 3), 3);
    stage.server_sends(1, open(7, theirs(1)));
    stage.server_sends(1, start(7, FAR, theirs(2)));
    assert_eq!(
        (stage.at_phone().id(), stage.at_phone().id()),
        (open(7, None).id(), start(7, FAR, None).id())
    );
    stage.nothing_more();
    for last in [info(PLACES[0], 17, 1), frame(MessageId::CALL_STATE, 17, &body(16, &[(0, 2), (8, 7)]))] {
        let mut stage = Stage::encrypted(truth());
        assert_eq!(shown(&mut stage, PLACES[0], 17, 3), 3);
        stage.server_sends(1, last.clone());
        assert_eq!(stage.at_phone(), last);
        stage.server_sends(1, open(7, None));
        assert_eq!(stage.at_phone().id(), open(7, None).id());
        stage.nothing_more();
    }
    let believing = SkinnyCalls { secure_indicator: SecureIndicator::CallManager, ..SkinnyCalls::default() };
    let mut stage = Stage::encrypted(believing);
    assert_eq!(shown(&mut stage, PLACES[0], 17, 3), 3);
    stage.server_sends(1, open(7, None));
    assert_eq!(stage.at_phone().id(), open(7, None).id());
    stage.nothing_more();
}

#[test]
fn phone_in_the_clear_outside_shows_no_call_as_secure_once_it_has_media() {
    let mut stage = Stage::encrypted(truth());
    stage.connect_as(crate::stage::PHONE_B, 2, pinhole_admin::SecurityClass::Authenticated, PRIMARY);
    stage.register(2, crate::stage::PHONE_B);
    stage.server_sends(2, info(PLACES[0], 17, 3));
    assert_eq!(stage.at_phone(), info(PLACES[0], 17, 3));
    stage.server_sends(2, open(7, theirs(1)));
    assert_eq!(stage.at_phone(), info(PLACES[0], 17, 1));
}

#[test]
fn phones_may_be_shown_what_the_call_manager_says_where_configured() {
    for places in PLACES {
        for said in [0, 1, 2, 3, 9] {
            let mut config = config();
            config.clusters[0].skinny_calls.secure_indicator = SecureIndicator::CallManager;
            let mut stage = Stage::with(config);
            stage.connect(crate::stage::PHONE_A, 1, PRIMARY);
            stage.register(1, crate::stage::PHONE_A);
            stage.talk(1, 7);
            assert_eq!(shown(&mut stage, places, 17, said), said);
        }
    }
}

#[test]
fn information_that_ends_before_the_status_passes_as_it_is() {
    for (id, _, _, status) in PLACES {
        let mut stage = Stage::registered();
        for length in [0, 4, status, status + 3] {
            let sent = frame(id, 17, &vec![3; length]);
            stage.server_sends(1, sent.clone());
            assert_eq!(stage.at_phone(), sent);
        }
    }
}
