//! What memory alone takes: lines in random order, with nothing else to do.

use std::hint::black_box;
use std::time::Instant;

use pinhole_relay::BURST;

use crate::clock::{Random, middle};

/// Lines that a packet needs of tables, session and keys.
pub const OF_PACKET: usize = 11;
/// Lines of as much memory as 10,000 sessions touch: sessions, slots and keys, about 36 MiB.
const LINES: usize = (36 << 20) / 64;

/// Memory to be read.
pub struct Lines {
    lines: Vec<[u64; 8]>,
    random: Random,
}

impl Lines {
    pub fn new() -> Self {
        Self { lines: vec![[1; 8]; LINES], random: Random(0x2545_f491_4f6c_dd1d) }
    }

    /// Nanoseconds per line, read a burst's at a time.
    pub fn run(&mut self, bursts: usize) -> f64 {
        let mut spent = Vec::with_capacity(bursts);
        for _ in 0..bursts {
            let places: [usize; OF_PACKET * BURST] = std::array::from_fn(|_| self.random.below(LINES));
            let start = Instant::now();
            black_box(
                places.iter().filter_map(|place| self.lines.get(*place)).fold(0, |sum, line| sum ^ line[0]),
            );
            spent.push(start.elapsed().as_nanos() as f64 / places.len() as f64);
        }
        middle(spent)
    }
}
