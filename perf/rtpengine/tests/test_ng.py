import socket
import threading

import pytest

from beside import bencode
from beside.ng import Client, NgError


class Peer:
    """Plays rtpengine: answers each datagram with what `answers` holds for it."""

    def __init__(self, *answers, address=("127.0.0.1", 0)):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.seen = []
        self.thread = threading.Thread(target=self.serve, args=(answers,), daemon=True)
        self.thread.start()

    def serve(self, answers):
        for answer in answers:
            data, source = self.socket.recvfrom(65536)
            cookie, _, request = data.partition(b" ")
            self.seen.append((cookie, bencode.decode(request)))
            for made in answer:
                self.socket.sendto(made(cookie), source)

    def client(self):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        return Client(made, self.socket.getsockname(), seconds=0.2)


def reply(**entries):
    return lambda cookie: cookie + b" " + bencode.encode({key.replace("_", "-"): entry for key, entry in entries.items()})


def test_a_command_is_one_dictionary_and_its_answer_another():
    peer = Peer([reply(result="ok", sdp="v=0")])
    assert peer.client().command("offer", call_id="a", flags=["x"])["sdp"] == b"v=0"
    assert peer.seen[0][1] == {"command": b"offer", "call-id": b"a", "flags": [b"x"]}


def test_a_lost_answer_is_asked_for_again_with_the_same_cookie():
    peer = Peer([], [reply(result="pong")])
    assert peer.client().command("ping")["result"] == b"pong"
    assert peer.seen[0] == peer.seen[1]


def test_the_answer_to_another_command_is_passed_over():
    stale = lambda cookie: b"stale d6:result5:errore"  # noqa: E731
    peer = Peer([stale, reply(result="ok")])
    assert peer.client().command("ping")["result"] == b"ok"


def test_a_refusal_says_why():
    peer = Peer([reply(result="error", error_reason="Unknown call-id")])
    with pytest.raises(NgError, match="refuses delete: Unknown call-id"):
        peer.client().command("delete")


def test_silence_is_an_error_after_some_tries():
    with pytest.raises(NgError, match="does not answer"):
        Peer([], [], [], []).client().command("ping")


def test_a_daemon_that_does_not_listen_yet_is_waited_for():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = taken.getsockname()
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peers = []
    starter = threading.Timer(0.3, lambda: peers.append(Peer([reply(result="pong")], address=address)))
    starter.start()
    assert Client(made, address, seconds=0.2, tries=10).command("ping")["result"] == b"pong"
    starter.join()
