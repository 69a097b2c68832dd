//! `pinholectl`: look at a running Pinhole.

#![forbid(unsafe_code)]

mod arguments;
mod provisioned;
mod table;
mod tables;
mod trace;
mod trust;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use arguments::{Arguments, Command};
use clap::Parser as _;
use pinhole_admin::{Client, Event, Request, Response};
use pinhole_controlplane::config::{ADMIN_SOCKET, Config};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read us has seen enough.
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinholectl: {}", table::plain(&format!("{error:#}")));
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
        Command::Trace { phone, seconds, count, hex } => {
            let (device, seconds, messages) = (phone.clone(), *seconds, *count);
            return trace(arguments, phone, Request::Trace { device, seconds, messages, hex: *hex });
        }
        Command::Trust(command) => {
            let said = trust::run(command, arguments.config.as_deref(), arguments.socket.as_deref())?;
            return say(&table::plain(&said));
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
    let text = if arguments.json { tables::json(&response, all)? } else { tables::of(&response, all) };
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

fn trace(arguments: &Arguments, phone: &str, request: Request) -> anyhow::Result<()> {
    let socket = socket(arguments)?;
    if let Response::Phones(phones) = Client::connect(&socket)?.ask(Request::Phones)?
        && !phones.iter().any(|known| known.device == phone)
    {
        eprintln!("pinholectl: {phone} is not connected; waiting for it");
    }
    let client = Client::connect(&socket)?;
    let mut said = Ok(());
    client.trace(request, |traced| {
        let line = if arguments.json { table::json(&traced) } else { Ok(trace::shown(&traced)) };
        said = line.map_err(Into::into).and_then(|line| say(&line));
        said.is_ok()
    })?;
    said
}

fn say_event(event: &Event, json: bool) -> anyhow::Result<()> {
    say(&if json { table::json(event)? } else { tables::event(event) })
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
