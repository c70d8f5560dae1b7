"""The figures of Services: what they say is what the slices, the rules, the counters and `outcomes` say; stable, small, nothing cut off."""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.cluster.rules_asked import rules_asked
from kubenet_lab.cluster.service_rules import service_rules
from kubenet_lab.errors import KubenetError, NotFound, NotModelled
from kubenet_lab.plots.chain_graph import chain_graph
from kubenet_lab.plots.figure import Figure
from kubenet_lab.plots.lanes import entries, lanes
from kubenet_lab.plots.metrics import text_width
from kubenet_lab.plots.names_figure import names_of
from kubenet_lab.plots.selector_figure import candidates, service_of
from kubenet_lab.plots.traffic_figure import cells, clients_of, ways_of
from tests.cluster.cluster_fixtures import FRONT

LIMIT = 150_000
SVG = "{http://www.w3.org/2000/svg}"
MORE = FRONT + """---
apiVersion: v1
kind: Service
metadata: {name: typo, namespace: shop}
spec: {selector: {app.kubernetes.io/name: kart, tier: backend}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: wrong-port, namespace: shop}
spec: {selector: {app.kubernetes.io/name: api}, ports: [{port: 80, targetPort: htpp}]}
---
apiVersion: v1
kind: Service
metadata: {name: a-service-with-a-name-of-sixty-three-letters-which-are-allowed, namespace: shop}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  externalIPs: [198.51.100.9]
  loadBalancerSourceRanges: [203.0.113.0/24]
  selector:
    app.kubernetes.io/name: web
    app.kubernetes.io/part-of: bookshop
    tier: frontend
    a-label-with-quite-a-long-name.example.com/and-a-long-second-part: with-a-value-of-the-largest-length-that-is-allowed
  ports: [{name: http, port: 80, targetPort: http}, {name: alt, port: 81, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: by-hand, namespace: shop}
spec: {ports: [{port: 80}]}
"""
LONG = "shop/a-service-with-a-name-of-sixty-three-letters-which-are-allowed"


class Ink:
    """A surface that keeps the texts."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, float, float, float, dict[str, Any]]] = []

    def text(self, text: str, x: float, y: float, size: float = 12, **options: Any) -> None:
        self.texts.append((text, x, y, size, options))

    def rect(self, *_: Any, **__: Any) -> None: ...

    line = polygon = rect


@pytest.fixture(scope="module")
def cluster() -> Any:
    found = kn.example("bookshop").apply(MORE).scale("shop/web", 11)
    for _ in range(4):
        found.connect("external:203.0.113.7", "node:worker-1", port=30080)
    return found


MAKERS: dict[str, Callable[..., Figure]] = {
    "selector": lambda c, **o: c.plot.selector("shop/web", **o),
    "selector of nobody": lambda c, **o: c.plot.selector("shop/typo", **o),
    "selector, long": lambda c, **o: c.plot.selector(LONG, **o),
    "chains": lambda c, **o: c.plot.chains("shop/web-public", "worker-1", **o),
    "chains of everything": lambda c, **o: c.plot.chains("shop/front", "worker-1", **o),
    "chains of one port": lambda c, **o: c.plot.chains("shop/front", "worker-2", port="alt", **o),
    "chains, long": lambda c, **o: c.plot.chains(LONG, "worker-1", **o),
    "traffic": lambda c, **o: c.plot.traffic("shop/web-public", **o),
    "traffic inside": lambda c, **o: c.plot.traffic("shop/cart", **o),
    "growth": lambda c, **o: c.plot.growth((3, 30), **o),
    "names": lambda c, **o: c.plot.names("data/db-read", "data/db", **o),
    "names, long and none": lambda c, **o: c.plot.names(LONG, "shop/by-hand", "kube-system/kube-dns", **o),
}


@pytest.mark.parametrize("columns", [None, 1], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", MAKERS)
def test_small_stable_and_within_its_frame(cluster: Any, name: str, columns: int | None) -> None:
    figure, again = (MAKERS[name](cluster, columns=columns) for _ in range(2))
    assert figure.svg == again.svg and len(figure.svg.encode()) < LIMIT
    assert not re.search(r' d="[^"]*\n|text-anchor: start|Verdana,sans-serif;', figure.svg), "one line a path"
    root = ET.fromstring(figure.svg)
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None and desc is not None and (title.text, desc.text) == (figure.title, figure.description)
    width, height = figure.size
    assert width <= (420 if columns else 900)
    ink = Ink()
    figure._draw(ink)  # type: ignore[arg-type]
    for text, x, y, size, options in ink.texts:
        w = text_width(text, size, bold=options.get("bold", False), mono=options.get("mono", False))
        start = x - w * {"start": 0, "middle": 0.5, "end": 1}[options.get("anchor", "start")]
        assert start >= 0 and start + w <= width and y >= size * 0.8 and y <= height - 2, (name, text)


def test_who_takes_traffic_is_who_is_in_the_slices_and_ready(cluster: Any) -> None:
    lab = cluster.copy()
    lab.set_pod("shop/web", ready=False)
    for key in ("shop/web", "shop/api", "shop/typo", "shop/wrong-port", "shop/cart", LONG):
        service = service_of(lab, key)
        listed = {
            e.target_ref.name
            for s in lab.objects("EndpointSlice")
            if s.service == service.name and s.namespace == service.namespace and any(p.port for p in s.ports)
            for e in s.endpoints if e.conditions.ready
        }  # fmt: skip
        found = candidates(lab, service)
        assert {c.pod.split("/")[1] for c in found if c.takes_traffic} == listed
        for c in found:
            assert c.selected == (service.spec.selector.items() <= lab.get("Pod", c.pod).labels.items())
            assert bool(c.reasons) == (not c.takes_traffic)
    words = lab.plot.selector("shop/web").description
    assert words.splitlines()[0].endswith("10 of 14 pods take its traffic") and words.count("not ready") > 1
    assert "no pod has app.kubernetes.io/name=kart" in lab.plot.selector("shop/typo").description
    assert "no port htpp/TCP" in lab.plot.selector("shop/wrong-port").description
    assert "no such label" in lab.plot.selector(LONG).description
    for key in ("shop/by-hand", "shop/none"):
        with pytest.raises((KubenetError, NotFound)):
            lab.plot.selector(key)


def test_shares_are_what_outcomes_says_and_hits_what_was_met(cluster: Any) -> None:
    graph = chain_graph(service_rules(cluster, "worker-1", "shop/web-public"))
    choose = next(b.name for b in graph.boxes if b.name.startswith("KUBE-SVC-"))
    shares = {cluster_end(graph, e.target): e.share for e in graph.leads_to(choose)}
    ways = cluster.outcomes("shop/api", "svc:shop/web-public", port=80)
    assert shares == {f"{cluster.pod(f'pod/{o.answered_by}').ip}:8080": o.probability for o in ways}
    assert sum(shares.values()) == 1 and set(shares.values()) == {Fraction(1, 11)}
    assert sum(e.hits for e in graph.leads_to(choose)) == 4 == next(e.hits for e in graph.leads_to("KUBE-NODEPORTS"))
    words = cluster.plot.chains("shop/web-public", "worker-1").description
    assert "port 30080 → KUBE-EXT-" in words and "met 4 times" in words and "marks for masquerade · 4×" in words


def cluster_end(graph: Any, chain: str) -> str:
    return str(graph.leads_to(chain)[0].target).removeprefix("DNAT ")


def test_affinity_sources_and_refusals_are_said(cluster: Any) -> None:
    lab = cluster.copy().apply("""
apiVersion: v1
kind: Service
metadata: {name: sticky, namespace: shop}
spec: {sessionAffinity: ClientIP, selector: {app.kubernetes.io/name: api}, ports: [{port: 80, targetPort: 8080}]}
""")
    words = lab.plot.chains("shop/sticky", "worker-1").description
    assert "was here in the last 10800 s" in words
    assert "1/2 of them" in words
    assert "REJECT (icmp-port-unreachable)" in lab.plot.chains("shop/typo", "worker-2").description
    front = lab.plot.chains("shop/front", "worker-1", port="http").description
    assert "from 203.0.113.0/24 → KUBE-EXT-" in front and "to 198.51.100.7:80 → DROP" in front and ":81" not in front
    lab.node("worker-1").run("iptables -t nat -F KUBE-SERVICES")
    lab.node("worker-1").run("iptables -t filter -F KUBE-SERVICES")
    assert "no rule" in lab.plot.chains("shop/cart", "worker-1").svg
    with pytest.raises(KubenetError, match="has no port 99"):
        lab.plot.chains("shop/front", "worker-1", port=99)


def test_each_cell_is_an_outcome(cluster: Any) -> None:
    service = service_of(cluster, "shop/web-public")
    clients, ways = clients_of(cluster, service), ways_of(cluster, service)
    rows = cells(cluster, service, "Local")
    assert [c.src.split(":")[0] for c in clients][-1] == "external" and [w.label for w in ways][1:] == ["worker-1:30080", "worker-2:30080"]
    on_two = sum(p.spec.node_name == "worker-2" for p in cluster.objects("Pod") if p.labels.get("app.kubernetes.io/name") == "web")
    assert rows[2][2].endpoints == on_two and rows[2][2].seen == ("the client",) and rows[2][0].failed == ("timeout",)
    assert cells(cluster, service, "Cluster")[2][1].seen == ("worker-1",)
    assert service.spec.external_traffic_policy == "Cluster" == service_of(cluster, "shop/web-public").spec.external_traffic_policy
    words = cluster.plot.traffic("shop/web-public").description
    assert "externalTrafficPolicy Local:" in words and f"worker-2:30080: ✓ {on_two} endpoint" in words
    inside = cluster.plot.traffic("shop/cart").description
    assert "internalTrafficPolicy Local:" in inside and "✗ timeout" in inside
    with pytest.raises(KubenetError, match="no address"):
        cluster.plot.traffic("data/db")


def test_rules_asked_are_those_up_to_the_one_that_fits(cluster: Any) -> None:
    """Counted against the printed chains: the Service's place in KUBE-SERVICES, and what its own chains hold."""
    lab = kn.example("bookshop")
    client, vip = lab.pod("shop/web"), lab.get("Service", "shop/cart").spec.cluster_ip
    listed = [x for x in str(client.node.run("iptables -t nat -S KUBE-SERVICES")).splitlines() if x.startswith("-A")]
    place = 1 + next(n for n, line in enumerate(listed) if f"-d {vip}/32" in line)
    found = rules_asked(lab, "shop/web", "svc:shop/cart", 8080)
    asked = next(a for a in found if (a.namespace, a.chain) == (client.node.name, "PREROUTING"))
    assert asked.rules == 1 + place + 2 + 2, "the jump, the list, KUBE-SVC (mark, choose), KUBE-SEP (hairpin, DNAT)"
    before = client.node.iptables_save(counters=True)
    words = lab.plot.growth((1, 20)).description.splitlines()
    assert words[1].startswith("10 Services: ") and words[2].startswith("29 Services: ")
    first, last = (int(x) for x in re.findall(r"(\d+) for the", words[2]))
    assert last - first == 19, "one rule more per Service"
    assert words[1].endswith("nftables 6") and words[2].endswith("nftables 6"), "jump, map, mark, choose, hairpin, dnat"
    assert client.node.iptables_save(counters=True) == before
    for bad in ((0,), (True,), ("x",), (10**6,)):
        with pytest.raises(KubenetError, match="growth: counts"):
            lab.plot.growth(bad)


def test_nftables_rules_asked_leave_the_machine_as_it_was(cluster: Any) -> None:
    """Counting stands in for the compiled tables while it counts, and only then."""
    lab = kn.example("bookshop", proxy="nftables")
    before = str(lab.node("worker-1").nft_ruleset()), lab.outcomes("shop/web", "svc:shop/api", port=8080)
    asked = [rules_asked(lab, "shop/web", "svc:shop/api", 8080) for _ in range(2)]
    assert asked[0] == asked[1] and {a.chain for a in asked[0]} <= {"nat-prerouting", "nat-output", "nat-postrouting", "nat-input"}
    assert (str(lab.node("worker-1").nft_ruleset()), lab.outcomes("shop/web", "svc:shop/api", port=8080)) == before
    with pytest.raises(KubenetError):
        rules_asked(lab, "shop/nobody", "svc:shop/api", 8080)
    assert lab.outcomes("shop/web", "svc:shop/api", port=8080) == before[1]


def test_names_are_what_dns_says() -> None:
    lab = kn.example("bookshop").scale("data/db", 3).apply("""
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: cart-each, namespace: shop}
spec: {clusterIP: None, selector: {app.kubernetes.io/name: cart}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: shop}
spec: {clusterIP: None, selector: {app.kubernetes.io/name: nobody}, ports: [{port: 8080}]}
""")
    lab.set_pod("data/db-2", ready=False)
    for key in ("data/db", "data/db-read", "shop/alias", "shop/cart-each", "shop/nobody"):
        for name in names_of(lab, service_of(lab, key)):
            assert set(name.addresses) == set(lab.resolve("ops/jobs", f"{name.name}.").addresses), name
    words = lab.plot.names("data/db-read", "data/db").description
    assert "behind it: data/db-0, data/db-1" in words and "db-2.db.data.svc.cluster.local: ✗ does not exist" in words
    assert "✓ 2 addresses" in words and f"  {lab.pod('data/db-1').ip}, data/db-1" in words
    dashed = lab.pod("shop/cart").ip.replace(".", "-")
    assert f"{dashed}.cart-each.shop.svc.cluster.local: ✓" in lab.plot.names("shop/cart-each").description
    assert "✓ CNAME web.shop.svc.cluster.local" in lab.plot.names("shop/alias").description
    assert "nobody.shop.svc.cluster.local: ✗" in lab.plot.names("shop/nobody").description
    for bad in ((), ("shop/none",)):
        with pytest.raises((KubenetError, NotFound)):
            lab.plot.names(*bad)


@pytest.mark.parametrize("name", ["selector", "chains", "traffic", "names"])
def test_a_narrow_window_gets_the_narrow_drawing_of_the_same_moment(cluster: Any, name: str) -> None:
    lab = cluster.copy()
    figure = MAKERS[name](lab)
    then = MAKERS[name](lab, columns=1).svg
    lab.delete("Service", "shop/web-public")
    assert figure._narrow is not None and figure._narrow().svg == then and "max-width" in figure._repr_mimebundle_()["text/html"]


def test_another_proxy_is_said(cluster: Any) -> None:
    with pytest.raises(NotModelled, match="ipvs"):
        kn.example("bookshop", proxy="ipvs").plot.chains("shop/cart", "worker-1")


def test_nftables_maps_and_chains_are_drawn_as_they_stand() -> None:
    """Shares are what `outcomes` says; counts only where a counter stands; every end, refusal, source range and memory is said."""
    lab = kn.example("bookshop", proxy="nftables", load_balancer="metallb").scale("shop/web", 5).apply(MORE)
    lab.apply("""
apiVersion: v1
kind: Service
metadata: {name: sticky, namespace: shop}
spec: {sessionAffinity: ClientIP, selector: {app.kubernetes.io/name: api}, ports: [{port: 80, targetPort: 8080}]}
""")
    graph = chain_graph(service_rules(lab, "worker-1", "shop/web-public"))
    choose = next(b.name for b in graph.boxes if b.name.startswith("service-") and b.kind == "chain")
    ways = lab.outcomes("shop/api", "svc:shop/web-public", port=80)
    shares = {cluster_end(graph, e.target): e.share for e in graph.leads_to(choose)}
    assert shares == {f"{lab.pod(f'pod/{o.answered_by}').ip}:8080": o.probability for o in ways} and len(shares) == 5
    words = lab.plot.chains("shop/web-public", "worker-1").description
    assert "in the maps service-ips, service-nodeports" in words and "port 30080 → external-" in words and "met" not in words
    assert "to 10.96.0.10:53/UDP → service-" in lab.plot.chains("kube-system/kube-dns", "worker-1").description
    assert "REJECT by reject-chain" in lab.plot.chains("shop/typo", "worker-2").description
    sticky = lab.plot.chains("shop/sticky", "worker-1").description
    assert "was here in the last 10800 s → endpoint-" in sticky and "remembers who came, for 10800 s" in sticky
    ranged = lab.plot.chains("shop/front", "worker-1", port="http").description
    assert "not from 203.0.113.0/24 → DROP" in ranged and "from a local address → service-" in ranged and "→ local-" in ranged
    node, end = lab.node("worker-1"), graph.leads_to(choose)[0].target
    node.run(f"nft insert rule ip kube-proxy {choose} counter")
    node.run(f"nft insert rule ip kube-proxy {end} ip saddr 10.244.0.0/16 counter")
    for _ in range(3):
        lab.connect("node:worker-1", "svc:shop/web-public", port=80)
    words = lab.plot.chains("shop/web-public", "worker-1").description
    assert "counts what comes · 3×" in words and "no counter" not in lab.plot.chains("shop/web-public", "worker-1").svg
    for figure in (lab.plot.chains(key, "worker-1", columns=c) for key in ("shop/front", LONG) for c in (None, 1)):
        assert len(figure.svg.encode()) < LIMIT


def _crosses(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
    """Whether two wires (start, end, turn) meet: the upright part of one with a level part of the other, or with its upright part."""
    (y, end, x), (other_y, other_end, other_x) = a, b
    if x == other_x:
        return max(min(y, end), min(other_y, other_end)) < min(max(y, end), max(other_y, other_end))
    low, high = min(y, end), max(y, end)
    return low < (other_y if other_x > x else other_end) < high


@pytest.mark.parametrize("seed", range(40))
def test_wires_that_keep_their_order_lie_apart_and_never_cross(seed: int) -> None:
    draw = random.Random(seed)
    count = draw.randint(1, 8)
    starts, ends = (sorted(draw.sample(range(400), count)) for _ in range(2))
    wires = [(float(y), float(end)) for y, end in zip(starts, ends, strict=True)]
    turns = lanes(wires, 10, 30)
    assert all(10 <= x <= 30 for x in turns)
    drawn = [(y, end, x) for (y, end), x in zip(wires, turns, strict=True)]
    assert not [(a, b) for a in drawn for b in drawn if a is not b and _crosses(a, b)]


def test_each_wire_meets_its_box_at_a_place_of_its_own() -> None:
    assert entries([(50.0, "a"), (10.0, "a"), (30.0, "b")], {"a": 0.0, "b": 100.0}, 30.0) == [20.0, 10.0, 115.0]
