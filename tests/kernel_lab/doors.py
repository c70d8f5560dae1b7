"""The model programmed by the same command lines as the real namespaces, through `Namespace`'s own doors.

Takes the forms that `shape` and `faults` write; anything else is an error here, so that no line is lost in silence.
"""

from __future__ import annotations

from typing import Any

from kubenet_lab.kernel.links import BridgePort, VxlanOptions
from kubenet_lab.kernel.namespace import Listener, Namespace
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.routing import RoutingRule

from .driver import restore_text
from .shape import CLIENT, GATEWAY, PREFIX, Line, Spec, base_lines, fault_lines, listeners, mac_of


def network(spec: Spec, seed: int = 0) -> Network:
    """The whole cluster of a spec, faults and all."""
    net = Network(seed)
    net.add_segment("lan", cidr=f"{GATEWAY.rsplit('.', 1)[0]}.0/{PREFIX}", mtu=spec["under_mtu"])
    net.add_gateway("lan", f"{GATEWAY}/{PREFIX}")
    for end in [*spec["nodes"], {"name": "ext", "ip": CLIENT}]:
        net.add_host(end["name"], "node" if end["name"] != "ext" else "external").root.label = end["name"]
        net.plug(end["name"], "lan", mac=mac_of(end["ip"], 0x3A))
    for p in spec["pods"]:
        net.add_namespace(p["node"], p["name"])
    for space, label, protocol, port in listeners(spec):
        net.namespaces[space].listen(Listener(protocol, port, Echo(), label))
    apply(net, base_lines(spec))
    apply(net, fault_lines(spec))
    return net


def apply(net: Network, lines: list[Line]) -> None:
    for space, line in lines:
        ns = net.namespaces[space]
        tool, *words = line.split()
        {"ip": _ip, "bridge": _bridge, "sysctl": _sysctl, "iptables": _iptables}[tool](net, ns, words, line)


def _options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """`key value` pairs of the keys known here, and the rest."""
    keys = {
        "address", "mtu", "type", "peer", "name", "netns", "id", "dev", "local", "dstport", "master", "lladdr", "nud", "via", "dst", "table",
        "metric", "scope", "src", "from", "to", "lookup", "priority", "hairpin", "isolated", "state",
    }  # fmt: skip
    found: dict[str, str] = {}
    rest: list[str] = []
    it = iter(words)
    for w in it:
        if w in keys:
            found[w] = next(it)
        else:
            rest.append(w)
    return found, rest


def _ip(net: Network, ns: Namespace, words: list[str], line: str) -> None:
    what, verb, *rest = words
    if what == "link" and verb == "add":
        name, *rest = rest
        if "peer" in rest:
            cut = rest.index("peer")
            near, far = _options(rest[:cut])[0], _options(rest[cut + 1 :])[0]
            other = net.namespaces[far["netns"][1:]]
            ns.add_link(name, "veth", mac=near["address"], mtu=int(near["mtu"]), up=False, peer=(other.id, far["name"]))
            other.add_link(far["name"], "veth", mac=far["address"], mtu=int(far["mtu"]), up=False, peer=(ns.id, name))
            return
        o, flags = _options(rest)
        if o["type"] == "vxlan":
            vxlan = VxlanOptions(int(o["id"]), o["local"], o["dev"], int(o["dstport"]), "nolearning" not in flags)
            ns.add_link(name, "vxlan", mac=o["address"], mtu=int(o["mtu"]), up=False, vxlan=vxlan)
        elif o["type"] == "bridge":
            ns.add_link(name, "bridge", mac=o["address"], mtu=int(o["mtu"]), up=False)
        else:
            raise ValueError(line)
    elif what == "link" and verb == "set":
        name, *rest = rest
        o, flags = _options(rest)
        changes: dict[str, Any] = {}
        if "master" in o:
            changes["master"] = o["master"]
        if "mtu" in o:
            changes["mtu"] = int(o["mtu"])
        if "address" in o:
            changes["mac"] = o["address"]
        if flags:
            changes["up"] = {"up": True, "down": False}[flags[0]]
        ns.set_link(name, **changes)
    elif what == "addr":
        o, flags = _options(rest)
        (ns.add_address if verb == "add" else ns.remove_address)(o["dev"], flags[0])
    elif what == "neigh":
        o, flags = _options(rest)
        if verb == "del":
            ns.remove_neighbour(flags[0], o["dev"])
        else:
            ns.add_neighbour(flags[0], o["lladdr"], o["dev"])
    elif what == "route":
        kinds = ("blackhole", "unreachable", "prohibit", "throw")
        kind = next((w for w in rest if w in kinds), "unicast")
        o, flags = _options([w for w in rest if w not in kinds])
        table = int(o.get("table", 254))
        if verb == "del":
            ns.remove_route(flags[0], dev=o.get("dev", ""), via=o.get("via", ""), table=table)
        else:
            metric = int(o["metric"]) if "metric" in o else None
            ns.add_route(
                flags[0], dev=o.get("dev", ""), via=o.get("via", ""), type=kind, src=o.get("src", ""), table=table, metric=metric,  # type: ignore[arg-type]
                mtu=int(o.get("mtu", 0)), onlink="onlink" in flags, replace_existing=verb == "replace",
            )  # fmt: skip
    elif what == "rule":
        o, flags = _options(rest)
        action = next((w for w in flags if w in ("blackhole", "unreachable", "prohibit")), "lookup")
        ns.add_rule(
            RoutingRule(int(o["priority"]), int(o.get("lookup", 0)), _cidr(o.get("from", "")), _cidr(o.get("to", "")), action=action)  # type: ignore[arg-type]
        )
    else:
        raise ValueError(line)


def _cidr(text: str) -> str:
    return text if "/" in text or not text else f"{text}/32"


def _bridge(net: Network, ns: Namespace, words: list[str], line: str) -> None:
    what, verb, *rest = words
    o, flags = _options(rest)
    if what == "fdb" and verb in ("append", "add"):
        ns.add_fdb(flags[0], o["dev"], dst=o.get("dst", ""))
    elif what == "fdb" and verb == "del":
        ns.remove_fdb(flags[0], o["dev"], dst=o.get("dst", ""))
    elif what == "link" and verb == "set":
        port = ns.link(o["dev"]).port
        on = {k: o.get(k, "on" if getattr(port, k) else "off") == "on" for k in ("hairpin", "isolated")}
        ns.set_link(o["dev"], port=BridgePort(on["hairpin"], on["isolated"], port.learning, port.flood))
    else:
        raise ValueError(line)


def _sysctl(net: Network, ns: Namespace, words: list[str], line: str) -> None:
    key, _, value = words[-1].partition("=")
    # sysctl(8) writes the dots of an interface name as slashes; the model keeps them
    ns.set_sysctl(key.replace("/", "."), int(value))


def _iptables(net: Network, ns: Namespace, words: list[str], line: str) -> None:
    ns.ruleset(4).restore(restore_text([line.removeprefix("iptables ")]), noflush=True)
    ns.rules_changed()
