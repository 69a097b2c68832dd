//! `phonestorm`: see the library.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use phonestorm::StormError;
use phonestorm::certificates::{self, Keys};
use phonestorm::measure::Storm;
use phonestorm::speech::Speech;
use rustls::SupportedProtocolVersion;

/// Thousands of phones that register at once with a running pinhole-controlplane, and the call manager behind it.
///
/// Progress goes to standard error; the last line of standard output is one JSON object.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the certificates of a storm in a directory, for the control plane's configuration and for `run`.
    Certificates {
        /// Where.
        #[arg(long)]
        directory: PathBuf,
        /// Of what kind.
        #[arg(long, default_value = "rsa")]
        keys: Keys,
    },
    /// Register phones, keep them alive, let them leave; tell what the control plane used for it.
    Run(Run),
}

#[derive(Args)]
struct Run {
    /// What the phones speak.
    #[arg(long, default_value = "sccp")]
    speech: Speech,
    /// The control plane's listener for phones, such as 203.0.113.5:2443.
    #[arg(long)]
    to: SocketAddr,
    /// Where the call manager is to listen, as the control plane's configuration has it.
    #[arg(long)]
    call_manager: SocketAddr,
    /// Where the certificates are.
    #[arg(long)]
    certificates: PathBuf,
    /// TLS version of the phones.
    #[arg(long, default_value = "1.2")]
    tls: Version,
    /// Phones that come at once.
    #[arg(long, default_value_t = 2_000, value_parser = value_parser!(u32).range(1..=100_000))]
    phones: u32,
    /// Phones that are there before and notice how long their keep-alives take meanwhile.
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..=1_000))]
    before: u32,
    /// How often they come and leave.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds for which they keep alive after the last time, each every 30 s.
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u32).range(1..=3_600))]
    steady: u32,
    /// Process of the control plane.
    #[arg(long)]
    pid: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Version {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

impl Version {
    fn of_rustls(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::Tls12 => &rustls::version::TLS12,
            Self::Tls13 => &rustls::version::TLS13,
        }
    }
}

fn main() -> ExitCode {
    match perform(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn perform(command: Command) -> Result<(), StormError> {
    match command {
        Command::Certificates { directory, keys } => certificates::make(&directory, keys),
        Command::Run(run) => {
            let storm = Storm {
                speech: run.speech,
                to: run.to,
                call_manager: run.call_manager,
                certificates: run.certificates,
                version: run.tls.of_rustls(),
                phones: run.phones as usize,
                before: run.before as usize,
                rounds: run.rounds as usize,
                steady: Duration::from_secs(run.steady.into()),
                pid: run.pid,
            };
            println!("{}", storm.run(&mut |text| eprintln!("{text}"))?);
            Ok(())
        }
    }
}
