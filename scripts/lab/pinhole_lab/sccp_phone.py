"""An SCCP phone that does as it is told: registration with fail-over, and calls.

One thread reads both connections, to the primary call manager and to the backup, and keeps them alive. What a user does
(dial, hold, ...) is a call from the test. Every wait is bounded.
"""

import dataclasses
import select
import ssl
import struct
import threading
import time

from . import network, sccp
from .sccp import Link, Message
from .sccp_media import Call
from .state import LabError

REGISTRATION = ("ButtonTemplateReq", "SoftKeyTemplateReq", "SoftKeySetReq", "ConfigStatReq", "LineStatReq", "ServerReq",
                "RegisterAvailableLines", "TimeDateReq")
"""What a phone asks for once it is registered; the answer to the last completes it."""
OLDEST = {"Register": 68, "OpenReceiveChannelAck": 16}
"""Bytes of the body of messages as phones of protocol 3 send them."""
MISSED = 3
"""Keep-alives without an answer after which a call manager is given up."""


class SccpPhone:
    """A phone with one line. `servers` are the call managers in order of preference, as (address, port). `certificate` makes
    it a TLS phone. An `encrypted` one, as TLS phones are, must be told a key for each channel; another must be told none:
    `failures` has what was wrong. `keys` are those that phones have been told before: none may be told again."""

    def __init__(self, device, servers, namespace=None, address="127.0.0.1", protocol=17, certificate=None,
                 server_ca=None, recording=None, zero_party=False, register_at_once=True, encrypted=None, keys=None,
                 speaks=True, old_cipher=None):
        self.device, self.servers = device, list(servers)
        self.namespace, self.address, self.protocol = namespace, address, protocol
        self.certificate, self.server_ca = certificate, server_ca
        self.encrypted = certificate is not None if encrypted is None else encrypted
        self.keys = set() if keys is None else keys
        self.old_cipher = old_cipher
        self.recording, self.speaks = recording, speaks
        """Whether it plays its recording as soon as it may; otherwise the test has it begin."""
        self.zero_party = zero_party
        """Whether it acknowledges with party id 0, as a 6901 does."""
        self.user = None
        """Its number, as the call manager has said."""
        self.links = [None] * len(self.servers)
        self.active = None
        """Index of the call manager where it is registered."""
        self.registering = None
        self.granted = 0
        """The protocol version that was granted."""
        self.keep_alive = self.backup_keep_alive = 1
        self.mute = False
        """While set, it sends no keep-alive: its call manager must take it for lost."""
        self.taken_back = True
        """Whether it goes back to a better call manager that has returned."""
        self.heard = []
        """(index of the call manager, message), in order of arrival."""
        self.calls, self.past = {}, []
        self.failures = []
        """What no call manager may do to a phone, and was done."""
        self.arrived = threading.Condition(threading.RLock())
        self._retry = [0.0] * len(self.servers)
        self._token_after = self._patience = 0.0
        self._unanswered = 0
        self._sent_alive = [0.0] * len(self.servers)
        self.registers = True
        """Cleared, it stays with the call that it has when its call manager is lost."""
        self._wanted = register_at_once
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # What a test waits for

    def wait(self, condition, what, seconds=8):
        """Waits until `condition()` holds, and returns its value."""
        value = sccp.wait_until(condition, seconds, self.arrived)
        if not value:
            raise LabError(f"{self.device} waits for {what} for {seconds} s in vain; its last messages: {self.heard[-8:]}, "
                           f"registered at {self.active}, calls {list(self.calls.values())}, faults {self.failures}")
        return value

    def wait_registered(self, server=0, seconds=8):
        self.wait(lambda: self.active == server and self.user, f"its registration at call manager {server}", seconds)
        return self

    def wait_unregistered(self, seconds=8):
        self.wait(lambda: self.active is None, "the loss of its registration", seconds)

    def expect(self, name, since=0, seconds=8) -> Message:
        """The first message of that name after the first `since` of them, waiting for it if need be."""
        def found():
            named = [message for _, message in self.heard if message.name == name]
            return named[since] if len(named) > since else None
        return self.wait(found, f"{name} number {since + 1}", seconds)

    def wait_call(self, state, seconds=8):
        """Its youngest call that is, or comes to be, in a state."""
        def found():
            return next((call for call in reversed(self.calls.values()) if call.state == state), None)
        return self.wait(found, f"a call in state {state}", seconds)

    # What a user does

    def dial(self, number, seconds=8):
        """Goes off hook and presses digits; returns the call that began with it."""
        before = set(self.calls)
        self.send("SoftKeyEvent", event=sccp.NEW_CALL, line=1)
        call = self.wait(lambda: next((call for key, call in self.calls.items()
                                       if key not in before and call.state == sccp.OFF_HOOK), None), "a new call", seconds)
        call.press(number)
        return call

    def unregister(self):
        self._wanted = False
        self.send("Unregister")

    def send(self, name, /, **values):
        """A message to the call manager where it is registered."""
        link = self.links[self.active] if self.active is not None else None
        if link is None:
            raise LabError(f"{self.device} is not registered and cannot send {name}")
        link.send(self._build(name, **values))

    def _build(self, name, /, **values) -> Message:
        message = Message.build(name, self.granted, **values)
        # What the oldest phones send ends where their protocol ends.
        return dataclasses.replace(message, body=message.body[:OLDEST.get(name)]) if self.protocol <= 3 else message

    def close(self, abruptly=False):
        """Ends the phone; `abruptly` as if its plug were pulled."""
        self._stopped.set()
        self._thread.join(5)
        for link in self.links:
            if link:
                link.close(abruptly)
        for call in [*self.calls.values(), *self.past]:
            call.close()

    # The thread

    def _run(self):
        try:
            self._serve()
        except Exception as error:  # told by every wait of a test
            self.failures.append(f"the phone breaks: {error!r}")
            raise

    def _serve(self):
        while not self._stopped.is_set():
            self._connect()
            links = [(index, link) for index, link in enumerate(self.links) if link]
            ready = [link for _, link in links if link.pending()]
            if links and not ready:
                ready = select.select([link for _, link in links], [], [], 0.05)[0]
            elif not links:
                self._stopped.wait(0.05)
            for index, link in links:
                # What came by one may have ended the other.
                if self.links[index] is link and (link in ready or link.ended):
                    self._read(index, link)
            with self.arrived:
                self._keep_alive()
                self._choose()
                self.arrived.notify_all()

    def _connect(self):
        for index, server in enumerate(self.servers):
            if self.links[index] or time.monotonic() < self._retry[index]:
                continue
            try:
                connection = network.tcp_connection(self.namespace, *server, source=self.address, timeout=2)
                if self.certificate:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                    context.check_hostname = False
                    context.load_verify_locations(self.server_ca)
                    context.load_cert_chain(self.certificate)
                    if self.old_cipher:
                        network.speak_old_tls(context, self.old_cipher)
                    connection = context.wrap_socket(connection)
                self.links[index] = Link(connection)
                self._sent_alive[index] = time.monotonic()
            except OSError:
                self._retry[index] = time.monotonic() + 0.3

    def _read(self, index, link):
        try:
            for message in link.receive(0):
                if self.links[index] is not link:
                    break
                with self.arrived:
                    self.heard.append((index, message))
                    self._handle(index, message)
                    self.arrived.notify_all()
        except sccp.Closed:
            with self.arrived:
                self._lose(index)

    def _lose(self, index):
        """The connection is gone. Media goes on: a phone does not end a conversation since its call manager has died."""
        self.links[index].close()
        self.links[index] = None
        self._retry[index] = time.monotonic() + 0.3
        if self.registering == index:
            self.registering = None
        if self.active == index:
            self.active = None

    def _keep_alive(self):
        now = time.monotonic()
        for index, link in enumerate(self.links):
            every = self.keep_alive if index == self.active else self.backup_keep_alive
            if link is None or self.mute or now - self._sent_alive[index] < every:
                continue
            if index == self.active and self._unanswered >= MISSED:
                self._lose(index)
                continue
            self._unanswered += index == self.active
            self._sent_alive[index] = now
            link.send(Message.build("KeepAlive", self.granted if index == self.active else 0))

    def _choose(self):
        """Registers with the best call manager that can be reached; goes back to a better one with a token."""
        best = next((index for index, link in enumerate(self.links) if link), None)
        if self.registering is not None and time.monotonic() > self._patience:
            self._lose(self.registering)
        if not (self._wanted and self.registers) or self.registering is not None or best is None:
            return
        if self.active is None:
            self._register(best)
        elif best < self.active and self.taken_back and time.monotonic() >= self._token_after:
            self._token_after = time.monotonic() + 5
            self.links[best].send(Message.build("RegisterTokenReq", name=self.device, address=self.address, type=7))

    def _register(self, index):
        self.registering, self.user = index, None
        self._patience = time.monotonic() + 5
        self._end_all()
        self.links[index].send(Message.build("Alarm", severity=2, text=f"25: Name={self.device} Load=lab",
                                             address=self.address))
        self.links[index].send(self._build(
            "Register", name=self.device, instance=1, address=self.address, type=7, streams=5, protocol=self.protocol,
            features=b"\x20\x30\x85", conferences=5, mac=bytes.fromhex(self.device[3:]), lines=1, load="lab"))

    def _end_all(self):
        for call in list(self.calls.values()):
            self._end(call)

    def _end(self, call):
        del self.calls[call.reference]
        call.end()
        self.past.append(call)

    # Messages

    def _handle(self, index, message):
        handler = getattr(self, f"_on_{message.name}", None)
        if handler:
            handler(index, message)
        reference = message.get("call")
        if not reference:
            return
        if message.name == "CallState" and reference not in self.calls and message.get("state") != sccp.ON_HOOK:
            self.calls[reference] = Call(self, reference)
        if reference in self.calls:
            self.calls[reference].handle(message)

    def _on_RegisterAck(self, index, message):
        self.granted = message.get("protocol")
        self.keep_alive, self.backup_keep_alive = message.get("keep_alive"), message.get("backup_keep_alive")
        self._unanswered, self._sent_alive[index] = 0, time.monotonic()
        self.active, self.registering = index, None

    def _on_RegisterReject(self, index, message):
        self.registering, self._wanted = None, False

    def _on_CapabilitiesReq(self, index, message):
        entries = b"".join(struct.pack("<II8x", codec, 40) for codec in (sccp.PCMU, 2, 257, sccp.H264))
        self.send("CapabilitiesRes", count=4, entries=entries)
        for name in REGISTRATION:
            self.send(name, line=1, lines=1)

    def _on_LineStat(self, index, message):
        self.number = message.get("number")

    def _on_DefineTimeDate(self, index, message):
        self.user = self.number

    def _on_KeepAliveAck(self, index, message):
        self._unanswered = 0

    def _on_RegisterTokenAck(self, index, message):
        if self.active is not None and index < self.active:
            self.send("Unregister")

    def _on_RegisterTokenReject(self, index, message):
        self._token_after = time.monotonic() + message.get("wait")

    def _on_UnregisterAck(self, index, message):
        self._end_all()
        self.active = self.user = None

    def _on_Reset(self, index, message):
        # It starts anew, and lets go of all its call managers.
        self._end_all()
        for connected in [at for at, link in enumerate(self.links) if link]:
            self._lose(connected)
        self.user = None

    def _on_CallState(self, index, message):
        if message.get("state") == sccp.ON_HOOK and message.get("call") in self.calls:
            self.calls[message.get("call")].state = sccp.ON_HOOK
            self._end(self.calls[message.get("call")])


def call(one: SccpPhone, two: SccpPhone):
    """`one` calls `two`, which answers; returns both ends of the call."""
    mine = one.dial(two.user)
    theirs = two.wait_call(sccp.RING_IN)
    mine.wait_state(sccp.RING_OUT)
    theirs.answer()
    return connected(mine, theirs)


def connected(*calls):
    """Waits until each of them is connected and has media both ways."""
    for each in calls:
        each.wait_state(sccp.CONNECTED).wait_media()
    return calls
