//! How far apart two cores are: how long a cache line takes from one to the other. A host may move the processors of a
//! virtual machine, to where they share a cache or to where they do not, and whatever two processes hand to each other goes
//! as fast as that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

/// Tries, of which the quickest counts: in the others, a core had something else to do as well.
const TRIES: u64 = 8;
/// How often the line goes there and back in a try.
const ROUNDS: u64 = 500;
/// How long one core waits for the other: it may be that of a worker which polls.
const PATIENCE: Duration = Duration::from_secs(1);

/// The line that goes to and fro.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

impl Line {
    fn send(&self, number: u64) {
        self.0.store(number, Ordering::Release);
    }

    /// Waits until a number is there.
    fn wait(&self, number: u64) -> Option<()> {
        let start = Instant::now();
        loop {
            for _ in 0..10_000 {
                if self.0.load(Ordering::Acquire) == number {
                    return Some(());
                }
            }
            if start.elapsed() > PATIENCE {
                return None;
            }
        }
    }
}

/// Nanoseconds that a cache line takes from one core to the other. `None` if they are the same, if we may not run on both, or if
/// one has no time for us.
pub fn between([one, other]: [u32; 2]) -> Option<f64> {
    if one == other {
        return None;
    }
    let line = Line::default();
    scope(|scope| {
        let there = scope.spawn(|| {
            pin(other)?;
            (0..TRIES * ROUNDS).try_for_each(|round| {
                line.wait(2 * round + 1)?;
                line.send(2 * round + 2);
                Some(())
            })
        });
        let here = scope.spawn(|| {
            pin(one)?;
            (0..TRIES)
                .map(|number| try_once(&line, number))
                .try_fold(f64::INFINITY, |least, took| Some(least.min(took?)))
        });
        there.join().ok().flatten().and(here.join().ok().flatten())
    })
}

/// Sends the line there and back, and tells how long one way took, in nanoseconds.
fn try_once(line: &Line, number: u64) -> Option<f64> {
    let start = Instant::now();
    for round in number * ROUNDS..(number + 1) * ROUNDS {
        line.send(2 * round + 1);
        line.wait(2 * round + 2)?;
    }
    Some(start.elapsed().as_nanos() as f64 / (2 * ROUNDS) as f64)
}

/// Keeps this thread on a core.
fn pin(core: u32) -> Option<()> {
    let core = usize::try_from(core).ok().filter(|core| *core < CpuSet::MAX_CPU)?;
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).ok()
}

#[cfg(test)]
mod tests {
    use rustix::thread::sched_getaffinity;

    use super::*;

    #[test]
    fn a_line_goes_from_one_core_to_another_and_to_no_core_that_is_not_there() {
        let ours = sched_getaffinity(None).unwrap();
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| ours.is_set(*core)).map(|core| core as u32);
        let one = cores.next().unwrap();
        assert_eq!(between([one, one]), None);
        for absent in [CpuSet::MAX_CPU as u32 - 1, CpuSet::MAX_CPU as u32] {
            assert_eq!(between([one, absent]), None);
        }
        let Some(other) = cores.next() else { return };
        let distance = between([one, other]).unwrap();
        assert!((1.0..1e6).contains(&distance), "{distance}");
    }
}
