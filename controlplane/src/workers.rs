//! How busy the data plane's workers are: their counters now beside those of a moment ago.

use pinhole_admin::Worker;
use pinhole_flow::WorkerStats;

/// Least time between two samples in nanoseconds.
const SPACING: u64 = 1_000_000_000;

/// The counters of every worker at the two latest moments that they were kept.
#[derive(Default)]
pub struct Samples {
    before: Option<Sample>,
    latest: Option<Sample>,
}

struct Sample {
    /// CLOCK_MONOTONIC nanoseconds.
    at: u64,
    stats: Vec<WorkerStats>,
}

impl Samples {
    /// Keeps the counters of `now` (CLOCK_MONOTONIC nanoseconds), at most once a second.
    pub fn take(&mut self, now: u64, stats: impl FnOnce() -> Vec<WorkerStats>) {
        if self.latest.as_ref().is_none_or(|latest| now.saturating_sub(latest.at) >= SPACING) {
            self.before = self.latest.replace(Sample { at: now, stats: stats() });
        }
    }

    /// The workers by their counters of `now`. Shares are of the last one to two seconds, and absent
    /// until those have passed.
    pub fn workers(&self, now: u64, cores: &[u16], stats: &[WorkerStats]) -> Vec<Worker> {
        let worker = |(number, (core, stats)): (usize, (&u16, &WorkerStats))| {
            let before = self.before.as_ref().and_then(|sample| Some((sample.at, sample.stats.get(number)?)));
            let share = |part: fn(&WorkerStats) -> u64, whole: &dyn Fn(u64, &WorkerStats) -> u64| {
                let (at, before) = before?;
                percent(part(stats).saturating_sub(part(before)), whole(at, before))
            };
            Worker {
                number: number as u32,
                core: u32::from(*core),
                sessions: stats.sessions_open,
                busy_percent: share(|stats| stats.busy_ns, &|at, _| now.saturating_sub(at)),
                idle_percent: share(|stats| stats.idle_polls, &|_, before| {
                    stats.polls.saturating_sub(before.polls)
                }),
                polls: stats.polls,
                silent_ms: now.saturating_sub(stats.last_turn_ns) / 1_000_000,
                missteered: stats.missteered,
                handoff_in: stats.handoff_in,
                handoff_out: stats.handoff_out,
                old_key: stats.old_key,
                drops: stats.drops.iter().sum(),
            }
        };
        cores.iter().zip(stats).enumerate().map(worker).collect()
    }
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 * 100.0 / whole as f64).min(100.0))
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    fn stats(polls: u64, idle_polls: u64, busy_ns: u64) -> WorkerStats {
        WorkerStats { polls, idle_polls, busy_ns, ..WorkerStats::new_zeroed() }
    }

    #[test]
    fn shares_are_of_the_last_seconds() {
        let mut samples = Samples::default();
        let second = |n: u64| n * SPACING;
        let now = [stats(5_000, 4_000, 3 * SPACING), stats(7, 7, 0)];
        assert_eq!(samples.workers(second(9), &[3, 4], &now)[0].busy_percent, None);
        samples.take(second(7), || vec![stats(1_000, 1_000, 0), stats(7, 7, 0)]);
        samples.take(second(7) + 1, || panic!("too early"));
        samples.take(second(8), || vec![stats(4_000, 3_000, 2 * SPACING), stats(7, 7, 0)]);
        let [first, second] = &samples.workers(second(11), &[3, 4], &now)[..] else { panic!("two") };
        assert_eq!((first.number, first.core, first.polls), (0, 3, 5_000));
        assert_eq!((first.busy_percent, first.idle_percent), (Some(75.0), Some(75.0)));
        assert_eq!((second.number, second.core), (1, 4));
        assert_eq!((second.busy_percent, second.idle_percent), (Some(0.0), None), "it makes no turns");
    }

    #[test]
    fn drops_of_all_causes_are_added_up() {
        let mut now = stats(1, 0, 1);
        (now.drops[0], now.drops[3], now.missteered) = (2, 3, 4);
        now.last_turn_ns = 5_000_000;
        let worker = &Samples::default().workers(8_000_000, &[1], &[now])[0];
        assert_eq!((worker.drops, worker.missteered, worker.silent_ms), (5, 4, 3));
    }
}
