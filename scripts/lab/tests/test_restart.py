"""What dies, and what must not die with it."""

import time

import pytest
from helpers import assert_heard, eventually, hang_up, in_background, settle

from pinhole_lab.media import missing
from pinhole_lab.scripted_phone import plug


@pytest.mark.parametrize("who_hangs_up", ["outside", "inside"])
def test_killed_control_plane_loses_no_audio_and_the_new_one_adopts_the_call(phones, appliance, who_hangs_up):
    outside, inside = phones.outside(), phones.inside()
    one, two = outside.call(inside)
    plug(one, two)
    time.sleep(1)
    before = appliance.ctl("sessions")[0]
    appliance.controlplane.kill()
    appliance.controlplane.popen.wait()
    time.sleep(1.5)
    appliance.start_controlplane()
    eventually(lambda: [call["call_id"] for call in appliance.ctl("calls")] == [one.call_id], what="adoption")
    after = appliance.ctl("sessions")[0]
    assert (after["slot"], after["generation"]) == (before["slot"], before["generation"])
    assert after["legs"][0]["rx_packets"] > before["legs"][0]["rx_packets"] + 50
    outside.reconnect()
    outside.register()
    time.sleep(1)
    settle(one, two)
    assert_heard(one, two, least=3)
    hang_up(*((one, two) if who_hangs_up == "outside" else (two, one)))
    assert not any(appliance.wait_idle().values())


def test_killed_phone_closes_its_pinholes(phones, appliance):
    outside, inside = phones.outside(), phones.inside()
    one, two = outside.call(inside)
    plug(one, two)
    time.sleep(0.5)
    assert len(appliance.ctl("sessions")) == 1
    waiting = in_background(lambda: two.wait_bye(15))
    outside.close(abruptly=True)
    assert not any(appliance.wait_idle(15).values())
    waiting()


def test_phone_that_comes_back_in_time_keeps_its_call(phones, appliance):
    outside, inside = phones.outside(), phones.inside()
    one, two = outside.call(inside)
    plug(one, two)
    time.sleep(0.5)
    outside.reconnect()
    outside.register()
    time.sleep(5)
    settle(one, two)
    assert_heard(one, two, least=4)
    hang_up(two, one)


def test_killed_data_plane_ends_its_calls_and_the_next_ones_are_heard(phones, appliance):
    """No key is used with empty stream states: both ends get BYE. Registrations outlive it."""
    outside, inside = phones.outside(), phones.inside()
    one, two = outside.call(inside)
    plug(one, two)
    time.sleep(0.5)
    appliance.dataplane.kill()
    appliance.dataplane.popen.wait()
    eventually(lambda: any(event["kind"] == "data_plane_lost" for event in appliance.ctl("events")), what="an event")
    waiting = [in_background(lambda call=call: call.wait_bye(30)) for call in (one, two)]
    appliance.start_dataplane()
    for wait in waiting:
        wait()
    assert not any(appliance.wait_idle(15).values())
    eventually(appliance.ready, 15, "the control plane's attachment")
    settle(one, two)
    one, two = outside.call(inside)
    plug(one, two)
    # The new twins' kernel has to learn its neighbours first.
    eventually(lambda: one.stream.heard and two.stream.heard, 15, "media both ways")
    marks = len(one.stream.sent), len(two.stream.sent)
    time.sleep(1)
    settle(one, two)
    assert len(one.stream.sent) > marks[0] + 30 and len(two.stream.sent) > marks[1] + 30
    assert missing(one.stream, two.stream, marks[0]) == []
    assert missing(two.stream, one.stream, marks[1]) == []
    hang_up(one, two)
