"""The commands that make a namespace as it is: `commands_for`."""

from __future__ import annotations

from ..links import Address, Link
from ..namespace import Namespace
from ..routing import TABLES, Route, RoutingRule, default_rules
from .bridge_vlan import commands as vlan_commands
from .ip_route import destination

__all__ = ["commands_for"]

_TABLES = {v: k for k, v in TABLES.items()}


_KIND_ORDER = {"loopback": 0, "physical": 1, "bridge": 2, "veth": 3}


def commands_for(ns: Namespace) -> list[str]:
    """`ip`, `bridge` and `sysctl` commands for this namespace's links, addresses, routes, rules, neighbours and FDB entries.

    In an order that works in an empty namespace: devices before those that stand on them, bridges before their ports, links up before
    routes, routes without a gateway first. A NIC and a veth's other end (when it is in another namespace) come from outside; their
    lines are comments. Rules of iptables are what `iptables-save` prints.
    """
    out = [f"sysctl -w {k}={v}" for k, v in sorted(ns.sysctls.items()) if not _of_a_device(k)]
    links = sorted(ns.links.values(), key=lambda k: (_KIND_ORDER.get(k.kind, 4), k.index))
    done: set[str] = set()
    for k in links:
        if k.name not in done:
            out += _link(ns, k, done)
    for k in links:
        if k.master:
            out.append(f"ip link set dev {k.name} master {k.master}")
            changed = [f"{name} {'on' if value else 'off'}" for name, value, usual in _port(k) if value != usual]
            if changed:
                out.append(f"bridge link set dev {k.name} {' '.join(changed)}")
        if k.master or k.kind == "bridge":
            out += vlan_commands(k)
    out += [f"sysctl -w {_written(ns, k)}={v}" for k, v in sorted(ns.sysctls.items()) if _of_a_device(k)]
    for k in links:
        out.append(f"ip link set dev {k.name} {'up' if k.up else 'down'}")
    for k in ns.links.values():  # in the order in which they came: of two routes to one address in table local the first decides
        if k.kind == "loopback":
            continue
        out += [_address(k, a) for a in k.addresses]
    for k in links:
        if k.kind == "loopback":
            out += [_address(k, a) for a in k.addresses if a.ip not in ("127.0.0.1", "::1")]
    out += _unconnected(ns, links)
    for r in sorted((r for r in ns.routes if r.proto != "kernel"), key=lambda r: (bool(r.via) and not r.onlink, r.metric)):
        out.append(_route(r))
    usual = [*default_rules(4), *default_rules(6)]
    for rule in sorted((r for r in ns.rules if r not in usual), key=lambda r: r.priority):
        out.append(_rule(rule))
    for n in ns.neighbours.values():
        mac = f" lladdr {n.mac}" if n.mac else ""
        out.append(f"ip neigh replace {n.ip}{mac} dev {n.dev} nud {n.state.lower()}")
    out += [f"ip neigh add proxy {ip}" + (f" dev {dev}" if dev else "") for dev, ip in ns.proxies]
    seen: set[tuple[str, str]] = set()
    for e in ns.fdb:
        how = "append" if (e.mac, e.dev) in seen else "add"
        seen.add((e.mac, e.dev))
        dst = f" dst {e.dst}" if e.dst else ""
        out.append(f"bridge fdb {how} {e.mac} dev {e.dev}{dst} {'master' if e.master else 'self'} {e.state}")
    return out


def _of_a_device(key: str) -> bool:
    return ".conf." in key or ".neigh." in key


def _written(ns: Namespace, key: str) -> str:
    """A key as sysctl(8) takes it: dots inside an interface's name are slashes."""
    head, part, rest = key.partition(".conf." if ".conf." in key else ".neigh.")
    dev, _, name = rest.rpartition(".")
    return f"{head}{part}{dev.replace('.', '/')}.{name}" if dev in ns.links else key


def _unconnected(ns: Namespace, links: list[Link]) -> list[str]:
    """Connected routes that came with an address and were taken away again, as the ptp plugin does it."""
    there = {(r.dst, r.dev) for r in ns.routes if r.proto == "kernel"}
    gone = [
        (a, k.name) for k in links if k.up and k.kind != "loopback" for a in k.addresses
        if a.prefixroute and a.length < (32 if a.family == 4 else 128) and (a.network, k.name) not in there
    ]  # fmt: skip
    return [f"ip {'-6 ' if a.family == 6 else ''}route del {a.network} dev {dev}" for a, dev in gone]


def _port(k: Link) -> tuple[tuple[str, bool, bool], ...]:
    p = k.port
    return (("hairpin", p.hairpin, False), ("learning", p.learning, True), ("flood", p.flood, True), ("isolated", p.isolated, False))


def _link(ns: Namespace, k: Link, done: set[str]) -> list[str]:
    done.add(k.name)
    if k.kind == "loopback":
        return []
    if k.kind == "physical":
        return [f"# {k.name} is a NIC", f"ip link set dev {k.name} address {k.mac} mtu {k.mtu}"]
    if k.kind == "tun":
        return [f"# {k.name} is a TUN device, which the program that holds it makes", f"ip link set dev {k.name} mtu {k.mtu}"]
    if k.wireguard is not None:
        peers = [
            f"wg set {k.name} peer {p.public_key} endpoint {p.endpoint}:{p.port} allowed-ips {','.join(p.allowed_ips)}"
            for p in k.wireguard.peers
        ]
        return [f"ip link add name {k.name} mtu {k.mtu} type wireguard", f"wg set {k.name} listen-port {k.wireguard.port}", *peers]
    head = f"ip link add name {k.name} address {k.mac} mtu {k.mtu} type {k.kind}"
    if k.kind == "veth":
        if k.peer is None or k.peer[0] != ns.id or k.peer[1] not in ns.links:
            other = f"{k.peer[1]} in {k.peer[0]}" if k.peer else "gone"
            return [f"# {k.name} is one end of a veth pair, the other is {other}", f"ip link set dev {k.name} address {k.mac} mtu {k.mtu}"]
        peer = ns.links[k.peer[1]]
        done.add(peer.name)
        return [f"{head} peer name {peer.name} address {peer.mac} mtu {peer.mtu}"]
    if k.kind == "bridge":
        ageing = round(k.bridge.ageing * 100)
        filters = " vlan_filtering 1" if k.bridge.vlan_filtering else ""
        return [head + (f" ageing_time {ageing}" if ageing != 30000 else "") + filters]
    if k.macvlan is not None:
        m = k.macvlan
        if m.lower[0] != ns.id:
            made = f"# {k.name} is a macvlan child of {m.lower[1]} in {m.lower[0]}, mode {m.mode}"
            return [made, f"ip link set dev {k.name} address {k.mac} mtu {k.mtu}"]
        flag = " nopromisc" if m.nopromisc else ""
        own = "" if m.mode == "passthru" else f" address {k.mac}"
        return [f"ip link add link {m.lower[1]} name {k.name}{own} mtu {k.mtu} type macvlan mode {m.mode}{flag}"]
    v = k.vxlan
    assert v is not None
    local = f" local {v.local}" if v.local else ""
    dev = f" dev {v.dev}" if v.dev else ""
    df = "" if v.df == "unset" else f" df {v.df}"
    return [f"{head} id {v.vni}{local}{dev} dstport {v.port} {'learning' if v.learning else 'nolearning'}{df}"]


def _address(k: Link, a: Address) -> str:
    brd = " brd +" if a.family == 4 and a.brd and a.broadcast and a.scope == "global" else ""
    scope = f" scope {a.scope}" if a.scope != _usual_scope(a) else ""
    route = "" if a.prefixroute else " noprefixroute"
    nodad = " nodad" if a.family == 6 else ""
    verb = "replace" if a.family == 6 and a.scope == "link" else "add"  # a kernel may have made the link-local one itself
    return f"ip addr {verb} {a}{brd} dev {k.name}{scope}{route}{nodad}"


def _usual_scope(a: Address) -> str:
    if a.family == 6:
        return a.scope
    return "host" if a.ip.startswith("127.") else "global"


def _route(r: Route) -> str:
    six = "-6 " if r.family == 6 else ""
    words = [f"ip {six}route add", *([] if r.type == "unicast" else [r.type]), destination(r)]
    if r.via:
        words.append(f"via {r.via}")
    if r.dev:
        words.append(f"dev {r.dev}")
    if r.table != 254:
        words.append(f"table {_TABLES.get(r.table, r.table)}")
    if r.proto != "boot":
        words.append(f"proto {r.proto}")
    usual = "link" if r.type == "unicast" and not r.via and r.family == 4 else "global"
    if r.scope != usual and r.family == 4:
        words.append(f"scope {r.scope}")
    if r.src:
        words.append(f"src {r.src}")
    if r.metric and not (r.family == 6 and r.metric == 1024):
        words.append(f"metric {r.metric}")
    if r.mtu:
        words.append(f"mtu {r.mtu}")
    if r.advmss:
        words.append(f"advmss {r.advmss}")
    if r.onlink:
        words.append("onlink")
    return " ".join(words)


def _rule(r: RoutingRule) -> str:
    words = ["ip -6 rule add" if r.family == 6 else "ip rule add"]
    if r.invert:
        words.append("not")
    words.append(f"from {r.src or 'all'}")
    if r.dst:
        words.append(f"to {r.dst}")
    if r.fwmask:
        words.append(f"fwmark {r.fwmark:#x}/{r.fwmask:#x}")
    if r.iif:
        words.append(f"iif {r.iif}")
    if r.oif:
        words.append(f"oif {r.oif}")
    words.append(f"priority {r.priority}")
    words.append(f"lookup {_TABLES.get(r.table, r.table)}" if r.action == "lookup" else r.action)
    return " ".join(words)
