//! Attacks while calls go on. Each tells what was sent, what became of the calls, what the attacker got, and
//! what the data plane counted. Judging is the reader's part.

mod flood;
mod replay;
mod spray;

use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::FarmError;
use crate::farm::Plan;
use crate::stage::{Outcome, Setting, Stage, perform, quiet};

pub use flood::Flood;

/// What the attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// SRTP with wrong tags, from the phones' own addresses.
    BadTag,
    /// SRTP with wrong tags, from any other address.
    BadTagElsewhere,
    /// SRTP with wrong tags, each packet with another SSRC.
    RandomSsrc,
    /// SRTP with wrong tags, whose sequence numbers lead a guess of the ROC astray: of the calls' SSRCs and
    /// of others.
    ForgedRoc,
    /// Every packet of the phones once more at once, and again half a window, a window and a rollover later.
    /// The calls are played fast for that: use few sessions.
    Replay,
    /// A third party sends to every media port on both sides: before, during and after set-up, at an update,
    /// and after the end.
    Spray,
    /// RTP and RTCP that is broken in every way, from the right addresses, on both legs.
    Malformed,
}

/// The interval of ordinary calls.
const INTERVAL: Duration = Duration::from_millis(20);
/// How long after the last packet the missing ones are given up: an attack may keep the data plane busy.
const PATIENCE: Duration = Duration::from_secs(1);
/// Packets that each phone sends after the attack.
const LATER: u32 = 20;

/// Runs a scenario of at most `packets` packets, `rate` of them per second.
///
/// # Errors
/// [`FarmError`].
pub fn run(setting: &Setting, scenario: Scenario, packets: u64, rate: u64) -> Result<Value, FarmError> {
    match scenario {
        Scenario::Spray => spray::run(setting, packets, rate),
        Scenario::Replay => perform(setting, &mut quiet, |stage| replay::run(stage, packets)),
        flood => perform(setting, &mut quiet, |stage| {
            let mut flood = Flood::new(flood, &stage.calls, packets, rate, stage.farm.clock());
            let plan = plan(Duration::from_secs_f64(packets as f64 / rate as f64));
            let outcome = stage.play(&plan, Some(&mut flood))?;
            result(stage, scenario, flood.sent(), flood.heard(), &outcome)
        }),
    }
}

/// Forged packets beside a share of the calls, as many as the phones of these calls send.
pub fn beside(stage: &Stage<'_, '_>, share: f64, interval: Duration, duration: Duration) -> Option<Flood> {
    let chosen = (stage.calls.len() as f64 * share).round() as usize;
    let calls = stage.calls.get(..chosen).filter(|calls| !calls.is_empty())?;
    let rate = calls.len() as f64 / interval.as_secs_f64();
    let packets = (rate * duration.as_secs_f64()) as u64;
    Some(Flood::new(Scenario::BadTag, calls, packets, rate.round() as u64, stage.farm.clock()))
}

fn plan(duration: Duration) -> Plan {
    Plan { interval: INTERVAL, duration, patience: PATIENCE }
}

/// What a scenario reports, after some more packets of each phone that nobody disturbs.
fn result(
    stage: &mut Stage<'_, '_>,
    scenario: Scenario,
    sent: u64,
    heard: u64,
    outcome: &Outcome,
) -> Result<Value, FarmError> {
    let streams = stage.control.streams(&stage.calls);
    let later = stage.play(&plan(INTERVAL * LATER), None)?;
    Ok(json!({
        "scenario": scenario.to_possible_value().map(|value| value.get_name().to_owned()),
        "sessions": stage.calls.len(),
        "forged": sent,
        "attacker_received": heard,
        "streams_per_leg_max": streams,
        "legit": outcome.json(),
        "later": later.json(),
    }))
}
