"""A node's disk: what allocations and people put there, over what the agents and plugins wrote when the network was built."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, MutableMapping

__all__ = ["ALLOCATED", "NodeDisk", "beneath"]

#: where host-local keeps addresses: there the allocations are the truth
ALLOCATED = "/var/lib/cni/networks/"


def beneath(kept: Mapping[str, str], written: Mapping[str, str]) -> dict[str, str]:
    """What of the files `written` when the network was built is still to be seen beside those that are kept."""
    folders = {posixpath.dirname(p) for p in kept if p.startswith(ALLOCATED)}
    return {p: text for p, text in written.items() if p not in kept and posixpath.dirname(p) not in folders}


class NodeDisk(MutableMapping[str, str]):
    """`kept` outlives the network and takes every change; `written` is made anew with it."""

    def __init__(self, kept: MutableMapping[str, str], written: Mapping[str, str]):
        self._kept, self._written = kept, dict(written)

    def _seen(self) -> dict[str, str]:
        return {**beneath(self._kept, self._written), **self._kept}

    def __getitem__(self, path: str) -> str:
        return self._kept[path] if path in self._kept else self._seen()[path]

    def __setitem__(self, path: str, text: str) -> None:
        self._kept[path] = text

    def __delitem__(self, path: str) -> None:
        if path not in self:
            raise KeyError(path)
        self._kept.pop(path, None)
        self._written.pop(path, None)

    def __contains__(self, path: object) -> bool:
        return path in self._kept or (path in self._written and path in self._seen())

    def __iter__(self) -> Iterator[str]:
        return iter(self._seen())

    def __len__(self) -> int:
        return len(self._seen())
