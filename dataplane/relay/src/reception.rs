//! Reception statistics of a leg: packets expected and jitter (RFC 3550 appendices A.1, A.3, A.8).

use std::num::NonZeroU64;

use pinhole_flow::LegStats;
use pinhole_srtp::rtp::Header;

/// A jump in sequence numbers beyond this is a restart of the sender, not loss (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3000;
/// A packet may be this late without counting as a restart (RFC 3550 A.1).
const MAX_MISORDER: u16 = 100;

/// What is remembered of the stream that arrives on a leg, besides what [`LegStats`] shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reception {
    /// The stream under way; `None` before the first packet.
    stream: Option<Stream>,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    /// Arrival of the first packet in nanoseconds: times are counted from here.
    began_ns: NonZeroU64,
    ssrc: u32,
    /// Highest sequence number.
    highest: u16,
    /// Payload type, timestamp and relative transit time of the last packet, in timestamp units.
    payload_type: u8,
    timestamp: u32,
    transit: u32,
}

impl Reception {
    /// Takes note of an accepted packet.
    #[inline]
    pub fn note(&mut self, header: &Header, now_ns: u64, stats: &mut LegStats) {
        stats.payload_type = u32::from(header.payload_type);
        let stream = self.stream.as_mut().filter(|stream| stream.ssrc == header.ssrc);
        let ahead = stream.as_ref().and_then(|stream| stream.ahead(header.sequence));
        match (stream, ahead) {
            (Some(stream), Some(ahead)) => {
                stream.highest = stream.highest.wrapping_add(ahead);
                stats.expected += u64::from(ahead);
                stream.arrival(header, now_ns, &mut stats.jitter_q4);
            }
            _ => {
                stats.expected += 1;
                self.stream = Some(Stream::new(header, now_ns));
            }
        }
    }
}

impl Stream {
    fn new(header: &Header, now_ns: u64) -> Self {
        Self {
            began_ns: NonZeroU64::new(now_ns).unwrap_or(NonZeroU64::MIN),
            ssrc: header.ssrc,
            highest: header.sequence,
            payload_type: header.payload_type,
            timestamp: header.timestamp,
            transit: 0u32.wrapping_sub(header.timestamp),
        }
    }

    /// How far a packet is ahead of the highest, 0 for one that is late; `None` if the sender has begun anew.
    #[inline]
    fn ahead(&self, sequence: u16) -> Option<u16> {
        let ahead = sequence.wrapping_sub(self.highest);
        let late = self.highest.wrapping_sub(sequence) <= MAX_MISORDER;
        if ahead < MAX_DROPOUT { Some(ahead) } else { late.then_some(0) }
    }

    /// Jitter after RFC 3550 A.8, in its integer form (scaled by 16).
    #[inline]
    fn arrival(&mut self, header: &Header, now_ns: u64, jitter_q4: &mut u32) {
        // The packets of one telephone event (RFC 4733 section 2.5.1.2) or video frame say when that
        // began, not when they were sent: the time between them is no jitter.
        if self.payload_type == header.payload_type && self.timestamp == header.timestamp {
            return;
        }
        let transit = self.clock(header.payload_type, now_ns).wrapping_sub(header.timestamp);
        // Between payload types of different clocks (telephone events share their codec's), no
        // difference means anything.
        if self.payload_type == header.payload_type {
            let difference = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
            let jitter = *jitter_q4;
            *jitter_q4 = jitter.saturating_add(difference).saturating_sub(jitter.saturating_add(8) >> 4);
        }
        self.payload_type = header.payload_type;
        self.timestamp = header.timestamp;
        self.transit = transit;
    }

    /// Time since the stream began, in timestamp units, modulo 2^32 as timestamps are.
    #[inline]
    fn clock(&self, payload_type: u8, now_ns: u64) -> u32 {
        let units =
            u128::from(now_ns.saturating_sub(self.began_ns.get())) * u128::from(clock_rate(payload_type));
        (units >> 64) as u32
    }
}

/// Timestamp units in a nanosecond, in 2^-64: rounded up, so that whole units come out whole.
#[inline]
const fn per_ns(clock_rate: u64) -> u64 {
    (((clock_rate as u128) << 64) / 1_000_000_000) as u64 + 1
}

/// RTP clock rate of a payload type (RFC 3551 table 4 and 5), as [`per_ns`]. Dynamic types are taken for 8 kHz, since
/// signalling does not tell the data plane what they are.
#[inline]
fn clock_rate(payload_type: u8) -> u64 {
    match payload_type {
        6 => const { per_ns(16_000) },
        10 | 11 => const { per_ns(44_100) },
        16 => const { per_ns(11_025) },
        17 => const { per_ns(22_050) },
        14 | 25 | 26 | 28 | 31..=34 => const { per_ns(90_000) },
        // Also 9, G.722: its clock is 8 kHz although it samples at 16 (RFC 3551 section 4.5.2).
        _ => const { per_ns(8_000) },
    }
}

#[cfg(test)]
mod tests {
    use pinhole_flow::DropCause;

    use super::*;

    const EMPTY: LegStats = LegStats {
        rx_packets: 0,
        rx_bytes: 0,
        passed_packets: 0,
        passed_bytes: 0,
        rtcp_rx: 0,
        rtcp_passed: 0,
        expected: 0,
        last_rx_ns: 0,
        jitter_q4: 0,
        payload_type: 0,
        drops: [0; DropCause::OF_LEG],
    };

    fn header(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
        Header { ssrc, sequence, timestamp, payload_type: 0, marker: false, padding: false, payload_at: 12 }
    }

    fn play(packets: impl IntoIterator<Item = (Header, u64)>) -> LegStats {
        let mut reception = Reception::default();
        let mut stats = EMPTY;
        for (header, now_ns) in packets {
            // No clock that runs stands at 0.
            reception.note(&header, 1_000_000_000 + now_ns, &mut stats);
        }
        stats
    }

    #[test]
    fn lost_packets_are_expected_across_a_rollover() {
        let sequences = [65_530u16, 65_535, 2, 1];
        let stats = play(sequences.map(|sequence| (header(1, sequence, 0), 1)));
        assert_eq!(stats.expected, 9);
    }

    #[test]
    fn a_restarted_sender_and_a_new_ssrc_are_counted_on_from_what_was_expected() {
        let stats =
            play([(1, 10), (1, 11), (1, 40_000), (2, 7), (2, 9)].map(|(ssrc, s)| (header(ssrc, s, 0), 1)));
        assert_eq!(stats.expected, 2 + 1 + 3);
    }

    #[test]
    fn an_even_stream_has_no_jitter() {
        let packets = (0..500u32).map(|n| (header(1, n as u16, n * 160), u64::from(n) * 20_000_000));
        assert_eq!(play(packets).jitter_q4, 0);
    }

    #[test]
    fn clocks_of_all_rates_run_with_the_sender_s_for_a_day() {
        for (payload_type, rate) in
            [(0, 8_000), (6, 16_000), (10, 44_100), (16, 11_025), (17, 22_050), (31, 90_000)]
        {
            let packets = (0..144u64).map(|n| {
                // Every ten minutes, which is a whole number of units. At 90 kHz, timestamps go round.
                let timestamp = (n * 600 * rate) as u32;
                (Header { payload_type, ..header(1, n as u16, timestamp) }, n * 600_000_000_000)
            });
            assert_eq!(play(packets).jitter_q4, 0, "{rate}");
        }
    }

    #[test]
    fn packets_of_one_telephone_event_share_a_timestamp_and_have_no_jitter() {
        let audio = (0..100u32).map(|n| (header(1, n as u16, n * 160), u64::from(n) * 20_000_000));
        let event = (100..150u32).map(|n| {
            let header = Header { payload_type: 101, ..header(1, n as u16, 100 * 160) };
            (header, u64::from(n) * 20_000_000)
        });
        assert_eq!(play(audio.chain(event)).jitter_q4, 0);
    }

    #[test]
    fn a_stream_that_comes_4_ms_late_every_other_time_has_32_units_of_jitter() {
        let packets = (0..2000u32).map(|n| {
            let late = u64::from(n % 2) * 4_000_000;
            (header(1, n as u16, n * 160), u64::from(n) * 20_000_000 + late)
        });
        let jitter = play(packets).jitter_q4 >> 4;
        assert!((31..=32).contains(&jitter), "{jitter}");
    }
}
