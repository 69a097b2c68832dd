//! Initialisation vectors.

/// Counter mode (RFC 3711 section 4.1.1): `salt * 2^16 XOR ssrc * 2^64 XOR index * 2^16`.
pub(crate) fn counter(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut padded = [0; 16];
    for (to, from) in padded.iter_mut().zip(salt) {
        *to = *from;
    }
    let iv = u128::from_be_bytes(padded) ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16;
    iv.to_be_bytes()
}

/// GCM (RFC 7714 sections 8.1 and 9.1): two zero bytes, SSRC, 48-bit index, XOR the salt. The
/// SRTCP index stands in the low 31 bits of the 48.
pub(crate) fn gcm(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut iv = *salt;
    let counted = (u128::from(ssrc) << 48 | u128::from(index)).to_be_bytes();
    for (to, from) in iv.iter_mut().zip(counted.into_iter().skip(4)) {
        *to ^= from;
    }
    iv
}
