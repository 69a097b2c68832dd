"""RTP as a test phone sends and hears it: a recording out, every packet in accounted for."""

import random
import select
import struct
import threading
import time

import numpy

from . import audio, network, srtp

FRAME = 160


class Stream:
    """One stream of a scripted phone: two UDP sockets, a sender and a receiver. Every 20 ms it sends `size` bytes of its
    recording, which for audio are 20 ms of it."""

    def __init__(self, namespace, address, recording: numpy.ndarray, mux=False, payload_type=0, size=FRAME):
        self.namespace, self.mux, self.payload_type = namespace, mux, payload_type
        self.rtp, self.rtcp = socket_pair(namespace, address)
        self.port = self.rtp.getsockname()[1]
        self.frames = split(audio.ulaw_encode(recording), size)
        self.remote = None
        self.remote_rtcp = None
        self._protect = self._unprotect = None
        self.ssrc = random.getrandbits(32)
        self.sequence = random.getrandbits(16)
        self.timestamp = random.getrandbits(32)
        self.sent = []
        """(index of the frame, datagram as sent) of every RTP packet."""
        self.heard = {}
        """Payloads by extended sequence number and SSRC: {(ssrc, sequence): payload}."""
        self.received = 0
        self.repeated = 0
        self.refused = []
        """Datagrams that libsrtp2 refuses, or that are not RTP at all."""
        self.reports = True
        """Whether RTCP is sent, about once a second."""
        self.rtcp_sent = 0
        self.rtcp_heard = []
        self._highest = {}
        self._sending = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._receive, daemon=True),
                         threading.Thread(target=self._send, daemon=True)]
        for thread in self._threads:
            thread.start()

    def configure(self, remote, local_crypto=None, remote_crypto=None, mux=None, remote_rtcp=None):
        """Where to send (`None`: not known yet), and with which keys. The same keys again change nothing (the ROC stays)."""
        with self._lock:
            self.remote = remote
            if mux is not None:
                self.mux = mux
            self.remote_rtcp = remote if self.mux or not remote else (remote[0], remote_rtcp or remote[1] + 1)
            if local_crypto != getattr(self, "_local", None):
                self._local = local_crypto
                self._protect = srtp.Context(local_crypto, outbound=True) if local_crypto else None
            if remote_crypto != getattr(self, "_remote", None):
                self._remote = remote_crypto
                self._unprotect = srtp.Context(remote_crypto, outbound=False) if remote_crypto else None

    def start(self):
        """Begins (or goes on) to play its recording."""
        self._sending.set()

    def pause(self):
        """Stops sending, as on hold."""
        self._sending.clear()

    def close(self):
        self._stopped.set()
        self._sending.set()
        for thread in self._threads:
            thread.join(2)
        self.rtp.close()
        self.rtcp.close()

    def next_packet(self, payload) -> bytes:
        """The next RTP packet of this stream, not protected."""
        packet = srtp.rtp(self.payload_type, self.sequence, self.timestamp, self.ssrc, payload)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + FRAME) & 0xFFFFFFFF
        return packet

    def send_raw(self, datagram: bytes, to=None):
        """Anything at all, from the stream's own socket."""
        self.rtp.sendto(datagram, to or self.remote)

    def heard_audio(self, ssrc=None) -> numpy.ndarray:
        """What was heard, in order of sequence numbers; a packet that is missing is silence."""
        if not self.heard:
            return numpy.zeros(0)
        ssrc = ssrc if ssrc is not None else max(self._highest, key=lambda one: sum(k[0] == one for k in self.heard))
        numbers = sorted(number for key, number in self.heard if key == ssrc)
        empty = bytes([0xFF]) * FRAME
        return audio.ulaw_decode(b"".join(self.heard.get((ssrc, number), empty)
                                          for number in range(numbers[0], numbers[-1] + 1)))

    def _send(self):
        at, index, reported = time.monotonic(), 0, time.monotonic()
        while not self._stopped.is_set():
            if not self._sending.is_set():
                self._sending.wait(0.05)
                at = time.monotonic()
                continue
            with self._lock:
                payload = self.frames[index % len(self.frames)]
                packet = self.next_packet(payload)
                datagram = self._protect.protect(packet) if self._protect else packet
                try:
                    self.rtp.sendto(datagram, self.remote)
                except OSError:
                    pass
                self.sent.append((index, datagram))
                if self.reports and time.monotonic() - reported > 1:
                    reported = time.monotonic()
                    self._report()
            index += 1
            at += FRAME / audio.RATE
            time.sleep(max(0, at - time.monotonic()))

    def _report(self):
        report = srtp.sender_report(self.ssrc, len(self.sent), len(self.sent) * FRAME, self.timestamp)
        datagram = self._protect.protect_rtcp(report) if self._protect else report
        try:
            (self.rtp if self.mux else self.rtcp).sendto(datagram, self.remote_rtcp)
            self.rtcp_sent += 1
        except OSError:
            pass

    def _receive(self):
        while not self._stopped.is_set():
            for ready in select.select([self.rtp, self.rtcp], [], [], 0.1)[0]:
                try:
                    datagram, source = ready.recvfrom(4096)
                except OSError:
                    continue
                with self._lock:
                    if srtp.is_rtcp(datagram):
                        self._hear_rtcp(datagram)
                    else:
                        self._hear(datagram)

    def _hear(self, datagram):
        self.received += 1
        try:
            packet = self._unprotect.unprotect(datagram) if self._unprotect else datagram
        except srtp.Failed:
            self.refused.append(datagram)
            return
        if len(packet) < 12 or packet[0] >> 6 != 2:
            self.refused.append(datagram)
            return
        sequence, ssrc = struct.unpack("!H4xI", packet[2:12])
        highest = self._highest.get(ssrc, 0x10000 + sequence)
        number = highest + ((sequence - highest + 0x8000) & 0xFFFF) - 0x8000
        self._highest[ssrc] = max(highest, number)
        self.repeated += (ssrc, number) in self.heard
        self.heard[ssrc, number] = packet[12:]

    def _hear_rtcp(self, datagram):
        try:
            self.rtcp_heard.append(self._unprotect.unprotect_rtcp(datagram) if self._unprotect else datagram)
        except srtp.Failed:
            self.refused.append(datagram)


def socket_pair(namespace, address):
    """Sockets on an even port and the one above."""
    for _ in range(100):
        one = network.udp_socket(namespace, address)
        port = one.getsockname()[1]
        if port % 2 == 0:
            try:
                return one, network.udp_socket(namespace, address, port + 1)
            except OSError:
                pass
        one.close()
    raise OSError(f"no pair of ports on {address}")


def split(data: bytes, size=FRAME) -> list:
    """Frames of a size; 20 ms of audio if none is said."""
    return [data[at: at + size] for at in range(0, len(data) - size + 1, size)]


def missing(sender: Stream, receiver: Stream, first: int = 0, last: int | None = None) -> list:
    """Which of the sender's packets number `first` to `last` the receiver has not heard, compared by their content
    and sequence number. An empty list is a perfect transfer."""
    expected = {}
    for position, (index, datagram) in enumerate(sender.sent[first:last]):
        expected[struct.unpack("!H", datagram[2:4])[0]] = (first + position, sender.frames[index % len(sender.frames)])
    for (ssrc, number), payload in receiver.heard.items():
        if ssrc == sender.ssrc and expected.get(number & 0xFFFF, (0, None))[1] == payload:
            del expected[number & 0xFFFF]
    return sorted(position for position, _ in expected.values())
