//! Where a phone is: learned from authenticated packets only.

use std::net::SocketAddrV4;
use std::num::NonZeroU64;

/// A source moves at most this often: one packet captured and sent again from elsewhere before the
/// original arrives must not turn the stream back and forth.
pub const MOVE_INTERVAL_NS: u64 = 1_000_000_000;
/// A sender that has set its sequence numbers back may be a captured stream that is sent again: the source
/// moves to it only when nothing was heard from the old one for this long, as after a hold.
pub const SILENCE_NS: u64 = 5_000_000_000;
/// And only after so many packets that go on one from the other, which a captured packet or two don't. Who
/// has captured more has media sent to it until the phone's next packet, and cannot read it.
pub const RESTARTED: u8 = 16;

/// A learned source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Address and port.
    pub address: SocketAddrV4,
    /// MAC address that the packet came from, and answers go to.
    pub mac: [u8; 6],
    /// VLAN identifier that it came with, 0: untagged.
    pub vlan: u16,
    /// How many packets of a sender that has set its numbers back have come from elsewhere since.
    pub restarted: u8,
    /// When it was learned or last moved, in nanoseconds.
    pub moved_ns: NonZeroU64,
    /// When the last authenticated packet came from there.
    pub heard_ns: u64,
}

/// How a packet stands to what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// The newest under its SSRC.
    Newest,
    /// The newest since the sender set its sequence numbers back, but not as high as before.
    Restarted,
    /// One that is late: it must not move the source back.
    Late,
}

/// Where an authenticated packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Address and port.
    pub address: SocketAddrV4,
    /// MAC address.
    pub mac: [u8; 6],
    /// VLAN identifier, 0: untagged.
    pub vlan: u16,
    /// How the packet stands to what came before it.
    pub rank: Rank,
}

impl Source {
    /// Takes note of an authenticated packet that came from here.
    #[inline]
    pub fn heard(&mut self, now_ns: u64) {
        self.heard_ns = now_ns;
        self.restarted = 0;
    }

    /// Whether a packet came from here, by the same router.
    pub fn is(&self, address: SocketAddrV4, mac: [u8; 6], vlan: u16) -> bool {
        (self.address, self.mac, self.vlan) == (address, mac, vlan)
    }
}

/// Learns from an authenticated packet. True if the source was learned or has moved.
pub fn learn(source: &mut Option<Source>, seen: &Seen, now_ns: u64) -> bool {
    let Seen { address, mac, vlan, rank } = *seen;
    let may_move = match source {
        None => true,
        Some(old) if old.is(address, mac, vlan) => {
            old.heard(now_ns);
            false
        }
        Some(old) => {
            let follow = match rank {
                Rank::Newest => true,
                Rank::Restarted => {
                    old.restarted = old.restarted.saturating_add(1);
                    old.restarted >= RESTARTED && now_ns.saturating_sub(old.heard_ns) >= SILENCE_NS
                }
                Rank::Late => false,
            };
            follow && now_ns.saturating_sub(old.moved_ns.get()) >= MOVE_INTERVAL_NS
        }
    };
    if may_move {
        let moved_ns = NonZeroU64::new(now_ns).unwrap_or(NonZeroU64::MIN);
        *source = Some(Source { address, mac, vlan, restarted: 0, moved_ns, heard_ns: now_ns });
    }
    may_move
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn seen(port: u16, newest: bool) -> Seen {
        let address = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), port);
        Seen { address, mac: [2; 6], vlan: 0, rank: if newest { Rank::Newest } else { Rank::Late } }
    }

    #[test]
    fn a_source_moves_once_a_second_and_only_for_the_newest_packet() {
        let mut source = None;
        assert!(learn(&mut source, &seen(1, false), 7));
        assert!(!learn(&mut source, &seen(1, true), 7));
        assert!(!learn(&mut source, &seen(2, true), MOVE_INTERVAL_NS + 6));
        assert!(!learn(&mut source, &seen(2, false), MOVE_INTERVAL_NS + 7));
        assert!(learn(&mut source, &seen(2, true), MOVE_INTERVAL_NS + 7));
        assert!(!learn(&mut source, &seen(3, true), MOVE_INTERVAL_NS + 8));
        assert_eq!(source.map(|source| source.address.port()), Some(2));
    }

    #[test]
    fn a_source_moves_to_a_sender_that_starts_anew_only_when_it_was_silent() {
        let mut source = None;
        let restarted = |port| Seen { rank: Rank::Restarted, ..seen(port, true) };
        learn(&mut source, &seen(1, true), 0);
        learn(&mut source, &seen(1, true), SILENCE_NS);
        for _ in 0..RESTARTED {
            assert!(!learn(&mut source, &restarted(2), 2 * SILENCE_NS - 1));
        }
        assert!(learn(&mut source, &restarted(2), 2 * SILENCE_NS));
    }

    #[test]
    fn a_source_moves_to_a_sender_that_starts_anew_only_when_that_goes_on() {
        let mut source = None;
        let restarted = |port| Seen { rank: Rank::Restarted, ..seen(port, true) };
        learn(&mut source, &seen(1, true), 0);
        for now in [SILENCE_NS, 2 * SILENCE_NS] {
            for _ in 1..RESTARTED {
                assert!(!learn(&mut source, &restarted(2), now));
            }
            // The old one is heard, and the other begins anew.
            learn(&mut source, &seen(1, true), now);
        }
        for _ in 1..RESTARTED {
            assert!(!learn(&mut source, &restarted(2), 3 * SILENCE_NS));
        }
        assert!(learn(&mut source, &restarted(2), 3 * SILENCE_NS));
    }

    #[test]
    fn a_new_router_towards_the_same_source_is_a_move() {
        let mut source = None;
        learn(&mut source, &seen(1, true), 0);
        assert!(learn(&mut source, &Seen { mac: [4; 6], ..seen(1, true) }, 2 * MOVE_INTERVAL_NS));
        assert_eq!(source.map(|source| source.mac), Some([4; 6]));
    }
}
