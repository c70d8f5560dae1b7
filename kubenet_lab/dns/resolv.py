"""resolv.conf: as a file, and as the kubelet makes it for a pod.

Source: kubernetes pkg/kubelet/network/dns/dns.go (GetPodDNS, parseResolvConf, limits), pkg/apis/core/validation (limits
with ExpandedDNSConfig, which is GA).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..errors import KubenetError
from ..objects.views import Pod

__all__ = ["DnsEvent", "ResolvConf", "ResolvConfError", "parse_resolv_conf", "resolv_conf"]

MAX_NAMESERVERS = 3
MAX_SEARCH_PATHS = 32
MAX_SEARCH_CHARS = 2048
MAX_SEARCH_PATH = 253
NDOTS = "ndots:5"


class ResolvConfError(KubenetError):
    """A resolv.conf that the kubelet would not take."""


@dataclass(frozen=True, slots=True)
class DnsEvent:
    """A warning event that the kubelet records on the pod. `reason` is "MissingClusterDNS" or "DNSConfigForming"."""

    reason: str
    message: str

    def __str__(self) -> str:
        return f"Warning {self.reason} {self.message}"


@dataclass(frozen=True)
class ResolvConf:
    """What a stub resolver reads: servers in order, the search list, options as written ("ndots:5")."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    events: tuple[DnsEvent, ...] = ()

    @property
    def text(self) -> str:
        """The file as the container runtime writes it."""
        lines = []
        if self.searches:
            lines.append(f"search {' '.join(self.searches)}")
        lines += [f"nameserver {n}" for n in self.nameservers]
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "".join(line + "\n" for line in lines)

    @cached_property
    def _values(self) -> dict[str, str]:
        return {name: value for name, _, value in (o.partition(":") for o in self.options)}

    def option(self, name: str) -> bool:
        return name in self._values

    def number(self, name: str, default: int, most: int) -> int:
        """A numeric option, no more than a resolver accepts; a malformed one counts as 0, as atoi reads it."""
        if name not in self._values:
            return default
        digits = ""
        for ch in self._values[name]:
            if not ch.isdigit():
                break
            digits += ch
        return min(int(digits or 0), most)

    @property
    def ndots(self) -> int:
        return self.number("ndots", 1, 15)

    @property
    def timeout(self) -> int:
        """Seconds to the first retry."""
        return self.number("timeout", 5, 30)

    @property
    def attempts(self) -> int:
        return self.number("attempts", 2, 5)

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text)}</pre>"


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def parse_resolv_conf(text: str) -> ResolvConf:
    """A host's file as the kubelet reads it: nameservers add up, the last search line wins, options merge by name.

    A trailing dot of a search path and a lone "." are dropped; only lines that begin with # are comments.
    Raises ResolvConfError for a nameserver line without an address.
    """
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    for line in text.split("\n"):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        if fields[0] == "nameserver":
            if len(fields) < 2:
                raise ResolvConfError("resolv.conf: nameserver list is empty")
            servers.append(fields[1])
        elif fields[0] == "search":
            searches = [s.removesuffix(".") for s in fields[1:] if s != "."]
        elif fields[0] == "options":
            options.update((o.partition(":")[0], o) for o in fields[1:])
    return ResolvConf(tuple(servers), tuple(searches), tuple(options.values()))


def dns_type(pod: Pod) -> str:
    """ "cluster", "host" or "none": what the pod's dnsPolicy comes to; an unknown policy counts as ClusterFirst."""
    policy = pod.spec.dns_policy
    if policy == "None":
        return "none"
    if policy == "Default" or (policy == "ClusterFirst" and pod.spec.host_network):
        return "host"
    return "cluster"


def resolv_conf(
    pod: Pod, *, node_resolv: str | ResolvConf | None, cluster_dns: Sequence[str], domain: str = "cluster.local",
    node_ips: Sequence[str] = (),
) -> ResolvConf:  # fmt: skip
    """The resolv.conf that the kubelet gives to a pod.

    `node_resolv` is the text of the file named by the kubelet's resolvConf; None stands for an empty setting, which turns
    name resolution off. `cluster_dns` are the kubelet's clusterDNS addresses. Warnings are in `events`.
    """
    host = ResolvConf() if node_resolv is None else parse_resolv_conf(node_resolv) if isinstance(node_resolv, str) else node_resolv
    servers, searches, options = host.nameservers, host.searches, host.options
    events: list[DnsEvent] = []
    kind = dns_type(pod)
    if kind == "none":
        servers, searches, options = (), (), ()
    elif kind == "cluster" and cluster_dns:
        servers = tuple(cluster_dns)
        if domain:
            searches = _unique([f"{pod.namespace}.svc.{domain}", f"svc.{domain}", domain, *searches])
        options = (NDOTS,)
    else:
        if kind == "cluster":
            message = (
                "kubelet does not have ClusterDNS IP configured and cannot create Pod using "
                '"ClusterFirst" policy. Falling back to "Default" policy.'
            )
            name = f"{pod.name}_{pod.namespace}({pod.metadata.uid})"
            events.append(DnsEvent("MissingClusterDNS", f'pod: "{name}". {message}'))
        if node_resolv is None:
            servers = tuple("::1" if ":" in ip else "127.0.0.1" for ip in node_ips) or ("127.0.0.1",)
            searches = (".",)
    if (config := pod.spec.dns_config) is not None:
        servers = _unique([*servers, *config.nameservers])
        searches = _unique([*searches, *config.searches])
        merged = {o.partition(":")[0]: o for o in options}
        merged.update((o.name, f"{o.name}:{o.value}" if o.value else o.name) for o in config.options)
        options = tuple(merged.values())
    servers = _fit_servers(servers, events)
    searches = _fit_searches(searches, events)
    return ResolvConf(servers, searches, options, tuple(events))


def _fit_servers(servers: tuple[str, ...], events: list[DnsEvent]) -> tuple[str, ...]:
    if len(servers) <= MAX_NAMESERVERS:
        return servers
    kept = servers[:MAX_NAMESERVERS]
    message = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
    events.append(DnsEvent("DNSConfigForming", message + " ".join(kept)))
    return kept


def _fit_searches(searches: tuple[str, ...], events: list[DnsEvent]) -> tuple[str, ...]:
    kept = [s for s in searches[:MAX_SEARCH_PATHS] if len(s) <= MAX_SEARCH_PATH]
    while kept and len(" ".join(kept)) > MAX_SEARCH_CHARS:
        kept.pop()
    if len(kept) != len(searches):
        message = "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "
        events.append(DnsEvent("DNSConfigForming", message + " ".join(kept)))
    return tuple(kept)
