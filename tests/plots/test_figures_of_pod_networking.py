"""The figures of pod networking: what they say is what the lab has, they are stable and small, and nothing is cut off."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab import plots
from kubenet_lab.errors import KubenetError
from kubenet_lab.kernel.stacked import add_macvlan
from kubenet_lab.plots.budget_figure import CARRIERS
from kubenet_lab.plots.figure import Figure
from kubenet_lab.plots.mtu_figure import stops_of
from kubenet_lab.plots.routes_figure import tables_for
from kubenet_lab.plots.sequence_figure import steps_of

LIMIT = 150_000
SVG = "{http://www.w3.org/2000/svg}"
DESK = """
apiVersion: v1
kind: Pod
metadata: {name: desk-with-a-very-long-name-that-no-box-could-ever-hold, namespace: shop}
spec:
  containers:
  - {name: till, image: bookshop/till:1.2, ports: [{containerPort: 8080}]}
  - {name: a-container-with-a-name-of-sixty-three-letters-which-is-allowed, image: bookshop/log:1.0}
  - {name: log, image: bookshop/log:1.0, ports: [{containerPort: 9000}, {containerPort: 53, protocol: UDP}]}
  - {name: fourth, image: bookshop/log:1.0}
"""
CONF = {
    "cniVersion": "1.0.0", "name": "net",
    "plugins": [
        {"type": "bridge", "isDefaultGateway": True, "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}  # fmt: skip
PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}


@pytest.fixture(scope="module")
def cluster() -> Any:
    found = kn.example("bookshop")
    found.apply(DESK)
    return found


def cart(cluster: Any) -> str:
    return f"pod/{cluster.pod('shop/cart').name}"


MAKERS: dict[str, Callable[..., Figure]] = {
    "pod": lambda c, **o: c.pod("shop/web").plot(**o),
    "pod of four": lambda c, **o: c.plot.pod("shop/desk-with-a-very-long-name-that-no-box-could-ever-hold", **o),
    "guest": lambda c, **o: c.plot.pod("ops/ingress", **o),
    "routes": lambda c, **o: c.plot.routes("10.244.1.5", ["shop/web", "worker-1", "worker-2"], **o),
    "budget": lambda c, **o: c.plot.budget(**o),
    "mtu": lambda c, **o: c.plot.mtu("shop/web", cart(c), **o),
    "sequence": lambda c, **o: kn.CniRuntime().add("demo", CONF, capabilities=PORTS).plot(**o),
}


@pytest.mark.parametrize("columns", [None, 1], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", MAKERS)
def test_small_stable_and_within_its_frame(cluster: Any, name: str, columns: int | None) -> None:
    figure = MAKERS[name](cluster, columns=columns)
    again = MAKERS[name](cluster, columns=columns)
    assert figure.svg == again.svg and len(figure.svg.encode()) < LIMIT
    root = ET.fromstring(figure.svg)
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None and desc is not None and (title.text, desc.text) == (figure.title, figure.description)
    width, height = figure.size
    assert width <= (420 if columns else 900)
    for text in root.iter(f"{SVG}text"):
        found = re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", text.get("transform") or "") or None
        x, y = (float(found[1]), float(found[2])) if found else (float(text.get("x") or 0), float(text.get("y") or 0))
        assert 0 <= x <= width * 0.75 + 1 and 0 <= y <= height * 0.75 + 1, (name, text.text)


def test_a_pods_figure_says_what_its_tools_say(cluster: Any) -> None:
    web = cluster.pod("shop/web")
    words = web.plot().description
    assert f"eth0: {web.ip}/24" in words and "listening: 8080/TCP" in words
    for line in str(web.run("ip route")).splitlines():
        assert line.split()[0].replace("default", "default") in words
    number = int(str(web.run("ip -br link show dev eth0")).split()[0].partition("@if")[2])
    links = web.node.links()
    assert f"the other end of the cable: {links[links.ifindex == number].ifname.iloc[0]} on {web.node.name}, port of cni0" in words
    guest = cluster.plot.pod("ops/ingress").description
    assert "in the namespace of" in guest and "cable" not in guest
    four = MAKERS["pod of four"](cluster).description
    assert four.count("container ") == 4 + four.splitlines()[0].count("container ") and "listening: 8080/TCP, 9000/TCP, 53/UDP" in four


def test_the_entry_that_wins_is_the_one_that_ip_route_get_takes(cluster: Any) -> None:
    for address in ("10.244.0.1", "10.244.1.5", "10.96.0.10", "203.0.113.7", "192.168.50.12"):
        for table in tables_for(cluster, address, ["shop/web", "worker-1", "worker-2"]):
            place = cluster.node(table.place) if table.place.startswith("worker") else cluster.pod(table.place)
            told = str(place.run(f"ip route get {address}"))
            winners = [r for r in table.rows if r.verdict == "wins"]
            assert told.startswith("local ") == bool(table.own)
            assert len(winners) == (0 if table.own else 1)
            for row in winners:
                via = row.text.split(" via ")[1].split()[0] if " via " in row.text else ""
                assert f"via {via} " in told if via else " via " not in told


def test_a_trace_shows_the_tables_that_its_packet_met(cluster: Any) -> None:
    trace = cluster.connect("shop/web", "svc:shop/cart", port=8080)
    words = cluster.plot.routes(trace).description
    service = cluster.get("Service", "shop/cart").spec.cluster_ip
    assert f"where to with {service}?" in words and words.count("→") == 3
    assert "10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink (fits, and no other is as exact: /24)" in words


def test_an_empty_table_and_a_bad_address(cluster: Any) -> None:
    broken = cluster.copy()
    pod = broken.pod("shop/web")
    for line in ("ip route del default", "ip route del 10.244.0.0/16", f"ip route del {pod.ip.rsplit('.', 1)[0]}.0/24"):
        pod.run(line)
    assert "no entry fits: network unreachable" in broken.plot.routes("10.244.1.5", ["shop/web"]).description
    with pytest.raises(KubenetError, match="expected a trace or an IP address"):
        cluster.plot.routes("nonsense")
    with pytest.raises(KubenetError):
        cluster.plot.routes("10.0.0.1", ["shop/nobody"])


def test_the_budget_is_what_the_walk_adds(cluster: Any) -> None:
    """The bars of what is modelled are the headers of a real walk; what flannel writes as the pods' MTU is what is left."""
    vxlan = next(c for c in CARRIERS if c.name == "VXLAN")
    wrap = next(h for h in cluster.connect("shop/web", "svc:shop/cart", port=8080).hops if h.added)
    assert [(h.name, h.size) for h in wrap.after[1 : wrap.added + 1]] == list(vxlan.headers)
    assert f"pod MTU {cluster.pod('shop/web').links().mtu.iloc[1]}, " in cluster.plot.budget().description
    for mtu in (575, 70000, True, "1500"):
        with pytest.raises(KubenetError, match="bytes from 576 to 65535"):
            plots.budget(mtu)  # type: ignore[arg-type]


def test_where_packets_die_is_where_the_walk_says(cluster: Any) -> None:
    narrow = cluster.copy()
    narrow.node("worker-1").run("ip link set flannel.1 mtu 1400")
    before = narrow.node("worker-1").conntrack().to_string()
    words = narrow.plot.mtu("shop/web", cart(narrow)).description
    assert "1400 bytes: delivered" in words and "1401 bytes: too-big at worker-1 flannel.1, told by 10.244.0.1: too big" in words
    assert "1451 bytes: too-big at shop/web" in words and "the largest of these that arrives whole: 1400 bytes" in words
    assert "1600 bytes: delivered, arrives, in fragments" in narrow.plot.mtu("shop/web", cart(narrow), [1600], df=False).description
    assert narrow.node("worker-1").conntrack().to_string() == before, "a figure leaves no marks"
    stops = stops_of(narrow, narrow.preview("shop/web", cart(narrow), protocol="ICMP"))
    assert [s.mtu for s in stops if s.device == "flannel.1"] == [1400, 1450]
    with pytest.raises(KubenetError, match="ICMP or UDP"):
        narrow.plot.mtu("shop/web", cart(narrow), protocol="TCP")
    with pytest.raises(KubenetError, match="28 to 65535"):
        narrow.plot.mtu("shop/web", cart(narrow), [20])


def test_a_sequence_shows_every_call_and_every_error() -> None:
    runtime = kn.CniRuntime()
    added = runtime.add("demo", CONF, capabilities=PORTS)
    gone = runtime.delete("demo")
    steps = steps_of([added, gone])
    assert [(s.source, s.target) for s in steps if s.kind == "call"] == [
        ("runtime", "bridge"), ("bridge", "host-local"), ("runtime", "portmap"),
        ("runtime", "portmap"), ("runtime", "bridge"), ("bridge", "host-local"),
    ]  # fmt: skip
    assert len(steps) == 12 and not any(s.kind == "error" for s in steps)
    small = {**CONF, "plugins": [{"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.1.0.0/31"}}]}
    words = runtime.add("x", small).plot().description
    assert "host-local ⇠ bridge: error 999" in words and "too small to allocate from" in words
    with pytest.raises(KubenetError, match="one or more operations"):
        plots.cni_sequence()


def test_a_macvlan_pod_hangs_on_the_interface_it_stands_on() -> None:
    """Its lower device, not whatever NIC the node has first."""
    lan = kn.example("bookshop", cni="macvlan")
    pod = lan.pod("shop/web")
    assert f"no cable: it hangs on eth0 of {pod.node.name}" in pod.plot().description
    pod.node.run("ip link add dummy1 type bridge")
    pod.node.run("ip link set dummy1 up")
    pod.run("ip link del eth0")
    network = lan.walkable()
    add_macvlan(network.namespaces[f"pod:{pod.name}"], "eth0", (network.namespaces[pod.node.name], "dummy1"), "bridge")
    assert f"no cable: it hangs on dummy1 of {pod.node.name}" in pod.plot().description


@pytest.mark.parametrize("families", [("IPv4",), ("IPv6",)], ids=["IPv4", "IPv6"])
def test_a_size_is_that_of_the_ip_packet_whoever_is_asked(families: tuple[str, ...]) -> None:
    """What passes whole is the smallest MTU on the way, also where a name holds a colon."""
    shop = kn.example("bookshop", ip_families=families)
    outside = "external:203.0.113.7" if families == ("IPv4",) else "external:2001:db8::7"
    for target in (outside, cart(shop)):
        words = shop.plot.mtu("shop/web", target).description
        smallest = min(int(n) for n in re.findall(r"\(MTU (\d+)\)", words))
        assert words.endswith(f"the largest of these that arrives whole: {smallest} bytes"), words
