//! Sets calls up in a pinhole-dataplane over the contract, and holds them.

use std::io::{BufRead, Write};
use std::path::Path;

use phonefarm::pinhole::{Control, load};
use pinhole_flow::MacAddr;
use serde_json::json;

use crate::calls::{Call, SUITE};

/// Opens `count` calls, tells which, and keeps them until standard input ends. Each line read is answered with
/// the data plane's counters since the line before.
///
/// # Errors
/// The data plane cannot be attached to, or refuses a session.
pub fn run(config: &Path, count: usize, far: [MacAddr; 2]) -> anyhow::Result<()> {
    let mut control = Control::attach(&load(config)?, far.map(|mac| mac.0))?;
    let planned = control.plan(count, SUITE)?;
    control.open(&planned)?;
    let calls: Vec<Call> = planned.iter().map(Call::from).collect();
    let mut answers = std::io::stdout().lock();
    writeln!(answers, "{}", json!({"engine": control.engine(), "calls": calls}))?;
    answers.flush()?;
    let mut before = control.sample();
    for line in std::io::stdin().lock().lines() {
        line?;
        control.drain();
        let now = control.sample();
        writeln!(answers, "{}", before.until(&now))?;
        answers.flush()?;
        before = now;
    }
    control.close(&planned)?;
    Ok(())
}
