"""`type macvlan` of `ip link`: its options, and its line of `ip -d link`. Source: iproute2 6.1 ip/iplink_macvlan.c; measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import NotModelled
from ..links import Link
from ..stacked import add_macvlan
from .terminal import Terminal, ToolError
from .words import Words, begins

if TYPE_CHECKING:
    from ..namespace import Namespace

__all__ = ["add", "details", "options"]

_MODES = ("private", "vepa", "bridge", "passthru")
_USAGE = """Usage: ... macvlan mode MODE [flag MODE_FLAG] MODE_OPTS [bcqueuelen BC_QUEUE_LEN]

MODE: private | vepa | bridge | passthru | source
MODE_FLAG: null | nopromisc | nodst
MODE_OPTS: for mode "source":
\tmacaddr { { add | del } <macaddr> | set [ <macaddr> [ <macaddr>  ... ] ] | flush }
BC_QUEUE_LEN: Length of the rx queue for broadcast/multicast: [0-4294967295]"""


def options(words: Words) -> dict[str, Any]:
    """What follows `type macvlan`: fields of MacvlanOptions. Raises ToolError as the tool does."""
    found: dict[str, Any] = {}
    while words:
        word = words.take()
        if begins(word, "mode"):
            mode = words.take()
            if mode == "source":
                raise NotModelled("macvlan mode source, which accepts frames by a list of senders")
            if mode not in _MODES:
                raise ToolError(f'Error: argument of "mode" must be "private", "vepa", "bridge", "passthru" or "source", not "{mode}"', 1)
            found["mode"] = mode
        elif begins(word, "flag"):
            flag = words.take()
            if flag == "nodst":
                raise NotModelled("macvlan flag nodst, which belongs to mode source")
            if flag not in ("nopromisc", "null"):
                raise ToolError(f'Error: argument of "flag" must be "nopromisc", "nodst" or "null", not "{flag}"', 1)
            found["nopromisc"] = flag == "nopromisc"
        elif word == "nopromisc":
            found["nopromisc"] = True
        elif begins(word, "macaddr") or begins(word, "bcqueuelen") or begins(word, "bclim"):
            raise NotModelled(f"macvlan {word}")
        elif begins(word, "help"):
            raise ToolError(_USAGE, 1)
        else:
            raise ToolError(f'macvlan: unknown option "{word}"?\n{_USAGE}', 1)
    return found


def add(t: Terminal, words: Words, name: str, parent: str, target: Namespace, *, mac: str, mtu: int) -> None:
    """`ip link add NAME link PARENT [netns TARGET] type macvlan ...`"""
    found = options(words)
    if parent and parent not in t.ns.links:
        raise ToolError(f'Cannot find device "{parent}"', 1)
    if name in target.links:
        raise ToolError("RTNETLINK answers: File exists", 2)
    if mac and int(mac[:2], 16) & 1:
        raise ToolError("RTNETLINK answers: Cannot assign requested address", 2)
    if not parent:
        raise ToolError("RTNETLINK answers: Invalid argument", 2)
    add_macvlan(target, name, (t.ns, parent), found.get("mode", "vepa"), mtu=mtu, mac=mac, up=False, nopromisc=found.get("nopromisc", False))


def details(link: Link) -> str:
    m = link.macvlan
    if m is None:
        return ""
    return f"macvlan mode {m.mode} {'nopromisc ' if m.nopromisc else ''}bcqueuelen 1000 usedbcqueuelen 1000 "
