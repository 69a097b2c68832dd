//! The workers' threads: one on each core, and the end of one is the end of all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, ScopedJoinHandle, scope};

use dpdk::{Eal, RegisteredThread};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::StartError;
use crate::environment::pin;
use crate::worker::Worker;

/// Runs each worker on its core, and `meanwhile` on this thread, until `stop` is set: by a signal,
/// or because a worker ended.
///
/// # Errors
/// Why the first worker that failed did so.
pub fn run(
    eal: &Eal,
    workers: &mut [Worker<'_, '_>],
    cores: &[u32],
    stop: &AtomicBool,
    meanwhile: impl FnOnce(),
) -> Result<(), StartError> {
    scope(|scope| {
        let threads = workers.iter_mut().zip(cores).map(|(worker, core)| {
            let number = worker.number();
            let work = move || {
                let result = work(eal, worker, *core, stop);
                stop.store(true, Ordering::Relaxed);
                result
            };
            let thread = Builder::new().name(format!("worker-{number}")).spawn_scoped(scope, work);
            thread.map_err(|source| StartError::system(format!("start worker {number}"), source))
        });
        let started: Result<Vec<ScopedJoinHandle<'_, _>>, _> = threads.collect();
        // A worker that did not start ends those that did: they are joined with the scope.
        let threads = started.inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
        meanwhile();
        let mut outcome = Ok(());
        for (number, thread) in (0..).zip(threads) {
            let ended = thread.join().unwrap_or(Err(StartError::WorkerPanicked { worker: number }));
            outcome = outcome.and(ended);
        }
        outcome
    })
}

fn work(eal: &Eal, worker: &mut Worker<'_, '_>, core: u32, stop: &AtomicBool) -> Result<(), StartError> {
    let _registered = enter(eal, core)?;
    // A panic ends the process in good order instead of leaving it without this worker.
    catch_unwind(AssertUnwindSafe(|| worker.run(stop)))
        .map_err(|_| StartError::WorkerPanicked { worker: worker.number() })
}

/// What a worker's thread does before its first turn: its core, and no capability, since it is
/// a thread that reads what strangers send. The main thread keeps its own for closing the ports.
fn enter(eal: &Eal, core: u32) -> Result<RegisteredThread<'_>, StartError> {
    pin(core)?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none)
        .map_err(|errno| StartError::system("give up a worker's capabilities", errno))?;
    eal.register_thread().map_err(|source| StartError::Eal(Box::new(source)))
}
