"""`ip`: options and objects. Source: iproute2 6.1 ip/ip.c."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import NotModelled
from . import ip_address, ip_link, ip_neigh, ip_route, ip_rule
from .terminal import Terminal, ToolError
from .words import Words, begins

__all__ = ["run"]

VERSION = "ip utility, iproute2-6.1.0\n"

#: in the order in which the real tool tries beginnings; those without a module are not modelled
_OBJECTS = (
    "address", "addrlabel", "maddress", "route", "rule", "neighbor", "neighbour", "ntable", "ntbl", "link", "l2tp", "fou", "ila", "macsec",
    "tunnel", "tunl", "tuntap", "tap", "token", "tcpmetrics", "monitor", "xfrm", "mroute", "mrule", "netns", "netconf", "vrf", "sr", "nexthop",
    "mptcp", "ioam", "help", "stats", "amt",
)  # fmt: skip

_USAGE = """Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }
where  OBJECT := { address | link | neighbor | neighbour | route | rule }
       OPTIONS := { -V[ersion] | -s[tatistics] | -d[etails] | -j[son] | -p[retty] |
                    -f[amily] { inet | inet6 } | -4 | -6 | -br[ief] | -o[neline] |
                    -N[umeric] }
(this is what kubenet-lab models of ip)"""


@dataclass(slots=True)
class Options:
    """What stands before the object."""

    family: int = 0  # 4, 6 or 0 for both
    brief: bool = False
    oneline: bool = False
    details: bool = False
    statistics: int = 0
    json: bool = False
    pretty: bool = False


def options_of(words: Words, tool: str = "ip") -> Options | str:
    """The options; or a text to be printed instead of running anything."""
    o = Options()
    while words and words.peek().startswith("-"):
        raw = words.take()
        if raw == "--":
            break
        opt = raw[1:] if raw.startswith("--") else raw
        if begins(opt, "-family"):
            name = words.take()
            if name not in ("inet", "inet6"):
                if name in ("bridge", "link", "mpls"):
                    raise NotModelled(f"{tool} -f {name}")
                raise ToolError(f'Error: argument "{name}" is wrong: invalid protocol family', 255)
            o.family = 4 if name == "inet" else 6
        elif opt == "-4":
            o.family = 4
        elif opt == "-6":
            o.family = 6
        elif begins(opt, "-human-readable") or begins(opt, "-numeric") or opt.startswith("-c") or opt in ("-N", "-iec", "-a", "-all"):
            pass
        elif begins(opt, "-statistics") or begins(opt, "-stats"):
            o.statistics += 1
        elif begins(opt, "-details"):
            o.details = True
        elif begins(opt, "-oneline"):
            o.oneline = True
        elif opt == "-V" or begins(opt, "-Version"):
            return VERSION.replace("ip utility", "bridge utility", 1).replace("iproute2-6.1.0", "6.1.0") if tool == "bridge" else VERSION
        elif begins(opt, "-json"):
            o.json = True
        elif begins(opt, "-pretty"):
            o.pretty = True
        elif begins(opt, "-brief"):
            o.brief = True
        elif (
            begins(opt, "-netns")
            or begins(opt, "-batch")
            or begins(opt, "-timestamp")
            or opt in ("-ts", "-0", "-B", "-M", "-r", "-resolve", "-rc")
        ):
            raise NotModelled(f"{tool} {raw}")
        elif begins(opt, "-help"):
            return _USAGE + "\n"
        else:
            raise ToolError(f'Option "{opt}" is unknown, try "{tool} -help".', 255)
    return o


def run(t: Terminal, argv: list[str]) -> str:
    words = Words(argv[1:])
    o = options_of(words)
    if isinstance(o, str):
        return o
    if not words:
        raise ToolError(_USAGE, 255)
    word = words.take()
    name = next((n for n in _OBJECTS if begins(word, n)), None)
    if name is None:
        raise ToolError(f'Object "{word}" is unknown, try "ip help".', 1)
    match name:
        case "address":
            return ip_address.run(t, words, o)
        case "link":
            return ip_link.run(t, words, o)
        case "route":
            return ip_route.run(t, words, o)
        case "rule":
            return ip_rule.run(t, words, o)
        case "neighbor" | "neighbour":
            return ip_neigh.run(t, words, o)
        case "help":
            return _USAGE + "\n"
    raise NotModelled(f"ip {name}; kubenet-lab knows ip address, link, neighbour, route and rule")
