"""What the captures of both wires say about the calls, with keys from the phones' own SIP traces.

The relay keeps SSRC, sequence number and timestamp, and SRTP does not encrypt them: so every packet on one wire can be
looked for on the other.
"""

import collections
import dataclasses
import re

from . import network, srtp
from .capture import Datagram
from .softphone import Media


@dataclasses.dataclass
class Direction:
    """The packets of a call in one direction."""

    name: str
    entered: int = 0
    """Packets that came to the appliance while it knew where to send them and the call stood."""
    relayed: int = 0
    """Those of them that left it."""
    early: int = 0
    """Packets that were not relayed because they came before the appliance had the answer to the call, or before the phone
    behind the NAT had sent anything, so that nobody could know where it is."""
    decrypted: int = 0
    """Packets whose SRTP, decrypted by libsrtp2, equals what is on the far wire."""
    differing: int = 0
    """Packets that libsrtp2 refuses, or that differ from what is on the far wire."""

    @property
    def loss(self) -> int:
        return self.entered - self.relayed


def outside_streams(outside: list, media: Media) -> tuple:
    """RTP packets of one call on the outside wire: from the phone, and to the phone."""
    ours = media.remote
    return ([d for d in outside if d.looks_like_rtp and d.destination == ours],
            [d for d in outside if d.looks_like_rtp and d.source == ours])


def plain(datagrams: list, crypto) -> list:
    """What each packet decrypts to by libsrtp2, or None."""
    context, found = srtp.Context(crypto, outbound=False), []
    for datagram in datagrams:
        try:
            found.append(context.unprotect(datagram.payload))
        except srtp.Failed:
            found.append(None)
    return found


def follow(direction: Direction, entering: list, entering_plain: list, leaving: list, leaving_plain: list,
           since: float, until: float):
    """Matches packets that enter the appliance with those that leave it."""
    left = {(d.ssrc, d.sequence): content for d, content in zip(leaving, leaving_plain)}
    for datagram, content in zip(entering, entering_plain):
        key = (datagram.ssrc, datagram.sequence)
        if key in left:
            same = content is not None and content == left[key]
            direction.decrypted += same
            direction.differing += not same
        if datagram.time < since:
            direction.early += key not in left
        elif datagram.time < until:
            direction.entered += 1
            direction.relayed += key in left


def answered(media: Media, inside: list) -> float:
    """When the answer to a call passed on the inside wire, and the appliance has had a moment to act on it."""
    for datagram in inside:
        head = datagram.payload.partition(b"\r\n\r\n")[0]
        if head.startswith(b"SIP/2.0 200") and media.call_id.encode() in head and re.search(rb"CSeq: *\d+ INVITE", head):
            return datagram.time + 0.02
    return 0.0


def compare_inward(media: Media, outside: list, inside: list, until: float) -> tuple:
    """A call between an outside phone (whose trace gave `media`) and an inside phone: both directions."""
    from_phone, to_phone = outside_streams(outside, media)
    from_plain, to_plain = plain(from_phone, media.local_crypto), plain(to_phone, media.remote_crypto)
    rtp = [d for d in inside if d.looks_like_rtp]
    sources = {d.ssrc for d in from_phone}
    sinks = {d.ssrc for d in to_phone}
    inward_leaving = [d for d in rtp if d.source[0] == network.INSIDE and d.ssrc in sources]
    outward_entering = [d for d in rtp if d.destination[0] == network.INSIDE and d.ssrc in sinks]
    since = answered(media, inside)
    learned = max(from_phone[0].time + 0.02 if from_phone else until, since)
    inward, outward = Direction("outside to inside"), Direction("inside to outside")
    follow(inward, from_phone, from_plain, inward_leaving, [d.payload for d in inward_leaving], since, until)
    follow(outward, outward_entering, [d.payload for d in outward_entering], to_phone, to_plain, learned, until)
    return inward, outward


def compare_hairpin(one: Media, two: Media, outside: list, inside: list, until: float) -> tuple:
    """A call between two outside phones: it never leaves the outside wire, and each phone has its own keys."""
    directions = []
    streams = {id(media): outside_streams(outside, media) for media in (one, two)}
    for near, far in ((one, two), (two, one)):
        entering, leaving = streams[id(near)][0], streams[id(far)][1]
        learned = max([s[0][0].time + 0.02 for s in streams.values() if s[0]] + [answered(one, inside)])
        direction = Direction("first to second" if near is one else "second to first")
        follow(direction, entering, plain(entering, near.local_crypto), leaving, plain(leaving, far.remote_crypto),
               learned, until)
        directions.append(direction)
    return tuple(directions)


@dataclasses.dataclass
class Wires:
    """What was captured on each wire."""

    outside_rtp: int
    outside_plain_rtp: int
    """RTP on the outside wire that does not authenticate with any negotiated key: not encrypted, or not ours."""
    outside_plain_rtcp: int
    """Unencrypted RTCP that the appliance sent."""
    outside_phone_plain_rtcp: int
    """Unencrypted RTCP that phones sent (baresip 1.0 does, once, at the start of a call); the appliance drops it."""
    outside_plain_sip: int
    """TCP segments or datagrams on the outside wire with SIP in clear."""
    inside_rtp: int
    inside_srtp: int
    """RTP on the inside wire that is not 20 ms of plain G.711, or the same bytes as on the outside wire."""
    inside_sip: int


def survey(outside: list, outside_tcp: list, inside: list, calls: list) -> Wires:
    """Looks at everything on both wires. `calls` are the outside phones' descriptions of their calls."""
    wires = Wires(0, 0, 0, 0, 0, 0, 0, 0)
    streams = collections.defaultdict(list)
    for datagram in outside:
        if b"SIP/2.0" in datagram.payload:
            wires.outside_plain_sip += 1
        elif datagram.looks_like_rtp:
            wires.outside_rtp += 1
            streams[ours(datagram)].append(datagram)
        elif datagram.looks_like_rtcp:
            kind = rtcp_is_plain(datagram, calls)
            wires.outside_plain_rtcp += kind and datagram.source[0] == network.OUTSIDE
            wires.outside_phone_plain_rtcp += kind and datagram.source[0] != network.OUTSIDE
    wires.outside_plain_sip += sum(b"SIP/2.0" in payload for *_, payload in outside_tcp)
    for (address, sent), datagrams in streams.items():
        keys = [media.remote_crypto if sent else media.local_crypto for media in calls if media.remote == address]
        refused = {id(d) for d in datagrams}
        for key in keys:
            refused &= {id(d) for d, content in zip(datagrams, plain(datagrams, key)) if content is None}
        wires.outside_plain_rtp += len(refused)
    encrypted = {d.payload for group in streams.values() for d in group}
    for datagram in inside:
        if datagram.looks_like_rtp:
            wires.inside_rtp += 1
            g711 = datagram.payload_type in (0, 8) and len(datagram.payload) == 172
            wires.inside_srtp += datagram.payload in encrypted or not g711
        wires.inside_sip += b"SIP/2.0" in datagram.payload
    return wires


def ours(datagram: Datagram) -> tuple:
    """The appliance's address and port of a datagram on its wire, and whether the appliance sent it."""
    sent = datagram.source[0] == network.OUTSIDE
    return (datagram.source if sent else datagram.destination), sent


def rtcp_is_plain(datagram: Datagram, calls: list) -> bool:
    """Whether an RTCP packet is not SRTCP under any negotiated key of its session (RTCP port or rtcp-mux)."""
    (address, port), sent = ours(datagram)
    for media in calls:
        if media.remote[0] == address and port in (media.remote[1], media.remote[1] + 1):
            key = media.remote_crypto if sent else media.local_crypto
            try:
                srtp.Context(key, outbound=False).unprotect_rtcp(datagram.payload)
                return False
            except srtp.Failed:
                continue
    return True
