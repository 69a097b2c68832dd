//! The command line of `phonefarm`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, value_parser};
use phonefarm::Device;
use phonefarm::attack::Scenario;
use pinhole_flow::Suite;

/// Plays both sides of thousands of calls against a running pinhole-dataplane and accounts for every
/// packet: lost, twice, or with one wrong byte.
///
/// It attaches as the only control plane, so stop pinhole-controlplane first. Progress goes to standard
/// error; the last line of standard output is one JSON object. The configuration's first
/// [[dataplane.port]] faces the phones, the second the call manager; each needs a mac.
#[derive(Parser)]
#[command(version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Play calls for a while and tell what was lost, wrong, and how late.
    Run(Run),
    /// Search for the highest rate without loss (RFC 2544).
    Search(Find),
    /// Open and close sessions, and tell what is left of them.
    Churn(Churn),
    /// Attack while a few calls are played, and tell what the attack achieved.
    Attack(Attack),
    /// Measure the farm alone, without a data plane: how many packets it makes and checks.
    Alone(Alone),
}

#[derive(Args, Clone)]
pub struct Target {
    /// The data plane's configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Our end outside: virtio:/PATH.sock, af_packet:IFACE or af_xdp:IFACE. By default the other end of the
    /// data plane's vhost socket.
    #[arg(long, value_name = "DEVICE")]
    pub outside: Option<Device>,
    /// Our end inside.
    #[arg(long, value_name = "DEVICE")]
    pub inside: Option<Device>,
    /// The core that the farm runs on; not one of the data plane's worker cores.
    #[arg(long, default_value_t = 0)]
    pub core: u32,
    /// Suite of the phones' keys.
    #[arg(long, default_value = "AES_CM_128_HMAC_SHA1_80", value_parser = suite)]
    pub suite: Suite,
    /// Determines the order of the calls, their phases and their payloads.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    pub target: Target,
    /// Calls at a time.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=100_000))]
    pub sessions: u32,
    /// For how long.
    #[arg(long, default_value_t = 60, value_parser = value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// Microseconds between two packets of a call in one direction.
    #[arg(long, default_value_t = 20_000, value_parser = value_parser!(u32).range(100..=1_000_000))]
    pub interval_us: u32,
    /// For this part of the calls a forged SRTP packet is sent for each real one.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub forged_share: f64,
}

#[derive(Args)]
pub struct Find {
    #[command(flatten)]
    pub target: Target,
    /// Calls at a time.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=100_000))]
    pub sessions: u32,
    /// Seconds of a trial.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=3_600))]
    pub trial: u32,
    /// Seconds of the last trial, at the rate found.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=3_600))]
    pub confirm: u32,
    /// The search ends when two rates differ by less than this part.
    #[arg(long, default_value_t = 0.02, value_parser = share)]
    pub resolution: f64,
    /// The part of the packets that may be lost.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub tolerance: f64,
    /// Million packets per second at most, both sides together.
    #[arg(long, default_value_t = 8.0)]
    pub max_mpps: f64,
}

#[derive(Args)]
pub struct Churn {
    /// The data plane's configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Sessions to open and close.
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    pub cycles: u64,
    /// Suite of the phones' keys.
    #[arg(long, default_value = "AES_CM_128_HMAC_SHA1_80", value_parser = suite)]
    pub suite: Suite,
}

#[derive(Args)]
pub struct Attack {
    /// What the attacker does.
    #[arg(value_enum)]
    pub scenario: Scenario,
    #[command(flatten)]
    pub target: Target,
    /// Calls that go on meanwhile.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=10_000))]
    pub sessions: u32,
    /// Packets of the attacker.
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    pub packets: u64,
    /// Packets of the attacker per second.
    #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub rate: u64,
}

#[derive(Args)]
pub struct Alone {
    /// The core that the farm runs on.
    #[arg(long, default_value_t = 0)]
    pub core: u32,
    /// Calls at a time.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u16).range(1..))]
    pub sessions: u16,
    /// For how long.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// Million packets per second to offer.
    #[arg(long, default_value_t = 20.0)]
    pub mpps: f64,
    /// Suite of the keys.
    #[arg(long, default_value = "AES_CM_128_HMAC_SHA1_80", value_parser = suite)]
    pub suite: Suite,
    /// A device from which somebody passes frames on to the other one as they are, such as dpdk-testpmd. By default
    /// the farm's ports give back what is sent.
    #[arg(long, value_name = "DEVICE", requires = "inside")]
    pub outside: Option<Device>,
    /// The other one.
    #[arg(long, value_name = "DEVICE", requires = "outside")]
    pub inside: Option<Device>,
}

fn suite(name: &str) -> Result<Suite, String> {
    Suite::from_name(name)
        .ok_or_else(|| format!("is no suite; there are {}", Suite::ALL.map(Suite::name).join(", ")))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be from 0 to 1".to_owned())
}
