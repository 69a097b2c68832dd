//! Any bytes as Ethernet frames, on a relay with calls of every kind: no panic, every frame in exactly one
//! place, what is punted unchanged, what is sent well formed, and nothing of a call moved but drop counters.

#![no_main]

use std::net::SocketAddrV4;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pinhole_fuzz::support::packet::{OUR_MACS, ones_sum, udp_sum};
use pinhole_fuzz::support::{OUR_INSIDE, OUR_OUTSIDE, Packet, TestBuffer, inside, phone};
use pinhole_fuzz::{CALLS, Calls, Untouched};

#[derive(Arbitrary, Debug)]
struct Frame {
    layout: Layout,
    /// Whether the frame gets our MAC and media address and right checksums, where it has room for them.
    mended: bool,
}

#[derive(Arbitrary, Debug)]
enum Layout {
    Any(Vec<u8>),
    /// A stranger's datagram to a call, with some bytes changed or cut off.
    Near {
        call: u8,
        rtcp: bool,
        tag: Option<u16>,
        options: u8,
        payload: Vec<u8>,
        changes: Vec<(u16, u8)>,
        len: Option<u16>,
    },
}

impl Layout {
    fn bytes(&self, port: usize) -> Vec<u8> {
        let (call, rtcp, tag, options, payload, changes, len) = match self {
            Self::Any(bytes) => return bytes.clone(),
            Self::Near { call, rtcp, tag, options, payload, changes, len } => {
                (call, rtcp, tag, options, payload, changes, len)
            }
        };
        let call = CALLS.start() + u32::from(*call) % CALLS.count() as u32;
        let mut payload = payload[..payload.len().min(1400)].to_vec();
        if let Some(version) = payload.first_mut() {
            *version ^= 0x80;
        }
        let stranger = SocketAddrV4::new([192, 0, 2, 66].into(), 6666);
        let packet = Packet::new(stranger, Calls::ours(call, port, *rtcp), &payload);
        let mut bytes =
            Packet { tag: *tag, options: vec![1; 4 * usize::from(options % 11)], ..packet }.bytes();
        for (at, value) in changes {
            let at = usize::from(*at) % bytes.len();
            bytes[at] = *value;
        }
        bytes.truncate(len.map_or(bytes.len(), usize::from));
        bytes
    }
}

fuzz_target!(|bursts: Vec<(bool, Vec<Frame>)>| {
    let mut calls = Calls::open();
    calls.go_on(7, 1);
    for (within, frames) in bursts.iter().take(8) {
        let port = usize::from(*within);
        let frames: Vec<_> = frames.iter().take(32).map(|frame| laid_out(frame, port)).collect();
        let known = [*inside().ip(), *phone().ip()].map(|address| address.octets());
        let signalled =
            frames.iter().any(|frame| frame.windows(4).any(|four| known.iter().any(|ip| ip == four)));
        let before = Untouched::of(&calls.bench, signalled);
        // Counts places and drops, and reads what is sent.
        let out = calls.bench.burst(port as u8, frames.iter().map(|frame| TestBuffer::new(frame)));
        assert!(signalled || out.sent.is_empty(), "relayed for a stranger: {out:?}");
        let mut left = frames.iter();
        assert!(
            out.punted.iter().all(|punted| left.any(|frame| frame == punted)),
            "a punted frame was changed"
        );
        before.check(&calls.bench);
    }
    calls.go_on(7, 2);
});

fn laid_out(frame: &Frame, port: usize) -> Vec<u8> {
    let mut bytes = frame.layout.bytes(port);
    bytes.truncate(TestBuffer::SIZE - 64);
    if frame.mended {
        let _ = mend(&mut bytes, port);
    }
    bytes
}

/// Makes the frame one of ours as far as the first checks go.
fn mend(bytes: &mut [u8], port: usize) -> Option<()> {
    let (ethernet, rest) = bytes.split_at_mut_checked(14)?;
    ethernet[..6].copy_from_slice(&OUR_MACS[port]);
    let ip = if ethernet[12..] == [0x81, 0x00] { rest.get_mut(4..)? } else { rest };
    let own = [OUR_OUTSIDE, OUR_INSIDE][port];
    ip.get_mut(16..20)?.copy_from_slice(&own.octets());
    let len = usize::from(ip[0] & 0xf) * 4;
    let (header, udp) = ip.split_at_mut_checked(len)?;
    let source = <[u8; 4]>::try_from(header.get(12..16)?).ok()?;
    header.get_mut(10..12)?.fill(0);
    let sum = !ones_sum(header);
    header.get_mut(10..12)?.copy_from_slice(&sum.to_be_bytes());
    let datagram_len = usize::from(u16::from_be_bytes(udp.get(4..6)?.try_into().ok()?));
    let datagram = udp.get_mut(..datagram_len)?;
    datagram.get_mut(6..8)?.fill(0);
    let sum = udp_sum(source.into(), own, datagram);
    datagram.get_mut(6..8)?.copy_from_slice(&sum.to_be_bytes());
    Some(())
}
