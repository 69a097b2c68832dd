//! `pinhole-dataplane`: see the library.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use pinhole_dataplane::{StartError, config, log, process};
use signal_hook::consts::{SIGINT, SIGTERM};

/// The media process of Pinhole: relays and translates RTP and SRTP between DPDK ports.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file; only its [dataplane] table is read.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and exit.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::start();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), StartError> {
    let settings = config::load(&arguments.config)?;
    if arguments.check {
        tracing::info!("{}: the [dataplane] table is in order", arguments.config.display());
        return Ok(());
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|source| StartError::System { what: "set a signal handler".into(), source })?;
    }
    process::run(&settings, &stop)
}
