"""A small cluster as a JSON-able value: its addresses, its wires, who listens, and what the real side is told.

The command lines that program it stand in `modes`: the same lines program the real namespaces (`driver`) and the model
(`doors`). Every hardware address is set explicitly, so both sides have the same. Nodes are 192.168.(50+S).11+ on segment S,
pod networks 10.244.N.0/24 (routed: blocks of 64); cni0 is .1, flannel.1 is .0. Between segments stands a router, .1 of each,
that knows no pods.
Lines of the space "underlay" are about the switch of the first segment, whose port uN leads to node N ("underlay!": of the real one only).
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


def cluster(
    nodes: int = 2, pods: int = 2, *, pod_mtu: int = 0, under_mtu: int = 1500, hairpin: bool = True, mode: str = "vxlan",
    segments: tuple[int, ...] = (), segment_mtus: tuple[int, ...] = (),
) -> Spec:  # fmt: skip
    """`pods` per node, named pNI; a client `ext` on the first segment.

    `segments`: each node's segment, by default all on the first; `segment_mtus`: of each segment, by default `under_mtu`.
    """
    block = 26 if mode == "routed" else 24
    places = segments or (0,) * nodes
    mtus = segment_mtus or (under_mtu,) * (max(places) + 1)
    spec: Spec = {
        "mode": mode,
        "under_mtu": under_mtu,
        "segments": [{"gateway": f"192.168.{50 + s}.1", "mtu": mtu} for s, mtu in enumerate(mtus)],
        "nodes": [
            {"name": f"n{i}", "ip": f"192.168.{50 + places[i]}.{11 + i}", "cidr": f"10.244.{i}.0/{block}", "segment": places[i]}
            for i in range(nodes)
        ],
        "pods": [],
        "faults": [],
    }
    for i in range(nodes):
        for j in range(2, 2 + pods):
            add_pod(spec, i, j, mtu=pod_mtu, hairpin=hairpin)
    return spec


def routed(nodes: int = 2, pods: int = 2, *, under_mtu: int = 1500, rp_filter: int = 0, proxy_delay: int = 0) -> Spec:
    """A routed cluster whose pod devices have these settings."""
    return {**cluster(nodes, pods, under_mtu=under_mtu, mode="routed"), "rp_filter": rp_filter, "proxy_delay": proxy_delay}


def macvlan(nodes: int = 2, pods: int = 2, mode: str = "bridge", *, under_mtu: int = 1500) -> Spec:
    """A cluster whose pods are macvlan children of their node's eth0: pNI has 192.168.50.(110 + 10 N + I)."""
    spec = cluster(nodes, 0, under_mtu=under_mtu, mode="macvlan")
    spec["pods"] = [macvlan_pod(i, j, mode, under_mtu) for i in range(nodes) for j in range(2, 2 + pods)]
    return spec


def macvlan_pod(node: int, number: int, mode: str, mtu: int, segment: int = 0) -> dict[str, Any]:
    lan = f"192.168.{50 + segment}"
    ip = f"{lan}.{110 + 10 * node + number}"
    return {"name": f"p{node}{number}", "node": f"n{node}", "ip": ip, "gateway": f"{lan}.1", "mtu": mtu, "macvlan": mode}


def add_pod(spec: Spec, i: int, j: int, *, mtu: int = 0, hairpin: bool = True) -> None:
    """Pod J of node I. `mtu` 0: what its node's pod network takes."""
    node = spec["nodes"][i]
    size = mtu or pod_mtu_of(spec, node)
    if spec["mode"] == "macvlan":
        spec["pods"].append(macvlan_pod(i, j, "bridge", size, node["segment"]))
        return
    gateway = "169.254.1.1" if spec["mode"] == "routed" else f"10.244.{i}.1"
    spec["pods"].append(
        {"name": f"p{i}{j}", "node": node["name"], "ip": f"10.244.{i}.{j}", "gateway": gateway, "mtu": size, "hairpin": hairpin}
    )


def segment_of(spec: Spec, node: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["segments"][node.get("segment", 0)]
    return found


def pod_mtu_of(spec: Spec, node: dict[str, Any]) -> int:
    """What a node's wire leaves for a pod's packet in this mode."""
    mtu: int = segment_of(spec, node)["mtu"]
    return mtu - OVERHEAD if spec["mode"] in ("vxlan", "direct") else mtu


def node_of(spec: Spec, name: str) -> dict[str, Any]:
    return next(n for n in spec["nodes"] if n["name"] == name)


def vtep(node: dict[str, Any]) -> str:
    return str(node["cidr"].split("/")[0])


def gateway_of(pod_or_node: dict[str, Any]) -> str:
    """A pod's next hop; the address that a node's bridge has."""
    return str(pod_or_node.get("gateway") or f"{vtep(pod_or_node)[:-1]}1")


def port_of(pod: dict[str, Any]) -> str:
    """The node's end of a pod's veth pair. In routed mode it is a cali interface in all but its name."""
    return "veth" + pod["name"][1:]


def ends_of(spec: Spec) -> list[dict[str, Any]]:
    """Everything that has a NIC on a wire: the nodes and the client."""
    return [*spec["nodes"], {"name": "ext", "ip": CLIENT, "segment": 0}]


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
