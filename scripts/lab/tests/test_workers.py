"""Two workers in the data plane: each call's slot and ports are of one of them. The ports of the lab have one queue each,
so the workers hand each other what is the other's."""

import os
import time

import pytest
from helpers import assert_heard, eventually, hang_up, settle, talk

from pinhole_lab.scripted_phone import plug

CORES = sorted(os.sched_getaffinity(0))[:2]
pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="two workers need two cores")


@pytest.fixture
def two_workers(appliance):
    """The appliance with two workers; afterwards it is as it was."""
    def restart(change):
        appliance.controlplane.stop()
        appliance.dataplane.stop()
        appliance.configure(change)
        appliance.start()

    restart({"dataplane": {"worker_cores": CORES, "memory_mb": 256}})
    yield appliance
    restart({})


def carried_by(appliance):
    """The worker of each session."""
    return sorted(session["worker"] for session in appliance.ctl("sessions"))


def test_calls_are_spread_over_the_workers_and_carry_audio(two_workers, phones):
    outside, second, inside = phones.outside(), phones.second_outside(), phones.inside()
    one, two = outside.call(inside)
    talk(one, two)
    assert_heard(one, two)
    three, four = second.call(inside)
    assert carried_by(two_workers) == [0, 1]
    talk(three, four)
    assert_heard(three, four)
    workers = two_workers.ctl("workers")
    assert [(worker["number"], worker["core"], worker["sessions"]) for worker in workers] == [
        (0, CORES[0], 1), (1, CORES[1], 1)]
    # What came to the worker that does not own it was handed on, and nothing was lost on the way.
    assert sum(worker["missteered"] for worker in workers) > 0
    assert sum(worker["handoff_in"] for worker in workers) == sum(worker["handoff_out"] for worker in workers)
    assert two_workers.drops().get("handoff_full", 0) == 0
    hang_up(one, two)
    hang_up(three, four)


def test_two_phones_outside_hear_each_other_across_the_workers(two_workers, phones):
    first, second = phones.outside(), phones.second_outside()
    second.show_suites()
    one, two = first.call(second)
    assert carried_by(two_workers) == [0, 1]
    one.stream.start(), two.stream.start()
    eventually(lambda: one.stream.heard and two.stream.heard, what="audio both ways")
    time.sleep(1)
    settle(one, two)
    assert not one.stream.refused and not two.stream.refused
    assert two_workers.counter("dataplane", "hairpins") > 0
    hang_up(one, two)


def test_calls_of_both_workers_outlive_the_control_plane(two_workers, phones):
    outside, second, inside = phones.outside(), phones.second_outside(), phones.inside()
    calls = [outside.call(inside), second.call(inside)]
    for one, two in calls:
        plug(one, two)
    assert carried_by(two_workers) == [0, 1]
    two_workers.controlplane.kill()
    two_workers.controlplane.popen.wait()
    time.sleep(1)
    two_workers.start_controlplane()
    ids = sorted(one.call_id for one, _ in calls)
    eventually(lambda: sorted(call["call_id"] for call in two_workers.ctl("calls")) == ids, what="adoption of both")
    for phone in (outside, second):
        phone.reconnect()
        phone.register()
    time.sleep(1)
    for one, two in calls:
        settle(one, two)
        assert_heard(one, two)
        hang_up(one, two)
    assert not any(two_workers.wait_idle().values())
