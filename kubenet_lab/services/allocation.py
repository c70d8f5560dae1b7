"""ClusterIPs, node ports and health-check ports for Services, as the API server gives them out.

What a document already says is kept; only what is missing is chosen, and the choice is a hash of the seed and
the Service, so it does not depend on the order of the documents.
Source: kube-apiserver 1.34, pkg/registry/core/service/storage/alloc.go.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from ..errors import KubenetError, Problem
from ..objects.addresses import plain
from .allocators import FULL, NO_RANGE, ClusterIPRange, NodePortRange, Refused
from .families import AllocationError, init_families, invalid

__all__ = ["Allocated", "ServiceNetwork", "allocate"]

Document = dict[str, Any]
API_SERVER = "default/kubernetes"


@dataclass(frozen=True, slots=True)
class ServiceNetwork:
    """The cluster's Service network. The first CIDR's family is the default family; a second one makes the cluster dual-stack."""

    cidrs: tuple[str, ...] = ("10.96.0.0/12",)
    node_ports: str = "30000-32767"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Allocated:
    """`documents` in the order given, with what was allocated; one with a problem comes back as it was."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]


def _key(document: Document) -> str:
    metadata = document.get("metadata") or {}
    return f"{metadata.get('namespace') or 'default'}/{metadata.get('name', '')}"


@dataclass(slots=True)
class _Waiting:
    """What one Service still has to get."""

    key: str
    document: Document
    position: int
    ips: list[int]  # places in clusterIPs
    ports: dict[str, list[int]]  # what the ports are called in the choice -> their places
    health_check: bool


class _Allocator:
    def __init__(self, network: ServiceNetwork, existing: Collection[str]):
        self.network, self.existing = network, existing
        self.ranges = [ClusterIPRange(c) for c in network.cidrs]
        self.families = list(dict.fromkeys(r.family for r in self.ranges))
        for range_ in self.ranges:  # they may overlap: an address is taken in all of them
            range_.taken = next(r.taken for r in self.ranges if r.family == range_.family)
        for range_ in {r.family: r for r in reversed(self.ranges)}.values():  # the API server's flag; a further ServiceCIDR may be small
            if range_.network.num_addresses < 8:
                raise KubenetError(f"service CIDR: found {str(range_.network)!r}, the range must be at least 8 IP addresses")
        self.node_ports = NodePortRange(network.node_ports)
        self.mine: list[tuple[Any, Any]] = []  # (range, number) that the Service in hand has taken

    # --- taking and giving back --------------------------------------------------------------------------------
    def reserve_ip(self, spec: Document, ip: str) -> None:
        ip = plain(ip)  # the document keeps the older form
        try:
            ip_address(ip)
        except ValueError:
            raise AllocationError("", f'Internal error occurred: failed to parse service IP "{ip}"') from None
        try:
            found = next((r for r in self.ranges if ip in r), None)
            if found is None:
                raise Refused(NO_RANGE)
            found.reserve(ip)
            self.mine.append((found, ip))
        except Refused as why:
            raise invalid("spec.clusterIPs", spec["clusterIPs"], f"failed to allocate IP {ip}: {why}") from None

    def reserve_port(self, port: int) -> None:
        self.node_ports.reserve(port)
        self.mine.append((self.node_ports, port))

    def give_back(self) -> None:
        for range_, number in self.mine:
            range_.release(number)

    # --- first pass: what is asked for -------------------------------------------------------------------------
    def requested(self, document: Document, position: int) -> _Waiting:
        key, spec = _key(document), document.setdefault("spec", {})
        waiting = _Waiting(key, document, position, [], {}, False)
        self.mine = []
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        elif spec.get("clusterIPs") and not spec.get("clusterIP"):
            spec["clusterIP"] = spec["clusterIPs"][0]
        init_families(spec, self.families)
        if spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
            self._requested_ips(spec, waiting)
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            (self._updated_ports if key in self.existing else self._requested_ports)(spec, waiting)
        if spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
            self._requested_health_check(spec, waiting)
        return waiting

    def _requested_ips(self, spec: Document, waiting: _Waiting) -> None:
        ips: list[str] = list(spec.get("clusterIPs") or [])
        if not ips and waiting.key == API_SERVER and spec["ipFamilies"][0] == self.families[0]:
            ips.append(self.ranges[0].first_address)
        spec["clusterIPs"] = ips
        for i, _ in enumerate(spec["ipFamilies"]):
            if i >= len(ips) or not ips[i]:
                waiting.ips.append(i)
            else:
                self.reserve_ip(spec, ips[i])
        if ips:
            spec["clusterIP"] = ips[0]
        if not ips:
            del spec["clusterIPs"]

    def _requested_ports(self, spec: Document, waiting: _Waiting) -> None:
        """Ports of one Service with the same number (53/TCP and 53/UDP) share a node port."""
        ports: list[Document] = spec.get("ports") or []
        wanted = _wants_node_ports(spec)
        shared: dict[int, int | None] = {}
        for i, port in enumerate(ports):
            number = port.get("port", 0)
            if not port.get("nodePort") and not wanted:
                continue
            if number not in shared:
                asked = next((p["nodePort"] for p in ports if p.get("port") == number and p.get("nodePort")), None)
                if asked is not None:
                    self._reserve_node_port(i, asked)
                    port["nodePort"] = asked
                else:
                    waiting.ports.setdefault(str(number), []).append(i)
                shared[number] = asked
            elif port.get("nodePort") != shared[number]:
                given = shared[number]
                if port.get("nodePort"):
                    self._reserve_node_port(i, port["nodePort"])
                elif given is not None:
                    port["nodePort"] = given
                else:
                    waiting.ports[str(number)].append(i)
            elif shared[number] is None:
                waiting.ports[str(number)].append(i)

    def _updated_ports(self, spec: Document, waiting: _Waiting) -> None:
        """An update (updateNodePorts) shares nothing: what is new gets a number of its own, and one that is said twice is taken once."""
        taken: set[int] = set()
        for i, port in enumerate(spec.get("ports") or []):
            number = port.get("nodePort")
            if number and number not in taken:
                self._reserve_node_port(i, number)
                taken.add(number)
            elif not number and _wants_node_ports(spec):
                name = str(port.get("port", 0))
                waiting.ports[f"{name}/{port.get('protocol', 'TCP')}" if name in waiting.ports else name] = [i]

    def _reserve_node_port(self, index: int, number: int) -> None:
        try:
            self.reserve_port(number)
        except Refused as why:
            raise invalid(f"spec.ports[{index}].nodePort", number, str(why)) from None

    def _requested_health_check(self, spec: Document, waiting: _Waiting) -> None:
        number = spec.get("healthCheckNodePort")
        if not number:
            waiting.health_check = True
            return
        try:
            self.reserve_port(number)
        except Refused as why:
            message = f"Internal error occurred: failed to allocate requested HealthCheck NodePort {number}: {why}"
            raise AllocationError("", message) from None

    # --- second pass: what is left to chance -------------------------------------------------------------------
    def dynamic(self, waiting: _Waiting) -> None:
        key, spec = waiting.key, waiting.document["spec"]
        self.mine = []
        for i in waiting.ips:
            ips = spec.setdefault("clusterIPs", [])
            family = spec["ipFamilies"][i]
            ip = self._next_ip(family, key)
            ips[i : i + 1] = [ip]
            if i == 0:
                spec["clusterIP"] = ip
        for name, places in waiting.ports.items():
            node_port = self._next_port(f"{key}|{name}", "failed to allocate a nodePort")
            for i in places:
                spec["ports"][i]["nodePort"] = node_port
        if waiting.health_check:
            spec["healthCheckNodePort"] = self._next_port(f"{key}|health", "failed to allocate a HealthCheck NodePort 0")

    def _next_ip(self, family: str, key: str) -> str:
        for range_ in self.ranges:
            if range_.family == family and (ip := range_.next(self.network.seed, f"{key}|{family}")):
                self.mine.append((range_, ip))
                return ip
        raise AllocationError("", f"Internal error occurred: failed to allocate a serviceIP: {FULL}")

    def _next_port(self, what: str, failure: str) -> int:
        port = self.node_ports.next(self.network.seed, what)
        if port is None:
            raise AllocationError("", f"Internal error occurred: {failure}: {FULL}")
        self.mine.append((self.node_ports, port))
        return port


def _wants_node_ports(spec: Document) -> bool:
    return spec["type"] != "LoadBalancer" or bool(spec.get("allocateLoadBalancerNodePorts", True))


def allocate(services: Sequence[Document], network: ServiceNetwork = ServiceNetwork(), existing: Collection[str] = ()) -> Allocated:
    """Gives every Service document its addresses, families, node ports and health-check port.

    Values that are set are reserved first, in the order given: of two Services that ask for the same number, the later one
    has the problem, so give those that already exist first. The first address of the default range belongs to
    default/kubernetes, whether or not it is in the list. `existing`: keys ("ns/name") of Services that stood before, for which this
    is an update. `documents` are deep copies where something changed.
    """
    allocator = _Allocator(network, existing)
    documents: list[Document] = []
    problems: list[Problem] = []
    waiting: list[_Waiting] = []

    def failed(position: int, why: AllocationError) -> None:
        allocator.give_back()
        documents[position] = services[position]
        problems.append(Problem(why.message, why.path, f"Service {_key(services[position])}"))

    # the API server's own Service comes first: nobody else gets the first address
    mine = [i for i, d in enumerate(services) if _key(d) == API_SERVER]
    held = None if mine else allocator.ranges[0].first_address
    if held:
        allocator.ranges[0].reserve(held)
    documents = list(services)
    for position in [*mine, *(i for i in range(len(services)) if i not in mine)]:
        documents[position] = copy.deepcopy(services[position])
        try:
            waiting.append(allocator.requested(documents[position], position))
        except AllocationError as why:
            failed(position, why)
    for one in sorted(waiting, key=lambda w: (w.key, w.position)):
        try:
            allocator.dynamic(one)
        except AllocationError as why:
            failed(one.position, why)
    for position, document in enumerate(documents):
        if document == services[position]:
            documents[position] = services[position]
    order = {f"Service {_key(d)}": i for i, d in reversed(list(enumerate(services)))}
    return Allocated(tuple(documents), tuple(sorted(problems, key=lambda p: order[p.object])))
