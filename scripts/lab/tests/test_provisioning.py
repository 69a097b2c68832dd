"""A phone out of its box trusts the appliance, is known by its certificate, and calls."""

import shutil

import pytest
from helpers import assert_heard, hang_up, talk

from pinhole_lab import network, trust
from pinhole_lab.appliance import DEFAULTS
from pinhole_lab.file_server import FileServer
from pinhole_lab.manufacturer import Manufacturer, pem
from pinhole_lab.new_phone import NewPhone

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
