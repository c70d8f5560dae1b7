"""A shell on nodes and pods: files that agents keep, programs that fetch and resolve, and what stays of a command."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kubenet_lab as kn
from kubenet_lab import KubenetError, NotModelled

LEASES = "/var/lib/cni/networks/cbr0"


@pytest.fixture
def bookshop() -> Any:
    return kn.example("bookshop")


def test_what_agents_keep_on_a_node(bookshop: Any) -> None:
    node = bookshop.node("worker-1")
    assert "FLANNEL_SUBNET=10.244.0.1/24\n" in node.run("cat /run/flannel/subnet.env")
    conflist = json.loads(node.run("cat /etc/cni/net.d/*.conflist"))
    assert conflist["name"] == "cbr0" and [p["type"] for p in conflist["plugins"]] == ["flannel", "portmap"]
    here = [p for p in bookshop.objects("Pod") if p.spec.node_name == "worker-1" and not p.spec.host_network]
    names = node.run(f"ls {LEASES}").split()
    assert names == sorted([*(p.ips[0] for p in here), "last_reserved_ip.0", "lock"])
    assert node.run("hostname") == "worker-1\n" and node.run("cat /etc/resolv.conf") == bookshop.node_resolv_conf


def test_a_leaked_lease_is_skipped_until_it_is_removed(bookshop: Any) -> None:
    """host-local never gives an address whose file is there; who removes the file gives it back."""
    node = bookshop.node("worker-1")
    last = int(str(node.run(f"cat {LEASES}/last_reserved_ip.0")).rpartition(".")[2])
    leak = f"10.244.0.{last + 1}"
    node.run(f"echo gone > {LEASES}/{leak}")
    assert node.run(f"ls {LEASES} | grep -c {leak}") == "1\n"
    bookshop.scale("shop/web", 12)
    given = {ip for p in bookshop.objects("Pod") for ip in p.ips}
    assert leak not in given and f"10.244.0.{last + 2}" in given
    node.run(f"rm {LEASES}/{leak}")
    assert leak not in node.run(f"ls {LEASES}").split()


def test_exhaustion_by_leaks_and_its_repair(bookshop: Any) -> None:
    node = bookshop.node("worker-1")
    taken = set(node.run(f"ls {LEASES}").split())
    node.run("; ".join(f"echo leaked > {LEASES}/10.244.0.{i}" for i in range(2, 255) if f"10.244.0.{i}" not in taken))
    bookshop.scale("shop/web", 8)
    waiting = [p for p in bookshop.objects("Pod") if p.spec.node_name == "worker-1" and not p.ips]
    assert waiting and any("no IP addresses available in range set: 10.244.0.1-10.244.0.254" in str(f) for f in bookshop.findings)
    for i in range(2, 255):
        if node.run(f"cat {LEASES}/10.244.0.{i}") == "leaked\n":
            node.run(f"rm {LEASES}/10.244.0.{i}")
    bookshop.scale("shop/web", 9)
    assert not [p for p in bookshop.objects("Pod") if not p.ips and not p.terminated]


def test_files_belong_to_one_cluster(bookshop: Any) -> None:
    other = bookshop.copy()
    bookshop.node("worker-1").run(f"rm {LEASES}/10.244.0.2")
    assert "10.244.0.2" in other.node("worker-1").run(f"ls {LEASES}").split()
    assert not bookshop.edits, "a file is no programmed state"


def test_a_line_that_changes_files_and_routes_is_replayed_without_the_files(bookshop: Any) -> None:
    node = bookshop.node("worker-1")
    node.run(f"rm {LEASES}/10.244.0.2 && ip route del 10.244.1.0/24")
    assert [str(e) for e in bookshop.edits] == ["worker-1# ip route del 10.244.1.0/24"]
    bookshop.scale("shop/api", 2)  # builds anew
    assert "10.244.1.0/24" not in node.run("ip route") and not [f for f in bookshop.findings if "edit" in str(f)]


def test_what_a_pod_finds(bookshop: Any) -> None:
    pod = bookshop.pod("shop/web")
    assert pod.run("cat /etc/resolv.conf") == pod.resolv_conf()
    assert pod.run("hostname") == f"{pod.object.name}\n" and pod.run("cat /etc/hostname") == f"{pod.object.name}\n"
    assert f"{pod.ip}\t{pod.object.name}\n" in pod.run("cat /etc/hosts") and pod.run("hostname -i") == f"{pod.ip}\n"
    assert pod.run("hostname -I") == f"{pod.ip} \n"
    with pytest.raises(NotModelled):
        pod.run("ls /etc")


def test_curl_is_the_clusters_request(bookshop: Any) -> None:
    pod = bookshop.pod("shop/web")
    page = bookshop.copy().request("shop/web", "http://cart:8080/x").answer.body.decode()
    assert pod.run("curl -sS http://cart:8080/x") == page
    assert "GET /x HTTP/1.1" in pod.run("tcpdump -n"), "what it sent is what tcpdump shows"
    assert bookshop.node("worker-1").run("conntrack -L -p tcp --dport 8080 | wc -l") != "0\n"


def test_programs_meet_what_is_broken(bookshop: Any) -> None:
    """Nothing is scripted: without the route to the other node names and pages are gone."""
    pod = bookshop.pod("shop/web")
    pod.node.run("iptables -I FORWARD -p udp --dport 53 -j DROP")
    assert pod.run("getent hosts cart").status == 2
    assert pod.run("nslookup cart") == ";; communications error to 10.96.0.10#53: timed out\n" * 3 + ";; no servers could be reached\n\n"
    before = bookshop.now
    said = pod.run("dig +time=2 +tries=2 cart")
    assert said.status == 9 and said.count("timed out") == 2 and bookshop.now - before == pytest.approx(4, abs=0.1)
    done = pod.run("curl -sS http://cart:8080")
    assert (str(done), done.status) == ("curl: (6) Could not resolve host: cart\n", 6)
    pod.node.run("iptables -D FORWARD -p udp --dport 53 -j DROP")
    assert pod.run("curl -s http://cart:8080").status == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nsenter -t 1 -n ip addr", "cluster.pod(name).run(command)"),
        ("kubectl get pods", "cluster.get(kind, name)"),
        ("ifconfig", "ip addr"),
        ("nmap 10.0.0.1", "kubenet-lab knows bridge, cat, conntrack, curl"),
        ("for i in 1 2", "not `for`"),
    ],
)
def test_what_else_one_types(bookshop: Any, line: str, said: str) -> None:
    with pytest.raises(KubenetError) as e:
        bookshop.node("worker-1").run(line)
    assert said in str(e.value)


LEFT_OUT = [
    "ip netns", "ethtool -S eth0", "curl -v http://cart:8080", "wget http://cart:8080", "dig +trace cart", "nslookup", "host -t A cart",
    "getent passwd root", "ls -l /etc/cni/net.d", "hostname other", "tc qdisc", "curl -o page http://cart:8080",
]  # fmt: skip


@pytest.mark.parametrize("line", LEFT_OUT)
def test_what_the_lab_leaves_out_is_said(bookshop: Any, line: str) -> None:
    with pytest.raises(NotModelled):
        bookshop.pod("shop/web").run(line)
    assert not bookshop.edits


WORDS = st.sampled_from(
    [
        *("curl", "wget", "-qO-", "-sS", "-m", "1", "http://cart:8080", "cart", "dig", "+short", "+search", "@10.96.0.10", "-x"),
        *("nslookup", "host", "getent", "hosts", "ahosts", "hostname", "-I", "cat", "ls", "rm", "-r", "/etc/hosts", f"{LEASES}/*"),
        *("/sys/class/net/*/mtu", "/", "|", "&&", ">", ">>", "<", "2>&1", "2>", "/dev/null", "*", "[", "'", "''", "\\", "::1"),
        *("10.96.0.10", "-w", "%{http_code}", "localhost", "é", "\x00"),
    ]
)


@settings(max_examples=150)
@given(st.lists(WORDS | st.text(max_size=6), max_size=7))
def test_only_kubenet_errors_come_out(words: list[str]) -> None:
    for machine in (FUZZED.pod("shop/web"), FUZZED.node("worker-1")):
        try:
            machine.run(" ".join(words))
        except KubenetError as e:
            assert str(e)


FUZZED = kn.example("bookshop")
