//! Groups of attribute names, for `remove_attributes`.

/// ICE (RFC 8839) and its trickle extension: candidates name addresses that media must not take.
pub const ICE: &[&str] = &[
    "candidate",
    "end-of-candidates",
    "ice-lite",
    "ice-mismatch",
    "ice-options",
    "ice-pacing",
    "ice-pwd",
    "ice-ufrag",
    "remote-candidates",
];

/// Keying other than by `a=crypto`: DTLS-SRTP (RFC 5763, 8842), MIKEY (RFC 4567), ZRTP (RFC 6189).
pub const OTHER_KEYING: &[&str] =
    &["fingerprint", "setup", "connection", "tls-id", "identity", "key-mgmt", "zrtp-hash", "dtls-id"];

/// Capability negotiation (RFC 5939, 6871): offers other transports and keys behind the main offer.
pub const CAPABILITIES: &[&str] = &[
    "csup", "creq", "acap", "tcap", "pcfg", "acfg", "rmcap", "mcap", "mfcap", "mscap", "lcfg", "sescap",
    "omcap",
];

/// Where RTCP goes (RFC 3605, 5761, 8858).
pub const RTCP_TRANSPORT: &[&str] = &["rtcp", "rtcp-mux", "rtcp-mux-only"];

/// Grouping of media sections (RFC 5888, 9143): bundled ones would share a port, alternative ones an address.
pub const GROUPING: &[&str] = &["group", "bundle-only"];
