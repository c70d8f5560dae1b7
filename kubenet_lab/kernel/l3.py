"""IP: receive, route, forward, send, fragment.

Sources: Linux net/ipv4/{ip_input,ip_forward,ip_output,ip_fragment,route,fib_frontend}.c and their IPv6 twins.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import hooks, icmp
from .address import family, number
from .flight import Flight
from .namespace import Namespace
from .neighbours import resolve
from .packet import Filler, Icmp, Packet, Raw
from .routing import LOCAL, Route
from .walk import Ending, Successor, Walk, stage

__all__ = ["MAX_SIZE", "connected_to", "fragments", "learn_path_mtu", "martian", "path_mtu", "reassemble", "route_output"]

Successors = Iterable[Successor]


# -------------------------------------------------------------------------------------------------------- receive
@stage("ip_rcv")
def ip_rcv(w: Walk, f: Flight) -> Successors:
    """PREROUTING, then the routing decision: for this namespace, or to be forwarded?"""
    ns = w.ns(f.ns)
    if f.bridged:
        passed: hooks.Passed | hooks.Skb = hooks.Passed(f)
    else:
        # over lo the skb keeps its conntrack reference: PREROUTING sees what OUTPUT decided
        if f.ctinfo and ns.links[f.dev].kind != "loopback":
            f = f.to("ip_rcv", ct=None, ctinfo="")
        passed = hooks.run(w, f, "prerouting", indev=f.indev, physin=f.physin)
        if passed.stopped is not None:
            return passed.stopped
    packet = passed.packet
    fam = packet.family
    problem = martian(ns, f.indev, packet.src, packet.dst)
    if problem:
        return w.end(passed.flight, problem, dev=f.indev)
    route = ns.fib(fam).lookup(packet.dst, src=packet.src, mark=passed.mark, iif=f.indev)
    if route is not None and route.type in LOCAL:
        return local_in(w, passed.to("local_in", route=route))
    f = passed.flight
    if route is None:
        if not ns.forwards(fam, f.indev):
            return w.end(f, "forward.disabled", dev=f.indev)
        return _unroutable(w, f, "net-unreachable", None)
    if route.type == "broadcast":
        return w.end(f, "route.broadcast", entry=route, dev=f.indev)
    if not ns.forwards(fam, f.indev):
        return w.end(f, "forward.disabled", dev=f.indev)
    if route.type == "blackhole":
        return w.end(f, "route.blackhole", entry=route, dev=f.indev, default=route.default, dst=route.dst, proto=route.proto)
    if route.type in ("unreachable", "prohibit"):
        # a route says "no host" (fib_props), a rule "no network" (fib4_rule_action)
        unreachable = "net-unreachable" if route.proto == "rule" else "host-unreachable"
        return _unroutable(w, f, unreachable if route.type == "unreachable" else "admin-prohibited", route)
    return forward(w, f, ns, packet, route)


def _unroutable(w: Walk, f: Flight, kind: str, route: Route | None) -> Successors:
    f = w.note(f, "route.unreachable", entry=route, failed=True, dev=f.indev, kind=kind)
    w.endings.append(Ending(w.now, "route.unreachable", f))
    return icmp.error(w, f, kind)


def martian(ns: Namespace, dev: str, src: str, dst: str) -> str:
    """Packets that cannot be real where they come in (fib_validate_source), and rp_filter."""
    if ":" in dst:
        return ""
    loopback, localnet, accept_local, mode = ns.derived.get(("checks", dev)) or _input_checks(ns, dev)
    if loopback:
        return ""
    if not localnet:
        if dst.startswith("127."):
            return "martian.destination"
        if src.startswith("127."):
            return "martian.source"
    if not accept_local and ns.local_device(src) not in (None, "lo"):
        return "martian.source"
    if mode:
        back = ns.fib(4).lookup(src, src=dst, mark=0)
        if back is None or back.type != "unicast":
            return "rp_filter"
        # a device without an address has no loose mode
        if back.dev != dev and (mode == 1 or not any(a.family == 4 for a in ns.links[dev].addresses)):
            return "rp_filter"
    return ""


def _input_checks(ns: Namespace, dev: str) -> tuple[bool, int, int, int]:
    """Is it the loopback device? And route_localnet, accept_local and rp_filter of it."""
    localnet, accept, mode = (ns.dev_sysctl(dev, name) for name in ("route_localnet", "accept_local", "rp_filter"))
    found = ns.derived["checks", dev] = (ns.links[dev].kind == "loopback", localnet, accept, mode)
    return found


def local_in(w: Walk, f: Flight) -> Successors:
    """ip_local_deliver: put fragments together, INPUT, then the sockets."""
    packet = f.packet
    assert isinstance(packet, Packet)
    if packet.is_fragment:
        done = reassemble(w, f, packet, "local")
        if done is None:
            return ()
        f = w.note(f, "ip.reassembled", after=done[0], major=False)
    passed = hooks.run(w, f, "input", indev=f.indev, physin=f.physin)
    if passed.stopped is not None:
        return passed.stopped
    return w.go("deliver", passed.flight)


def reassemble(w: Walk, f: Flight, packet: Packet, user: str) -> tuple[Packet, int] | None:
    """The whole packet and its largest fragment's size, once the last missing one is here. `user`: "local" or "conntrack" collects."""
    table = w.state.write("frag", f.ns, user)
    key = (packet.src, packet.dst, packet.proto, packet.ident)
    got = {**dict(table.get(key, ())), packet.frag: (packet.l4.size, packet.more)}
    expected = 0
    for offset in sorted(got):
        if offset != expected:
            break
        expected += got[offset][0]
        if not got[offset][1]:
            table.pop(key, None)
            assert packet.whole is not None
            whole = packet.whole.but(src=packet.src, dst=packet.dst, ttl=packet.ttl, df=False)
            return whole, packet.header_size + max(size for size, _ in got.values())
    table[key] = tuple(got.items())
    return None


# -------------------------------------------------------------------------------------------------------- forward
def forward(w: Walk, f: Flight, ns: Namespace, packet: Packet, route: Route) -> Successors:
    """ip_forward: TTL, MTU, then FORWARD and POSTROUTING."""
    if packet.ttl <= 1:
        f = w.note(f, "ttl.exceeded", entry=route, failed=True, dev=f.indev)
        w.endings.append(Ending(w.now, "ttl.exceeded", f))
        return icmp.error(w, f, "ttl-exceeded")
    mtu = route.mtu or ns.links[route.dev].mtu
    if packet.size > mtu and (packet.df or packet.family == 6):
        f = w.note(f, "mtu.forward", entry=route, failed=True, dev=route.dev, size=packet.size, mtu=mtu)
        w.endings.append(Ending(w.now, "mtu.forward", f))
        return icmp.error(w, f, "frag-needed", mtu=mtu)
    physin = f.physin
    after = packet.aged(packet.ttl - 1)
    trail = w.trail(f, "route.forward", after, f.smac, f.dmac, route.dev, {"indev": f.indev, "via": route.via}, entry=route)
    f = f.routed(after, route.dev, route, route.via or packet.dst, True, trail)
    passed = hooks.run(w, f, "forward", indev=f.indev, outdev=route.dev, physin=physin)
    if passed.stopped is not None:
        return passed.stopped
    return postrouting(w, passed.flight)


# ----------------------------------------------------------------------------------------------------------- send
#: errno of a local sender, by the route's type (fib_semantics.c fib_props)
_NO_WAY = {"unreachable": "EHOSTUNREACH", "blackhole": "EINVAL", "prohibit": "EACCES", "broadcast": "EACCES"}


def route_output(ns: Namespace, dst: str, src: str = "", mark: int = 0, oif: str = "") -> tuple[Route | None, str, str]:
    """(route, source address, errno) for a packet that this namespace sends itself (ip_route_output_key)."""
    fam = family(dst)
    route = ns.fib(fam).lookup(dst, src=src, mark=mark, oif=oif)
    if route is None:
        return None, src, "ENETUNREACH"
    if route.type == "anycast":  # over lo as well, from an address of the device that it belongs to (ip6_route_get_saddr)
        own = dst if ns.local_device(dst) is not None else ns.select_source(route.dev, dst)
        return route.but(dev="lo"), src or own or "", ""
    if route.type == "local":
        # traffic to oneself goes over lo, from the address it is sent to
        return route.but(dev="lo"), src or (route.src if route.src and not dst.startswith("127.") else dst), ""
    if route.type == "unreachable" and route.proto == "rule":
        return route, src, "ENETUNREACH"
    if route.type != "unicast":
        return route, src, _NO_WAY.get(route.type, "EINVAL")
    if src.startswith("127.") and route.dev != "lo" and not ns.dev_sysctl(route.dev, "route_localnet"):
        return route, src, "EINVAL"  # __mkroute_output
    if not src:
        scope = "link" if route.scope == "link" and not route.via else "global"
        src = route.src or ns.select_source(route.dev, route.via or dst, scope) or ""
        if not src:
            return route, "", "EADDRNOTAVAIL"
    return route, src, ""


#: lab seconds that a learned path MTU is believed (net.ipv4.route.mtu_expires), and the least that is believed, by family
PMTU_EXPIRES = 600.0
_PMTU_FLOOR = {4: 552, 6: 1280}


def learn_path_mtu(w: Walk, ns: Namespace, dst: str, mtu: int) -> None:
    """Remember what the path to `dst` takes, if it is not more than what is known (__ip_rt_update_pmtu).

    The same value again lengthens what is left of its life only in its second half.
    """
    known = w.state.read("pmtu", ns.id).get(dst)
    mtu = max(mtu, _PMTU_FLOOR[family(dst)])
    if known is None or known[1] < w.now or mtu < known[0] or (mtu == known[0] and known[1] - w.now < PMTU_EXPIRES / 2):
        w.state.write("pmtu", ns.id)[dst] = (mtu, w.now + PMTU_EXPIRES)


#: the largest IP packet, and what an IPv6 packet may carry (IP_MAX_MTU, IPV6_MAXPLEN)
MAX_SIZE = {4: 0xFFFF, 6: 0xFFFF + 40}


def connected_to(dst: str, src: str = "") -> str:
    """Whom a socket reaches by an address: 0.0.0.0 and :: are the machine itself (ip_route_output_key_hash_rcu, tcp_v6_connect)."""
    if dst == "0.0.0.0":
        return src or "127.0.0.1"
    return "::1" if dst == "::" else dst


def path_mtu(w: Walk, ns: Namespace, dst: str, route: Route) -> int:
    """What the namespace believes the path takes: the device's MTU, the route's, or what an ICMP error has told."""
    mtu = route.mtu or ns.links[route.dev].mtu
    learned: tuple[int, float] | None = w.state.read("pmtu", ns.id).get(dst)
    if learned and w.now <= learned[1]:
        return min(mtu, learned[0])
    return mtu


@stage("output")
def output(w: Walk, f: Flight) -> Successors:
    """A packet from a socket (or an ICMP error): route, OUTPUT, route again if it was rewritten, POSTROUTING."""
    ns = w.ns(f.ns)
    packet = f.packet
    assert isinstance(packet, Packet)
    route, src, problem = route_output(ns, packet.dst, packet.src, f.mark)
    if problem and route is not None and route.type == "broadcast" and isinstance(packet.l4, Icmp):
        problem = ""  # only sockets need SO_BROADCAST; what the kernel itself says goes out to everyone on the link
    if problem:
        from .sockets import local_failure

        local_failure(w, f, problem)
        return w.end(f, "route.none" if route is None else "route.refused", entry=route, errno=problem)
    assert route is not None
    if not packet.src:
        packet = packet.but(src=src)
        f = f.to("output", packet=packet)
    trail = w.trail(f, "route.output", packet, f.smac, f.dmac, route.dev, {}, major=False, entry=route)
    f = f.routed(packet, route.dev, route, route.via or packet.dst, False, trail)
    passed = hooks.run(w, f, "output", outdev=route.dev)
    if passed.stopped is not None:
        return passed.stopped
    before, f = f, passed.flight
    changed = f.packet
    assert isinstance(changed, Packet)
    if changed.dst != packet.dst or changed.src != packet.src or f.mark != before.mark:
        # ip_route_me_harder; a local source stays a hint, not a demand
        known = changed.src if ns.local_device(changed.src) is not None else ""
        again, _, problem = route_output(ns, changed.dst, known, f.mark)
        if problem or again is None:
            from .sockets import local_failure

            local_failure(w, f.to(f.stage, packet=before.packet), problem or "EHOSTUNREACH")
            return w.end(f, "route.none", entry=again, errno=problem)
        if again != route:
            f = w.note(f, "route.again", major=False, entry=again, dev=again.dev)
        f = f.to("output", dev=again.dev, route=again, nexthop=again.via or changed.dst)
    return postrouting(w, f)


def postrouting(w: Walk, f: Flight) -> Successors:
    """ip_output."""
    passed = hooks.run(w, f, "postrouting", outdev=f.dev)
    if passed.stopped is not None:
        return passed.stopped
    return finish(w, passed.flight)


def finish(w: Walk, f: Flight) -> Successors:
    """ip_finish_output: fragment if need be, then the neighbour's address, then the device."""
    ns = w.ns(f.ns)
    packet = f.packet
    assert isinstance(packet, Packet)
    link = ns.links.get(f.dev)
    if link is None or not link.up:
        return w.end(f, "link.down")
    route = f.route
    mtu = (route.mtu if route and route.dev == f.dev else 0) or link.mtu
    if not f.forwarded and route is not None:
        mtu = min(mtu, path_mtu(w, ns, packet.dst, route)) if route.dev in ns.links else mtu
    if f.frag_max:  # ip_do_fragment: pieces no larger than those it came in
        mtu = min(mtu, f.frag_max)
        f = f.to("xmit", frag_max=0)
    if packet.size > mtu and link.kind != "loopback":
        if packet.df and not f.dont_fragment_locally:
            f = w.note(f, "mtu.local", failed=True, size=packet.size, mtu=mtu, entry=route)
            w.endings.append(Ending(w.now, "mtu.local", f))
            return icmp.error(w, f, "frag-needed", mtu=mtu)
        out: list[Successor] = []
        f = w.note(f, "ip.fragment", size=packet.size, mtu=mtu, major=True)
        for piece in fragments(packet, mtu):
            out += resolve(w, f.to("xmit", packet=piece), ns, link, f.nexthop or packet.dst, "xmit")
        return out
    return resolve(w, f, ns, link, f.nexthop or packet.dst, "xmit")


def fragments(packet: Packet, mtu: int) -> list[Packet]:
    """The fragments of a packet: every one but the last carries a multiple of 8 bytes (RFC 791)."""
    whole = packet if packet.whole is None else packet.whole
    overhead = packet.header_size + (8 if packet.family == 6 else 0)
    room = (mtu - overhead) // 8 * 8
    total = packet.l4.size
    out = []
    start = 0
    ident = packet.ident or (number(packet.src) ^ number(packet.dst) ^ total) & 0xFFFF or 1
    while start < total:
        size = min(room, total - start)
        last = start + size >= total
        out.append(
            packet.but(
                l4=Raw(Filler(size)),
                whole=whole.but(ident=ident),
                frag=packet.frag + start,
                more=packet.more or not last,
                ident=ident,
                df=False,
            )
        )
        start += size
    return out
