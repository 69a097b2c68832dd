//! SRTP crypto suites, as SDES names them (RFC 4568, 6188, 7714).

/// An SRTP crypto suite. The discriminant is its code in shared memory; 0 there means "no SRTP".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Suite {
    /// AES-128 counter mode, HMAC-SHA1 with an 80-bit tag (RFC 3711).
    AesCm128HmacSha1_80 = 1,
    /// AES-128 counter mode, HMAC-SHA1 with a 32-bit tag for RTP and 80 bits for RTCP (RFC 3711).
    AesCm128HmacSha1_32 = 2,
    /// AES-256 counter mode, HMAC-SHA1 with an 80-bit tag (RFC 6188).
    AesCm256HmacSha1_80 = 3,
    /// AES-256 counter mode, HMAC-SHA1 with a 32-bit tag for RTP and 80 bits for RTCP (RFC 6188).
    AesCm256HmacSha1_32 = 4,
    /// AES-128 in Galois/counter mode, 16-byte tag (RFC 7714).
    AeadAes128Gcm = 5,
    /// AES-256 in Galois/counter mode, 16-byte tag (RFC 7714).
    AeadAes256Gcm = 6,
    /// AES-192 counter mode, HMAC-SHA1 with an 80-bit tag (RFC 6188).
    AesCm192HmacSha1_80 = 7,
    /// AES-192 counter mode, HMAC-SHA1 with a 32-bit tag for RTP and 80 bits for RTCP (RFC 6188).
    AesCm192HmacSha1_32 = 8,
}

impl Suite {
    /// Every suite, in the order of their codes.
    pub const ALL: [Self; 8] = [
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::AesCm256HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
        Self::AesCm192HmacSha1_80,
        Self::AesCm192HmacSha1_32,
    ];

    /// The suite of a code read from shared memory; `None` for 0 and for anything unknown.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| *suite as u8 == code)
    }

    /// The suite's code in shared memory.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The suite's name in an `a=crypto` line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AesCm192HmacSha1_80 => "AES_192_CM_HMAC_SHA1_80",
            Self::AesCm192HmacSha1_32 => "AES_192_CM_HMAC_SHA1_32",
        }
    }

    /// The suite of an SDES name, compared without regard to case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Length of the master key in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm192HmacSha1_80 | Self::AesCm192HmacSha1_32 => 24,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Length of the master salt in bytes: 14 for counter mode, 12 for GCM.
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Length of the authentication tag of an SRTP packet in bytes.
    pub const fn rtp_tag_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm192HmacSha1_80 | Self::AesCm256HmacSha1_80 => 10,
            Self::AesCm128HmacSha1_32 | Self::AesCm192HmacSha1_32 | Self::AesCm256HmacSha1_32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Length of the authentication tag of an SRTCP packet in bytes: 10 for every counter-mode
    /// suite, also the `_32` ones (RFC 3711 section 5.2, RFC 4568 section 6.2), 16 for GCM.
    pub const fn rtcp_tag_len(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }

    /// Whether the suite authenticates with AES-GCM.
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }
}
