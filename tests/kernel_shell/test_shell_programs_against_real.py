"""curl, wget, dig, nslookup, host and getent in a pod: the real ones ask the lab's DNS server and its pages on real sockets, in namespaces of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.errors import CommandError

pytestmark = [pytest.mark.real, pytest.mark.kernel, pytest.mark.slow]

EXTRA = """
apiVersion: v1
kind: Service
metadata: {name: many, namespace: shop}
spec:
  clusterIP: None
  selector: {app: web}
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: shop}
spec: {type: ExternalName, externalName: www.example.com}
"""

SERVER = """
import socket, sys, threading
sys.path.insert(0, sys.argv[1])
import kubenet_lab as kn
from kubenet_lab.dns.wire import parse, to_wire
from kubenet_lab.ingress import HttpResponse
cluster = kn.example("bookshop").apply(open(sys.argv[2]).read())
server, memory = cluster.dns_server(), {}
cart = cluster.pod("shop/cart")

def names():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("10.96.0.10", 53))
    while True:
        data, who = s.recvfrom(4096)
        s.sendto(to_wire(server.answer(parse(data), client_ip="10.244.0.6", memory=memory, upstream=cluster.zones())[0]), who)

def pages(address):
    s = socket.create_server((address, 8080))
    while True:
        c, _ = s.accept()
        head = c.recv(9999).decode().split("\\r\\n")
        method, path, _ = head[0].split(" ")
        host = next(k.split(": ")[1] for k in head if k.lower().startswith("host: "))
        body = f"pod: {cart.name}\\nport: 8080\\nclient: 10.244.0.6\\nmethod: {method}\\nhost: {host}\\npath: {path}\\n".encode()
        whole = bytes(HttpResponse(200, (("Content-Type", "text/plain; charset=utf-8"),), body))
        c.sendall(bytes(HttpResponse(200, (("Content-Type", "text/plain; charset=utf-8"),))) if method == "HEAD" else whole); c.close()

threading.Thread(target=names, daemon=True).start()
for a in (cart.ip, cluster.get("svc", "shop/cart").spec.cluster_ip):
    threading.Thread(target=pages, args=(a,), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


class Real:
    """A namespace with the pod's address, name server and files; the server's addresses are its own."""

    def __init__(self, cluster: Any, folder: Path, root: Path):
        pod, cart = cluster.pod("shop/web"), cluster.pod("shop/cart")
        for name, text in (("resolv.conf", pod.resolv_conf()), ("hosts", pod.run("cat /etc/hosts")), ("extra.yaml", EXTRA), ("server.py", SERVER)):
            (folder / name).write_text(text)
        setup = [
            "ip link set lo up", f"ip addr add {pod.ip}/32 dev lo", "ip addr add 10.96.0.10/32 dev lo", f"ip addr add {cart.ip}/32 dev lo",
            f"ip addr add {cluster.get('svc', 'shop/cart').spec.cluster_ip}/32 dev lo", "ip route add default dev lo", "iptables -A OUTPUT -d 10.8.0.1 -j DROP",
            "ip route add unreachable 10.5.0.0/24", "ip route add prohibit 10.6.0.0/24", "ip route add blackhole 10.7.0.0/24", "sysctl -qw net.ipv4.tcp_syn_retries=1",
            f"mount --bind {folder}/resolv.conf /etc/resolv.conf", f"mount --bind {folder}/hosts /etc/hosts",
        ]  # fmt: skip
        start = f"{' && '.join(setup)} && exec {sys.executable} {folder}/server.py {root} {folder}/extra.yaml"
        env = {**os.environ, "LC_ALL": "C", "TZ": "UTC", "XTABLES_LOCKFILE": "/tmp/kubenet-lab-xtables.lock", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
        self.process = subprocess.Popen(["unshare", "-nm", "sh", "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"
        self.enter = ["nsenter", "-t", str(self.process.pid), "-n", "-m", "sh", "-c"]
        self.env = env

    def run(self, line: str) -> tuple[str, str, int]:
        done = subprocess.run([*self.enter, line], capture_output=True, text=True, env=self.env, check=False, stdin=subprocess.DEVNULL)
        return done.stdout, done.stderr, done.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def both(require_tool: Callable[[str], str], require_that: Callable[..., None], tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[tuple[Real, Any]]:
    for tool in ("curl", "wget", "dig", "nslookup", "host", "getent", "unshare", "nsenter", "ip", "iptables"):
        require_tool(tool)
    require_that(os.geteuid() == 0, "root, for mounts of its own", "netns")
    cluster = kn.example("bookshop").apply(EXTRA)
    pod = cluster.pod("shop/web")
    for line in ("ip route add unreachable 10.5.0.0/24", "ip route add prohibit 10.6.0.0/24", "ip route add blackhole 10.7.0.0/24", "iptables -A OUTPUT -d 10.8.0.1 -j DROP", "sysctl -w net.ipv4.tcp_syn_retries=1"):
        pod.run(line)
    real = Real(cluster, tmp_path_factory.mktemp("programs"), root)
    try:
        yield real, cluster
    finally:
        real.close()


NAMES = """
nslookup cart
nslookup cart.shop
nslookup cart.shop.svc.cluster.local
nslookup cart.shop.svc.cluster.local.
nslookup nope
nslookup nope.nope.svc.cluster.local
nslookup nope.
nslookup CART-IP
nslookup 10.1.2.3
nslookup cart 10.96.0.10
nslookup -type=A cart
nslookup -type=AAAA cart
nslookup -type=SRV _http._tcp.many
nslookup -query=txt dns-version.cluster.local
nslookup many
nslookup elsewhere
nslookup www.example.com
nslookup -timeout=1 cart 10.244.0.6
dig cart
dig cart.shop.svc.cluster.local
dig cart.shop.svc.cluster.local AAAA
dig AAAA cart.shop.svc.cluster.local
dig @10.96.0.10 SRV _http._tcp.many.shop.svc.cluster.local
dig -t A cart.shop.svc.cluster.local +short
dig +short cart.shop.svc.cluster.local
dig +search +short cart
dig +search cart A
dig +search nope
dig +short nope.
dig -x CART-IP
dig -x CART-IP +short
dig +noall +answer cart.shop.svc.cluster.local
dig +noall +answer +stats cart.shop.svc.cluster.local
dig +nocmd +nostats cart.shop.svc.cluster.local
dig +nocomments cart.shop.svc.cluster.local
dig +noquestion cart.shop.svc.cluster.local
dig +norecurse cart.shop.svc.cluster.local
dig +noedns cart.shop.svc.cluster.local
dig +nocookie cart.shop.svc.cluster.local
dig elsewhere.shop.svc.cluster.local
dig www.example.com
dig many.shop.svc.cluster.local +short
dig
dig +frob x
dig -x foo
dig @nosuch.host x +tries=1 +time=1
dig +tries=1 +time=1 @10.244.0.6 cart
dig +short +tries=2 +time=1 @10.244.0.6 cart
dig @10.5.0.1 cart
getent hosts cart
getent hosts cart.shop.svc
getent hosts localhost
getent hosts WEB
getent hosts nope
getent hosts cart nope
getent hosts CART-IP
getent hosts 10.1.2.3
getent hosts many
getent hosts www.example.com
getent hosts
getent ahosts cart
getent ahostsv4 cart
getent ahostsv6 cart
getent ahosts localhost
getent ahosts nope
getent ahosts 10.1.2.3
getent ahosts elsewhere
getent foo bar
host cart
host CART-IP
host nope
host cart.shop.svc.cluster.local 10.96.0.10
host elsewhere
host www.example.com
""".splitlines()

PAGES = """
curl -sS http://cart:8080
curl -sS cart:8080/a?b=c
curl http://cart:8080 2> /dev/null
curl -sS http://CART:8080/x
curl -sS http://cart.shop.svc.cluster.local:8080/x/y
curl -sS -i http://cart:8080
curl -sS -I http://cart:8080
curl -sS -X PUT http://cart:8080
curl -sS -H 'Host: shop.example' http://cart:8080
curl -s -o /dev/null -w '%{http_code}\\n' http://cart:8080
curl -s -o /dev/null -w '%{http_code} %{remote_ip} %{remote_port} %{size_download}\\n' http://cart:8080
curl -sS -w '%{foo}|%{http_code}%%\\t.\\n' http://cart:8080
curl -sS http://cart:8080 http://CART:8080
curl -sS -f http://cart:8080
curl -sS -L http://cart:8080
curl -sS -d a=1 http://cart:8080
curl -sSm 5 http://cart:8080
curl -sS http://CART:81/
curl -s http://CART:81/
curl -sS -w '%{http_code}\\n' http://CART:81/
curl -sS http://10.5.0.1/
curl -sS http://10.6.0.1/
curl -sS http://10.7.0.1/
curl -sS -m 1 http://10.8.0.1/
curl -sS --max-time 1.5 http://10.8.0.1/
curl -sS --connect-timeout 1 http://10.8.0.1/
curl -sS http://10.8.0.1/
curl -sS http://nope
curl -sS foo://cart
curl -sS http://
curl -sS http://CART:99999/
curl -sS 'http://a b'
curl
curl --frob http://cart:8080
curl -m
curl -m x http://cart:8080
curl -sS http://CART:81 http://cart:8080
wget -qO- http://cart:8080
wget -q -O - http://CART:8080/x
wget -q --spider http://cart:8080
wget -qO /dev/null http://cart:8080
wget -qO- http://CART:81
wget -qO- -T 1 -t 1 http://10.8.0.1
wget -qO- http://nope
wget -qO- --header 'Host: shop.example' http://cart:8080
wget -qO-
""".splitlines()


def tidy(text: str) -> str:
    """Without what a clock or a draw decided, and the real program's patch level. The server of one namespace sees another client."""
    text = re.sub(r"after \d+ (ms|milliseconds)", r"after T \1", text)
    text = re.sub(r"DiG 9\.18[^ ]*", "DiG 9.18", text)
    text = re.sub(r"\bid: \d+", "id: N", text)
    text = re.sub(r"Query time: \d+", "Query time: N", text)
    text = re.sub(r";; WHEN: .*", ";; WHEN: T", text)
    text = re.sub(r"COOKIE: [0-9a-f]{16}", "COOKIE: C", text)
    return re.sub(r"^Usage: .*(\n.+)*|^Try .*\n", "", text, flags=re.M)


@pytest.mark.parametrize("lines", [NAMES, PAGES], ids=["names", "pages"])
def test_as_the_real_ones(both: tuple[Real, Any], lines: list[str]) -> None:
    real, cluster = both
    pod, cart = cluster.pod("shop/web"), cluster.get("svc", "shop/cart").spec.cluster_ip
    wrong = []
    for line in filter(None, lines):
        typed = line.replace("CART-IP", cart).replace("CART", cluster.pod("shop/cart").ip).replace("WEB", pod.object.name)
        out, err, status = real.run(typed)
        try:
            done = pod.run(typed)
            ours, mine = str(done), done.status
        except CommandError as e:
            ours, mine = f"{e}\n", getattr(e, "status", 1)
        # two streams, which the lab shows one after the other
        if (sorted(tidy(ours).splitlines()), mine) != (sorted([*tidy(out).splitlines(), *tidy(err).splitlines()]), status) or not (
            tidy(out) in tidy(ours) or err
        ):
            wrong.append(f"$ {typed}\nlab ({mine}):\n{ours}\nreal ({status}):\n{out}{err}")
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong)
