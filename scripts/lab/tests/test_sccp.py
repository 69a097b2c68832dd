"""SCCP phones outside, over TLS and SRTP, through the appliance to call managers and phones that speak neither."""

import base64
import json

import pytest
from helpers import SccpPhones, eventually
from helpers import converse as talk
from helpers import sccp_hang_up as hang_up

from pinhole_lab import network, sccp
from pinhole_lab.certificates import DEVICES
from pinhole_lab.sccp_callmanager import SccpCallManager
from pinhole_lab.sccp_phone import call, connected

NUMBERS = dict(zip((*DEVICES, "SEP0010DB000004"), ("1001", "1002", "1003", "2001")))
PORTS = (2000, 2001)


@pytest.fixture
def managers(lab, appliance):
    """A primary call manager and a backup."""
    made = [SccpCallManager(lab.processes, f"sccp-{port}", namespace="ph-inside", address=network.CALL_MANAGER, port=port,
                            lines=NUMBERS, keep_alive=2, keys="rubbish",
                            servers=[[f"cm{other}", network.CALL_MANAGER, other] for other in PORTS]).start()
            for port in PORTS]
    yield made
    for manager in made:
        manager.process.stop()


@pytest.fixture
def phones(lab, appliance, managers, keys_ever):
    """Makes registered phones, and ends them after the test. No session may be left then, and no phone may have been told
    what it must not be told."""
    made = SccpPhones(lab, PORTS, keys_ever)
    yield made
    made.close()


@pytest.mark.parametrize("protocol", [5, 11, 17, 22])
def test_outside_phone_of_each_generation_talks_with_inside_phone(phones, appliance, managers, protocol):
    outside, inside = phones.outside(protocol=protocol), phones.inside()
    assert outside.user == "1001"
    managers[0].wait_for(f"{outside.device} registers as 1001 with protocol {protocol} from {network.INSIDE}")
    one, two = call(outside, inside)
    talk(one, two)
    assert one.remote[0] == network.OUTSIDE and two.remote[0] == network.INSIDE
    assert one.security != 3, "the inside is clear"
    assert len(one.stream.sent[0][1]) == 176 and len(two.stream.sent[0][1]) == 172
    assert len(appliance.ctl("sessions")) == 1 and appliance.ctl("calls")[0]["device"] == outside.device
    hang_up(one, two)
    one, two = call(inside, outside)
    talk(one, two)
    hang_up(one, two)


def test_phones_behind_the_same_nat_call_each_other(phones, appliance):
    first, second = phones.outside(0), phones.outside(1)
    one, two = call(first, second)
    talk(one, two)
    assert len(appliance.ctl("sessions")) == 2
    hang_up(one, two)


def test_phone_that_acknowledges_without_party_id_talks(phones):
    one, two = call(phones.outside(zero_party=True), phones.inside())
    talk(one, two)
    hang_up(one, two)


def test_hold_and_resume_bring_new_keys_and_ports_and_no_log_has_a_key(phones, lab, appliance, keys_ever):
    one, two = call(phones.outside(), phones.inside())
    talk(one, two)
    before = one.remote
    one.soft_key(sccp.HOLD_KEY)
    one.wait_state(sccp.HOLD).wait_silent()
    one.soft_key(sccp.RESUME)
    connected(one, two)
    talk(one, two)
    assert one.remote != before
    assert len({key.key for key in one.receive_keys + one.transmit_keys}) == 4
    two.soft_key(sccp.HOLD_KEY)
    one.wait_silent()
    two.soft_key(sccp.RESUME)
    connected(one, two)
    talk(one, two)
    hang_up(one, two)
    assert len({key.key for key in one.receive_keys + one.transmit_keys}) == 6
    said = json.dumps(appliance.ctl("events")).encode()
    said += b"".join(path.read_bytes() for path in lab.state.directory("logs").glob("*plane-*.log"))
    assert b"SCCP in slot" in said
    # Half a key is enough, however it is written.
    for half in (key[:8] for key in keys_ever):
        written = half.hex().encode(), base64.b64encode(half[:6]), ", ".join(str(byte) for byte in half).encode(), half
        assert not any(form in said.lower() or form in said for form in written)


def test_transfer_joins_the_two_others(phones):
    first, second, inside = phones.outside(0), phones.outside(1), phones.inside()
    mine, theirs = call(first, inside)
    talk(mine, theirs, 1)
    mine.soft_key(sccp.TRANSFER)
    theirs.wait_silent()
    consultation = first.wait_call(sccp.OFF_HOOK)
    consultation.press(second.user)
    other = second.wait_call(sccp.RING_IN)
    other.answer()
    talk(*connected(consultation, other), 1)
    consultation.soft_key(sccp.TRANSFER)
    first.wait(lambda: not first.calls, "the end of its calls")
    second.wait(lambda: len(other.streams) == 2, "media with the inside phone")
    inside.wait(lambda: len(theirs.streams) == 2, "media with the second phone")
    talk(*connected(theirs, other))
    hang_up(theirs, other)


def test_phone_is_told_of_call_managers_where_it_reaches_them(phones):
    servers = phones.outside().expect("ServerRes")
    assert [(servers.get(f"name{n}"), servers.get(f"address{n}"), servers.get(f"port{n}")) for n in range(3)] == [
        ("one.lab.example", network.OUTSIDE, 2443), ("two.lab.example", network.OUTSIDE, 2444), ("", "0.0.0.0", 0)]


def test_phones_fail_over_to_the_backup_and_come_back(phones, managers, appliance):
    outside, inside = phones.outside(), phones.inside()
    talk(*call(outside, inside), 1)
    managers[0].process.kill()
    outside.wait_registered(server=1)
    inside.wait_registered(server=1)
    eventually(lambda: not appliance.ctl("sessions"), what="the end of the call that the phones have given up")
    one, two = call(outside, inside)
    talk(one, two)
    hang_up(one, two)
    managers[0].start()
    outside.wait_registered(server=0, seconds=12)
    managers[1].wait_for(f"{outside.device} unregisters")


def come_back(manager, outside, inside, appliance):
    """The call manager is there again: phones register anew, which ends their old call, and another one works."""
    manager.start()
    outside.registers = inside.registers = True
    outside.wait_registered()
    inside.wait_registered()
    eventually(lambda: not appliance.ctl("sessions"), what="the end of the old session")
    one, two = call(outside, inside)
    talk(one, two)
    hang_up(one, two)


def test_media_outlives_the_call_manager_until_phones_register_again(phones, managers, appliance):
    outside, inside = phones.outside(), phones.inside()
    outside.registers = inside.registers = False
    one, two = call(outside, inside)
    talk(one, two)
    managers[0].process.kill()
    outside.wait_unregistered()
    talk(one, two, 6)
    assert len(appliance.ctl("sessions")) == 1, "longer than the grace time of lost phones"
    come_back(managers[0], outside, inside, appliance)


def test_lost_phone_ends_its_call_and_leaves_nothing(phones, managers, appliance):
    outside, inside = phones.outside(), phones.inside()
    one, two = call(outside, inside)
    talk(one, two, 1)
    outside.close(abruptly=True)
    managers[0].wait_for(f"{outside.device} is gone")
    two.wait_state(sccp.ON_HOOK)
    left = appliance.wait_idle()
    assert not any(left.values()), left


def test_silent_phone_is_given_up_by_its_call_manager_and_comes_back(phones, managers, appliance):
    outside, inside = phones.outside(), phones.inside()
    one, two = call(outside, inside)
    talk(one, two, 1)
    outside.mute = True
    managers[0].wait_for(f"{outside.device} is gone", 12)
    two.wait_state(sccp.ON_HOOK)
    outside.mute = False
    since = len(managers[0].says())
    managers[0].wait_for(f"{outside.device} is ready", since=since)
    assert not any(appliance.wait_idle().values())
    one, two = call(outside.wait_registered(), inside)
    talk(one, two, 1)
    hang_up(one, two)


def connections(appliance, device) -> dict:
    """The phone's connections as operators see them: whether it is registered there, by the call manager's port."""
    return {int(shown["call_manager"].rpartition(":")[2]): bool(shown["registered"]) for shown in appliance.ctl("phones")
            if shown["device"] == device and shown["peer"]}


@pytest.mark.parametrize("kind", [1, 2], ids=["reset", "restart"])
def test_phone_that_its_call_manager_resets_lets_go_and_registers_again(phones, managers, appliance, kind):
    outside, inside = phones.outside(), phones.inside()
    one, two = call(outside, inside)
    talk(one, two, 1)
    assert connections(appliance, outside.device) == {2000: True, 2001: False}
    granted, since = appliance.counter("proxy", "skinny_registrations"), [len(manager.says()) for manager in managers]
    managers[0].command(f"reset {outside.device} {kind}")
    assert outside.expect("Reset").get("kind") == kind
    managers[0].wait_for(f"{outside.device} is gone", since=since[0])
    managers[1].wait_for(" is gone", since=since[1])
    two.wait_state(sccp.ON_HOOK)
    managers[0].wait_for(f"{outside.device} is ready", since=since[0])
    outside.wait_registered()
    eventually(lambda: connections(appliance, outside.device) == {2000: True, 2001: False}, what="both its connections")
    assert appliance.counter("proxy", "skinny_registrations") == granted + 1
    eventually(lambda: not appliance.ctl("sessions"), what="the end of the call's session")
    one, two = call(inside, outside)
    talk(one, two, 1)
    hang_up(one, two)


def test_phone_that_unregisters_is_shown_so_and_leaves_no_connection_on_either_side(phones, managers, appliance):
    outside, inside = phones.outside(), phones.inside()
    one, two = call(outside, inside)
    talk(one, two, 1)
    since = [len(manager.says()) for manager in managers]
    outside.unregister()
    outside.expect("UnregisterAck")
    managers[0].wait_for(f"{outside.device} unregisters", since=since[0])
    two.wait_state(sccp.ON_HOOK)
    eventually(lambda: connections(appliance, outside.device) == {2000: False, 2001: False}, what="the end of its registration")
    eventually(lambda: not appliance.ctl("sessions"), what="the end of the call's session")
    assert "unregistered" in [event["kind"] for event in appliance.ctl("events") if event.get("device") == outside.device]
    outside.close()
    eventually(lambda: connections(appliance, outside.device) == {}, what="the end of its connections")
    for manager, before in zip(managers, since):
        manager.wait_for(" is gone", since=before)
        assert manager.says()[before:].count(" is gone") == 1


def test_phone_cannot_register_under_anothers_name(phones, managers, appliance):
    before = appliance.counter("proxy", "skinny_name_refused")
    thief = phones.outside(registered=False, device=DEVICES[1])
    assert thief.expect("RegisterReject").get("text") == "not your device name"
    eventually(lambda: appliance.counter("proxy", "skinny_name_refused") == before + 1, what="the counter")
    assert f"{DEVICES[1]} registers" not in managers[0].says()


def test_media_outlives_the_control_plane_until_phones_register_again(phones, managers, appliance):
    outside, inside = phones.outside(), phones.inside()
    outside.registers = inside.registers = False
    one, two = call(outside, inside)
    talk(one, two)
    before = appliance.ctl("sessions")[0]
    # A call manager would end the call on the inside phone, which alone has kept its connection.
    managers[0].process.kill()
    appliance.controlplane.kill()
    appliance.controlplane.popen.wait()
    talk(one, two)
    appliance.start_controlplane()
    eventually(lambda: [found["state"] for found in appliance.ctl("calls")] == ["adopted"], what="adoption")
    talk(one, two, 6)
    after = appliance.ctl("sessions")[0]
    assert (after["slot"], after["generation"]) == (before["slot"], before["generation"])
    come_back(managers[0], outside, inside, appliance)
