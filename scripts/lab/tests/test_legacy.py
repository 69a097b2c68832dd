"""Old phones, with TLS 1.0 and AES128-SHA or NULL-SHA, at listeners and in a process of their own: SIP and SCCP, with whole calls."""

import contextlib
import os
import shutil
import signal
import time

import pytest
from helpers import assert_heard, assert_plain, both_hear, eventually, hang_up, on_the_wire, settle, talk
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
CIPHER, NULL = "AES128-SHA", "NULL-SHA"


@contextlib.contextmanager
def listening(appliance, change={}, in_cluster={}, in_legacy={}):
    """The appliance with listeners for old phones, and with what is changed beside."""
    first, *others = DEFAULTS["cluster"][0]["sccp"]
    sccp_servers = [{**first, "legacy_listen": f"{network.OUTSIDE}:{SCCP}"}, *others]
    appliance.configure({**change, "cluster": [{**DEFAULTS["cluster"][0], **in_cluster, "sccp": sccp_servers}], "legacy_tls": {
        "listen": f"{network.OUTSIDE}:{SIP}",
        "certificate": "{root}/certificates/old-server.crt",
        "key": "{root}/certificates/old-server.key",
        "devices": DEVICES[0],
        **in_legacy,
    }})
    appliance.controlplane.stop()
    appliance.start_controlplane()
    eventually(lambda: appliance.ctl("status")["legacy_tls"]["confined"], what="the process for old phones")
    yield appliance
    appliance.configure()
    appliance.controlplane.stop()
    appliance.start_controlplane()


@pytest.fixture
def old(lab, appliance):
    with listening(appliance) as made:
        yield made


@pytest.fixture
def authenticated(lab, appliance):
    """With NULL-SHA too, and the phone's device in the class authenticated."""
    provisioning = {"directory": "{root}/control/provisioning", "phones": {"trust_list_first": False},
                    "tftp": {"listen": f"{network.OUTSIDE}:6969", "single_port": True}}
    cluster = {"tftp_server": f"{network.CALL_MANAGER}:69", "authenticated_devices": "allow",
               "rewrite": {"call_manager": [{"inside": network.CALL_MANAGER, "outside": network.OUTSIDE}]}}
    with listening(appliance, {"provisioning": provisioning}, cluster, {"null_cipher": True}) as made:
        made.ctl("phone", "allow", DEVICES[0], "--class", "authenticated")
        yield made
    shutil.rmtree(lab.state.root / "control" / "provisioning")


def old_phone(lab, **options):
    settings = {"old_cipher": CIPHER, **options}
    return lab.outside_phone(server=(network.OUTSIDE, SIP), certificate=lab.certificates.phone("old-phone"), **settings)


def shown(appliance) -> dict:
    """The old phone in the table of phones."""
    (found,) = [phone for phone in appliance.ctl("phones") if phone["device"] == DEVICES[0]]
    return found


def test_old_phone_registers_and_calls_by_sip(lab, old, phones):
    outside, inside = old_phone(lab), phones.inside()
    try:
        outside.register()
        assert shown(old)["tls"] == f"TLS 1.0 {CIPHER} (legacy)"
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


@contextlib.contextmanager
def sccp_pair(lab, appliance, **options):
    """An old phone outside and a phone in the office, registered by SCCP."""
    manager = SccpCallManager(lab.processes, "sccp-old", namespace="ph-inside", address=network.CALL_MANAGER, port=2000,
                              lines=NUMBERS, keep_alive=2, keys="rubbish",
                              servers=[["cm2000", network.CALL_MANAGER, 2000]]).start()
    made = []
    try:
        settings = {"old_cipher": CIPHER, **options}
        made.append(SccpPhone(DEVICES[0], [(network.OUTSIDE, SCCP)], namespace="ph-home",
                              address=network.HOMES["ph-home"], certificate=lab.certificates.phone("old-phone"),
                              server_ca=lab.certificates.server_ca, recording=lab.recording(1)[0], protocol=5, **settings))
        made.append(SccpPhone("SEP0010DB000004", [(network.CALL_MANAGER, 2000)], namespace="ph-desk",
                              address=network.DESKS["ph-desk"], recording=lab.recording(9)[0], speaks=settings.get("speaks", True)))
        yield [phone.wait_registered() for phone in made]
    finally:
        for phone in made:
            phone.close()
        manager.process.stop()
    assert [phone.failures for phone in made if phone.failures] == []
    left = appliance.wait_idle(25)
    assert not any(left.values()), left


def test_old_phone_registers_and_calls_by_sccp(lab, old):
    with sccp_pair(lab, old) as (outside, inside):
        one, two = call(outside, inside)
        sccp_talk(one, two)
        sccp_hang_up(one, two)


def assert_in_the_clear_by_us(captures, *ends):
    """What the ends of a call have sent is on both wires as they sent it, and all of it comes from or goes to the appliance."""
    for capture, ours in zip(captures, (network.OUTSIDE, network.INSIDE)):
        datagrams = capture.datagrams()
        assert_plain(capture)
        assert all(ours in (seen.source[0], seen.destination[0]) for seen in datagrams if seen.looks_like_rtp), ours
        assert [on_the_wire(datagrams, end) for end in ends] == [1] * len(ends), ours


@pytest.fixture
def captures(lab, appliance):
    """What passes on both wires; stopped by the test."""
    made = lab.capture("null-outside", network.OUTSIDE_WIRE), lab.capture("null-inside", network.INSIDE_WIRE)
    yield made
    for capture in made:
        if capture.process.alive():
            capture.process.stop()


def test_old_phone_of_class_authenticated_calls_by_null_sha_with_media_in_the_clear_by_us(lab, authenticated, phones, captures):
    outside, inside = old_phone(lab, old_cipher=NULL, encrypted=False), phones.inside()
    try:
        outside.register()
        assert shown(authenticated)["tls"] == f"TLS 1.0 {NULL} (legacy)"
        one, two = outside.call(inside)
        (seen,) = authenticated.ctl("calls")
        assert (seen["device"], seen["suite"]) == (DEVICES[0], "RTP")
        assert [(end.far.address, end.far.profile) for end in (one, two)] == [
            (network.OUTSIDE, "RTP/AVP"), (network.INSIDE, "RTP/AVP")]
        talk(one, two)
        assert_heard(one, two)
        hang_up(one, two)
    finally:
        outside.close()
    for capture in captures:
        capture.stop()
    assert_in_the_clear_by_us(captures, one, two)
    signalled = b"".join(payload for _, source, _, payload in captures[0].tcp_payloads() if source[0] != network.OUTSIDE)
    assert b"REGISTER sip:lab.example" in signalled, "the cipher hides nothing"
    assert authenticated.counter("proxy", "sessions_clear") == 1
    # It is the class that lets it in.
    authenticated.ctl("phone", "allow", DEVICES[0], "--class", "encrypted")
    refused = old_phone(lab, old_cipher=NULL, encrypted=False)
    try:
        assert refused.closed.wait(8)
        assert authenticated.counter("legacy_tls", "refused_null_cipher") == 1
    finally:
        refused.close()


def test_old_phone_of_class_authenticated_calls_by_sccp_and_null_sha(lab, authenticated, captures):
    with sccp_pair(lab, authenticated, old_cipher=NULL, encrypted=False, speaks=False) as (outside, inside):
        assert shown(authenticated)["tls"] == f"TLS 1.0 {NULL} (legacy)"
        one, two = call(outside, inside)
        assert one.remote[0] == network.OUTSIDE and two.remote[0] == network.INSIDE
        both_hear(outside, one, two)
        (seen,) = authenticated.ctl("calls")
        assert (seen["device"], seen["suite"]) == (DEVICES[0], "RTP")
        sccp_hang_up(one, two)
        for capture in captures:
            capture.stop()
        assert_in_the_clear_by_us(captures, one, two)
