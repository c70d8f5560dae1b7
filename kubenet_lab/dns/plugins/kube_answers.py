"""From what was found to records: A, AAAA, SRV with weights and glue, CNAME chains, PTR, NS, SOA.

Source: coredns plugin/backend_lookup.go.
"""

from __future__ import annotations

import math

from ..message import Query, Record, Response, RRset
from ..names import fqdn, is_subdomain, parse_ip
from .base import Env
from .kube_lookup import Item, Lookup, NoSuchName

__all__ = ["addresses", "alias", "mail", "negative", "name_servers", "pointers", "services", "soa", "text"]

MAX_CHAIN = 10  # CNAMEs followed within the zone


def _ip(host: str) -> str:
    return parse_ip(host) or host


def addresses(look: Lookup, query: Query, env: Env, before: tuple[Record, ...] = ()) -> tuple[list[Record], bool]:
    """A or AAAA records, with the CNAMEs that lead to them, and whether an upstream's answer was truncated. Raises NoSuchName."""
    owner, wanted = query.question.name, query.type
    records: list[Record] = []
    truncated = False
    seen: set[str] = set()
    for item in _at(look, query):
        if item.type == wanted:
            if item.host not in seen:
                seen.add(item.host)
                records.append(Record(owner, wanted, item.ttl, _ip(item.host)))
            continue
        if item.type != "CNAME":
            continue
        target = fqdn(item.host)
        if is_subdomain(query.name, target):
            env.step("dns.external_loop", name=owner, target=target)
            continue  # a name that points below itself is a loop
        alias = Record(owner, "CNAME", item.ttl, target)
        if len(before) > MAX_CHAIN or any(r.type == "CNAME" and r.data == target for r in before):
            continue
        if is_subdomain(look.zone, target):
            try:
                more, cut = addresses(look, query.asking(target), env, (*before, alias))
            except NoSuchName:
                more, cut = [], False
            if more:
                records += [alias, *more]
            truncated |= cut
            continue
        outside = env.lookup(query.asking(target), env)
        truncated |= outside.truncated
        records += [alias, *outside.answer]
    return records, truncated


def _at(look: Lookup, query: Query) -> list[Item]:
    """What is at the name; the apex is asked for as `apex.dns.ZONE` first (checkForApex)."""
    if query.name != look.zone:
        return look.services(query)
    quiet, look.quiet = look.quiet, True
    try:
        return look.services(query.asking(f"apex.dns.{look.zone}"))
    except NoSuchName:
        pass
    finally:
        look.quiet = quiet
    return look.services(query)


def services(look: Lookup, query: Query) -> tuple[list[Record], list[Record]]:
    """SRV records and their glue. The weight is 100 shared by everything found, rounded down, at least 1. Raises NoSuchName."""
    found = look.services(query)
    total = 100 * len(found)
    records: list[Record] = []
    glue: list[Record] = []
    seen: set[tuple[str, int | str]] = set()
    for item in found:
        if item.port == -1 or item.type not in ("A", "AAAA"):
            continue
        weight = max(math.floor(100.0 / total * 100), 1)
        target = fqdn(item.owner)
        if (target, item.port) not in seen:
            seen.add((target, item.port))
            records.append(Record(query.question.name, "SRV", item.ttl, f"0 {weight} {item.port} {target}"))
        if (target, item.host) not in seen:
            seen.add((target, item.host))
            glue.append(Record(target, item.type, item.ttl, _ip(item.host)))
    return records, glue


def text(look: Lookup, query: Query) -> list[Record]:
    return [Record(query.question.name, "TXT", i.ttl, f'"{i.text}"') for i in look.services(query) if i.type == "TXT"]


def alias(look: Lookup, query: Query) -> list[Record]:
    """The CNAME itself, nothing of where it leads."""
    found = look.services(query)
    if not found or found[0].type != "CNAME":
        return []
    return [Record(query.question.name, "CNAME", found[0].ttl, fqdn(found[0].host))]


def mail(look: Lookup, query: Query) -> list[Record]:
    """Nothing in a cluster is a mail exchanger: only whether the name exists. Raises NoSuchName."""
    look.services(query)
    return []


def pointers(look: Lookup, query: Query) -> list[Record]:
    names = dict.fromkeys(i.host for i in look.reverse(query))
    return [Record(query.question.name, "PTR", look.ttl, fqdn(n)) for n in names]


def name_servers(look: Lookup, query: Query) -> tuple[list[Record], list[Record]]:
    found = look.services(query.asking(f"ns.dns.{look.zone}", "NS"))
    records = [Record(query.question.name, "NS", look.ttl, fqdn(o)) for o in dict.fromkeys(i.owner for i in found)]
    return records, [Record(fqdn(i.owner), i.type, i.ttl, _ip(i.host)) for i in found]


def soa(zone: str, ttl: int, serial: int) -> Record:
    """The SOA of a zone: its own TTL is at most 300, its minimum (for negative answers) the plugin's ttl."""
    dot = "" if zone == "." else zone
    return Record(zone, "SOA", min(ttl, 300), f"ns.dns.{dot} hostmaster.{dot} {serial & 0xFFFFFFFF} 7200 1800 86400 {ttl}")


def negative(query: Query, rcode: str, zone: str, ttl: int, serial: int) -> Response:
    sections: dict[str, RRset] = {"authority": (soa(zone, ttl, serial),)}
    return query.reply(rcode, flags=("AA",), **sections)
