"""The chains that a kubelet makes, in every mode of kube-proxy and for both families.

Source: kubernetes/kubernetes 1.34, pkg/kubelet/kubelet_network_linux.go; the order of INPUT as on a node that kubeadm made: the kubelet
starts first, and every jump of kube-proxy is inserted before those that stand.
"""

from __future__ import annotations

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import SMALL

GUARD = (
    '-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" '
    "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
)


@pytest.mark.parametrize("proxy", ["iptables", "nftables"])
def test_chains_of_the_kubelet(proxy: str) -> None:
    node = kn.load(SMALL, proxy=proxy).node("worker-1")
    for family in (4, 6):
        lines = str(node.iptables_save(family=family)).splitlines()
        assert lines.count(":KUBE-IPTABLES-HINT - [0:0]") == 1
        assert lines.count(":KUBE-KUBELET-CANARY - [0:0]") == 3
        assert lines.count(GUARD) == (family == 4)
        jumps = family == 4 or proxy == "iptables"  # for IPv6 the kubelet makes none, kube-proxy does (iptablesKubeletJumpChains)
        assert lines.count("-A INPUT -j KUBE-FIREWALL") == lines.count("-A OUTPUT -j KUBE-FIREWALL") == jumps
    written = str(node.iptables_written())
    assert written.startswith("# kubelet\n*mangle\n") and ("# kube-proxy: jumps" in written) == (proxy == "iptables")


def test_the_kubelet_comes_first() -> None:
    node = kn.load(SMALL).node("worker-1")
    jumps = [line.split()[-1] for line in str(node.run("iptables -S INPUT")).splitlines() if line.startswith("-A")]
    assert jumps == ["KUBE-PROXY-FIREWALL", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-FIREWALL"]
    assert "-I INPUT -j KUBE-FIREWALL" not in str(node.iptables_written()).partition("# kube-proxy")[2]


@pytest.mark.parametrize("proxy", ["iptables", "nftables"])
def test_strangers_do_not_reach_the_loopback_address(proxy: str) -> None:
    """Measured on Linux 6.18: with that rule in OUTPUT, `ping -I <the node's address> 127.0.0.1` hears nothing; without it, an answer."""
    node = kn.load(SMALL, proxy=proxy).node("worker-1")
    address = str(node.run("hostname -I")).split()[0]
    ping = f"ping -c 1 -W 1 -I {address} 127.0.0.1"
    assert "100% packet loss" in str(node.run(ping))
    assert " 0% packet loss" in str(node.run("ping -c 1 -W 1 127.0.0.1"))
    node.run("iptables -D OUTPUT -j KUBE-FIREWALL")
    node.run("iptables -D INPUT -j KUBE-FIREWALL")
    assert " 0% packet loss" in str(node.run(ping))
