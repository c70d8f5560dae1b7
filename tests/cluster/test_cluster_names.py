"""Who is meant: every form of `src`, `dst` and port in DESIGN section 5, and what the errors say."""

from __future__ import annotations

import ipaddress

import pytest

import kubenet_lab as kn
from kubenet_lab import KubenetError, NotFound
from tests.cluster.cluster_fixtures import deployment, pod, service


@pytest.fixture(scope="module")
def shop() -> kn.Cluster:
    cluster = kn.example("bookshop")
    assert isinstance(cluster, kn.Cluster)
    return cluster


@pytest.fixture(scope="module")
def web(shop: kn.Cluster) -> str:
    return next(p.name for p in shop.objects("pod") if p.name.startswith("web-"))


def source(cluster: kn.Cluster, src: object) -> str:
    """Who asked, as the trace names it."""
    return cluster.preview(src, "svc:shop/cart", 8080).question.split(" → ")[0]


def answered(cluster: kn.Cluster, dst: object, port: int | str = 8080, protocol: str = "TCP") -> str | None:
    trace = cluster.preview("shop/web", dst, port, protocol)
    assert trace.verdict == "delivered", trace.explain()
    return trace.answered_by


def test_a_name_is_the_pod_of_that_name(shop: kn.Cluster, web: str) -> None:
    assert source(shop, f"shop/{web}") == source(shop, f"pod/shop/{web}") == f"shop/{web}"


def test_else_it_is_the_first_ready_pod_of_the_workload_and_the_answer_says_which(shop: kn.Cluster, web: str) -> None:
    for text in ("shop/web", "deploy/shop/web", "deployment/shop/web"):
        trace = shop.preview(text, "svc:shop/cart", 8080)
        assert trace.question.startswith(f"shop/{web} →")
        assert any(web in a and "first of its 2 ready pods" in a for a in trace.assumptions), trace.assumptions


def test_an_unready_pod_is_passed_over(shop: kn.Cluster, web: str) -> None:
    other = shop.copy().set_pod(f"shop/{web}", ready=False)
    assert source(other, "shop/web") != f"shop/{web}"
    assert source(other, f"shop/{web}") == f"shop/{web}", "asked for by its own name it is meant"
    none = shop.copy().set_pod("shop/cart", ready=False)
    trace = none.preview("shop/cart", "svc:shop/api", 8080)
    assert trace and any("not ready" in a for a in trace.assumptions)


def test_every_kind_of_workload(shop: kn.Cluster) -> None:
    assert source(shop, "sts/data/db") == source(shop, "statefulset/data/db") == source(shop, "data/db") == "data/db-0"
    assert source(shop, "ds/ops/ingress").startswith("ops/ingress-")
    rs = next(o for o in shop.objects("rs") if o.name.startswith("cart-"))
    assert source(shop, f"rs/shop/{rs.name}") == source(shop, f"shop/{rs.name}") == source(shop, "shop/cart")


def test_jobs_and_cron_jobs() -> None:
    template = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "c"}]}}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once", "namespace": "a"}, "spec": template}
    cluster = kn.load([job, deployment("a/server"), service("a/server", {"app": "server"})])
    assert cluster.preview("job/a/once", "svc:a/server").question.startswith("a/once-")
    assert cluster.preview("a/once", "svc:a/server")


def test_a_cron_job_without_a_run_has_no_pod(shop: kn.Cluster) -> None:
    with pytest.raises(KubenetError, match="CronJob ops/stocktake has no running pod"):
        shop.preview("ops/stocktake", "svc:shop/cart", 8080)


def test_nodes_addresses_and_machines_outside(shop: kn.Cluster) -> None:
    assert source(shop, "node:worker-1") == source(shop, "192.168.50.11") == "node:worker-1"
    ip = shop.pod("shop/web").ip
    assert source(shop, ip) == source(shop, ipaddress.ip_address(ip)) == source(shop, "shop/web")
    assert source(shop, "external:203.0.113.7") == "external:203.0.113.7"
    assert answered(shop, "external:203.0.113.8", 443) == answered(shop, "203.0.113.8", 443) == "external:203.0.113.8"
    assert answered(shop, "node:worker-2", 10250) == "node:worker-2"


def test_objects_stand_for_themselves(shop: kn.Cluster, web: str) -> None:
    for src in (shop.get("pod", f"shop/{web}"), shop.get("deploy", "shop/web"), shop.pod("shop/web"), shop.pod(f"shop/{web}")):
        assert source(shop, src) == f"shop/{web}"
    assert source(shop, shop.get("node", "worker-2")) == source(shop, shop.node("worker-2")) == "node:worker-2"
    assert answered(shop, shop.get("svc", "shop/cart")) == answered(shop, shop.pod("shop/cart")) == shop.pod("shop/cart").name


def test_an_object_from_before_a_change_is_looked_up_again(shop: kn.Cluster) -> None:
    other = shop.copy()
    old = other.get("pod", shop.pod("shop/cart").name)
    other.delete("pod", old.key)
    with pytest.raises(NotFound, match="no pod"):
        other.preview(old, "svc:shop/api", 8080)


def test_a_destination_may_be_a_dns_name_as_the_client_types_it(shop: kn.Cluster) -> None:
    cart = shop.pod("shop/cart").name
    for name in ("cart", "cart.shop", "cart.shop.svc", "cart.shop.svc.cluster.local", "cart.shop.svc.cluster.local."):
        assert answered(shop, name) == cart
    with pytest.raises(AssertionError):  # from another namespace the short name means nothing
        answered(shop.copy(), "db")
    trace = shop.preview("data/db", "cart", 8080)
    assert (trace.verdict, trace.phase, trace.error) == ("unreachable", "resolve", "EAI_NONAME")


def test_a_service_by_its_name_with_prefix(shop: kn.Cluster) -> None:
    cart = shop.pod("shop/cart").name
    ip = shop.get("svc", "shop/cart").spec.cluster_ip
    assert (
        answered(shop, "svc:shop/cart")
        == answered(shop, "svc/shop/cart")
        == answered(shop, "service/shop/cart")
        == answered(shop, ip)
        == cart
    )


# ------------------------------------------------------------------------------------------------------------- ports
def test_ports_by_number_and_by_name(shop: kn.Cluster) -> None:
    cart = shop.pod("shop/cart").name
    for dst in ("svc:shop/cart", "shop/cart", "cart", shop.get("svc", "shop/cart").spec.cluster_ip, shop.pod("shop/cart").ip):
        assert answered(shop, dst, "http") == answered(shop, dst, 8080) == answered(shop, dst, "8080") == cart
    assert answered(shop, "db.data", "postgres") == answered(shop, "db-0.db.data", "postgres") == "data/db-0", (
        "a headless name leads to a pod"
    )
    assert answered(shop, "svc:shop/web", "http").startswith("shop/web-"), "the Service's http is 80, the pods' is 8080"


def test_a_port_name_of_another_protocol_says_so(shop: kn.Cluster) -> None:
    with pytest.raises(KubenetError, match=r'53/UDP; ask with protocol="UDP"'):
        shop.preview("shop/web", "svc:kube-system/kube-dns", "dns")
    assert answered(shop, "svc:kube-system/kube-dns", "dns", "UDP").startswith("kube-system/coredns-")
    assert answered(shop, "svc:kube-system/kube-dns", "dns-tcp").startswith("kube-system/coredns-")


def test_an_unknown_port_name_lists_the_choices(shop: kn.Cluster) -> None:
    with pytest.raises(NotFound, match="no port of svc:shop/cart 'htp'; nearest: http"):
        shop.preview("shop/web", "svc:shop/cart", "htp")


@pytest.mark.parametrize("port", [0, -1, 65536, "0", "70000", None, True, 8080.0, ""])
def test_what_is_no_port_is_refused(shop: kn.Cluster, port: object) -> None:
    with pytest.raises(KubenetError, match="port"):
        shop.preview("shop/web", "svc:shop/cart", port)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ errors
def test_an_ambiguous_name_lists_the_choices() -> None:
    sts = deployment("a/db")
    sts["kind"], sts["spec"]["serviceName"] = "StatefulSet", "db"
    sts["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    sts["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    cluster = kn.load([deployment("a/db"), sts, pod("a/client")])
    with pytest.raises(KubenetError, match="a/db is ambiguous: deploy/a/db, sts/a/db"):
        cluster.preview("a/client", "a/db", 8080)
    assert cluster.preview("a/client", "sts/a/db", 8080).answered_by == "a/db-0"
    assert str(cluster.preview("a/client", "deploy/a/db", 8080).answered_by).startswith("a/db-")


def test_a_pod_comes_before_a_workload_of_its_name() -> None:
    cluster = kn.load([deployment("a/db"), pod("a/db", ports=(("x", 8080, "TCP"),)), pod("a/client")])
    assert cluster.preview("a/client", "a/db", 8080).answered_by == "a/db"


@pytest.mark.parametrize(
    "src, says",
    [
        ("shop/wbe", "no pod or workload 'shop/wbe'; nearest: shop/web"),
        ("shop/web-public", "there is a Service of that name: svc:shop/web-public"),
        ("web", 'written "namespace/name"'),
        ("deploy/shop/wbe", "no Deployment 'shop/wbe'; nearest: shop/web"),
        ("pod/shop/nope", "no pod 'shop/nope'"),
        ("node:worker-9", "no node 'worker-9'; nearest: worker-"),
        ("svc:shop/web", "a Service sends nothing"),
        ("external:nowhere", "expected an IP address"),
        ("10.9.9.9", "for a machine outside write external:10.9.9.9"),
        ("external:192.168.50.11", "belongs to node:worker-1"),
        ("external:10.244.7.7", "belongs to the pod network 10.244.0.0/16"),
        ("external:10.97.7.7", "belongs to the Service network 10.96.0.0/12"),
        ("external:127.0.0.1", "no machine has such an address"),
        ("a/b/c/d", "no pod or workload 'a/b/c/d'"),
        ("", "expected"),
        (None, "expected"),
        (80, "expected"),
    ],
)
def test_sources_that_mean_nothing(shop: kn.Cluster, src: object, says: str) -> None:
    with pytest.raises(KubenetError) as error:
        shop.preview(src, "svc:shop/cart", 8080)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "dst, says",
    [
        ("svc:shop/crat", "no Service 'shop/crat'; nearest: shop/cart"),
        ("svc:data/db", "svc:data/db is headless: it has no address of its own; ask for its DNS name instead"),
        ("shop/crat", "nearest: shop/cart"),
        ("external:10.244.7.7", "belongs to the pod network"),
    ],
)
def test_destinations_that_mean_nothing(shop: kn.Cluster, dst: str, says: str) -> None:
    with pytest.raises(KubenetError) as error:
        shop.preview("shop/web", dst, 8080)
    assert says in str(error.value)


def test_an_external_name_service_has_no_address() -> None:
    cluster = kn.load([pod("a/client"), service("a/out", None, type="ExternalName", externalName="example.com")])
    with pytest.raises(KubenetError, match="ExternalName: only DNS knows it"):
        cluster.preview("a/client", "svc:a/out")
    assert cluster.preview("a/client", "out", 443).answered_by == "external:" + str(cluster.resolve("a/client", "example.com").addresses[0])


def test_a_pod_that_is_not_running_says_why() -> None:
    cluster = kn.load([pod("a/client"), pod("a/waiting", nodeSelector={"disk": "fast"})])
    with pytest.raises(KubenetError, match="pod a/waiting has no address"):
        cluster.preview("a/client", "a/waiting", 80)
    assert any(f.object == "Pod a/waiting" for f in cluster.findings)


@pytest.mark.parametrize(
    "kind", ["svc", "service", "services", "Service", "deploy", "deployment", "Deployments", "po", "pods", "no", "ns", "netpol",
     "ing", "cm", "ep", "sts", "ds", "cj", "rs"]
)  # fmt: skip
def test_kinds_are_spelled_as_kubectl_takes_them(shop: kn.Cluster, kind: str) -> None:
    assert isinstance(shop.objects(kind), tuple)
    assert shop.get("svc", "shop/cart") == shop.get("Service", "shop/cart")


def test_unknown_kinds_and_objects_say_what_is_near(shop: kn.Cluster) -> None:
    with pytest.raises(NotFound, match="serivce"):
        shop.objects("serivce")
    with pytest.raises(NotFound, match="nearest: shop/cart"):
        shop.get("svc", "shop/crat")
    with pytest.raises(NotFound, match="nearest: worker-"):
        shop.node("worker-7")
    with pytest.raises(NotFound, match="nearest: shop/web"):
        shop.pod("shop/wbe")
    with pytest.raises(NotFound):
        shop.delete("svc", "shop/crat")
