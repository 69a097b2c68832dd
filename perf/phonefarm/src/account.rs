//! What becomes of the packets: each is received once, or it shows in one of the counters.

use hdrhistogram::{CreationError, Histogram};
use serde_json::{Value, json};

/// How far behind the newest packet of its flow a packet may be and still be told from a duplicate.
const WINDOW: u32 = 64;
/// The longest delay that is told from longer ones, in nanoseconds.
const DELAY_MAX: u64 = 60_000_000_000;

/// What is new about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The newest of its flow.
    Newest,
    /// For the first time, but a later one was there before.
    Reordered,
    /// It was received before.
    Duplicate,
    /// More than 64 packets behind, or sent in an earlier run: not counted as received.
    Late,
}

impl Verdict {
    /// Whether the packet was not received before, as far as can be told.
    pub fn is_first(self) -> bool {
        matches!(self, Self::Newest | Self::Reordered)
    }
}

/// Which packets of a flow were received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Number of the newest packet, plus one.
    next: u32,
    /// The first number that counts.
    base: u32,
    /// Bit `n`: packet `next - 1 - n` was received.
    window: u64,
}

impl Sequence {
    /// From here on, packets before `base` count as late.
    pub fn begin(&mut self, base: u32) {
        self.base = base;
    }

    /// The number that a packet with a 16-bit sequence number has, when the flow's first packet had `first`.
    /// `None` for a number before the first.
    #[inline]
    pub fn number(&self, first: u16, sequence: u16) -> Option<u32> {
        let expected = first.wrapping_add(self.next as u16);
        self.next.checked_add_signed(i32::from(sequence.wrapping_sub(expected) as i16))
    }

    /// Notes packet `number` as received.
    #[inline]
    pub fn receive(&mut self, number: u32) -> Verdict {
        if number < self.base {
            return Verdict::Late;
        }
        if number >= self.next {
            let step = number - self.next + 1;
            self.window = self.window.checked_shl(step).unwrap_or(0) | 1;
            self.next = number + 1;
            return Verdict::Newest;
        }
        let back = self.next - 1 - number;
        if back >= WINDOW {
            return Verdict::Late;
        }
        let bit = 1 << back;
        if self.window & bit != 0 {
            return Verdict::Duplicate;
        }
        self.window |= bit;
        Verdict::Reordered
    }
}

/// What was counted in one run, of all flows together.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Packets handed to a port.
    pub sent: u64,
    /// Packets received, each once, and right in every respect.
    pub received: u64,
    /// Received before.
    pub duplicates: u64,
    /// Received after a later packet of the flow; counted in `received` too.
    pub reordered: u64,
    /// Too late to tell whether they are duplicates; not in `received`.
    pub late: u64,
    /// Not from the relay's address and port, or to another MAC address than ours.
    pub wrong_headers: u64,
    /// Wrong length, IPv4 or UDP checksum.
    pub wrong_checksum: u64,
    /// Wrong SSRC, timestamp, payload type or flags.
    pub wrong_rtp: u64,
    /// A payload that was not sent on this flow.
    pub wrong_payload: u64,
    /// SRTP that does not authenticate under the flow's key.
    pub auth_failed: u64,
    /// UDP datagrams that no flow expects.
    pub unexpected: u64,
    /// Frames that are not UDP over IPv4, such as ARP.
    pub other_frames: u64,
    /// Packet buffers that could not be had.
    pub no_buffer: u64,
    /// Bursts that found a transmit ring full; they were sent later.
    pub ring_full: u64,
    /// From sending to receiving, in nanoseconds.
    pub delay: Histogram<u64>,
    /// How late a packet was sent at most, in nanoseconds.
    pub lag_max_ns: u64,
}

impl Tally {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// None in practice: the bounds of the histogram are constants that it takes.
    pub fn new() -> Result<Self, CreationError> {
        Ok(Self {
            sent: 0,
            received: 0,
            duplicates: 0,
            reordered: 0,
            late: 0,
            wrong_headers: 0,
            wrong_checksum: 0,
            wrong_rtp: 0,
            wrong_payload: 0,
            auth_failed: 0,
            unexpected: 0,
            other_frames: 0,
            no_buffer: 0,
            ring_full: 0,
            delay: Histogram::new_with_bounds(1, DELAY_MAX, 3)?,
            lag_max_ns: 0,
        })
    }

    /// Sent and never received.
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// Everything that arrived for a flow and was wrong.
    pub fn wrong(&self) -> u64 {
        self.wrong_headers + self.wrong_checksum + self.wrong_rtp + self.wrong_payload + self.auth_failed
    }

    /// Whether every packet arrived once, in order of trust: nothing lost, twice, wrong or strange.
    pub fn is_clean(&self) -> bool {
        self.lost() + self.wrong() + self.duplicates + self.late + self.unexpected == 0
    }

    /// Counts a packet that was right.
    #[inline]
    pub(crate) fn receive(&mut self, verdict: Verdict, delay_ns: u64) {
        match verdict {
            Verdict::Newest => self.received += 1,
            Verdict::Reordered => {
                self.received += 1;
                self.reordered += 1;
            }
            Verdict::Duplicate => {
                self.duplicates += 1;
                return;
            }
            Verdict::Late => {
                self.late += 1;
                return;
            }
        }
        self.delay.saturating_record(delay_ns);
    }

    /// All counters, delays in microseconds.
    pub fn json(&self) -> Value {
        let quantile = |share: f64| microseconds(self.delay.value_at_quantile(share));
        json!({
            "sent": self.sent,
            "received": self.received,
            "lost": self.lost(),
            "duplicates": self.duplicates,
            "reordered": self.reordered,
            "late": self.late,
            "wrong": self.wrong(),
            "wrong_headers": self.wrong_headers,
            "wrong_checksum": self.wrong_checksum,
            "wrong_rtp": self.wrong_rtp,
            "wrong_payload": self.wrong_payload,
            "auth_failed": self.auth_failed,
            "unexpected": self.unexpected,
            "other_frames": self.other_frames,
            "no_buffer": self.no_buffer,
            "ring_full": self.ring_full,
            "sender_lag_max_us": microseconds(self.lag_max_ns),
            "delay_us": {
                "p50": quantile(0.5),
                "p99": quantile(0.99),
                "p999": quantile(0.999),
                "max": microseconds(self.delay.max()),
            },
        })
    }
}

/// Nanoseconds as microseconds with one decimal.
fn microseconds(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 100.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_once_is_clean() {
        let (mut sequence, mut tally) = (Sequence::default(), Tally::new().unwrap());
        for number in 0..1_000 {
            tally.sent += 1;
            tally.receive(sequence.receive(number), 1_000);
        }
        assert!(tally.is_clean());
        assert_eq!(tally.delay.len(), 1_000);
    }

    #[test]
    fn a_lost_packet_a_duplicate_and_a_wrong_one_show() {
        let mut tally = Tally::new().unwrap();
        let mut sequence = Sequence::default();
        tally.sent = 3;
        assert_eq!(sequence.receive(0), Verdict::Newest);
        assert_eq!(sequence.receive(2), Verdict::Newest);
        tally.received = 2;
        assert_eq!((tally.lost(), tally.is_clean()), (1, false));
        tally.receive(sequence.receive(1), 1);
        assert_eq!((tally.lost(), tally.reordered, tally.is_clean()), (0, 1, true));
        tally.receive(sequence.receive(2), 1);
        assert_eq!((tally.duplicates, tally.received, tally.is_clean()), (1, 3, false));
        let counters: [fn(&mut Tally) -> &mut u64; 5] = [
            |tally| &mut tally.wrong_headers,
            |tally| &mut tally.wrong_checksum,
            |tally| &mut tally.wrong_rtp,
            |tally| &mut tally.wrong_payload,
            |tally| &mut tally.auth_failed,
        ];
        for counter in counters {
            let mut tally = Tally::new().unwrap();
            *counter(&mut tally) += 1;
            assert!(tally.wrong() == 1 && !tally.is_clean());
        }
    }

    #[test]
    fn packets_far_behind_or_of_an_earlier_run_are_late() {
        let mut sequence = Sequence::default();
        sequence.receive(100);
        assert_eq!(sequence.receive(37), Verdict::Reordered);
        assert_eq!(sequence.receive(36), Verdict::Late);
        sequence.begin(101);
        assert_eq!(sequence.receive(99), Verdict::Late);
        assert_eq!(sequence.receive(101), Verdict::Newest);
        assert_eq!(sequence.receive(1_000), Verdict::Newest);
        assert_eq!(sequence.receive(999), Verdict::Reordered);
    }

    #[test]
    fn numbers_follow_the_sequence_over_its_rollover() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.number(65_530, 65_530), Some(0));
        assert_eq!(sequence.number(65_530, 65_529), None);
        assert_eq!(sequence.number(65_530, 3), Some(9));
        for number in 0..200_000_u32 {
            let on_wire = 65_530_u16.wrapping_add(number as u16);
            assert_eq!(sequence.number(65_530, on_wire), Some(number));
            sequence.receive(number);
        }
        assert_eq!(sequence.number(65_530, 65_530_u16.wrapping_add(199_990_u32 as u16)), Some(199_990));
    }
}
