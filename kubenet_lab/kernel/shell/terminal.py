"""`Terminal`: where a command runs and what it leaves; `ToolError`: what a tool prints when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import CommandError
from ..namespace import Namespace
from ..network import Network
from ..packet import Frame
from ..state import State
from ..walk import Walk
from .disk import Files

__all__ = ["Capture", "Terminal", "ToolError", "captured"]

#: (lab time, "namespace/device", frame) of every frame seen on a link
Capture = list[tuple[float, str, Frame]]


class ToolError(CommandError):
    """What the real tool prints before it gives up; `status` is its exit status."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(message)
        self.status = status


def captured(frames: Iterable[tuple[Any, ...]]) -> Capture:
    """Frames of a walk (time, where, source MAC, destination MAC, packet) or of a trace (time, where, frame), as the latter."""
    return [(f[0], f[1], f[2] if len(f) == 3 else Frame(f[2], f[3], f[4])) for f in frames]


@dataclass(slots=True)
class Terminal:
    """One command's surroundings. A tool sets `changed` when it changes what is programmed and `status` when it does not exit with 0.

    `frames` are those of the last traffic; a tool that sends replaces them by its own.
    `resolve` gives the addresses of a name, as this namespace's resolver finds them. `stderr` is what does not go through a pipe.
    """

    network: Network
    state: State
    ns: Namespace
    stdin: str = ""
    frames: Capture = field(default_factory=list)
    resolve: Callable[[str], Sequence[str]] | None = None
    changed: bool = False
    status: int = 0
    files: Files = field(default_factory=Files)
    stderr: str = ""

    def walk(self) -> Walk:
        return Walk(self.network, self.state)
