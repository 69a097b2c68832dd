//! Frames, made and read by code that shares nothing with the relay's.

use std::net::{Ipv4Addr, SocketAddrV4};

use pinhole_relay::PacketBuffer;

pub const OUR_OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
pub const OUR_INSIDE: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 5);
pub const OUR_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0x0a], [2, 0, 0, 0, 0, 0x0b]];
pub const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

/// A buffer of fixed size, so that a frame allocates nothing.
#[derive(Clone, Debug)]
pub struct TestBuffer {
    bytes: [u8; Self::SIZE],
    len: usize,
}

impl TestBuffer {
    pub const SIZE: usize = 2048;

    pub fn new(frame: &[u8]) -> Self {
        let mut buffer = Self { bytes: [0xee; Self::SIZE], len: frame.len() };
        buffer.bytes[..frame.len()].copy_from_slice(frame);
        buffer
    }
}

impl PacketBuffer for TestBuffer {
    fn data(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    fn grow(&mut self, n: usize) -> Option<&mut [u8]> {
        let end = self.len.checked_add(n).filter(|end| *end <= Self::SIZE)?;
        let start = std::mem::replace(&mut self.len, end);
        Some(&mut self.bytes[start..end])
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

/// A UDP datagram in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub destination_mac: [u8; 6],
    pub source_mac: [u8; 6],
    /// 802.1Q tag control information.
    pub tag: Option<u16>,
    pub tos: u8,
    pub ttl: u8,
    /// Flags and fragment offset.
    pub fragment: u16,
    pub options: Vec<u8>,
    pub source: SocketAddrV4,
    pub destination: SocketAddrV4,
    pub payload: Vec<u8>,
}

impl Packet {
    /// A datagram to one of our media addresses.
    pub fn new(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Self {
        let own = if *destination.ip() == OUR_OUTSIDE { OUR_MACS[0] } else { OUR_MACS[1] };
        Self {
            destination_mac: own,
            source_mac: PEER_MAC,
            tag: None,
            tos: 0,
            ttl: 57,
            fragment: 0,
            options: Vec::new(),
            source,
            destination,
            payload: payload.to_vec(),
        }
    }

    pub fn tagged(self, tag: u16) -> Self {
        Self { tag: Some(tag), ..self }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut udp = vec![0; 8];
        udp[0..2].copy_from_slice(&self.source.port().to_be_bytes());
        udp[2..4].copy_from_slice(&self.destination.port().to_be_bytes());
        udp[4..6].copy_from_slice(&(8 + self.payload.len() as u16).to_be_bytes());
        udp.extend(&self.payload);
        let sum = udp_sum(*self.source.ip(), *self.destination.ip(), &udp);
        udp[6..8].copy_from_slice(&sum.to_be_bytes());

        let words = 5 + self.options.len() / 4;
        let mut ip = vec![0x40 | words as u8, self.tos];
        ip.extend((4 * words as u16 + udp.len() as u16).to_be_bytes());
        ip.extend([0x12, 0x34]);
        ip.extend(self.fragment.to_be_bytes());
        ip.extend([self.ttl, 17, 0, 0]);
        ip.extend(self.source.ip().octets());
        ip.extend(self.destination.ip().octets());
        ip.extend(&self.options);
        let sum = !ones_sum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());

        let mut frame = [self.destination_mac, self.source_mac].concat();
        if let Some(tag) = self.tag {
            frame.extend([0x81, 0x00]);
            frame.extend(tag.to_be_bytes());
        }
        frame.extend([0x08, 0x00]);
        frame.extend(ip);
        frame.extend(udp);
        frame
    }

    pub fn buffer(&self) -> TestBuffer {
        TestBuffer::new(&self.bytes())
    }

    /// Reads a frame without padding, whose checksums must be right.
    pub fn read(frame: &[u8]) -> Self {
        let tagged = frame[12..14] == [0x81, 0x00];
        let tag = tagged.then(|| u16::from_be_bytes([frame[14], frame[15]]));
        let ip = &frame[if tagged { 18 } else { 14 }..];
        assert_eq!(frame[if tagged { 16 } else { 12 }..][..2], [0x08, 0x00]);
        let header_len = usize::from(ip[0] & 0xf) * 4;
        assert_eq!(ip[0] >> 4, 4);
        assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), ip.len(), "IP total length");
        assert_eq!(ones_sum(&ip[..header_len]), 0xffff, "IP checksum");
        assert_eq!(ip[9], 17);
        let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
        let udp = &ip[header_len..];
        let word = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
        assert_eq!(usize::from(word(4)), udp.len(), "UDP length");
        let mut unsummed = udp.to_vec();
        unsummed[6..8].fill(0);
        assert_eq!(word(6), udp_sum(address(12), address(16), &unsummed), "UDP checksum");
        Self {
            destination_mac: frame[..6].try_into().unwrap(),
            source_mac: frame[6..12].try_into().unwrap(),
            tag,
            tos: ip[1],
            ttl: ip[8],
            fragment: u16::from_be_bytes([ip[6], ip[7]]),
            options: ip[20..header_len].to_vec(),
            source: SocketAddrV4::new(address(12), word(0)),
            destination: SocketAddrV4::new(address(16), word(2)),
            payload: udp[8..].to_vec(),
        }
    }
}

/// One's-complement sum, byte by byte.
pub fn ones_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for (at, byte) in bytes.iter().enumerate() {
        sum += if at % 2 == 0 { u32::from(*byte) << 8 } else { u32::from(*byte) };
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

pub fn udp_sum(source: Ipv4Addr, destination: Ipv4Addr, udp: &[u8]) -> u16 {
    let mut pseudo = [source.octets(), destination.octets()].concat();
    pseudo.extend([0, 17]);
    pseudo.extend((udp.len() as u16).to_be_bytes());
    pseudo.extend(udp);
    match !ones_sum(&pseudo) {
        0 => 0xffff,
        sum => sum,
    }
}

/// An RTP packet of payload type 0 with 160 bytes that depend on the sequence number.
pub fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..160u16).map(|n| (n.wrapping_mul(sequence | 1) >> 1) as u8));
    packet
}

/// A compound RTCP packet: an empty receiver report and a CNAME.
pub fn rtcp(ssrc: u32) -> Vec<u8> {
    let ssrc = ssrc.to_be_bytes();
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc);
    packet.extend([0x81, 202, 0, 3]);
    packet.extend(ssrc);
    packet.extend([1, 5, b'p', b'h', b'o', b'n', b'e', 0]);
    packet
}
