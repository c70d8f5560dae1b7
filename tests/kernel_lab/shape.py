"""A small cluster as a JSON-able value, and the command lines that program it: bridge + VXLAN as flannel, routed as Calico, macvlan.

The same lines program the real namespaces (`driver`) and the model (`doors`). Every hardware address is set
explicitly, so both sides have the same. Nodes are 192.168.50.11+. Bridge mode: pod networks 10.244.N.0/24, cni0 .1, flannel.1 .0.
Routed mode: blocks 10.244.N.0/26, a /32 per pod, the gateway 169.254.1.1 that is answered by proxy ARP.
macvlan mode: pods are children of their node's eth0, with addresses of the node network. Lines of the space "underlay" are about the
switch, whose port uN leads to node N ("underlay!": of the real one only).
"""

from __future__ import annotations

import ipaddress
from typing import Any

GATEWAY, PREFIX, CLIENT = "192.168.50.1", 24, "192.168.50.100"
TCP_PORT, UDP_PORT, NODE_PORT, CLOSED = 8080, 53, 9100, 81
OVERHEAD = 50  # bytes that VXLAN adds over IPv4

Spec = dict[str, Any]
Line = list[str]  # [space, command line]


def mac_of(ip: str, kind: int = 0x0A) -> str:
    """A hardware address made from an IPv4 address, in the manner of the CNI plugins."""
    return f"{kind:02x}:58:" + ":".join(f"{b:02x}" for b in ipaddress.ip_address(ip).packed)


def vtep_mac(node: dict[str, Any]) -> str:
    return mac_of(node["ip"], 0x1A)


def routed(nodes: int = 2, pods: int = 2, *, under_mtu: int = 1500, rp_filter: int = 0, proxy_delay: int = 0) -> Spec:
    """As `cluster`, without bridge and tunnel: each pod is routed to, each node has a block."""
    spec = cluster(nodes, pods, pod_mtu=under_mtu, under_mtu=under_mtu)
    for node in spec["nodes"]:
        node["cidr"] = node["cidr"].replace("/24", "/26")
    return {**spec, "mode": "routed", "rp_filter": rp_filter, "proxy_delay": proxy_delay}


def macvlan(nodes: int = 2, pods: int = 2, mode: str = "bridge", *, under_mtu: int = 1500) -> Spec:
    """As `cluster`, each pod a macvlan child: pNI has 192.168.50.(110 + 10 N + I)."""
    spec = cluster(nodes, 0, under_mtu=under_mtu)
    return {**spec, "mode": "macvlan", "pods": [macvlan_pod(i, j, mode, under_mtu) for i in range(nodes) for j in range(2, 2 + pods)]}


def macvlan_pod(node: int, number: int, mode: str, mtu: int) -> dict[str, Any]:
    ip = f"192.168.50.{110 + 10 * node + number}"
    return {"name": f"p{node}{number}", "node": f"n{node}", "ip": ip, "mtu": mtu, "macvlan": mode}


def cluster(nodes: int = 2, pods: int = 2, *, pod_mtu: int = 0, under_mtu: int = 1500, hairpin: bool = True) -> Spec:
    """`pods` per node, named pNI for address 10.244.N.I; a client `ext` on the node network with routes to the pods."""
    return {
        "under_mtu": under_mtu,
        "nodes": [{"name": f"n{i}", "ip": f"192.168.50.{11 + i}", "cidr": f"10.244.{i}.0/24"} for i in range(nodes)],
        "pods": [
            {"name": f"p{i}{j}", "node": f"n{i}", "ip": f"10.244.{i}.{j}", "mtu": pod_mtu or under_mtu - OVERHEAD, "hairpin": hairpin}
            for i in range(nodes) for j in range(2, 2 + pods)
        ],
        "faults": [],
    }  # fmt: skip


def node_of(spec: Spec, name: str) -> dict[str, Any]:
    return next(n for n in spec["nodes"] if n["name"] == name)


def vtep(node: dict[str, Any]) -> str:
    return node["cidr"].replace(".0/24", ".0")


def gateway_of(pod_or_node: dict[str, Any]) -> str:
    ip = pod_or_node.get("cidr") or pod_or_node["ip"]
    return ".".join(ip.split(".")[:3]) + ".1"


def port_of(pod: dict[str, Any]) -> str:
    """The node's end of a pod's veth pair. In routed mode it is a cali interface in all but its name."""
    return "veth" + pod["name"][1:]


def routed_lines(spec: Spec, node: dict[str, Any]) -> list[str]:
    """What the calico plugin, Felix and BIRD leave on a node."""
    lines = ["sysctl -w net.ipv4.ip_forward=1", f"ip route add blackhole {node['cidr']} proto bird"]
    lines += [f"ip route add {other['cidr']} via {other['ip']} dev eth0 proto bird" for other in spec["nodes"] if other is not node]
    for p in (p for p in spec["pods"] if p["node"] == node["name"]):
        dev = port_of(p)
        far = f"name eth0 address {mac_of(p['ip'])} mtu {p['mtu']} netns @{p['name']}"
        lines += [
            f"ip link add {dev} address ee:ee:ee:ee:ee:ee mtu {p['mtu']} type veth peer {far}",
            f"ip link set {dev} up",
            f"sysctl -w net.ipv4.conf.{dev}.route_localnet=1",
            f"sysctl -w net.ipv4.neigh.{dev}.proxy_delay={spec['proxy_delay']}",
            f"sysctl -w net.ipv4.conf.{dev}.proxy_arp=1",
            f"sysctl -w net.ipv4.conf.{dev}.forwarding=1",
            f"sysctl -w net.ipv4.conf.{dev}.rp_filter={spec['rp_filter']}",
            f"ip route add {p['ip']} dev {dev} scope link",
        ]
    return lines


def macvlan_lines(spec: Spec, node: dict[str, Any], plugins: bool) -> list[str]:
    """What the macvlan plugin does on a node."""
    lines = ["sysctl -w net.ipv4.ip_forward=1"]
    for p in (p for p in spec["pods"] if p["node"] == node["name"] and not plugins):
        name = port_of(p)
        lines += [
            f"ip link add link eth0 name {name} address {mac_of(p['ip'])} mtu {p['mtu']} type macvlan mode {p['macvlan']}",
            f"ip link set {name} netns @{p['name']} name eth0",
        ]
    return lines


def node_lines(spec: Spec, node: dict[str, Any], plugins: bool = False) -> list[str]:
    """`plugins`: without what the CNI plugins do (cni0 and the pods' veth pairs)."""
    if spec.get("mode") == "routed":
        return routed_lines(spec, node)
    if spec.get("mode") == "macvlan":
        return macvlan_lines(spec, node, plugins)
    mine = [p for p in spec["pods"] if p["node"] == node["name"]]
    mtu = spec["under_mtu"] - OVERHEAD
    cni_mtu = min((p["mtu"] for p in mine), default=mtu)
    lines = [
        f"ip link add flannel.1 address {vtep_mac(node)} mtu {mtu} type vxlan id 1 dev eth0 local {node['ip']} dstport 8472 nolearning",
        f"ip addr add {vtep(node)}/32 dev flannel.1",
        "ip link set flannel.1 up",
        f"ip link add cni0 address {mac_of(gateway_of(node))} mtu {cni_mtu} type bridge",
        f"ip addr add {gateway_of(node)}/24 dev cni0",
        "ip link set cni0 up",
    ]
    if plugins:
        lines, mine = lines[:3], []
    for other in spec["nodes"]:
        if other is not node:
            lines.append(f"ip neigh replace {vtep(other)} lladdr {vtep_mac(other)} dev flannel.1 nud permanent")
            lines.append(f"ip route add {other['cidr']} via {vtep(other)} dev flannel.1 onlink")
    for p in mine:
        far = f"name eth0 address {mac_of(p['ip'])} mtu {p['mtu']} netns @{p['name']}"
        lines.append(f"ip link add {port_of(p)} address {mac_of(p['ip'], 0x2A)} mtu {p['mtu']} type veth peer {far}")
        lines.append(f"ip link set {port_of(p)} master cni0 up")
    lines += [
        f"bridge fdb append {vtep_mac(other)} dev flannel.1 dst {other['ip']} self permanent"
        for other in spec["nodes"]
        if other is not node
    ]
    lines += [f"bridge link set dev {port_of(p)} hairpin on" for p in mine if p["hairpin"]]
    return [*lines, "sysctl -w net.ipv4.ip_forward=1", "sysctl -w net.bridge.bridge-nf-call-iptables=1"]


def base_lines(spec: Spec, plugins: bool = False) -> list[Line]:
    """Everything but the wires: nodes, then pods, then the client's routes."""
    lines: list[Line] = []
    for end in [*spec["nodes"], {"name": "ext", "ip": CLIENT}]:
        lines += [
            [end["name"], "ip link set eth0 up"],
            [end["name"], f"ip addr add {end['ip']}/{PREFIX} dev eth0"],
            [end["name"], f"ip route add default via {GATEWAY}"],
        ]
    for node in spec["nodes"]:
        lines += [[node["name"], line] for line in node_lines(spec, node, plugins)]
        if spec.get("mode") != "macvlan":
            lines.append(["ext", f"ip route add {node['cidr']} via {node['ip']}"])
    for p in spec["pods"] if spec.get("mode") == "routed" else ():
        lines += [
            [p["name"], "ip link set eth0 up"],
            [p["name"], f"ip addr add {p['ip']}/32 dev eth0"],
            [p["name"], "ip route add 169.254.1.1 dev eth0 scope link"],
            [p["name"], "ip route add default via 169.254.1.1 dev eth0"],
        ]
    for p in spec["pods"] if not plugins and spec.get("mode") != "routed" else ():
        lines += [
            [p["name"], "ip link set eth0 up"],
            [p["name"], f"ip addr add {p['ip']}/24 dev eth0"],
            [p["name"], f"ip route add default via {GATEWAY if spec.get('mode') == 'macvlan' else gateway_of(p)}"],
        ]
    return lines


def fault_lines(spec: Spec) -> list[Line]:
    return [line for fault in spec["faults"] for line in fault["lines"]]


def listeners(spec: Spec) -> list[list[Any]]:
    """[space, label, protocol, port]"""
    out: list[list[Any]] = []
    for p in spec["pods"]:
        out += [[p["name"], p["name"], "TCP", TCP_PORT], [p["name"], p["name"], "UDP", UDP_PORT]]
    for n in [*spec["nodes"], {"name": "ext"}]:
        out += [[n["name"], n["name"], "TCP", NODE_PORT], [n["name"], n["name"], "UDP", NODE_PORT]]
    return out


def plugin_calls(spec: Spec) -> list[dict[str, Any]]:
    """ADD for each pod, by the real `bridge` (or `macvlan`) and `host-local`, configured as flannel delegates to them."""
    calls = []
    for p in spec["pods"]:
        if spec.get("mode") == "macvlan":
            subnet = {"subnet": f"{GATEWAY}/{PREFIX}".replace(".1/", ".0/"), "gateway": GATEWAY}
            conf = {
                "cniVersion": "1.0.0", "name": "lan", "type": "macvlan", "master": "eth0", "mode": p["macvlan"], "mtu": p["mtu"],
                "runtimeConfig": {"mac": mac_of(p["ip"])},
                "ipam": {"type": "host-local", "dataDir": f"@tmp-{p['node']}", "ranges": [[subnet]], "routes": [{"dst": "0.0.0.0/0"}]},
            }  # fmt: skip
            calls.append({"at": p["node"], "pod": p["name"], "ip": p["ip"], "command": "ADD", "conf": conf})
            continue
        conf = {
            "cniVersion": "1.0.0", "name": "cbr0", "type": "bridge", "bridge": "cni0", "mtu": p["mtu"], "isGateway": True,
            "isDefaultGateway": True, "hairpinMode": p["hairpin"], "ipMasq": False,
            "ipam": {"type": "host-local", "dataDir": f"@tmp-{p['node']}", "ranges": [[{"subnet": node_of(spec, p["node"])["cidr"]}]]},
        }  # fmt: skip
        calls.append({"at": p["node"], "pod": p["name"], "ip": p["ip"], "command": "ADD", "conf": conf})
    return calls


def real_spec(spec: Spec, plugins: bool = False) -> Spec:
    """What the driver wants to know. `plugins`: pods are connected by the real CNI plugins instead of command lines."""
    ends = [*spec["nodes"], {"name": "ext", "ip": CLIENT}]
    return {
        "underlay": {
            "mac": mac_of(GATEWAY, 0x3A), "mtu": spec["under_mtu"], "gateway": f"{GATEWAY}/{PREFIX}",
            "ends": [{"name": e["name"], "mac": mac_of(e["ip"], 0x3A)} for e in ends],
        },
        "spaces": [e["name"] for e in ends] + [p["name"] for p in spec["pods"]],
        "lines": base_lines(spec, plugins),
        "cni": plugin_calls(spec) if plugins else [],
        "listen": listeners(spec),
        "iptables": spec.get("iptables", "legacy"),
        "forgetful": spec.get("mode") == "macvlan",
    }  # fmt: skip
