"""The two processes of this chapter: an ingress controller, and the web server in a pod.

`IngressController` terminates the client's connection, routes by the objects as they are now, and opens a
second connection from its own pod straight to an endpoint. So the pod sees the controller as its peer, a
NetworkPolicy must let the controller in, and a Service's address, node ports and session affinity play no part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import KubenetError, NotModelled
from ..kernel.process import Answer, Machine, Message
from ..objects.snapshot import Snapshot
from .backends import Endpoint
from .http import HttpRequest, HttpResponse
from .route import RouteDecision, route

__all__ = ["HttpServer", "IngressController"]

_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)


def _request(message: Message) -> HttpRequest | None:
    if isinstance(message.payload, HttpRequest):
        return message.payload
    try:
        return HttpRequest.from_bytes(bytes(message.payload), "https" if message.dport == 443 else "http")
    except KubenetError:
        return None


@dataclass(frozen=True)
class IngressController:
    """An ingress controller as the API describes one.

    `snapshot` gives the objects as they are when a request comes. `ingress_class` is the class it serves (None: all).
    `timeout` (lab seconds) is how long it waits for an endpoint; the API says nothing, 5 s is what ingress-nginx waits for a
    connection. The API does not say how endpoints are chosen: `balance="random"` draws through `machine.choose` (every endpoint
    equally likely, so all outcomes can be listed); "round-robin" keeps a counter per backend in `machine.memory`.
    """

    snapshot: Callable[[], Snapshot]
    name: str = "ingress-controller"
    controller: str = "spec"
    ingress_class: str | None = None
    timeout: float = 5.0
    balance: Literal["random", "round-robin"] = "random"

    def handle(self, message: Message, machine: Machine) -> Answer:
        """The answer of a pod, or the controller's own 400, 404, 501, 502, 503 or 504; the response carries decision and inner exchange."""
        request = _request(message)
        if request is None:
            return Answer(_own(400, None))
        try:
            url = f"{request.scheme}://{request.host or message.dst}{request.target}"
            sni = request.sni or None
            headers = dict(request.headers)
            decision = route(self.snapshot(), url, request.method, headers, message.src, sni, self.controller, self.ingress_class)
        except NotModelled:
            raise
        except KubenetError:
            return Answer(_own(400, None))
        if not decision:
            return Answer(_own(decision.status, decision))
        endpoint = self._endpoint(decision, machine)
        exchange = machine.exchange(endpoint.address, endpoint.port, "TCP", self._forward(request, message), self.timeout)
        if exchange.reply is None:
            # no answer in time is 504; refused, reset and unreachable are all 502
            response = _own(504 if exchange.error in ("ETIMEDOUT", "EAGAIN", None) else 502, decision)
        elif isinstance(exchange.reply, HttpResponse):
            response = exchange.reply
        else:
            try:
                response = HttpResponse.from_bytes(bytes(exchange.reply))
            except KubenetError:
                response = _own(502, decision)
        return Answer(replace(response, decision=decision, exchange=exchange, endpoint=str(endpoint)))

    def _endpoint(self, decision: RouteDecision, machine: Machine) -> Endpoint:
        ring = decision.endpoints
        if len(ring) == 1:
            return ring[0]
        if self.balance == "random":
            return ring[machine.choose([1] * len(ring), f"ingress {decision.backend}")]
        turn: int = machine.memory.get(f"turn {decision.backend}", 0)
        machine.memory[f"turn {decision.backend}"] = turn + 1
        return ring[turn % len(ring)]

    def _forward(self, request: HttpRequest, message: Message) -> HttpRequest:
        """The request as the pod gets it: Host and path unchanged, the client's address appended to X-Forwarded-For."""
        before = request.header("X-Forwarded-For")
        out = request.with_header("X-Forwarded-For", f"{before}, {message.src}" if before else message.src)
        out = out.with_header("X-Forwarded-Host", request.host).with_header("X-Forwarded-Proto", request.scheme)
        # TLS ends here: what goes to the pod is plain HTTP
        return replace(out.with_header("X-Real-IP", message.src), scheme="http", sni="")


def _own(status: int, decision: RouteDecision | None) -> HttpResponse:
    """An answer that the controller gives itself."""
    response = HttpResponse(status, _TEXT)
    return replace(response, body=f"{response}\n".encode(), decision=decision)


@dataclass(frozen=True, slots=True)
class HttpServer:
    """What is assumed of a pod that speaks HTTP: 200, and a body that says which pod it is and what it saw."""

    pod: str  # "shop/web-6c9d8-x2k"
    name: str = "http"

    def handle(self, message: Message, machine: Machine) -> Answer:
        request = _request(message)
        if request is None:
            return Answer(_own(400, None))
        lines = [f"pod: {self.pod}", f"port: {message.dport}", f"client: {message.src}"]
        lines += [f"method: {request.method}", f"host: {request.host}", f"path: {request.target}"]
        if forwarded := request.header("X-Forwarded-For"):
            lines.append(f"x-forwarded-for: {forwarded}")
        body = "" if request.method == "HEAD" else "\n".join(lines) + "\n"
        return Answer(HttpResponse(200, _TEXT, body.encode()))
