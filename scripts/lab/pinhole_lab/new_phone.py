"""A phone out of its box: it has the certificate that it was made with, an address to ask, and no trust in anybody yet.

It does what phones do at their first start, by its own code: fetches its trust list and takes the first on faith, fetches its
configuration and checks who has signed it, asks for a certificate of its own, and connects to the call manager that the
configuration names, whose certificate must stand in the trust list.
"""

import xml.etree.ElementTree

from . import capf, fetch, trust
from .manufacturer import pem, save
from .scripted_phone import ScriptedPhone
from .state import LabError

PORTS = {"tftp": 69, "http": 6970, "https": 6971}


class NewPhone:
    """`way` is how it fetches: "tftp", "http", or "https", by which go configurations only."""

    def __init__(self, namespace, device, manufacturer, server, directory, way="tftp", mic=None):
        self.namespace, self.device, self.server, self.way = namespace, device, server, way
        self.directory = directory
        self.mic = mic or manufacturer.phone(device)
        self.mic_file = manufacturer.file(f"{device}.mic", self.mic)
        self.lsc = self.lsc_file = None
        self.trust = None
        self.configuration = None

    def fetch(self, name: str, way=None) -> bytes:
        """A file's bytes as they are served."""
        way = way or ("http" if self.way == "https" else self.way)
        server = (self.server, PORTS[way])
        if way == "tftp":
            return fetch.tftp(self.namespace, server, name)
        secured = (fetch.phone_context(self.lsc_file or self.mic_file), self._is_provisioning) if way == "https" else None
        return fetch.http_get(self.namespace, server, name, secured)

    def _is_provisioning(self, shown: bytes):
        self._is_of(shown, trust.TFTP, trust.CCM_TFTP)

    def _is_of(self, shown: bytes, *functions):
        if shown not in [trust.der(certificate) for certificate in self.trust.of(*functions)]:
            raise LabError(f"{self.device}: the server shows a certificate that the trust list does not have for this")

    def fetch_trust_list(self, kind="CTL"):
        """Its trust list: the first on faith, later ones only from somebody whom it knows."""
        self.trust = trust.TrustList(self.fetch(f"{kind}{self.device}.tlv")).accept(self.trust)
        return self.trust

    def fetch_configuration(self, name=None) -> xml.etree.ElementTree.Element:
        """Its configuration: by HTTPS from a server of the trust list, else signed by one."""
        plain = f"{self.device}.cnf.xml"
        if self.way == "https":
            content = self.fetch(plain, "https")
        else:
            name = name or f"{plain}.sgn"
            data = self.fetch(name)
            content = self.trust.open(name, data)
            if name.endswith(".enc.sgn"):
                content = trust.decrypt(data, (self.lsc or self.mic).key)
        self.configuration = xml.etree.ElementTree.fromstring(content)
        return self.configuration

    def text(self, path: str) -> str:
        """The text of an element of the configuration, without white space."""
        return (self.configuration.findtext(path) or "").strip()

    def enrol(self, password=None):
        """Gets a certificate of its own from the server that the configuration names, proving itself by what it was made with or
        by a password; and connects by it from now on."""
        place = ".//capfList/capf/"
        server = (self.text(f"{place}processNodeName"), int(self.text(f"{place}phonePort")))
        known = self.trust.of(trust.CAPF)
        holder = None if password else self.lsc or self.mic
        self.lsc = capf.enrol(self.namespace, server, known, self.device, holder, password)
        self.lsc_file = save(self.directory / f"{self.device}.lsc.pem", self.lsc)
        return self.lsc

    def security(self) -> dict:
        """What its configuration has it do: by which certificate it connects, whom it takes for a call manager, and whether its
        media is encrypted."""
        mode = self.text("deviceSecurityMode")
        if mode not in ("2", "3") or self.text("transportLayerProtocol") != "3":
            raise LabError(f"{self.device}: its configuration does not ask for TLS")
        # The certificates with this function, and no other, are what its TLS takes a server by.
        known = self.directory / f"{self.device}.known.pem"
        known.write_bytes(b"".join(map(pem, self.trust.of(trust.CCM, trust.CCM_TFTP))))
        return {"certificate": self.lsc_file or self.mic_file, "server_ca": known, "encrypted": mode == "3"}

    def connect(self, user, **options) -> ScriptedPhone:
        """Connects by TLS to the call manager of its configuration."""
        place = ".//callManagerGroup/members/member[@priority='0']/callManager/"
        server = (self.text(f"{place}processNodeName"), int(self.text(f"{place}ports/securedSipPort")))
        phone = ScriptedPhone(self.namespace, user, server, **self.security(), **options)
        self._is_of(phone.socket.getpeercert(binary_form=True), trust.CCM, trust.CCM_TFTP)
        return phone
