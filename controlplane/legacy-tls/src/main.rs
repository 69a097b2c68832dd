//! `pinhole-legacy-tls`: TLS 1.0 to 1.2 for old phones. The control plane starts it; by hand it does nothing.

#![forbid(unsafe_code)]

mod confine;
mod context;
mod phone;
mod process;
mod reports;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use pinhole_legacy_tls::{Channel, MESSAGE_MAX, Report, Settings};
use process::Process;
use zeroize::Zeroizing;

/// How long the control plane may take to say what is to be done.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinhole-legacy-tls: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    confine::at_once().context("the process cannot be confined")?;
    let channel = Channel::from_stdin().context("the control plane starts this program, not you")?;
    channel.set_timeout(PATIENCE).context("the control plane starts this program, not you")?;
    let mut buffer = Zeroizing::new(vec![0; MESSAGE_MAX]);
    let (length, listeners) = channel.receive(&mut buffer).context("no settings from the control plane")?;
    let settings = Settings::decode(buffer.get(..length).unwrap_or_default())?;
    let mut process = Process::new(channel, listeners, &settings)?;
    drop((settings, buffer));
    let confined = confine::for_good().context("the process cannot be confined")?;
    process.report(&Report::Ready(Report::text(&confined)));
    process.run()
}
