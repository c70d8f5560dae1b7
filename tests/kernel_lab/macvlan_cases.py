"""Random clusters of macvlan pods with what can be different or broken on them, and the probes to compare."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from . import shape
from .cases import PATIENCE, Case, Probe
from .draft import STRANGE_MAC, Draft
from .shape import CLIENT, GATEWAY, NODE_PORT, TCP_PORT, UDP_PORT, Spec, mac_of

MODES = ("bridge", "bridge", "private", "vepa")
FEATURES: dict[str, Callable[[Draft], None]] = {}


def feature(name: str) -> Callable[[Callable[[Draft], None]], Callable[[Draft], None]]:
    def register(fn: Callable[[Draft], None]) -> Callable[[Draft], None]:
        FEATURES[name] = fn
        return fn

    return register


def number_of(node: dict[str, str]) -> str:
    return node["name"][1:]


@feature("switch port reflects")
def hairpin(d: Draft) -> None:
    n = d.node
    d.claim(f"switch {n['name']}")
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    d.run("underlay", f"bridge link set dev u{number_of(n)} hairpin on")


@feature("switch knows the nodes only")
def locked(d: Draft) -> None:
    d.claim(*(f"switch {n['name']}" for n in d.spec["nodes"]), *(f"mac {n['name']}" for n in d.spec["nodes"]))
    for n in d.spec["nodes"]:
        d.run("underlay!", f"bridge fdb replace {mac_of(n['ip'], 0x3A)} dev u{number_of(n)} master static")
        d.run("underlay", f"bridge link set dev u{number_of(n)} locked on")


@feature("mode changed")
def mode(d: Draft) -> None:
    p = d.pod
    if p["macvlan"] == "passthru":
        return
    d.claim(f"mode {p['name']}")
    d.touch.append(p["name"])
    d.run(p["name"], f"ip link set eth0 type macvlan mode {d.rng.choice(MODES)}")


@feature("shim on the node")
def shim(d: Draft) -> None:
    n = d.node
    mine = d.pods_of(n)
    if any(p["macvlan"] == "passthru" for p in mine):
        return
    d.claim(f"shim {n['name']}")
    d.touch += [n["name"], *(p["name"] for p in mine)]
    d.run(n["name"], f"ip link add link eth0 name shim address 02:00:00:00:00:5{number_of(n)} type macvlan mode {d.rng.choice(MODES)}")
    if d.rng.random() < 0.7:
        d.run(n["name"], f"ip addr add 192.168.50.6{number_of(n)}/32 dev shim")
    d.run(n["name"], "ip link set shim up")
    for p in mine:
        if d.rng.random() < 0.7:
            d.run(n["name"], f"ip route add {p['ip']} dev shim")


@feature("node eth0 down")
def parent_down(d: Draft) -> None:
    n = d.node
    d.claim(f"up {n['name']}")
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    d.last = True
    d.run(n["name"], "ip link set eth0 down")


@feature("child down")
def child_down(d: Draft) -> None:
    p = d.pod
    d.claim(f"up {p['name']}", f"neigh {p['name']}")
    d.touch += [p["name"], p["node"]]
    d.last = True
    d.run(p["name"], "ip link set eth0 down")


@feature("node mtu")
def parent_mtu(d: Draft) -> None:
    n = d.node
    mtu = d.rng.choice([1300, 1400])
    d.claim(f"mtu {n['name']}", *(f"mtu {p['name']}" for p in d.pods_of(n)))
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    d.sizes.append(mtu)
    d.run(n["name"], f"ip link set eth0 mtu {mtu}")
    if d.rng.random() < 0.4:
        d.run(n["name"], "ip link set eth0 mtu 1500")


@feature("child mtu")
def child_mtu(d: Draft) -> None:
    p = d.pod
    mtu = d.rng.choice([1280, 1400])
    d.claim(f"mtu {p['name']}", f"mtu {p['node']}")
    d.touch.append(p["name"])
    d.sizes.append(mtu)
    d.run(p["name"], f"ip link set eth0 mtu {mtu}")


@feature("neighbour by hand")
def neighbour(d: Draft) -> None:
    a = d.rng.choice([*d.spec["pods"], *d.spec["nodes"]])
    b = d.rng.choice([x for x in [*d.spec["pods"], *d.spec["nodes"]] if x is not a])
    mac = STRANGE_MAC if d.rng.random() < 0.3 else mac_of(b["ip"], 0x0A if "macvlan" in b else 0x3A)
    d.claim(f"neigh {a['name']}", f"mac {b['name']}")
    d.touch += [a["name"], b["name"]]
    d.run(a["name"], f"ip neigh replace {b['ip']} lladdr {mac} dev eth0 nud permanent")


@feature("child mac changed")
def child_mac(d: Draft) -> None:
    p = d.pod
    if p["macvlan"] == "passthru":
        return
    d.claim(f"mac {p['name']}", f"neigh {p['name']}")
    d.touch.append(p["name"])
    d.run(p["name"], f"ip link set eth0 address 02:00:00:00:{p['name'][1]}:{p['name'][2]}")


@feature("node promiscuous")
def promiscuous(d: Draft) -> None:
    n = d.node
    d.claim(f"promisc {n['name']}")
    d.run(n["name"], "ip link set eth0 promisc on")


@feature("child arp off")
def arp_off(d: Draft) -> None:
    p = d.pod
    d.claim(f"neigh {p['name']}", f"mac {p['name']}")
    d.touch.append(p["name"])
    d.run(p["name"], "ip link set eth0 arp off")


@feature("rule on the node")
def node_rule(d: Draft) -> None:
    """A node's own rules do not meet what passes by its children."""
    n = d.node
    d.claim(f"rules {n['name']}")
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    d.run(n["name"], f"iptables -A {d.rng.choice(['FORWARD', 'INPUT'])} -p tcp --dport {d.rng.choice([TCP_PORT, NODE_PORT])} -j REJECT")


@feature("rule in a pod")
def pod_rule(d: Draft) -> None:
    p = d.pod
    d.claim(f"rules {p['name']}")
    d.touch.append(p["name"])
    d.run(p["name"], f"iptables -A INPUT -p tcp --dport {TCP_PORT} -j {d.rng.choice(['DROP', 'REJECT'])}")


@feature("pod routed by its node")
def routed_pod(d: Draft) -> None:
    """A second network behind a node: children on other nodes reach it by that node's address, its own children do not."""
    n = d.node
    d.claim(f"second {n['name']}")
    net = f"10.9.{number_of(n)}"
    d.run(n["name"], f"ip addr add {net}.1/32 dev lo")
    for p in d.spec["pods"]:
        d.run(p["name"], f"ip route add {net}.0/24 via {n['ip']}")
    d.spec.setdefault("second", []).append(f"{net}.1")


def draw(seed: int, number: int, only: tuple[str, ...] = ()) -> Case:
    """Case `number` of a seed; `only` gives the features instead of drawing them."""
    rng = Random(f"macvlan/{seed}/{number}")
    nodes = rng.choice([2, 2, 3])
    spec = shape.macvlan(nodes, 0)
    alike = rng.choice(MODES) if rng.random() < 0.5 else ""
    for i in range(nodes):
        count = rng.randint(1, 3)
        if rng.random() < 0.1:
            spec["pods"].append(shape.macvlan_pod(i, 2, "passthru", 1500))
            continue
        spec["pods"] += [shape.macvlan_pod(i, j, alike or rng.choice(MODES), 1500) for j in range(2, 2 + count)]
    spec["iptables"] = rng.choice(["legacy", "nft"])
    wanted = rng.choice([0, 1, 1, 2, 2, 3])
    claims: set[str] = set()
    chosen = []
    touch: list[str] = []
    sizes = [1500]
    for name in only or tuple(rng.sample(sorted(FEATURES), min(len(FEATURES), wanted))):
        draft = Draft(rng, spec)
        FEATURES[name](draft)
        if claims & draft.claims or not draft.lines:
            continue
        claims |= draft.claims
        chosen.append({"name": name, "lines": draft.lines, "last": draft.last})
        touch += draft.touch
        sizes += draft.sizes
    spec["faults"] = sorted(chosen, key=lambda c: c["last"])
    return {"id": f"macvlan {seed}.{number}", "spec": spec, "probes": _probes(rng, spec, touch, sizes), "ways": []}


def _probes(rng: Random, spec: Spec, touch: list[str], sizes: list[int]) -> list[Probe]:
    pods, ends = spec["pods"], [*spec["pods"], *spec["nodes"]]
    out: list[Probe] = []

    def add(src: str, dst: str, proto: str, port: int, **more: object) -> None:
        probe = {"src": src, "dst": dst, "proto": proto, "port": port, "size": 200, "sport": 20001 + len(out), "timeout": PATIENCE}
        out.append({**probe, **more})

    def pair() -> tuple[dict[str, str], dict[str, str]]:
        near = [(a, b) for a in ends for b in ends if a is not b and (a["name"] in touch or b["name"] in touch)]
        return rng.choice(near if near and rng.random() < 0.6 else [(a, b) for a in ends for b in ends])

    def port(end: dict[str, str], proto: str) -> int:
        return 0 if proto == "ICMP" else NODE_PORT if "macvlan" not in end else {"TCP": TCP_PORT, "UDP": UDP_PORT}[proto]

    for proto, n in (("TCP", 9), ("UDP", 5), ("ICMP", 4)):
        for _ in range(n):
            a, b = pair()
            add(a["name"], b["ip"], proto, port(b, proto))
        p = rng.choice(pods)
        add(p["name"], CLIENT, proto, 0 if proto == "ICMP" else NODE_PORT)
        add("ext", p["ip"], proto, port(p, proto))
    add(rng.choice(pods)["name"], GATEWAY, "ICMP", 0)
    add(rng.choice(pods)["name"], "192.168.50.99", "TCP", TCP_PORT)
    add(rng.choice(pods)["name"], "203.0.113.9", "TCP", 443)
    for ip in spec.get("second", ()):
        for p in pods:
            add(p["name"], ip, "TCP", NODE_PORT)
    seen: set[frozenset[str]] = set()
    for _ in range(6):
        a, b = pair()
        if a is b or frozenset((a["name"], b["name"])) in seen:
            continue
        seen.add(frozenset((a["name"], b["name"])))
        proto = rng.choice(["UDP", "ICMP", "TCP"])
        size = 4000 if proto == "TCP" else rng.choice(sizes) - 28 + rng.choice([0, 0, 1, -1, 60])
        add(a["name"], b["ip"], proto, port(b, proto), size=size, df=rng.random() < 0.6)
    return out
