"""Random cases: a cluster with broken entries, and the probes to compare. A case is JSON-able; a seed gives the same again."""

from __future__ import annotations

from random import Random
from typing import Any

from . import shape
from .draft import FITS, Nothing
from .faults import FEATURES, NODE_PORT_NUMBER, SERVICE_IP, SERVICE_PORT, SERVICE_UDP, Draft
from .modes import MODES
from .shape import CLIENT, CLOSED, NODE_PORT, TCP_PORT, UDP_PORT, Spec

#: how long a probe may wait: three ARP requests and three SYNs. All start together, so ARP gives up for all at once
PATIENCE = 4.2
#: drawn more often than the rest
HEAVY = {"service": 5, "filter rule on a node": 2, "pod mtu changed": 2, "bridge-nf off": 2, "flannel masquerade": 2}

Case = dict[str, Any]
Probe = dict[str, Any]


def draw(seed: int, number: int, only: tuple[str, ...] = (), mode: str = "") -> Case:
    """Case `number` of a seed. `only` gives the features and `mode` the mode instead of drawing them (for looking closer)."""
    rng = Random(f"kernel-lab/{seed}/{number}")
    mode = mode or rng.choice([m for m in MODES if all(m in FITS[f] for f in only)])
    nodes = rng.choice([2, 2, 3])
    spec = shape.cluster(nodes, 0, mode=mode, **_wires(rng, mode, nodes))
    sizes = {shape.pod_mtu_of(spec, n) for n in spec["nodes"]} | {s["mtu"] for s in spec["segments"]}
    for i, node in enumerate(spec["nodes"]):
        fits = shape.pod_mtu_of(spec, node)
        others = [fits, min(1400, fits)] if mode == "macvlan" else [1500, 1400]  # no macvlan is wider than its lower device
        mtu = rng.choice([fits] * 4 + others)
        for j in range(2, 2 + rng.randint(1, 3)):
            own = mtu if rng.random() < 0.85 else rng.choice([1300, 1400, *others])
            shape.add_pod(spec, i, j, mtu=own)
            sizes.add(own)
    spec["iptables"] = rng.choice(["legacy", "nft"])
    worth = sorted(sizes)
    names = [n for n in FEATURES if mode in FITS[n] for _ in range(HEAVY.get(n, 1))]
    wanted = rng.choice([0, 1, 1, 2, 2, 2, 3, 3, 4])
    sequence = only or tuple(rng.choice(names) for _ in range(wanted * 3))
    claims: set[str] = set()
    chosen = []
    touch: list[str] = []
    for name in sequence:
        if len(chosen) >= wanted and not only:
            break
        draft = Draft(rng, spec)
        before = dict(spec)
        try:
            FEATURES[name](draft)
        except Nothing:
            continue
        if claims & draft.claims or any(c["name"] == name for c in chosen):
            spec.pop("service", None) if "service" not in before else None
            continue
        claims |= draft.claims
        chosen.append({"name": name, "lines": draft.lines, "last": draft.last})
        touch += draft.touch
        worth += draft.sizes
    spec["faults"] = sorted(chosen, key=lambda c: c["last"])
    case = {"id": f"{seed}.{number}", "spec": spec}
    case.update(_probes(rng, spec, touch, worth))
    return case


def _wires(rng: Random, mode: str, nodes: int) -> dict[str, Any]:
    """One segment, or two with a router between; jumbo frames, or one segment that takes less than the other."""
    if rng.random() < (0.55 if mode in ("direct", "host-gw", "routed") else 0.25):
        places = (0, *(rng.choice([0, 1]) for _ in range(nodes - 2)), 1)
        return {"segments": places, "segment_mtus": rng.choice([(1500, 1500), (1500, 1500), (1500, 1400), (1400, 1500), (9000, 1500)])}
    return {"under_mtu": 9000 if rng.random() < 0.08 else 1500}


class _Ends:
    def __init__(self, rng: Random, spec: Spec, touch: list[str]):
        self.rng, self.spec, self.touch = rng, spec, set(touch)
        self.pods = spec["pods"]

    def bent(self, found: list[Any], *names: Any) -> Any:
        """One of `found`, more often one that a feature touches."""
        near = [x for x in found if (x[0]["name"] in self.touch or x[1]["name"] in self.touch)]
        return self.rng.choice(near if near and self.rng.random() < 0.65 else found)

    def pods_pair(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.bent([(a, b) for a in self.pods for b in self.pods])  # type: ignore[no-any-return]

    def node_pod(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.bent([(a, b) for a in self.spec["nodes"] for b in self.pods])  # type: ignore[no-any-return]


def _probes(rng: Random, spec: Spec, touch: list[str], sizes: list[int]) -> dict[str, Any]:
    ends = _Ends(rng, spec, touch)
    small: list[Probe] = []
    ways: list[Probe] = []
    serial = 20000

    def probe(src: str, dst: str, proto: str, port: int, **more: Any) -> Probe:
        nonlocal serial
        serial += 1
        return {"src": src, "dst": dst, "proto": proto, "port": port, "size": 200, "sport": serial, "timeout": PATIENCE, **more}

    def add(src: str, dst: str, proto: str, port: int, **more: Any) -> None:
        small.append(probe(src, dst, proto, port, **more))

    ports = {"TCP": TCP_PORT, "UDP": UDP_PORT, "ICMP": 0}
    for proto, n in (("TCP", 8), ("UDP", 5), ("ICMP", 3)):
        for _ in range(n):
            a, b = ends.pods_pair()
            add(a["name"], b["ip"], proto, ports[proto])
        for _ in range(max(1, n // 3)):
            a, b = ends.node_pod()
            add(a["name"], b["ip"], proto, ports[proto])
            add(b["name"], a["ip"], proto, NODE_PORT if proto != "ICMP" else 0)
        a, b = ends.node_pod()
        add("ext", b["ip"], proto, ports[proto])
    for proto in ("TCP", "UDP"):
        a, b = ends.pods_pair()
        add(a["name"], b["ip"], proto, CLOSED)
        a, b = ends.pods_pair()
        absent = b["ip"].rsplit(".", 1)[0] + ".99"
        add(a["name"], absent, proto, ports[proto])
    a, b = ends.node_pod()
    add("ext", b["ip"].rsplit(".", 1)[0] + ".98", "UDP", UDP_PORT)
    add("ext", a["ip"], "TCP", NODE_PORT)
    add(b["name"], CLIENT, rng.choice(["TCP", "UDP"]), NODE_PORT)
    add(b["name"], f"{shape.vtep(a)[:-1]}1", "TCP", NODE_PORT)
    add(b["name"], shape.vtep(a), "UDP", NODE_PORT)
    add(a["name"], rng.choice(spec["nodes"])["ip"], "TCP", NODE_PORT)
    add(b["name"], "203.0.113.9", "TCP", 443)
    add(b["name"], b["ip"], "TCP", TCP_PORT)
    if "service" in spec:
        for _ in range(4):
            a, b = ends.node_pod()
            add(b["name"], SERVICE_IP, "TCP", SERVICE_PORT)
        end = next(p for p in spec["pods"] if p["name"] == spec["service"]["endpoint"])
        add(end["name"], SERVICE_IP, "TCP", SERVICE_PORT)
        add(end["name"], SERVICE_IP, "UDP", SERVICE_UDP)
        a, b = ends.node_pod()
        add(b["name"], SERVICE_IP, "UDP", SERVICE_UDP)
        add(a["name"], SERVICE_IP, "TCP", SERVICE_PORT)
        add(a["name"], SERVICE_IP, "UDP", SERVICE_UDP)
        add(b["name"], SERVICE_IP, "TCP", 81)
        add("ext", a["ip"], "TCP", NODE_PORT_NUMBER)
        add(b["name"], a["ip"], "TCP", NODE_PORT_NUMBER)
        add(a["name"], a["ip"], "TCP", NODE_PORT_NUMBER)
        add(a["name"], "127.0.0.1", "TCP", NODE_PORT_NUMBER)
        b = ends.node_pod()[1]
        for ttl in (1, 2, 3):
            add(b["name"], SERVICE_IP, "UDP", SERVICE_UDP, ttl=ttl)
    for proto in ("UDP", "UDP", "TCP"):
        a, b = ends.pods_pair()
        for ttl in (1, 2, 3):
            add(a["name"], b["ip"], proto, ports[proto], ttl=ttl)
    # sizes: around every MTU that is anywhere on the way. No two between the same ends: what one learns of the path the other would know
    seen: set[frozenset[str]] = set()
    for _ in range(12):
        a, b = ends.pods_pair()
        if a is b or rng.random() < 0.15:
            a = rng.choice(spec["nodes"])
        serving = "service" in spec and rng.random() < 0.2
        to = spec["service"]["endpoint"] if serving else b["name"]
        if frozenset((a["name"], to)) in seen:
            continue
        seen.add(frozenset((a["name"], to)))
        proto = rng.choice(["TCP", "UDP"] if serving else ["TCP", "UDP", "ICMP"])
        port = {"TCP": SERVICE_PORT, "UDP": SERVICE_UDP}[proto] if serving else ports[proto]
        size = rng.choice(sizes) - 28 + rng.choice([0, 0, 1, 1, -1, 60]) if proto != "TCP" else rng.choice([1500, 4000])
        if proto != "TCP" and rng.random() < 0.15:
            size = rng.choice([2000, 3000, 4500])
        add(a["name"], SERVICE_IP if serving else b["ip"], proto, port, size=size, df=rng.random() < 0.6)
    widest = max(s["mtu"] for s in spec["segments"])
    for _ in range(2):
        a, b = ends.pods_pair()
        if a is not b and frozenset((a["name"], b["name"])) not in seen:
            seen.add(frozenset((a["name"], b["name"])))
            ways.append(probe(a["name"], b["ip"], "ICMP", 0, size=widest - 28 + rng.choice([0, 10]), df=True))
    return {"probes": small, "ways": ways}
