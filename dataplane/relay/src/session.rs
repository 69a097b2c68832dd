//! What the worker keeps to itself of a session: checked orders, session keys, learned sources.

use std::mem::{offset_of, take};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use pinhole_flow::leg::{mapped, unmapped_v4};
use pinhole_flow::slot::STREAMS;
use pinhole_flow::{DropCause, Leg, LegFlags, LegLive, Session, StreamState};
use pinhole_srtp::kernels::Engine;
use pinhole_srtp::{Direction, Guess, KeyError, Refused, Windows};

use crate::learn::Source;
use crate::network::Network;
use crate::recent::{Recent, in_use};
use crate::reception::Reception;
use crate::retired::{Retired, RetiredStreams};
use crate::route::Route;

/// A session whose orders have been checked; by default one that is closed.
#[derive(Debug, Default)]
pub struct Context {
    /// Its two legs.
    pub legs: [LegContext; 2],
}

/// One leg of a session. The fields stand in groups of one cache line each, since with thousands of sessions
/// every line that a packet touches is a miss: an RTP packet needs the orders and the reception of the leg that
/// it arrives on, the route of the one that it leaves by, and the lines with the keys of secure legs.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct LegContext {
    /// The orders.
    pub orders: LegOrders,
    /// Where authenticated RTP came from, on a leg that learns; or the first RTP, on one that latches.
    pub rtp_source: Option<Source>,

    /// The way of packets that are sent.
    route: Route,

    /// Keys of packets that arrive; `None`: none yet, or plain RTP.
    pub inbound: Option<Direction>,
    /// The inbound key that was in force before this one.
    pub before: Option<Box<KeyBefore>>,

    /// Reception statistics.
    pub reception: Reception,
    /// What of the replay windows has no room in the slot.
    pub windows: Windows,
    /// SSRCs that arrived lately.
    pub recent_inbound: Recent,
    /// Length on the wire of the last authenticated SRTP packet; 0: none yet.
    pub last_secure_len: u16,
    /// Whether there are `retired` that have arrived, which lie on another cache line.
    retired_inbound: bool,

    /// Keys of packets that are sent; `None`: none yet, or plain RTP.
    pub outbound: Option<Direction>,
    /// The SSRC that was sent last: of `recent_outbound` the first.
    last_sent: u32,
    /// Whether there are `retired` that were sent.
    retired_outbound: bool,
    /// What is sent goes out under the key that it came under on the other leg: as it came, so that no index is used
    /// for two packets.
    pub keeps_index: bool,
    /// How much of `network` counts.
    network_bits: u8,

    /// SSRCs that were sent lately.
    pub recent_outbound: Recent,
    /// Where the source may be, on a leg that latches.
    network: u32,
    /// SSRCs that made room for others.
    retired: Option<Box<RetiredStreams>>,
    /// Where authenticated RTCP came from, on a leg that learns and has no rtcp-mux.
    pub rtcp_source: Option<Source>,
}

/// How many cache lines a leg takes.
pub const LINES_OF_LEG: usize = size_of::<LegContext>() / 64;

/// The cache lines of a leg that RTP packets need.
#[derive(Clone, Copy, Debug)]
pub enum LegLine {
    /// Orders and learned source.
    Orders = 0,
    /// The way of packets that are sent.
    Route = 1,
    /// Keys of packets that arrive, on a secure leg.
    Inbound = 2,
    /// What is remembered of packets that arrive.
    Reception = 3,
    /// Keys of packets that are sent, on a secure leg.
    Outbound = 4,
}

const _: () = assert!(size_of::<Context>() == 768 && offset_of!(LegContext, route) == 64);
const _: () = assert!(offset_of!(LegContext, inbound) == 128 && offset_of!(LegContext, reception) == 192);
const _: () = assert!(offset_of!(LegContext, outbound) == 256);

/// An inbound key that was replaced. Packets in flight are accepted under it for a bounded time; what
/// was seen under it is remembered until the key changes once more, in case it comes back.
#[derive(Debug)]
pub struct KeyBefore {
    /// Tells whether a key is this one.
    pub fingerprint: [u8; 16],
    /// The session keys; `None` once the time is over.
    pub direction: Option<Direction>,
    /// When it is over.
    pub until_ns: u64,
    /// States of the SSRCs that arrived under it.
    pub streams: [StreamState; STREAMS],
    /// What of their windows has no room there.
    pub windows: Windows,
    /// SSRCs that arrived under it and made room for others.
    pub retired: Retired,
}

/// The orders of a leg, checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegOrders {
    /// Index of the data-plane port.
    pub port: u8,
    /// The source is learned.
    pub learn: bool,
    /// RTCP shares the RTP port.
    pub mux: bool,
    /// SRTP. A leg that learns is secure even while it has no keys yet: it accepts and sends nothing
    /// then, rather than plain RTP.
    pub secure: bool,
    /// The source is the first that sends from the leg's network.
    pub latch: bool,
    /// DSCP of what is sent; `None`: that of what came in.
    pub dscp: Option<u8>,
    /// Local port for RTP, even.
    pub local_rtp: u16,
    /// Signalled address for RTP, if it is known.
    pub remote_rtp: Option<SocketAddrV4>,
    /// Signalled address for RTCP, if it is known.
    pub remote_rtcp: Option<SocketAddrV4>,
    /// Index into the next-hop table.
    pub next_hop: u16,
    /// The leg is one of an open session.
    pub open: bool,
}

impl LegOrders {
    /// Checks a leg. The control plane parses hostile input, so nothing it says is taken on trust.
    /// `None` if a field is out of range. Port ranges and table sizes are the caller's to check.
    pub fn parse(leg: &Leg) -> Option<Self> {
        let unknown = (leg.remote_ip == [0; 16]).then_some(Ipv4Addr::UNSPECIFIED);
        let address = unmapped_v4(leg.remote_ip).or(unknown)?;
        let sane = leg.flags & !LegFlags::ALL == 0
            && (leg.dscp < 64 || leg.dscp == 255)
            && leg.local_rtp.is_multiple_of(2)
            && Some(leg.local_rtcp) == leg.local_rtp.checked_add(1)
            && !never_remote(address);
        let remote =
            |port| (port != 0 && !address.is_unspecified()).then(|| SocketAddrV4::new(address, port));
        let mux = leg.has(LegFlags::RTCP_MUX);
        let learn = leg.has(LegFlags::LEARN);
        let latch = leg.has(LegFlags::LATCH);
        let secure = learn || leg.inbound.suite != 0 || leg.outbound.suite != 0;
        let latch_is_sane = match latch {
            true => {
                (96..=128).contains(&leg.latch_prefix)
                    && !secure
                    && (leg.remote_rtp, leg.remote_rtcp) == (0, 0)
            }
            false => leg.latch_prefix == 0,
        };
        (sane && latch_is_sane).then_some(Self {
            port: leg.port,
            learn,
            mux,
            secure,
            latch,
            dscp: (leg.dscp < 64).then_some(leg.dscp),
            local_rtp: leg.local_rtp,
            remote_rtp: remote(leg.remote_rtp),
            remote_rtcp: remote(if mux { leg.remote_rtp } else { leg.remote_rtcp }),
            next_hop: u16::try_from(leg.next_hop).ok()?,
            open: true,
        })
    }

    /// Local port for RTCP.
    #[inline]
    pub fn local_rtcp(&self) -> u16 {
        self.local_rtp | 1
    }

    /// The local port that packets of a kind are sent from.
    #[inline]
    pub fn local_port(&self, rtcp: bool) -> u16 {
        if rtcp && !self.mux { self.local_rtcp() } else { self.local_rtp }
    }

    /// The signalled address for packets of a kind.
    #[inline]
    pub fn signalled(&self, rtcp: bool) -> Option<SocketAddrV4> {
        if rtcp { self.remote_rtcp } else { self.remote_rtp }
    }
}

/// Addresses that no media can be sent to or come from: loopback, multicast, broadcast.
#[inline]
pub fn never_remote(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_multicast() || address.is_broadcast()
}

/// The checked orders of both legs; `None` if something is out of range.
pub fn parse(session: &Session) -> Option<[LegOrders; 2]> {
    let [first, second] = &session.legs;
    Some([LegOrders::parse(first)?, LegOrders::parse(second)?])
}

impl Context {
    /// A session that is new, its keys derived and expanded for `engine`, its replay windows of a size.
    pub fn new(
        session: &Session,
        orders: [LegOrders; 2],
        window: u32,
        engine: &dyn Engine,
    ) -> Result<Self, KeyError> {
        let ([first, second], [first_orders, second_orders]) = (&session.legs, orders);
        let legs = [
            LegContext::new(first, second, first_orders, window, engine)?,
            LegContext::new(second, first, second_orders, window, engine)?,
        ];
        Ok(Self { legs })
    }

    /// Whether the session is open. That stands with each leg's orders, on a line that every packet which arrives there needs: an
    /// `Option` would tell by whichever field has the most values to spare.
    #[inline]
    pub fn is_open(&self) -> bool {
        let [first, _] = &self.legs;
        first.orders.open
    }

    /// A leg (0 or 1), if the session is open, and the one across, whose orders are not looked at: they lie on a line
    /// that most packets need nothing else of.
    #[inline]
    pub fn sides(&mut self, leg: u8) -> Option<(&mut LegContext, &mut LegContext)> {
        let [first, second] = &mut self.legs;
        let (near, far) = if leg == 0 { (first, second) } else { (second, first) };
        near.orders.open.then_some((near, far))
    }
}

impl LegContext {
    fn new(
        leg: &Leg,
        across: &Leg,
        orders: LegOrders,
        window: u32,
        engine: &dyn Engine,
    ) -> Result<Self, KeyError> {
        Ok(Self {
            orders,
            route: Route::default(),
            keeps_index: leg.outbound.suite != 0 && leg.outbound == across.inbound,
            inbound: Direction::with_mki(&leg.inbound, &leg.mki, engine)?,
            outbound: Direction::derive(&leg.outbound, engine)?,
            before: None,
            rtp_source: None,
            rtcp_source: None,
            network: unmapped_v4(leg.remote_ip).map_or(0, u32::from),
            network_bits: leg.latch_prefix.saturating_sub(96).min(32),
            reception: Reception::default(),
            windows: Windows::new(if leg.inbound.suite == 0 { 0 } else { window }),
            recent_inbound: Recent::default(),
            last_secure_len: 0,
            retired_inbound: false,
            last_sent: 0,
            retired_outbound: false,
            recent_outbound: Recent::default(),
            retired: None,
        })
    }

    /// Takes over from `old`, whose orders this leg's replace, what outlives an update. `same_key`: of
    /// packets that arrive; `anew`: a new offer stands behind the update.
    pub fn inherit(&mut self, old: &mut Self, same_key: bool, anew: bool) {
        self.reception = old.reception;
        self.recent_inbound = old.recent_inbound;
        self.recent_outbound = old.recent_outbound;
        self.retired = old.retired.take();
        (self.retired_inbound, self.retired_outbound) = (old.retired_inbound, old.retired_outbound);
        self.last_sent = old.last_sent;
        if same_key {
            self.last_secure_len = old.last_secure_len;
        }
        // The same phone under a new key, or with a new address before it has sent from there, is still
        // where it was; a new address with a new key is another phone.
        let same_phone = same_key || self.orders.remote_rtp == old.orders.remote_rtp;
        // One that was latched has proven nothing, and is never sent to.
        let learned = self.orders.learn && old.orders.learn;
        if learned && self.orders.port == old.orders.port && same_phone {
            self.rtp_source = old.rtp_source;
            self.rtcp_source = old.rtcp_source;
        }
        let same_network = self.orders.port == old.orders.port && self.network == old.network;
        let same_network = same_network && self.network_bits == old.network_bits;
        if self.orders.latch && old.orders.latch && same_network && !anew {
            self.rtp_source = old.rtp_source;
        }
    }

    /// Whether a packet may come from there, on a leg that latches: from whom it is latched to, RTCP from the port above, or
    /// the first from anybody in the network, or from a session of ours (`hairpin`). It is RTP that counts, so RTCP is
    /// never first.
    #[cold]
    pub fn may_latch(&self, from: SocketAddrV4, rtcp: bool, hairpin: bool) -> bool {
        let above = |port: u16| port.checked_add(1);
        match &self.rtp_source {
            Some(source) if rtcp && !self.orders.mux => {
                from.ip() == source.address.ip() && Some(from.port()) == above(source.address.port())
            }
            Some(source) => from == source.address,
            None => !rtcp && (hairpin || self.is_in_network(*from.ip())),
        }
    }

    fn is_in_network(&self, address: Ipv4Addr) -> bool {
        let other_bits = u32::from(address) ^ self.network;
        other_bits.checked_shr(32 - u32::from(self.network_bits)).unwrap_or(0) == 0
    }

    /// Makes room for an SSRC more in either direction, if there is none; in how many that cannot be.
    pub fn make_room(&mut self, live: &mut LegLive) -> u64 {
        let (inbound, outbound) = match &self.retired {
            Some(retired) => (retired.inbound.has_room(), retired.outbound.has_room()),
            None => (true, true),
        };
        if inbound && let Some(state) = self.recent_inbound.make_room(&mut live.inbound) {
            self.retired.get_or_insert_default().inbound.keep(state);
            self.retired_inbound = true;
        }
        if outbound && let Some(state) = self.recent_outbound.make_room(&mut live.outbound) {
            self.retired.get_or_insert_default().outbound.keep(state);
            self.retired_outbound = true;
        }
        let full = |room: bool, states: &[StreamState]| u64::from(!room && states.iter().all(in_use));
        full(inbound, &live.inbound) + full(outbound, &live.outbound)
    }

    /// Forgets the SSRCs that were sent: their key is never used again.
    pub fn forget_sent(&mut self) {
        self.recent_outbound = Recent::default();
        self.last_sent = 0;
        self.retired_outbound = false;
        if let Some(retired) = &mut self.retired {
            retired.outbound = Retired::default();
        }
    }

    /// Takes away the SSRCs that arrived and made room.
    pub fn take_retired(&mut self) -> Retired {
        self.retired_inbound = false;
        self.retired.as_mut().map(|retired| take(&mut retired.inbound)).unwrap_or_default()
    }

    /// Has others in their place.
    pub fn set_retired(&mut self, others: Retired) {
        self.retired_inbound = !others.states().is_empty();
        if self.retired_inbound {
            self.retired.get_or_insert_default().inbound = others;
        }
    }

    /// The states of the SSRCs that arrived and made room, if this one is among them.
    pub fn retired_with(&self, ssrc: u32) -> Option<&[StreamState]> {
        let retired = self.retired.as_ref().filter(|retired| retired.inbound.has(ssrc))?;
        Some(retired.inbound.states())
    }

    /// Accepts an authentic packet: checks replay and takes note of its index.
    ///
    /// # Errors
    /// [`Refused`], and nothing changes.
    #[inline]
    pub fn commit(&mut self, guess: &Guess, live: &mut LegLive) -> Result<(), Refused> {
        if self.retired_inbound
            && let Some(retired) = &mut self.retired
            && let Some(result) = retired.inbound.commit(guess, &mut live.inbound, &mut self.windows)
        {
            return result;
        }
        guess.commit(&mut live.inbound, &mut self.windows)
    }

    /// Finds the state of an SSRC that is to be sent, should it have made room for another.
    #[inline]
    pub fn resume(&mut self, ssrc: u32, states: &mut [StreamState]) {
        if self.retired_outbound
            && let Some(retired) = &mut self.retired
        {
            retired.outbound.resume(ssrc, states);
        }
    }

    /// Takes note of the SSRC of a packet that is sent.
    #[inline]
    pub fn sent(&mut self, ssrc: u32) {
        if self.last_sent != ssrc {
            self.last_sent = ssrc;
            self.recent_outbound.touch(ssrc);
        }
    }

    /// The source that packets of a kind are sent back to; under rtcp-mux RTCP follows RTP.
    #[inline]
    pub fn learned(&self, rtcp: bool) -> Option<&Source> {
        if !self.orders.learn {
            // Whom a leg is latched to is heard, and never sent to.
            return None;
        }
        if rtcp && !self.orders.mux { self.rtcp_source.as_ref() } else { self.rtp_source.as_ref() }
    }

    /// Where packets of a kind are sent: learned, or else signalled.
    #[inline]
    pub fn destination(&self, rtcp: bool) -> Option<SocketAddrV4> {
        self.learned(rtcp).map(|source| source.address).or(self.orders.signalled(rtcp))
    }

    /// The way of packets of a kind that are sent.
    ///
    /// # Errors
    /// Why there is none.
    #[inline]
    pub fn route(&mut self, rtcp: bool, network: &Network) -> Result<&Route, DropCause> {
        if !self.route.is_for(rtcp, network) {
            self.route = Route::new(self, rtcp, network)?;
        }
        Ok(&self.route)
    }

    /// Takes note that the source has moved, and shows readers where this leg sends to now.
    pub fn moved(&mut self, live: &mut LegLive) {
        self.route = Route::default();
        self.publish(live);
    }

    /// Shows readers where this leg sends to, or, if it is latched, whom it hears. One address is shown, that of RTP.
    pub fn publish(&self, live: &mut LegLive) {
        let latched = self.rtp_source.as_ref().filter(|_| self.orders.latch);
        let rtp = self.destination(false).or(latched.map(|source| source.address));
        let rtcp = self.destination(true);
        let address = rtp.or(rtcp).map_or(Ipv4Addr::UNSPECIFIED, |remote| *remote.ip());
        live.remote_ip = mapped(IpAddr::V4(address));
        live.remote_rtp = rtp.map_or(0, |remote| remote.port());
        live.remote_rtcp = rtcp.map_or(0, |remote| remote.port());
        live.learned = u32::from(self.learned(false).or(latched).is_some())
            | u32::from(self.learned(true).is_some()) << 1;
        let shown = self.learned(false).or(self.learned(true)).or(latched);
        live.mac = shown.map_or([0; 6], |source| source.mac);
        live.vlan = shown.map_or(0, |source| source.vlan);
    }
}
