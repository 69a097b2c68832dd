"""SCCP as the lab's own call managers and phones speak it. Written from published facts, and on purpose without a look at
Pinhole's codec: what one of the two has wrong, the other shows.

Layouts of messages about audio, registration and servers are known well, those about video less. Those of keys, lamps, tones
and displays are general knowledge: nothing between phone and call manager may depend on them.
"""

import dataclasses
import os
import select
import socket
import ssl
import struct
import threading
import time

from .srtp import Crypto

FRAME_MAX = 65536


def _servers(size, kind):
    """The fields of five servers: names, then ports, then addresses."""
    places = [(f"name{n}@{48 * n}:t48", f"port{n}@{240 + 4 * n}", f"address{n}@{260 + size * n}:{kind}") for n in range(5)]
    return " ".join(word for place in places for word in place)


# Id, name, since which protocol version, bytes of body, fields as NAME@OFFSET:KIND. Kinds: 4 bytes little-endian if none is
# said, u1 a byte, tN text, bN bytes, ip4 an IPv4 address, ip an address with its type, key an encryption block.
TABLE = f"""
0000 KeepAlive                  0 0
0001 Register                   0 172 name@0:t16 instance@20 address@24:ip4 type@28 streams@32 active@36 protocol@40:u1 \
features@41:b3 conferences@44 mac@52:b12 lines@68 load@92:t32
0003 KeypadButton               0 12 button@0 line@4 call@8
0004 EnblocCall                 0 28 number@0:t24 line@24
0006 OffHook                    0 8 line@0 call@4
0007 OnHook                     0 8 line@0 call@4
000B LineStatReq                0 4 line@0
000C ConfigStatReq              0 0
000D TimeDateReq                0 0
000E ButtonTemplateReq          0 0
0010 CapabilitiesRes            0 4 count@0 entries@4:rest
0012 ServerReq                  0 0
0020 Alarm                      0 92 severity@0 text@4:t80 first@84 address@88:ip4
0022 OpenReceiveChannelAck      0 20 status@0 address@4:ip4 port@8 party@12 call@16
0022 OpenReceiveChannelAck     17 36 status@0 address@4:ip port@24 party@28 call@32
0025 SoftKeySetReq              0 0
0026 SoftKeyEvent               0 12 event@0 line@4 call@8
0027 Unregister                 0 4
0028 SoftKeyTemplateReq         0 0
0029 RegisterTokenReq           0 52 name@0:t16 instance@20 address@24:ip4 type@28
002D RegisterAvailableLines     0 4 lines@0
0031 OpenMultimediaReceiveChannelAck  0 20 status@0 address@4:ip4 port@8 party@12 call@16
0031 OpenMultimediaReceiveChannelAck 17 36 status@0 address@4:ip port@24 party@28 call@32
0081 RegisterAck                0 20 keep_alive@0 date@4:t8 backup_keep_alive@12 protocol@16:u1 features@17:b3
0082 StartTone                  0 16 tone@0 line@8 call@12
0083 StopTone                   0 8 line@0 call@4
0085 SetRinger                  0 16 mode@0 duration@4 line@8 call@12
0086 SetLamp                    0 12 stimulus@0 line@4 mode@8
0088 SetSpeakerMode             0 4 mode@0
008A StartMediaTransmission     0 116 conference@0 party@4 address@8:ip4 port@12 ms@16 codec@20 precedence@24 silence@28 \
frames@32 call@40 key@44:key event@100
008A StartMediaTransmission    17 132 conference@0 party@4 address@8:ip port@28 ms@32 codec@36 precedence@40 silence@44 \
frames@48 call@56 key@60:key event@116
008A StartMediaTransmission    20 168 as 17
008B StopMediaTransmission      0 16 conference@0 party@4 call@8 handling@12
008F CallInfo                   0 384 from_name@0:t40 from@40:t24 to_name@64:t40 to@104:t24 line@128 call@132 kind@136 \
security@376
0092 LineStat                   0 112 line@0 number@4:t24 name@28:t40
0093 ConfigStat                 0 112 name@0:t16 user@24:t40 server@64:t40
0094 DefineTimeDate             0 36 year@0 month@4 weekday@8 day@12 hour@16 minute@20 second@24 system@32
0097 ButtonTemplate             0 12 offset@0 count@4 total@8 entries@12:rest
009B CapabilitiesReq            0 0
009D RegisterReject             0 32 text@0:t32
009E ServerRes                  0 280 {_servers(4, "ip4")}
009E ServerRes                 17 360 {_servers(20, "ip")}
009F Reset                      0 4 kind@0
0100 KeepAliveAck               0 0
0105 OpenReceiveChannel         0 92 conference@0 party@4 ms@8 codec@12 echo@16 call@24 key@28:key event@84
0105 OpenReceiveChannel        11 116 conference@0 party@4 ms@8 codec@12 echo@16 call@24 key@28:key event@84 mixing@92 \
direction@96 address@100:ip4 port@104 family@108
0105 OpenReceiveChannel        17 128 conference@0 party@4 ms@8 codec@12 echo@16 call@24 key@28:key event@84 mixing@92 \
direction@96 address@100:ip port@120 family@124
0105 OpenReceiveChannel        20 168 as 17
0106 CloseReceiveChannel        0 16 conference@0 party@4 call@8 handling@12
0108 SoftKeyTemplateRes         0 12 offset@0 count@4 total@8 entries@12:rest
0109 SoftKeySetRes              0 12 offset@0 count@4 total@8 entries@12:rest
0110 SelectSoftKeys             0 16 line@0 call@4 set@8 mask@12
0111 CallState                  0 24 state@0 line@4 call@8
0112 DisplayPromptStatus        0 44 seconds@0 text@4:t32 line@36 call@40
0116 ActivateCallPlane          0 4 line@0
0118 UnregisterAck              0 4 status@0
011A RegisterTokenAck           0 0
011B RegisterTokenReject        0 4 wait@0
011D DialedNumber               0 32 number@0:t24 line@24 call@28
0131 OpenMultimediaReceiveChannel     0 164 conference@0 party@4 codec@8 line@12 call@16 payload@24 key@108:key
0131 OpenMultimediaReceiveChannel    12 172 conference@0 party@4 codec@8 line@12 call@16 payload@24 key@108:key \
address@164:ip4 port@168
0131 OpenMultimediaReceiveChannel    17 192 conference@0 party@4 codec@8 line@12 call@16 payload@24 key@108:key \
address@164:ip port@184 family@188
0132 StartMultimediaTransmission      0 168 conference@0 party@4 codec@8 address@12:ip4 port@16 call@20 payload@28 \
precedence@32 key@112:key
0132 StartMultimediaTransmission     17 184 conference@0 party@4 codec@8 address@12:ip port@32 call@36 payload@44 \
precedence@48 key@128:key
0133 StopMultimediaTransmission       0 16 conference@0 party@4 call@8 handling@12
0136 CloseMultimediaReceiveChannel    0 16 conference@0 party@4 call@8 handling@12
014A CallInfoDynamic            0 28 line@0 call@4 kind@8 security@24 strings@28:rest
0154 StartMediaTransmissionAck  0 24 conference@0 party@4 call@8 address@12:ip4 port@16 status@20
0154 StartMediaTransmissionAck 17 40 conference@0 party@4 call@8 address@12:ip port@32 status@36
0155 StartMultimediaTransmissionAck  0 24 conference@0 party@4 call@8 address@12:ip4 port@16 status@20
0155 StartMultimediaTransmissionAck 17 40 conference@0 party@4 call@8 address@12:ip port@32 status@36
"""

UNVERSIONED = {"KeepAliveAck", "RegisterAck", "UnregisterAck", "Register", "RegisterTokenReq"}
"""Sent with header version 0 whatever the protocol; the last two since nothing is negotiated yet."""

PCMU, H264 = 4, 103
OFF_HOOK, ON_HOOK, RING_OUT, RING_IN, CONNECTED, BUSY, HOLD, PROCEED = 1, 2, 3, 4, 5, 6, 8, 12
NEW_CALL, HOLD_KEY, TRANSFER, END_CALL, RESUME, ANSWER = 2, 3, 4, 9, 10, 11
"""Soft keys by their events."""


@dataclasses.dataclass(frozen=True)
class Medium:
    """The messages about one medium of a call."""

    open: str
    start: str
    close: str
    stop: str
    codec: int


AUDIO = Medium("OpenReceiveChannel", "StartMediaTransmission", "CloseReceiveChannel", "StopMediaTransmission", PCMU)
VIDEO = Medium("OpenMultimediaReceiveChannel", "StartMultimediaTransmission", "CloseMultimediaReceiveChannel",
               "StopMultimediaTransmission", H264)
MEDIA = (AUDIO, VIDEO)


@dataclasses.dataclass(frozen=True)
class Key:
    """An encryption block (48 bytes) that orders AES_CM_128_HMAC_SHA1_32, all that phones know."""

    key: bytes
    salt: bytes

    @classmethod
    def new(cls):
        return cls(os.urandom(16), os.urandom(14))

    def crypto(self) -> Crypto:
        """What libsrtp2 is told."""
        return Crypto(1, "AES_CM_128_HMAC_SHA1_32", self.key + self.salt)

    def pack(self) -> bytes:
        return struct.pack("<IHH16s16sII", 1, len(self.key), len(self.salt), self.key, self.salt, 0, 0)

    @classmethod
    def unpack(cls, block: bytes):
        """The key of a block; None if it orders none. A block of an algorithm that phones do not know is an error, one of no
        sensible algorithm or lengths is memory that a server has not cleared."""
        algorithm, key_length, salt_length, key, salt = struct.unpack_from("<IHH16s16s", block)
        if not 1 <= algorithm <= 6 or (key_length, salt_length) != (16, 14):
            return None
        if algorithm != 1:
            raise ValueError(f"a phone is told to encrypt with algorithm {algorithm}")
        return cls(key, salt[:14])


def _parse(table):
    layouts, ids = {}, {}
    for row in table.strip().splitlines():
        number, name, since, length, *words = row.split()
        ids[name] = int(number, 16)
        if words[:1] == ["as"]:
            words = layouts[name][int(words[1])][1]
        fields = words if isinstance(words, dict) else dict(_field(word) for word in words)
        layouts.setdefault(name, {})[int(since)] = (int(length), fields)
    return layouts, ids


def _field(word):
    name, _, place = word.partition("@")
    offset, _, kind = place.partition(":")
    return name, (int(offset), kind or "u4")


LAYOUTS, IDS = _parse(TABLE)
NAMES = {number: name for name, number in IDS.items()}
SIZES = {"u4": 4, "u1": 1, "ip4": 4, "ip": 20, "key": 48}


def _layout(name, version):
    generations = LAYOUTS.get(name, {0: (0, {})})
    return generations[max(since for since in generations if since <= version)]


def _pack(kind, value) -> bytes:
    if kind in ("u4", "u1"):
        return int(value).to_bytes(SIZES[kind], "little")
    if kind in ("ip4", "ip"):
        packed = socket.inet_aton(value)
        return packed if kind == "ip4" else struct.pack("<I16s", 0, packed)
    if kind == "key":
        return value.pack() if isinstance(value, Key) else value
    value = value.encode() if isinstance(value, str) else value
    if kind == "rest":
        return value
    size = int(kind[1:])
    if len(value) > size - (kind[0] == "t"):
        raise ValueError(f"{value!r} does not fit into {size} bytes")
    return value.ljust(size, b"\0")


def _unpack(kind, data):
    if kind in ("u4", "u1"):
        return int.from_bytes(data, "little")
    if kind == "ip4":
        return socket.inet_ntoa(data)
    if kind == "ip":
        family = int.from_bytes(data[:4], "little")
        return socket.inet_ntoa(data[4:8]) if family in (0, 2) else socket.inet_ntop(socket.AF_INET6, data[4:])
    if kind == "key":
        return Key.unpack(data)
    return data.partition(b"\0")[0].decode("latin-1") if kind[0] == "t" else data


@dataclasses.dataclass
class Message:
    """One message: its name (or its id as hexadecimal digits), header version and body."""

    name: str
    version: int
    body: bytes

    @classmethod
    def build(cls, name, protocol=0, /, **values):
        """A message in the layout of a protocol version; what is not given is zero, what that layout has not is left out."""
        version = 0 if protocol < 10 or name in UNVERSIONED else protocol
        length, fields = _layout(name, version)
        body = bytearray(length)
        for field, value in values.items():
            if field not in fields:
                continue
            offset, kind = fields[field]
            packed = _pack(kind, value)
            body[offset: offset + len(packed)] = packed
        return cls(name, version, bytes(body))

    def get(self, field):
        """A field's value, None if the message has or holds none."""
        _, fields = _layout(self.name, self.version)
        if field not in fields:
            return None
        offset, kind = fields[field]
        if kind == "rest":
            return self.body[offset:]
        size = SIZES.get(kind) or int(kind[1:])
        return _unpack(kind, self.body[offset: offset + size]) if offset + size <= len(self.body) else None

    def to_bytes(self) -> bytes:
        number = IDS.get(self.name)
        number = int(self.name, 16) if number is None else number
        return struct.pack("<III", len(self.body) + 4, self.version, number) + self.body

    def __repr__(self):
        ids = " ".join(f"{field}={self.get(field)}" for field in ("party", "call", "state") if self.get(field) is not None)
        return f"{self.name}({ids})"


class Closed(Exception):
    """The connection is at its end."""


class Link:
    """A TCP or TLS connection cut into messages. Every wait is bounded; one thread at a time uses it."""

    def __init__(self, connection: socket.socket):
        self.socket = connection
        self.socket.setblocking(False)
        self._buffer = bytearray()
        self._using = threading.Lock()
        self.ended = False

    def fileno(self):
        return self.socket.fileno()

    def pending(self) -> bool:
        """Whether something can be read though the socket is not ready."""
        return isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0

    def send(self, message: Message):
        self.send_bytes(message.to_bytes())

    def send_bytes(self, data: bytes):
        """Bytes that need not be SCCP. A peer that is gone is told by `receive` later."""
        try:
            with self._using:
                self.socket.settimeout(5)
                self.socket.sendall(data)
        except OSError:
            self.ended = True
        finally:
            if self.socket.fileno() >= 0:
                self.socket.setblocking(False)

    def receive(self, seconds) -> list:
        """The messages that come within some seconds, maybe none. Raises `Closed` at the end."""
        if self.ended:
            raise Closed
        try:
            if not self.pending():
                select.select([self.socket], [], [], seconds)
            with self._using:
                data = self.socket.recv(FRAME_MAX)
        except (BlockingIOError, ssl.SSLWantReadError):
            return []
        except (OSError, ValueError):
            raise Closed from None
        if not data:
            raise Closed
        self._buffer += data
        return list(self._cut())

    def _cut(self):
        while len(self._buffer) >= 12:
            length, version, number = struct.unpack_from("<III", self._buffer)
            if not 4 <= length <= FRAME_MAX - 8:
                raise Closed
            if len(self._buffer) < length + 8:
                return
            yield Message(NAMES.get(number, f"{number:04X}"), version, bytes(self._buffer[12: length + 8]))
            del self._buffer[: length + 8]

    def close(self, abruptly=False):
        """Ends the connection; `abruptly` as by a reset."""
        self.ended = True
        try:
            if abruptly:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


def wait_until(condition, seconds, arrived: threading.Condition):
    """Waits until `condition()` is true, and returns its value, None if it never was. `arrived` is notified of changes."""
    deadline = time.monotonic() + seconds
    with arrived:
        while True:
            value = condition()
            if value:
                return value
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            arrived.wait(min(left, 0.1))
