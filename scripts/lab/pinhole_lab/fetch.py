"""How a phone fetches files: TFTP (RFC 1350), HTTP and HTTPS, over sockets in a namespace."""

import http.client
import socket
import ssl
import time

from . import network
from .state import LabError

BLOCK = 512


class Refused(Exception):
    """The server does not give the file; the argument is what it says."""


def tftp(namespace, server, name: str, seconds=8) -> bytes:
    """A file by TFTP, octet mode, blocks of 512 bytes, sent again after half a second of silence."""
    with network.udp_socket(namespace) as made:
        made.settimeout(0.5)
        deadline = time.monotonic() + seconds
        last, to = b"\0\1" + name.encode() + b"\0octet\0", server
        content, wanted = b"", 1
        while True:
            made.sendto(last, to)
            try:
                reply, source = made.recvfrom(4 + BLOCK)
            except socket.timeout:
                if time.monotonic() > deadline:
                    raise LabError(f"{name}: no answer by TFTP for {seconds} s") from None
                continue
            if source[0] != server[0]:
                continue
            code, number = int.from_bytes(reply[:2], "big"), int.from_bytes(reply[2:4], "big")
            if code == 5:
                raise Refused(f"TFTP error {number}")
            if code != 3 or number != wanted % 65536:
                continue
            to, last = source, b"\0\4" + reply[2:4]
            content, wanted = content + reply[4:], wanted + 1
            if len(reply) < 4 + BLOCK:
                made.sendto(last, to)
                return content


def tftp_upload(namespace, server, name: str) -> bytes:
    """Tries to write a file by TFTP; returns the answer's first datagram."""
    with network.udp_socket(namespace) as made:
        made.settimeout(3)
        made.sendto(b"\0\2" + name.encode() + b"\0octet\0", server)
        return made.recvfrom(516)[0]


def http_get(namespace, server, name: str, secured=None, seconds=8) -> bytes:
    """A file by HTTP, or by HTTPS with the context `secured[0]`; `secured[1]` is given the server's certificate and refuses
    it by raising."""
    made = network.tcp_connection(namespace, *server, timeout=seconds)
    try:
        if secured:
            context, check = secured
            made = context.wrap_socket(made)
            check(made.getpeercert(binary_form=True))
        connection = http.client.HTTPConnection(*server)
        connection.sock = made
        connection.request("GET", f"/{name}")
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise Refused(f"HTTP {response.status}")
        return content
    finally:
        made.close()


def phone_context(certificate=None) -> ssl.SSLContext:
    """TLS as a phone speaks it: the server's certificate is looked up in the trust list, not traced to an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate)
    return context
