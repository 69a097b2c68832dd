"""A whole lab: wires, certificates, call manager, appliance, and phones as they are asked for."""

import atexit
import os
import signal
import sys

from . import audio, network
from .appliance import Appliance
from .call_manager import CallManager
from .capture import Capture
from .certificates import Certificates
from .scripted_phone import ScriptedPhone
from .softphone import Softphone
from .state import LabError, Processes, State

SECONDS = 40
"""Length of the recordings: longer than any call."""


class Lab:
    """Use as a context: what it made is gone at the end, also after an interrupt. `keep` leaves it standing."""

    def __init__(self, keep=False, say=lambda text: None):
        if os.geteuid() != 0:
            raise LabError("the lab needs root: it makes network namespaces")
        self.keep, self.say = keep, say
        self.state = State()
        self.processes = Processes(self.state)
        self.certificates = Certificates(self.state.root / "certificates")
        self.call_manager = CallManager(self.state, self.processes)
        self.appliance = Appliance(self.state, self.processes, self.certificates)
        self._closed = True

    def __enter__(self):
        self.state.acquire()
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda signum, _: sys.exit(128 + signum))
        atexit.register(self.close)
        clear(self.state, self.processes)
        self._closed = False
        self.state.create()
        self.say("namespaces and wires")
        network.up()
        self.state.directory("certificates")
        self.certificates.make()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._closed:
            return
        self._closed = True
        if not self.keep:
            self.processes.stop_all()
            network.down()
            self.state.remove()

    def start(self):
        """Call manager and appliance."""
        self.say("call manager (kamailio)")
        self.call_manager.start()
        self.appliance.install()
        self.say("appliance: pinhole-dataplane as root, pinhole-controlplane as an unprivileged user")
        self.appliance.start()

    def recording(self, seed):
        """A seeded signal and its WAV file."""
        path = self.state.directory("recordings") / f"{seed}.wav"
        samples = audio.signal(seed, SECONDS)
        if not path.exists():
            audio.write(path, samples)
        return samples, path

    def outside_softphone(self, name, namespace, user, device, seed, **options) -> Softphone:
        """baresip at home, over TLS with its certificate, to the appliance."""
        return Softphone(self.state, self.processes, name, namespace, user, f"{network.OUTSIDE}:5061",
                         self.recording(seed)[1], certificates=self.certificates, device=device, **options)

    def inside_softphone(self, name, namespace, user, seed, **options) -> Softphone:
        """baresip in the office, without TLS and SRTP, to the call manager."""
        return Softphone(self.state, self.processes, name, namespace, user, network.CALL_MANAGER,
                         self.recording(seed)[1], **options)

    def outside_phone(self, user="1001", namespace="ph-home", device="SEP0010DB000001", seed=1, **options) -> ScriptedPhone:
        """A scripted phone at home."""
        settings = {"server": (network.OUTSIDE, 5061), "certificate": self.certificates.phone(device),
                    "server_ca": self.certificates.server_ca, "recording": self.recording(seed)[0], **options}
        return ScriptedPhone(namespace, user, **settings)

    def inside_phone(self, user="2001", namespace="ph-desk", seed=2, **options) -> ScriptedPhone:
        """A scripted phone in the office."""
        return ScriptedPhone(namespace, user, (network.CALL_MANAGER, 5060), recording=self.recording(seed)[0], **options)

    def capture(self, name, wire) -> Capture:
        return Capture(self.state, self.processes, name, wire)


def clear(state: State, processes: Processes):
    """Takes down whatever an earlier run has left."""
    processes.end_registered()
    network.down()
    state.remove()
