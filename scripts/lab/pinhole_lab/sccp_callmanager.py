"""An SCCP call manager: registrations, soft keys, and calls between its phones. A process of its own:

    python3 -m pinhole_lab.sccp_callmanager '{"lines": {"SEP0010DB000001": "1001"}}'

It tells what happens on standard error, one line each, and takes commands on standard input: `reset DEVICE KIND`,
`unregister DEVICE`, `tokens WAIT` (seconds that phones which ask for a token are told to wait; 0 grants it), `video on|off` and
`ways both|caller|called` (who hears) for the calls to come.
"""

import dataclasses
import json
import os
import pathlib
import signal
import socket
import ssl
import struct
import sys
import threading
import time

from . import sccp
from .sccp import Key, Link, Message
from .sccp_calls import Calls
from .sccp_trunk import Trunk


@dataclasses.dataclass
class Settings:
    """What the process is started with."""

    lines: dict
    """Number of each device."""
    address: str = "127.0.0.1"
    port: int = 0
    tls_port: int | None = None
    """Where encrypted phones register, with their certificate. The device name must be the certificate's, unless that is
    of one of the `proxies`."""
    proxies: list = dataclasses.field(default_factory=list)
    certificate: str = ""
    """Certificate and key of the TLS listener, in one file."""
    phones_ca: str = ""
    keys: str = "none"
    """What stands in encryption blocks: `none` zeros, `rubbish` memory that was not cleared, `all` keys."""
    keep_alive: int = 30
    """Seconds; a phone that misses three is gone."""
    backup_keep_alive: int = 60
    protocol: int = 22
    """The highest protocol version that is granted."""
    same_party: bool = False
    """Whether a channel that is opened again has the same party id."""
    video: bool = False
    """Whether calls have video."""
    ways: str = "both"
    """Who hears: `both`, only the `caller`, only the `called`."""
    trunk: list | None = None
    """[own port, proxy's address, its port] of a SIP trunk, over which all other numbers are called."""
    early_offer: bool = False
    """Whether calls over it begin with an offer."""
    token_wait: int = 0
    servers: list = dataclasses.field(default_factory=list)
    """[name, address, port] of each call manager, as ServerRes has them."""


class Station:
    """One connection, and the phone at its other end once it has registered."""

    clear = early = False
    """Whether its media can have no keys; whether it must know where the caller receives before it rings."""

    def __init__(self, link: Link, peer, certified=None):
        self.link, self.peer, self.certified = link, peer, certified
        self.device = self.number = None
        self.protocol = 0
        self.heard = time.monotonic()

    def send(self, name, /, **values):
        self.link.send(Message.build(name, self.protocol, **values))

    def __str__(self):
        return self.device or f"{self.peer[0]}:{self.peer[1]}"


class CallManager:
    """All that one process has. Its threads, one a connection, hold `lock` while they handle a message."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.lock = threading.RLock()
        self.stations = {}
        self.calls = Calls(self)
        self.token_wait = settings.token_wait
        self.trunk = None
        if settings.trunk:
            own, *proxy = settings.trunk
            self.trunk = Trunk(self, (settings.address, own), tuple(proxy), settings.early_offer)

    # Connections

    def listen(self, port, context=None):
        """Accepts connections until the process ends."""
        listener = socket.create_server((self.settings.address, port))
        say(f"listening on {self.settings.address}:{listener.getsockname()[1]}{' with TLS' if context else ''}")
        threading.Thread(target=self._accept, args=(listener, context), daemon=True).start()

    def _accept(self, listener, context):
        while True:
            connection, peer = listener.accept()
            threading.Thread(target=self._serve, args=(connection, peer, context), daemon=True).start()

    def _serve(self, connection, peer, context):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        certified = None
        if context:
            try:
                connection.settimeout(5)
                connection = context.wrap_socket(connection, server_side=True)
                subject = dict(part[0] for part in connection.getpeercert()["subject"])
                certified = subject["commonName"]
            except (OSError, KeyError) as error:
                say(f"{peer[0]}:{peer[1]} is refused: {error}")
                connection.close()
                return
        station = Station(Link(connection), peer, certified)
        say(f"{station} connects")
        try:
            while True:
                for message in station.link.receive(0.2):
                    with self.lock:
                        station.heard = time.monotonic()
                        self.handle(station, message)
                if station.device and time.monotonic() - station.heard > 3 * self.settings.keep_alive:
                    say(f"{station} is silent")
                    break
        except sccp.Closed:
            pass
        with self.lock:
            say(f"{station} is gone")
            self.forget(station)
        station.link.close()

    def forget(self, station: Station):
        """Ends a registration and its calls."""
        if station.device and self.stations.get(station.device) is station:
            del self.stations[station.device]
        self.calls.lose(station)
        station.device = station.number = None

    # Messages

    def handle(self, station: Station, message: Message):
        """Does what a phone asks for. An unregistered phone may only register, ask for a token and keep its link alive."""
        handler = getattr(self, f"on_{message.name}", None) or getattr(self.calls, f"on_{message.name}", None)
        if handler is None:
            say(f"{station} sends {message}, which is ignored")
        elif station.device or message.name in ("Register", "RegisterTokenReq", "KeepAlive", "Alarm"):
            handler(station, message)
        else:
            say(f"{station} sends {message} and is not registered")

    def on_Register(self, station, message):
        device = message.get("name")
        if device not in self.settings.lines or station.certified not in (None, device, *self.settings.proxies):
            say(f"{device} is rejected")
            station.send("RegisterReject", text="unknown device")
            return
        before = self.stations.get(device)
        if before and before is not station:
            say(f"{device} registers again")
            self.forget(before)
            before.link.close()
        station.device, station.number = device, self.settings.lines[device]
        station.protocol = min(message.get("protocol") or 3, self.settings.protocol)
        self.stations[device] = station
        station.send("RegisterAck", keep_alive=self.settings.keep_alive, date="D.M.Y",
                     backup_keep_alive=self.settings.backup_keep_alive, protocol=station.protocol,
                     features=message.get("features") or b"")
        station.send("CapabilitiesReq")
        say(f"{device} registers as {station.number} with protocol {station.protocol} from {message.get('address')}")

    def on_RegisterTokenReq(self, station, message):
        if self.token_wait:
            say(f"{message.get('name')} asks for a token and must wait")
            station.send("RegisterTokenReject", wait=self.token_wait)
        else:
            say(f"{message.get('name')} gets a token")
            station.send("RegisterTokenAck")

    def on_KeepAlive(self, station, message):
        # A standby link's is answered by TCP alone.
        if station.device:
            station.send("KeepAliveAck")

    def on_Alarm(self, station, message):
        say(f"{station} alarms: {message.get('text')}")

    def on_Unregister(self, station, message):
        say(f"{station} unregisters")
        station.send("UnregisterAck")
        self.forget(station)

    def on_CapabilitiesRes(self, station, message):
        codecs = [struct.unpack_from("<I", message.get("entries"), 16 * n)[0] for n in range(message.get("count"))]
        say(f"{station} knows the codecs {codecs}")

    def on_ButtonTemplateReq(self, station, message):
        station.send("ButtonTemplate", count=1, total=1, entries=b"\x01\x09".ljust(84, b"\xff"))

    def on_SoftKeyTemplateReq(self, station, message):
        names = ["Redial", "NewCall", "Hold", "Transfer", "", "", "", "", "EndCall", "Resume", "Answer"]
        entries = b"".join(struct.pack("<16sI", name.encode(), event) for event, name in enumerate(names, 1))
        station.send("SoftKeyTemplateRes", count=len(names), total=len(names), entries=entries)

    def on_SoftKeySetReq(self, station, message):
        station.send("SoftKeySetRes", count=1, total=1, entries=bytes(range(1, 12)).ljust(48, b"\0"))

    def on_LineStatReq(self, station, message):
        station.send("LineStat", line=message.get("line"), number=station.number, name=station.number)

    def on_ConfigStatReq(self, station, message):
        station.send("ConfigStat", name=station.device, user=station.number, server=socket.gethostname()[:39])

    def on_TimeDateReq(self, station, message):
        now = time.gmtime()
        station.send("DefineTimeDate", year=now.tm_year, month=now.tm_mon, day=now.tm_mday, hour=now.tm_hour,
                     minute=now.tm_min, second=now.tm_sec, system=int(time.time()))

    def on_ServerReq(self, station, message):
        values = {}
        for n, (name, address, port) in enumerate(self.settings.servers):
            values |= {f"name{n}": name, f"address{n}": address, f"port{n}": port}
        station.send("ServerRes", **values)

    def on_RegisterAvailableLines(self, station, message):
        say(f"{station} is ready")

    # Keys and commands

    def new_block(self, clear=False):
        """What stands in an encryption block; `clear` if one of the ends can have no key."""
        if self.settings.keys == "all" and not clear:
            key = Key.new()
            say(f"gives the key {key.key.hex()} {key.salt.hex()}")
            return key
        return bytes(48) if self.settings.keys != "rubbish" else b"\x00\x00\x7f\x42" + os.urandom(44)

    def command(self, words):
        with self.lock:
            match words:
                case ["reset", device, kind] if device in self.stations:
                    self.stations[device].send("Reset", kind=int(kind))
                case ["unregister", device] if device in self.stations:
                    self.stations[device].link.close()
                case ["ways", ways]:
                    self.settings.ways = ways
                case ["video", wanted]:
                    self.settings.video = wanted == "on"
                case ["tokens", wait]:
                    self.token_wait = int(wait)
                case _:
                    say(f"cannot do {words}")
                    return
            say(f"done: {' '.join(words)}")


def say(text):
    """One line of the log."""
    print(text, file=sys.stderr, flush=True)


def main():
    settings = Settings(**json.loads(sys.argv[1]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    made = CallManager(settings)
    made.listen(settings.port)
    if settings.tls_port is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.certificate)
        context.load_verify_locations(settings.phones_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        made.listen(settings.tls_port, context)
    for line in sys.stdin:
        made.command(line.split())
    signal.pause()


class SccpCallManager:
    """The process, from the side of a test."""

    def __init__(self, processes, name="sccp", namespace=None, **settings):
        self.processes, self.name, self.namespace = processes, name, namespace
        self.settings = settings
        self.process = None
        self.starts = 0

    def start(self):
        """Starts it, again on the same ports if it ran before, and waits until it listens."""
        self.starts += 1
        root = pathlib.Path(__file__).resolve().parents[1]
        self.process = self.processes.start(
            f"{self.name}-{self.starts}",
            ["/usr/bin/python3", "-B", "-m", "pinhole_lab.sccp_callmanager", json.dumps(self.settings)],
            namespace=self.namespace, cwd=root, dialogue=True)
        listeners = 1 if self.settings.get("tls_port") is None else 2
        self.process.wait_for("listening", 8)
        while (lines := [line for line in self.process.text().splitlines() if line.startswith("listening")]) and \
                len(lines) < listeners and self.process.alive():
            time.sleep(0.02)
        ports = [int(line.split()[2].rpartition(":")[2]) for line in lines]
        self.settings |= dict(zip(("port", "tls_port"), ports))
        return self

    def at(self, tls=False):
        """Address and port."""
        return self.settings.get("address", "127.0.0.1"), self.settings["tls_port" if tls else "port"]

    def command(self, text, seconds=5):
        """Gives a command and waits until it is done."""
        since = len(self.process.text())
        self.process.popen.stdin.write(f"{text}\n".encode())
        self.process.popen.stdin.flush()
        self.process.wait_for(f"done: {text}", seconds, since)

    def wait_for(self, text, seconds=8, since=0):
        return self.process.wait_for(text, seconds, since)

    def says(self) -> str:
        return self.process.text()


if __name__ == "__main__":
    main()
