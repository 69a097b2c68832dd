//! Frames as a driver hands them over, and their contents.

use std::net::Ipv4Addr;

use pinhole_relay::PacketBuffer;

/// Bytes of a buffer, as in a DPDK memory pool: data room and metadata.
const ROOM: usize = 2176;
/// How many buffers there are: as many as a group of bursts, made in advance, needs.
const BUFFERS: usize = 512;
/// Ethernet, IPv4 and UDP headers.
pub const HEADERS: usize = 42;
/// G.711 at 20 ms.
pub const PAYLOAD: usize = 160;
/// The same with its RTP header.
pub const RTP: usize = 12 + PAYLOAD;

/// A frame: a handle on a buffer.
pub struct Frame {
    room: &'static mut [u8; ROOM],
    len: usize,
}

impl PacketBuffer for Frame {
    fn data(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or_default()
    }

    fn data_mut(&mut self) -> &mut [u8] {
        self.room.get_mut(..self.len).unwrap_or_default()
    }

    fn grow(&mut self, n: usize) -> Option<&mut [u8]> {
        let end = self.len.checked_add(n).filter(|end| *end <= ROOM)?;
        let start = std::mem::replace(&mut self.len, end);
        self.room.get_mut(start..end)
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

/// Buffers that are free, the one that was given back last first, as in a core's cache of a memory pool.
pub struct Pool(Vec<Frame>);

impl Pool {
    pub fn new() -> Self {
        let rooms = Box::leak(vec![[0; ROOM]; BUFFERS].into_boxed_slice());
        Self(rooms.iter_mut().map(|room| Frame { room, len: 0 }).collect())
    }

    /// A buffer of `len` bytes.
    pub fn take(&mut self, len: usize) -> Option<Frame> {
        let mut frame = self.0.pop()?;
        frame.len = len.min(ROOM);
        Some(frame)
    }

    pub fn give(&mut self, frame: Frame) {
        self.0.push(frame);
    }
}

/// Where a frame comes from and goes to.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub macs: [[u8; 6]; 2],
    pub source: (Ipv4Addr, u16),
    pub destination: (Ipv4Addr, u16),
}

/// Writes an RTP packet; its payload depends on stream and sequence number.
pub fn write_rtp(packet: &mut [u8], ssrc: u32, sequence: u16) {
    packet[..2].copy_from_slice(&[0x80, 0]);
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    for (at, byte) in packet[12..RTP].iter_mut().enumerate() {
        *byte = (at as u8).wrapping_mul(sequence as u8 | 1) ^ ssrc as u8;
    }
}

/// Writes the headers of a frame whose packet is written.
pub fn write_headers(frame: &mut [u8], addresses: &Addresses) {
    let len = frame.len();
    frame[..6].copy_from_slice(&addresses.macs[1]);
    frame[6..12].copy_from_slice(&addresses.macs[0]);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14..34].fill(0);
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&(len as u16 - 14).to_be_bytes());
    frame[22..24].copy_from_slice(&[60, 17]);
    frame[26..30].copy_from_slice(&addresses.source.0.octets());
    frame[30..34].copy_from_slice(&addresses.destination.0.octets());
    let sum = !ones_sum(0, &frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame[34..36].copy_from_slice(&addresses.source.1.to_be_bytes());
    frame[36..38].copy_from_slice(&addresses.destination.1.to_be_bytes());
    frame[38..40].copy_from_slice(&(len as u16 - 34).to_be_bytes());
    frame[40..42].fill(0);
    let pseudo = 17 + (len as u64 - 34);
    let sum = !ones_sum(pseudo, &frame[26..]);
    frame[40..42].copy_from_slice(&(if sum == 0 { 0xffff } else { sum }).to_be_bytes());
}

fn ones_sum(start: u64, bytes: &[u8]) -> u16 {
    let pair = |pair: &[u8]| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low));
    let mut sum = start + bytes.chunks(2).map(pair).sum::<u64>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
