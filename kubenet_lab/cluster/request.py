"""`request`: DNS, connection and HTTP exchange, each with its own trace; an ingress controller's inner leg is one more stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..ingress import HttpRequest, HttpResponse, split_url
from ..kernel.ask import DEFAULT_TIMEOUT, Question, Result, put
from ..trace import Trace
from .connect import staged, told, unresolved
from .fork import Fork, Target, answer_outside, source_of
from .names import as_ip, party
from .reasons import policy_on

if TYPE_CHECKING:
    from .names import Party

__all__ = ["HttpAnswer", "request"]


def request(
    fork: Fork,
    src: Any,
    url: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body_size: int = 0,
    timeout: float = DEFAULT_TIMEOUT,
) -> Trace:
    """One HTTP request as a client like curl makes it: the addresses of the name are tried in order until one takes the connection."""
    source = source_of(fork, src)
    parts = split_url(url)
    message = HttpRequest.to(parts, method, headers, body_size)
    question = f"{source.label} → {message.method} {parts}"
    stages: list[tuple[str, Any]] = []
    before = 0.0
    addresses: tuple[str, ...]
    if (literal := as_ip(parts.host)) is not None:
        addresses = (literal,)
    else:
        resolution = fork.cluster.stub_resolve(fork, source, parts.host, "any", "glibc")
        stages.append(("resolve", resolution))
        before = resolution.elapsed
        if not resolution.addresses:
            return unresolved(fork, question, resolution)
        addresses = tuple(resolution.addresses)
    for n, address in enumerate(addresses):
        result, trace = _exchange(
            fork,
            source,
            address,
            parts.host,
            Question(source.namespace, address, parts.port, "TCP", message, wait_answer=True, timeout=timeout),
        )
        stages.append(("connect", trace))
        if result.verdict == "delivered" or result.phase != "handshake" or n == len(addresses) - 1:
            break
        before += trace.elapsed
    decision = policy_on(fork.cluster, source, result)
    if decision is not None:
        stages.append(("policy", decision))
    answer = result.answer
    if isinstance(answer, HttpResponse):
        stages += _http_stages(fork, answer, result)
    if parts.scheme == "https" and isinstance(answer, HttpResponse) and answer.decision is None:
        trace.assumptions = (
            *trace.assumptions,
            f"{result.answered_by} speaks TLS on port {parts.port} with a certificate that the client accepts",
        )
    done = staged(question, trace, stages, before)
    done.answer = answer
    return done


def _exchange(fork: Fork, source: Party, address: str, host: str, q: Question) -> tuple[Result, Trace]:
    behind = party(fork.cluster.snapshot(), address, role="destination")
    if not behind.namespace:
        answer_outside(fork, address, q.port, "TCP")
    target = Target(address, host, q.port, None, behind)
    result = put(fork.network, fork.state, q)
    return result, told(fork, result, f"{source.label} → {f'[{host}]' if ':' in host else host}:{q.port} TCP", source, target)


def _http_stages(fork: Fork, answer: HttpResponse, result: Result) -> list[tuple[str, Any]]:
    stages: list[tuple[str, Any]] = []
    if answer.decision is not None:
        stages.append(("route", answer.decision))
    if answer.exchange is not None:
        inner = answer.exchange.trace
        inner.question = f"{result.answered_by} → {answer.endpoint} TCP"
        inner.facts = fork.facts
        stages.append(("forward", inner))
    return [*stages, ("answer", HttpAnswer(answer))]


class HttpAnswer:
    """The response, as the last stage of a request."""

    def __init__(self, response: HttpResponse):
        self.response = response

    @property
    def summary(self) -> str:
        first = bytes(self.response.body).decode(errors="replace").splitlines()
        return f"{self.response}" + (f" · {first[0]}" if first else "")

    def explain(self) -> str:
        return "\n".join([str(self.response), *(f"  {line}" for line in bytes(self.response.body).decode(errors="replace").splitlines())])

    def to_dict(self) -> dict[str, Any]:
        return {"status": self.response.status, "body": bytes(self.response.body).decode(errors="replace")}

    def __repr__(self) -> str:
        return f"HTTP {self.response}"
