//! Frames in memory, a relay to put them through, and peers that speak SRTP.

#![allow(dead_code, unused_imports)]

pub mod bench;
pub mod packet;
pub mod peer;

pub use bench::{Bench, INSIDE, OUTSIDE, Out, leg, next, ours_inside, ours_outside, secure, session};
pub use packet::{OUR_INSIDE, OUR_OUTSIDE, Packet, TestBuffer, rtcp, rtp};
pub use peer::Peer;

use std::net::{Ipv4Addr, SocketAddrV4};

/// A socket address from "a.b.c.d:port".
pub fn at(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

/// The phone's address on the Internet, in the tests that don't need another.
pub fn phone() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 10), 40_000)
}

/// The inside phone's address.
pub fn inside() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 20, 0, 20), 5000)
}
