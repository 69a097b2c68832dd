//! Packets of many flows in random order.

/// Bytes of an RTP packet: a header of 12 and 20 ms of G.711.
pub const PACKET: usize = 172;

/// Bytes of an RTP header without CSRCs and extension.
pub const HEADER: usize = 12;

/// The index of each flow's first packet: soon the sequence number rolls over.
const FIRST_INDEX: u64 = 65_520;

/// Bytes of room for a packet and any trailer; libsrtp2 asks for the most.
const ROOM: usize = PACKET + libsrtp2::ROOM;

/// A packet in its buffer, aligned as libsrtp2 wants it.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct Packet {
    /// The packet, and room behind it for a trailer.
    pub bytes: [u8; ROOM],
    /// Bytes in use.
    pub len: usize,
    /// Whose keys it has; its SSRC is the same number.
    pub flow: usize,
    /// ROC and sequence number.
    pub index: u64,
}

impl Packet {
    /// An empty buffer.
    pub fn new() -> Self {
        Self { bytes: [0; ROOM], len: 0, flow: 0, index: 0 }
    }

    /// The packet's bytes.
    pub fn packet(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The SSRC of the header.
    pub fn ssrc(&self) -> u32 {
        self.flow as u32
    }

    /// The rollover counter.
    pub fn roc(&self) -> u32 {
        (self.index >> 16) as u32
    }

    fn fill(&mut self, flow: usize, index: u64) {
        (self.flow, self.index, self.len) = (flow, index, PACKET);
        let sequence = index as u16;
        self.bytes[..4].copy_from_slice(&[0x80, 0, (sequence >> 8) as u8, sequence as u8]);
        self.bytes[4..8].copy_from_slice(&((index * 160) as u32).to_be_bytes());
        self.bytes[8..HEADER].copy_from_slice(&(flow as u32).to_be_bytes());
        self.bytes[HEADER..PACKET].fill(index as u8 ^ 0xd5);
    }
}

impl Default for Packet {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes plain packets of flows, with the next index of each flow.
pub struct Source {
    random: u64,
    next: Vec<u64>,
}

impl Source {
    /// A source of `flows` flows that have sent nothing yet.
    pub fn new(flows: usize) -> Self {
        Self { random: 0x9e37_79b9_7f4a_7c15, next: vec![FIRST_INDEX; flows] }
    }

    /// How many flows it has.
    pub fn flows(&self) -> usize {
        self.next.len()
    }

    /// Fills a batch with packets of the first `flows` flows in random order.
    pub fn fill(&mut self, packets: &mut [Packet], flows: usize) {
        for packet in packets {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.fill_one(packet, (self.random >> 20) as usize % flows);
        }
    }

    /// Makes a flow's next packet.
    pub fn fill_one(&mut self, packet: &mut Packet, flow: usize) {
        let index = self.next[flow];
        self.next[flow] += 1;
        packet.fill(flow, index);
    }
}
