//! The Internet checksum (RFC 1071).

use std::net::Ipv4Addr;

use pinhole_srtp::kernels::sum;

use crate::frame::{IPV4, PROTOCOL_UDP};

/// A running one's-complement sum of 16-bit words as they lie in memory. The sum is the same in either
/// byte order, only swapped (RFC 1071 section 2), so words are added as the processor reads them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes. Only the last part of a sum may have an odd length.
    #[inline]
    pub fn add(self, bytes: &[u8]) -> Self {
        Self(self.0 + sum(bytes))
    }

    /// Adds an IPv4 header, which is too short to be worth vectors.
    #[inline]
    pub fn add_header(self, header: &[u8]) -> Self {
        let words =
            |words: &[[u8; 4]]| words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum::<u64>();
        // One without options is added without a loop.
        let fixed: Result<&[u8; IPV4], _> = header.try_into();
        Self(self.0 + fixed.map_or_else(|_| words(header.as_chunks().0), |fixed| words(fixed.as_chunks().0)))
    }

    /// Adds an address.
    #[inline]
    pub fn add_address(self, address: Ipv4Addr) -> Self {
        Self(self.0 + u64::from(u32::from_ne_bytes(address.octets())))
    }

    /// Adds a number that stands for a big-endian word.
    #[inline]
    pub fn add_word(self, word: u16) -> Self {
        Self(self.0 + u64::from(u16::from_ne_bytes(word.to_be_bytes())))
    }

    /// Adds another sum, [folded](Self::folded).
    #[inline]
    pub fn add_folded(self, folded: u16) -> Self {
        Self(self.0 + u64::from(folded))
    }

    /// The sum as one word, as it lies in memory: as good as the words that were added.
    #[inline]
    pub fn folded(self) -> u16 {
        // Each half is added to the other: the carry out of the lower one arrives in the higher.
        let half = (self.0.wrapping_add(self.0.rotate_left(32)) >> 32) as u32;
        (half.wrapping_add(half.rotate_left(16)) >> 16) as u16
    }

    /// The checksum, as it lies in memory: the complement.
    #[inline]
    pub fn finish(self) -> [u8; 2] {
        (!self.folded()).to_ne_bytes()
    }
}

/// The sum of a UDP pseudo-header (RFC 768) without the length.
#[inline]
pub fn pseudo(source: Ipv4Addr, destination: Ipv4Addr) -> Sum {
    Sum::default().add_word(PROTOCOL_UDP.into()).add_address(source).add_address(destination)
}

/// The checksum of an IPv4 header whose checksum field is zero; zero for a header whose checksum field
/// is filled in and right.
#[inline]
pub fn ipv4(header: &[u8]) -> [u8; 2] {
    Sum::default().add_header(header).finish()
}

/// The checksum of a UDP datagram (header and payload) over IPv4 whose checksum field is zero; zero for
/// one whose checksum field is filled in and right. Before it is sent, a checksum of 0 becomes 0xffff
/// (RFC 768).
#[inline]
pub fn udp(source: Ipv4Addr, destination: Ipv4Addr, datagram: &[u8]) -> [u8; 2] {
    // No datagram is longer than 65,535 bytes.
    pseudo(source, destination).add_word(datagram.len() as u16).add(datagram).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_the_rfc_1071_example() {
        assert_eq!(ipv4(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), (!0xddf2u16).to_be_bytes());
    }

    #[test]
    fn a_right_checksum_verifies_to_zero_also_with_an_odd_length() {
        let (source, destination) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 2));
        let mut datagram = [0x40, 0x00, 0x40, 0x01, 0, 11, 0, 0, 1, 2, 3];
        let sum = udp(source, destination, &datagram);
        datagram[6..8].copy_from_slice(&sum);
        assert_eq!(udp(source, destination, &datagram), [0; 2]);
    }
}
