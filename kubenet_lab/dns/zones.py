"""Zones given as data, and the resolver outside the cluster that answers from them.

`Zones` resolves as a recursive resolver that can reach every zone it was given and nothing else: CNAMEs are followed
across zones, wildcards expand (RFC 4592), what is in no zone does not exist and the root's SOA says so (RFC 2308).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..errors import KubenetError
from ..kernel.process import Answer, Machine, Message
from .message import Query, Record, Response
from .names import ancestors, fqdn, is_subdomain, longest_zone
from .wire import BadMessage, DnsPayload, packable, parse, truncate

__all__ = ["Upstream", "ZoneError", "Zones"]

DEFAULT_TTL = 300
ROOT_SOA = Record(".", "SOA", 86400, "a.root-servers.net. nstld.verisign-grs.com. 2026010100 1800 900 604800 86400")
MAX_CHAIN = 12

#: a small internet; addresses are those set aside for documentation (RFC 5737, RFC 3849)
DEFAULT_ZONES: Mapping[str, Any] = {
    "example.com.": {
        "@": {"A": ["192.0.2.80"], "AAAA": ["2001:db8::80"], "MX": ["10 mail.example.com."], "NS": ["ns.example.com."]},
        "www": {"CNAME": ["example.com."]}, "api": {"A": ["192.0.2.81"]}, "mail": {"A": ["192.0.2.25"]}, "ns": {"A": ["192.0.2.53"]},
    },
    "shop.example.": {
        "@": {"A": ["203.0.113.80"], "NS": ["ns.shop.example."]}, "www": {"CNAME": ["shop.example."]}, "ns": {"A": ["192.0.2.53"]},
        "pay": {"A": ["203.0.113.90"]},
    },
    "example.org.": {
        "@": {"A": ["198.51.100.80"], "AAAA": ["2001:db8:1::80"], "NS": ["ns.example.com."]}, "*.apps": {"A": ["198.51.100.81"]},
    },
}  # fmt: skip


class ZoneError(KubenetError):
    """Zone data that cannot be read; names the zone."""


def _from_text(zone: str, text: str) -> list[Record]:
    import dns.exception
    import dns.rdatatype
    import dns.zone

    try:
        read = dns.zone.from_text(text, origin=zone, relativize=False, check_origin=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise ZoneError(f"zone {zone}: {error or type(error).__name__}") from None
    return [
        Record(name.to_text(), dns.rdatatype.to_text(rdataset.rdtype), rdataset.ttl, rdata.to_text())
        for name, node in read.nodes.items() for rdataset in node for rdata in rdataset
    ]  # fmt: skip


def _from_mapping(zone: str, owners: Mapping[str, Any]) -> list[Record]:
    out = []
    for owner, types in owners.items():
        name = zone if owner == "@" else owner if owner.endswith(".") else f"{owner}.{zone}" if zone != "." else f"{owner}."
        if not isinstance(types, Mapping):
            raise ZoneError(f"zone {zone}: {owner!r}: expected types with their data, as in {{'A': ['192.0.2.1']}}, found {types!r}")
        for kind, data in types.items():
            for text in [data] if isinstance(data, str) else data:
                out.append(Record(name, kind.upper(), DEFAULT_TTL, text))
    return out


class Zones:
    """`source` maps a zone to zone-file text, to a mapping owner -> type -> data, or to records. Raises ZoneError."""

    def __init__(self, source: Mapping[str, str | Mapping[str, Any] | Sequence[Record]]):
        self._records: dict[str, dict[tuple[str, str], list[Record]]] = {}
        self._soa: dict[str, Record] = {}
        self._names: set[str] = set()
        for written, data in source.items():
            zone = fqdn(written).lower()
            if isinstance(data, str):
                records = _from_text(zone, data)
            else:
                records = _from_mapping(zone, data) if isinstance(data, Mapping) else list(data)
            held: dict[tuple[str, str], list[Record]] = {}
            for r in records:
                try:
                    packable(r)
                except ValueError as error:
                    raise ZoneError(f"zone {zone}: {error}") from None
                if not is_subdomain(zone, r.name):
                    raise ZoneError(f"zone {zone}: {r.name} is not in it")
                held.setdefault((r.name.lower(), r.type), []).append(r)
            self._records[zone] = held
            dot = "" if zone == "." else zone
            default = Record(zone, "SOA", DEFAULT_TTL, f"ns.{dot} hostmaster.{dot} 2026010100 7200 3600 1209600 {DEFAULT_TTL}")
            self._soa[zone] = held.setdefault((zone, "SOA"), [default])[0]
            for name, _ in held:
                self._names.update(n for n in ancestors(name) if is_subdomain(zone, n))
            self._names.add(zone)

    @staticmethod
    def default() -> Zones:
        """example.com, shop.example and example.org."""
        return _default()

    @property
    def zones(self) -> tuple[str, ...]:
        return tuple(sorted(self._records))

    def answer(self, query: Query) -> Response:
        """What a recursive resolver says: RA set, AA not."""
        if query.question.cls != "IN":
            return query.reply("REFUSED", flags=("RA",))
        found: list[Record] = []
        name, owner, authority, rcode = query.name, query.question.name, (ROOT_SOA,), "NXDOMAIN"
        for _ in range(MAX_CHAIN):
            zone = longest_zone(self._records, name)
            if not zone:
                break
            held = self._records[zone]
            authority = (self._soa[zone],)
            node = self._node(zone, name)
            if node is None:
                break
            rcode = "NOERROR"
            types = {t for n, t in held if n == node}
            wanted = types if query.type == "ANY" else {query.type}
            here = [r.but(name=owner) for t in sorted(wanted) for r in held.get((node, t), ())]
            if here:
                return query.reply(flags=("RA",), answer=(*found, *here))
            if "CNAME" not in types:
                break
            alias = held[node, "CNAME"][0]
            found.append(alias.but(name=owner))
            name, owner, rcode = alias.data.lower(), alias.data, "NXDOMAIN"
            authority = (ROOT_SOA,)
        minimum = int(authority[0].data.split()[-1])
        soa = authority[0].but(ttl=min(authority[0].ttl, minimum))
        return query.reply(rcode, flags=("RA",), answer=tuple(found), authority=(soa,))

    def _node(self, zone: str, name: str) -> str | None:
        """The owner that answers for a name: itself, or the wildcard of its closest encloser; None if the name does not exist."""
        if name in self._names:
            return name
        for encloser in [*list(ancestors(name))[1:], "."]:
            if encloser in self._names or encloser == zone:
                star = f"*.{encloser}" if encloser != "." else "*."
                return star if any(n == star for n, _ in self._records[zone]) else None
        return None

    def __repr__(self) -> str:
        return f"Zones({', '.join(self.zones)})"


@cache
def _default() -> Zones:
    return Zones(DEFAULT_ZONES)


@dataclass(slots=True)
class Upstream:
    """A resolver on a machine outside the cluster, bound to port 53. `zones` is what it knows, or a function that gives it now."""

    zones: Zones | Callable[[], Zones]
    name: str = "resolver"

    def handle(self, message: Message, machine: Machine) -> Answer | None:
        query = query_of(message)
        if query is None:
            return None
        response = (self.zones if isinstance(self.zones, Zones) else self.zones()).answer(query)
        if query.edns is not None:
            response = response.but(edns=query.edns)
        limit = 65535 if message.protocol == "TCP" else query.edns.size if query.edns else 512
        fitted = truncate(response, limit).but(compress=True)
        return Answer(DnsPayload(fitted, stream=message.protocol == "TCP"))


def query_of(message: Message) -> Query | None:
    """The query in a message that reached a DNS server; None for anything else."""
    payload = message.payload
    if isinstance(payload, DnsPayload):
        return payload.message if isinstance(payload.message, Query) else None
    raw = bytes(payload)
    if message.protocol == "TCP":
        raw = raw[2:]
    try:
        read = parse(raw)
    except BadMessage:
        return None
    return read if isinstance(read, Query) else None
