//! What a session is: two legs, their addresses and their keys.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
use zeroize::Zeroize;

use crate::Suite;

/// Longest master key identifier in bytes (RFC 4568 section 6.1 allows 1 to 128).
pub const MKI_MAX: usize = 128;

/// The master key of one direction of a leg, with its salt. All zero: no SRTP.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Zeroize)]
#[repr(C)]
pub struct MasterKey {
    /// Code of the [`Suite`]; 0: this direction is plain RTP.
    pub suite: u8,
    /// Zero.
    pub reserved: u8,
    /// The master salt; GCM suites use the first 12 bytes.
    pub salt: [u8; 14],
    /// The master key; 128-bit suites use the first 16 bytes, 192-bit ones the first 24.
    pub key: [u8; 32],
}

impl MasterKey {
    /// Plain RTP.
    pub const NONE: Self = Self { suite: 0, reserved: 0, salt: [0; 14], key: [0; 32] };

    /// A master key from the concatenation of key and salt, as `inline:` carries it.
    /// `None` if the length does not fit the suite.
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        if key_and_salt.len() != suite.key_len() + suite.salt_len() {
            return None;
        }
        let mut out = Self::NONE;
        let (key, salt) = key_and_salt.split_at(suite.key_len());
        out.suite = suite.code();
        out.key.get_mut(..key.len())?.copy_from_slice(key);
        out.salt.get_mut(..salt.len())?.copy_from_slice(salt);
        Some(out)
    }

    /// The suite; `None` for plain RTP or an unknown code.
    pub fn suite(&self) -> Option<Suite> {
        Suite::from_code(self.suite)
    }

    /// The master key's bytes in use.
    pub fn key(&self) -> &[u8] {
        let len = self.suite().map_or(0, Suite::key_len);
        self.key.get(..len).unwrap_or_default()
    }

    /// The master salt's bytes in use.
    pub fn salt(&self) -> &[u8] {
        let len = self.suite().map_or(0, Suite::salt_len);
        self.salt.get(..len).unwrap_or_default()
    }
}

impl fmt::Debug for MasterKey {
    /// Never prints key material.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.suite().map_or("none", Suite::name))
    }
}

/// A master key identifier, of 0 to [`MKI_MAX`] bytes; all zero: none.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Zeroize)]
#[repr(C)]
pub struct Mki {
    /// Bytes in use; 0: packets carry no MKI.
    pub len: u8,
    /// The bytes.
    pub bytes: [u8; MKI_MAX],
}

impl Mki {
    /// No MKI.
    pub const NONE: Self = Self { len: 0, bytes: [0; MKI_MAX] };

    /// An MKI of these bytes; `None` if they are more than [`MKI_MAX`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut out = Self { len: u8::try_from(bytes.len()).ok()?, ..Self::NONE };
        out.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(out)
    }

    /// The bytes in use; `None` if the length makes no sense.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.len))
    }
}

impl fmt::Debug for Mki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mki({:02x?})", self.bytes().unwrap_or_default())
    }
}

/// Bits of [`Leg::flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegFlags;

impl LegFlags {
    /// The remote address is learned from the first authenticated packet and follows later ones
    /// (needs an inbound key). Without it only the signalled address is accepted.
    pub const LEARN: u8 = 1;
    /// RTP and RTCP share the RTP port on this leg (RFC 5761).
    pub const RTCP_MUX: u8 = 2;
    /// Outbound keys of this leg never come back, and a receiver begins at ROC 0 and SRTCP index 0 with each
    /// (phones that speak SCCP do). So the states of what was sent under the key before are forgotten when
    /// the key changes. Whoever sets this vouches that no key is ordered twice, unless it is the one that the other leg
    /// receives under: then packets keep their indices.
    pub const FRESH_KEYS: u8 = 4;
    /// A plain leg whose sender is not signalled: the first one that sends RTP from the network `remote_ip` /
    /// `latch_prefix`, or from another session here, is the only one that is accepted, until an update says otherwise or
    /// a new offer stands behind it ([`Command::anew`](crate::Command::anew)). Nothing is sent to it. Not with keys, nor
    /// with signalled ports.
    pub const LATCH: u8 = 8;
    /// All bits that have a meaning.
    pub const ALL: u8 = Self::LEARN | Self::RTCP_MUX | Self::FRESH_KEYS | Self::LATCH;
}

/// One side of a session, as the control plane orders it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Zeroize)]
#[repr(C)]
pub struct Leg {
    /// Index of the data-plane port (in the order of the configuration), whose media address is
    /// this leg's local address.
    pub port: u8,
    /// Bits of [`LegFlags`].
    pub flags: u8,
    /// DSCP of packets sent on this leg, 0 to 63; 255: copied from the packet that came in.
    pub dscp: u8,
    /// With [`LegFlags::LATCH`] the length of the network's prefix in bits of `remote_ip`, 96 to 128; else zero.
    pub latch_prefix: u8,
    /// Local UDP port for RTP: even, in the port's media range.
    pub local_rtp: u16,
    /// Local UDP port for RTCP, `local_rtp + 1`; kept allocated under rtcp-mux.
    pub local_rtcp: u16,
    /// Signalled remote UDP port for RTP; 0: not known yet, nothing is sent.
    pub remote_rtp: u16,
    /// Signalled remote UDP port for RTCP; equal to `remote_rtp` under rtcp-mux.
    pub remote_rtcp: u16,
    /// Index into the next-hop table, for packets to the signalled address.
    pub next_hop: u32,
    /// Signalled remote address; IPv4 as an IPv4-mapped IPv6 address. With [`LegFlags::LATCH`] a network's.
    pub remote_ip: [u8; 16],
    /// Key of packets that arrive on this leg.
    pub inbound: MasterKey,
    /// Key of packets that are sent on this leg.
    pub outbound: MasterKey,
    /// MKI of packets that arrive on this leg. Those that are sent carry none: we choose the key that
    /// they are sent under, and have but one.
    pub mki: Mki,
    /// Zero.
    pub reserved2: [u8; 7],
}

impl Leg {
    /// The signalled remote address.
    pub fn remote_ip(&self) -> IpAddr {
        Ipv6Addr::from(self.remote_ip).to_canonical()
    }

    /// Whether `bit` of [`LegFlags`] is set.
    pub const fn has(&self, bit: u8) -> bool {
        self.flags & bit != 0
    }
}

/// An address in its shared-memory form: IPv4 mapped into IPv6.
pub fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The IPv4 address of a shared-memory address, if it is one.
pub fn unmapped_v4(ip: [u8; 16]) -> Option<Ipv4Addr> {
    Ipv6Addr::from(ip).to_ipv4_mapped()
}

/// A session as the control plane orders it. A packet that enters by one leg leaves by the other.
/// By convention leg 0 faces the phone (outside) and leg 1 the call manager (inside).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Zeroize)]
#[repr(C)]
pub struct Session {
    /// The two legs.
    pub legs: [Leg; 2],
}

/// Where packets to a signalled address go on the wire. Kept current by the control plane from
/// the kernel's routes and neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NextHop {
    /// Index of the data-plane port.
    pub port: u8,
    /// 1: `mac` is valid. 0: unresolved, packets are dropped and counted.
    pub valid: u8,
    /// VLAN identifier, 0: untagged.
    pub vlan: u16,
    /// Destination MAC address.
    pub mac: [u8; 6],
    /// Zero.
    pub reserved: [u8; 2],
}
