"""The bridge, loopback, portmap and flannel plugins against the kernel's programmed state."""

from __future__ import annotations

import pytest

from kubenet_lab.cni import PLUGINS, CniError, NetworkList, PluginHost, Runtime
from kubenet_lab.cni.flannel import Flannel, conflist
from kubenet_lab.cni.rules import restore_text, run
from kubenet_lab.cni.veth import veth_name
from kubenet_lab.errors import NotModelled
from tests.cni.cni_lab import flannel_cluster, network


def bridge_list(version: str = "1.0.0", subnet: str = "10.1.0.0/24", **options: object) -> NetworkList:
    plugin = {"type": "bridge", "ipam": {"type": "host-local", "subnet": subnet}, **options}
    return NetworkList.parse({"name": "net", "cniVersion": version, "plugins": [plugin]})


def one_node() -> tuple[PluginHost, Runtime]:
    net = network(1)
    for name in ("a", "b"):
        net.add_namespace("worker-1", f"pod:shop/{name}", origin=f"Pod shop/{name}")
    host = PluginHost(net, "worker-1", PLUGINS)
    return host, Runtime(host)


def test_what_a_pod_gets_under_flannel() -> None:
    net, _, hosts = flannel_cluster()
    net.add_namespace("worker-1", "pod:shop/web-0", origin="Pod shop/web-0")
    runtime = Runtime(hosts["worker-1"])
    conf = NetworkList.parse(conflist(Flannel()))
    result = runtime.add(conf, "c1", "pod:shop/web-0")
    pod, node = net.namespaces["pod:shop/web-0"], net.namespaces["worker-1"]
    # the routes are those of a real flannel pod
    assert sorted(map(str, pod.routes)) == [
        "10.244.0.0/16 via 10.244.1.1 dev eth0",
        "10.244.1.0/24 dev eth0 proto kernel scope link src 10.244.1.2",
        "default via 10.244.1.1 dev eth0",
    ]
    veth = veth_name("c1", "eth0")
    assert pod.link("eth0").peer == ("worker-1", veth) and node.link(veth).peer == ("pod:shop/web-0", "eth0")
    assert (pod.link("eth0").mtu, node.link(veth).mtu, node.link("cni0").mtu, node.link("flannel.1").mtu) == (1450,) * 4
    assert node.link(veth).master == "cni0" and node.link(veth).port.hairpin
    assert str(node.link("cni0").addresses[0]) == "10.244.1.1/24"
    assert node.forwards(4)
    assert [i.name for i in result.interfaces] == ["cni0", veth, "eth0"]
    assert result.interfaces[2].sandbox == "/var/run/netns/cni-pod-shop-web-0"
    assert (result.ips[0].address, result.ips[0].gateway, result.ips[0].interface) == ("10.244.1.2/24", "10.244.1.1", 2)
    # flannel masquerades, so the bridge plugin does not
    assert not any(r.chain.startswith("CNI-") for r in hosts["worker-1"].rules)
    assert hosts["worker-1"].disk["/var/lib/cni/networks/cbr0/10.244.1.2"] == "c1\r\neth0"
    runtime.delete(conf, "c1", "pod:shop/web-0")
    assert list(pod.links) == ["lo"] and veth not in node.links and pod.routes == []
    assert "/var/lib/cni/networks/cbr0/10.244.1.2" not in hosts["worker-1"].disk
    # the next pod gets the next address, not this one
    assert runtime.add(conf, "c2", "pod:shop/web-0").ips[0].address == "10.244.1.3/24"


def test_pods_without_subnet_env_hang() -> None:
    net, _, hosts = flannel_cluster()
    net.add_namespace("worker-1", "pod:a/b")
    del hosts["worker-1"].disk["/run/flannel/subnet.env"]
    runtime, conf = Runtime(hosts["worker-1"]), NetworkList.parse(conflist(Flannel()))
    with pytest.raises(CniError, match="loadFlannelSubnetEnv failed: open /run/flannel/subnet.env: no such file or directory"):
        runtime.add(conf, "c1", "pod:a/b")
    runtime.delete(conf, "c1", "pod:a/b")  # no error for what was never added


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("FLANNEL_NETWORK=10.244.0.0/16\n", "is missing FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ"),
        ("FLANNEL_NETWORK=10.244.0.0\n", "invalid CIDR address: 10.244.0.0"),
        ("FLANNEL_MTU=big\n", 'parsing "big": invalid syntax'),
    ],
)
def test_bad_subnet_env(text: str, error: str) -> None:
    net, _, hosts = flannel_cluster()
    net.add_namespace("worker-1", "pod:a/b")
    hosts["worker-1"].disk["/run/flannel/subnet.env"] = text
    with pytest.raises(CniError, match=error):
        Runtime(hosts["worker-1"]).add(NetworkList.parse(conflist(Flannel())), "c1", "pod:a/b")


def test_flannel_without_masquerading_leaves_it_to_the_bridge() -> None:
    options = Flannel(ip_masq=False)
    net, _, hosts = flannel_cluster(options=options)
    net.add_namespace("worker-1", "pod:a/b")
    Runtime(hosts["worker-1"]).add(NetworkList.parse(conflist(options)), "c1", "pod:a/b")
    nat = run(hosts["worker-1"].rules)["nat"]
    assert "FLANNEL-POSTRTG" not in nat and any(c.startswith("CNI-") for c in nat)


@pytest.mark.parametrize(("key", "value"), [("name", "x"), ("ipam", {}), ("type", 3)])
def test_the_delegate_may_not_say_everything(key: str, value: object) -> None:
    net, _, hosts = flannel_cluster()
    net.add_namespace("worker-1", "pod:a/b")
    conf = {"name": "cbr0", "cniVersion": "0.3.1", "plugins": [{"type": "flannel", "delegate": {key: value}}]}
    with pytest.raises(CniError, match="'delegate' dictionary"):
        Runtime(hosts["worker-1"]).add(NetworkList.parse(conf), "c1", "pod:a/b")


def test_plain_bridge_is_layer_2_between_its_pods() -> None:
    host, runtime = one_node()
    runtime.add(bridge_list(), "c1", "pod:shop/a")
    pod = host.network.namespaces["pod:shop/a"]
    assert [str(r) for r in pod.routes] == ["10.1.0.0/24 dev eth0 proto kernel scope link src 10.1.0.2"]
    assert host.node.link("cni0").addresses == () and not host.node.forwards(4) and host.node.link("cni0").mtu == 1500
    assert not host.node.link(veth_name("c1", "eth0")).port.hairpin


def test_is_gateway_without_default_route() -> None:
    host, runtime = one_node()
    result = runtime.add(bridge_list(isGateway=True), "c1", "pod:shop/a")
    assert host.node.forwards(4) and str(host.node.link("cni0").addresses[0]) == "10.1.0.1/24"
    assert result.routes == () and not any(r.default for r in host.network.namespaces["pod:shop/a"].routes)


def test_both_families() -> None:
    host, runtime = one_node()
    plugin = {
        "type": "bridge",
        "isDefaultGateway": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]},
    }
    result = runtime.add(NetworkList.parse({"name": "n", "cniVersion": "1.0.0", "plugins": [plugin]}), "c1", "pod:shop/a")
    assert [r.to_dict() for r in result.routes] == [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}, {"dst": "::/0", "gw": "fd00::1"}]
    assert host.node.forwards(4) and host.node.forwards(6)
    assert [str(a) for a in host.node.link("cni0").addresses] == ["10.1.0.1/24", "fd00::1/64"]


def test_an_interface_that_exists_is_refused() -> None:
    _, runtime = one_node()
    runtime.add(bridge_list(), "c1", "pod:shop/a")
    with pytest.raises(CniError, match=r"container veth name provided \(eth0\) already exists"):
        runtime.add(bridge_list(), "c2", "pod:shop/a")


def test_hairpin_and_promiscuous_mode_exclude_each_other() -> None:
    host, runtime = one_node()
    with pytest.raises(CniError, match="cannot set hairpin mode and promiscuous mode at the same time"):
        runtime.add(bridge_list(hairpinMode=True, promiscMode=True), "c1", "pod:shop/a")
    assert "cni0" not in host.node.links
    runtime.add(bridge_list(promiscMode=True), "c1", "pod:shop/a")
    assert host.node.link("cni0").promisc


def test_a_failure_after_ipam_releases_the_address_and_leaves_the_pair() -> None:
    host, runtime = one_node()
    runtime.add(bridge_list(isGateway=True), "c1", "pod:shop/a")
    other = NetworkList.parse(
        {
            "name": "y",
            "cniVersion": "1.0.0",
            "plugins": [{"type": "bridge", "isGateway": True, "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}}],
        }
    )
    with pytest.raises(CniError, match='"cni0" already has an IP address different from 10.9.0.1/24'):
        runtime.add(other, "c2", "pod:shop/b")
    assert host.disk["/var/lib/cni/networks/y/last_reserved_ip.0"] == "10.9.0.2"
    assert "/var/lib/cni/networks/y/10.9.0.2" not in host.disk
    assert "eth0" in host.network.namespaces["pod:shop/b"].links
    runtime.delete(other, "c2", "pod:shop/b")
    assert "eth0" not in host.network.namespaces["pod:shop/b"].links
    forced = NetworkList.parse({**other.to_dict(), "plugins": [{**other.plugins[0], "forceAddress": True}]})
    runtime.add(forced, "c2", "pod:shop/b")
    assert [str(a) for a in host.node.link("cni0").addresses] == ["10.9.0.1/24"]


def test_other_refusals() -> None:
    host, runtime = one_node()
    with pytest.raises(CniError, match='failed to create bridge "eth0": "eth0" already exists but is not a bridge'):
        runtime.add(bridge_list(bridge="eth0"), "c1", "pod:shop/a")
    with pytest.raises(CniError, match="invalid VLAN ID 5000"):
        runtime.add(bridge_list(vlan=5000), "c1", "pod:shop/a")
    with pytest.raises(CniError, match='failed to open netns "/var/run/netns/cni-pod-none": failed to Statfs'):
        runtime.add(bridge_list(), "c1", "pod:none")
    with pytest.raises(NotModelled):
        runtime.add(bridge_list(ipMasq=True, ipMasqBackend="nftables"), "c1", "pod:shop/a")
    assert host.disk == {}


def test_the_bridge_has_the_smallest_mtu_of_its_ports() -> None:
    host, runtime = one_node()
    runtime.add(bridge_list(mtu=1450), "c1", "pod:shop/a")
    assert host.node.link("cni0").mtu == 1450
    runtime.add(bridge_list(mtu=1400), "c2", "pod:shop/b")
    assert host.node.link("cni0").mtu == 1400
    runtime.delete(bridge_list(mtu=1400), "c2", "pod:shop/b")
    assert host.node.link("cni0").mtu == 1450


def test_a_mac_can_be_asked_for() -> None:
    host, runtime = one_node()
    runtime.add(bridge_list(), "c1", "pod:shop/a", args="IgnoreUnknown=1;MAC=02:AA:00:00:00:01")
    assert host.network.namespaces["pod:shop/a"].link("eth0").mac == "02:aa:00:00:00:01"
    assert int(host.node.link(veth_name("c1", "eth0")).mac[:2], 16) & 3 == 2  # locally administered, unicast


def test_the_mac_of_the_bridge() -> None:
    host, runtime = one_node()
    runtime.add(bridge_list(), "c1", "pod:shop/a")
    runtime.add(bridge_list(), "c2", "pod:shop/b")
    ports = {p.mac for p in host.node.ports("cni0")}
    assert host.node.link("cni0").mac == min(ports)  # no address: the lowest of its ports
    for c, p in (("c1", "a"), ("c2", "b")):
        runtime.delete(bridge_list(), c, f"pod:shop/{p}")
    assert host.node.link("cni0").mac == "00:00:00:00:00:00"
    host, runtime = one_node()
    result = runtime.add(bridge_list(isGateway=True), "c1", "pod:shop/a")
    mac = host.node.link("cni0").mac
    assert mac not in {p.mac for p in host.node.ports("cni0")} and result.interfaces[0].mac == mac
    runtime.add(bridge_list(isGateway=True), "c2", "pod:shop/b")
    runtime.delete(bridge_list(isGateway=True), "c1", "pod:shop/a")
    assert host.node.link("cni0").mac == mac  # with an address it is its own and stays


def test_ip_masq_of_the_bridge() -> None:
    host, runtime = one_node()
    conf = bridge_list(isDefaultGateway=True, ipMasq=True)
    runtime.add(conf, "c1", "pod:shop/a")
    text = restore_text(host.rules)
    assert '-s 10.1.0.2 -m comment --comment "name: \\"net\\" id: \\"c1\\"" -j CNI-' in text
    runtime.delete(conf, "c1", "pod:shop/a")
    assert run(host.rules)["nat"] == {"POSTROUTING": []}


def test_check_finds_what_changed() -> None:
    host, runtime = one_node()
    conf = bridge_list(isDefaultGateway=True)
    runtime.add(conf, "c1", "pod:shop/a")
    runtime.check(conf, "c1", "pod:shop/a")
    pod = host.network.namespaces["pod:shop/a"]
    pod.remove_route("default")
    with pytest.raises(CniError, match=r"Expected Route \{Dst:\{IP:0.0.0.0 Mask:00000000\} GW:10.1.0.1\} not found in routing table"):
        runtime.check(conf, "c1", "pod:shop/a")
    pod.add_route("default", via="10.1.0.1")
    runtime.check(conf, "c1", "pod:shop/a")
    pod.remove_address("eth0", "10.1.0.2/24")
    with pytest.raises(CniError, match="Failed to match addr 10.1.0.2/24 on interface eth0"):
        runtime.check(conf, "c1", "pod:shop/a")
    host.node.set_link(veth_name("c1", "eth0"), master="")
    with pytest.raises(CniError, match="CNI veth created for bridge cni0 was not found"):
        runtime.check(conf, "c1", "pod:shop/a")
    del host.disk["/var/lib/cni/networks/net/10.1.0.2"]
    with pytest.raises(CniError, match="host-local: Failed to find address added by container c1"):
        runtime.check(conf, "c1", "pod:shop/a")


def test_gc_reaches_the_ipam_delegate() -> None:
    host, runtime = one_node()
    conf = bridge_list("1.1.0")
    runtime.add(conf, "c1", "pod:shop/a")
    host.disk["/var/lib/cni/networks/net/10.1.0.77"] = "crashed\r\neth0"
    runtime.gc(conf, [("c1", "eth0")])
    assert sorted(p.rpartition("/")[2] for p in host.disk if "/networks/" in p) == ["10.1.0.2", "last_reserved_ip.0", "lock"]
    runtime.status(conf)


def test_del_after_the_namespace_is_gone() -> None:
    host, runtime = one_node()
    conf = bridge_list()
    runtime.add(conf, "c1", "pod:shop/a")
    host.network.remove_namespace("pod:shop/a")
    runtime.delete(conf, "c1", "pod:shop/a")
    assert not any("/networks/net/10." in p for p in host.disk)


def test_loopback() -> None:
    host, runtime = one_node()
    conf = NetworkList.parse({"name": "lo", "cniVersion": "1.0.0", "plugins": [{"type": "loopback"}]})
    pod = host.network.namespaces["pod:shop/a"]
    pod.set_link("lo", up=False)
    result = runtime.add(conf, "c1", "pod:shop/a", "lo")
    assert pod.link("lo").up and [c.address for c in result.ips] == ["127.0.0.1/8", "::1/128"]
    runtime.check(conf, "c1", "pod:shop/a", "lo")
    runtime.delete(conf, "c1", "pod:shop/a", "lo")
    assert not pod.link("lo").up


def test_host_port_through_the_whole_chain() -> None:
    net, _, hosts = flannel_cluster()
    host = hosts["worker-1"]
    net.add_namespace("worker-1", "pod:shop/web-0", origin="Pod shop/web-0")
    runtime, conf = Runtime(host), NetworkList.parse(conflist(Flannel()))
    mappings = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    runtime.add(conf, "c1", "pod:shop/web-0", capabilities={"portMappings": mappings})
    nat = run(host.rules)["nat"]
    # prepended, so that it comes before the masquerading of flannel
    assert [r.args[-1] for r in nat["POSTROUTING"]] == ["CNI-HOSTPORT-MASQ", "FLANNEL-POSTRTG"]
    assert net.namespaces["worker-1"].dev_sysctl("cni0", "route_localnet") == 1
    dnat = [r for r in host.rules if "--to-destination" in r.args]
    assert [r.args[-1] for r in dnat] == ["10.244.1.2:80"] and dnat[0].origin == "Pod shop/web-0"
    runtime.delete(conf, "c1", "pod:shop/web-0")
    nat = run(host.rules)["nat"]
    assert nat["CNI-HOSTPORT-DNAT"] == [] and not any(c.startswith("CNI-DN-") for c in nat)


def test_the_ruleset_is_told_that_it_is_out_of_date() -> None:
    host, runtime = one_node()
    calls: list[int] = []
    host.changed = lambda: calls.append(len(host.rules))
    runtime.add(bridge_list(isDefaultGateway=True, ipMasq=True), "c1", "pod:shop/a")
    assert calls == [4]
