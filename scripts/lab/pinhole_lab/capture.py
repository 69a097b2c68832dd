"""Captures of the wires: tcpdump to a file, and a reader of what it wrote."""

import collections
import dataclasses
import socket
import struct
import time

from . import srtp
from .state import LabError, Processes, State


@dataclasses.dataclass(frozen=True)
class Datagram:
    """A UDP datagram as captured."""

    time: float
    source: tuple
    destination: tuple
    payload: bytes

    @property
    def looks_like_rtp(self) -> bool:
        return len(self.payload) >= 12 and self.payload[0] >> 6 == 2 and not srtp.is_rtcp(self.payload)

    @property
    def looks_like_rtcp(self) -> bool:
        return len(self.payload) >= 8 and self.payload[0] >> 6 == 2 and srtp.is_rtcp(self.payload)

    @property
    def sequence(self) -> int:
        return struct.unpack("!H", self.payload[2:4])[0]

    @property
    def ssrc(self) -> int:
        return struct.unpack("!I", self.payload[8:12])[0]

    @property
    def payload_type(self) -> int:
        return self.payload[1] & 0x7F


class Capture:
    """A running tcpdump on one interface."""

    def __init__(self, state: State, processes: Processes, name: str, wire: tuple):
        namespace, interface = wire
        self.path = state.directory("captures") / f"{name}.pcap"
        self.path.unlink(missing_ok=True)
        self.process = processes.start(f"capture-{name}", ["tcpdump", "-i", interface, "-s", "0", "-U", "-n", "-Z", "root",
                                                           "--immediate-mode", "-B", "8192", "-w", self.path, "ip"],
                                       namespace=namespace)
        self.process.wait_for("listening on", 10)

    def stop(self):
        """Ends it after what is still under way has been written."""
        time.sleep(0.3)
        self.process.stop()
        said = self.process.text()
        for line in said.splitlines():
            if "dropped by kernel" in line and not line.startswith("0 "):
                raise LabError(f"the capture {self.path.name} is not whole: {line}")
        return self

    def datagrams(self) -> list:
        return [Datagram(at, *udp) for at, protocol, udp in packets(self.path) if protocol == socket.IPPROTO_UDP]

    def tcp_payloads(self) -> list:
        """(time, source, destination, payload) of TCP segments that carry something."""
        return [(at, *tcp) for at, protocol, tcp in packets(self.path) if protocol == socket.IPPROTO_TCP and tcp[2]]


def packets(path):
    """Yields (time, protocol, (source, destination, payload)) of the UDP and TCP packets of an Ethernet capture."""
    raw = path.read_bytes()
    if len(raw) < 24:
        return
    order = "<" if raw[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(raw):
        seconds, fraction, captured, _ = struct.unpack(f"{order}IIII", raw[at: at + 16])
        frame = raw[at + 16: at + 16 + captured]
        at += 16 + captured
        if len(frame) < 34 or frame[12:14] != b"\x08\x00":
            continue
        head = (frame[14] & 15) * 4
        total = struct.unpack("!H", frame[16:18])[0]
        source, destination = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
        body, protocol = frame[14 + head: 14 + total], frame[23]
        if protocol not in (socket.IPPROTO_UDP, socket.IPPROTO_TCP) or len(body) < 8:
            continue
        ports = struct.unpack("!HH", body[:4])
        offset = 8 if protocol == socket.IPPROTO_UDP else (body[12] >> 4) * 4 if len(body) > 12 else len(body)
        yield seconds + fraction / 1e6, protocol, ((source, ports[0]), (destination, ports[1]), body[offset:])


def streams(datagrams) -> dict:
    """RTP packets by (source, destination, SSRC)."""
    found = collections.defaultdict(list)
    for datagram in datagrams:
        if datagram.looks_like_rtp:
            found[datagram.source, datagram.destination, datagram.ssrc].append(datagram)
    return found
