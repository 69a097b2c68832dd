"""Old phones, with TLS 1.0 and AES128-SHA, at listeners and in a process of their own: SIP and SCCP, with whole calls."""

import os
import signal
import time

import pytest
from helpers import assert_heard, eventually, hang_up, settle, talk
from test_sccp import NUMBERS
from test_sccp import hang_up as sccp_hang_up
from test_sccp import talk as sccp_talk

from pinhole_lab import network
from pinhole_lab.appliance import DEFAULTS
from pinhole_lab.certificates import DEVICES
from pinhole_lab.sccp_callmanager import SccpCallManager
from pinhole_lab.sccp_phone import SccpPhone, call
from pinhole_lab.scripted_phone import plug

SIP, SCCP = 5063, 2445
CIPHER = "AES128-SHA"


@pytest.fixture
def old(lab, appliance):
    """The appliance with listeners for old phones."""
    first, *others = DEFAULTS["cluster"][0]["sccp"]
    cluster = {**DEFAULTS["cluster"][0], "sccp": [{**first, "legacy_listen": f"{network.OUTSIDE}:{SCCP}"}, *others]}
    appliance.configure({"cluster": [cluster], "legacy_tls": {
        "listen": f"{network.OUTSIDE}:{SIP}",
        "certificate": "{root}/certificates/old-server.crt",
        "key": "{root}/certificates/old-server.key",
        "devices": DEVICES[0],
    }})
    appliance.controlplane.stop()
    appliance.start_controlplane()
    eventually(lambda: appliance.ctl("status")["legacy_tls"]["confined"], what="the process for old phones")
    yield appliance
    appliance.configure()
    appliance.controlplane.stop()
    appliance.start_controlplane()


def old_phone(lab):
    return lab.outside_phone(server=(network.OUTSIDE, SIP), certificate=lab.certificates.phone("old-phone"), old_cipher=CIPHER)


def test_old_phone_registers_and_calls_by_sip(lab, old, phones):
    outside, inside = old_phone(lab), phones.inside()
    try:
        outside.register()
        (seen,) = [phone for phone in old.ctl("phones") if phone["device"] == DEVICES[0]]
        assert seen["tls"] == f"TLS 1.0 {CIPHER} (legacy)"
        one, two = outside.call(inside)
        assert f"{network.OUTSIDE}:{SIP}" in one.target, "it is told the listener that it came to"
        talk(one, two)
        assert_heard(one, two)
        hang_up(one, two)
    finally:
        outside.close()


def test_when_the_old_process_is_killed_modern_calls_and_media_go_on(lab, old, phones):
    outside, modern, inside = old_phone(lab), phones.second_outside(), phones.inside()
    try:
        outside.register()
        one, two = modern.call(inside)
        plug(one, two)
        os.kill(old.ctl("status")["legacy_tls"]["pid"], signal.SIGKILL)
        assert outside.closed.wait(8), "its phone is cut off"
        eventually(lambda: old.ctl("status")["legacy_tls"]["started"] == 2, what="its new start")
        outside.reconnect()
        outside.register()
        time.sleep(2)
        settle(one, two)
        assert_heard(one, two)
        hang_up(one, two)
        assert old.counter("legacy_tls", "ended") == 1
    finally:
        outside.close()


def test_old_phone_registers_and_calls_by_sccp(lab, old):
    manager = SccpCallManager(lab.processes, "sccp-old", namespace="ph-inside", address=network.CALL_MANAGER, port=2000,
                              lines=NUMBERS, keep_alive=2, keys="rubbish",
                              servers=[["cm2000", network.CALL_MANAGER, 2000]]).start()
    made = []
    try:
        made.append(SccpPhone(DEVICES[0], [(network.OUTSIDE, SCCP)], namespace="ph-home",
                              address=network.HOMES["ph-home"], certificate=lab.certificates.phone("old-phone"),
                              server_ca=lab.certificates.server_ca, recording=lab.recording(1)[0], protocol=5,
                              old_cipher=CIPHER))
        made.append(SccpPhone("SEP0010DB000004", [(network.CALL_MANAGER, 2000)], namespace="ph-desk",
                              address=network.DESKS["ph-desk"], recording=lab.recording(9)[0]))
        outside, inside = (phone.wait_registered() for phone in made)
        one, two = call(outside, inside)
        sccp_talk(one, two)
        sccp_hang_up(one, two)
    finally:
        for phone in made:
            phone.close()
        manager.process.stop()
    assert [phone.failures for phone in made if phone.failures] == []
    left = old.wait_idle(25)
    assert not any(left.values()), left
