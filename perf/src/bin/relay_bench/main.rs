//! The relay alone: frames in, frames out, no port and no driver.
//!
//! Sessions of one SRTP and one RTP leg, G.711 at 20 ms, AES_CM_128_HMAC_SHA1_80, bursts of 32 from
//! sessions in random order, every other burst from the phones. In each session a packet has gone each way before. Frames are made outside the timed part, each
//! with an index of its own, and what comes out is looked at. Beside it, in the same run, the bare kernel
//! with 10,000 keys. A round is the burst in the middle of its bursts. Only the ratios mean something: the nanoseconds are the machine's and the moment's.

mod clock;
#[path = "../../../../dataplane/srtp/tests/counting/mod.rs"]
mod counting;
mod frames;
mod kernel;
mod lines;
mod memory;
mod report;
mod scene;

use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use pinhole_srtp::kernels::{best, by_name};

use crate::frames::Pool;
use crate::kernel::Kernel;
use crate::lines::Lines;
use crate::report::{Rounds, YARDSTICK, report};
use crate::scene::Scene;

/// Numbers of sessions that are measured.
const SESSIONS: [u32; 5] = [10, 100, 1_000, 10_000, 100_000];

/// The relay alone, from 10 to 100,000 sessions, beside the bare kernel. Progress goes to stderr; the last line
/// of stdout is one JSON object.
#[derive(Parser)]
struct Options {
    /// Fewer rounds: under a minute.
    #[arg(long)]
    quick: bool,
    /// Rounds, instead of 7 (quick) or 31.
    #[arg(long)]
    rounds: Option<usize>,
    /// Bursts of one round, half of them from the phones.
    #[arg(long, default_value_t = 512)]
    bursts: usize,
    /// The engine: auto, avx512, avx2 or portable.
    #[arg(long, default_value = "auto")]
    engine: String,
    /// Only these numbers of sessions.
    #[arg(long, value_delimiter = ',', default_values_t = SESSIONS)]
    sessions: Vec<u32>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let engine = || match options.engine.as_str() {
        "auto" => Some(best()),
        name => by_name(name),
    };
    let name = engine().context("--engine: no such engine, or not on this processor")?.name();
    let rounds = options.rounds.unwrap_or(if options.quick { 7 } else { 31 });
    let started = Instant::now();
    let cycles_per_ns = clock::cycles_per_ns();
    let bytes = memory::bytes_per_session(best())?;
    let mut pool = Pool::new();
    let mut scenes = Vec::new();
    for sessions in &options.sessions {
        eprintln!("{:6.1} s  opening {sessions} sessions", started.elapsed().as_secs_f64());
        let mut scene = Scene::open(*sessions, engine().context("engine")?)?;
        scene.warm_up(&mut pool)?;
        scenes.push((scene, Rounds::default()));
    }
    let mut kernel = Kernel::new(YARDSTICK as usize, engine().context("engine")?)?;
    let (mut bare, mut lines, mut memory) = (Vec::new(), Lines::new(), Vec::new());
    // The first round warms everything up and does not count.
    for round in 0..=rounds {
        let mut line = String::new();
        for (scene, done) in &mut scenes {
            let slice = scene.run(&mut pool, options.bursts)?;
            line += &format!(" {}: {:.0}", scene.sessions(), slice.whole_ns());
            done.allocations += slice.allocations;
            if round > 0 {
                done.whole.push(slice.whole_ns());
                done.inwards.push(slice.inwards_ns);
                done.outwards.push(slice.outwards_ns);
                done.stages.push(slice.stages.map(|cycles| cycles / cycles_per_ns));
            }
        }
        let ns = kernel.run(options.bursts)?;
        if round > 0 {
            bare.push(ns);
            memory.push(lines.run(options.bursts));
        }
        eprintln!("{:6.1} s  ns per packet:{line}, kernel {ns:.0}", started.elapsed().as_secs_f64());
    }
    println!("{}", report(&scenes, &bare, &memory, bytes, name, cycles_per_ns));
    Ok(())
}
