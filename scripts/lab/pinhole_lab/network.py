"""The wires of the lab.

    ph-home   .11 ─┐
                   ├─ bridge 192.168.77.1 ph-nat 198.51.100.10 ── 198.51.100.1 ph-internet 203.0.113.1 (stranger: .66)
    ph-home2  .12 ─┘                                                                │
                                                              out0, kernel twin “outside” 203.0.113.5
                                                                              ph-appliance
                                                               in0, kernel twin “inside” 10.20.0.5
                                                                                    │
    ph-desk   10.20.0.20 ─┐                                                         │
                          ├─ bridge 10.20.0.10 ph-inside (call manager; stranger: .66)
    ph-desk2  10.20.0.21 ─┘

Nothing outside these namespaces is touched.
"""

import contextlib
import ctypes
import os
import socket
import ssl
import subprocess
import threading
import warnings

from .state import LabError

NAMESPACES = ("ph-home", "ph-home2", "ph-nat", "ph-internet", "ph-appliance", "ph-inside", "ph-desk", "ph-desk2")

NAT = "198.51.100.10"
OUTSIDE = "203.0.113.5"
STRANGER = "203.0.113.66"
INSIDE = "10.20.0.5"
INSIDE_NET = "10.20.0.0/24"
CALL_MANAGER = "10.20.0.10"
INSIDE_STRANGER = "10.20.0.66"
HOMES = {"ph-home": "192.168.77.11", "ph-home2": "192.168.77.12"}
DESKS = {"ph-desk": "10.20.0.20", "ph-desk2": "10.20.0.21"}

# The two wires of the appliance, as seen from the other end: namespace and interface to capture on.
OUTSIDE_WIRE = ("ph-internet", "dmz0")
INSIDE_WIRE = ("ph-inside", "office0")

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def run(*words, check=True, text=None):
    """Runs a command; a failure is an error with what the command said."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, input=text, check=False)
    if check and done.returncode != 0:
        raise LabError(f"`{' '.join(map(str, words))}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def inside(namespace, *words, **options):
    """Runs a command in a namespace."""
    return run("ip", "netns", "exec", namespace, *words, **options)


@contextlib.contextmanager
def entered(namespace):
    """Has the calling thread in a namespace for a moment: sockets made there stay there. `None` is where it is."""
    if namespace is None:
        yield
        return
    home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(there, CLONE_NEWNET) != 0:
            raise LabError(f"cannot enter {namespace}: {os.strerror(ctypes.get_errno())}")
        yield
    finally:
        _libc.setns(home, CLONE_NEWNET)
        os.close(there)
        os.close(home)


def udp_socket(namespace, address="0.0.0.0", port=0):
    """A UDP socket in a namespace."""
    with entered(namespace):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        made.bind((address, port))
        return made


def tcp_connection(namespace, address, port, source=None, timeout=5):
    """A TCP connection from a namespace."""
    with entered(namespace):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(timeout)
        if source:
            made.bind((source, 0))
        made.connect((address, port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


def speak_old_tls(context, cipher):
    """Has a TLS context speak as an old phone: TLS 1.0, and one cipher suite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")


def exists() -> list:
    """The lab's namespaces that exist now."""
    present = {line.split()[0] for line in run("ip", "netns", "list").splitlines() if line.strip()}
    return [name for name in NAMESPACES if name in present]


def down():
    """Removes the namespaces with all that is in them."""
    for name in exists():
        run("ip", "netns", "del", name, check=False)


def up():
    """Makes the namespaces and wires. The appliance's twins get their addresses later: see `address_twins`."""
    for name in NAMESPACES:
        run("ip", "netns", "add", name)
        inside(name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        run("ip", "-n", name, "link", "set", "lo", "up")
    wire("ph-nat", "wan0", "ph-internet", "isp0")
    wire("ph-internet", "dmz0", "ph-appliance", "out0")
    wire("ph-inside", "office0", "ph-appliance", "in0")
    bridge("ph-nat", "lan", {"home": "ph-home", "home2": "ph-home2"}, [])
    bridge("ph-inside", "lan", {"desk": "ph-desk", "desk2": "ph-desk2"}, ["office0"])

    address("ph-nat", "lan", "192.168.77.1/24")
    address("ph-nat", "wan0", f"{NAT}/24", gateway="198.51.100.1")
    address("ph-internet", "isp0", "198.51.100.1/24")
    address("ph-internet", "dmz0", "203.0.113.1/24")
    address("ph-internet", "dmz0", f"{STRANGER}/24")
    address("ph-inside", "lan", f"{CALL_MANAGER}/24")
    address("ph-inside", "lan", f"{INSIDE_STRANGER}/24")
    for name, ip in HOMES.items():
        address(name, "eth0", f"{ip}/24", gateway="192.168.77.1")
    for name, ip in DESKS.items():
        address(name, "eth0", f"{ip}/24")

    inside("ph-nat", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    inside("ph-internet", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    inside("ph-nat", "nft", "-f", "-", text="""
        table ip nat {
            chain postrouting {
                type nat hook postrouting priority srcnat;
                oifname "wan0" masquerade
            }
        }
        table ip filter {
            chain forward {
                type filter hook forward priority filter; policy drop;
                iifname "lan" accept
                ct state established,related accept
            }
        }""")


def wire(one, one_name, two, two_name):
    """A veth pair between two namespaces. Without offloads: a veth otherwise hands over unfinished checksums."""
    run("ip", "link", "add", one_name, "netns", one, "type", "veth", "peer", "name", two_name, "netns", two)
    for namespace, name in ((one, one_name), (two, two_name)):
        inside(namespace, "ethtool", "-K", name, "tx", "off", "rx", "off", "gso", "off", "gro", "off", "tso", "off",
               check=False)
        run("ip", "-n", namespace, "link", "set", name, "up")


def bridge(namespace, name, hosts, members):
    """A switch in a namespace: with a wire to each host's eth0, and interfaces that exist already."""
    run("ip", "-n", namespace, "link", "add", name, "type", "bridge", "forward_delay", "0")
    for port, host in hosts.items():
        wire(namespace, port, host, "eth0")
    for member in [*hosts, *members]:
        run("ip", "-n", namespace, "link", "set", member, "master", name)
    run("ip", "-n", namespace, "link", "set", name, "up")


def address(namespace, name, cidr, gateway=None):
    """Gives an interface an address, and the namespace its default route."""
    run("ip", "-n", namespace, "addr", "add", cidr, "dev", name)
    run("ip", "-n", namespace, "link", "set", name, "up")
    if gateway:
        run("ip", "-n", namespace, "route", "add", "default", "via", gateway)


def twins_exist() -> bool:
    """Whether the data plane has made its kernel twins."""
    present = run("ip", "-n", "ph-appliance", "-br", "link")
    return all(any(line.startswith(f"{name} ") for line in present.splitlines()) for name in ("outside", "inside"))


def address_twins():
    """The operator's part once the data plane runs: addresses on the kernel twins, and the default route."""
    address("ph-appliance", "outside", f"{OUTSIDE}/24", gateway="203.0.113.1")
    address("ph-appliance", "inside", f"{INSIDE}/24")
