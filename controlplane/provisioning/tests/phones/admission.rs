//! Who is let in, and by which certificate.

use std::time::Duration;

use pinhole_provisioning::phones::{Admission, ENROLMENT_MAX, PINS_MAX, Pin, PinOrigin};

use super::*;

#[test]
fn device_that_nobody_allowed_gets_nothing_and_is_seen() {
    let bench = Bench::new();
    assert_eq!(bench.fetch_trust_list(device(1), source(1), 1), Err(Failure::NotAllowed));
    assert_eq!(bench.fetch_configuration(device(1), source(1), 2), Err(Failure::NotAllowed));
    assert_eq!(bench.connect(device(1), 1, source(1), 3), Err(Failure::NotAllowed));
    let stranger = bench.show(device(1));
    assert_eq!((stranger.admission, stranger.timeline.len()), (Admission::Stranger, 3));
    assert_eq!(bench.failures(Failure::NotAllowed), 3);
    // Once allowed, what it tried before is in its time line.
    bench.phones().allow(device(1), SecurityClass::Encrypted, at(4)).unwrap();
    assert_eq!(bench.show(device(1)).timeline.len(), 4);
}

#[test]
fn strangers_are_bounded_and_the_oldest_goes_first() {
    let bench = Bench::with(PhonePolicy { strangers: 10, ..PhonePolicy::default() });
    for number in 0..1000 {
        let _ = bench.fetch_trust_list(device(number), source(1), u64::from(number));
    }
    assert_eq!(bench.phones().list().len(), 10);
    assert!(bench.phones().show(device(999)).unwrap().is_some());
    assert!(bench.phones().show(device(989)).unwrap().is_none());
    assert_eq!(bench.count(Counter::StrangersForgotten), 990);
}

#[test]
fn devices_are_bounded() {
    let bench = Bench::with(PhonePolicy { devices: 2, ..PhonePolicy::default() })
        .allowed(device(1))
        .allowed(device(2));
    let refused = bench.phones().allow(device(3), SecurityClass::Encrypted, at(1));
    assert!(refused.unwrap_err().to_string().contains("as many devices"));
    // One that is known may be allowed again.
    bench.phones().allow(device(2), SecurityClass::Authenticated, at(1)).unwrap();
    bench.phones().open_enrolment(at(100), 10, at(1)).unwrap();
    assert_eq!(bench.fetch_trust_list(device(3), source(1), 2), Err(Failure::DeviceLimit));
}

#[test]
fn certificate_other_than_the_pinned_one_is_refused() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 1);
    bench.connect(device(1), 1, source(1), 2).unwrap();
    assert_eq!(bench.connect(device(1), 2, source(1), 3), Err(Failure::PinMismatch));
    let forged = CertificateId::new(&[1], "CN=Manufacturing CA", [9; 32]).unwrap();
    let refused = bench.phones().authenticated(device(1), &forged, Connections::One, source(1), at(3));
    assert_eq!(refused, Err(Failure::PinMismatch));
    assert_eq!(bench.failures(Failure::PinMismatch), 2);
    // The phone itself is not disturbed.
    assert_eq!(bench.stage(device(1)), Stage::Authenticated);
}

#[test]
fn without_pinning_at_first_use_only_listed_certificates_are_good() {
    let bench = Bench::with(PhonePolicy { first_use: false, ..PhonePolicy::default() }).allowed(device(1));
    bench.provision(device(1), source(1), 1);
    assert_eq!(bench.connect(device(1), 1, source(1), 2), Err(Failure::FirstUseRefused));
    bench.phones().pin(device(1), Pin::listed(&[1], Some("CN=Manufacturing CA")).unwrap(), at(3)).unwrap();
    bench.connect(device(1), 1, source(1), 4).unwrap();
    assert_eq!(bench.connect(device(1), 2, source(1), 5), Err(Failure::PinMismatch));
}

#[test]
fn a_certificate_that_is_listed_by_its_serial_number_alone_is_good_of_any_issuer_also_after_a_restart() {
    let mut bench = Bench::new().allowed(device(1));
    bench.phones().pin(device(1), Pin::listed(&[0, 1], None).unwrap(), at(1)).unwrap();
    assert!(Pin::listed(&[1], Some("")).is_err());
    bench.open();
    assert_eq!(bench.show(device(1)).pins[0].issuer, None);
    // It was listed, so no other is pinned at first use.
    assert_eq!(bench.connect(device(1), 2, source(1), 2), Err(Failure::PinMismatch));
    bench.connect(device(1), 1, source(1), 3).unwrap();
}

#[test]
fn issued_certificates_stand_beside_the_first_and_push_out_older_issued_ones() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 1);
    bench.connect(device(1), 1, source(1), 2).unwrap();
    for serial in 10..20 {
        bench.issue(device(1), serial, 3);
    }
    for good in [1, 18, 19] {
        bench.connect(device(1), good, source(1), 4).unwrap();
    }
    assert_eq!(bench.connect(device(1), 17, source(1), 4), Err(Failure::PinMismatch));
    let listed =
        |serial: u8| bench.phones().pin(device(1), certificate(serial).pin(PinOrigin::Listed), at(5));
    listed(30).unwrap();
    listed(30).unwrap();
    assert_eq!(bench.show(device(1)).pins.len(), PINS_MAX);
    assert!(listed(31).unwrap_err().to_string().contains("SEP0010DB000001"));
    assert!(bench.phones().pin(device(2), certificate(1).pin(PinOrigin::Listed), at(5)).is_err());
}

#[test]
fn serial_numbers_compare_by_value() {
    let padded = CertificateId::new(&[0, 0, 5], "CN=CA", [0; 32]).unwrap();
    assert!(Pin::listed(&[5], Some("CN=CA")).unwrap().matches(&padded));
    assert!(!Pin::listed(&[5], Some("CN=Other")).unwrap().matches(&padded));
    for (serial, issuer) in [(vec![], "CN=CA"), (vec![1; 33], "CN=CA"), (vec![1], ""), (vec![1], "CN=\nCA")] {
        assert!(CertificateId::new(&serial, issuer, [0; 32]).is_err());
    }
    assert!(CertificateId::new(&[0], "CN=CA", [0; 32]).is_ok());
}

#[test]
fn enrolment_lets_in_as_many_as_expected_and_closes_by_itself() {
    let bench = Bench::new();
    bench.phones().open_enrolment(at(100), 2, at(0)).unwrap();
    bench.provision(device(1), source(1), 10);
    bench.connect(device(1), 1, source(1), 11).unwrap();
    bench.fetch_trust_list(device(2), source(1), 12).unwrap();
    assert_eq!(bench.fetch_trust_list(device(3), source(1), 13), Err(Failure::EnrolmentFull));
    assert_eq!(bench.show(device(3)).timeline[0].failure, Some(Failure::EnrolmentFull));
    assert_eq!(bench.phones().enrolment(at(99)).unwrap().devices_left, 0);
    assert_eq!(bench.fetch_trust_list(device(3), source(1), 100), Err(Failure::NotAllowed));
    assert_eq!(bench.phones().enrolment(at(100)), None);
    // Those who came stay.
    bench.fetch_configuration(device(2), source(1), 101).unwrap();
    assert_eq!(bench.show(device(1)).admission, Admission::Allowed);
    assert_eq!(bench.show(device(2)).admission, Admission::Enrolled);
    assert_eq!(bench.count(Counter::Enrolled), 2);
}

#[test]
fn device_that_enrolled_but_never_showed_a_certificate_is_forgotten() {
    let bench = Bench::new();
    bench.phones().open_enrolment(at(10_000), 2, at(0)).unwrap();
    bench.provision(device(1), source(1), 0);
    bench.connect(device(1), 1, source(1), 0).unwrap();
    bench.provision(device(2), source(1), 0);
    bench.phones().tick(at(301)).unwrap();
    assert!(bench.phones().show(device(1)).unwrap().is_some());
    assert!(bench.phones().show(device(2)).unwrap().is_none());
    assert_eq!(bench.count(Counter::EnrolmentsLapsed), 1);
    // Its place is free again, for it too.
    assert_eq!(bench.phones().enrolment(at(302)).unwrap().devices_left, 1);
    bench.provision(device(2), source(1), 302);
}

#[test]
fn enrolment_closes_when_the_operator_says_so_or_the_clock_is_set_back() {
    let bench = Bench::new();
    bench.phones().open_enrolment(at(200), 5, at(100)).unwrap();
    assert_eq!(bench.fetch_trust_list(device(1), source(1), 50), Err(Failure::NotAllowed));
    bench.fetch_trust_list(device(1), source(1), 150).unwrap();
    bench.phones().close_enrolment().unwrap();
    assert_eq!(bench.fetch_trust_list(device(2), source(1), 150), Err(Failure::NotAllowed));
    let too_long = at(0) + ENROLMENT_MAX + Duration::from_secs(1);
    for until in [too_long, at(0)] {
        assert!(bench.phones().open_enrolment(until, 5, at(0)).is_err());
    }
}
