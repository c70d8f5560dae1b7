"""The walk: a small discrete-event machine over a `Network` and a `State`.

`step(flight)` gives successors; those of the same instant run in order, later ones wait in a heap ordered by
(lab time, sequence). No generator and no recursion holds the state of a walk. Every random choice passes
`choose`.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import KubenetError
from .chance import Lot
from .exchanges import Exchanges, Recording
from .flight import Flight, Timer, Trail
from .frames import Frames
from .namespace import Namespace
from .network import Network
from .packet import Arp, Packet
from .state import State
from .value import Value, value

__all__ = ["Draws", "Ending", "Event", "Script", "Walk"]

#: a walk that does more than this is a loop that no TTL ends (a bug of the lab, or a bridging loop)
STEP_LIMIT = 200_000
#: lab seconds that a packet on its way may still take: below every retransmission timer
FLIGHT_TIME = 0.15

Successor = tuple[float, Flight | Timer]
Handler = Callable[["Walk", Any], Iterable[Successor]]

_STAGES: dict[str, Handler] = {}
_LASTING: dict[str, Callable[[Walk, Timer], bool]] = {}
_MOVING: set[str] = set()


def stage(name: str, lasting: Callable[[Walk, Timer], bool] | None = None, moving: bool = False) -> Callable[[Handler], Handler]:
    """Register the function that handles flights (or timers) of this stage.

    `lasting`: does this timer outlive the walk that set it? `moving`: such a timer is a frame on its way, as a flight is.
    """

    def register(fn: Handler) -> Handler:
        _STAGES[name] = fn
        if moving:
            _MOVING.add(name)
        if lasting is not None:
            _LASTING[name] = lasting
        return fn

    return register


@value
class Event(Value):
    """Something a socket's owner hears of: "connected", "answer", "acked", "reset", "error", "reply"..."""

    time: float
    ns: str
    key: tuple[Any, ...]
    what: str
    flight: Flight | None
    value: Any = None


@value
class Ending(Value):
    """A packet that came to its end without being taken by anyone who expected it."""

    time: float
    code: str
    flight: Flight


class Draws:
    """Choices drawn by a hash of (seed, identity of the question, chooser): the same question gives the same draws."""

    def __init__(self, *identity: object):
        self._base = "\0".join(map(str, identity))
        self._counts: dict[str, int] = {}

    def choose(self, weights: Sequence[int], chooser: str) -> int:
        n = self._counts.get(chooser, 0)
        self._counts[chooser] = n + 1
        digest = hashlib.blake2b(f"{self._base}\0{chooser}\0{n}".encode(), digest_size=8).digest()
        ticket = int.from_bytes(digest, "big") % sum(weights)
        for i, w in enumerate(weights):
            ticket -= w
            if ticket < 0:
                return i
        raise AssertionError("weights sum to their own total")

    def fraction(self, chooser: str) -> float:
        """A number from 0 to below 1."""
        return self.choose((1,) * 1000, chooser) / 1000


class Script:
    """Choices told in advance; beyond them the first possible one. Records what could have been chosen, for `outcomes`.

    `made`: those of them that have been made already.
    """

    def __init__(self, told: Sequence[int] = (), made: Sequence[tuple[int, tuple[int, ...]]] = ()):
        self.told = list(told)
        self.made: list[tuple[int, tuple[int, ...]]] = list(made)

    def choose(self, weights: Sequence[int], chooser: str) -> int:
        i = len(self.made)
        pick = self.told[i] if i < len(self.told) else next(k for k, w in enumerate(weights) if w)
        self.made.append((pick, weights if isinstance(weights, tuple) else tuple(weights)))
        return pick

    def fraction(self, chooser: str) -> float:
        return 0.5


class Walk:
    """One run over a network and a state (which it changes). `quiet`: nobody will ask how it went, so nothing is noted."""

    def __init__(
        self, network: Network, state: State, chooser: Draws | Script | None = None, depth: int = 0, capture: bool = True,
        quiet: bool = False,
    ):  # fmt: skip
        self.net, self.state, self.quiet = network, state, quiet
        self.ns: Callable[[str], Namespace] = network.namespaces.__getitem__
        self.chooser = chooser or Draws(network.seed)
        self.depth = depth  # how many processes are waiting for this walk
        self.events: list[Event] = []
        self.heard = state.clock  # when the one who asked last heard of it
        self.endings: list[Ending] = []
        self.frames = Frames() if capture else None
        self.exchanges: list[tuple[str, Any]] = []  # what processes asked for on the way: (process name, Exchange)
        self.known: Exchanges | None = None  # of the ways of one question: exchanges that went the same way in another one
        self.recording: Recording | None = None
        self.asking: dict[tuple[str, str, str], tuple[Flight, ...]] = {}  # (ns, dev, ip) -> packets that wait for ARP
        self.silences: dict[str, tuple[str, str, Arp]] = {}  # address -> who could have answered for it, and did not: (ns, dev, question)
        self.refusals: dict[str, tuple[str, str, dict[str, Any]]] = {}  # address -> who dropped a request for it: code, namespace ...
        self._now: deque[Flight | Timer] = deque()
        self._later: list[tuple[float, int, Flight | Timer]] = []
        self._sequence = 0
        self.steps = 0

    # ------------------------------------------------------------------------------------------------ machine
    def send(self, item: Flight | Timer, delay: float = 0.0) -> None:
        if delay <= 0.0:
            self._now.append(item)
        else:
            self._sequence += 1
            heapq.heappush(self._later, (self.state.clock + delay, self._sequence, item))

    def run(self, until: Callable[[], bool], deadline: float) -> None:
        """Until `until()` holds, nothing is left to happen, or the lab's clock would pass `deadline`.

        `until` is about what has been told: it is asked at the beginning, and when there is more of that.
        """
        told = -1
        while True:
            if told != len(self.events):
                told = len(self.events)
                if until():
                    return
            if not self.step(deadline):
                self.state.clock = max(self.state.clock, deadline)  # the one who asked waits to the end
                return

    @property
    def settled(self) -> bool:
        """Nothing is under way: there are timers at most."""
        return not self._now and not any(isinstance(item, Flight) or item.stage in _MOVING for _, _, item in self._later)

    def quiet_until(self, when: float) -> bool:
        """Does nothing else happen before, or then?"""
        return not self._now and (not self._later or self._later[0][0] > when)

    def pending(self) -> tuple[int, tuple[tuple[float, int], ...]]:
        """What has yet to happen: how much at once, and when what came in which order."""
        return len(self._now), tuple(sorted((when, order) for when, order, _ in self._later))

    def settle(self) -> None:
        """Let what is under way arrive (the last ACK, say); who asked has gone on at `heard`."""
        deadline = self.state.clock + FLIGHT_TIME
        while not self.settled:
            if not self.step(deadline):
                self.state.clock = max(self.state.clock, deadline)
                return

    def step(self, deadline: float) -> bool:
        """Let the next thing happen; False if there is none before the deadline."""
        if self._now:
            item = self._now.popleft()
        elif self._later and self._later[0][0] <= deadline:
            self.state.clock, _, item = heapq.heappop(self._later)
        else:
            return False
        self.steps += 1
        if self.steps > STEP_LIMIT:
            raise KubenetError(f"the walk does not end: {STEP_LIMIT} steps; a forwarding loop without TTL?")
        for delay, successor in _STAGES[item.stage](self, item):
            if delay <= 0.0:
                self._now.append(successor)
            else:
                self.send(successor, delay)
        return True

    def fork(self, chooser: Draws | Script) -> Walk:
        """A walk that goes on from here with other choices, on a fork of the state. Not to be asked in the middle of a step."""
        other = object.__new__(Walk)
        other.net, other.ns, other.state, other.chooser = self.net, self.ns, self.state.fork(), chooser
        other.depth, other.quiet = self.depth, self.quiet
        other.heard, other.steps, other._sequence = self.heard, self.steps, self._sequence
        other.events, other.endings, other.exchanges = list(self.events), list(self.endings), list(self.exchanges)
        other.known, other.recording, self.recording = self.known, None, None
        other.asking, other.silences, other.refusals = dict(self.asking), dict(self.silences), dict(self.refusals)
        other._now, other._later = self._now.copy(), list(self._later)
        other.frames = None if self.frames is None else self.frames.fork()
        seen = self.state.capture
        other.state.capture = other.frames if seen is self.frames else None if seen is None else seen.fork()
        return other

    def go(self, name: str, f: Flight) -> Iterable[Successor]:
        """What the stage makes of a flight, at once: for the next step of the same stack. Between stacks a flight waits for its turn."""
        return _STAGES[name](self, f)

    def take(self, items: Iterable[tuple[float, int, Flight | Timer]]) -> None:
        """Things that have yet to happen, from another walk."""
        for when, _, item in items:
            self._sequence += 1
            heapq.heappush(self._later, (when, self._sequence, item))

    def leave(self) -> None:
        """The walk is over: what is still under way goes on by itself, and so do the timers that are not this walk's own."""
        for item in self._now:
            self._hand_over(self.state.clock, item)
        for when, _, item in sorted(self._later, key=lambda x: x[:2]):
            self._hand_over(when, item)
        self._now.clear()
        self._later.clear()

    def _hand_over(self, when: float, item: Flight | Timer) -> None:
        if isinstance(item, Flight):
            going_on = not item.aux
        else:
            lasting = _LASTING.get(item.stage)
            going_on = lasting is not None and lasting(self, item)
        if going_on:
            self.state.at(when, item)

    # ------------------------------------------------------------------------------------------------- helpers
    @property
    def now(self) -> float:
        return self.state.clock

    def choose(self, weights: Sequence[int], chooser: str) -> int:
        """The one door of chance. A single possibility is no choice."""
        if not (weights[0] and weights[-1] and len(weights) > 1) and weights.count(0) == len(weights) - 1:
            return next(i for i, w in enumerate(weights) if w)
        return self.chooser.choose(weights, chooser)

    def first(self, lot: Lot, place: str) -> int:
        """How many coins of a lot fall the other way before one falls this way. `place` begins the names of their choosers."""
        if isinstance(self.chooser, Script):
            return self.choose(lot.weights, place + lot.coins[0][1])
        return lot.thrown(lambda weights, chooser: self.choose(weights, place + chooser))

    def jitter(self, limit: float, chooser: str) -> float:
        """A random time below `limit` seconds. It delays and decides nothing, so `outcomes` does not fork here."""
        return limit * self.chooser.fraction(chooser)

    def note(
        self,
        f: Flight,
        code: str,
        *,
        entry: Any = None,
        after: Packet | Arp | None = None,
        smac: str | None = None,
        dmac: str | None = None,
        dev: str | None = None,
        major: bool = True,
        failed: bool = False,
        **params: Any,
    ) -> Flight:
        """The flight with one more event on its trail, and with the packet and MACs as they are after it.

        Questions for neighbours leave no trail: nobody asks for it.
        """
        quiet, before, s, d = self.quiet or f.aux, f.packet, f.smac, f.dmac
        if after is None and smac is None and dmac is None:
            if quiet:
                return f
            at = f.dev if dev is None else dev
            return f.on(Trail(f.trail, code, self.state.clock, f.ns, at, before, before, (s, s), (d, d), entry, params, major, failed))
        new = before if after is None else after
        macs = (s, s if smac is None else smac), (d, d if dmac is None else dmac)
        trail = None
        if not quiet:
            at = f.dev if dev is None else dev
            trail = Trail(f.trail, code, self.state.clock, f.ns, at, before, new, *macs, entry, params, major, failed)
        return f.rewritten(trail, new, macs[0][1], macs[1][1])

    def trail(
        self, f: Flight, code: str, after: Packet | Arp, smac: str, dmac: str, dev: str, params: Mapping[str, Any],
        major: bool = True, entry: Any = None,
    ) -> Trail | None:  # fmt: skip
        """The flight's trail with one more event, for a flight that is made anew after it: with this packet, and these MACs."""
        if self.quiet or f.aux:
            return None
        macs = (f.smac, smac), (f.dmac, dmac)
        return Trail(f.trail, code, self.state.clock, f.ns, dev, f.packet, after, *macs, entry, params, major, False)

    def end(self, f: Flight, code: str, **options: Any) -> Iterable[Successor]:
        """The packet ends here. Gives no successors."""
        f = self.note(f, code, failed=True, **options)
        if not f.aux:
            self.endings.append(Ending(self.state.clock, code, f))
        return ()

    def tell(self, f: Flight | None, ns: str, key: tuple[Any, ...], what: str, value: Any = None) -> None:
        self.events.append(Event(self.state.clock, ns, key, what, f, value))

    def tap(self, f: Flight) -> None:
        """A frame seen on a link, for captures."""
        if self.frames is not None:
            self.frames.records.append((self.state.clock, f, None))

    def tap_each(self, f: Flight, places: Iterable[str]) -> None:
        """The same frame on many links ("namespace/device") in one instant. `places` is kept, and may be read more than once."""
        if self.frames is not None:
            self.frames.records.append((self.state.clock, f, places))

    def trails(self) -> list[Trail]:
        return [e.flight.trail for e in self.endings if e.flight.trail]
