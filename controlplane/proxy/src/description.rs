//! Session descriptions: where one says media goes, and the edits that make it ours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pinhole_sdp::{SessionDescription, attribute, crypto};

use crate::calls::Remote;

/// What a media line becomes.
pub(crate) enum LineShape {
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

/// Session attributes that name transports or keys of the far side.
const FOREIGN: [&[&str]; 4] =
    [attribute::ICE, attribute::RTCP_TRANSPORT, attribute::CAPABILITIES, attribute::GROUPING];

/// Makes a description ours: addresses, ports, profile and keys; everything else stays as it came.
pub(crate) fn reshape(sdp: &mut SessionDescription, address: IpAddr, lines: &[LineShape]) {
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
