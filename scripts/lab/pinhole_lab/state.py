"""Where a lab keeps its files, and which processes it has started.

The register of processes is a file, so that `lab down`, or the next run after one that was killed, ends exactly
the processes which the lab started: by process id and start time, never by name.
"""

import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

ROOT = pathlib.Path("/run/pinhole-lab")
MARK = ".made-by-the-pinhole-lab"


class LabError(Exception):
    """Something in the lab is not as it must be. The text is for a person."""


class State:
    """The directory of one running lab, locked against a second one."""

    def __init__(self, root: pathlib.Path = ROOT):
        self.root = root
        self.lock = None

    def acquire(self):
        """Takes the lock; a second lab at the same time is an error, as both would use the same namespaces."""
        path = self.root.with_suffix(".lock")
        self.lock = open(path, "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"another lab is running (it holds {path}); wait for it, or end it") from None

    def create(self):
        """An empty directory with the lab's mark. It must not exist: `remove` takes away what an earlier lab has left."""
        try:
            self.root.mkdir(mode=0o755)
        except FileExistsError:
            raise LabError(f"{self.root} exists and is not an earlier lab's: move it away") from None
        (self.root / MARK).touch()
        self.directory("logs")

    def directory(self, name: str) -> pathlib.Path:
        """A directory inside, made if need be."""
        path = self.root / name
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        return path

    def remove(self):
        """Deletes the directory, if it has the lab's mark. Never deletes through a mount: what is mounted inside is
        unmounted first, and what cannot be is an error."""
        if not (self.root / MARK).exists():
            return
        for mountpoint in reversed(self.mounts()):
            subprocess.run(["umount", mountpoint], check=False)
        if self.mounts():
            raise LabError(f"{self.mounts()[0]} cannot be unmounted; unmount it, then run `scripts/lab/lab down`")
        shutil.rmtree(self.root)

    def mounts(self) -> list:
        """What is mounted inside, in the order of mounting."""
        places = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
        return [place for place in places if place.startswith(f"{self.root}/")]


def start_time(pid: int):
    """The kernel's start time of a process in ticks, or None if there is no such process (or only a zombie)."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


class Process:
    """A process in a namespace, with its log."""

    def __init__(self, name, popen, log):
        self.name = name
        self.popen = popen
        self.pid = popen.pid
        self.log = log

    def alive(self) -> bool:
        return self.popen.poll() is None

    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, seconds: float, since: int = 0) -> str:
        """Waits until it has printed `text` (after offset `since`); returns what it printed."""
        deadline = time.monotonic() + seconds
        while True:
            printed = self.text()
            if text in printed[since:]:
                return printed
            if not self.alive():
                raise LabError(f"{self.name} ended with status {self.popen.returncode}; "
                               f"its last words: {tail(printed)}")
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} did not say “{text}” within {seconds} s; its last words: {tail(printed)}")
            time.sleep(0.05)

    def kill(self, number=signal.SIGKILL):
        """Sends a signal to this one process."""
        if self.alive():
            self.popen.send_signal(number)

    def stop(self, seconds: float = 5):
        """Asks it to end, and kills it if it does not; returns its exit status."""
        self.kill(signal.SIGTERM)
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()


def tail(text: str, lines: int = 6) -> str:
    """The last lines of a log, on one line."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-lines:]) or "(nothing)"


class Processes:
    """Starts processes and remembers them in the register."""

    def __init__(self, state: State):
        self.state = state
        self.register = state.root / "processes.json"
        self.started = []

    def start(self, name, argv, namespace=None, user=None, environment=None, cwd=None, dialogue=False,
              low_ports=False) -> Process:
        """Starts `argv` in a namespace, as `user` without any capability if one is given, but for `low_ports` below 1024. In a
        `dialogue`, standard input and output are pipes, and only what it says on standard error is logged."""
        command = [str(word) for word in argv]
        if user:
            kept = "-all,+net_bind_service" if low_ports else "-all"
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", f"--bounding-set={kept}",
                       f"--inh-caps={kept}", f"--ambient-caps={kept}", "--no-new-privs", "--", *command]
        if namespace:
            command = ["ip", "netns", "exec", namespace, *command]
        log = self.state.directory("logs") / f"{name}.log"
        with open(log, "wb") as out:
            streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": out} if dialogue else \
                {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": subprocess.STDOUT}
            popen = subprocess.Popen(command, **streams,
                                     start_new_session=True, cwd=cwd or self.state.root,
                                     env={**os.environ, **(environment or {})})
        process = Process(name, popen, log)
        self.started.append(process)
        self._record(process)
        return process

    def _record(self, process: Process):
        entries = json.loads(self.register.read_text()) if self.register.exists() else []
        entries.append({"name": process.name, "pid": process.pid, "start": start_time(process.pid)})
        self.register.write_text(json.dumps(entries))

    def stop_all(self):
        """Ends all that this object started, the youngest first."""
        for process in reversed(self.started):
            if process.alive():
                process.popen.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 5
        for process in reversed(self.started):
            try:
                process.popen.wait(max(0.05, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()
        self.started.clear()

    def end_registered(self):
        """Ends what an earlier run registered and left behind."""
        if not self.register.exists():
            return
        try:
            entries = json.loads(self.register.read_text())
        except ValueError:
            entries = []
        left = [entry["pid"] for entry in entries
                if entry["start"] is not None and start_time(entry["pid"]) == entry["start"]]
        for number, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 2)):
            for pid in left:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            deadline = time.monotonic() + patience
            while left and time.monotonic() < deadline:
                left = [pid for pid in left if start_time(pid) is not None]
                time.sleep(0.05)
