"""Calls as a signalling proxy sets them up: SRTP with a phone outside, RTP with a desk phone inside.

Call `n` uses the n-th pair of ports at the phone's address and at the desk's.
"""

import dataclasses
import re

from pinhole_lab.srtp import Crypto

from . import wires

SUITE = "AES_CM_128_HMAC_SHA1_80"
FIRST_PORT = 40000


@dataclasses.dataclass
class Call:
    """One call, as its ends know it."""

    number: int
    # What the phone encrypts with.
    phone_key: Crypto
    @property
    def port(self) -> int:
        """The port of both phones, each at its own address."""
        return FIRST_PORT + 2 * self.number

    def entry(self, outside_port: int, inside_port: int, relay_key: Crypto) -> dict:
        """The call as the player reads it, with the relay's ports and the key that it encrypts with."""
        return {"phone": f"{wires.PHONE}:{self.port}", "outside": f"{wires.OUTSIDE}:{outside_port}",
                "desk": f"{wires.DESK}:{self.port}", "inside": f"{wires.INSIDE}:{inside_port}",
                "phone_key": self.phone_key.key.hex(), "relay_key": relay_key.key.hex()}


def new_calls(count: int) -> list:
    """So many calls with fresh keys, not set up yet."""
    return [Call(number, Crypto.new(SUITE)) for number in range(count)]


def sdp(address: str, port: int, crypto: Crypto | None) -> str:
    """A session description of G.711 audio, of SRTP if there is a key."""
    lines = ["v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0",
             f"m=audio {port} {'RTP/SAVP' if crypto else 'RTP/AVP'} 0", "a=rtpmap:0 PCMU/8000", "a=ptime:20",
             "a=sendrecv"]
    if crypto:
        lines.append(f"a=crypto:{crypto}")
    return "".join(f"{line}\r\n" for line in lines)


@dataclasses.dataclass(frozen=True)
class Media:
    """What a session description says of its one audio stream."""

    address: str
    port: int
    profile: str
    crypto: Crypto | None

    @classmethod
    def parse(cls, text: str):
        """From a description with one `m=` line."""
        line = re.search(r"^m=audio (\d+) (\S+) ", text, re.M)
        address = re.search(r"^c=IN IP4 (\S+)", text, re.M)
        crypto = re.search(r"^a=crypto:(.+?)\s*$", text, re.M)
        if not line or not address:
            raise ValueError(f"no audio in the session description: {text!r}")
        return cls(address[1], int(line[1]), line[2], Crypto.parse(crypto[1]) if crypto else None)
