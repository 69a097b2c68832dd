//! Initialisation vectors. They are numbers of 128 bits, the first byte the most significant.

/// Counter mode (RFC 3711 section 4.1.1): `salt * 2^16 XOR ssrc * 2^64 XOR index * 2^16`, of a
/// [`left_aligned`] salt.
pub(crate) fn counter(salt: u128, ssrc: u32, index: u64) -> u128 {
    salt ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16
}

/// GCM (RFC 7714 sections 8.1 and 9.1): two zero bytes, SSRC, 48-bit index, XOR the salt, in the
/// most significant 96 bits. The SRTCP index stands in the low 31 bits of the 48.
pub(crate) fn gcm(salt: u128, ssrc: u32, index: u64) -> u128 {
    salt ^ u128::from(ssrc) << 80 ^ u128::from(index) << 32
}

/// A salt of at most 16 bytes as the most significant bits.
pub(crate) fn left_aligned(salt: &[u8]) -> u128 {
    let mut block = [0; 16];
    for (to, from) in block.iter_mut().zip(salt) {
        *to = *from;
    }
    u128::from_be_bytes(block)
}
