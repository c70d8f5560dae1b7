"""Which pod network a cluster has: what was asked for, else what the objects show, else flannel vxlan.

A pod network that is not modelled still loads: its pods keep the addresses they show, and a walk ends at NotModelled.
"""

from __future__ import annotations

from typing import Any

from ..cni.detect import detect
from ..errors import KubenetError, NotFound, NotModelled
from ..objects.snapshot import Snapshot
from .networks import DATASTORE, NAMES, PROVIDERS, Disk, PodNetwork, UnmodelledNetwork, pod_cidrs
from .options import Options
from .plan import ASSUMED, DETECTED, Assumption, Plan

__all__ = ["DATASTORE", "Disk", "PodNetwork", "pod_cidrs", "pod_network"]

DEFAULT = "flannel"
#: pod networks that have a name here, but nothing that programs them yet
_LATER = ("cilium", "weave", "kube-router", "canal", "ipvlan")
#: plugins that are no network alone: what they are
_PARTS = {
    **dict.fromkeys(("host-local", "static", "dhcp"), "is IPAM, not a network: it gives addresses to a main plugin"),
    **dict.fromkeys(("portmap", "bandwidth", "tuning", "firewall", "sbr", "vrf"), "is no network: it is chained after a main plugin"),
    "loopback": "is what every pod has beside its network",
}  # fmt: skip


def pod_network(snapshot: Snapshot, options: Options, plan: Plan, notes: list[Assumption]) -> PodNetwork:
    """The pod network. Raises NotFound, NotModelled and KubenetError for what `cni=` cannot be."""
    network = _chosen(snapshot, options, plan, notes)
    notes += network.assumptions
    return network


def _chosen(snapshot: Snapshot, options: Options, plan: Plan, notes: list[Assumption]) -> PodNetwork:
    chosen: Any = options.cni
    if chosen == "auto":
        return _detected(snapshot, plan, notes)
    for provider in PROVIDERS:
        if isinstance(chosen, provider.option):
            return provider.chosen(chosen, snapshot, plan)
    if not isinstance(chosen, str):
        raise KubenetError(f"cni: found {chosen!r}, expected 'auto', a plugin's name or an options object such as kn.Flannel()")
    if chosen in NAMES:
        return NAMES[chosen].chosen(NAMES[chosen].named(chosen), snapshot, plan)
    if chosen in _PARTS:
        raise KubenetError(f"cni={chosen!r}: {chosen} {_PARTS[chosen]}. Say cni='bridge', 'ptp' or 'macvlan', or kn.Conflist({{...}})")
    if chosen in _LATER:
        raise NotModelled(f"pod network: {chosen}")
    raise NotFound("pod network plugin", chosen, (*NAMES, *_LATER))


def _detected(snapshot: Snapshot, plan: Plan, notes: list[Assumption]) -> PodNetwork:
    found = detect(snapshot)
    if not found:
        network = NAMES[DEFAULT].chosen(NAMES[DEFAULT].named(DEFAULT), snapshot, plan)
        notes.append(Assumption("pod network plugin", network.name, ASSUMED, "the objects show none"))
        return network
    notes.append(Assumption("pod network plugin", found.name, DETECTED, ", ".join(found.evidence)))
    if found.name not in NAMES:
        return UnmodelledNetwork(found.name)
    try:
        return NAMES[found.name].detected(found.name, snapshot, plan)
    except NotModelled as e:
        return UnmodelledNetwork(found.name, e.reason)
