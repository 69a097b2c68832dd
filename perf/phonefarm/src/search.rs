//! The highest rate without loss, by bisection (RFC 2544 section 26.1).

use std::time::Duration;

use serde_json::{Value, json};

use crate::FarmError;
use crate::distance;
use crate::farm::Plan;
use crate::stage::{Outcome, Stage};

/// A rate counts only if the farm has really offered it: this part of it at least.
const OFFERED: f64 = 0.999;
/// How many trials of a rate must fail, confirmations aside: a host may take a virtual machine's processor away for a moment, or
/// move it away from the other.
const ATTEMPTS: usize = 2;
/// How much lower the rate is after a confirmation that failed: a longer one meets more of what interrupts a
/// virtual machine.
const STEP_DOWN: f64 = 0.95;
/// The part of a rate carried without loss that is confirmed next.
const CARRIED: f64 = 0.99;
/// Confirmations at most: in whole steps, down to 0.6 of what short trials have found.
const CONFIRMATIONS: usize = 10;

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Length of a trial.
    pub trial: Duration,
    /// Length of the last trial, at the rate found.
    pub confirm: Duration,
    /// The search ends when two rates differ by less than this part.
    pub resolution: f64,
    /// The part of the packets that may be lost.
    pub tolerance: f64,
    /// Packets per second at most.
    pub max_rate: f64,
    /// The interval of real calls, which the headroom is told against.
    pub interval: Duration,
}

/// A trial and whether it passed.
struct Trial {
    rate: f64,
    passed: bool,
    outcome: Outcome,
    /// How far the farm's and the worker's core were apart before and after it, in nanoseconds.
    distances: [Option<f64>; 2],
}

impl Trial {
    /// The rate to confirm after this one has failed: a step lower, or, if nothing was lost but time, nearly what was carried.
    fn lower(&self) -> f64 {
        let report = &self.outcome.report;
        let carried = if report.tally.is_clean() { CARRIED * report.rate() } else { 0.0 };
        carried.max(STEP_DOWN * self.rate)
    }

    fn json(&self) -> Value {
        let tally = &self.outcome.report.tally;
        json!({
            "rate": self.rate.round(),
            "offered": self.outcome.report.rate().round(),
            "seconds": self.outcome.report.sending.as_secs_f64(),
            "passed": self.passed,
            "lost": tally.lost(),
            "wrong": tally.wrong(),
            "ring_full": tally.ring_full,
            "core_distance_ns": self.distances,
            "delay_p999_us": tally.delay.value_at_quantile(0.999) as f64 / 1e3,
            "drops": self.outcome.data_plane.get("drops"),
            "worker_utilisation": self.outcome.data_plane.get("worker_utilisation"),
        })
    }
}

impl Search {
    /// Searches with the calls of `stage`: their number stays, their packets come closer together.
    ///
    /// # Errors
    /// [`FarmError`].
    pub fn run(&self, stage: &mut Stage<'_, '_>) -> Result<Value, FarmError> {
        let flows = stage.farm.flows();
        let real = flows as f64 / self.interval.as_secs_f64();
        let mut trials = Vec::new();
        let (mut good, mut bad) = (0.0, self.max_rate);
        let mut rate = real.min(self.max_rate);
        while bad - good > self.resolution * bad {
            if self.passes(stage, rate, &mut trials)? {
                good = rate;
            } else {
                bad = rate;
            }
            // From the rate of real calls up by doubling, then between the two.
            rate = if bad == self.max_rate && good > 0.0 {
                (2.0 * good).min(f64::midpoint(good, bad))
            } else {
                f64::midpoint(good, bad)
            };
            if bad < 1_000.0 {
                break;
            }
        }
        let mut found = 0.0;
        for _ in 0..CONFIRMATIONS {
            if good <= 0.0 {
                break;
            }
            let trial = self.trial(stage, good, self.confirm)?;
            let (passed, lower) = (trial.passed, trial.lower());
            trials.push(trial);
            if passed {
                found = good;
                break;
            }
            good = lower;
        }
        let limit = limited_by(trials.iter().filter(|trial| !trial.passed));
        Ok(json!({
            "sessions": flows / 2,
            "max_mpps": (found / 1e4).round() / 100.0,
            "real_rate": real,
            "headroom": (found / real * 100.0).round() / 100.0,
            "limited_by": limit,
            "engine": stage.control.engine(),
            "trials": trials.iter().map(Trial::json).collect::<Vec<_>>(),
        }))
    }

    /// Whether one of a rate's trials passes.
    fn passes(
        &self,
        stage: &mut Stage<'_, '_>,
        rate: f64,
        trials: &mut Vec<Trial>,
    ) -> Result<bool, FarmError> {
        for _ in 0..ATTEMPTS {
            let trial = self.trial(stage, rate, self.trial)?;
            let passed = trial.passed;
            trials.push(trial);
            if passed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn trial(&self, stage: &mut Stage<'_, '_>, rate: f64, duration: Duration) -> Result<Trial, FarmError> {
        let interval = Duration::from_secs_f64(stage.farm.flows() as f64 / rate);
        let plan = Plan { interval, duration, patience: Duration::from_millis(500) };
        let before = distance::between(stage.cores);
        let outcome = stage.play(&plan, None)?;
        let distances = [before, distance::between(stage.cores)];
        let tally = &outcome.report.tally;
        let lost = tally.lost() as f64 <= self.tolerance * tally.sent as f64;
        let right = tally.wrong() + tally.duplicates + tally.unexpected == 0;
        let offered = outcome.report.rate() >= OFFERED * rate;
        let passed = lost && right && offered;
        eprintln!(
            "{:.2} Mpps for {} s: {}, {} lost, offered {:.2} Mpps, cores {} ns apart",
            rate / 1e6,
            duration.as_secs_f64(),
            if passed { "passed" } else { "failed" },
            tally.lost(),
            outcome.report.rate() / 1e6,
            distances.map(|ns| ns.map_or_else(|| "?".to_owned(), |ns| format!("{ns:.0}"))).join(", "),
        );
        Ok(Trial { rate, passed, outcome, distances })
    }
}

/// What made trials fail.
fn limited_by<'a>(failed: impl Iterator<Item = &'a Trial>) -> &'static str {
    let (mut lossy, mut waited) = (false, false);
    for trial in failed {
        let tally = &trial.outcome.report.tally;
        lossy |= !tally.is_clean();
        waited |= tally.ring_full > 0;
    }
    match (lossy, waited) {
        (true, _) => "loss",
        (false, true) => "the data plane: nothing was lost, but the farm waited for room in its rings",
        (false, false) => "the farm: nothing was lost, and no ring was full",
    }
}
