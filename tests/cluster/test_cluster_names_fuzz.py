"""Texts that are no host names, wherever the lab takes one: a clear KubenetError, what the real tool says, or what the real server does.

What dig, host and nslookup say is compared with BIND's.
Sources: RFC 1035 2.3.4 (63 and 255 bytes), RFC 4343 2.1 (escapes).
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kubenet_lab as kn
from kubenet_lab.dns.message import Query, Question
from kubenet_lab.dns.server import Server
from kubenet_lab.dns.wire import to_wire
from kubenet_lab.dns.zones import Zones
from kubenet_lab.errors import KubenetError

LONG = ".".join(["a" * 63] * 4)  # 257 bytes on the wire
NAMES = {
    "label of 64": "a" * 64, "label of 64 inside": f"x.{'a' * 64}.com", "empty label": "a..b", "leading dot": ".a", "two dots": "..", "root": ".",
    "nothing": "", "high surrogate": "\ud800", "low surrogate": "a\udfff.com", "not ASCII": "é.com", "right to left, mixed": "\u05d0a\u0661",
    "right to left": "אב1.com", "long": "a." * 130 + "com", "longest": LONG, "no byte": "\x00", "backslash": "\\", "escape over 255": "a\\300",
    "escape cut short": "a\\12", "no punycode": "xn--zzzzzz99999", "joiner": "a\u200db", "emoji": "\U0001f600.de", "sharp s": "straße.de",
    "full width": "ｃａｒｔ", "ideographic dot": "cart。shop", "soft hyphen": "a\u00adb", "line feed": "a\nb", "space": "a b", "bracket": "[::1",
    "zone index": "[fe80::1%eth0]", "port": "a:99999999", "quote": '"', "long, not ASCII": "é" * 60, "combining first": "\u0301a", "delete": "\x7f",
}  # fmt: skip

LAB = kn.example("bookshop")
COREFILES = (
    "@:53 {\n kubernetes cluster.local\n}\n", ".:53 {\n kubernetes @\n}\n", ".:53 {\n rewrite name @ cart.shop.svc.cluster.local\n kubernetes cluster.local\n}\n",
    ".:53 {\n rewrite name cart.shop.svc.cluster.local @\n kubernetes cluster.local\n}\n", ".:53 {\n hosts {\n 192.0.2.4 @\n}\n kubernetes cluster.local\n}\n",
    '.:53 {\n template IN A {\n answer "{{ .Name }} 60 IN A @"\n}\n}\n', '.:53 {\n template IN A {\n answer "@ 60 IN CNAME @"\n}\n}\n',
    '.:53 {\n template IN A @ {\n rcode NXDOMAIN\n authority "@ 60 IN SOA @ @ 1 2 3 4 5"\n}\n}\n', ".:53 {\n forward . @\n}\n", ".:53 {\n forward @ 192.0.2.53\n}\n",
)  # fmt: skip
PORTS = [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "cart", "port": {"number": 8080}}}}]
POD: dict[str, Any] = {"containers": [{"name": "a", "image": "a"}]}


def _object(kind: str, spec: dict[str, Any], version: str = "v1") -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "odd", "namespace": "shop"}, "spec": spec}


OBJECTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "external name": lambda n: _object("Service", {"type": "ExternalName", "externalName": n}),
    "ingress": lambda n: _object("Ingress", {"rules": [{"host": n, "http": {"paths": PORTS}}]}, "networking.k8s.io/v1"),
    "ingress tls": lambda n: _object("Ingress", {"tls": [{"hosts": [n]}], "rules": [{"host": "a.example", "http": {"paths": PORTS}}]}, "networking.k8s.io/v1"),
    "search": lambda n: _object("Pod", {**POD, "dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.96.0.10"], "searches": [n]}}),
    "hostname": lambda n: _object("Pod", {**POD, "hostname": n, "subdomain": "cart"}), "subdomain": lambda n: _object("Pod", {**POD, "hostname": "a", "subdomain": n}),
    "alias": lambda n: _object("Pod", {**POD, "hostAliases": [{"ip": "192.0.2.4", "hostnames": [n]}]}),
}  # fmt: skip


def _applied(document: dict[str, Any]) -> None:
    lab = LAB.copy().apply([document])
    for name in ("cart", "odd"):
        lab.resolve("shop/web", name)
        if document["kind"] == "Pod":
            lab.resolve("shop/odd", name)
    lab.request("external:203.0.113.7", "http://shop.example/")


def _corefile(text: str) -> None:
    server = Server(text, LAB.snapshot())
    for name in ("cart.shop.svc.cluster.local.", "www.example.com."):
        to_wire(server.answer(Query(Question(name, "A")))[0])


def _zone(zones: dict[str, Any]) -> None:
    to_wire(Zones(zones).answer(Query(Question("www.example.com.", "A"))))


def _run(tool: str) -> Callable[[str], object]:
    return lambda n: [m.run(tool.replace("@", shlex.quote(n))) for m in (LAB.pod("shop/web"), LAB.node("worker-1"))]


ASKED: dict[str, Callable[[str], object]] = {
    "resolve": lambda n: LAB.resolve("shop/web", n), "musl": lambda n: LAB.resolve("shop/web", n, resolver="musl"), "ask": lambda n: LAB.ask("shop/web", f"http://{n}/"),
    "path": lambda n: LAB.ask("shop/web", f"http://cart:8080/{n}"), "tls": lambda n: LAB.request("external:203.0.113.7", f"https://{n}"),
    "host header": lambda n: LAB.request("shop/web", "http://cart:8080", headers={"Host": n}), "source": lambda n: LAB.connect(n, "shop/cart", 80),
    "target": lambda n: LAB.connect("shop/web", n, 80), "open": lambda n: LAB.open("shop/web", n, 80), "outside": lambda n: LAB.connect(f"external:{n}", "shop/cart", 80),
    "pod": lambda n: LAB.pod(n), "query": lambda n: LAB.dns.query(n), "route": lambda n: LAB.ingress.route(f"http://{n}/"),
    **{f"run {t}": _run(t) for t in ("dig @", "dig -x @", "dig +search @", "nslookup @", "host @", "getent hosts @", "curl -s http://@", "wget -qO- http://@", "ping -c1 @", "nc -z -w1 @ 80")},
    "yaml": lambda n: kn.load(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: a, annotations: {{x: {json.dumps(n)}}}}}\n"),
    "yaml as it is": lambda n: kn.load(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: a, annotations: {{x: {json.dumps(n, ensure_ascii=False)}}}}}\n"),
    "domain": lambda n: kn.example("bookshop", cluster_domain=n).resolve("shop/web", "cart"),
    "owner of a zone": lambda n: _zone({"example.com": {n: {"A": ["192.0.2.4"]}}}), "alias of a zone": lambda n: _zone({"example.com": {"www": {"CNAME": [n]}}}),
    "text of a zone": lambda n: _zone({"example.com": f"www 60 IN CNAME {n}\n"}), "zone": lambda n: _zone({n: {"www": {"A": ["192.0.2.4"]}}}),
    **{f"Corefile {i}": lambda n, t=t: _corefile(t.replace("@", n)) for i, t in enumerate(COREFILES)},  # type: ignore[misc]
    **{what: lambda n, make=make: _applied(make(n)) for what, make in OBJECTS.items()},  # type: ignore[misc]
}  # fmt: skip


@pytest.mark.parametrize("where", ASKED)
def test_a_text_that_is_no_name(where: str) -> None:
    for what, name in NAMES.items():
        try:
            ASKED[where](name)
        except KubenetError as e:
            assert str(e), what


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(set(ASKED) - {"domain", "zone", "owner of a zone"})), st.text(alphabet=st.characters(), max_size=12) | st.lists(st.sampled_from(sorted(NAMES.values())), max_size=3).map(".".join))
def test_any_text(where: str, name: str) -> None:
    try:
        ASKED[where](name)
    except KubenetError as e:
        assert str(e)


def test_what_cannot_be_written_down_is_refused_where_it_stands() -> None:
    with pytest.raises(KubenetError, match=r"annotations\.x: half of a UTF-16 pair"):
        kn.load(r'{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "annotations": {"x": "\ud800"}}}')
    with pytest.raises(KubenetError, match=r"half of a UTF-16 pair"):
        LAB.request("shop/web", "http://cart:8080/\udc00")
    pair = kn.load(r'{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "annotations": {"x": "\ud83d\ude00"}}}')
    assert pair.get("namespace", "a").metadata.annotations["x"] == "\U0001f600"


def test_a_label_that_no_answer_can_carry() -> None:
    """The API takes a name with a label of 64; CoreDNS cannot pack it, and the client hears nothing (miekg/dns, Msg.Pack)."""
    lab = LAB.copy().apply([OBJECTS["external name"]("a" * 64)])
    found = lab.resolve("shop/web", "odd")
    assert not found and found.queries[0].error == "ETIMEDOUT"
    assert "timed out" in lab.pod("shop/web").run("dig +tries=1 odd.shop.svc.cluster.local")


BAD = ("a" * 64, f"{'a' * 64}.com.", "a..b", ".a", "..", "a..", "a\\300", "a\\12", "a\\1", "a\\999b", "\\", LONG, f"{LONG}.", "a." * 130 + "com")


@pytest.mark.real
@pytest.mark.parametrize("tool", ["dig", "dig +search", "dig +short", "host", "nslookup"])
def test_what_the_real_tools_say(tool: str, require_tool: Callable[[str], str]) -> None:
    program, *options = shlex.split(tool)
    path = require_tool(program)
    pod = LAB.pod("shop/web")
    for name in BAD:
        real = subprocess.run([program, *options, name], executable=path, capture_output=True, text=True, check=False, timeout=20)
        with pytest.raises(KubenetError) as e:
            pod.run(f"{tool} {shlex.quote(name)}")
        assert f"{e.value}\n" == (real.stderr or real.stdout), name
        assert pod.run(f"{tool} {shlex.quote(name)} || true"), "and the shell goes on"
