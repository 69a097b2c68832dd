"""Processor time: of a process with all its threads, and of the kernel's network work on each core."""

import dataclasses
import os
import pathlib
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")
# Of relays and player alike.
NICE = -15


@dataclasses.dataclass(frozen=True)
class Usage:
    """Seconds of processor time, up to a moment or between two."""

    at: float
    # utime and stime of all threads of the process.
    process: float
    # Busy time (anything but idle) and soft interrupts, by core.
    busy: tuple
    softirq: tuple

    @classmethod
    def now(cls, pid: int):
        """Up to now."""
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cores = [line.split() for line in pathlib.Path("/proc/stat").read_text().splitlines()
                 if line.startswith("cpu") and not line.startswith("cpu ")]
        # user, nice, system, idle, iowait, irq, softirq, steal
        busy = tuple(sum(int(core[at]) for at in (1, 2, 3, 6, 7)) * TICK for core in cores)
        return cls(time.monotonic(), (int(fields[11]) + int(fields[12])) * TICK, busy,
                   tuple(int(core[7]) * TICK for core in cores))

    def since(self, earlier):
        """From an earlier moment to this."""
        return Usage(self.at - earlier.at, self.process - earlier.process,
                     tuple(now - then for now, then in zip(self.busy, earlier.busy)),
                     tuple(now - then for now, then in zip(self.softirq, earlier.softirq)))


def prefer(pid: int):
    """Gives a process that leads a session precedence over what else runs on the machine. Where the kernel
    shares time among sessions (autogroup), niceness counts within a session only, so the session gets it too."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.setpriority(os.PRIO_PROCESS, int(thread), NICE)
    group = pathlib.Path(f"/proc/{pid}/autogroup")
    if group.exists():
        group.write_text(str(NICE))
