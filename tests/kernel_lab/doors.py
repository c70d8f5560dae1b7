"""The model programmed by the same command lines as the real namespaces: `kernel.shell` reads them.

Two forms go through `Namespace`'s own doors: a veth pair between two namespaces (the shell stands in one), and sysctl keys
that are written with the slash of an interface name.
"""

from __future__ import annotations

from kubenet_lab.kernel.namespace import Listener, Namespace
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.state import State

from .modes import base_lines
from .shape import PREFIX, Line, Spec, ends_of, fault_lines, listeners, mac_of


def network(spec: Spec, seed: int = 0) -> Network:
    """The whole cluster of a spec, faults and all."""
    net = Network(seed)
    for s, segment in enumerate(spec["segments"]):
        name = _segment(s)
        net.add_segment(name, cidr=f"{segment['gateway'].rsplit('.', 1)[0]}.0/{PREFIX}", mtu=segment["mtu"])
        if s:
            net.plug("gateway", name, f"lan{s}", address=f"{segment['gateway']}/{PREFIX}")
        else:
            net.add_gateway(name, f"{segment['gateway']}/{PREFIX}")
    for end in ends_of(spec):
        net.add_host(end["name"], "node" if end["name"] != "ext" else "external").root.label = end["name"]
        net.plug(end["name"], _segment(end["segment"]), mac=mac_of(end["ip"], 0x3A))
    for p in spec["pods"]:
        net.add_namespace(p["node"], p["name"])
    for space, label, protocol, port in listeners(spec):
        net.namespaces[space].listen(Listener(protocol, port, Echo(), label))
    apply(net, base_lines(spec))
    apply(net, fault_lines(spec))
    return net


def _segment(number: int) -> str:
    return f"lan{number}" if number else "lan"


def apply(net: Network, lines: list[Line]) -> None:
    """Run the lines in order. An error of the shell is an error here: no line is lost in silence."""
    nowhere = State()
    for space, line in lines:
        if space.startswith("underlay"):
            if space == "underlay":  # with a mark: about the real switch only
                _switch(net, line.split())
            continue
        ns = net.namespaces[space]
        words = line.split()
        if words[0] == "sysctl" and "/" in words[-1]:
            key, _, value = words[-1].partition("=")
            ns.set_sysctl(key.replace("/", "."), int(value))
        elif "netns" in words and "veth" in words:
            _veth(net, ns, words)
        else:
            Shell(net, nowhere, space).run(line.replace("netns @", "netns "))


def _switch(net: Network, words: list[str]) -> None:
    """bridge link set dev uN hairpin on|off; locked on: the port takes no frame from an address that the switch was not told of."""
    port, flag, value = words[4], words[5], words[6]
    lan, nic = net.segments["lan"], (f"n{port[1:]}", "eth0")
    if flag == "locked":
        lan.foreign_macs = False
    elif value == "on":
        lan.hairpin.add(nic)
    else:
        lan.hairpin.discard(nic)


def _veth(net: Network, ns: Namespace, words: list[str]) -> None:
    """ip link add NAME address MAC mtu N type veth peer name NAME address MAC mtu N netns @SPACE"""
    name, near, far = words[3], words[4 : words.index("peer")], words[words.index("peer") + 1 :]
    here = dict(zip(near[::2], near[1::2], strict=True))
    there = dict(zip(far[::2], far[1::2], strict=True))
    other = net.namespaces[there["netns"].removeprefix("@")]
    ns.add_link(name, "veth", mac=here["address"], mtu=int(here["mtu"]), up=False, peer=(other.id, there["name"]))
    other.add_link(there["name"], "veth", mac=there["address"], mtu=int(there["mtu"]), up=False, peer=(ns.id, name))
