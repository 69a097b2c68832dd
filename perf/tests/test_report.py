"""The report says what was measured, and which targets were missed."""

import json
import os
import signal
import sys
import time

import pytest
from report import figures, plots, results, steps

import canned

MACHINE = {"processor": "a processor", "kernel": "6.1"}


def collected(said, quick=False):
    """Figures of what the programs said."""
    return figures.collect(results.adapt({key: value for one in said.values() for key, value in one.items()}), quick)


def line(text, name):
    """The line of a figure in the table."""
    return next(line for line in text.splitlines() if line.startswith(f"| `{name}`"))


def test_met_targets_are_shown_with_value_spread_and_tier():
    said = canned.everything()
    text = results.write(collected(said), said, MACHINE, quick=False)
    assert line(text, "kernel.cm80.vs_ipsec_mb").endswith("| ≥ 1.80 | 2 | 1.90 to 2.10 | met |")
    assert "(avx512)" in line(text, "kernel.cm80.vs_ipsec_mb")
    assert line(text, "rtpengine.rate_ratio").endswith("| ≥ 4 | 4.50 | 4.10 to 4.90 | met |")
    assert line(text, "relay.allocations_per_burst").endswith("| 0 | 0 |  | met |")
    assert line(text, "e2e.added_delay_p999_us").endswith("| reported | 45.50 |  |  |")
    assert "missed" not in text


def test_a_missed_target_is_shown_with_what_limits_it_and_listed():
    said = canned.everything()
    said["relay"]["relay.overhead"] = 3.2
    said["e2e"]["e2e.loss"] = 5
    found = collected(said)
    assert figures.summary(found)["missed"] == ["relay.overhead", "e2e.loss"]
    text = results.write(found, said, MACHINE, quick=False)
    assert line(text, "relay.overhead").endswith("| ≤ 2.50 | 3.20 | 2 to 2.20 | **missed** |")
    assert "- `relay.overhead`: with 10,000 sessions most time goes to crypto 55 ns, match 30 ns, beside a bare kernel of 50 ns" in text
    assert "from 1,000 to 100,000 sessions, match 40 ns, crypto 10 ns are added" in text
    assert "with nothing else to do, they take 44 ns here (4.0 each)" in text
    assert "- `e2e.loss`: the search was ended by: loss. At 10,000 sessions the worker was busy for 25%" in text


def test_a_missed_kernel_figure_is_explained_by_its_time_with_few_and_many_keys():
    said = canned.everything()
    said["kernel"]["kernel.cm80.vs_rustcrypto"] = {"value": 4.9, "min": 4.5, "max": 5.2, "tier": "avx512"}
    text = results.write(collected(said), said, MACHINE, quick=False)
    assert "- `kernel.cm80.vs_rustcrypto`: ours and RustCrypto with 64 keys 30 and 180 ns (6.00), 1,024 keys 30 and 180 ns (6.00)." in text
    assert "with all at hand, take SHA-1 20 ns and AES 6 ns of a packet's time" in text
    del said["kernel"]["kernel.cm80.sha1_floor_ns"], said["kernel"]["kernel.cm80.aes_floor_ns"]
    assert "with all at hand" not in results.write(collected(said), said, MACHINE, quick=False)


def test_a_value_at_its_bound_is_met():
    assert figures.Target("one", "", least=4).met(4, quick=False)
    assert figures.Target("one", "", most=4).met(4, quick=False)
    assert not figures.Target("one", "", most=0).met(1, quick=False)


def test_the_summary_is_flat_json_of_numbers_by_the_promised_names():
    flat = json.loads(json.dumps(figures.summary(collected(canned.everything()))))
    assert {target.name for target in figures.TARGETS} <= flat.keys()
    assert flat["kernel.cm80.vs_ipsec_mb"] == 2.0
    assert flat["kernel.cm80.vs_ipsec_mb.tier"] == "avx512"
    assert flat["rtpengine.cpu_ratio.min"] == 4.8
    assert flat["missed"] == []


def test_a_quick_run_is_not_blamed_for_being_short_and_says_that_it_is_quick():
    said = canned.everything()
    said["e2e"]["e2e.seconds"] = 5
    assert figures.summary(collected(said))["missed"] == ["e2e.seconds"]
    found = collected(said, quick=True)
    assert figures.summary(found)["missed"] == []
    assert "A quick run" in results.write(found, said, MACHINE, quick=True)


def test_a_figure_that_nobody_measured_is_an_error():
    said = canned.everything()
    del said["relay"]["relay.growth"]
    with pytest.raises(KeyError, match="relay.growth"):
        collected(said)


def test_every_contestant_has_a_column_and_those_who_did_not_take_part_an_empty_cell():
    said = canned.everything()
    text = results.write(collected(said), said, MACHINE, quick=False)
    assert "| Keys | Burst | avx512 | RustCrypto | ipsec-mb | libsrtp2 |" in text
    assert "| 64 | 1 | 30 (1.00) | 180 (6.00) | 60 (2.00) avx512 direct prefetch | 5,000 (166.67) |" in text
    assert "| 1,024 | 32 | 30 (1.00) | 180 (6.00) | 60 (2.00) avx512 direct prefetch |  |" in text


def test_the_relay_is_shown_in_nanoseconds_and_cycles_by_stage_and_sessions():
    said = canned.everything()
    text = results.write(collected(said), said, MACHINE, quick=False)
    assert "| Sessions | 1,000 | 10,000 | 100,000 |" in text
    assert "| match | 20.0 (50) | 30.0 (75) | 60.0 (150) |" in text
    assert "| **all** | 70.0 (175) | 85.0 (212) | 120.0 (300) |" in text


def test_storms_stand_side_by_side_with_what_the_kind_of_keys_makes_of_them():
    said = canned.everything()
    text = results.write(collected(said), said, MACHINE, quick=False)
    assert line(text, "sccp.storm_seconds").endswith("| reported | 3 | 2.70 to 3.30 |  |")
    assert "| bytes per phone | 20,000 | 20,000 | 20,000 |" in text
    assert "a registration takes 40% of the control plane's processor time that" in text


def test_lost_phones_are_explained_by_what_the_control_plane_has_refused():
    said = canned.everything()
    said["storm"]["sccp.lost"] = 3
    found = collected(said)
    assert figures.summary(found)["missed"] == ["sccp.lost"]
    text = results.write(found, said, MACHINE, quick=False)
    assert "- `sccp.lost`: 40 connections were turned away before a registration; the control plane has counted: tls.limit_handshakes 40." in text


def test_plots_of_the_same_figures_are_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        plots.draw(canned.everything(), tmp_path / name)
    drawn = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert drawn == ["delay.svg", "kernel.svg", "rates.svg", "relay.svg"]
    for name in drawn:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def program(tmp_path, text):
    """A program to measure with."""
    path = tmp_path / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return steps.Step("a step", path)


def test_the_last_line_of_a_program_counts(tmp_path):
    assert program(tmp_path, "echo progress; echo '{\"a\": 1}'").run() == {"a": 1}


@pytest.mark.parametrize("text, message", [
    ("echo '{}'; exit 3", "ended with status 3"),
    ("echo hello", "no JSON object"),
    ("true", "no JSON object"),
])
def test_a_program_that_fails_or_says_nothing_is_a_failure(tmp_path, text, message):
    with pytest.raises(steps.Failed, match=message):
        program(tmp_path, text).run()


def test_a_missing_program_is_an_error_before_anything_runs(tmp_path):
    with pytest.raises(steps.Failed, match="kernel_bench is missing"):
        steps.measure(tmp_path, quick=True)


def test_a_program_is_asked_to_end_when_the_run_is_interrupted(tmp_path):
    told, ready = tmp_path / "told", tmp_path / "ready"
    step = program(tmp_path, f"trap 'echo > {told}; exit 1' TERM; echo > {ready}; while :; do sleep 0.05; done")
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            step.run()
        finally:
            os._exit(0)
    deadline = time.monotonic() + 20
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    assert told.exists()


def test_trials_tell_how_far_the_cores_were_apart():
    said = canned.everything()
    text = results.write(collected(said), said, MACHINE, quick=False)
    assert "| 3.50 | 5 | 0 | 50 | 26, 171 | yes |" in text and "| 4.00 | 5 | 77 | 50 | ?, ? | no |" in text
    said["e2e"]["e2e.headroom"] = 2.5
    assert "ns apart" not in results.write(collected(said), said, MACHINE, quick=False).partition("## Kernels")[0]
    said["e2e"]["search"]["trials"][0]["core_distance_ns"] = [24.0, None]
    said["e2e"]["search"]["trials"].append(canned.trial(3.7e6, False) | {"core_distance_ns": [170.2, 30.0]})
    assert "its core and the worker's were 24 to 170 ns apart" in results.write(collected(said), said, MACHINE, quick=False)
