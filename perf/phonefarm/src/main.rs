//! `phonefarm`: see the library.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};
use phonefarm::attack::{self, Scenario};
use phonefarm::pinhole::{self, Control};
use phonefarm::search::Search;
use phonefarm::stage::{Setting, perform, quiet};
use phonefarm::{Device, FarmError, Plan, churn, lone};
use pinhole_flow::Suite;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};

/// How long after the last packet that arrived the missing ones are given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// Plays both sides of thousands of calls against a running pinhole-dataplane and accounts for every
/// packet: lost, twice, or with one wrong byte.
///
/// It attaches as the only control plane, so stop pinhole-controlplane first. Progress goes to standard
/// error; the last line of standard output is one JSON object. The configuration's first
/// [[dataplane.port]] faces the phones, the second the call manager; each needs a mac.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
struct Target {
    /// The data plane's configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Our end outside: virtio:/PATH.sock, af_packet:IFACE or af_xdp:IFACE. By default the other end of the
    /// data plane's vhost socket.
    #[arg(long, value_name = "DEVICE")]
    outside: Option<Device>,
    /// Our end inside.
    #[arg(long, value_name = "DEVICE")]
    inside: Option<Device>,
    /// The core that the farm runs on; not one of the data plane's worker cores.
    #[arg(long, default_value_t = 0)]
    core: u32,
    /// Suite of the phones' keys.
    #[arg(long, default_value = "AES_CM_128_HMAC_SHA1_80", value_parser = suite)]
    suite: Suite,
    /// Determines the order of the calls, their phases and their payloads.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    target: Target,
    /// Calls at a time.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=100_000))]
    sessions: u32,
    /// For how long.
    #[arg(long, default_value_t = 60, value_parser = value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Microseconds between two packets of a call in one direction.
    #[arg(long, default_value_t = 20_000, value_parser = value_parser!(u32).range(100..=1_000_000))]
    interval_us: u32,
    /// For this part of the calls a forged SRTP packet is sent for each real one.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    forged_share: f64,
}

#[derive(Args)]
struct Find {
    #[command(flatten)]
    target: Target,
    /// Calls at a time.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=100_000))]
    sessions: u32,
    /// Seconds of a trial.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=3_600))]
    trial: u32,
    /// Seconds of the last trial, at the rate found.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=3_600))]
    confirm: u32,
    /// The search ends when two rates differ by less than this part.
    #[arg(long, default_value_t = 0.02, value_parser = share)]
    resolution: f64,
    /// The part of the packets that may be lost.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    tolerance: f64,
    /// Million packets per second at most, both sides together.
    #[arg(long, default_value_t = 8.0)]
    max_mpps: f64,
}

#[derive(Args)]
struct Churn {
    /// The data plane's configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Sessions to open and close.
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    cycles: u64,
    /// Suite of the phones' keys.
    #[arg(long, default_value = "AES_CM_128_HMAC_SHA1_80", value_parser = suite)]
    suite: Suite,
}

#[derive(Args)]
struct Attack {
    /// What the attacker does.
    #[arg(value_enum)]
    scenario: Scenario,
    #[command(flatten)]
    target: Target,
    /// Calls that go on meanwhile.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=10_000))]
    sessions: u32,
    /// Packets of the attacker.
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    packets: u64,
    /// Packets of the attacker per second.
    #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u64).range(1..=10_000_000))]
    rate: u64,
}

#[derive(Args)]
struct Alone {
    /// The core that the farm runs on.
    #[arg(long, default_value_t = 0)]
    core: u32,
    /// Calls at a time.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u16).range(1..))]
    sessions: u16,
    /// For how long.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Million packets per second to offer.
    #[arg(long, default_value_t = 20.0)]
    mpps: f64,
    /// Suite of the keys.
    #[arg(long, default_value = "AES_CM_128_HMAC_SHA1_80", value_parser = suite)]
    suite: Suite,
    /// A device from which somebody passes frames on to the other one as they are, such as dpdk-testpmd. By default
    /// the farm's ports give back what is sent.
    #[arg(long, value_name = "DEVICE", requires = "inside")]
    outside: Option<Device>,
    /// The other one.
    #[arg(long, value_name = "DEVICE", requires = "outside")]
    inside: Option<Device>,
}

fn suite(name: &str) -> Result<Suite, String> {
    Suite::from_name(name)
        .ok_or_else(|| format!("is no suite; there are {}", Suite::ALL.map(Suite::name).join(", ")))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be from 0 to 1".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(found) => {
            println!("{found}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<Value, FarmError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(FarmError::Signal)?;
    }
    let setting = |target: Target, sessions: u32| Setting {
        config: target.config,
        outside: target.outside,
        inside: target.inside,
        core: target.core,
        sessions: sessions as usize,
        suite: target.suite,
        seed: target.seed,
        stop: Arc::clone(&stop),
    };
    match command {
        Command::Run(run) => play(&run, &setting(run.target.clone(), run.sessions)),
        Command::Search(find) => {
            let search = Search {
                trial: Duration::from_secs(find.trial.into()),
                confirm: Duration::from_secs(find.confirm.into()),
                resolution: find.resolution.max(0.001),
                tolerance: find.tolerance,
                max_rate: find.max_mpps.clamp(0.001, 100.0) * 1e6,
                interval: Duration::from_millis(20),
            };
            perform(&setting(find.target, find.sessions), &mut quiet, |stage| search.run(stage))
        }
        Command::Churn(options) => {
            let settings = pinhole::load(&options.config)?;
            let mut control = Control::attach(&settings, [[2, 0, 0, 0, 0, 1]; 2])?;
            churn::churn(&mut control, options.cycles, options.suite, &stop)
        }
        Command::Attack(options) => {
            let setting = setting(options.target, options.sessions);
            attack::run(&setting, options.scenario, options.packets, options.rate)
        }
        Command::Alone(options) => {
            let alone = lone::Alone {
                core: options.core,
                sessions: options.sessions,
                suite: options.suite,
                rate: options.mpps.clamp(0.001, 100.0) * 1e6,
                duration: Duration::from_secs(options.seconds.into()),
                between: options.outside.zip(options.inside).map(|(outside, inside)| [outside, inside]),
            };
            lone::alone(&alone, &stop)
        }
    }
}

fn play(run: &Run, setting: &Setting) -> Result<Value, FarmError> {
    let interval = Duration::from_micros(run.interval_us.into());
    let duration = Duration::from_secs(run.seconds.into());
    let plan = Plan { interval, duration, patience: PATIENCE };
    perform(setting, &mut quiet, |stage| {
        let mut forger = attack::beside(stage, run.forged_share, interval, duration);
        let outcome = match &mut forger {
            Some(forger) => stage.play(&plan, Some(forger))?,
            None => stage.play(&plan, None)?,
        };
        let mut all = outcome.json();
        if let Value::Object(all) = &mut all {
            all.insert("sessions".into(), run.sessions.into());
            all.insert("interval_us".into(), run.interval_us.into());
            all.insert("forged".into(), json!(forger.map_or(0, |forger| forger.sent())));
        }
        Ok(all)
    })
}
