"""Broken entries of VTEPs, neighbours and routes."""

from __future__ import annotations

from .draft import STRANGE_MAC, Draft, feature
from .modes import BRIDGED, TUNNELLED, device_to, way_to
from .shape import CLIENT, GATEWAY, gateway_of, mac_of, vtep, vtep_mac


# ------------------------------------------------------------------------------------------------------ the VTEPs
@feature("fdb removed", *TUNNELLED)
def fdb_removed(d: Draft) -> None:
    a, b = d.two_nodes(tunnelled=True)
    d.claim(f"fdb {a['name']} {b['name']}")
    d.run(a["name"], f"bridge fdb del {vtep_mac(b)} dev flannel.1 dst {b['ip']}")


@feature("fdb wrong remote", *TUNNELLED)
def fdb_wrong_remote(d: Draft) -> None:
    a, b = d.two_nodes(tunnelled=True)
    d.claim(f"fdb {a['name']} {b['name']}")
    c = d.third(a, b)
    wrong = d.rng.choice([c["ip"] if c else CLIENT, "192.168.50.77", CLIENT, GATEWAY])
    d.run(a["name"], f"bridge fdb del {vtep_mac(b)} dev flannel.1 dst {b['ip']}")
    d.run(a["name"], f"bridge fdb append {vtep_mac(b)} dev flannel.1 dst {wrong} self permanent")


@feature("fdb wrong mac", *TUNNELLED)
def fdb_wrong_mac(d: Draft) -> None:
    a, b = d.two_nodes(tunnelled=True)
    d.claim(f"fdb {a['name']} {b['name']}")
    d.run(a["name"], f"bridge fdb del {vtep_mac(b)} dev flannel.1 dst {b['ip']}")
    d.run(a["name"], f"bridge fdb append {STRANGE_MAC} dev flannel.1 dst {b['ip']} self permanent")


@feature("vtep neighbour removed", *TUNNELLED)
def vtep_neighbour_removed(d: Draft) -> None:
    a, b = d.two_nodes(tunnelled=True)
    d.claim(f"neigh {a['name']} {b['name']}")
    d.run(a["name"], f"ip neigh del {vtep(b)} dev flannel.1")


@feature("vtep neighbour wrong", *TUNNELLED)
def vtep_neighbour_wrong(d: Draft) -> None:
    a, b = d.two_nodes(tunnelled=True)
    d.claim(f"neigh {a['name']} {b['name']}")
    c = d.third(a, b)
    wrong = d.rng.choice([STRANGE_MAC, vtep_mac(c) if c else STRANGE_MAC, vtep_mac(a)])
    d.run(a["name"], f"ip neigh replace {vtep(b)} lladdr {wrong} dev flannel.1 nud permanent")


@feature("vtep mac wrong at both tables", *TUNNELLED)
def vtep_mac_wrong(d: Draft) -> None:
    """Neighbour and FDB agree on a hardware address that the far VTEP does not have: it arrives, and is not for it."""
    a, b = d.two_nodes(tunnelled=True)
    d.claim(f"neigh {a['name']} {b['name']}", f"fdb {a['name']} {b['name']}")
    d.run(a["name"], f"ip neigh replace {vtep(b)} lladdr {STRANGE_MAC} dev flannel.1 nud permanent")
    d.run(a["name"], f"bridge fdb append {STRANGE_MAC} dev flannel.1 dst {b['ip']} self permanent")


# ------------------------------------------------------------------------------------------------------ neighbours
@feature("pod neighbour wrong on node", *BRIDGED, "routed")
def pod_neighbour_wrong(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"neigh {p['node']} {p['name']}")
    others = [q for q in d.spec["pods"] if q["node"] == p["node"] and q is not p]
    wrong = d.rng.choice([STRANGE_MAC, *(mac_of(q["ip"]) for q in others)])
    d.run(p["node"], f"ip neigh replace {p['ip']} lladdr {wrong} dev {device_to(d.spec, p)} nud permanent")


@feature("gateway neighbour wrong in pod")
def gateway_neighbour_wrong(d: Draft) -> None:
    p = d.pod
    d.touch.append(p["name"])
    d.claim(f"neigh {p['name']}", f"up {p['name']}")
    d.run(p["name"], f"ip neigh replace {gateway_of(p)} lladdr {STRANGE_MAC} dev eth0 nud permanent")


# ---------------------------------------------------------------------------------------------------------- routes
@feature("route removed", *BRIDGED, "routed")
def route_removed(d: Draft) -> None:
    a, b = d.two_nodes(routed=True)
    d.claim(f"route {a['name']} {b['name']}")
    d.run(a["name"], f"ip route del {b['cidr']}")


@feature("route wrong via", *BRIDGED, "routed")
def route_wrong_via(d: Draft) -> None:
    a, b = d.two_nodes()
    d.claim(f"route {a['name']} {b['name']}", f"up {a['name']} flannel.1", f"up {a['name']} eth0")
    c = d.third(a, b)
    wrong = [f"via {b['ip']} dev eth0 onlink", way_to(d.spec, a, c) if c else "", f"via {d.gateway(a)} dev eth0", "dev eth0"]
    wrong += ["via 10.244.9.0 dev flannel.1 onlink"] if d.mode in TUNNELLED else []
    wrong += ["dev cni0"] if d.mode in BRIDGED else ["via 192.168.50.77 dev eth0 onlink"]
    way = d.rng.choice([w for w in wrong if w])
    d.claim(f"up {a['name']} cni0")
    d.run(a["name"], f"ip route replace {b['cidr']} {way}")


@feature("route of another type", *BRIDGED, "routed")
def route_type(d: Draft) -> None:
    a, b = d.two_nodes(routed=True)
    d.claim(f"route {a['name']} {b['name']}")
    kind = d.rng.choice(["blackhole", "unreachable", "prohibit", "throw"])
    d.run(a["name"], f"ip route del {b['cidr']}")
    d.run(a["name"], f"ip route add {kind} {b['cidr']}")


@feature("more specific route", *BRIDGED, "routed")
def more_specific(d: Draft) -> None:
    a, b = d.two_nodes()
    p = d.rng.choice(d.pods_of(b))
    d.touch.append(p["name"])
    d.claim(f"route {a['name']} {p['name']}", *(f"up {a['name']} {x}" for x in ("flannel.1", "eth0", "cni0")))
    c = d.third(a, b)
    half = f"{vtep(b)}/{int(b['cidr'].split('/')[1]) + 1}"
    to = d.rng.choice([f"{p['ip']}/32", half])
    way = d.rng.choice(
        [
            "blackhole",
            "unreachable",
            "prohibit",
            (way_to(d.spec, a, c) if c else "") or "dev eth0",
            "dev cni0" if d.mode in BRIDGED else "dev eth0",
            f"via {b['ip']} dev eth0 onlink",
        ]
    )
    d.run(a["name"], f"ip route add {way} {to}" if " " not in way else f"ip route add {to} {way}")


@feature("route in the pod")
def pod_route(d: Draft) -> None:
    p, q = d.pod, d.pod
    d.touch += [p["name"], q["name"]]
    d.claim(f"route {p['name']}", f"up {p['name']}")
    way = d.rng.choice(["blackhole", "unreachable", "prohibit", f"via {gateway_of(p)} dev eth0 onlink", "dev eth0"])
    d.run(p["name"], f"ip route add {way} {q['ip']}/32" if " " not in way else f"ip route add {q['ip']}/32 {way}")


@feature("route with its own mtu", *BRIDGED, "routed")
def route_mtu(d: Draft) -> None:
    a, b = d.two_nodes(routed=True)
    d.claim(f"route {a['name']} {b['name']}", f"up {a['name']} flannel.1", f"up {a['name']} eth0")
    mtu = d.rng.choice([1300, 1380])
    d.sizes.append(mtu)
    d.run(a["name"], f"ip route replace {b['cidr']} {way_to(d.spec, a, b)} mtu {mtu}")


@feature("pod without default route")
def no_default(d: Draft) -> None:
    p = d.pod
    d.touch.append(p["name"])
    d.claim(f"default {p['name']}", f"up {p['name']}")
    d.run(p["name"], "ip route del default")


@feature("node without default route")
def node_no_default(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"default {n['name']}", f"up {n['name']} eth0")
    d.run(n["name"], "ip route del default")


@feature("wrong pod prefix", *BRIDGED)
def wrong_prefix(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"prefix {p['name']}", f"default {p['name']}", f"route {p['name']}", f"up {p['name']}", f"neigh {p['name']}")
    length = d.rng.choice([16, 25, 30, 23])
    d.run(p["name"], "ip route del default")
    d.run(p["name"], f"ip addr del {p['ip']}/24 dev eth0")
    d.run(p["name"], f"ip addr add {p['ip']}/{length} dev eth0")
    d.run(p["name"], f"ip route add default via {gateway_of(p)} dev eth0 onlink")


@feature("rule by source")
def source_rule(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"rule {p['node']}")
    action = d.rng.choice(["blackhole", "unreachable", "prohibit", "lookup 100"])
    if action == "lookup 100":
        d.run(p["node"], f"ip route add {d.rng.choice(['blackhole', 'unreachable'])} 10.244.0.0/16 table 100")
    d.run(p["node"], f"ip rule add from {p['ip']} {action} priority 1000")


@feature("second pod network address on node")
def more_addresses(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"address {n['name']}")
    places = [("eth0", n["ip"].rsplit(".", 1)[0] + ".2" + n["ip"][-1] + "/24"), ("lo", "10.99.1.1/32")]
    places += [("cni0", gateway_of(n)[:-1] + "250/24")] if d.mode in BRIDGED else []
    dev, ip = d.rng.choice(places)
    d.run(n["name"], f"ip addr add {ip} dev {dev}")
