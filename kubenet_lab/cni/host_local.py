"""The host-local IPAM plugin: addresses of a node from ranges, kept as files on the node's disk.

Order, defaults, checks and messages are those of containernetworking/plugins (plugins/ipam/host-local) of the
modelled release, compared with the real program in tests. Round robin: after the last reserved address of a
range set, through all its ranges, the last reserved one itself last; so a pod that comes back does not get its
old address while others are free. Newer releases also refuse a gateway outside its subnet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from ..kernel.address import canonical, family, number
from .contract import Call, args_of
from .decode import IP, IPNET, ROUTE, STRING, ListOf, Parsed, Struct, decode
from .ranges import IpRange, RangeSet, address_text
from .result import CniError, Dns, IpConfig, Result, RouteConfig, version_key

__all__ = ["DATA_DIR", "Allocator", "HostLocal", "IpRange", "RangeSet", "Store", "load_ranges"]

DATA_DIR = "/var/lib/cni/networks"
LINE_BREAK = "\r\n"


def _plain_ip(text: str) -> str:
    """An address, or a CIDR of which the address counts (pkg/ip.IP)."""
    address, slash, length = text.partition("/")
    try:
        if slash:
            ipaddress.ip_interface(f"{address}/{int(length)}")
        return canonical(address)
    except ValueError:
        raise ValueError(f"invalid CIDR address: {text}" if slash else f"invalid IP address {text}") from None


_RANGE = {"rangeStart": IP, "rangeEnd": IP, "subnet": IPNET, "gateway": IP}
_SETS = ListOf(ListOf(Struct("allocator.Range", _RANGE), "allocator.RangeSet"))
_IPS = ListOf(Parsed("ip.IP", _plain_ip), pointers=True)
_IPAM = Struct(
    "allocator.IPAMConfig",
    _RANGE | {"type": STRING, "routes": ListOf(ROUTE, pointers=True), "dataDir": STRING, "resolvConf": STRING, "ranges": _SETS},
)
SCHEMA = Struct(
    "allocator.Net",
    {
        "name": STRING, "cniVersion": STRING, "ipam": _IPAM, "runtimeConfig": Struct("", {"ips": _IPS, "ipRanges": _SETS}),
        "args": Struct("", {"cni": Struct("allocator.IPAMArgs", {"ips": _IPS})}),
    },
)  # fmt: skip


def _fail(message: str) -> CniError:
    return CniError(999, message)


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

    def reservations(self) -> list[str]:
        """The paths of the files that stand for addresses."""
        out = []
        for path in self._files():
            try:
                canonical(path.removeprefix(self.dir))
            except ValueError:
                continue
            out.append(path)
        return out

    def keep_only(self, valid: Iterable[tuple[str, str]]) -> None:
        """Release what belongs to none of these (container, interface) pairs; files of old releases name the container only."""
        keep = {text for c, i in valid for text in (self.key(c, i), c.strip())}
        for path in self.reservations():
            if self.disk[path].strip() not in keep:
                del self.disk[path]

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
            self.disk[f"{self.dir}last_reserved_ip.{i}"] = address_text(number(ip) - 1, family(ip))

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
            ip = address_text(current, r.family)
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
    if not d.get("subnet"):
        raise _fail("IP <nil> not v4 nor v6")
    return IpRange.of(d["subnet"], d.get("rangeStart", ""), d.get("rangeEnd", ""), d.get("gateway", ""))


def load_ranges(config: Mapping[str, Any]) -> tuple[RangeSet, ...]:
    """The range sets of a configuration: runtimeConfig.ipRanges, then the old single range, then `ranges`. Raises CniError."""
    return _sets(decode(config, SCHEMA))


def _sets(conf: Mapping[str, Any]) -> tuple[RangeSet, ...]:
    """Of a configuration that was read already."""
    ipam = conf.get("ipam")
    if ipam is None:
        raise _fail("IPAM config missing 'ipam' key")
    raw: list[list[Mapping[str, Any]]] = list(conf.get("runtimeConfig", {}).get("ipRanges") or ())
    if ipam.get("subnet"):
        raw.append([ipam])
    raw += ipam.get("ranges") or ()
    if not raw:
        raise _fail("no IP ranges specified")
    sets: list[RangeSet] = []
    for i, ranges in enumerate(raw):
        try:
            sets.append(RangeSet.of([_range(r or {}) for r in ranges or ()]))
        except CniError as e:
            raise _fail(f"invalid range set {i}: {e.msg}") from None
    families = [s.ranges[0].family for s in sets]
    version = conf.get("cniVersion", "")
    if max(families.count(4), families.count(6)) > 1 and (not version or version_key(version) < (0, 3, 0)):
        raise _fail(f"CNI version {version} does not support more than 1 address per family")
    for i, a in enumerate(sets):
        for j, b in enumerate(sets[i + 1 :], i + 1):
            if a.overlaps(b):
                raise _fail(f"range set {i} overlaps with {j}")
    return tuple(sets)


def _requested(conf: Mapping[str, Any], args: str) -> list[str]:
    """The addresses asked for: CNI_ARGS IP=, args.cni.ips, runtimeConfig.ips; a prefix length is ignored."""
    given = []
    if "IP" in (pairs := args_of(args, ("IP",))):
        try:
            given.append(_plain_ip(pairs["IP"]))
        except ValueError as e:
            raise _fail(f'ARGS: error parsing value of pair "IP={pairs["IP"]}": {e}') from None
    given += conf.get("args", {}).get("cni", {}).get("ips") or ()
    given += conf.get("runtimeConfig", {}).get("ips") or ()
    return list(dict.fromkeys(ip for ip in given if ip))


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
    schema = SCHEMA

    def validate(self, config: Mapping[str, Any]) -> None:
        """What it refuses before it gives anything. Raises CniError."""
        load_ranges(config)

    def add(self, call: Call) -> Result:
        conf, sets, requested = self._load(call)
        ipam = conf["ipam"]
        dns = Dns()
        if path := ipam.get("resolvConf"):
            if path not in call.host.disk:
                raise _fail(f"open {path}: no such file or directory")
            dns = _resolv_conf(call.host.disk[path])
        store = self._store(call, conf)
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

    @staticmethod
    def _load(call: Call) -> tuple[dict[str, Any], tuple[RangeSet, ...], list[str]]:
        """The configuration, its range sets, and the addresses that are asked for."""
        conf = decode(call.config, SCHEMA)
        if conf.get("ipam") is None:
            raise _fail("IPAM config missing 'ipam' key")
        requested = _requested(conf, call.args)
        return conf, _sets(conf), requested

    def delete(self, call: Call) -> None:
        """Release what the container holds; nothing to release is no error."""
        conf, sets, _ = self._load(call)
        store = self._store(call, conf)
        for _ in sets:
            store.release(call.container_id, call.ifname)

    def check(self, call: Call) -> None:
        """Does the container hold any address, whichever?"""
        conf, _, _ = self._load(call)
        if not self._store(call, conf).find(call.container_id, call.ifname):
            raise _fail(f"host-local: Failed to find address added by container {call.container_id}")

    def gc(self, call: Call) -> None:
        """Release every address whose (container, interface) is not among the valid attachments (CNI 1.1.0)."""
        conf, _, _ = self._load(call)
        valid = call.config.get("cni.dev/valid-attachments") or ()
        self._store(call, conf).keep_only((str(a.get("containerID", "")), str(a.get("ifname", ""))) for a in valid)

    def status(self, call: Call) -> None:
        """Able, with a configuration that it can read. Whether an address is free it does not look."""
        self._load(call)

    @staticmethod
    def _store(call: Call, conf: Mapping[str, Any]) -> Store:
        store = Store(call.host.disk, conf.get("name", ""), conf["ipam"].get("dataDir", ""))
        store.disk.setdefault(f"{store.dir}lock", "")
        return store
