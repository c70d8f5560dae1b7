"""Random networks of plugins and histories of operations on them, with what a person gets wrong."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kubenet_lab.errors import NotModelled
from tests.cni.cni_chains import PODS, History

Main = Callable[[random.Random, int, "Counter[str]"], dict[str, Any]]
Wrong = Callable[[dict[str, Any]], None]
Tampering = Callable[[History, str], list[tuple[str, "str | None"]]]
SYSCTLS = [
    "net.core.somaxconn", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.conf.all.rp_filter",
    *(f"net.ipv4.conf.{dev}.{k}" for dev in ("eth0", "net1", "br0", "br1") for k in ("rp_filter", "arp_notify", "route_localnet")),
    *(f"net.ipv6.conf.{dev}.{k}" for dev in ("eth0", "net1") for k in ("accept_dad", "enhanced_dad")),
]  # fmt: skip


def draw_ipam(rng: random.Random, n: int, seen: Counter[str]) -> dict[str, Any]:
    """An IPAM section for the network number `n`; IPv6 only for number 0, since two IPv6 default routes in a pod are not modelled."""
    routes = rng.choice([[], [], [{"dst": "0.0.0.0/0"}], [{"dst": "10.200.0.0/16"}], [{"dst": "10.201.0.0/16", "gw": f"10.{n}.0.1"}]])
    if rng.random() < 0.2:
        seen["static"] += 1
        addresses = [{"address": f"10.{n}.0.{rng.randrange(5, 9)}/24", **({"gateway": f"10.{n}.0.1"} if rng.random() < 0.8 else {})}]
        if n == 0 and rng.random() < 0.4:
            addresses.append({"address": "fd00::5/64", "gateway": "fd00::1"})
        dns = {"dns": {"nameservers": ["192.0.2.53"], "search": ["lab"]}} if rng.random() < 0.3 else {}
        return {"type": "static", "addresses": addresses, "routes": routes, **dns}
    small, more = rng.random() < 0.3, {}
    subnet = f"10.{n}.0.0/{'30' if small else '24'}"
    if rng.random() < 0.3 and not small:
        more = rng.choice([{"rangeStart": f"10.{n}.0.20"}, {"rangeEnd": f"10.{n}.0.3"}, {"gateway": f"10.{n}.0.254"}])
    if rng.random() < 0.4:
        seen["host-local single range"] += 1
        return {"type": "host-local", "subnet": subnet, **more, "routes": routes}
    sets = [[{"subnet": subnet, **more}]]
    if small:
        sets[0].append({"subnet": f"10.{n}.1.0/30"})
    if n == 0 and rng.random() < 0.5:
        sets.append([{"subnet": "fd00::/64", **({"rangeStart": "fd00::77"} if rng.random() < 0.5 else {})}])
        seen["dual stack"] += 1
    seen["host-local ranges"] += 1
    return {"type": "host-local", "ranges": sets, "routes": routes}


def draw_main(rng: random.Random, n: int, seen: Counter[str]) -> dict[str, Any]:
    def maybe(chance: float, **options: Any) -> dict[str, Any]:
        if rng.random() >= chance:
            return {}
        seen.update(options.keys())
        return options

    ipam = draw_ipam(rng, n, seen)
    dns = maybe(0.2, dns={"nameservers": ["192.0.2.54"], "options": ["ndots:5"]})
    if rng.random() < 0.35:
        seen["ptp"] += 1
        if ipam["type"] == "static":
            ipam["addresses"] = [{"gateway": f"10.{n}.0.1", **a} for a in ipam["addresses"]]
        return {"type": "ptp", "ipam": ipam, **maybe(0.5, ipMasq=True), **maybe(0.5, mtu=rng.choice([0, 1400, 9000])), **dns}
    seen["bridge"] += 1
    out: dict[str, Any] = {"type": "bridge", "bridge": f"br{rng.choice([n % 2, n % 2, 0])}", **dns}
    for option, chance in (("isGateway", 0.5), ("isDefaultGateway", 0.4), ("ipMasq", 0.4), ("hairpinMode", 0.3), ("promiscMode", 0.2),
                           ("forceAddress", 0.2), ("enabledad", 0.2), ("macspoofchk", 0.2)):  # fmt: skip
        out |= maybe(chance, **{option: True})
    out |= maybe(0.4, mtu=rng.choice([0, 1400, 1450, 9000]))
    if rng.random() < 0.4:
        out |= {"capabilities": {"mac": True}}
    if rng.random() < 0.1:
        seen["layer 2"] += 1
        return out
    return out | {"ipam": ipam}


def draw_meta(rng: random.Random, seen: Counter[str]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    if rng.random() < 0.5:
        seen["tuning"] += 1
        plugin: dict[str, Any] = {"type": "tuning", "capabilities": {"mac": rng.random() < 0.5}}
        if rng.random() < 0.6:
            wanted = [
                ("net.core.somaxconn", "512"), ("net.ipv4.conf.IFNAME.rp_filter", "2"), ("net/ipv4/conf/all/rp_filter", "1"),
                ("net.ipv4.ip_unprivileged_port_start", "80"),
            ]  # fmt: skip
            plugin["sysctl"] = dict(rng.sample(wanted, 2)) if rng.random() < 0.8 else {"net.ipv4.conf.eth0.arp_notify": "0"}
        for option, value in (
            ("mac", "02:00:00:00:00:77"),
            ("mtu", rng.choice([1300, 1500])),
            ("promisc", True),
            ("allmulti", rng.random() < 0.5),
        ):
            if rng.random() < 0.3:
                seen[f"tuning {option}"] += 1
                plugin[option] = value
        out.append(plugin)
    if rng.random() < 0.55:
        seen["portmap"] += 1
        plugin = {"type": "portmap", "capabilities": {"portMappings": rng.random() < 0.9}}
        for option, value in (
            ("snat", False),
            ("conditionsV4", ["!", "-d", "192.0.2.0/24"]),
            ("conditionsV6", ["-s", "fd99::/64"]),
        ):
            if rng.random() < 0.2:
                seen[option] += 1
                plugin[option] = value
        if rng.random() < 0.2:
            plugin |= rng.choice([{"markMasqBit": 5}, {"externalSetMarkChain": "LAB-MARK"}, {"externalSetMarkChain": "LAB-MARK"}])
            plugin |= rng.choice([{}, {}, {}, {"markMasqBit": 40}, {"externalSetMarkChain": "NO-CHAIN"}, {"conditionsV4": ["--bogus"]}])
            seen["own mark"] += 1
        out.append(plugin)
    rng.shuffle(out)
    return out


WRONG: list[Wrong] = [
    lambda p: p.update(mtu="big"),
    lambda p: p.update(mtu=60),
    lambda p: p.update(mtu=1.5),
    lambda p: p.update(ipMasq="yes"),
    lambda p: p.update(dns={"nameservers": 5}),
    lambda p: p.update(capabilities={"mac": 1}),
    lambda p: p.update(ipam=7),
    lambda p: p.update(ipam={"type": "no-such-ipam"}),
    lambda p: p.update(ipam={"type": "host-local"}),
    lambda p: p.update(ipam={"type": "host-local", "subnet": "10.9.0.1/24"}),
    lambda p: p.update(ipam={"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "10.9.0.128/25"}]]}),
    lambda p: p.update(ipam={"type": "host-local", "subnet": "10.9.0.0/24", "routes": [{"dst": "nowhere"}]}),
    lambda p: p.update(ipam={"type": "host-local", "subnet": "10.9.0.0/24", "routes": [{"dst": "10.8.0.9/16", "gw": "10.9.0.1"}]}),
    lambda p: p.update(ipam={"type": "host-local", "subnet": "10.9.0.0/24", "routes": [{"dst": "10.8.0.0/16", "gw": "172.16.0.1"}]}),
    lambda p: p.update(ipam={"type": "static", "addresses": [{"address": "10.9.0.5"}]}),
    lambda p: p.update(ipam={"type": "static"}),
    lambda p: p.update(MTU=1444),
    lambda p: p.update(bridge="a-name-that-is-too-long"),
    lambda p: p.update(bridge="lo"),
    lambda p: p.update(vlan=4095),
    lambda p: p.update(hairpinMode=True, promiscMode=True),
    lambda p: p.update(args={"cni": {"mac": "02:00:00:00:00:88", "ips": ["10.0.0.9/24"]}}),
]


def no_lines(history: History, pod: str) -> list[tuple[str, str | None]]:
    return []


def draw_history(
    seed: str, seen: Counter[str], *, main: Main = draw_main, wrong: list[Wrong] = WRONG, before: Sequence[str] = (),
    lines: Tampering = no_lines,
) -> History:  # fmt: skip
    """Some networks, whose first plugins `main` draws, and operations on them; `lines` are what else a person may do in between."""
    rng = random.Random(seed)
    networks = []
    for n in range(rng.choice([1, 2, 3])):
        first = main(rng, n, seen)
        if rng.random() < 0.15:
            seen["wrong"] += 1
            rng.choice(wrong)(first)
        version = rng.choices(["0.2.0", "0.3.1", "0.4.0", "1.0.0", "2.0.0"], [1, 3, 5, 8, 1])[0]
        networks.append({"cniVersion": version, "name": f"net{n}", "plugins": [first, *draw_meta(rng, seen)]})
    # without an address of its own a bridge has the lowest MAC of its ports, and those are drawn at random: CHECK would be a gamble
    plain = [c["plugins"][0] for c in networks if not c["plugins"][0].get("isGateway") and not c["plugins"][0].get("isDefaultGateway")]
    unsure = {p.get("bridge") for p in plain if p["type"] == "bridge"}
    marks = ["iptables -t nat -N LAB-MARK", "ip6tables -t nat -N LAB-MARK"] if "LAB-MARK" in str(networks) else []
    history = History(before=[*before, *marks], sysctls=SYSCTLS)
    for _ in range(rng.randrange(6, 13)):
        step(rng, history, networks, unsure, seen, lines)
    return history


def step(rng: random.Random, history: History, networks: list[Any], unsure: set[Any], seen: Counter[str], lines: Tampering) -> None:
    conf, pod = rng.choice(networks), rng.choice(PODS)
    ifname = "eth0" if rng.random() < 0.8 else "net1"
    command = rng.choices(["ADD", "DEL", "CHECK", "RUN"], [6, 3, 3, 1])[0]
    if command in ("DEL", "CHECK") and history.cni.attachments and rng.random() < 0.8:
        a = rng.choice(history.cni.attachments)
        conf, pod, ifname = next(c for c in networks if c["name"] == a.network), a.container_id, a.ifname
    if command == "RUN":
        tamper(rng, history, pod, seen, lines)
    elif command == "CHECK":
        if conf["cniVersion"] in ("0.2.0", "0.3.1") or conf["plugins"][0].get("bridge") in unsure:
            return
        seen["CHECK error" if not history.check(conf, pod, ifname) else "CHECK ok"] += 1
    elif command == "DEL":
        seen["DEL error" if not history.delete(conf, pod, ifname) else "DEL ok"] += 1
    else:
        free = [(p, i) for p in PODS for i in ("eth0", "net1") if i not in history.network.namespaces[f"pod:{p}"].links]
        if free and rng.random() < 0.7:
            pod, ifname = rng.choice(free)
        capabilities: dict[str, Any] = {}
        if rng.random() < 0.4:
            capabilities["mac"] = f"02:00:00:00:01:{rng.randrange(16):02x}"
        if rng.random() < 0.7:
            capabilities["portMappings"] = [draw_mapping(rng) for _ in range(rng.choice([1, 1, 2, 17]))]
        third = conf["name"][-1]
        args = rng.choices(
            ["", "IgnoreUnknown=1;K8S_POD_NAME=web", f"IgnoreUnknown=true;IP=10.{third}.0.3", "MAC=02:00:00:00:02:01", "X=1"],
            [8, 3, 2, 1, 1],
        )[0]
        well = bool(history.add(conf, pod, ifname, args, **capabilities))
        seen["ADD ok" if well else "ADD error"] += 1


def draw_mapping(rng: random.Random) -> dict[str, Any]:
    out: dict[str, Any] = {
        "hostPort": rng.randrange(8000, 8020),
        "containerPort": rng.choice([80, 53]),
        "protocol": rng.choice(["tcp", "udp"]),
    }
    if rng.random() < 0.3:
        out["hostIP"] = rng.choice(["192.0.2.9", "0.0.0.0", "fd00::9", "::", "127.0.0.1"])
    if rng.random() < 0.01:
        out["hostPort"] = rng.choice([0, -1])
    return out


def tamper(rng: random.Random, history: History, pod: str, seen: Counter[str], more: Tampering) -> None:
    """Something that a person does between two operations."""
    ns = history.network.namespaces[f"pod:{pod}"]
    on_node = (
        ["iptables -t nat -F CNI-HOSTPORT-DNAT"] if history.network.namespaces["node"].ruleset(4).chain("nat", "CNI-HOSTPORT-DNAT") else []
    )
    in_pod = []
    if "eth0" in ns.links:
        in_pod += ["ip link del eth0", "ip link set eth0 down"]
        in_pod += [f"ip addr del {a} dev eth0" for a in ns.links["eth0"].addresses if a.family == 4]
        in_pod += ["ip route del default"] if any(r.default and r.family == 4 for r in ns.routes) else []
    lines = [*((line, None) for line in on_node), *((line, pod) for line in in_pod), *more(history, pod)]
    if lines:
        line, where = rng.choice(lines)
        seen["tampered"] += 1
        history.run(line, where)


def histories(cases: int, seed: int, seen: Counter[str], name: str = "chains", **draw: Any) -> Iterator[History]:
    for n in range(cases):
        try:
            yield draw_history(f"{name} {seed} {n}", seen, **draw)
        except NotModelled as e:
            seen[f"not modelled: {e.reason[:40]}"] += 1
