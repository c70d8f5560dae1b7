"""The controller and the pod's web server as processes, over a transport made by hand."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import msgspec
import pytest

from kubenet_lab.errors import NotFound, NotModelled
from kubenet_lab.ingress import CONTROLLERS, HttpRequest, HttpResponse, HttpServer, IngressController, route
from kubenet_lab.kernel.packet import Filler
from kubenet_lab.kernel.process import Answer, Exchange, Message, Process
from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.objects.views import KINDS
from kubenet_lab.trace import Trace

WEB = {"service": {"name": "web", "port": {"name": "http"}}}
GONE = {"service": {"name": "gone", "port": {"number": 1}}}
RULES = [
    {
        "host": "shop.example",
        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": WEB}, {"path": "/gone", "pathType": "Prefix", "backend": GONE}]},
    },
    {"host": "regex.example", "http": {"paths": [{"path": "/x", "pathType": "ImplementationSpecific", "backend": WEB}]}},
]
ENDPOINTS = [
    {"addresses": ["10.244.1.10"], "targetRef": {"kind": "Pod", "name": "web-b", "namespace": "shop"}, "conditions": {"ready": True}},
    {"addresses": ["10.244.1.9"], "targetRef": {"kind": "Pod", "name": "web-a", "namespace": "shop"}},
    {"addresses": ["10.244.2.3"], "conditions": {"ready": False, "serving": True, "terminating": True}},
]
PORTS = [{"name": "http", "port": 80, "targetPort": "web"}]
DOCS: list[dict[str, Any]] = [
    {"kind": "Ingress", "metadata": {"name": "shop", "namespace": "shop"}, "spec": {"rules": RULES}},
    {"kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"ports": PORTS}},
    {
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": ENDPOINTS,
        "ports": [{"name": "http", "port": 8080}, {"name": "metrics", "port": 9090}],
    },
]


def snapshot(docs: list[dict[str, Any]] = DOCS) -> Snapshot:
    return Snapshot(msgspec.convert(d, KINDS[d["kind"]][0]) for d in docs)


TRACE = Trace(
    question="inner", verdict="delivered", phase="data", error=None, elapsed=0.0, answered_by=None, source_seen=None, build=lambda: ((), ())
)


class FakeMachine:
    """Answers every exchange with a web server, or fails with `error`."""

    def __init__(self, error: str | None = None, reply: Any = None, draws: Sequence[int] = ()):
        self.namespace, self.now, self.error, self.reply = "pod:ingress/controller", 1.0, error, reply
        self.memory: MutableMapping[str, Any] = {}
        self.sent: list[tuple[str, int, str, HttpRequest, float]] = []
        self.draws, self.asked = list(draws), []

    def exchange(self, dst: str, port: int, protocol: str, payload: Any, timeout: float, source_port: int | None = None) -> Exchange:
        self.sent.append((dst, port, protocol, payload, timeout))
        if self.error:
            return Exchange(None, self.error, timeout, TRACE)
        if self.reply is not None:
            return Exchange(self.reply, None, 0.0, TRACE)
        message = Message(payload, "10.244.0.7", 40000, dst, port, protocol)
        return Exchange(HttpServer(f"pod-{dst}").handle(message, self).payload, None, 0.0, TRACE)

    def choose(self, weights: Sequence[int], chooser: str) -> int:
        self.asked.append((tuple(weights), chooser))
        return self.draws.pop(0) if self.draws else 0


def ask(url: str, machine: FakeMachine, controller: IngressController | None = None, **more: Any) -> HttpResponse:
    message = Message(HttpRequest.to(url, **more), "203.0.113.7", 50000, "10.244.0.7", 443 if url.startswith("https") else 80, "TCP")
    answer = (controller or IngressController(snapshot)).handle(message, machine)
    assert isinstance(answer, Answer) and isinstance(answer.payload, HttpResponse)
    return answer.payload


def test_it_dials_an_endpoint_and_hands_the_answer_on() -> None:
    machine = FakeMachine(draws=[1])
    r = ask("http://shop.example/cart?x=1", machine)
    assert r.status == 200
    dst, port, protocol, sent, timeout = machine.sent[0]
    assert (dst, port, protocol, timeout) == ("10.244.1.10", 8080, "TCP", 5.0)  # sorted by number: .9 before .10
    assert machine.asked == [((1, 1), "ingress shop/web:80")]
    assert (sent.host, sent.target) == ("shop.example", "/cart?x=1")
    assert sent.header("X-Forwarded-For") == sent.header("X-Real-IP") == "203.0.113.7"
    assert (sent.header("X-Forwarded-Host"), sent.header("X-Forwarded-Proto")) == ("shop.example", "http")
    body = r.body.decode()
    assert "pod: pod-10.244.1.10" in body and "client: 10.244.0.7" in body and "x-forwarded-for: 203.0.113.7" in body
    # both legs can be shown
    assert r.decision.service == "shop/web" and r.decision.endpoints[1].pod == "shop/web-b"
    assert r.exchange is not None and r.exchange.trace is TRACE and r.endpoint == "10.244.1.10:8080"


def test_tls_ends_at_the_controller() -> None:
    machine = FakeMachine()
    assert ask("https://shop.example/", machine).status == 200
    sent = machine.sent[0][3]
    assert (sent.header("X-Forwarded-Proto"), sent.scheme, sent.sni) == ("https", "http", "")


def test_the_client_address_is_appended() -> None:
    machine = FakeMachine()
    ask("http://shop.example/", machine, headers={"X-Forwarded-For": "192.0.2.1"})
    assert machine.sent[0][3].header("X-Forwarded-For") == "192.0.2.1, 203.0.113.7"


@pytest.mark.parametrize(
    ("error", "status"),
    [("ECONNREFUSED", 502), ("ECONNRESET", 502), ("EHOSTUNREACH", 502), ("ENETUNREACH", 502), ("EMSGSIZE", 502), ("ETIMEDOUT", 504)],
)
def test_failures_of_the_second_leg(error: str, status: int) -> None:
    r = ask("http://shop.example/", FakeMachine(error))
    assert r.status == status and r.exchange is not None and r.exchange.error == error
    assert r.decision.status == 200  # the route was fine


def test_own_answers() -> None:
    machine = FakeMachine()
    assert ask("http://other.example/", machine).status == 404
    assert ask("http://shop.example/gone", machine).status == 503
    assert not machine.sent  # nothing was dialled
    assert ask("http://shop.example/", FakeMachine(reply=Filler(20))).status == 502  # not HTTP
    controller = IngressController(snapshot)
    bad = controller.handle(Message(Filler(10), "1.1.1.1", 1, "2.2.2.2", 80, "TCP"), machine)
    assert bad.payload.status == 400  # type: ignore[attr-defined]


def test_raw_bytes_are_understood_and_port_443_means_https() -> None:
    machine = FakeMachine()

    class Bytes(bytes):
        pass

    message = Message(Bytes(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"), "203.0.113.7", 5, "10.0.0.1", 443, "TCP")
    assert IngressController(snapshot).handle(message, machine).payload.status == 200  # type: ignore[attr-defined]
    assert machine.sent[0][3].header("X-Forwarded-Proto") == "https"


def test_round_robin_remembers_its_turn() -> None:
    machine = FakeMachine()
    controller = IngressController(snapshot, balance="round-robin")
    got = [ask("http://shop.example/", machine, controller).endpoint for _ in range(3)]
    assert got == ["10.244.1.9:8080", "10.244.1.10:8080", "10.244.1.9:8080"]
    assert not machine.asked


def test_every_endpoint_is_used() -> None:
    # ingress-controller-conformance features/load_balancing.feature: all pods of a Service without affinity answer
    docs = [*DOCS[:2], {**DOCS[2], "endpoints": [{"addresses": [f"10.244.3.{n}"]} for n in range(1, 11)]}]
    machine = FakeMachine(draws=list(range(10)))
    controller = IngressController(lambda: snapshot(docs))
    assert len({ask("http://shop.example/", machine, controller).endpoint for _ in range(10)}) == 10


def test_the_snapshot_is_read_at_each_request() -> None:
    now = [snapshot(DOCS[:1])]
    controller = IngressController(lambda: now[0])
    assert ask("http://shop.example/", FakeMachine(), controller).status == 503
    now[0] = snapshot()
    assert ask("http://shop.example/", FakeMachine(), controller).status == 200


def test_what_is_not_modelled_says_so() -> None:
    for name, modelled in CONTROLLERS.items():
        if not modelled:
            with pytest.raises(NotModelled, match=name):
                route(snapshot(), "http://shop.example/", controller=name)
    with pytest.raises(NotFound, match="nearest: traefik"):
        route(snapshot(), "http://shop.example/", controller="treafik")
    with pytest.raises(NotModelled, match="ImplementationSpecific"):
        route(snapshot(), "http://regex.example/x")
    # a path of another host does not spoil the answer, nor its explanation
    d = route(snapshot(), "http://shop.example/x")
    assert d and "regex.example" in d.explain()


@pytest.mark.parametrize(
    ("backend", "what"),
    [({"resource": {"kind": "Bucket", "name": "b"}}, "Bucket"), ({"service": {"name": "ext", "port": {"number": 80}}}, "ExternalName")],
)
def test_backends_that_are_not_modelled(backend: dict[str, Any], what: str) -> None:
    docs = [
        {"kind": "Ingress", "metadata": {"name": "i", "namespace": "n"}, "spec": {"defaultBackend": backend}},
        {"kind": "Service", "metadata": {"name": "ext", "namespace": "n"}, "spec": {"type": "ExternalName", "ports": [{"port": 80}]}},
    ]
    with pytest.raises(NotModelled, match=what):
        route(snapshot(docs), "http://x/")


def test_a_decision_shows_itself() -> None:
    d = route(snapshot(), "http://shop.example/cart")
    assert repr(d) == "RouteDecision(GET http://shop.example/cart: 200, shop/web:80)"
    assert d.to_dict()["endpoints"] == ["10.244.1.9:8080", "10.244.1.10:8080"]
    assert (d.target_port, d.rule, d.path_index, d.ingress) == ("web", 0, 0, "shop/shop")
    lines = d.explain().splitlines()
    assert lines[0] == "GET http://shop.example/cart -> shop/web:80 (200)"
    assert "not taken:" in lines and any("/gone" in line for line in lines)
    assert d.summary == "✓ Ingress shop/shop, shop.example/ (Prefix) → shop/web:80"
    assert route(snapshot(), "http://x/y").summary == "✗ 404: no rule takes x/y"
    assert route(snapshot(), "http://shop.example/gone").summary == "✗ 503: Ingress shop/shop, shop.example/gone (Prefix) → shop/gone"
    hostile = route(snapshot(), "http://shop.example/<script>")
    assert "<script>" not in hostile._repr_html_()


def test_processes() -> None:
    assert isinstance(IngressController(snapshot), Process) and isinstance(HttpServer("a/b"), Process)
    head = HttpServer("a/b").handle(Message(HttpRequest("HEAD", "/", "h"), "1.1.1.1", 1, "2.2.2.2", 80, "TCP"), FakeMachine())
    assert head.payload.body == b""  # type: ignore[attr-defined]
