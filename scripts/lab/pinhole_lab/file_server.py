"""The call manager's configuration server: Debian's tftpd-hpa, with configurations as a call manager makes them."""

import time

from . import fetch, network
from .state import LabError, Processes, State

CONFIGURATION = """\
<?xml version="1.0" encoding="UTF-8"?>
<device>
  <fullConfig>true</fullConfig>
  <deviceProtocol>SIP</deviceProtocol>
  <deviceSecurityMode>1</deviceSecurityMode>
  <transportLayerProtocol>2</transportLayerProtocol>
  <loadInformation>SIP45.9-4-2SR3-1S</loadInformation>
  <versionStamp>{{Nov 24 2026 00:00:00}}</versionStamp>
  <devicePool>
    <callManagerGroup>
      <members>
        <member priority="0">
          <callManager>
            <ports>
              <ethernetPhonePort>2000</ethernetPhonePort>
              <sipPort>5060</sipPort>
              <securedSipPort>5061</securedSipPort>
            </ports>
            <processNodeName>{call_manager}</processNodeName>
          </callManager>
        </member>
      </members>
    </callManagerGroup>
  </devicePool>
  <sipProfile>
    <sipLines><line button="1"><name>{user}</name><authName>{user}</authName><authPassword>secret of {user}</authPassword></line></sipLines>
  </sipProfile>
  <vendorConfig><webAccess>0</webAccess></vendorConfig>
  <syslogAddr>10.20.0.99</syslogAddr>
  <servicesURL>http://{call_manager}:8080/services</servicesURL>
  <kept by="nobody">as it is</kept>
</device>
"""


class FileServer:
    """tftpd-hpa on the call manager's address."""

    def __init__(self, state: State, processes: Processes):
        self.state, self.processes = state, processes
        self.process = None
        self.starts = 0
        self.folder = None

    def start(self, users: dict):
        """Starts it with a configuration for each device, whose user is given."""
        self.folder = self.state.directory("tftpboot")
        for device, user in users.items():
            self.put(f"{device}.cnf.xml", CONFIGURATION.format(call_manager=network.CALL_MANAGER, user=user).encode())
        # A trust list of its own, which no phone outside must ever get.
        self.put("CTLFile.tlv", b"the call manager's own")
        self.starts += 1
        server = (network.CALL_MANAGER, 69)
        self.process = self.processes.start(
            f"file-server-{self.starts}",
            ["/usr/sbin/in.tftpd", "--foreground", "--user", "root", "--secure", "--address", f"{server[0]}:{server[1]}", self.folder],
            namespace="ph-inside")
        deadline = time.monotonic() + 10
        while not self.process.alive() or not self._answers(server):
            if time.monotonic() > deadline:
                raise LabError(f"tftpd-hpa does not answer: {self.process.text()[-400:]}")

    @staticmethod
    def _answers(server) -> bool:
        try:
            return bool(fetch.tftp("ph-inside", server, "CTLFile.tlv", seconds=0.5))
        except LabError:
            return False

    def put(self, name: str, content: bytes):
        """A file, readable by all."""
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o644)

    def stop(self):
        self.process.stop()
