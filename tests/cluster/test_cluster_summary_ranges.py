"""The line "pods" of a summary names the addresses that the pods have."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.objects.views import Pod

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "c"}]}}


@pytest.mark.parametrize(
    "network", ["flannel", "bridge", "calico", kn.Calico([{"cidr": "10.50.0.0/16"}, {"cidr": "10.60.0.0/16", "disabled": True}])], ids=str
)
def test_the_networks_hold_every_pod(network: Any) -> None:
    cluster = kn.load(POD, cni=network, dns="none")
    said = str(cluster.summary().to_dict()["networks"]["pods"])
    ranges = [ip_network(r) for r in said.split(" by ")[0].split(", ")]
    assert all(any(ip_address(ip) in r for r in ranges) for pod in cluster.objects("Pod") if isinstance(pod, Pod) for ip in pod.ips)


def test_pods_on_the_node_network() -> None:
    cluster = kn.load(POD, cni="macvlan", dns="none")
    networks = cluster.summary().to_dict()["networks"]
    assert networks["pods"] == "the node network by macvlan"
    node_network = ip_network(networks["nodes"].split(",")[0])
    assert all(ip_address(ip) in node_network for pod in cluster.objects("Pod") if isinstance(pod, Pod) for ip in pod.ips)
