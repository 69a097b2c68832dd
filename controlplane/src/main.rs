//! `pinhole-controlplane`: the signalling process.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use pinhole_controlplane::config::Config;
use pinhole_controlplane::{Logging, Process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long phones wait for the data plane to be attached before they are served without.
const ATTACH_PATIENCE: Duration = Duration::from_secs(5);

/// The signalling process of Pinhole: terminates the phones' TLS, carries SIP to the call manager,
/// opens and closes pinholes in the data plane. Needs no privileges.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "/etc/pinhole/pinhole.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Validates a configuration file and says everything that is wrong with it.
    Check {
        /// The configuration file.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Check { file }) => check(&file),
        None => serve(&arguments.config),
    };
    done.unwrap_or_else(|error| {
        eprintln!("pinhole-controlplane: {error:#}");
        ExitCode::FAILURE
    })
}

fn check(file: &Path) -> anyhow::Result<ExitCode> {
    Config::load(file)?;
    println!("{}: ok", file.display());
    Ok(ExitCode::SUCCESS)
}

fn serve(file: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::load(file)?;
    let log = &config.controlplane.log;
    let shown = log.file.clone().unwrap_or_default();
    let logging = Logging::start(log)
        .with_context(|| format!("controlplane.log.file: {} cannot be opened", shown.display()))?;
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("signals cannot be received")?;
    let process = Process::start(config, file, ATTACH_PATIENCE, logging.lost())?;
    for signal in &mut signals {
        if signal != SIGHUP {
            break;
        }
        process.reload_certificates();
    }
    Ok(if process.stop() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
