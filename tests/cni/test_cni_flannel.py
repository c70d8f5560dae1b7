"""Flannel: leases, entries per remote node, options, what it leaves on disk; and which network a dump shows."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from kubenet_lab.cni import CniError, Flannel
from kubenet_lab.cni.detect import detect
from kubenet_lab.cni.flannel import ORIGIN, Observed, conflist, leases, node_annotations, observed, observed_networks, program, subnet_env
from kubenet_lab.errors import KubenetError, NotModelled
from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.objects.views import KINDS, Object
from tests.cni.cni_lab import flannel_cluster, network, node


def test_three_entries_per_remote_node() -> None:
    net, all_leases, _ = flannel_cluster(3)
    one = net.namespaces["worker-1"]
    two = all_leases[1]
    assert str(one.link("flannel.1").addresses[0]) == "10.244.1.0/32" and one.link("flannel.1").mac == all_leases[0].vtep_mac
    ours = [str(r) for r in one.routes if r.dev == "flannel.1"]
    assert ours == ["10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink", "10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink"]
    assert str(one.neighbours["flannel.1", "10.244.2.0"]) == f"10.244.2.0 dev flannel.1 lladdr {two.vtep_mac} PERMANENT"
    assert str(one.fdb[0]) == f"{two.vtep_mac} dev flannel.1 dst 192.168.50.12 self permanent"
    assert len(one.neighbours) == len(one.fdb) == 2
    v = one.link("flannel.1").vxlan
    assert v is not None and (v.vni, v.local, v.dev, v.port, v.learning) == (1, "192.168.50.11", "eth0", 8472, False)
    assert one.forwards(4)


def test_programming_again_changes_nothing_and_keeps_what_others_wrote() -> None:
    net, all_leases, _ = flannel_cluster()
    one = net.namespaces["worker-1"]
    one.add_route("10.99.0.0/16", via="192.168.50.12")
    one.remove_fdb(all_leases[1].vtep_mac, "flannel.1")
    before = [str(r) for r in one.routes]
    program(net, all_leases, Flannel())
    assert sorted(map(str, one.routes)) == sorted(before) and len(one.fdb) == 1 and list(one.links) == ["lo", "eth0", "flannel.1"]
    # a node that is gone takes its entries along
    program(net, all_leases[:1], Flannel())
    assert [r for r in one.routes if r.origin == ORIGIN] == [] and one.fdb == [] and one.neighbours == {}
    assert any(r.dst == "10.99.0.0/16" for r in one.routes)


def test_direct_routing_only_on_one_network() -> None:
    options = Flannel(direct_routing=True)
    net = network(2)
    net.add_segment("far", cidr="192.168.60.0/24")
    net.add_host("worker-3")
    net.plug("worker-3", "far", address="192.168.60.13/24")
    net.namespaces["worker-3"].add_route("default", via="192.168.60.1")
    for n in (1, 2):
        net.namespaces[f"worker-{n}"].add_route("default", via="192.168.50.1")
    third = msgspec.structs.replace(
        node(3), status=msgspec.convert({"addresses": [{"type": "InternalIP", "address": "192.168.60.13"}]}, type(node(3).status))
    )
    program(net, leases([node(1), node(2), third], options), options)
    routes = [str(r) for r in net.namespaces["worker-1"].routes if r.origin == ORIGIN]
    assert routes == ["10.244.2.0/24 via 192.168.50.12 dev eth0", "10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink"]
    assert len(net.namespaces["worker-1"].fdb) == 1


def test_mtu_and_vni() -> None:
    options = Flannel(vni=7, port=4789, mtu=1400)
    net, _, hosts = flannel_cluster(options=options)
    link = net.namespaces["worker-1"].link("flannel.7")
    assert link.mtu == 1350 and link.vxlan is not None and (link.vxlan.vni, link.vxlan.port) == (7, 4789)
    assert "FLANNEL_MTU=1350\n" in hosts["worker-1"].disk["/run/flannel/subnet.env"]
    # another VNI: another device; the same device with other options is made anew
    program(net, leases([node(1), node(2)], options), Flannel(vni=7))
    assert net.namespaces["worker-1"].link("flannel.7").mtu == 1450


def test_what_a_dump_says_is_used() -> None:
    stated = {
        "flannel.alpha.coreos.com/backend-data": '{"VNI":1,"VtepMAC":"AA:bb:cc:00:11:22"}',
        "flannel.alpha.coreos.com/public-ip": "203.0.113.9",
    }
    lease = leases([node(1, annotations=stated)], Flannel())[0]
    assert (lease.vtep_mac, lease.public_ip) == ("aa:bb:cc:00:11:22", "203.0.113.9")
    assert node_annotations([lease], Flannel())["flannel.alpha.coreos.com/backend-data"] == '{"VNI":1,"VtepMAC":"aa:bb:cc:00:11:22"}'
    overwritten = leases([node(1, annotations={**stated, "flannel.alpha.coreos.com/public-ip-overwrite": "198.51.100.7"})], Flannel())[0]
    assert overwritten.public_ip == "198.51.100.7"


def test_nodes_that_can_have_no_lease() -> None:
    bare = msgspec.convert({"kind": "Node", "metadata": {"name": "x"}}, KINDS["Node"][0])
    with pytest.raises(CniError, match='failed to acquire lease: node "x" pod cidr not assigned'):
        leases([bare], Flannel())  # type: ignore[list-item]
    with pytest.raises(CniError, match="specified in the flannel net config doesn't contain"):
        leases([node(1)], Flannel(network="10.0.0.0/16"))
    held, problems = program(network(1), leases([msgspec.structs.replace(node(1), status=node(9).status)], Flannel()), Flannel())
    assert held == () and "failed to find interface with address 192.168.50.19" in problems[0].message


def test_subnet_env_and_conflist() -> None:
    held = leases([node(1)], Flannel())
    want = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    assert subnet_env(held, Flannel(), 1450) == want
    # flannel-io/flannel Documentation/kube-flannel.yml, cni-conf.json
    assert conflist(Flannel()) == {
        "name": "cbr0",
        "cniVersion": "0.3.1",
        "plugins": [
            {"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def test_options() -> None:
    for backend in ("ipip", "ipsec", "alloc", "extension", "tencent-vpc"):
        with pytest.raises(NotModelled, match=f"flannel backend {backend}: ."):
            Flannel(backend=backend)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"backend": "vlan"}, "flannel has no backend 'vlan'; it has vxlan"),
        ({"vni": 0}, "VNI 0: expected 1 to 16777215"),
        ({"port": 70000}, "port 70000: expected 1 to 65535"),
        ({"backend": "host-gw", "port": 8472}, "backend host-gw has no port"),
        ({"backend": "host-gw", "direct_routing": True}, "has no direct_routing: it is an option of vxlan"),
        ({"network": "10.5.0.0"}, "Network '10.5.0.0'"),
        ({"network": "fd00::/56"}, "expected an IPv4 network"),
        ({"ipv6_network": "10.5.0.0/16"}, "expected an IPv6 network"),
        ({"network": ""}, "please define a correct Network parameter"),
        ({"mtu": "1400"}, "MTU '1400': expected a number of bytes"),
        ({"mode": "auto"}, "has no mode: it is an option of wireguard"),
    ]
    for given, message in wrong:
        with pytest.raises(KubenetError, match=message):
            Flannel(**given)


def six(nodes: int = 2, **more: Any) -> tuple[Any, ...]:
    options = Flannel(ipv6_network="fd00:10:244::/56", **more)
    return options, *flannel_cluster(nodes, options)


def test_each_family_has_a_lease_a_device_and_entries_of_its_own() -> None:
    options, net, held, hosts = six()
    assert [(x.node, x.subnet, x.public_ip) for x in held] == [
        ("worker-1", "10.244.1.0/24", "192.168.50.11"), ("worker-1", "fd00:10:244:1::/64", "fd50::11"),
        ("worker-2", "10.244.2.0/24", "192.168.50.12"), ("worker-2", "fd00:10:244:2::/64", "fd50::12"),
    ]  # fmt: skip
    one = net.namespaces["worker-1"]
    assert [str(r) for r in one.routes if r.origin == ORIGIN] == [
        "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
        "fd00:10:244:2::/64 via fd00:10:244:2:: dev flannel-v6.1 metric 1024 onlink",
    ]
    v6 = one.link("flannel-v6.1")
    assert (v6.mtu, str(v6.addresses[0]), v6.mac) == (1430, "fd00:10:244:1::/128", held[1].vtep_mac)
    assert held[0].vtep_mac != held[1].vtep_mac and one.neighbours["flannel-v6.1", "fd00:10:244:2::"].mac == held[3].vtep_mac
    assert [(e.dev, e.dst) for e in one.fdb] == [("flannel.1", "192.168.50.12"), ("flannel-v6.1", "fd50::12")]
    assert one.forwards(4) and one.forwards(6)
    assert hosts["worker-1"].disk["/run/flannel/subnet.env"] == (
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_IPV6_NETWORK=fd00:10:244::/56\n"
        "FLANNEL_IPV6_SUBNET=fd00:10:244:1::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    )
    alone = Flannel(network="", ipv6_network=options.ipv6_network)
    assert [x.subnet for x in leases([node(1, six=True)], alone)] == ["fd00:10:244:1::/64"]


def test_annotations_of_both_families() -> None:
    options = Flannel(ipv6_network="fd00:10:244::/56", vni=3)
    stated = {
        "flannel.alpha.coreos.com/public-ipv6": "FD50:0::99", "flannel.alpha.coreos.com/public-ipv6-overwrite": "2001:db8::1",
        "flannel.alpha.coreos.com/backend-v6-data": '{"VNI":3,"VtepMAC":"0A:00:00:00:00:01"}',
    }  # fmt: skip
    v4, v6 = leases([node(1, six=True, annotations=stated)], options)
    assert (v6.address, v6.public_ip, v6.vtep_mac) == ("fd50::99", "2001:db8::1", "0a:00:00:00:00:01")
    assert (v4.address, v4.public_ip) == ("192.168.50.11", "192.168.50.11")
    written = node_annotations([v4, v6], options)
    assert written["flannel.alpha.coreos.com/backend-v6-data"] == '{"VNI":3,"VtepMAC":"0a:00:00:00:00:01"}'
    assert written["flannel.alpha.coreos.com/public-ipv6"] == "2001:db8::1"
    assert node_annotations([v4], Flannel(backend="host-gw"))["flannel.alpha.coreos.com/backend-data"] == "null"
    with pytest.raises(CniError, match="annotations of node worker-1"):
        leases([node(1, annotations={"flannel.alpha.coreos.com/public-ip": "nonsense"})], Flannel())


def test_host_gw_is_not_for_nodes_behind_nat() -> None:
    """pkg/backend/hostgw: a daemon that the others reach by another address than its own does not start."""
    net, options = network(2), Flannel(backend="host-gw")
    nat = node(2, annotations={"flannel.alpha.coreos.com/public-ip-overwrite": "198.51.100.7"})
    held, problems = program(net, leases([node(1), nat], options), options)
    assert [x.node for x in held] == ["worker-1"] and "your PublicIP differs from interface IP" in problems[0].message
    # vxlan sends to the address that is stated, from its own
    held, problems = program(network(2), leases([node(1), nat], Flannel()), Flannel())
    assert len(held) == 2 and problems == [] and (held[1].address, held[1].public_ip) == ("192.168.50.12", "198.51.100.7")


def test_udp_has_one_route_and_a_table_in_the_daemon() -> None:
    options = Flannel(backend="udp")
    net, _, hosts = flannel_cluster(3, options)
    one = net.namespaces["worker-1"]
    link = one.link("flannel0")
    assert (link.kind, link.mtu, str(link.addresses[0])) == ("tun", 1472, "10.244.1.0/32") and link.tun is not None
    assert (link.tun.local, link.tun.port) == ("192.168.50.11", 8285)
    assert link.tun.routes == (("10.244.2.0/24", "192.168.50.12"), ("10.244.3.0/24", "192.168.50.13"))
    assert [str(r) for r in one.routes if r.origin == ORIGIN] == ["10.244.0.0/16 dev flannel0"] and not one.neighbours and not one.fdb
    assert "FLANNEL_MTU=1472\n" in hosts["worker-1"].disk["/run/flannel/subnet.env"]
    program(net, leases([node(1), node(2)], options), options)
    again = one.link("flannel0").tun
    assert again is not None and len(again.routes) == 1 and len([r for r in one.routes if r.origin == ORIGIN]) == 1


def test_wireguard_has_one_route_and_a_peer_per_node() -> None:
    net, held, _ = flannel_cluster(3, Flannel(backend="wireguard"))
    one = net.namespaces["worker-1"]
    link = one.link("flannel-wg")
    assert (link.kind, link.mtu, str(link.addresses[0])) == ("wireguard", 1420, "10.244.1.0/32") and link.wireguard is not None
    assert [str(r) for r in one.routes if r.origin == ORIGIN] == ["10.244.0.0/16 dev flannel-wg scope link"]
    assert [(p.endpoint, p.port, p.allowed_ips) for p in link.wireguard.peers] == [
        ("192.168.50.12", 51820, ("10.244.2.0/24",)), ("192.168.50.13", 51820, ("10.244.3.0/24",)),
    ]  # fmt: skip
    assert link.wireguard.public_key == held[0].public_key and len({x.public_key for x in held}) == 3
    data = node_annotations(held[:1], Flannel(backend="wireguard"))["flannel.alpha.coreos.com/backend-data"]
    assert json.loads(data) == {"PublicKey": held[0].public_key}


@pytest.mark.parametrize(
    ("mode", "devices", "endpoint"),
    [
        ("separate", {"flannel-wg": 51820, "flannel-wg-v6": 51821}, ""), ("auto", {"flannel-wg": 51820}, "192.168.50.12"),
        ("ipv4", {"flannel-wg": 51820}, "192.168.50.12"), ("ipv6", {"flannel-wg": 51820}, "fd50::12"),
    ],
)  # fmt: skip
def test_wireguards_modes(mode: str, devices: dict[str, int], endpoint: str) -> None:
    _, net, _, _ = six(backend="wireguard", mode=mode)
    one = net.namespaces["worker-1"]
    found = {k.name: k.wireguard for k in one.links.values() if k.wireguard is not None}
    assert {name: w.port for name, w in found.items()} == devices
    if mode == "separate":
        assert [p.endpoint for w in found.values() for p in w.peers] == ["192.168.50.12", "fd50::12"]
        assert found["flannel-wg-v6"].peers[0].port == 51821
    else:
        (peer,) = found["flannel-wg"].peers
        assert (peer.endpoint, peer.allowed_ips) == (endpoint, ("10.244.2.0/24", "fd00:10:244:2::/64"))
    assert {r.dst for r in one.routes if r.origin == ORIGIN} == {"10.244.0.0/16", "fd00:10:244::/56"}


def test_wireguard_prefers_a_public_address() -> None:
    """selectPublicEndpoint: IPv4 unless only the IPv6 address is public, here and there."""
    options = Flannel(backend="wireguard", mode="auto", ipv6_network="fd00:10:244::/56")
    public6 = [node(n, six=True, annotations={"flannel.alpha.coreos.com/public-ipv6": f"2606:4700::{n}"}) for n in (1, 2)]
    net = network(2, six=True)
    for n in (1, 2):
        net.namespaces[f"worker-{n}"].add_address("eth0", f"2606:4700::{n}/64")
    program(net, leases(public6, options), options)
    wg = net.namespaces["worker-1"].link("flannel-wg").wireguard
    assert wg is not None and wg.peers[0].endpoint == "2606:4700::2"


def objects(*docs: dict[str, Any]) -> Snapshot:
    views: list[Object] = [msgspec.convert({"metadata": {}, **d}, KINDS[d["kind"]][0]) for d in docs]
    return Snapshot(views)


def daemon_set(name: str, namespace: str = "kube-system", image: str = "", args: list[str] | None = None) -> dict[str, Any]:
    spec = {"template": {"spec": {"containers": [{"name": "c", "image": image, "args": args or []}]}}}
    return {"kind": "DaemonSet", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


@pytest.mark.parametrize(
    ("name", "image", "want"),
    [
        ("kube-flannel-ds", "flannel-io/flannel:v0.27.0", "flannel"),
        ("calico-node", "calico/node:v3.30.0", "calico"),
        ("cilium", "cilium/cilium:v1.17.0", "cilium"),
        ("weave-net", "weaveworks/weave-kube:2.8.1", "weave-net"),
        ("kube-router", "cloudnativelabs/kube-router:v2.5.0", "kube-router"),
        ("aws-node", "amazon-k8s-cni:v1.19.0", "aws-node"),
        ("antrea-agent", "antrea/antrea-agent-ubuntu:v2.3.0", "antrea"),
        ("kindnet", "kindest/kindnetd:v20250512", "kindnet"),
        ("canal", "calico/node:v3.30.0", "canal"),
        ("renamed", "calico/node:v3.30.0", "calico"),
        ("node-exporter", "prom/node-exporter:v1", ""),
        ("netdata", "netdata/netdata:v2", ""),
    ],
)
def test_which_network_a_dump_shows(name: str, image: str, want: str) -> None:
    found = detect(objects(daemon_set(name, image=image)))
    assert found.name == want and found.modelled == (want in ("flannel", "calico")) and bool(found) == bool(want)
    if want:
        assert found.evidence == (f"DaemonSet kube-system/{name}",)


def test_what_shows_a_network_besides_its_agent() -> None:
    config = {"kind": "ConfigMap", "metadata": {"name": "cilium-config", "namespace": "kube-system"}}
    assert detect(objects(config)).evidence == ("ConfigMap kube-system/cilium-config",)
    noted = {"kind": "Node", "metadata": {"name": "n", "annotations": {"flannel.alpha.coreos.com/backend-type": "vxlan"}}}
    assert detect(objects(noted)).name == "flannel"
    # an agent that runs is surer than a configuration left behind
    both = detect(objects(config, noted, daemon_set("kube-flannel-ds", "kube-flannel")))
    assert both.name == "flannel" and both.others == ("cilium",) and len(both.evidence) == 2
    # kube-router that only enforces policies is not the pod network
    policy_only = daemon_set("kube-router", args=["--run-router=false", "--run-firewall=true"])
    assert detect(objects(policy_only)).name == ""
    assert detect(objects(policy_only, daemon_set("kube-flannel-ds"))).name == "flannel"
    assert not detect(objects())


def config_map(net_conf: str, **more: str) -> dict[str, Any]:
    data = {"net-conf.json": net_conf, **more}
    return {"kind": "ConfigMap", "metadata": {"name": "kube-flannel-cfg", "namespace": "kube-flannel"}, "data": data}


def annotated(name: str, backend: str, data: str = "null") -> dict[str, Any]:
    annotations = {"flannel.alpha.coreos.com/backend-type": backend, "flannel.alpha.coreos.com/backend-data": data}
    return {"kind": "Node", "metadata": {"name": name, "annotations": annotations}}


def test_flannels_options_in_a_dump() -> None:
    config = config_map('{"Network": "10.9.0.0/16", "Backend": {"Type": "vxlan"}}')
    seen = observed(objects(config))
    assert seen is not None and seen == Observed(Flannel(network="10.9.0.0/16"), stated=True)
    assert observed(objects()) is None

    def flags(*args: str) -> Flannel:
        found = observed(objects(config, daemon_set("kube-flannel-ds", "kube-flannel", args=list(args))))
        assert found is not None
        return found.options

    assert not flags("--kube-subnet-mgr").ip_masq
    assert flags("--ip-masq").ip_masq and flags("-ip-masq=true").ip_masq and not flags("--ip-masq=false").ip_masq
    assert flags("--ip-masq").forward_rules and not flags("--iptables-forward-rules=false").forward_rules


def test_what_the_daemons_wrote_is_what_runs() -> None:
    """k3s has neither ConfigMap nor DaemonSet: its nodes show flannel."""
    k3s = observed(objects(annotated("a", "host-gw"), annotated("b", "host-gw")))
    assert k3s is not None and (k3s.options.backend, k3s.stated) == ("host-gw", False)
    vni = observed(objects(annotated("a", "vxlan", '{"VNI":4096,"VtepMAC":"0a:00:00:00:00:01"}')))
    assert vni is not None and vni.options.vni == 4096
    config = config_map('{"Network": "10.9.0.0/16", "Backend": {"Type": "host-gw"}}')
    edited = observed(objects(config, annotated("a", "vxlan"), annotated("b", "vxlan")))
    assert edited is not None and (edited.options.backend, edited.configured, edited.options.network) == ("vxlan", "host-gw", "10.9.0.0/16")
    mixed = observed(objects(config, annotated("a", "vxlan"), annotated("b", "host-gw")))
    assert mixed is not None and (mixed.options.backend, mixed.configured) == ("host-gw", "")
    assert observed(objects(annotated("a", "something"))) is None
    with pytest.raises(NotModelled, match="flannel backend ipip"):
        observed(objects(annotated("a", "ipip")))


def test_networks_of_a_configuration() -> None:
    assert observed_networks(objects()) == ("", "")
    both = config_map('{"Network": "10.9.3.0/16", "EnableIPv6": true, "IPv6Network": "fd00:9::/56", "Backend": {"Type": "ipip"}}')
    assert observed_networks(objects(both)) == ("10.9.0.0/16,fd00:9::/56", "ConfigMap kube-flannel/kube-flannel-cfg, net-conf.json")
    for broken in ("{", "[]", '{"Network": "x"}'):
        assert observed_networks(objects(config_map(broken))) == ("", "")
