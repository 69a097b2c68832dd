//! Who may register, where connections go, and what the other side sees of an address.

use pinhole_admin::EventKind;
use pinhole_proxy::{ConnId, Counter};
use pinhole_sccp::{Frame, MessageId, Server};

use super::stage::*;
use crate::stage::{PHONE_A, PHONE_B};

#[test]
fn each_connection_leads_to_the_call_manager_that_its_listener_stands_for() {
    let mut stage = Stage::with(config());
    stage.connect(PHONE_A, 1, PRIMARY);
    stage.connect(PHONE_A, 2, BACKUP);
    let to = |address: &str| address.parse().unwrap();
    assert_eq!(stage.connects, [(ConnId(1), to("10.20.0.10:2000")), (ConnId(2), to("10.20.0.11:2000"))]);
}

#[test]
fn device_or_listener_that_no_cluster_has_is_refused() {
    let mut stage = Stage::with(config());
    stage.connect("ATA0010DB000001", 1, PRIMARY);
    stage.connect(PHONE_A, 2, "203.0.113.7:2443");
    assert_eq!(stage.closed, [ConnId(1), ConnId(2)]);
    assert_eq!(stage.count(Counter::SkinnyListenersUnknown), 2);
    assert!(stage.connects.is_empty());
    stage.phone_sends(1, register("ATA0010DB000001"));
    assert_eq!(stage.count(Counter::UnknownConnections), 1);
    stage.nothing_more();
}

#[test]
fn phone_registers_under_its_certificates_name_from_our_address() {
    let mut stage = Stage::with(config());
    stage.connect(PHONE_A, 1, PRIMARY);
    let request = register(PHONE_A);
    stage.phone_sends(1, request.clone());
    let seen = stage.at_server();
    let registration = seen.registration().unwrap();
    assert_eq!(registration.device_name(), Ok(PHONE_A));
    assert_eq!(registration.ipv4().unwrap().to_string(), "10.20.0.5");
    let (before, after) = (request.body(), seen.body());
    assert_eq!((&before[..24], &before[28..]), (&after[..24], &after[28..]), "only the address is changed");
    stage.server_sends(1, register_ack());
    assert_eq!(stage.at_phone(), register_ack());
    assert_eq!(stage.registrations, [ConnId(1)]);
    let phones = stage.proxy.phones(stage.now);
    assert_eq!(phones.len(), 1);
    assert_eq!((phones[0].device.as_str(), &phones[0].registered[..]), (PHONE_A, &["sccp".to_owned()][..]));
    assert_eq!(stage.proxy.registered_count(), 1);
}

#[test]
fn phone_that_asks_for_anothers_name_is_rejected_and_cut_off() {
    let tokens = [(MessageId::REGISTER_TOKEN_REQ, 52), (MessageId::SPCP_REGISTER_TOKEN_REQ, 36)];
    for (id, length) in [(MessageId::REGISTER, 172)].into_iter().chain(tokens) {
        for name in [PHONE_B, "sep0010db000001", "", "SEP0010DB00000"] {
            let mut stage = Stage::with(config());
            stage.connect(PHONE_A, 1, PRIMARY);
            stage.phone_sends(1, named(id, name, length));
            let rejected = stage.at_phone();
            assert_eq!(rejected.reject_text(), Ok(&b"not your device name"[..]));
            assert_eq!(stage.closed, [ConnId(1)]);
            assert_eq!(stage.count(Counter::SkinnyNameRefused), 1);
            assert!(stage.events.iter().any(|event| event.kind == EventKind::IdentityRefused));
            stage.nothing_more();
        }
    }
}

#[test]
fn token_is_asked_for_from_our_address() {
    let mut stage = Stage::with(config());
    stage.connect(PHONE_A, 1, PRIMARY);
    stage.phone_sends(1, named(MessageId::REGISTER_TOKEN_REQ, PHONE_A, 52));
    assert_eq!(stage.at_server().registration().unwrap().ipv4().unwrap().to_string(), "10.20.0.5");
    let reject = Frame::register_token_reject(0, 30).unwrap();
    stage.server_sends(1, reject.clone());
    assert_eq!(stage.at_phone(), reject);
}

#[test]
fn phone_that_has_not_registered_may_only_live_complain_and_ask() {
    let mut stage = Stage::with(config());
    stage.connect(PHONE_A, 1, BACKUP);
    for id in
        [MessageId::OFF_HOOK, MessageId::DEVICE_TO_USER_DATA, MessageId::LINE_STAT_REQ, MessageId(0x7777)]
    {
        stage.phone_sends(1, frame(id, 0, &[0; 36]));
    }
    assert_eq!(stage.count(Counter::SkinnyUnregistered), 4);
    stage.nothing_more();
    stage.phone_sends(1, frame(MessageId::KEEP_ALIVE, 0, &[]));
    assert_eq!(stage.at_server().id(), MessageId::KEEP_ALIVE);
    let mut alarm = body(92, &[(0, 2), (88, 0x0B4D_A8C0)]);
    alarm[4..8].copy_from_slice(b"text");
    stage.phone_sends(1, frame(MessageId::ALARM, 0, &alarm));
    assert_eq!(stage.at_server().alarm_address().unwrap().to_string(), "10.20.0.5");
    stage.nothing_more();
}

#[test]
fn register_that_does_not_pass_opens_no_way_for_other_messages() {
    let mut stage = Stage::with(config());
    stage.connect(PHONE_A, 1, PRIMARY);
    let mut short = [0; 24];
    short[..PHONE_A.len()].copy_from_slice(PHONE_A.as_bytes());
    stage.phone_sends(1, frame(MessageId::REGISTER, 0, &short));
    assert_eq!(stage.count(Counter::SkinnyMalformed), 1);
    stage.phone_sends(1, frame(MessageId::OFF_HOOK, 0, &[0; 8]));
    assert_eq!(stage.count(Counter::SkinnyUnregistered), 1);
    stage.nothing_more();
}

#[test]
fn registration_ends_with_its_reject_or_its_granted_end() {
    for ended in [Frame::register_reject(0, "no").unwrap(), frame(MessageId::UNREGISTER_ACK, 0, &[0; 4])] {
        let mut stage = Stage::registered();
        stage.talk(1, 7);
        stage.server_sends(1, ended.clone());
        assert_eq!(stage.at_phone(), ended);
        assert!(stage.proxy.sessions().is_empty(), "{ended:?}");
        assert_eq!(stage.proxy.registered_count(), 0);
        stage.phone_sends(1, frame(MessageId::OFF_HOOK, 17, &[0; 8]));
        assert_eq!(stage.count(Counter::SkinnyUnregistered), 1);
    }
}

#[test]
fn refusal_of_the_call_manager_is_told_with_its_text() {
    let mut stage = Stage::with(config());
    stage.connect(PHONE_A, 1, PRIMARY);
    stage.phone_sends(1, register(PHONE_A));
    stage.server_sends(1, Frame::register_reject(0, "Error: DB Config\n").unwrap());
    assert_eq!(stage.rejections, [(ConnId(1), "Error: DB Config".to_owned())]);
    assert_eq!(stage.count(Counter::SkinnyRegistrationsRefused), 1);
    // One without a text is one all the same.
    stage.server_sends(1, frame(MessageId::REGISTER_REJECT, 0, &[]));
    assert_eq!(stage.rejections.get(1), Some(&(ConnId(1), String::new())));
    assert!(stage.registrations.is_empty());
}

#[test]
fn reset_and_a_refusal_to_unregister_leave_a_running_call_alone() {
    let resets = [1, 2, 3, 9].map(|kind| frame(MessageId::RESET, 17, &[kind, 0, 0, 0]));
    let refusals = [&[1, 0, 0, 0][..], &[]].map(|status| frame(MessageId::UNREGISTER_ACK, 0, status));
    for said in resets.into_iter().chain(refusals) {
        let mut stage = Stage::registered();
        stage.talk(1, 7);
        stage.server_sends(1, said.clone());
        assert_eq!(stage.at_phone(), said);
        assert_eq!((stage.proxy.sessions().len(), stage.proxy.registered_count()), (1, 1), "{said:?}");
        stage.phone_sends(1, frame(MessageId::ON_HOOK, 17, &[0; 8]));
        assert_eq!(stage.at_server().id(), MessageId::ON_HOOK);
    }
}

#[test]
fn call_managers_are_listed_without_holes_where_phones_reach_them() {
    let server = |name: &str, address: &str, port| Server {
        name: name.as_bytes().to_vec(),
        port,
        address: address.parse().unwrap(),
    };
    let listed = [
        server("cm-hidden", "10.20.0.12", 2000),
        server("cm-backup", "10.20.0.11", 0),
        server("cm-primary", "10.20.0.10", 2000),
        server("cm-primary-tls", "10.20.0.10", 2443),
    ];
    for protocol in [5, 17] {
        let mut stage = Stage::registered();
        stage.server_sends(1, Frame::server_res(protocol, &listed).unwrap());
        let seen = stage.at_phone();
        let shown: Vec<Server> = (0..5).map(|place| seen.servers().unwrap().get(place).unwrap()).collect();
        assert_eq!(
            shown,
            [
                server("two.example", "203.0.113.6", 2443),
                server("one.example", "203.0.113.5", 2443),
                Server::none(),
                Server::none(),
                Server::none(),
            ]
        );
    }
}

#[test]
fn old_phone_is_listed_only_what_listens_for_old_phones() {
    let mut settings = config();
    let legacy = "203.0.113.7:2443";
    settings.clusters[0].skinny[1].legacy = Some(legacy.parse().unwrap());
    let mut stage = Stage::with(settings);
    stage.connect(PHONE_A, 1, legacy);
    stage.register(1, PHONE_A);
    assert_eq!(stage.connects, [(ConnId(1), "10.20.0.11:2000".parse().unwrap())]);
    let server = |name: &str, address: &str, port| Server {
        name: name.as_bytes().to_vec(),
        port,
        address: address.parse().unwrap(),
    };
    let listed = [server("cm-primary", "10.20.0.10", 2000), server("cm-backup", "10.20.0.11", 2000)];
    stage.server_sends(1, Frame::server_res(17, &listed).unwrap());
    let seen = stage.at_phone();
    let shown = [0, 1].map(|place| seen.servers().unwrap().get(place).unwrap());
    assert_eq!(shown, [server("two.example", "203.0.113.7", 2443), Server::none()]);
}
