"""A phone's side of CAPF: it proves who it is and gets a certificate for a key of its own."""

import hashlib
import socket

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from . import network
from .fetch import phone_context
from .state import LabError
from .trust import der

PROTOCOL = 85
AUTHENTICATE, AUTHENTICATED = 1, 2
GENERATE, GENERATED = 3, 4
STORE, STORED = 9, 10
END, IN_PROGRESS = 15, 17

REASON, CERTIFICATE, SIGNED, VERSION, PUBLIC_KEY, KEY_SIZE, PASSWORD, NAME, SUDI, KEY_TYPE, SHA2_SIGNED = \
    1, 4, 6, 7, 9, 10, 11, 13, 16, 17, 20
UPDATED = 1


class Denied(Exception):
    """The server ends the session without a certificate; the argument is its reason."""


class Holder:
    """A certificate and its RSA key."""

    def __init__(self, certificate: x509.Certificate, key):
        self.certificate, self.key = certificate, key

    def raw_signature(self, algorithm: str, text: bytes) -> bytes:
        """The digest alone under PKCS#1 type 1 padding: phones leave the name of its algorithm out."""
        numbers = self.key.private_numbers()
        size = self.key.key_size // 8
        digest = hashlib.new(algorithm, text).digest()
        block = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
        return pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n).to_bytes(size, "big")


def element(tag: int, value: bytes) -> bytes:
    return bytes([tag]) + len(value).to_bytes(2, "big") + value


def elements(data: bytes) -> dict:
    found, at = {}, 0
    while at < len(data):
        length = int.from_bytes(data[at + 1:at + 3], "big")
        found[data[at]] = data[at + 3:at + 3 + length]
        at += 3 + length
    return found


class Session:
    """A connection to the enrolment server, whose certificate must be one of `known`."""

    def __init__(self, namespace, server, known, seconds=10):
        self.socket = phone_context().wrap_socket(network.tcp_connection(namespace, *server, timeout=seconds))
        if self.socket.getpeercert(binary_form=True) not in [der(certificate) for certificate in known]:
            self.socket.close()
            raise LabError("the enrolment server shows a certificate that the trust list does not have")
        self.session = 0

    def receive(self, *wanted) -> dict:
        head = self._read(8)
        if head[0] != PROTOCOL:
            raise LabError(f"not CAPF: {head!r}")
        command, self.session = head[1], int.from_bytes(head[2:6], "big")
        found = elements(self._read(int.from_bytes(head[6:8], "big")))
        if command not in wanted:
            raise Denied(f"command {command}, reason {found.get(REASON, b'').hex()}")
        return found

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                part = self.socket.recv(count - len(data))
            except socket.timeout:
                raise LabError("the enrolment server is silent") from None
            if not part:
                raise LabError("the enrolment server closes the connection")
            data += part
        return data

    def send(self, command: int, *parts: bytes):
        body = b"".join(parts)
        self.socket.sendall(bytes([PROTOCOL, command]) + self.session.to_bytes(4, "big") + len(body).to_bytes(2, "big") + body)

    def close(self):
        self.socket.close()


def proof(session: int, device: str, holder: Holder) -> list:
    """A certificate, the signature that is the same each time, and the one that is of this session."""
    certificate = der(holder.certificate)
    standing = device.encode() + b"\0" + certificate
    fresh = session.to_bytes(4, "little") + certificate
    inner = bytes([1]) + (len(certificate) + 2).to_bytes(2, "big") + bytes([0, 2])
    sudi = element(0, certificate) + element(1, holder.raw_signature("sha1", fresh)) \
        + element(3, holder.raw_signature("sha512", fresh))
    return [element(CERTIFICATE, inner + certificate), element(SIGNED, holder.raw_signature("sha1", standing)),
            element(SHA2_SIGNED, element(3, holder.raw_signature("sha512", standing))), element(SUDI, sudi)]


def enrol(namespace, server, known, device: str, holder: Holder = None, password: str = None) -> Holder:
    """Enrols: proves itself by the certificate in `holder` or by a one-time password; returns the new certificate with its
    key. The certificate is checked as a phone does."""
    session = Session(namespace, server, known)
    try:
        session.receive(AUTHENTICATE)
        shown = proof(session.session, device, holder) if holder else [element(PASSWORD, password.encode() + b"\0")]
        session.send(AUTHENTICATED, element(REASON, bytes([UPDATED])), element(VERSION, b"\3"),
                     element(NAME, device.encode() + b"\0"), *shown)
        wanted = session.receive(GENERATE)
        if wanted[KEY_TYPE] != b"\0":
            raise LabError("this phone makes RSA keys only")
        session.send(IN_PROGRESS)
        key = rsa.generate_private_key(65537, int.from_bytes(wanted[KEY_SIZE], "big"))
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        session.send(GENERATED, element(REASON, bytes([UPDATED])), element(PUBLIC_KEY, public))
        issued = x509.load_der_x509_certificate(session.receive(STORE)[CERTIFICATE][5:])
        if issued.public_key().public_numbers() != key.public_key().public_numbers():
            raise LabError("the new certificate is of another key")
        session.send(STORED, element(REASON, bytes([UPDATED])))
        if session.receive(END)[REASON] != bytes([UPDATED]):
            raise LabError("the enrolment does not end well")
        return Holder(issued, key)
    finally:
        session.close()
