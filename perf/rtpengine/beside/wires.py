"""The wires: the relay under test in the middle, both sides of all calls at the other ends.

    pb-farm    phones0 198.18.0.2 ── outside wire ── out0 198.18.0.1 ┐
                                                                     pb-relay
               desks0  198.19.0.2 ── inside wire ─── in0  198.19.0.1 ┘

    pb-direct  one ── two: a wire like these with the farm at both ends, for what sender and wire can do at most

Veth pairs without offloads. No address is looked up while packets flow: neighbours are entered by hand.
"""

from pinhole_lab import network

FARM, RELAY, DIRECT = "pb-farm", "pb-relay", "pb-direct"
OUT, IN = "out0", "in0"
PHONES, DESKS = "phones0", "desks0"
DIRECT_ENDS = ("one", "two")
NAMESPACES = (FARM, RELAY, DIRECT)

# Of RFC 2544's range for such tests; the phones' are phonefarm's.
OUTSIDE = "198.18.0.1"
PHONE = "198.18.0.2"
INSIDE = "198.19.0.1"
DESK = "198.19.0.2"


def up():
    """Makes namespaces and wires."""
    for name in NAMESPACES:
        network.run("ip", "netns", "add", name)
        network.inside(name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        network.run("ip", "-n", name, "link", "set", "lo", "up")
    network.wire(FARM, PHONES, RELAY, OUT)
    network.wire(FARM, DESKS, RELAY, IN)
    network.wire(DIRECT, DIRECT_ENDS[0], DIRECT, DIRECT_ENDS[1])


def down():
    """Removes the namespaces with all that is in them."""
    present = {line.split()[0] for line in network.run("ip", "netns", "list").splitlines() if line.strip()}
    for name in NAMESPACES:
        if name in present:
            network.run("ip", "netns", "del", name, check=False)


def mac(namespace: str, device: str) -> str:
    """The MAC address of an interface."""
    return network.inside(namespace, "cat", f"/sys/class/net/{device}/address").strip()


def give_addresses(out: str, inside: str):
    """Gives the relay's side its addresses, on these interfaces, and its neighbours."""
    for device, ours, theirs, end in ((out, OUTSIDE, PHONE, PHONES), (inside, INSIDE, DESK, DESKS)):
        network.address(RELAY, device, f"{ours}/24")
        network.run("ip", "-n", RELAY, "neigh", "replace", theirs, "lladdr", mac(FARM, end), "dev", device,
                    "nud", "permanent")


def take_addresses(*devices):
    """Takes all addresses and neighbours from interfaces of the relay's side."""
    for device in devices:
        network.run("ip", "-n", RELAY, "addr", "flush", "dev", device)
        network.run("ip", "-n", RELAY, "neigh", "flush", "dev", device)
