"""Trust lists and signed files as a phone reads them: its own parser, and signatures by the cryptography library."""

import dataclasses
import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding

# Functions of a record.
SAST, CCM, CCM_TFTP, TFTP, CAPF, TVS = 0, 1, 2, 3, 4, 21

# Header tags: those that wrap others, the padding that has no length, and the signature.
WRAPPERS = {3, 7, 9, 16, 17, 21}
PADDING, SIGNATURE = 13, 12
DIGESTS = {1: hashes.SHA1(), 3: hashes.SHA512()}


class Distrust(Exception):
    """The phone does not take a file."""


def der(certificate) -> bytes:
    """A certificate's DER."""
    return certificate.public_bytes(Encoding.DER)


class Header:
    """The header of a list or file: its tags, its length, and what is signed."""

    def __init__(self, data: bytes):
        self.tags, at = {}, 0
        end = len(data)
        cut = None
        while at < end:
            if data[at] == PADDING:
                at += 1
                continue
            tag, length = data[at], int.from_bytes(data[at + 1:at + 3], "big")
            value = data[at + 3:at + 3 + length]
            if len(value) != length:
                raise Distrust(f"tag {tag} is cut off")
            self.tags[tag] = value
            if tag == 2:
                end = int.from_bytes(value, "big")
            if tag == SIGNATURE:
                cut = (at, at + 3 + length)
            at += 3 if tag in WRAPPERS else 3 + length
        if at != end or end > len(data) or cut is None or end % 4:
            raise Distrust("not a header")
        self.length = end
        self.signed = data[:cut[0]] + data[cut[1]:]

    @property
    def version(self):
        return tuple(self.tags[1])

    @property
    def file_name(self) -> str:
        return self.tags[14].rstrip(b"\0").decode()

    def check(self, certificate):
        """Whether this certificate's key has signed it."""
        if self.tags[10] != b"\0":
            raise Distrust("not RSA")
        try:
            certificate.public_key().verify(self.tags[SIGNATURE], self.signed, padding.PKCS1v15(), DIGESTS[self.tags[8][0]])
        except (InvalidSignature, KeyError):
            raise Distrust(f"{self.file_name}: the signature does not hold") from None

    def is_of(self, certificate) -> bool:
        """Whether it says that this certificate's key has signed it."""
        return int.from_bytes(self.tags[5], "big") == certificate.serial_number


@dataclasses.dataclass
class Record:
    """A certificate that a list names, and for what."""

    function: int
    certificate: x509.Certificate
    name: str
    address: str

    @classmethod
    def parse(cls, data: bytes):
        tags, at = {}, 0
        while at < len(data):
            length = int.from_bytes(data[at + 1:at + 3], "big")
            tags[data[at]] = data[at + 3:at + 3 + length]
            at += 3 + length
        certificate = x509.load_der_x509_certificate(tags[9])
        if int.from_bytes(tags[6], "big") != certificate.serial_number or tags[8] != certificate.signature:
            raise Distrust("a record and its certificate do not agree")
        address = ".".join(map(str, tags[10])) if 10 in tags else ""
        return cls(int.from_bytes(tags[4], "big"), certificate, tags.get(2, b"").rstrip(b"\0").decode(), address)


class TrustList:
    """What a phone trusts."""

    def __init__(self, data: bytes):
        self.header = Header(data)
        if self.header.version != (1, 2):
            raise Distrust(f"version {self.header.version}")
        self.records, at = [], self.header.length
        while at < len(data):
            length = int.from_bytes(data[at + 3:at + 5], "big")
            self.records.append(Record.parse(data[at:at + length]))
            at += length
        if not self.records:
            raise Distrust("no records")

    def of(self, *functions) -> list:
        """The certificates with one of these functions."""
        return [record.certificate for record in self.records if record.function in functions]

    def accept(self, held):
        """What a phone does with a new list: the first is taken if it holds in itself, later ones must be signed by a
        security administrator of the one before."""
        known = (held or self).of(SAST)
        signers = [certificate for certificate in known if self.header.is_of(certificate)]
        if not signers:
            raise Distrust("signed by nobody whom this phone knows")
        self.header.check(signers[0])
        if len(self.of(SAST)) > 2:
            raise Distrust("more than two security administrators")
        return self

    def open(self, name: str, data: bytes) -> bytes:
        """The content of a signed file that was asked for as `name`."""
        header = Header(data)
        if header.version not in ((1, 0), (2, 0)) or header.file_name != name:
            raise Distrust(f"{name} has version {header.version} and is called {header.file_name}")
        signers = [certificate for certificate in self.of(CCM_TFTP, TFTP) if header.is_of(certificate)]
        if not signers:
            raise Distrust(f"{name} is signed by nobody with the function TFTP")
        header.check(signers[0])
        return data[header.length:]


def decrypt(data: bytes, key) -> bytes:
    """The configuration in an encrypted file, whose signature was checked before; `key` is the device's private one."""
    header = Header(data)
    tags = header.tags
    if int.from_bytes(tags[23], "big") != key.key_size:
        raise Distrust("encrypted to a key of another size")
    secret = key.decrypt(tags[25], padding.PKCS1v15())
    decryptor = Cipher(algorithms.AES(secret), modes.CBC(tags[19])).decryptor()
    clear = decryptor.update(data[header.length:]) + decryptor.finalize()
    pad = int.from_bytes(tags[20], "big")
    if not 1 <= pad <= 16 or clear[-pad:] != bytes([PADDING]) * pad:
        raise Distrust("wrong padding")
    clear = clear[:-pad]
    digest = {1: hashlib.sha1, 3: hashlib.sha512}[tags[26][0]]
    if digest(clear).digest() != tags[27]:
        raise Distrust("the digest of the clear text is another")
    return clear
