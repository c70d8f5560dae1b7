"""The pod networks that a cluster can have, one module each: how addresses are given, and what is programmed."""

from __future__ import annotations

from .base import DATASTORE, Disk, PodNetwork, Programmed, Provider, container_id, pod_cidrs
from .calico import CalicoProvider
from .flannel import FlannelProvider
from .plain import PlainProvider
from .unmodelled import UnmodelledNetwork

__all__ = [
    "DATASTORE", "NAMES", "PROVIDERS", "Disk", "PodNetwork", "Programmed", "Provider", "UnmodelledNetwork", "container_id", "pod_cidrs",
]  # fmt: skip

PROVIDERS: tuple[Provider, ...] = (FlannelProvider(), CalicoProvider(), PlainProvider())

#: what `cni=` takes as a name, and who provides it
NAMES: dict[str, Provider] = {name: p for p in PROVIDERS for name in p.names}
