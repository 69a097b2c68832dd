"""The programs that measure, and how they are run."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The core that the benchmarks of one thread run on: not the one that takes most interrupts.
CORE = "1"
# Of all programs.
NICE = -15
# How long a program may take to put things back after it was asked to end.
PATIENCE = 60


# Writing here has the kernel forget clean pages of files, and move together what is left.
DROP_CACHES = pathlib.Path("/proc/sys/vm/drop_caches")
COMPACT = pathlib.Path("/proc/sys/vm/compact_memory")


class Failed(Exception):
    """A program is missing, or did not do its job. The text is for a person."""


def make_room():
    """Makes room for huge pages. On a machine that has just built, files lie scattered all over the memory: then keys lie in
    ordinary pages, and the relay with 10,000 sessions takes a fifth longer."""
    os.sync()
    for switch in (DROP_CACHES, COMPACT):
        try:
            switch.write_text("1")
        except OSError as error:
            say(f"there may be too few huge pages: {switch}: {error.strerror}")


def say(text: str):
    """Says something to the person who waits."""
    print(text, file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class Step:
    """A program whose last line on standard output is a JSON object."""

    name: str
    program: pathlib.Path
    words: tuple = ()
    # Whether it is bound to CORE. The others bind their parts themselves.
    bound: bool = False

    def check(self):
        """Raises Failed if the program is not there."""
        if not self.program.is_file():
            raise Failed(f"{self.program} is missing: build it with cargo build --release, or run scripts/perf")

    def run(self, *more: str) -> dict:
        """Runs the program with its progress on our standard error; returns its object. It is asked to end if we are."""
        command = [str(self.program), *self.words, *more]
        if self.bound:
            command = ["taskset", "-c", CORE, *command]
        began = time.monotonic()
        # Whoever asks us to end has to wait until we know whom to ask in turn.
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        def unmask():
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        try:
            # In a session of its own, so that it is asked once: by us, not by the terminal too.
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                                       start_new_session=True, preexec_fn=unmask)
        except OSError as error:
            unmask()
            raise Failed(f"{self.name}: {command[0]} cannot be run: {error}") from None
        try:
            unmask()
            prefer(process.pid)
            output, _ = process.communicate()
        except BaseException:
            end(process)
            raise
        if process.returncode != 0:
            raise Failed(f"{self.name}: {self.program.name} ended with status {process.returncode}; see above")
        lines = output.strip().splitlines()
        try:
            found = json.loads(lines[-1])
        except (IndexError, ValueError):
            raise Failed(f"{self.name}: {self.program.name} printed no JSON object on its last line") from None
        say(f"── {self.name}: {time.monotonic() - began:.0f} s")
        return found


def prefer(pid: int):
    """Gives a program that leads a session, and all that it will start, precedence over what else runs on the machine.
    Where the kernel shares time among sessions (autogroup), niceness counts within a session only, so the session gets it too."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
        group = pathlib.Path(f"/proc/{pid}/autogroup")
        if group.exists():
            group.write_text(str(NICE))
    except ProcessLookupError:
        pass  # It has ended already.
    except PermissionError:
        say("without root, the measurements have no precedence over what else runs")


def end(process: subprocess.Popen):
    """Ends a program that puts back what it changed; waits for that."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def steps(binaries: pathlib.Path, quick: bool) -> dict[str, Step]:
    """All steps, in order."""
    words = ("--quick",) if quick else ()
    placed = (*words, "--binaries", str(binaries))
    return {
        "kernel": Step("kernels beside other implementations", binaries / "kernel_bench", words, bound=True),
        "relay": Step("relay by stage and by number of sessions", binaries / "relay_bench", words, bound=True),
        "e2e": Step("end to end", REPOSITORY / "perf/phonefarm/e2e", placed),
        "storm": Step("registration storms", REPOSITORY / "perf/phonestorm/storm", placed),
        "rtpengine": Step("beside rtpengine", REPOSITORY / "perf/rtpengine/compare", placed),
    }


def measure(binaries: pathlib.Path, quick: bool) -> tuple[dict, list[str]]:
    """Runs all steps; returns what each said, and what failed. Raises Failed if a program is missing."""
    todo = steps(binaries, quick)
    for step in todo.values():
        step.check()
    said, failures = {}, []
    for count, (key, step) in enumerate(todo.items(), 1):
        say(f"── [{count}/{len(todo)}] {step.name}")
        more = ()
        if key == "rtpengine" and (rate := said.get("e2e", {}).get("e2e.max_mpps")):
            more = ("--bypass", str(rate * 1e6))
        try:
            said[key] = step.run(*more)
        except Failed as failure:
            say(f"error: {failure}")
            failures.append(str(failure))
    return said, failures
