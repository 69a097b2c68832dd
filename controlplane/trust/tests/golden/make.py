#!/usr/bin/env python3
"""Makes CTLFile.tlv beside it from the keys and certificates there, with openssl's command line (trust-files 2.1)."""

import pathlib
import subprocess

HERE = pathlib.Path(__file__).parent
TIME = 0x65432100


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True, cwd=HERE).stdout


def tlv(tag, value):
    return bytes([tag]) + len(value).to_bytes(2, "big") + value


def record(name, subject, serial, function):
    certificate = openssl("x509", "-in", f"{name}.crt.pem", "-outform", "der")
    key = openssl("rsa", "-in", f"{name}.key.pem", "-RSAPublicKey_out", "-outform", "der")
    fields = tlv(3, subject) + tlv(5, subject) + tlv(6, serial) + tlv(4, function.to_bytes(2, "big"))
    # A certificate ends with its signature of 256 bytes.
    fields += tlv(7, key) + tlv(8, certificate[-256:]) + tlv(9, certificate)
    return tlv(1, (len(fields) + 5).to_bytes(2, "big")) + fields


signer, serial = b"CN=test-sast\0", bytes([1, 2, 3, 4, 5])
before = tlv(1, bytes([1, 2])) + tlv(2, (0x168).to_bytes(2, "big")) + tlv(28, bytes([1, 0]))
before += tlv(3, tlv(4, signer) + tlv(6, signer) + tlv(5, serial))
before += tlv(7, tlv(8, b"\x01") + tlv(9, tlv(10, b"\0") + tlv(11, b"\x02")))
after = tlv(14, b"CTLFile.tlv\0") + tlv(15, TIME.to_bytes(4, "big")) + b"\x0d" * 3
after += record("sast", signer, serial, 0)
after += record("server", b"CN=test-tftp\0", bytes([0x5A, 1]), 2)
signature = openssl("dgst", "-sha1", "-sign", "sast.key.pem", data=before + after)
(HERE / "CTLFile.tlv").write_bytes(before + tlv(12, signature) + after)
