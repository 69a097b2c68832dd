//! What is asked of the kernel over rtnetlink, and what it tells.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, RawFd};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

// Multicast groups (linux/rtnetlink.h).
const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_NEIGH: u32 = 3;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV4_ROUTE: u32 = 7;
const RTNLGRP_IPV6_IFADDR: u32 = 9;
const RTNLGRP_IPV6_ROUTE: u32 = 11;

/// Something that changed in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A neighbour's state.
    Neighbour { interface: u32, ip: IpAddr, neighbour: Neighbour },
    /// A neighbour is gone.
    NeighbourGone { interface: u32, ip: IpAddr },
    /// A route, an address or an interface: routes must be asked again.
    Routes,
    /// The end of an answer.
    Done,
}

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    /// Its MAC address, when it is known and not given up.
    pub mac: Option<[u8; 6]>,
    /// Whether it was confirmed lately, or needs no confirmation.
    pub confirmed: bool,
}

/// A route's answer for one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Packets go to this address on the link: a gateway, or the destination itself.
    Via(IpAddr),
    /// The destination is an address of this machine.
    Local,
}

/// A subscription to what changes.
pub(super) struct Subscription {
    socket: Socket,
}

impl Subscription {
    pub(super) fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        for group in [
            RTNLGRP_LINK,
            RTNLGRP_NEIGH,
            RTNLGRP_IPV4_IFADDR,
            RTNLGRP_IPV4_ROUTE,
            RTNLGRP_IPV6_IFADDR,
            RTNLGRP_IPV6_ROUTE,
        ] {
            socket.add_membership(group)?;
        }
        socket.set_non_blocking(true)?;
        Ok(Self { socket })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The changes that wait. `ENOBUFS` means that some were lost.
    pub(super) fn read(&self) -> io::Result<Vec<Change>> {
        let mut found = Vec::new();
        loop {
            match self.socket.recv_from_full() {
                Ok((bytes, _)) => found.extend(changes(&bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(found),
                Err(error) => return Err(error),
            }
        }
    }
}

/// A socket for questions.
pub(super) struct Questions {
    socket: Socket,
}

impl Questions {
    pub(super) fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket })
    }

    /// All neighbours of the kernel.
    pub(super) fn neighbours(&self) -> io::Result<Vec<Change>> {
        self.send(
            NLM_F_REQUEST | NLM_F_DUMP,
            RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
        )?;
        let mut found = Vec::new();
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            for change in changes(&bytes) {
                match change {
                    Change::Done => return Ok(found),
                    other => found.push(other),
                }
            }
        }
    }

    /// The route to `ip` by `interface`; `None` when there is none.
    pub(super) fn route(&self, ip: IpAddr, interface: u32) -> io::Result<Option<Route>> {
        let mut question = RouteMessage::default();
        question.header.address_family =
            if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        question.header.destination_prefix_length = if ip.is_ipv4() { 32 } else { 128 };
        question.attributes = vec![RouteAttribute::Destination(ip.into()), RouteAttribute::Oif(interface)];
        self.send(NLM_F_REQUEST, RouteNetlinkMessage::GetRoute(question))?;
        let (bytes, _) = self.socket.recv_from_full()?;
        Ok(route(&bytes, ip, interface))
    }

    fn send(&self, flags: u16, question: RouteNetlinkMessage) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(question));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }
}

/// Every change in a datagram from the kernel. What cannot be parsed is left out.
fn changes(bytes: &[u8]) -> Vec<Change> {
    messages(bytes).filter_map(change).collect()
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = NetlinkPayload<RouteNetlinkMessage>> {
    std::iter::from_fn(move || {
        loop {
            // Length of the message, in host order (RFC 3549 section 2.2); messages are padded to 4 bytes.
            let length = u32::from_ne_bytes(*bytes.first_chunk::<4>()?) as usize;
            if length < 16 || length > bytes.len() {
                return None;
            }
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes);
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
            if let Ok(message) = message {
                return Some(message.payload);
            }
        }
    })
}

fn change(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<Change> {
    use RouteNetlinkMessage as Message;
    let message = match payload {
        NetlinkPayload::InnerMessage(message) => message,
        NetlinkPayload::Done(_) | NetlinkPayload::Error(_) => return Some(Change::Done),
        _ => return None,
    };
    match message {
        Message::NewNeighbour(message) => {
            let (interface, ip) = neighbour_address(&message)?;
            let state = message.header.state;
            let usable =
                !matches!(state, NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::None);
            let mac = message.attributes.iter().find_map(|attribute| match attribute {
                NeighbourAttribute::LinkLayerAddress(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
                _ => None,
            });
            let confirmed = matches!(
                state,
                NeighbourState::Reachable | NeighbourState::Permanent | NeighbourState::Noarp
            );
            Some(Change::Neighbour {
                interface,
                ip,
                neighbour: Neighbour { mac: mac.filter(|_| usable), confirmed },
            })
        }
        Message::DelNeighbour(message) => {
            let (interface, ip) = neighbour_address(&message)?;
            Some(Change::NeighbourGone { interface, ip })
        }
        Message::NewRoute(_)
        | Message::DelRoute(_)
        | Message::NewAddress(_)
        | Message::DelAddress(_)
        | Message::NewLink(_)
        | Message::DelLink(_) => Some(Change::Routes),
        _ => None,
    }
}

fn neighbour_address(message: &NeighbourMessage) -> Option<(u32, IpAddr)> {
    let ip = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    })?;
    Some((message.header.ifindex, ip))
}

/// The route in an answer, if it goes by `interface`.
fn route(bytes: &[u8], ip: IpAddr, interface: u32) -> Option<Route> {
    let message = messages(bytes).find_map(|payload| match payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(message)) => Some(message),
        _ => None,
    })?;
    match message.header.kind {
        RouteType::Local => return Some(Route::Local),
        RouteType::Unicast => {}
        _ => return None,
    }
    let by = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    let gateway = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => Some(IpAddr::V4(*gateway)),
        RouteAttribute::Gateway(RouteAddress::Inet6(gateway)) => Some(IpAddr::V6(*gateway)),
        _ => None,
    });
    (by == Some(interface)).then(|| Route::Via(gateway.unwrap_or(ip)))
}

#[cfg(test)]
mod tests;
