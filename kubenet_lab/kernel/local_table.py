"""Table `local` of a namespace: made from its addresses, and in IPv6 from what its routers' part asks for.

Sources: Linux net/ipv4/fib_frontend.c (fib_add_ifaddr), net/ipv6/addrconf.c (addrconf_join_anycast), net/ipv6/anycast.c; RFC 4291 2.6.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .address import number, prefix
from .links import Link
from .routing import Route

if TYPE_CHECKING:
    from .namespace import Namespace

__all__ = ["address_type", "local_routes", "routes_six", "subnet_routers"]


def local_routes(ns: Namespace, fam: int) -> list[Route]:
    """Its routes in the order in which they came; of two to the same address the first one decides."""
    out = []
    for dev, a in ns.addresses(fam):
        link = ns.links[dev]
        # a secondary address is reached from its network's first one
        same = (a.network, a.length, a.scope)
        first = a if fam == 6 else next(b for b in link.addresses if b.family == 4 and (b.network, b.length, b.scope) == same)
        src = first.ip if fam == 4 else ""
        route = Route(f"{a.ip}/{32 if fam == 4 else 128}", dev, type="local", scope="host", src=src, proto="kernel", table=255)
        if route not in out:
            out.append(route)
        if link.kind == "loopback" and fam == 4 and a.length < 32 and first is a:
            out.append(Route(a.network, dev, type="local", scope="host", src=a.ip, proto="kernel", table=255))
        if a.broadcast and link.up and first is a:
            out.append(Route(f"{a.broadcast}/32", dev, type="broadcast", scope="link", src=a.ip, proto="kernel", table=255))
        if fam == 6 and link.up and a.length < 127 and routes_six(ns, link):
            route = Route(f"{prefix(a.network).address}/128", dev, type="anycast", proto="kernel", table=255)
            if route not in out:
                out.append(route)
    return out


def routes_six(ns: Namespace, link: Link) -> bool:
    """Is a device one of an IPv6 router's?"""
    return bool(ns.sysctls.get(f"net.ipv6.conf.{link.name}.forwarding", int(ns.forwards(6))))


def subnet_routers(ns: Namespace, link: Link) -> list[str]:
    """The subnet-router anycast addresses of a device that forwards IPv6: its networks' first (RFC 4291 2.6.1; addrconf_join_anycast)."""
    networks = [a.network for a in link.addresses if a.family == 6 and a.length < 127] if routes_six(ns, link) else []
    return list(dict.fromkeys(str(prefix(n).address) for n in networks))


def address_type(ns: Namespace, address: str, dev: str | None = None) -> str:
    """The type of an address to `addrtype` and `fib ... type`, by the route to it; `dev`: own addresses are only those of that device."""
    route, found = ns.fib(6 if ":" in address else 4).lookup(address), ns.local_device(address)
    if route is not None and dev is None and _is_anycast(route, address):
        return "ANYCAST"
    if found is not None and dev in (None, found):
        return "LOCAL"
    if address.startswith(("22", "23")) and number(address) >> 28 == 14:
        return "MULTICAST"
    if route is None:
        return "UNREACHABLE"
    return {"unicast": "UNICAST", "local": "LOCAL", "broadcast": "BROADCAST", "blackhole": "BLACKHOLE"}.get(route.type, route.type.upper())


def _is_anycast(route: Route, address: str) -> bool:
    """Also for who is none of those routers, but on their link (ipv6_anycast_destination)."""
    if route.family == 4 or route.type == "anycast":
        return route.type == "anycast"
    p = prefix(route.dst)
    return route.type == "unicast" and p.length < 127 and not route.via and number(address) == p.network
