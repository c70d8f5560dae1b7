"""What a CoreDNS plugin is here: a value made from its directive, and `serve(query, env)`.

A plugin answers, or asks the next one, or changes what the next one said. As in CoreDNS a plugin either *writes* a
response, or returns an error code that nobody has written yet (`Unwritten`): plugins above see written responses
only, so `cache` never keeps the SERVFAIL of an upstream that is down. Source: coredns plugin/plugin.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...errors import NotModelled
from ...objects.snapshot import Snapshot
from ...trace import Reason
from ..caddyfile import CorefileError, Dispenser
from ..corefile import ServerBlock, hosts_of
from ..message import Query, Response
from ..names import longest_zone

__all__ = ["Asked", "Env", "NEVER", "Fall", "Late", "Plugin", "Reply", "Setup", "Unwritten", "duration", "integer", "only_once", "pass_on"]


class Late(Mapping[str, Any]):
    """Parameters of a reason; a callable among them is worked out when first read."""

    __slots__ = ("_values",)

    def __init__(self, **values: Any):
        self._values = values

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        if callable(value):
            value = self._values[key] = value()
        return value

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self))


@dataclass(frozen=True, slots=True)
class Unwritten:
    """An error code that no plugin has written as a response yet; `error` is what the errors plugin would log."""

    rcode: str
    error: str = ""


Reply = Response | Unwritten


@dataclass(frozen=True, slots=True)
class Asked:
    """What an upstream said: a response, or None and the errno name of what went wrong; `elapsed` in lab seconds."""

    response: Response | None
    error: str | None = None
    elapsed: float = 0.0


@dataclass(slots=True)
class Env:
    """What a query is answered with: the objects at this moment, the clock, the server's memory, the ways out."""

    snapshot: Snapshot
    clock: Callable[[], float]
    memory: MutableMapping[str, Any]
    choose: Callable[[Sequence[int], str], int]
    ask: Callable[[str, int, str, Query, float], Asked]  # address, port, protocol, query, timeout
    lookup: Callable[[Query, Env], Response]  # the same server asked again from the top (plugin/pkg/upstream)
    client_ip: str
    protocol: str = "UDP"
    local_ips: tuple[str, ...] = ()
    serial: int = 0
    synced: bool = True
    waits: bool = False  # asking an upstream takes the client's time (a real walk)
    steps: list[Reason] = field(default_factory=list)
    depth: int = 0
    largest: int = 65535  # bytes of UDP payload, at most (bufsize)
    delay: float = 0.0  # what the server itself waited, in lab seconds

    def now(self) -> float:
        """Lab seconds."""
        return self.clock() + self.delay

    def wait(self, seconds: float) -> None:
        self.delay += seconds

    def step(self, code: str, origin: str = "", /, **params: Any) -> None:
        """Record what decided. Parameters may be callables, worked out when somebody reads them."""
        self.steps.append(Reason(code, Late(**params), origin))


@dataclass(frozen=True, slots=True)
class Setup:
    """What a plugin is made from: its tokens, its server block, files by path (resolv.conf, a hosts file)."""

    name: str
    block: ServerBlock
    files: Mapping[str, str]

    def dispenser(self) -> Dispenser:
        return Dispenser(self.block.directives[self.name])

    def file(self, path: str) -> str:
        if path not in self.files:
            raise NotModelled(f"the file {path!r} that the Corefile's {self.name} reads: give it in `files`")
        return self.files[path]


class Plugin(Protocol):
    name: str
    next: Plugin | None

    def serve(self, query: Query, env: Env) -> Reply: ...


def pass_on(plugin: Plugin, query: Query, env: Env) -> Reply:
    """Ask the next plugin; at the end of the chain the answer is SERVFAIL."""
    if plugin.next is not None:
        return plugin.next.serve(query, env)
    env.step("dns.no_next_plugin", name=query.question.name, plugin=plugin.name)
    return Unwritten("SERVFAIL", f"plugin/{plugin.name}: no next plugin found")


@dataclass(frozen=True, slots=True)
class Fall:
    """`fallthrough [zones]`: for which names a would-be NXDOMAIN goes on to the next plugin (plugin/pkg/fall)."""

    zones: tuple[str, ...] = ()

    @classmethod
    def of(cls, args: Sequence[str]) -> Fall:
        return cls(tuple(z for a in args for z in hosts_of(a)) if args else (".",))

    def through(self, name: str) -> bool:
        return longest_zone(self.zones, name) != ""


#: no `fallthrough`: the plugin's word is final
NEVER = Fall()


def only_once(d: Dispenser) -> None:
    """To be called behind a plugin's last token: another line of the same plugin in the block is an error."""
    if d.next():
        raise CorefileError("this plugin can only be used once per Server Block")


def integer(text: str) -> int:
    """As Go's strconv.Atoi reads it; the message of the error is Go's."""
    body = text[1:] if text[:1] in "+-" and text else text
    if not body.isdigit() or not body.isascii():
        raise CorefileError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(text: str) -> float:
    """Seconds of a Go duration ("1m30s", "0.5s"). Raises CorefileError with Go's message."""
    rest, sign, total = text, 1.0, 0.0
    if rest[:1] in ("+", "-"):
        sign, rest = (-1.0 if rest[0] == "-" else 1.0), rest[1:]
    if rest == "0":
        return 0.0
    if not rest:
        raise CorefileError(f'time: invalid duration "{text}"')
    while rest:
        n = 0
        while n < len(rest) and (rest[n].isdigit() or rest[n] == "."):
            n += 1
        u = n
        while u < len(rest) and not (rest[u].isdigit() or rest[u] == "."):
            u += 1
        number, unit, rest = rest[:n], rest[n:u], rest[u:]
        if not number.strip(".") or number.count(".") > 1:
            raise CorefileError(f'time: invalid duration "{text}"')
        if not unit:
            raise CorefileError(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise CorefileError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += float(number) * _UNITS[unit]
    return sign * total
