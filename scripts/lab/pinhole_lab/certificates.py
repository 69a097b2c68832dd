"""The lab's certificates: a server certificate, phones' certificates, and one from an authority nobody trusts."""

import pathlib

from .network import OUTSIDE, run

DEVICES = ("SEP0010DB000001", "SEP0010DB000002", "SEP0010DB000003")


class Certificates:
    """Made with openssl in a directory. `server.crt`, `server.key`, `phones-ca.crt`, `server-ca.crt`, and for each
    device NAME.pem (certificate and key in one file, as phones take it), for others than the usual ones when it is asked for."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.server_certificate = directory / "server.crt"
        self.server_key = directory / "server.key"
        self.old_server_key = directory / "old-server.key"
        self.server_ca = directory / "server-ca.crt"
        self.phones_ca = directory / "phones-ca.crt"

    def make(self):
        """Makes all of them; elliptic keys, so it takes no time, but for what speaks old TLS."""
        for name in ("server-ca", "phones-ca", "unknown-ca"):
            self._authority(name)
        self._issue("server", "server-ca", "pinhole.lab.example", f"subjectAltName=IP:{OUTSIDE},DNS:pinhole.lab.example")
        for device in DEVICES:
            self._issue(device, "phones-ca", device)
        self._issue("nobody", "unknown-ca", DEVICES[0])
        names = f"subjectAltName=IP:{OUTSIDE},DNS:pinhole.lab.example"
        self._issue("old-server", "server-ca", "pinhole.lab.example", names, "rsa:2048")
        self._issue("old-phone", "phones-ca", DEVICES[0], kind="rsa:2048")

    def phone(self, device: str) -> pathlib.Path:
        """The certificate and key of a device, or of `nobody`: a known device name from an unknown authority."""
        path = self.directory / f"{device}.pem"
        if not path.exists():
            self._issue(device, "phones-ca", device)
        return path

    def call_manager(self) -> pathlib.Path:
        """The certificate and key of a call manager, from the authority that signed the appliance's, which has its name."""
        self._issue("call-manager", "server-ca", "cm.lab.example", "subjectAltName=DNS:cm.lab.example")
        return self.directory / "call-manager.pem"

    def _authority(self, name):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", f"/O=Pinhole lab/CN={name}", "-keyout", self.directory / f"{name}.key",
            "-out", self.directory / f"{name}.crt", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def _issue(self, name, authority, common_name, extension=None, kind="ec"):
        key, request, certificate = (self.directory / f"{name}.{suffix}" for suffix in ("key", "csr", "crt"))
        curve = ["-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else []
        run("openssl", "req", "-newkey", kind, *curve, "-nodes",
            "-subj", f"/O=Pinhole lab/CN={common_name}", "-keyout", key, "-out", request)
        extensions = self.directory / f"{name}.ext"
        lines = ["basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature" + (",keyEncipherment" if kind != "ec" else ""),
                 "extendedKeyUsage=serverAuth,clientAuth", *([extension] if extension else [])]
        extensions.write_text("\n".join(lines) + "\n")
        run("openssl", "x509", "-req", "-in", request, "-CA", self.directory / f"{authority}.crt",
            "-CAkey", self.directory / f"{authority}.key", "-CAcreateserial", "-days", "30", "-out", certificate,
            "-extfile", extensions)
        (self.directory / f"{name}.pem").write_text(certificate.read_text() + key.read_text())
