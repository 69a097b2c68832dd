//! Who is measured.

use anyhow::{Result, ensure};
use pinhole_flow::Suite;
use pinhole_srtp::kernels::{self, Portable};

use super::packets::{Packet, Source};
use super::{ipsec, libsrtp, openssl, ours, rustcrypto};

/// The suites that are measured.
pub const SUITES: [(&str, Suite); 4] = [
    ("cm80", Suite::AesCm128HmacSha1_80),
    ("cm256_80", Suite::AesCm256HmacSha1_80),
    ("gcm128", Suite::AeadAes128Gcm),
    ("gcm256", Suite::AeadAes256Gcm),
];

/// Most packets in a burst.
pub const BURST: usize = 64;

/// What a contestant does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// RTP to SRTP.
    Protect,
    /// SRTP to RTP.
    Unprotect,
}

impl Role {
    /// Both roles.
    pub const ALL: [Self; 2] = [Self::Protect, Self::Unprotect];

    /// The role's name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Protect => "protect",
            Self::Unprotect => "unprotect",
        }
    }
}

/// An SRTP implementation with the keys of all flows, in one role.
pub trait Contestant {
    /// Its name in tables.
    fn name(&self) -> String;

    /// Protects or unprotects a burst of at most [`BURST`] packets, in place. Whether all of it was done.
    fn run(&mut self, packets: &mut [Packet]) -> bool;

    /// In how many ways it can be used. One of them is chosen for each measurement, with
    /// [`choose`](Self::choose), by trying all.
    fn ways(&self) -> usize {
        1
    }

    /// Uses a way from here on; returns its name.
    fn choose(&mut self, _way: usize) -> String {
        String::new()
    }
}

/// The name of RustCrypto in tables.
pub const RUSTCRYPTO: &str = "RustCrypto";
/// The name of libsrtp2 in tables.
pub const LIBSRTP2: &str = "libsrtp2";
/// The name of intel-ipsec-mb in tables.
pub const IPSEC_MB: &str = "ipsec-mb";

/// Our engines, best first, each with the keys of `flows` flows; then the best one without asking for cache lines
/// beforehand, to show what that is worth.
pub fn ours(suite: Suite, role: Role, flows: usize) -> Result<Vec<Box<dyn Contestant>>> {
    let mut all: Vec<Box<dyn Contestant>> = Vec::new();
    for engine in kernels::available() {
        all.push(Box::new(ours::Ours::new(engine, suite, role, flows, true)?));
    }
    all.push(Box::new(ours::Ours::new(kernels::best(), suite, role, flows, false)?));
    Ok(all)
}

/// The other implementations, each with the keys of `flows` flows.
pub fn others(suite: Suite, role: Role, flows: usize, libsrtp: bool) -> Result<Vec<Box<dyn Contestant>>> {
    let mut all: Vec<Box<dyn Contestant>> = vec![
        rustcrypto::contestant(suite, role, flows)?,
        Box::new(openssl::Openssl::new(suite, role, flows)?),
        Box::new(ipsec::IpsecMb::new(suite, role, flows)?),
    ];
    if libsrtp {
        all.push(Box::new(libsrtp::Libsrtp::new(suite, role, flows)?));
    }
    Ok(all)
}

/// Protects what contestants unprotect.
pub fn sender(suite: Suite, flows: usize) -> Result<Box<dyn Contestant>> {
    Ok(Box::new(ours::Ours::new(kernels::best(), suite, Role::Protect, flows, true)?))
}

/// Checks that a contestant gives byte for byte what our portable engine gives: a packet of each of 1,024 flows,
/// and many of some flows, across a rollover of the sequence number, in bursts of every length, in every way.
pub fn check(contestant: &mut dyn Contestant, suite: Suite, role: Role, source: &mut Source) -> Result<()> {
    let flows = source.flows();
    let mut oracle = ours::Ours::new(Box::new(Portable), suite, Role::Protect, flows, false)?;
    let once = flows.min(1_024);
    let each_once = (0..once).step_by(BURST).map(|first| (first..once.min(first + BURST)).collect());
    let few_often = (1..=BURST).map(|count| vec![count % 5 * (flows / 5); count]);
    let bursts: Vec<Vec<usize>> = each_once.chain(few_often).collect();
    for way in 0..contestant.ways() {
        let way = contestant.choose(way);
        for burst in &bursts {
            let mut packets: Vec<Packet> = vec![Packet::new(); burst.len()];
            packets.iter_mut().zip(burst).for_each(|(packet, flow)| source.fill_one(packet, *flow));
            let mut expected = packets.clone();
            ensure!(oracle.run(&mut expected), "our portable engine failed");
            if role == Role::Unprotect {
                std::mem::swap(&mut packets, &mut expected);
            }
            let done = contestant.run(&mut packets);
            let same = packets.iter().zip(&expected).all(|(a, b)| a.packet() == b.packet());
            ensure!(
                done && same,
                "{} {way} does not {} {} as our portable engine does (burst of {})",
                contestant.name(),
                role.name(),
                suite.name(),
                packets.len()
            );
        }
    }
    Ok(())
}
