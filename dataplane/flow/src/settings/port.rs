//! A `[[dataplane.port]]` table.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{SOCKET_PATH_MAX, SettingsError, is_word};

/// The smallest MTU: what every IPv4 host takes (RFC 791).
const MTU_MIN: u16 = 576;
/// The largest MTU of a device with frames of its own size: what is usual beyond Ethernet's 1500.
const MTU_MAX: u16 = 9000;
/// The largest MTU of a kernel interface: AF_PACKET's and AF_XDP's frames have 2048 bytes, less Ethernet
/// header, VLAN tag and what AF_PACKET puts in front.
const MTU_MAX_INTERFACE: u16 = 1900;
/// Longest name of a network interface in bytes (`IFNAMSIZ` less its terminator).
const INTERFACE_MAX: usize = 15;

/// A port of the data plane: a device, its kernel twin, and the media address behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortSettings {
    /// The name by which the rest of the configuration refers to the port.
    pub name: String,
    /// The device that DPDK drives.
    pub device: Device,
    /// Name of the kernel twin, the TAP device that carries the addresses.
    pub tap: String,
    /// Our MAC address on the wire; absent: see the operator guide on default addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// The media termination address.
    pub media_address: Ipv4Addr,
    /// The UDP ports for media.
    pub media_ports: PortRange,
    /// VLAN identifier of all frames of this port; absent: untagged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Largest IP packet in bytes, 576 to 9000, with AF_XDP and AF_PACKET to 1900.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
    /// Frames per second that a worker gives to the kernel twin at most, 100 to 10000000.
    #[serde(default = "default_punt_rate")]
    pub punt_rate: u32,
}

impl PortSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        let wrong = |key, value: String, must: &str| {
            Err(SettingsError::Port { name: self.name.clone(), key, value, must: must.into() })
        };
        if !is_word(&self.name, 32) {
            return wrong("name", format!("{:?}", self.name), "1 to 32 letters, digits, '-', '_' or '.'");
        }
        if !is_word(&self.tap, INTERFACE_MAX) {
            return wrong(
                "tap",
                format!("{:?}", self.tap),
                "an interface name of 1 to 15 letters, digits, '-', '_' or '.'",
            );
        }
        if self.device.interface() == Some(self.tap.as_str()) {
            return wrong("tap", format!("{:?}", self.tap), "another name than the device's interface");
        }
        if self.mac.is_some_and(|mac| mac.0[0] & 1 != 0 || mac.0 == [0; 6]) {
            let value = self.mac.map_or_else(String::new, |mac| mac.to_string());
            return wrong("mac", value, "a unicast address other than zero");
        }
        let address = self.media_address;
        if address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || address.octets()[0] == 0
            || address.octets()[0] >= 240
        {
            return wrong("media_address", address.to_string(), "a unicast address of this appliance");
        }
        if self.vlan.is_some_and(|vlan| !(1..=4094).contains(&vlan)) {
            let value = self.vlan.unwrap_or_default().to_string();
            return wrong("vlan", value, "from 1 to 4094, or absent for untagged frames");
        }
        let (max, why) = match self.device {
            Device::AfXdp(_) | Device::AfPacket(_) => {
                (MTU_MAX_INTERFACE, ", what a frame of this device holds")
            }
            Device::Pci(_) | Device::Vhost(_) => (MTU_MAX, ""),
        };
        if !(MTU_MIN..=max).contains(&self.mtu) {
            let must = format!("from {MTU_MIN} to {max}{why}");
            return wrong("mtu", self.mtu.to_string(), &must);
        }
        if !(100..=10_000_000).contains(&self.punt_rate) {
            return wrong(
                "punt_rate",
                self.punt_rate.to_string(),
                "from 100 to 10000000 (frames per second)",
            );
        }
        Ok(())
    }
}

/// A device that DPDK drives: `"0000:03:00.0"`, `"af_xdp:IFACE"`, `"af_packet:IFACE"` or
/// `"vhost:/PATH"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Device {
    /// A network card bound to vfio, by PCI address with domain.
    Pci(String),
    /// A kernel interface over AF_XDP.
    AfXdp(String),
    /// A kernel interface over AF_PACKET.
    AfPacket(String),
    /// Shared memory with a virtual machine or another process (vhost-user): the path of the socket
    /// on which the peer connects.
    Vhost(PathBuf),
}

impl Device {
    /// The kernel interface, if the device is one.
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Pci(_) | Self::Vhost(_) => None,
            Self::AfXdp(interface) | Self::AfPacket(interface) => Some(interface),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let interface = |name: &str| is_word(name, INTERFACE_MAX).then(|| name.to_owned());
        let found = if let Some(name) = text.strip_prefix("af_xdp:") {
            interface(name).map(Self::AfXdp)
        } else if let Some(name) = text.strip_prefix("af_packet:") {
            interface(name).map(Self::AfPacket)
        } else if let Some(path) = text.strip_prefix("vhost:") {
            is_socket_path(path).then(|| Self::Vhost(path.into()))
        } else {
            is_pci_address(text).then(|| Self::Pci(text.to_ascii_lowercase()))
        };
        found.ok_or_else(|| {
            format!(
                "{text:?} is no device: write a PCI address such as \"0000:03:00.0\", \"af_xdp:IFACE\", \"af_packet:IFACE\" or \"vhost:/PATH\" (letters, digits and \"/-_.\", at most {SOCKET_PATH_MAX} bytes)"
            )
        })
    }
}

/// Whether `text` can be the path of a socket, and stand in DPDK's device arguments.
fn is_socket_path(text: &str) -> bool {
    let path = Path::new(text);
    path.is_absolute()
        && path.file_name().is_some()
        && !text.ends_with('/')
        && text.len() <= SOCKET_PATH_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte))
}

/// Whether `text` reads `dddd:bb:dd.f`.
fn is_pci_address(text: &str) -> bool {
    text.len() == 12
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b':',
            10 => byte == b'.',
            11 => (b'0'..=b'7').contains(&byte),
            _ => byte.is_ascii_hexdigit(),
        })
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci(address) => f.write_str(address),
            Self::AfXdp(interface) => write!(f, "af_xdp:{interface}"),
            Self::AfPacket(interface) => write!(f, "af_packet:{interface}"),
            Self::Vhost(path) => write!(f, "vhost:{}", path.display()),
        }
    }
}

/// An Ethernet address, written `02:00:5e:00:53:01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MacAddr(pub [u8; 6]);

impl FromStr for MacAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no MAC address: write six bytes such as \"02:00:5e:00:53:01\"");
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            if !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() { Err(wrong()) } else { Ok(Self(octets)) }
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A range of UDP ports, written `16384-32767`: whole pairs of an even port for RTP and the odd
/// one above it for RTCP, none below 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// A range from `first` (even, at least 1024) to `last` (odd), both inclusive.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first >= 1024 && first.is_multiple_of(2) && !last.is_multiple_of(2) && first < last)
            .then_some(Self { first, last })
    }

    /// The first port, even.
    pub const fn first(&self) -> u16 {
        self.first
    }

    /// The last port, odd.
    pub const fn last(&self) -> u16 {
        self.last
    }

    /// Whether `port` lies in the range.
    pub const fn contains(&self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// How many pairs of RTP and RTCP port there are.
    pub const fn pairs(&self) -> usize {
        (self.last - self.first) as usize / 2 + 1
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text
            .split_once('-')
            .and_then(|(first, last)| Self::new(first.trim().parse().ok()?, last.trim().parse().ok()?));
        range.ok_or_else(|| {
            format!(
                "{text:?} is no media port range: write FIRST-LAST with an even FIRST from 1024 and an odd LAST, such as \"16384-32767\""
            )
        })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

macro_rules! through_text {
    ($($type:ty),+) => {$(
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
    )+};
}

through_text!(Device, MacAddr, PortRange);

fn default_mtu() -> u16 {
    1500
}

fn default_punt_rate() -> u32 {
    100_000
}
