"""How the processes are built and run."""

import pathlib
import pwd
import re
import subprocess

import pytest

from pinhole_lab.appliance import USER


@pytest.mark.parametrize("name", ["pinhole-controlplane", "pinholectl"])
def test_control_side_links_no_dpdk(appliance, name):
    libraries = subprocess.run(["ldd", appliance.binary(name)], capture_output=True, text=True, check=True).stdout
    assert "librte" not in libraries and "dpdk" not in libraries


def test_data_plane_does_link_dpdk(appliance):
    libraries = subprocess.run(["ldd", appliance.binary("pinhole-dataplane")], capture_output=True, text=True, check=True)
    assert "librte" in libraries.stdout


def test_control_plane_runs_without_privileges(appliance):
    status = pathlib.Path(f"/proc/{appliance.controlplane.pid}/status").read_text()
    assert {int(word) for word in re.search(r"^Uid:(.*)$", status, re.M).group(1).split()} == {pwd.getpwnam(USER).pw_uid}
    assert int(re.search(r"^CapEff:\s*(\w+)", status, re.M).group(1), 16) == 0
    assert int(re.search(r"^CapBnd:\s*(\w+)", status, re.M).group(1), 16) == 0
