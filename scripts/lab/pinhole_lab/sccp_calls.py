"""The calls of an SCCP call manager: legs, digits, media, hold, transfer."""

import sys

from . import sccp
from .sccp import AUDIO, MEDIA, VIDEO


class Channel:
    """What a leg receives of one medium."""

    def __init__(self):
        self.party = 0
        self.block = None
        """Its encryption block, while the channel is open."""


class Leg:
    """One phone's end of a call."""

    def __init__(self, station, reference, caller=False):
        self.station, self.reference, self.caller = station, reference, caller
        self.peer = None
        self.state = 0
        self.digits = ""
        self.channels = {medium: Channel() for medium in MEDIA}
        self.held = None
        """The leg that this one's call is to be transferred to."""

    def send(self, name, /, **values):
        self.station.send(name, **{"line": 1, "call": self.reference, "conference": self.reference, **values})

    def become(self, state):
        """Another state of the call, as the phone shows it."""
        self.state = state
        self.send("CallState", state=state)
        self.send("SelectSoftKeys", mask=0xFFFFFFFF)


class Calls:
    """Every leg by its reference."""

    def __init__(self, manager):
        self.manager = manager
        self.legs = {}
        self.references = self.parties = 0

    # What phones do

    def on_OffHook(self, station, message):
        ringing = self._find(station, message.get("call"), sccp.RING_IN)
        if ringing:
            self._answer(ringing)
        else:
            self._new_leg(station)

    def on_OnHook(self, station, message):
        leg = self._find(station, message.get("call"))
        if leg:
            self._end(leg)

    def on_SoftKeyEvent(self, station, message):
        event, leg = message.get("event"), self._find(station, message.get("call"))
        if event == sccp.NEW_CALL:
            self._new_leg(station)
        elif leg is None:
            say(f"{station} presses {event} and has no such call")
        elif event == sccp.ANSWER and leg.state == sccp.RING_IN:
            self._answer(leg)
        elif event == sccp.END_CALL:
            self._end(leg)
        elif event == sccp.HOLD_KEY and leg.state == sccp.CONNECTED:
            self._hold(leg)
        elif event == sccp.RESUME and leg.state == sccp.HOLD:
            leg.become(sccp.CONNECTED)
            self._open(leg)
        elif event == sccp.TRANSFER and leg.state == sccp.CONNECTED:
            self._transfer(leg)
        else:
            say(f"{station} presses {event} in state {leg.state}")

    def on_KeypadButton(self, station, message):
        leg = self._find(station, message.get("call"), sccp.OFF_HOOK)
        if leg:
            leg.digits += str(message.get("button"))
            self._dial(leg)

    def on_EnblocCall(self, station, message):
        leg = self._new_leg(station)
        leg.digits = message.get("number")
        self._dial(leg)

    def on_OpenReceiveChannelAck(self, station, message, medium=AUDIO):
        leg = self._of_channel(station, message, medium)
        block = leg and leg.channels[medium].block
        if block is None:
            say(f"{station} acknowledges a channel that is not open: {message}")
            return
        at, status = (message.get("address"), message.get("port")), message.get("status")
        say(f"{station} receives at {at[0]}:{at[1]}, status {status}")
        if status != 0:
            self._end(leg)
        elif leg.peer:
            leg.peer.send(medium.start, party=leg.peer.channels[medium].party, address=at[0], port=at[1], ms=20,
                          codec=medium.codec, precedence=184, key=block, event=101, payload=97)

    def on_OpenMultimediaReceiveChannelAck(self, station, message):
        self.on_OpenReceiveChannelAck(station, message, VIDEO)

    def on_StartMediaTransmissionAck(self, station, message):
        say(f"{station} transmits from {message.get('address')}:{message.get('port')}, status {message.get('status')}")

    on_StartMultimediaTransmissionAck = on_StartMediaTransmissionAck

    # Calls

    def lose(self, station):
        """The phone is gone: its calls end."""
        for leg in [leg for leg in self.legs.values() if leg.station is station]:
            self._end(leg)

    def _new_leg(self, station) -> Leg:
        leg = self._leg(station, caller=True)
        leg.become(sccp.OFF_HOOK)
        leg.send("StartTone", tone=0x21)
        return leg

    def _leg(self, station, caller=False) -> Leg:
        self.references += 1
        leg = self.legs[self.references] = Leg(station, self.references, caller)
        return leg

    def _find(self, station, reference, state=None):
        """The phone's leg of that reference; without one, its youngest."""
        legs = [leg for leg in self.legs.values() if leg.station is station and state in (None, leg.state)
                and reference in (0, leg.reference)]
        return legs[-1] if legs else None

    def _of_channel(self, station, message, medium):
        party = message.get("party")
        return next((leg for leg in self.legs.values() if leg.station is station
                     and (leg.channels[medium].party == party if party else leg.reference == message.get("call"))), None)

    def _dial(self, leg: Leg):
        called = next((station for station in self.manager.stations.values() if station.number == leg.digits), None)
        if called is None and len(leg.digits) >= 4 and self.manager.trunk and not leg.station.clear:
            called = self.manager.trunk.phone(leg.digits)
        if called is None:
            if len(leg.digits) >= 4:
                leg.become(sccp.BUSY)
                leg.send("StartTone", tone=0x25)
            return
        leg.send("StopTone")
        leg.send("DialedNumber", number=leg.digits)
        leg.peer = self._leg(called)
        leg.peer.peer = leg
        leg.become(sccp.PROCEED)
        leg.become(sccp.RING_OUT)
        self._inform(leg, leg, leg.peer)
        leg.send("StartTone", tone=0x24)
        leg.peer.become(sccp.RING_IN)
        self._inform(leg.peer, leg, leg.peer)
        leg.peer.send("SetRinger", mode=2, duration=1)
        say(f"{leg.station} calls {called}")
        if called.early:
            self._open(leg)

    def _inform(self, leg, caller, called, security=0):
        numbers = (caller.station.number, called.station.number)
        name = "CallInfo" if leg.station.protocol < 17 else "CallInfoDynamic"
        leg.send(name, **{"from": numbers[0], "from_name": numbers[0], "to": numbers[1], "to_name": numbers[1]},
                 kind=1 if leg is called else 2, security=security,
                 strings=b"".join(number.encode() + b"\0" for number in numbers))

    def _answer(self, leg: Leg):
        leg.send("SetRinger", mode=1, duration=1)
        leg.peer.send("StopTone")
        for one in (leg, leg.peer):
            one.become(sccp.CONNECTED)
            self._inform(one, leg.peer, leg, security=3 if self.manager.settings.keys == "all" else 1)
        say(f"{leg.station} answers {leg.peer.station}")
        if leg.channels[AUDIO].block is None:
            self._open(leg)

    def _hold(self, leg: Leg):
        self._close(leg)
        leg.become(sccp.HOLD)
        say(f"{leg.station} holds")

    def _transfer(self, leg: Leg):
        """The first press consults somebody, the second joins the two others."""
        first = leg.held
        if first is None:
            self._hold(leg)
            self._new_leg(leg.station).held = leg
            return
        one, two = first.peer, leg.peer
        self._close(leg)
        for gone in (first, leg):
            gone.peer = None
            self._end(gone)
        one.peer, two.peer = two, one
        say(f"{leg.station} transfers {one.station} to {two.station}")
        for end in (one, two):
            end.become(sccp.CONNECTED)
            self._inform(end, one, two)
        self._open(one)

    def _end(self, leg: Leg):
        if self.legs.pop(leg.reference, None) is None:
            return
        peer = leg.peer
        self._close(leg)
        leg.send("SetRinger", mode=1, duration=1)
        leg.become(sccp.ON_HOOK)
        for other in self.legs.values():
            if other.held is leg:
                other.held = None
        if peer:
            say(f"the call of {leg.station} and {peer.station} ends")
            leg.peer = None
            self._end(peer)

    # Media

    def _open(self, leg: Leg):
        """Opens a channel at each end that is to hear; where one receives, the other is told once it has acknowledged."""
        ends, settings = (leg, leg.peer), self.manager.settings
        clear = any(one.station.clear for one in ends)
        media = MEDIA if settings.video and not clear else (AUDIO,)
        hearing = [one for one in ends if settings.ways == "both" or one.caller == (settings.ways == "caller")]
        for medium in media:
            for one in ends:
                channel = one.channels[medium]
                if not (settings.same_party and channel.party):
                    self.parties += 1
                    channel.party = 0x1000000 + self.parties
                channel.block = self.manager.new_block(clear) if one in hearing else None
            for one in hearing:
                channel = one.channels[medium]
                one.send(medium.open, party=channel.party, ms=20, codec=medium.codec, key=channel.block, event=101,
                         address="0.0.0.0", payload=97)

    def _close(self, leg: Leg):
        for one in filter(None, (leg, leg.peer)):
            for medium, channel in one.channels.items():
                if channel.block is not None:
                    channel.block = None
                    one.send(medium.close, party=channel.party)
                    if one.peer:
                        one.peer.send(medium.stop, party=one.peer.channels[medium].party)


def say(text):
    print(text, file=sys.stderr, flush=True)
