"""SIP and SDP as far as a test phone needs them (RFC 3261, 4566), written for the lab alone."""

import re
import secrets


class Message:
    """A SIP message: start line, headers in order, body."""

    def __init__(self, start, headers, body=b""):
        self.start, self.headers, self.body = start, headers, body

    @classmethod
    def parse(cls, data: bytes):
        head, _, body = data.partition(b"\r\n\r\n")
        lines = re.sub(r"\r\n[ \t]+", " ", head.decode(errors="replace")).split("\r\n")
        headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers.append((COMPACT.get(name.strip().lower(), name.strip()), value.strip()))
        return cls(lines[0], headers, body)

    def to_bytes(self) -> bytes:
        headers = [(name, value) for name, value in self.headers if name.lower() != "content-length"]
        headers.append(("Content-Length", str(len(self.body))))
        return "\r\n".join([self.start, *(f"{name}: {value}" for name, value in headers), "", ""]).encode() + self.body

    def all(self, name) -> list:
        """The values of a header, top first, split at commas (only for headers that may be)."""
        found = []
        for header, value in self.headers:
            if header.lower() == name.lower():
                found += re.split(r",(?=\s*<)", value) if name.lower() in ("route", "record-route") else [value]
        return [value.strip() for value in found]

    def get(self, name, default="") -> str:
        values = self.all(name)
        return values[0] if values else default

    @property
    def request(self) -> bool:
        return not self.start.startswith("SIP/2.0")

    @property
    def method(self) -> str:
        return self.start.split()[0] if self.request else self.get("CSeq").split()[-1]

    @property
    def code(self) -> int:
        return 0 if self.request else int(self.start.split()[1])

    @property
    def call_id(self) -> str:
        return self.get("Call-ID")

    @property
    def cseq(self) -> int:
        return int(self.get("CSeq").split()[0])

    def tag(self, name) -> str:
        match = re.search(r";tag=([^;>\s]+)", self.get(name))
        return match.group(1) if match else ""

    @property
    def contact(self) -> str:
        """The URI of the contact."""
        return uri(self.get("Contact"))

    def respond(self, code, reason, tag="", extra=(), body=b""):
        """A response to this request (RFC 3261 section 8.2.6)."""
        headers = [(name, value) for name, value in self.headers
                   if name.lower() in ("via", "from", "call-id", "cseq", "record-route")]
        to = self.get("To")
        headers.append(("To", to if not tag or "tag=" in to else f"{to};tag={tag}"))
        return Message(f"SIP/2.0 {code} {reason}", [*headers, *extra], body)

    def __repr__(self):
        return f"<{self.start} {self.get('CSeq')} {self.call_id}>"


COMPACT = {"v": "Via", "f": "From", "t": "To", "i": "Call-ID", "m": "Contact", "l": "Content-Length",
           "c": "Content-Type", "k": "Supported", "e": "Content-Encoding", "s": "Subject"}


def uri(address: str) -> str:
    """The URI of a name-addr or addr-spec."""
    match = re.search(r"<([^>]*)>", address)
    return match.group(1) if match else address.split(";")[0].strip()


def frames(data: bytearray):
    """Takes the complete messages off the beginning of a stream's buffer; keep-alives are skipped."""
    while True:
        while data[:2] == b"\r\n":
            del data[:2]
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return
        match = re.search(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(\d+)", data[:end + 2], re.I)
        length = end + 4 + (int(match.group(1)) if match else 0)
        if len(data) < length:
            return
        yield Message.parse(bytes(data[:length]))
        del data[:length]


def token(size=8) -> str:
    return secrets.token_hex(size)


class Description:
    """An SDP body with one audio section."""

    def __init__(self, address, port, profile, direction="sendrecv", cryptos=(), mux=False, version=1, formats="0",
                 rtcp=None):
        self.address, self.port, self.profile, self.direction = address, port, profile, direction
        self.cryptos, self.mux, self.version, self.formats, self.rtcp = list(cryptos), mux, version, formats, rtcp

    def to_bytes(self) -> bytes:
        lines = ["v=0", f"o=lab 1 {self.version} IN IP4 {self.address}", "s=lab", f"c=IN IP4 {self.address}", "t=0 0",
                 f"m=audio {self.port} {self.profile} {self.formats} 101", "a=rtpmap:0 PCMU/8000",
                 "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20",
                 *(f"a=crypto:{crypto}" for crypto in self.cryptos),
                 *(["a=rtcp-mux"] if self.mux else []), f"a={self.direction}"]
        return ("\r\n".join(lines) + "\r\n").encode()

    @classmethod
    def parse(cls, body: bytes):
        from .srtp import Crypto
        text = body.decode()
        kind = re.search(r"^m=audio (\d+) (\S+) (\S+)", text, re.M)
        direction = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", text, re.M)
        rtcp = re.search(r"^a=rtcp:(\d+)", text, re.M)
        return cls(re.search(r"^c=IN IP4 (\S+)", text, re.M).group(1), int(kind.group(1)), kind.group(2),
                   direction.group(1) if direction else "sendrecv",
                   [Crypto.parse(value.strip()) for value in re.findall(r"^a=crypto:(.*)$", text, re.M)],
                   bool(re.search(r"^a=rtcp-mux\s*$", text, re.M)), formats=kind.group(3),
                   rtcp=int(rtcp.group(1)) if rtcp else None)
