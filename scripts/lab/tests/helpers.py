"""What several tests measure."""

import threading
import time

from pinhole_lab import audio, media, network, sccp, srtp
from pinhole_lab.capture import streams
from pinhole_lab.certificates import DEVICES
from pinhole_lab.sccp_phone import SccpPhone
from pinhole_lab.scripted_phone import plug


def eventually(condition, seconds=8, what="it"):
    """Waits until `condition` holds, and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} has not happened within {seconds} s"
        time.sleep(0.05)


def talk(one, two, seconds=2.0):
    """Both ends play for a while, then pause, and what is under way arrives."""
    plug(one, two)
    time.sleep(seconds)
    settle(one, two)


def settle(*calls):
    """Pauses all ends and lets what is under way arrive."""
    for call in calls:
        call.stream.pause()
    time.sleep(0.3)


def assert_heard(one, two, least=1.5):
    """Each end has heard every packet of the other, unchanged, once, and nothing else; and it sounds the same."""
    for speaker, listener in ((one, two), (two, one)):
        way = f"{speaker.phone.user} to {listener.phone.user}"
        lost = media.missing(speaker.stream, listener.stream)
        assert lost == [], f"{len(lost)} of {len(speaker.stream.sent)} packets missing, {way}: {lost[:20]}"
        assert listener.stream.refused == [], f"{listener.phone.user} hears what is not its call's"
        assert listener.stream.repeated == 0, f"packets repeated, {way}"
        assert len(listener.stream.heard) == len(speaker.stream.sent), f"more heard than sent, {way}"
        match = audio.compare(speaker.phone.recording, listener.stream.heard_audio(speaker.stream.ssrc))
        assert match.correlation > 0.9 and match.seconds > least, f"audio {way}: {match}"


def hang_up(one, two):
    """`one` sends BYE, `two` answers it."""
    waiting = in_background(two.wait_bye)
    one.bye()
    waiting()


def in_background(function):
    """Runs a function in a thread; the returned function waits for it and passes on what it raised or returned."""
    outcome = {}

    def run():
        try:
            outcome["value"] = function()
        except Exception as error:  # passed on to the test
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait():
        thread.join(20)
        if "error" in outcome:
            raise outcome["error"]
        return outcome.get("value")

    return wait


class SccpPhones:
    """Makes registered SCCP phones of call managers on some ports. `keys` are all that phones have been told before."""

    def __init__(self, lab, ports, keys):
        self.lab, self.ports, self.keys = lab, ports, keys
        self.made = []

    def outside(self, which=0, registered=True, **options):
        namespace = "ph-home" if which == 0 else "ph-home2"
        settings = {"certificate": self.lab.certificates.phone(DEVICES[which]), "device": DEVICES[which],
                    "namespace": namespace, "address": network.HOMES[namespace], **options}
        made = SccpPhone(servers=[(network.OUTSIDE, 443 + port) for port in self.ports],
                         server_ca=self.lab.certificates.server_ca, recording=self.lab.recording(which + 1)[0], keys=self.keys, **settings)
        self.made.append(made)
        return made.wait_registered() if registered else made

    def inside(self, **options):
        settings = {"device": "SEP0010DB000004", "servers": [(network.CALL_MANAGER, port) for port in self.ports],
                    "keys": self.keys, **options}
        self.made.append(SccpPhone(namespace="ph-desk", address=network.DESKS["ph-desk"],
                                   recording=self.lab.recording(9)[0], **settings))
        return self.made[-1].wait_registered()

    def close(self):
        """Ends them. None may have been told what it must not be told, and no session may be left."""
        for phone in self.made:
            phone.close()
        assert [phone.failures for phone in self.made if phone.failures] == []
        left = self.lab.appliance.wait_idle(25)
        assert not any(left.values()), f"left after the test: {left}"


def name_of(phone) -> str:
    return getattr(phone, "device", None) or phone.user


def converse(one, two, seconds=1.5, ways=2):
    """Both talk, or `one` alone. From when each has heard the other, every packet arrives, once, unchanged, and nothing else
    does."""
    directions = [(one, two), (two, one)][:ways]
    eventually(lambda: all(listener.stream.heard for _, listener in directions), what="audio")
    before = [len(speaker.stream.sent) for speaker, _ in directions]
    time.sleep(seconds)
    settle(*(speaker for speaker, _ in directions))
    for (speaker, listener), first in zip(directions, before):
        way = f"{name_of(speaker.phone)} to {name_of(listener.phone)}"
        assert media.missing(speaker.stream, listener.stream, first) == [], way
        assert listener.stream.refused == [] and listener.stream.repeated == 0, way
        if speaker.stream.payload_type == 0:
            match = audio.compare(speaker.phone.recording, listener.stream.heard_audio(speaker.stream.ssrc))
            assert match.correlation > 0.9 and match.seconds > seconds - 0.5, f"{way}: {match}"
    for speaker, _ in directions:
        speaker.stream.start()


def on_the_wire(datagrams, call) -> float:
    """The part of a call end's packets that are on a wire as it has sent them."""
    payloads = {datagram.payload for datagram in datagrams}
    return sum(sent in payloads for _, sent in call.stream.sent) / len(call.stream.sent)


def both_hear(soft, one, two, seconds=2.0):
    """Both talk: from when each hears the other, every packet arrives, unchanged, once, and nothing else does. The end in the clear
    begins: a NAT may not keep its port if something comes to that port before."""
    for end in sorted((one, two), key=lambda end: end.phone is not soft):
        end.stream.start()
        eventually(lambda: end.stream.sent, what="the first packet")
        time.sleep(0.05)
    eventually(lambda: one.stream.heard and two.stream.heard, what="audio both ways")
    before = len(one.stream.sent), len(two.stream.sent)
    time.sleep(seconds)
    settle(one, two)
    for speaker, listener, first in ((one, two, before[0]), (two, one, before[1])):
        assert media.missing(speaker.stream, listener.stream, first) == []
        assert listener.stream.refused == [] and listener.stream.repeated == 0


def sccp_hang_up(one, two):
    one.hang_up()
    for each in (one, two):
        each.wait_state(sccp.ON_HOOK)


def sccp_cryptos(*calls) -> list:
    """All keys that SCCP phones were told for their calls."""
    return [key.crypto() for call in calls for key in call.receive_keys + call.transmit_keys if key]


def assert_encrypted(captured, cryptos):
    """There is RTP on a wire, and each packet of it authenticates under one of these keys."""
    seen = streams(captured.datagrams())
    assert seen
    for where, datagrams in seen.items():
        refused = set(range(len(datagrams)))
        for crypto in cryptos:
            context = srtp.Context(crypto, outbound=False)
            refused -= {n for n in refused if authentic(context, datagrams[n].payload)}
        assert not refused, f"{len(refused)} of {len(datagrams)} packets from {where} have none of {len(cryptos)} keys"


def authentic(context, packet) -> bool:
    try:
        context.unprotect(packet)
        return True
    except srtp.Failed:
        return False


def assert_plain(captured, kinds=frozenset({(0, 172)})):
    """There is RTP on a wire, all of it 20 ms of G.711, or of other payload types and lengths."""
    seen = [datagram for datagram in captured.datagrams() if datagram.looks_like_rtp]
    assert seen
    assert {(datagram.payload_type, len(datagram.payload)) for datagram in seen} == kinds
