"""No key ever stands in a log, an event, a trace or an error, however much is logged: whatever the phones and the call
managers know is looked for, in every form in which a program could write it."""

import base64
import re

import pytest
from helpers import eventually, hang_up

from pinhole_lab import network, sccp
from pinhole_lab.appliance import USER
from pinhole_lab.certificates import DEVICES
from pinhole_lab.sccp_callmanager import SccpCallManager
from pinhole_lab.sccp_phone import SccpPhone, call, connected
from pinhole_lab.state import LabError

PART = 6
"""Bytes of a key that are looked for at a time: whoever shows eleven in a row is found."""
PASSWORD = "5a1e0f77c4d39b2866aa"
"""A digest response, which is no key but proves that somebody has one."""


def forms(secret: bytes):
    """How a program could write a part of a secret: as it is, in digits with or without something between, in base64."""
    for at in range(0, len(secret) - PART + 1, PART):
        part = secret[at: at + PART]
        yield part
        for text in (part.hex(), part.hex(" "), part.hex(":"), part.hex(","), ", ".join(f"0x{byte:02x}" for byte in part),
                     ", ".join(map(str, part)), " ".join(map(str, part))):
            yield text.encode()
            yield text.upper().encode()
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(secret[shift:])
            yield from (encoded[at: at + 8] for at in range(0, len(encoded) - 7, 8) if b"=" not in encoded[at: at + 8])


def shown(secret: bytes, text: bytes):
    """The first form of a secret that stands in a text."""
    return next((form for form in forms(secret) if form in text), None)


def parts(key: bytes, salt: bytes) -> set:
    return {key, salt, key + salt}


def test_every_form_of_a_planted_key_is_found():
    secret = bytes(range(200, 230))
    written = [secret, secret.hex().encode(), secret.hex().upper().encode(), secret.hex(" ").encode(),
               str(list(secret)).encode(), base64.b64encode(secret), base64.b64encode(b"x" + secret),
               base64.b64encode(b"xy" + secret + b"z"), base64.b64encode(secret[:16]), secret[3:14].hex().encode()]
    for text in written:
        assert shown(secret, b"before " + text + b" after"), text
    assert not shown(secret, b"before after" + bytes(100))


@pytest.fixture
def talkative(appliance):
    """An appliance that says all it can."""
    appliance.controlplane.stop()
    appliance.dataplane.stop()
    appliance.configure({"controlplane": {"log": {"level": "trace"}}})
    appliance.start_dataplane(environment={"PINHOLE_LOG": "trace"})
    appliance.start_controlplane()
    yield appliance
    appliance.controlplane.stop()
    appliance.dataplane.stop()


@pytest.fixture
def watched(lab, talkative):
    """Programs that show what happens, and what is said by and to each phone."""
    def watch(name, *words):
        return lab.processes.start(name, [talkative.binary("pinholectl"), "--config", talkative.configuration, *words], user=USER)

    programs = [watch("watch-events", "events", "--follow"), watch("watch-events-json", "--json", "events", "--follow")]
    for device in DEVICES:
        programs += [watch(f"watch-{device}", "trace", device, "--hex"), watch(f"watch-{device}-json", "--json", "trace", device, "--hex")]
    begun = lambda: sum(event["kind"] == "trace_begun" for event in talkative.ctl("events"))  # noqa: E731
    eventually(lambda: begun() == 2 * len(DEVICES), what="the beginning of all traces")
    yield {program.name: program for program in programs}
    for program in programs:
        program.stop()


def test_no_key_of_phones_and_call_managers_is_ever_shown(lab, talkative, watched, phones):
    manager = SccpCallManager(lab.processes, "sccp-2000", namespace="ph-inside", address=network.CALL_MANAGER, port=2000,
                              lines=dict(zip(DEVICES, ("1001", "1002", "1003"))), keys="all").start()
    stations = [SccpPhone(servers=[(network.OUTSIDE, 2443)], namespace="ph-home2", address=network.HOMES["ph-home2"],
                          server_ca=lab.certificates.server_ca, certificate=lab.certificates.phone(device), device=device,
                          protocol=protocol, recording=lab.recording(3)[0])
                for device, protocol in ((DEVICES[1], 11), (DEVICES[2], 22))]
    secrets, record = set(), b""
    try:
        # SIP: a call, its keys, and somebody's credentials.
        outside, inside = phones.outside(), phones.inside()
        mine = outside.invite(inside.user)
        theirs = inside.wait_call()
        theirs.accept()
        answer = mine.wait_answer()
        theirs.wait_acknowledged()
        proof = f'Digest username="1001", realm="lab", nonce="n", uri="sip:lab", response="{PASSWORD}"'
        request = mine.request("INFO", extra=[("Authorization", proof)])
        outside.send(request)
        inside.expect(lambda message: message.request and message.method == "INFO", "the INFO")
        hang_up(mine, theirs)
        record += mine.invitation.to_bytes() + answer.to_bytes() + request.to_bytes()
        for crypto in (*mine.offered, *mine.far.cryptos):
            secrets |= {crypto.key, crypto.key[:16]}
        # SCCP: a call with keys on all four legs, hold and resume, which bring new ones.
        for station in stations:
            station.wait_registered()
        one, two = call(*stations)
        one.soft_key(sccp.HOLD_KEY)
        one.wait_state(sccp.HOLD).wait_silent()
        one.soft_key(sccp.RESUME)
        connected(one, two)
        one.hang_up()
        for each in (one, two):
            each.wait_state(sccp.ON_HOOK)
            record += b"".join(message.body for _, message in each.phone.heard)
            keys = [*each.receive_keys, *each.transmit_keys]
            assert len(keys) == 4
            for key in keys:
                secrets |= parts(key.key, key.salt)
        record += manager.says().encode()
        theirs = re.findall(r"gives the key (\w{32}) (\w{28})", manager.says())
        assert len(theirs) == 4
        for key, salt in theirs:
            secrets |= parts(bytes.fromhex(key), bytes.fromhex(salt))
        with pytest.raises(LabError, match="is no device name"):
            talkative.ctl("trace", "no name")
    finally:
        for station in stations:
            station.close()
        manager.process.stop()
    for secret in secrets:
        assert shown(secret, record), "who looks for a key finds it where it is"
    assert PASSWORD.encode() in record
    eventually(lambda: b"BYE" in watched[f"watch-{DEVICES[0]}"].log.read_bytes(), what="the end of the call in the trace")

    said = {path.name: path.read_bytes() for path in lab.state.directory("logs").glob("*.log")
            if path.name.startswith(("watch-", "dataplane-", "controlplane-"))}
    for device, message in zip(DEVICES, (b"inline:(masked)", b"StartMediaTransmission", b"StartMediaTransmission")):
        for name in (f"watch-{device}.log", f"watch-{device}-json.log"):
            assert message in said[name] and b"(masked)" in said[name], name
    assert b"response=(masked)" in said[f"watch-{DEVICES[0]}.log"]
    assert b"session_opened" in said["watch-events-json.log"] and b"TRACE" in said[f"{talkative.controlplane.name}.log"]
    for name, text in said.items():
        assert PASSWORD.encode() not in text, name
        found = [form for form in (shown(secret, text) for secret in secrets) if form]
        assert found == [], f"{name} shows keys"
