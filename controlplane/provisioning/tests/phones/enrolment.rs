//! Certificates that we issue.

use pinhole_provisioning::phones::{Enrolling, MomentKind, PinOrigin};

use super::*;

fn set(bench: &Bench, until: u64) {
    bench.phones().set_password(device(1), "12345678", [3; 16], at(until), at(0)).unwrap();
}

fn known(bench: &Bench) -> (Device, u64) {
    (device(1), bench.phones().epoch(device(1)).unwrap())
}

fn nothing() -> Enrolling {
    Enrolling { is_asked: false, is_withdrawn: false, issued_until: None }
}

#[test]
fn an_issued_certificate_is_known_at_once_uses_up_the_password_and_is_shown() {
    let mut bench = Bench::new().allowed(device(1));
    set(&bench, 100);
    let asked = Enrolling { is_asked: true, ..nothing() };
    assert_eq!(bench.phones().enrolling(device(1), at(1)), Ok(asked));
    bench.issue(device(1), 5, 2);
    for restart in [false, true] {
        if restart {
            bench.open();
        }
        let issued = Enrolling { issued_until: Some(at(2 + 10 * DAY)), ..nothing() };
        assert_eq!(bench.phones().enrolling(device(1), at(3)), Ok(issued));
        assert_eq!(
            bench.phones().consume_password(device(1), b"12345678", source(1), at(3)),
            Err(Failure::PasswordMissing)
        );
        assert!(bench.phones().is_issued(device(1), &[5; 32]));
        assert!(
            !bench.phones().is_issued(device(2), &[5; 32]) && !bench.phones().is_issued(device(1), &[6; 32])
        );
        let shown = bench.show(device(1));
        let view = shown.issued.unwrap();
        assert_eq!((view.serial.as_str(), view.until_ms - view.from_ms), ("05", 10 * DAY * 1000));
        assert_eq!(shown.pins[0].origin, PinOrigin::Issued);
        assert!(shown.timeline.iter().any(|moment| moment.what == MomentKind::Issued));
    }
    assert_eq!(bench.count(Counter::CertificatesIssued), 1);
    bench.connect(device(1), 5, source(1), 4).unwrap();
}

#[test]
fn nothing_is_issued_to_a_device_that_is_not_known() {
    let bench = Bench::new();
    assert_eq!(bench.phones().enrolling(device(1), at(1)), Err(Failure::NotAllowed));
    let validity = Validity { from: at(1), until: at(2) };
    assert!(bench.phones().issued((device(1), 1), &certificate(1), validity, source(1), at(1)).is_err());
    assert!(bench.phones().withdraw(device(1), at(1)).is_err());
    assert_eq!(bench.count(Counter::CertificatesIssued), 0);
}

#[test]
fn a_password_that_cannot_be_used_any_more_asks_for_nothing() {
    let bench = Bench::new().allowed(device(1));
    set(&bench, 100);
    assert_eq!(bench.phones().enrolling(device(1), at(100)), Ok(nothing()));
    set(&bench, 100);
    for _ in 0..5 {
        assert_eq!(
            bench.phones().consume_password(device(1), b"wrong", source(1), at(1)),
            Err(Failure::PasswordWrong)
        );
    }
    assert_eq!(bench.phones().enrolling(device(1), at(1)), Ok(nothing()));
}

#[test]
fn a_verified_certificate_is_recognised_or_pinned_as_when_a_phone_connects() {
    let bench = Bench::new().allowed(device(1));
    let recognise = |serial| bench.phones().recognise(device(1), &certificate(serial), source(1), at(3));
    assert_eq!(recognise(1), Err(Failure::TrustListMissing));
    bench.provision(device(1), source(1), 1);
    // Before it is proved, nothing changes.
    assert_eq!(bench.phones().would_recognise(device(1), &certificate(9)), Ok(()));
    assert!(bench.show(device(1)).pins.is_empty());
    assert_eq!(recognise(1), Ok(()));
    assert_eq!(bench.phones().would_recognise(device(1), &certificate(9)), Err(Failure::PinMismatch));
    assert_eq!(recognise(1), Ok(()));
    assert_eq!(recognise(2), Err(Failure::PinMismatch));
    assert_eq!((bench.show(device(1)).pins.len(), bench.count(Counter::PinnedAtFirstUse)), (1, 1));
    assert_eq!(
        bench.phones().recognise(device(2), &certificate(1), source(1), at(3)),
        Err(Failure::NotAllowed)
    );
    let listed = Bench::with(PhonePolicy { first_use: false, ..PhonePolicy::default() }).allowed(device(1));
    listed.provision(device(1), source(1), 1);
    let refused = listed.phones().recognise(device(1), &certificate(1), source(1), at(3));
    assert_eq!(refused, Err(Failure::FirstUseRefused));
}

#[test]
fn a_withdrawn_certificate_is_good_until_the_phone_has_deleted_it() {
    let mut bench = Bench::new().allowed(device(1));
    assert!(bench.phones().withdraw(device(1), at(1)).is_err(), "nothing was issued");
    bench.provision(device(1), source(1), 1);
    bench.connect(device(1), 1, source(1), 1).unwrap();
    bench.issue(device(1), 5, 2);
    bench.phones().withdraw(device(1), at(3)).unwrap();
    bench.open();
    assert!(bench.phones().enrolling(device(1), at(4)).unwrap().is_withdrawn);
    bench.connect(device(1), 5, source(1), 4).unwrap();
    bench.phones().deleted(known(&bench), source(1), at(5)).unwrap();
    assert_eq!(bench.phones().enrolling(device(1), at(6)), Ok(nothing()));
    assert_eq!(bench.connect(device(1), 5, source(1), 6), Err(Failure::PinMismatch));
    bench.connect(device(1), 1, source(1), 6).unwrap();
    assert_eq!(bench.show(device(1)).issued, None);
}

#[test]
fn what_a_phone_has_deleted_is_nobodys_first_certificate_again() {
    let mut bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 1);
    bench.issue(device(1), 5, 2);
    bench.phones().withdraw(device(1), at(3)).unwrap();
    bench.phones().deleted(known(&bench), source(1), at(4)).unwrap();
    for restart in [false, true] {
        if restart {
            bench.open();
        }
        assert!(!bench.phones().is_issued(device(1), &[5; 32]));
        let recognised = bench.phones().would_recognise(device(1), &certificate(5));
        assert_eq!(recognised, Err(Failure::PinMismatch));
        assert_eq!(bench.connect(device(1), 5, source(1), 5), Err(Failure::PinMismatch));
    }
    // It goes on by its password.
    set(&bench, 100);
    bench.phones().consume_password(device(1), b"12345678", source(1), at(6)).unwrap();
    bench.issue(device(1), 6, 7);
    bench.connect(device(1), 6, source(1), 8).unwrap();
}

#[test]
fn a_certificate_that_the_phone_has_shown_outlives_those_that_it_may_never_have_stored() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 1);
    bench.issue(device(1), 5, 2);
    bench
        .phones()
        .authenticated(device(1), &certificate(5).with_der(&[5; 9]), Connections::One, source(1), at(3))
        .unwrap();
    for serial in [6, 7, 8] {
        bench.issue(device(1), serial, 4);
    }
    let is_issued = |serial| bench.phones().is_issued(device(1), &[serial; 32]);
    assert_eq!([5, 6, 7, 8].map(is_issued), [true, false, false, true]);
}

#[test]
fn what_was_proved_before_the_operator_changed_his_mind_counts_no_more() {
    let bench = Bench::new().allowed(device(1));
    let validity = Validity { from: at(1), until: at(100) };
    let issue =
        |known, serial| bench.phones().issued(known, &certificate(serial), validity, source(1), at(5));
    let proved = known(&bench);
    bench.phones().forget(device(1)).unwrap();
    bench.phones().allow(device(1), SecurityClass::Encrypted, at(2)).unwrap();
    assert!(issue(proved, 5).is_err());
    let proved = known(&bench);
    issue(proved, 5).unwrap();
    bench.phones().withdraw(device(1), at(3)).unwrap();
    assert!(issue(proved, 6).is_err() && bench.phones().deleted(proved, source(1), at(6)).is_err());
    assert!(bench.phones().enrolling(device(1), at(7)).unwrap().is_withdrawn);
}
