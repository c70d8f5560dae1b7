"""What a namespace answers when it is asked for an address: by ARP, by neighbour discovery, and on behalf of others (proxies).

Sources: Linux net/ipv4/arp.c (arp_process, arp_fwd_proxy, arp_fwd_pvlan, arp_ignore, arp_filter), net/ipv6/ndisc.c (ndisc_recv_ns),
net/core/neighbour.c (pneigh_enqueue); RFC 826, RFC 1027, RFC 4861, RFC 5227.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import NotModelled
from .address import prefix
from .flight import Flight
from .l3 import martian, route_output
from .links import Link
from .local_table import routes_six, subnet_routers
from .namespace import Namespace
from .neighbours import learn
from .packet import Arp
from .walk import Script, Successor, Walk, stage

__all__ = ["Silence", "answer", "arp_input", "silence_of", "speaks_for_itself"]

Successors = Iterable[Successor]
LOCKTIME = 1.0  # seconds for which an entry is not overwritten by another address (neigh locktime)
USER_HZ = 100  # ticks per second in which proxy_delay is written
UNKNOWN = ("0.0.0.0", "::")
#: an answer on behalf of others -> how it became known
_LEARNED = {"proxy": "neigh.proxied", "anycast": "neigh.anycast"}


@dataclass(frozen=True, slots=True)
class Silence:
    """Who was asked for an address, could have answered for it as a proxy, and did not: `why` is a phrase's key."""

    label: str
    dev: str
    why: str  # "off", "no_route", "same_device", "route_type", "forwarding", or the code of a check that the question failed


def arp_input(w: Walk, f: Flight, arp: Arp) -> Successors:
    ns = w.ns(f.ns)
    link = ns.links[f.dev]
    if not link.arp and ":" not in arp.target_ip:
        return ()  # a device without ARP hears none (arp_rcv)
    if arp.op == "reply":
        if arp.target_mac != link.mac and f.dmac != link.mac:
            return ()
        if f.label and ":" in arp.sender_ip and (f.dev, arp.sender_ip) in w.state.read("neigh", ns.id):
            return ()  # without the override flag it changes nothing that is known
        return learn(w, ns, f.dev, arp.sender_ip, arp.sender_mac, _LEARNED.get(f.label, "neigh.learned"))
    if (f.dev, arp.target_ip) in ns.announced:  # a program hears it too, and answers; the kernel knows nothing of that
        return [(0.0, answer(ns, link, arp)), *(_solicited if ":" in arp.target_ip else _requested)(w, f, ns, link, arp)]
    if ":" in arp.target_ip:
        return _solicited(w, f, ns, link, arp)
    return _requested(w, f, ns, link, arp)


def _requested(w: Walk, f: Flight, ns: Namespace, link: Link, arp: Arp) -> Successors:
    """arp_process: the question is routed like a packet from the sender to the target, and the route decides."""
    if arp.sender_ip == "0.0.0.0":  # duplicate address detection
        mine = ns.local_device(arp.target_ip) is not None and not _ignores(ns, link, arp)
        return [(0.0, answer(ns, link, arp))] if mine else ()
    why = _why_not(ns, link, arp)
    if why == "own":
        if _ignores(ns, link, arp):
            return ()
        return [*learn(w, ns, link.name, arp.sender_ip, arp.sender_mac), (0.0, answer(ns, link, arp))]
    if why:
        return _unanswered(w, ns, link, arp)
    out = learn(w, ns, link.name, arp.sender_ip, arp.sender_mac)
    return [*out, *_for_another(w, f, ns, link, arp, "proxy")]


def _why_not(ns: Namespace, link: Link, arp: Arp) -> str:
    """Why this device does not answer on behalf of another; "" if it does, "own" if the address is its namespace's."""
    problem = martian(ns, link.name, arp.sender_ip, arp.target_ip)
    if problem:
        return problem
    route = ns.fib(4).lookup(arp.target_ip, src=arp.sender_ip, iif=link.name)
    if route is None:
        return "no_route"
    if route.type == "local":
        return "own"
    if route.type != "unicast":
        return "route_type"
    return _proxies(ns, link, arp, route.dev) if ns.forwards(4, link.name) else "forwarding"


def _proxies(ns: Namespace, link: Link, arp: Arp, towards: str) -> str:
    """Why this device does not answer for an address that is reached by the device `towards`; "" if it does."""
    if towards != link.name:
        return "" if ns.proxies_for(arp.target_ip, link.name) or ns.dev_sysctl(link.name, "proxy_arp") else "off"
    if ns.dev_sysctl(link.name, "proxy_arp_pvlan") and arp.sender_ip != arp.target_ip:
        return ""
    return "same_device"


def _solicited(w: Walk, f: Flight, ns: Namespace, link: Link, arp: Arp) -> Successors:
    """ndisc_recv_ns: an address of this very device or of its routers, or a listed one where proxy_ndp is on. No route is asked."""
    if speaks_for_itself(ns, link, arp):
        out = learn(w, ns, link.name, arp.sender_ip, arp.sender_mac) if arp.sender_ip not in UNKNOWN else []
        return [*out, (0.0, answer(ns, link, arp))]
    routers = arp.target_ip in subnet_routers(ns, link)
    if not routers and _why_not_solicited(ns, link, arp):
        return _unanswered(w, ns, link, arp)
    out = learn(w, ns, link.name, arp.sender_ip, arp.sender_mac) if arp.sender_ip not in UNKNOWN else []
    return [*out, *_for_another(w, f, ns, link, arp, "anycast" if routers else "proxy")]


def _why_not_solicited(ns: Namespace, link: Link, arp: Arp) -> str:
    """As `_why_not`, for a neighbour solicitation."""
    if not ns.proxies_for(arp.target_ip, link.name) or not ns.dev_sysctl(link.name, "proxy_ndp", 6):
        return "off"
    return "" if routes_six(ns, link) else "forwarding"


def silence_of(ns: Namespace, link: Link, arp: Arp) -> Silence:
    """What one who did not answer says of it."""
    return Silence(ns.label, link.name, (_why_not_solicited if ":" in arp.target_ip else _why_not)(ns, link, arp))


def speaks_for_itself(ns: Namespace, link: Link, arp: Arp) -> bool:
    """Is the question one for an address of the device's own, and does it say so?"""
    if ":" in arp.target_ip:
        return any(a.ip == arp.target_ip for a in link.addresses)
    return _why_not(ns, link, arp) == "own" and not _ignores(ns, link, arp)


def answer(ns: Namespace, link: Link, arp: Arp, label: str = "") -> Flight:
    """What a device says to the one who asked."""
    reply = Arp("reply", link.mac, arp.target_ip, arp.sender_mac, arp.sender_ip)
    return Flight("xmit", ns.id, link.name, reply, link.mac, arp.sender_mac, aux=True, label=label)


def _for_another(w: Walk, f: Flight, ns: Namespace, link: Link, arp: Arp, label: str) -> list[Successor]:
    """The answer on behalf of others: at once, or after a random part of proxy_delay if everyone on the link was asked."""
    fam = 6 if ":" in arp.target_ip else 4
    ticks = ns.sysctls.get(f"net.ipv{fam}.neigh.{link.name}.proxy_delay", ns.sysctl(f"net.ipv{fam}.neigh.default.proxy_delay"))
    if not ticks or f.stage == "arp_redo" or f.dmac == link.mac:
        return [(0.0, answer(ns, link, arp, label))]
    if label == "anycast" and isinstance(w.chooser, Script):
        _alone(w, ns, link, arp.target_ip)
    return [(w.jitter(ticks / USER_HZ, f"proxy_delay {ns.id}/{link.name} {arp.target_ip}"), f.to("arp_redo"))]


def _alone(w: Walk, ns: Namespace, link: Link, ip: str) -> None:
    """Of several routers on a wire chance says whose answer is first; `connect` draws it, and the ways of `outcomes` are no choices."""
    others = (other for other in w.net.namespaces.values() if other is not ns and link.segment)
    if any(k.up and k.segment == link.segment and ip in subnet_routers(other, k) for other in others for k in other.links.values()):
        raise NotModelled(f"which of several routers is the first to answer for {ip}, with its probability")


@stage("arp_redo")
def arp_redo(w: Walk, f: Flight) -> Successors:
    """parp_redo: the question that waited is asked anew; the answer may be another one by now."""
    assert isinstance(f.packet, Arp)
    link = w.ns(f.ns).links.get(f.dev)
    return arp_input(w, f, f.packet) if link is not None and link.up else ()


def _unanswered(w: Walk, ns: Namespace, link: Link, arp: Arp) -> Successors:
    """No answer. What is known of the sender already is still brought up to date, and who was just asking for it has its answer."""
    if link.kind == "veth" and not link.master:
        w.silences[arp.target_ip] = (ns.id, link.name, arp)
    known = w.state.read("neigh", ns.id).get((link.name, arp.sender_ip))
    gratuitous = arp.sender_ip == arp.target_ip
    if known is not None and (gratuitous or (known[0] != arp.sender_mac and w.now - known[1] > LOCKTIME)):
        w.state.write("neigh", ns.id)[link.name, arp.sender_ip] = (arp.sender_mac, w.now)
    if known is None and (ns.id, link.name, arp.sender_ip) in w.asking:
        return learn(w, ns, link.name, arp.sender_ip, arp.sender_mac)
    return ()


def _ignores(ns: Namespace, link: Link, arp: Arp) -> bool:
    """arp_ignore and arp_filter: one of our own addresses for which this device does not speak."""
    mode = ns.dev_sysctl(link.name, "arp_ignore")
    if mode == 8:
        return True
    if mode in (1, 2):
        networks = [prefix(str(a)) for a in link.addresses if a.family == 4]
        here = any(a.ip == arp.target_ip for a in link.addresses)
        if not here or (mode == 2 and not any(arp.sender_ip in n and arp.target_ip in n for n in networks)):
            return True
    if mode == 3 and any(a.ip == arp.target_ip and a.scope == "host" for _, a in ns.addresses(4)):
        return True
    if ns.dev_sysctl(link.name, "arp_filter"):
        back, _, _ = route_output(ns, arp.sender_ip, arp.target_ip)
        return back is None or back.dev != link.name
    return False
