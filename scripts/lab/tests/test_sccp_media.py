"""Media of SCCP phones through the appliance: video, one way only, keys on both sides, all protocol generations."""

import types

import pytest
from helpers import SccpPhones, assert_encrypted, assert_plain, converse, in_background, sccp_cryptos, sccp_hang_up

from pinhole_lab import network, sccp
from pinhole_lab.appliance import DEFAULTS
from pinhole_lab.certificates import DEVICES
from pinhole_lab.sccp_callmanager import SccpCallManager
from pinhole_lab.sccp_phone import call, connected

GENERATIONS = {version: f"SEP0010DB0001{version:02d}" for version in (3, 5, 8, 11, 15, 16, 17, 19, 20, 22)}
NUMBERS = {**dict(zip((*DEVICES, "SEP0010DB000004"), ("1001", "1002", "1003", "2001"))),
           **{device: f"11{version:02d}" for version, device in GENERATIONS.items()}}


@pytest.fixture
def manage(lab, appliance):
    """Starts the call manager."""
    made = []

    def start(**settings):
        made.append(SccpCallManager(lab.processes, "sccp-media", namespace="ph-inside", address=network.CALL_MANAGER, port=2000,
                                    lines=NUMBERS, keep_alive=2, **{"keys": "rubbish", **settings}).start())
        return made[-1]

    yield start
    for manager in made:
        manager.process.stop()


@pytest.fixture
def phones(lab, appliance, manage, keys_ever):
    made = SccpPhones(lab, [2000], keys_ever)
    yield made
    made.close()


def video(call):
    """A call's video, as what talks and listens."""
    return types.SimpleNamespace(phone=call.phone, stream=call.video.stream)


def at_once(*actions):
    """Does all of it at the same time; returns what came of each."""
    return [wait() for wait in [in_background(action) for action in actions]]


def call_and_hold(caller, called):
    """A call that talks, is held by the caller, and talks again."""
    one, two = call(caller, called)
    converse(one, two)
    one.soft_key(sccp.HOLD_KEY)
    one.wait_silent()
    two.wait_silent()
    one.soft_key(sccp.RESUME)
    connected(one, two)
    converse(one, two)
    return one, two


def test_phones_of_all_generations_call_each_other_at_once(manage, phones, lab, appliance):
    manager = manage()
    made = {version: phones.outside(number % 2, registered=False, protocol=version, device=device,
                                    certificate=lab.certificates.phone(device))
            for number, (version, device) in enumerate(GENERATIONS.items())}
    for version, phone in made.items():
        phone.wait_registered()
        assert phone.granted == version and phone.user == NUMBERS[phone.device]
        manager.wait_for(f"{phone.device} registers as {phone.user} with protocol {version} from {network.INSIDE}")
    versions = list(made)
    pairs = [(made[one], made[two]) for one, two in zip(versions[:5], reversed(versions[5:]))]
    calls = at_once(*(lambda pair=pair: call(*pair) for pair in pairs))
    at_once(*(lambda pair=pair: converse(*pair) for pair in calls))
    assert len(appliance.ctl("sessions")) == len(GENERATIONS)
    for pair in calls:
        sccp_hang_up(*pair)


@pytest.mark.parametrize("protocol", [11, 17])
def test_video_is_carried_beside_audio(manage, phones, lab, appliance, protocol):
    manage(video=True)
    captures = [lab.capture(f"video-{name}", wire)
                for name, wire in (("outside", network.OUTSIDE_WIRE), ("inside", network.INSIDE_WIRE))]
    one, two = call(phones.outside(protocol=protocol), phones.inside())
    for each in (one, two):
        each.video.wait_media()
    at_once(lambda: converse(one, two), lambda: converse(video(one), video(two)))
    assert len(appliance.ctl("sessions")) == 2
    assert one.video.remote[0] == network.OUTSIDE and two.video.remote[0] == network.INSIDE
    assert one.video.remote != one.remote
    one.soft_key(sccp.HOLD_KEY)
    for each in (one, one.video, two, two.video):
        each.wait_silent()
    one.soft_key(sccp.RESUME)
    for each in connected(one, two):
        each.video.wait_media()
    at_once(lambda: converse(one, two), lambda: converse(video(one), video(two)))
    sccp_hang_up(one, two)
    for capture in captures:
        capture.stop()
    keys = sccp_cryptos(one, one.video)
    assert len({crypto.key for crypto in keys}) == 8
    assert_encrypted(captures[0], keys)
    assert_plain(captures[1], {(0, 172), (97, 1112)})


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear-inside", "keys-inside"])
def test_one_way_calls_are_heard(manage, phones, appliance, encrypted):
    manager = manage(keys="all" if encrypted else "none")
    # Not behind a NAT: one that only listens has never sent anything that would open its NAT.
    outside = phones.outside(namespace="ph-internet", address=network.STRANGER)
    inside, home = phones.inside(encrypted=encrypted), phones.outside(1)
    for ways, caller, called in (("called", outside, inside), ("called", inside, outside), ("caller", outside, inside),
                                 ("called", home, outside)):
        manager.command(f"ways {ways}")
        one = caller.dial(called.user)
        two = called.wait_call(sccp.RING_IN)
        two.answer()
        speaker, listener = (one, two) if ways == "called" else (two, one)
        speaker.wait_state(sccp.CONNECTED).wait_media(receives=False)
        listener.wait_state(sccp.CONNECTED).wait_media(transmits=False)
        converse(speaker, listener, ways=1)
        assert speaker.stream.received == 0 and len(appliance.ctl("sessions")) == (2 if caller is home else 1)
        sccp_hang_up(one, two)


def test_encrypted_cluster_has_other_keys_inside(manage, phones, lab, appliance):
    manage(keys="all")
    captures = [lab.capture(f"keyed-{name}", wire)
                for name, wire in (("outside", network.OUTSIDE_WIRE), ("inside", network.INSIDE_WIRE))]
    outside, inside = phones.outside(), phones.inside(encrypted=True)
    one, two = call_and_hold(outside, inside)
    sccp_hang_up(one, two)
    three, four = call(inside, outside)
    converse(three, four)
    sccp_hang_up(three, four)
    for capture in captures:
        capture.stop()
    ends = [sccp_cryptos(one, four), sccp_cryptos(two, three)]
    assert not {crypto.key for crypto in ends[0]} & {crypto.key for crypto in ends[1]}
    for capture, keys in zip(captures, ends):
        assert len({crypto.key for crypto in keys}) == 6
        assert_encrypted(capture, keys)


@pytest.fixture
def secure(lab, appliance, manage):
    """An encrypted cluster that the appliance reaches by TLS: `start(settings of the cluster, of the call manager's entry)`."""
    directory = lab.certificates.directory
    lab.certificates.call_manager()
    known = directory / "call-manager-knows.crt"
    known.write_text(lab.certificates.server_ca.read_text() + lab.certificates.phones_ca.read_text())

    def start(cluster, entry):
        (usual,) = DEFAULTS["cluster"]
        entry = {**usual["sccp"][0], "call_manager": f"{network.CALL_MANAGER}:2443", **entry}
        restart({"cluster": [{**usual, **cluster, "sccp": [entry]}]})
        return manage(keys="all", tls_port=2443, certificate=str(directory / "call-manager.pem"), phones_ca=str(known),
                      proxies=["pinhole.lab.example"])

    def restart(configuration):
        appliance.controlplane.stop()
        appliance.configure(configuration)
        appliance.start_controlplane()

    yield start
    restart({})


@pytest.mark.parametrize("cluster, entry", [
    ({}, {"authority": "{root}/certificates/call-manager.crt"}),
    ({"sccp_keys": "relay"}, {"authority": "{root}/certificates/server-ca.crt", "certificate_name": "cm.lab.example"}),
], ids=["keys-of-ours", "keys-relayed"])
def test_encrypted_cluster_by_tls_has_secure_calls(secure, phones, lab, cluster, entry):
    secure(cluster, entry)
    relayed = bool(cluster)
    captures = [lab.capture(f"secure-{name}", wire)
                for name, wire in (("outside", network.OUTSIDE_WIRE), ("inside", network.INSIDE_WIRE))]
    outside = phones.outside()
    inside = phones.inside(device=DEVICES[2], servers=[(network.CALL_MANAGER, 2443)], keys=set() if relayed else phones.keys,
                           certificate=lab.certificates.phone(DEVICES[2]), server_ca=lab.certificates.server_ca)
    one, two = call_and_hold(outside, inside)
    assert (one.security, two.security) == (3, 3)
    sccp_hang_up(one, two)
    for capture in captures:
        capture.stop()
        assert not any(b"SEP0010" in payload for *_, payload in capture.tcp_payloads())
    ends = [sccp_cryptos(one), sccp_cryptos(two)]
    same = {crypto.key for crypto in ends[0]} & {crypto.key for crypto in ends[1]}
    assert len(same) == (4 if relayed else 0)
    for capture, keys in zip(captures, ends):
        assert_encrypted(capture, keys)
