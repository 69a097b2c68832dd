//! Sessions that come and go: what is left of a million of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pinhole_flow::Suite;
use serde_json::{Value, json};

use crate::FarmError;
use crate::pinhole::Control;

/// Sessions that are open at a time.
const BATCH: usize = 256;

/// Opens and closes `cycles` sessions, each with keys of its own and acknowledged twice.
///
/// # Errors
/// [`FarmError`].
pub fn churn(
    control: &mut Control,
    cycles: u64,
    suite: Suite,
    stop: &AtomicBool,
) -> Result<Value, FarmError> {
    let batch = BATCH.min(control.max_sessions());
    // The first batch has the data plane allocate what it will use again.
    let calls = control.plan(batch, suite)?;
    control.open(&calls)?;
    control.close(&calls)?;
    let (before, usage) = (control.sample(), control.usage());
    let (started, mut said) = (Instant::now(), 0);
    let mut done = 0;
    while done < cycles {
        if stop.load(Ordering::Relaxed) {
            return Err(FarmError::Stopped);
        }
        let count = (cycles - done).min(batch as u64) as usize;
        let calls = control.plan(count, suite)?;
        control.open(&calls)?;
        control.close(&calls)?;
        done += count as u64;
        if started.elapsed().as_secs() > said {
            said = started.elapsed().as_secs();
            eprintln!("{said:4} s: {done} of {cycles} sessions opened and closed");
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(json!({
        "cycles": done,
        "seconds": seconds,
        "cycles_per_second": (done as f64 / seconds).round(),
        "slots_open": control.slots_open(),
        "sessions_open": control.sessions_open(),
        "data_plane": before.until(&control.sample()),
        "usage_before": usage.map(|usage| usage.json()),
        "usage_after": control.usage().map(|usage| usage.json()),
    }))
}
