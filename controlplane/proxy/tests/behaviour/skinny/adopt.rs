//! Restart: the media of a phone that goes on talking outlives the control plane.

use std::time::Duration;

use pinhole_admin::CallState;
use pinhole_flow::{CommandKind, slot::NOTE_MAX};
use pinhole_proxy::{Counter, Input};

use super::loss::phone_talks;
use super::stage::*;
use crate::stage::{PHONE_A, PHONE_B};

/// The control plane dies; a new one finds what the data plane has.
fn restart(old: &Stage, notes: impl Fn(&[u8]) -> Vec<u8>) -> Stage {
    let mut stage = Stage::with(config());
    stage.now = old.now;
    for open in old.commands_of(CommandKind::Open) {
        let (slot, generation, session) = (open.slot, open.generation, Box::new(open.session));
        stage.input(Input::Adopt { slot, generation, session, note: notes(&old.notes[&slot]) });
    }
    stage.input(Input::AdoptDone);
    stage
}

fn talking() -> Stage {
    let mut stage = Stage::registered();
    stage.talk(1, 7);
    stage
}

#[test]
fn stream_is_adopted_and_lives_while_the_phone_talks() {
    let mut stage = restart(&talking(), <[u8]>::to_vec);
    let calls = stage.proxy.calls(stage.now);
    assert_eq!((calls.len(), calls[0].state, calls[0].device.as_str()), (1, CallState::Adopted, PHONE_A));
    assert_eq!(stage.count(Counter::CallsAdopted), 1);
    for second in 0..200 {
        stage.pass(Duration::from_secs(1));
        phone_talks(&mut stage, second + 1);
    }
    assert_eq!(stage.proxy.sessions().len(), 1);
    stage.pass(Duration::from_secs(31));
    assert!(stage.proxy.sessions().is_empty(), "until it is silent");
}

#[test]
fn adopted_stream_ends_when_its_phone_registers() {
    let mut stage = restart(&talking(), <[u8]>::to_vec);
    stage.connect(PHONE_B, 1, PRIMARY);
    stage.register(1, PHONE_B);
    assert_eq!(stage.proxy.sessions().len(), 1);
    stage.connect(PHONE_A, 2, BACKUP);
    stage.register(2, PHONE_A);
    assert!(stage.proxy.sessions().is_empty());
    assert_eq!(stage.proxy.ports().in_use, 0);
}

#[test]
fn adopted_stream_of_a_silent_phone_ends_after_the_grace_time() {
    let mut stage = restart(&talking(), <[u8]>::to_vec);
    stage.pass(Duration::from_secs(61));
    assert!(stage.proxy.sessions().is_empty());
    assert_eq!(stage.count(Counter::PhonesLost), 1);
}

#[test]
fn note_that_is_not_understood_makes_no_stream() {
    let other = |from: &'static str, to: &'static str| {
        move |note: &[u8]| {
            let text = std::str::from_utf8(note).unwrap();
            assert!(text.contains(from), "{text}");
            text.replace(from, to).into_bytes()
        }
    };
    for change in [("\"sccp\":1", "\"sccp\":2"), ("lab", "elsewhere"), (PHONE_A, "a b"), ("\"r\"", "\"x\"")] {
        let mut stage = restart(&talking(), other(change.0, change.1));
        assert!(stage.proxy.calls(stage.now).is_empty(), "{change:?}");
        stage.pass(Duration::from_secs(61));
        assert!(stage.proxy.sessions().is_empty(), "unclaimed sessions are closed");
        assert_eq!(stage.count(Counter::SessionsUnclaimed), 1);
    }
}

#[test]
fn note_is_small_and_written_anew_for_a_data_plane_that_was_away() {
    let mut stage = talking();
    let note = stage.notes.clone();
    assert!(note.len() == 1 && note.values().all(|note| note.len() <= NOTE_MAX / 4));
    stage.notes.clear();
    let open = stage.proxy.sessions().into_iter().collect();
    stage.input(Input::MediaBack { open });
    assert_eq!(stage.notes, note);
}
