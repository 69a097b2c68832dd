//! Calls: an INVITE's dialogs with their media.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use pinhole_flow::{MasterKey, Mki, Suite};
use zeroize::Zeroize;

use crate::transactions::{Side, TxId};

/// A call of one phone.
pub(crate) struct Call {
    /// When it began, or was adopted.
    pub(crate) since: Instant,
    /// The INVITE that is to make it, until it is answered.
    pub(crate) invite: Option<TxId>,
    pub(crate) answered: bool,
    /// Taken over from before a restart, and not heard of since.
    pub(crate) adopted: bool,
    /// Its phone has not come back since the restart.
    pub(crate) awaits_phone: bool,
    /// The latest offer; kept until the next one, for an answer that is given again.
    pub(crate) offer: Option<Offer>,
    /// Streams by number of their media line.
    pub(crate) streams: BTreeMap<usize, Stream>,
    /// When media was last seen on any leg.
    pub(crate) media_seen: Instant,
    /// When media was last seen from the phone.
    pub(crate) phone_media_seen: Instant,
}

impl Call {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            invite: None,
            answered: false,
            adopted: false,
            awaits_phone: false,
            offer: None,
            streams: BTreeMap::new(),
            media_seen: now,
            phone_media_seen: now,
        }
    }

    /// Whether no stream flows both ways: silence is then no sign of a fault.
    pub(crate) fn held(&self) -> bool {
        !self.streams.is_empty() && self.streams.values().all(|stream| stream.held)
    }

    /// The suite of the first stream; "RTP" if that is in the clear.
    pub(crate) fn suite(&self) -> Option<&'static str> {
        self.streams.values().find_map(|stream| stream.keying.as_ref().map(Keying::name))
    }
}

/// A stream: one media line, one session.
pub(crate) struct Stream {
    /// Slot of its session; its ports and orders are kept there.
    pub(crate) slot: u32,
    /// `m=` kind.
    pub(crate) kind: String,
    pub(crate) profile: Profile,
    /// How its outside leg is keyed.
    pub(crate) keying: Option<Keying>,
    /// Whether the phone's description says that it shares a port for RTP and RTCP, and we agreed.
    pub(crate) mux: bool,
    /// Whether either side has taken it off both ways.
    pub(crate) held: bool,
    /// Made by an offer that is not answered yet.
    pub(crate) tentative: bool,
}

/// RTP profile, feedback or not (RFC 4585).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Plain,
    Feedback,
}

impl Profile {
    pub(crate) fn of(proto: &str) -> Self {
        if proto.ends_with("AVPF") { Self::Feedback } else { Self::Plain }
    }

    /// Its name with SRTP.
    pub(crate) fn secure(self) -> &'static str {
        match self {
            Self::Plain => "RTP/SAVP",
            Self::Feedback => "RTP/SAVPF",
        }
    }

    /// Its name with plain RTP.
    pub(crate) fn clear(self) -> &'static str {
        match self {
            Self::Plain => "RTP/AVP",
            Self::Feedback => "RTP/AVPF",
        }
    }
}

/// How a stream's outside leg is keyed. Where there is none, there is no stream: nothing is in the clear that was not
/// said to be.
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all have keys, which are wiped where they stand")]
pub(crate) enum Keying {
    /// SRTP.
    Sdes(StreamCrypto),
    /// Plain RTP, of a device whose class allows it.
    Clear,
}

impl Keying {
    /// The suite's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sdes(crypto) => crypto.suite.name(),
            Self::Clear => "RTP",
        }
    }

    fn wipe(&mut self) {
        if let Self::Sdes(crypto) = self {
            crypto.wipe();
        }
    }
}

/// Keys of a stream's outside leg.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamCrypto {
    /// Tag of the crypto line in the last offer and answer.
    pub(crate) tag: u32,
    pub(crate) suite: Suite,
    /// The phone's key and its MKI, unknown until it has answered.
    pub(crate) phone: Option<(MasterKey, Mki)>,
    /// Our key.
    pub(crate) ours: MasterKey,
}

impl StreamCrypto {
    fn wipe(&mut self) {
        self.ours.zeroize();
        if let Some(phone) = &mut self.phone {
            phone.zeroize();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.keying.iter_mut().for_each(Keying::wipe);
    }
}

impl Drop for OfferedLine {
    fn drop(&mut self) {
        self.keying.iter_mut().for_each(Keying::wipe);
    }
}

/// An offer, until and after its answer.
pub(crate) struct Offer {
    /// Who made it.
    pub(crate) by: Side,
    /// The transaction whose request (or, for INVITE without a description, response) carried it.
    pub(crate) carrier: TxId,
    pub(crate) in_response: bool,
    pub(crate) answered: bool,
    pub(crate) lines: Vec<OfferedLine>,
}

/// One media line of an offer.
pub(crate) struct OfferedLine {
    /// Whether it can be carried; otherwise it went on with port 0.
    pub(crate) carried: bool,
    pub(crate) profile: Profile,
    pub(crate) remote: Remote,
    pub(crate) mux: bool,
    /// Whether it flows both ways.
    pub(crate) two_way: bool,
    pub(crate) keying: Option<Keying>,
}

/// Where a description says that media is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// `None`: a host name, or the all-zero address of old-style hold.
    pub(crate) ip: Option<IpAddr>,
    pub(crate) rtp: u16,
    pub(crate) rtcp: u16,
    /// The all-zero address.
    pub(crate) zero: bool,
}
