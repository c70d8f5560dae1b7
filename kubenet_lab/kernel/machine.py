"""A process at work: what it sees of its machine while a walk waits for its answer."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from .namespace import Listener, Namespace
from .packet import Payload
from .process import Exchange, Message
from .state import Memory
from .walk import Walk

__all__ = ["ask_process"]


class _Machine:
    """`process.Machine` over a walk. An exchange runs a walk of its own on the same state; its time passes here too."""

    def __init__(self, w: Walk, ns: Namespace, listener: Listener):
        self.namespace, self._w, self._listener = ns.id, w, listener
        self.waited = 0.0
        self.memory: MutableMapping[str, Any] = Memory(w.state, "memory", ns.id, f"{listener.process.name}")

    @property
    def now(self) -> float:
        return self._w.now + self.waited

    def exchange(self, dst: str, port: int, protocol: str, payload: Payload, timeout: float, source_port: int | None = None) -> Exchange:
        from .ask import exchange

        start = self._w.state.clock
        self._w.state.clock = start + self.waited
        try:
            done = exchange(self._w, self.namespace, dst, port, protocol, payload, timeout, source_port=source_port)
        finally:
            self._w.state.clock = start
        self.waited += done.elapsed
        self._w.exchanges.append((self._listener.owner, done))
        return done

    def choose(self, weights: Sequence[int], chooser: str) -> int:
        return self._w.choose(weights, f"{self.namespace}/{chooser}")


def ask_process(w: Walk, ns: Namespace, listener: Listener, message: Message) -> tuple[Payload | None, float]:
    """(what the listener's process says, None for silence; how long it takes, in lab seconds)"""
    machine = _Machine(w, ns, listener)
    answer = listener.process.handle(message, machine)
    if answer is None:
        return None, machine.waited
    return answer.payload, machine.waited + answer.delay
