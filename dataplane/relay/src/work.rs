//! A packet of a burst on its way through the stages.

use std::net::{Ipv4Addr, SocketAddrV4};

use arrayvec::ArrayVec;
use pinhole_flow::DropCause;
use pinhole_srtp::Guess;
use pinhole_srtp::kernels::Kind;
use pinhole_srtp::rtp;

use crate::frame::{Datagram, Parsed};
use crate::output::{Arrival, BURST};
use crate::pinhole::Pinhole;

/// One entry per frame of the burst, in the same order.
pub type Works = ArrayVec<Work, BURST>;

/// How far a packet has come. What it has found out on the way stands in its [`Work`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Addressed to a media port; nothing else is known.
    Arrived,
    /// For an open pinhole and well formed; to be unprotected under the guessed index.
    Sealed,
    /// Not authentic under the guessed index, or not even of the right shape, for this cause.
    Failed(DropCause),
    /// Unprotected under the guessed index, which is authentic; to be committed.
    Unsealed,
    /// From the signalled address of a plain leg.
    Accepted,
    /// Has a destination and an index; to be protected under it.
    Indexed,
    /// As it leaves its session, and counted there.
    Ready,
    /// The same, to a media port of this other worker.
    Leaving(u8),
    /// For a media port of this other worker.
    Missteered(u8),
    /// For the kernel.
    Punted,
    /// Not relayed.
    Dropped(DropCause),
}

/// A packet of a burst.
#[derive(Clone, Debug)]
pub struct Work {
    /// How far it has come.
    pub phase: Phase,
    /// Index of the data-plane port whose address it was sent to.
    pub port: u8,
    /// How often it has passed from one of our media addresses to another.
    pub hops: u8,
    /// RTP or RTCP.
    pub kind: Kind,
    /// It is tried under, or was accepted under, the key before the last change of key.
    pub old_key: bool,
    /// The leg that it arrived on.
    pub pinhole: Option<Pinhole>,
    /// Where it came from and where its payload is.
    pub datagram: Datagram,
    /// Length of the payload as it arrived, before it was unprotected.
    pub wire_len: usize,
    /// SSRC; for RTCP its sender's.
    pub ssrc: u32,
    /// The RTP header; `None` for RTCP.
    pub header: Option<rtp::Header>,
    /// The index that it is tried under, or was unprotected under; `None` on a plain leg.
    pub guess: Option<Guess>,
    /// Where it goes, from [`Phase::Indexed`] and [`Phase::Ready`] on: its headers say the rest.
    pub departure: Option<Departure>,
    /// The index that it is protected under, in [`Phase::Indexed`].
    pub index: u64,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Index of the data-plane port.
    pub port: u8,
    /// The data-plane port whose own media address it goes to, without touching a wire.
    pub hairpin: Option<u8>,
}

impl Work {
    /// A frame that was parsed.
    pub fn new(parsed: Parsed, port: u8, arrival: Arrival) -> Self {
        let nothing = Datagram {
            mac: [0; 6],
            vlan: 0,
            dscp: 0,
            source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            port: 0,
            ip_at: 0,
            payload_at: 0,
            payload_len: 0,
        };
        let (phase, datagram) = match parsed {
            Parsed::Media(datagram) => (Phase::Arrived, datagram),
            Parsed::Punt if arrival == Arrival::Wire => (Phase::Punted, nothing),
            // What comes from ourselves is never the kernel's.
            Parsed::Punt => (Phase::Dropped(DropCause::ClosedPinhole), nothing),
            Parsed::Drop(cause) => (Phase::Dropped(cause), nothing),
        };
        Self {
            phase,
            port,
            hops: u8::from(arrival == Arrival::Hairpin),
            kind: Kind::Rtp,
            old_key: false,
            pinhole: None,
            wire_len: datagram.payload_len,
            datagram,
            ssrc: 0,
            header: None,
            guess: None,
            departure: None,
            index: 0,
        }
    }

    /// The payload within its frame.
    pub fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let (at, len) = (self.datagram.payload_at, self.datagram.payload_len);
        frame.get(at..).and_then(|rest| rest.get(..len)).unwrap_or_default()
    }

    /// The payload and `room` bytes behind it, to be changed; `None` if the frame is shorter.
    pub fn payload_mut<'a>(&self, frame: &'a mut [u8], room: usize) -> Option<&'a mut [u8]> {
        frame.get_mut(self.datagram.payload_at..)?.get_mut(..self.datagram.payload_len + room)
    }

    /// Whether it is RTCP.
    pub fn is_rtcp(&self) -> bool {
        self.kind == Kind::Rtcp
    }

    /// Where encryption begins in the payload; the engine knows by itself for RTCP.
    pub fn encrypted_at(&self) -> usize {
        self.header.map_or(pinhole_srtp::rtcp::FIXED, |header| header.payload_at)
    }

    /// Drops it.
    pub fn drop(&mut self, cause: DropCause) {
        self.phase = Phase::Dropped(cause);
    }

    /// Goes on to `next`, or drops it.
    pub fn proceed(&mut self, next: Result<Phase, DropCause>) {
        self.phase = next.unwrap_or_else(Phase::Dropped);
    }
}
