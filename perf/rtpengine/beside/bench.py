"""The bench: wires, relays and player, and what is measured on them."""

import atexit
import contextlib
import json
import os
import pathlib
import signal
import sys

from pinhole_lab.state import LabError, Processes, State

from . import wires
from .calls import new_calls
from .player import Dialogue
from .processor import Usage, prefer
from .relays import FARM_CORE
from .search import Trial

ROOT = pathlib.Path("/run/pinhole-beside")


class Bench:
    """Use as a context: what it made is gone at the end, also after an interrupt."""

    def __init__(self, binaries: pathlib.Path, calls: int, device: str):
        if os.geteuid() != 0:
            raise LabError("run as root: the comparison makes network namespaces")
        for name in ("pinhole-dataplane", "callplayer"):
            if not (binaries / name).exists():
                raise LabError(f"{binaries / name} is missing: cargo build --release -p pinhole-dataplane -p callplayer")
        self.binaries, self.calls, self.device = binaries, calls, device
        self.state = State(ROOT)
        self.processes = Processes(self.state)
        self._closed = True

    def __enter__(self):
        self.state.acquire()
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda signum, _: sys.exit(128 + signum))
        atexit.register(self.close)
        self.processes.end_registered()
        wires.down()
        self.state.remove()
        self._closed = False
        self.state.create()
        wires.up()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends all processes and removes the wires."""
        if self._closed:
            return
        self._closed = True
        self.processes.stop_all()
        wires.down()
        self.state.remove()

    @contextlib.contextmanager
    def playing(self, kind):
        """What plays trials against a fresh relay of a kind; None: against the wire alone. It starts afresh after
        every trial that was not clean: after an overload, rtpengine gives up the streams that it was too slow for."""
        setting = Setting(self, kind)
        try:
            yield setting
        finally:
            setting.stop()


class Setting:
    """A relay with all calls set up, and the player of these calls."""

    def __init__(self, bench: Bench, kind):
        self.bench, self.kind = bench, kind
        self.relay = self.player = None
        self.said = {}

    def __call__(self, rate: float, seconds: float) -> Trial:
        """One trial, with the relay's processor time meanwhile (without one: the player's)."""
        if self.player is None:
            self.start()
        watched = self.relay.process if self.relay else self.player.process
        before = Usage.now(watched.pid)
        answer = self.player.ask(f"{rate:.0f} {seconds}", seconds=4 * seconds + 20)
        trial = Trial.of(rate, answer, Usage.now(watched.pid).since(before))
        if not trial.clean:
            self.stop()
        return trial

    def start(self):
        """Sets everything up, and checks with one packet of each stream that it works."""
        bench = self.bench
        if self.kind:
            self.relay = self.kind(bench.processes, bench.binaries)
            calls = self.relay.start(bench.calls)
            self.said = self.relay.said
            namespace, devices = wires.FARM, (wires.PHONES, wires.DESKS)
        else:
            calls = [call.entry(call.port, call.port, call.phone_key) for call in new_calls(bench.calls)]
            namespace, devices = wires.DIRECT, wires.DIRECT_ENDS
        path = bench.state.root / "calls.json"
        path.write_text(json.dumps(calls))
        macs = [wires.mac(wires.RELAY, device) for device in (wires.OUT, wires.IN)]
        self.player = Dialogue(bench.processes, "player", [
            bench.binaries / "callplayer", "play", "--calls", path, "--core", FARM_CORE,
            "--outside", f"{bench.device}:{devices[0]}", "--inside", f"{bench.device}:{devices[1]}",
            "--outside-mac", macs[0], "--inside-mac", macs[1], *([] if self.kind else ["--direct"])], namespace=namespace)
        prefer(self.player.process.pid)

    def stop(self):
        """Ends player and relay."""
        for part in (self.player, self.relay):
            if part:
                part.stop()
        self.player = self.relay = None
