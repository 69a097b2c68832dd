//! Why a packet is not relayed. Every cause has a counter, globally and (once a leg is known) per leg.

macro_rules! drop_causes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// The cause of a drop. The discriminant indexes the counters in shared memory.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropCause { $($(#[doc = $doc])+ $variant,)+ }

        impl DropCause {
            /// Every cause, in the order of the counters.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant,)+];
            /// How many causes there are.
            pub const COUNT: usize = [$($name,)+].len();
            /// The counter's name, as shown to operators.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

drop_causes! {
    /// RTP or RTCP header broken: version, length, CSRC, extension or padding.
    RtpMalformed = "rtp_malformed",
    /// Not from the signalled address and port, on a leg that accepts no other.
    WrongSource = "wrong_source",
    /// Plain RTP or RTCP on an SRTP leg. Told from a forged packet by its length, so a diagnosis, not a proof.
    PlainOnSecure = "plain_on_secure",
    /// Authentication tag wrong.
    AuthFailed = "auth_failed",
    /// MKI absent or not the one signalled.
    MkiMismatch = "mki_mismatch",
    /// Authentic, but seen before.
    Replayed = "replayed",
    /// Authentic, but older than the replay window.
    TooOld = "too_old",
    /// Not sent: its key has protected as many packets as it may, 2^48 of SRTP or 2^31 of SRTCP (RFC 3711
    /// section 9.2).
    KeyExhausted = "key_exhausted",
    /// Authentic, but one SSRC more than a leg may have.
    SsrcLimit = "ssrc_limit",
    /// The far leg's address or key is not known yet, or an SCCP phone has no channel open to receive.
    NoDestination = "no_destination",
    /// The far leg's next hop is unresolved.
    NoNextHop = "no_next_hop",
    /// The packet does not fit a buffer or the far port's MTU after translation.
    TooBig = "too_big",
    /// A packet passed from one of our media addresses to another more than once.
    HairpinLoop = "hairpin_loop",
    /// The transmit queue of the port was full.
    TxFull = "tx_full",
    /// The ring to the worker that owns the port was full.
    HandoffFull = "handoff_full",
    // From here on: of no leg.
    /// IPv4 header broken: version, length or total length.
    IpMalformed = "ip_malformed",
    /// IPv4 header checksum wrong.
    IpChecksum = "ip_checksum",
    /// IPv4 fragment addressed to a media address.
    Fragment = "fragment",
    /// UDP length broken.
    UdpMalformed = "udp_malformed",
    /// UDP checksum wrong.
    UdpChecksum = "udp_checksum",
    /// The media port has no open pinhole.
    ClosedPinhole = "closed_pinhole",
    /// The kernel twin's queue was full.
    PuntFull = "punt_full",
    /// Not media, and not of the port's VLAN: its twin gets the frames of that VLAN only.
    ForeignVlan = "foreign_vlan",
    /// Not media, and more of that than the port's `punt_rate` lets through to the kernel.
    PuntLimited = "punt_limited",
}

impl DropCause {
    /// How many causes a packet of a leg can have: the first ones, which are counted per leg too.
    pub const OF_LEG: usize = Self::HandoffFull as usize + 1;
}

impl std::fmt::Display for DropCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
