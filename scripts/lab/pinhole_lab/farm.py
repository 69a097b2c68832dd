"""A data plane by itself, whose two wires are shared memory, and the phone farm at their other ends.

The farm (`perf/phonefarm`) is control plane, phones and attacker at once: it opens sessions itself and accounts for
every packet of every call. The control plane and the lab's own data plane have no part in it.
"""

import json
import pathlib
import subprocess
import time

from .appliance import BUILT, DEFAULTS, merged, toml
from .state import LabError, Processes, State, tail

NAMESPACE = "ph-appliance"


class Farm:
    """One data plane for the farm; `play` runs the farm against it."""

    def __init__(self, state: State, processes: Processes, sessions=1024):
        self.processes = processes
        self.root = state.directory("farm")
        self.binary, self.dataplane_binary = BUILT / "phonefarm", BUILT / "pinhole-dataplane"
        self.configuration = self.root / "pinhole.toml"
        self.sockets = {name: self.root / f"{name}.vhost" for name in ("outside", "inside")}
        self.dataplane = None
        self.runs = 0
        self.sessions = sessions
        ports = [{"name": name, "device": f"vhost:{path}", "tap": f"farm-{name}", "mac": f"02:00:00:00:fa:0{number}",
                  "media_address": address, "media_ports": "16384-32767"}
                 for number, (name, path, address) in enumerate(zip(self.sockets, self.sockets.values(),
                                                                    ("198.18.0.1", "198.19.0.1")))]
        change = {"socket": str(self.root / "dataplane.sock"), "socket_group": None, "max_sessions": sessions,
                  "file_prefix": "pinhole-farm", "port": ports}
        self.configuration.write_text(toml({"dataplane": merged(DEFAULTS["dataplane"], change)}))

    def start(self, seconds=30):
        """Starts the data plane."""
        for binary in (self.binary, self.dataplane_binary):
            if not binary.exists():
                raise LabError(f"{binary} is missing: scripts/test builds it")
        self.dataplane = self.processes.start("dataplane-farm", [self.dataplane_binary, "--config", self.configuration],
                                              namespace=NAMESPACE)
        deadline = time.monotonic() + seconds
        while not all(path.exists() for path in (*self.sockets.values(), self.root / "dataplane.sock")):
            if not self.dataplane.alive() or time.monotonic() > deadline:
                raise LabError(f"{self.dataplane.name} is not ready: {tail(self.dataplane.text())}")
            time.sleep(0.05)

    def play(self, *arguments, seconds=120) -> dict:
        """Runs `phonefarm ARGUMENTS` to its end; its result."""
        self.runs += 1
        words = [self.binary, arguments[0], "--config", self.configuration, *map(str, arguments[1:])]
        process = self.processes.start(f"phonefarm-{self.runs}", words, namespace=NAMESPACE)
        try:
            status = process.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            process.stop()
            raise LabError(f"phonefarm {arguments} goes on after {seconds} s: {tail(process.text())}") from None
        if status != 0:
            raise LabError(f"phonefarm {arguments} ends with status {status}: {tail(process.text())}; "
                           f"the data plane says: {tail(self.dataplane.text())}")
        return json.loads(process.text().splitlines()[-1])

    def usage(self) -> dict:
        """Memory (KiB) and open files of the data plane."""
        place = pathlib.Path(f"/proc/{self.dataplane.pid}")
        status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        return {"resident": int(status["VmRSS"].split()[0]), "files": len(list((place / "fd").iterdir()))}
