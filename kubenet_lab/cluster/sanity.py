"""What no API server has ever accepted, in objects that say one did: addresses that are none, ports that no packet has.

Most violations in a dump are findings and change nothing. These two cannot be acted on: an object with an address that is none
is refused; one with impossible ports is kept and left out of what is programmed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache

from ..errors import Problem
from ..kernel.address import prefix
from ..objects.snapshot import Snapshot
from ..objects.views import Endpoints, EndpointSlice, NetworkPolicy, Node, Object, Pod, Service
from .names import as_ip

__all__ = ["bad_addresses", "programmable"]


def bad_addresses(snapshot: Snapshot, keys: Collection[tuple[str, str]]) -> list[Problem]:
    """Addresses and CIDRs of these objects (kind, key) that are none."""
    out = []
    for kind in (Node, Pod, Service, EndpointSlice, Endpoints, NetworkPolicy):
        if not any(k == kind.__name__ for k, _ in keys):
            continue
        wanted = {key for k, key in keys if k == kind.__name__}
        for o in snapshot.list(kind):
            if o.key in wanted:
                out += [_problem(o, path, text, network) for path, text, network in _addresses(o) if not _fits(text, network)]
    return out


def _problem(o: Object, path: str, text: str, network: bool) -> Problem:
    what = "a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)" if network else "a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    return Problem(f'Invalid value: "{text}": must be {what}', path, f"{o.kind} {o.key}")


@lru_cache(maxsize=1 << 14)
def _fits(text: str, network: bool) -> bool:
    if not network:
        return as_ip(text) is not None and "[" not in text
    try:
        prefix(text.strip())  # loadBalancerSourceRanges are trimmed by who reads them
    except ValueError:
        return False
    return "/" in text


def _addresses(o: Object) -> Iterator[tuple[str, str, bool]]:
    """(path, text, is a network) of every address in an object that the lab acts on."""
    if isinstance(o, Node):
        yield from ((f"status.addresses[{i}].address", a.address, False) for i, a in enumerate(o.status.addresses) if a.type.endswith("IP"))
        yield from ((f"spec.podCIDRs[{i}]", c, True) for i, c in enumerate(o.spec.pod_cidrs))
        if o.spec.pod_cidr:
            yield "spec.podCIDR", o.spec.pod_cidr, True
    elif isinstance(o, Pod):
        yield from ((f"status.podIPs[{i}].ip", ip, False) for i, ip in enumerate(o.ips))
        if o.status.host_ip:
            yield "status.hostIP", o.status.host_ip, False
    elif isinstance(o, Service):
        s = o.spec
        named = [
            ("clusterIP", [s.cluster_ip]),
            ("clusterIPs", s.cluster_ips),
            ("externalIPs", s.external_ips),
            ("loadBalancerIP", [s.load_balancer_ip]),
        ]
        for name, texts in named:
            yield from ((f"spec.{name}", t, False) for t in texts if t and t != "None")
        yield from ((f"spec.loadBalancerSourceRanges[{i}]", t, True) for i, t in enumerate(s.load_balancer_source_ranges))
        yield from (("status.loadBalancer.ingress", i.ip, False) for i in o.status.load_balancer.ingress if i.ip)
    elif isinstance(o, EndpointSlice) and o.address_type != "FQDN":
        yield from ((f"endpoints[{i}].addresses", a, False) for i, e in enumerate(o.endpoints) for a in e.addresses)
    elif isinstance(o, Endpoints):
        for subset in o.subsets:
            yield from (("subsets.addresses.ip", a.ip, False) for a in (*subset.addresses, *subset.not_ready_addresses))
    elif isinstance(o, NetworkPolicy):
        for rules in (o.spec.ingress, o.spec.egress):
            for rule in rules:
                for p in getattr(rule, "from_", None) or getattr(rule, "to", None) or ():
                    if p.ip_block is not None:
                        yield from (("spec.ipBlock", c, True) for c in (p.ip_block.cidr, *p.ip_block.except_))


# --------------------------------------------------------------------------------------------------------------- ports
_PROTOCOLS = ("TCP", "UDP", "SCTP")


def programmable(snapshot: Snapshot) -> tuple[Snapshot, list[Problem]]:
    """The snapshot without Services and slices whose ports no packet can have, and which these are."""
    bad = [o for kind in (Service, EndpointSlice) for o in snapshot.list(kind) if not _possible(o)]
    if not bad:
        return snapshot, []
    gone = {id(o) for o in bad}
    kept = Snapshot(
        [o for o in snapshot.all() if id(o) not in gone], version=snapshot.version, domain=snapshot.domain, settled=snapshot.settled,
        retired=snapshot.retired, documents={(o.kind, o.namespace, o.name): snapshot.document(o.kind, o.name,
          o.namespace) or {} for o in snapshot.all()},
    )  # fmt: skip
    return kept, [
        Problem("left out of what the agents program: its ports or protocols cannot exist", object=f"{o.kind} {o.key}") for o in bad
    ]


def _possible(o: Object) -> bool:
    if isinstance(o, Service):
        config = (o.spec.session_affinity_config or {}).get("clientIP")
        seconds = config.get("timeoutSeconds") if isinstance(config, dict) else config
        steady = seconds is None or (isinstance(seconds, int) and 0 < seconds <= 86400)
        return steady and all(1 <= p.port <= 65535 and 0 <= p.node_port <= 65535 and p.protocol in _PROTOCOLS for p in o.spec.ports)
    if isinstance(o, EndpointSlice):
        return all((p.port is None or 1 <= p.port <= 65535) and p.protocol in _PROTOCOLS for p in o.ports)
    return True
