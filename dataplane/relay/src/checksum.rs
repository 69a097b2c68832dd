//! The Internet checksum (RFC 1071).

use std::net::Ipv4Addr;

use pinhole_srtp::kernels::sum;

/// A running one's-complement sum of 16-bit words as they lie in memory. The sum is the same in either
/// byte order, only swapped (RFC 1071 section 2), so words are added as the processor reads them.
#[derive(Clone, Copy)]
struct Sum(u64);

impl Sum {
    /// Adds bytes. Only the last part of a sum may have an odd length.
    #[inline]
    fn add(self, bytes: &[u8]) -> Self {
        Self(self.0 + sum(bytes))
    }

    /// Adds an address.
    #[inline]
    fn add_address(self, address: Ipv4Addr) -> Self {
        Self(self.0 + u64::from(u32::from_ne_bytes(address.octets())))
    }

    /// Adds a number that stands for a big-endian word.
    #[inline]
    fn add_word(self, word: u16) -> Self {
        Self(self.0 + u64::from(u16::from_ne_bytes(word.to_be_bytes())))
    }

    /// The checksum: folded to 16 bits and complemented.
    #[inline]
    fn finish(self) -> u16 {
        let fold = |sum: u64, bits: u32| (sum & ((1 << bits) - 1)) + (sum >> bits);
        // At most 33, 18, 17 and 16 bits remain.
        let sum = fold(fold(fold(fold(self.0, 32), 16), 16), 16);
        !u16::from_be_bytes((sum as u16).to_ne_bytes())
    }
}

/// The checksum of an IPv4 header whose checksum field is zero; 0 for a header whose checksum field
/// is filled in and right.
#[inline]
pub fn ipv4(header: &[u8]) -> u16 {
    // Too short to be worth vectors.
    let (words, _) = header.as_chunks::<4>();
    words.iter().fold(Sum(0), |sum, word| Sum(sum.0 + u64::from(u32::from_ne_bytes(*word)))).finish()
}

/// The checksum of a UDP datagram (header and payload) over IPv4 whose checksum field is zero; 0 for
/// one whose checksum field is filled in and right. Before it is sent, a checksum of 0 becomes 0xffff
/// (RFC 768).
#[inline]
pub fn udp(source: Ipv4Addr, destination: Ipv4Addr, datagram: &[u8]) -> u16 {
    // No datagram is longer than 65,535 bytes.
    let pseudo = Sum(0).add_word(17).add_word(datagram.len() as u16);
    pseudo.add_address(source).add_address(destination).add(datagram).finish()
}

/// The checksum of a header or datagram that is about to be written, from its words and, of a
/// datagram, its payload: what was just written in parts is slow to read as a whole.
#[inline]
pub fn of(words: &[u16], addresses: [Ipv4Addr; 2], payload: Option<&[u8]>) -> u16 {
    let sum = words.iter().fold(Sum(0), |sum, word| sum.add_word(*word));
    let sum = addresses.iter().fold(sum, |sum, address| sum.add_address(*address));
    payload.map_or(sum, |payload| sum.add(payload)).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_the_rfc_1071_example() {
        assert_eq!(ipv4(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn the_checksum_of_words_and_payload_is_that_of_their_bytes() {
        let (source, destination) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 2));
        let datagram = [0x40, 0x00, 0x40, 0x01, 0, 13, 0, 0, 0xff, 2, 3, 4, 5];
        let words = [17, 13, 0x4000, 0x4001, 13];
        let expected = udp(source, destination, &datagram);
        assert_eq!(of(&words, [source, destination], Some(&datagram[8..])), expected);
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
