//! The packaged libsrtp2, as an independent implementation to test against and to measure beside.
//!
//! Only for tests and benchmarks: nothing that is shipped links it.

use std::ffi::CStr;
use std::ptr;
use std::sync::OnceLock;

#[expect(non_camel_case_types, non_upper_case_globals, reason = "bindgen names")]
#[allow(missing_docs, dead_code, clippy::all, reason = "bindgen output")]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

/// Bytes of room that protection needs behind a packet.
pub const ROOM: usize = sys::SRTP_MAX_TRAILER_LEN as usize + 4;

/// The library's name and version, such as "libsrtp2 2.5.0".
pub fn version() -> String {
    // SAFETY: a constant string of the library.
    unsafe { CStr::from_ptr(sys::srtp_get_version_string()) }.to_string_lossy().into_owned()
}

/// Why libsrtp2 did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The SDES name is not one of the eight suites.
    #[error("crypto suite unknown to this wrapper")]
    UnknownSuite,
    /// Master key and salt do not have the suite's length, or the MKI has more than 128 bytes.
    #[error("master key and salt do not have the suite's length, or the MKI is longer than 128 bytes")]
    KeyLength,
    /// The packet is not aligned to four bytes, is longer than its buffer, or has less than [`ROOM`]
    /// bytes behind it.
    #[error("packet not aligned to 4 bytes, or without {ROOM} bytes of room behind it")]
    Buffer,
    /// The tag does not match.
    #[error("authentication failed")]
    AuthFailed,
    /// The packet was seen before.
    #[error("replayed")]
    Replayed,
    /// The packet is older than the replay window.
    #[error("older than the replay window")]
    TooOld,
    /// The MKI is not the one of the policy.
    #[error("wrong MKI")]
    BadMki,
    /// Any other `srtp_err_status_t`.
    #[error("libsrtp2 status {0}")]
    Status(u32),
}

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Protects packets of any SSRC.
    Sender,
    /// Unprotects packets of any SSRC.
    Receiver,
}

/// How a session is keyed.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    /// The suite's SDES name, such as `AES_CM_128_HMAC_SHA1_80`.
    pub suite: &'a str,
    /// Master key followed by master salt, as `inline:` carries them.
    pub key_and_salt: &'a [u8],
    /// Master key identifier; empty: none.
    pub mki: &'a [u8],
    /// Whether SRTCP is encrypted (E bit set).
    pub encrypt_rtcp: bool,
}

/// An SRTP session of libsrtp2, for one direction.
pub struct Session {
    raw: sys::srtp_t,
    use_mki: u32,
}

// SAFETY: a session's memory belongs to it alone, and libsrtp2 keeps no thread-local state for it;
// `&mut self` on every call keeps two threads out of it.
unsafe impl Send for Session {}

impl Session {
    /// Creates a session with a replay window of 128 packets.
    pub fn new(role: Role, policy: &Policy<'_>) -> Result<Self, Error> {
        static INITIALISED: OnceLock<u32> = OnceLock::new();
        // SAFETY: called once, before any other function of the library.
        check(*INITIALISED.get_or_init(|| unsafe { sys::srtp_init() }))?;

        let (key_len, set_rtp, set_rtcp) = suite(policy.suite)?;
        let fits = policy.mki.len() <= 128 && policy.key_and_salt.len() == key_len;
        if !fits || key_len > sys::SRTP_MAX_KEY_LEN as usize {
            return Err(Error::KeyLength);
        }
        // The library reads as many bytes as its longest key has from some pointers.
        let mut key = [0; 64];
        key.iter_mut().zip(policy.key_and_salt).for_each(|(to, from)| *to = *from);
        let mut mki = policy.mki.to_vec();
        let mut master = sys::srtp_master_key_t {
            key: key.as_mut_ptr(),
            mki_id: mki.as_mut_ptr(),
            mki_size: mki.len() as u32,
        };
        let mut masters = [ptr::from_mut(&mut master)];
        // SAFETY: integers and pointers, for which all zeros is the documented "unset".
        let mut raw_policy: sys::srtp_policy_t = unsafe { std::mem::zeroed() };
        raw_policy.ssrc.type_ = match role {
            Role::Sender => sys::srtp_ssrc_type_t_ssrc_any_outbound,
            Role::Receiver => sys::srtp_ssrc_type_t_ssrc_any_inbound,
        };
        raw_policy.window_size = 128;
        // SAFETY: both fill in the structure that they are given.
        unsafe {
            set_rtp(&mut raw_policy.rtp);
            set_rtcp(&mut raw_policy.rtcp);
        }
        if !policy.encrypt_rtcp {
            raw_policy.rtcp.sec_serv = sys::srtp_sec_serv_t_sec_serv_auth;
        }
        if policy.mki.is_empty() {
            raw_policy.key = key.as_mut_ptr();
        } else {
            raw_policy.keys = masters.as_mut_ptr();
            raw_policy.num_master_keys = 1;
        }
        let mut raw = ptr::null_mut();
        // SAFETY: the policy and what it points to live until the call returns; the library copies.
        check(unsafe { sys::srtp_create(&mut raw, &raw_policy) })?;
        Ok(Self { raw, use_mki: u32::from(!policy.mki.is_empty()) })
    }

    /// Protects the RTP packet in the first `len` bytes; returns its new length.
    pub fn protect(&mut self, packet: &mut [u8], len: usize) -> Result<usize, Error> {
        let (raw, mki) = (self.raw, self.use_mki);
        // SAFETY: `run` has checked alignment, length and room.
        run(packet, len, ROOM, |at, len| unsafe { sys::srtp_protect_mki(raw, at.cast(), len, mki, 0) })
    }

    /// Unprotects the SRTP packet in the first `len` bytes; returns its new length.
    pub fn unprotect(&mut self, packet: &mut [u8], len: usize) -> Result<usize, Error> {
        let (raw, mki) = (self.raw, self.use_mki);
        // SAFETY: `run` has checked alignment and length; unprotecting writes no further.
        run(packet, len, 0, |at, len| unsafe { sys::srtp_unprotect_mki(raw, at.cast(), len, mki) })
    }

    /// Protects the RTCP packet in the first `len` bytes; returns its new length.
    pub fn protect_rtcp(&mut self, packet: &mut [u8], len: usize) -> Result<usize, Error> {
        let (raw, mki) = (self.raw, self.use_mki);
        // SAFETY: `run` has checked alignment, length and room.
        run(packet, len, ROOM, |at, len| unsafe { sys::srtp_protect_rtcp_mki(raw, at.cast(), len, mki, 0) })
    }

    /// Unprotects the SRTCP packet in the first `len` bytes; returns its new length.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8], len: usize) -> Result<usize, Error> {
        let (raw, mki) = (self.raw, self.use_mki);
        // SAFETY: `run` has checked alignment and length; unprotecting writes no further.
        run(packet, len, 0, |at, len| unsafe { sys::srtp_unprotect_rtcp_mki(raw, at.cast(), len, mki) })
    }

    /// Sets the ROC of an SSRC that has sent or received before.
    pub fn set_roc(&mut self, ssrc: u32, roc: u32) -> Result<(), Error> {
        // SAFETY: the session is alive until drop.
        check(unsafe { sys::srtp_set_stream_roc(self.raw, ssrc, roc) })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: created by `srtp_create`, freed once. A failure would leave memory, nothing worse.
        unsafe { sys::srtp_dealloc(self.raw) };
    }
}

type SetPolicy = unsafe extern "C" fn(*mut sys::srtp_crypto_policy_t);

/// Length of key and salt, and the policy for RTP and for RTCP, whose tag is never short.
fn suite(name: &str) -> Result<(usize, SetPolicy, SetPolicy), Error> {
    let cm128: SetPolicy = sys::srtp_crypto_policy_set_rtp_default;
    let cm192: SetPolicy = sys::srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80;
    let cm256: SetPolicy = sys::srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80;
    let gcm128: SetPolicy = sys::srtp_crypto_policy_set_aes_gcm_128_16_auth;
    let gcm256: SetPolicy = sys::srtp_crypto_policy_set_aes_gcm_256_16_auth;
    Ok(match name {
        "AES_CM_128_HMAC_SHA1_80" => (30, cm128, cm128),
        "AES_CM_128_HMAC_SHA1_32" => (30, sys::srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32, cm128),
        "AES_192_CM_HMAC_SHA1_80" => (38, cm192, cm192),
        "AES_192_CM_HMAC_SHA1_32" => (38, sys::srtp_crypto_policy_set_aes_cm_192_hmac_sha1_32, cm192),
        "AES_256_CM_HMAC_SHA1_80" => (46, cm256, cm256),
        "AES_256_CM_HMAC_SHA1_32" => (46, sys::srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32, cm256),
        "AEAD_AES_128_GCM" => (28, gcm128, gcm128),
        "AEAD_AES_256_GCM" => (44, gcm256, gcm256),
        _ => return Err(Error::UnknownSuite),
    })
}

fn run(
    packet: &mut [u8],
    len: usize,
    room: usize,
    call: impl FnOnce(*mut u8, *mut i32) -> sys::srtp_err_status_t,
) -> Result<usize, Error> {
    let aligned = packet.as_ptr().addr().is_multiple_of(4);
    let fits = len.checked_add(room).is_some_and(|needed| needed <= packet.len());
    let mut new_len = i32::try_from(len).map_err(|_| Error::Buffer)?;
    if !aligned || !fits {
        return Err(Error::Buffer);
    }
    check(call(packet.as_mut_ptr(), &mut new_len))?;
    usize::try_from(new_len).map_err(|_| Error::Buffer)
}

fn check(status: sys::srtp_err_status_t) -> Result<(), Error> {
    match status {
        sys::srtp_err_status_t_srtp_err_status_ok => Ok(()),
        sys::srtp_err_status_t_srtp_err_status_auth_fail => Err(Error::AuthFailed),
        sys::srtp_err_status_t_srtp_err_status_replay_fail => Err(Error::Replayed),
        sys::srtp_err_status_t_srtp_err_status_replay_old => Err(Error::TooOld),
        sys::srtp_err_status_t_srtp_err_status_bad_mki => Err(Error::BadMki),
        other => Err(Error::Status(other)),
    }
}
