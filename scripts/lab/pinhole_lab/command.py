"""The command line of the lab."""

import argparse
import json
import sys

from . import demo, network
from .lab import Lab, clear
from .state import LabError, Processes, State, start_time


def main(arguments) -> int:
    """Runs one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="lab", description="The Pinhole lab.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="wires, call manager, appliance and phones; leaves them running")
    commands.add_parser("status", help="what is there")
    commands.add_parser("down", help="takes all of it away")
    shown = commands.add_parser("demo", help="three calls through the appliance, measured")
    shown.add_argument("--json", action="store_true", help="the result as one JSON object on the last line")
    shown.add_argument("--keep", action="store_true", help="leaves the lab running")
    chosen = parser.parse_args(arguments)
    try:
        return {"up": up, "status": status, "down": down, "demo": demo.run}[chosen.command](chosen)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def up(_) -> int:
    with Lab(keep=True, say=demo.progress) as lab:
        try:
            lab.start()
            demo.phones(lab)
        except BaseException:
            lab.keep = False
            raise
    demo.tell_how_to_look(lab)
    return 0


def status(_) -> int:
    state = State()
    register = state.root / "processes.json"
    entries = json.loads(register.read_text()) if register.exists() else []
    running = [entry for entry in entries if start_time(entry["pid"]) == entry["start"] is not None]
    for name in network.exists():
        print(f"namespace {name}")
    for entry in running:
        print(f"process   {entry['name']} (pid {entry['pid']}), log {state.root}/logs/{entry['name']}.log")
    if not running:
        print("the lab is down")
    return 0


def down(_) -> int:
    state = State()
    state.acquire()
    clear(state, Processes(state))
    return 0
