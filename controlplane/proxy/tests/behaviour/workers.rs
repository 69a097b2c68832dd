//! Several workers in the data plane: each call's slot and ports are of one of them. The stage's data
//! plane checks that of every command.

use std::collections::HashSet;
use std::time::Duration;

use pinhole_flow::{Command, CommandKind, Refusal};
use pinhole_proxy::{Counter, Input, ProxyConfig};

use crate::adopt::restart_with;
use crate::stage::*;

fn with_workers(workers: u32) -> ProxyConfig {
    let mut config = config();
    config.workers = workers;
    config.limits.calls_per_phone = 1000;
    config.limits.dialogs_per_phone = 1000;
    config.limits.transactions_per_phone = 1000;
    config
}

/// The `n`th call of the phone, answered; its Open, if it was not refused.
fn call(stage: &mut Stage, n: usize) -> Option<Command> {
    let opens = stage.commands_of(CommandKind::Open).len();
    let invite = stage.invite_of_phone(&format!("call-{n}"), &offer_outside(KEY_A));
    stage.phone_sends(1, invite);
    if let Some((_, request)) = stage.cm.pop_back() {
        stage.cm_sends(reply(&request, 200, "OK", "cmtag", &answer_inside()));
    }
    stage.phone.clear();
    stage.cm.clear();
    stage.commands_of(CommandKind::Open).get(opens).copied()
}

#[test]
fn calls_are_spread_over_the_workers() {
    for workers in [1, 2, 3] {
        let mut stage = Stage::with(with_workers(workers));
        stage.connect(PHONE_A, 1);
        let mut loads = vec![0; workers as usize];
        for n in 0..30 {
            let open = call(&mut stage, n).unwrap();
            loads[stage.worker_of(open.slot) as usize] += 1;
        }
        assert_eq!(loads, vec![30 / workers; workers as usize]);
    }
}

#[test]
fn every_slot_of_every_worker_can_be_used() {
    for workers in [1, 2, 3] {
        let mut config = with_workers(workers);
        config.max_sessions = 20;
        let mut stage = Stage::with(config);
        stage.connect(PHONE_A, 1);
        let mut slots: Vec<u32> = (0..20).map(|n| call(&mut stage, n).unwrap().slot).collect();
        slots.sort_unstable();
        assert_eq!(slots, (0..20).collect::<Vec<_>>());
        assert!(call(&mut stage, 20).is_none());
        assert_eq!(stage.count(Counter::SlotsExhausted), 1);
    }
}

#[test]
fn worker_without_ports_refuses_no_call_that_another_can_take() {
    let mut config = with_workers(2);
    // Three pairs outside: two of the first worker's, one of the second's.
    config.media[0].ports = 16384..=16389;
    let mut stage = Stage::with(config);
    stage.connect(PHONE_A, 1);
    let opens: Vec<Command> = (0..3).map(|n| call(&mut stage, n).unwrap()).collect();
    let workers: Vec<u32> = opens.iter().map(|open| stage.worker_of(open.slot)).collect();
    assert_eq!(workers, [0, 1, 0]);
    assert!(call(&mut stage, 3).is_none());
    assert_eq!(stage.count(Counter::PortsExhausted), 1);
}

#[test]
fn calls_of_several_workers_are_adopted() {
    for workers in [1, 2, 3] {
        let mut old = Stage::with(with_workers(workers));
        old.connect(PHONE_A, 1);
        for n in 0..6 {
            call(&mut old, n).unwrap();
        }
        let mut stage = restart_with(&old, with_workers(workers));
        assert!(stage.commands.is_empty(), "none is closed");
        assert_eq!(stage.proxy.ports().in_use, 12);
        stage.connect(PHONE_A, 1);
        let mut loads = vec![0; workers as usize];
        for n in 6..18 {
            let open = call(&mut stage, n).unwrap();
            loads[stage.worker_of(open.slot) as usize] += 1;
        }
        assert_eq!(loads, vec![12 / workers; workers as usize], "adopted calls count");
    }
}

#[test]
fn session_that_its_worker_refuses_ends_its_call() {
    let mut stage = Stage::with(with_workers(2));
    stage.acknowledges = false;
    stage.connect(PHONE_A, 1);
    let open = call(&mut stage, 1).unwrap();
    stage.input(Input::Media(open.answer(Err(Refusal::WrongWorker))));
    assert_eq!(stage.count(Counter::MediaRefused), 1);
    let close = stage.commands_of(CommandKind::Close)[0];
    stage.input(Input::Media(close.answer(Err(Refusal::NotOpen))));
    assert_eq!(stage.proxy.ports().in_use, 0);
    stage.pass(Duration::from_secs(60));
    assert!(stage.proxy.calls(stage.now).is_empty());
}

#[test]
fn calls_of_every_worker_end_with_the_data_plane() {
    let mut stage = Stage::with(with_workers(3));
    stage.connect(PHONE_A, 1);
    let mut before: Vec<u32> = (0..6).map(|n| call(&mut stage, n).unwrap().slot).collect();
    stage.input(Input::MediaBack { open: HashSet::new() });
    let mut ended: Vec<u32> = stage.commands_of(CommandKind::Close).iter().map(|close| close.slot).collect();
    before.sort_unstable();
    ended.sort_unstable();
    assert_eq!(ended, before);
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 6);
}
