"""`Files`: what a machine has on disk, as far as the lab knows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field

__all__ = ["Files"]

#: folders that are there although nothing is in them
_STAY = ("/var/lib/cni", "/var/lib/cni/networks")
_WHOLE = ("/etc/cni", "/etc/calico", "/run/flannel", "/var/lib/cni")


@dataclass(slots=True)
class Files:
    """{path: text}. `disk` is what programs remember, and can be changed; `made` is written by agents again and again.

    Of the folders in `whole` everything is here that there is to see; of others (/etc, /run) a part. `wrote` tells whether a command
    changed `disk`.
    """

    disk: MutableMapping[str, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    whole: tuple[str, ...] = _WHOLE
    wrote: bool = False

    def text(self, path: str) -> str | None:
        return self.disk.get(path, self.made.get(path))

    def paths(self) -> Iterator[str]:
        yield from self.disk
        yield from (p for p in self.made if p not in self.disk)

    def is_folder(self, path: str) -> bool:
        """Folders are those that hold files, and a few that stay when they are empty."""
        head = path.rstrip("/") + "/"
        return path == "/" or path in _STAY or any(p.startswith(head) for p in self.paths())

    def names(self, folder: str) -> list[str]:
        """What a folder holds, sorted as in the C locale."""
        head = folder.rstrip("/") + "/"
        return sorted({p[len(head) :].partition("/")[0] for p in self.paths() if p.startswith(head)})
