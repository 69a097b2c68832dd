//! `pinholectl`: look at a running Pinhole.

#![forbid(unsafe_code)]

mod provisioned;
mod table;
mod tables;
mod trust;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use pinhole_admin::{Client, Event, Request, Response};
use pinhole_controlplane::config::{ADMIN_SOCKET, Config};

/// Looks at a running Pinhole: tables for people, --json for programs.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The admin socket [default: what --config names, or /run/pinhole/admin.sock].
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// The configuration file that names the admin socket.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON value instead of tables; of events, one per line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    /// The process and what it is attached to.
    Status,
    /// Phones that are connected or registered.
    Phones,
    /// Calls in progress.
    Calls,
    /// Media sessions: legs, addresses, suites, packets, drops, jitter, loss.
    Sessions,
    /// The data plane's workers: core, sessions, how busy, what went between them, drops.
    Workers,
    /// Counters of both processes.
    Counters {
        /// One group only, such as `provisioning`, `tls` or `dataplane`, with those below it.
        group: Option<String>,
        /// Also those that are zero.
        #[arg(long)]
        all: bool,
    },
    /// What happened lately.
    Events {
        /// Go on with what happens next.
        #[arg(long, short)]
        follow: bool,
    },
    /// Phones that fetch their configuration from us: who may, how far each has come, what it asked for.
    #[command(subcommand)]
    Phone(provisioned::Phone),
    /// The keys that phones trust, and the lists that name them.
    #[command(subcommand)]
    Trust(trust::Trust),
    /// Validates a configuration file.
    Check {
        /// The configuration file.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read us has seen enough.
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinholectl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let request = match &arguments.command {
        Command::Check { file } => {
            Config::load(file)?;
            return say(&format!("{}: ok", file.display()));
        }
        Command::Events { follow } => return events(arguments, *follow),
        Command::Trust(command) => {
            return say(&trust::run(command, arguments.config.as_deref(), arguments.socket.as_deref())?);
        }
        Command::Phone(phone) => phone.request(),
        Command::Status => Request::Status,
        Command::Phones => Request::Phones,
        Command::Calls => Request::Calls,
        Command::Sessions => Request::Sessions,
        Command::Workers => Request::Workers,
        Command::Counters { .. } => Request::Counters,
    };
    let all = matches!(arguments.command, Command::Counters { all: true, .. });
    let mut response = Client::connect(&socket(arguments)?)?.ask(request)?;
    if let (Command::Counters { group: Some(group), .. }, Response::Counters(counters)) =
        (&arguments.command, &mut response)
    {
        tables::only(group, counters)?;
    }
    let text = match (&response, arguments.json) {
        (Response::Status(status), true) => serde_json::to_string(status)?,
        (Response::Phones(phones), true) => serde_json::to_string(phones)?,
        (Response::Calls(calls), true) => serde_json::to_string(calls)?,
        (Response::Sessions(sessions), true) => serde_json::to_string(sessions)?,
        (Response::Workers(workers), true) => serde_json::to_string(workers)?,
        (Response::Counters(counters), true) => serde_json::to_string(counters)?,
        (Response::Provisioned(phones), true) => serde_json::to_string(phones)?,
        (Response::Changes { changes, .. }, true) => serde_json::to_string(changes)?,
        (Response::Password { .. }, true) => serde_json::to_string(&response)?,
        (response, _) => tables::of(response, all),
    };
    say(&text)
}

fn events(arguments: &Arguments, follow: bool) -> anyhow::Result<()> {
    let client = Client::connect(&socket(arguments)?)?;
    let mut said = Ok(());
    client.events(follow, |event| {
        said = say_event(&event, arguments.json);
        said.is_ok()
    })?;
    said
}

fn say_event(event: &Event, json: bool) -> anyhow::Result<()> {
    say(&if json { serde_json::to_string(event)? } else { tables::event(event) })
}

fn socket(arguments: &Arguments) -> anyhow::Result<PathBuf> {
    match (&arguments.socket, &arguments.config) {
        (Some(socket), _) => Ok(socket.clone()),
        (None, Some(file)) => {
            let config = Config::read(file).context("the admin socket's path cannot be read")?;
            Ok(config.controlplane.admin_socket)
        }
        (None, None) => Ok(ADMIN_SOCKET.into()),
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
