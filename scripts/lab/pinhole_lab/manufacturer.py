"""The phones' manufacturer: a root, an authority below it, and the certificate that each phone is made with (MIC)."""

import datetime
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from .capf import Holder

DAY = datetime.timedelta(days=1)


def name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Pinhole lab phones"),
                      x509.NameAttribute(NameOID.COMMON_NAME, common)])


def issue(subject: x509.Name, key, issuer: Holder | None, days, authority: bool) -> Holder:
    """A certificate that is valid from two days ago, for so many days from now (which may be negative)."""
    now = datetime.datetime.utcnow()
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key()) \
        .issuer_name(issuer.certificate.subject if issuer else subject) \
        .serial_number(x509.random_serial_number()).not_valid_before(now - 30 * DAY).not_valid_after(now + days * DAY) \
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
    if authority:
        builder = builder.add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
    return Holder(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


class Manufacturer:
    """Its files are in a directory: `manufacturer.crt`, the root, and for each phone NAME.mic.pem."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.root_file = directory / "manufacturer.crt"
        new = rsa.generate_private_key
        self.root = issue(name("Manufacturing root"), new(65537, 2048), None, 3650, True)
        self.authority = issue(name("Manufacturing authority"), new(65537, 2048), self.root, 3650, True)
        self.root_file.write_bytes(pem(self.root.certificate))

    def phone(self, device: str, days=3650) -> Holder:
        """A phone's certificate and key."""
        return issue(name(f"CP-7962G-{device}"), rsa.generate_private_key(65537, 2048), self.authority, days, False)

    def file(self, stem: str, holder: Holder) -> pathlib.Path:
        """Certificate, its authority's, and key in one file, as TLS takes them."""
        return save(self.directory / f"{stem}.pem", holder, self.authority.certificate)


def pem(certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def save(path: pathlib.Path, holder: Holder, *above) -> pathlib.Path:
    key = holder.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(b"".join([pem(holder.certificate), *map(pem, above), key]))
    return path
