"""Pod networks of plugins without a daemon: bridge (and ptp) with an administrator's routes, conflists of one's own, detection."""

from __future__ import annotations

import json
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab import KubenetError, NotFound, NotModelled
from kubenet_lab.cni import PLUGINS
from tests.cluster.cluster_fixtures import SMALL, node, pod

#: main plugins whose pods have addresses of the node's podCIDR
ROUTED = [name for name in ("bridge", "ptp") if name in PLUGINS]


def ips(cluster: kn.Cluster, key: str) -> tuple[str, ...]:
    return tuple(cluster.get("pod", key).ips)  # type: ignore[attr-defined]


def bridge(routes: Any = "static", **main: Any) -> kn.Conflist:
    plugin = {"type": "bridge", "isDefaultGateway": True, "hairpinMode": True,
              "ipam": {"type": "host-local", "ranges": [[{"subnet": "{{.PodCIDR}}"}]]}, **main}  # fmt: skip
    return kn.Conflist({"cniVersion": "1.0.0", "name": "plain", "plugins": [plugin]}, routes)


# --------------------------------------------------------------------------------------------------------- plain routing
@pytest.mark.parametrize("plugin", ROUTED)
@pytest.mark.parametrize("families", [("IPv4",), ("IPv6",), ("IPv4", "IPv6")], ids="+".join)
def test_pods_reach_each_other_by_plain_routes(plugin: str, families: tuple[str, ...]) -> None:
    cluster = kn.load(SMALL, cni=plugin, ip_families=families)
    assert cluster.pod_network == plugin and not cluster.findings and "enforced by: nobody" in str(cluster.summary())
    for far, client in zip(ips(cluster, "default/far"), ips(cluster, "default/client"), strict=True):
        trace = cluster.connect("default/client", far, 8080)
        assert trace and trace.source_seen == client and not any("vxlan" in h.code for h in trace.hops)
        assert cluster.connect("default/client", far, protocol="ICMP", size=1400)
    assert cluster.connect("default/client", "default/near", 8080) and cluster.connect("default/client", "svc:default/server")
    node_ip = {"IPv4": "192.168.50.11", "IPv6": "fd50::b"}[families[0]]
    assert cluster.connect("node:worker-1", "default/far", 8080).source_seen == node_ip


@pytest.mark.parametrize("plugin", ROUTED)
def test_nobody_masquerades_and_the_router_knows_the_way_back(plugin: str) -> None:
    cluster = kn.load(SMALL, cni=plugin)
    assert cluster.connect("default/client", "external:203.0.113.7").source_seen == "10.244.0.2"
    assert cluster.connect("external:203.0.113.7", "default/far", 8080).source_seen == "203.0.113.7"
    assert next(a.value for a in cluster.assumptions if a.what == "routes between nodes").startswith("static")
    without = kn.load(SMALL, cni=kn.Conflist(kn.Conflist.named(plugin).conflist, routes="none"))
    assert without.connect("default/client", "default/far", 8080).verdict == "timeout"
    assert without.connect("default/client", "default/near", 8080), "on the node itself nobody needs a route"


def test_the_plugins_own_masquerade_hides_pods_from_other_pods_too() -> None:
    """ipMasq exempts the pod's own subnet only, so a pod of another node sees the node: what flannel's own rules avoid."""
    cluster = kn.load(SMALL, cni=bridge(ipMasq=True))
    assert cluster.connect("default/client", "external:203.0.113.7").source_seen == "192.168.50.11"
    assert cluster.connect("default/client", "default/far", 8080).source_seen == "192.168.50.11"
    assert cluster.connect("default/client", "default/near", 8080).source_seen == "10.244.0.2"


def test_nodes_of_another_wire_are_reached_by_the_router() -> None:
    underlay = kn.Underlay(segments=2)
    cluster = kn.load(SMALL, cni="bridge", underlay=underlay)
    assert "10.244.1.0/24" not in cluster.node("worker-1").run("ip route")
    trace = cluster.connect("default/client", "default/far", 8080)
    assert trace and any(h.namespace == "gateway" for h in trace.hops) and trace.source_seen == "10.244.0.2"
    # host-gw cannot do that: the daemon insists on a route of its own
    host_gw = kn.load(SMALL, cni=kn.Flannel(backend="host-gw"), underlay=underlay)
    assert host_gw.connect("default/client", "default/far", 8080).verdict == "timeout"


def test_a_deleted_route_is_missed_and_put_back() -> None:
    cluster = kn.load(SMALL, cni="bridge")
    cluster.node("worker-1").run("ip route del 10.244.1.0/24")
    trace = cluster.connect("default/client", "default/far", 8080)
    assert trace and any(h.namespace == "gateway" for h in trace.hops), "the router still knows the way"
    cluster.node("worker-1").run("ip route add blackhole 10.244.1.0/24")
    assert cluster.connect("default/client", "default/far", 8080).verdict == "timeout"
    assert cluster.resync().connect("default/client", "default/far", 8080)


# -------------------------------------------------------------------------------------------------- conflists of one's own
def test_addresses_follow_the_conflist() -> None:
    ranges = [[{"subnet": "{{.PodCIDR}}", "rangeStart": "10.244.0.50", "rangeEnd": "10.244.0.60"}]]
    one = kn.load([SMALL[0]], nodes=1, dns="none", cni=bridge(ipam={"type": "host-local", "ranges": ranges}))
    assert ips(one, "default/client") == ("10.244.0.50",)
    one.delete("pod", "default/client").apply(pod("default/next"))
    assert ips(one, "default/next") == ("10.244.0.51",), "round robin: not the address that was just given back"


def test_a_used_up_range_is_said_in_the_plugins_words() -> None:
    ranges = [[{"subnet": "{{.PodCIDR}}", "rangeStart": "10.244.0.50", "rangeEnd": "10.244.0.51"}]]
    cni = bridge(ipam={"type": "host-local", "ranges": ranges})
    cluster = kn.load([pod(f"default/p{i}") for i in range(3)], nodes=1, dns="none", cni=cni)
    said = [f for f in cluster.findings if f.object.startswith("Pod default/p")]
    assert len(said) == 1 and "no IP addresses available in range set: 10.244.0.50-10.244.0.51" in said[0].message
    assert [p.ips for p in cluster.objects("pod")].count(()) == 1  # type: ignore[attr-defined]


def test_one_range_on_every_node_gives_addresses_twice() -> None:
    cluster = kn.load(SMALL, dns="none", cni=bridge(ipam={"type": "host-local", "subnet": "10.244.0.0/16"}))
    assert ips(cluster, "default/far") == ips(cluster, "default/client")
    assert any("10.244.0.2 is also the address of default/client" in f.message and f.object == "Pod default/far" for f in cluster.findings)


def test_a_conflist_that_no_plugin_takes_leaves_pods_without_network() -> None:
    cluster = kn.load(SMALL, dns="none", cni=bridge(hairpinMode=True, promiscMode=True))
    said = [f.message for f in cluster.findings if f.object == "Pod default/client"]
    assert any("cannot set hairpin mode and promiscuous mode at the same time" in m for m in said)
    with pytest.raises(KubenetError, match="default/client cannot send"):
        cluster.connect("default/client", "default/far", 8080)


def test_plugins_that_do_not_exist() -> None:
    with pytest.raises(NotModelled, match="CNI plugin ovs"):
        kn.load(SMALL, cni=kn.Conflist({"name": "n", "cniVersion": "1.0.0", "plugins": [{"type": "ovs"}]}))
    with pytest.raises(NotModelled, match="CNI plugin whereabouts"):
        kn.load(SMALL, cni=bridge(ipam={"type": "whereabouts"}))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("host-local", KubenetError, "host-local is IPAM, not a network"),
        ("static", KubenetError, "static is IPAM, not a network"),
        ("portmap", KubenetError, "portmap is no network: it is chained after a main plugin"),
        ("loopback", KubenetError, "what every pod has beside its network"),
        ("cilium", NotModelled, "pod network: cilium"),
        ("brigde", NotFound, "nearest: bridge"),
    ],
)
def test_names_that_are_no_network(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        kn.load(SMALL, cni=name)


# ------------------------------------------------------------------------------------------------------ copies and dumps
def test_a_copy_between_flannel_and_plain_routing_keeps_addresses() -> None:
    base = kn.load(SMALL)
    plain = base.copy(cni="bridge")
    assert [p.ips for p in plain.objects("pod")] == [p.ips for p in base.objects("pod")]  # type: ignore[attr-defined]
    assert plain.connect("default/client", "default/far", 8080) and not plain.findings
    other = plain.copy(cni=bridge(ipam={"type": "host-local", "subnet": "172.31.0.0/24"}))
    assert ips(other, "default/client") == ("172.31.0.2",), "what the new range does not hold is given anew"
    assert ips(other.copy(cni="flannel"), "default/client")[0].startswith("10.244.0.")


def config_map(key: str, text: str, name: str = "cni-conf") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"}, "data": {key: text}}


def test_a_conflist_that_the_objects_bring_is_the_network() -> None:
    text = kn.Conflist.named("bridge").conflist
    cluster = kn.load([*SMALL, config_map("10-bridge.conflist", text)])
    assert cluster.pod_network == "bridge" and cluster.connect("default/client", "default/far", 8080)
    note = next(a for a in cluster.assumptions if a.what == "pod network plugin")
    assert (note.value, note.how, note.why) == ("bridge", "detected", "ConfigMap kube-system/cni-conf, 10-bridge.conflist")
    # flannel's own ConfigMap holds a conflist too, of another kind
    flannel = config_map("cni-conf.json", json.dumps({"name": "cbr0", "plugins": [{"type": "flannel"}]}), "kube-flannel-cfg")
    assert kn.load([*SMALL, flannel]).pod_network == "flannel vxlan"
    for broken in ("{", "[]", '{"plugins": []}', '{"plugins": [{"type": "ovs"}]}'):
        assert kn.load([*SMALL, config_map("x.conflist", broken)]).pod_network == "flannel vxlan"


def test_a_node_that_comes_later_gets_routes() -> None:
    cluster = kn.load(SMALL, cni="bridge")
    cluster.apply([node("worker-3", "192.168.50.30"), pod("default/new", "worker-3", {}, (("h", 8080, "TCP"),))])
    assert cluster.connect("default/client", "default/new", 8080).source_seen == "10.244.0.2"
