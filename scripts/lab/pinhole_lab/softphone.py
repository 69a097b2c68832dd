"""Phones that nobody here has written: baresip, remote-controlled over its JSON port."""

import dataclasses
import json
import os
import re
import socket
import time

from . import network
from .srtp import Crypto
from .state import LabError, Processes, State

CONFIGURATION = """\
poll_method epoll
sip_listen {listen}
{tls}
call_local_timeout 60
call_max_calls 4
audio_path /usr/share/baresip
audio_player aubridge,none
audio_source aufile,{recording}
audio_alert aubridge,none
audio_srate 8000-8000
audio_channels 1-1
audio_buffer 20-160
rtp_tos 184
rtp_ports {ports}
rtcp_mux {mux}
jitter_buffer_delay 3-20
net_interface eth0
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module srtp.so
module account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:4444
snd_path {sounds}
"""


@dataclasses.dataclass
class Media:
    """What a phone's own SIP trace says of one of its calls."""

    call_id: str
    local: tuple
    """The phone's address and RTP port, as it has signalled them."""
    remote: tuple
    """Where it was told to send RTP."""
    local_crypto: Crypto | None
    """The key it encrypts with."""
    remote_crypto: Crypto | None
    """The key the far end encrypts with."""


class Softphone:
    """One baresip process with one account."""

    def __init__(self, state: State, processes: Processes, name, namespace, user, registrar, recording,
                 certificates=None, device=None, transport="udp", mux=False, security=""):
        self.name, self.namespace, self.user = name, namespace, user
        self.directory = state.directory(f"phones/{name}")
        self.sounds = state.directory(f"phones/{name}/sounds")
        secure = certificates is not None
        address = network.HOMES.get(namespace) or network.DESKS[namespace]
        transport = "tls" if secure else transport
        tls = f"sip_certificate {certificates.phone(device)}\nsip_cafile {certificates.server_ca}" if secure else ""
        modules = next((path for path in ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules",
                                          "/usr/lib/aarch64-linux-gnu/baresip/modules")
                        if os.path.isdir(path)), "/usr/lib/baresip/modules")
        (self.directory / "config").write_text(CONFIGURATION.format(
            listen=f"{address}:0", tls=tls, recording=recording, ports="20000-20100", mux="yes" if mux else "no",
            modules=modules, sounds=self.sounds))
        security = security or (";mediaenc=srtp-mand" if secure else "")
        (self.directory / "accounts").write_text(
            f'<sip:{user}@lab.example>;auth_pass=none;answermode=auto;regint=60;audio_codecs=PCMU{security}'
            f';outbound="sip:{registrar};transport={transport}"\n')
        (self.directory / "contacts").write_text("")
        self.process = processes.start(f"phone-{name}", ["baresip", "-4", "-s", "-v", "-f", self.directory],
                                       namespace=namespace, cwd=self.directory)

    def wait_registered(self, seconds=10):
        """Waits for the registrar's 200."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for message in self.trace():
                if message.startswith("SIP/2.0 200") and re.search(r"^CSeq: \d+ REGISTER", message, re.M):
                    return
            if not self.process.alive():
                break
            time.sleep(0.05)
        raise LabError(f"{self.name} ({self.user}) does not register; see {self.process.log}")

    def command(self, command, parameters=""):
        """A command by the control port; returns baresip's answer."""
        connection = network.tcp_connection(self.namespace, "127.0.0.1", 4444)
        with connection:
            text = json.dumps({"command": command, "params": parameters, "token": "lab"}).encode()
            connection.sendall(b"%d:%s," % (len(text), text))
            received = b""
            while True:
                try:
                    part = connection.recv(65536)
                except socket.timeout:
                    raise LabError(f"{self.name} does not answer “{command}”") from None
                if not part:
                    raise LabError(f"{self.name} hangs up on “{command}”")
                received += part
                for answer in netstrings(received):
                    if json.loads(answer).get("response"):
                        return json.loads(answer)

    def dial(self, user):
        """Calls a user of lab.example."""
        self.command("dial", f"sip:{user}@lab.example")

    def hang_up(self):
        self.command("hangup")

    def hold(self):
        self.command("hold")

    def resume(self):
        self.command("resume")

    def wait_established(self, calls=1, seconds=15):
        """Waits until that many calls of this phone have been established since its start."""
        deadline = time.monotonic() + seconds
        while self.process.text().count("Call established") < calls:
            if time.monotonic() > deadline:
                raise LabError(f"{self.name}: the call is not established; see {self.process.log}")
            time.sleep(0.05)

    def trace(self) -> list:
        """The SIP messages it has sent and received, in order."""
        text = re.sub(r"\x1b\[[0-9;]*m", "", self.process.text()).replace("\r", "")
        return re.findall(r"^((?:[A-Z]+ sips?:\S+ SIP/2\.0|SIP/2\.0 \d{3}).*?)(?=^#\n|\Z)", text, re.M | re.S)

    def media(self) -> list:
        """Its calls, oldest first, as the offers and answers in its trace have them."""
        calls = {}
        for message in self.trace():
            if "\nm=audio " not in message or not re.search(r"^CSeq: \d+ INVITE", message, re.M):
                continue
            call_id = re.search(r"^Call-ID: *(\S+)", message, re.M | re.I).group(1)
            address = re.search(r"^c=IN IP4 (\S+)", message, re.M).group(1)
            port = int(re.search(r"^m=audio (\d+)", message, re.M).group(1))
            lines = [Crypto.parse(value) for value in re.findall(r"^a=crypto:(.*)$", message, re.M)]
            calls.setdefault(call_id, []).append(((address, port), lines))
        found = []
        for call_id, descriptions in calls.items():
            own = [d for d in descriptions if d[0][0] == self.address()]
            far = [d for d in descriptions if d[0][0] != self.address()]
            if not own or not far:
                continue
            (local, offered), (remote, chosen) = own[-1], far[-1]
            pair = next(((mine, theirs) for mine in offered for theirs in chosen
                         if mine.tag == theirs.tag and mine.suite == theirs.suite), (None, None))
            found.append(Media(call_id, local, remote, *pair))
        return found

    def address(self):
        return network.HOMES.get(self.namespace) or network.DESKS[self.namespace]

    def recordings(self) -> list:
        """What it has heard, one file a call, oldest first."""
        return sorted(self.sounds.glob("*-dec.wav"), key=lambda path: path.stat().st_mtime)


def netstrings(data: bytes):
    """The complete netstrings at the beginning of `data`."""
    while True:
        length, colon, rest = data.partition(b":")
        if not colon or not length.isdigit() or len(rest) < int(length) + 1:
            return
        yield rest[: int(length)]
        data = rest[int(length) + 1:]
