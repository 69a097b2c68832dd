//! The Internet checksum (RFC 1071).

use std::net::Ipv4Addr;

/// Adds `bytes` to a running one's-complement sum, as big-endian words. Only the last part of a
/// sum may have an odd length.
fn add(sum: u64, bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<4>();
    let sum = words.iter().fold(sum, |sum, word| sum + u64::from(u32::from_be_bytes(*word)));
    let (halves, odd) = tail.as_chunks::<2>();
    let sum = halves.iter().fold(sum, |sum, half| sum + u64::from(u16::from_be_bytes(*half)));
    odd.iter().fold(sum, |sum, byte| sum + (u64::from(*byte) << 8))
}

/// Folds a sum to 16 bits.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // The loop has left at most 16 bits.
    sum as u16
}

/// The checksum of an IPv4 header whose checksum field is zero; 0 for a header whose checksum field
/// is filled in and right.
pub fn ipv4(header: &[u8]) -> u16 {
    !fold(add(0, header))
}

/// The checksum of a UDP datagram (header and payload) over IPv4 whose checksum field is zero; 0 for
/// one whose checksum field is filled in and right. Before it is sent, a checksum of 0 becomes 0xffff
/// (RFC 768): see [`udp_sent`].
pub fn udp(source: Ipv4Addr, destination: Ipv4Addr, datagram: &[u8]) -> u16 {
    let length = datagram.len() as u64;
    let sum = add(add(17 + length, &source.octets()), &destination.octets());
    !fold(add(sum, datagram))
}

/// The checksum as it is sent: never 0, which would say that there is none (RFC 768).
pub fn udp_sent(source: Ipv4Addr, destination: Ipv4Addr, datagram: &[u8]) -> u16 {
    match udp(source, destination, datagram) {
        0 => 0xffff,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_the_rfc_1071_example() {
        assert_eq!(ipv4(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn a_right_checksum_verifies_to_zero_also_with_an_odd_length() {
        let (source, destination) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 2));
        let mut datagram = [0x40, 0x00, 0x40, 0x01, 0, 11, 0, 0, 1, 2, 3];
        let sum = udp(source, destination, &datagram).to_be_bytes();
        datagram[6..8].copy_from_slice(&sum);
        assert_eq!(udp(source, destination, &datagram), 0);
    }
}
