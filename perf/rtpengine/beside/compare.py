"""The comparison: round by round, first one relay and then the other looks for its highest rate without loss."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

from pinhole_lab.state import LabError

from .bench import Bench
from .relays import Pinhole, Rtpengine
from .search import LAG_US, LATE_US, highest

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
# Ranges in which the first search begins, in packets per second of both directions together.
FIRST = {"rtpengine": (60e3, 140e3), "pinhole": (250e3, 600e3), "direct": (300e3, 900e3)}
# Later searches begin this far around the best rate so far.
AROUND = 0.12


def progress(text: str):
    """Says something to the person who waits."""
    print(text, file=sys.stderr, flush=True)


def main(argv: list) -> int:
    """Runs the comparison; returns the exit status."""
    parser = argparse.ArgumentParser(prog="compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little more than a minute")
    parser.add_argument("--rounds", type=int, help="searches of each relay (default 5, quick 2)")
    parser.add_argument("--seconds", type=float, help="length of a trial (default 4, quick 1)")
    parser.add_argument("--calls", type=int, default=200, help="calls that are up (default 200)")
    parser.add_argument("--device", choices=("af_xdp", "af_packet"), default="af_xdp", help="how sender and receiver are on the wire")
    parser.add_argument("--binaries", type=pathlib.Path, default=REPOSITORY / "target" / "release",
                        help="where pinhole-dataplane and callplayer are (default target/release)")
    parser.add_argument("--bypass", type=float, metavar="PACKETS_PER_SECOND",
                        help="Pinhole's rate over shared-memory ports, measured in the same run: adds rtpengine.bypass_ratio")
    chosen = parser.parse_args(argv)
    rounds = chosen.rounds or (2 if chosen.quick else 5)
    seconds = chosen.seconds or (1 if chosen.quick else 4)
    trials = 6 if chosen.quick else 8
    began = time.monotonic()
    try:
        with Bench(chosen.binaries, chosen.calls, chosen.device) as bench:
            found = Comparison(bench, rounds, seconds, trials)
            found.run()
            result = found.result(chosen.bypass)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    result["took_seconds"] = round(time.monotonic() - began)
    print(json.dumps(result))
    return 0


class Comparison:
    """All rounds, and what came of them."""

    def __init__(self, bench: Bench, rounds: int, seconds: float, trials: int):
        self.bench, self.rounds, self.seconds, self.trials = bench, rounds, seconds, trials
        self.best = {"rtpengine": [], "pinhole": [], "direct": []}
        self.said = {}

    def run(self):
        """The wire alone once, then both relays in turn."""
        for number in range(self.rounds):
            progress(f"round {number + 1} of {self.rounds}")
            if number == 0:
                self.search(None)
            # Each is first as often as the other.
            for relay in (Rtpengine, Pinhole) if number % 2 == 0 else (Pinhole, Rtpengine):
                self.search(relay)

    def search(self, kind):
        """One search; without a relay, on the wire that leads back."""
        name = kind.name if kind else "direct"
        known = [trial.rate for trial in self.best[name]]
        low, high = (min(known) * (1 - AROUND), max(known) * (1 + AROUND)) if known else FIRST[name]
        # The first search has the wider range.
        trials = self.trials - 2 if known else self.trials
        with self.bench.playing(kind) as play:
            def trial(rate):
                made = play(rate, self.seconds)
                progress(f"  {name:9} {made.rate / 1e3:7.1f} k packets/s: {made.verdict}"
                         f"  (relay {made.usage.process:.2f} s, delay up to {made.delay_us / 1e3:.1f} ms)")
                return made
            best = highest(trial, low, high, trials)
            self.said.setdefault(name, {}).update(play.said)
        if best is None:
            raise LabError(f"{name} lost packets at every rate tried: is the machine busy with other work?")
        progress(f"  {name:9} best {best.rate / 1e3:.1f} k packets/s, {best.cpu_per_million:.2f} s of CPU per million")
        self.best[name].append(best)

    def result(self, bypass) -> dict:
        """Figures and what belongs to them."""
        ours, theirs = self.best["pinhole"], self.best["rtpengine"]
        rate = {name: spread(trial.rate for trial in best) for name, best in self.best.items()}
        cpu = {name: spread(trial.cpu_per_million for trial in self.best[name]) for name in ("pinhole", "rtpengine")}
        made = {
            "rtpengine.rate_ratio": round(rate["pinhole"]["median"] / rate["rtpengine"]["median"], 2),
            "rtpengine.cpu_ratio": round(cpu["rtpengine"]["median"] / cpu["pinhole"]["median"], 2),
            "rtpengine.best_pps": round(rate["rtpengine"]["max"]),
            "rate_ratio_by_round": spread(one.rate / two.rate for one, two in zip(ours, theirs)),
            "cpu_ratio_by_round": spread(two.cpu_per_million / one.cpu_per_million for one, two in zip(ours, theirs)),
            "packets_per_second": rate,
            "cpu_seconds_per_million": cpu,
            "softirq_seconds_per_million_by_core": {
                name: [round(statistics.median(trial.usage.softirq[core] / trial.received * 1e6 for trial in self.best[name]), 2)
                       for core in range(len(self.best[name][0].usage.softirq))] for name in cpu},
            "calls": self.bench.calls, "rounds": self.rounds, "trial_seconds": self.seconds, "late_us": LATE_US, "lag_us": LAG_US,
            "farm_device": self.bench.device, "engine": self.said["pinhole"].get("engine"),
            "versions": {"rtpengine": Rtpengine.version(), "pinhole": Pinhole.version(self.bench.binaries),
                         "kernel": subprocess.run(["uname", "-r"], capture_output=True, text=True, check=True).stdout.strip()},
        }
        if bypass:
            made["rtpengine.bypass_ratio"] = round(bypass / rate["rtpengine"]["max"], 1)
        return made


def spread(values) -> dict:
    """Minimum, median and maximum."""
    values = sorted(values)
    return {"min": round(values[0], 2), "median": round(statistics.median(values), 2), "max": round(values[-1], 2)}
