//! Many at once for one device (the class of CVE-2014-0739).

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use pinhole_provisioning::phones::{ATTEMPTS_MAX, Admission};

use super::*;

/// Runs `work` in 1,000 threads that begin together.
fn thousand<T: Send>(work: impl Fn(u16) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(1000);
    thread::scope(|scope| {
        let spawn = |number| {
            let (work, barrier) = (&work, &barrier);
            let run = move || {
                barrier.wait();
                work(number)
            };
            thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, run).unwrap()
        };
        let threads: Vec<_> = (0..1000).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn of_a_thousand_certificates_at_once_one_is_pinned() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 1);
    let results = thousand(|number| {
        let mut sha256 = [0; 32];
        sha256[..2].copy_from_slice(&number.to_be_bytes());
        let id = CertificateId::new(&number.to_be_bytes(), "CN=CA", sha256).unwrap();
        bench.phones().authenticated(device(1), &id, Connections::One, source(1), at(2)).map(|_| number)
    });
    let accepted: Vec<_> = results.iter().filter_map(|result| result.ok()).collect();
    let [winner] = accepted[..] else { panic!("{accepted:?}") };
    let pins = bench.show(device(1)).pins;
    assert_eq!(pins.len(), 1);
    assert_eq!(u16::from_str_radix(&pins[0].serial, 16).unwrap(), winner);
    assert_eq!(bench.failures(Failure::PinMismatch), 999);
    assert_eq!(bench.count(Counter::PinnedAtFirstUse), 1);
}

#[test]
fn of_a_thousand_devices_at_once_as_many_enrol_as_are_expected() {
    let bench = Bench::new();
    bench.phones().open_enrolment(at(100), 10, at(0)).unwrap();
    let results = thousand(|number| bench.fetch_trust_list(device(number), source(1), 1).is_ok());
    assert_eq!(results.iter().filter(|served| **served).count(), 10);
    assert_eq!(bench.failures(Failure::EnrolmentFull), 990);
    let enrolled =
        bench.phones().list().iter().filter(|phone| phone.admission == Admission::Enrolled).count();
    assert_eq!(enrolled, 10);
}

#[test]
fn one_device_asking_a_thousand_times_at_once_enrols_once() {
    let bench = Bench::new();
    bench.phones().open_enrolment(at(100), 5, at(0)).unwrap();
    let results = thousand(|_| bench.fetch_trust_list(device(1), source(1), 1));
    assert!(results.iter().all(Result::is_ok));
    assert_eq!((bench.count(Counter::Enrolled), bench.count(Counter::TrustLists)), (1, 1000));
    assert_eq!(bench.phones().enrolment(at(2)).unwrap().devices_left, 4);
}

#[test]
fn requests_of_all_kinds_at_once_never_give_what_was_not_earned() {
    let bench = Bench::new().allowed(device(1));
    let results = thousand(|number| {
        let from = source(u8::try_from(number % 3).unwrap());
        match number % 5 {
            0 => bench.fetch_trust_list(device(1), from, 1).map(|()| "trust list"),
            1 | 2 => bench.fetch_configuration(device(1), from, 1).map(|()| "configuration"),
            3 => bench.connect(device(1), 1, from, 1).map(|_| "authenticated"),
            _ => bench.phones().tick(at(1)).map(|()| "tick").map_err(|_| Failure::StoreFailed),
        }
    });
    let mut outcomes = BTreeMap::new();
    results.into_iter().for_each(|result| *outcomes.entry(format!("{result:?}")).or_insert(0) += 1);
    // Each was counted once, by what came of it.
    let refused: u64 =
        [Failure::TrustListMissing, Failure::OtherSource].map(|failure| bench.failures(failure)).iter().sum();
    let granted: u64 = [Counter::TrustLists, Counter::Configurations, Counter::Authenticated]
        .map(|counter| bench.count(counter))
        .iter()
        .sum();
    assert_eq!(refused + granted, 800, "{outcomes:?}");
    assert_eq!(bench.count(Counter::TrustLists), 200);
    // The time line tells an order in which each step was earned by those before it.
    let shown = bench.show(device(1));
    assert!(shown.pins.len() <= 1);
    assert_eq!(shown.pins.len() as u64, bench.count(Counter::PinnedAtFirstUse));
}

#[test]
fn forgotten_in_the_middle_nothing_of_the_device_comes_back() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 0);
    bench.connect(device(1), 1, source(1), 0).unwrap();
    thousand(|number| match number {
        500 => drop(bench.phones().forget(device(1)).unwrap()),
        _ => {
            if let Ok(grant) = bench.ask(device(1), source(1), TRUST_LIST, 1) {
                bench.phones().delivered(&grant, Delivery::Acknowledged, at(1));
            }
            let _ = bench.connect(device(1), 1, source(1), 1);
            let _ = bench.phones().tick(at(1));
        }
    });
    bench.phones().tick(at(2)).unwrap();
    let left = bench.phones().show(device(1)).unwrap();
    assert!(left.is_none_or(|seen| seen.admission == Admission::Stranger && seen.pins.is_empty()));
    assert!(bench.phones().trust_lists().is_empty());
}

#[test]
fn thousand_guesses_at_once_are_no_more_than_a_few() {
    let bench = Bench::new().allowed(device(1));
    bench.phones().set_password(device(1), "12345678", [1; 16], at(100), at(0)).unwrap();
    let results = thousand(|number| {
        bench
            .phones()
            .consume_password(device(1), format!("{number:08}").as_bytes(), source(1), at(1))
            .unwrap_err()
    });
    let compared = results.iter().filter(|failure| **failure == Failure::PasswordWrong).count();
    assert_eq!(compared, ATTEMPTS_MAX as usize);
    bench.phones().set_password(device(1), "12345678", [2; 16], at(100), at(0)).unwrap();
    let results = thousand(|_| bench.phones().consume_password(device(1), b"12345678", source(1), at(1)));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}
