"""The command line."""

import argparse
import json
import os
import pathlib
import signal
import sys
import time

from . import figures, machine, plots, results, steps

PERF = pathlib.Path(__file__).resolve().parents[1]


def main(arguments: list) -> int:
    """Measures, writes RESULTS.md and the plots; returns the exit status. A missed target is no failure."""
    parser = argparse.ArgumentParser(prog="perf", description="Measures Pinhole beside its references.")
    parser.add_argument("--quick", action="store_true", help="all of it in less than five minutes, less exactly")
    parser.add_argument("--json", action="store_true", help="all figures as one object on the last line")
    parser.add_argument("--binaries", type=pathlib.Path, default=steps.REPOSITORY / "target/release",
                        help="where the release build is (default: target/release)")
    chosen = parser.parse_args(arguments)
    # So that what runs is asked to end, and puts things back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    began = time.monotonic()
    try:
        if os.geteuid() != 0:
            raise steps.Failed("run as root: network namespaces and huge pages are made")
        if (os.cpu_count() or 1) < 2:
            raise steps.Failed("two cores are needed: one for the relay, one for those who call")
        steps.make_room()
        said, failures = steps.measure(chosen.binaries, chosen.quick)
    except steps.Failed as failure:
        steps.say(f"error: {failure}")
        return 1
    except KeyboardInterrupt:
        steps.say("interrupted")
        return 130
    if failures:
        steps.say("error: nothing was written, because these failed:\n  " + "\n  ".join(failures))
        if chosen.json:
            print(json.dumps({"failed": failures}))
        return 1
    return report(said, chosen.quick, chosen.json, time.monotonic() - began)


def report(said: dict, quick: bool, as_json: bool, seconds: float) -> int:
    """Writes and prints what was measured."""
    try:
        measured = results.adapt({key: value for one in said.values() for key, value in one.items()})
        found = figures.collect(measured, quick)
        host = machine.describe(said)
        text = results.write(found, said, host, quick)
        plots.draw(said, PERF / "plots")
    except KeyError as missing:
        steps.say(f"error: no program told {missing}; nothing was written to RESULTS.md")
        return 1
    (PERF / "RESULTS.md").write_text(text)
    for figure in found:
        steps.say(f"{figure.target.name:30} {figures.number(figure.value):>12}  {figure.target.bound:10} "
                  f"{figure.verdict.strip('*')}")
    steps.say(f"took {seconds:.0f} s; the tables are in perf/RESULTS.md")
    if as_json:
        print(json.dumps(figures.summary(found) | {"quick": quick, "machine": host}))
    return 0
