"""`ip route`. Source: iproute2 6.1 ip/iproute.c, Linux net/ipv4/fib_{frontend,semantics,trie}.c, net/ipv6/{route,ip6_fib}.c; measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cmp_to_key
from typing import TYPE_CHECKING, Any

from ...errors import CommandError, NotModelled
from ..address import family, number, prefix
from ..l3 import route_output
from ..routing import LOCAL, TABLES, Route, default_rules
from . import as_json
from .devices import by_index, carrier
from .ip_link import find_device
from .terminal import Terminal, ToolError
from .words import Words, address, begins, garbage, integer, invalid, prefix_text

if TYPE_CHECKING:
    from .ip import Options

__all__ = ["destination", "run", "sorted_routes", "table_name", "table_number", "with_status"]

_TYPES = ("unicast", "local", "broadcast", "multicast", "anycast", "blackhole", "unreachable", "prohibit", "throw", "nat", "xresolve")
_PROTOCOLS = {
    "unspec": "0",
    "redirect": "redirect",
    "kernel": "kernel",
    "boot": "boot",
    "static": "static",
    "dhcp": "dhcp",
    "bird": "bird",
    "ra": "ra",
}
_PROTOCOL_NUMBERS = {
    "1": "redirect",
    "2": "kernel",
    "3": "boot",
    "4": "static",
    "9": "ra",
    "12": "bird",
    "16": "dhcp",
    "186": "bgp",
    "188": "ospf",
}
_NAMES = {v: k for k, v in TABLES.items()}
_USAGE = """Usage: ip route { list | flush } SELECTOR
       ip route get ADDRESS [ from ADDRESS iif STRING ] [ oif STRING ] [ mark NUMBER ]
       ip route { add | del | change | append | replace } ROUTE
SELECTOR := [ root PREFIX ] [ match PREFIX ] [ exact PREFIX ] [ table TABLE_ID ]
            [ proto RTPROTO ] [ type TYPE ] [ scope SCOPE ] [ dev STRING ] [ via ADDRESS ]
ROUTE := [ TYPE ] PREFIX [ via ADDRESS ] [ dev STRING ] [ table TABLE_ID ] [ proto RTPROTO ]
         [ scope SCOPE ] [ metric METRIC ] [ src ADDRESS ] [ mtu NUMBER ] [ advmss NUMBER ] [ onlink ]
TYPE := { unicast | throw | unreachable | prohibit | blackhole }
(this is what kubenet-lab models of ip route)"""


def run(t: Terminal, words: Words, o: Options) -> str:
    choices = (
        "add",
        "change",
        "chg",
        "replace",
        "prepend",
        "append",
        "test",
        "delete",
        "get",
        "list",
        "show",
        "lst",
        "flush",
        "save",
        "restore",
        "showdump",
        "help",
    )
    command = words.command(choices, "show", "ip route")
    match command:
        case "add" | "change" | "chg" | "replace" | "append" | "prepend":
            return _change(t, words, o, command)
        case "delete":
            return _delete(t, words, o)
        case "list" | "show" | "lst":
            return _show(t, words, o)
        case "get":
            return _get(t, words, o)
        case "flush":
            return _flush(t, words, o)
        case "help":
            return _USAGE + "\n"
    raise NotModelled(f"ip route {command}")


def with_status(change: Callable[[], Any]) -> Any:
    """A refusal of the kernel is exit status 2, a device that is not there 1."""
    try:
        return change()
    except ToolError:
        raise
    except CommandError as e:
        text = str(e)
        raise ToolError(text, 1 if text.startswith("Cannot find device") else 2) from None


# ----------------------------------------------------------------------------------------------------------- printing
def table_name(table: int) -> str:
    return _NAMES.get(table, str(table))


def table_number(text: str, message: str) -> int:
    if text in TABLES:
        return TABLES[text]
    if text.isdigit() and int(text) <= 0xFFFFFFFF:
        return int(text)
    invalid(text, message)


def _trie_order(a: Route, b: Route) -> int:
    """IPv6 tables are walked children first, so the longer of two nested prefixes comes first."""
    p, q = prefix(a.dst), prefix(b.dst)
    if p.network == q.network and p.length == q.length:
        return (a.metric > b.metric) - (a.metric < b.metric)
    if p.covers(q):
        return 1
    if q.covers(p):
        return -1
    return -1 if p.network < q.network else 1


def sorted_routes(routes: list[Route], fam: int) -> list[Route]:
    """In the order in which the kernel dumps a table."""
    if fam == 4:
        return sorted(routes, key=lambda r: (prefix(r.dst).network, -prefix(r.dst).length, r.metric))
    return sorted(routes, key=cmp_to_key(_trie_order))


def destination(r: Route) -> str:
    p = prefix(r.dst)
    return "default" if r.default else p.text.split("/")[0] if p.length == p.bits else p.text


def _has_no_carrier(t: Terminal, r: Route) -> bool:
    link = t.ns.links.get(r.dev)
    return link is not None and link.up and r.type in ("unicast", "broadcast") and not carrier(t.network, t.ns, link)


def _record(t: Terminal, r: Route, *, hide: frozenset[str], details: bool) -> dict[str, Any]:
    """The fields of one route in the order in which they are printed."""
    six = r.family == 6
    out: dict[str, Any] = {}
    if r.type != "unicast" or details:
        out["type"] = r.type
    out["dst"] = destination(r)
    if r.via and "via" not in hide:
        out["gateway"] = r.via
    dev = r.dev or ("lo" if six and r.type != "unicast" else "")
    if dev and "dev" not in hide:
        out["dev"] = dev
    if "table" not in hide and r.table != 254:
        out["table"] = table_name(r.table)
    if (r.proto != "boot" or details) and "proto" not in hide:
        out["protocol"] = r.proto
    if "scope" not in hide and ((r.scope != "global" and not six) or details):
        out["scope"] = "global" if six else r.scope
    if r.src:
        out["prefsrc"] = r.src
    if r.metric or six:
        out["metric"] = r.metric
    out["flags"] = (["onlink"] if r.onlink else []) + (["linkdown"] if _has_no_carrier(t, r) else [])
    if metrics := {k: v for k, v in (("mtu", r.mtu), ("advmss", r.advmss)) if v}:
        out["metrics"] = [metrics]
    if six:
        out["pref"] = "medium"
    return out


def _text(record: dict[str, Any]) -> str:
    words = []
    names = {"gateway": "via", "protocol": "proto", "prefsrc": "src"}
    for key, value in record.items():
        if key in ("type", "dst"):
            words.append(value)
        elif key == "flags":
            words += value
        elif key == "metrics":
            words += [f"{k} {v}" for k, v in value[0].items()]
        else:
            words.append(f"{names.get(key, key)} {value}")
    text = " ".join(words)
    return text if record.get("pref") else text + " "


def _multicast(t: Terminal) -> list[Route]:
    """Every device that is ready has a route for IPv6 multicast."""
    kind: Any = "multicast"
    ready = [k.name for k in by_index(t.ns) if k.up and k.kind != "loopback" and carrier(t.network, t.ns, k)]
    return [Route("ff00::/8", name, type=kind, proto="kernel", metric=256, table=255) for name in ready]


def _all_routes(t: Terminal, fam: int) -> list[Route]:
    """Every table, other tables before main before local."""
    mine = [r for r in t.ns.routes if r.family == fam]
    local = t.ns.local_routes(fam)
    tables: dict[int, list[Route]] = {}
    for r in mine:
        tables.setdefault(r.table, []).append(r)
    tables[255] = [r for r in local if t.ns.links[r.dev].up or fam == 4]
    if fam == 6:
        tables[255] += _multicast(t)
    order = sorted(tables, key=lambda n: (n == 255, n == 254, n))
    return [r for n in order for r in sorted_routes(tables[n], fam)]


def _show(t: Terminal, words: Words, o: Options) -> str:
    chosen, hide = _filter(t, words, o)
    records = [_record(t, r, hide=hide, details=o.details) for r in chosen]
    if o.json:
        return as_json.dumps(records, o.pretty)
    return "".join(f"{_text(r)}\n" for r in records)


def _filter(t: Terminal, words: Words, o: Options) -> tuple[list[Route], frozenset[str]]:
    fam, table, hide = o.family, 254, {"table"}
    tests: list[Callable[[Route], bool]] = []
    while words:
        word = words.take()
        if begins(word, "table"):
            text = words.take()
            if text in ("all", "0"):
                table = 0
                hide.discard("table")
            elif text == "cache":
                raise NotModelled("ip route show cache")
            else:
                table = table_number(text, "table id value is invalid\n")
        elif word in ("dev", "oif", "iif"):
            name = words.take()
            find_device(t, name)
            tests.append(lambda r, name=name: (r.dev or ("lo" if r.family == 6 else "")) == name)  # type: ignore[misc]
            hide.add("dev")
        elif word == "via":
            text = words.take()
            fam, text = _with_family(words, text, fam)
            gateway = address(text, fam)
            tests.append(lambda r, gateway=gateway: r.via == gateway)  # type: ignore[misc]
            hide.add("via")
        elif begins(word, "protocol"):
            proto = words.take()
            if proto != "all":
                proto = _protocol(proto, '"protocol" is invalid\n')
                tests.append(lambda r, proto=proto: r.proto == proto)  # type: ignore[misc]
                hide.add("proto")
        elif begins(word, "scope"):
            scope = words.take()
            if scope != "all":
                if scope not in ("global", "link", "host", "nowhere", "universe"):
                    invalid(scope, 'invalid "scope"\n')
                scope = "global" if scope == "universe" else scope
                tests.append(lambda r, scope=scope: r.scope == scope)  # type: ignore[misc]
                hide.add("scope")
        elif begins(word, "type"):
            kind = words.take()
            if kind not in _TYPES:
                invalid(kind, "node type value is invalid\n")
            tests.append(lambda r, kind=kind: r.type == kind)  # type: ignore[misc]
        elif begins(word, "src"):
            src = address(words.take())
            tests.append(lambda r, src=src: r.src == src)  # type: ignore[misc]
        elif word in ("tos", "dsfield", "mark", "vrf", "cached", "cloned", "from", "realms", "nhid"):
            raise NotModelled(f"ip route show {word}")
        else:
            how = "exact"
            if word in ("to", "root", "match", "exact"):
                how = word
                word = words.take()
                if how == "to":
                    how = "exact"
                    if word in ("root", "match", "exact"):
                        how, word = word, words.take()
            text = prefix_text(word, fam)
            if word not in ("default", "any", "all"):
                fam = family(text)
            tests.append(_prefix_test(how, text, word in ("default", "any", "all")))
    fams = [fam] if fam else [4, 6] if table == 0 else [4]
    chosen = []
    for f in fams:
        found = [r for r in _all_routes(t, f) if table in (0, r.table)]
        if table not in (0, 253, 254, 255) and not found:
            raise ToolError(f"Error: ipv{f}: FIB table does not exist.\nDump terminated", 2)
        chosen += [r for r in found if all(test(r) for test in tests)]
    return chosen, frozenset(hide)


def _prefix_test(how: str, text: str, everything: bool) -> Callable[[Route], bool]:
    def test(r: Route) -> bool:
        if everything:
            return r.default
        p, q = prefix(text), prefix(r.dst)
        if p.family != q.family:
            return False
        return q == p if how == "exact" else p.covers(q) if how == "root" else q.covers(p)

    return test


# ----------------------------------------------------------------------------------------------------------- changing
def _protocol(text: str, message: str) -> str:
    if text in _PROTOCOLS:
        return _PROTOCOLS[text]
    if text in _PROTOCOL_NUMBERS.values():
        return text
    if text.isdigit() and int(text) < 256:
        return _PROTOCOL_NUMBERS.get(text, text)
    invalid(text, message)


def _with_family(words: Words, text: str, fam: int) -> tuple[int, str]:
    if text in ("inet", "inet6"):
        return (4 if text == "inet" else 6), words.take()
    return fam, text


def _parse(t: Terminal, words: Words, o: Options, *, deleting: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "" if deleting else "unicast"}
    fam = o.family
    dst = ""
    if not words:
        raise ToolError(_USAGE, 255)
    while words:
        word = words.take()
        if begins(word, "src"):
            out["src"] = address(words.take(), fam)
        elif word == "via":
            if "via" in out:
                invalid("via", "use nexthop syntax to specify multiple via\n")
            wanted, text = _with_family(words, words.take(), fam)
            if wanted and fam and wanted != fam:
                raise NotModelled("a next hop of the other family")
            gateway = address(text, wanted or fam or (6 if ":" in text else 4))
            out["via"] = gateway
            fam = family(gateway)
        elif (
            begins(word, "from")
            or begins(word, "tos")
            or word in ("dsfield", "encap", "as", "nhid", "ttl-propagate", "features", "congctl")
        ):
            raise NotModelled(f"ip route ... {word}")
        elif word in ("metric", "priority", "preference") or begins(word, "metric") or begins(word, "priority"):
            out["metric"] = integer(words.take(), '"metric" value is invalid\n')
        elif begins(word, "scope"):
            scope = words.take()
            if scope not in ("global", "link", "host", "universe", "nowhere"):
                invalid(scope, 'invalid "scope" value\n')
            out["scope"] = {"universe": "global"}.get(scope, scope)
        elif begins(word, "mtu"):
            if words.peek() == "lock":
                raise NotModelled("ip route ... mtu lock")
            out["mtu"] = integer(words.take(), '"mtu" value is invalid\n')
        elif word == "advmss":
            if words.peek() == "lock":
                raise NotModelled("ip route ... advmss lock")
            out["advmss"] = integer(words.take(), '"mss" value is invalid\n')
        elif word in (
            "hoplimit",
            "rtt",
            "rttvar",
            "window",
            "cwnd",
            "initcwnd",
            "initrwnd",
            "ssthresh",
            "quickack",
            "rto_min",
            "expires",
        ):
            raise NotModelled(f"ip route ... {word}")
        elif begins(word, "onlink"):
            out["onlink"] = True
        elif begins(word, "nexthop") or word == "nexthop":
            raise NotModelled("routes over several next hops")
        elif begins(word, "protocol"):
            out["proto"] = _protocol(words.take(), '"protocol" value is invalid\n')
        elif begins(word, "table"):
            out["table"] = table_number(words.take(), '"table" value is invalid\n')
        elif word in ("dev", "oif"):
            out["dev"] = words.take()
        elif word == "pref":
            if words.take() not in ("medium", "0"):
                raise NotModelled("IPv6 router preference")
        else:
            kind = ""
            if begins(word, "to"):
                word = words.take()
            if word in _TYPES:
                kind, word = word, words.take()
            if dst:
                garbage("to", word)
            if kind:
                out["type"] = kind
            dst = "default" if word in ("default", "any", "all") else prefix_text(word, fam)
            if dst != "default" and not fam:
                fam = family(dst)
    if "dev" in out:
        find_device(t, out["dev"])
    if not dst:
        dst = "default"
    fam = fam or 4
    out["family"] = fam
    out["dst"] = ("0.0.0.0/0" if fam == 4 else "::/0") if dst == "default" else dst
    return out


def _change(t: Terminal, words: Words, o: Options, command: str) -> str:
    p = _parse(t, words, o, deleting=False)
    fam, dst = p.pop("family"), p["dst"]
    kind = p["type"]
    if kind in ("local", "broadcast", "multicast", "anycast", "nat", "xresolve"):
        raise NotModelled(f"ip route {command} {kind}")
    if p.get("onlink") and not p.get("via"):
        raise ToolError(
            "Error: Invalid flags for nexthop - PERVASIVE and ONLINK can not be set."
            if fam == 4
            else "RTNETLINK answers: No route to host",
            2,
        )
    if p.get("onlink") and not p.get("dev"):
        raise ToolError("Error: Nexthop device required for onlink.", 2)
    if kind != "unicast" and fam == 6:
        p.pop("dev", None)
        p.pop("via", None)
    if kind != "unicast" and (p.get("dev") or p.get("via")):
        raise ToolError("Error: Gateway, device and multipath can not be specified for this route type.", 2)
    if number(prefix(dst).address) != prefix(dst).network:
        raise ToolError("Error: Invalid prefix for given prefix length." if fam == 4 else "RTNETLINK answers: Invalid argument", 2)
    if fam == 4 and p.get("dev") and not t.ns.links[p["dev"]].up:
        gateway = "Error: Nexthop device is not up." if p.get("onlink") else "Error: Nexthop has invalid gateway."
        raise ToolError(gateway if p.get("via") else "Error: Device for nexthop is not up.", 2)
    if fam == 4 and p.get("via") and not p.get("onlink") and t.ns.local_device(p["via"]) is not None:
        raise NotModelled("a gateway that is this namespace's own address")
    if fam == 4 and p.get("onlink") and t.ns.local_device(p["via"]) is not None:
        raise ToolError("Error: Nexthop has invalid gateway.", 2)
    before = list(t.ns.routes)
    metric = p.get("metric", 1024 if fam == 6 else 0) or (1024 if fam == 6 else 0)
    p["metric"] = metric
    same = [r for r in before if r.key == (prefix(dst).text, metric, p.get("table", 254)) and r.family == fam]
    if fam == 6 and p.get("via") and not p.get("onlink"):
        _reachable6(t, p)
    if fam == 6 and kind == "unicast" and not p.get("via") and p.get("scope") is None:
        p["scope"] = "global"
    with_status(lambda: _try(t, p))
    if p.get("src") and t.ns.local_device(p["src"]) is None:
        raise ToolError("Error: Invalid prefsrc address." if fam == 4 else "Error: Invalid source address.", 2)
    if command in ("change", "chg") and not same:
        raise ToolError("RTNETLINK answers: No such file or directory", 2)
    if command == "add" and same:
        raise ToolError("RTNETLINK answers: File exists", 2)
    route = t.ns.add_route(**p, replace_existing=True)
    if command in ("append", "prepend"):
        if fam == 6 and same:
            t.ns.routes = before
            raise NotModelled("routes over several next hops (IPv6 appends a next hop to an existing route)")
        if route in before:
            t.ns.routes = before
            raise ToolError("RTNETLINK answers: File exists", 2)
        where = len(before) if command == "append" else next((i for i, r in enumerate(before) if r in same), len(before))
        t.ns.routes = [*before[:where], route, *before[where:]]
        t.ns._changed()
    t.changed = True
    return ""


def _reachable6(t: Terminal, p: dict[str, Any]) -> None:
    if t.ns.local_device(p["via"]) is not None:
        raise ToolError("Error: Gateway can not be a local address.", 2)
    towards = t.ns.fib(6).lookup(p["via"], oif=p.get("dev", ""))
    if towards is None or towards.type != "unicast" or towards.via or towards.dev == "lo":
        raise ToolError("RTNETLINK answers: No route to host", 2)


def _try(t: Terminal, p: dict[str, Any]) -> None:
    """Would the kernel take it, but for the one that is there?"""
    before = list(t.ns.routes)
    try:
        t.ns.add_route(**p, replace_existing=True)
    finally:
        t.ns.routes = before
        t.ns._changed()


def _delete(t: Terminal, words: Words, o: Options) -> str:
    p = _parse(t, words, o, deleting=True)
    fam, dst, table = p["family"], prefix(p["dst"]).text, p.get("table", 254)
    if table == 255 or p["type"] in ("local", "broadcast"):
        raise NotModelled("changing table local: it follows from the addresses")
    if number(prefix(p["dst"]).address) != prefix(p["dst"]).network and fam == 4:
        raise ToolError("Error: Invalid prefix for given prefix length.", 2)
    if table not in (253, 254, 255) and not any(r.table == table and r.family == fam for r in t.ns.routes):
        raise ToolError("Error: FIB table does not exist.", 2)
    for r in sorted(t.ns.routes, key=lambda r: r.metric):  # the one that is looked at first goes first
        if r.family != fam or r.dst != dst or r.table != table:
            continue
        if any(p.get(k) not in (None, "", getattr(r, k)) for k in ("type", "via", "src", "metric", "proto", "scope", "dev")):
            continue
        t.ns.routes.remove(r)
        t.ns._changed()
        t.changed = True
        return ""
    raise ToolError("RTNETLINK answers: No such process", 2)


def _flush(t: Terminal, words: Words, o: Options) -> str:
    if not words:
        raise ToolError('"ip route flush" requires arguments.', 1)
    if words.peek() == "cache":
        t.state.drop("pmtu", t.ns.id)
        return ""
    if words.peek() == "table" and words.rest[1:2] == ["cache"]:
        t.state.drop("pmtu", t.ns.id)
        return ""
    chosen, _ = _filter(t, words, o)
    gone = [r for r in chosen if r in t.ns.routes]
    if any(r.table == 255 for r in chosen):
        raise NotModelled("changing table local: it follows from the addresses")
    for r in gone:
        t.ns.routes.remove(r)
        t.changed = True
    t.ns._changed()
    if o.statistics and not gone:
        return "Nothing to flush.\n"
    return ""


# ---------------------------------------------------------------------------------------------------------------- get
_ERRNO = {"ENETUNREACH": "Network is unreachable", "EHOSTUNREACH": "No route to host", "EINVAL": "Invalid argument", "EACCES": "Permission denied",
          "EADDRNOTAVAIL": "Cannot assign requested address"}  # fmt: skip


def _get(t: Terminal, words: Words, o: Options) -> str:
    dst = src = iif = oif = ""
    mark = 0
    while words:
        word = words.take()
        if begins(word, "from"):
            src = prefix_text(words.take(), o.family).split("/")[0]
        elif begins(word, "iif"):
            iif = words.take()
            find_device(t, iif)
        elif begins(word, "oif") or word == "dev":
            oif = words.take()
            find_device(t, oif)
        elif begins(word, "mark"):
            mark = integer(words.take(), "bad mark")
        elif word in ("fibmatch", "tos", "dsfield", "uid", "ipproto", "sport", "dport", "vrf", "notify", "connected", "as"):
            raise NotModelled(f"ip route get ... {word}")
        else:
            if word == "to":
                word = words.take()
            dst = prefix_text(word, o.family).split("/")[0]
    if not dst:
        raise ToolError("need at least a destination address", 1)
    six = family(dst) == 6
    ns = t.ns
    if iif:
        route = ns.fib(family(dst)).lookup(dst, src=src, mark=mark, iif=iif)
        problem = (
            ""
            if route is not None and (route.type in LOCAL or ns.forwards(family(dst)))
            else "EHOSTUNREACH"
            if not ns.forwards(family(dst))
            else "ENETUNREACH"
        )
        if not problem and route is not None and route.type not in ("unicast", *LOCAL):
            problem = {"blackhole": "EINVAL", "unreachable": "EHOSTUNREACH", "prohibit": "EACCES"}.get(route.type, "EINVAL")
        chosen = ""
        if route is not None and route.type in LOCAL:
            route = replace(route, dev="lo")
    else:
        if src and ns.local_device(src) is None:
            raise ToolError("RTNETLINK answers: " + ("Network is unreachable" if not six else "No route to host"), 2)
        route, chosen, problem = route_output(ns, dst, src, mark, oif)
    if problem == "EADDRNOTAVAIL":
        problem = ""  # a route without a source address is a route
    if problem or route is None:
        raise ToolError(f"RTNETLINK answers: {_ERRNO.get(problem, 'Network is unreachable')}", 2)
    record: dict[str, Any] = {}
    if route.type in LOCAL:
        record["type"] = route.type
    record["dst"] = dst
    if six:
        record["from"] = src or "::"
    elif src:
        record["from"] = src
    if route.via:
        record["gateway"] = route.via
    record["dev"] = route.dev
    # without rules of its own a namespace keeps the local table inside main (fib_trie.c)
    merged = not six and route.table == 255 and not any(r.family == 4 and r not in default_rules(4) for r in ns.rules)
    if route.table != 254 and not merged:
        record["table"] = table_name(route.table)
    if six and route.proto != "boot":
        record["protocol"] = route.proto
    if chosen and (six or not src):
        record["prefsrc"] = chosen
    if mark:
        record["mark"] = f"{mark:#x}" if mark >= 16 else str(mark)
    if six:
        record["metric"] = route.metric
    if not six:
        record["uid"] = 0
    learned = t.state.read("pmtu", ns.id).get(dst)
    mtu = f"expires {int(learned[1] - t.state.clock)}sec mtu {learned[0]} " if learned and t.state.clock <= learned[1] else ""
    if six:
        mtu = mtu.rstrip() or (f"mtu {route.mtu}" if route.mtu else "")
        mtu = f"{mtu} advmss {route.advmss}".strip() if route.advmss else mtu
        return _text({**record, "flags": []}).rstrip() + (f" {mtu}" if mtu else "") + " pref medium\n"
    if o.json:
        raise NotModelled("ip -j route get")
    cache = "cache " + ("<local> " if route.type == "local" else "") + mtu
    if route.mtu and not mtu:
        cache += f"mtu {route.mtu} "
    if route.advmss:
        cache += f"advmss {route.advmss} "
    if iif:
        cache += f"iif {iif} "
    names = {"gateway": "via", "prefsrc": "src"}
    text = " ".join(str(v) if k in ("type", "dst") else f"{names.get(k, k)} {v}" for k, v in record.items())
    return f"{text} {chr(92) if o.oneline else chr(10)}    {cache}\n"
