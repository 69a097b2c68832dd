"""Twenty phones, a real control plane: everybody is registered, heard and let go of."""

import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parents[1]
# What scripts/test builds, or else what scripts/perf does.
BUILT = pathlib.Path(os.environ.get("PINHOLE_BUILT", HERE.parents[1] / "target/release"))


@pytest.fixture(scope="module")
def script():
    """perf/phonestorm/storm as a module."""
    loader = importlib.machinery.SourceFileLoader("storm", str(HERE / "storm"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("storm", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def directory(tmp_path):
    """Certificates with EC keys."""
    subprocess.run([BUILT / "phonestorm", "certificates", "--directory", tmp_path, "--keys", "ec"], check=True)
    return tmp_path


@pytest.mark.parametrize("speech", ["sccp", "sip"])
def test_all_phones_are_registered_twice_and_nothing_of_them_is_left(script, directory, speech):
    with script.namespace() as inside:
        said = script.storm(BUILT, inside, directory, speech, "ec", phones=20, before=2, rounds=2, steady=1)
    assert {name: said[f"{speech}.{name}"] for name in ("phones", "lost", "turned_away", "descriptors_left")} == {
        "phones": 20, "lost": 0, "turned_away": 0, "descriptors_left": 0}
    assert said[f"{speech}.memory_per_phone_bytes"] > 0
    assert said[f"{speech}.waits_ms"]["alone"]["sent"] >= 2
    assert said["counters"]["tls"]["handshakes_done"] == 42
    registrations = {"sccp": "skinny_registrations", "sip": "registrations"}[speech]
    assert said["counters"]["proxy"][registrations] == 42
