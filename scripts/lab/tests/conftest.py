"""One lab for all tests: its wires and processes are real, only the phones do as they are told."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from pinhole_lab.lab import Lab  # noqa: E402


@pytest.fixture(scope="session")
def wires():
    """The lab's namespaces and wires, with nothing at their ends yet."""
    with Lab(keep=bool(os.environ.get("PINHOLE_LAB_KEEP"))) as made:
        yield made


@pytest.fixture(scope="session")
def lab(wires):
    wires.start()
    return wires


@pytest.fixture
def appliance(lab):
    """The appliance with the lab's own configuration, idle. Whatever a test has done to it is undone afterwards."""
    made = lab.appliance
    if not (lab.call_manager.process.alive()):
        lab.call_manager.start()
    if not made.dataplane.alive():
        made.start_dataplane()
    made.configure()
    if not made.controlplane.alive():
        made.start_controlplane()
    yield made


@pytest.fixture(scope="session")
def keys_ever():
    """All keys that SCCP phones have been told in this run: none may be told twice."""
    return set()


@pytest.fixture
def phones(lab, appliance):
    """Makes registered scripted phones, and ends them after the test. No session may be left then."""
    made = []

    class Phones:
        @staticmethod
        def outside(**options):
            made.append(lab.outside_phone(**options))
            made[-1].register()
            return made[-1]

        @staticmethod
        def second_outside(**options):
            return Phones.outside(user="1002", namespace="ph-home2", device="SEP0010DB000002", seed=5, **options)

        @staticmethod
        def inside(**options):
            made.append(lab.inside_phone(**options))
            made[-1].register()
            return made[-1]

    yield Phones
    for phone in made:
        phone.close()
    left = appliance.wait_idle(25) if appliance.controlplane.alive() else {}
    assert not any(left.values()), f"left after the test: {left}"
