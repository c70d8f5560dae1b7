"""The calico and calico-ipam plugins: what ADD prints and programs, what DEL takes away, which errors there are; BIRD's routes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from kubenet_lab.cni import PLUGINS, Calico, CniError, NetworkList, PluginHost, Result, Runtime
from kubenet_lab.cni.calico import CalicoIpam, CalicoPlugin, Ipam, IpPool, bird, conflist, node_files
from kubenet_lab.cni.calico.plugin import GATEWAY6, link_local, veth_name
from kubenet_lab.cni.runtime import empty_node
from kubenet_lab.errors import KubenetError, NotModelled
from kubenet_lab.kernel.namespace import Namespace

ARGS = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=c1"
NAME = "cali" + hashlib.sha1(b"shop.web").hexdigest()[:11]


class World:
    """One node with calico/node running, and a datastore."""

    def __init__(self, options: Calico | None = None, notes: dict[str, str] | None = None):
        self.options = (options or Calico()).with_pools(["10.244.0.0/16"])
        self.store: dict[str, str] = {}
        Ipam(self.store).configure(self.options)
        mine = (CalicoPlugin(self.options.felix_interface_prefix, lambda ns, pod: notes or {}), CalicoIpam(self.store))
        plugins = {**PLUGINS, **{p.type: p for p in mine}}
        self.host = PluginHost(empty_node("worker-1"), "worker-1", plugins, node_files("worker-1", 1500))
        self.conf = NetworkList.parse(conflist(self.options, "worker-1"))

    def add(self, container: str = "c1", args: str = ARGS, conf: NetworkList | None = None) -> Result:
        netns = f"pod:{container}"
        if netns not in self.host.network.namespaces:
            self.host.network.add_namespace("worker-1", netns)
        return Runtime(self.host).add(conf or self.conf, container, netns, "eth0", args)

    def delete(self, container: str = "c1", args: str = ARGS) -> None:
        Runtime(self.host).delete(self.conf, container, f"pod:{container}", "eth0", args)

    @property
    def node(self) -> Namespace:
        return self.host.node

    def pod(self, container: str = "c1") -> Namespace:
        return self.host.network.namespaces[f"pod:{container}"]

    @property
    def ipam(self) -> Ipam:
        return Ipam(self.store)


def routes(ns: Namespace) -> list[str]:
    return [str(r) for r in ns.routes]


# ----------------------------------------------------------------------------------------------------------------- ADD
def test_add_programs_the_pod_and_its_nodes_end() -> None:
    w = World()
    before = routes(w.node)
    w.add()
    pod, end = w.pod(), w.node.links[NAME]
    assert routes(pod) == ["169.254.1.1 dev eth0 scope link", "default via 169.254.1.1 dev eth0"]
    assert [str(a) for a in pod.links["eth0"].addresses] == ["10.244.226.64/32"]
    assert end.mac == "ee:ee:ee:ee:ee:ee" and not end.addresses and end.peer == ("pod:c1", "eth0") and end.mtu == 1500
    assert routes(w.node) == [*before, f"10.244.226.64 dev {NAME} scope link"]
    wanted = {"conf": ("proxy_arp=1", "forwarding=1", "route_localnet=1"), "neigh": ("proxy_delay=0",)}
    assert {f"net.ipv4.{part}.{NAME}.{s}" for part, some in wanted.items() for s in some} == {
        f"{k}={v}" for k, v in w.node.sysctls.items() if NAME in k
    }
    assert not pod.forwards(4)


def test_the_result_is_that_of_the_real_plugin() -> None:
    """One interface: the name of the node's end, the MAC of the pod's, the pod's namespace. No gateway, no routes.

    Source: cni-plugin/pkg/k8s/k8s.go, pkg/plugin/plugin.go.
    """
    w = World()
    result = w.add()
    assert json.loads(str(result)) == {
        "cniVersion": "0.3.1",
        "interfaces": [{"name": NAME, "mac": w.pod().links["eth0"].mac, "sandbox": "/var/run/netns/cni-pod-c1"}],
        "ips": [{"version": "4", "address": "10.244.226.64/32"}],
        "dns": {},
    }
    v6 = World(Calico(["10.1.0.0/16", "fd00:1::/64"]))
    assert [(c.family, c.address.partition("/")[2]) for c in v6.add().ips] == [(4, "32"), (6, "128")], "IPv4 comes first"


def test_ipam_alone_prints_addresses_with_the_length_of_their_block() -> None:
    """design/ipam: AutoAssign returns block-masked CIDRs, not /32."""
    w = World(Calico([{"cidr": "10.9.0.0/16", "block_size": 28}]))
    conf = NetworkList.parse({"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "calico-ipam", "nodename": "worker-1", "ipam": {}}]})
    ip = w.add(conf=conf).ips[0]
    assert ip.address.endswith("/28") and ip.interface is None
    assert w.add("c2", "IP=10.9.7.7", conf).ips[0].address == "10.9.7.7/32"


def test_ipv6_leads_to_the_link_local_address_of_the_nodes_end() -> None:
    w = World(Calico(["fd00:1::/64"]))
    ip = w.add().ips[0].ip
    pod = w.pod()
    assert link_local("ee:ee:ee:ee:ee:ee") == GATEWAY6 == "fe80::ecee:eeff:feee:eeee" in {a.ip for a in w.node.links[NAME].addresses}
    assert f"default via {GATEWAY6} dev eth0 metric 1024" in routes(pod) and f"{ip} dev eth0 proto kernel metric 256" in routes(pod)
    assert f"{ip} dev {NAME} metric 1024" in routes(w.node)
    assert w.node.sysctls[f"net.ipv6.conf.{NAME}.proxy_ndp"] == 1 and not any("169.254" in r for r in routes(pod))


@pytest.mark.parametrize(
    ("namespace", "pod", "prefix", "want"),
    [("default", "simplePod", "cali", "calibd5189385c4"), ("shop", "web", "cali", NAME), ("shop", "web", "eni", "eni" + NAME[4:])],
)
def test_names_of_the_nodes_ends(namespace: str, pod: str, prefix: str, want: str) -> None:
    assert veth_name(namespace, pod, prefix) == want and len(want) <= 15


def test_without_kubernetes_the_container_names_the_interface() -> None:
    w = World()
    assert w.add("0123456789abcdef", "").interfaces[0].name == "cali0123456789a"


def test_the_mtu_is_that_of_the_file_unless_the_list_says_one() -> None:
    w = World(Calico(mtu=1400))
    w.add()
    assert (w.pod().links["eth0"].mtu, w.node.links[NAME].mtu) == (1400, 1400)
    w = World()
    w.host.disk["/var/lib/calico/mtu"] = "9000\n"
    w.add()
    assert w.pod().links["eth0"].mtu == 9000


def test_another_add_for_the_same_pod_replaces_the_nodes_end() -> None:
    w = World()
    w.add()
    w.host.network.remove_namespace("pod:c1")
    assert w.add("c2").ips[0].ip == "10.244.226.65", "the old address is leaked until DEL"
    assert w.node.links[NAME].peer == ("pod:c2", "eth0")


# -------------------------------------------------------------------------------------------------------- annotations
def test_a_pod_may_ask_for_addresses_and_for_pools() -> None:
    w = World(notes={"cni.projectcalico.org/ipAddrs": '["10.244.9.9"]'})
    assert w.add().ips[0].address == "10.244.9.9/32"
    with pytest.raises(CniError, match="error getting IP from IPAM: resource already exists: 10.244.9.9"):
        w.add("c2")
    assert w.ipam.held("k8s-pod-network.c2") == []
    pools = Calico([{"cidr": "10.1.0.0/16", "name": "one"}, {"cidr": "10.2.0.0/16", "name": "two"}])
    for asked in ('["two"]', '["10.2.0.0/16"]'):
        assert World(pools, {"cni.projectcalico.org/ipv4pools": asked}).add().ips[0].ip.startswith("10.2.")
    with pytest.raises(CniError, match=r"IPPool\(three\)"):
        World(pools, {"cni.projectcalico.org/ipv4pools": '["three"]'}).add()
    with pytest.raises(CniError, match="failed to parse 'nonsense' as JSON"):
        World(notes={"cni.projectcalico.org/ipAddrs": "nonsense"}).add()


# ----------------------------------------------------------------------------------------------------------------- DEL
def test_del_takes_everything_back_and_may_be_repeated() -> None:
    w = World()
    before = routes(w.node)
    w.add()
    w.delete()
    assert NAME not in w.node.links and routes(w.node) == before and "eth0" not in w.pod().links
    assert not any(NAME in k for k in w.node.sysctls)
    assert w.ipam.held("k8s-pod-network.c1") == [] and [b.host for b in w.ipam.blocks()] == ["worker-1"], "the block stays with its host"
    w.delete()


def test_del_when_the_namespace_is_gone_already() -> None:
    w = World()
    w.add()
    w.host.network.remove_namespace("pod:c1")
    w.delete()
    assert w.ipam.held("k8s-pod-network.c1") == []


# -------------------------------------------------------------------------------------------------------------- errors
def test_while_calico_node_is_not_running_every_add_fails() -> None:
    w = World()
    del w.host.disk["/var/lib/calico/nodename"]
    with pytest.raises(CniError, match="check that the calico/node container is running and has mounted /var/lib/calico/") as error:
        w.add()
    assert error.value.msg.startswith('plugin type="calico" failed (add): stat /var/lib/calico/nodename: no such file or directory')
    with pytest.raises(CniError) as status:
        CalicoPlugin().status(_call(w))
    assert status.value.code == 50


def _call(w: World) -> Any:
    from kubenet_lab.cni.contract import Call

    return Call("c1", "pod:c1", "eth0", {**w.conf.plugins[0], "name": w.conf.name, "cniVersion": "1.0.0"}, w.host)


def test_a_pod_of_two_families_gets_both_addresses_or_none() -> None:
    w = World(Calico(["10.1.0.0/16", {"cidr": "fd00:1::/126", "block_size": 126}]))
    for i in range(4):
        w.add(f"c{i}", ARGS.replace("web", f"web-{i}"))
    with pytest.raises(CniError, match="failed to request IPv6 addresses: Assigned 0 out of 1"):
        w.add("c5")
    assert w.ipam.held("k8s-pod-network.c5") == []


def test_what_fails_later_gives_the_address_back() -> None:
    w = World()
    w.host.network.add_namespace("worker-1", "pod:c1").add_link("eth0", "veth")
    with pytest.raises(CniError, match="file exists"):
        w.add()
    assert w.ipam.held("k8s-pod-network.c1") == [] and NAME not in w.node.links


def test_not_modelled() -> None:
    w = World()
    conf = NetworkList.parse({"cniVersion": "0.3.1", "name": "n", "plugins": [
        {"type": "calico", "ipam": {"type": "host-local", "subnet": "usePodCidr"}}]})  # fmt: skip
    with pytest.raises(NotModelled, match="usePodCidr"):
        w.add(conf=conf)
    for mode, where in (("ipip_mode", "IPIP CrossSubnet"), ("vxlan_mode", "VXLAN CrossSubnet")):
        with pytest.raises(NotModelled, match=where):
            Calico(["10.0.0.0/16"], **{mode: "CrossSubnet"}).require_modelled()
    with pytest.raises(NotModelled, match="nodeSelector"):
        Calico([{"cidr": "10.0.0.0/16", "node_selector": "zone == 'a'"}]).require_modelled()


def test_host_local_gives_the_addresses_where_the_list_says_so() -> None:
    w = World()
    conf = NetworkList.parse({"cniVersion": "0.3.1", "name": "n", "plugins": [
        {"type": "calico", "ipam": {"type": "host-local", "subnet": "10.5.0.0/24"}}]})  # fmt: skip
    result = w.add(conf=conf)
    assert [(c.address, c.gateway) for c in result.ips] == [("10.5.0.2/32", "")]
    assert routes(w.pod())[1] == "default via 169.254.1.1 dev eth0"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ip_pools": 5}, "ip_pools: found 5"), ({"ip_pools": [{"cird": "10.0.0.0/16"}]}, "expected a CIDR or a dict of cidr"),
        ({"ip_pools": ["10.0.0.0/16", "10.0.5.0/24"]}, "overlap"), ({"mtu": 10}, "mtu: found 10"), ({"mtu": True}, "mtu"),
        ({"felix_interface_prefix": "toolong"}, "felix_interface_prefix"), ({"felix_interface_prefix": "a/b"}, "felix_interface_prefix"),
        ({"max_blocks_per_host": 3}, "needs strict_affinity"), ({"ip_cooldown_seconds": 1201}, "0 to 1200"),
        ({"reserved": ["10.0.0.1/16"]}, "reserved"), ({"ip_pools": [{"cidr": "10.0.0.0/16", "nat_outgoing": "yes"}]}, "nat_outgoing"),
        ({"ip_pools": [{"cidr": "10.0.0.0/16", "name": "Bad_Name"}]}, "name"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(options: dict[str, Any], says: str) -> None:
    with pytest.raises(KubenetError, match=says):
        Calico(**options)


def test_what_a_pool_does_not_say_the_options_say() -> None:
    options = Calico([{"cidr": "10.0.0.0/16", "block_size": 28}, "10.1.0.0/16", "fd00::/64"], block_size=24, nat_outgoing=False)
    assert [(p.size, p.nat_outgoing) for p in options.ip_pools] == [(28, False), (24, False), (122, False)]
    assert [(p.name, p.cidr, p.nat_outgoing) for p in Calico().with_pools(["10.244.0.0/16", "fd00::/64"]).ip_pools] == [
        ("default-ipv4-ippool", "10.244.0.0/16", True), ("default-ipv6-ippool", "fd00::/64", False),
    ]  # fmt: skip
    pool = IpPool("10.0.0.0/16", disable_bgp_export=True, disabled=True)
    assert IpPool.from_resource(pool.name, pool.to_resource()) == pool
    assert IpPool.from_resource("p", {"cidr": "10.0.0.0/16"}).nat_outgoing is False, "the API's default, unlike calico/node's own pools"


# ---------------------------------------------------------------------------------------------------------------- BIRD
def speakers(store: dict[str, str], pods: dict[str, list[str]]) -> list[bird.Speaker]:
    ipam = Ipam(store)
    return [bird.Speaker.of(n, {4: f"192.168.50.{10 + int(n[-1])}"}, ipam, ips) for n, ips in pods.items()]


def test_a_node_announces_confirmed_blocks_and_what_lies_outside_of_them() -> None:
    store: dict[str, str] = {}
    ipam = Ipam(store)
    private = {"cidr": "10.8.0.0/24", "name": "private", "disable_bgp_export": True}
    ipam.configure(Calico([{"cidr": "10.0.0.0/24", "block_size": 26}, private]))
    ipam.claim("worker-1", "10.0.0.0/26")
    ipam.claim("worker-1", "10.8.0.0/26")
    ipam.claim("worker-2", "10.0.0.64/26")
    ipam.set_affinity("worker-2", "10.0.0.128/26", "pending")
    one, two = speakers(store, {"worker-1": ["10.0.0.1", "10.0.0.70", "172.16.0.9"], "worker-2": ["10.0.0.65", "10.0.0.130"]})
    assert bird.exports(one, ipam.pools()) == ["10.0.0.0/26", "10.0.0.70/32"], "a borrowed address by itself, foreign ones never"
    assert bird.exports(two, ipam.pools()) == ["10.0.0.64/26", "10.0.0.130/32"], "a block that is only pending does not count"
    net = empty_node("worker-1")
    node = net.namespaces["worker-1"]
    bird.program(node, one, [one, two], ipam.pools())
    ours = [str(r) for r in node.routes if r.proto == "bird"]
    assert ours == [
        "blackhole 10.0.0.0/26 proto bird", "blackhole 10.8.0.0/26 proto bird",
        "10.0.0.64/26 via 192.168.50.12 dev eth0 proto bird", "10.0.0.130 via 192.168.50.12 dev eth0 proto bird",
    ]  # fmt: skip
    bird.program(node, one, [one], ipam.pools())
    assert [str(r) for r in node.routes if r.proto == "bird"] == ours[:2], "a peer that is gone takes its routes along"


def test_the_next_hop_is_resolved_through_the_nodes_own_routes() -> None:
    """`gateway recursive`: on one network the peer itself, elsewhere whoever leads there, and unreachable where nobody does."""
    store: dict[str, str] = {}
    ipam = Ipam(store)
    ipam.configure(Calico(["10.0.0.0/24"]))
    ipam.claim("far", "10.0.0.64/26")
    own = bird.Speaker("near", {4: "192.168.50.11"}, (), ())
    far = bird.Speaker.of("far", {4: "192.168.99.12"}, ipam, [])
    node = empty_node("near").namespaces["near"]
    bird.program(node, own, [own, far], ipam.pools())
    assert "10.0.0.64/26 via 192.168.50.1 dev eth0 proto bird" in routes(node)
    node.remove_route("default")
    bird.program(node, own, [own, far], ipam.pools())
    assert "unreachable 10.0.0.64/26 proto bird" in routes(node)
    six = bird.Speaker("six", {6: "fd50::1"}, (), ())
    bird.program(node, own, [own, six], ipam.pools())
    assert not any(r.proto == "bird" for r in node.routes)
