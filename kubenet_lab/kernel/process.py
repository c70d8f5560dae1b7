"""What runs in a namespace: a `Process` bound to a socket, and the `Transport` by which it sends.

These two protocols are the only way in which a chapter (dns, ingress, services) meets the network.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ..trace import Trace
from .packet import Payload

__all__ = ["Answer", "Echo", "Exchange", "Machine", "Message", "Process", "Transport"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of one question: `reply` is None when nothing came back, then `error` is an errno name."""

    reply: Payload | None
    error: str | None
    elapsed: float  # lab seconds
    trace: Trace


class Transport(Protocol):
    """Sends one message and waits for one answer, through the walk."""

    def exchange(
        self, host: str, dst: str, port: int, protocol: str, payload: Payload, timeout: float, source_port: int | None = None
    ) -> Exchange:
        """`host` is a namespace id, `dst` an address; `protocol` "TCP" or "UDP"; `timeout` in lab seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """Application data that reached a socket."""

    payload: Payload
    src: str
    sport: int
    dst: str
    dport: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the process says, `delay` lab seconds after it was asked (its own waits are added by the machine)."""

    payload: Payload
    delay: float = 0.0


class Machine(Protocol):
    """What a process sees of the machine it runs on."""

    namespace: str  # id of the namespace it is bound in

    @property
    def now(self) -> float: ...

    @property
    def memory(self) -> MutableMapping[str, Any]:
        """This process's dynamic state (caches, rings). Forks with the walk: store immutable values only."""
        ...

    def exchange(self, dst: str, port: int, protocol: str, payload: Payload, timeout: float, source_port: int | None = None) -> Exchange:
        """As `Transport.exchange`, from this process's own namespace. The time it takes passes on the lab's clock."""
        ...

    def choose(self, weights: Sequence[int], chooser: str) -> int:
        """The one door of chance: an index drawn with these weights."""
        ...


@runtime_checkable
class Process(Protocol):
    """Bound to a socket by the cluster; must be a pure function of the message, its own fixed data and `machine.memory`."""

    @property
    def name(self) -> str:
        """ "coredns", "ingress-controller", "echo"."""
        ...

    def handle(self, message: Message, machine: Machine) -> Answer | None:
        """The answer, or None for silence."""
        ...


@dataclass(frozen=True, slots=True)
class Echo:
    """What is assumed of a pod that nothing more is known of: it accepts and answers."""

    name: str = "echo"

    def handle(self, message: Message, machine: Machine) -> Answer | None:
        return Answer(message.payload)
