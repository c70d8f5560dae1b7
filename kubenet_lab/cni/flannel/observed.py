"""Flannel as a set of objects shows it: its ConfigMap, its DaemonSet's flags, and what the daemons wrote on their nodes.

A daemon reads net-conf.json when it starts and tells its backend in an annotation; where both are there and differ, the annotation is
what runs. k3s runs flannel without either object: its nodes show it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ...errors import KubenetError
from ...kernel.address import prefix
from ...objects.snapshot import Snapshot
from ...objects.views import ConfigMap, DaemonSet, Node
from .leases import ANNOTATION
from .options import BACKENDS, Flannel, networks_in

__all__ = ["Observed", "backend_of_node", "observed", "observed_networks"]


@dataclass(frozen=True, slots=True)
class Observed:
    """`options` as they run; `stated`: net-conf.json names the networks; `configured`: its backend, where another one runs."""

    options: Flannel
    stated: bool
    configured: str = ""


def _config_map(snapshot: Snapshot) -> ConfigMap | None:
    return next((c for c in snapshot.list(ConfigMap) if c.name == "kube-flannel-cfg" and "net-conf.json" in c.data), None)


def backend_of_node(node: Node) -> str:
    """What the node's daemon says that it runs; "" if it says nothing that is known."""
    found = node.metadata.annotations.get(f"{ANNOTATION}/backend-type", "")
    return found if found in BACKENDS else ""


def _flag(arguments: Iterable[str], name: str, default: bool) -> bool:
    """A boolean flag of Go's flag package."""
    value = default
    for a in arguments:
        flag, equals, text = a.lstrip("-").partition("=")
        if a.startswith("-") and flag == name:
            value = text.lower() in ("1", "t", "true") if equals else True
    return value


def observed(snapshot: Snapshot) -> Observed | None:
    """The options that the objects show, None where they show none. Raises NotModelled and KubenetError."""
    running = dict.fromkeys(b for n in snapshot.list(Node) if (b := backend_of_node(n)))
    config = _config_map(snapshot)
    if config is None:
        if not running:
            return None
        backend = next(iter(running))
        return Observed(Flannel(backend=backend, vni=_vni(snapshot) if backend == "vxlan" else 1), stated=False)
    agents = [d for d in snapshot.list(DaemonSet) if d.name.startswith("kube-flannel")]
    args = [a for d in agents for k in d.spec.template.spec.containers for a in (*k.command, *k.args)]
    options = Flannel.from_net_conf(
        config.data["net-conf.json"], not args or _flag(args, "ip-masq", False), forward_rules=_flag(args, "iptables-forward-rules", True),
        cni_conf=config.data.get("cni-conf.json", ""),
    )  # fmt: skip
    if len(running) == 1 and options.backend not in running:
        backend = next(iter(running))
        plain = Flannel(backend=backend, network=options.network, ipv6_network=options.ipv6_network, ip_masq=options.ip_masq)
        return Observed(replace(plain, forward_rules=options.forward_rules, cni_conf=options.cni_conf), True, options.backend)
    return Observed(options, stated=True)


def _vni(snapshot: Snapshot) -> int:
    for node in snapshot.list(Node):
        for key in ("backend-data", "backend-v6-data"):
            try:
                return int(json.loads(node.metadata.annotations[f"{ANNOTATION}/{key}"])["VNI"])
            except (LookupError, ValueError, TypeError):
                continue
    return 1


def observed_networks(snapshot: Snapshot) -> tuple[str, str]:
    """(the networks that net-conf.json names, IPv4 first and divided by commas; where it stands), ("", "") if nothing does."""
    config = _config_map(snapshot)
    if config is None:
        return "", ""
    try:
        found = [str(prefix(n)) for n in networks_in(config.data["net-conf.json"])]
    except (KubenetError, ValueError):
        return "", ""
    return ",".join(found), f"ConfigMap {config.key}, net-conf.json"
