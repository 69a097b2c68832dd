//! `phonefarm`: see the library.

#![forbid(unsafe_code)]

mod options;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser;
use phonefarm::attack;
use phonefarm::pinhole::{self, Control};
use phonefarm::search::Search;
use phonefarm::stage::{Setting, perform, quiet};
use phonefarm::{FarmError, Plan, churn, lone};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::options::{Arguments, Command, Run, Target};

/// How long after the last packet that arrived the missing ones are given up.
const PATIENCE: Duration = Duration::from_secs(2);

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
