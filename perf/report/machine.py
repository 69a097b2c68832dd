"""What the figures were measured on, and with."""

import datetime
import os
import pathlib
import subprocess

# The instructions that the engines choose by.
FLAGS = ("aes", "pclmulqdq", "sha_ni", "avx2", "avx512f", "avx512bw", "avx512vl", "vaes", "vpclmulqdq", "gfni")


def describe(said: dict) -> dict:
    """Machine and versions, as words for a table. `said` is what the programs said, for the versions in it."""
    fields = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = set(fields.get("flags", "").split())
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / 2**20
    versions = said["kernel"]["kernel.versions"]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "commit": answer("git", "rev-parse", "--short", "HEAD"),
        "processor": f"{fields.get('model name', 'unknown')}, family {fields.get('cpu family', '?')}, "
                     f"model {fields.get('model', '?')}, {os.cpu_count()} cores",
        "instructions": " ".join(flag for flag in FLAGS if flag in flags),
        "memory": f"{memory:.0f} GiB",
        "hypervisor": hypervisor(),
        "kernel": answer("uname", "-r"),
        "rustc": answer("rustc", "--version").removeprefix("rustc "),
        "DPDK": answer("pkg-config", "--modversion", "libdpdk"),
        "OpenSSL": versions["OpenSSL"].removeprefix("OpenSSL "),
        "libsrtp2": versions["libsrtp2"].removeprefix("libsrtp2 "),
        "intel-ipsec-mb": versions["ipsec-mb"],
        "rtpengine": said["rtpengine"]["versions"]["rtpengine"],
    }


def hypervisor() -> str:
    """Whose virtual machine this is."""
    for line in answer("lscpu").splitlines():
        if line.startswith("Hypervisor vendor"):
            return line.partition(":")[2].strip()
    return "none"


def answer(*command: str) -> str:
    """What a program prints; "unknown" if it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True,
                              cwd=pathlib.Path(__file__).parent)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
