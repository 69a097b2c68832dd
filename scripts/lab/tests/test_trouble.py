"""What operators get wrong and what machines do to them: each gives one clear line."""

import pathlib
import re
import signal
import subprocess
import time

import pytest
from helpers import assert_heard, eventually, hang_up, talk

from pinhole_lab import network
from pinhole_lab.appliance import DEFAULTS, USER


def said(process) -> str:
    """What a process printed, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", process.text())


def one_line(text, *words) -> str:
    """The one line with all the words in it."""
    lines = [line for line in text.splitlines() if all(word.lower() in line.lower() for word in words)]
    assert lines, f"no line with {words} in:\n{text}"
    return lines[-1]


def attempt(lab, binary, *arguments, user=None, seconds=20):
    """Runs a process that is expected to end by itself."""
    process = lab.processes.start(f"{binary}-attempt", [lab.appliance.binary(binary), *arguments],
                                  namespace="ph-appliance", user=user)
    try:
        status = process.popen.wait(seconds)
    except subprocess.TimeoutExpired:
        process.stop()
        pytest.fail(f"{binary} goes on: {said(process)}")
    return status, said(process)


def changed_port(**change):
    """The data plane's ports with a change to the first."""
    first, second = DEFAULTS["dataplane"]["port"]
    return {"dataplane": {"port": [{**first, "tap": "other", **change}, {**second, "tap": "other2"}], "socket": "{root}/dataplane/other.sock",
                          "file_prefix": "pinhole-other"}}


def test_unknown_key_is_named_by_every_check(lab, appliance):
    path = appliance.configure({"outside": {"colour": "blue"}}, lab.state.root / "unknown.toml")
    for binary, arguments in (("pinhole-controlplane", ["check", path]), ("pinholectl", ["check", path]),
                              ("pinhole-controlplane", ["--config", path])):
        status, text = attempt(lab, binary, *arguments, user=USER)
        assert status != 0
        one_line(text, "colour")


def test_good_configuration_passes_the_check(lab, appliance):
    status, text = attempt(lab, "pinhole-controlplane", "check", appliance.configuration, user=USER)
    assert status == 0, text
    status, text = attempt(lab, "pinhole-dataplane", "--config", appliance.configuration, "--check")
    assert status == 0, text


@pytest.mark.parametrize("change, words", [
    ({"outside": {"listen": "nonsense"}}, ["listen"]),
    ({"outside": {"port": "nowhere"}}, ["nowhere"]),
    ({"outside": {"suites": ["ROT13"]}}, ["ROT13"]),
    ({"outside": {"certificate": "/nowhere/server.crt"}}, ["/nowhere/server.crt"]),
    ({"identity": {"authority": [{"name": "phones", "roots": ["/nonexistent"]}]}}, ["identity.authority[0].roots"]),
    ({"dataplane": {"max_sessions": 0}}, ["max_sessions"]),
    ({"cluster": []}, ["cluster"]),
], ids=lambda value: None)
def test_bad_value_is_refused_with_its_place(lab, appliance, change, words):
    path = appliance.configure(change, lab.state.root / "bad.toml")
    status, text = attempt(lab, "pinhole-controlplane", "check", path, user=USER)
    assert status != 0
    one_line(text, *words)


def test_broken_dataplane_table_is_refused_by_the_data_plane(lab, appliance):
    path = appliance.configure({"dataplane": {"speed": "fast"}}, lab.state.root / "bad.toml")
    status, text = attempt(lab, "pinhole-dataplane", "--config", path)
    assert status != 0
    one_line(text, "speed")


def test_missing_file_is_named(lab, appliance):
    for binary in ("pinhole-dataplane", "pinhole-controlplane"):
        status, text = attempt(lab, binary, "--config", "/nowhere/pinhole.toml")
        assert status != 0
        one_line(text, "/nowhere/pinhole.toml")


def test_required_huge_pages_that_are_missing_end_the_data_plane(lab, appliance):
    if int(re.search(r"HugePages_Free:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1)):
        pytest.skip("this machine has huge pages")
    change = changed_port()
    change["dataplane"]["huge_pages"] = "require"
    status, text = attempt(lab, "pinhole-dataplane", "--config",
                           appliance.configure(change, lab.state.root / "huge.toml"))
    assert status != 0
    one_line(text, "huge", "page")


def test_absent_interface_is_named(lab, appliance):
    for device in ("af_packet:nosuch0", "af_xdp:nosuch0", "0000:7f:1f.7"):
        path = appliance.configure(changed_port(device=device), lab.state.root / "absent.toml")
        status, text = attempt(lab, "pinhole-dataplane", "--config", path)
        assert status != 0
        one_line(text, device.rpartition("_")[2].partition(":")[2] if "nosuch" in device else device)


@pytest.mark.parametrize("change, words", [
    ({"worker_cores": [999]}, ["worker_cores", "999"]),
    ({"worker_cores": [0, 0]}, ["worker_cores"]),
    ({"worker_cores": []}, ["worker_cores"]),
    ({"engine": "mmx"}, ["engine", "avx512", "portable"]),
    ({"replay_window": 100}, ["replay_window", "64", "1024"]),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")
def test_impossible_worker_settings_are_named(lab, appliance, change, words):
    both = changed_port()
    both["dataplane"].update(change)
    path = appliance.configure(both, lab.state.root / "impossible.toml")
    status, text = attempt(lab, "pinhole-dataplane", "--config", path)
    assert status != 0
    one_line(text, *words)


def test_engine_that_the_processor_lacks_is_named(lab, appliance):
    flags = re.search(r"^flags\s*:(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE).group(1).split()
    lacking = [engine for engine, needs in {"avx512": "avx512f", "avx2": "avx2"}.items() if needs not in flags]
    if not lacking:
        pytest.skip("this processor runs every engine")
    change = changed_port()
    change["dataplane"]["engine"] = lacking[0]
    status, text = attempt(lab, "pinhole-dataplane", "--config",
                           appliance.configure(change, lab.state.root / "engine.toml"))
    assert status != 0
    one_line(text, "engine", lacking[0], "portable")


def test_missing_directory_of_a_vhost_socket_is_named(lab, appliance):
    path = appliance.configure(changed_port(device="vhost:/nowhere/outside.vhost"), lab.state.root / "vhost.toml")
    status, text = attempt(lab, "pinhole-dataplane", "--config", path)
    assert status != 0
    one_line(text, "/nowhere/outside.vhost", "directory")


def test_busy_port_is_named_and_taken_once_it_is_free(lab, appliance):
    appliance.controlplane.stop()
    with network.entered("ph-appliance"):
        squatter = network.socket.create_server((network.OUTSIDE, 5061))
    process = lab.processes.start("controlplane-busy",
                                  [appliance.binary("pinhole-controlplane"), "--config", appliance.configuration],
                                  namespace="ph-appliance", user=USER)
    try:
        eventually(lambda: f"{network.OUTSIDE}:5061" in said(process), what="a line about the busy port")
        one_line(said(process), f"{network.OUTSIDE}:5061")
        squatter.close()
        if not process.alive():
            assert process.popen.returncode != 0
        else:
            eventually(appliance.ready, 15, "taking the port")
    finally:
        squatter.close()
        process.stop()
    appliance.start_controlplane()


def test_absent_data_plane_is_waited_for(lab, appliance):
    appliance.controlplane.stop()
    path = appliance.configure({"dataplane": {"socket": "/run/nowhere/dataplane.sock"}}, lab.state.root / "alone.toml")
    process = lab.processes.start("controlplane-alone", [appliance.binary("pinhole-controlplane"), "--config", path],
                                  namespace="ph-appliance", user=USER)
    eventually(lambda: "/run/nowhere/dataplane.sock" in said(process), what="a line about the data plane")
    time.sleep(1)
    assert process.alive() or process.popen.returncode != 0
    assert len(said(process).splitlines()) < 30, "it floods the log"
    process.stop()
    appliance.start_controlplane()


def test_second_control_plane_is_refused(lab, appliance):
    path = appliance.configure({"controlplane": {"admin_socket": "{root}/control/second.sock"},
                                "outside": {"listen": f"{network.OUTSIDE}:5071"}}, lab.state.root / "second.toml")
    process = lab.processes.start("controlplane-second", [appliance.binary("pinhole-controlplane"), "--config", path],
                                  namespace="ph-appliance", user=USER)
    eventually(lambda: not process.alive() or "control plane" in said(process), what="a refusal")
    time.sleep(0.5)
    process.stop()
    assert appliance.ready()


def test_dead_call_manager_gives_a_clear_line_and_comes_back(phones, lab, appliance):
    outside, inside = phones.outside(), phones.inside()
    lab.call_manager.stop()
    offset = len(said(appliance.controlplane))
    outside.register(expect=None, seconds=45)
    eventually(lambda: any(event["kind"] == "call_manager_down" for event in appliance.ctl("events")), 40,
               "an event about the call manager")
    one_line(said(appliance.controlplane)[offset:], network.CALL_MANAGER)
    lab.call_manager.start()
    inside.register()

    def registers():
        return outside.register(expect=None, seconds=10).code == 200

    eventually(registers, 30, "registration")
    one, two = outside.call(inside)
    talk(one, two, 1.7)
    assert_heard(one, two)
    hang_up(one, two)


def test_full_disk_for_logs_stops_no_call(phones, lab, appliance):
    appliance.controlplane.stop()
    small = lab.state.directory("control/small")
    network.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=0777", "tmpfs", small)
    try:
        try:
            (small / "ballast").write_bytes(b"x" * 128 * 1024)
        except OSError:
            pass
        appliance.configure({"controlplane": {"log": {"level": "debug", "format": "text",
                                                      "file": str(small / "pinhole.log")}}})
        appliance.start_controlplane()
        outside, inside = phones.outside(), phones.inside()
        one, two = outside.call(inside)
        talk(one, two, 1.7)
        assert_heard(one, two)
        hang_up(one, two)
        eventually(lambda: appliance.ctl("status")["log_lines_lost"] > 0, what="lost log lines")
        complaints = [line for line in said(appliance.controlplane).splitlines() if str(small) in line]
        assert len(complaints) == 1, said(appliance.controlplane)
        (small / "ballast").unlink()
        time.sleep(5.5)
        phones.second_outside()
        eventually(lambda: "registered" in (small / "pinhole.log").read_text(), what="the log's return")
    finally:
        appliance.wait_idle()
        appliance.controlplane.stop()
        network.run("umount", small)
        appliance.configure()
        appliance.start_controlplane()


def test_orderly_end_has_status_zero(appliance):
    appliance.controlplane.kill(signal.SIGTERM)
    assert appliance.controlplane.popen.wait(10) == 0
    appliance.start_controlplane()
