//! From the first request to a registration, and back.

use super::*;

#[test]
fn phone_comes_up_in_order_and_each_stage_is_seen() {
    let bench = Bench::new().allowed(device(1));
    let phone = device(1);
    assert_eq!(bench.stage(phone), Stage::Seen);
    bench.fetch_trust_list(phone, source(1), 1).unwrap();
    assert_eq!(bench.stage(phone), Stage::TrustListDelivered);
    bench.fetch_configuration(phone, source(1), 2).unwrap();
    assert_eq!(bench.stage(phone), Stage::ConfigurationDelivered);
    let session = bench.connect(phone, 1, source(1), 3).unwrap();
    assert_eq!(bench.stage(phone), Stage::Authenticated);
    bench.phones().registered(phone, session, at(4)).unwrap();
    assert_eq!(bench.stage(phone), Stage::Registered);
    bench.phones().lost(phone, session, at(5));
    assert_eq!(bench.stage(phone), Stage::ConfigurationDelivered);
    let seen = bench.show(phone);
    assert_eq!(seen.trust_list.unwrap().generation, 7);
    assert_eq!(
        (seen.pins[0].serial.as_str(), seen.pins[0].issuer.as_deref()),
        ("01", Some("CN=Manufacturing CA"))
    );
    let what: Vec<_> =
        seen.timeline.iter().map(|moment| format!("{:?} {}", moment.what, moment.subject)).collect();
    let expected = [
        "Allowed encrypted",
        "Granted CTLSEP0010DB000001.tlv",
        "Delivered CTLSEP0010DB000001.tlv",
        "Granted SEP0010DB000001.cnf.xml.sgn",
        "Delivered SEP0010DB000001.cnf.xml.sgn",
        "Pinned serial 01 of CN=Manufacturing CA",
        "Authenticated serial 01 of CN=Manufacturing CA",
        "Registered ",
        "Lost ",
    ];
    assert_eq!(what, expected);
    assert_eq!((bench.count(Counter::PinnedAtFirstUse), bench.count(Counter::Registered)), (1, 1));
}

#[test]
fn configuration_without_a_trust_list_before_is_refused() {
    let bench = Bench::new().allowed(device(1));
    assert_eq!(bench.fetch_configuration(device(1), source(1), 1), Err(Failure::TrustListMissing));
    // That it was granted does not mean that the phone has it.
    let grant = bench.ask(device(1), source(1), TRUST_LIST, 1).unwrap();
    assert_eq!(bench.fetch_configuration(device(1), source(1), 1), Err(Failure::TrustListMissing));
    assert!(bench.phones().delivered(&grant, Delivery::Failed(Failure::TrustListUndelivered), at(2)));
    assert_eq!(bench.fetch_configuration(device(1), source(1), 2), Err(Failure::TrustListMissing));
    assert_eq!(bench.connect(device(1), 1, source(1), 3), Err(Failure::TrustListMissing));
    assert_eq!(bench.failures(Failure::TrustListMissing), 4);
    assert_eq!(bench.show(device(1)).timeline.last().unwrap().failure, Some(Failure::TrustListMissing));
}

#[test]
fn phones_that_hold_our_trust_list_already_are_served_where_the_policy_says_so() {
    let bench =
        Bench::with(PhonePolicy { trust_list_first: false, ..PhonePolicy::default() }).allowed(device(1));
    bench.fetch_configuration(device(1), source(1), 1).unwrap();
    bench.connect(device(1), 1, source(1), 2).unwrap();
}

#[test]
fn configuration_goes_only_where_the_trust_list_went() {
    let bench = Bench::new().allowed(device(1));
    bench.fetch_trust_list(device(1), source(1), 1).unwrap();
    assert_eq!(bench.fetch_configuration(device(1), source(2), 2), Err(Failure::OtherSource));
    // Somebody else who fetches the trust list takes nothing from the phone.
    bench.fetch_trust_list(device(1), source(2), 3).unwrap();
    bench.fetch_configuration(device(1), source(1), 4).unwrap();
    let lax = Bench::with(PhonePolicy { same_source: false, ..PhonePolicy::default() }).allowed(device(1));
    lax.fetch_trust_list(device(1), source(1), 1).unwrap();
    lax.fetch_configuration(device(1), source(2), 2).unwrap();
}

#[test]
fn others_who_fetch_a_phones_trust_list_do_not_push_it_out() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 1);
    for other in 2..20 {
        bench.fetch_trust_list(device(1), source(other), 2).unwrap();
    }
    bench.fetch_configuration(device(1), source(1), 3).unwrap();
    // Nor from where it is connected, also when they have fetched its configuration too.
    let session = bench.connect(device(1), 1, source(1), 4).unwrap();
    for other in 2..20 {
        bench.provision(device(1), source(other), 5);
    }
    bench.fetch_configuration(device(1), source(1), 6).unwrap();
    bench.phones().lost(device(1), session, at(7));
    bench.fetch_configuration(device(1), source(1), 8).unwrap();
    // And a phone that moves is served wherever it comes to.
    bench.provision(device(1), source(30), 9);
    assert_eq!(bench.show(device(1)).fetched_from.len(), 4);
}

#[test]
fn addresses_of_one_ipv6_network_are_one_place() {
    let bench = Bench::new().allowed(device(1));
    let within = |network: u16, host: u16| IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host]);
    for network in 1..=4 {
        for host in 0..20 {
            bench.fetch_trust_list(device(1), within(network, host), 1).unwrap();
        }
    }
    assert_eq!(bench.show(device(1)).fetched_from.len(), 4);
    for network in 1..=4 {
        bench.fetch_configuration(device(1), within(network, 99), 2).unwrap();
        assert_eq!(bench.phones().device_at(within(network, 98), at(2)), Some(device(1)));
    }
    assert_eq!(bench.fetch_configuration(device(1), within(5, 0), 2), Err(Failure::OtherSource));
}

#[test]
fn phone_of_a_pinned_certificate_may_have_its_configuration_at_any_time() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 1);
    bench.connect(device(1), 1, source(1), 2).unwrap();
    let own = certificate(1);
    let wants = Wants::Configuration { certificate: Some(&own), is_bare: true };
    bench.ask(device(1), source(9), wants, 10_000).unwrap();
    let other = certificate(2);
    let wants = Wants::Configuration { certificate: Some(&other), is_bare: true };
    assert_eq!(bench.ask(device(1), source(1), wants, 10_000).unwrap_err(), Failure::PinMismatch);
}

#[test]
fn registered_phone_may_fetch_its_configuration_again_without_a_trust_list() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 1);
    let session = bench.connect(device(1), 1, source(1), 2).unwrap();
    for minute in 1..20 {
        bench.phones().keepalive(device(1), session, at(minute * 60)).unwrap();
    }
    bench.fetch_configuration(device(1), source(1), 1200).unwrap();
    assert_eq!(bench.fetch_configuration(device(1), source(2), 1200), Err(Failure::OtherSource));
    bench.phones().lost(device(1), session, at(1300));
    bench.fetch_configuration(device(1), source(1), 1400).unwrap();
}

#[test]
fn list_whose_last_acknowledgement_is_missing_counts_but_is_not_known_to_be_held() {
    let bench = Bench::new().allowed(device(1));
    let grant = bench.ask(device(1), source(1), TRUST_LIST, 1).unwrap();
    assert!(bench.phones().delivered(&grant, Delivery::Sent, at(1)));
    bench.fetch_configuration(device(1), source(1), 2).unwrap();
    assert_eq!(bench.phones().trust_lists()[&device(1)], None);
    bench.connect(device(1), 1, source(1), 3).unwrap();
    assert_eq!(bench.phones().trust_lists()[&device(1)], None);
    assert!(bench.phones().delivered(&grant, Delivery::Acknowledged, at(3)));
    bench.connect(device(1), 1, source(1), 4).unwrap();
    assert_eq!(bench.phones().trust_lists()[&device(1)].unwrap().generation, 7);
}

#[test]
fn list_counts_as_held_only_once_the_phone_has_proven_itself_where_it_was_acknowledged() {
    let bench = Bench::new().allowed(device(1));
    let held = || bench.phones().trust_lists()[&device(1)].map(|held| held.generation);
    let acknowledge = |generation, from, now| {
        let grant = bench.ask(device(1), from, Wants::TrustList { generation }, now).unwrap();
        assert!(bench.phones().delivered(&grant, Delivery::Acknowledged, at(now)));
    };
    acknowledge(7, source(1), 1);
    bench.fetch_configuration(device(1), source(1), 2).unwrap();
    assert_eq!(held(), None, "anybody could have acknowledged it");
    let session = bench.connect(device(1), 1, source(1), 3).unwrap();
    assert_eq!(held(), Some(7));
    // Somebody else fetches the next one in the phone's name, from wherever, also while the phone is connected.
    acknowledge(8, source(2), 4);
    bench.phones().registered(device(1), session, at(5)).unwrap();
    assert_eq!(held(), Some(7));
    // A sign of life is older than what was acknowledged; a registration is not.
    acknowledge(8, source(1), 6);
    bench.phones().keepalive(device(1), session, at(7)).unwrap();
    assert_eq!(held(), Some(7));
    bench.phones().registered(device(1), session, at(8)).unwrap();
    assert_eq!(held(), Some(8));
    // The end of its connection proves nothing, and takes nothing away.
    acknowledge(9, source(1), 9);
    bench.phones().lost(device(1), session, at(10));
    assert_eq!(held(), Some(8));
    bench.connect(device(1), 1, source(1), 11).unwrap();
    assert_eq!(held(), Some(9));
}

#[test]
fn pinned_certificate_by_https_and_at_enrolment_proves_what_a_phone_holds() {
    let bench = Bench::new().allowed(device(1));
    let held = || bench.phones().trust_lists()[&device(1)].map(|held| held.generation);
    let acknowledge = |generation, now| {
        let grant = bench.ask(device(1), source(1), Wants::TrustList { generation }, now).unwrap();
        assert!(bench.phones().delivered(&grant, Delivery::Acknowledged, at(now)));
    };
    let own = certificate(1);
    let by_https = |now| {
        let wants = Wants::Configuration { certificate: Some(&own), is_bare: true };
        bench.ask(device(1), source(1), wants, now).unwrap();
    };
    acknowledge(7, 1);
    by_https(2);
    assert_eq!(held(), None, "nothing is pinned, so it proves nothing");
    bench.fetch_configuration(device(1), source(1), 3).unwrap();
    bench.phones().recognise(device(1), &own, source(1), at(4)).unwrap();
    assert_eq!(held(), Some(7));
    acknowledge(8, 5);
    by_https(6);
    assert_eq!(held(), Some(8));
    acknowledge(9, 7);
    bench.phones().recognise(device(1), &own, source(2), at(8)).unwrap();
    assert_eq!(held(), Some(8), "that was elsewhere");
    bench.phones().recognise(device(1), &own, source(1), at(9)).unwrap();
    assert_eq!(held(), Some(9));
    acknowledge(10, 10);
    let validity = Validity { from: at(10), until: at(20) };
    let known = (device(1), bench.phones().epoch(device(1)).unwrap());
    bench.phones().issued(known, &certificate(5), validity, source(1), at(11)).unwrap();
    assert_eq!(held(), Some(10));
}

#[test]
fn idle_phone_begins_again_but_keeps_its_pin() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 0);
    let session = bench.connect(device(1), 1, source(1), 1).unwrap();
    bench.phones().registered(device(1), session, at(2)).unwrap();
    bench.phones().keepalive(device(1), session, at(302)).unwrap();
    bench.phones().tick(at(602)).unwrap();
    assert_eq!(bench.stage(device(1)), Stage::Registered);
    bench.phones().tick(at(603)).unwrap();
    assert_eq!(bench.stage(device(1)), Stage::Seen);
    assert_eq!(bench.count(Counter::Idle), 1);
    assert_eq!(bench.phones().keepalive(device(1), session, at(604)), Err(Failure::NotAuthenticated));
    assert_eq!(bench.phones().registered(device(1), session, at(604)), Err(Failure::NotAuthenticated));
    assert_eq!(bench.fetch_configuration(device(1), source(1), 604), Err(Failure::TrustListMissing));
    // Its certificate is enough to come back.
    bench.connect(device(1), 1, source(5), 605).unwrap();
    assert_eq!(bench.show(device(1)).pins.len(), 1);
}

#[test]
fn idleness_counts_without_a_tick_too() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 0);
    let session = bench.connect(device(1), 1, source(1), 0).unwrap();
    assert_eq!(bench.phones().registered(device(1), session, at(301)), Err(Failure::NotAuthenticated));
}

#[test]
fn downloads_by_others_do_not_keep_a_dead_session_alive() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 0);
    bench.connect(device(1), 1, source(1), 0).unwrap();
    for minute in 1..=5 {
        bench.fetch_trust_list(device(1), source(2), minute * 60).unwrap();
        assert_eq!(bench.stage(device(1)), Stage::Authenticated);
    }
    bench.phones().tick(at(301)).unwrap();
    assert_eq!(bench.stage(device(1)), Stage::Seen);
}

#[test]
fn delivery_that_outlives_its_device_counts_no_more() {
    let bench = Bench::new().allowed(device(1)).allowed(device(2));
    let grant = bench.ask(device(1), source(1), TRUST_LIST, 1).unwrap();
    assert!(bench.phones().forget(device(1)).unwrap());
    assert!(!bench.phones().delivered(&grant, Delivery::Acknowledged, at(2)));
    bench.phones().allow(device(1), SecurityClass::Encrypted, at(3)).unwrap();
    assert!(!bench.phones().delivered(&grant, Delivery::Acknowledged, at(4)));
    assert_eq!(bench.fetch_configuration(device(1), source(1), 5), Err(Failure::TrustListMissing));
    // Idle in the middle of a delivery.
    bench.fetch_trust_list(device(2), source(1), 10).unwrap();
    let grant = bench.ask(device(2), source(1), CONFIGURATION, 20).unwrap();
    assert!(!bench.phones().delivered(&grant, Delivery::Acknowledged, at(400)));
    assert_eq!(bench.count(Counter::DeliveriesVoid), 3);
}

#[test]
fn newer_session_takes_the_place_of_the_older_one() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 0);
    let old = bench.connect(device(1), 1, source(1), 1).unwrap();
    let new = bench.connect(device(1), 1, source(2), 2).unwrap();
    bench.phones().registered(device(1), new, at(3)).unwrap();
    assert_eq!(bench.phones().registered(device(1), old, at(4)), Err(Failure::NotAuthenticated));
    bench.phones().lost(device(1), old, at(5));
    assert_eq!(bench.stage(device(1)), Stage::Registered);
    assert_eq!(bench.show(device(1)).connected_from, Some(source(2)));
}

#[test]
fn two_phones_behind_one_address_are_independent() {
    let bench = Bench::new();
    let (hard, soft) = (device(1), device(2));
    bench.phones().allow(hard, SecurityClass::Encrypted, at(0)).unwrap();
    bench.phones().allow(soft, SecurityClass::Authenticated, at(0)).unwrap();
    bench.fetch_trust_list(hard, source(1), 1).unwrap();
    // What one has fetched is nothing to the other.
    assert_eq!(bench.fetch_configuration(soft, source(1), 2), Err(Failure::TrustListMissing));
    bench.fetch_trust_list(soft, source(1), 3).unwrap();
    for (phone, class) in [(hard, SecurityClass::Encrypted), (soft, SecurityClass::Authenticated)] {
        assert_eq!(bench.ask(phone, source(1), CONFIGURATION, 4).unwrap().class(), class);
        bench.fetch_configuration(phone, source(1), 4).unwrap();
    }
    let one = bench.connect(hard, 1, source(1), 5).unwrap();
    let two = bench.connect(soft, 2, source(1), 5).unwrap();
    assert_eq!(bench.phones().registered(hard, two, at(6)), Err(Failure::NotAuthenticated));
    bench.phones().registered(hard, one, at(6)).unwrap();
    assert_eq!((bench.stage(hard), bench.stage(soft)), (Stage::Registered, Stage::Authenticated));
    bench.phones().lost(hard, one, at(7));
    assert_eq!((bench.stage(hard), bench.stage(soft)), (Stage::ConfigurationDelivered, Stage::Authenticated));
}

#[test]
fn device_whose_class_changes_begins_again_with_its_configuration() {
    let mut bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 0);
    let session = bench.connect(device(1), 1, source(1), 1).unwrap();
    bench.phones().registered(device(1), session, at(2)).unwrap();
    assert_eq!(bench.phones().class_of(device(1), session), Some(SecurityClass::Encrypted));
    let grant = bench.ask(device(1), source(1), CONFIGURATION, 3).unwrap();
    // The same class again changes nothing.
    bench.phones().allow(device(1), SecurityClass::Encrypted, at(3)).unwrap();
    assert_eq!(bench.stage(device(1)), Stage::Registered);
    bench.phones().allow(device(1), SecurityClass::Authenticated, at(4)).unwrap();
    assert_eq!(bench.phones().class_of(device(1), session), None);
    assert_eq!(bench.phones().keepalive(device(1), session, at(5)), Err(Failure::NotAuthenticated));
    assert!(!bench.phones().delivered(&grant, Delivery::Acknowledged, at(5)), "it was of the other class");
    assert_eq!(bench.stage(device(1)), Stage::TrustListDelivered);
    bench.fetch_configuration(device(1), source(1), 6).unwrap();
    let session = bench.connect(device(1), 1, source(1), 7).unwrap();
    assert_eq!(bench.phones().class_of(device(1), session), Some(SecurityClass::Authenticated));
    bench.open();
    assert_eq!(bench.show(device(1)).class, SecurityClass::Authenticated);
}

#[test]
fn time_line_is_bounded_and_repetitions_count_once() {
    let bench = Bench::new().allowed(device(1));
    for _ in 0..1000 {
        let _ = bench.fetch_configuration(device(1), source(1), 1);
    }
    let shown = bench.show(device(1)).timeline;
    assert_eq!((shown.len(), shown[1].times), (2, 1000));
    for number in 0..200 {
        let _ = bench.fetch_configuration(device(1), source(number % 2), 2);
        if number % 7 == 0 {
            bench.phones().tick(at(2)).unwrap();
        }
    }
    bench.phones().tick(at(2)).unwrap();
    assert_eq!(bench.show(device(1)).timeline.len(), 64);
}

#[test]
fn address_of_a_served_phone_is_known_for_a_while() {
    let bench = Bench::new().allowed(device(1));
    assert_eq!(bench.phones().device_at(source(1), at(0)), None);
    bench.fetch_trust_list(device(1), source(1), 0).unwrap();
    assert_eq!(bench.phones().device_at(source(1), at(300)), Some(device(1)));
    assert_eq!(bench.phones().device_at("::ffff:198.51.100.1".parse().unwrap(), at(1)), Some(device(1)));
    assert_eq!(bench.phones().device_at(source(2), at(1)), None);
    assert_eq!(bench.phones().device_at(source(1), at(301)), None);
}

#[test]
fn connections_to_several_call_managers_stand_beside_each_other() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 0);
    let connect = |connections, now| {
        bench.phones().authenticated(device(1), &certificate(1), connections, source(1), at(now)).unwrap()
    };
    let primary = connect(Connections::Several, 1);
    bench.phones().registered(device(1), primary, at(2)).unwrap();
    let backup = connect(Connections::Several, 3);
    assert_eq!(bench.stage(device(1)), Stage::Registered, "the first one goes on");
    bench.phones().keepalive(device(1), primary, at(4)).unwrap();
    bench.phones().keepalive(device(1), backup, at(4)).unwrap();
    bench.phones().lost(device(1), primary, at(5));
    assert_eq!(bench.stage(device(1)), Stage::Authenticated);
    bench.phones().registered(device(1), backup, at(6)).unwrap();
    // As many as a phone can need, then the oldest go; one that is alone takes the place of all.
    let many: Vec<_> = (0..6).map(|now| connect(Connections::Several, 7 + now)).collect();
    assert_eq!(bench.phones().keepalive(device(1), backup, at(20)), Err(Failure::NotAuthenticated));
    assert!(many.iter().all(|session| bench.phones().keepalive(device(1), *session, at(20)).is_ok()));
    let alone = connect(Connections::One, 21);
    assert!(many.iter().all(|session| bench.phones().keepalive(device(1), *session, at(22)).is_err()));
    bench.phones().keepalive(device(1), alone, at(22)).unwrap();
}
