"""A phone out of its box trusts the appliance, is known by its certificate, and calls."""

import shutil
import time

import pytest
from helpers import assert_heard, both_hear, eventually, hang_up, on_the_wire, settle, talk

from pinhole_lab import network, sccp, trust
from pinhole_lab.appliance import DEFAULTS
from pinhole_lab.file_server import FileServer
from pinhole_lab.manufacturer import Manufacturer, pem
from pinhole_lab.new_phone import NewPhone
from pinhole_lab.sccp_callmanager import SccpCallManager
from pinhole_lab.sccp_phone import SccpPhone
from pinhole_lab.sccp_phone import call as sccp_call
from pinhole_lab.scripted_phone import plug
from pinhole_lab.state import LabError

DEVICE, OTHER, STRANGER = "SEP0010DB000001", "SEP0010DB000002", "SEP0010DB0000FF"
USERS = {DEVICE: "1001", OTHER: "1002"}


@pytest.fixture(scope="module")
def manufacturer(lab):
    return Manufacturer(lab.state.directory("manufacturer"))


@pytest.fixture(scope="module")
def file_server(lab):
    server = FileServer(lab.state, lab.processes)
    server.start(USERS)
    yield server
    server.stop()


def settings(manufacturer) -> dict:
    """What a configuration has when phones are provisioned."""
    directory = "{root}/control/provisioning"
    return {
        # By what they were made with, or by what we have issued to them.
        "identity": {"authority": [{"name": "phones", "roots": ["{root}/manufacturer/phones-ca.pem"]}]},
        # What phones find in their trust list under the function of a call manager.
        "outside": {"certificate": f"{directory}/authority/ccm-tftp.crt.pem", "key": f"{directory}/authority/ccm-tftp.key.pem"},
        "provisioning": {
            "directory": directory,
            # A home router lets in only what comes from where the phone has asked.
            "tftp": {"listen": f"{network.OUTSIDE}:69", "single_port": True},
            "http": {"listen": f"{network.OUTSIDE}:6970"},
            "https": {"listen": f"{network.OUTSIDE}:6971"},
            "capf": {"listen": f"{network.OUTSIDE}:3804"},
        },
        "cluster": [{
            **DEFAULTS["cluster"][0],
            "tftp_server": f"{network.CALL_MANAGER}:69",
            "encryption": "when_known",
            "authenticated_devices": "allow",
            "rewrite": {
                "capf": {"at": {"address": network.OUTSIDE, "port": 3804}},
                "call_manager": [{"inside": network.CALL_MANAGER, "outside": network.OUTSIDE, "sip_tls_port": 5061}],
            },
        }],
    }


@pytest.fixture
def office(lab, appliance, manufacturer, file_server):
    """The appliance with keys of its own and an empty database of phones."""
    directory = lab.state.root / "control" / "provisioning"
    shutil.rmtree(directory, ignore_errors=True)
    appliance.controlplane.stop()
    appliance.configure(settings(manufacturer))
    appliance.low_ports = True
    appliance.ctl("trust", "create")
    known = [manufacturer.root_file.read_bytes(), pem(manufacturer.authority.certificate),
             (directory / "authority" / "capf.crt.pem").read_bytes()]
    (manufacturer.directory / "phones-ca.pem").write_bytes(b"".join(known))
    appliance.start_controlplane()
    yield appliance
    appliance.controlplane.stop()
    shutil.rmtree(directory)
    appliance.low_ports = False
    appliance.configure()
    appliance.start_controlplane()


@pytest.fixture
def unboxed(lab, manufacturer):
    """Makes phones out of their boxes."""
    def new(device=DEVICE, namespace="ph-home", **options):
        return NewPhone(namespace, device, manufacturer, network.OUTSIDE, manufacturer.directory, **options)
    return new


@pytest.mark.parametrize("way", ["tftp", "http", "https"])
def test_a_phone_out_of_its_box_fetches_enrols_registers_and_calls(office, unboxed, lab, phones, way):
    office.ctl("phone", "allow", DEVICE)
    phone = unboxed(way=way)
    names = phone.fetch_trust_list()
    assert len(names.of(trust.SAST)) == 2 and len(names.of(trust.CCM_TFTP)) == 1
    assert phone.fetch_trust_list("ITL").of(trust.CAPF) == names.of(trust.CAPF)
    configuration = phone.fetch_configuration()
    assert configuration.findtext("kept") == "as it is"
    assert not (configuration.findtext("syslogAddr") or "").strip(), "an inside address is told outside"

    # By what it was made with it may connect, and gets a certificate of its own.
    first = phone.connect("1001", recording=lab.recording(1)[0])
    first.register()
    first.close()
    issued = phone.enrol()
    assert issued.certificate.issuer == names.of(trust.CAPF)[0].subject
    second = phone.connect("1001", recording=lab.recording(1)[0])
    try:
        second.register()
        inside = phones.inside()
        mine, theirs = second.call(inside)
        talk(mine, theirs)
        assert_heard(mine, theirs)
        hang_up(mine, theirs)
    finally:
        second.close()


@pytest.fixture
def neighbours(office, unboxed):
    """A soft phone of the class authenticated and a phone of the class encrypted, out of their boxes, behind one NAT at the same
    time. Each has fetched what it is to be."""
    office.ctl("phone", "allow", DEVICE, "--class", "authenticated")
    office.ctl("phone", "allow", OTHER)
    soft, hard = unboxed(), unboxed(OTHER, "ph-home2", way="http")
    for phone in (soft, hard):
        phone.fetch_trust_list()
    for phone in (soft, hard):
        phone.fetch_configuration()
    assert [phone.text("deviceSecurityMode") for phone in (soft, hard)] == ["2", "3"]
    return soft, hard


def test_phones_of_both_classes_behind_one_nat_talk_each_in_its_own_way(neighbours, office, lab, phones):
    soft, hard = (phone.connect(USERS[phone.device], recording=lab.recording(seed)[0])
                  for seed, phone in enumerate(neighbours, 1))
    captures = [lab.capture("classes-outside", network.OUTSIDE_WIRE), lab.capture("classes-inside", network.INSIDE_WIRE)]
    try:
        soft.register(), hard.register()
        desks = phones.inside(), phones.inside(user="2002", namespace="ph-desk2", seed=6)
        (mine, desk), (other, desk2) = soft.call(desks[0]), hard.call(desks[1])
        suites = {call["device"]: call["suite"] for call in office.ctl("calls")}
        assert suites == {DEVICE: "RTP", OTHER: other.crypto.suite}
        plug(mine, desk), plug(other, desk2)
        time.sleep(2)
        settle(mine, desk, other, desk2)
        assert_heard(mine, desk), assert_heard(other, desk2)

        # Nobody else speaks in the soft phone's place, not even from behind the same NAT; nor the other phone in the clear.
        heard = len(desk.stream.heard), len(desk2.stream.heard)
        before = office.drops()
        for namespace, address in (("ph-home2", network.HOMES["ph-home2"]), ("ph-internet", network.STRANGER)):
            with network.udp_socket(namespace, address) as stranger:
                for _ in range(10):
                    stranger.sendto(mine.stream.next_packet(bytes(160)), mine.stream.remote)
        for _ in range(10):
            other.stream.send_raw(other.stream.next_packet(bytes(160)))
        grown = lambda: sum(office.drops().get(cause, 0) - before.get(cause, 0)
                            for cause in ("wrong_source", "plain_on_secure", "auth_failed"))
        eventually(lambda: grown() == 30, what="30 drops")
        assert (len(desk.stream.heard), len(desk2.stream.heard)) == heard

        outside, inside = (capture.stop().datagrams() for capture in captures)
        for end, wires in ((mine, (1, 1)), (desk, (1, 1)), (other, (1, 0)), (desk2, (0, 1))):
            assert (on_the_wire(outside, end), on_the_wire(inside, end)) == wires, end.phone.user
        hang_up(mine, desk), hang_up(desk2, other)

        for caller, callee in ((soft, hard), (hard, soft)):
            one, two = caller.call(callee)
            both_hear(soft, one, two)
            assert len(office.ctl("sessions")) == 2
            hang_up(one, two)
    finally:
        for capture in captures:
            if capture.process.alive():
                capture.process.stop()
        soft.close(), hard.close()


def test_sccp_phones_of_both_classes_behind_one_nat_talk_each_in_its_own_way(neighbours, office, lab, phones):
    numbers = {**USERS, "SEP0010DB000004": "2001"}
    manager = SccpCallManager(lab.processes, "sccp-classes", namespace="ph-inside", address=network.CALL_MANAGER, port=2000,
                              lines=numbers, keep_alive=2, keys="rubbish", servers=[["cm", network.CALL_MANAGER, 2000]]).start()
    made = []
    try:
        for seed, phone in enumerate(neighbours, 1):
            made.append(SccpPhone(phone.device, [(network.OUTSIDE, 2443)], namespace=phone.namespace,
                                  address=network.HOMES[phone.namespace], recording=lab.recording(seed)[0], speaks=False, **phone.security()))
        made.append(SccpPhone("SEP0010DB000004", [(network.CALL_MANAGER, 2000)], namespace="ph-desk",
                              address=network.DESKS["ph-desk"], recording=lab.recording(9)[0], speaks=False))
        soft, hard, desk = (phone.wait_registered() for phone in made)
        for caller, callee, lengths in ((soft, desk, (172, 172)), (desk, soft, (172, 172)), (soft, hard, (172, 176)),
                                        (hard, soft, (176, 172)), (hard, desk, (176, 172))):
            one, two = sccp_call(caller, callee)
            both_hear(soft, one, two, 1.5)
            assert tuple(len(end.stream.sent[0][1]) for end in (one, two)) == lengths
            one.hang_up()
            for end in (one, two):
                end.wait_state(sccp.ON_HOOK)
    finally:
        for phone in made:
            phone.close()
        manager.process.stop()
    assert [phone.failures for phone in made if phone.failures] == []


def test_a_phone_is_of_another_class_when_it_comes_again(office, unboxed, lab, phones):
    office.ctl("phone", "allow", DEVICE)
    phone = unboxed(way="http")
    phone.fetch_trust_list()
    phone.fetch_configuration()
    first = phone.connect("1001", recording=lab.recording(1)[0])
    first.register()
    office.ctl("phone", "allow", DEVICE, "--class", "authenticated")
    try:
        # A registration is told to the database, which knows the connection no longer.
        eventually(lambda: first.closed.is_set() or not registers(first), what="the end of the connection")
    finally:
        first.close()
    phone.fetch_trust_list()
    # Its certificate is known by now, so that its configuration comes encrypted to it.
    phone.fetch_configuration(f"{DEVICE}.cnf.xml.enc.sgn")
    assert phone.text("deviceSecurityMode") == "2"
    second = phone.connect("1001", recording=lab.recording(1)[0])
    try:
        second.register()
        mine, theirs = second.call(phones.inside())
        talk(mine, theirs)
        assert_heard(mine, theirs)
        hang_up(mine, theirs)
    finally:
        second.close()


@pytest.mark.parametrize(("far_end_speaks", "failure", "silent"), [
    (True, "no_audio", "no audio from the phone"),
    (False, "media_address", "no audio from the phone and the far end"),
])
def test_a_call_in_which_nothing_came_is_in_the_phones_time_line(office, unboxed, lab, phones, far_end_speaks, failure, silent):
    office.ctl("phone", "allow", DEVICE)
    phone = unboxed(way="http")
    phone.fetch_trust_list()
    phone.fetch_configuration()
    mute = phone.connect("1001", recording=lab.recording(1)[0])
    try:
        mute.register()
        mine, theirs = mute.call(phones.inside())
        if far_end_speaks:
            theirs.stream.start()
        time.sleep(8)
        hang_up(mine, theirs)
        eventually(lambda: office.counter("provisioning", failure) == 1, what="the failure")
        (shown,) = office.ctl("phone", "show", DEVICE)
        assert [moment["subject"] for moment in shown["timeline"] if moment.get("failure") == failure] == [silent]
    finally:
        mute.close()


def registers(phone) -> bool:
    """Whether a phone can register once more."""
    try:
        return phone.register(seconds=2).code == 200
    except (LabError, OSError):
        return False
