"""CoreDNS as a process in a pod, the add-on's documents, and a resolver in front of both."""

from __future__ import annotations

from typing import Any

import pytest

from kubenet_lab.dns import (
    CoreDNS,
    CoreDns,
    DnsPayload,
    Query,
    Question,
    Response,
    Upstream,
    Zones,
    addon,
    hosts_file,
    query,
    resolv_conf,
    resolve,
)
from kubenet_lab.dns.caddyfile import CorefileError
from kubenet_lab.dns.coredns import not_modelled
from kubenet_lab.errors import KubenetError
from kubenet_lab.kernel.packet import Filler
from kubenet_lab.kernel.process import Exchange, Message, Process
from kubenet_lab.objects.snapshot import Snapshot
from tests.dns.dns_fixtures import Box, endpoint_slice, pod, service

THINGS = [
    service("shop/cart", "10.96.0.20", ports=["http/TCP/8080"]),
    service("data/db", "None", ports=["sql/TCP/5432"]),
    endpoint_slice("db-1", "data/db", "10.244.1.5 db-0", "10.244.2.6 db-1", ports=["sql/TCP/5432"]),
    service("kube-system/kube-dns", "10.96.0.10", ports=["dns/UDP/53"]),
    pod("shop/web", "10.244.1.7"),
]
WEB = THINGS[-1]
CONF = resolv_conf(WEB, node_resolv="nameserver 192.0.2.53\nsearch corp.test\n", cluster_dns=["10.96.0.10"])


class Cluster:
    """A transport that hands packets to 10.96.0.10 to CoreDNS and those to 192.0.2.53 to the resolver outside, with a delay."""

    def __init__(self, **options: Any):
        self.coredns = CoreDns(lambda: Snapshot(THINGS), **options)
        self.upstream = Upstream(Zones.default())
        self.box, self.now = Box(self), 0.0

    def exchange(
        self, host: str, dst: str, port: int, protocol: str, payload: Any, timeout: float, source_port: int | None = None
    ) -> Exchange:
        process: Process = self.coredns if dst == "10.96.0.10" else self.upstream
        message = Message(
            payload, "10.244.1.7" if process is self.coredns else "10.244.0.2", source_port or 40000, "10.244.0.2", port, protocol
        )
        self.box.now += 0.001
        answer = process.handle(message, self.box)
        assert answer is not None
        return Exchange(answer.payload, None, 0.001, None)  # type: ignore[arg-type]

    def resolve(self, name: str, **more: Any) -> Any:
        return resolve(self, "pod:shop/web", name, CONF, hosts=hosts_file(WEB), **more)


def _message(payload: Any, protocol: str = "UDP", port: int = 53) -> Message:
    return Message(payload, "10.244.1.7", 40000, "10.244.0.2", port, protocol)


def test_it_is_a_process_with_a_name() -> None:
    assert isinstance(CoreDns(lambda: Snapshot([])), Process) and isinstance(Upstream(Zones.default()), Process)
    assert CoreDns(lambda: Snapshot([])).name == "coredns"


def test_a_question_in_a_packet_is_answered_in_a_packet() -> None:
    process = CoreDns(lambda: Snapshot(THINGS))
    answer = process.handle(_message(DnsPayload(Query(Question("cart.shop.svc.cluster.local."), 77))), Box())
    assert answer is not None and isinstance(answer.payload, DnsPayload)
    response = answer.payload.message
    assert isinstance(response, Response) and response.addresses == ("10.96.0.20",) and response.id == 77
    assert [s.code for s in answer.payload.steps] == ["dns.service_found", "dns.cache_disabled"]
    assert response.answer[0].ttl == 30 and answer.delay == 0.0


def test_raw_bytes_are_read_and_rubbish_is_not() -> None:
    process = CoreDns(lambda: Snapshot(THINGS))
    raw = bytes(DnsPayload(Query(Question("cart.shop.svc.cluster.local."), 77)))

    class Raw:
        def __init__(self, data: bytes):
            self.data = data

        def __len__(self) -> int:
            return len(self.data)

        def __bytes__(self) -> bytes:
            return self.data

    answer = process.handle(_message(Raw(raw)), Box())
    assert answer is not None and answer.payload.message.addresses == ("10.96.0.20",)  # type: ignore[attr-defined]
    rubbish = process.handle(_message(Filler(56)), Box())
    assert rubbish is not None and len(rubbish.payload) == 12  # a FORMERR is a header
    assert process.handle(_message(DnsPayload(Query(Question("a.test."))), port=9153), Box()) is None


def test_over_tcp_the_two_bytes_of_length_are_there() -> None:
    process = CoreDns(lambda: Snapshot(THINGS))
    payload = DnsPayload(Query(Question("cart.shop.svc.cluster.local.")), stream=True)
    answer = process.handle(_message(payload, "TCP"), Box())
    assert answer is not None and bytes(answer.payload)[:2] == (len(answer.payload) - 2).to_bytes(2, "big")


def test_its_own_address_is_the_one_the_packet_came_to() -> None:
    process = CoreDns(lambda: Snapshot(THINGS), ". {\n kubernetes cluster.local\n}")
    answer = process.handle(_message(DnsPayload(Query(Question("ns.dns.cluster.local.")))), Box())
    assert answer is not None and answer.payload.message.addresses == ("10.244.0.2",)  # type: ignore[attr-defined]


def test_a_changed_corefile_is_taken_over_and_empties_the_cache() -> None:
    text = [". {\n cache 30\n hosts {\n 10.0.0.1 a.test\n }\n}"]
    process, box = CoreDns(lambda: Snapshot([]), lambda: text[0]), Box()

    def ask() -> Any:
        answer = process.handle(_message(DnsPayload(Query(Question("a.test.")))), box)
        return answer.payload.message if answer else None

    assert ask().addresses == ("10.0.0.1",)
    text[0] = text[0].replace("10.0.0.1", "10.0.0.2")
    assert ask().addresses == ("10.0.0.2",)
    text[0] = ". {\n nonsense\n}"
    assert ask().addresses == ("10.0.0.2",)  # reload keeps what it has
    with pytest.raises(CorefileError, match="Unknown directive 'nonsense'"):
        CoreDns(lambda: Snapshot([]), lambda: text[0]).handle(_message(DnsPayload(Query(Question("a.test.")))), Box())


def test_memory_holds_immutable_values_only() -> None:
    cluster = Cluster()
    cluster.resolve("www.example.com.")
    assert cluster.box.memory
    for value in cluster.box.memory.values():
        hash(value) if not hasattr(value, "keys") else hash(tuple(value.items()))


# --- the resolver in front ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "addresses", "packets"),
    [
        ("cart", ("10.96.0.20",), 2),
        ("cart.shop", ("10.96.0.20",), 4),
        ("db.data", ("10.244.1.5", "10.244.2.6"), 4),
        ("db-0.db.data.svc", ("10.244.1.5",), 6),
        ("cart.shop.svc.cluster.local", ("10.96.0.20",), 10),
        ("cart.shop.svc.cluster.local.", ("10.96.0.20",), 2),
        ("api.example.com", ("192.0.2.81",), 10),
        ("api.example.com.", ("192.0.2.81",), 2),
        ("10.244.1.5", ("10.244.1.5",), 0),
        ("web", ("10.244.1.7",), 0),
    ],
)
def test_names_as_a_program_types_them(name: str, addresses: tuple[str, ...], packets: int) -> None:
    result = Cluster().resolve(name)
    assert result.addresses == addresses and len(result.queries) == packets and result.error is None and bool(result)


def test_a_name_that_is_not_there_costs_every_search_path() -> None:
    result = Cluster().resolve("nothing")
    assert (result.error, len(result.queries), bool(result)) == ("EAI_NONAME", 10, False)
    assert [q.name for q in result.queries[::2]] == [
        "nothing.shop.svc.cluster.local.",
        "nothing.svc.cluster.local.",
        "nothing.cluster.local.",
        "nothing.corp.test.",
        "nothing.",
    ]
    assert result.elapsed == pytest.approx(0.005 + 4 * 0.001, abs=0.01)


def test_a_resolution_shows_itself() -> None:
    result = Cluster().resolve("cart", label="shop/web")
    assert result.client == "shop/web" and result.answered_as == "cart.shop.svc.cluster.local."
    text = str(result.explain())
    assert text.startswith("cart: 10.96.0.20\n2 queries in")
    assert "ndots:5" in text and "Service shop/cart has the address 10.96.0.20" in text
    assert list(result.to_frame().columns) == ["at", "name", "type", "server", "outcome", "answers", "elapsed", "protocol", "source_port"]
    assert result.to_dict()["queries"][1] == {
        "name": "cart.shop.svc.cluster.local.",
        "type": "AAAA",
        "server": "10.96.0.10",
        "rcode": "NOERROR",
        "error": None,
        "at": 0.0,
        "elapsed": 0.001,
        "answers": [],
        "protocol": "UDP",
    }
    assert result.queries[1].outcome == "NODATA" and "<table>" in result._repr_html_()
    evil = Cluster().resolve("<b>x</b>")
    assert "<b>x" not in evil._repr_html_()


def test_ports_are_the_same_from_run_to_run() -> None:
    one, two = (Cluster().resolve("cart.shop") for _ in range(2))
    assert [q.source_port for q in one.queries] == [q.source_port for q in two.queries]
    assert len({q.source_port for q in one.queries}) == 2
    assert all(32768 <= q.source_port <= 60999 for q in one.queries)


def test_unknown_resolvers_and_families() -> None:
    with pytest.raises(KubenetError, match="uclibc"):
        Cluster().resolve("cart", resolver="uclibc")
    with pytest.raises(KubenetError, match="IPv4"):
        Cluster().resolve("cart", family="v4")


def test_a_second_lookup_outside_comes_from_the_cache() -> None:
    cluster = Cluster()
    cluster.resolve("api.example.com.")
    steps = [s.code for s in cluster.resolve("api.example.com.").queries[0].steps]
    assert steps[0] == "dns.cache_hit"


# --- query, documents --------------------------------------------------------------------------------------------------
def test_query_answers_without_a_network() -> None:
    from kubenet_lab.dns import Server

    server = Server(snapshot=Snapshot(THINGS))
    answer = query(server, "db.data.svc.cluster.local", "srv")
    assert answer.rcode == "NOERROR" and bool(answer) and len(answer.additional) == 2 and "AA" in answer.flags
    assert str(answer.answer[0]) == "db.data.svc.cluster.local.\t30\tIN\tSRV\t0 50 5432 db-0.db.data.svc.cluster.local."
    assert list(answer.to_frame()["section"]) == ["answer"] * 2 + ["additional"] * 2
    assert str(answer).startswith(";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 0\n;; flags: qr aa rd; QUERY: 1, ANSWER: 2,")
    assert "headless" in str(answer.explain())
    missing = query(server, "carts.shop.svc.cluster.local")
    assert not missing and "Near it: cart.shop." in str(missing.explain())
    assert "NODATA" in str(query(server, "cart.shop.svc.cluster.local", "AAAA").explain())


def test_the_addon_is_what_kubeadm_installs() -> None:
    config, deployment, kube_dns = addon("corp.example", "10.96.0.10")
    assert "kubernetes corp.example in-addr.arpa ip6.arpa" in config["data"]["Corefile"]
    template = deployment["spec"]["template"]
    assert (deployment["spec"]["replicas"], template["spec"]["dnsPolicy"], template["metadata"]["labels"]) == (
        2,
        "Default",
        {"k8s-app": "kube-dns"},
    )
    assert kube_dns["metadata"]["name"] == "kube-dns" and kube_dns["spec"]["clusterIP"] == "10.96.0.10"
    assert [(p["name"], p["port"], p["protocol"]) for p in kube_dns["spec"]["ports"]] == [
        ("dns", 53, "UDP"),
        ("dns-tcp", 53, "TCP"),
        ("metrics", 9153, "TCP"),
    ]
    own = CoreDNS(corefile=". {\n whoami\n}", replicas=3).documents("cluster.local", "10.0.0.10")
    assert own[0]["data"]["Corefile"] == ". {\n whoami\n}" and own[1]["spec"]["replicas"] == 3
    with pytest.raises(KubenetError, match="replicas"):
        CoreDNS(replicas=-1)
    assert "kube-dns (SkyDNS behind dnsmasq)" in str(not_modelled("kube-dns")) and "NodeLocal" in str(not_modelled("nodelocaldns"))
