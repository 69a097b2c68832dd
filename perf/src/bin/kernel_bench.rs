//! The kernels beside RustCrypto, OpenSSL, libsrtp2 and intel-ipsec-mb, in one run.
//!
//! 172-byte RTP packets of flows with a key each, in random order. Only the ratios mean something: the
//! nanoseconds are the machine's and the moment's.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use pinhole_perf::kernel::Role;
use pinhole_perf::kernel::alone::floors;
use pinhole_perf::kernel::contestant::{IPSEC_MB, LIBSRTP2, RUSTCRYPTO, SUITES};
use pinhole_perf::kernel::measure::{Arena, Case, Score};
use serde_json::{Map, Value, json};

/// The most keys that are measured.
const MOST_KEYS: usize = 10_000;
/// The most keys that libsrtp2 is measured with, unless it is asked for by name: the packaged one needs minutes to
/// free 10,000 sessions.
const LIBSRTP_KEYS: usize = 1_024;
/// Where the figures are taken.
const FIGURES_AT: (Role, usize, usize) = (Role::Protect, 1_024, 32);
/// Each figure, the suite and the contestant that it is about.
const FIGURES: [(&str, &str, &str); 3] = [
    ("kernel.cm80.vs_ipsec_mb", "cm80", IPSEC_MB),
    ("kernel.cm80.vs_rustcrypto", "cm80", RUSTCRYPTO),
    ("kernel.gcm128.vs_ipsec_mb", "gcm128", IPSEC_MB),
];

/// The kernels beside RustCrypto, OpenSSL, libsrtp2 and intel-ipsec-mb. Progress goes to stderr; the last line
/// of stdout is one JSON object.
#[derive(Parser)]
struct Options {
    /// Fewer rounds: under a minute.
    #[arg(long)]
    quick: bool,
    /// Only these suites: cm80, cm256_80, gcm128, gcm256.
    #[arg(long, value_delimiter = ',')]
    suites: Vec<String>,
    /// Only one role: protect or unprotect.
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,
    /// Only these contestants, such as avx2 or ipsec-mb, and our best engine.
    #[arg(long, value_delimiter = ',')]
    contestants: Vec<String>,
    /// Numbers of keys, at most 10,000.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 1_024, MOST_KEYS])]
    keys: Vec<usize>,
    /// Packets in a burst, at most 64.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 8, 16, 32, 64])]
    bursts: Vec<usize>,
    /// Rounds, instead of 7 (quick) or 25; where the figures are taken, four times as many.
    #[arg(long)]
    rounds: Option<usize>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    anyhow::ensure!(
        options.keys.iter().all(|keys| (1..=MOST_KEYS).contains(keys)),
        "--keys: from 1 to {MOST_KEYS}"
    );
    anyhow::ensure!(options.bursts.iter().all(|burst| (1..=64).contains(burst)), "--bursts: from 1 to 64");
    let wanted = |list: &[String], name: &str| list.is_empty() || list.iter().any(|wanted| wanted == name);
    let started = Instant::now();
    let mut out = Map::new();
    let mut rows = Vec::new();
    for (name, suite) in SUITES.into_iter().filter(|(name, _)| wanted(&options.suites, name)) {
        for role in Role::ALL.into_iter().filter(|role| wanted(&options.roles, role.name())) {
            for &keys in &options.keys {
                let takes_part = |name: &str| {
                    let too_slow = name == LIBSRTP2 && keys > LIBSRTP_KEYS && options.contestants.is_empty();
                    wanted(&options.contestants, name) && !too_slow
                };
                let mut arena = Arena::new(suite, role, keys, takes_part)?;
                for &burst in &options.bursts {
                    let figures = (role, keys, burst) == FIGURES_AT;
                    let rounds = options.rounds.unwrap_or(if options.quick { 7 } else { 25 });
                    let case = Case { burst, rounds: if figures { 4 * rounds } else { rounds } };
                    let scores = arena.measure(case)?;
                    progress(started.elapsed(), name, role, keys, burst, &scores);
                    if figures {
                        out.extend(figures_of(name, &scores));
                        out.extend(floors(name));
                    }
                    rows.push(json!({
                        "suite": name, "role": role.name(), "keys": keys, "burst": burst, "scores": scores,
                    }));
                }
            }
        }
    }
    out.insert("kernel.versions".into(), versions());
    out.insert("kernel.rows".into(), rows.into());
    println!("{}", Value::Object(out));
    Ok(())
}

/// One line for a person.
fn progress(elapsed: Duration, suite: &str, role: Role, keys: usize, burst: usize, scores: &[Score]) {
    let mut line = format!(
        "{:>4} s  {suite:<8} {:<9} {keys:>6} keys  burst {burst:>2} ",
        elapsed.as_secs(),
        role.name(),
    );
    for Score { name, way, ns, ratio } in scores {
        line += &format!(" | {name} {:.0} ns ({:.2}x)", ns.median, ratio.median);
        if !way.is_empty() {
            line += &format!(" {way}");
        }
    }
    eprintln!("{line}");
}

/// The figures of a suite, with the tier that they are about.
fn figures_of(suite: &str, scores: &[Score]) -> Vec<(String, Value)> {
    let Some(ours) = scores.first() else { return Vec::new() };
    let figure = |(figure, of, contestant): (&str, &str, &str)| {
        let theirs = scores.iter().find(|score| of == suite && score.name == contestant)?;
        let value = json!({
            "value": theirs.ratio.median, "min": theirs.ratio.min, "max": theirs.ratio.max,
            "tier": ours.name, "way": theirs.way,
        });
        Some((figure.to_owned(), value))
    };
    FIGURES.into_iter().filter_map(figure).collect()
}

fn versions() -> Value {
    json!({ "ipsec-mb": ipsec_mb::version(), "OpenSSL": openssl_evp::version(), "libsrtp2": libsrtp2::version() })
}
