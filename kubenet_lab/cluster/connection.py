"""`Connection`: an established TCP flow, which keeps its endpoint whatever changes meanwhile."""

from __future__ import annotations

from typing import Any

from ..errors import KubenetError
from ..kernel.ask import DEFAULT_TIMEOUT, Question, Result, close, put, send
from ..kernel.story import trace_of
from ..kernel.tcp_conn import find
from ..trace import Trace
from .connect import payload_of, question_of, source_port_of, told
from .fork import Fork, source_of, target_of

__all__ = ["Connection", "open_connection"]


class Connection:
    """An established TCP flow: `send` walks its packets, `close` ends it. `bool(connection)`: it is open."""

    def __init__(self, fork: Fork, result: Result, question: str, trace: Trace):
        self._fork, self._result, self.question, self.trace = fork, result, question, trace
        self._open = bool(trace)

    @property
    def verdict(self) -> str:
        return self.trace.verdict

    @property
    def answered_by(self) -> str | None:
        return self.trace.answered_by

    @property
    def open(self) -> bool:
        """Whether the client's end is still there: flushing the dynamic state or the pod's end takes it away."""
        if not self._open:
            return False
        conn = find(self._fork.cluster.state, self._result.question.ns, self._result.key)
        return conn is not None and not conn.closed

    def send(self, size: int = 1, timeout: float = DEFAULT_TIMEOUT) -> Trace:
        """`size` bytes to the server and their acknowledgement, as a Trace. Raises KubenetError if the connection is not open."""
        payload = payload_of(size)
        if payload is None or not len(payload):
            raise KubenetError(f"size: found {size!r}, expected at least one byte")
        fork = self._fork.cluster.live()
        if not self.open or self._result.question.ns not in fork.network.namespaces:
            raise KubenetError(f"{self.question}: the connection is not open")
        done = send(fork.network, fork.state, self._result, payload, timeout)
        self._open = done.error != "ECONNRESET"
        fork.cluster.capture = tuple(done.walk.frames or ())
        return trace_of(done, question=f"{self.question}: {size} bytes", facts=fork.facts)

    def close(self, *, reset: bool = False) -> Trace | None:
        """The client closes: FIN, the server's FIN, the last ACK, as a Trace; None if it is not open any more.

        `reset`: as with SO_LINGER 0, by a reset. close() does not wait: what is lost is "stalled", and is sent again while time passes.
        """
        if not self.open or self._result.question.ns not in self._fork.cluster.network().namespaces:
            self._open = False
            return None
        self._open = False
        fork = self._fork.cluster.live()
        done = close(fork.network, fork.state, self._result, reset)
        fork.cluster.capture = tuple(done.walk.frames or ())
        return trace_of(done, question=f"{self.question}: {'reset' if reset else 'close'}", facts=fork.facts)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __bool__(self) -> bool:
        return self.open

    def __repr__(self) -> str:
        return f"Connection({self.question}: {'open' if self.open else self.trace.verdict if not self.trace else 'closed'})"


def open_connection(
    fork: Fork, src: Any, dst: Any, port: int | str = 80, *, source_port: int | None = None, timeout: float = DEFAULT_TIMEOUT
) -> Connection:
    """Open a TCP connection and leave it open. `bool(connection)` is False if it did not open; its `trace` says why."""
    number = source_port_of(source_port)
    source = source_of(fork, src)
    target = target_of(fork, source, dst, port, "TCP")
    if not target.address:
        error = target.resolution.error if target.resolution is not None else ""
        raise KubenetError(f"{target.label} does not resolve: {error}")
    question = question_of(source, target, "TCP")
    result = put(
        fork.network,
        fork.state,
        Question(source.namespace, target.address, target.port, "TCP", source_port=number, timeout=timeout, closing="none"),
    )
    return Connection(fork, result, question, told(fork, result, question, source, target))
