"""The same commands in a real network namespace and in the lab, and a small lab of two nodes."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator

import pytest

from kubenet_lab.errors import CommandError, NotModelled
from kubenet_lab.kernel.links import BridgePort, VxlanOptions
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.state import State


class Real:
    """A network namespace of this machine. Its links have no IPv6 addresses but those that are given, as in the lab."""

    def __init__(self) -> None:
        as_root = os.geteuid() == 0
        command = ["unshare", "-n"] if as_root else ["unshare", "-Urn"]
        self.process = subprocess.Popen([*command, "sh", "-c", "echo ready; exec sleep 600"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"
        pid = self.process.pid
        self.enter = ["nsenter", f"--net=/proc/{pid}/ns/net"] + ([] if as_root else [f"--user=/proc/{pid}/ns/user", "--preserve-credentials"])
        for line in ("sysctl -qw net.ipv6.conf.default.addr_gen_mode=1",
                     "sysctl -qw net.ipv6.conf.default.accept_dad=0", "sysctl -qw net.ipv4.icmp_ratelimit=0", "ip link set lo up"):  # fmt: skip
            self.run(line)

    def run(self, line: str, stdin: str = "") -> tuple[str, int]:
        """(what it printed, exit status)"""
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        env = {**os.environ, "PATH": path, "LC_ALL": "C", "TZ": "UTC", "XTABLES_LOCKFILE": "/tmp/kubenet-lab-xtables.lock"}
        done = subprocess.run([*self.enter, *shlex.split(line)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, input=stdin, check=False)
        return done.stdout, done.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()  # closes its pipe too


class Lab:
    """One machine of the lab with nothing but lo."""

    def __init__(self) -> None:
        self.network = Network()
        self.ns = self.network.add_host("node").root
        self.state = State()

    def run(self, line: str, stdin: str = "") -> tuple[str, int]:
        shell = Shell(self.network, self.state, "node")
        try:
            return shell.run(line, stdin=stdin), shell.status
        except CommandError as e:
            return f"{e}\n", shell.status


def tidy(text: str, ordered: bool) -> list[str]:
    # a device that once had carrier keeps its IPv6 multicast route: the lab knows no such past
    lines = [line for line in text.splitlines() if line.strip() and not (line.startswith("multicast") and " linkdown" in line)]
    lines = [line.replace(" tentative", "") for line in lines]  # duplicate address detection takes its time
    return lines if ordered else sorted(lines)


class Pair:
    """Both, side by side."""

    def __init__(self) -> None:
        self.real, self.lab = Real(), Lab()
        self.history: list[str] = []
        self.carrier = True

    def close(self) -> None:
        self.real.close()

    def do(self, *lines: str) -> None:
        """Commands that change something, the same in both."""
        for line in lines:
            self.same(line)

    def same(self, line: str, *, ordered: bool = True, usage: bool = False, stdin: str = "") -> str:
        """The command prints the same and exits with the same status. `usage`: only the first line of a complaint counts."""
        self.history.append(line)
        try:
            ours, mine = self.lab.run(line, stdin)
        except NotModelled as e:
            self.history[-1] += f" ({e})"
            return str(e)
        theirs, status = self.real.run(line, stdin)
        a, b = tidy(ours, ordered), tidy(theirs, ordered)
        if not self.carrier:  # a bridge tells of its ports' carrier up to a second later
            a, b = ([k.replace("linkdown ", "") for k in x if not k.startswith("br0")] for x in (a, b))
            # a table that was ever used stays, and the lab knows no such past
            a, b = ([k.replace("Error: FIB table does not exist.", "RTNETLINK answers: No such process") for k in x] for x in (a, b))
            if "FIB table does not exist" in ours:
                a, mine = b, status
        if usage:
            a, b = a[:1], b[:1]
        assert a == b, "\n".join(["", *(f"- {k}" for k in a if k not in b), *(f"+ {k}" for k in b if k not in a)]) + "\nafter: " + "; ".join(h for h in self.history if " show" not in h and len(h.split()) > 2) + "; " + line
        assert mine == status, f"exit status of {line}: {mine}, really {status}"
        return ours


@pytest.fixture
def make_pair(require_tool: Callable[[str], str], require_that: Callable[..., None]) -> Callable[[], Pair]:
    for name in ("ip", "bridge", "sysctl", "unshare", "nsenter"):
        require_tool(name)
    flag = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    require_that(subprocess.run([*flag, "true"], check=False, capture_output=True).returncode == 0, "network namespaces", "netns")
    return Pair


@pytest.fixture
def pair(make_pair: Callable[[], Pair]) -> Iterator[Pair]:
    p = make_pair()
    try:
        yield p
    finally:
        p.close()


def build(pod_mtu: int = 1450) -> Network:
    """Two nodes with a bridge, flannel's VXLAN and two pods each; pods answer on TCP 8080 and UDP 53."""
    net = Network()
    net.add_segment("lan", cidr="192.168.50.0/24")
    net.add_gateway("lan", "192.168.50.1/24")
    for i in (0, 1):
        ns = net.add_host(f"n{i}").root
        net.plug(f"n{i}", "lan", address=f"192.168.50.{11 + i}/24")
        ns.add_route("default", via="192.168.50.1")
        ns.set_sysctl("net.ipv4.ip_forward", 1)
        ns.add_link("flannel.1", "vxlan", mtu=1450, vxlan=VxlanOptions(1, f"192.168.50.{11 + i}", "eth0"))
        ns.add_address("flannel.1", f"10.244.{i}.0/32")
        ns.add_link("cni0", "bridge", mtu=1450)
        ns.add_address("cni0", f"10.244.{i}.1/24")
        for j in (2, 3):
            pod = net.add_namespace(f"n{i}", f"pod:p{i}{j}")
            pod.label = f"p{i}{j}"
            ns.wire_veth(f"veth{j}", pod, "eth0", mtu=pod_mtu)
            ns.set_link(f"veth{j}", master="cni0", port=BridgePort(hairpin=True))
            pod.add_address("eth0", f"10.244.{i}.{j}/24")
            pod.add_route("default", via=f"10.244.{i}.1")
            pod.listen(Listener("TCP", 8080, Echo(), pod.label))
            pod.listen(Listener("UDP", 53, Echo(), pod.label))
    for i in (0, 1):
        ns, other = net.namespaces[f"n{i}"], net.namespaces[f"n{1 - i}"]
        mac = other.links["flannel.1"].mac
        ns.add_route(f"10.244.{1 - i}.0/24", via=f"10.244.{1 - i}.0", dev="flannel.1", onlink=True)
        ns.add_neighbour(f"10.244.{1 - i}.0", mac, "flannel.1")
        ns.add_fdb(mac, "flannel.1", dst=f"192.168.50.{12 - i}")
    return net


@pytest.fixture
def two_nodes() -> Network:
    return build()


@pytest.fixture
def shell_on(two_nodes: Network) -> Callable[..., Shell]:
    """`shell_on("n0")`: shells over one state."""
    state = State()
    return lambda name, **more: Shell(two_nodes, state, name, **more)
