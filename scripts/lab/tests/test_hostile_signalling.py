"""A phone that calls without end and is never answered: it gets what it may have and no more, and takes nothing from others."""

import time

import pytest
from helpers import assert_heard, eventually, hang_up, in_background, settle

from pinhole_lab.scripted_phone import Call, plug
from pinhole_lab.sip import Description
from pinhole_lab.state import LabError

FLOOD = 300
RING = 10
"""Seconds after which an unanswered call is ended."""


@pytest.fixture
def patient(appliance):
    """The control plane with little patience for calls that nobody answers, and much for phones that make them."""
    appliance.controlplane.stop()
    appliance.configure({"limits": {"calls_per_phone": 1000}, "timers": {"ring_s": RING}})
    appliance.start_controlplane()
    yield appliance
    appliance.wait_idle(25)
    appliance.controlplane.stop()
    appliance.configure()
    appliance.start_controlplane()


def test_unanswered_calls_hold_ports_for_a_bounded_time_and_disturb_no_call(patient, phones):
    outside, inside = phones.outside(), phones.inside()
    flooder = phones.second_outside()
    deaf = phones.inside(user="2002", namespace="ph-desk2")
    one, two = outside.call(inside)
    plug(one, two)
    before = in_use(patient)

    ringing = in_background(lambda: ring(deaf))
    for _ in range(FLOOD):
        Call.offer(flooder, deaf.user)
        time.sleep(0.005)
    offered = ringing()
    held = in_use(patient)
    # Each call has its own ports, and the phone's bound is reached long before the ports are used up.
    assert len(offered) > 20 and len(offered) == len(set(offered)), offered
    assert two.far.port not in [port for _, port in offered]
    assert before + len(offered) <= held < patient.ctl("status")["ports"]["total"] / 2
    assert patient.counter("proxy", "phone_dialog_limit") > FLOOD / 2

    eventually(lambda: in_use(patient) == before, 3 * RING, "the end of the unanswered calls")
    third, fourth = flooder.call(deaf)
    plug(third, fourth)
    time.sleep(1.7)
    settle(one, two, third, fourth)
    assert_heard(one, two, least=5)
    assert_heard(third, fourth)
    hang_up(one, two)
    hang_up(third, fourth)


def ring(phone) -> list:
    """Lets calls ring as long as they come; the media addresses and ports that they offer."""
    offered = []
    while True:
        try:
            offer = Description.parse(phone.wait_call(seconds=2).invitation.body)
        except LabError:
            return offered
        offered.append((offer.address, offer.port))


def in_use(appliance) -> int:
    """Media ports in use."""
    return appliance.ctl("status")["ports"]["in_use"]
