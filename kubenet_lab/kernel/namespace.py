"""`Namespace`: one network namespace's programmed state, changed through few doors.

Everything here is what agents and people program (links, addresses, routes, neighbours, FDB, rules, sockets,
sysctls). What traffic leaves behind is in `state.State`. A namespace knows no Kubernetes: `origin` texts are
stored and handed back, never read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..errors import CommandError
from . import stacked
from .address import canonical, family, number, prefix
from .links import (
    RAW,
    Address,
    BridgeOptions,
    BridgePort,
    Link,
    LinkKind,
    MacvlanOptions,
    TunOptions,
    VxlanOptions,
    WireguardOptions,
    is_secondary,
    mac_of,
)
from .local_table import local_routes
from .process import Process
from .routing import Fib, Route, RoutingRule, default_rules
from .sysctls import SYSCTL_DEFAULTS
from .value import Value, value

if TYPE_CHECKING:
    from .ipset import IpSets
    from .iptables import Ruleset
    from .nftables import NftRuleset

__all__ = ["FdbEntry", "Listener", "Namespace", "Neighbour"]


@value
class Neighbour(Value):
    """An entry of `ip neigh`. State PERMANENT never ages and is never asked for again."""

    ip: str
    dev: str
    mac: str
    state: Literal["PERMANENT", "NOARP", "REACHABLE", "STALE", "FAILED", "INCOMPLETE"] = "PERMANENT"
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.ip} dev {self.dev}" + (f" lladdr {self.mac}" if self.mac else "") + f" {self.state}"


@value
class FdbEntry(Value):
    """An entry of `bridge fdb`. `dst` is the remote address of a VXLAN entry; `self_` is the device's own table, else the bridge's."""

    mac: str
    dev: str
    dst: str = ""
    state: Literal["permanent", "static", "dynamic"] = "permanent"
    self_: bool = True
    master: str = ""
    origin: str = ""
    vlan: int = 0

    def __str__(self) -> str:
        words = [self.mac, "dev", self.dev, *(("vlan", str(self.vlan)) if self.vlan else ())]
        if self.dst:
            words += ["dst", self.dst]
        if self.self_:
            words.append("self")
        if self.master:
            words += ["master", self.master]
        if self.state != "dynamic":
            words.append(self.state)
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket. `address` "" is the wildcard; `owner` names who answers ("shop/web-0", "node:worker-1")."""

    protocol: Literal["TCP", "UDP"]
    port: int
    process: Process
    owner: str
    address: str = ""
    assumed: str = ""  # why it is believed to listen; "" when it is known


#: no IPv6 on a link with a smaller MTU (RFC 8200)
MIN_MTU6 = 1280
#: the most that a route may have TCP announce (net/ipv4/metrics.c ip_metrics_convert)
MAX_MSS = 65535 - 40

#: the sysctls that switch forwarding for a whole namespace
_FORWARDING = {4: ("net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"), 6: ("net.ipv6.conf.all.forwarding",)}


class Namespace:
    """One namespace. `id` is its name in the network ("worker-1", "pod:shop/web-0"), `host` the machine it is on."""

    changes: ClassVar[int] = 0  # of all namespaces together

    def __init__(self, id: str, host: str, origin: str = "", label: str = ""):
        self.id, self.host, self.origin = id, host, origin
        self.label = label or id  # who speaks from here, in a trace's words: "shop/web-0", "node:worker-1"
        self.around: Mapping[str, Namespace] = {id: self}  # every namespace of the network, by id
        self.links: dict[str, Link] = {}
        self.macvlans: dict[str, tuple[tuple[str, str], ...]] = {}  # device -> (namespace id, link) of its children, oldest first
        self.routes: list[Route] = []  # of every table but `local`, which is made from the addresses
        self.rules: list[RoutingRule] = [*default_rules(4), *default_rules(6)]
        self.neighbours: dict[tuple[str, str], Neighbour] = {}  # (dev, ip)
        self.proxies: dict[tuple[str, str], str] = {}  # (dev, ip) to answer for -> origin; dev "" is any
        self.announced: dict[tuple[str, str], str] = {}  # (dev, ip) that a program answers for -> origin
        self.fdb: list[FdbEntry] = []
        self.listeners: list[Listener] = []
        self.sysctls: dict[str, int] = {}
        #: (device, "in" or "out") -> what judges a new connection that is forwarded from or to it, and is not modelled
        self.unmodelled: dict[tuple[str, str], str] = {}
        self.ipsets: IpSets | None = None
        self._rulesets: dict[int, Ruleset] = {}
        self._nft: NftRuleset | None = None
        self._rules_source: Callable[[Namespace], None] | None = None
        self._next_index = 1
        self._fibs: dict[int, Fib] = {}
        self._local: dict[str, str] = {}
        self.derived: dict[Any, Any] = {}  # a place to keep what follows from what is programmed; empty again after every change
        self.add_link("lo", "loopback", mac="00:00:00:00:00:00", mtu=65536)
        self.add_address("lo", "127.0.0.1/8", scope="host")
        self.add_address("lo", "::1/128", scope="host")

    # ------------------------------------------------------------------------------------------------- links
    def add_link(
        self,
        name: str,
        kind: LinkKind,
        *,
        mac: str = "",
        mtu: int = 1500,
        up: bool = True,
        peer: tuple[str, str] | None = None,
        segment: str = "",
        vxlan: VxlanOptions | None = None,
        wireguard: WireguardOptions | None = None,
        tun: TunOptions | None = None,
        macvlan: MacvlanOptions | None = None,
        master: str = "",
        port: BridgePort | None = None,
        bridge: BridgeOptions | None = None,
        origin: str = "",
    ) -> Link:
        """A new link. `mac` is made from the namespace and the name when it is not given; devices without frames have none."""
        if name in self.links:
            raise CommandError("RTNETLINK answers: File exists")
        link = Link(
            name, kind, self._free_index(), "" if kind in RAW else mac or mac_of(f"{self.id}/{name}"), mtu, up, master, peer, segment, (),
            port or BridgePort(), bridge or BridgeOptions(), vxlan, wireguard, tun, macvlan, arp=kind not in RAW, origin=origin,
        )  # fmt: skip
        if kind == "bridge" and mac:
            link = replace(link, bridge=replace(link.bridge, mac_set=True))
        self.links[name] = link
        if (inherited := self.sysctls.get("net.ipv4.conf.default.forwarding")) is not None:
            self.sysctls[f"net.ipv4.conf.{name}.forwarding"] = inherited
        if master:
            self._adjust_bridge(master)
        self._changed()
        return link

    def set_link(self, name: str, **changes: Any) -> Link:
        """Replace fields of a link. Down removes the routes that use it, as in Linux; up again restores only the connected ones.

        Down, or with an MTU too small for IPv6, it loses its IPv6 addresses as well (addrconf_ifdown); lo gets its own back.
        """
        old = self.link(name)
        new = replace(old, **changes)
        stacked.check(self, old, new)
        if new.kind == "bridge" and "mtu" in changes:
            new = replace(new, bridge=replace(new.bridge, mtu_set=True, nf_mtu=new.mtu if new.mtu != old.mtu else old.bridge.nf_mtu))
        self.links[name] = new
        if new.kind == "bridge" and "mac" in changes:
            new = replace(new, bridge=replace(new.bridge, mac_set=True))
            self.links[name] = new
        if changes.keys() & {"mtu", "master", "mac"}:
            for bridge in {old.master: None, new.master: None}:
                self._adjust_bridge(bridge)
        if (old.up and not new.up) or new.mtu < MIN_MTU6 <= old.mtu:
            self.links[name] = new = replace(self.links[name], addresses=tuple(a for a in self.links[name].addresses if a.family == 4))
            self.routes = [r for r in self.routes if r.dev != name or r.family == 4]
        if old.up and not new.up:
            self.routes = [r for r in self.routes if r.dev != name]
            self.neighbours = {k: v for k, v in self.neighbours.items() if k[0] != name or v.state == "PERMANENT"}
        elif new.up and not old.up:
            if new.kind == "loopback" and not any(a.family == 6 for a in new.addresses):
                self.links[name] = new = replace(new, addresses=(*new.addresses, Address("::1", 128, "host")))
            for a in new.addresses:
                self._connect(name, a)
        self._changed()
        stacked.follow(self, old, new)
        return self.links[name]

    def remove_link(self, name: str) -> Link:
        """Remove a link with all that is its own, and its macvlan children. The other end of a veth is the caller's."""
        link = self.release_link(name)
        stacked.detach(self, link)
        return link

    def adopt_link(self, link: Link) -> Link:
        """A link that comes from another namespace. It keeps its index if that is free here."""
        taken = {k.index for k in self.links.values()}
        new = replace(link, index=self._free_index()) if link.index in taken else link
        self.links[new.name] = new
        self._changed()
        return new

    def _free_index(self) -> int:
        """Numbers are not used again (dev_index_reserve)."""
        while any(k.index == self._next_index for k in self.links.values()):
            self._next_index += 1
        self._next_index += 1
        return self._next_index - 1

    def release_link(self, name: str) -> Link:
        """Take a link out of this namespace with all that was its own here. What it stands on, and what stands on it, is the caller's."""
        link = self.link(name)
        del self.links[name]
        own = tuple(f"net.{fam}.{part}.{name}." for fam in ("ipv4", "ipv6") for part in ("conf", "neigh"))
        self.sysctls = {k: v for k, v in self.sysctls.items() if not k.startswith(own)}
        self.proxies = {k: v for k, v in self.proxies.items() if k[0] != name}
        self.routes = [r for r in self.routes if r.dev != name]
        self.neighbours = {k: v for k, v in self.neighbours.items() if k[0] != name}
        self.fdb = [e for e in self.fdb if e.dev != name]
        own = (f"net.ipv4.conf.{name}.", f"net.ipv6.conf.{name}.", f"net.ipv4.neigh.{name}.", f"net.ipv6.neigh.{name}.")
        self.sysctls = {k: v for k, v in self.sysctls.items() if not k.startswith(own)}
        for other in [n for n, k in self.links.items() if k.master == name]:
            self.links[other] = replace(self.links[other], master="")
        self._adjust_bridge(link.master)
        self._changed()
        return link

    def _adjust_bridge(self, name: str) -> None:
        """A bridge takes the smallest MTU of its ports, 1500 without any, and their lowest MAC, unless its own were set."""
        bridge = self.links.get(name)
        if bridge is None or bridge.kind != "bridge":
            return
        ports = self.ports(name)
        mtu = bridge.mtu if bridge.bridge.mtu_set else min((p.mtu for p in ports), default=1500)
        if mtu != bridge.mtu:
            bridge = replace(bridge, mtu=mtu, bridge=replace(bridge.bridge, nf_mtu=mtu))
        if not bridge.bridge.mac_set:
            bridge = replace(bridge, mac=min((p.mac for p in ports), default="00:00:00:00:00:00"))
        self.links[name] = bridge

    def link(self, name: str) -> Link:
        """The link of that name. Raises CommandError in ip's words."""
        try:
            return self.links[name]
        except KeyError:
            raise CommandError(f'Cannot find device "{name}"') from None

    def ports(self, bridge: str) -> list[Link]:
        """The links whose master is `bridge`, in order of index."""
        return [k for k in self.links.values() if k.master == bridge]

    # --------------------------------------------------------------------------------------------- addresses
    def add_address(self, dev: str, address: str, *, scope: Literal["global", "link", "host"] = "global", prefixroute: bool = True) -> None:
        """`address` as CIDR. Adds the connected route (`proto kernel scope link`) like Linux."""
        ip, _, length = address.partition("/")
        full = Address(canonical(ip), int(length or (32 if family(ip) == 4 else 128)), scope, prefixroute)
        link = self.link(dev)
        if any(a.ip == full.ip and a.length == full.length for a in link.addresses):
            raise CommandError("RTNETLINK answers: File exists")
        if full.family == 6 and link.mtu < MIN_MTU6:
            raise CommandError("RTNETLINK answers: Invalid argument")
        self.links[dev] = replace(link, addresses=(*link.addresses, full))
        if link.up:
            self._connect(dev, full)
        self._changed()

    def remove_address(self, dev: str, address: str) -> None:
        link = self.link(dev)
        gone = [a for a in link.addresses if str(a) == address or a.ip == address]
        if not gone:
            raise CommandError("RTNETLINK answers: Cannot assign requested address")
        self.links[dev] = replace(link, addresses=tuple(a for a in link.addresses if a not in gone))
        left = {b.ip for _, b in self.addresses()}
        for a in gone:
            if a.family == 6 and any(b.family == 6 and b.network == a.network and b.prefixroute for b in self.links[dev].addresses):
                continue
            self.routes = [
                r for r in self.routes
                if (r.src != a.ip or a.ip in left)
                and not (r.dev == dev and r.proto == "kernel" and r.dst == a.network and r.src in (a.ip, ""))
            ]  # fmt: skip
        if any(a.family == 4 for a in gone) and not any(b.family == 4 for b in self.links[dev].addresses):
            # without its last IPv4 address a device loses every IPv4 route and neighbour (fib_disable_ip)
            self.routes = [r for r in self.routes if r.dev != dev or r.family == 6]
            self.neighbours = {k: n for k, n in self.neighbours.items() if k[0] != dev or family(k[1]) == 6}
        self._changed()

    def _connect(self, dev: str, a: Address) -> None:
        if self.links[dev].kind == "loopback" and a.family == 4:
            return  # its networks are local ones
        if not a.prefixroute or a.scope == "host" or (a.family == 4 and a.length == 32) or is_secondary(self.links[dev].addresses, a):
            return
        if a.family == 6 and any(r.dst == a.network and r.dev == dev and r.proto == "kernel" and r.table == 254 for r in self.routes):
            return  # addresses of one network share its route
        self.routes.append(
            Route(a.network, dev, scope="link", src=a.ip if a.family == 4 else "", proto="kernel", metric=0 if a.family == 4 else 256)
        )

    def local_device(self, ip: str) -> str | None:
        """The device that holds `ip`, or None: is it one of this namespace's own addresses?"""
        if not self._local:
            for link in self.links.values():
                for a in link.addresses:
                    self._local.setdefault(a.ip, link.name)
        found = self._local.get(ip)
        if found is None and ip.startswith("127."):
            return "lo" if self.links["lo"].up else None
        return found

    def addresses(self, fam: int | None = None) -> list[tuple[str, Address]]:
        """(device, address) of every address, in order of link and of adding."""
        return [(k.name, a) for k in self.links.values() for a in k.addresses if fam in (None, a.family)]

    # ------------------------------------------------------------------------------------------------ routes
    def add_route(
        self,
        dst: str,
        *,
        dev: str = "",
        via: str = "",
        type: Literal["unicast", "blackhole", "unreachable", "prohibit", "throw"] = "unicast",
        scope: Literal["global", "link", "host"] | None = None,
        src: str = "",
        metric: int | None = None,
        proto: str = "boot",
        onlink: bool = False,
        mtu: int = 0,
        advmss: int = 0,
        table: int = 254,
        origin: str = "",
        replace_existing: bool = False,
    ) -> Route:
        """A new route; checks what `ip route add` checks, and fails in its words (CommandError).

        `dst` is a CIDR, an address or "default". Without `onlink` a `via` must be reachable on a connected network.
        """
        fam = family(via or src or dst) if dst == "default" else family(dst)
        dst = ("0.0.0.0/0" if fam == 4 else "::/0") if dst == "default" else dst if "/" in dst else f"{dst}/{32 if fam == 4 else 128}"
        p = prefix(dst)
        if number(p.address) != p.network:
            raise CommandError("Error: Invalid prefix for given prefix length.")
        if type == "unicast":
            if dev and dev not in self.links:
                raise CommandError(f'Cannot find device "{dev}"')
            if via and not onlink:
                towards = self.fib(fam).towards_gateway(canonical(via), dev)
                if fam == 6 and towards is not None and towards.type == "local":
                    raise CommandError("Error: Gateway can not be a local address.")
                # an address of this machine is taken as a gateway in IPv4 (fib_check_nh_v4_gw: RTN_LOCAL)
                fit = towards is not None and not towards.via and towards.type in ("unicast", "local") and self.links[towards.dev].up
                if towards is None or not fit:
                    raise CommandError("Error: Nexthop has invalid gateway." if fam == 4 else "RTNETLINK answers: No route to host")
                dev = dev or towards.dev
            if not dev:
                raise CommandError("RTNETLINK answers: No such device")
            if not self.links[dev].up:
                raise CommandError("RTNETLINK answers: Network is down" if fam == 4 else "Error: Nexthop device is not up.")
        if metric is None:
            metric = 1024 if fam == 6 else 0
        if scope is None:
            scope = "link" if type == "unicast" and not via and fam == 4 else "global"
        gateway, advmss = canonical(via) if via else "", min(advmss, MAX_MSS)
        route = Route(str(p), dev, gateway, type, scope, src, metric, proto, onlink, mtu, advmss, table, origin)
        same = [i for i, r in enumerate(self.routes) if r.key == route.key and r.family == route.family]
        if same:
            if not replace_existing:
                raise CommandError("RTNETLINK answers: File exists")
            self.routes[same[0]] = route
        else:
            self.routes.append(route)
        self._changed()
        return route

    def remove_route(self, dst: str, *, dev: str = "", via: str = "", table: int = 254, type: str = "", metric: int | None = None) -> Route:
        fam = 6 if ":" in dst + via else 4
        dst = ("0.0.0.0/0" if fam == 4 else "::/0") if dst == "default" else str(prefix(dst))
        for i, r in enumerate(self.routes):
            if (
                r.dst == dst and r.table == table and dev in ("", r.dev) and via in ("", r.via)
                and type in ("", r.type) and metric in (None, r.metric)
            ):  # fmt: skip
                del self.routes[i]
                self._changed()
                return r
        raise CommandError("RTNETLINK answers: No such process")

    def local_routes(self, fam: int) -> list[Route]:
        """Table `local`, made from the addresses."""
        return local_routes(self, fam)

    def fib(self, fam: int) -> Fib:
        if fam not in self._fibs:
            routes = [*self.local_routes(fam), *(r for r in self.routes if r.family == fam)]
            self._fibs[fam] = Fib(routes, [r for r in self.rules if r.family == fam])
        return self._fibs[fam]

    def add_rule(self, rule: RoutingRule) -> None:
        if rule in self.rules:
            raise CommandError("RTNETLINK answers: File exists")
        self.rules.append(rule)
        self._changed()

    def remove_rule(self, rule: RoutingRule) -> None:
        if rule not in self.rules:
            raise CommandError("RTNETLINK answers: No such file or directory")
        self.rules.remove(rule)
        self._changed()

    # ------------------------------------------------------------------------------------ neighbours and FDB
    def add_neighbour(
        self, ip: str, mac: str, dev: str, *, state: Any = "PERMANENT", origin: str = "", replace_existing: bool = True
    ) -> None:
        self.link(dev)
        key = (dev, canonical(ip))
        if key in self.neighbours and not replace_existing:
            raise CommandError("RTNETLINK answers: File exists")
        self.neighbours[key] = Neighbour(key[1], dev, mac, state, origin)
        self._changed()

    def remove_neighbour(self, ip: str, dev: str) -> Neighbour:
        try:
            gone = self.neighbours.pop((dev, canonical(ip)))
        except KeyError:
            raise CommandError("RTNETLINK answers: No such file or directory") from None
        self._changed()
        return gone

    def add_proxy(self, ip: str, dev: str = "", *, origin: str = "") -> None:
        """Answer on `dev` ("": any) for `ip` (`ip neigh add proxy`). Adding it twice is no error."""
        if dev:
            self.link(dev)
        self.proxies[dev, canonical(ip)] = origin
        self.touch()

    def proxies_for(self, ip: str, dev: str) -> bool:
        """Is `ip` listed to be answered for on `dev`?"""
        return (dev, ip) in self.proxies or ("", ip) in self.proxies

    def announce(self, dev: str, ip: str, *, origin: str = "") -> None:
        """A program with a raw socket answers ARP and NDP on `dev` for `ip`, which is no address of this machine (MetalLB's speaker)."""
        self.link(dev)
        self.announced[dev, canonical(ip)] = origin
        self.touch()

    def remove_proxy(self, ip: str, dev: str = "") -> None:
        try:
            del self.proxies[dev, canonical(ip)]
        except KeyError:
            raise CommandError("RTNETLINK answers: No such file or directory") from None
        self.touch()

    def add_fdb(self, mac: str, dev: str, *, dst: str = "", state: Any = "permanent", master: str = "", origin: str = "") -> None:
        """A VXLAN entry (`dst`, the device's own table) or a static entry of a bridge (`master`)."""
        self.link(dev)
        entry = FdbEntry(mac.lower(), dev, dst, state, not master, master, origin)
        if any(e.mac == entry.mac and e.dev == dev and e.dst == dst and e.master == master for e in self.fdb):
            raise CommandError("RTNETLINK answers: File exists")
        self.fdb.append(entry)
        self._changed()

    def remove_fdb(self, mac: str, dev: str, *, dst: str = "", master: str = "") -> FdbEntry:
        for i, e in enumerate(self.fdb):
            if e.mac == mac.lower() and e.dev == dev and dst in ("", e.dst) and bool(master) == bool(e.master):
                del self.fdb[i]
                self._changed()
                return e
        raise CommandError("RTNETLINK answers: No such file or directory")

    # ------------------------------------------------------------------------------------- sysctls and rules
    def sysctl(self, key: str) -> int:
        """The value in force; unknown keys are 0."""
        value = self.sysctls.get(key)
        return value if value is not None else SYSCTL_DEFAULTS.get(key, 0)

    def dev_sysctl(self, dev: str, name: str, fam: int = 4) -> int:
        """net.ipvN.conf: the larger of `all` and the device's own, which is how rp_filter, proxy_arp and route_localnet combine."""
        base = f"net.ipv{fam}.conf"
        return max(self.sysctl(f"{base}.all.{name}"), self.sysctls.get(f"{base}.{dev}.{name}", self.sysctl(f"{base}.default.{name}")))

    def set_sysctl(self, key: str, value: int) -> None:
        """Set a value. A new one for all forwarding is copied to every device (devinet_sysctl_forward, addrconf_fixup_forwarding)."""
        value = int(value)
        for fam, names in _FORWARDING.items():
            if key in names:
                value = int(bool(value))
                if fam == 4 and self.sysctl(key) == value:  # IPv4 looks whether it changes, IPv6 does not
                    continue
                devices = {f"net.ipv{fam}.conf.{dev}.forwarding" for dev in ("default", *self.links)}
                self.sysctls = {k: v for k, v in self.sysctls.items() if k not in devices}
                self.sysctls |= dict.fromkeys(names, value)
        self.sysctls[key] = value
        self._changed() if key.endswith("forwarding") else self.touch()  # a router has other local addresses

    def forwards(self, fam: int, dev: str = "") -> bool:
        """Is what comes in by `dev` forwarded? In IPv4 each device has its own switch; in IPv6 there is one (ip6_forward)."""
        value = self.sysctls.get(f"net.ipv4.conf.{dev}.forwarding") if fam == 4 and dev else None
        return bool(self.sysctl(_FORWARDING[fam][0]) if value is None else value)

    def program_rules_with(self, source: Callable[[Namespace], None]) -> None:
        """`source` fills the rulesets when they are first looked at (a node with thousands of Services costs nothing until then)."""
        self._rules_source = source

    def ruleset(self, fam: int = 4) -> Ruleset:
        """The iptables (4) or ip6tables (6) rules. Change them through the Ruleset's own doors, then `rules_changed()`."""
        self._fill_rules()
        if fam not in self._rulesets:
            from .iptables import Ruleset

            self._rulesets[fam] = Ruleset(fam, sets=lambda name: self.ipsets.get(name) if self.ipsets is not None else None)
        return self._rulesets[fam]

    def _fill_rules(self) -> None:
        source, self._rules_source = self._rules_source, None
        if source is not None:
            source(self)

    @property
    def nft(self) -> NftRuleset:
        """The nftables tables. Change them through the ruleset's own doors, then `rules_changed()`."""
        self._fill_rules()
        if self._nft is None:
            from .nftables import NftRuleset

            self._nft = NftRuleset()
        return self._nft

    def use_nft(self, ruleset: NftRuleset) -> None:
        """Put a ruleset in place of the one that is there."""
        self._nft = ruleset
        self.rules_changed()

    def use_ruleset(self, ruleset: Ruleset) -> None:
        """Put a ruleset in place of the one of its family; it asks this namespace for ipsets from now on."""
        ruleset.sets = lambda name: self.ipsets.get(name) if self.ipsets is not None else None
        self._rulesets[ruleset.family] = ruleset
        self.rules_changed()

    def rules_changed(self) -> None:
        self.touch()

    # ---------------------------------------------------------------------------------------------- sockets
    def listen(self, listener: Listener) -> None:
        if any(
            k.protocol == listener.protocol
            and k.port == listener.port
            and (k.address == listener.address or not k.address or not listener.address)
            for k in self.listeners
        ):
            raise CommandError(f"bind: Address already in use ({listener.protocol} {listener.port})")
        self.listeners.append(listener)

    def listener(self, protocol: str, address: str, port: int) -> Listener | None:
        """The socket that takes a packet to (address, port): one bound to the address before a wildcard."""
        best = None
        for k in self.listeners:
            if k.protocol == protocol and k.port == port:
                if k.address == address:
                    return k
                if not k.address:
                    best = k
        return best

    # ------------------------------------------------------------------------------------------------- misc
    def touch(self) -> None:
        """Something is programmed otherwise: what was derived from it is derived anew."""
        self.derived = {}
        Namespace.changes += 1

    def _changed(self) -> None:
        self._fibs.clear()
        self._local.clear()
        self.touch()

    def select_source(self, dev: str, dst: str, scope: str = "global") -> str | None:
        """inet_select_addr: an address of `dev` on the network of `dst` first, then any of `dev`, then of another device.

        Addresses of scope link and host are used only when the destination's scope allows it.
        Source: Linux net/ipv4/devinet.c.
        """
        fam = family(dst)
        allowed = {"global": ("global",), "link": ("global", "link"), "host": ("global", "link", "host")}[scope]
        first = None
        link = self.links.get(dev)
        for a in link.addresses if link else ():
            if a.family == fam and a.scope in allowed:
                if dst in prefix(f"{a.ip}/{a.length}"):
                    return a.ip
                first = first or a.ip
        if first:
            return first
        for name, a in self.addresses(fam):
            if name != dev and a.scope in allowed and a.scope != "link":
                return a.ip
        return None

    def wire_veth(self, name: str, other: Namespace, other_name: str, **options: Any) -> tuple[Link, Link]:
        """A veth pair: `name` here and `other_name` in `other`. `options` go to both ends (mtu, origin)."""
        here = self.add_link(name, "veth", peer=(other.id, other_name), **options)
        there = other.add_link(other_name, "veth", peer=(self.id, name), **options)
        return here, there

    def copy_sockets(self, listeners: Iterable[Listener]) -> None:
        self.listeners = list(listeners)

    def __repr__(self) -> str:
        return f"Namespace({self.id}: {', '.join(self.links)})"
