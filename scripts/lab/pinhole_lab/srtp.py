"""SRTP by libsrtp2, an implementation that is not Pinhole's; and SDES `a=crypto` lines (RFC 4568)."""

import base64
import ctypes
import dataclasses
import os
import struct
import threading

SUITES = {
    # name: (key bytes, salt bytes, tag bytes, libsrtp2's function, also for RTCP)
    "AES_CM_128_HMAC_SHA1_80": (16, 14, 10, "srtp_crypto_policy_set_rtp_default", "srtp_crypto_policy_set_rtcp_default"),
    "AES_CM_128_HMAC_SHA1_32": (16, 14, 4, "srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32",
                                "srtp_crypto_policy_set_rtcp_default"),
    "AES_256_CM_HMAC_SHA1_80": (32, 14, 10, "srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80",
                                "srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80"),
    "AES_256_CM_HMAC_SHA1_32": (32, 14, 4, "srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32",
                                "srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80"),
    "AEAD_AES_128_GCM": (16, 12, 16, "srtp_crypto_policy_set_aes_gcm_128_16_auth",
                         "srtp_crypto_policy_set_aes_gcm_128_16_auth"),
    "AEAD_AES_256_GCM": (32, 12, 16, "srtp_crypto_policy_set_aes_gcm_256_16_auth",
                         "srtp_crypto_policy_set_aes_gcm_256_16_auth"),
}


class _CryptoPolicy(ctypes.Structure):
    _fields_ = [("cipher_type", ctypes.c_uint32), ("cipher_key_len", ctypes.c_int), ("auth_type", ctypes.c_uint32),
                ("auth_key_len", ctypes.c_int), ("auth_tag_len", ctypes.c_int), ("sec_serv", ctypes.c_int)]


class _Policy(ctypes.Structure):
    _fields_ = [("ssrc_type", ctypes.c_int), ("ssrc", ctypes.c_uint), ("rtp", _CryptoPolicy), ("rtcp", _CryptoPolicy),
                ("key", ctypes.c_char_p), ("keys", ctypes.c_void_p), ("num_master_keys", ctypes.c_ulong),
                ("deprecated_ekt", ctypes.c_void_p), ("window_size", ctypes.c_ulong), ("allow_repeat_tx", ctypes.c_int),
                ("enc_xtn_hdr", ctypes.c_void_p), ("enc_xtn_hdr_count", ctypes.c_int), ("next", ctypes.c_void_p)]


ANY_INBOUND, ANY_OUTBOUND = 2, 3
_lock = threading.Lock()
_library = None


def _srtp():
    global _library
    with _lock:
        if _library is None:
            library = ctypes.CDLL("libsrtp2.so.1")
            if library.srtp_init() != 0:
                raise OSError("libsrtp2 does not start")
            _library = library
    return _library


@dataclasses.dataclass(frozen=True)
class Crypto:
    """An `a=crypto` line: the key that its sender encrypts with."""

    tag: int
    suite: str
    key: bytes

    @classmethod
    def new(cls, suite: str, tag: int = 1):
        """A line with a fresh key."""
        sizes = SUITES[suite]
        return cls(tag, suite, os.urandom(sizes[0] + sizes[1]))

    @classmethod
    def parse(cls, value: str):
        """From the value of the attribute (what follows `crypto:`)."""
        tag, suite, parameters = value.split(None, 2)
        inline = parameters.split()[0].partition("inline:")[2].split("|")[0]
        return cls(int(tag), suite, base64.b64decode(inline + "=" * (-len(inline) % 4)))

    def __str__(self):
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}"


class Failed(Exception):
    """libsrtp2 refuses a packet; `status` is its error code (7: authentication, 9 and 10: replay)."""

    def __init__(self, status):
        super().__init__(f"libsrtp2 status {status}")
        self.status = status


class Context:
    """One direction: a session of libsrtp2 with a wildcard SSRC."""

    def __init__(self, crypto: Crypto, outbound: bool, window: int = 1024):
        library, sizes = _srtp(), SUITES[crypto.suite]
        if len(crypto.key) != sizes[0] + sizes[1]:
            raise ValueError(f"{crypto.suite} with a key of {len(crypto.key)} bytes")
        policy = _Policy(ssrc_type=ANY_OUTBOUND if outbound else ANY_INBOUND, key=crypto.key, window_size=window,
                         allow_repeat_tx=1)
        getattr(library, sizes[3])(ctypes.byref(policy.rtp))
        getattr(library, sizes[4])(ctypes.byref(policy.rtcp))
        self._key = crypto.key
        self._session = ctypes.c_void_p()
        status = library.srtp_create(ctypes.byref(self._session), ctypes.byref(policy))
        if status != 0:
            raise Failed(status)

    def __del__(self):
        if _library is not None and getattr(self, "_session", None):
            _library.srtp_dealloc(self._session)

    def _call(self, name, packet: bytes) -> bytes:
        buffer = ctypes.create_string_buffer(packet, len(packet) + 160)
        length = ctypes.c_int(len(packet))
        status = getattr(_srtp(), name)(self._session, buffer, ctypes.byref(length))
        if status != 0:
            raise Failed(status)
        return buffer.raw[: length.value]

    def protect(self, packet: bytes) -> bytes:
        return self._call("srtp_protect", packet)

    def unprotect(self, packet: bytes) -> bytes:
        return self._call("srtp_unprotect", packet)

    def protect_rtcp(self, packet: bytes) -> bytes:
        return self._call("srtp_protect_rtcp", packet)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        return self._call("srtp_unprotect_rtcp", packet)


def rtp(payload_type, sequence, timestamp, ssrc, payload, marker=False) -> bytes:
    """An RTP packet (RFC 3550)."""
    return struct.pack("!BBHII", 0x80, (0x80 if marker else 0) | payload_type, sequence & 0xFFFF,
                       timestamp & 0xFFFFFFFF, ssrc) + payload


def sender_report(ssrc, packets, octets, timestamp) -> bytes:
    """An RTCP compound of a sender report and a CNAME."""
    report = struct.pack("!BBHIIIIII", 0x80, 200, 6, ssrc, 0, 0, timestamp & 0xFFFFFFFF, packets, octets)
    name = b"\x01\x08lab.test\x00\x00"
    return report + struct.pack("!BBHI", 0x81, 202, 1 + len(name) // 4, ssrc) + name


def is_rtcp(packet: bytes) -> bool:
    """Whether a packet is RTCP rather than RTP (RFC 5761 section 4)."""
    return len(packet) >= 2 and 192 <= packet[1] <= 223
