"""The lab's own SCCP peers against each other, without an appliance: phones and call managers over the loopback.

What holds here holds between a phone and a call manager that have nothing between them. The appliance may change nothing
of it that a user would notice.
"""

import functools
import signal
import time
import types

import pytest
from helpers import assert_heard, eventually, settle

from pinhole_lab import audio, sccp
from pinhole_lab.certificates import DEVICES, Certificates
from pinhole_lab.sccp_callmanager import SccpCallManager
from pinhole_lab.sccp_phone import SccpPhone, call, connected
from pinhole_lab.state import Processes, State

NUMBERS = dict(zip(DEVICES, ("1001", "1002", "1003")))
recording = functools.cache(lambda number: audio.signal(int(number), 20))


@pytest.fixture
def processes(tmp_path):
    state = State(tmp_path / "lab")
    state.create()
    made = Processes(state)
    yield made
    made.stop_all()


@pytest.fixture
def manage(processes):
    """Starts call managers."""
    return lambda name="one", **settings: SccpCallManager(processes, name, lines=NUMBERS, **settings).start()


@pytest.fixture
def phones():
    """Makes registered phones, and ends them after the test. None may have been told what a phone must not be told."""
    made = []

    def make(which, *managers, registered=True, tls=False, **options):
        device = DEVICES[which]
        phone = SccpPhone(device, [manager.at(tls) for manager in managers], recording=recording(NUMBERS[device]),
                          **options)
        made.append(phone)
        return phone.wait_registered() if registered else phone

    yield make
    for phone in made:
        phone.close()
    assert [phone.failures for phone in made if phone.failures] == []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    made.make()
    return made


@pytest.fixture
def secure(manage, phones, certificates):
    """A call manager that gives keys, and a way to make phones with certificates."""
    server = certificates.directory / "server.pem"
    server.write_text(certificates.server_certificate.read_text() + certificates.server_key.read_text())
    manager = manage(keys="all", same_party=True, tls_port=0, certificate=str(server), phones_ca=str(certificates.phones_ca))

    def make(which, **options):
        return phones(which, manager, tls=True, server_ca=certificates.server_ca,
                      **{"certificate": certificates.phone(DEVICES[which]), **options})

    return manager, make


def talk(one, two, seconds=1.0):
    """Both talk for a while; then everything that one has said the other has heard."""
    time.sleep(seconds)
    settle(one, two)
    ends = [types.SimpleNamespace(phone=each.phone, stream=each.stream) for each in (one, two)]
    assert_heard(*ends, least=seconds - 0.5)
    for each in (one, two):
        each.stream.start()


def is_rtp(datagram):
    """Whether a packet of 20 ms left in the clear."""
    return len(datagram) == 172


@pytest.mark.parametrize("versions", [(5, 22), (11, 11), (17, 17), (22, 22)])
def test_phones_of_each_generation_talk(manage, phones, versions):
    manager = manage(keys="rubbish" if versions == (11, 11) else "none")
    one, two = (phones(which, manager, protocol=version) for which, version in enumerate(versions))
    assert (one.granted, two.granted) == versions and one.user == "1001"
    mine, theirs = call(one, two)
    for phone, version in zip((one, two), versions):
        told = [message.version for _, message in phone.heard
                if message.name in ("OpenReceiveChannel", "StartMediaTransmission")]
        assert told == 2 * [version if version >= 10 else 0]
    talk(mine, theirs)
    assert is_rtp(mine.stream.sent[0][1])
    theirs.hang_up()
    mine.wait_state(sccp.ON_HOOK).wait_silent()
    theirs.wait_state(sccp.ON_HOOK).wait_silent()


def test_channel_acknowledged_without_party_id_is_found_by_its_call(manage, phones):
    manager = manage()
    talk(*call(phones(0, manager, zero_party=True), phones(1, manager)))


def test_hold_and_resume_bring_new_keys(secure):
    _, make = secure
    one, two = make(0), make(1)
    mine, theirs = call(one, two)
    talk(mine, theirs)
    assert not any(is_rtp(datagram) for _, datagram in mine.stream.sent + theirs.stream.sent)
    assert mine.security == 3
    mine.soft_key(sccp.HOLD_KEY)
    mine.wait_state(sccp.HOLD).wait_silent()
    theirs.wait_silent()
    sent = len(mine.stream.sent)
    mine.soft_key(sccp.RESUME)
    connected(mine, theirs)
    talk(mine, theirs)
    # One packet may have been under way.
    assert len(mine.streams) == 2 and len(mine.streams[0].sent) <= sent + 1
    assert mine.receive_keys == theirs.transmit_keys and mine.transmit_keys == theirs.receive_keys
    keys = mine.receive_keys + mine.transmit_keys
    assert len({key.key for key in keys}) == 4


def test_transfer_joins_the_two_others(manage, phones):
    manager = manage()
    one, two, three = (phones(which, manager) for which in range(3))
    mine, theirs = call(one, two)
    talk(mine, theirs)
    mine.soft_key(sccp.TRANSFER)
    theirs.wait_silent()
    consultation = one.wait_call(sccp.OFF_HOOK)
    consultation.press("1003")
    other = three.wait_call(sccp.RING_IN)
    other.answer()
    talk(*connected(consultation, other))
    consultation.soft_key(sccp.TRANSFER)
    one.wait(lambda: not one.calls, "the end of its calls")
    two.wait(lambda: len(theirs.streams) == 2, "media with the third phone")
    three.wait(lambda: len(other.streams) == 2, "media with the second phone")
    talk(*connected(theirs, other))


def test_phone_fails_over_to_the_backup_and_comes_back_with_a_token(manage, phones):
    first, backup = manage("first"), manage("backup")
    one, two = phones(0, first, backup), phones(1, first, backup)
    first.process.kill()
    one.wait_registered(server=1)
    two.wait_registered(server=1)
    mine, theirs = call(one, two)
    talk(mine, theirs)
    mine.hang_up()
    theirs.wait_state(sccp.ON_HOOK)
    first.settings["token_wait"] = 1
    first.start()
    first.wait_for("asks for a token and must wait")
    assert one.active == 1
    first.command("tokens 0")
    one.wait_registered(server=0)
    assert one.expect("RegisterTokenReject").get("wait") == 1
    backup.wait_for(f"{one.device} unregisters")


def test_silent_call_manager_is_given_up_after_three_keep_alives(manage, phones):
    first, backup = manage("first", keep_alive=1), manage("backup", keep_alive=1)
    one = phones(0, first, backup)
    first.process.kill(signal.SIGSTOP)
    try:
        one.wait_registered(server=1, seconds=10)
    finally:
        first.process.kill(signal.SIGCONT)


@pytest.mark.parametrize("how", ["reset", "silence"])
def test_lost_phone_ends_its_call(manage, phones, how):
    manager = manage(keep_alive=1)
    one, two = phones(0, manager), phones(1, manager)
    mine, theirs = call(one, two)
    if how == "reset":
        two.close(abruptly=True)
    else:
        two.mute = True
    manager.wait_for(f"{two.device} is gone")
    mine.wait_state(sccp.ON_HOOK).wait_silent()
    assert not one.calls and one.active == 0


def test_media_outlives_the_call_manager_and_phones_register_again(manage, phones):
    manager = manage()
    one, two = phones(0, manager), phones(1, manager)
    mine, theirs = call(one, two)
    manager.process.kill()
    one.wait_unregistered()
    talk(mine, theirs)
    manager.start()
    one.wait_registered()
    two.wait_registered()
    assert not one.calls
    talk(*call(one, two))


def test_reset_phone_registers_again(manage, phones):
    manager = manage()
    one = phones(0, manager)
    since = len(manager.says())
    manager.command(f"reset {one.device} 2")
    assert one.expect("Reset").get("kind") == 2
    manager.wait_for(f"{one.device} is ready", since=since)
    one.wait_registered()


def test_phone_that_unregisters_stays_away(manage, phones):
    manager = manage()
    one = phones(0, manager)
    one.unregister()
    one.expect("UnregisterAck")
    one.wait_unregistered()
    assert manager.says().count(f"{one.device} registers as") == 1


def test_device_must_be_known_and_its_certificate_its_own(manage, phones, secure, certificates):
    other = manage("other")
    other.settings["lines"] = {}
    other.process.stop()
    other.start()
    assert phones(0, other, registered=False).expect("RegisterReject").get("text") == "unknown device"
    _, make = secure
    assert make(0, registered=False, certificate=certificates.phone(DEVICES[1])).expect("RegisterReject")


def test_call_manager_closes_on_what_is_no_frame_and_serves_the_others(manage, phones):
    manager = manage()
    one, two = phones(0, manager), phones(1, manager)
    two.links[0].send_bytes(b"\xff" * 12)
    manager.wait_for(f"{two.device} is gone")
    eventually(lambda: manager.says().count(f"{two.device} registers as") == 2, what="the phone's return")
    two.wait_registered()
    talk(*call(one, two))


def test_servers_are_listed_as_configured(manage, phones):
    manager = manage(servers=[["primary", "192.0.2.1", 2000], ["backup", "192.0.2.2", 2000]])
    for protocol in (5, 22):
        servers = phones(0 if protocol == 5 else 1, manager, protocol=protocol).expect("ServerRes")
        assert [servers.get(f"{field}1") for field in ("name", "address", "port")] == ["backup", "192.0.2.2", 2000]
        assert servers.get("name2") == ""
