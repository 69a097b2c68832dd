//! Packets that never authenticate, or are broken.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::Scenario;
use crate::clock::Clock;
use crate::forge::{Forger, Frame, View, datagram};
use crate::frame::{Path, Rtp};
use crate::pacing::{Pace, Random};
use crate::payload;
use crate::pinhole::Call;

/// Bytes of an SRTP packet with an 80-bit tag.
const SRTP: usize = 12 + payload::LEN + 10;
/// Packets of one foreign SSRC in a row.
const RUN: u64 = 256;
/// Largest broken packet in bytes.
const BROKEN_MAX: u64 = 64;

/// Forged packets at a steady rate, on the calls in turn.
pub struct Flood {
    scenario: Scenario,
    /// How the phone's and the desk's frames go to the data plane, by call.
    paths: Vec<[Path; 2]>,
    limit: u64,
    rate: u64,
    second: u64,
    pace: Option<Pace>,
    sent: u64,
    heard: u64,
    random: Random,
}

impl Flood {
    /// `packets` packets, `rate` in a second, against `calls`.
    pub fn new(scenario: Scenario, calls: &[Call], packets: u64, rate: u64, clock: &Clock) -> Self {
        Self {
            scenario,
            paths: calls.iter().map(|call| [call.inwards.send, call.outwards.send]).collect(),
            limit: packets,
            rate,
            second: clock.ticks(std::time::Duration::from_secs(1)),
            pace: None,
            sent: 0,
            heard: 0,
            random: Random::new(7),
        }
    }

    /// Packets sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Datagrams that came out of the data plane for nobody.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// SRTP that looks right but for its tag, and payload.
    fn srtp(&mut self, header: Rtp) -> [u8; SRTP] {
        let mut packet = [0; SRTP];
        let (head, body) = packet.split_at_mut(12);
        head.copy_from_slice(&header.header());
        for (to, from) in
            body.chunks_mut(8).zip(std::iter::from_fn(|| Some(self.random.number().to_ne_bytes())))
        {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = from);
        }
        packet
    }

    /// The header of packet `number` on call `call`.
    fn header(&mut self, number: u64, call: usize, view: &View<'_>) -> Option<Rtp> {
        let next = view.next_header(2 * call as u32)?;
        let round = number / self.paths.len() as u64;
        Some(match self.scenario {
            Scenario::RandomSsrc => {
                let random = self.random.number();
                Rtp { ssrc: random as u32, sequence: (random >> 32) as u16, timestamp: (random >> 24) as u32 }
            }
            // A quarter of a rollover further with each packet: who keeps what he guesses is led to ROC 1, 2, 3
            // and on, under the call's SSRC and under others.
            Scenario::ForgedRoc => {
                let sequence = next.sequence.wrapping_add((round as u16).wrapping_mul(0x4000));
                let foreign = (number / RUN) as u32 ^ 0x5eed_0000;
                let ssrc = if round.is_multiple_of(2) { next.ssrc } else { foreign };
                Rtp { sequence, ssrc, ..next }
            }
            _ => next,
        })
    }

    /// A broken RTP or RTCP packet, and the way it goes.
    fn broken(&mut self, number: u64, call: usize) -> Option<(Path, Vec<u8>)> {
        let leg = (number / self.paths.len() as u64) as usize % 2;
        let mut path = *self.paths.get(call)?.get(leg)?;
        let random = self.random.number();
        let len = self.random.below(BROKEN_MAX + 1) as usize;
        let mut packet: Vec<u8> = (0..len).map(|_| self.random.number() as u8).collect();
        let rtcp = random & 1 != 0;
        if rtcp {
            path.source.set_port(path.source.port() + 1);
            path.destination.set_port(path.destination.port() + 1);
        }
        let (first, rest) = packet.split_first_mut()?;
        match (random >> 1) % 4 {
            // Another version than 2.
            0 => *first = (*first & 0x3f) | [0x00, 0x40, 0xc0][(random >> 8) as usize % 3],
            // 15 contributing sources need 60 bytes behind 12.
            1 if !rtcp => *first = 0x8f,
            // An extension that ends behind the packet.
            2 if !rtcp => {
                *first = 0x90;
                if let Some(words) = rest.get_mut(13..15) {
                    words.copy_from_slice(&0xff00_u16.to_be_bytes());
                }
            }
            // More padding than payload.
            3 if !rtcp => {
                *first = 0xa0;
                if let Some(last) = rest.last_mut() {
                    *last = 255;
                }
            }
            // RTCP whose length field contradicts its length.
            _ => {
                *first = 0x80;
                for (to, from) in rest.iter_mut().zip([200, 0xff, 0xf0]) {
                    *to = from;
                }
            }
        }
        Some((path, packet))
    }
}

impl Forger for Flood {
    fn stranger(&mut self, _port: usize, _frame: &[u8]) {
        self.heard += 1;
    }

    fn is_at_work(&self) -> bool {
        self.sent < self.limit
    }

    fn forge(&mut self, now: u64, view: &View<'_>, frame: &mut Frame) -> Option<usize> {
        let (second, rate) = (self.second, self.rate);
        let pace = self.pace.get_or_insert_with(|| Pace::new(now, second, rate as usize));
        if self.sent >= self.limit || pace.due(now) <= self.sent {
            return None;
        }
        let number = self.sent;
        let call = (number % self.paths.len().max(1) as u64) as usize;
        let (path, packet) = if self.scenario == Scenario::Malformed {
            self.broken(number, call).unwrap_or((self.paths.get(call)?[0], Vec::new()))
        } else {
            let header = self.header(number, call, view)?;
            let mut path = self.paths.get(call)?[0];
            if self.scenario == Scenario::BadTagElsewhere {
                let random = self.random.number();
                let address = Ipv4Addr::new(198, 18, 1 + random as u8 % 200, (random >> 8) as u8);
                path.source = SocketAddrV4::new(address, 1_024 | (random >> 16) as u16);
            }
            (path, self.srtp(header).to_vec())
        };
        datagram(frame, &path, &packet);
        self.sent += 1;
        Some(path.port)
    }
}

#[cfg(test)]
mod tests {
    use pinhole_srtp::{rtcp, rtp};

    use super::*;

    #[test]
    fn every_broken_packet_is_one_that_nobody_may_accept() {
        let path = |port| Path {
            port,
            source_mac: [2; 6],
            destination_mac: [2; 6],
            source: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4_000),
            destination: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 5_000),
        };
        let mut flood = Flood {
            scenario: Scenario::Malformed,
            paths: vec![[path(0), path(1)]],
            limit: 0,
            rate: 1,
            second: 1,
            pace: None,
            sent: 0,
            heard: 0,
            random: Random::new(1),
        };
        let mut lengths = [0; BROKEN_MAX as usize + 1];
        let mut ways = [0; 4];
        for number in 0..20_000 {
            let Some((path, packet)) = flood.broken(number, 0) else {
                lengths[0] += 1;
                continue;
            };
            lengths[packet.len()] += 1;
            let is_rtcp = path.destination.port() == 5_001;
            ways[path.port * 2 + usize::from(is_rtcp)] += 1;
            if is_rtcp {
                assert!(rtcp::parse(&packet).is_err(), "{packet:02x?}");
            } else if let Ok(header) = rtp::parse(&packet) {
                assert!(header.padding_fits(&packet).is_err(), "{packet:02x?}");
            }
        }
        assert!(lengths.iter().chain(&ways).all(|count| *count > 50), "{lengths:?} {ways:?}");
    }
}
