"""The main job, measured: outside calls inside, inside calls outside, outside calls outside."""

import dataclasses
import json
import sys
import time

from . import audio, network, wire
from .lab import SECONDS, Lab
from .softphone import Softphone
from .state import LabError

TALK = 8.0
"""Seconds of each call."""


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


@dataclasses.dataclass
class Party:
    """A phone with the seed of the recording it plays, and how many calls it has had."""

    phone: Softphone
    seed: int
    calls: int = 0


@dataclasses.dataclass
class PlayedCall:
    """A call that has been made, and what is known of it."""

    title: str
    caller: Party
    callee: Party
    hung_up: float = 0.0
    forward: audio.Match | None = None
    """What the callee heard of the caller."""
    backward: audio.Match | None = None
    """What the caller heard of the callee."""
    media: list = dataclasses.field(default_factory=list)
    """The outside parties' descriptions of the call."""
    sessions: list = dataclasses.field(default_factory=list)
    """Pinhole's own view at the end of the call."""
    directions: tuple = ()


def phones(lab: Lab) -> dict:
    """Two phones behind the home's NAT, two in the office; all registered."""
    progress("phones (baresip): two at home over TLS and SRTP, two in the office over UDP and RTP")
    parties = {
        "1001": Party(lab.outside_softphone("home", "ph-home", "1001", "SEP0010DB000001", 1), 1),
        "1002": Party(lab.outside_softphone("home2", "ph-home2", "1002", "SEP0010DB000002", 2), 2),
        "2001": Party(lab.inside_softphone("desk", "ph-desk", "2001", 3), 3),
        "2002": Party(lab.inside_softphone("desk2", "ph-desk2", "2002", 4), 4),
    }
    for party in parties.values():
        party.phone.wait_registered()
    return parties


def run(options) -> int:
    """Plays the demo; returns the exit status."""
    print("Pinhole demo", file=sys.stderr)
    lab = Lab(keep=options.keep, say=progress)
    with lab:
        try:
            lab.start()
            parties = phones(lab)
            outside = lab.capture("outside", network.OUTSIDE_WIRE)
            inside = lab.capture("inside", network.INSIDE_WIRE)
            calls = play(lab, parties)
            left = lab.appliance.wait_idle()
            outside.stop()
            inside.stop()
            progress("comparing recordings and wires")
            result = examine(calls, outside, inside, left)
        except LabError as error:
            print(f"error: {error}", file=sys.stderr)
            if options.json:
                print(json.dumps({"ok": False, "failures": [str(error)]}))
            return 1
    show(result)
    if options.keep:
        tell_how_to_look(lab)
    if options.json:
        print(json.dumps(result))
    return 0 if result["ok"] else 1


def play(lab: Lab, parties: dict) -> list:
    """Makes the calls: the first two at the same time, as they share no phone."""
    first = [PlayedCall("outside → inside", parties["1001"], parties["2001"]),
             PlayedCall("inside → outside", parties["2002"], parties["1002"])]
    last = [PlayedCall("outside → outside", parties["1001"], parties["1002"])]
    for together in (first, last):
        for call in together:
            progress(f"call {call.title}: {call.caller.phone.user} calls {call.callee.phone.user}")
            for party in (call.caller, call.callee):
                party.calls += 1
            call.caller.phone.dial(call.callee.phone.user)
        for call in together:
            for party in (call.caller, call.callee):
                party.phone.wait_established(party.calls)
        time.sleep(TALK)
        sessions = lab.appliance.ctl("sessions")
        for call in together:
            call.media = [party.phone.media()[-1] for party in (call.caller, call.callee)
                          if party.phone.namespace in network.HOMES]
            identifiers = {media.call_id for media in call.media}
            call.sessions = [one for one in sessions if one.get("call_id") in identifiers]
            call.hung_up = time.time()
            call.caller.phone.hang_up()
        time.sleep(0.7)
        for call in together:
            call.forward = heard(call.callee, call.caller)
            call.backward = heard(call.caller, call.callee)
    return [*first, *last]


def heard(listener: Party, speaker: Party) -> audio.Match:
    """Compares the listener's last recording with what the speaker played."""
    recordings = listener.phone.recordings()
    if len(recordings) < listener.calls:
        return audio.Match(0.0, 0.0, 0.0, 0)
    return audio.compare(audio.signal(speaker.seed, SECONDS), audio.read(recordings[-1]))


def examine(calls: list, outside, inside, left: dict) -> dict:
    """The result as one object, with the reasons of every failure."""
    outside_datagrams, inside_datagrams = outside.datagrams(), inside.datagrams()
    failures, shown = [], []
    for call in calls:
        until = call.hung_up - 0.05
        if len(call.media) == 2:
            call.directions = wire.compare_hairpin(*call.media, outside_datagrams, inside_datagrams, until)
        elif call.media:
            inward, outward = wire.compare_inward(call.media[0], outside_datagrams, inside_datagrams, until)
            inward_first = call.caller.phone.namespace in network.HOMES
            call.directions = (inward, outward) if inward_first else (outward, inward)
        shown.append(described(call))
        failures += complaints(call, shown[-1])
    survey = wire.survey(outside_datagrams, outside.tcp_payloads(), inside_datagrams,
                         [media for call in calls for media in call.media])
    wires = dataclasses.asdict(survey)
    decrypted = all(d.decrypted > 0 and d.differing == 0 for call in calls for d in call.directions)
    result = {
        "ok": False,
        "calls": shown,
        **wires,
        "independent_decrypt": decrypted and all(len(call.directions) == 2 for call in calls),
        "decrypted_packets": sum(d.decrypted for call in calls for d in call.directions),
        "calls_left": left["calls"],
        "sessions_left": left["sessions"],
        "ports_left": left["ports"],
        "failures": failures,
    }
    for name in ("outside_plain_rtp", "outside_plain_rtcp", "outside_plain_sip", "inside_srtp", "calls_left",
                 "sessions_left", "ports_left"):
        if result[name]:
            failures.append(f"{name} is {result[name]}, not 0")
    if not result["independent_decrypt"]:
        failures.append("SRTP of the outside wire, decrypted by libsrtp2, is not the RTP of the inside wire")
    if not (survey.outside_rtp and survey.inside_rtp):
        failures.append("a capture holds no RTP at all")
    result["ok"] = not failures
    return result


def described(call: PlayedCall) -> dict:
    """A call as the result carries it."""
    suites = [media.local_crypto.suite for media in call.media if media.local_crypto]
    drops = {}
    for session in call.sessions:
        for leg in session["legs"]:
            for cause, count in leg["drops"].items():
                drops[cause] = drops.get(cause, 0) + count
    forward, backward = call.directions or (wire.Direction("forward"), wire.Direction("backward"))
    return {
        "title": call.title,
        "from": call.caller.phone.user,
        "to": call.callee.phone.user,
        "suite": suites[0] if suites and len(set(suites)) == 1 else suites,
        "audio_match": {"forward": round(call.forward.correlation, 4), "backward": round(call.backward.correlation, 4)},
        "audio_worst_half_second": {"forward": round(call.forward.worst_segment, 4),
                                    "backward": round(call.backward.worst_segment, 4)},
        "audio_seconds": {"forward": round(call.forward.seconds, 2), "backward": round(call.backward.seconds, 2)},
        "packets": forward.relayed + backward.relayed,
        "packets_by_direction": {"forward": forward.relayed, "backward": backward.relayed},
        "loss": forward.loss + backward.loss,
        "early": forward.early + backward.early,
        "drops": drops,
    }


def complaints(call: PlayedCall, shown: dict) -> list:
    """What is wrong with a call."""
    found = []
    for way in ("forward", "backward"):
        if shown["audio_match"][way] < 0.9 or shown["audio_worst_half_second"][way] < 0.8:
            found.append(f"audio {way} matches {shown['audio_match'][way]}, worst half second "
                         f"{shown['audio_worst_half_second'][way]}")
        if shown["audio_seconds"][way] < TALK - 1.5:
            found.append(f"only {shown['audio_seconds'][way]} s of audio {way}")
        if shown["packets_by_direction"][way] < (TALK - 1) * 50:
            found.append(f"only {shown['packets_by_direction'][way]} packets {way}")
    if shown["loss"]:
        found.append(f"{shown['loss']} packets lost")
    if not isinstance(shown["suite"], str):
        found.append(f"suite: {shown['suite'] or 'none'}")
    return [f"{call.title}: {text}" for text in found]


def show(result: dict):
    """The table for people."""
    rows = [("call", "from → to", "suite", "audio →", "audio ←", "packets", "loss", "drops")]
    for one in result["calls"]:
        match = one["audio_match"]
        rows.append((one["title"], f"{one['from']} → {one['to']}", str(one["suite"]), f"{match['forward']:.4f}",
                     f"{match['backward']:.4f}", str(one["packets"]), str(one["loss"]),
                     ", ".join(f"{cause} {count}" for cause, count in sorted(one["drops"].items())) or "none"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            print("  ".join("─" * width for width in widths))
    print()
    print(f"outside wire: {result['outside_rtp']} RTP packets, {result['outside_plain_rtp']} of them not encrypted; "
          f"SIP in clear: {result['outside_plain_sip']}")
    print(f"inside wire:  {result['inside_rtp']} RTP packets, {result['inside_srtp']} of them not plain G.711; "
          f"SIP messages: {result['inside_sip']}")
    print(f"libsrtp2 decrypted {result['decrypted_packets']} packets with the phones' keys, "
          f"{'all equal to what' if result['independent_decrypt'] else 'NOT all equal to what'} went on the far wire")
    if result["outside_phone_plain_rtcp"]:
        print(f"(baresip sent {result['outside_phone_plain_rtcp']} RTCP packets before it had its keys; they were dropped)")
    print(f"left after the calls: {result['sessions_left']} sessions, {result['ports_left']} ports")
    for failure in result["failures"]:
        print(f"FAILED: {failure}")
    print("all is well" if result["ok"] else "the demo failed")


def tell_how_to_look(lab: Lab):
    """What --keep leaves."""
    ctl = f"{lab.appliance.binary('pinholectl')} --socket {lab.appliance.admin_socket}"
    print(f"""
The lab is up. Look around:
  {ctl} status      (also phones, calls, sessions, counters, events)
  scripts/lab/lab status                   processes and their logs
  ip netns exec ph-internet tcpdump -ni dmz0        the outside wire
  ip netns exec ph-inside tcpdump -ni office0       the inside wire
Take it down:
  scripts/lab/lab down""")
