"""CNI by hand on a node of a cluster: attached pods are walked, survive what happens to the cluster, and go with a resync."""

from __future__ import annotations

import re
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.errors import NotFound

IPAM = {"type": "host-local", "subnet": "172.20.0.0/24"}
BRIDGE: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "side",
    "plugins": [{"type": "bridge", "bridge": "side0", "isDefaultGateway": True, "ipMasq": True, "ipam": IPAM}],
}  # fmt: skip


@pytest.fixture
def cluster() -> kn.Cluster:
    return kn.example("bookshop")


def test_a_pod_on_the_nodes_own_network(cluster: kn.Cluster) -> None:
    node = cluster.node("worker-1")
    assert node.cni.conflists == ("/etc/cni/net.d/10-flannel.conflist",)
    done = node.cni.add("demo")
    assert [c.plugin for _, c in done.walk()] == ["flannel", "bridge", "host-local", "portmap"]
    assert done.result is not None
    ip = done.result.ips[0].ip
    other = next(p.ips[0] for p in cluster.objects("Pod") if p.spec.node_name == "worker-2" and not p.spec.host_network)  # type: ignore[attr-defined]
    assert "1 received" in node.cni.run("demo", f"ping -c 1 {other}")
    assert "1 received" in cluster.pod("shop/web").run(f"ping -c 1 {ip}")
    assert f"/var/lib/cni/networks/cbr0/{ip}" in node.files and ip not in {i for p in cluster.objects("Pod") for i in p.ips}  # type: ignore[attr-defined]


def test_it_survives_a_change_and_its_address_is_not_given_again(cluster: kn.Cluster) -> None:
    cni = cluster.node("worker-1").cni
    first = cni.add("demo")
    assert first.result is not None
    ip = first.result.ips[0].ip
    cluster.scale("shop/web", 9)
    given = [i for p in cluster.objects("Pod") if not p.spec.host_network for i in p.ips]  # type: ignore[attr-defined]
    assert ip not in given and len(given) == len(set(given)) and not cluster.findings
    assert f"inet {ip}/24" in cni.run("demo", "ip addr show eth0") and cni.check("demo", {**BRIDGE, "disableCheck": True})
    cluster.scale("shop/web", 1)
    assert f"inet {ip}/24" in cni.run("demo", "ip addr show eth0")


def test_resync_takes_it_away_with_all_it_left(cluster: kn.Cluster) -> None:
    node = cluster.node("worker-1")
    files, links = node.files, list(node.links().ifname)
    node.cni.add("demo")
    node.cni.add("other", BRIDGE)
    assert len(cluster.edits) == 2 and "cni ADD" not in str(cluster.edits[0])
    assert str(cluster.edits[1]) == "CNI on worker-1: ADD other eth0 on network side"
    cluster.resync()
    assert (
        node.files == files
        and list(node.links().ifname) == links
        and node.cni.attachments == cluster.copy().node("worker-1").cni.attachments
    )
    with pytest.raises(NotFound):
        node.cni.run("demo", "ip link")


def test_del_and_gc_by_hand(cluster: kn.Cluster) -> None:
    cni = cluster.node("worker-1").cni
    cni.add("demo", BRIDGE)
    assert cni.delete("demo") and cni.delete("demo")
    cni.add("lost", {**BRIDGE, "cniVersion": "1.1.0"})
    cni.remove_sandbox("lost")
    cluster.scale("shop/web", 3)  # builds the network anew, and does it all again
    assert "pod:lost" not in cluster.network().namespaces
    assert cni.gc({**BRIDGE, "cniVersion": "1.1.0"})
    assert not [p for p in cni.files if "/networks/side/172" in p]


def test_a_pod_of_the_cluster_gets_a_second_interface(cluster: kn.Cluster) -> None:
    pod = next(p for p in cluster.objects("Pod") if p.spec.node_name == "worker-1" and not p.spec.host_network)  # type: ignore[attr-defined]
    cni = cluster.node("worker-1").cni
    second = {**BRIDGE, "plugins": [{**BRIDGE["plugins"][0], "isDefaultGateway": False, "isGateway": True}]}
    assert cni.add(pod.key, second, ifname="net1")
    assert "172.20.0.2/24" in cluster.pod(pod.key).run("ip addr show net1")
    with pytest.raises(NotFound, match="pod with a network of its own on worker-1"):
        cni.add("shop/no-such-pod", second)


def test_a_copy_has_it_too_and_goes_its_own_way(cluster: kn.Cluster) -> None:
    cluster.node("worker-1").cni.add("demo", BRIDGE)
    other = cluster.copy()
    assert "172.20.0.2" in other.node("worker-1").cni.run("demo", "ip addr")
    other.node("worker-1").cni.add("more", BRIDGE)
    assert "172.20.0.3" not in str(cluster.node("worker-1").files) and "172.20.0.3" in str(other.node("worker-1").files)
    assert cluster.copy(proxy=kn.KubeProxy(masquerade_all=True)).node("worker-1").cni.run("demo", "ip addr")


def test_it_masquerades_beside_the_rules_of_the_node(cluster: kn.Cluster) -> None:
    node = cluster.node("worker-1")
    before = uncounted(node.iptables_save())
    node.cni.add("demo", BRIDGE)
    text = node.iptables_save()
    assert "-A POSTROUTING -s 172.20.0.2/32" in text and "KUBE-SERVICES" in text
    service = next(s.spec.cluster_ip for s in cluster.objects("Service") if s.key == "shop/cart")  # type: ignore[attr-defined]
    assert "succeeded" in node.cni.run("demo", f"nc -z -v {service} 8080")
    node.cni.delete("demo")
    assert uncounted(node.iptables_save()) == before


def uncounted(text: str) -> str:
    return re.sub(r"\[\d+:\d+\]", "", text)
