//! Keys and IVs, which every contestant gets alike.

use pinhole_flow::{MasterKey, Suite};
use pinhole_srtp::kernels::{Kind, SessionKeys};
use pinhole_srtp::session_keys;

use super::packets::Packet;

/// A flow's master key and salt, as `inline:` would carry them.
pub(super) fn key_and_salt(suite: Suite, flow: usize) -> Vec<u8> {
    let len = suite.key_len() + suite.salt_len();
    (0..len).map(|at| (flow >> (8 * (at % 2))) as u8 ^ (at as u8).wrapping_mul(29)).collect()
}

/// The session keys of a flow's RTP.
pub(super) fn keys(suite: Suite, flow: usize) -> anyhow::Result<SessionKeys> {
    let master = MasterKey::new(suite, &key_and_salt(suite, flow))
        .ok_or_else(|| anyhow::anyhow!("master key of {} refused", suite.name()))?;
    Ok(session_keys(suite, &master, Kind::Rtp))
}

/// The salt of GCM, which is shorter than that of counter mode.
pub(super) fn gcm_salt(salt: &[u8; 14]) -> [u8; 12] {
    let [salt @ .., _, _] = *salt;
    salt
}

/// Initialisation vector of counter mode (RFC 3711 section 4.1.1).
pub(super) fn counter_iv(salt: &[u8; 14], packet: &Packet) -> [u8; 16] {
    let mut padded = [0; 16];
    padded[..14].copy_from_slice(salt);
    let iv = u128::from_be_bytes(padded) ^ u128::from(packet.ssrc()) << 64 ^ u128::from(packet.index) << 16;
    iv.to_be_bytes()
}

/// Initialisation vector of GCM (RFC 7714 section 8.1).
pub(super) fn gcm_iv(salt: &[u8; 12], packet: &Packet) -> [u8; 12] {
    let mut padded = [0; 16];
    padded[4..].copy_from_slice(salt);
    let iv = u128::from_be_bytes(padded) ^ u128::from(packet.ssrc()) << 48 ^ u128::from(packet.index);
    let [_, _, _, _, iv @ ..] = iv.to_be_bytes();
    iv
}

/// Whether two tags are the same, without saying by the time that it takes where they differ.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
