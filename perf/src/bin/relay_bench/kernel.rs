//! The bare kernel: what protection and its removal cost with cold keys and nothing around them.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use arrayvec::ArrayVec;
use pinhole_flow::Suite;
use pinhole_relay::BURST;
use pinhole_srtp::Direction;
use pinhole_srtp::kernels::{Engine, Job, Kind, Outcome};

use crate::clock::{Random, middle};
use crate::frames::{RTP, write_rtp};
use crate::scene::master;

const SUITE: Suite = Suite::AesCm128HmacSha1_80;
/// With its tag.
const SEALED: usize = RTP + 10;

/// Keys in random order.
pub struct Kernel {
    engine: Box<dyn Engine>,
    keys: Vec<Direction>,
    random: Random,
    index: u64,
}

/// A burst: which keys, and the packets.
struct Burst {
    keys: [usize; BURST],
    packets: Box<[[u8; SEALED + 10]; BURST]>,
    first: u64,
}

impl Kernel {
    pub fn new(keys: usize, engine: Box<dyn Engine>) -> Result<Self> {
        let derive = |number| Direction::derive(&master(SUITE, number, 7), &*engine);
        let keys = (0..keys as u32).map(|number| derive(number)?.context("a key"));
        let keys = keys.collect::<Result<_>>()?;
        Ok(Self { engine, keys, random: Random(88_172_645_463_325_252), index: 0 })
    }

    /// Nanoseconds per packet: half of the bursts are protected, half unprotected.
    pub fn run(&mut self, bursts: usize) -> Result<f64> {
        let mut spent = [Vec::new(), Vec::new()];
        let mut count = 0;
        while count < bursts {
            let some = 32.min(bursts - count);
            let mut made: Vec<Burst> = (0..some).map(|_| self.burst()).collect();
            for burst in made.iter_mut().step_by(2) {
                self.work(burst, true)?;
            }
            // Every other one is protected outside the timed part, and unprotected in it.
            for (number, burst) in made.iter_mut().enumerate() {
                let start = Instant::now();
                self.work(burst, number % 2 == 1)?;
                spent[number % 2].push(start.elapsed().as_nanos() as f64 / BURST as f64);
            }
            count += some;
        }
        let [unprotect, protect] = spent.map(middle);
        Ok(f64::midpoint(unprotect, protect))
    }

    fn burst(&mut self) -> Burst {
        let keys = std::array::from_fn(|_| self.random.below(self.keys.len()));
        let mut packets = Box::new([[0; SEALED + 10]; BURST]);
        self.index += BURST as u64;
        for (at, packet) in packets.iter_mut().enumerate() {
            write_rtp(packet, at as u32, (self.index + at as u64) as u16);
        }
        Burst { keys, packets, first: self.index }
    }

    fn work(&self, burst: &mut Burst, protect: bool) -> Result<()> {
        let mut jobs: ArrayVec<Job<'_>, BURST> = ArrayVec::new();
        for key in burst.keys {
            self.keys[key].prefetch(Kind::Rtp);
        }
        for ((at, packet), key) in burst.packets.iter_mut().enumerate().zip(burst.keys) {
            let len = if protect { RTP } else { SEALED };
            jobs.push(self.keys[key].job(Kind::Rtp, packet, len, 12, at as u32, burst.first + at as u64));
        }
        match protect {
            true => self.engine.protect(&mut jobs),
            false => self.engine.unprotect(&mut jobs),
        }
        ensure!(jobs.iter().all(|job| job.outcome == Outcome::Done), "the kernel failed");
        Ok(())
    }
}
