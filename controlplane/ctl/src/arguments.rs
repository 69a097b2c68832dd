//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{provisioned, trust};

/// Looks at a running Pinhole: tables for people, --json for programs.
#[derive(Parser)]
#[command(version)]
pub struct Arguments {
    /// The admin socket [default: what --config names, or /run/pinhole/admin.sock].
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "config")]
    pub socket: Option<PathBuf>,
    /// The configuration file that names the admin socket.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One JSON value instead of tables; of events and traces, one per line.
    #[arg(long, global = true)]
    pub json: bool,
    /// What is to be shown or done.
    #[command(subcommand)]
    pub command: Command,
}

/// What is to be shown or done.
#[derive(Clone, Subcommand)]
pub enum Command {
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
    /// One phone's signalling, decrypted, as it passes: what comes and goes on both sides, SIP and SCCP. Keys and passwords are
    /// masked. The control plane's log says who has looked.
    Trace {
        /// The device name, such as SEP0010DB000001.
        phone: String,
        /// For how long.
        #[arg(long, value_name = "N", default_value_t = 600)]
        seconds: u32,
        /// How many messages at most.
        #[arg(long, value_name = "N")]
        count: Option<u64>,
        /// SCCP in hexadecimal digits too, without those bytes that could be keys.
        #[arg(long)]
        hex: bool,
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

#[cfg(test)]
mod tests;
