"""Names: what the world's DNS knows of the cluster, and the stub resolver of whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..dns import Resolution, ResolvConf, Zones, hosts_file, parse_resolv_conf, resolv_conf
from ..dns import resolve as run_resolver
from ..dns.hosts_file import NODE_HOSTS
from ..dns.zones import DEFAULT_ZONES
from ..errors import KubenetError, NotFound, Problem
from ..ingress import HttpServer
from ..kernel.namespace import Listener
from ..kernel.network import Network
from ..kernel.process import Echo
from ..objects.views import ConfigMap, Ingress, Pod, Service
from .detect import other_dns
from .listening import is_ingress_controller
from .names import Party, index_of

if TYPE_CHECKING:
    from .cluster import Cluster
    from .fork import Fork

__all__ = [
    "check_name", "corefile_of", "ingress_addresses", "listen_outside", "pod_resolv_conf", "stub_resolve", "unknown_listeners",
    "world_zones",
]  # fmt: skip


def ingress_addresses(cluster: Cluster) -> tuple[str, ...]:
    """Where the world finds this cluster's Ingresses: their status, else the nodes whose network a controller uses."""
    snapshot = cluster.snapshot()
    stated = [i.get("ip", "") for o in snapshot.list(Ingress) for i in _status(cluster, o.key)]
    if any(stated):
        return tuple(dict.fromkeys(a for a in stated if a))
    pods = [p for p in snapshot.list(Pod) if p.spec.host_network and p.ips and p.ready and is_ingress_controller(snapshot, p)]
    return tuple(dict.fromkeys(p.ips[0] for p in pods))


def _status(cluster: Cluster, key: str) -> list[dict[str, Any]]:
    document = cluster.store.document("Ingress", key)
    return list(((document.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ())


def world_zones(cluster: Cluster) -> Zones:
    """The zones of the resolver outside: given ones, else a small internet, and a zone for every Ingress host."""
    option = cluster.options.coredns
    given: dict[str, Any] = dict(option.upstream_zones) if option is not None and option.upstream_zones is not None else dict(DEFAULT_ZONES)
    addresses = list(ingress_addresses(cluster))
    if not addresses:
        return Zones(given)
    kind = "AAAA" if ":" in addresses[0] else "A"
    for ingress in cluster.snapshot().list(Ingress):
        for rule in ingress.spec.rules:
            if rule.host and not rule.host.startswith("*"):
                zone = f"{rule.host}."
                if option is None or option.upstream_zones is None or zone not in option.upstream_zones:
                    given[zone] = {"@": {kind: addresses}}
    return Zones(given)


def corefile_of(cluster: Cluster) -> str:
    """The Corefile in force: of ConfigMap kube-system/coredns, else the shipped one."""
    from ..dns.corefile import shipped

    found = cluster.snapshot().get(ConfigMap, "coredns", "kube-system")
    if found is not None and "Corefile" in found.data:
        return found.data["Corefile"]
    return shipped(cluster.options.domain)


def pod_resolv_conf(cluster: Cluster, pod: Pod) -> ResolvConf:
    """The resolv.conf that the kubelet gives a pod."""
    given = cluster.options.kubelet.cluster_dns
    service = cluster.snapshot().get(Service, "kube-dns", "kube-system")
    dns = given if given is not None else ((service.spec.cluster_ip,) if service is not None else ())
    return resolv_conf(pod, node_resolv=cluster.node_resolv_conf, cluster_dns=dns, domain=cluster.options.domain)


def stub_resolve(cluster: Cluster, fork: Fork, source: Party, name: str, family: str, resolver: str) -> Resolution:
    """The resolver of a pod (kubelet's resolv.conf), a node (its own) or a machine outside (the resolver of its network)."""
    check_name(name)
    if (unlike := other_dns(cluster.snapshot())) is not None and source.kind != "external":
        raise unlike
    if source.pod is not None:
        conf, hosts = cluster.resolv_of(source.pod), hosts_file(source.pod, cluster.options.domain)
    else:
        conf, hosts = parse_resolv_conf(cluster.node_resolv_conf), NODE_HOSTS
    return run_resolver(fork, source.namespace, name, conf, hosts=hosts, family=family, resolver=resolver)


def check_name(name: str) -> None:
    """Raises KubenetError for what cannot be put into a DNS query: names are ASCII, other letters travel as punycode (RFC 3492)."""
    if not isinstance(name, str) or not name.strip():
        raise KubenetError(f"name: found {name!r}, expected a DNS name")
    if not (name.isascii() and name.isprintable()) or "\\" in name:
        raise KubenetError(
            f"name {name!r}: expected printable ASCII without backslashes; other letters are written in punycode, as in xn--..."
        )


def listen_outside(network: Network, address: str, port: int, protocol: str) -> None:
    """Nothing is known of this machine, so it is taken to answer on the port that is asked for."""
    ns = network.external(address)
    if protocol not in ("TCP", "UDP") or ns.label == "kube-apiserver" or ns.listener(protocol, address, port) is not None:
        return
    why = f"external:{address} answers, because nothing is known about it"
    if protocol == "TCP":
        ns.listen(Listener("TCP", port, HttpServer(ns.label), ns.label, "", why))
    else:
        ns.listen(Listener("UDP", port, Echo(), ns.label, "", why))


def unknown_listeners(cluster: Cluster) -> list[Problem]:
    """Names in the option `listening` that mean nothing in the cluster."""
    snapshot = cluster.snapshot()
    known = {f"{ns}/{name}" for ns, name in index_of(snapshot).workloads} | {p.key for p in snapshot.list(Pod)}
    return [
        Problem(str(NotFound("pod or workload", key, known)), f"listening[{key!r}]")
        for key in cluster.options.listening
        if key not in known
    ]
