"""The host-local IPAM plugin: addresses of a node from ranges, kept as files on the node's disk.

Order, defaults, checks and messages are those of containernetworking/plugins (plugins/ipam/host-local) of the
modelled release, compared with the real program in tests. Round robin: after the last reserved address of a
range set, through all its ranges, the last reserved one itself last; so a pod that comes back does not get its
old address while others are free. Newer releases also refuse a gateway outside its subnet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..kernel.address import canonical, family, number
from .contract import Call, args_of
from .result import CniError, Dns, IpConfig, Result, RouteConfig, version_key

__all__ = ["DATA_DIR", "Allocator", "HostLocal", "IpRange", "RangeSet", "Store", "load_ranges"]

DATA_DIR = "/var/lib/cni/networks"
LINE_BREAK = "\r\n"


def _fail(message: str) -> CniError:
    return CniError(999, message)


def _text(value: int, fam: int) -> str:
    return str(ipaddress.IPv4Address(value) if fam == 4 else ipaddress.IPv6Address(value))


def _parse_ip(text: str) -> str:
    try:
        return canonical(str(text))
    except ValueError:
        raise _fail(f"invalid IP address: {text}") from None


@dataclass(frozen=True, slots=True)
class IpRange:
    """One range: `start` and `end` are inclusive. Made by `of`, which fills in what is not given."""

    subnet: str
    start: str
    end: str
    gateway: str

    @classmethod
    def of(cls, subnet: str, range_start: str = "", range_end: str = "", gateway: str = "") -> IpRange:
        """Defaults: gateway and start are the network address + 1, the end is the last usable address
        (IPv4: one below broadcast; IPv6: all ones). Raises CniError as the plugin does."""
        try:
            if "/" not in subnet:
                raise ValueError
            net = ipaddress.ip_interface(subnet)
        except ValueError:
            raise _fail(f"invalid CIDR address: {subnet}") from None
        network, fam = net.network, net.version
        if network.prefixlen > network.max_prefixlen - 2:
            raise _fail(f"Network {net} too small to allocate from")
        if net.ip != network.network_address:
            mask = f"a subnet mask of length {network.prefixlen}"
            raise _fail(f"Network has host bits set. For {mask} the network address is {network.network_address}")
        first = int(network.network_address)
        gateway = _parse_ip(gateway) if gateway else _text(first + 1, fam)
        start = _parse_ip(range_start) if range_start else _text(first + 1, fam)
        end = _parse_ip(range_end) if range_end else _text(int(network.broadcast_address) - (1 if fam == 4 else 0), fam)
        # each is checked against what is known of the range by then: a start against the end that was given, an end against the start
        if range_start and not (start in _In(str(network)) and (not range_end or number(start) <= number(end))):
            raise _fail(f"RangeStart {start} not in network {network}")
        if range_end and not (end in _In(str(network)) and number(start) <= number(end)):
            raise _fail(f"RangeEnd {end} not in network {network}")
        return cls(str(network), start, end, gateway)

    @property
    def family(self) -> int:
        return family(self.subnet)

    @property
    def length(self) -> int:
        return int(self.subnet.partition("/")[2])

    def __contains__(self, ip: object) -> bool:
        return (
            isinstance(ip, str)
            and family(ip) == self.family
            and ip in _In(self.subnet)
            and number(self.start) <= number(ip) <= number(self.end)
        )

    def overlaps(self, other: IpRange) -> bool:
        if self.family != other.family:
            return False
        return other.start in self or other.end in self or self.start in other or self.end in other

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


class _In:
    """`ip in _In(cidr)` for addresses of either family."""

    def __init__(self, cidr: str):
        self._net = ipaddress.ip_network(cidr)

    def __contains__(self, ip: object) -> bool:
        return isinstance(ip, str) and ipaddress.ip_address(ip) in self._net


@dataclass(frozen=True, slots=True)
class RangeSet:
    """Ranges of one family that give one address together. A container gets one address of each set."""

    ranges: tuple[IpRange, ...]

    @classmethod
    def of(cls, ranges: Sequence[IpRange]) -> RangeSet:
        if not ranges:
            raise _fail("empty range set")
        for r in ranges[1:]:
            if r.family != ranges[0].family:
                raise _fail("mixed address families")
        for i, r in enumerate(ranges):
            for other in ranges[i + 1 :]:
                if r.overlaps(other):
                    raise _fail(f"subnets {r} and {other} overlap")
        return cls(tuple(ranges))

    def range_for(self, ip: str) -> IpRange | None:
        return next((r for r in self.ranges if ip in r), None)

    def overlaps(self, other: RangeSet) -> bool:
        return any(a.overlaps(b) for a in self.ranges for b in other.ranges)

    def __contains__(self, ip: object) -> bool:
        return any(ip in r for r in self.ranges)

    def __str__(self) -> str:
        return ",".join(map(str, self.ranges))


class Store:
    """The files of one network: one per address with "container CR LF interface", and the last reserved address of each set.

    `disk` is the node's {path: content}; files that a crash left behind stay reserved until someone deletes them.
    """

    def __init__(self, disk: MutableMapping[str, str], network: str, data_dir: str = DATA_DIR):
        self.disk, self.dir = disk, f"{(data_dir or DATA_DIR).rstrip('/')}/{network}/"

    @staticmethod
    def key(container_id: str, ifname: str) -> str:
        return container_id.strip() + LINE_BREAK + ifname

    def _files(self) -> list[str]:
        return sorted(p for p in self.disk if p.startswith(self.dir))

    def reserve(self, container_id: str, ifname: str, ip: str, range_id: int) -> bool:
        path = self.dir + ip
        if path in self.disk:
            return False
        self.disk[path] = self.key(container_id, ifname)
        self.disk[f"{self.dir}last_reserved_ip.{range_id}"] = ip
        return True

    def give_next(self, ip: str, sets: int = 2) -> None:
        """Set the files back to where they were before `ip` was given, so that the next call gets it; it must be free."""
        for i in range(sets):
            self.disk[f"{self.dir}last_reserved_ip.{i}"] = _text(number(ip) - 1, family(ip))

    def last_reserved(self, range_id: int) -> str | None:
        try:
            return canonical(self.disk[f"{self.dir}last_reserved_ip.{range_id}"])
        except (KeyError, ValueError):
            return None

    def _of(self, *contents: str) -> list[str]:
        return [p for p in self._files() if self.disk[p].strip() in contents]

    def find(self, container_id: str, ifname: str) -> bool:
        return bool(self._of(self.key(container_id, ifname), container_id.strip()))

    def get(self, container_id: str, ifname: str) -> list[str]:
        """The addresses of one interface of a container (files of old releases carry no interface)."""
        out = []
        for path in self._of(self.key(container_id, ifname), container_id.strip()):
            try:
                out.append(canonical(path.removeprefix(self.dir)))
            except ValueError:
                continue
        return out

    def release(self, container_id: str, ifname: str) -> None:
        for content in (self.key(container_id, ifname), container_id.strip()):
            if found := self._of(content):
                for path in found:
                    del self.disk[path]
                return


class Allocator:
    """Hands out the addresses of one range set."""

    def __init__(self, ranges: RangeSet, store: Store, range_id: int = 0):
        self.ranges, self.store, self.range_id = ranges, store, range_id

    def candidates(self) -> Iterator[tuple[str, IpRange]]:
        """The addresses in the order in which they are tried, each with its range."""
        ranges = self.ranges.ranges
        last = self.store.last_reserved(self.range_id)
        found = self.ranges.range_for(last) if last is not None else None
        if last is not None and found is not None:
            index, current = ranges.index(found), number(last)
            index, current = self._after(index, current)
        else:
            index, current = 0, number(ranges[0].start)
        first = (index, current)
        while True:
            r = ranges[index]
            ip = _text(current, r.family)
            if ip != r.gateway:
                yield ip, r
            index, current = self._after(index, current)
            if (index, current) == first:
                return

    def _after(self, index: int, current: int) -> tuple[int, int]:
        ranges = self.ranges.ranges
        if current == number(ranges[index].end):
            index = (index + 1) % len(ranges)
            return index, number(ranges[index].start)
        return index, current + 1

    def get(self, container_id: str, ifname: str, requested: str | None = None) -> IpConfig:
        """Reserve an address. Raises CniError in the plugin's words."""
        if requested is not None:
            r = self.ranges.range_for(requested)
            if r is None:
                raise _fail(f"{requested} not in range set {self.ranges}")
            if requested == r.gateway:
                raise _fail(f"requested ip {requested} is subnet's gateway")
            if not self.store.reserve(container_id, ifname, requested, self.range_id):
                raise _fail(f"requested IP address {requested} is not available in range set {self.ranges}")
            return IpConfig(f"{requested}/{r.length}", r.gateway)
        for ip in self.store.get(container_id, ifname):
            if ip in self.ranges:
                raise _fail(f"{ip} has been allocated to {container_id}, duplicate allocation is not allowed")
        for ip, r in self.candidates():
            if self.store.reserve(container_id, ifname, ip, self.range_id):
                return IpConfig(f"{ip}/{r.length}", r.gateway)
        raise _fail(f"no IP addresses available in range set: {self.ranges}")


def _range(d: Mapping[str, Any]) -> IpRange:
    return IpRange.of(str(d.get("subnet") or ""), str(d.get("rangeStart") or ""), str(d.get("rangeEnd") or ""), str(d.get("gateway") or ""))


def load_ranges(config: Mapping[str, Any]) -> tuple[RangeSet, ...]:
    """The range sets of a configuration: runtimeConfig.ipRanges, then the old single range, then `ranges`. Raises CniError."""
    ipam = config.get("ipam")
    if ipam is None:
        raise _fail("IPAM config missing 'ipam' key")
    raw: list[list[Mapping[str, Any]]] = list((config.get("runtimeConfig") or {}).get("ipRanges") or ())
    if ipam.get("subnet"):
        raw.append([ipam])
    raw += ipam.get("ranges") or ()
    if not raw:
        raise _fail("no IP ranges specified")
    sets: list[RangeSet] = []
    for i, ranges in enumerate(raw):
        for r in ranges:
            if "/" not in str(r.get("subnet") or ""):
                raise _fail(f"invalid CIDR address: {r.get('subnet') or ''}")
        try:
            sets.append(RangeSet.of([_range(r) for r in ranges]))
        except CniError as e:
            if e.msg.startswith(("invalid CIDR", "invalid IP")):
                raise
            raise _fail(f"invalid range set {i}: {e.msg}") from None
    families = [s.ranges[0].family for s in sets]
    version = str(config.get("cniVersion") or "")
    if max(families.count(4), families.count(6)) > 1 and (not version or version_key(version) < (0, 3, 0)):
        raise _fail(f"CNI version {version} does not support more than 1 address per family")
    for i, a in enumerate(sets):
        for j, b in enumerate(sets[i + 1 :], i + 1):
            if a.overlaps(b):
                raise _fail(f"range set {i} overlaps with {j}")
    return tuple(sets)


def _requested(config: Mapping[str, Any], args: str) -> list[str]:
    """The addresses asked for: CNI_ARGS IP=, args.cni.ips, runtimeConfig.ips; a prefix length is ignored."""
    given = []
    if "IP" in (pairs := args_of(args, ("IP",))):
        try:
            given.append(canonical(pairs["IP"].partition("/")[0]))
        except ValueError:
            raise _fail(f'ARGS: error parsing value of pair "IP={pairs["IP"]}": invalid IP address {pairs["IP"]}') from None
    for ip in ((config.get("args") or {}).get("cni") or {}).get("ips") or ():
        given.append(_parse_ip(str(ip).partition("/")[0]))
    for ip in (config.get("runtimeConfig") or {}).get("ips") or ():
        given.append(_parse_ip(str(ip).partition("/")[0]))
    return list(dict.fromkeys(given))


def _resolv_conf(text: str) -> Dns:
    servers, search, options, domain = [], [], [], ""
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or line.lstrip()[:1] in ("#", ";"):
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] == "domain":
            domain = words[1]
        elif words[0] == "search":
            search += words[1:]
        elif words[0] == "options":
            options += words[1:]
    return Dns(tuple(servers), domain, tuple(search), tuple(options))


class HostLocal:
    """The plugin. Its only state is the node's disk."""

    type = "host-local"

    def add(self, call: Call) -> Result:
        config, ipam = call.config, call.config.get("ipam") or {}
        requested = _requested(config, call.args) if config.get("ipam") is not None else []
        sets = load_ranges(config)
        dns = Dns()
        if path := ipam.get("resolvConf"):
            if path not in call.host.disk:
                raise _fail(f"open {path}: no such file or directory")
            dns = _resolv_conf(call.host.disk[path])
        store = self._store(call)
        ips: list[IpConfig] = []
        try:
            for i, ranges in enumerate(sets):
                wanted = next((ip for ip in requested if ip in ranges), None)
                if wanted is not None:
                    requested.remove(wanted)
                try:
                    ips.append(Allocator(ranges, store, i).get(call.container_id, call.ifname, wanted))
                except CniError as e:
                    raise _fail(f"failed to allocate for range {i}: {e.msg}") from None
            if requested:
                raise _fail(f"failed to allocate all requested IPs: {' '.join(requested)}")
        except CniError:
            if ips:
                store.release(call.container_id, call.ifname)
            raise
        routes = tuple(RouteConfig.from_dict(r) for r in ipam.get("routes") or ())
        return Result((), tuple(ips), routes, dns, call.version)

    def delete(self, call: Call) -> None:
        """Release what the container holds; nothing to release is no error."""
        load_ranges(call.config)
        self._store(call).release(call.container_id, call.ifname)

    def check(self, call: Call) -> None:
        load_ranges(call.config)
        if not self._store(call).find(call.container_id, call.ifname):
            raise _fail(f"host-local: Failed to find address added by container {call.container_id}")

    def gc(self, call: Call) -> None:
        """Release every address whose (container, interface) is not among the valid attachments (CNI 1.1.0)."""
        valid = {Store.key(str(a["containerID"]), str(a["ifname"])) for a in call.config.get("cni.dev/valid-attachments") or ()}
        store = self._store(call)
        for path in store._files():
            name = path.removeprefix(store.dir)
            if not name.startswith("last_reserved_ip.") and store.disk[path].strip() not in valid:
                del store.disk[path]

    def status(self, call: Call) -> None:
        load_ranges(call.config)

    def _store(self, call: Call) -> Store:
        return Store(call.host.disk, str(call.config.get("name") or ""), str((call.config.get("ipam") or {}).get("dataDir") or ""))
