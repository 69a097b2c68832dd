//! For measurement only: the operations that a packet's bytes cost at least, with nothing around them.

/// A part of what the AVX-512 engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounds {
    /// A block of each of 32 messages, hashed with SHA-1.
    Sha1,
    /// A vector of four blocks, encrypted with AES-128.
    Aes,
    /// A vector of four blocks, multiplied for GHASH.
    Ghash,
}

/// Does a part `n` times with all that it needs at hand: no packet or key is fetched, transposed, padded or
/// stored, and no result is of use. False, and nothing is done, on a processor without the engine.
#[must_use]
pub fn rounds(part: Rounds, n: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    return crate::simd::rounds(part, n);
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (part, n);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_done_where_there_is_the_engine() {
        let there = crate::by_name("avx512").is_some();
        assert_eq!([Rounds::Sha1, Rounds::Aes, Rounds::Ghash].map(|part| rounds(part, 3)), [there; 3]);
    }
}
