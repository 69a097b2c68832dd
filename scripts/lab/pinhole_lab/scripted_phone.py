"""A phone that does as it is told, also what no honest phone would do.

SIP over TLS with a client certificate, over TCP or over UDP; SRTP with any of the six suites, or plain RTP.
"""

import select
import socket
import ssl
import threading
import time

from . import network
from .media import Stream
from .sip import Description, Message, frames, token
from .srtp import SUITES, Crypto
from .state import LabError

DOMAIN = "lab.example"


class ScriptedPhone:
    """A user agent. `certificate` makes it a TLS phone with SRTP, or if it is not `encrypted` with RTP; without, it speaks plainly."""

    def __init__(self, namespace, user, server, transport="udp", certificate=None, server_ca=None, recording=None,
                 suites=tuple(SUITES), mux=False, address=None, tls_maximum=None, encrypted=True, old_cipher=None):
        self.namespace, self.user, self.server = namespace, user, server
        self.address = address or network.HOMES.get(namespace) or network.DESKS[namespace]
        self.transport = "tls" if certificate else transport
        self.recording, self.suites, self.mux = recording, list(suites), mux
        self.tls = certificate is not None
        self.secure = self.tls and encrypted
        """Whether its media is SRTP."""
        self.messages, self._arrived = [], threading.Condition()
        self.closed = threading.Event()
        self.automatic = {"OPTIONS", "NOTIFY", "MESSAGE"}
        self.streams = []
        self._answers = {}
        self.cseq = 0
        self.registration = (token(), token())
        self.pongs = 0
        self._tls = (certificate, server_ca, tls_maximum, old_cipher)
        self._connect(*self._tls)
        self._listen()

    # Transport

    def _connect(self, certificate, server_ca, tls_maximum, old_cipher):
        if self.transport == "udp":
            self.socket = network.udp_socket(self.namespace, self.address)
        else:
            self.socket = network.tcp_connection(self.namespace, *self.server, source=self.address)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.load_verify_locations(server_ca)
            context.load_cert_chain(certificate)
            if tls_maximum:
                context.maximum_version = tls_maximum
            if old_cipher:
                network.speak_old_tls(context, old_cipher)
            self.socket = context.wrap_socket(self.socket)
        self.port = self.socket.getsockname()[1]
        self.socket.settimeout(0)
        self._using = threading.Lock()

    def _listen(self):
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def reconnect(self, seconds=10):
        """A new connection to the same server, as a phone makes it when it has lost the old one."""
        self.closed.set()
        self._reader.join(2)
        self.socket.close()
        self.closed.clear()
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._connect(*self._tls)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise LabError(f"{self.user} cannot connect again: {error}") from None
                time.sleep(0.2)
        self._listen()

    def send(self, message: Message):
        if self.transport == "udp":
            self.socket.sendto(message.to_bytes(), self.server)
        else:
            self.send_bytes(message.to_bytes())

    def send_bytes(self, data: bytes):
        """Bytes that need not be SIP."""
        with self._using:
            self.socket.settimeout(5)
            self.socket.sendall(data)
            self.socket.settimeout(0)

    def _receive(self):
        """What has arrived: None for nothing, b"" for the end. One thread at a time uses a TLS connection."""
        if not (self.tls and self.socket.pending()):
            if not select.select([self.socket], [], [], 0.1)[0]:
                return None
        with self._using:
            try:
                return self.socket.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return None
            except OSError:
                return b""

    def _read(self):
        buffer = bytearray()
        while not self.closed.is_set():
            data = self._receive()
            if data is None or (self.transport == "udp" and not data):
                continue
            if not data:
                break
            if self.transport == "udp":
                buffer = bytearray(data)
            else:
                buffer += data
                self.pongs += buffer[:2] == b"\r\n"
            for message in frames(buffer):
                self._take(message)
        self.closed.set()
        with self._arrived:
            self._arrived.notify_all()

    def _take(self, message: Message):
        if message.request:
            branch = (message.get("Via"), message.method)
            if branch in self._answers:
                self.send(self._answers[branch])
                return
            if message.method in self.automatic:
                self.respond(message, 200, "OK")
        with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()

    def respond(self, request, code, reason, **options):
        response = request.respond(code, reason, tag=options.pop("tag", "") or token(4), **options)
        if code >= 200:
            self._answers[request.get("Via"), request.method] = response
        self.send(response)

    def expect(self, wanted, what, seconds=8) -> Message:
        """Takes the first message for which `wanted` holds, waiting for it if need be."""
        deadline = time.monotonic() + seconds
        with self._arrived:
            while True:
                for message in self.messages:
                    if wanted(message):
                        self.messages.remove(message)
                        return message
                left = deadline - time.monotonic()
                if left <= 0 or (self.closed.is_set() and self.transport != "udp"):
                    why = "the connection is closed" if self.closed.is_set() else f"nothing for {seconds} s"
                    raise LabError(f"{self.user} waits for {what}: {why}; has {self.messages}")
                self._arrived.wait(left)

    def close(self, abruptly=False):
        """Ends the phone; `abruptly` as if its plug were pulled: media stops and no BYE is sent."""
        for stream in self.streams:
            stream.close()
        self.closed.set()
        if abruptly and self.transport != "udp":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._reader.join(2)
        self.socket.close()

    # Requests

    def header_block(self, method, call_id, from_tag, to, cseq, routes=(), extra=(), branch=None, user=None):
        user = user or self.user
        return [("Via", f"SIP/2.0/{self.transport.upper()} {self.address}:{self.port};branch=z9hG4bK{branch or token()};rport"),
                ("Max-Forwards", "70"), *(("Route", route) for route in routes),
                ("From", f"<sip:{user}@{DOMAIN}>;tag={from_tag}"), ("To", to), ("Call-ID", call_id),
                ("CSeq", f"{cseq} {method}"), ("Contact", self.contact()), ("User-Agent", "pinhole-lab"), *extra]

    def contact(self):
        return f"<sip:{self.user}@{self.address}:{self.port};transport={self.transport}>"

    def transact(self, request: Message, seconds=8) -> Message:
        """Sends a request and returns its final response; over UDP it is sent again as RFC 3261 asks."""
        deadline, pause = time.monotonic() + seconds, 0.5
        self.send(request)
        while True:
            patience = min(pause, deadline - time.monotonic()) if self.transport == "udp" else deadline - time.monotonic()
            try:
                return self.expect(lambda m: not m.request and m.code >= 200 and m.call_id == request.call_id
                                   and m.cseq == request.cseq and m.method == request.method,
                                   f"the response to {request.method}", max(patience, 0.01))
            except LabError:
                if self.transport != "udp" or time.monotonic() >= deadline:
                    raise
                pause = min(pause * 2, 4)
                self.send(request)

    def register(self, expires=300, user=None, expect=200, seconds=8) -> Message:
        """Registers; `user` claims an address of record that may be somebody else's."""
        user = user or self.user
        self.cseq += 1
        headers = self.header_block("REGISTER", self.registration[0], self.registration[1], f"<sip:{user}@{DOMAIN}>",
                                    self.cseq, extra=[("Expires", str(expires))], user=user)
        response = self.transact(Message(f"REGISTER sip:{DOMAIN} SIP/2.0", headers), seconds)
        if expect and response.code != expect:
            raise LabError(f"{user} registers and gets {response.start}")
        return response

    def new_stream(self) -> Stream:
        stream = Stream(self.namespace, self.address, self.recording, self.mux)
        self.streams.append(stream)
        return stream

    def invite(self, user):
        """Begins a call; `Call.wait_answer` completes it."""
        return Call.offer(self, user)

    def wait_call(self, seconds=8):
        """Waits for an INVITE that begins a call and lets it ring."""
        request = self.expect(lambda m: m.request and m.method == "INVITE" and not m.tag("To"), "an INVITE", seconds)
        return Call.incoming(self, request)

    def show_suites(self):
        """Calls nobody. A phone's offer is how the appliance learns its suites: it offers a phone one suite only."""
        self.invite("2999").wait_answer(expect=404)

    def call(self, other):
        """Calls another scripted phone, which answers; returns both ends of the call."""
        mine = self.invite(other.user)
        theirs = other.wait_call()
        theirs.accept()
        mine.wait_answer()
        theirs.wait_acknowledged()
        return mine, theirs


class Call:
    """One end of a call."""

    def __init__(self, phone: ScriptedPhone, call_id, local_tag):
        self.phone, self.call_id, self.local_tag = phone, call_id, local_tag
        self.remote_tag = ""
        self.local = self.remote = ""
        self.target, self.routes = "", []
        self.cseq = 100
        self.version = 0
        self.stream = phone.new_stream()
        self.crypto = None
        self.far = None
        """The far end's last session description."""
        self.invitation = None

    # Beginning

    @classmethod
    def offer(cls, phone, user):
        call = cls(phone, token(), token(4))
        call.local = f"<sip:{phone.user}@{DOMAIN}>;tag={call.local_tag}"
        call.remote = f"<sip:{user}@{DOMAIN}>"
        call.target = f"sip:{user}@{DOMAIN}"
        call.offered = call.new_cryptos()
        call.invitation = call.request("INVITE", call.describe(call.offered))
        phone.send(call.invitation)
        return call

    @classmethod
    def incoming(cls, phone, request):
        call = cls(phone, request.call_id, token(4))
        call.invitation = request
        call.local = f"{request.get('To')};tag={call.local_tag}"
        call.remote, call.remote_tag = request.get("From"), request.tag("From")
        call.target, call.routes = request.contact, request.all("Record-Route")
        phone.respond(request, 180, "Ringing", tag=call.local_tag, extra=[("Contact", phone.contact())])
        return call

    def new_cryptos(self) -> list:
        if not self.phone.secure:
            return []
        return [Crypto.new(suite, number + 1) for number, suite in enumerate(self.phone.suites)]

    def describe(self, cryptos, direction="sendrecv") -> bytes:
        self.version += 1
        return Description(self.phone.address, self.stream.port, "RTP/SAVP" if self.phone.secure else "RTP/AVP",
                           direction, cryptos, self.phone.mux, self.version).to_bytes()

    def request(self, method, body=b"", cseq=None, extra=()) -> Message:
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        headers = self.phone.header_block(method, self.call_id, self.local_tag, self.remote, cseq, self.routes, extra)
        headers = [(name, self.local if name == "From" else value) for name, value in headers]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        return Message(f"{method} {self.target} SIP/2.0", headers, body)

    def wait_answer(self, seconds=10, expect=200) -> Message:
        """The final response to the INVITE, acknowledged."""
        response = self.phone.expect(lambda m: not m.request and m.method == "INVITE" and m.code >= 200
                                     and m.call_id == self.call_id and m.cseq == self.invitation.cseq,
                                     "the answer to the INVITE", seconds)
        self.finish_invite(response)
        if response.code != expect:
            raise LabError(f"{self.phone.user} calls and gets {response.start}")
        if response.code == 200:
            self.learn(Description.parse(response.body), self.offered)
        return response

    def finish_invite(self, response):
        if response.code < 300:
            self.remote, self.remote_tag = response.get("To"), response.tag("To")
            self.target = response.contact
            self.routes = response.all("Record-Route")[::-1] or self.routes
            self.phone.send(self.request("ACK", cseq=response.cseq))
        else:
            acknowledgement = self.request("ACK", cseq=response.cseq)
            via = self.invitation.get("Via")
            acknowledgement.headers = [(name, via if name == "Via" else response.get("To") if name == "To" else value)
                                       for name, value in acknowledgement.headers]
            self.phone.send(acknowledgement)

    def accept(self):
        """Answers with 200; to an INVITE without an offer with one, which the ACK answers."""
        self.offered = [] if self.invitation.body else [self.crypto] if self.crypto else self.new_cryptos()
        answer = self.answer_to(self.invitation) if self.invitation.body else self.describe(self.offered)
        self.phone.respond(self.invitation, 200, "OK", tag=self.local_tag, body=answer,
                           extra=[("Contact", self.phone.contact()), ("Content-Type", "application/sdp")])

    def wait_acknowledged(self, seconds=8):
        acknowledgement = self.phone.expect(lambda m: m.request and m.method == "ACK" and m.call_id == self.call_id, "the ACK",
                                            seconds)
        if not self.invitation.body:
            self.learn(Description.parse(acknowledgement.body), self.offered)

    def reject(self, code=486, reason="Busy Here"):
        self.phone.respond(self.invitation, code, reason, tag=self.local_tag)

    def answer_to(self, request, direction=None) -> bytes:
        """An answer to an offer; keeps the key while the offer stays with the suite."""
        offer = Description.parse(request.body)
        chosen = []
        if self.phone.secure:
            line = next((one for one in offer.cryptos if one.suite in self.phone.suites), None)
            if line is None or offer.profile != "RTP/SAVP":
                raise LabError(f"{self.phone.user} is offered {offer.profile} with {[c.suite for c in offer.cryptos]}")
            if self.crypto is None or self.crypto.suite != line.suite:
                self.crypto = Crypto.new(line.suite, line.tag)
            chosen = [self.crypto]
        mirrored = {"sendonly": "recvonly", "recvonly": "sendonly"}.get(offer.direction, offer.direction)
        self.learn(offer, chosen)
        return self.describe(chosen, direction or mirrored)

    def learn(self, far: Description, own: list):
        """Applies the far end's description to the stream."""
        self.far = far
        mine = theirs = None
        if self.phone.secure:
            pairs = [(mine, theirs) for mine in own for theirs in far.cryptos if mine.suite == theirs.suite]
            if far.profile != "RTP/SAVP" or not pairs:
                raise LabError(f"{self.phone.user} gets {far.profile} with {[c.suite for c in far.cryptos]}")
            mine, theirs = pairs[0]
            self.crypto = mine
        elif far.cryptos or far.profile != "RTP/AVP":
            raise LabError(f"{self.phone.user} speaks plain RTP and gets {far.profile}, {len(far.cryptos)} crypto lines")
        self.stream.configure((far.address, far.port), mine, theirs, mux=self.phone.mux and far.mux, remote_rtcp=far.rtcp)

    # Going on

    def reinvite(self, direction="sendrecv", seconds=8) -> Description:
        """Offers again with the same key and port, in another direction; returns the answer."""
        own = [self.crypto] if self.crypto else []
        self.invitation = self.request("INVITE", self.describe(own, direction))
        self.offered = own
        self.phone.send(self.invitation)
        self.wait_answer(seconds)
        return self.far

    def accept_reinvite(self, seconds=8) -> Description:
        """Waits for the far end's re-INVITE and answers it; returns its offer."""
        self.invitation = self.phone.expect(lambda m: m.request and m.method == "INVITE" and m.call_id == self.call_id
                                            and m.tag("To"), "a re-INVITE", seconds)
        self.accept()
        self.wait_acknowledged(seconds)
        return self.far

    # Ending

    def bye(self, seconds=8, expect=200) -> Message:
        response = self.phone.transact(self.request("BYE"), seconds)
        if expect and response.code != expect:
            raise LabError(f"{self.phone.user} hangs up and gets {response.start}")
        return response

    def wait_bye(self, seconds=8):
        request = self.phone.expect(lambda m: m.request and m.method == "BYE" and m.call_id == self.call_id, "a BYE",
                                    seconds)
        self.phone.respond(request, 200, "OK")

    def cancel(self, seconds=8):
        """Cancels an INVITE that has not been answered, and acknowledges the 487."""
        request = self.request("CANCEL", cseq=self.invitation.cseq)
        request.headers = [(name, self.invitation.get("Via") if name == "Via" else value)
                           for name, value in request.headers]
        self.phone.transact(request, seconds)
        return self.wait_answer(seconds, expect=487)


def plug(one: Call, two: Call, seconds=4):
    """Lets both ends play. The phone whose address must be learned goes first: before it has sent anything,
    nobody can know where behind its NAT it is."""
    first, second = (one, two) if one.phone.tls else (two, one)
    first.stream.start()
    deadline = time.monotonic() + seconds
    if second.phone.tls:
        second.stream.start()
    while not second.stream.heard:
        if time.monotonic() > deadline:
            raise LabError(f"{second.phone.user} hears nothing from {first.phone.user}")
        time.sleep(0.02)
    second.stream.start()
