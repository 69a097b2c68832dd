"""The appliance under test: both processes of Pinhole, their configuration, and pinholectl."""

import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import time

from . import network
from .certificates import Certificates
from .state import LabError, Processes, State

USER = "pinhole-lab"
REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
# What scripts/demo builds, unless the caller names another build.
BUILT = pathlib.Path(os.environ.get("PINHOLE_BUILT", REPOSITORY / "target" / "release"))
BINARIES = ("pinhole-dataplane", "pinhole-controlplane", "pinhole-legacy-tls", "pinholectl")

SUITES = ["AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_256_CM_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_80",
          "AES_256_CM_HMAC_SHA1_32", "AES_CM_128_HMAC_SHA1_32",
          "AES_192_CM_HMAC_SHA1_80", "AES_192_CM_HMAC_SHA1_32"]

DEFAULTS = {
    "dataplane": {
        "socket": "{root}/dataplane/dataplane.sock",
        "socket_group": USER,
        "worker_cores": [min(1, len(os.sched_getaffinity(0)) - 1)],
        "main_core": 0,
        "huge_pages": "auto",
        "idle": "sleep",
        "memory_mb": 128,
        "max_sessions": 256,
        "file_prefix": "pinhole-lab",
        "port": [
            {"name": "outside", "device": "af_xdp:out0", "tap": "outside", "media_address": network.OUTSIDE,
             "media_ports": "16384-32767"},
            {"name": "inside", "device": "af_packet:in0", "tap": "inside", "media_address": network.INSIDE,
             "media_ports": "16384-32767"},
        ],
    },
    "controlplane": {
        "shards": 2,
        "admin_socket": "{root}/control/admin.sock",
        "log": {"level": "debug", "format": "text"},
    },
    "outside": {
        "listen": f"{network.OUTSIDE}:5061",
        "port": "outside",
        "certificate": "{root}/certificates/server.crt",
        "key": "{root}/certificates/server.key",
        "tls_min": "1.2",
        "suites": SUITES,
    },
    "identity": {
        "authority": [{"name": "phones", "roots": ["{root}/certificates/phones-ca.crt"]}],
        "devices": {"SEP0010DB000001": ["1001"], "SEP0010DB000002": ["1002"], "SEP0010DB000003": ["1003"]},
    },
    "timers": {"phone_lost_grace_s": 4, "media_timeout_s": 30, "port_quarantine_s": 1, "adopt_grace_s": 30},
    "cluster": [
        {"name": "lab", "call_manager": f"{network.CALL_MANAGER}:5060", "sources": [network.CALL_MANAGER],
         "transport": "udp", "local": f"{network.INSIDE}:5060", "port": "inside", "domain": "lab.example",
         "devices": "^SEP",
         "sccp_unnamed_senders": network.INSIDE_NET,
         "sccp": [
             {"name": "one.lab.example", "listen": f"{network.OUTSIDE}:2443", "call_manager": f"{network.CALL_MANAGER}:2000"},
             {"name": "two.lab.example", "listen": f"{network.OUTSIDE}:2444", "call_manager": f"{network.CALL_MANAGER}:2001"},
         ]},
    ],
}


def toml(table: dict, prefix: str = "") -> str:
    """A dictionary as TOML: values first, then tables, then arrays of tables."""
    lines, later = [], []
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            later.append(f"\n[{name}]\n{toml(value, f'{name}.')}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            later += [f"\n[[{name}]]\n{toml(entry, f'{name}.')}" for entry in value]
        else:
            lines.append(f"{key} = {json.dumps(value)}\n")
    return "".join(lines + later)


def merged(base, change):
    """`base` with the entries of `change` over it; None removes an entry."""
    result = json.loads(json.dumps(base))
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


class Appliance:
    """Both processes in ph-appliance: the data plane as root, the control plane as an unprivileged user."""

    def __init__(self, state: State, processes: Processes, certificates: Certificates):
        self.state, self.processes, self.certificates = state, processes, certificates
        self.dataplane = self.controlplane = None
        self.starts = 0
        # Whether the control plane may listen below 1024, as for TFTP.
        self.low_ports = False
        self.configuration = state.root / "pinhole.toml"
        self.admin_socket = state.root / "control" / "admin.sock"

    def install(self):
        """Copies the binaries to where the unprivileged user can read them, and hands that user its files."""
        ensure_user()
        bin_directory = self.state.directory("bin")
        for name in BINARIES:
            source = BUILT / name
            if not source.exists():
                raise LabError(f"{source} is missing: run scripts/demo or scripts/test, which build it")
            shutil.copy2(source, bin_directory / name)
        self.state.directory("dataplane")
        control = self.state.directory("control")
        for path in (control, self.certificates.server_key, self.certificates.old_server_key):
            shutil.chown(path, USER, USER)
        self.configure()

    def configure(self, change: dict = {}, path: pathlib.Path | None = None) -> pathlib.Path:
        """Writes the configuration: the lab's, with `change` over it."""
        path = path or self.configuration
        text = toml(merged(DEFAULTS, change)).replace("{root}", str(self.state.root))
        path.write_text(text)
        path.chmod(0o644)
        return path

    def binary(self, name) -> pathlib.Path:
        return self.state.root / "bin" / name

    def start(self):
        """Starts both, and does the operator's part between: addresses on the kernel twins."""
        self.start_dataplane()
        self.start_controlplane()

    def start_dataplane(self, seconds=20, environment=None):
        self.starts += 1
        self.dataplane = self.processes.start(
            f"dataplane-{self.starts}", [self.binary("pinhole-dataplane"), "--config", self.configuration],
            namespace="ph-appliance", environment=environment)
        socket_path = self.state.root / "dataplane" / "dataplane.sock"
        self._wait(self.dataplane, lambda: socket_path.exists() and network.twins_exist(),
                   "attach socket and kernel twins", seconds)
        network.address_twins()

    def start_controlplane(self, seconds=10, configuration=None):
        self.starts += 1
        self.controlplane = self.processes.start(
            f"controlplane-{self.starts}",
            [self.binary("pinhole-controlplane"), "--config", configuration or self.configuration],
            namespace="ph-appliance", user=USER, low_ports=self.low_ports)
        self._wait(self.controlplane, self.ready, "a status with the data plane attached", seconds)

    def _wait(self, process, condition, what, seconds):
        deadline = time.monotonic() + seconds
        while not condition():
            if not process.alive():
                raise LabError(f"{process.name} ended with status {process.popen.returncode}: "
                               f"{process.text().strip()[-600:]}")
            if time.monotonic() > deadline:
                raise LabError(f"{process.name}: not ready ({what}) within {seconds} s: {process.text().strip()[-600:]}")
            time.sleep(0.05)

    def ready(self) -> bool:
        """Whether the control plane answers, is attached, and listens for phones."""
        try:
            if not self.ctl("status")["dataplane"]["attached"]:
                return False
            network.tcp_connection("ph-internet", network.OUTSIDE, 5061, timeout=0.5).close()
            return True
        except (LabError, OSError, KeyError):
            return False

    def ctl(self, *words: str):
        """`pinholectl --json WORDS...` as a value, run as the user whom the control plane's files belong to."""
        done = subprocess.run([self.binary("pinholectl"), "--config", self.configuration, "--json", *words],
                              capture_output=True, text=True, timeout=20, check=False, user=USER, group=USER, extra_groups=[])
        if done.returncode != 0:
            raise LabError(f"pinholectl {' '.join(words)} ends with status {done.returncode}: {done.stderr.strip()}")
        if "events" in words:
            return [json.loads(line) for line in done.stdout.splitlines()]
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout

    def counter(self, group: str, name: str) -> int:
        """One counter; 0 if it has never been counted."""
        return self.ctl("counters").get(group, {}).get(name, 0)

    def drops(self) -> dict:
        """The data plane's global drops by cause."""
        return self.ctl("counters").get("dataplane.drops", {})

    def wait_idle(self, seconds=12) -> dict:
        """Waits until there are no sessions and no ports in use; returns what there is then."""
        deadline = time.monotonic() + seconds
        while True:
            left = {"calls": len(self.ctl("calls")), "sessions": len(self.ctl("sessions")),
                    "ports": self.ctl("status")["ports"]["in_use"]}
            if not any(left.values()) or time.monotonic() > deadline:
                return left
            time.sleep(0.1)


def ensure_user():
    """The control plane's account: no home, no shell, no password."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        network.run("useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin",
                    USER)
