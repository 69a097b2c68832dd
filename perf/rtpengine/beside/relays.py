"""The two relays under test, each pinned to one core with all its threads."""

import os
import pathlib
import subprocess

from pinhole_lab import network
from pinhole_lab.appliance import toml
from pinhole_lab.state import LabError, Processes

from . import wires
from .calls import SUITE, Media, new_calls, sdp
from .ng import Client
from .player import Dialogue
from .processor import prefer

# Of the relay, and of the sender and receiver.
RELAY_CORE, FARM_CORE = 1, 0
NG = ("127.0.0.1", 2223)
FIRST_PORT, LAST_PORT = 20000, 29999


class Rtpengine:
    """Debian's rtpengine-daemon in userspace mode: no kernel module, one worker thread, kernel sockets."""

    name = "rtpengine"
    # Nothing of interest beyond its version.
    said = {}

    def __init__(self, processes: Processes, _):
        self.processes = processes
        self.process = None

    @staticmethod
    def version() -> str:
        """As the daemon says it."""
        done = subprocess.run(["rtpengine", "--version"], capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().removeprefix("Version: ")

    def start(self, count: int) -> list:
        """Starts it and sets calls up: each an offer of SRTP from outside, answered with RTP inside. Returns them."""
        wires.give_addresses(wires.OUT, wires.IN)
        self.process = self.processes.start("rtpengine", [
            "taskset", "-c", RELAY_CORE, "rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=4",
            "--table=-1", "--num-threads=1", f"--interface=outside/{wires.OUTSIDE}", f"--interface=inside/{wires.INSIDE}",
            f"--listen-ng={NG[0]}:{NG[1]}", f"--port-min={FIRST_PORT}", f"--port-max={LAST_PORT}"], namespace=wires.RELAY)
        control = Client(network.udp_socket(wires.RELAY, NG[0]), NG, seconds=0.5, tries=20)
        control.command("ping")
        prefer(self.process.pid)
        return [self._set_up(control, call) for call in new_calls(count)]

    @staticmethod
    def _set_up(control, call) -> dict:
        name = f"call-{call.number}"
        offered = control.command("offer", call_id=name, from_tag="phone", direction=["outside", "inside"], ICE="remove",
                                  transport_protocol="RTP/AVP", sdp=sdp(wires.PHONE, call.port, call.phone_key))
        answered = control.command("answer", call_id=name, from_tag="phone", to_tag="desk", ICE="remove",
                                   sdp=sdp(wires.DESK, call.port, None))
        inside, outside = (Media.parse(answer["sdp"].decode()) for answer in (offered, answered))
        if (inside.address, inside.profile) != (wires.INSIDE, "RTP/AVP") or outside.address != wires.OUTSIDE or \
                not outside.crypto or outside.crypto.suite != SUITE:
            raise LabError(f"rtpengine set {name} up in another way than asked for: {inside.profile}, {outside.profile}")
        return call.entry(outside.port, inside.port, outside.crypto)

    def stop(self):
        """Ends it and clears the wires."""
        if self.process:
            self.process.stop()
        wires.take_addresses(wires.OUT, wires.IN)


class Pinhole:
    """pinhole-dataplane over AF_XDP: one worker, which polls; its main thread is on the same core."""

    name = "pinhole"

    def __init__(self, processes: Processes, binaries: pathlib.Path):
        self.processes, self.binaries = processes, binaries
        self.process = self.control = None

    def configuration(self, root: pathlib.Path) -> dict:
        """The `[dataplane]` table."""
        ports = [{"name": name, "device": f"af_xdp:{wire}", "mac": wires.mac(wires.RELAY, wire), "tap": name,
                  "media_address": address, "media_ports": f"{FIRST_PORT}-{LAST_PORT}"}
                 for name, wire, address in (("outside", wires.OUT, wires.OUTSIDE), ("inside", wires.IN, wires.INSIDE))]
        return {"dataplane": {
            "socket": f"{root}/dataplane.sock", "worker_cores": [RELAY_CORE], "main_core": RELAY_CORE, "idle": "poll",
            "memory_mb": 256, "max_sessions": 1000, "file_prefix": f"pinhole-beside-{os.getpid()}",
            "port": ports}}

    def start(self, count: int) -> list:
        """Starts it and opens calls over the contract, as a control plane does. Returns them."""
        root = self.processes.state.root
        configuration = root / "pinhole.toml"
        configuration.write_text(toml(self.configuration(root)))
        self.process = self.processes.start(
            "pinhole", [self.binaries / "pinhole-dataplane", "--config", configuration], namespace=wires.RELAY)
        self.process.wait_for("ready:", 20)
        prefer(self.process.pid)
        wires.give_addresses("outside", "inside")
        self.control = Dialogue(self.processes, "control", [
            self.binaries / "callplayer", "open", "--config", configuration, "--count", count,
            "--phones-mac", wires.mac(wires.FARM, wires.PHONES), "--desks-mac", wires.mac(wires.FARM, wires.DESKS)])
        return self.control.hello["calls"]

    @property
    def said(self) -> dict:
        """The SRTP engine that it chose."""
        return {"engine": self.control.hello["engine"]}

    @staticmethod
    def version(binaries: pathlib.Path) -> str:
        """As the program says it."""
        done = subprocess.run([binaries / "pinhole-dataplane", "--version"], capture_output=True, text=True, check=False)
        return done.stdout.strip().removeprefix("pinhole-dataplane ")

    def stop(self):
        """Ends it, and with it its control plane; the wires are as before."""
        if self.control:
            self.control.stop()
        if self.process:
            self.process.stop()
