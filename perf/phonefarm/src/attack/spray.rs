//! A third party that sends to every media port, to be answered or to be heard ("RTP Bleed", "RTP Inject").

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{PATIENCE, Scenario, plan, result};
use crate::FarmError;
use crate::clock::Clock;
use crate::farm::{Farm, Plan};
use crate::forge::{Forger, Frame, View, datagram};
use crate::frame::{Path, Rtp};
use crate::pacing::{Pace, Random};
use crate::payload;
use crate::pinhole::{self, Call};
use crate::stage::{Moment, Setting, perform};

/// Where the third parties are, outside and inside.
const THIRD_PARTIES: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 18, 0, 66), Ipv4Addr::new(198, 19, 0, 66)];
/// Their UDP port.
const PORT: u16 = 6_666;
/// Their MAC addresses end in this.
const MAC_END: u8 = 0x66;
/// The first ports of the range, which are sprayed more often.
const FIRST: u64 = 256;
/// Parts of the spray: before, during and after set-up with an update, and after the end.
const PARTS: u64 = 4;

/// Sends to all ports of a range on both sides, over and over.
struct Spray {
    /// Ways from the third parties to each side.
    paths: Vec<Path>,
    /// Media ports.
    ports: RangeInclusive<u16>,
    /// Packets until this part ends.
    limit: u64,
    sent: u64,
    part: u64,
    rate: u64,
    second: u64,
    pace: Option<(Pace, u64)>,
    random: Random,
    /// Datagrams to a third party.
    heard: u64,
}

pub(super) fn run(setting: &Setting, packets: u64, rate: u64) -> Result<Value, FarmError> {
    let ports = pinhole::load(&setting.config)?.port;
    let ranges = || ports.iter().take(2).map(|port| port.media_ports);
    let first = ranges().map(|range| range.first()).max().unwrap_or(1_024);
    let last = ranges().map(|range| range.last()).min().unwrap_or(u16::MAX);
    let part = packets / PARTS;
    let duration = Duration::from_secs_f64(part as f64 / rate as f64);
    // Shared with the moments between, which have it in turn.
    let spray = std::cell::RefCell::new(None::<Spray>);
    let mut by_part = Map::new();
    let mut all = {
        let mut at = |moment: Moment, farm: &mut Farm<'_, '_>, calls: &[Call]| -> Result<(), FarmError> {
            let mut place = spray.borrow_mut();
            let spray =
                place.get_or_insert_with(|| Spray::new(calls, first..=last, part, rate, farm.clock()));
            spray.begin();
            // No call is played.
            let idle = Plan { interval: Duration::from_secs(1 << 20), duration, patience: PATIENCE };
            let report = farm.run(&idle, Some(spray), &mut |_, _| true)?;
            by_part.insert(moment.name().into(), report.tally.json());
            Ok(())
        };
        perform(setting, &mut at, |stage| {
            let mut place = spray.borrow_mut();
            let Some(spray) = place.as_mut() else { return Err(FarmError::Gone) };
            spray.begin();
            let calls = stage.calls.clone();
            let mut updated = false;
            let outcome = stage.play_with(&plan(duration), Some(spray), &mut |control, elapsed| {
                if updated || elapsed < duration / 2 {
                    return Ok(());
                }
                updated = true;
                calls.iter().try_for_each(|call| control.update(call))
            })?;
            let (sent, heard) = (spray.sent, spray.heard);
            result(stage, Scenario::Spray, sent, heard, &outcome)
        })?
    };
    let spray = spray.into_inner();
    if let (Value::Object(all), Some(spray)) = (&mut all, spray) {
        all.insert("forged".into(), json!(spray.sent));
        all.insert("attacker_received".into(), json!(spray.heard));
        all.insert("without_calls".into(), Value::Object(by_part));
    }
    Ok(all)
}

impl Spray {
    fn new(calls: &[Call], ports: RangeInclusive<u16>, part: u64, rate: u64, clock: &Clock) -> Self {
        let of_call = calls.first().map(|call| [call.inwards.send, call.outwards.send]);
        let third_party = |(mut path, address): (Path, Ipv4Addr)| {
            path.source = SocketAddrV4::new(address, PORT);
            path.source_mac[5] = MAC_END;
            path
        };
        Self {
            paths: of_call.into_iter().flatten().zip(THIRD_PARTIES).map(third_party).collect(),
            ports,
            limit: 0,
            sent: 0,
            part,
            rate,
            second: clock.ticks(Duration::from_secs(1)),
            pace: None,
            random: Random::new(11),
            heard: 0,
        }
    }

    /// The next part begins.
    fn begin(&mut self) {
        self.limit = self.sent + self.part;
        self.pace = None;
    }
}

impl Forger for Spray {
    fn stranger(&mut self, _port: usize, _frame: &[u8]) {
        self.heard += 1;
    }

    fn is_at_work(&self) -> bool {
        self.sent < self.limit
    }

    fn forge(&mut self, now: u64, _view: &View<'_>, frame: &mut Frame) -> Option<usize> {
        let (second, rate, sent) = (self.second, self.rate, self.sent);
        let (pace, first) = self.pace.get_or_insert_with(|| (Pace::new(now, second, rate as usize), sent));
        if self.sent >= self.limit || pace.due(now) + *first <= self.sent {
            return None;
        }
        let mut path = *self.paths.get(self.sent as usize % 2)?;
        // All ports in turn, and every other time one of the first, which the calls have.
        let all = u64::from(self.ports.end() - self.ports.start()) + 1;
        let among = if (self.sent / 2).is_multiple_of(2) { all } else { all.min(FIRST) };
        path.destination.set_port(self.ports.start() + (self.sent / 4 % among) as u16);
        let random = self.random.number();
        let header =
            Rtp { ssrc: random as u32, sequence: (random >> 32) as u16, timestamp: (random >> 40) as u32 };
        // With and without what looks like a tag.
        let len = 12 + payload::LEN + if random >> 63 == 0 { 10 } else { 0 };
        let mut packet = vec![0x55; len];
        packet.splice(..12, header.header());
        datagram(frame, &path, &packet);
        self.sent += 1;
        Some(path.port)
    }
}
