//! The packet index: 48 bits, of which a packet carries the low 16 (RFC 3711 section 3.3.1).

/// The highest SRTP index there is; the master key is used up then (RFC 3711 section 9.2).
pub(crate) const MAX: u64 = (1 << 48) - 1;
/// The highest SRTCP index there is.
pub(crate) const RTCP_MAX: u32 = (1 << 31) - 1;

/// The index nearest to `highest` whose low 16 bits are `sequence` (RFC 3711 appendix A). `None` if
/// its rollover counter would be negative or have more than 32 bits.
#[inline]
pub(crate) fn estimate(highest: u64, sequence: u16) -> Option<u64> {
    let forward = sequence.wrapping_sub(highest as u16);
    if forward < 1 << 15 {
        highest.checked_add(u64::from(forward)).filter(|index| *index <= MAX)
    } else {
        highest.checked_sub(u64::from(forward.wrapping_neg()))
    }
}
