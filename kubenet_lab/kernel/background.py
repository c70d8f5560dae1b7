"""What goes on by itself: connections that nobody owns any more close, what was lost is sent again, late packets arrive.

A question ends when its client has heard what it waited for. What it leaves is in `State.later`, and is carried out before
anybody looks at the state or changes what is programmed.
"""

from __future__ import annotations

from typing import Any

from .flight import Flight, Timer
from .namespace import Namespace
from .nat import forget_masquerades
from .network import Network
from .state import State
from .walk import Draws, Walk

__all__ = ["catch_up"]


def catch_up(net: Network, state: State) -> list[tuple[Any, ...]]:
    """Let everything happen that is due, and what it sends arrive. The frames that were seen on the way."""
    if state.programmed != (net.serial, Namespace.changes):
        state.programmed = (net.serial, Namespace.changes)
        for _, name in [key for key in state.keys() if key[0] == "ct-entries"]:  # noqa: SIM118  (a State is no dictionary)
            if name in net.namespaces:
                forget_masquerades(net.namespaces[name], state)
    if not state.later or state.later[0][0] > state.clock:
        return []
    due, now = sorted(state.later, key=lambda x: x[:2]), state.clock
    state.later = []
    state.clock = due[0][0]
    w = Walk(net, state, Draws(net.seed, "background", due[0][1]), quiet=True)
    w.take(x for x in due if _possible(net, x[2]))
    w.run(lambda: False, now)
    w.settle()
    w.leave()
    assert w.frames is not None
    if state.capture is not None:
        state.capture.extend(w.frames)
    frames: list[tuple[Any, ...]] = [*w.frames]
    if state.seen is not None and frames:
        state.seen(frames)
    return frames


def _possible(net: Network, item: Flight | Timer) -> bool:
    """What was under way on a machine or device that is gone is lost."""
    ns = net.namespaces.get(item.ns)
    if ns is None:
        return False
    return isinstance(item, Timer) or all(not dev or dev in ns.links for dev in (item.dev, item.indev, item.physin))
