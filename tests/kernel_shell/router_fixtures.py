"""A client, a router and a server: as real namespaces, and in the lab."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from kubenet_lab.errors import CommandError
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.state import State

__all__ = ["Lab", "Real", "routers", "tidy"]

SERVER = """
import socket, select
t = socket.create_server(("0.0.0.0", 8080)); v = socket.create_server(("::", 8082), family=socket.AF_INET6, dualstack_ipv6=True)
one = socket.create_server(("10.2.0.2", 81))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("0.0.0.0", 53))
print("ready", flush=True)
open_ = []
while True:
    for s in select.select([t, v, one, u, *open_], [], [])[0]:
        if s is u:
            data, who = u.recvfrom(2000); u.sendto(data, who)
        elif s in open_:
            if not s.recv(2000):
                open_.remove(s); s.close()
        else:
            open_.append(s.accept()[0])
"""

SETUP = [
    ("r", "ip link set lo up"), ("a", "ip link set lo up"), ("b", "ip link set lo up"),
    ("r", "ip link set va up"), ("r", "ip link set vb up"), ("a", "ip link set eth0 up"), ("b", "ip link set eth0 up"),
    ("r", "ip addr add 10.1.0.1/24 dev va"), ("r", "ip addr add 10.2.0.1/24 dev vb"), ("a", "ip addr add 10.1.0.2/24 dev eth0"), ("b", "ip addr add 10.2.0.2/24 dev eth0"),
    ("r", "ip addr add fd01::1/64 dev va nodad"), ("r", "ip addr add fd02::1/64 dev vb nodad"),
    ("a", "ip addr add fd01::2/64 dev eth0 nodad"), ("b", "ip addr add fd02::2/64 dev eth0 nodad"),
    ("a", "ip route add default via 10.1.0.1"), ("b", "ip route add default via 10.2.0.1"),
    ("a", "ip -6 route add default via fd01::1"), ("b", "ip -6 route add default via fd02::1"),
    ("a", "ip route add blackhole 10.66.0.0/16"), ("a", "ip route add unreachable 10.67.0.0/16"), ("a", "ip route add prohibit 10.68.0.0/16"),
    ("r", "iptables -t nat -A POSTROUTING -s 1.2.3.4 -j MASQUERADE"),
]  # fmt: skip


class Real:
    def __init__(self) -> None:
        as_root = os.geteuid() == 0
        first = ["unshare", "-n"] if as_root else ["unshare", "-Urn"]
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.enter: dict[str, list[str]] = {}
        for name in "rab":
            command = first if name == "r" or as_root else [*self.enter["r"], "unshare", "-n"]
            p = subprocess.Popen([*command, "sh", "-c", "echo ready; exec sleep infinity"], stdout=subprocess.PIPE, text=True)
            assert p.stdout is not None and p.stdout.readline() == "ready\n"
            self.processes[name] = p
            user = [] if as_root else [f"--user=/proc/{self.processes['r'].pid}/ns/user", "--preserve-credentials"]
            self.enter[name] = ["nsenter", f"--net=/proc/{p.pid}/ns/net", *user]
            for line in ("sysctl -qw net.ipv4.icmp_ratelimit=0", "sysctl -qw net.ipv6.icmp.ratelimit=0",
                         "sysctl -qw net.ipv4.icmp_msgs_per_sec=100000", "sysctl -qw net.ipv4.icmp_msgs_burst=10000"):  # fmt: skip
                self.run(name, line)
        for line in ("sysctl -qw net.ipv4.ip_forward=1", "sysctl -qw net.ipv6.conf.all.forwarding=1"):
            self.run("r", line)
        for name in "ab":
            self.run("r", f"ip link add v{name} type veth peer name eth0 netns {self.processes[name].pid}")
        for name, line in SETUP:
            out, status = self.run(name, line)
            assert status == 0, (line, out)
        self.server = subprocess.Popen([*self.enter["b"], sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
        assert self.server.stdout is not None and self.server.stdout.readline() == "ready\n"

    def run(self, name: str, line: str) -> tuple[str, int]:
        env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "LC_ALL": "C", "XTABLES_LOCKFILE": "/tmp/kubenet-lab-xtables.lock"}
        done = subprocess.run([*self.enter[name], *shlex.split(line)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, check=False)
        return done.stdout, done.returncode

    def close(self) -> None:
        for p in (self.server, *self.processes.values()):
            p.kill()
            p.communicate()  # closes its pipe too


class Lab:
    def __init__(self) -> None:
        self.network = Network()
        r = self.network.add_host("r").root
        for name in "ab":
            r.wire_veth(f"v{name}", self.network.add_namespace("r", name), "eth0", up=False)
        r.set_sysctl("net.ipv4.ip_forward", 1)
        r.set_sysctl("net.ipv6.conf.all.forwarding", 1)
        self.state = State()
        for name, line in SETUP:
            self.run(name, line)
        b = self.network.namespaces["b"]
        b.listen(Listener("TCP", 8080, Echo(), "b", "0.0.0.0"))
        b.listen(Listener("TCP", 8082, Echo(), "b"))
        b.listen(Listener("TCP", 81, Echo(), "b", "10.2.0.2"))
        b.listen(Listener("UDP", 53, Echo(), "b", "0.0.0.0"))
        b.listeners[:] = [k if k.address != "0.0.0.0" else Listener(k.protocol, k.port, k.process, k.owner, "10.2.0.2") for k in b.listeners]

    def run(self, name: str, line: str) -> tuple[str, int]:
        shell = Shell(self.network, self.state, name)
        try:
            return shell.run(line), shell.status
        except CommandError as e:
            return f"{e}\n", shell.status


@pytest.fixture(scope="module")
def routers(require_tool: Callable[[str], str], require_that: Callable[..., None]) -> Iterator[tuple[Real, Lab]]:
    for tool in ("ip", "ping", "traceroute", "nc", "ss", "conntrack", "iptables", "unshare"):
        require_tool(tool)
    flag = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    require_that(subprocess.run([*flag, "true"], check=False, capture_output=True).returncode == 0, "network namespaces", "netns")
    real = Real()
    try:
        yield real, Lab()
    finally:
        real.close()


def tidy(text: str) -> list[str]:
    """Without what a clock or a draw decided."""
    text = re.sub(r"time=[0-9.]+ ms", "time=T ms", text)
    text = re.sub(r"time \d+ms", "time Tms", text)
    text = re.sub(r"mdev = [0-9./]+ ms", "mdev = T ms", text)
    text = re.sub(r"  [0-9.]+ ms", "  T ms", text)
    text = re.sub(r"\bid=\d+", "id=N", text)
    text = re.sub(r"use=\d+$", "use=N", text, flags=re.M)
    text = re.sub(r"\b([sd]port)=(3[2-9]|[45]\d|60)\d\d\d\b", r"\1=N", text)
    text = re.sub(r"^((?:tcp|udp|icmp|icmpv6) +\d+) \d+ ", r"\1 T ", text, flags=re.M)
    return [line for line in text.splitlines() if line.strip()]
