//! Opaque tokens: the user part of our own Contact addresses.
//!
//! A token is a hash of what it stands for, not a random number: after a restart the same phone gets
//! the same token, so the call manager keeps one binding and running dialogs keep their Contact. It
//! grants nothing: who may use it is decided by the certificate (outside) and by the source address
//! (inside).

/// A token for `parts`; `T` and 26 base-32 digits.
pub(crate) fn token(parts: &[&str]) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let bytes: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    let mut rest = fnv128(&bytes);
    let mut out = String::with_capacity(27);
    out.push('T');
    for _ in 0..26 {
        let digit = DIGITS.get((rest & 31) as usize).copied().unwrap_or(b'0');
        out.push(char::from(digit));
        rest >>= 5;
    }
    out
}

/// FNV-1a, 128 bits, over parts that are kept apart.
pub(crate) fn fnv128(parts: &[&[u8]]) -> u128 {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for part in parts {
        for byte in part.iter().copied().chain([0]) {
            hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        }
    }
    // A last mix: FNV leaves the top bits of short inputs almost alone.
    hash ^= hash >> 64;
    hash = hash.wrapping_mul(PRIME);
    hash ^ (hash >> 61)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_stable_and_keeps_parts_apart() {
        assert_eq!(token(&["a", "b"]), token(&["a", "b"]));
        assert_ne!(token(&["a", "b"]), token(&["ab", ""]));
        assert_eq!(token(&["a"]).len(), 27);
    }
}
