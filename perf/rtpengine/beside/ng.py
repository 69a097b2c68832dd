"""rtpengine's ng control protocol: a cookie and a bencoded dictionary in one UDP datagram, each way."""

import itertools
import os
import socket
import time

from pinhole_lab.state import LabError

from . import bencode


class NgError(LabError):
    """rtpengine does not answer, or refuses. The text is for a person."""


class Client:
    """Sends commands, each again if the answer is lost: rtpengine knows a repeated cookie."""

    def __init__(self, made: socket.socket, address: tuple, seconds: float = 1.0, tries: int = 4):
        self._socket, self._address, self._tries = made, address, tries
        self._seconds = seconds
        self._socket.settimeout(seconds)
        self._cookies = (f"{os.getpid()}_{number}".encode() for number in itertools.count())

    def command(self, name: str, **entries) -> dict:
        """One command; entries are named as in the protocol, with `_` for `-`. Returns what rtpengine answers."""
        cookie = next(self._cookies)
        asked = {"command": name} | {key.replace("_", "-"): value for key, value in entries.items()}
        answer = self._exchange(cookie, cookie + b" " + bencode.encode(asked))
        if answer.get("result") not in (b"ok", b"pong"):
            reason = answer.get("error-reason", b"no reason given").decode(errors="replace")
            raise NgError(f"rtpengine refuses {name}: {reason}")
        return answer

    def _exchange(self, cookie, datagram) -> dict:
        for _ in range(self._tries):
            try:
                self._socket.sendto(datagram, self._address)
                while True:
                    found, _, answer = self._socket.recv(65536).partition(b" ")
                    if found == cookie:
                        return bencode.decode(answer)
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                # It does not listen yet.
                time.sleep(self._seconds)
        raise NgError(f"rtpengine does not answer at {self._address[0]}:{self._address[1]}")
