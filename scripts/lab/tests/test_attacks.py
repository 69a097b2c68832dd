"""What must never be relayed is not, each is counted under its own cause, and the call does not notice."""

import os
import time

import pytest
from helpers import assert_heard, hang_up, settle

from pinhole_lab import network, srtp
from pinhole_lab.scripted_phone import plug

MANY = 25
MARK = bytes([0xA5]) * 160


@pytest.fixture
def call(phones):
    """A call with audio both ways, from an outside to an inside phone."""
    outside, inside = phones.outside(suites=["AES_CM_128_HMAC_SHA1_80"]), phones.inside()
    one, two = outside.call(inside)
    # Without RTCP: what an inside phone reports before the outside phone has reported has nowhere to go, and is counted.
    one.stream.reports = two.stream.reports = False
    plug(one, two)
    time.sleep(0.6)
    yield one, two
    settle(one, two)
    assert_heard(one, two, least=0.5)
    hang_up(one, two)


def counted(appliance, attack, pause=0.004):
    """Sends the attack's datagrams and returns the drop causes that have grown, by how much."""
    before = appliance.drops()
    for send in attack:
        send()
        time.sleep(pause)
    time.sleep(0.4)
    after = appliance.drops()
    return {cause: after[cause] - before.get(cause, 0) for cause in after if after[cause] > before.get(cause, 0)}


def media_port(call):
    return call.far.address, call.far.port


def test_plain_rtp_on_the_secure_leg_is_dropped_as_plain(call, appliance):
    one, _ = call
    attack = [lambda n=n: one.stream.send_raw(srtp.rtp(0, one.stream.sequence + n, 0, one.stream.ssrc, MARK))
              for n in range(MANY)]
    assert counted(appliance, attack) == {"plain_on_secure": MANY}


def test_forged_srtp_is_dropped_as_unauthentic(call, appliance):
    one, _ = call
    forger = srtp.Context(srtp.Crypto.new("AES_CM_128_HMAC_SHA1_80"), outbound=True)
    attack = [lambda n=n: one.stream.send_raw(
        forger.protect(srtp.rtp(0, one.stream.sequence + n, 0, one.stream.ssrc, MARK))) for n in range(MANY)]
    assert counted(appliance, attack) == {"auth_failed": MANY}


def test_tampered_packets_are_dropped_as_unauthentic(call, appliance):
    one, _ = call
    packets = [bytearray(datagram) for _, datagram in one.stream.sent[-MANY:]]
    for packet in packets:
        packet[20] ^= 1
    assert counted(appliance, [lambda p=p: one.stream.send_raw(bytes(p)) for p in packets]) == \
        {"auth_failed": len(packets)}


def test_replayed_packets_are_dropped_as_replayed(call, appliance):
    one, _ = call
    packets = [datagram for _, datagram in one.stream.sent[-MANY:]]
    attack = [lambda p=p: one.stream.send_raw(p) for p in packets]
    assert counted(appliance, attack) == {"replayed": len(packets)}


def test_stranger_on_the_internet_is_dropped_and_learns_nothing(call, appliance):
    """Plain, forged and replayed packets from an address that is not the phone's."""
    one, _ = call
    stranger = network.udp_socket("ph-internet", network.STRANGER)
    forger = srtp.Context(srtp.Crypto.new("AES_CM_128_HMAC_SHA1_80"), outbound=True)
    before = leg(appliance, 0)
    packets = [srtp.rtp(0, one.stream.sequence + n, 0, one.stream.ssrc, MARK) for n in range(MANY)]
    attack = [lambda p=p: stranger.sendto(p, media_port(one)) for p in packets]
    assert_dropped(counted(appliance, attack), {"plain_on_secure", "wrong_source"}, MANY)
    attack = [lambda p=p: stranger.sendto(forger.protect(p), media_port(one)) for p in packets]
    assert_dropped(counted(appliance, attack), {"auth_failed", "wrong_source"}, MANY)
    replayed = [datagram for _, datagram in one.stream.sent[-MANY:]]
    attack = [lambda p=p: stranger.sendto(p, media_port(one)) for p in replayed]
    assert_dropped(counted(appliance, attack), {"replayed", "wrong_source"}, len(replayed))
    assert leg(appliance, 0)["remote"] == before["remote"], "the stranger moved the call's address"
    stranger.settimeout(0.3)
    with pytest.raises(TimeoutError):
        stranger.recv(2000)
    stranger.close()


def test_stranger_in_the_office_is_dropped_by_its_address(call, appliance):
    _, two = call
    stranger = network.udp_socket("ph-inside", network.INSIDE_STRANGER)
    attack = [lambda n=n: stranger.sendto(srtp.rtp(0, two.stream.sequence + n, 0, two.stream.ssrc, MARK), media_port(two))
              for n in range(MANY)]
    assert counted(appliance, attack) == {"wrong_source": MANY}
    stranger.close()


def test_garbage_is_dropped_as_malformed(call, appliance):
    one, two = call
    lumps = [os.urandom(size) for size in range(0, 12)] + [b"\x8f" + os.urandom(20), b"\x00" * 172]
    attack = [lambda p=p: end.stream.send_raw(p) for p in lumps for end in (one, two)]
    assert sum(counted(appliance, attack).values()) == len(attack)


def test_packets_to_a_closed_pinhole_go_nowhere(phones, lab, appliance):
    outside, inside = phones.outside(), phones.inside()
    one, two = outside.call(inside)
    plug(one, two)
    time.sleep(0.5)
    settle(one, two)
    hang_up(one, two)
    assert not any(appliance.wait_idle().values())
    wires = [lab.capture("closed-outside", network.OUTSIDE_WIRE), lab.capture("closed-inside", network.INSIDE_WIRE)]
    heard = len(one.stream.heard), len(two.stream.heard)
    never_opened = (network.OUTSIDE, 32000), (network.INSIDE, 32000)
    last = [one.stream.sent[-1][1], two.stream.sent[-1][1]]
    attack = [lambda p=p, end=end, to=to: end.stream.send_raw(p, to) for _ in range(MANY)
              for p, end, to in ((last[0], one, media_port(one)), (last[1], two, media_port(two)),
                                 (last[0], one, never_opened[0]), (last[1], two, never_opened[1]))]
    assert counted(appliance, attack, pause=0.002) == {"closed_pinhole": 4 * MANY}
    sent_by_appliance = [d for wire in wires for d in wire.stop().datagrams()
                         if d.source[0] in (network.OUTSIDE, network.INSIDE) and d.source[1] >= 16384]
    assert sent_by_appliance == []
    assert (len(one.stream.heard), len(two.stream.heard)) == heard


def assert_dropped(found, causes, many):
    assert set(found) <= causes and sum(found.values()) == many, found


def leg(appliance, number):
    (session,) = appliance.ctl("sessions")
    return session["legs"][number]
