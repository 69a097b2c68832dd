//! Session descriptions: where one says media goes, and the edits that make it ours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pinhole_sdp::{MediaSection, SessionDescription, attribute, crypto};
use pinhole_sip::{Message, name};
use zeroize::Zeroizing;

use crate::calls::{Keying, Profile, Remote};
use crate::dialogs::SetId;
use crate::proxy::Proxy;
use crate::transactions::Side;

/// What a media line becomes.
enum LineShape {
    /// Port 0.
    Off {
        /// The protocol that the line shows.
        proto: String,
    },
    /// Ours.
    On {
        /// Our RTP port; RTCP is the next one.
        port: u16,
        proto: &'static str,
        /// The only crypto line.
        crypto: Option<crypto::Attribute>,
        mux: bool,
        /// Whether the all-zero address (old-style hold, RFC 3264 section 8.4) is kept.
        zero: bool,
    },
}

/// What of a media line goes on to the other side.
pub(crate) struct Carried {
    pub(crate) profile: Profile,
    pub(crate) keying: Option<Keying>,
    /// Whether a phone is told that RTP and RTCP share a port.
    pub(crate) mux: bool,
}

/// Session attributes that name transports or keys of the far side.
const FOREIGN: [&[&str]; 4] =
    [attribute::ICE, attribute::RTCP_TRANSPORT, attribute::CAPABILITIES, attribute::GROUPING];

/// Makes a description ours: addresses, ports, profile and keys; everything else stays as it came.
fn reshape(sdp: &mut SessionDescription, address: IpAddr, lines: &[LineShape]) {
    let zero = |zero: bool| match (zero, address) {
        (false, _) => address,
        (true, IpAddr::V4(_)) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        (true, IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let all_zero = !lines.is_empty()
        && lines.iter().all(|line| matches!(line, LineShape::On { zero: true, .. } | LineShape::Off { .. }))
        && lines.iter().any(|line| matches!(line, LineShape::On { .. }));
    sdp.set_origin_address(address);
    sdp.set_connection(zero(all_zero));
    sdp.remove_keying();
    for names in FOREIGN {
        sdp.remove_attributes(names);
    }
    let shared = matches!(sdp.connection(), Ok(Some(_)));
    for (section, line) in sdp.media_mut().iter_mut().zip(lines) {
        section.remove_keying();
        for names in FOREIGN {
            section.remove_attributes(names);
        }
        match line {
            LineShape::Off { proto } => {
                section.disable();
                section.set_proto(proto);
                if matches!(section.connection(), Ok(None)) {
                    continue;
                }
                section.set_connection(address);
            }
            LineShape::On { port, proto, crypto, mux, zero: held } => {
                let own = !matches!(section.connection(), Ok(None));
                section.set_transport(zero(*held), *port, proto);
                if shared && !own && *held == all_zero {
                    section.remove_connection();
                }
                if let Some(crypto) = crypto {
                    section.set_cryptos(std::slice::from_ref(crypto));
                }
                if *mux {
                    section.add_attribute("rtcp-mux", "");
                }
            }
        }
    }
}

/// Where a media line says that media goes; `None` if it cannot be read.
pub(crate) fn remote_of(sdp: &SessionDescription, at: usize, mux: bool) -> Option<Remote> {
    let section = sdp.media().get(at)?;
    let connection = sdp.connection_of(at).ok()?;
    let rtp = section.port();
    // RFC 3605; without it RTCP has the next port (RFC 3550 section 11).
    let rtcp = match section.rtcp().ok()? {
        _ if mux => rtp,
        Some(rtcp) => rtcp.port,
        None => rtp.checked_add(1).unwrap_or(0),
    };
    let zero = connection.is_unspecified();
    let ip = connection.ip().filter(|_| !zero).map(|ip| ip.to_canonical());
    Some(Remote { ip, rtp, rtcp, zero })
}

/// Removes a description that belongs to no call: its addresses are of no use on the other side.
pub(crate) fn drop_description(message: &mut Message) {
    if matches!(message.sdp(), Ok(None)) {
        return;
    }
    message.body.clear();
    for field in [name::CONTENT_TYPE, name::CONTENT_DISPOSITION, name::CONTENT_ENCODING] {
        message.remove(field);
    }
}

impl Proxy {
    /// Puts a description into a message in the terms of the side `to`. `carried` says which media lines have a stream.
    pub(crate) fn describe(
        &self,
        to: Side,
        set: SetId,
        mut sdp: SessionDescription,
        message: &mut Message,
        carried: impl Fn(usize) -> Option<Carried>,
    ) {
        let cluster = self.sets.get(set).map_or(0, |set| set.cluster);
        let port = match to {
            Side::Phone => self.config.outside.port,
            Side::Cluster => self.config.clusters.get(cluster).map_or(0, |cluster| cluster.port),
        };
        let Some(address) = self.config.media.get(usize::from(port)).map(|port| port.address) else {
            drop_description(message);
            return;
        };
        let shapes = self.shapes(set, to, &sdp, carried);
        reshape(&mut sdp, address, &shapes);
        if !matches!(message.replace_sdp(&sdp.to_bytes()), Ok(true)) {
            drop_description(message);
        }
    }

    /// What each media line becomes towards a side.
    fn shapes(
        &self,
        set: SetId,
        to: Side,
        sdp: &SessionDescription,
        carried: impl Fn(usize) -> Option<Carried>,
    ) -> Vec<LineShape> {
        let clear = to == Side::Phone && self.may_be_clear(set);
        let shape = |at: usize, section: &MediaSection| {
            let proto = if clear { section.proto().to_owned() } else { other_profile(section.proto(), to) };
            let off = LineShape::Off { proto };
            if section.port() == 0 {
                return off;
            }
            let Some(Carried { profile, keying, mux }) = carried(at) else { return off };
            let slot = self.sets.call(set).and_then(|call| call.streams.get(&at)).map(|stream| stream.slot);
            let Some(session) = slot.and_then(|slot| self.sessions.get(slot)) else { return off };
            let [outside, inside] = &session.orders.legs;
            let (port, proto, crypto, mux) = match (to, keying) {
                (Side::Phone, Some(Keying::Sdes(crypto))) => {
                    let key = Zeroizing::new([crypto.ours.key(), crypto.ours.salt()].concat());
                    let line = crypto::Attribute::new(crypto.tag, crypto.suite.name(), &key);
                    let Ok(line) = line else { return off };
                    (outside.local_rtp, profile.secure(), Some(line), mux)
                }
                (Side::Phone, Some(Keying::Clear)) => (outside.local_rtp, profile.clear(), None, mux),
                (Side::Phone, None) => return off,
                (Side::Cluster, _) => (inside.local_rtp, profile.clear(), None, false),
            };
            let zero = remote_of(sdp, at, false).is_some_and(|remote| remote.zero);
            LineShape::On { port, proto, crypto, mux, zero }
        };
        sdp.media().iter().enumerate().map(|(at, section)| shape(at, section)).collect()
    }
}

/// The profile of a line that is off, in the other side's terms.
fn other_profile(proto: &str, to: Side) -> String {
    match (to, proto) {
        (Side::Cluster, "RTP/SAVP") => "RTP/AVP",
        (Side::Cluster, "RTP/SAVPF") => "RTP/AVPF",
        (Side::Phone, "RTP/AVP") => "RTP/SAVP",
        (Side::Phone, "RTP/AVPF") => "RTP/SAVPF",
        (_, other) => other,
    }
    .to_owned()
}
