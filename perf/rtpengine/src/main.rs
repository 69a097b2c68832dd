//! `callplayer`: the comparison's hands on the wire.
//!
//! `play` is sender and receiver of all calls, and knows nothing of who relays them. `open` sets the calls
//! up in a pinhole-dataplane, as rtpengine's control protocol does there. Both read from standard input
//! what to do next, answer each line with one JSON object on standard output, and end when it ends.

mod calls;
mod open;
mod play;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use phonefarm::Device;
use pinhole_flow::MacAddr;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays all calls at the rate of each line read: `PACKETS-PER-SECOND SECONDS`.
    Play {
        /// The calls, as JSON.
        #[arg(long)]
        calls: PathBuf,
        /// The phones' device, such as `af_xdp:phones0`.
        #[arg(long)]
        outside: Device,
        /// The desks' device.
        #[arg(long)]
        inside: Device,
        /// The relay's MAC address outside.
        #[arg(long)]
        outside_mac: MacAddr,
        /// The relay's MAC address inside.
        #[arg(long)]
        inside_mac: MacAddr,
        /// There is no relay: what is sent on one device arrives at the other as it is.
        #[arg(long)]
        direct: bool,
        /// Core of the thread that sends and receives.
        #[arg(long, default_value_t = 0)]
        core: u32,
    },
    /// Opens calls in a pinhole-dataplane and tells which; each line read is answered with its counters.
    Open {
        /// The data plane's configuration file.
        #[arg(long)]
        config: PathBuf,
        /// How many calls.
        #[arg(long)]
        count: usize,
        /// MAC address of the phones.
        #[arg(long)]
        phones_mac: MacAddr,
        /// MAC address of the desks.
        #[arg(long)]
        desks_mac: MacAddr,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Play { calls, outside, inside, outside_mac, inside_mac, direct, core } => {
            let relay = (!direct).then_some([outside_mac.0, inside_mac.0]);
            play::run(&calls::read(&calls)?, [outside, inside], relay, core)
        }
        Command::Open { config, count, phones_mac, desks_mac } => {
            open::run(&config, count, [phones_mac, desks_mac])
        }
    }
}
