"""The kubernetes plugin beyond its upstream tables: readiness, options, reverse names, aliases, name servers, sizes."""

from __future__ import annotations

from typing import Any

import pytest

from kubenet_lab.dns import Query, Question, Record, Response, Server
from kubenet_lab.dns.message import Edns
from kubenet_lab.objects.snapshot import Snapshot
from tests.dns.dns_fixtures import endpoint_slice, obj, objects, pod, service, short

ZONE = "svc.cluster.local."


def _server(*things: Any, options: str = "", after: str = "", **more: Any) -> Server:
    return Server(f". {{\n kubernetes cluster.local in-addr.arpa ip6.arpa {{\n {options}\n }}\n {after}\n}}", Snapshot(things), **more)


def _ask(server: Server, name: str, type: str = "A", **more: Any) -> Response:
    return server.answer(name, type=type, protocol="TCP", **more)[0]


# --- existence ---------------------------------------------------------------------------------------------------
def test_a_clusterip_name_does_not_depend_on_endpoints() -> None:
    server = _server(service("shop/cart", "10.96.0.20", ports=["http/TCP/80"]))
    assert _ask(server, f"cart.shop.{ZONE}").addresses == ("10.96.0.20",)


@pytest.mark.parametrize(("ready", "found"), [(True, True), (None, True), (False, False)])
def test_headless_records_are_the_ready_endpoints(ready: bool | None, found: bool) -> None:
    slices = endpoint_slice("db-1", "data/db", "10.244.1.5 db-0", ports=["sql/TCP/5432"], ready=ready)
    server = _server(service("data/db", "None", ports=["sql/TCP/5432"]), slices)
    response = _ask(server, f"db.data.{ZONE}")
    assert (response.rcode, response.addresses) == (("NOERROR", ("10.244.1.5",)) if found else ("NXDOMAIN", ()))
    assert _ask(server, f"db-0.db.data.{ZONE}").rcode == ("NOERROR" if found else "NXDOMAIN")


def test_the_server_never_reads_publish_not_ready_addresses() -> None:
    slices = endpoint_slice("db-1", "data/db", "10.244.1.5", ports=["sql/TCP/5432"], ready=False)
    server = _server(service("data/db", "None", ports=["sql/TCP/5432"], publishNotReadyAddresses=True), slices)
    assert _ask(server, f"db.data.{ZONE}").rcode == "NXDOMAIN"


def test_namespaces_exist_if_declared_or_made_by_the_api_server() -> None:
    server = _server(obj("Namespace", "", "empty"), pod("busy/p", "10.244.0.9"))
    for namespace in ("empty", "busy", "default", "kube-system", "kube-public", "kube-node-lease"):
        response = _ask(server, f"{namespace}.{ZONE}")
        assert (response.rcode, response.answer, len(response.authority)) == ("NOERROR", (), 1), namespace
    assert _ask(server, f"nowhere.{ZONE}").rcode == "NXDOMAIN"


@pytest.mark.parametrize("type", ["A", "AAAA", "SRV", "MX", "TXT", "CNAME", "HINFO", "NS", "SOA", "TYPE65", "ANY", "PTR"])
def test_other_types_of_an_existing_name_are_nodata(type: str) -> None:
    server = _server(service("shop/cart", "10.96.0.20", ports=["http/TCP/80"]))
    response = _ask(server, f"cart.shop.{ZONE}", type)
    assert response.rcode == "NOERROR"
    assert bool(response.answer) == (type in ("A", "SRV"))
    if not response.answer:
        assert short(response.authority[0]) == "cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local."


def test_soa_below_the_apex_is_nodata_even_for_names_that_do_not_exist() -> None:
    assert _ask(_server(), f"nothing.nowhere.{ZONE}", "SOA").rcode == "NOERROR"


def test_txt_at_empty_nodes_is_nxdomain() -> None:
    """The TXT branch of the plugin looks for records only: kubernetes.go Services, `case dns.TypeTXT`."""
    assert _ask(_server(), "cluster.local.", "TXT").rcode == "NXDOMAIN"
    assert _ask(_server(), "cluster.local.", "A").rcode == "NOERROR"


@pytest.mark.parametrize("name", ["*.shop", "any.shop", "*", "cart.*"])
def test_wildcards_are_gone(name: str) -> None:
    server = _server(service("shop/cart", "10.96.0.20", ports=["http/TCP/80"]))
    assert _ask(server, f"{name}.{ZONE}").rcode == "NXDOMAIN"


def test_a_transfer_is_refused() -> None:
    assert _ask(_server(), "cluster.local.", "AXFR").rcode == "REFUSED"


# --- SRV -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("ports", "weight"), [(1, 100), (2, 50), (3, 33), (6, 16), (7, 14), (100, 1), (150, 1)])
def test_srv_weights_share_a_hundred(ports: int, weight: int) -> None:
    server = _server(service("shop/cart", "10.96.0.20", ports=[f"p{i}/TCP/{i + 1}" for i in range(ports)]))
    response = _ask(server, f"cart.shop.{ZONE}", "SRV")
    assert {r.data.split()[1] for r in response.answer} == {str(weight)}
    assert len(response.answer) == ports and len(response.additional) == 1


def test_an_unnamed_port_has_no_srv_name_but_stands_at_the_bare_one() -> None:
    server = _server(service("shop/cart", "10.96.0.20", ports=["/TCP/80"]))
    assert [r.data for r in _ask(server, f"cart.shop.{ZONE}", "SRV").answer] == [f"0 100 80 cart.shop.{ZONE}"]
    assert _ask(server, f"_http._tcp.cart.shop.{ZONE}", "SRV").rcode == "NXDOMAIN"
    assert _ask(server, f"_._tcp.cart.shop.{ZONE}", "SRV").rcode == "NOERROR"


def test_an_address_of_a_port_name_answers_too() -> None:
    server = _server(service("shop/cart", "10.96.0.20", ports=["http/TCP/80"]))
    assert _ask(server, f"_http._tcp.cart.shop.{ZONE}").addresses == ("10.96.0.20",)
    assert _ask(server, f"http.tcp.cart.shop.{ZONE}").addresses == ("10.96.0.20",)
    assert _ask(server, f"_https._tcp.cart.shop.{ZONE}").rcode == "NXDOMAIN"


# --- aliases ---------------------------------------------------------------------------------------------------------
def test_an_alias_in_the_zone_that_leads_nowhere_is_nodata_without_the_alias() -> None:
    response = _ask(_server(service("shop/old", external="gone.shop.svc.cluster.local")), f"old.shop.{ZONE}")
    assert response.rcode == "NOERROR" and response.answer == ()


def test_an_alias_that_points_at_or_below_itself_is_dropped() -> None:
    for target in ("old.shop.svc.cluster.local", "x.old.shop.svc.cluster.local"):
        response = _ask(_server(service("shop/old", external=target)), f"old.shop.{ZONE}")
        assert response.rcode == "NOERROR" and response.answer == ()


def test_aliases_in_a_circle_end() -> None:
    server = _server(service("shop/a", external="b.shop.svc.cluster.local"), service("shop/b", external="a.shop.svc.cluster.local"))
    response = _ask(server, f"a.shop.{ZONE}")
    assert response.rcode == "NOERROR" and response.answer == ()


def test_a_chain_of_aliases_is_followed_ten_times_and_no_more() -> None:
    def chain(n: int) -> Response:
        links = [service(f"shop/a{i}", external=f"a{i + 1}.shop.svc.cluster.local") for i in range(n)]
        return _ask(_server(*links, service(f"shop/a{n}", "10.96.0.9", ports=["http/TCP/80"])), f"a0.shop.{ZONE}")

    assert [r.type for r in chain(11).answer] == ["CNAME"] * 11 + ["A"]
    assert chain(12).answer == ()


def test_an_ip_literal_as_external_name_does_not_exist() -> None:
    assert _ask(_server(service("shop/legacy", external="192.0.2.7")), f"legacy.shop.{ZONE}").rcode == "NXDOMAIN"


@pytest.mark.parametrize("type", ["SRV", "TXT", "MX"])
def test_other_types_of_an_alias_are_nodata(type: str) -> None:
    response = _ask(_server(service("shop/out", external="example.com")), f"out.shop.{ZONE}", type)
    assert response.rcode == "NOERROR" and response.answer == ()


class _Upstream:
    def __init__(self, rcode: str = "NOERROR", answer: tuple[Record, ...] = (), flags: tuple[str, ...] = ("RA",)):
        self.rcode, self.records, self.flags, self.asked = rcode, answer, flags, []

    def answer(self, query: Query) -> Response:
        self.asked.append(str(query))
        return query.reply(self.rcode, answer=self.records, flags=self.flags)


def test_an_alias_out_of_the_zone_goes_through_the_whole_server_again() -> None:
    upstream = _Upstream(answer=(Record("ext.interwebs.test.", "A", 5, "1.2.3.4"),))
    server = _server(service("testns/external", external="ext.interwebs.test"), after="forward . 192.0.2.53")
    response = _ask(server, f"external.testns.{ZONE}", upstream=upstream)
    assert [short(r) for r in response.answer] == [
        f"external.testns.{ZONE} 5 CNAME ext.interwebs.test.",
        "ext.interwebs.test. 5 A 1.2.3.4",
    ]
    assert upstream.asked == ["ext.interwebs.test. A"]
    assert "AA" in response.flags


def test_a_truncated_upstream_truncates_the_alias() -> None:
    upstream = _Upstream(answer=(Record("ext.interwebs.test.", "A", 5, "1.2.3.4"),), flags=("RA", "TC"))
    server = _server(service("testns/external", external="ext.interwebs.test"), after="forward . 192.0.2.53")
    assert _ask(server, f"external.testns.{ZONE}", upstream=upstream).truncated


def test_an_alias_to_a_name_that_does_not_exist_outside_keeps_the_alias() -> None:
    server = _server(service("testns/external", external="ext.interwebs.test"), after="forward . 192.0.2.53")
    response = _ask(server, f"external.testns.{ZONE}", upstream=_Upstream("NXDOMAIN"))
    assert response.rcode == "NOERROR" and [r.type for r in response.answer] == ["CNAME"]


# --- reverse ---------------------------------------------------------------------------------------------------------
def test_a_pod_in_two_services_has_two_names_and_a_clusterip_wins() -> None:
    one = endpoint_slice("a-1", "shop/a", "10.244.1.5", ports=["x/TCP/1"])
    two = endpoint_slice("b-1", "shop/b", "10.244.1.5 me", ports=["x/TCP/1"])
    server = _server(service("shop/a", "10.96.0.1"), service("shop/b", "None"), one, two)
    names = [r.data for r in _ask(server, "5.1.244.10.in-addr.arpa.", "PTR").answer]
    assert names == [f"10-244-1-5.a.shop.{ZONE}", f"me.b.shop.{ZONE}"]
    assert [r.data for r in _ask(server, "1.0.96.10.in-addr.arpa.", "PTR").answer] == [f"a.shop.{ZONE}"]


def test_unknown_addresses_fall_through_only_where_the_zone_is_named() -> None:
    up = _Upstream("NOERROR", (Record("9.9.9.9.in-addr.arpa.", "PTR", 60, "dns9.test."),))
    server = _server(options="fallthrough in-addr.arpa ip6.arpa", after="forward . 192.0.2.53")
    assert _ask(server, "9.9.9.9.in-addr.arpa.", "PTR", upstream=up).answer[0].data == "dns9.test."
    assert _ask(server, f"nothing.shop.{ZONE}", upstream=up).rcode == "NXDOMAIN"
    assert up.asked == ["9.9.9.9.in-addr.arpa. PTR"]


def test_fallthrough_never_passes_a_nodata_on() -> None:
    up = _Upstream()
    server = _server(service("shop/cart", "10.96.0.20", ports=["http/TCP/80"]), options="fallthrough", after="forward . 192.0.2.53")
    assert _ask(server, f"cart.shop.{ZONE}", "AAAA", upstream=up).authority
    assert up.asked == []
    _ask(server, f"other.shop.{ZONE}", upstream=up)
    assert len(up.asked) == 1


# --- options -----------------------------------------------------------------------------------------------------
def test_ttl_and_the_negative_ttl() -> None:
    server = _server(service("shop/cart", "10.96.0.20", ports=["http/TCP/80"]), options="ttl 600")
    assert _ask(server, f"cart.shop.{ZONE}").answer[0].ttl == 600
    soa = _ask(server, f"no.shop.{ZONE}").authority[0]
    assert soa.ttl == 300 and soa.data.endswith(" 7200 1800 86400 600")


def test_the_serial_is_the_time_of_the_newest_service_or_slice() -> None:
    old = service("shop/cart", "10.96.0.20", metadata={"creationTimestamp": "2026-01-01T00:00:00Z"})
    new = service("shop/web", "10.96.0.21", metadata={"creationTimestamp": "2026-01-02T00:00:00Z"})
    assert _ask(_server(old, new), "cluster.local.", "SOA").answer[0].data.split()[2] == "1767312000"
    assert _ask(_server(old, new, serial=42), "cluster.local.", "SOA").answer[0].data.split()[2] == "42"


def test_endpoint_pod_names() -> None:
    target = {"targetRef": {"kind": "Pod", "name": "web-6c9d8"}}
    things = (service("shop/web", "None"), endpoint_slice("w", "shop/web", "10.244.1.5", ports=["x/TCP/1"], **target))
    assert _ask(_server(*things), f"web-6c9d8.web.shop.{ZONE}").rcode == "NXDOMAIN"
    assert _ask(_server(*things, options="endpoint_pod_names"), f"web-6c9d8.web.shop.{ZONE}").addresses == ("10.244.1.5",)
    long = {"targetRef": {"kind": "Pod", "name": "w" * 64}}
    things = (service("shop/web", "None"), endpoint_slice("w", "shop/web", "10.244.1.5", ports=["x/TCP/1"], **long))
    assert _ask(_server(*things, options="endpoint_pod_names"), f"10-244-1-5.web.shop.{ZONE}").addresses == ("10.244.1.5",)


def test_noendpoints_leaves_headless_names_empty() -> None:
    things = (service("shop/web", "None"), endpoint_slice("w", "shop/web", "10.244.1.5", ports=["x/TCP/1"]))
    assert _ask(_server(*things, options="noendpoints"), f"web.shop.{ZONE}").rcode == "NXDOMAIN"


def test_labels_and_namespace_labels_hide_objects() -> None:
    seen = service("shop/cart", "10.96.0.20", ports=["http/TCP/80"], metadata={"labels": {"dns": "yes"}})
    server = _server(obj("Namespace", "", "shop", metadata={"labels": {"team": "a"}}), seen, options="labels dns=yes")
    assert _ask(server, f"cart.shop.{ZONE}").rcode == "NOERROR"
    plain = service("shop/cart", "10.96.0.20", ports=["http/TCP/80"])
    assert _ask(_server(plain, options="labels dns=yes"), f"cart.shop.{ZONE}").rcode == "NXDOMAIN"
    shop = obj("Namespace", "", "shop", metadata={"labels": {"team": "a"}})
    assert _ask(_server(shop, plain, options="namespace_labels team=a"), f"cart.shop.{ZONE}").rcode == "NOERROR"
    assert _ask(_server(shop, plain, options="namespace_labels team=b"), f"cart.shop.{ZONE}").rcode == "NXDOMAIN"


def test_namespaces_hide_reverse_names_too() -> None:
    server = _server(service("a/x", "10.96.0.1", ports=["p/TCP/1"]), service("b/x", "10.96.0.2", ports=["p/TCP/1"]), options="namespaces a")
    assert _ask(server, f"x.a.{ZONE}").rcode == "NOERROR"
    assert _ask(server, f"x.b.{ZONE}").rcode == "NXDOMAIN"
    assert _ask(server, "2.0.96.10.in-addr.arpa.", "PTR").rcode == "NXDOMAIN"


def test_a_server_that_has_not_read_the_objects_fails_where_it_would_deny() -> None:
    server = _server(service("shop/cart", "10.96.0.20", ports=["http/TCP/80"]), synced=False)
    assert _ask(server, f"no.shop.{ZONE}").rcode == "SERVFAIL"
    assert _ask(server, f"cart.shop.{ZONE}").rcode == "NOERROR"


# --- pods --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("label", "ip"),
    [
        ("10-244-0-9", "10.244.0.9"),
        ("2001-db8--1", "2001:db8::1"),
        ("--1", "::1"),
        ("fd00-0-0-0-0-0-0-1", "fd00::1"),
        ("010-1-1-1", None),
        ("1-2-3", None),
        ("1-2-3-400", None),
    ],
)
def test_insecure_pod_names_spell_any_address(label: str, ip: str | None) -> None:
    server = _server(options="pods insecure")
    response = _ask(server, f"{label}.default.pod.cluster.local.", "AAAA" if ip and ":" in ip else "A")
    assert (response.rcode, response.addresses) == (("NOERROR", (ip,)) if ip else ("NXDOMAIN", ()))


@pytest.mark.parametrize("mode", ["disabled", "insecure", "verified"])
def test_a_pods_name_is_no_record_in_any_mode(mode: str) -> None:
    server = _server(pod("shop/web-0", "10.244.0.9", spec={"hostname": "web-0", "subdomain": "web"}), options=f"pods {mode}")
    for name in ("web-0.shop.pod.cluster.local.", "web-0.web.shop.pod.cluster.local.", f"web-0.shop.{ZONE}", f"web-0.web.shop.{ZONE}"):
        assert _ask(server, name).rcode == "NXDOMAIN", name


@pytest.mark.parametrize("gone", [{"status": {"phase": "Succeeded"}}, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}])
def test_verified_mode_forgets_finished_and_terminating_pods(gone: dict[str, Any]) -> None:
    name = "10-244-0-9.shop.pod.cluster.local."
    assert _ask(_server(pod("shop/p", "10.244.0.9"), options="pods verified"), name).addresses == ("10.244.0.9",)
    assert _ask(_server(pod("shop/p", "10.244.0.9", **gone), options="pods verified"), name).rcode == "NXDOMAIN"


# --- name servers ------------------------------------------------------------------------------------------------
def test_the_name_servers_are_the_services_that_this_server_is_an_endpoint_of() -> None:
    server = Server(". {\n kubernetes inter.webs.test\n}", objects("itself"), local_ips=["10.244.0.20"])
    response = _ask(server, "inter.webs.test.", "NS")
    assert {r.data for r in response.answer} == {
        "dns-service.kube-system.svc.inter.webs.test.",
        "10-244-0-20.hdls-dns-service.kube-system.svc.inter.webs.test.",
        "dns6-service.kube-system.svc.inter.webs.test.",
    }
    assert {(r.type, r.data) for r in response.additional} == {("A", "10.0.0.111"), ("A", "10.244.0.20"), ("AAAA", "10::111")}


@pytest.mark.parametrize(
    ("local", "type", "found"),
    [
        (["1.2.3.4"], "A", ["1.2.3.4"]),
        (["1.2.3.4"], "AAAA", []),
        (["1:2::3:4"], "A", []),
        (["1:2::3:4"], "AAAA", ["1:2::3:4"]),
        (["1.2.3.4"], "SRV", []),
    ],
)
def test_the_default_name_server_has_the_servers_own_addresses(local: list[str], type: str, found: list[str]) -> None:
    response = _ask(_server(local_ips=local), "ns.dns.cluster.local.", type)
    assert [r.data for r in response.answer] == found and response.rcode == "NOERROR"


def test_ns_at_a_zone_in_other_case_is_nodata() -> None:
    """The apex is recognised by the folded name against the zone in the query's case (handler.go)."""
    server = _server(local_ips=["127.0.0.1"])
    assert _ask(server, "cluster.local.", "NS").answer
    assert _ask(server, "Cluster.local.", "NS").answer == ()


# --- size ----------------------------------------------------------------------------------------------------------
def _many() -> Server:
    endpoints = [f"10.244.{i // 200}.{i % 200 + 1}" for i in range(40)]
    return _server(service("shop/web", "None"), endpoint_slice("w", "shop/web", *endpoints, ports=["x/TCP/1"]))


def test_an_answer_too_long_for_udp_is_compressed_and_cut() -> None:
    server = _many()
    small, steps = server.answer(f"web.shop.{ZONE}")
    assert small.truncated and 0 < len(small.answer) < 40 and "dns.truncated" in [s.code for s in steps]
    assert len(_ask(server, f"web.shop.{ZONE}").answer) == 40
    large, _ = server.answer(Query(Question(f"web.shop.{ZONE}"), edns=Edns(4096)))
    assert len(large.answer) == 40 and not large.truncated and large.edns is not None and large.edns.size == 4096
    assert small.answer == large.answer[: len(small.answer)]


def test_edns_and_class() -> None:
    server = _server()
    response, _ = server.answer(Query(Question("cluster.local."), edns=Edns(1232, version=1)))
    assert response.rcode == "BADVERS"
    assert server.answer(Query(Question("cluster.local.", "A", "CH")))[0].rcode == "REFUSED"
    echoed, _ = server.answer(Query(Question("cluster.local."), id=7, edns=Edns(1232, True, options=((10, b"12345678"), (8, b"x")))))
    assert echoed.edns == Edns(1232, True, options=((10, b"12345678"),)) and echoed.id == 7


def test_flags_follow_the_question() -> None:
    server = _server(service("shop/cart", "10.96.0.20", ports=["http/TCP/80"]))
    plain, _ = server.answer(Query(Question(f"cart.shop.{ZONE}"), rd=False))
    assert plain.flags == {"AA"} and repr(plain.flags) == "{'AA'}"
    asked, _ = server.answer(Query(Question(f"cart.shop.{ZONE}"), cd=True))
    assert asked.flags == {"AA", "RD", "CD"}


def test_the_snapshot_is_read_when_the_question_comes() -> None:
    now = [Snapshot([])]
    server = Server(". {\n kubernetes cluster.local\n}", lambda: now[0])
    assert _ask(server, f"cart.shop.{ZONE}").rcode == "NXDOMAIN"
    now[0] = Snapshot([service("shop/cart", "10.96.0.20", ports=["http/TCP/80"])])
    assert _ask(server, f"cart.shop.{ZONE}").addresses == ("10.96.0.20",)
