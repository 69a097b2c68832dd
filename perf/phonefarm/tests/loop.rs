//! The farm against a port that gives back what is sent: no data plane, interface, privilege or huge page
//! is needed. One EAL per process, so one test per file.

// Clippy knows test functions as tests, but not their helpers.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use phonefarm::forge::{Forger, Frame, View};
use phonefarm::{Device, Farm, FarmError, Flow, Path, Plan, port, random_key};
use pinhole_flow::Suite;

const PLAN: Plan = Plan {
    interval: Duration::from_millis(20),
    duration: Duration::from_millis(500),
    patience: Duration::from_secs(5),
};

/// Two flows for each of `calls`: one SRTP, one RTP.
fn flows(calls: u16) -> Vec<Flow> {
    let flow = |number: u16| {
        let path = Path {
            port: 0,
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
            source: "198.18.0.1:5000".parse().unwrap(),
            destination: format!("198.18.0.2:{}", 2_000 + number).parse().unwrap(),
        };
        let key = number.is_multiple_of(2).then(|| {
            let suites = Suite::ALL;
            random_key(suites[usize::from(number / 2) % suites.len()]).unwrap()
        });
        Flow { send: path, protect: key, expect: path, unprotect: key }
    };
    (0..calls * 2).map(flow).collect()
}

/// Sends each packet of flow 0 once more, one of flow 1 with a bit changed, and a stranger's datagram for each.
#[derive(Default)]
struct Mischief {
    waiting: Vec<Vec<u8>>,
    again: u64,
    changed: u64,
    strange: u64,
    strangers: u64,
}

impl Forger for Mischief {
    fn listens(&self) -> bool {
        true
    }

    fn sent(&mut self, flow: u32, _count: u32, frame: &[u8]) {
        let mut frame = frame.to_vec();
        match flow {
            0 => {
                self.again += 1;
                self.waiting.push(frame.clone());
                frame[37] ^= 0x80;
                self.strange += 1;
            }
            1 => {
                self.changed += 1;
                frame[100] ^= 1;
            }
            _ => return,
        }
        self.waiting.push(frame);
    }

    fn stranger(&mut self, port: usize, frame: &[u8]) {
        assert_eq!((port, frame.len() > 200), (0, true));
        self.strangers += 1;
    }

    fn is_at_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn forge(&mut self, _now: u64, view: &View<'_>, frame: &mut Frame) -> Option<usize> {
        let next = self.waiting.pop()?;
        assert!(view.count(0) > 0);
        frame.try_extend_from_slice(&next).unwrap();
        Some(0)
    }
}

#[test]
fn a_farm_accounts_for_every_packet_of_a_loop() {
    let eal = port::start_dpdk(1, 0).unwrap();
    let pool = port::pool(&eal, 1).unwrap();
    let ports = [Device::Loop.open(&eal, &pool, 0).unwrap()];
    let mut twice = flows(1);
    twice.extend(flows(1));
    assert!(matches!(
        Farm::new(&pool, &ports, &twice, 1).err().unwrap(),
        FarmError::SamePort { port: 0, udp: 2_000 }
    ));
    // The queue went with the farm that was refused: a port gives it out once.
    drop(ports);
    let ports = [Device::Loop.open(&eal, &pool, 1).unwrap()];
    let mut farm = Farm::new(&pool, &ports, &flows(30), 1).unwrap();
    farm.greet(0, Duration::from_millis(20)).unwrap();

    let mut watched = 0;
    let report = farm
        .run(&PLAN, None, &mut |_, _| {
            watched += 1;
            true
        })
        .unwrap();
    let tally = &report.tally;
    assert!(tally.is_clean(), "{}", tally.json());
    assert_eq!((tally.sent, tally.received), (60 * 25, 60 * 25));
    assert_eq!(report.by_port, [(1_500, 1_500)]);
    assert!(tally.delay.len() == 1_500 && watched > 0 && !report.stopped);

    let mut mischief = Mischief::default();
    let report = farm.run(&PLAN, Some(&mut mischief), &mut |_, _| true).unwrap();
    let tally = &report.tally;
    assert_eq!((tally.sent, tally.received, tally.lost()), (1_500, 1_500, 0));
    assert_eq!((mischief.again, tally.duplicates), (25, 25));
    assert_eq!((mischief.changed, tally.wrong_checksum, tally.wrong()), (25, 25, 25));
    assert_eq!((mischief.strange, tally.unexpected, mischief.strangers), (25, 25, 25));

    let report = farm.run(&PLAN, None, &mut |_, elapsed| elapsed < Duration::from_millis(150)).unwrap();
    assert!(report.stopped && report.tally.is_clean() && report.tally.sent < 1_000);
}
