//! What the operations of our best engine take alone: no kernel that is built on them can be quicker.

use std::time::Instant;

use pinhole_srtp::kernels::{Rounds, rounds};
use serde_json::{Map, Value, json};

use crate::spread::Spread;

/// Times that a part is measured.
const TIMES: usize = 25;
/// How often it is done in each.
const REPEATED: usize = 4_096;

/// Each figure, its suite and part, and how often the part is done for a packet of 172 bytes, 160 of them
/// encrypted: with ROC, padding and HMAC's outer hash four blocks are hashed, a 32nd of each 32 messages'; ten
/// blocks, and with GCM one for the tag, are encrypted in three vectors; GHASH has ten, and two for header and lengths.
const PARTS: [(&str, &str, Rounds, f64); 4] = [
    ("kernel.cm80.sha1_floor_ns", "cm80", Rounds::Sha1, 4.0 / 32.0),
    ("kernel.cm80.aes_floor_ns", "cm80", Rounds::Aes, 3.0),
    ("kernel.gcm128.aes_floor_ns", "gcm128", Rounds::Aes, 3.0),
    ("kernel.gcm128.ghash_floor_ns", "gcm128", Rounds::Ghash, 3.0),
];

/// Nanoseconds per packet of the parts of a suite; none on a processor without AVX-512.
pub fn floors(suite: &str) -> Map<String, Value> {
    let parts = PARTS.into_iter().filter(|(_, of, ..)| *of == suite);
    let measured = parts.filter_map(|(name, _, part, times)| {
        let spread = Spread::of((0..TIMES).filter_map(|_| {
            let start = Instant::now();
            rounds(part, REPEATED).then(|| start.elapsed().as_nanos() as f64 / REPEATED as f64 * times)
        }))?;
        Some((name.to_owned(), json!(spread)))
    });
    measured.collect()
}
