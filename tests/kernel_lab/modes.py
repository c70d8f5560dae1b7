"""How each mode programs a cluster, as command lines: bridge with flannel's backends, routed as Calico does it, macvlan.

vxlan: everything to another node is wrapped. direct: only to nodes of another segment (flannel's DirectRouting). host-gw: a
plain route by the other node's address, none to a node that is not on the wire (the daemon's own `ip route add` fails). routed:
no bridge, a /32 per pod, 169.254.1.1 by proxy ARP, a blackhole for the node's own block. macvlan: pods on the node's wire.
"""

from __future__ import annotations

from typing import Any

from .shape import PREFIX, Line, Spec, ends_of, gateway_of, listeners, mac_of, node_of, pod_mtu_of, port_of, segment_of, vtep, vtep_mac

MODES = ("vxlan", "direct", "host-gw", "routed", "macvlan")
#: those with a bridge cni0; those with a device flannel.1
BRIDGED, TUNNELLED = ("vxlan", "direct", "host-gw"), ("vxlan", "direct")
#: the address and the hardware address of every pod's gateway in routed mode
LINK_LOCAL, EE = "169.254.1.1", "ee:ee:ee:ee:ee:ee"


def tunnelled(spec: Spec, a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Does what node `a` sends to pods of `b` travel in VXLAN?"""
    return spec["mode"] == "vxlan" or (spec["mode"] == "direct" and a["segment"] != b["segment"])


def way_to(spec: Spec, a: dict[str, Any], b: dict[str, Any]) -> str:
    """How node `a` routes to the pods of node `b`: what stands behind the destination in `ip route`. "" if it cannot."""
    if tunnelled(spec, a, b):
        return f"via {vtep(b)} dev flannel.1 onlink"
    if a["segment"] == b["segment"]:
        return f"via {b['ip']} dev eth0"
    # a next hop beyond the router: flannel's daemon fails to add it, BIRD resolves it by the route to it
    return f"via {segment_of(spec, a)['gateway']} dev eth0" if spec["mode"] == "routed" else ""


def device_to(spec: Spec, pod: dict[str, Any]) -> str:
    """The node's device towards a pod of its own."""
    return {"routed": port_of(pod), "macvlan": "eth0"}.get(spec["mode"], "cni0")


def _bridge_lines(spec: Spec, node: dict[str, Any], plugins: bool) -> list[str]:
    """`plugins`: without what the CNI plugins do (cni0 and the pods' veth pairs)."""
    mine = [p for p in spec["pods"] if p["node"] == node["name"]]
    others = [n for n in spec["nodes"] if n is not node]
    mtu = pod_mtu_of(spec, node)
    lines = []
    if spec["mode"] in TUNNELLED:
        lines += [
            f"ip link add flannel.1 address {vtep_mac(node)} mtu {mtu} type vxlan id 1 dev eth0 local {node['ip']} dstport 8472 nolearning",
            f"ip addr add {vtep(node)}/32 dev flannel.1",
            "ip link set flannel.1 up",
        ]
    if not plugins:
        lines += [
            f"ip link add cni0 address {mac_of(gateway_of(node))} mtu {min((p['mtu'] for p in mine), default=mtu)} type bridge",
            f"ip addr add {gateway_of(node)}/24 dev cni0",
            "ip link set cni0 up",
        ]
    for other in others:
        if tunnelled(spec, node, other):
            lines.append(f"ip neigh replace {vtep(other)} lladdr {vtep_mac(other)} dev flannel.1 nud permanent")
        if way := way_to(spec, node, other):
            lines.append(f"ip route add {other['cidr']} {way}")
    for p in mine if not plugins else ():
        lines += [_veth(p, mac_of(p["ip"], 0x2A)), f"ip link set {port_of(p)} master cni0 up"]
    lines += [
        f"bridge fdb append {vtep_mac(other)} dev flannel.1 dst {other['ip']} self permanent"
        for other in others
        if tunnelled(spec, node, other)
    ]
    lines += [f"bridge link set dev {port_of(p)} hairpin on" for p in mine if p["hairpin"] and not plugins]
    return [*lines, "sysctl -w net.ipv4.ip_forward=1", "sysctl -w net.bridge.bridge-nf-call-iptables=1"]


def _veth(p: dict[str, Any], near: str) -> str:
    far = f"name eth0 address {mac_of(p['ip'])} mtu {p['mtu']} netns @{p['name']}"
    return f"ip link add {port_of(p)} address {near} mtu {p['mtu']} type veth peer {far}"


def _routed_lines(spec: Spec, node: dict[str, Any]) -> list[str]:
    """What the calico plugin, Felix and BIRD leave on a node."""
    lines = ["sysctl -w net.ipv4.ip_forward=1"]
    for p in [p for p in spec["pods"] if p["node"] == node["name"]]:
        port = port_of(p)
        conf = f"sysctl -w net.ipv4.conf.{port}"
        lines += [
            _veth(p, EE), f"ip link set {port} up", f"{conf}.route_localnet=1",
            f"sysctl -w net.ipv4.neigh.{port}.proxy_delay={spec.get('proxy_delay', 0)}", f"{conf}.proxy_arp=1", f"{conf}.forwarding=1",
            f"{conf}.rp_filter={spec.get('rp_filter', 0)}", f"ip route add {p['ip']} dev {port} scope link",
        ]  # fmt: skip
    lines.append(f"ip route add blackhole {node['cidr']} proto bird")
    lines += [f"ip route add {other['cidr']} {way_to(spec, node, other)} proto bird" for other in spec["nodes"] if other is not node]
    return lines


def _macvlan_lines(spec: Spec, node: dict[str, Any], plugins: bool) -> list[str]:
    """What the macvlan plugin does on a node. `plugins`: it does it itself."""
    lines = ["sysctl -w net.ipv4.ip_forward=1"]
    for p in [p for p in spec["pods"] if p["node"] == node["name"] and not plugins]:
        name = port_of(p)
        lines += [
            f"ip link add link eth0 name {name} address {mac_of(p['ip'])} mtu {p['mtu']} type macvlan mode {p['macvlan']}",
            f"ip link set {name} netns @{p['name']} name eth0",
        ]
    return lines


def node_lines(spec: Spec, node: dict[str, Any], plugins: bool = False) -> list[str]:
    if spec["mode"] == "routed":
        return _routed_lines(spec, node)
    if spec["mode"] == "macvlan":
        return _macvlan_lines(spec, node, plugins)
    return _bridge_lines(spec, node, plugins)


def _pod_lines(spec: Spec, p: dict[str, Any]) -> list[str]:
    if spec["mode"] == "routed":
        address = [f"ip addr add {p['ip']}/32 dev eth0", f"ip route add {LINK_LOCAL} dev eth0 scope link"]
    else:
        address = [f"ip addr add {p['ip']}/24 dev eth0"]
    default = f"ip route add default via {gateway_of(p)} dev eth0"
    return ["ip link set eth0 up", *address, default]


def base_lines(spec: Spec, plugins: bool = False) -> list[Line]:
    """Everything but the wires: nodes, then pods; the client has a route to the pods of every node on its wire."""
    lines: list[Line] = []
    for end in ends_of(spec):
        lines += [
            [end["name"], "ip link set eth0 up"],
            [end["name"], f"ip addr add {end['ip']}/{PREFIX} dev eth0"],
            [end["name"], f"ip route add default via {segment_of(spec, end)['gateway']}"],
        ]
    for node in spec["nodes"]:
        lines += [[node["name"], line] for line in node_lines(spec, node, plugins)]
        if node["segment"] == 0 and spec["mode"] != "macvlan":
            lines.append(["ext", f"ip route add {node['cidr']} via {node['ip']}"])
    for p in spec["pods"] if not plugins else ():
        lines += [[p["name"], line] for line in _pod_lines(spec, p)]
    return lines


# ------------------------------------------------------------------------------------------------------ the real plugins
def plugin_calls(spec: Spec) -> list[dict[str, Any]]:
    """ADD for each pod, by the real plugins: `bridge` and `host-local` configured as flannel delegates to them, or `macvlan`."""
    calls = []
    for p in spec["pods"]:
        node = node_of(spec, p["node"])
        ipam: dict[str, Any] = {"type": "host-local", "dataDir": f"@tmp-{p['node']}", "ranges": [[{"subnet": node["cidr"]}]]}
        conf: dict[str, Any] = {
            "cniVersion": "1.0.0", "name": "cbr0", "type": "bridge", "bridge": "cni0", "mtu": p["mtu"], "isGateway": True,
            "isDefaultGateway": True, "hairpinMode": p.get("hairpin", True), "ipMasq": False, "ipam": ipam,
        }  # fmt: skip
        if spec["mode"] == "macvlan":
            lan = {"subnet": f"{segment_of(spec, node)['gateway'].rsplit('.', 1)[0]}.0/{PREFIX}", "gateway": p["gateway"]}
            ipam |= {"ranges": [[lan]], "routes": [{"dst": "0.0.0.0/0"}]}
            conf = {"cniVersion": "1.0.0", "name": "lan", "type": "macvlan", "master": "eth0", "mtu": p["mtu"], "ipam": ipam}
            conf |= {"mode": p["macvlan"], "runtimeConfig": {"mac": mac_of(p["ip"])}}
        calls.append({"at": p["node"], "pod": p["name"], "ip": p["ip"], "command": "ADD", "conf": conf})
    return calls


def real_spec(spec: Spec, plugins: bool = False) -> Spec:
    """What the driver wants to know. `plugins`: pods are connected by the real CNI plugins instead of command lines."""
    ends = ends_of(spec)
    return {
        "underlay": [
            {
                "mac": mac_of(s["gateway"], 0x3A), "mtu": s["mtu"], "gateway": f"{s['gateway']}/{PREFIX}",
                "ends": [{"name": e["name"], "mac": mac_of(e["ip"], 0x3A)} for e in ends if e["segment"] == i],
            }
            for i, s in enumerate(spec["segments"])
        ],
        "spaces": [e["name"] for e in ends] + [p["name"] for p in spec["pods"]],
        "lines": base_lines(spec, plugins),
        "cni": plugin_calls(spec) if plugins else [],
        "listen": listeners(spec),
        "iptables": spec.get("iptables", "legacy"),
        "forgetful": spec["mode"] == "macvlan",
    }  # fmt: skip
