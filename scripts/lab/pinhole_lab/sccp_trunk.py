"""A SIP trunk of an SCCP call manager: to it, the far end of each SIP call is a phone like others.

SIP over UDP and plain RTP, to a proxy that also is the registrar of the call manager's own numbers. What the call manager
tells that phone becomes SIP, and SIP becomes what a phone does.
"""

import re
import socket
import sys
import threading
import time

from .sccp import (ANSWER, BUSY, HOLD_KEY, ON_HOOK, RESUME, RING_IN, RING_OUT, Message as Skinny)
from .sip import Description, Message, token, uri

DOMAIN = "lab.example"
AGAIN = 0.5
"""Seconds until a request is first sent again (T1 of RFC 3261)."""


class Trunk:
    """The socket, its transactions, and the calls that it carries. All is done under the call manager's lock."""

    def __init__(self, manager, own, proxy, early):
        self.manager, self.own, self.proxy, self.early = manager, own, proxy, early
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(own)
        self.socket.settimeout(0.1)
        self.calls = {}
        self.requests = {}
        """Requests without a response: {(branch, method): [bytes, when sent again, seconds until then]}."""
        self.answers = {}
        """Final responses by the branch and method of their requests."""
        threading.Thread(target=self._run, daemon=True).start()
        for number in manager.settings.lines.values():
            self.request("REGISTER", f"sip:{DOMAIN}", number, (token(), 1), (f"<sip:{number}@{DOMAIN}>;tag={token(4)}",
                         f"<sip:{number}@{DOMAIN}>"), extra=[("Expires", "3600")])

    def phone(self, number):
        """The phone of a number that is not one of the call manager's own."""
        return SipPhone(self, number, token())

    def request(self, method, target, user, call, ends, routes=(), body=b"", branch=None, extra=()):
        """Sends a request, again and again until there is a response; returns it. `call`: Call-ID and CSeq; `ends`: From and
        To."""
        branch = branch or f"z9hG4bK{token()}"
        at = f"{self.own[0]}:{self.own[1]}"
        headers = [("Via", f"SIP/2.0/UDP {at};branch={branch}"), ("Max-Forwards", "70"),
                   *(("Route", route) for route in routes), ("From", ends[0]), ("To", ends[1]), ("Call-ID", call[0]),
                   ("CSeq", f"{call[1]} {method}"), ("Contact", f"<sip:{user}@{at}>"), *extra,
                   *([("Content-Type", "application/sdp")] if body else [])]
        made = Message(f"{method} {target} SIP/2.0", headers, body)
        self.socket.sendto(made.to_bytes(), self.proxy)
        if method != "ACK":
            self.requests[branch, method] = [made.to_bytes(), time.monotonic() + AGAIN, AGAIN]
        return made

    def respond(self, request: Message, code, reason, tag, user, body=b""):
        extra = [("Contact", f"<sip:{user}@{self.own[0]}:{self.own[1]}>"),
                 *([("Content-Type", "application/sdp")] if body else [])]
        response = request.respond(code, reason, tag=tag, extra=extra, body=body).to_bytes()
        if code >= 200:
            self.answers[branch_of(request), request.method] = response
        self.socket.sendto(response, self.proxy)

    def _run(self):
        while True:
            try:
                message = Message.parse(self.socket.recv(65536))
            except socket.timeout:
                message = None
            with self.manager.lock:
                if message:
                    self._take(message)
                for entry in self.requests.values():
                    if time.monotonic() > entry[1]:
                        self.socket.sendto(entry[0], self.proxy)
                        entry[2] = min(2 * entry[2], 4)
                        entry[1] = time.monotonic() + entry[2]
                for call in self.calls.values():
                    call.flush()

    def _take(self, message: Message):
        key = branch_of(message), message.method
        call = self.calls.get(message.call_id)
        if not message.request:
            self.requests.pop(key, None)
            if call:
                call.on_response(message)
        elif key in self.answers:
            if message.method != "ACK":
                self.socket.sendto(self.answers[key], self.proxy)
        elif call:
            call.on_request(message)
        elif message.method == "INVITE" and not message.tag("To"):
            number = re.search(r"sip:([^@;>]+)", message.get("From")).group(1)
            SipPhone(self, number, message.call_id).on_invitation(message)
        elif message.method == "OPTIONS":
            self.respond(message, 200, "OK", token(4), "trunk")
        elif message.method != "ACK":
            self.respond(message, 481, "Call Does Not Exist", token(4), "trunk")


class SipPhone:
    """The far end of one SIP call, as a station of the call manager."""

    device, protocol, clear = None, 22, True

    def __init__(self, trunk: Trunk, number, call_id):
        self.trunk, self.number, self.call_id = trunk, number, call_id
        trunk.calls[call_id] = self
        self.reference = 0
        self.party = self.told = None
        """Of the channel that the call manager wants opened, and where it has been told that the far end receives."""
        self.tag, self.cseq, self.version = token(4), 0, 0
        self.own = f"sip:{number}@{DOMAIN}"
        self.ends = self.target = None
        """Ours and theirs, as From and To; where requests go."""
        self.routes = []
        self.near = self.far = None
        """Where the call manager's phone receives (None: on hold), and the last description of the far end."""
        self.waiting = None
        """The request that waits for a response of ours."""
        self.offer = None
        """The INVITE of ours that has no final response, and what it offers."""
        self.unacknowledged = None
        """The response whose offer is answered by our ACK."""
        self.changed = self.stale = self.held = self.established = self.over = False

    early = property(lambda self: self.trunk.early)

    def __str__(self):
        return f"sip:{self.number}"

    # What the call manager tells the phone

    def send(self, name, /, **values):
        if self.over:
            return
        if name == "CallState":
            self.reference = values["call"]
            self._become(values["state"])
        elif name == "OpenReceiveChannel":
            self.party, self.told = values["party"], None
            self._acknowledge_channel()
        elif name == "CloseReceiveChannel":
            self.party = None
        elif name == "StartMediaTransmission":
            before, self.near = self.near, (values["address"], values["port"])
            if self.near != before:
                self._describe()
        elif name == "StopMediaTransmission":
            self.near, self.changed = None, True

    def flush(self):
        """Tells the far end of the end of media, unless the call is over by now or goes on elsewhere."""
        if self.changed and not self.over:
            self._describe()

    def _become(self, state):
        if state == RING_IN and not self.early:
            self._invite()
        elif state == RING_OUT:
            self.trunk.respond(self.waiting, 180, "Ringing", self.tag, self.caller_of())
        elif state == BUSY:
            self._refuse(404, "Not Found")
            self._leave()
        elif state == ON_HOOK:
            self._end()

    def _acknowledge_channel(self):
        """The far end receives where its description says. The call manager is told when that is known, or changes."""
        at = self.far and (self.far.address, self.far.port)
        if self.party and at and at != self.told:
            self.told = at
            self._do("OpenReceiveChannelAck", party=self.party, address=at[0], port=at[1])

    def _describe(self):
        """Where the near end receives has changed: whoever has to know is told."""
        self.changed, body = False, self._body()
        if self.unacknowledged and self.near:
            response, self.unacknowledged = self.unacknowledged, None
            self._acknowledge(response, body)
        elif self.waiting and self.waiting.method == "INVITE" and (self.near or self.established):
            request, self.waiting = self.waiting, None
            self.established = True
            self.trunk.respond(request, 200, "OK", self.tag, self.caller_of(), body)
        elif self.offer:
            self.stale = True
        elif self.near or self.established:
            self._invite(body)

    def _body(self):
        self.version += 1
        at, direction = (self.near, "sendrecv") if self.near else ((self.trunk.own[0], 9), "inactive")
        return Description(*at, "RTP/AVP", direction, version=self.version).to_bytes()

    # SIP to the far end

    def caller_of(self):
        """Whom the call manager's own end of the call is."""
        leg = self.trunk.manager.calls.legs.get(self.reference)
        return leg.peer.station.number if leg and leg.peer else "trunk"

    def _invite(self, body=b""):
        self.cseq += 1
        if self.ends is None:
            caller = self.caller_of()
            self.ends = [f"<sip:{caller}@{DOMAIN}>;tag={self.tag}", f"<{self.own}>"]
            self.target = self.own
        self.offer = self._request("INVITE", self.cseq, body)

    def _request(self, method, cseq, body=b"", branch=None):
        return self.trunk.request(method, self.target, self.caller_of(), (self.call_id, cseq), self.ends, self.routes, body,
                                  branch)

    def _acknowledge(self, response, body=b""):
        self._request("ACK", response.cseq, body)

    def _refuse(self, code, reason):
        if self.waiting:
            self.trunk.respond(self.waiting, code, reason, self.tag, "trunk")
            self.waiting = None

    def _end(self):
        self.over = True
        if self.established:
            self.cseq += 1
            self._request("BYE", self.cseq)
        elif self.waiting:
            self._refuse(480, "Temporarily Unavailable")
        elif self.offer:
            self._request("CANCEL", self.offer.cseq, branch=branch_of(self.offer))

    # SIP from the far end

    def on_invitation(self, request: Message):
        """A call from outside the call manager begins."""
        say(f"{self} invites")
        self.waiting = request
        self.ends = [f"{request.get('To')};tag={self.tag}", request.get("From")]
        self.target, self.routes = request.contact, request.all("Record-Route")
        self.far = Description.parse(request.body)
        self._do("EnblocCall", number=re.search(r"sip:([^@;>]+)", uri(request.start.split()[1])).group(1))

    def on_request(self, request: Message):
        if request.method == "INVITE" and request.body:
            self._on_reinvite(request)
        elif request.method == "BYE":
            self.trunk.respond(request, 200, "OK", self.tag, "trunk")
            self._leave()
        elif request.method == "CANCEL":
            self.trunk.respond(request, 200, "OK", self.tag, "trunk")
            self._refuse(487, "Request Terminated")
            self._leave()
        elif request.method != "ACK":
            self.trunk.respond(request, 405, "Method Not Allowed", self.tag, "trunk")

    def _on_reinvite(self, request):
        self.waiting, self.far = request, Description.parse(request.body)
        holds = self.far.direction in ("sendonly", "inactive")
        if holds != self.held:
            self.held = holds
            self._do("SoftKeyEvent", event=HOLD_KEY if holds else RESUME)
        else:
            self._acknowledge_channel()
        self.changed = holds or self.near is not None

    def on_response(self, response: Message):
        if response.method != "INVITE" or response.code < 200:
            return
        if not self.offer or response.cseq != self.offer.cseq:
            if response.code < 300 and not self.unacknowledged:
                self._acknowledge(response)
            return
        offered, self.offer = self.offer, None
        if response.code >= 300:
            self.ends[1] = response.get("To")
            self._request("ACK", response.cseq, branch=branch_of(offered))
            say(f"{self} answers {response.start}")
            if not self.established:
                self._leave()
            return
        began, self.established = not self.established, True
        if began:
            self.ends[1], self.target = response.get("To"), response.contact
            self.routes = response.all("Record-Route")[::-1]
        self.far = Description.parse(response.body)
        if self.over:
            self._acknowledge(response)
            self._end()
            return
        if offered.body:
            self._acknowledge(response)
        else:
            self.unacknowledged = response
        self._acknowledge_channel()
        if began:
            self._do("SoftKeyEvent", event=ANSWER)
        if self.stale:
            self.stale = False
            self._describe()

    # What the phone does

    def _leave(self):
        """The far end has hung up."""
        self.over = True
        self._do("OnHook")

    def _do(self, name, **values):
        calls = self.trunk.manager.calls
        getattr(calls, f"on_{name}")(self, Skinny.build(name, self.protocol, **{"call": self.reference, **values}))


def branch_of(message: Message) -> str:
    return re.search(r";branch=([^;,\s]+)", message.get("Via")).group(1)


def say(text):
    print(text, file=sys.stderr, flush=True)
